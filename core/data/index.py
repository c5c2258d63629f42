"""The index of a built data set: studies.parquet, images.parquet and, written last, index.json."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from core.config import DataConfig
from core.data.manifest import listed, one_class_labels, same
from core.data.readers.base import REPORT
from core.data.shards import Record, ShardPlan
from core.data.store import IMAGES, INDEX, LABEL, NOTES, QUARANTINE, SCHEMA, STUDIES
from core.data.types import SPLITS, View
from core.errors import DataError
from core.io import atomic_path, canonical_hash, sha256_file, write_json

LOG = logging.getLogger(__name__)


def write_index(
    folder: Path,
    config: DataConfig,
    plans: Sequence[ShardPlan],
    records: Sequence[Record],
    reports: pd.Series | None = None,
) -> None:
    """Write the index of finished shards. `index.json` comes last: its presence means that all is there.

    reports: text by study_id, where the data set has them.

    Raises DataError when a split is left without a study. What a user should know (duplicates, one-class
    labels, studies without images) is logged as warnings and kept in the index.
    """
    studies, images = tables(plans, records)
    lost = [study["study_id"] for record in records for study in record["studies"] if not study["images"]]
    absent = [split for split in SPLITS if studies.empty or split not in set(studies["split"])]
    if absent:
        raise DataError(f"no study with a readable image is in split {listed(absent)}", f"see {folder / QUARANTINE}")
    if reports is not None:
        studies[REPORT] = studies["study_id"].map(reports).fillna("")
    names = [str(name).removeprefix(LABEL) for name in studies.columns if str(name).startswith(LABEL)]
    duplicates = duplicates_across_splits(studies, images)
    warnings = _warnings(studies.rename(columns=lambda c: str(c).removeprefix(LABEL)), names, lost, duplicates)
    warnings += [f"{count} images: {note} (see {NOTES})" for note, count in noted(records).items()]
    for line in warnings:
        LOG.warning("%s", line)
    for name, table in ((STUDIES, studies), (IMAGES, images)):
        with atomic_path(folder / name) as temporary:
            table.to_parquet(temporary, index=False)
    shards = [_shard_entry(plan, record) for plan, record in zip(plans, records, strict=True)]
    identity = {"name": config.name, "shards": [s["sha256"] for s in shards], "sites": list(studies["site"])}
    identity |= {"reports": list(studies[REPORT])} if reports is not None else {}
    write_json(
        folder / INDEX,
        {
            "schema": SCHEMA,
            "name": config.name,
            "fingerprint": canonical_hash(identity, 16),
            "size": config.size,
            "label_names": names,
            "splits": _counts(studies),
            "shards": shards,
            "tables": {name: sha256_file(folder / name) for name in (STUDIES, IMAGES)},
            "quarantined": sum(len(record["quarantine"]) for record in records),
            "studies_without_images": lost,
            "duplicates_across_splits": duplicates,
            "warnings": warnings,
        },
    )


def tables(plans: Sequence[ShardPlan], records: Sequence[Record]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The study table and the image table of finished shards, in the order of the shards."""
    studies: list[dict[str, Any]] = []
    images: list[dict[str, Any]] = []
    for number, (plan, record) in enumerate(zip(plans, records, strict=True)):
        for study, written in zip(plan.studies, record["studies"], strict=True):
            if not written["images"]:
                continue
            row = len(studies)
            for image in written["images"]:
                place = {name: image[name] for name in ("image_id", "offset", "pixels")}
                images.append({"study": row, "shard": number, "view": int(View.parse(image["view"])), **place})
            studies.append(
                {
                    "split": plan.split,
                    "study_id": study.study_id,
                    "patient_id": study.patient_id,
                    "site": study.site,
                    "shard": number,
                    "key": study.key,
                    "images": len(written["images"]),
                    **{LABEL + name: value for name, value in study.labels.items()},
                }
            )
    return pd.DataFrame(studies), pd.DataFrame(images)


def duplicates_across_splits(studies: pd.DataFrame, images: pd.DataFrame) -> list[list[str]]:
    """Groups of image ids whose pixels are identical although their splits differ."""
    split = studies["split"].to_numpy()[images["study"]]
    table = images.assign(split=split)
    table = table[table["pixels"].map(table.groupby("pixels")["split"].nunique()) > 1]
    return [sorted(group["image_id"]) for _, group in table.groupby("pixels", sort=True)]


def noted(records: Sequence[Record]) -> Counter[str]:
    """How many images have each note, the most frequent first."""
    return Counter(dict(Counter(row["note"] for record in records for row in record["notes"]).most_common()))


def _counts(studies: pd.DataFrame) -> dict[str, dict[str, int]]:
    counts = {}
    for split in SPLITS:
        rows = studies[studies["split"] == split]
        counts[split] = {
            "studies": len(rows),
            "images": int(rows["images"].sum()),
            "patients": int(rows["patient_id"].nunique()),
        }
    return counts


def _shard_entry(plan: ShardPlan, record: Record) -> dict[str, Any]:
    pairs = zip(plan.studies, record["studies"], strict=True)
    keys = [study.key for study, written in pairs if written["images"]]
    return {
        "file": f"{plan.name}.tar",
        "split": plan.split,
        "first": keys[0] if keys else "",
        "studies": len(keys),
        "images": sum(len(study["images"]) for study in record["studies"]),
        "bytes": record["bytes"],
        "sha256": record["sha256"],
    }


def _warnings(studies: pd.DataFrame, names: list[str], lost: list[str], duplicates: list[list[str]]) -> list[str]:
    lines = one_class_labels(studies, names)
    if lost:
        lines.append(f"{len(lost)} studies have no readable image and were left out: {listed(lost)}")
    if duplicates:
        groups = listed([same(group) for group in duplicates])
        lines.append(f"identical pictures in more than one split: {len(duplicates)} ({groups})")
    return lines
