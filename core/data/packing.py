"""From the files of a study to its sample in a shard, over processes.

The unit of the work is a few studies, not a shard: all processes have something to do until the last studies, and
little is lost with a process that is killed. The order of what comes back is that of the plan.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import tarfile
import time
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy.lib.format as npy

from core.data.pixels import Rendering, load_picture
from core.data.types import Bytes, UnreadableImageError
from core.io import json_ready
from core.workers import cores, process_pool

# How long a process is busy with the studies that it is given at once, and the most of them. To pass films of half a
# millisecond on one by one takes as long as to decode them.
SECONDS, MOST = 0.05, 64
AHEAD = 3  # chunks for each process that may wait to be written


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


@dataclass(frozen=True)
class Chunk:
    """Studies that a process packed at once, in their order, and the seconds that it took."""

    packed: list[Packed]
    seconds: float


def packed_studies(
    studies: Iterable[StudyPlan], rendering: Rendering, workers: int = 0
) -> Generator[Packed, None, None]:
    """The studies packed, in their order, by `workers` processes (0 = one per core); by this one where it is 1.

    Raises DataError when a process dies.
    """
    workers, remaining = workers or cores(), iter(studies)
    if workers == 1:
        yield from (pack_study(study, rendering) for study in remaining)
        return
    remedy = "run again: finished shards are kept; fewer workers need less memory"
    with process_pool(workers, "packs shards", remedy) as pool:
        waiting: deque[Future[Chunk]] = deque()
        count = 1
        while chunk := list(itertools.islice(remaining, count)):
            waiting.append(pool.submit(pack_studies, chunk, rendering))
            if len(waiting) >= AHEAD * workers:
                done = waiting.popleft().result()
                count = at_once(len(done.packed), done.seconds)
                yield from done.packed
        while waiting:
            yield from waiting.popleft().result().packed


def at_once(studies: int, seconds: float) -> int:
    """How many studies to give to a process at once, where it packed so many of them in so many seconds."""
    return max(1, min(MOST, int(SECONDS * studies / max(seconds, 1e-6))))


def pack_studies(studies: Sequence[StudyPlan], rendering: Rendering) -> Chunk:
    """A chunk of studies, packed."""
    begun = time.perf_counter()
    packed = [pack_study(study, rendering) for study in studies]
    return Chunk(packed, time.perf_counter() - begun)


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
