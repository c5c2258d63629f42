"""A data set built by a job array: the bytes of one process, whatever becomes of a task."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil
import pytest

from core.data.build import data_folder, prepare
from tests.core.data.conftest import films_config
from tests.core.data.files import write_films
from tests.core.data.test_build import digests
from tests.shell import Command
from tests.slurm.conftest import DevCluster

SLOW = """
import sys, time
from pathlib import Path
if "sweeps.slurm.part" in sys.orig_argv:
    import sweeps.slurm.task as task
    mark = task.mark_life
    def marked():
        mark()
        while not Path({go!r}).exists():
            time.sleep(0.05)
    task.mark_life = marked
"""


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_films(tmp_path_factory.mktemp("films"), patients=30)


@pytest.fixture(scope="module")
def whole(films: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What one process leaves."""
    store = prepare(films_config(films), tmp_path_factory.mktemp("one"), workers=1)
    assert store.folder is not None
    return digests(store.folder)


def words(films: Path, root: Path, *more: str) -> list[str]:
    data = ["data=folder", f"data.csv={films}", "data.size=16", "data.studies_per_shard=8"]
    launcher = ["launcher=slurm", "launcher.memory_gb=1", "launcher.time=10", "launcher.signal_delay=5"]
    return ["data", "build", *data, f"paths.root={root}", *launcher, "launcher.max_parallel=1", *more]


def idle(cluster: DevCluster) -> bool:
    return not cluster.output("squeue", "--noheader")


def test_a_task_that_fails_is_named_and_made_up_for(
    cluster: DevCluster, films: Path, whole: dict[str, str], tmp_path: Path
) -> None:
    folder = data_folder(films_config(films), tmp_path)
    # tasks wait for a file; the second then fails
    wait, fail = f"while [ ! -e {tmp_path}/go ]; do sleep 0.1; done", '[ "$SLURM_ARRAY_TASK_ID" != 1 ] || exit 3'
    printed = Command(words(films, tmp_path, f"launcher.setup=['{wait}', '{fail}']"), env=cluster.env).finished()
    assert "4 ranges of shards, at most 1 at once: 0/60 studies (0 %)" in printed
    assert str(folder) in printed
    again = Command(words(films, tmp_path), env=cluster.env).finished()
    assert len(list((tmp_path / "runs").glob("build-*"))) == 1, again
    assert "4 ranges of shards" in again
    (tmp_path / "go").touch()
    cluster.wait_until(lambda: idle(cluster), 150)
    assert not (folder / "index.json").exists()
    logs = "".join(log.read_text() for log in (tmp_path / "runs").glob("build-*/logs/*"))
    assert "2 of 9 shards are missing or damaged: " in logs
    assert "run the same `viewpair data build` again" in logs
    kept = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.tar")}
    printed = Command(words(films, tmp_path, "--wait"), env=cluster.env).finished()
    assert "2 ranges of shards" in printed
    assert "built folder at 16 px" in printed
    assert {name: (folder / name).stat().st_mtime_ns for name in kept} == kept
    assert digests(folder) == whole
    # nothing is left to submit
    assert "ranges" not in Command(words(films, tmp_path), env=cluster.env).finished()
    assert len(list((tmp_path / "runs").glob("build-*"))) == 2


def test_a_task_that_is_killed_goes_on(cluster: DevCluster, films: Path, whole: dict[str, str], tmp_path: Path) -> None:
    """kill -9 to the first task, once it has written a shard."""
    folder = data_folder(films_config(films), tmp_path)
    path = f"launcher.setup=['export PYTHONPATH={slow(tmp_path)}:$PYTHONPATH']"
    Command(words(films, tmp_path, path), env=cluster.env).finished()
    cluster.wait_until(lambda: len(list(folder.glob("*-*.json"))) == 1, 90)
    os.kill(task(tmp_path), signal.SIGKILL)
    (tmp_path / "go").touch()
    cluster.wait_until(lambda: idle(cluster), 150)
    # its second life wrote the rest
    assert list((tmp_path / "runs").glob("build-*/lives/ranges-0-1"))
    assert digests(folder) == whole


def test_a_build_is_seen_and_stopped_like_a_sweep(cluster: DevCluster, films: Path, tmp_path: Path) -> None:
    def viewpair(verb: str, *more: str, code: int = 0) -> str:
        return Command([verb, f"paths.root={tmp_path}", *more], env=cluster.env).finished(code=code)

    folder = data_folder(films_config(films), tmp_path)
    path = f"launcher.setup=['export PYTHONPATH={slow(tmp_path)}:$PYTHONPATH']"
    Command(words(films, tmp_path, path), env=cluster.env).finished()
    cluster.wait_until(lambda: len(list(folder.glob("*-*.json"))) == 1, 90)
    told = viewpair("status")
    assert f"building {folder.name}: 1 of 9 shards written, 1 tasks run and 4 wait; jobs " in told
    assert "nothing was swept" in told
    # who names an ablation means nothing else
    assert "nothing was swept" in viewpair("cancel", "ablation=pairing", code=2)
    assert not idle(cluster)
    assert "data: 5 jobs cancelled" in viewpair("cancel")
    cluster.wait_until(lambda: idle(cluster), 30)
    assert "building" not in viewpair("status")
    assert "data: no build was in the queue" in viewpair("cancel")
    # what was written stays
    assert len(list(folder.glob("*.tar"))) == 1


def task(root: Path) -> int:
    """The process of the one task of `root` that runs."""
    lines = {process.pid: process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])}
    return next(pid for pid, line in lines.items() if line[2:4] == ["-m", "sweeps.slurm.part"] and str(root) in line[4])


def slow(folder: Path) -> Path:
    """A folder for PYTHONPATH with which a task stops after its first shard until the file `go` is there."""
    (folder / "python").mkdir()
    (folder / "python" / "sitecustomize.py").write_text(SLOW.format(go=str(folder / "go")))
    return folder / "python"


def test_what_is_wrong_is_told_before_anything_is_submitted(cluster: DevCluster, films: Path, tmp_path: Path) -> None:
    (tmp_path / "films.csv").write_text(films.read_text())
    printed = Command(words(tmp_path / "films.csv", tmp_path), env=cluster.env).finished(code=2)
    assert "images named in" in printed
    assert "do not exist" in printed
    assert "Traceback" not in printed
    assert not list((tmp_path / "runs").glob("*"))
