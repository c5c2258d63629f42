"""Building a data set on a launcher, and following it to its end."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from core.config import DataConfig
from core.errors import DataError
from core.progress import Progress
from sweeps.launchers.base import LAUNCHERS, Building, Launcher
from sweeps.run import one_at_a_time

POLL_SECONDS = 5.0


def build_on(launcher: Any, data: DataConfig, root: Path, workers: int) -> Building | None:
    """Build or mend a data set on a launcher (its config); None once it is built. Raises UserError."""
    built: Launcher = LAUNCHERS.build(launcher)
    if not built.detached:
        return built.build(data, root, workers)
    # two that are started at once: the second sees the jobs of the first
    with one_at_a_time(root):
        return built.build(data, root, workers)


def see_through(building: Building) -> None:
    """Show how far a data set is until nothing of it runs any more. Raises DataError where it is not whole then."""
    layout = building.layout
    with Progress("building shards", layout.n_studies, "studies", done=building.done()) as progress:
        while building.active():
            time.sleep(POLL_SECONDS)
            progress.advance(building.done() - progress.done)
    if not layout.indexed():
        what = f"{layout.folder} is not whole: {len(layout.unfinished())} of {len(layout.plans)} shards are missing"
        raise DataError(what, f"the logs say why: {building.logs}; the same command again submits what is missing")
