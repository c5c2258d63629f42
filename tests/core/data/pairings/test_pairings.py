"""Every pairing strategy against its definition, checked study by study in plain Python."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from core.data.pairings.base import PAIRINGS, Pairs
from core.data.store import StudyTable
from core.errors import ConfigError
from tests.core.data.tables import make_table, random_table

SEEDS = range(5)


def draw(name: str, table: StudyTable, seed: int = 0, **settings: object) -> Pairs:
    entry = PAIRINGS.get(name)
    return entry.build(entry.config(**settings)).draw(table, np.random.default_rng(seed))  # type: ignore[call-arg]


def study_of(table: StudyTable, image: int) -> int:
    return int(np.searchsorted(table.start, image, side="right")) - 1


def views(table: StudyTable, study: int) -> list[int]:
    return list(table.view[table.start[study] : table.start[study + 1]])


@pytest.mark.parametrize("name", PAIRINGS.names())
@pytest.mark.parametrize("seed", SEEDS)
def test_what_holds_for_every_strategy(name: str, seed: int) -> None:
    table = random_table(seed)
    pairs = draw(name, table, seed)
    assert pairs.images.dtype == np.int64
    assert pairs.anchor.dtype == np.int64
    assert len(set(pairs.anchor.tolist())) == len(pairs.anchor) == len(pairs.images) == len(pairs.kind)
    assert (pairs.images[:, 0] >= 0).all()
    assert pairs.images.max() < table.n_images
    # An anchor's first image is its own, and a positive pair has two images.
    assert all(study_of(table, row[0]) == anchor for anchor, row in zip(pairs.anchor, pairs.images, strict=True))
    assert ((pairs.images >= 0).sum(axis=1)[pairs.aligned] >= 2).all()
    again = draw(name, table, seed)
    assert all(np.array_equal(a, b) for a, b in zip(vars(pairs).values(), vars(again).values(), strict=True))
    assert not np.array_equal(pairs.images, draw(name, table, seed + 100).images)


@pytest.mark.parametrize("seed", SEEDS)
def test_same_study_is_a_frontal_and_a_lateral_of_the_anchor(seed: int) -> None:
    table = random_table(seed)
    pairs = draw("same_study", table, seed)
    assert np.array_equal(pairs.anchor, np.arange(table.n_studies))
    for anchor, row, aligned in zip(pairs.anchor, pairs.images, pairs.aligned, strict=True):
        both = {0, 1} <= set(views(table, anchor))
        assert aligned == both == (row[1] >= 0)
        if both:
            assert table.view[row].tolist() == [0, 1]
            assert {study_of(table, image) for image in row} == {anchor}
    dropped = draw("same_study", table, seed, unpaired="drop")
    assert dropped.aligned.all()
    assert np.array_equal(dropped.anchor, pairs.anchor[pairs.aligned])


def test_same_study_draws_each_image_of_a_view_about_equally_often() -> None:
    table = make_table([("p0", "fffll")])
    drawn = Counter(tuple(draw("same_study", table, seed).images[0].tolist()) for seed in range(1200))
    assert len(drawn) == 6
    assert all(140 < count < 260 for count in drawn.values())  # 200 expected, +-4.6 standard deviations


@pytest.mark.parametrize("seed", SEEDS)
def test_none_and_random_show_the_images_of_same_study(seed: int) -> None:
    table = random_table(seed)
    same = draw("same_study", table, seed)
    none, other = draw("none", table, seed), draw("random", table, seed)
    assert np.array_equal(none.images, same.images)
    assert not none.aligned.any()
    assert sorted(other.images.ravel()) == sorted(same.images.ravel())
    assert np.array_equal(other.aligned, same.aligned)


@pytest.mark.parametrize("seed", SEEDS)
def test_random_never_pairs_a_patient_with_itself(seed: int) -> None:
    table = random_table(seed, patients=8)
    pairs = draw("random", table, seed)
    assert pairs.aligned.sum() > 3
    for anchor, row in zip(pairs.anchor[pairs.aligned], pairs.images[pairs.aligned], strict=True):
        assert table.view[row].tolist() == [0, 1]
        assert table.patient_ids[study_of(table, row[1])] != table.patient_ids[anchor]


def test_random_pairs_every_two_view_study_where_no_patient_owns_more_than_half() -> None:
    table = make_table([(f"p{i % 4}", "fl") for i in range(12)])
    assert all(draw("random", table, seed).aligned.all() for seed in range(200))


def test_random_reaches_every_other_patient() -> None:
    table = make_table([(f"p{i}", "fl") for i in range(6)])
    partners = Counter(int(draw("random", table, seed).images[0, 1]) for seed in range(1000))
    assert sorted(partners) == [3, 5, 7, 9, 11]
    assert all(130 < count < 270 for count in partners.values())  # 200 expected


def test_random_with_a_patient_that_owns_most_studies_leaves_the_rest_alone() -> None:
    table = make_table([("p0", "fl")] * 5 + [("p1", "fl")])
    pairs = draw("random", table)
    for anchor, row in zip(pairs.anchor[pairs.aligned], pairs.images[pairs.aligned], strict=True):
        assert table.patient_ids[study_of(table, row[1])] != table.patient_ids[anchor]
    only = draw("random", make_table([("p0", "fl"), ("p0", "fl")]))
    assert not only.aligned.any()
    assert (only.images[:, 1] == -1).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_same_patient_takes_the_other_view_from_another_visit(seed: int) -> None:
    table = random_table(seed)
    pairs = draw("same_patient", table, seed)
    assert np.array_equal(pairs.anchor, np.arange(table.n_studies))
    for anchor, row, kind in zip(pairs.anchor, pairs.images, pairs.kind, strict=True):
        mine = set(views(table, anchor))
        others = {
            v
            for s in range(table.n_studies)
            if s != anchor and table.patient_ids[s] == table.patient_ids[anchor]
            for v in views(table, s)
        }
        possible = (0 in mine and 1 in others) or (1 in mine and 0 in others)
        assert (kind == "frontal-lateral, same patient, other study") == possible
        if possible:
            partner = study_of(table, row[1])
            assert partner != anchor
            assert table.patient_ids[partner] == table.patient_ids[anchor]
            assert sorted(table.view[row].tolist()) == [0, 1]
        elif {0, 1} <= mine:
            assert kind == "frontal-lateral, same study"
            assert {study_of(table, image) for image in row} == {anchor}
        else:
            assert kind == "single view"
    dropped = draw("same_patient", table, seed, fallback="drop")
    assert set(dropped.kind) == {"frontal-lateral, same patient, other study"}


def test_same_patient_reaches_every_partner_and_both_own_views() -> None:
    table = make_table([("p0", "fl"), ("p1", "fl"), ("p0", "ffl"), ("p0", "l")])
    drawn = Counter(tuple(draw("same_patient", table, seed).images[0].tolist()) for seed in range(2000))
    # Own frontal 0 with laterals 6 and 7; own lateral 1 with frontals 4 and 5. Images 2, 3 are another patient's.
    assert sorted(drawn) == [(0, 6), (0, 7), (1, 4), (1, 5)]
    assert all(410 < count < 590 for count in drawn.values())  # 500 expected


@pytest.mark.parametrize("seed", SEEDS)
def test_same_study_any_shows_up_to_three_images_and_keeps_single_ones(seed: int) -> None:
    table = random_table(seed)
    pairs = draw("same_study_any", table, seed)
    for anchor, row, aligned, kind in zip(pairs.anchor, pairs.images, pairs.aligned, pairs.kind, strict=True):
        shown = row[row >= 0]
        assert len(set(shown.tolist())) == len(shown) == min(3, len(views(table, anchor)))
        assert {study_of(table, image) for image in shown} == {anchor}
        assert aligned == (len(shown) > 1)
        names = "-".join(("frontal", "lateral", "unknown")[v] for v in sorted(table.view[shown]))
        assert kind == (f"{names}, same study" if len(shown) > 1 else "single view")


def test_same_study_any_draws_every_subset() -> None:
    table = make_table([("p0", "fflu")])
    drawn = Counter(tuple(sorted(draw("same_study_any", table, s, images=2).images[0].tolist())) for s in range(900))
    assert len(drawn) == 6


@pytest.mark.parametrize("seed", SEEDS)
def test_same_view_augmented_shows_one_image_twice(seed: int) -> None:
    table = random_table(seed)
    pairs = draw("same_view_augmented", table, seed)
    assert np.array_equal(pairs.images[:, 0], pairs.images[:, 1])
    assert pairs.aligned.all()
    assert np.array_equal(pairs.anchor, np.arange(table.n_studies))


def test_wrong_settings_name_the_field() -> None:
    for name, settings in [
        ("same_study", {"unpaired": "kep"}),
        ("none", {"unpaired": ""}),
        ("random", {"unpaired": "no"}),
        ("same_patient", {"fallback": "same"}),
        ("same_study_any", {"images": 1}),
    ]:
        with pytest.raises(ConfigError, match=f"pairing.{next(iter(settings))}"):
            PAIRINGS.get(name).config(**settings)


def test_a_hundred_thousand_studies_are_drawn_at_once() -> None:
    table = make_table([(f"p{i // 3}", ("fl", "f", "ffl")[i % 3]) for i in range(100_000)])
    for name in PAIRINGS.names():
        assert len(draw(name, table).anchor) == 100_000
