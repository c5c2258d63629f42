"""What may be wrong with a data set though every byte of it is there: leaks over splits, labels that contradict."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from core.data.manifest import listed, same
from core.data.near import SIDE, Fingerprints, fingerprint, near_pairs
from core.data.store import IMAGES, NOTES, QUARANTINE, STUDIES, StudyTable, open_store
from core.data.types import SPLITS, Bytes
from core.progress import Progress

BATCH = 256
NORMAL = ("no finding", "no findings", "normal")
# A film with a tube and nothing else is "No Finding" in CheXpert's rules (Irvin et al. 2019).
COMPATIBLE = ("support devices",)


@dataclass(frozen=True)
class Finding:
    """One check: what was looked for, and every case of it that there is, named by the manifest's ids."""

    what: str
    cases: tuple[str, ...]

    def line(self) -> str:
        """One line for people."""
        return f"{self.what}: {len(self.cases)}" + (f" ({listed(self.cases)})" if self.cases else "")


def integrity(folder: Path) -> list[Finding]:
    """Every check of a built data set, those that found nothing too. Reads every picture. Raises DataError."""
    store = open_store(folder)
    tables = [store.splits[split] for split in SPLITS]
    return [
        Finding("patients in more than one split", tuple(patients_across_splits(tables))),
        Finding("identical pictures in more than one split", tuple(identical(folder, "split"))),
        Finding("identical pictures of more than one patient", tuple(identical(folder, "patient_id"))),
        Finding("nearly identical pictures in more than one split", tuple(nearly_identical(tables))),
        Finding("studies with 'No Finding' and a finding", tuple(contradictions(tables))),
        Finding("images that could not be read", tuple(said(folder / QUARANTINE, "reason"))),
        Finding("images that look odd", tuple(said(folder / NOTES, "note"))),
    ]


def patients_across_splits(tables: Sequence[StudyTable]) -> list[str]:
    """Ids of patients in more than one split."""
    together = pd.concat([pd.Series(np.unique(table.patient_ids)) for table in tables])
    return sorted(set(together[together.duplicated()].astype(str)))


def identical(folder: Path, column: str) -> list[str]:
    """Groups of images ("a = b", see `same`) with the same pixels though their studies' `column` differs."""
    studies, images = pd.read_parquet(folder / STUDIES), pd.read_parquet(folder / IMAGES)
    table = images.assign(owner=studies[column].to_numpy()[images["study"]])
    table = table[table["pixels"].map(table.groupby("pixels")["owner"].nunique()) > 1]
    return [same(sorted(group["image_id"])) for _, group in table.groupby("pixels", sort=True)]


def nearly_identical(tables: Sequence[StudyTable]) -> list[str]:
    """Pairs of images ("a ~ b") of different splits that show the same film (see core/data/near).

    Of images of a split with the same pixels one is compared, and stands for all ("a = c ~ b"); images of two splits
    with the same pixels are no such pair, but identical.
    """
    total = sum(table.n_images for table in tables)
    bits, detail = np.empty(total, dtype=np.uint64), np.empty((total, SIDE**2), dtype=np.int8)
    # Keyed by split and content, in the order of the rows above.
    names: dict[tuple[int, bytes], list[str]] = {}
    with Progress("looking at pictures", total, "images") as progress:
        for number, table in enumerate(tables):
            for row, picture in _pictures(table):
                alike = names.setdefault((number, hashlib.sha256(picture.data).digest()), [])
                if not alike:
                    bits[len(names) - 1], detail[len(names) - 1] = fingerprint(picture)
                alike.append(str(table.image_ids[row]))
                progress.advance()
    splits, contents = zip(*names, strict=True)
    said = [same(sorted(alike)) for alike in names.values()]
    pairs = near_pairs(Fingerprints(bits[: len(names)], detail[: len(names)]), np.array(splits))
    return [
        f"{said[pair.first]} ~ {said[pair.second]}" for pair in pairs if contents[pair.first] != contents[pair.second]
    ]


def _pictures(table: StudyTable) -> Iterator[tuple[int, Bytes]]:
    """Every picture of a split with its row."""
    for begin in range(0, table.n_images, BATCH):
        rows = np.arange(begin, min(begin + BATCH, table.n_images))
        yield from zip(rows.tolist(), table.pixels.read(rows), strict=True)


def contradictions(tables: Sequence[StudyTable]) -> list[str]:
    """Ids of studies that are positive for 'No Finding' (or normal) and for a finding too."""
    names = [name.casefold() for name in tables[0].label_names]
    normal = [place for place, name in enumerate(names) if name in NORMAL]
    findings = [place for place, name in enumerate(names) if name not in (*NORMAL, *COMPATIBLE)]
    found = []
    for table in tables:
        both = (table.labels[:, normal] == 1).any(axis=1) & (table.labels[:, findings] == 1).any(axis=1)
        found += [str(name) for name in table.study_ids[both]]
    return found


def said(path: Path, column: str) -> list[str]:
    """ "image: what" of each row of quarantine.csv or notes.csv; none where the table is absent (an older build)."""
    if not path.is_file():
        return []
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    return [f"{image}: {what}" for image, what in zip(table["image_id"], table[column], strict=True)]
