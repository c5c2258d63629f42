"""viewpair curate from end to end: on somebody's file, on a trained trial, and what it says of a wrong file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core.curation.balance import balances
from core.io import read_json
from viewpair import cli

SMALL = (
    "data.patients=30",
    "data.size=32",
    "model.width=32",
    "model.depth=1",
    "model.heads=2",
    "model.decoder_width=16",
    "train.epochs=1",
    "train.batch_size=8",
    "runtime.tensorboard=false",
    "runtime.threads=1",
)


def lopsided() -> np.ndarray:
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(3), (270, 24, 6))
    return (rng.normal(size=(300, 4)) + 30 * group[:, None]).astype(np.float32)


def folder_of(out: str) -> Path:
    return Path(out.strip().splitlines()[-1])


def test_a_matrix_is_curated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "x.npy", lopsided())
    words = ["curate", "--embeddings", str(tmp_path / "x.npy"), f"paths.root={tmp_path}", "curation.levels=[30,3]"]
    # Top clusters as they lie: resampling would divide the large group on this level too.
    words += ["curation.resample=[2,0]"]
    assert cli.main([*words, "curation.keep=0.06"]) == 0
    folder = folder_of(capsys.readouterr().out)
    clusters, subset = pd.read_parquet(folder / "clusters.parquet"), pd.read_parquet(folder / "subset.parquet")
    assert list(clusters.columns) == ["row", "level_1", "level_2", "distance", "kept"]
    # 18 points: six of each of the three groups.
    kept = subset["row"].astype(int).to_numpy()
    assert [((low <= kept) & (kept < high)).sum() for low, high in ((0, 270), (270, 294), (294, 300))] == [6, 6, 6]
    assert clusters.loc[clusters["kept"], "row"].tolist() == subset["row"].tolist()
    assert all((folder / f"balance.{kind}").stat().st_size > 1000 for kind in ("png", "pdf"))
    level = next(row for row in read_json(folder / "balance.json") if row["groups"] == "level_2")
    shares = np.array([270, 24, 6]) / 300
    assert level["evenness before"] == pytest.approx(-(shares * np.log(shares)).sum() / np.log(3))
    assert (level["largest before"], level["evenness after"]) == (pytest.approx(0.9), pytest.approx(1.0))
    # Another share of the same tree: the levels are not built again.
    built = (folder / "level_1.npz").stat().st_mtime_ns
    assert cli.main([*words, "curation.keep=0.5"]) == 0
    assert folder_of(capsys.readouterr().out) == folder
    assert (folder / "level_1.npz").stat().st_mtime_ns == built
    assert len(pd.read_parquet(folder / "subset.parquet")) == 150


def test_the_studies_of_a_trained_trial_are_curated_and_can_be_trained_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trial = [*SMALL, f"paths.root={tmp_path}"]
    assert cli.main(["curate", *trial]) == 2
    assert "is not trained" in capsys.readouterr().err
    assert cli.main(["train", *trial]) == 0
    (where,) = (tmp_path / "trials").iterdir()
    capsys.readouterr()
    tree = ["curation.levels=[6,2]", "curation.keep=0.5"]
    assert cli.main(["curate", *trial, *tree]) == 0
    folder = folder_of(capsys.readouterr().out)
    assert cli.main(["curate", "--trial", str(where), f"paths.root={tmp_path}", *tree]) == 0
    assert folder_of(capsys.readouterr().out) == folder
    names = {row["groups"] for row in read_json(folder / "balance.json")}
    assert names >= {"level_1", "level_2", "labels", "views"}
    ids = set(pd.read_parquet(folder / "subset.parquet")["study_id"])
    given = ["curation=tree", *tree, f"curation.embeddings={folder}/embeddings.parquet", "batches=stratified"]
    assert cli.main(["train", *trial, *given]) == 0
    curated = next((tmp_path / "trials").glob("*/curation/curated.parquet"))
    frame = pd.read_parquet(curated)
    assert frame["kept"].sum() == len(ids)
    assert set(frame["study_id"]) > ids


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--embeddings", "absent.npy"], "--embeddings absent.npy does not exist"),
        (["curation=metadata"], "viewpair curate builds a tree, and curation=metadata is none"),
        (["curation.levels=[a]"], "a level of 'a' clusters"),
    ],
)
def test_slips_are_told(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["curate", *words]) == 2
    assert message in capsys.readouterr().err


def test_balance_counts_groups_before_and_after() -> None:
    groups = np.array([0, 0, 0, 2, 2, 1])
    (found,) = balances({"site": groups}, np.array([0, 3, 5]))
    assert (found.before.tolist(), found.after.tolist()) == ([3, 1, 2], [1, 1, 1])
    assert found.row()["evenness after"] == pytest.approx(1)
    assert np.isnan(balances({"one": np.zeros(4, np.int64)}, np.array([1]))[0].row()["evenness before"])  # type: ignore[call-overload]
