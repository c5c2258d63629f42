"""A lease has one owner at a time, whatever the processes that want it do."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from core.errors import BusyError
from sweeps import lease
from sweeps.processes import ProcessId, start_of


def python(code: str, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(code), *words], stdout=subprocess.PIPE, text=True)


HOLDER = """
    import sys, time
    from pathlib import Path
    from sweeps.lease import hold
    with hold(Path(sys.argv[1]), worker="w7"):
        print("held", flush=True)
        time.sleep(60)
"""


def start_holder(folder: Path) -> subprocess.Popen[str]:
    process = python(HOLDER, str(folder))
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_live_owner_keeps_others_out_and_is_named(tmp_path: Path) -> None:
    holder = start_holder(tmp_path)
    try:
        with pytest.raises(BusyError, match=f"process {holder.pid} on"):
            lease.acquire(tmp_path)
        present = lease.owner(tmp_path)
        assert present is not None
        assert (present.process.pid, present.worker) == (holder.pid, "w7")
    finally:
        holder.kill()
        holder.wait()


def test_a_killed_owner_is_taken_over_at_once(tmp_path: Path) -> None:
    holder = start_holder(tmp_path)
    holder.send_signal(signal.SIGKILL)
    # not waited for: a zombie holds nothing
    while start_of(holder.pid):
        time.sleep(0.01)
    assert lease.owner(tmp_path) is None
    with lease.hold(tmp_path):
        present = lease.owner(tmp_path)
        assert present is not None
        assert present.process.pid == os.getpid()
    holder.wait()


def test_it_is_free_after_the_block_and_after_an_error_in_it(tmp_path: Path) -> None:
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), lease.hold(tmp_path):
            raise ZeroDivisionError
        assert lease.owner(tmp_path) is None
    with lease.hold(tmp_path), pytest.raises(BusyError):
        lease.acquire(tmp_path)


RACER = """
    import os, sys, time
    from pathlib import Path
    from core.errors import BusyError
    from sweeps.lease import hold
    folder, rounds, start = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    inside, wins, overlaps = folder / "inside", 0, 0
    time.sleep(max(0, start - time.time()))
    while wins < rounds:
        try:
            with hold(folder):
                try:
                    os.close(os.open(inside, os.O_CREAT | os.O_EXCL))
                except FileExistsError:
                    overlaps += 1
                time.sleep(0.001)
                inside.unlink(missing_ok=True)
                wins += 1
        except BusyError:
            time.sleep(0.0005)
    print(wins, overlaps)
"""


def test_many_processes_never_hold_it_at_the_same_time(tmp_path: Path) -> None:
    racers = [python(RACER, str(tmp_path), "25", str(time.time() + 1.0)) for _ in range(6)]
    counts = [racer.communicate(timeout=120)[0].split() for racer in racers]
    assert counts == [["25", "0"]] * 6


ONE_SHOT = """
    import sys, time
    from pathlib import Path
    from core.errors import BusyError
    from sweeps import lease
    time.sleep(max(0, float(sys.argv[2]) - time.time()))
    try:
        lease.acquire(Path(sys.argv[1]))
        print("won", flush=True)
    except BusyError:
        print("busy", flush=True)
    time.sleep(3)
"""


def test_of_many_who_take_over_a_dead_owners_lease_one_wins(tmp_path: Path) -> None:
    holder = start_holder(tmp_path)
    holder.kill()
    holder.wait()
    heirs = [python(ONE_SHOT, str(tmp_path), str(time.time() + 1.0)) for _ in range(6)]
    answers = sorted(heir.communicate(timeout=60)[0].strip() for heir in heirs)
    assert answers == ["busy"] * 5 + ["won"]


def pretend_other_host(folder: Path, seconds_silent: float) -> None:
    path = next((folder / "lease").glob("*/owner.json"))
    path.write_text(json.dumps({**json.loads(path.read_text()), "host": "elsewhere", "pid": 1}))
    beat = time.time() - seconds_silent
    os.utime(path, (beat, beat))


def test_an_owner_on_another_host_is_judged_by_its_heartbeat(tmp_path: Path) -> None:
    held = lease.acquire(tmp_path)
    pretend_other_host(tmp_path, 1.0)
    with pytest.raises(BusyError, match="on elsewhere"):
        lease.acquire(tmp_path)
    held.beat()
    pretend_other_host(tmp_path, lease.STALE_SECONDS + 1)
    held.beat()
    with pytest.raises(BusyError):
        lease.acquire(tmp_path)


def test_an_owner_that_was_silent_too_long_learns_that_it_lost(tmp_path: Path) -> None:
    held = lease.acquire(tmp_path)
    held.beat()
    held.check()
    pretend_other_host(tmp_path, lease.STALE_SECONDS + 1)
    heir = lease.acquire(tmp_path)
    held.beat()
    with pytest.raises(BusyError, match="taken over"):
        held.check()
    held.release()
    heir.beat()
    heir.check()
    assert lease.owner(tmp_path) is not None


def test_a_late_claim_on_a_cleared_number_loses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lease.acquire(tmp_path).release()
    stale = lease._latest
    # this process read "1 is the latest" and then slept, while others used 2 and 3
    monkeypatch.setattr(lease, "_latest", lambda _leases: 1)
    real_write = lease.write_json

    def meanwhile(path: Path, value: object) -> None:
        monkeypatch.setattr(lease, "_latest", stale)
        monkeypatch.setattr(lease, "write_json", real_write)
        lease.acquire(tmp_path).release()
        lease.acquire(tmp_path)
        real_write(path, value)

    monkeypatch.setattr(lease, "write_json", meanwhile)
    with pytest.raises(BusyError):
        lease.acquire(tmp_path)
    assert sorted(p.name for p in (tmp_path / "lease").iterdir()) == ["3"]


def test_a_reused_process_id_is_another_process() -> None:
    mine = ProcessId.mine()
    assert mine.is_alive()
    assert not ProcessId(mine.host, mine.pid, "12345").is_alive()
    assert start_of(2**22 + 1) == ""
