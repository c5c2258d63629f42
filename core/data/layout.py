"""What a data set's shards will be: which studies lie in which. The same for whoever asks, so that many may build."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from core.config import DataConfig
from core.data.manifest import label_columns, reports_of, select_labels, studies_of, validate
from core.data.packing import ImagePlan, StudyPlan
from core.data.pixels import Rendering
from core.data.readers.base import READERS
from core.data.shards import ShardPlan, recorded
from core.data.store import INDEX, read_index
from core.data.types import SPLITS
from core.errors import DataError
from core.io import atomic_path, read_json, sha256_file, write_json

SOURCE = "source"
PLANNED, PLANNED_FROM = "planned.parquet", "planned.json"


@dataclass(frozen=True)
class Layout:
    """The shards of the data set in `folder`, in their order. reports: text by study_id, where there are reports."""

    folder: Path
    config: DataConfig
    plans: tuple[ShardPlan, ...]
    reports: pd.Series | None = None

    @cached_property
    def n_images(self) -> int:
        """Images planned, readable or not. Asked for after every shard."""
        return sum(plan.n_images for plan in self.plans)

    @property
    def n_studies(self) -> int:
        """Studies planned."""
        return sum(len(plan.studies) for plan in self.plans)

    def unfinished(self) -> list[ShardPlan]:
        """Shards that are not there or lack images that could not be read. By length: their bytes are not verified."""
        records = [(plan, recorded(plan, self.folder)) for plan in self.plans]
        return [plan for plan, record in records if record is None or record["quarantine"]]

    def indexed(self) -> bool:
        """Whether the data set's index is of the very shards that are there."""
        records = [recorded(plan, self.folder) for plan in self.plans]
        if not (self.folder / INDEX).is_file() or None in records:
            return False
        return [shard["sha256"] for shard in read_index(self.folder)["shards"]] == [r["sha256"] for r in records if r]

    def named(self, names: Sequence[str]) -> list[ShardPlan]:
        """The shards of these names, in the layout's order. Raises DataError for a name that it has not."""
        known = {plan.name: plan for plan in self.plans}
        foreign = [name for name in names if name not in known]
        if foreign:
            raise DataError(
                f"{self.folder} has no shard {foreign[0]}", "the data set has changed: start its build anew"
            )
        wanted = set(names)
        return [plan for name, plan in known.items() if name in wanted]


def lay_out(config: DataConfig, folder: Path) -> Layout:
    """Read the data set's tables and lay it out in `folder`. Raises DataError."""
    return _layout(READERS.build(config).manifest(folder / SOURCE), config, folder)


def publish(config: DataConfig, folder: Path) -> Layout:
    """`lay_out`, and leave the table that it was made from for `read_layout` in other processes."""
    manifest = READERS.build(config).manifest(folder / SOURCE)
    layout = _layout(manifest, config, folder)
    with atomic_path(folder / SOURCE / PLANNED) as temporary:
        manifest.to_parquet(temporary, index=False)
    digest = sha256_file(folder / SOURCE / PLANNED)
    write_json(folder / SOURCE / PLANNED_FROM, {"sha256": digest, "shards": len(layout.plans)})
    return layout


def read_layout(config: DataConfig, folder: Path) -> Layout:
    """The layout that `publish` left: no table of the data set is read again. Raises DataError."""
    path, said = folder / SOURCE / PLANNED, read_json(folder / SOURCE / PLANNED_FROM)
    if not path.is_file() or sha256_file(path) != said["sha256"]:
        raise DataError(f"{path} is missing or damaged", "start the build anew: finished shards are kept")
    return _layout(pd.read_parquet(path), config, folder)


def _layout(manifest: pd.DataFrame, config: DataConfig, folder: Path) -> Layout:
    reports = reports_of(manifest) if config.reports else None
    chosen = select_labels(validate(manifest), config.labels)
    return Layout(folder, config, tuple(plan_shards(chosen, config)), reports)


def plan_shards(manifest: pd.DataFrame, config: DataConfig) -> list[ShardPlan]:
    """What goes into which shard: the studies of each split in `studies_of`'s order, cut into equal runs."""
    names = label_columns(manifest)
    studies = studies_of(manifest)
    rendering = Rendering(config.size, config.resize, config.tone, config.borders)
    images: dict[str, list[ImagePlan]] = {}
    columns = (manifest[name].tolist() for name in ("study_id", "image_id", "view", "path", "photometric"))
    for study, image, view, path, photometric in zip(*columns, strict=True):
        images.setdefault(study, []).append(ImagePlan(image, view, path, photometric == "MONOCHROME1"))
    plans = []
    for split in SPLITS:
        rows = studies[studies["split"] == split].to_dict("records")
        for number, first in enumerate(range(0, len(rows), config.studies_per_shard)):
            packed = tuple(
                StudyPlan(
                    key=f"{split}-{first + place:08d}",
                    study_id=row["study_id"],
                    patient_id=row["patient_id"],
                    site=row["site"],
                    labels={name: float(row[name]) for name in names},
                    images=tuple(images[row["study_id"]]),
                )
                for place, row in enumerate(rows[first : first + config.studies_per_shard])
            )
            plans.append(ShardPlan(f"{split}-{number:06d}", split, rendering, packed))
    return plans


def cut(plans: Sequence[ShardPlan], ranges: int) -> list[list[str]]:
    """Names of shards in at most `ranges` runs of about as many studies each; none is empty."""
    total, runs, before = sum(len(plan.studies) for plan in plans), list[list[str]](), 0
    place = -1
    for plan in plans:
        # by where its middle lies, which no rounding can push past the end
        middle = (before + len(plan.studies) / 2) / total
        if int(middle * ranges) != place:
            place = int(middle * ranges)
            runs.append([])
        runs[-1].append(plan.name)
        before += len(plan.studies)
    return runs
