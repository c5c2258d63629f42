"""A planted patch is segmented from tokens that show it and not from tokens that do not; Dice and IoU are right."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import f1_score, jaccard_score

from core.data.store import StudyStore
from core.errors import DataError
from core.evaluation.base import Evaluated, Skipped
from core.evaluation.decoders import segmentation_loss
from core.evaluation.kinds.segmentation import SegmentationConfig, overlap, segmentation
from tests.core.evaluation.conftest import LABELS
from tests.core.evaluation.spotted import TokenEncoder, spotted_context, spotted_store

QUICK = SegmentationConfig(epochs=20, batch_size=16, lr=3e-2)


@pytest.fixture(scope="module")
def spotted(tmp_path_factory: pytest.TempPathFactory) -> StudyStore:
    return spotted_store(tmp_path_factory.mktemp("spotted"), train=40)


def scores(found: Evaluated | Skipped) -> dict[tuple[str, str], float]:
    assert isinstance(found, Evaluated)
    return {(m.metric, m.label): m.value for m in found.metrics}


def test_a_planted_patch_is_segmented_and_only_where_the_tokens_show_it(spotted: StudyStore) -> None:
    seen = scores(segmentation(QUICK, spotted_context(spotted, TokenEncoder())))
    blind = scores(segmentation(QUICK, spotted_context(spotted, TokenEncoder(blind=True))))
    assert {label for _, label in seen} == {*LABELS, ""}
    assert seen["dice_conv", ""] > 0.55
    # Patches of middling brightness are no linear function of their tokens, the brightest are.
    assert seen["dice_linear", LABELS[2]] > 0.55
    for metric in ("dice_linear", "dice_conv"):
        assert blind[metric, ""] < 0.25
    for metric in ("linear", "conv"):
        assert seen[f"iou_{metric}", ""] <= seen[f"dice_{metric}", ""]


def test_the_same_trial_gives_the_same_bytes_and_a_row_per_film_that_shows_a_label(spotted: StudyStore) -> None:
    config = SegmentationConfig(decoders=["linear"], epochs=2, labels=[LABELS[1]])
    first, second = (segmentation(config, spotted_context(spotted, TokenEncoder())) for _ in range(2))
    assert first.files == second.files
    units = pd.read_parquet(io.BytesIO(first.files["segmentation.parquet"]))
    table = spotted.splits["test"]
    shown = np.repeat(table.labels[:, 1] == 1, np.diff(table.start)).sum()
    assert len(units) == 2 * shown
    means = units.groupby("metric")["value"].mean()
    assert scores(first)["dice_linear", LABELS[1]] == pytest.approx(means["dice_linear"], rel=1e-5)
    assert set(units["patient_id"]) <= set(table.patient_ids)


def test_dice_and_iou_are_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    inside, truth = rng.random((6, 9, 9)) < 0.4, rng.random((6, 9, 9)) < 0.5
    inside[0] = False
    dice, iou = overlap(inside, truth)
    for place in range(6):
        flat = truth[place].ravel(), inside[place].ravel()
        assert dice[place] == pytest.approx(f1_score(*flat), abs=1e-6)
        assert iou[place] == pytest.approx(jaccard_score(*flat), abs=1e-6)


def test_the_loss_is_what_its_formula_says_and_leaves_out_what_is_not_known() -> None:
    rng = np.random.default_rng(1)
    logits, truth = rng.normal(size=(3, 2, 4, 4)), (rng.random((3, 2, 4, 4)) < 0.4).astype(float)
    known = np.array([[1, 1], [1, 0], [0, 1]], float)
    chance = 1 / (1 + np.exp(-logits))
    entropies, dices = [], []
    for label in range(2):
        both = either = 0.0
        for image in range(3):
            if known[image, label]:
                p, t = chance[image, label], truth[image, label]
                entropies.append(-(t * np.log(p) + (1 - t) * np.log(1 - p)).mean())
                both, either = both + (p * t).sum(), either + p.sum() + t.sum()
        dices.append(1 - (2 * both + 1) / (either + 1))
    given = (torch.from_numpy(array) for array in (logits, truth, known))
    assert segmentation_loss(*given).item() == pytest.approx(np.mean(entropies) + np.mean(dices), rel=1e-9)


def test_what_cannot_be_segmented_is_skipped_or_named(spotted: StudyStore, make, store) -> None:
    for reason, context in {
        "no patch tokens": make.context(store),
        "no masks": spotted_context(replace(spotted, folder=None), TokenEncoder()),
    }.items():
        outcome = segmentation(QUICK, context)
        assert isinstance(outcome, Skipped)
        assert reason in outcome.reason
    many = segmentation(SegmentationConfig(fewest=10_000), spotted_context(spotted, TokenEncoder()))
    assert isinstance(many, Skipped)
    with pytest.raises(DataError, match="did you mean Edema"):
        segmentation(SegmentationConfig(labels=["Edma"]), spotted_context(spotted, TokenEncoder()))


def test_no_more_training_images_than_asked_for(spotted: StudyStore) -> None:
    config = SegmentationConfig(decoders=["linear"], epochs=1, max_images=7, fewest=1)
    context = spotted_context(spotted, TokenEncoder())
    before = spotted.splits["train"].pixels.reads.sum()
    segmentation(config, context)
    assert spotted.splits["train"].pixels.reads.sum() - before == 7
