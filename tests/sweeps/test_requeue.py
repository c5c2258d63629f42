"""slurm/requeue.sh in a real shell, with a stand-in for scontrol: what is put back into the queue, and what is not."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "slurm" / "requeue.sh"
SCONTROL = """#!/bin/sh
if [ "$1" = show ]; then echo "JobId=7 JobState=$STATE Reason=$REASON Requeue=1"; else echo "$@" >> "$ASKED"; fi
"""
MOST = 3


def ended(folder: Path, code: int, restart: int = 0, state: str = "RUNNING", reason: str = "None") -> bool:
    """Whether a batch script whose step ends with `code` is put back into the queue; it ends with the same code."""
    (folder / "scontrol").write_text(SCONTROL)
    (folder / "scontrol").chmod(0o755)
    asked = folder / "asked"
    asked.unlink(missing_ok=True)
    environment = {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "STATE": state,
        "REASON": reason,
        "ASKED": str(asked),
        "SLURM_JOB_ID": "7",
        "SLURM_RESTART_COUNT": str(restart),
        "VIEWPAIR_LIVES": str(folder / "trials-0"),
        "VIEWPAIR_MAX_STARTS": str(MOST),
    }
    # show's answer stands between blanks, as in the real one
    script = f". {SCRIPT}\nsh -c 'exit {code}'\n"
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, timeout=30)
    assert done.returncode == code, done.stderr
    assert not asked.exists() or asked.read_text() == "requeue 7\n"
    return asked.exists()


def mark(folder: Path, restart: int) -> None:
    """What a life leaves that counted the start of a trial."""
    (folder / f"trials-0-{restart}").touch()


def test_what_ended_well_stays_ended(tmp_path: Path) -> None:
    mark(tmp_path, 0)
    assert not ended(tmp_path, 0)


@pytest.mark.parametrize("code", [1, 2, 127])
def test_what_broke_is_tried_again_only_where_its_start_was_counted(tmp_path: Path, code: int) -> None:
    assert not ended(tmp_path, code)
    mark(tmp_path, 0)
    assert ended(tmp_path, code)
    # the mark of an earlier life does not count: nothing would end it
    assert not ended(tmp_path, code, restart=1)


@pytest.mark.parametrize("code", [75, 137, 140, 143])
def test_what_was_warned_or_killed_goes_on_but_not_for_ever(tmp_path: Path, code: int) -> None:
    assert [ended(tmp_path, code, restart) for restart in range(MOST + 1)] == [True, True, False, False]
    mark(tmp_path, 1)
    assert [ended(tmp_path, code, restart) for restart in range(5)] == [True, True, True, True, False]


@pytest.mark.parametrize("code", [75, 137])
def test_what_a_user_cancelled_stays_cancelled(tmp_path: Path, code: int) -> None:
    mark(tmp_path, 0)
    assert not ended(tmp_path, code, state="CANCELLED")
    assert not ended(tmp_path, code, state="COMPLETING")


def test_what_its_time_limit_ended_goes_on(tmp_path: Path) -> None:
    mark(tmp_path, 0)
    assert ended(tmp_path, 75, state="COMPLETING", reason="TimeLimit")
