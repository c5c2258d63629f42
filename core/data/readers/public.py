"""What the readers of public data sets share: from a row per image to the manifest, and what was left out and why."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

from core.config import DataConfig, setting
from core.data.manifest import check_there, label_columns
from core.data.readers.base import MANIFEST_COLUMNS
from core.data.readers.files import locate
from core.data.regions import no_regions, write_regions
from core.data.types import SPLITS, View
from core.errors import DataError, check_choice, require
from core.io import atomic_path, sha256_file, write_json

LOG = logging.getLogger(__name__)
MANIFEST, LEFT_OUT, SOURCE = "manifest.parquet", "left_out.csv", "source.json"
DROP_HINT = "complete the download, or leave them out with data.missing=drop"


@dataclass
class PublicConfig(DataConfig):
    """What the readers of public data sets have besides."""

    root: str = setting("", "folder of the data set, as it was downloaded and unpacked")
    missing: str = setting("error", "images that a table names and that are not there: error | drop")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("data.missing", self.missing, ("error", "drop"))


@dataclass(frozen=True)
class Source:
    """What a reader found in the tables.

    rows: a row per image: `file` (relative to the root), `left_out` ("" or the reason why the image is not used), the
    columns of the manifest but dataset and path, and a float column per label. A site, view_raw, labels_raw or
    photometric that is absent is "". regions: as `core.data.regions` says. counts: further numbers for the check
    against the published ones. outside: words that stand for no label -> images.
    """

    rows: pd.DataFrame
    regions: pd.DataFrame = field(default_factory=no_regions)
    counts: Mapping[str, int] = field(default_factory=dict)
    outside: Mapping[str, int] = field(default_factory=dict)


class PublicReader(ABC):
    """A reader of a public data set. A subclass finds the tables and says what they mean."""

    VERSION: ClassVar[int] = 1  # raised whenever the same tables would give another manifest
    # Names as `count_rows` makes them and of `Source.counts`. The first tells whether the tables are the whole set's.
    PUBLISHED: ClassVar[Mapping[str, int]]
    FILES: ClassVar[str] = "the data set's tables"  # what data.root must hold, for messages

    def __init__(self, config: Any) -> None:
        self.config = config

    @abstractmethod
    def tables(self, root: Path) -> dict[str, Path]:
        """The tables that are there, by what they hold. Raises DataError for one that is needed and absent."""

    @abstractmethod
    def read(self, root: Path) -> Source:
        """What the tables say. Raises DataError for a column that is absent or a value that makes no sense."""

    def settings(self) -> dict[str, Any]:
        """The settings of this reader that change the manifest (the split's and `root` not among them)."""
        return {}

    def root(self) -> Path:
        """data.root. Raises ConfigError or DataError when it is not set or no folder."""
        require(self.config.root != "", "data.root is not set", f"give the folder that holds {self.FILES}")
        root = Path(self.config.root).expanduser().resolve()
        if not root.is_dir():
            raise DataError(f"data.root={self.config.root} is no folder", f"it must hold {self.FILES}")
        return root

    def identity(self) -> dict[str, Any]:
        """The version of the reading code, the hashes of the tables, and the settings."""
        tables = {name: sha256_file(path) for name, path in self.tables(self.root()).items()}
        return {"version": self.VERSION, "tables": tables, **self.settings()}

    def manifest(self, workspace: Path) -> pd.DataFrame:
        """A row per image. Beside it `workspace` gets the regions, what was left out, and the counts."""
        root = self.root()
        source = self.read(root)
        table = str(next(iter(self.tables(root).values())))
        manifest, left_out = to_manifest(source.rows, self.config.name, root, self.config.missing, table)
        report = {
            "counts": {**count_rows(source), "used": len(manifest)},
            "published": dict(self.PUBLISHED),
            "left_out": {reason: int(count) for reason, count in left_out["reason"].value_counts().items()},
            "words_outside_the_vocabulary": dict(source.outside),
            "split_seed": self.config.split_seed,
        }
        check_published(self.config.name, report["counts"], self.PUBLISHED)
        used = source.regions[source.regions["image_id"].isin(manifest["image_id"])].reset_index(drop=True)
        _write(workspace, manifest, left_out, self.finished_regions(used, manifest), report)
        return manifest

    def finished_regions(self, regions: pd.DataFrame, manifest: pd.DataFrame) -> pd.DataFrame:
        """The regions of the images that are used, once their files are known."""
        return regions


def to_manifest(
    rows: pd.DataFrame, dataset: str, root: Path, missing: str, table: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The manifest of `Source.rows`, and a table (image_id, reason) of what is left out of it.

    missing: what an absent file is: error | drop. table: what names the files, for messages.
    Raises DataError for a file that is absent or outside of `root`.
    """
    blank = {"site": "", "view_raw": "", "labels_raw": "", "photometric": "", "left_out": ""}
    rows = rows.assign(**{name: value for name, value in blank.items() if name not in rows}, dataset=dataset)
    used = rows[rows["left_out"] == ""]
    paths, there = locate(root, list(used["file"]), table)
    if missing == "error":
        check_there(paths, there, table, DROP_HINT)
    rows.loc[used.index[~there], "left_out"] = "the file does not exist"
    labels = [name for name in label_columns(rows) if name not in ("file", "left_out")]
    manifest = used.assign(path=paths)[there][[*MANIFEST_COLUMNS, *labels]].reset_index(drop=True)
    if manifest.empty:
        raise DataError(f"none of the {len(rows)} images named in {table} can be used", f"is {root} the right folder?")
    out = rows.loc[rows["left_out"] != "", ["image_id", "left_out"]].rename(columns={"left_out": "reason"})
    for reason, count in out["reason"].value_counts().items():
        LOG.warning("%d of %d images of %s are left out: %s", count, len(rows), dataset, reason)
    return manifest.astype(dict.fromkeys(MANIFEST_COLUMNS, "str")), out.reset_index(drop=True)


def count_rows(source: Source) -> dict[str, int]:
    """How many images, patients, studies and boxes the tables name, and how many images of each split and view."""
    rows = source.rows
    counts = {"images": len(rows), "boxes": len(source.regions)}
    counts |= {"patients": rows["patient_id"].nunique(), "studies": rows["study_id"].nunique()}
    counts |= {f"split {split}": int((rows["split"] == split).sum()) for split in SPLITS}
    counts |= {f"view {view.label}": int((rows["view"] == view.label).sum()) for view in View}
    return counts | dict(source.counts)


def check_published(name: str, counts: Mapping[str, int], published: Mapping[str, int]) -> list[str]:
    """Warn where the tables are those of the whole set but hold other numbers than `published`; returns the warnings.

    The first of `published` tells whether they are.
    """
    whole = next(iter(published))
    if counts[whole] != published[whole]:
        LOG.info("%s: %d of the %d published %s; counts are not checked", name, counts[whole], published[whole], whole)
        return []
    wrong = [f"{what}: {counts[what]}, published {value}" for what, value in published.items() if counts[what] != value]
    for line in wrong:
        LOG.warning("%s: the tables hold other numbers than were published: %s", name, line)
    return wrong


def _write(
    workspace: Path, manifest: pd.DataFrame, left_out: pd.DataFrame, regions: pd.DataFrame, report: dict[str, Any]
) -> None:
    with atomic_path(workspace / MANIFEST) as temporary:
        manifest.to_parquet(temporary, index=False)
    with atomic_path(workspace / LEFT_OUT) as temporary:
        left_out.to_csv(temporary, index=False)
    write_regions(regions, workspace)
    write_json(workspace / SOURCE, report)
