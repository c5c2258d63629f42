"""The data set on disk: real DICOM and tables, the same bytes every time, and no loss when a run is killed."""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest
from PIL import Image
from pydicom.pixels import apply_modality_lut, apply_voi_lut

from core.data.phantom.config import PhantomConfig
from core.data.phantom.dicom_writer import stored_values, window
from core.data.phantom.generate import generate
from core.data.phantom.patient import render_study
from core.data.phantom.plan import plan_patient
from core.data.phantom.projection import build_frame
from core.data.phantom.sites import SITES
from core.data.readers.base import MANIFEST_COLUMNS
from core.data.readers.phantom import PhantomReader
from core.data.types import CHEXPERT_LABELS
from core.errors import DataError

SETTINGS = {"patients": 8, "size": 32, "studies_per_patient": 1.6, "processes": 1}


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below `folder`."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def table(folder: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(folder / name, dtype=str, keep_default_na=False)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantom")
    generate(PhantomConfig(**SETTINGS), folder)
    return folder


def test_two_processes_write_the_same_bytes_and_another_seed_others(made: Path, tmp_path: Path) -> None:
    generate(PhantomConfig(**{**SETTINGS, "processes": 2}), tmp_path / "two")
    assert digests(tmp_path / "two") == digests(made)
    generate(PhantomConfig(**{**SETTINGS, "patients": 3, "seed": 1}), tmp_path / "other")
    pixels = {pydicom.dcmread(p).PixelData for p in made.rglob("*.dcm")}
    assert not pixels & {pydicom.dcmread(p).PixelData for p in (tmp_path / "other").rglob("*.dcm")}


def test_patients_of_a_smaller_set_are_the_first_of_a_larger(made: Path, tmp_path: Path) -> None:
    generate(PhantomConfig(**{**SETTINGS, "patients": 3}), tmp_path)
    small, large = digests(tmp_path / "files"), digests(made / "files")
    assert small
    assert small.items() <= large.items()


def test_a_finished_set_is_left_alone_and_another_refused(made: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in made.rglob("*")}
    generate(PhantomConfig(**SETTINGS), made)
    assert {p: p.stat().st_mtime_ns for p in made.rglob("*")} == before
    with pytest.raises(DataError, match="other settings"):
        generate(PhantomConfig(**{**SETTINGS, "seed": 9}), made)


