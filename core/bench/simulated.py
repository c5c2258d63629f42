"""A data set as large as MIMIC-CXR that takes no disk: the index is real, the shards are files of holes."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tarfile import BLOCKSIZE
from typing import Any

import numpy as np

from core.config import DataConfig
from core.data.index import write_index
from core.data.packing import ImagePlan, StudyPlan
from core.data.pixels import Rendering
from core.data.shards import Record, ShardPlan
from core.data.types import CHEXPERT_LABELS, SPLITS, Ints

NPY_HEADER, META_MEMBER = 128, 3 * BLOCKSIZE
VIEWS, VIEW_SHARES = ("frontal", "lateral", "unknown"), (0.64, 0.32, 0.04)
LABELS, LABEL_SHARES = (1.0, 0.0, -1.0, float("nan")), (0.1, 0.05, 0.03, 0.82)


@dataclass(frozen=True)
class Scale:
    """How large. Defaults: MIMIC-CXR's splits (Johnson et al. 2019; mimic-cxr-2.0.0-split.csv) at 224 px."""

    studies: tuple[int, ...] = (222_758, 1_808, 3_269)
    images: tuple[int, ...] = (368_960, 2_991, 5_159)
    patients: tuple[int, ...] = (64_586, 500, 293)
    size: int = 224
    studies_per_shard: int = 512


def simulate(folder: Path, scale: Scale, seed: int = 0) -> None:
    """Write the index and the sparse shards of a data set with `scale`'s counts into `folder`.

    Images fall on studies and studies on patients at random, each with one at least. Pixels read as 0.
    """
    rng = np.random.default_rng(seed)
    plans: list[ShardPlan] = []
    for place in range(len(SPLITS)):
        plans += split_plans(scale, place, rng)
    records = [sparse_shard(plan, folder, scale.size) for plan in plans]
    write_index(folder, DataConfig("simulated", scale.size), plans, records)


def split_plans(scale: Scale, place: int, rng: np.random.Generator) -> list[ShardPlan]:
    """The shards of one split."""
    studies, split = scale.studies[place], SPLITS[place]
    packed: list[StudyPlan] = []
    images = with_one_at_least(scale.images[place], studies, rng)
    patients = np.repeat(np.arange(scale.patients[place]), with_one_at_least(studies, scale.patients[place], rng))
    patients = rng.permutation(patients) + 10_000_000 * (place + 1)
    views = iter(rng.choice(VIEWS, scale.images[place], p=VIEW_SHARES).tolist())
    labels = rng.choice(LABELS, (studies, len(CHEXPERT_LABELS)), p=LABEL_SHARES)
    for number, (patient, count) in enumerate(zip(patients.tolist(), images.tolist(), strict=True)):
        # As long as a DICOM id of MIMIC-CXR.
        films = tuple(ImagePlan(rng.bytes(22).hex(), view, "") for view in islice(views, count))
        known = dict(zip(CHEXPERT_LABELS, labels[number].tolist(), strict=True))
        key = f"{split}-{number:08d}"
        packed.append(StudyPlan(key, f"s{(place + 5) * 10_000_000 + number}", f"p{patient}", "", known, films))
    per_shard = scale.studies_per_shard
    return [
        ShardPlan(
            f"{split}-{number:06d}", split, Rendering(scale.size, "pad"), tuple(packed[first : first + per_shard])
        )
        for number, first in enumerate(range(0, studies, per_shard))
    ]


def with_one_at_least(total: int, holders: int, rng: np.random.Generator) -> Ints:
    """[holders] int64, `total` things given to holders at random, one at least to each."""
    return 1 + np.bincount(rng.integers(0, holders, total - holders), minlength=holders)


def sparse_shard(plan: ShardPlan, folder: Path, size: int) -> Record:
    """Create the tar of a plan with nothing but its first name in it, at its full length; returns the record."""
    written: list[dict[str, Any]] = []
    end = 0
    for study in plan.studies:
        pixels = end + BLOCKSIZE + NPY_HEADER
        places = [pixels + slot * size * size for slot in range(len(study.images))]
        end = pixels + len(places) * size * size
        end += -end % BLOCKSIZE + META_MEMBER
        images = [
            {"image_id": image.image_id, "view": image.view, "offset": offset, "pixels": image.image_id[:32]}
            for image, offset in zip(study.images, places, strict=True)
        ]
        written.append({"study_id": study.study_id, "images": images})
    with (folder / f"{plan.name}.tar").open("wb") as handle:
        handle.write(f"{plan.studies[0].key}.images.npy".encode())
        handle.truncate(end)
    return {"bytes": end, "sha256": plan.name, "studies": written, "quarantine": [], "notes": []}
