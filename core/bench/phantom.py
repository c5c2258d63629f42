"""What rendering the phantom costs one core: whole patients, with their DICOM files and masks, at some sizes."""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from core.config import TrialConfig
from core.data.phantom.config import PhantomConfig
from core.data.phantom.generate import complete_patient, single_process
from core.data.phantom.plan import plan_patient
from core.errors import ConfigError

SIZES = {64: 60, 224: 12, 512: 4}  # side of a film, px: how many patients
WARM_UP = 3  # patients, not timed: they fill the caches that later ones find full


def bench_phantom(config: TrialConfig, repeats: int) -> list[dict[str, Any]]:
    """Rows (size, studies, ms_per_study_per_core, wall_ms_per_study), one a film size, of the phantom that `data` sets.

    The least of `repeats` passes over the same patients: the CPU time of this one process, which what else runs on
    the machine lengthens less than the wall time beside it. Raises ConfigError when data is not the phantom.
    """
    if not isinstance(config.data, PhantomConfig):
        raise ConfigError(f"bench phantom renders the phantom, and data={config.data.name} is none", "use data=phantom")
    with single_process():
        return [bench_size(config.data, size, count, repeats) for size, count in SIZES.items()]


def bench_size(config: PhantomConfig, size: int, count: int, repeats: int) -> dict[str, Any]:
    """One row: `count` patients rendered at `size` px."""
    config = replace(config, film_size=size)
    studies = sum(len(plan_patient(config, number).studies) for number in range(count))
    passes = []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            for number in range(count, count + WARM_UP):
                complete_patient(config, Path(folder), number)
            cpu, wall = time.process_time(), time.perf_counter()
            for number in range(count):
                complete_patient(config, Path(folder), number)
            passes.append((time.process_time() - cpu, time.perf_counter() - wall))
    cpu, wall = (1e3 * min(seconds) / studies for seconds in zip(*passes, strict=True))
    return {"size": size, "studies": studies, "ms_per_study_per_core": cpu, "wall_ms_per_study": wall}
