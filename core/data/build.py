"""Building a data set: manifest -> shards in parallel -> index. Killed anywhere, it goes on where it was.

One process may do all of it with its workers (`build`), or many may each write some of the shards (`build_shards`) and
one of them the index at the end (`merge`), whichever has a part when: the bytes are the same.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd

from core.config import DataConfig
from core.data.index import write_index
from core.data.layout import Layout, lay_out
from core.data.manifest import listed
from core.data.packing import Packed, packed_studies
from core.data.readers.base import READERS
from core.data.shards import Record, ShardPlan, verified, write_shard
from core.data.store import INDEX, NOTES, QUARANTINE, StudyStore, open_store
from core.errors import DataError, disk_full
from core.io import atomic_path, canonical_hash
from core.progress import Progress
from core.workers import cores

LOG = logging.getLogger(__name__)
LATER = ("tone", "borders")


def data_key(config: DataConfig) -> str:
    """Name of the data set's folder: the reader's name and a hash of all that determines the content. No paths.

    Settings that came later count only where they are not at their default, so that old folders keep their names.
    """
    settings = ["size", "resize", "labels", "split_seed", "validate_fraction", "test_fraction", "studies_per_shard"]
    settings += [name for name in LATER if getattr(config, name) != getattr(DataConfig, name)]
    reader = READERS.build(config)
    identity = {"reader": reader.identity(), **{name: getattr(config, name) for name in settings}}
    # Only where it is set, so that data sets of before there were reports keep their names.
    identity |= {"reports": True} if config.reports else {}
    return f"{config.name}-{canonical_hash(identity)}"


def data_folder(config: DataConfig, root: Path) -> Path:
    """Where a data set lies below `root`."""
    return root / "data" / data_key(config)


def prepare(config: DataConfig, root: Path, workers: int = 0) -> StudyStore:
    """Open root/data/<data_key>/, building it first where it is not finished.

    workers: processes that decode films; 0 = one per core. Of several processes that want the same data set
    one builds and the others wait. Raises DataError.
    """
    folder = data_folder(config, root)
    if not (folder / INDEX).exists():
        with _alone(folder):
            if not (folder / INDEX).exists():
                _build(config, folder, workers)
    return open_store(folder)


def build(config: DataConfig, root: Path, workers: int = 0) -> StudyStore:
    """Build or mend root/data/<data_key>/: shards that are whole stay, all others are written again."""
    folder = data_folder(config, root)
    with _alone(folder):
        _build(config, folder, workers)
    return open_store(folder)


def build_shards(layout: Layout, plans: Sequence[ShardPlan], workers: int = 0) -> Iterator[ShardPlan]:
    """Write those shards of a layout that are not whole yet; yields each as it is finished.

    Others may write other shards meanwhile. Raises DataError, also where more images than the whole data set may lack
    could not be read in these shards alone.
    """
    with _among_others(layout.folder):
        for plan, _ in _written(layout, plans, _whole(layout, plans), workers):
            yield plan


def merge(layout: Layout) -> StudyStore:
    """Write the index of a layout whose shards are all there. Raises DataError that names those that are missing."""
    with _alone(layout.folder):
        records = _verified(layout, layout.plans)
        absent = [plan.name for plan in layout.plans if plan.name not in records]
        if absent:
            what = f"{len(absent)} of {len(layout.plans)} shards are missing or damaged: {listed(absent)}"
            raise DataError(what, "run the same `viewpair data build` again: it writes these alone")
        _check_quarantine(layout, records)
        _finish(layout, records)
    return open_store(layout.folder)


def _alone(folder: Path) -> contextlib.AbstractContextManager[None]:
    """Hold the folder's lock, which the kernel takes back from a process that dies."""
    return _locked(folder, fcntl.LOCK_EX)


def _among_others(folder: Path) -> contextlib.AbstractContextManager[None]:
    """Hold the folder's lock together with others that do the same."""
    return _locked(folder, fcntl.LOCK_SH)


