"""The SLURM launcher: what it refuses, how it splits arrays, cancels, and what accounting adds."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from sweeps.slurm import scheduler
from sweeps.slurm.runs import job_name
from tests.conftest import CHECKOUT
from tests.shell import Command
from tests.slurm.conftest import DevCluster, launched
from tests.slurm.sweeping import Sweep, write_ablation


@pytest.fixture
def sweep(cluster: DevCluster, tmp_path: Path) -> Sweep:
    """A sweep whose data was never built."""
    return Sweep(cluster, write_ablation(tmp_path, "small", epochs=1), tmp_path / "out")


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("launcher.partition=nope", "partitions here: gpu, main, short, urgent"),
        ("launcher.time=2 launcher.signal_delay=120", "a task would be warned of its end before it began"),
        ("launcher.time=4h", "launcher.time=4h is no time limit of SLURM's"),
        ("launcher.account=nobodys launcher.gres=gpu:9", "SLURM refuses these launcher settings"),
        ("launcher.partitoin=main", "did you mean launcher.partition"),
        ("launcher.ranks=3 launcher.nodes=2", "launcher.ranks=3 is no multiple of launcher.nodes=2"),
        ("launcher.concurrent=2", "launcher.concurrent=2 is more than launcher.trials_per_task=1"),
    ],
)
def test_bad_settings_are_refused_before_anything_is_submitted(sweep: Sweep, word: str, said: str) -> None:
    printed = Command(sweep.words(*word.split()), env=sweep.cluster.env).finished(code=2)
    assert said in printed
    assert "Traceback" not in printed
    assert not (sweep.root / "runs").exists()
    assert not any(job.state == "PENDING" for job in sweep.cluster.squeue().values())


def test_a_profile_with_an_unknown_key(sweep: Sweep, tmp_path: Path) -> None:
    profile = tmp_path / "mine.yaml"
    profile.write_text("partition: main\ncpu: 2\n")
    words = [word for word in sweep.words() if word != "launcher=slurm"]
    printed = Command([*words, f"launcher={profile}"], env=sweep.cluster.env).finished(code=2)
    assert f"{profile}: there is no launcher key cpu" in printed
    assert "did you mean cpus?" in printed


def test_a_profile_is_put_on_and_its_keys_can_be_overridden(sweep: Sweep, tmp_path: Path) -> None:
    profile = tmp_path / "mine.yaml"
    profile.write_text("partition: urgent\nsetup: ['echo \"set up, then\" go']\nmax_parallel: 3\n")
    words = [word for word in sweep.words("--dry-run") if word != "launcher=slurm"]
    printed = Command([*words, f"launcher={profile}"], env=sweep.cluster.env).finished()
    assert "3 at once" in printed
    printed = Command([*words, f"launcher={profile}", "launcher.max_parallel=7"], env=sweep.cluster.env).finished()
    assert "7 at once" in printed


def test_without_slurm_nothing_is_written(sweep: Sweep, tmp_path: Path) -> None:
    env = {**sweep.cluster.env, "PATH": str(tmp_path)}
    printed = Command(sweep.words(), env=env).finished(code=2)
    assert "there is no sbatch on this machine" in printed
    assert not (sweep.root / "runs").exists()


def test_from_a_batch_script_to_the_report(sweep: Sweep, tmp_path: Path) -> None:
    """sbatch slurm/sweep.sbatch: data, then the trials, then the report, with no shell left open."""
    words = [word for word in sweep.words()[1:] if word != "launcher=slurm"]
    exported = f"--export=ALL,VIEWPAIR={_viewpair(tmp_path)},PYTHONPATH={CHECKOUT},OMP_NUM_THREADS=1"
    log = f"--output={tmp_path}/%x.log"
    chdir = f"--chdir={CHECKOUT}"
    scripts = CHECKOUT / "slurm"
    sweep.cluster.output("sbatch", "--mem=1500", log, chdir, exported, str(scripts / "sweep.sbatch"), *words)
    tables = sweep.root / "reports" / "small" / "table.csv"
    sweep.until(tables.exists, 300)
    assert all(line.state == "done" for line in sweep.ledger())
    printed = (tmp_path / "viewpair-sweep.log").read_text()
    assert "data: job" in printed
    assert "report: job" in printed
    submissions = sorted(sweep.root.glob("runs/*/logs/*_submission.sh"))
    assert len(submissions) == 3
    assert "afterok" in submissions[1].read_text()
    assert "afterany" in submissions[2].read_text()
    sweep.until(lambda: not sweep.cluster.output("squeue", "--noheader"), 60)
    before = tables.read_text()
    tables.unlink()
    again = [str(scripts / "report.sbatch"), "ablation=small", f"paths.root={sweep.root}"]
    sweep.cluster.output("sbatch", "--mem=1500", log, chdir, exported, *again)
    sweep.until(tables.exists, 120)
    assert tables.read_text() == before


def _viewpair(folder: Path) -> Path:
    """A program that runs this checkout's viewpair with this interpreter."""
    program = folder / "viewpair"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m viewpair "$@"\n')
    program.chmod(0o755)
    return program


