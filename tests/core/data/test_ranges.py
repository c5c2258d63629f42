"""Building in ranges: the same bytes as one process leaves, in any order, killed, damaged or not."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from core.data.build import build_shards, data_folder, merge, prepare
from core.data.layout import Layout, cut, publish, read_layout
from core.errors import DataError
from tests.core.data.conftest import films_config
from tests.core.data.test_build import CHECKOUT, digests, script, write_bad_films


def published(csv: Path, root: Path, **settings: object) -> Layout:
    config = films_config(csv, **settings)
    return publish(config, data_folder(config, root))


def write(layout: Layout, names: list[str], workers: int = 1) -> list[str]:
    """Write a range as another process would, from what is on disk; the shards that it wrote."""
    again = read_layout(layout.config, layout.folder)
    return [plan.name for plan in build_shards(again, again.named(names), workers)]


@pytest.mark.parametrize("n", [1, 3, 100])
def test_ranges_in_any_order_leave_the_bytes_of_one_process(
    films: Path, pristine: Path, tmp_path: Path, n: int
) -> None:
    layout = published(films, tmp_path)
    ranges = cut(layout.plans, n)
    assert len(ranges) == min(n, len(layout.plans))
    assert [name for names in ranges for name in names] == [plan.name for plan in layout.plans]
    random.Random(n).shuffle(ranges)
    for names in ranges:
        assert write(layout, names) == names
    assert not layout.unfinished()
    assert not layout.indexed()
    merge(read_layout(layout.config, layout.folder))
    assert layout.indexed()
    assert digests(layout.folder) == digests(pristine)


def test_a_range_is_written_by_several_processes(films: Path, pristine: Path, tmp_path: Path) -> None:
    layout = published(films, tmp_path)
    write(layout, [plan.name for plan in layout.plans], workers=2)
    merge(layout)
    assert digests(layout.folder) == digests(pristine)


def test_what_is_missing_is_named_and_only_that_is_written(films: Path, pristine: Path, tmp_path: Path) -> None:
    layout = published(films, tmp_path)
    first, second = cut(layout.plans, 2)
    write(layout, first)
    with pytest.raises(
        DataError, match=f"{len(second)} of {len(layout.plans)} shards are missing or damaged: "
    ) as told:
        merge(layout)
    assert ", ".join(second) in told.value.what
    assert "viewpair data build" in told.value.hint
    assert not (layout.folder / "index.json").exists()
    left = [plan.name for plan in published(films, tmp_path).unfinished()]
    assert left == second
    assert write(layout, first + second) == second
    merge(layout)
    assert digests(layout.folder) == digests(pristine)


def test_a_shard_that_was_damaged_after_its_task_is_found_by_the_merge(
    films: Path, pristine: Path, tmp_path: Path
) -> None:
    layout = published(films, tmp_path)
    names = [plan.name for plan in layout.plans]
    write(layout, names)
    shard = layout.folder / "train-000001.tar"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:3000] + bytes([whole[3000] ^ 1]) + whole[3001:])
    with pytest.raises(DataError, match=r"1 of \d+ shards are missing or damaged: train-000001"):
        merge(layout)
    assert write(layout, names) == ["train-000001"]
    merge(layout)
    assert digests(layout.folder) == digests(pristine)


# After its first shard it waits for its standard input to be closed.
RANGE = """
import sys
from pathlib import Path
from core.data.build import build_shards
from core.data.layout import read_layout
from tests.core.data.conftest import films_config
if __name__ == "__main__":
    layout = read_layout(films_config(Path(sys.argv[1])), Path(sys.argv[2]))
    for plan in build_shards(layout, layout.named(sys.argv[4:]), int(sys.argv[3])):
        print(plan.name, flush=True)
        sys.stdin.read()
"""


def start(layout: Layout, films: Path, names: list[str], workers: int) -> subprocess.Popen[str]:
    command = script(RANGE, films, layout.folder, workers, *names)
    return subprocess.Popen(command, cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("workers", [1, 2])
def test_tasks_side_by_side_of_which_one_is_killed(films: Path, pristine: Path, tmp_path: Path, workers: int) -> None:
    layout = published(films, tmp_path)
    first, second = cut(layout.plans, 2)
    killed, other = start(layout, films, first, workers), start(layout, films, second, workers)
    assert killed.stdout is not None
    assert killed.stdout.readline().strip() == first[0]
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert other.communicate()[0].split() == second
    finished = {path.name: path.stat().st_mtime_ns for path in layout.folder.glob("*.tar")}
    assert [plan.name for plan in layout.unfinished()] == first[1:]
    assert write(layout, first) == first[1:]
    merge(layout)
    after = {path.name: path.stat().st_mtime_ns for path in layout.folder.glob("*.tar")}
    assert {name: after[name] for name in finished} == finished
    shown = {name: digest for name, digest in digests(layout.folder).items() if not name.endswith(".tmp")}
    assert shown == digests(pristine)


def test_damaged_films_of_one_range_are_quarantined_as_by_one_process(tmp_path: Path) -> None:
    csv = write_bad_films(tmp_path / "films", [0, 1])
    whole = prepare(films_config(csv), tmp_path / "one", workers=1).folder
    layout = published(csv, tmp_path / "many")
    for names in reversed(cut(layout.plans, 4)):
        write(layout, names)
    merge(layout)
    assert whole is not None
    assert len(pd.read_csv(layout.folder / "quarantine.csv")) == 2
    assert digests(layout.folder) == digests(whole)
    # it is tried again, since it may be readable now
    lacking = {plan.name for plan in layout.unfinished()}
    assert lacking
    assert set(write(layout, [plan.name for plan in layout.plans])) == lacking


def test_too_many_unreadable_films_over_all_ranges(tmp_path: Path) -> None:
    csv = write_bad_films(tmp_path / "films", list(range(0, 12, 2)))
    layout = published(csv, tmp_path)
    refused = 0
    for plan in layout.plans:
        try:
            write(layout, [plan.name])
        except DataError as error:
            refused += "more than data.max_quarantine=0.02" in error.what
    assert refused < len(layout.plans)
    with pytest.raises(DataError, match=r"of 120 images could not be read, more than data\.max_quarantine=0\.02"):
        merge(layout)
    assert len(pd.read_csv(layout.folder / "quarantine.csv")) == 6
    assert not (layout.folder / "index.json").exists()


def test_what_the_tasks_read_must_be_what_was_published(films: Path, tmp_path: Path) -> None:
    layout = published(films, tmp_path)
    with pytest.raises(DataError, match="has no shard train-999999"):
        layout.named(["train-999999"])
    table = layout.folder / "source" / "planned.parquet"
    shutil.copy(films, table)
    with pytest.raises(DataError, match=r"planned\.parquet is missing or damaged"):
        read_layout(layout.config, layout.folder)
