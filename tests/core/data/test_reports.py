"""Reports on their way: from MIMIC-CXR's text files, a CSV or the phantom, over the manifest, into batches."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from core.config import LoaderConfig
from core.data.build import data_key, prepare
from core.data.loader import Loader
from core.data.pairings.base import PAIRINGS
from core.data.phantom.config import PhantomConfig
from core.data.phantom.reports import report_text
from core.data.readers.mimic_cxr import with_reports
from core.data.readers.phantom import PhantomReader
from core.data.reports import END, PADDING, UNKNOWN, encode, impression, vocabulary, words
from core.data.types import CHEXPERT_LABELS, SPLITS
from core.errors import DataError
from core.io import canonical_hash, sha256_file
from tests.core.data.conftest import films_config
from tests.core.data.files import FIELDS, film_rows, write_csv, write_films

SETTINGS = {"patients": 12, "size": 32, "processes": 1}
TEXT = """                                 FINAL REPORT
 EXAMINATION:  CHEST (PA AND LAT)

 FINDINGS:  No effusion.

 IMPRESSION:

 1. Mild edema.
   Note: unchanged.

 RECOMMENDATION(S):  None.
 NOTIFICATION:  Dr. X
"""


def test_the_impression_is_what_stands_between_its_heading_and_the_next() -> None:
    assert impression(TEXT) == "1. Mild edema. Note: unchanged."
    assert impression("IMPRESSION: Normal.") == "Normal."
    assert impression(" FINDINGS: Normal.") == ""


def test_words_become_numbers_and_back() -> None:
    texts = ["No edema. No effusion.", "Mild edema,\n2 cm", ""]
    known = vocabulary(texts)
    assert known[:3] == (".", "edema", "no")
    tokens = encode([*texts, "No zebra"], known)
    assert tokens.shape == (4, 7)
    back = [[known[t - 4] for t in row if t >= 4] for row in tokens.tolist()]
    assert back == [words(texts[0]), words(texts[1]), [], ["no"]]
    assert tokens[0].tolist()[6] == END
    assert tokens[2].tolist() == [PADDING] * 7
    assert tokens[3].tolist() == [known.index("no") + 4, UNKNOWN, END, *[PADDING] * 4]
    assert encode(["word " * 400], ("word",)).shape == (1, 301)


def test_a_report_says_what_the_labels_say() -> None:
    labels = dict.fromkeys(CHEXPERT_LABELS, float("nan"))
    labels |= {"Edema": 0.0, "Pleural Effusion": 1.0, "Pneumothorax": -1.0, "Support Devices": 1.0, "No Finding": 0.0}
    text = report_text(labels, {"Pleural Effusion": ("left", 0.6), "Pneumothorax": ("right", 0.2)})
    assert impression(text) == "Moderate left pleural effusion. Possible right pneumothorax. Support devices in place."
    assert text.startswith(" FINDINGS:  No edema.\n")
    healthy = labels | {"Pleural Effusion": 0.0, "Pneumothorax": 0.0, "Support Devices": 0.0, "No Finding": 1.0}
    assert impression(report_text(healthy, {})) == "No acute cardiopulmonary process."


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Workspace of a small phantom without reports."""
    folder = tmp_path_factory.mktemp("phantom")
    PhantomReader(PhantomConfig(**SETTINGS)).manifest(folder)  # type: ignore[arg-type]
    return folder


def test_the_phantom_writes_reports_and_changes_no_other_byte(phantom: Path, tmp_path: Path) -> None:
    before = {p: sha256_file(p) for p in phantom.rglob("*") if p.is_file()}
    plain = PhantomReader(PhantomConfig(**SETTINGS)).manifest(phantom)  # type: ignore[arg-type]
    assert "report" not in plain
    other = tmp_path / "other"
    shutil.copytree(phantom, other)
    manifest = PhantomReader(PhantomConfig(reports=True, **SETTINGS)).manifest(other)  # type: ignore[arg-type]
    pd.testing.assert_frame_equal(manifest.drop(columns=["report", "path"]), plain.drop(columns="path"))
    assert {other / p.relative_to(phantom): digest for p, digest in before.items()}.items() <= {
        p: sha256_file(p) for p in other.rglob("*") if p.is_file()
    }.items()
    sick = manifest[manifest["Pleural Effusion"] == 1]
    assert len(sick)
    assert sick["report"].str.lower().str.contains("pleural effusion").all()
    silent = manifest[manifest["Pleural Effusion"].isna()]
    assert not silent["report"].str.lower().str.contains("pleural effusion").any()
    assert (manifest.groupby("study_id")["report"].nunique() == 1).all()


def test_a_store_has_the_reports_of_its_studies_and_a_vocabulary_of_the_training_split(tmp_path: Path) -> None:
    write_films(tmp_path, patients=30)
    rows = [[*row, f"Study {row[2]} seen."] for row in film_rows(30)]
    rows[0][-1] = rows[1][-1] = ""
    config = films_config(write_csv(tmp_path / "films.csv", rows, [*FIELDS, "report"]), reports=True)
    store = prepare(config, tmp_path / "out", workers=1)
    expected = {row[2]: row[-1] for row in rows}
    for split in SPLITS:
        table = store.splits[split]
        assert table.reports is not None
        for study, tokens in zip(table.study_ids, table.reports, strict=True):
            spoken = [store.vocabulary[t - 4] if t >= 4 else "?" for t in tokens.tolist() if t not in (PADDING, END)]
            heard = [w if w in store.vocabulary else "?" for w in words(str(expected[str(study)]))]
            assert spoken == heard
    assert "seen" in store.vocabulary
    table = store.splits["train"].subset(np.arange(store.splits["train"].n_studies) % 2 == 0)
    pairing = PAIRINGS.build(PAIRINGS.get("same_study_any").config())
    batch = Loader(table, pairing, LoaderConfig(), seed=0, batch_size=4).batch(1)
    assert torch.equal(batch.report, torch.from_numpy(table.reports[batch.index.numpy()]))  # type: ignore[index]


def test_a_data_sets_name_is_its_own_with_reports_and_what_it_was_without() -> None:
    plain = PhantomConfig()
    settings = ("size", "resize", "labels", "split_seed", "validate_fraction", "test_fraction", "studies_per_shard")
    identity = {"reader": PhantomReader(plain).identity(), **{name: getattr(plain, name) for name in settings}}
    assert data_key(plain) == f"phantom-{canonical_hash(identity)}"
    assert data_key(PhantomConfig(reports=True)) != data_key(plain)


def test_missing_reports_are_a_clear_error(phantom: Path, tmp_path: Path) -> None:
    config = films_config(write_films(tmp_path, patients=30), reports=True)
    with pytest.raises(DataError, match=r"films\.csv has no column 'report'"):
        prepare(config, tmp_path / "out", workers=1)
    manifest = PhantomReader(PhantomConfig(**SETTINGS)).manifest(phantom)  # type: ignore[arg-type]
    assert (with_reports(manifest, phantom)["report"] == "").all()
    rows = [[*row, " "] for row in film_rows(30)]
    config = films_config(write_csv(tmp_path / "films.csv", rows, [*FIELDS, "report"]), reports=True)
    with pytest.raises(DataError, match="no study of the training split has a report"):
        prepare(config, tmp_path / "out", workers=1)
