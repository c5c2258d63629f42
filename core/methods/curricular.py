"""Curricular SSL (arXiv 2301.10687): methods one after the other, each starting from the encoder of the one before.

A stage is a trial of its own: its method with fresh heads, a fresh optimiser, its own schedules and warm-up, and the
same seed. The trainer runs stages one after the other (core/stages.py) and so knows how to resume any of them; what it
leaves is the last stage's method, and that is what is built here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from itertools import accumulate, pairwise
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from core.config import MethodConfig, PairingConfig, TrialConfig, setting
from core.data.pairings.base import PAIRINGS
from core.errors import ConfigError, check_range, did_you_mean, require
from core.methods.base import METHODS, Method, MethodContext

# What a stage has besides its method's own settings.
SHARE, PAIRING = "share", "pairing"


@dataclass
class CurricularConfig(MethodConfig):
    """The stages in their order."""

    name: str = setting("curricular", "method")
    stages: list[Any] = setting(
        ["mae", "simclr"],
        "methods in their order: names, or {name: mae, share: 2, pairing: none, mask_ratio: 0.9} with the share of the "
        "epochs (default 1), a pairing strategy (default: the trial's) and settings of the method",
    )

    def __post_init__(self) -> None:
        require(bool(self.stages), "method.stages is empty", "name the methods in their order, such as [mae,simclr]")
        # In full, so that a trial's id is that of all settings, however they were written.
        self.stages = [resolved(stage, f"method.stages[{n}]") for n, stage in enumerate(self.stages)]

    @property
    def label_fraction(self) -> float:
        """That of the last stage, where it is supervised."""
        return float(self.stages[-1]["label_fraction"])

    def check_trial(self, trial: TrialConfig) -> None:
        """Every stage must work with the rest of the trial's config, and last at least an epoch."""
        for number, stage in enumerate(self.in_sequence(trial)):
            require(
                stage.train.epochs > 0 or trial.train.epochs == 0,
                f"train.epochs={trial.train.epochs} leaves none for method.stages[{number}] ({stage.method.name})",
                "train for more epochs, or give that stage a greater share",
            )

    def in_sequence(self, trial: TrialConfig) -> list[TrialConfig]:
        """The stages as trials, without the weights that they start from; their epochs add up to the trial's."""
        ends = [0.0, *accumulate(stage[SHARE] for stage in self.stages)]
        marks = [round(trial.train.epochs * end / ends[-1]) for end in ends]
        return [
            replace(
                trial,
                method=method_of(stage),
                pairing=pairing_of(stage) or trial.pairing,
                train=replace(trial.train, epochs=until - since),
            )
            for stage, (since, until) in zip(self.stages, pairwise(marks), strict=True)
        ]


def resolved(stage: Any, where: str) -> dict[str, Any]:
    """A stage as given (a name or a mapping) with all of its settings. Raises ConfigError that begins with `where`."""
    given = {"name": stage} if isinstance(stage, str) else dict(stage) if isinstance(stage, Mapping) else {}
    require(
        isinstance(given.get("name"), str) and given["name"] != "curricular",
        f"{where}={stage!r} names no method",
        "write a method's name, or a mapping with one, such as {name: mae, mask_ratio: 0.9}",
    )
    try:
        share = float(given.get(SHARE, 1.0))
        check_range(SHARE, share, 0, 1e6, open_low=True)
        found = {**asdict(method_of(given)), SHARE: share, PAIRING: given.get(PAIRING) or ""}
        pairing_of(found)
    except (ConfigError, TypeError, ValueError) as error:
        raise ConfigError(f"{where} ({given['name']}): {getattr(error, 'what', error)}", _hint(error)) from error
    return found


def method_of(stage: Mapping[str, Any]) -> MethodConfig:
    """The config of a stage's method. Raises ConfigError for a setting that it does not have or that cannot work."""
    config = METHODS.get(stage["name"]).config
    settings = {name: value for name, value in stage.items() if name not in (SHARE, PAIRING)}
    known = [field.name for field in fields(config)]
    for name in settings:
        require(name in known, f"there is no setting {name!r}", did_you_mean(name, [*known, SHARE, PAIRING]))
    try:
        built = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(config), settings))
    except OmegaConfBaseException as error:
        raise ConfigError(str(error).splitlines()[0]) from error
    assert isinstance(built, MethodConfig)
    return built


def pairing_of(stage: Mapping[str, Any]) -> PairingConfig | None:
    """The config of a stage's own pairing strategy, None where it has the trial's."""
    built: PairingConfig | None = PAIRINGS.get(stage[PAIRING]).config() if stage[PAIRING] else None
    return built


def _hint(error: BaseException) -> str:
    return str(getattr(error, "hint", "")) or "give it a value of the right kind"


@METHODS.register(
    "curricular",
    config=CurricularConfig,
    source="de Andres Tame et al. 2023, arXiv 2301.10687",
    overrides={"pairing": "same_view_augmented"},
)
class Curricular(Method):
    """Methods in sequence, each starting from the encoder of the one before."""

    def __new__(cls, config: CurricularConfig, context: MethodContext) -> Method:  # type: ignore[misc]
        """The last stage's method, which is what training leaves."""
        built: Method = METHODS.build(method_of(config.stages[-1]), context)
        return built
