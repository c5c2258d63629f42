"""The doctor's visit to a node: one small job with the launcher's own settings, waited for, and what it found."""

from __future__ import annotations

import time
import uuid
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import ConfigError
from core.io import read_json, write_json
from sweeps.doctor import FAILED, OK, WARNING, Finding, Findings, Waiting, judge, scratch, server_ahead
from sweeps.slurm import scheduler
from sweeps.slurm.probe import FACTS, HEARD, MEETING, READY, REQUEST, answer, versions
from sweeps.slurm.scheduler import Job, SchedulerError
from sweeps.slurm.submit import Jobs, accept

if TYPE_CHECKING:
    from sweeps.launchers.slurm import SlurmConfig

POLL_SECONDS = 2.0
# after which a job that was cancelled has had its KillWait
STOP_SECONDS = 60.0
LAST_LINES = 6
CLOCK_SECONDS = 5.0


@dataclass(frozen=True)
class Visit:
    """A visit under way. folder: where the processes answer. here: this host's versions, clock and token."""

    config: SlurmConfig
    folder: Path
    job: str
    ranks: int
    here: dict[str, Any]

    def answers(self, step: str) -> list[dict[str, Any]]:
        """What the processes that came to a step found there."""
        paths = [answer(self.folder, step, rank) for rank in range(self.ranks)]
        return [read_json(path) for path in paths if path.exists()]

    def came_to(self, step: str) -> bool:
        """Whether every process did."""
        return len(self.answers(step)) == self.ranks

    def last_words(self) -> str:
        """The end of what the job printed; "" where it left no file at all."""
        logs = sorted((self.folder / "logs").glob("*.out"))
        lines = [line for log in logs for line in log.read_text(errors="replace").splitlines() if line.strip()]
        return "\n".join(lines[-LAST_LINES:]) if lines else "it printed nothing" if logs else ""


def visit(config: SlurmConfig, root: Path, seconds: float) -> Findings:
    """Send the job, wait for it at most `seconds`, and tell what it found. Nothing of it stays, whatever happens."""
    with scratch(root) as folder:
        here = {**versions(), "server_ahead": server_ahead(folder), "token": uuid.uuid4().hex}
        (folder / "logs").mkdir()
        write_json(folder / f"{REQUEST}.json", here)
        jobs = Jobs(config, folder)
        ranks = processes(jobs)
        try:
            job = jobs.probe(ranks)
        except SchedulerError as refused:
            yield Finding("job", FAILED, refused.what, refused.hint)
            return
        try:
            seen = Visit(config, folder, job, ranks, here)
            last = yield from attend(seen, seconds)
        finally:
            stop(job)
        yield from report(seen, last)


def processes(jobs: Jobs) -> int:
    """Two, so that they can meet; one where SLURM would not give that much."""
    try:
        accept(jobs.probe_script(2))
    except ConfigError:
        return 1
    return 2


def attend(seen: Visit, seconds: float) -> Generator[Waiting, None, Job | None]:
    """Wait for the job, and warn it once it is ready; returns it as last seen, None where SLURM has forgotten it."""
    deadline, told, warned = time.monotonic() + seconds, "", False
    while True:
        job = next((job for job in scheduler.queue() if job.id == seen.job), None)
        if job is None or not job.alive or time.monotonic() >= deadline:
            return job
        if describe(job) != told:
            told = describe(job)
            yield Waiting(f"job {seen.job} {told}")
        if not warned and seen.came_to(READY):
            scheduler.warn(seen.job)
            warned = True
        time.sleep(POLL_SECONDS)


def describe(job: Job | None) -> str:
    """'pending (Resources)', 'running on n1', 'failed'."""
    if job is None:
        return "gone"
    state = job.state.lower().replace("_", " ")
    if job.runs:
        return f"{state} on {job.nodes}"
    return f"{state} ({job.reason})" if job.reason not in ("", "None") else state


def stop(job: str) -> None:
    """Cancel the job if it is still there, and wait until it writes no more."""
    deadline = time.monotonic() + STOP_SECONDS
    scheduler.cancel([job])
    while any(known.id == job and known.alive for known in scheduler.queue()) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS / 4)


def report(seen: Visit, job: Job | None) -> Iterator[Finding]:
    """The findings, from what the processes left."""
    facts = seen.answers(FACTS)
    if not facts:
        yield silence(seen, job)
        return
    nodes = ", ".join(sorted({str(fact["node"]) for fact in facts}))
    yield Finding("job", OK, f"job {seen.job}: {len(facts)} of {seen.ranks} processes started on {nodes}")
    yield interpreter(seen, facts)
    yield shared_folder(seen, facts)
    yield clock(seen, facts)
    yield graphics(seen, facts)
    yield from meetings(seen)
    yield hearing(seen)


