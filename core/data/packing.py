"""From the files of a study to its sample in a shard, over processes.

The unit of the work is a few studies, not a shard: all processes have something to do until the last studies, and
little is lost with a process that is killed. The order of what comes back is that of the plan.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import multiprocessing
import tarfile
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy.lib.format as npy

from core.data.pixels import Rendering, load_picture
from core.data.types import Bytes, UnreadableImageError
from core.errors import DataError
from core.io import json_ready
from core.workers import cores, die_with_parent, keep_freed_memory

CHUNK = 4  # studies that a process is given at once
AHEAD = 4  # chunks for each process that may wait to be written


@dataclass(frozen=True)
class ImagePlan:
    """One image to pack: its id, its view's name, its file, and whether that is a picture stored inverted."""

    image_id: str
    view: str
    path: str
    inverted: bool = False


@dataclass(frozen=True)
class StudyPlan:
    """One study to pack. key: the sample's name in the tar. labels: name -> 1, 0, -1, NaN or UNKNOWN."""

    key: str
    study_id: str
    patient_id: str
    site: str
    labels: dict[str, float]
    images: tuple[ImagePlan, ...]


@dataclass(frozen=True)
class Packed:
    """A study as a shard takes it.

    members: its bytes in the tar, none where no image could be read. images: id, view, offset of the pixels in
    `members` and hash of each that could. quarantine, notes: id, file, and reason or note.
    """

    members: bytes = b""
    images: list[dict[str, Any]] = field(default_factory=list)
    quarantine: list[dict[str, str]] = field(default_factory=list)
    notes: list[dict[str, str]] = field(default_factory=list)


def packed_studies(
    studies: Iterable[StudyPlan], rendering: Rendering, workers: int = 0
) -> Generator[Packed, None, None]:
    """The studies packed, in their order, by `workers` processes (0 = one per core); by this one where it is 1.

    Raises DataError when a process dies.
    """
    workers, remaining = workers or cores(), iter(studies)
    chunks = iter(lambda: list(itertools.islice(remaining, CHUNK)), list[StudyPlan]())
    if workers == 1:
        for chunk in chunks:
            yield from pack_studies(chunk, rendering)
        return
    # Not fork: threads of the caller (torch's, the loader's) would not survive it.
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=start_worker) as pool:
        waiting: deque[Future[list[Packed]]] = deque()
        try:
            for chunk in chunks:
                waiting.append(pool.submit(pack_studies, chunk, rendering))
                if len(waiting) >= AHEAD * workers:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        except BrokenProcessPool as error:
            raise DataError(
                "a process that packs shards died, perhaps for want of memory",
                "run again: finished shards are kept; fewer workers need less memory",
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def start_worker() -> None:
    """Set up a process that decodes films."""
    die_with_parent()
    keep_freed_memory()


def pack_studies(studies: Sequence[StudyPlan], rendering: Rendering) -> list[Packed]:
    """A chunk of studies, packed."""
    return [pack_study(study, rendering) for study in studies]


def pack_study(study: StudyPlan, rendering: Rendering) -> Packed:
    """One study, packed: <key>.images.npy, uint8 [V, H, W], and <key>.meta.json as members of a tar."""
    packed = Packed()
    pictures = _load(study, rendering, packed.quarantine, packed.notes)
    if not pictures:
        return packed
    meta = {
        "study_id": study.study_id,
        "patient_id": study.patient_id,
        "image_ids": [image.image_id for image, _ in pictures],
        "views": [image.view for image, _ in pictures],
        "labels": study.labels,
    }
    header = _npy_header((len(pictures), *pictures[0][1].shape))
    arrays = [pixels.tobytes() for _, pixels in pictures]
    first = tarfile.BLOCKSIZE + len(header)
    images = [
        {
            "image_id": image.image_id,
            "view": image.view,
            "offset": first + slot * len(array),
            "pixels": hashlib.sha256(array).hexdigest()[:32],
        }
        for slot, ((image, _), array) in enumerate(zip(pictures, arrays, strict=True))
    ]
    text = json.dumps(json_ready(meta), sort_keys=True, allow_nan=False).encode()
    members = _member(f"{study.key}.images.npy", header, *arrays) + _member(f"{study.key}.meta.json", text)
    return Packed(members, images, packed.quarantine, packed.notes)


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


@lru_cache(maxsize=16)
def _npy_header(shape: tuple[int, ...]) -> bytes:
    """What stands before the bytes of a uint8 array in a npy file."""
    header = io.BytesIO()
    npy.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return header.getvalue()


def _member(name: str, *data: bytes) -> bytes:
    """A member of a tar, its data in pieces, with nothing in its header that could differ between runs."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = sum(map(len, data)), 0o644
    header = info.tobuf(tarfile.USTAR_FORMAT)
    return b"".join((header, *data, bytes(-info.size % tarfile.BLOCKSIZE)))
