"""Two trials, rows or sweeps side by side: what differs in config and in result, against scikit-learn's numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from analysis.compare import Compared, compare_two
from analysis.resample import BootstrapConfig
from core.errors import UserError
from tests.analysis.factory import MadeCell, World, make_ablation, predict
from viewpair.cli import main

SMALL = World(patients=40, labels=("Edema", "Pneumothorax"))
GOOD = MadeCell("mvmae pairing=a", values={"pairing": "a"}, strength=1.8)
WEAK = MadeCell("weak", "mae", strength=0.5)
CONFIG = BootstrapConfig(resamples=200)


@pytest.fixture
def ids(root: Path) -> dict[str, list[str]]:
    """Two ablations that share a row; row name -> trial ids."""
    make_ablation(root, "one", [GOOD, WEAK], SMALL, seeds=(0, 1))
    other = make_ablation(root, "two", [GOOD, MadeCell("third", "vicreg")], SMALL, seeds=(0, 1), preset="paper")
    return other | make_ablation(root, "one", [GOOD, WEAK], SMALL, seeds=(0, 1))


def compared(root: Path, first: str, second: str) -> Compared:
    return compare_two(root, first, second, ["one", "two"], CONFIG)


def macro(cell: MadeCell, seed: int) -> float:
    truth, scores = SMALL.studies()[2], predict(cell, seed, SMALL, 1.0, 0)
    return float(np.mean([roc_auc_score(truth[:, i], scores[:, i]) for i in range(2)]))


def line(found: Compared, name: str) -> list[str]:
    return next(line for line in found.lines if line[0] == name)


@pytest.mark.usefixtures("ids")
def test_two_rows_differ_in_their_settings_and_by_the_paired_difference(root: Path) -> None:
    found = compared(root, "mvmae", "WEAK")
    assert found.config == ("method.name: mvmae -> mae", "method.pairing: a -> absent")
    expected = np.mean([macro(GOOD, s) - macro(WEAK, s) for s in (0, 1)])
    _, a, b, apart, p = line(found, "AUROC 100 %")
    assert a.startswith(f"{np.mean([macro(GOOD, s) for s in (0, 1)]):.3f}")
    assert b.startswith(f"{np.mean([macro(WEAK, s) for s in (0, 1)]):.3f}")
    assert apart.startswith(f"{expected:+.3f} [+")
    assert float(p.removeprefix("< ")) < 0.1
    assert {line[0] for line in found.lines} >= {"AUROC Edema", "AUROC Pneumothorax", "k-NN", "Seconds"}


def test_two_trials_are_named_by_the_beginning_of_their_ids(root: Path, ids: dict[str, list[str]]) -> None:
    first, second = ids[GOOD.name]
    found = compared(root, first[:8], second)
    assert found.config == ("seed: 0 -> 1",)
    assert line(found, "AUROC 100 %")[3].startswith(f"{macro(GOOD, 0) - macro(GOOD, 1):+.3f} [")


@pytest.mark.usefixtures("ids")
def test_two_sweeps_show_the_rows_of_both(root: Path) -> None:
    found = compared(root, "one", "two")
    assert "preset: demo -> paper" in found.config
    assert line(found, GOOD.name)[3].startswith("+0.000")
    assert line(found, "weak")[2:] == ["not declared", "–", "–"]  # noqa: RUF001
    assert line(found, "third")[1] == "not declared"


@pytest.mark.usefixtures("ids")
def test_other_test_studies_are_not_paired(root: Path) -> None:
    make_ablation(root, "three", [replace(WEAK, name="elsewhere")], World(patients=41), seeds=(0, 1))
    found = compare_two(root, GOOD.name, "elsewhere", ["one", "three"], CONFIG)
    assert line(found, "AUROC 100 %")[3:] == ["–", "–"]  # noqa: RUF001
    assert any("other test studies" in note for note in found.notes)


@pytest.mark.usefixtures("ids")
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("weka", "mvmae"), "weka: no ablation, no row and no trial of that name\n  -> did you mean weak"),
        (("one", "weak"), "one is a ablation, weak a row"),
    ],
)
def test_what_cannot_be_compared_is_named(root: Path, words: tuple[str, str], told: str) -> None:
    with pytest.raises(UserError) as error:
        compared(root, *words)
    assert told in str(error.value)


@pytest.mark.usefixtures("ids")
def test_the_verb_takes_names_that_look_like_settings(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["compare", GOOD.name, "weak", "ablation=one", f"paths.root={root}", "--resamples", "100"]
    assert main(words) == 0
    assert "method.name: mvmae -> mae" in capsys.readouterr().out
    assert main(["compare", "weak"]) == 2
    assert "takes two names" in capsys.readouterr().err
