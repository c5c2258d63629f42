"""Verdicts on made results whose truth is known, the verb's exit code, and bad input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.claims import EQUIVALENT, INCONCLUSIVE, REFUTED, SUPPORTED, Verdict, judge
from analysis.collect import ResultReader, collect
from analysis.resample import BootstrapConfig
from analysis.sections import claims_console
from analysis.summary import Bootstrap, Summary, summarise
from core.errors import ConfigError
from sweeps.declared import read_plan
from tests.analysis.factory import KEY, MadeCell, World, make_ablation
from viewpair.cli import main

WORLD = World(patients=160, labels=("Edema", "Fracture", "Pneumothorax"))
STRENGTHS = {"good": 1.6, "same": 1.6, "weak": 0.7, "other": 1.2}
CELLS = [MadeCell(name, "mae", strength=s, spread=0.0) for name, s in STRENGTHS.items()]


def summary_of(root: Path, claims: list[str], **made: Any) -> Summary:
    make_ablation(root, "made", CELLS, made.pop("world", WORLD), claims=claims, **made)
    return summarise(collect(ResultReader(root), read_plan(root, "made")), Bootstrap(BootstrapConfig(1500)))


def verdicts(root: Path, *claims: str, **made: Any) -> dict[str, Verdict]:
    return {v.claim.text: v for v in judge(summary_of(root, list(claims), **made))}


def test_what_is_so_is_supported_and_what_is_not_is_refuted(root: Path) -> None:
    expected = {
        "good > weak on macro_auroc": SUPPORTED,
        "good > weak on macro_auroc by 0.05": SUPPORTED,
        "weak < good on macro_auroc at label_fraction=1": SUPPORTED,
        "good > weak on knn_macro_auroc": SUPPORTED,
        "weak > good on macro_auroc": REFUTED,
        "good > weak on macro_auroc by 0.5": REFUTED,
        "good = weak on macro_auroc within 0.02": REFUTED,
        "good = same on macro_auroc within 0.06": EQUIVALENT,
        "good > same on macro_auroc by 0.08": REFUTED,
    }
    found = verdicts(root, *expected)
    assert {text: v.verdict for text, v in found.items()} == expected
    for text, verdict in found.items():
        assert verdict.is_as_claimed == (expected[text] == (EQUIVALENT if "=" in text.split(" on ")[0] else SUPPORTED))
        assert verdict.p < 0.05
        assert verdict.settle == ""
        assert verdict.effect.low < verdict.effect.mean < verdict.effect.high


def test_the_effect_is_left_minus_right_over_matched_seeds(root: Path) -> None:
    summary = summary_of(root, ["weak > good on macro_auroc"])
    rows = {row.cell.name: row.entries["macro_auroc_1"].estimate.mean for row in summary.rows}
    (found,) = judge(summary)
    assert found.effect.mean == pytest.approx(rows["weak"] - rows["good"])
    assert (found.seeds, found.missing, found.p_flip) == (3, 0, 0.25)


def test_what_is_not_clear_is_inconclusive_and_says_what_would_settle_it(root: Path) -> None:
    claim = "good > other on macro_auroc"
    found = verdicts(root, claim, world=World(patients=20))[claim]
    assert found.verdict == INCONCLUSIVE
    assert found.effect.low < 0 < found.effect.high
    assert "seeds" in found.settle or "patients" in found.settle
    assert not found.is_as_claimed


def test_holm_is_over_all_claims_of_a_table(root: Path) -> None:
    claim = "good > weak on macro_auroc by 0.10"
    alone = verdicts(root, claim)[claim]
    among = verdicts(root, claim, *["good > same on macro_auroc"] * 3)[claim]
    assert alone.p < among.p <= 1
    assert among.p == pytest.approx(min(1.0, 4 * alone.p))


def test_one_seed_is_said_to_be_about_patients_only(root: Path) -> None:
    summary = summary_of(root, ["good > same on macro_auroc"], seeds=(0,))
    found = judge(summary)
    assert found[0].effect.covers == "patients"
    told = claims_console(summary, found)
    assert "1 (patients only)" in told
    assert "one seed a verdict is about these patients only" in told
    if found[0].verdict == INCONCLUSIVE:
        assert "two more seeds" in found[0].settle


def test_missing_seeds_are_left_out_and_told(root: Path) -> None:
    claim = "good > weak on macro_auroc"
    ids = make_ablation(root, "made", CELLS, WORLD, claims=[claim])
    for trial in ids["good"][:1]:
        (root / "trials" / trial / "evaluations" / KEY / "result.json").unlink()
    summary = summarise(collect(ResultReader(root), read_plan(root, "made")), Bootstrap(BootstrapConfig(200)))
    assert [(v.seeds, v.missing) for v in judge(summary)] == [(2, 1)]
    for trial in ids["good"][1:]:
        (root / "trials" / trial / "evaluations" / KEY / "result.json").unlink()
    summary = summarise(collect(ResultReader(root), read_plan(root, "made")), Bootstrap(BootstrapConfig(200)))
    (found,) = judge(summary)
    assert (found.verdict, found.seeds, found.missing) == (INCONCLUSIVE, 0, 3)
    assert np.isnan(found.effect.mean)
    assert "run the sweep" in claims_console(summary, [found])


@pytest.mark.parametrize(
    ("claim", "told"),
    [
        ("good > wek on macro_auroc", "did you mean weak"),
        ("good > weak on macro_auroc at label_fraction=0.5", "measured: 0.01, 0.1, 1"),
        ("good > weak on auroc[Edemma]", "did you mean Edema"),
        ("good > weak on auroc[Edema] at label_fraction=0.1", "greatest fraction only"),
    ],
)
def test_claims_about_what_was_not_measured(root: Path, claim: str, told: str) -> None:
    summary = summary_of(root, [claim], world=World(patients=25), seeds=(0,))
    with pytest.raises(ConfigError, match=told):
        judge(summary)


def test_a_label_can_be_claimed(root: Path) -> None:
    claim = "good > weak on auroc[Pneumothorax]"
    assert verdicts(root, claim)[claim].verdict == SUPPORTED


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        (["good > weak on macro_auroc", "good = same on macro_auroc within 0.06"], 0),
        (["good > weak on macro_auroc", "weak > good on macro_auroc"], 1),
        (["good > wek on macro_auroc"], 2),
        (["good >> weak on macro_auroc"], 2),
    ],
)
def test_the_exit_code_of_the_verb(
    root: Path, capsys: pytest.CaptureFixture[str], claims: list[str], code: int
) -> None:
    make_ablation(root, "made", CELLS, WORLD, claims=claims)
    assert main(["claims", "ablation=made", f"paths.root={root}", "--resamples", "1000"]) == code
    told = capsys.readouterr()
    assert "Traceback" not in told.err
    if code < 2:
        assert "supported" in told.out
        assert "p: of the verdict" in told.out
    else:
        assert "^" in told.err
