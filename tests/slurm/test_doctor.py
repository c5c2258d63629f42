"""The doctor on a real cluster: a whole one, and settings, interpreters and folders that cannot work."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sweeps.doctor import FAILED, OK, WARNING, Finding, Waiting
from sweeps.launchers.slurm import Slurm, SlurmConfig
from tests.conftest import CHECKOUT
from tests.slurm.conftest import DevCluster
from viewpair import cli

DOCTOR = [sys.executable, "-m", "viewpair", "doctor", "launcher=slurm", "launcher.memory_gb=1"]


@pytest.fixture(autouse=True)
def _as_a_users_shell(cluster: DevCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PATH", "SLURM_CONF"):
        monkeypatch.setenv(name, cluster.env[name])
    monkeypatch.setenv("PYTHONPATH", str(CHECKOUT))


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """An output folder that does not exist yet, and does not either when the doctor has gone."""
    yield tmp_path / "outputs"
    assert not (tmp_path / "outputs").exists()


def examine(root: Path, seconds: float = 120, **settings: object) -> tuple[dict[str, Finding], list[str]]:
    """Findings by title, and what was said while waiting."""
    launcher = Slurm(SlurmConfig(**{"memory_gb": 1.0, **settings}))  # type: ignore[arg-type]
    told = list(launcher.examine(root, seconds))
    findings = [item for item in told if isinstance(item, Finding)]
    return {item.title: item for item in findings}, [item.text for item in told if isinstance(item, Waiting)]


def doctors_jobs(cluster: DevCluster) -> list[str]:
    return cluster.output("squeue", "--noheader", "--format=%j").split()


def test_two_nodes_are_visited_and_only_the_pretended_gpus_are_missed(cluster: DevCluster, root: Path) -> None:
    found, said = examine(root, partition="gpu", gres="gpu:1", nodes=2, ranks=2)
    assert [title for title, finding in found.items() if finding.verdict == FAILED] == ["GPUs"]
    assert "torch sees 0 on the node, launcher.gres asks for 1 (CUDA_VISIBLE_DEVICES=0" in found["GPUs"].found
    # the cluster's GraceTime is 10 s, its KillWait 3 s
    assert (found["time to save"].verdict, "10 s when it is preempted" in found["time to save"].found) == (
        WARNING,
        True,
    )
    assert "2 of 2 processes started on n1, n2" in found["job"].found
    assert found["rendezvous"].found == "gloo: all_reduce over 2 processes"
    assert found["signal"].found == "USR2 reached 2 of 2 processes"
    assert {found[title].verdict for title in ("shared folder", "interpreter", "clocks", "settings")} == {OK}
    assert "running on n[1-2]" in said[-1]
    assert not doctors_jobs(cluster)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"partition": "gpus"}, "partition"),
        ({"gres": "tpu:1"}, "gres"),
        ({"memory_gb": 4000.0}, "node configuration"),
        ({"helper_partition": "gpus"}, "helper_partition=gpus"),
    ],
)
def test_settings_that_slurm_refuses_send_no_job(root: Path, settings: dict[str, object], said: str) -> None:
    found, waited = examine(root, **settings)
    assert found["settings"].verdict == FAILED
    assert said in found["settings"].found.lower()
    assert "main" in found["settings"].hint
    assert "job" not in found
    assert not waited


def test_an_interpreter_that_is_not_on_the_node(cluster: DevCluster, root: Path) -> None:
    found, _ = examine(root, python="/no/such/python")
    assert found["interpreter"].verdict == FAILED
    assert "/no/such/python: No such file or directory" in found["interpreter"].found
    assert "job" not in found
    assert not doctors_jobs(cluster)


def test_a_folder_that_the_nodes_do_not_see(tmp_path: Path) -> None:
    mine = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"', str(tmp_path)]
    if subprocess.run([*mine, "true"], capture_output=True).returncode:
        pytest.skip("no folder can be mounted here for one process alone")
    done = subprocess.run([*mine, *DOCTOR, f"paths.root={tmp_path}/out"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1, done.stdout + done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
    assert "shared folder" in line
    assert f"left nothing in {tmp_path}/out/runs" in line


def test_without_slurms_programs(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert cli.main(["doctor", "launcher=slurm", f"paths.root={root}"]) == 1
    printed = capsys.readouterr().out
    assert "FAILED   programs           not on PATH: sbatch, squeue" in printed
    assert "launcher=local" in printed
    assert "1 checks: 1 failed" in printed


def test_no_controller_where_one_should_be(cluster: DevCluster, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    conf = cluster.folder / "etc" / "dead.conf"
    alive = (cluster.folder / "etc" / "slurm.conf").read_text()
    # nothing listens there, and a client is to find out soon
    deaf = re.sub(r"^(SlurmctldPort)=.*", r"\1=9", alive, flags=re.MULTILINE)
    conf.write_text(re.sub(r"^(MessageTimeout)=.*", r"\1=2", deaf, flags=re.MULTILINE))
    monkeypatch.setenv("SLURM_CONF", str(conf))
    found, _ = examine(root)
    assert list(found) == ["programs", "controller"]
    assert found["controller"].verdict == FAILED
    assert "scontrol" in found["controller"].found


@pytest.fixture
def full(cluster: DevCluster) -> None:
    """No node is free."""
    job = cluster.sbatch("sleep 300", "--nodes=3", "--exclusive", "--partition=urgent")
    cluster.wait_until(lambda: cluster.state(job) == "RUNNING")


@pytest.mark.usefixtures("full")
def test_when_the_time_is_up_the_job_is_cancelled_and_the_queue_quoted(cluster: DevCluster, root: Path) -> None:
    found, said = examine(root, seconds=4)
    assert found["job"].verdict == FAILED
    assert "still pending (" in found["job"].found
    assert "--seconds" in found["job"].hint
    assert said
    assert doctors_jobs(cluster) == ["wrap"]


@pytest.mark.usefixtures("full")
def test_ctrl_c_leaves_neither_a_job_nor_a_file(cluster: DevCluster, root: Path) -> None:
    process = subprocess.Popen(
        [*DOCTOR, f"paths.root={root}"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    cluster.wait_until(lambda: len(doctors_jobs(cluster)) == 2, 60)
    process.send_signal(signal.SIGINT)
    _, complaint = process.communicate(timeout=60)
    assert (process.returncode, "Traceback" in complaint) == (130, False)
    assert doctors_jobs(cluster) == ["wrap"]
