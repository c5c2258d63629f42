"""Claims in plain words: what they mean, and errors that point at the word."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from core.errors import ConfigError
from sweeps.ablation import ABLATIONS, available
from sweeps.claim import ClaimError, check_claim, find_row, parse_claim, selector_of
from sweeps.plan import make_plan


@dataclass(frozen=True)
class Row:
    name: str
    method: str = "mvmae"
    values: Mapping[str, Any] = field(default_factory=dict)


PAIRS = [Row(f"mvmae pairing={p}", values={"pairing": p}) for p in ("same_study", "random", "none")]
ROWS = [*PAIRS, Row("mae", "mae"), Row("MVMAE (structured)"), Row("MVMAE (unstructured)")]
GRID = [
    Row(f"mvmae mask_ratio={r} weight={w}", values={"method.mask_ratio": r, "method.weight": w})
    for r in (0.5, 0.75)
    for w in (0.0, 1.0)
]


def test_the_example_of_the_manual() -> None:
    claim = parse_claim("mvmae[pairing=same_study] > mae on macro_auroc at label_fraction=0.01 by 0.01")
    assert (claim.left.name, claim.left.values) == ("mvmae", {"pairing": "same_study"})
    assert (claim.relation, claim.right.name) == (">", "mae")
    assert (claim.metric, claim.label, claim.fraction, claim.margin) == ("macro_auroc", "", 0.01, 0.01)


@pytest.mark.parametrize(
    ("text", "relation", "metric", "label", "fraction", "margin"),
    [
        ("a < b on knn_macro_auroc", "<", "knn_macro_auroc", "", None, None),
        ("a = b on macro_auroc within 0.02", "=", "macro_auroc", "", None, 0.02),
        ("a equals b on macro_auroc within 0.02 at label_fraction=1", "=", "macro_auroc", "", 1.0, 0.02),
        ("a > b on auroc[Pleural Effusion] by 0.05", ">", "auroc", "Pleural Effusion", None, 0.05),
    ],
)
def test_relations_metrics_and_clauses(
    text: str, relation: str, metric: str, label: str, fraction: float | None, margin: float | None
) -> None:
    claim = parse_claim(text)
    assert (claim.relation, claim.metric, claim.label) == (relation, metric, label)
    assert (claim.fraction, claim.margin) == (fraction, margin)


def test_names_may_hold_spaces_and_selectors_several_values() -> None:
    claim = parse_claim("MVMAE (structured) > mvmae[mask_ratio=0.5, weight=1] on macro_auroc")
    assert claim.left.name == "MVMAE (structured)"
    assert claim.right.values == {"mask_ratio": "0.5", "weight": "1"}
    assert find_row(claim, claim.right, GRID) is GRID[1]
    assert find_row(claim, claim.left, ROWS) is ROWS[4]


def test_every_row_is_found_by_what_it_is_called() -> None:
    for rows in (ROWS, GRID):
        for row in rows:
            other = next(r for r in rows if r is not row)
            claim = parse_claim(f"{selector_of(row)} > {selector_of(other)} on macro_auroc")
            assert find_row(claim, claim.left, rows) is row
            assert find_row(claim, claim.right, rows) is other


@pytest.mark.parametrize(
    ("text", "word", "told"),
    [
        ("mae beats mvmae on macro_auroc", "macro_auroc", "lacks a relation"),
        ("mae > mvmae", "mvmae", "lacks the word `on`"),
        ("> mae on macro_auroc", ">", "no row before '>'"),
        ("mae > on macro_auroc", "on", "no row before 'on'"),
        ("mae > mvmae on macro_aurok", "macro_aurok", "did you mean macro_auroc"),
        ("mae > mvmae on auroc", "auroc", "only auroc takes a label"),
        ("mae > mvmae on macro_auroc[Edema]", "macro_auroc[Edema]", "only auroc takes a label"),
        ("mae > mvmae on macro_auroc att label_fraction=1", "att", "did you mean at"),
        ("mae > mvmae on macro_auroc at labels=1", "labels", "cannot be chosen"),
        ("mae > mvmae on macro_auroc at label_fraction=2", "2", "no number from 0 to 1"),
        ("mae = mvmae on macro_auroc within 0", "0", "nothing is equal"),
        ("mae > mvmae on macro_auroc at label_fraction=0", "label_fraction=0", "no share"),
        ("mae > mvmae on macro_auroc by much", "much", "no number"),
        ("mae > mvmae on macro_auroc by 0.1 by 0.2", "by 0.2", "twice"),
        ("mae > mvmae on macro_auroc within 0.1", "within", "does not go with '>'"),
        ("mae = mvmae on macro_auroc by 0.1", "by", "does not go with '='"),
        ("mae > mvmae[pairing] on macro_auroc", "pairing", "not axis=value"),
        ("mae > mvmae[pairing=none on macro_auroc", "", "lacks the word `on`"),
    ],
)
def test_a_claim_that_does_not_parse_points_at_the_word(text: str, word: str, told: str) -> None:
    with pytest.raises(ClaimError) as caught:
        parse_claim(text)
    message = str(caught.value)
    assert told in message
    claim, marks = [line for line in message.splitlines() if line.startswith("     ")][:2]
    assert claim.strip() == text
    assert claim[marks.index("^") :].startswith(word)


def test_a_claim_ends_too_soon() -> None:
    for text in ("mae > mvmae on", "mae > mvmae on macro_auroc by", "", "  ", 7, None):
        with pytest.raises(ClaimError):
            parse_claim(text)


def test_a_row_that_is_not_there_names_the_nearest_and_one_of_several_all() -> None:
    with pytest.raises(ConfigError, match=r"no row 'mvmae\[pairing=same_studdy\]'(.|\n)*mvmae\[pairing=same_study\]"):
        check_claim("mvmae[pairing=same_studdy] > mae on macro_auroc", ROWS)
    with pytest.raises(ConfigError, match=r"could be 5 rows(.|\n)*mvmae\[pairing=random\]"):
        check_claim("mvmae > mae on macro_auroc", ROWS)
    with pytest.raises(ConfigError, match="both rows are the same"):
        check_claim("mae > mae on macro_auroc", ROWS)


def test_a_sweep_refuses_a_claim_about_a_row_that_it_does_not_train(tmp_path: Path) -> None:
    text = (ABLATIONS / "pairing.yaml").read_text().replace("mvmae[pairing=random]", "mvmae[pairing=randon]")
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(ClaimError, match=r"ablation mine, claims: there is no row(.|\n)*pairing=random"):
        make_plan("mine", [], "demo", tmp_path)


def test_shipped_claims_are_about_rows_that_are_there_at_full_size() -> None:
    plans = {name: make_plan(name, ["preset=paper"], "paper") for name in available()}
    assert sum(len(plan.ablation.claims) for plan in plans.values()) >= 10
    assert all(plans[name].ablation.claims for name in ("pairing", "baselines", "alignment_weight"))
