"""Films as the DICOM files a hospital would keep: a site's bit depth, photometry, rescale and windows.

pydicom writes one file of each kind (site, view, size); the films of that kind reuse its header,
in which values of fixed width stand for what differs: encoding fifty elements anew costs more than a small film.
"""

from __future__ import annotations

import hashlib
import io
from functools import lru_cache
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
)

from core.data.phantom.plan import FilmPlan, PatientPlan, StudyPlan
from core.data.phantom.render import Film
from core.data.phantom.sites import SITES, Site
from core.data.types import Ints

EXTRA_WINDOWS = ((1.25, "WIDE"), (0.6, "LUNG"))  # width over the first window's
# What stands in a header for each value that differs; the real value has the same number of characters.
BLANKS = {
    "image": "2.25." + "1" * 38,
    "study": "2.25." + "2" * 38,
    "series": "2.25." + "3" * 38,
    "date": "19010203",
    "time": "010203.456",
    "age": "099Y",
    "sex": "X_X_",
    "number": "989898",
    "subject": "77777777",
    "study_id": "88888888",
    "centre": "-77777.7",
    "width": "777777.7",
    "width_1": "666666.6",
    "width_2": "555555.5",
}


def uid(*parts: str | int) -> str:
    """A UID of 43 characters in the 2.25 arc that depends on `parts` alone."""
    digest = hashlib.sha256("/".join(str(p) for p in parts).encode()).digest()
    return f"2.25.{10**37 + int.from_bytes(digest, 'big') % (9 * 10**37)}"


def stored_values(film: Film, site: Site) -> Ints:
    """Values as a detector stores them: integers [H, W] from 0 to 2^bits - 1; dense parts low in MONOCHROME1."""
    values = 1 - film.values if site.photometric == "MONOCHROME1" else film.values
    return np.round(values * (2**site.bits - 1)).astype(np.int64)


def window(film: Film, site: Site) -> tuple[float, float]:
    """(centre, width) of the ordinary window, in rescaled units."""
    low, high = film.window
    if site.photometric == "MONOCHROME1":
        low, high = 1 - high, 1 - low
    top = (2**site.bits - 1) * site.slope
    return (low + high) / 2 * top + site.intercept, (high - low) * top


@lru_cache(maxsize=64)
def header(site_name: str, view: str, rows: int, columns: int, spacing: float) -> bytes:
    """A DICOM file up to its pixels, with BLANKS for what differs between films of this kind."""
    site = next(s for s in SITES if s.name == site_name)
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.ImageType = ["DERIVED", "PRIMARY", "", "PHANTOM"]
    digital = site.modality == "DX"
    ds.SOPClassUID = DigitalXRayImageStorageForPresentation if digital else ComputedRadiographyImageStorage
    ds.SOPInstanceUID, ds.StudyInstanceUID = BLANKS["image"], BLANKS["study"]
    ds.SeriesInstanceUID = BLANKS["series"]
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = BLANKS["date"]
    ds.StudyTime = ds.SeriesTime = ds.AcquisitionTime = BLANKS["time"]
    ds.AccessionNumber = ds.StudyID = BLANKS["study_id"]
    ds.Modality = site.modality
    ds.Manufacturer, ds.ManufacturerModelName, ds.InstitutionName = site.maker, site.model, site.name
    ds.PatientName, ds.PatientID = f"Phantom^{BLANKS['subject']}", BLANKS["subject"]
    ds.PatientSex, ds.PatientAge = BLANKS["sex"], BLANKS["age"]
    ds.BodyPartExamined, ds.ViewPosition = "CHEST", view
    ds.KVP, ds.DistanceSourceToDetector = ("90", "1100") if view == "AP" else ("120", "1800")
    ds.ImagerPixelSpacing = [round(spacing, 4)] * 2
    ds.SeriesNumber = ds.InstanceNumber = BLANKS["number"]
    ds.PatientOrientation = ["P", "F"] if view in ("LATERAL", "LL") else ["L", "F"]
    ds.Rows, ds.Columns = rows, columns
    _describe_pixels(ds, site)
    return _encode(ds)[: -2 * rows * columns]


def _describe_pixels(ds: Dataset, site: Site) -> None:
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, site.photometric
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, site.bits, site.bits - 1, 0
    ds.BurnedInAnnotation = "NO"
    ds.WindowCenter = [BLANKS["centre"]] * site.windows
    ds.WindowWidth = [BLANKS["width"], BLANKS["width_1"], BLANKS["width_2"]][: site.windows]
    ds.WindowCenterWidthExplanation = ["NORMAL", *(name for _, name in EXTRA_WINDOWS)][: site.windows]
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = site.intercept, site.slope, "US"
    ds.VOILUTFunction = site.function
    ds.PresentationLUTShape = "INVERSE" if site.photometric == "MONOCHROME1" else "IDENTITY"
    ds.PixelData = bytes(2 * ds.Rows * ds.Columns)


def _encode(ds: Dataset) -> bytes:
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    buffer = io.BytesIO()
    dcmwrite(buffer, ds, enforce_file_format=True)
    return buffer.getvalue()


def film_bytes(patient: PatientPlan, study: StudyPlan, plan: FilmPlan, number: int, film: Film) -> bytes:
    """One film as a DICOM file (explicit VR little endian); `number` counts the study's films from 1."""
    site = patient.site
    centre, width = window(film, site)
    values = {
        "image": uid("image", plan.dicom_id),
        "study": uid("study", study.study_id),
        "series": uid("series", plan.dicom_id),
        "date": study.date,
        "time": study.time,
        "age": f"{study.age:03d}Y",
        "sex": f"{patient.body.sex:<4}",
        "number": f"{number:<6}",
        "subject": patient.subject_id,
        "study_id": study.study_id,
        "centre": f"{centre:<8.1f}",
        "width": f"{width:<8.1f}",
        **{f"width_{i}": f"{width * factor:<8.1f}" for i, (factor, _) in enumerate(EXTRA_WINDOWS, start=1)},
    }
    found = header(site.name, plan.view, *film.values.shape, film.pitch * 1.1)
    for name, blank in BLANKS.items():
        assert len(values[name]) == len(blank), name
        found = found.replace(blank.encode(), values[name].encode())
    return found + stored_values(film, site).astype("<u2").tobytes()


def write_film(path: Path, patient: PatientPlan, study: StudyPlan, plan: FilmPlan, number: int, film: Film) -> None:
    """Write one film as a DICOM file."""
    path.write_bytes(film_bytes(patient, study, plan, number, film))
