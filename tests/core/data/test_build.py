"""Building: what is written, that it is the same every time, and what happens when something goes wrong."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import webdataset

from core.data.build import build, data_key, prepare
from core.data.pixels import load_pixels
from core.data.store import open_store, read_index
from core.data.types import SPLITS
from core.errors import DataError
from tests.core.data.conftest import SIZE, films_config
from tests.core.data.files import FIELDS, film_rows, write_csv, write_films, write_png

CHECKOUT = Path(__file__).resolve().parents[3]


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of a built data set."""
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir()) if p.is_file()}


def script(code: str, *arguments: object) -> list[str]:
    return [sys.executable, "-c", code, *map(str, arguments)]


def test_every_picture_and_label_arrives(films: Path, pristine: Path) -> None:
    store = open_store(pristine, deep=True)
    rows = pd.DataFrame(film_rows(30), columns=list(FIELDS))
    assert sum(t.n_images for t in store.splits.values()) == len(rows)
    for table in store.splits.values():
        pixels = table.pixels.read(np.arange(table.n_images))
        for row, image_id in enumerate(table.image_ids):
            np.testing.assert_array_equal(pixels[row], load_pixels(films.parent / str(image_id), SIZE, "pad"))
        for study, name in enumerate(table.study_ids):
            source = rows[rows["study_id"] == name]
            assert list(table.image_ids[table.start[study] : table.start[study + 1]]) == list(source["path"])
            assert table.labels[study].tolist() == source[["Edema", "Fracture"]].iloc[0].tolist()
            assert table.patient_ids[study] == source["patient_id"].iloc[0]
            views = table.view[table.start[study] : table.start[study + 1]]
            assert views.tolist() == [0 if v == "PA" else 1 for v in source["view"]]


def test_webdataset_reads_the_shards(pristine: Path) -> None:
    index = read_index(pristine)
    seen = {}
    for shard in index["shards"]:
        with tarfile.open(pristine / shard["file"]) as tar:
            assert all(m.mtime == 0 and m.uid == 0 and m.uname == "" for m in tar.getmembers())
        dataset = webdataset.WebDataset(str(pristine / shard["file"]), shardshuffle=False).decode()
        for sample in dataset:
            meta, images = sample["meta.json"], sample["images.npy"]
            assert images.dtype == np.uint8
            assert images.shape == (len(meta["image_ids"]), SIZE, SIZE)
            seen[meta["study_id"]] = images
    assert len(seen) == 60
    table = open_store(pristine).splits["test"]
    np.testing.assert_array_equal(seen[str(table.study_ids[0])], table.pixels.read(np.arange(table.start[1])))