def test_a_broken_environment_fails_at_once_and_is_not_requeued(sweep: Sweep) -> None:
    """The interpreter does not exist on the node: the data job fails, and with it what depends on it."""
    sweep.submit("launcher.python=/nowhere/python")
    sweep.until(lambda: not any(job.state in ("PENDING", "RUNNING") for job in sweep.cluster.squeue().values()), 60)
    printed = sweep.call("status")
    assert "building the data: job" in printed
    assert "failed" in printed
    assert printed.count("ended: cancelled") == 2
    assert not list(sweep.root.glob("runs/*/lives/*"))


def test_data_that_cannot_be_built_fails_once(sweep: Sweep, tmp_path: Path) -> None:
    """The data job runs Python and fails: the next time would be no better, so it is not put back into the queue."""
    (tmp_path / "film.png").write_text("no picture")
    films = tmp_path / "films.csv"
    films.write_text("path,patient_id,study_id,view,finding\n" + "film.png,1,1,PA,Edema\n")
    ablation = sweep.file.read_text().replace('"data.patients=24", ', "")
    sweep.file.write_text(ablation)
    sweep.submit("data=folder", f"data.csv={films}")
    sweep.until(lambda: not any(job.state in ("PENDING", "RUNNING") for job in sweep.cluster.squeue().values()), 90)
    logs = [path.read_text() for path in sweep.root.glob("runs/*/logs/*_0_log.out")]
    assert any("viewpair: no study is in split train, validate" in text for text in logs)
    assert not any("Traceback" in text for text in logs)
    assert not any("requeued" in text for text in logs)
    assert "building the data" in sweep.call("status")


def test_arrays_are_split_and_cancelled(tmp_path: Path) -> None:
    """Six trials where an array may have three elements; cancel leaves nothing in the queue."""
    with launched("arrays", "--max-array-size=3", "--nodes=1") as cluster:
        file = write_ablation(tmp_path, "six", ratios="0.5, 0.75", seeds="0, 1, 2", epochs=400)
        sweep = Sweep(cluster, file, tmp_path / "out")
        printed = sweep.submit("launcher.max_parallel=1")
        assert "6 trials in 6 array tasks of one trial each in 2 arrays (MaxArraySize)" in printed
        assert len(sweep.jobs()) == 6
        sweep.until(lambda: any(sweep.step(trial) > 10 for trial in sweep.trials), 120)
        running = next(trial for trial in sweep.trials if sweep.step(trial) > 10)
        said = sweep.call("cancel")
        assert "jobs cancelled" in said
        assert "interrupted" in said
        assert not any(line.state == "running" for line in sweep.ledger())
        assert not any(job.state in ("PENDING", "RUNNING") for job in cluster.squeue().values())
        # TERM let it write a checkpoint
        assert list((sweep.folder(running) / "checkpoints").glob("*.pt"))
        assert "nothing of these was in the queue" in sweep.call("cancel")


def test_accounting_tells_how_forgotten_jobs_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with launched("accounting", "--nodes=1", accounting="dbd") as cluster:
        for name, value in cluster.env.items():
            monkeypatch.setitem(os.environ, name, value)
        name = job_name(tmp_path / "run", 0)
        number = cluster.sbatch("exit $SLURM_ARRAY_TASK_ID", "--array=0-1", f"--job-name={name}")
        # accounting lags behind
        ended = {f"{number}_0": "COMPLETED", f"{number}_1": "FAILED"}
        cluster.wait_until(lambda: {job.id: job.state for job in scheduler.ended([name])} == ended, 60)
        assert [job.element for job in scheduler.ended([name])] == [0, 1]
        assert scheduler.ended([job_name(tmp_path / "another", 0)]) == []


def test_elements_that_never_ran_share_a_line_of_accounting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "ask", lambda *_: "17_[2-3,8%2]|CANCELLED by 0|None assigned|viewpair.run.0\n")
    monkeypatch.setattr("shutil.which", lambda _program: "/usr/bin/sacct")
    jobs = scheduler.ended(["viewpair.run.0"])
    assert [(job.id, job.element, job.state) for job in jobs] == [
        ("17_2", 2, "CANCELLED"),
        ("17_3", 3, "CANCELLED"),
        ("17_8", 8, "CANCELLED"),
    ]
