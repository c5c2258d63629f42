"""Real films and real DICOM files through the whole path, from CSV to batches."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from core.config import LoaderConfig
from core.data.build import data_key, prepare
from core.data.integrity import integrity
from core.data.loader import make_loader
from core.data.pairings.base import PAIRINGS
from core.data.readers.folder import FolderConfig
from core.data.types import SPLITS
from tests.core.data.files import write_csv


def test_263_films_through_folder(shared_data: Path, tmp_path: Path) -> None:
    config = FolderConfig(csv=str(shared_data / "films" / "films.csv"), size=64)
    store = prepare(config, tmp_path, workers=1)
    assert sum(table.n_images for table in store.splits.values()) == 263
    assert sum(table.n_studies for table in store.splits.values()) == 233
    both = 0
    entry = PAIRINGS.get("same_study")
    for split in SPLITS:
        table = store.splits[split]
        loader = make_loader(table, entry.build(entry.config()), LoaderConfig(), seed=0, batch_size=table.n_studies)
        (batch,) = loader.batches(0, 1)
        both += len(batch.pairs)
        # Films, not noise and not blank: every picture has contrast.
        assert (batch.images.float().std(dim=(1, 2, 3)) > 10).all()
    assert both == 19
    found = {finding.what: finding.cases for finding in integrity(tmp_path / "data" / data_key(config))}
    assert not any(found.values()), found


def test_the_real_dicom_files_give_one_picture(shared_data: Path, tmp_path: Path) -> None:
    names = ["cr_mono1_10bit_jpeg2000.dcm", "cr_mono1_10bit_no_preamble.dcm"]
    rows = []
    for place, split in enumerate(SPLITS):
        name = names[place % 2]
        shutil.copy(shared_data / "dicom" / name, tmp_path / f"{place}.dcm")
        rows.append([f"{place}.dcm", f"p{place}", f"s{place}", "PA", split, place % 2])
    csv = write_csv(tmp_path / "films.csv", rows, ["path", "patient_id", "study_id", "view", "split", "Edema"])
    store = prepare(FolderConfig(csv=str(csv), size=224), tmp_path, workers=1)
    first, second = (store.splits[split].pixels.read(np.array([0])) for split in SPLITS[:2])
    assert np.abs(first.astype(int) - second).max() <= 1
