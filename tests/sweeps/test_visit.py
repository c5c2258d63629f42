"""What the doctor makes of a node's answers, and of none, without a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.io import write_json
from sweeps.doctor import FAILED, OK, WARNING, Finding
from sweeps.launchers.slurm import SlurmConfig
from sweeps.slurm.probe import FACTS, HEARD, MEETING, READY, answer
from sweeps.slurm.scheduler import Job
from sweeps.slurm.visit import Visit, gpus_in, report

HERE = {"python": "3.11.2", "torch": "2.11.0", "viewpair": "abc", "server_ahead": 0.0, "token": "t"}
THERE = {**HERE, "node": "n1", "gpus": 0, "visible": ""}


@pytest.fixture
def seen(tmp_path: Path) -> Visit:
    """A visit by two processes that went well."""
    (tmp_path / "logs").mkdir()
    for rank in range(2):
        tell(tmp_path, rank, THERE, {"gloo": ""})
        for step in (READY, HEARD):
            write_json(answer(tmp_path, step, rank), {})
    return Visit(SlurmConfig(), tmp_path, "17", 2, HERE)


def tell(folder: Path, rank: int, facts: dict[str, Any], meeting: dict[str, str]) -> None:
    write_json(answer(folder, FACTS, rank), facts)
    write_json(answer(folder, MEETING, rank), meeting)


def job(state: str, reason: str = "None") -> Job:
    return Job("17", -1, state, reason, "n1", "viewpair.doctor-1.doctor")


def verdicts(seen: Visit, last: Job | None = None) -> dict[str, Finding]:
    return {finding.title: finding for finding in report(seen, last or job("COMPLETED"))}


def test_all_is_well(seen: Visit) -> None:
    assert {finding.verdict for finding in verdicts(seen).values()} == {OK}


@pytest.mark.parametrize(
    ("change", "title", "verdict"),
    [
        ({"python": "3.12.1"}, "interpreter", WARNING),
        ({"viewpair": "abd"}, "interpreter", FAILED),
        ({"token": "another"}, "shared folder", FAILED),
        ({"server_ahead": -90.0}, "clocks", WARNING),
    ],
)
def test_a_node_that_differs_is_told(seen: Visit, change: dict[str, Any], title: str, verdict: str) -> None:
    tell(seen.folder, 1, {**THERE, **change}, {"gloo": ""})
    found = verdicts(seen)
    assert [finding.title for finding in found.values() if finding.verdict != OK] == [title]
    assert found[title].verdict == verdict


def test_a_backend_that_one_process_could_not_use(seen: Visit) -> None:
    tell(seen.folder, 0, THERE, {"gloo": "", "nccl": ""})
    tell(seen.folder, 1, THERE, {"gloo": "", "nccl": "RuntimeError: no route"})
    found = [finding for finding in report(seen, job("COMPLETED")) if finding.title == "rendezvous"]
    assert [finding.verdict for finding in found] == [OK, FAILED]
    assert "nccl" in found[1].found
    assert "no route" in found[1].found


def test_a_signal_that_killed_one_process(seen: Visit) -> None:
    answer(seen.folder, HEARD, 1).unlink()
    assert verdicts(seen)["signal"] == Finding(
        "signal", FAILED, "USR2 reached 1 of 2 processes", verdicts(seen)["signal"].hint
    )


def test_a_process_that_died_before_the_meeting(seen: Visit) -> None:
    (seen.folder / "logs" / "17_1_log.out").write_text("slurmstepd: error: Exceeded job memory limit\n")
    for step in (MEETING, READY, HEARD):
        answer(seen.folder, step, 1).unlink()
    found = verdicts(seen)
    assert found["rendezvous"].verdict == FAILED
    assert "memory limit" in found["rendezvous"].found


def test_no_answer_is_put_down_to_the_queue_the_folder_or_the_interpreter(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    seen = Visit(SlurmConfig(), tmp_path, "17", 2, HERE)
    assert "pending (Resources)" in verdicts(seen, job("PENDING", "Resources"))["job"].found
    assert verdicts(seen, job("FAILED"))["shared folder"].verdict == FAILED
    (tmp_path / "logs" / "17_0_log.out").write_text("ModuleNotFoundError: No module named 'torch'\n")
    assert "No module named 'torch'" in verdicts(seen, job("FAILED"))["interpreter"].found


@pytest.mark.parametrize(
    ("gres", "count"), [("", 0), ("gpu", 1), ("gpu:2", 2), ("gpu:a100:4", 4), ("gpu:a100:4(S:0-1),tmp:10G", 4)]
)
def test_gpus_in_generic_resources(gres: str, count: int) -> None:
    assert gpus_in(gres) == count
