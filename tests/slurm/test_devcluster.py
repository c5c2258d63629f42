"""The throw-away cluster itself does what tests of the launcher rely on."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from core.errors import UserError
from slurm.dev import cluster as whole
from slurm.dev import daemons, hosts, packages, ports, processes
from slurm.dev.spec import LONGEST_FOLDER, Spec
from tests.slurm.conftest import DevCluster, devcluster, launched, succeed

# Writes a line each time that it starts, then waits until a file appears.
PATIENT = "echo start >> {log}; while [ ! -e {go} ]; do sleep 0.1; done"


class Patient:
    """A job that says when it starts, and ends when it is told to."""

    def __init__(self, cluster: DevCluster, folder: Path, *options: str) -> None:
        self.cluster, self.log, self.go = cluster, folder / "log", folder / "go"
        self.job = cluster.sbatch(PATIENT.format(log=self.log, go=self.go), *options)
        cluster.wait_until(lambda: self.starts() == 1)

    def starts(self) -> int:
        """How often it has started."""
        return self.log.read_text().count("start") if self.log.exists() else 0

    def finish(self) -> None:
        """Let it end, and see that it does."""
        self.go.touch()
        self.cluster.wait_until(lambda: self.cluster.state(self.job) == "COMPLETED")


def pids(cluster: DevCluster) -> dict[str, int | None]:
    return {daemon.title: daemon.pid() for daemon in daemons.all_of(cluster.spec)}


def started_for(folder: Path) -> list[Path]:
    """Every process whose variables name `folder`: daemons, jobs, and what jobs have left."""
    found = []
    for variables in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            if bytes(folder) in variables.read_bytes():
                found.append(variables.parent)
    return found


def node_states(cluster: DevCluster) -> dict[str, str]:
    lines = cluster.output("sinfo", "--noheader", "--Node", "--format=%N %t").splitlines()
    return dict(line.split() for line in lines)


def test_a_job_runs_on_each_node(cluster: DevCluster) -> None:
    told = cluster.output("srun", "--nodes=3", "sh", "-c", "echo $SLURMD_NODENAME $SLURM_NODEID").splitlines()
    assert sorted(told) == ["n1 0", "n2 1", "n3 2"]


@pytest.mark.usefixtures("cluster")
def test_the_names_of_the_nodes_resolve() -> None:
    if not os.access(hosts.HOSTS, os.W_OK):
        pytest.skip("/etc/hosts is not ours to write")
    assert {socket.gethostbyname(node) for node in ("n1", "n2", "n3")} == {"127.0.0.1"}


def test_an_urgent_job_sends_the_running_one_back_to_the_queue(cluster: DevCluster, tmp_path: Path) -> None:
    victim = Patient(cluster, tmp_path, "--partition=short", "--nodes=3", "--exclusive")
    urgent = cluster.sbatch("true", "--partition=urgent", "--nodes=3", "--exclusive")
    cluster.wait_until(lambda: cluster.state(urgent) == "COMPLETED")
    cluster.wait_until(lambda: victim.starts() == 2)
    assert cluster.show(victim.job)["Restarts"] == "1"
    victim.finish()


def test_a_preempted_job_is_warned_by_the_signal_it_asked_for(cluster: DevCluster, tmp_path: Path) -> None:
    warned = tmp_path / "warned"
    script = f"trap 'touch {warned}; exit' USR2; touch {tmp_path}/ready; while :; do sleep 0.1; done"
    cluster.sbatch(script, "--signal=B:USR2@60", "--nodes=3", "--exclusive")
    cluster.wait_until((tmp_path / "ready").exists)
    cluster.sbatch("true", "--partition=urgent")
    cluster.wait_until(warned.exists)


def test_two_jobs_are_given_different_pretended_gpus(cluster: DevCluster, tmp_path: Path) -> None:
    """Each waits for the other's file, so both run at once."""
    script = "echo $CUDA_VISIBLE_DEVICES > $SLURM_ARRAY_TASK_ID; until cat 0 1; do sleep 0.1; done"
    options = ("--partition=gpu", "--gres=gpu:1", "--nodelist=n1", f"--chdir={tmp_path}", "--array=0-1")
    job = cluster.sbatch(script, *options)
    cluster.wait_until(lambda: {cluster.state(f"{job}_{i}") for i in (0, 1)} == {"COMPLETED"})
    assert {(tmp_path / name).read_text().strip() for name in "01"} == {"0", "1"}


