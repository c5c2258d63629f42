"""Shards: tar files that webdataset reads, one sample a study, with the same bytes on every run.

A sample is <key>.images.npy, uint8 [V, H, W], and <key>.meta.json, in which a label is 1, 0, -1 (uncertain), null (not
mentioned) or -2 (nobody has looked). Beside each tar lies its record, written last: where each image's pixels begin,
what could not be read, and the tar's length and hash.
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.data.packing import Packed, StudyPlan
from core.data.pixels import Rendering
from core.errors import DataError
from core.io import atomic_path, canonical_hash, read_json, sha256_file, write_compact_json

RECORD_SCHEMA = 5
TAR_END = 2 * tarfile.BLOCKSIZE


@dataclass(frozen=True)
class ShardPlan:
    """The studies of one shard, and how their files become pictures."""

    name: str
    split: str
    rendering: Rendering
    studies: tuple[StudyPlan, ...]

    def identity(self) -> str:
        """Hash of all that determines the shard but the pixels; a file's folder is not part of it."""
        # dataclasses.asdict would take a hundred times as long, and there are hundreds of thousands of studies
        studies = [
            {**vars(study), "images": [{**vars(image), "path": Path(image.path).name} for image in study.images]}
            for study in self.studies
        ]
        return canonical_hash({**vars(self), "rendering": vars(self.rendering), "studies": studies})

    @property
    def n_images(self) -> int:
        """Images planned, readable or not."""
        return sum(len(study.images) for study in self.studies)


Record = dict[str, Any]


def write_shard(plan: ShardPlan, folder: Path, packed: Iterator[Packed]) -> Record:
    """Write `plan`'s tar and then its record into `folder`, each atomically; returns the record.

    packed: yields the plan's studies, in their order. Unreadable images are listed in the record, and what is odd
    about the others; a study without a readable image gets no sample.
    """
    record: Record = {
        "schema": RECORD_SCHEMA,
        "plan": plan.identity(),
        "studies": [],
        "quarantine": [],
        "notes": [],
    }
    size, digest = 0, hashlib.sha256()
    with atomic_path(folder / f"{plan.name}.tar") as temporary, temporary.open("wb") as tar:
        for study in plan.studies:
            sample = next(packed)
            images = [{**image, "offset": size + image["offset"]} for image in sample.images]
            record["studies"].append({"study_id": study.study_id, "images": images})
            record["quarantine"] += sample.quarantine
            record["notes"] += sample.notes
            size += tar.write(sample.members)
            digest.update(sample.members)
        end = bytes(TAR_END + -(size + TAR_END) % tarfile.RECORDSIZE)
        size += tar.write(end)
        digest.update(end)
    record |= {"bytes": size, "sha256": digest.hexdigest()}
    write_compact_json(folder / f"{plan.name}.json", record)
    return record


def recorded(plan: ShardPlan, folder: Path) -> Record | None:
    """The record of a shard that lies in `folder`; None where there is none, or one of another plan or length.

    Its tar is not read.
    """
    tar_path, record_path = folder / f"{plan.name}.tar", folder / f"{plan.name}.json"
    if not (tar_path.is_file() and record_path.is_file()):
        return None
    try:
        record: Record = read_json(record_path)
    except DataError:
        # A damaged record only means that its shard is written again.
        return None
    if record.get("schema") != RECORD_SCHEMA or record["plan"] != plan.identity():
        return None
    return record if tar_path.stat().st_size == record["bytes"] else None


def verified(plan: ShardPlan, folder: Path) -> Record | None:
    """The record of a shard that lies in `folder`, after its tar's hash was verified, too; else None."""
    record = recorded(plan, folder)
    if record is None or sha256_file(folder / f"{plan.name}.tar") != record["sha256"]:
        return None
    return record
