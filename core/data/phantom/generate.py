"""Make the whole phantom: patients rendered over processes, each written whole or not at all, then the tables."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

from core.data.phantom.config import PhantomConfig
from core.data.phantom.patient import patient_folder, render_patient
from core.data.phantom.plan import subject_id
from core.data.phantom.tables import split_patients, write_tables
from core.errors import DataError
from core.io import canonical_hash, read_json, write_json
from core.progress import Progress
from core.threads import one_thread
from core.workers import cores, keep_freed_memory, process_pool

VERSION = 4  # of the phantom's code: raised whenever the same settings would give other bytes
DONE, STARTED, PARTIAL = "phantom.json", "phantom-settings.json", ".partial"


def identity(config: PhantomConfig) -> dict[str, Any]:
    """All that determines the phantom's bytes."""
    names = (
        "patients", "seed", "studies_per_patient", "cooccurrence", "persistence", "hidden_share", "single_view_share",
        "two_frontals_share", "portable_share", "uncertain_share", "blank_share", "dose", "scatter", "split_seed",
        "validate_fraction", "test_fraction",
    )  # fmt: skip
    settings = {name: getattr(config, name) for name in names}
    lists = {"severity": list(config.severity), "sites": list(config.sites), "prevalence": config.shares}
    return {"version": VERSION, "film_size": config.pixels, **settings, **lists}


def generate(config: PhantomConfig, folder: Path) -> None:
    """Make `folder` hold the phantom of `config`; does nothing where it does, and goes on where a run was cut short.

    Raises DataError when the folder holds a phantom of other settings.
    """
    settings = {"settings": canonical_hash(identity(config), 64)}
    for name in (DONE, STARTED):
        if (folder / name).exists() and read_json(folder / name) != settings:
            raise DataError(f"{folder} holds a phantom of other settings", "delete the folder or give another")
    if (folder / DONE).exists():
        return
    write_json(folder / STARTED, settings)
    waiting = [n for n in range(config.patients) if not _files(config, folder, n).exists()]
    with Progress("phantom", config.patients, "patients", done=config.patients - len(waiting)) as progress:
        for _ in _render_all(config, folder, waiting):
            progress.advance()
    subjects = [subject_id(config.seed, n) for n in range(config.patients)]
    rows = [read_json(folder / "masks" / patient_folder(s) / "rows.json") for s in subjects]
    splits = split_patients(subjects, config.split_seed, config.validate_fraction, config.test_fraction)
    write_tables(folder, rows, splits)
    shutil.rmtree(folder / PARTIAL, ignore_errors=True)
    write_json(folder / DONE, settings)


def _files(config: PhantomConfig, folder: Path, number: int) -> Path:
    return folder / "files" / patient_folder(subject_id(config.seed, number))


def _render_all(config: PhantomConfig, folder: Path, numbers: list[int]) -> Iterator[None]:
    processes = min(config.processes or cores(), max(1, len(numbers)))
    work = partial(complete_patient, config, folder)
    if processes == 1:
        with single_process():
            for number in numbers:
                yield work(number)
        return
    remedy = "run again: finished patients are kept; fewer data.processes need less memory"
    with process_pool(processes, "renders the phantom", remedy, one_thread) as pool:
        yield from pool.map(work, numbers, chunksize=4)


def single_process() -> AbstractContextManager[None]:
    """Set this process up to render by itself; what is returned puts its number of threads back on leaving."""
    keep_freed_memory()
    return one_thread()


def complete_patient(config: PhantomConfig, folder: Path, number: int) -> None:
    """Render one patient beside the data set, then move it in.

    The patient's folder below files/ comes last and means that all is there.
    """
    name = patient_folder(subject_id(config.seed, number))
    parts = {kind: folder / PARTIAL / f"{kind}-{os.getpid()}-{number}" for kind in ("masks", "files")}
    for part in parts.values():
        shutil.rmtree(part, ignore_errors=True)
    rows = render_patient(config, number, parts["files"], parts["masks"])
    (parts["masks"] / "rows.json").write_text(json.dumps(rows))
    for kind, part in parts.items():
        place = folder / kind / name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(place, ignore_errors=True)
        part.rename(place)
