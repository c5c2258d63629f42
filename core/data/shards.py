"""Shards: tar files that webdataset reads, one sample a study, with the same bytes on every run.

A sample is <key>.images.npy, uint8 [V, H, W], and <key>.meta.json. Beside each tar lies its record, written
last: where each image's pixels begin, what could not be read, and the tar's length and hash.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.data.pixels import Rendering, load_picture
from core.data.types import Bytes, UnreadableImageError
from core.errors import DataError
from core.io import atomic_path, canonical_hash, json_ready, read_json, sha256_file, write_json

TAR_HEADER = 512
RECORD_SCHEMA = 2


@dataclass(frozen=True)
class ImagePlan:
    """One image to pack: its id, its view's name, its file, and whether that is a picture stored inverted."""

    image_id: str
    view: str
    path: str
    inverted: bool = False


@dataclass(frozen=True)
class StudyPlan:
    """One study to pack. key: the sample's name in the tar. labels: name -> 1, 0, -1 or NaN."""

    key: str
    study_id: str
    patient_id: str
    site: str
    labels: dict[str, float]
    images: tuple[ImagePlan, ...]


@dataclass(frozen=True)
class ShardPlan:
    """The studies of one shard, and how their files become pictures."""

    name: str
    split: str
    rendering: Rendering
    studies: tuple[StudyPlan, ...]

    def identity(self) -> str:
        """Hash of all that determines the shard but the pixels; a file's folder is not part of it."""
        plain = asdict(self)
        for study in plain["studies"]:
            for image in study["images"]:
                image["path"] = Path(image["path"]).name
        return canonical_hash(plain)

    @property
    def n_images(self) -> int:
        """Images planned, readable or not."""
        return sum(len(study.images) for study in self.studies)


Record = dict[str, Any]


def write_shard(plan: ShardPlan, folder: Path) -> Record:
    """Write `plan`'s tar and then its record into `folder`, each atomically; returns the record.

    Unreadable images are listed in the record, and what is odd about the others; a study without a readable image
    gets no sample.
    """
    quarantine: list[dict[str, str]] = []
    notes: list[dict[str, str]] = []
    studies: list[dict[str, Any]] = []
    tar_path = folder / f"{plan.name}.tar"
    with atomic_path(tar_path) as temporary:
        with tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as tar:
            for study in plan.studies:
                pictures = _load(study, plan.rendering, quarantine, notes)
                studies.append({"study_id": study.study_id, "images": _add_sample(tar, study, pictures)})
        size, digest = temporary.stat().st_size, sha256_file(temporary)
    record = {
        "schema": RECORD_SCHEMA,
        "plan": plan.identity(),
        "bytes": size,
        "sha256": digest,
        "studies": studies,
        "quarantine": quarantine,
        "notes": notes,
    }
    write_json(folder / f"{plan.name}.json", record)
    return record


def finished_record(plan: ShardPlan, folder: Path) -> Record | None:
    """The record of a shard that an earlier run finished, after its tar's length and hash were verified.

    None where there is no such shard, where it was made from another plan, where its bytes differ, or where
    images could not be read (they may be readable now).
    """
    tar_path, record_path = folder / f"{plan.name}.tar", folder / f"{plan.name}.json"
    if not (tar_path.is_file() and record_path.is_file()):
        return None
    try:
        record: Record = read_json(record_path)
    except DataError:
        # A damaged record only means that its shard is written again.
        return None
    if record.get("schema") != RECORD_SCHEMA or record["plan"] != plan.identity() or record["quarantine"]:
        return None
    same = tar_path.stat().st_size == record["bytes"] and sha256_file(tar_path) == record["sha256"]
    return record if same else None


def _load(
    study: StudyPlan, rendering: Rendering, quarantine: list[dict[str, str]], notes: list[dict[str, str]]
) -> list[tuple[ImagePlan, Bytes]]:
    loaded = []
    for image in study.images:
        named = {"image_id": image.image_id, "file": Path(image.path).name}
        try:
            picture = load_picture(Path(image.path), rendering, image.inverted)
        except UnreadableImageError as error:
            quarantine.append({**named, "reason": str(error)})
        else:
            notes += [{**named, "note": note} for note in picture.notes]
            loaded.append((image, picture.pixels))
    return loaded


def _add_sample(
    tar: tarfile.TarFile, study: StudyPlan, pictures: list[tuple[ImagePlan, Bytes]]
) -> list[dict[str, Any]]:
    """Append a study's two members; returns id, view, offset of the pixels and hash of each image."""
    if not pictures:
        return []
    stack = np.stack([pixels for _, pixels in pictures])
    meta = {
        "study_id": study.study_id,
        "patient_id": study.patient_id,
        "image_ids": [image.image_id for image, _ in pictures],
        "views": [image.view for image, _ in pictures],
        "labels": study.labels,
    }
    buffer = io.BytesIO()
    np.save(buffer, stack, allow_pickle=False)
    npy_header = buffer.tell() - stack.nbytes
    first = _add_member(tar, f"{study.key}.images.npy", buffer.getvalue()) + npy_header
    _add_member(tar, f"{study.key}.meta.json", json.dumps(json_ready(meta), sort_keys=True, allow_nan=False).encode())
    return [
        {
            "image_id": image.image_id,
            "view": image.view,
            "offset": first + slot * pixels.nbytes,
            "pixels": hashlib.sha256(pixels.tobytes()).hexdigest()[:32],
        }
        for slot, (image, pixels) in enumerate(pictures)
    ]


def _add_member(tar: tarfile.TarFile, name: str, data: bytes) -> int:
    """Append a member with nothing in its header that could differ between runs; returns where its data begin."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), 0o644
    begins = tar.offset + TAR_HEADER
    tar.addfile(info, io.BytesIO(data))
    return begins
