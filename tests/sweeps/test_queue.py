"""Each trial of a queue is handed out once, whoever asks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from sweeps.plan import Plan
from sweeps.queue import Queue

TAKER = """
import sys
from pathlib import Path
from sweeps.queue import Queue
queue = Queue(Path(sys.argv[1]))
# parsing a config is slow; only who gets what is of interest here
import sweeps.queue
sweeps.queue.trial_from_dict = lambda saved: saved
while (taken := queue.take(sys.argv[2])) is not None:
    print(taken.trial)
"""


def test_configs_come_out_in_order_as_they_went_in(plan: Plan, tmp_path: Path) -> None:
    queue = Queue.fill(tmp_path / "queue", plan.trials())
    assert len(queue) == 4
    taken = [queue.take("w1"), queue.take("w2"), queue.take("w1"), queue.take("w1")]
    assert [(t.trial, t.config) for t in taken if t] == list(plan.trials().items())
    assert queue.take("w1") is None
    assert len(queue) == 0
    ids = list(plan.trials())
    assert queue.taken_by("w1") == [ids[0], ids[2], ids[3]]
    assert queue.taken_by("w2") == [ids[1]]
    assert queue.taken_by("w") == []


def test_many_processes_share_it_out(plan: Plan, tmp_path: Path) -> None:
    config = next(iter(plan.trials().values()))
    trials = {f"{i:016x}": config for i in range(200)}
    Queue.fill(tmp_path / "queue", trials)
    command = [sys.executable, "-c", TAKER, str(tmp_path / "queue")]
    takers = [subprocess.Popen([*command, f"w{i}"], stdout=subprocess.PIPE, text=True) for i in range(4)]
    found = [taker.communicate(timeout=120)[0].split() for taker in takers]
    assert sorted(trial for part in found for trial in part) == list(trials)
