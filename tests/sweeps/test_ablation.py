"""Ablation files are read strictly: a slip is an error that names the file, the key and the nearest right one."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import ConfigError
from sweeps.ablation import available, names_of, read

GOOD = """
title: T
question: Q
base: [method=mvmae]
axes: {method.mask_ratio: [0.5, 0.75]}
baselines:
  floor: {base: [train.epochs=0]}
  own: {base: [method=supervised], over: {method.label_fraction: [0.1, 1.0]}, evaluation: head}
seeds: [0, 1, 2]
draw: [curve]
presets:
  demo: {seeds: [5], base: [train.epochs=2]}
"""


def written(folder: Path, old: str = "", new: str = "") -> Path:
    assert old in GOOD
    (folder / "some.yaml").write_text(GOOD.replace(old, new) if old else GOOD)
    return folder


def test_a_good_file_is_read_whole(tmp_path: Path) -> None:
    ablation = read("some", "paper", written(tmp_path))
    assert ablation.name == "some"
    assert ablation.axes == {"method.mask_ratio": (0.5, 0.75)}
    assert ablation.seeds == (0, 1, 2)
    floor, own = ablation.baselines
    assert (floor.name, floor.evaluation, floor.over) == ("floor", "probe", {})
    assert (own.base, own.evaluation) == (("method=supervised",), "head")
    assert own.over == {"method.label_fraction": (0.1, 1.0)}


def test_a_preset_replaces_keys_and_adds_to_base(tmp_path: Path) -> None:
    ablation = read("some", "demo", written(tmp_path))
    assert ablation.seeds == (5,)
    assert ablation.base == ("method=mvmae", "train.epochs=2")


def test_a_preset_adds_to_a_baselines_base_and_leaves_the_rest_of_the_row(tmp_path: Path) -> None:
    rows = "baselines: {R: {base: [method=mae], evaluation: head}, S: {base: [method=vicreg]}}"
    demo = "demo: {baselines: {R: {base: [train.epochs=3]}}}"
    text = f"title: T\nquestion: Q\nseeds: [0]\n{rows}\npresets:\n  {demo}\n"
    (tmp_path / "rows.yaml").write_text(text)
    first, second = read("rows", "demo", tmp_path).baselines
    assert (first.name, first.base, first.evaluation) == ("R", ("method=mae", "train.epochs=3"), "head")
    assert (second.name, second.base) == ("S", ("method=vicreg",))
    assert read("rows", "paper", tmp_path).baselines[0].base == ("method=mae",)


ROWS = """
title: T
question: Q
seeds: [0]
baselines: {R: {base: [method=mae]}, S: {base: [method=vicreg]}, T: {base: [method=simclr]}}
claims: [R > S on macro_auroc, S < T on macro_auroc, vicreg > mae on macro_auroc, nonsense]
presets: {quick: {rows: [T, S]}, wrong: {rows: [S, Tt]}}
"""


def test_a_preset_runs_some_rows_and_leaves_out_the_others_with_their_claims(tmp_path: Path) -> None:
    (tmp_path / "rows.yaml").write_text(ROWS)
    whole, quick = read("rows", "paper", tmp_path), read("rows", "quick", tmp_path)
    assert [row.name for row in whole.baselines] == ["R", "S", "T"]
    assert [row.name for row in quick.baselines] == ["S", "T"]
    assert quick.baselines == whole.baselines[1:]
    assert quick.claims == whole.claims[1:]
    with pytest.raises(ConfigError, match=r"presets.wrong.rows names no baseline: 'Tt'"):
        read("rows", "wrong", tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("question: Q", "quesion: Q", r"no key quesion\n.*question\?"),
        ("title: T", "", "title is missing"),
        ("seeds: [0, 1, 2]", "", "seeds is missing"),
        ("seeds: [0, 1, 2]", "seeds: []", "there are no seeds"),
        ("seeds: [0, 1, 2]", "seeds: [0, 1, 0]", "seeds: 0 stands there twice"),
        ("seeds: [0, 1, 2]", "seeds: 3", "no list of whole numbers"),
        ("seeds: [0, 1, 2]", "seeds: [0, -1]", "no list of whole numbers"),
        ("seeds: [0, 1, 2]", "seeds: [true]", "no list of whole numbers"),
        ("[0.5, 0.75]", "[]", "axes.method.mask_ratio has no values"),
        ("[0.5, 0.75]", "[0.5, 0.5]", "0.5 stands there twice"),
        ("[0.5, 0.75]", "0.5", "axes.method.mask_ratio is no list"),
        ("draw: [curve]", "draw: [curves]", r"no 'curves'\n.*curve\?"),
        ("evaluation: head", "evaluation: heed", r"baselines.own.evaluation=heed.*\n.*head\?"),
        ("base: [train.epochs=0]", "bass: [train.epochs=0]", r"no key baselines.floor.bass\n.*base\?"),
        ("base: [train.epochs=0]", "base: [train.epochs]", "'train.epochs' is not an override"),
        ("demo: {seeds: [5]", "demo: {sedes: [5]", r"no key presets.demo.sedes\n.*did you mean seeds"),
        ("base: [method=mvmae]", "base: method=mvmae", "base is no list"),
        ("title: T", "title: T\ntitle: U", "not valid YAML.*title"),
        ("title: T", "title: [T", "not valid YAML"),
        ("title: T", "title: ${nothing}", "not valid YAML.*nothing"),
    ],
)
def test_a_slip_is_refused_and_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"(?s)some\.yaml.*{message}"):
        read("some", "paper", written(tmp_path, old, new))


def test_neither_axes_nor_baselines_is_refused(tmp_path: Path) -> None:
    (tmp_path / "some.yaml").write_text("title: T\nquestion: Q\nbase: []\nseeds: [0]\n")
    with pytest.raises(ConfigError, match="neither axes nor baselines"):
        read("some", "demo", tmp_path)


def test_names_are_one_or_a_list_or_all(tmp_path: Path) -> None:
    for name in ("pairing", "masking_ratio"):
        (tmp_path / f"{name}.yaml").touch()
    assert available(tmp_path) == ["masking_ratio", "pairing"]
    assert names_of("pairing", tmp_path) == ["pairing"]
    assert names_of(["pairing", "masking_ratio"], tmp_path) == ["pairing", "masking_ratio"]
    assert names_of("all", tmp_path) == ["masking_ratio", "pairing"]
    for wrong, message in (("paring", "did you mean pairing"), (None, "possible: masking_ratio, pairing, all")):
        with pytest.raises(ConfigError, match=message):
            names_of(wrong, tmp_path)
    with pytest.raises(ConfigError, match="twice"):
        names_of(["pairing", "pairing"], tmp_path)


@pytest.mark.parametrize("name", available())
def test_every_file_opens_with_its_command_its_time_and_what_to_expect(name: str) -> None:
    text = (Path(__file__).parents[2] / "ablations" / f"{name}.yaml").read_text()
    comments = text[: text.index("title:")]
    assert f"viewpair sweep ablation={name} " in comments
    assert "minutes" in comments
    assert "Expect:" in comments
