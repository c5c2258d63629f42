"""Several data sets as one: ids, sites, labels that a member lacks, members that share films."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from core.compose import compose, to_trial, trial_from_dict, trial_to_dict
from core.data.build import data_key, prepare
from core.data.labels import UNKNOWN
from core.data.manifest import label_columns, validate
from core.data.readers.base import READERS
from core.data.readers.pool import SAME_FILMS, Pool, PoolConfig
from core.data.regions import read_regions
from core.data.types import SPLITS
from core.errors import ConfigError, DataError
from core.evaluation.metrics import apply_policy
from tests.core.data.files import FIELDS, film_rows, write_csv, write_films
from tests.core.data.readers.layouts import write_nih, write_openi, write_vindr


@pytest.fixture
def members(tmp_path: Path) -> dict[str, Any]:
    """Three members: two public sets, and a hospital's own films under another name than their reader's."""
    csv = write_films(tmp_path / "own", patients=10)
    return {
        "vindr": {"root": str(write_vindr(tmp_path / "vindr"))},
        "openi": {"root": str(write_openi(tmp_path / "openi"))},
        "hill": {"name": "folder", "csv": str(csv)},
    }


def read(members: dict[str, Any], folder: Path, **settings: Any) -> pd.DataFrame:
    return validate(Pool(PoolConfig(members=members, **settings)).manifest(folder / "source"))


def alone(site: str, given: dict[str, Any], folder: Path) -> pd.DataFrame:
    entry = READERS.get(given.get("name", site))
    settings = {key: value for key, value in given.items() if key != "name"}
    found: pd.DataFrame = entry.build(entry.config(**settings)).manifest(folder / "alone" / site / "source")  # type: ignore[call-arg]
    return found


def test_each_member_is_as_it_would_be_alone(members: dict[str, Any], tmp_path: Path) -> None:
    pooled = read(members, tmp_path)
    assert pooled["site"].value_counts().to_dict() == {"hill": len(film_rows(10)), "openi": 20, "vindr": 15}
    for site, given in members.items():
        own = alone(site, given, tmp_path)
        part = pooled[pooled["site"] == site].reset_index(drop=True)
        assert part["image_id"].tolist() == [f"{site}:{name}" for name in own["image_id"]]
        assert part["path"].tolist() == own["path"].tolist()
        assert part["split"].tolist() == own["split"].tolist()
        labels = label_columns(own)
        pd.testing.assert_frame_equal(part[labels], own[labels])
        others = [name for name in label_columns(pooled) if name not in labels]
        assert others
        assert (part[others] == UNKNOWN).all(axis=None)


def test_shared_labels_are_one_column(members: dict[str, Any], tmp_path: Path) -> None:
    pooled = read(members, tmp_path)
    effusion = pooled.groupby("site")["Pleural Effusion"].apply(lambda column: (column != UNKNOWN).any())
    assert effusion.to_dict() == {"hill": False, "openi": True, "vindr": True}


def test_regions_are_pooled(members: dict[str, Any], tmp_path: Path) -> None:
    pooled, regions = read(members, tmp_path), read_regions(tmp_path)
    own = read_regions(tmp_path / "source" / "vindr")
    assert regions["image_id"].tolist() == [f"vindr:{name}" for name in own["image_id"]]
    assert set(regions["image_id"]) <= set(pooled["image_id"])


def test_a_member_that_is_held_out_is_all_test(members: dict[str, Any], tmp_path: Path) -> None:
    pooled = read(members, tmp_path, held_out=["openi"])
    assert set(pooled.loc[pooled["site"] == "openi", "split"]) == {"test"}
    assert set(pooled.loc[pooled["site"] == "vindr", "split"]) == set(SPLITS)


def test_what_a_member_does_not_know_is_negative_under_no_policy(tmp_path: Path) -> None:
    """Films that nobody has labelled beside others of which reports mention some labels: zeros is about the latter."""
    write_films(tmp_path / "told", patients=10)
    bare = write_films(tmp_path / "bare", patients=10)
    write_csv(bare, [[*row[:4], ""] for row in film_rows(10)], [*FIELDS[:4], "finding"])
    members = {name: {"name": "folder", "csv": str(tmp_path / name / "films.csv")} for name in ("told", "bare")}
    store = prepare(PoolConfig(members=members, size=16), tmp_path / "out", workers=1)
    for table in store.splits.values():
        known = apply_policy(table.labels, "zeros")
        assert np.isnan(known[table.sites == "bare"]).all()
        assert not np.isnan(known[table.sites == "told"]).any()


def test_reports_come_from_the_members_that_have_them(members: dict[str, Any], tmp_path: Path) -> None:
    pooled = read({name: members[name] for name in ("vindr", "openi")}, tmp_path, reports=True)
    assert set(pooled.loc[pooled["site"] == "openi", "report"]) == {"normal"}
    assert set(pooled.loc[pooled["site"] == "vindr", "report"]) == {""}
    # The films' table has no column of reports, and is asked for it unless it is told that there are none.
    with pytest.raises(DataError, match="no column 'report'"):
        read(members, tmp_path, reports=True)
    hill = {**members["hill"], "reports": False}
    assert "report" in read({**members, "hill": hill}, tmp_path, reports=True).columns


def test_a_pool_without_any_report_says_so(members: dict[str, Any], tmp_path: Path) -> None:
    hill = {**members["hill"], "reports": False}
    config = PoolConfig(members={"vindr": members["vindr"], "hill": hill}, size=16, reports=True)
    with pytest.raises(DataError, match=r"no reports are read of folder, vindr"):
        prepare(config, tmp_path / "out", workers=1)


def test_a_pool_is_built_and_keeps_its_sites(members: dict[str, Any], tmp_path: Path) -> None:
    config = PoolConfig(members=members, size=16)
    store = prepare(config, tmp_path / "out", workers=1)
    assert sum(store.splits[split].n_images for split in SPLITS) == len(film_rows(10)) + 20 + 15
    assert set(np.concatenate([store.splits[split].sites for split in SPLITS])) == set(members)


def test_identity_follows_members_and_not_their_order_or_place(members: dict[str, Any], tmp_path: Path) -> None:
    key = data_key(PoolConfig(members=members))
    assert data_key(PoolConfig(members=dict(reversed(members.items())))) == key
    moved = shutil.copytree(tmp_path / "openi", tmp_path / "moved")
    assert data_key(PoolConfig(members={**members, "openi": {"root": str(moved)}})) == key
    assert data_key(PoolConfig(members=members, held_out=["hill"])) != key
    assert data_key(PoolConfig(members={**members, "vindr": {**members["vindr"], "agree": 3}})) != key
    assert data_key(PoolConfig(members={**members, "hill": {**members["hill"], "split_seed": 1}})) != key
    assert data_key(PoolConfig(members=members, split_seed=1)) != key


def test_sites_of_a_member_stand_behind_its_name(tmp_path: Path, members: dict[str, Any]) -> None:
    csv = Path(members["hill"]["csv"])
    table = pd.read_csv(csv)
    table.assign(site=np.where(table["patient_id"] < "p005", "ward", "")).to_csv(csv, index=False)
    assert set(read(members, tmp_path)["site"]) == {"hill", "hill/ward", "openi", "vindr"}


def test_films_that_two_sets_share_are_not_pooled(tmp_path: Path) -> None:
    """A patient of ChestX-ray14 could otherwise stand in one's train and the other's test split."""
    root = str(write_nih(tmp_path))
    for first, second in (("nih", "rsna"), ("nih", "siim"), ("rsna", "siim")):
        assert {first, second} <= set(SAME_FILMS)
        with pytest.raises(ConfigError, match=f"{first} and {second} hold films of the same patients"):
            PoolConfig(members={first: {"root": root}, second: {"root": root}})
    with pytest.raises(ConfigError, match="a and b hold films of the same patients"):
        PoolConfig(members={"a": {"name": "nih"}, "b": {"name": "nih"}})


def test_members_are_settings_on_the_command_line() -> None:
    words = [
        "data=pool",
        "data.members.nih.root=/datasets/nih",
        "data.members.hill.name=folder",
        "data.members.hill.csv=/h.csv",
    ]
    trial = to_trial(compose(words))
    assert trial.data.members == {"nih": {"root": "/datasets/nih"}, "hill": {"name": "folder", "csv": "/h.csv"}}
    assert trial.data.configs()["hill"].csv == "/h.csv"
    assert trial_from_dict(trial_to_dict(trial)) == trial


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["data.members.nhi.root=/x"], r"data.members.nhi: there is no data set 'nhi'\n.*did you mean nih"),
        (["data.members.pool.members=1"], r"there is no data set 'pool'"),
        (["data.members.nih.rot=/x"], r"data.members.nih: there is no setting 'rot'\n.*did you mean root"),
        (["data.members.nih=/x"], r"data.members.nih=/x is no mapping"),
        (["data.members.phantom.patients=some"], r"data.members.phantom: .*could not be converted to Integer"),
        (["data.members.nih.root=/x", "data.held_out=[vindr]"], r"data.held_out=vindr is not a choice"),
        (["data.members.nih.root=/x", "data.held_out=[nih]"], r"names every member"),
        (["data.membrs.nih.root=/x"], r"there is no key 'data.membrs.nih.root'"),
    ],
)
def test_a_slip_is_answered_with_the_nearest_right_word(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        to_trial(compose(["data=pool", *words]))


def test_a_pool_of_one_is_none() -> None:
    with pytest.raises(ConfigError, match=r"fewer than two data sets"):
        Pool(PoolConfig(members={"nih": {"root": "/x"}})).identity()
