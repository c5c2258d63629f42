"""Building a data set: manifest -> shards in parallel -> index. Killed anywhere, it goes on where it was."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pandas as pd

from core.config import DataConfig
from core.data.index import write_index
from core.data.manifest import label_columns, reports_of, select_labels, studies_of, validate
from core.data.pixels import Rendering
from core.data.readers.base import READERS
from core.data.shards import ImagePlan, Record, ShardPlan, StudyPlan, finished_record, write_shard
from core.data.store import INDEX, NOTES, QUARANTINE, StudyStore, open_store
from core.data.types import SPLITS
from core.errors import DataError, disk_full
from core.io import atomic_path, canonical_hash
from core.progress import Progress
from core.workers import cores, die_with_parent

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


def prepare(config: DataConfig, root: Path, workers: int = 0) -> StudyStore:
    """Open root/data/<data_key>/, building it first where it is not finished.

    workers: processes that pack shards; 0 = one per core. Of several processes that want the same data set
    one builds and the others wait. Raises DataError.
    """
    folder = root / "data" / data_key(config)
    if not (folder / INDEX).exists():
        with _locked(folder):
            if not (folder / INDEX).exists():
                _build(config, folder, workers)
    return open_store(folder)


def build(config: DataConfig, root: Path, workers: int = 0) -> StudyStore:
    """Build or mend root/data/<data_key>/: shards that are whole stay, all others are written again."""
    folder = root / "data" / data_key(config)
    with _locked(folder):
        _build(config, folder, workers)
    return open_store(folder)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, which the kernel takes back from a process that dies."""
    with _disk_full_is_told(folder):
        folder.mkdir(parents=True, exist_ok=True)
        handle = (folder / ".lock").open("w")
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            LOG.warning("another process is building %s; waiting for it", folder.name)
            fcntl.flock(handle, fcntl.LOCK_EX)
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
    with _disk_full_is_told(folder):
        manifest = READERS.build(config).manifest(folder / "source")
        reports = reports_of(manifest) if config.reports else None
        plans = plan_shards(select_labels(validate(manifest), config.labels), config)
        allowed = config.max_quarantine * sum(plan.n_images for plan in plans)
        records = _finished(plans, folder)
        todo = [plan for plan in plans if plan.name not in records]
        total = sum(len(plan.studies) for plan in plans)
        done = total - sum(len(plan.studies) for plan in todo)
        with Progress("building shards", total, "studies", done=done) as progress:
            for plan, record in _written(todo, folder, workers):
                records[plan.name] = record
                progress.advance(len(plan.studies))
                if sum(len(r["quarantine"]) for r in records.values()) > allowed:
                    _refuse(config, folder, plans, records)
        _write_quarantine(folder, plans, records)
        _write_rows(folder / NOTES, plans, records, "note")
        write_index(folder, config, plans, [records[plan.name] for plan in plans], reports)


def plan_shards(manifest: pd.DataFrame, config: DataConfig) -> list[ShardPlan]:
    """What goes into which shard: the studies of each split in `studies_of`'s order, cut into equal runs."""
    names = label_columns(manifest)
    studies = studies_of(manifest)
    rendering = Rendering(config.size, config.resize, config.tone, config.borders)
    images: dict[str, list[ImagePlan]] = {}
    columns = (manifest[name] for name in ("study_id", "image_id", "view", "path", "photometric"))
    for study, image, view, path, photometric in zip(*columns, strict=True):
        images.setdefault(study, []).append(ImagePlan(image, view, path, photometric == "MONOCHROME1"))
    plans = []
    for split in SPLITS:
        rows = studies[studies["split"] == split].reset_index(drop=True)
        for number, first in enumerate(range(0, len(rows), config.studies_per_shard)):
            part = rows.iloc[first : first + config.studies_per_shard]
            packed = tuple(
                StudyPlan(
                    key=f"{split}-{first + place:08d}",
                    study_id=row["study_id"],
                    patient_id=row["patient_id"],
                    site=row["site"],
                    labels={name: float(row[name]) for name in names},
                    images=tuple(images[row["study_id"]]),
                )
                for place, row in enumerate(part.to_dict("records"))
            )
            plans.append(ShardPlan(f"{split}-{number:06d}", split, rendering, packed))
    return plans


def _finished(plans: Sequence[ShardPlan], folder: Path) -> dict[str, Record]:
    found = {plan.name: finished_record(plan, folder) for plan in plans}
    return {name: record for name, record in found.items() if record is not None}


def _written(plans: Sequence[ShardPlan], folder: Path, workers: int) -> Iterator[tuple[ShardPlan, Record]]:
    """Write shards, in this process or in several; yields each with its record as it is finished."""
    workers = min(workers or cores(), len(plans))
    if workers <= 1:
        for plan in plans:
            yield plan, write_shard(plan, folder)
        return
    # Not fork: threads of the caller (torch's, the loader's) would not survive it.
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=die_with_parent) as pool:
        futures: dict[Future[Record], ShardPlan] = {pool.submit(write_shard, plan, folder): plan for plan in plans}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BrokenProcessPool as error:
            raise DataError(
                "a process that packs shards died, perhaps for want of memory",
                "run again: finished shards are kept; fewer studies_per_shard or fewer workers need less memory",
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _write_rows(path: Path, plans: Sequence[ShardPlan], records: dict[str, Record], what: str) -> list[dict[str, str]]:
    """Write what the records say of single images, a reason or a note, in the order of the plan; returns the rows."""
    lists = {"reason": "quarantine", "note": "notes"}
    rows = [row for plan in plans if plan.name in records for row in records[plan.name][lists[what]]]
    with atomic_path(path) as temporary:
        pd.DataFrame(rows, columns=["image_id", "file", what]).to_csv(temporary, index=False)
    return rows


def _write_quarantine(folder: Path, plans: Sequence[ShardPlan], records: dict[str, Record]) -> int:
    """Write quarantine.csv; returns how many images it lists."""
    rows = _write_rows(folder / QUARANTINE, plans, records, "reason")
    if rows:
        first = rows[0]
        LOG.warning(
            "%d images could not be read, the first is %s (%s); all are listed in %s",
            len(rows),
            first["file"],
            first["reason"],
            folder / QUARANTINE,
        )
    return len(rows)


def _refuse(config: DataConfig, folder: Path, plans: Sequence[ShardPlan], records: dict[str, Record]) -> None:
    count = _write_quarantine(folder, plans, records)
    total = sum(plan.n_images for plan in plans)
    raise DataError(
        f"{count} of {total} images could not be read, more than data.max_quarantine={config.max_quarantine}",
        f"{folder / QUARANTINE} lists them with the reasons; mend them, or raise data.max_quarantine",
    )
