"""Curation as part of a trial: its id, whom it trains on, interruptions, several processes, and what is refused."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core.compose import compose, to_trial
from core.config import TrialConfig
from core.curation.base import CURATIONS, Curated, CurationContext
from core.curation.choose import CURATED, choose_studies
from core.curation.files import write_embeddings
from core.curation.kinds.metadata import GROUPS, MetadataConfig, MetadataCuration
from core.data.store import StudyStore
from core.data.types import Floats
from core.errors import ConfigError, DataError
from core.identity import result_config, trial_id
from core.io import read_json, sha256_file
from core.measures.base import MEASURES
from core.trainer import MODEL_FILE, Run, never, train
from tests.core.conftest import in_process
from tests.core.data.tables import make_table, random_table
from tests.core.engines.ranks import on_two, train_there
from tests.core.test_trainer import train_until

Trial = Callable[..., TrialConfig]
Built = tuple[Path, StudyStore]
TREE = ("curation=tree", "curation.levels=[8,3]", "curation.epochs=1", "curation.keep=0.5", "batches=stratified")


def config(*overrides: str) -> TrialConfig:
    return to_trial(compose(list(overrides)))


def no_encoder(_: int) -> Floats:
    raise AssertionError("no encoder is needed")


def chosen(table, embed=no_encoder, *overrides: str, folder: Path = Path("."), seed: int = 0) -> Curated:  # type: ignore[no-untyped-def]
    curation = CURATIONS.build(config(*overrides).curation)
    found: Curated = curation.choose(CurationContext(table, seed, folder, embed))
    return found


def test_only_trials_that_curate_have_other_ids(tmp_path: Path) -> None:
    plain = config()
    assert not {"curation", "batches"} & result_config(plain).keys()
    assert trial_id(config("curation=none", "batches=random", "curation.keep=1")) == trial_id(plain)
    variants = [
        ("curation.keep=0.5",),
        ("curation=metadata",),
        ("curation=metadata", "curation.by=site"),
        ("curation=metadata", "batches=stratified"),
        ("curation=tree",),
        ("curation=tree", "batches=stratified"),
        ("curation=tree", "batches=stratified", "batches.level=1"),
        ("curation=tree", "curation.levels=[64,9]"),
        ("curation=tree", "curation.epochs=3"),
    ]
    assert len({trial_id(plain), *(trial_id(config(*v)) for v in variants)}) == len(variants) + 1
    # Given embeddings count by what they are, not by where they lie.
    for name, value in (("a", 1.0), ("b", 1.0), ("c", 2.0)):
        write_embeddings(tmp_path / f"{name}.parquet", np.array(["s"]), np.full((1, 2), value, np.float32))
    ids = [trial_id(config("curation=tree", f"curation.embeddings={tmp_path}/{n}.parquet")) for n in "abc"]
    assert ids[0] == ids[1] != ids[2]
    with pytest.raises(DataError, match=r"d.parquet does not exist"):
        trial_id(config("curation=tree", f"curation.embeddings={tmp_path}/d.parquet"))


def test_without_curation_a_share_is_drawn_at_random() -> None:
    table = random_table(0)
    found = chosen(table, no_encoder, "curation.keep=0.25")
    assert found.studies.sum() == round(0.25 * table.n_studies)
    assert not np.array_equal(found.studies, chosen(table, no_encoder, "curation.keep=0.25", seed=1).studies)
    assert len(found.clusters) == 0


def test_metadata_draws_rare_groups_more_often() -> None:
    """Each draw takes a group in proportion to its size times (largest / own size): every group alike."""
    labels = np.zeros((400, 2), np.float32)
    labels[380:, 0] = 1
    labels[395:, 1] = np.nan  # no finding of its own
    table = make_table([(f"p{n}", "f") for n in range(400)], labels)
    counts, curation = Counter[bool](), MetadataCuration(MetadataConfig(keep=0.01))
    for seed in range(60):
        rows = np.flatnonzero(curation.choose(CurationContext(table, seed, Path("."), no_encoder)).studies)
        assert len(rows) == 4
        counts.update((rows >= 380).tolist())
    # 240 draws of two groups of 380 and 20: a half each but for the few that return is denied; by size it were 12.
    assert 85 < counts[True] < 140
    assert chosen(table, no_encoder, "curation=metadata").clusters.tolist() == [[0] * 380 + [1] * 20]


def test_groups_are_told_apart_by_labels_sites_and_views() -> None:
    labels = np.array([[1, 0], [1, -1], [0, 1], [np.nan, np.nan]], np.float32)
    table = make_table([("a", "fl"), ("b", "lf"), ("c", "f"), ("d", "ffl")], labels)
    expected = {"labels": [0, 0, 1, 2], "site": [0, 0, 0, 0], "views": [0, 0, 1, 2]}
    for name, groups in expected.items():
        found = GROUPS[name](table)
        pairs = {(int(f), g) for f, g in zip(found, groups, strict=True)}
        assert len(pairs) == len(set(found.tolist())) == len(set(groups)), name


def test_the_tree_takes_a_rare_kind_of_study_in(tmp_path: Path) -> None:
    table = random_table(0)
    rng = np.random.default_rng(0)
    rare = np.arange(table.n_studies) % 12 == 0
    embeddings = (rng.normal(size=(table.n_studies, 6)) + 20 * rare[:, None]).astype(np.float32)
    asked = []

    def embed(epochs: int) -> Floats:
        asked.append(epochs)
        return embeddings

    settings = ("curation=tree", "curation.levels=[20,2]", "curation.keep=0.2", "curation.epochs=7")
    found = chosen(table, embed, *settings, folder=tmp_path / "a")
    assert asked == [7]
    assert found.studies.sum() == round(0.2 * table.n_studies)
    assert found.studies[rare].mean() > 0.9 > 0.3 > found.studies[~rare].mean()
    assert found.clusters.shape == (2, table.n_studies)
    # The same embeddings as a table, in another order, with rows of other studies.
    rows = rng.permutation(table.n_studies + 3)
    ids = np.concatenate([table.study_ids, ["x", "y", "z"]])
    wider = np.concatenate([embeddings, np.zeros((3, 6), np.float32)])
    write_embeddings(tmp_path / "e.parquet", ids[rows], wider[rows])
    given = (*settings, f"curation.embeddings={tmp_path}/e.parquet")
    again = chosen(table, no_encoder, *given, folder=tmp_path / "b")
    assert Counter(again.studies[rare].tolist()) == Counter(found.studies[rare].tolist())
    write_embeddings(tmp_path / "e.parquet", ids[5:], wider[5:])
    with pytest.raises(DataError, match=r"no embedding of 5 training studies, such as s0"):
        chosen(table, no_encoder, *given, folder=tmp_path / "c")


@pytest.fixture(scope="module")
def curated(built: Built, trial: Trial, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("curated")
    train(trial(*TREE, "train.epochs=2"), built[1], folder)
    return folder


def test_a_trial_trains_on_what_was_chosen(built: Built, trial: Trial, curated: Path) -> None:
    setup, table = trial(*TREE, "train.epochs=2"), built[1].splits["train"]
    found = choose_studies(setup, built[1], curated / "curation", None, never)
    assert found.studies.sum() == round(0.5 * table.n_studies)
    run = Run(setup, built[1], curated, found)
    shown = list(run.loader.batches(0, run.plan.total))
    ids = {name for batch in shown for name in run.loader.study_ids(batch)}
    assert ids <= set(table.study_ids[found.studies].tolist())
    coarse = dict(zip(table.study_ids.tolist(), found.clusters[-1].tolist(), strict=True))
    groups = len(set(found.clusters[-1][found.studies].tolist()))
    for batch in shown:
        drawn = Counter(coarse[name] for name in run.loader.study_ids(batch))
        assert len(drawn) == groups
        assert max(drawn.values()) - min(drawn.values()) <= 1
    # As long as a trial on everything; what curation took is told.
    assert read_json(curated / "cost.json")["steps"] == 2 * (table.n_studies // 8)
    assert read_json(curated / "cost.json")["curation_seconds"] > 0
    assert not (curated / "curation" / "encoder").exists()
    # Nothing of the patients but the ids of their studies.
    frame = pd.read_parquet(curated / "curation" / CURATED)
    assert list(frame.columns) == ["study_id", "kept", "level_1", "level_2"]


def test_killed_while_it_curates_and_while_it_trains_it_ends_with_the_same_bytes(
    built: Built, trial: Trial, tmp_path: Path, curated: Path
) -> None:
    overrides = (*TREE, "train.epochs=2")
    # In the encoder's third step, after its first checkpoint; then, as that is behind it, in the trial's first.
    for last, is_curated in ((3, False), (1, True)):
        assert in_process(train_until, built[0], overrides, tmp_path, last) == -signal.SIGKILL
        assert (tmp_path / "curation" / CURATED).exists() == is_curated
    train(trial(*overrides), built[1], tmp_path)
    assert sha256_file(tmp_path / MODEL_FILE) == sha256_file(curated / MODEL_FILE)
    assert sha256_file(tmp_path / "curation" / CURATED) == sha256_file(curated / "curation" / CURATED)


def test_two_processes_train_on_the_same_studies(built: Built, tmp_path: Path, curated: Path) -> None:
    on_two((train_there, (built[0], (*TREE, "train.epochs=2"), tmp_path)))
    assert sha256_file(tmp_path / "curation" / CURATED) == sha256_file(curated / "curation" / CURATED)
    assert (tmp_path / MODEL_FILE).exists()


def test_the_work_of_the_encoder_is_counted() -> None:
    def images(*overrides: str) -> float:
        setup = config(*overrides, "train.epochs=8")
        return float(MEASURES.build(setup.measure).images(setup, 100.0, 60.0))

    assert images() == images("curation=metadata") == 800
    assert images("curation=tree", "curation.epochs=3") == 1100
    assert images("curation=tree", "curation.embeddings=e.parquet") == 800


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("curation.keep=0",), r"curation.keep=0.0 is outside"),
        (("curation=metadata", "curation.by=age"), "curation.by=age is not a choice"),
        (("curation=tree", "curation.levels=[8,80]"), r"levels=\[8, 80\] do not fall"),
        (("curation=tree", "curation.draw=farthest"), "curation.draw=farthest is not a choice"),
        (
            ("curation=tree", "measure=throughput", "runtime.processes=1", "runtime.nodes=1"),
            "curation=tree curation.keep=0.1 with measure=throughput",
        ),
    ],
)
def test_settings_that_cannot_be(overrides: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config(*overrides)


def test_more_clusters_than_studies_and_collapsed_embeddings_are_refused(tmp_path: Path) -> None:
    table = random_table(0)
    embeddings = np.random.default_rng(0).normal(size=(table.n_studies, 4)).astype(np.float32)
    with pytest.raises(ConfigError, match=r"level 1 has 9000 clusters, and there are only"):
        chosen(table, lambda _: embeddings, "curation=tree", "curation.levels=[9000,3]", folder=tmp_path)
    with pytest.raises(DataError, match=r"curation's encoder: all \d+ embeddings are the same"):
        chosen(table, lambda _: np.ones((table.n_studies, 4), np.float32), "curation=tree", folder=tmp_path)
