"""Ablation files: one YAML file = one table or figure. Read strictly, so that a slip is not a silent hole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from core.errors import ConfigError, did_you_mean, require
from sweeps.claim import ClaimError, parse_claim

ABLATIONS = Path(__file__).resolve().parents[1] / "ablations"
# Figures, by the measure of the trials that they show.
DRAWS = {
    "quality": ("curve", "heatmap", "strip", "fractions", "training", "calibration", "profiles"),
    "throughput": ("throughput", "scaling"),
}
EVALUATIONS_SHOWN = ("probe", "head", "finetune")
KEYS = ("title", "question", "base", "axes", "baselines", "seeds", "draw", "claims", "presets")
PRESET_KEYS = (*KEYS[:-1], "rows")
BASELINE_KEYS = ("base", "over", "evaluation")


@dataclass(frozen=True)
class Baseline:
    """A row that is held against the cells.

    base: overrides. over: key -> values; one trial for each combination, all in this row. evaluation: whose
    numbers the row shows, probe (of the frozen encoder) or head (the method's own classifier).
    """

    name: str
    base: tuple[str, ...] = ()
    over: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    evaluation: str = "probe"


@dataclass(frozen=True)
class Ablation:
    """An ablation file, with one of its presets put on.

    base: overrides of every cell and baseline. axes: key -> values; a cell for each combination. named: of an axis
    whose values are names for several overrides at once, axis -> name -> overrides.
    """

    name: str
    title: str
    question: str
    base: tuple[str, ...]
    axes: Mapping[str, tuple[Any, ...]]
    named: Mapping[str, Mapping[Any, tuple[str, ...]]]
    baselines: tuple[Baseline, ...]
    seeds: tuple[int, ...]
    draw: tuple[str, ...]
    claims: tuple[Any, ...]


def available(folder: Path = ABLATIONS) -> list[str]:
    """Names of all ablation files, sorted."""
    return sorted(p.stem for p in folder.glob("*.yaml"))


def names_of(chosen: Any, folder: Path = ABLATIONS) -> list[str]:
    """The ablations that `ablation=...` names: one, a list, or all. Raises ConfigError for an unknown one."""
    known = available(folder)
    require(bool(chosen), "which ablation? ablation= is not given", f"possible: {', '.join(known)}, all")
    names = [str(c) for c in chosen] if not isinstance(chosen, str) else [chosen]
    names = known if names == ["all"] else names
    for name in names:
        if name not in known and not Path(name).is_file():
            raise ConfigError(f"ablation={name} does not exist in {folder}", did_you_mean(name, [*known, "all"]))
    stems = [Path(name).stem for name in names]
    require(len(set(stems)) == len(stems), f"ablation={names} names one twice", "name each once")
    return names


def read(name: str, preset: str, folder: Path = ABLATIONS) -> Ablation:
    """Read ablations/<name>.yaml (or the file that `name` is a path of) and put on its preset, if it has that one.

    A preset's `base` is added behind the file's, the file's own and each baseline's; any other key of a preset
    replaces the file's, and a row that the file does not have is added. Its `rows` names the only baselines that it
    runs: the others are left out, and so are claims about them.
    Raises ConfigError that names the file and the key at fault.
    """
    path = Path(name) if name.endswith(".yaml") else folder / f"{name}.yaml"
    plain = _load(path)
    _check_keys(path, "", plain, KEYS)
    presets = _mapping(path, "presets", plain.pop("presets", {}))
    for other in presets:
        _check_keys(path, f"presets.{other}.", _mapping(path, f"presets.{other}", presets[other]), PRESET_KEYS)
    chosen = _mapping(path, f"presets.{preset}", presets.get(preset, {}))
    rows = _mapping(path, "baselines", plain.get("baselines", {}))
    for row, settings in _mapping(path, f"presets.{preset}.baselines", chosen.get("baselines", {})).items():
        where = f"baselines.{row}"
        rows[row] = _put_on(path, where, _mapping(path, where, rows.get(row, {})), _mapping(path, where, settings))
    whole = {**_put_on(path, "the file", plain, chosen), "baselines": rows}
    kept = _list(path, f"presets.{preset}.rows", whole.pop("rows", list(rows)))
    return _ablation(path, _only(path, f"presets.{preset}.rows", whole, kept))


def _only(path: Path, where: str, plain: dict[str, Any], kept: list[Any]) -> dict[str, Any]:
    """The file without the baselines that are not `kept`, and without claims about those."""
    rows = plain["baselines"]
    for row in kept:
        if row not in rows:
            raise ConfigError(f"{path}: {where} names no baseline: {row!r}", did_you_mean(str(row), rows))
    left_out = rows.keys() - set(kept)
    claims = _list(path, "claims", plain.get("claims", []))
    stay = [claim for claim in claims if not _is_about(claim, left_out)]
    return {**plain, "baselines": {row: rows[row] for row in rows if row in kept}, "claims": stay}


def _is_about(claim: Any, rows: Set[str]) -> bool:
    """Whether a claim names one of `rows`. One that does not parse is kept, so that the plan points at its word."""
    try:
        parsed = parse_claim(claim)
    except ClaimError:
        return False
    return parsed.left.name in rows or parsed.right.name in rows


def _put_on(path: Path, where: str, plain: dict[str, Any], preset: dict[str, Any]) -> dict[str, Any]:
    base = [override for part in (plain, preset) for override in _list(path, f"{where}: base", part.get("base", []))]
    return {**plain, **preset, "base": base}


def _load(path: Path) -> dict[str, Any]:
    try:
        plain = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
    except (YAMLError, OmegaConfBaseException) as error:
        raise ConfigError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    except FileNotFoundError as error:
        raise ConfigError(f"{path} does not exist") from error
    return _mapping(path, "the file", plain)


def _ablation(path: Path, plain: dict[str, Any]) -> Ablation:
    for key in ("title", "question", "seeds"):
        require(key in plain, f"{path}: {key} is missing", "every ablation has a title, a question and seeds")
    points = _mapping(path, "axes", plain.get("axes", {}))
    axes = _axes(path, "axes", {key: list(v) if isinstance(v, dict) else v for key, v in points.items()})
    baselines = _mapping(path, "baselines", plain.get("baselines", {}))
    require(bool(axes or baselines), f"{path}: neither axes nor baselines", "give at least one axis or baseline")
    return Ablation(
        name=path.stem,
        title=str(plain["title"]),
        question=str(plain["question"]),
        base=_overrides(path, "base", plain["base"]),
        axes=axes,
        named={key: _named(path, f"axes.{key}", v) for key, v in points.items() if isinstance(v, dict)},
        baselines=tuple(_baseline(path, str(row), settings) for row, settings in baselines.items()),
        seeds=check_seeds(f"{path}: seeds", plain["seeds"]),
        draw=_draws(path, plain.get("draw", [])),
        claims=tuple(_list(path, "claims", plain.get("claims", []))),
    )


def _baseline(path: Path, row: str, settings: Any) -> Baseline:
    where = f"baselines.{row}"
    plain = _mapping(path, where, settings)
    _check_keys(path, f"{where}.", plain, BASELINE_KEYS)
    shown = plain.get("evaluation", "probe")
    if shown not in EVALUATIONS_SHOWN:
        hint = did_you_mean(str(shown), EVALUATIONS_SHOWN)
        raise ConfigError(f"{path}: {where}.evaluation={shown} is not a choice", hint)
    over = _axes(path, f"{where}.over", plain.get("over", {}))
    return Baseline(row, _overrides(path, f"{where}.base", plain.get("base", [])), over, shown)


def _axes(path: Path, where: str, plain: Any) -> dict[str, tuple[Any, ...]]:
    axes = {}
    for key, values in _mapping(path, where, plain).items():
        axes[str(key)] = tuple(_list(path, f"{where}.{key}", values))
        require(bool(values), f"{path}: {where}.{key} has no values", "give a list of at least one")
        _check_distinct(f"{path}: {where}.{key}", axes[str(key)])
    return axes


def _named(path: Path, where: str, names: dict[Any, Any]) -> dict[Any, tuple[str, ...]]:
    return {name: _overrides(path, f"{where}.{name}", _list(path, f"{where}.{name}", o)) for name, o in names.items()}


def check_seeds(where: str, seeds: Any) -> tuple[int, ...]:
    """`seeds` as a tuple. Raises ConfigError unless it is a list of at least one, distinct, of whole numbers >= 0."""
    whole = isinstance(seeds, list | tuple) and all(type(s) is int and s >= 0 for s in seeds)
    require(whole, f"{where}: {seeds} is no list of whole numbers", "such as [0, 1, 2]")
    require(len(seeds) > 0, f"{where}: there are no seeds", "give at least one, such as [0, 1, 2]")
    _check_distinct(where, seeds)
    return tuple(seeds)


def _draws(path: Path, plain: Any) -> tuple[str, ...]:
    draws, known = tuple(str(d) for d in _list(path, "draw", plain)), [d for names in DRAWS.values() for d in names]
    for draw in draws:
        if draw not in known:
            raise ConfigError(f"{path}: draw has no {draw!r}", did_you_mean(draw, known))
    _check_distinct(f"{path}: draw", draws)
    return draws


def _overrides(path: Path, where: str, plain: Any) -> tuple[str, ...]:
    overrides = tuple(str(o) for o in _list(path, where, plain))
    for override in overrides:
        require("=" in override, f"{path}: {where}: {override!r} is not an override", "write key=value")
    return overrides


def _check_keys(path: Path, where: str, plain: Mapping[str, Any], known: Iterable[str]) -> None:
    for key in plain:
        if key not in known:
            raise ConfigError(f"{path}: there is no key {where}{key}", did_you_mean(str(key), known))


def _check_distinct(where: str, values: Iterable[Any]) -> None:
    seen = list(values)
    twice = [v for i, v in enumerate(seen) if v in seen[:i]]
    require(not twice, f"{where}: {twice[0] if twice else ''} stands there twice", "give each value once")


def _mapping(path: Path, where: str, value: Any) -> dict[str, Any]:
    require(value is None or isinstance(value, dict), f"{path}: {where} is no mapping of keys to values")
    return dict(value or {})


def _list(path: Path, where: str, value: Any) -> list[Any]:
    require(isinstance(value, list), f"{path}: {where} is no list", "write it as [a, b]")
    return list(value)
