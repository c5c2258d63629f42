"""Run one trial, alone in its folder: data, training, evaluation, result. Whatever is on disk is not done again."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Callable
from pathlib import Path

from core.config import TrialConfig
from core.errors import BusyError, DataError, Interrupted, UserError
from core.identity import evaluation_key, trial_id
from core.io import write_text
from core.measures.base import MEASURES, Watch
from core.seal import sealed
from sweeps.folders import trial_folder
from sweeps.interrupt import Warned
from sweeps.lease import Lease, hold
from sweeps.status import ERROR, Reporter


class Report:
    """How a computation tells of its progress. Raises BusyError once the trial was taken over by another process."""

    def __init__(self, reporter: Reporter, lease: Lease, warned: Warned) -> None:
        self._reporter, self._lease, self.warned = reporter, lease, warned

    def stage(self, name: str) -> None:
        """Enter stage data | train | evaluate. Raises Interrupted when a warning has come."""
        self._lease.check()
        self.warned.check()
        self._reporter.stage(name)

    def training(self) -> contextlib.AbstractContextManager[None]:
        """Inside the block, who trains asks `warned()` at every step and stops by itself."""
        return self.warned.training()

    def step(self, step: int, total_steps: int) -> None:
        """`step` of `total_steps` is done."""
        self._lease.check()
        self._reporter.step(step, total_steps)


Compute = Callable[[TrialConfig, Path, Watch], None]


def is_done(folder: Path, evaluation: str) -> bool:
    """Whether the trial's result under this evaluation key is there and whole: sealed, or readable to its end."""
    where = folder.joinpath("evaluations", evaluation)
    if sealed(where):
        return True
    from core.results import read_result

    try:
        read_result(where)
    except DataError:
        return False
    return True


def compute(config: TrialConfig, root: Path, report: Watch) -> None:
    """Do what a trial is run for (config.measure), as its first process. Raises whatever goes wrong."""
    from core.data.build import prepare

    report.stage("data")
    store = prepare(config.data, root)
    MEASURES.build(config.measure).lead(config, store, trial_folder(root, trial_id(config)), report)


def assist(config: TrialConfig, root: Path, warned: Warned) -> None:
    """Be another of a trial's processes. Raises Interrupted, at the same step as the first, whatever goes wrong."""
    from core.data.build import prepare

    store = prepare(config.data, root)
    with warned.training():
        MEASURES.build(config.measure).follow(config, store, trial_folder(root, trial_id(config)), warned)
    warned.check()


def run_trial(
    config: TrialConfig, root: Path, worker: str = "", compute: Compute = compute, warned: Warned | None = None
) -> bool:
    """Run a trial unless its result is there; returns whether it is now done.

    A failure is written to error.txt (traceback) and status.json (one line), not raised. Raises BusyError when
    another process has the trial, Interrupted when a warning stopped it. Ctrl-C passes through. Both leave the
    trial to be resumed.
    """
    warned = warned or Warned()
    folder = trial_folder(root, trial_id(config))
    with hold(folder, worker) as lease:
        if is_done(folder, evaluation_key(config)):
            return True
        reporter = Reporter(folder)
        try:
            compute(config, root, Report(reporter, lease, warned))
        except Interrupted as stopped:
            reporter.end("stopped", str(stopped))
            raise
        except Exception as error:
            lease.check()
            fail(folder, reporter, error)
            return False
        reporter.end("done")
        (folder / ERROR).unlink(missing_ok=True)
        return True


def skip(root: Path, trial: str, reason: str) -> None:
    """Keep why a trial is not run, unless somebody runs it just now."""
    folder = trial_folder(root, trial)
    with contextlib.suppress(BusyError), hold(folder):
        Reporter(folder).end("skipped", reason)


def fail(folder: Path, reporter: Reporter, error: Exception) -> None:
    """Keep why a trial failed."""
    write_text(folder / ERROR, "".join(traceback.format_exception(error)))
    reporter.end("failed", one_line(error))


def one_line(error: BaseException) -> str:
    """An error as one line: a user's mistake as it stands, another with the name of its type."""
    text = error.what if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
    return " ".join(text.split())