def test_the_same_bytes_for_any_number_of_workers_and_any_place(films: Path, pristine: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(films.parent, moved)
    config = films_config(moved / films.name)
    prepare(config, tmp_path, workers=3)
    assert data_key(config) == data_key(films_config(films)) == pristine.name
    assert digests(tmp_path / "data" / data_key(config)) == digests(pristine)


def test_the_key_follows_what_changes_the_pictures(films: Path) -> None:
    base = films_config(films)
    changes = [
        {"size": 32},
        {"resize": "crop"},
        {"tone": "minmax"},
        {"borders": "crop"},
        {"labels": ["Edema"]},
        {"split_seed": 1},
        {"test_fraction": 0.3},
    ]
    keys = {data_key(films_config(films, **change)) for change in [{}, *changes]}  # type: ignore[arg-type]
    assert len(keys) == len(changes) + 1
    assert data_key(films_config(films, max_quarantine=0.5)) == data_key(base)


def test_the_index_counts(pristine: Path) -> None:
    index, store = read_index(pristine), open_store(pristine)
    for split in SPLITS:
        table = store.splits[split]
        assert index["splits"][split] == {
            "studies": table.n_studies,
            "images": table.n_images,
            "patients": len(set(table.patient_ids)),
        }
    assert sum(s["studies"] for s in index["splits"].values()) == 60
    patients = [set(store.splits[split].patient_ids) for split in SPLITS]
    assert len(set.union(*patients)) == sum(map(len, patients)) == 30
    assert all(shard["studies"] <= 8 for shard in index["shards"])


KILLED = """
import sys, time
from pathlib import Path
import core.data.packing as packing
from core.data.build import prepare
from core.data.readers.folder import FolderConfig
quick = packing.load_picture
def slow(*arguments):
    time.sleep(0.02)
    with open(sys.argv[2] + "/calls", "a") as calls:
        calls.write(".")
    return quick(*arguments)
packing.load_picture = slow
prepare(FolderConfig(csv=sys.argv[1], size=16, studies_per_shard=8), Path(sys.argv[2]), workers=1)
"""


def test_a_build_that_is_killed_goes_on_with_what_it_finished(films: Path, pristine: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(script(KILLED, films, tmp_path), cwd=CHECKOUT)
    folder = tmp_path / "data" / pristine.name
    deadline = time.monotonic() + 60
    while len(list(folder.glob("*.json"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (folder / "index.json").exists()
    finished = {p.stem: p.with_suffix(".tar").stat().st_mtime_ns for p in folder.glob("*.json")}
    assert 2 <= len(finished) < 8
    prepare(films_config(films), tmp_path, workers=1)
    assert {name: (folder / f"{name}.tar").stat().st_mtime_ns for name in finished} == finished
    left = {p.name for p in folder.iterdir() if p.name.endswith(".tmp")}
    shown = {name: digest for name, digest in digests(folder).items() if name not in left}
    assert shown == digests(pristine)


def test_two_processes_that_build_the_same_data_set(films: Path, pristine: Path, tmp_path: Path) -> None:
    processes = [
        subprocess.Popen(script(KILLED, films, tmp_path), cwd=CHECKOUT, stderr=subprocess.PIPE) for _ in range(2)
    ]
    errors = [process.communicate()[1].decode() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert sum("another process is building" in error for error in errors) == 1
    assert len((tmp_path / "calls").read_text()) == len(film_rows(30))  # each image was loaded once
    assert digests(tmp_path / "data" / pristine.name) == digests(pristine)


ORPHANED = """
import multiprocessing, os, time
from concurrent.futures import ProcessPoolExecutor
from core.workers import die_with_parent
if __name__ == "__main__":
    context = multiprocessing.get_context("forkserver")
    pool = ProcessPoolExecutor(1, mp_context=context, initializer=die_with_parent)
    print(pool.submit(os.getpid).result(), flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="reads /proc")
def test_workers_end_with_the_process_that_started_them() -> None:
    process = subprocess.Popen(script(ORPHANED), cwd=CHECKOUT, stdout=subprocess.PIPE)
    assert process.stdout is not None
    worker = int(process.stdout.readline())
    os.kill(worker, 0)
    process.kill()
    process.wait()
    process.stdout.close()
    deadline = time.monotonic() + 30
    while alive(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(worker)


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits for its parent to notice does not."""
    try:
        return "(zombie)" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def write_bad_films(folder: Path, bad: list[int]) -> Path:
    """Films of 30 patients of which the rows `bad` are cut short."""
    csv = write_films(folder, patients=30)
    for row in bad:
        path = folder / str(film_rows(30)[row][0])
        path.write_bytes(path.read_bytes()[:100])
    return csv


def test_an_unreadable_image_goes_to_quarantine(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    csv = write_bad_films(tmp_path, [0, 1])  # both images of study s0000
    store = prepare(films_config(csv), tmp_path, workers=1)
    folder = next((tmp_path / "data").iterdir())
    table = pd.read_csv(folder / "quarantine.csv")
    assert sorted(table["image_id"]) == ["films/s0000_0.png", "films/s0000_1.png"]
    assert set(table["reason"]) == {"the picture is cut short or damaged (OSError)"}
    assert "2 images could not be read" in caplog.text
    assert "1 studies have no readable image and were left out: s0000" in caplog.text
    index = read_index(folder)
    assert (index["quarantined"], index["studies_without_images"]) == (2, ["s0000"])
    assert "s0000" not in {str(s) for t in store.splits.values() for s in t.study_ids}
    assert sum(t.n_studies for t in store.splits.values()) == 59
    for table in store.splits.values():
        for row, image_id in enumerate(table.image_ids):
            expected = load_pixels(tmp_path / str(image_id), SIZE, "pad")
            np.testing.assert_array_equal(table.pixels.read(np.array([row]))[0], expected)


def test_too_many_unreadable_images_fail_and_what_is_done_is_kept(tmp_path: Path) -> None:
    bad = list(range(0, 12, 2))
    csv = write_bad_films(tmp_path, bad)
    with pytest.raises(
        DataError, match=r"of 120 images could not be read, more than data.max_quarantine=0.02"
    ) as caught:
        prepare(films_config(csv), tmp_path, workers=1)
    assert "quarantine.csv" in caught.value.hint
    folder = next((tmp_path / "data").iterdir())
    assert len(pd.read_csv(folder / "quarantine.csv")) >= 3
    assert not (folder / "index.json").exists()
    for row in bad:
        write_png(tmp_path / str(film_rows(30)[row][0]), row)
    prepare(films_config(csv), tmp_path, workers=1)
    assert len(pd.read_csv(folder / "quarantine.csv")) == 0


def test_a_split_that_loses_all_its_images(tmp_path: Path) -> None:
    rows = [[*row, {"p000": "test", "p001": "validate"}.get(str(row[1]), "train")] for row in film_rows(30)]
    csv = write_bad_films(tmp_path, [i for i, row in enumerate(rows) if row[6] == "test"])
    write_csv(csv, rows, [*FIELDS, "split"])
    with pytest.raises(DataError, match=r"no study with a readable image is in split test"):
        prepare(films_config(csv, max_quarantine=0.5), tmp_path, workers=1)


def test_pictures_in_two_splits_and_labels_of_one_class_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    splits = {"p000": "test", "p001": "validate"}
    rows = [[*row[:4], 1, row[5], splits.get(str(row[1]), "train")] for row in film_rows(12)]
    csv = write_csv(write_films(tmp_path, 12), rows, [*FIELDS, "split"])
    shutil.copy(tmp_path / str(rows[0][0]), tmp_path / str(rows[-1][0]))
    prepare(films_config(csv), tmp_path, workers=1)
    index = read_index(next((tmp_path / "data").iterdir()))
    assert index["duplicates_across_splits"] == [sorted([rows[0][0], rows[-1][0]])]
    assert "identical pictures in more than one split: 1 (" in caplog.text
    assert any(line.startswith("train") and "only positives of label Edema" in line for line in index["warnings"])


def test_a_full_disk_is_told_and_finished_shards_are_kept(
    films: Path, pristine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, real = [], os.fsync

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) > 4:
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match=r"the disk is full: .*\n.*free some space and run again"):
        prepare(films_config(films), tmp_path, workers=1)
    monkeypatch.undo()
    folder = tmp_path / "data" / pristine.name
    assert not list(folder.glob(".*.tmp"))
    finished = {p.stem: p.with_suffix(".tar").stat().st_mtime_ns for p in folder.glob("*.json")}
    assert len(finished) == 2
    prepare(films_config(films), tmp_path, workers=1)
    assert {name: (folder / f"{name}.tar").stat().st_mtime_ns for name in finished} == finished
    assert digests(folder) == digests(pristine)


@pytest.mark.parametrize("damage", ["truncated", "overwritten", "missing", "record"])
def test_building_again_mends_only_the_damaged_shard(films: Path, built: Path, pristine: Path, damage: str) -> None:
    shard = built / "train-000001.tar"
    before = {p.name: p.stat().st_mtime_ns for p in built.glob("*.tar")}
    whole = shard.read_bytes()
    if damage == "truncated":
        shard.write_bytes(whole[:-512])
    elif damage == "overwritten":
        shard.write_bytes(whole[:3000] + b"\1" + whole[3001:])
    elif damage == "missing":
        shard.unlink()
    else:
        shard.with_suffix(".json").write_text("{")
    build(films_config(films), built.parents[1], workers=1)
    assert digests(built) == digests(pristine)
    after = {p.name: p.stat().st_mtime_ns for p in built.glob("*.tar")}
    assert {name for name in before if before[name] != after[name]} == {shard.name}


def test_meta_holds_what_the_manifest_declares_and_no_more(pristine: Path) -> None:
    with tarfile.open(pristine / "train-000000.tar") as tar:
        handle = tar.extractfile(tar.getmembers()[1])
        assert handle is not None
        meta = json.load(handle)
    assert sorted(meta) == ["image_ids", "labels", "patient_id", "study_id", "views"]