def test_a_job_above_its_memory_is_killed(cluster: DevCluster) -> None:
    greedy = "import time; hoard = bytearray(500 << 20); time.sleep(60)"
    result = cluster.run("srun", "--mem=100", "/usr/bin/python3", "-c", greedy)
    assert result.returncode != 0
    assert "memory limit" in result.stderr


def test_variables_of_another_cluster_do_not_reach_this_one(
    cluster: DevCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_CONF", "/nowhere/slurm.conf")
    monkeypatch.setenv("SBATCH_PARTITION", "nowhere")
    job = cluster.sbatch("true")
    assert cluster.squeue()[job].partition == "main"


@pytest.mark.parametrize(
    "option", ["--time=2 --partition=short", "--partition=nowhere", "--mem=4001", "--gres=gpu:3", "--array=0-1001"]
)
def test_what_can_never_run_is_refused(cluster: DevCluster, option: str) -> None:
    assert cluster.run("sbatch", *option.split(), "--wrap=true").returncode != 0


def test_a_job_outlives_a_restart_of_slurmctld(cluster: DevCluster, tmp_path: Path) -> None:
    job = Patient(cluster, tmp_path)
    cluster.kill("slurmctld")
    cluster.start("slurmctld")
    assert cluster.state(job.job) == "RUNNING"
    job.finish()
    assert job.starts() == 1


def test_the_cluster_works_again_after_slurmctld_was_killed(cluster: DevCluster) -> None:
    cluster.sbatch("sleep 60")
    cluster.kill("slurmctld", "-9")
    assert cluster.devcluster("status").returncode == 1
    cluster.start("slurmctld")
    cluster.settle()
    assert set(node_states(cluster).values()) == {"idle"}
    assert cluster.output("srun", "--nodes=3", "echo", "works").split() == ["works"] * 3


def test_a_job_outlives_the_slurmd_of_its_node(cluster: DevCluster, tmp_path: Path) -> None:
    job = Patient(cluster, tmp_path, "--nodelist=n2")
    before = pids(cluster)
    cluster.kill("slurmd", "n2", "-9")
    assert [title for title, pid in pids(cluster).items() if pid is None] == ["slurmd n2"]
    cluster.start("slurmd", "n2")
    changed = {title for title, pid in pids(cluster).items() if pid != before[title]}
    assert changed == {"slurmd n2"}
    job.finish()
    assert job.starts() == 1


def test_a_second_up_keeps_what_runs_and_mends_what_does_not(cluster: DevCluster) -> None:
    before = pids(cluster)
    cluster.output("scontrol", "update", "nodename=n1", "state=drain", "reason=test")
    cluster.kill("slurmd", "n3")
    succeed(cluster.devcluster("up"))
    assert set(node_states(cluster).values()) == {"idle"}
    assert {title for title, pid in pids(cluster).items() if pid != before[title]} == {"slurmd n3"}


def test_a_running_cluster_is_not_changed_silently(cluster: DevCluster) -> None:
    result = cluster.devcluster("up", "--nodes=2")
    assert result.returncode == 2
    assert "nodes=3" in result.stderr


def test_down_leaves_nothing_behind(tmp_path: Path) -> None:
    """Not even a job that ignores signals, when nobody is left who could end it."""
    with launched("own", "--nodes=1", "--memory=1000") as own:
        stubborn = f"trap '' TERM INT; touch {tmp_path}/ready; setsid sleep 300"
        own.sbatch(stubborn)
        own.wait_until((tmp_path / "ready").exists)
        own.kill("slurmctld", "-9")
        own.kill("slurmd", "n1", "-9")
        spec = own.spec
        left = {process.name: process.pid for process in map(processes.find, whole.leftovers(spec)) if process}
        assert {"munged", "slurmstepd", "slurm_script", "sleep"} <= set(left)
        processes.send([left["slurmstepd"], left["slurm_script"]], signal.SIGKILL)
        succeed(own.devcluster("down"))
        assert not started_for(own.folder)
        assert ports.free(spec.ports)
        assert str(own.folder) not in hosts.HOSTS.read_text()
    assert not own.folder.exists()


def test_a_cluster_that_was_down_goes_on_counting_jobs(cluster: DevCluster) -> None:
    """A second cluster, beside the shared one."""
    with launched("again", "--nodes=1", "--memory=1000") as own:
        assert not set(own.spec.ports) & set(cluster.spec.ports)
        first = own.sbatch("true")
        own.wait_until(lambda: own.state(first) == "COMPLETED")
        succeed(own.devcluster("down"))
        assert own.devcluster("status").returncode == 1
        succeed(own.devcluster("up"))
        assert own.spec.nodes == 1
        assert int(own.sbatch("true")) > int(first) > 1000


def test_sacct_answers_when_there_is_accounting() -> None:
    with launched("dbd", "--nodes=1", "--memory=1000", accounting="dbd") as own:
        job = own.sbatch("exit 3")

        def told() -> str:
            return own.output(
                "sacct", "--noheader", "--parsable2", "--allocations", f"--jobs={job}", "--format=State,ExitCode"
            )

        own.wait_until(lambda: told() == "FAILED|3:0")


def test_there_is_no_sacct_without_accounting(cluster: DevCluster) -> None:
    assert cluster.run("sacct").returncode != 0


def test_ports_in_use_are_left_to_their_owner(tmp_path: Path) -> None:
    first = ports.with_ports(Spec(tmp_path))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", first.ports[1]))
        listener.listen()
        assert not set(ports.with_ports(Spec(tmp_path)).ports) & set(first.ports)
        with pytest.raises(UserError, match="taken"):
            ports.with_ports(first)


def test_other_lines_of_the_hosts_file_stay(tmp_path: Path) -> None:
    file = tmp_path / "hosts"
    text = "127.0.0.1 localhost\n10.0.0.1 n1 # mine\n127.0.0.1 n1 # devcluster /tmp/ab"
    file.write_text(text)
    for _ in range(2):
        hosts.add(["n1", "n2"], Path("/tmp/a"), file)
        assert file.read_text() == text + "\n127.0.0.1 n1 n2 # devcluster /tmp/a\n"
    hosts.remove(Path("/tmp/a"), file)
    assert file.read_text() == text + "\n"


def test_who_cannot_install_is_told_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda program, **_: program if program == "apt-get" else None)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(UserError, match=r"only root[\s\S]*munge slurmctld slurmd slurm-client"):
        packages.install("none")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["up", f"--folder=/tmp/{'x' * LONGEST_FOLDER}"], "too long"),
        (["up", "--nodes=0"], "--nodes=0"),
        (["kill", "slurmctld"], "no cluster"),
    ],
)
def test_mistakes_are_explained(tmp_path: Path, arguments: list[str], complaint: str) -> None:
    result = devcluster(arguments[0], f"--folder={tmp_path}/c", *arguments[1:])
    assert result.returncode == 2
    assert complaint in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "c").exists()


def test_a_daemon_that_is_not_there_is_named(cluster: DevCluster) -> None:
    assert "slurmd n9" in cluster.devcluster("kill", "slurmd", "n9").stderr


@pytest.mark.parametrize(
    ("program", "conf", "expected"), [("munged", "own", True), ("munged", "other", False), ("other", "own", False)]
)
def test_a_number_that_another_process_got_is_no_daemon(
    tmp_path: Path, program: str, conf: str, expected: bool
) -> None:
    munged = daemons.all_of(Spec(tmp_path / "own"))[0]
    sleeper = tmp_path / program
    shutil.copy("/bin/sleep", sleeper)
    environment = {"SLURM_CONF": str(Spec(tmp_path / conf).conf)}
    with subprocess.Popen([str(sleeper), "60"], env=environment) as process:
        munged.pid_file.parent.mkdir(parents=True)
        munged.pid_file.write_text(f"{process.pid}\n")
        assert (munged.pid() == process.pid) is expected
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert processes.find(process.pid) is None, "a zombie counts as gone"