def silence(seen: Visit, job: Job | None) -> Finding:
    """What it means that no process answered."""
    if job is not None and job.alive and not job.runs:
        found = f"job {seen.job} was still {describe(job)} when the time was up; nothing was seen of a node"
        return Finding("job", FAILED, found, "no such node is free: wait longer with --seconds")
    words = seen.last_words()
    if not words:
        found = f"job {seen.job} {describe(job)}, and left nothing in {seen.folder.parent}"
        hint = "the nodes do not see this folder, or another one by this name: set paths.root to a shared one"
        return Finding("shared folder", FAILED, found, hint)
    found = f"job {seen.job} {describe(job)}: Python did not come so far as to answer. Its last words:\n{words}"
    return Finding("interpreter", FAILED, found, "see launcher.python, launcher.setup and launcher.container")


def interpreter(seen: Visit, facts: list[dict[str, Any]]) -> Finding:
    """Whether the node runs the same Python, torch and code as this host."""
    names = ("python", "torch", "viewpair")
    there = {name: sorted({str(fact[name]) for fact in facts}) for name in names}
    found = ", ".join(f"{name} {' and '.join(there[name])}" for name in names)
    other = [name for name in names if there[name] != [seen.here[name]]]
    if not other:
        return Finding("interpreter", OK, f"{found}, as here")
    found += "; here: " + ", ".join(f"{name} {seen.here[name]}" for name in other)
    hint = "results of the two are not the same trial's: see launcher.python and launcher.container"
    return Finding("interpreter", FAILED if "viewpair" in other else WARNING, found, hint)


def shared_folder(seen: Visit, facts: list[dict[str, Any]]) -> Finding:
    """Whether what is written here is read there; the answers themselves were written and renamed there."""
    same = all(fact["token"] == seen.here["token"] for fact in facts)
    found = "read and renamed both ways" if same else "there is another one there by this name"
    return judge("shared folder", same, f"{seen.folder.parent}: {found}", "set paths.root to one that all nodes share")


def clock(seen: Visit, facts: list[dict[str, Any]]) -> Finding:
    """Whether the clocks agree, by the file server's."""
    ahead = [float(seen.here["server_ahead"]), *(float(fact["server_ahead"]) for fact in facts)]
    apart = max(ahead) - min(ahead)
    found = f"{apart:.1f} s apart, measured by the file server's"
    hint = "times in status will be off by that much; leases go by the file server's clock"
    return judge("clocks", apart < CLOCK_SECONDS, found, hint, WARNING)


def graphics(seen: Visit, facts: list[dict[str, Any]]) -> Finding:
    """Whether torch sees the GPUs that the job was given."""
    count, wanted = min(int(fact["gpus"]) for fact in facts), gpus_in(seen.config.gres)
    found = f"torch sees {count} on the node, launcher.gres asks for {wanted}"
    visible = sorted({str(fact["visible"]) for fact in facts} - {""})
    found += f" (CUDA_VISIBLE_DEVICES={' and '.join(visible)})" if visible else ""
    hint = "is its torch built for CUDA, with a driver? in a container: apptainer exec --nv"
    return judge("GPUs", count >= wanted, found, hint)


def gpus_in(gres: str) -> int:
    """GPUs that generic resources ask for: 'gpu:a100:2' is 2, 'gpu' is 1."""
    parts = [part.split("(")[0].split(":") for part in gres.split(",")]
    return sum(int(part[-1]) if part[-1].isdigit() else 1 for part in parts if part[0] == "gpu")


def meetings(seen: Visit) -> Iterator[Finding]:
    """Whether two processes found each other, by each backend."""
    title, hint = (
        "rendezvous",
        "a firewall? or name the network in launcher.environment: GLOO_SOCKET_IFNAME, NCCL_SOCKET_IFNAME",
    )
    if seen.ranks == 1:
        found = "not tried: SLURM gives no two processes with these settings"
        yield Finding(title, OK if seen.config.ranks == 1 else FAILED, found)
        return
    answers = seen.answers(MEETING)
    if len(answers) < seen.ranks:
        found = f"only {len(answers)} of {seen.ranks} processes got there\n{seen.last_words()}"
        yield Finding(title, FAILED, found, hint)
        return
    for backend in answers[0]:
        wrong = sorted({str(each[backend]) for each in answers if each.get(backend)})
        found = f"{backend}: all_reduce over {seen.ranks} processes" + (f": {'; '.join(wrong)}" if wrong else "")
        yield judge(title, not wrong, found, hint)


def hearing(seen: Visit) -> Finding:
    """Whether the warning before a time limit reaches Python."""
    heard, ready = len(seen.answers(HEARD)), len(seen.answers(READY))
    found = f"USR2 reached {heard} of {seen.ranks} processes" + ("" if ready == seen.ranks else f"; {ready} were ready")
    hint = "trials would lose what they did since their last checkpoint: what stands before python must pass signals on"
    return judge("signal", heard == seen.ranks, found, hint)