@contextlib.contextmanager
def _locked(folder: Path, kind: int) -> Iterator[None]:
    with _disk_full_is_told(folder):
        folder.mkdir(parents=True, exist_ok=True)
        # NFS wants a file that is open for reading for the one kind of lock and for writing for the other.
        handle = (folder / ".lock").open("a+")
        with handle:
            try:
                fcntl.flock(handle, kind | fcntl.LOCK_NB)
            except BlockingIOError:
                LOG.warning("another process is building %s; waiting for it", folder.name)
                fcntl.flock(handle, kind)
            yield


@contextlib.contextmanager
def _disk_full_is_told(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if not disk_full(error):
            raise
        raise DataError(
            f"the disk is full: {folder} could not be written",
            "free some space and run again; the shards that are finished are kept",
        ) from error


def _build(config: DataConfig, folder: Path, workers: int) -> None:
    layout = lay_out(config, folder)
    records = _whole(layout, layout.plans)
    records |= {plan.name: record for plan, record in _written(layout, layout.plans, records, workers)}
    _finish(layout, records)


def _verified(layout: Layout, plans: Sequence[ShardPlan]) -> dict[str, Record]:
    """The records of the shards that are there, their bytes verified."""
    with ThreadPoolExecutor(cores()) as pool:
        found = pool.map(lambda plan: verified(plan, layout.folder), plans)
        return {plan.name: record for plan, record in zip(plans, found, strict=True) if record is not None}


def _whole(layout: Layout, plans: Sequence[ShardPlan]) -> dict[str, Record]:
    """Those of them that lack no image: one that could not be read may be readable now."""
    return {name: record for name, record in _verified(layout, plans).items() if not record["quarantine"]}


def _written(
    layout: Layout, plans: Sequence[ShardPlan], whole: Mapping[str, Record], workers: int
) -> Iterator[tuple[ShardPlan, Record]]:
    """Write the shards that are not whole; yields each with its record as it is finished."""
    todo = [plan for plan in plans if plan.name not in whole]
    studies = [study for plan in todo for study in plan.studies]
    total = sum(len(plan.studies) for plan in plans)
    records: dict[str, Record] = {}
    if not todo:
        return
    stream = packed_studies(studies, todo[0].rendering, workers)
    with (
        Progress("building shards", total, "studies", done=total - len(studies)) as progress,
        contextlib.closing(stream) as packed,
    ):
        counted = _counted(packed, progress)
        for plan in todo:
            records[plan.name] = write_shard(plan, layout.folder, counted)
            _check_quarantine(layout, records)
            yield plan, records[plan.name]


def _counted(packed: Iterator[Packed], progress: Progress) -> Iterator[Packed]:
    for study in packed:
        progress.advance()
        yield study


def _finish(layout: Layout, records: Mapping[str, Record]) -> None:
    rows = _write_rows(layout, records, QUARANTINE, "quarantine", "reason")
    if rows:
        text = "%d images could not be read, the first is %s (%s); all are listed in %s"
        LOG.warning(text, len(rows), rows[0]["file"], rows[0]["reason"], layout.folder / QUARANTINE)
    _write_rows(layout, records, NOTES, "notes", "note")
    ordered = [records[plan.name] for plan in layout.plans]
    write_index(layout.folder, layout.config, layout.plans, ordered, layout.reports)


def _write_rows(layout: Layout, records: Mapping[str, Record], file: str, kind: str, what: str) -> list[dict[str, str]]:
    """Write what the records say of single images, a reason or a note, in the order of the plan; returns the rows."""
    known = [records[plan.name] for plan in layout.plans if plan.name in records]
    rows: list[dict[str, str]] = list(itertools.chain.from_iterable(record[kind] for record in known))
    with atomic_path(layout.folder / file) as temporary:
        pd.DataFrame(rows, columns=["image_id", "file", what]).to_csv(temporary, index=False)
    return rows


def _check_quarantine(layout: Layout, records: Mapping[str, Record]) -> None:
    """Raise DataError where more images could not be read than data.max_quarantine allows of all."""
    count, most = sum(len(record["quarantine"]) for record in records.values()), layout.config.max_quarantine
    if count > most * layout.n_images:
        _write_rows(layout, records, QUARANTINE, "quarantine", "reason")
        raise DataError(
            f"{count} of {layout.n_images} images could not be read, more than data.max_quarantine={most}",
            f"{layout.folder / QUARANTINE} lists them with the reasons; mend them, or raise data.max_quarantine",
        )