def test_a_killed_run_goes_on_to_the_same_bytes(made: Path, tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; from core.data.phantom.config import PhantomConfig;"
        "from core.data.phantom.generate import generate;"
        f"generate(PhantomConfig(**{SETTINGS!r}), Path({str(tmp_path)!r}))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[4])
    deadline = time.monotonic() + 60
    while len(list((tmp_path / "files").glob("p1?/p*"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    done = list((tmp_path / "files").glob("p1?/p*"))
    assert 2 <= len(done) < SETTINGS["patients"]
    stamps = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.dcm") if ".partial" not in str(p)}
    generate(PhantomConfig(**SETTINGS), tmp_path)
    assert digests(tmp_path) == digests(made)
    assert all(p.stat().st_mtime_ns == t for p, t in stamps.items() if p.exists())


def test_tables_are_mimics(made: Path) -> None:
    metadata = table(made, "mimic-cxr-2.0.0-metadata.csv.gz")
    assert list(metadata.columns) == [
        "dicom_id",
        "subject_id",
        "study_id",
        "PerformedProcedureStepDescription",
        "ViewPosition",
        "Rows",
        "Columns",
        "StudyDate",
        "StudyTime",
        "ProcedureCodeSequence_CodeMeaning",
        "ViewCodeSequence_CodeMeaning",
        "PatientOrientationCodeSequence_CodeMeaning",
    ]
    assert set(metadata["ViewPosition"]) <= {"AP", "PA", "LATERAL", "LL"}
    assert metadata["dicom_id"].str.fullmatch(r"([0-9a-f]{8}-){4}[0-9a-f]{8}").all()
    assert metadata["StudyDate"].str.fullmatch(r"2\d{7}").all()
    assert metadata["StudyTime"].str.fullmatch(r"\d{6}\.\d{3}").all()
    for row in metadata.itertuples():
        place = made / "files" / f"p{row.subject_id[:2]}" / f"p{row.subject_id}" / f"s{row.study_id}"
        assert (place / f"{row.dicom_id}.dcm").exists()
    split = table(made, "mimic-cxr-2.0.0-split.csv.gz")
    assert list(split.columns) == ["dicom_id", "study_id", "subject_id", "split"]
    assert set(split["split"]) == {"train", "validate", "test"}
    assert (split.groupby("subject_id")["split"].nunique() == 1).all()
    labels = table(made, "mimic-cxr-2.0.0-chexpert.csv.gz")
    assert list(labels.columns) == ["subject_id", "study_id", *CHEXPERT_LABELS]
    assert set(labels[list(CHEXPERT_LABELS)].to_numpy().ravel()) <= {"1.0", "0.0", "-1.0", ""}
    assert sorted(labels["study_id"]) == sorted(metadata["study_id"].unique())
    for path in made.glob("*.csv.gz"):
        assert path.read_bytes()[4:8] == bytes(4)  # gzip's time stamp
        assert gzip.decompress(path.read_bytes()).endswith(b"\n")


def test_masks_and_boxes_belong_to_the_findings(made: Path) -> None:
    findings = table(made, "phantom-findings.csv.gz")
    metadata = table(made, "mimic-cxr-2.0.0-metadata.csv.gz").set_index("dicom_id")
    labels = table(made, "mimic-cxr-2.0.0-chexpert.csv.gz").set_index("study_id")
    assert len(findings) > 5
    shown = findings[findings["x0"] != ""]
    for row in shown.itertuples():
        subject = metadata.loc[row.dicom_id, "subject_id"]
        name = f"{row.dicom_id}_{row.finding.lower().replace(' ', '-')}.png"
        path = made / "masks" / f"p{subject[:2]}" / f"p{subject}" / f"s{row.study_id}" / name
        with Image.open(path) as image:
            assert image.mode == "1"
            mask = np.asarray(image)
        rows, columns = np.nonzero(mask)
        box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert [int(x) for x in (row.x0, row.y0, row.x1, row.y1)] == box
        assert labels.loc[row.study_id, row.finding] in ("1.0", "-1.0")
        assert 0 <= float(row.visibility) <= 1
        assert 0.1 <= float(row.severity) <= 1
    assert len(shown) == len(list((made / "masks").rglob("*.png")))


def test_reader_gives_the_manifest_with_sites(made: Path) -> None:
    reader = PhantomReader(PhantomConfig(**SETTINGS))
    manifest = reader.manifest(made)
    assert list(manifest.columns) == [*MANIFEST_COLUMNS, *CHEXPERT_LABELS]
    assert set(manifest["view"]) == {"frontal", "lateral"}
    assert set(manifest["site"]) <= {site.name for site in SITES}
    assert (manifest.groupby("patient_id")["site"].nunique() == 1).all()
    assert all(Path(p).is_absolute() and Path(p).exists() for p in manifest["path"])


@pytest.mark.parametrize("site", [site.name for site in SITES])
def test_dicom_gives_back_the_film(site: str, tmp_path: Path) -> None:
    """What pydicom reads, rescales and inverts is the film's own values, and its windows are where the header says."""
    config = PhantomConfig(**{**SETTINGS, "patients": 3, "sites": [site]})
    generate(config, tmp_path)
    plan = plan_patient(config, 0)
    study = plan.studies[0]
    films = render_study(config, plan, study, build_frame(config.seed, plan.body))
    for number, (image, film) in enumerate(zip(study.films, films, strict=True), start=1):
        folder = tmp_path / "files" / f"p{plan.subject_id[:2]}" / f"p{plan.subject_id}" / f"s{study.study_id}"
        ds = pydicom.dcmread(folder / f"{image.dicom_id}.dcm")
        np.testing.assert_array_equal(ds.pixel_array, stored_values(film, plan.site))
        assert (ds.BitsAllocated, ds.BitsStored) == (16, plan.site.bits)
        assert ds.pixel_array.max() < 2**ds.BitsStored
        assert (ds.PatientID, ds.ViewPosition) == (plan.subject_id, image.view)
        assert (ds.StudyID, ds.InstanceNumber, ds.PatientSex) == (study.study_id, number, plan.body.sex)
        assert re.fullmatch(r"2\.25\.\d{38}", ds.SOPInstanceUID)
        assert ds.file_meta.MediaStorageSOPInstanceUID == ds.SOPInstanceUID
        values = apply_modality_lut(ds.pixel_array, ds) / plan.site.slope - plan.site.intercept / plan.site.slope
        values = values / (2**plan.site.bits - 1)
        dense_bright = 1 - values if ds.PhotometricInterpretation == "MONOCHROME1" else values
        np.testing.assert_allclose(dense_bright, film.values, atol=1e-3)
        centres = np.atleast_1d(ds.WindowCenter)
        assert len(centres) == plan.site.windows
        assert float(centres[0]) == pytest.approx(window(film, plan.site)[0], abs=0.06)
        shown = apply_voi_lut(apply_modality_lut(ds.pixel_array, ds), ds, index=0)
        assert shown.std() > 0.1 * (shown.max() - shown.min())


def test_uids_differ_between_films_and_agree_within_a_study(made: Path) -> None:
    headers = [pydicom.dcmread(p, stop_before_pixels=True) for p in made.rglob("*.dcm")]
    assert len({h.SOPInstanceUID for h in headers}) == len(headers)
    by_study = {h.StudyID: h.StudyInstanceUID for h in headers}
    assert all(h.StudyInstanceUID == by_study[h.StudyID] for h in headers)
    assert len(set(by_study.values())) == len(by_study)


def test_films_can_be_larger_than_the_training_size(tmp_path: Path) -> None:
    generate(PhantomConfig(patients=3, size=32, film_size=144, processes=1), tmp_path)
    assert {pydicom.dcmread(p).pixel_array.shape for p in tmp_path.rglob("*.dcm")} == {(144, 144)}
