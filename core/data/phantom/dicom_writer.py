"""Films as the DICOM files a hospital would keep: a site's bit depth, photometry, rescale and windows."""

from __future__ import annotations

import hashlib
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
from core.data.phantom.sites import Site
from core.data.types import Ints

EXTRA_WINDOWS = ((1.25, "WIDE"), (0.6, "LUNG"))  # width over the first window's


def uid(*parts: str | int) -> str:
    """A UID in the 2.25 arc that depends on `parts` alone."""
    digest = hashlib.sha256("/".join(str(p) for p in parts).encode()).digest()
    return f"2.25.{int.from_bytes(digest[:16], 'big') >> 4}"


def stored_values(film: Film, site: Site) -> Ints:
    """Values as a detector stores them: integers [H, W] from 0 to 2^bits - 1; dense parts low in MONOCHROME1."""
    values = 1 - film.values if site.photometric == "MONOCHROME1" else film.values
    return np.round(values * (2**site.bits - 1)).astype(np.int64)


def windows(film: Film, site: Site) -> tuple[list[float], list[float]]:
    """(centres, widths) in rescaled units, the ordinary window first."""
    low, high = film.window
    if site.photometric == "MONOCHROME1":
        low, high = 1 - high, 1 - low
    top = 2**site.bits - 1
    centre = round((low + high) / 2 * top * site.slope + site.intercept, 1)
    width = round((high - low) * top * site.slope, 1)
    factors = [1.0, *(factor for factor, _ in EXTRA_WINDOWS)][: site.windows]
    return [centre] * len(factors), [round(width * factor, 1) for factor in factors]


def build_dataset(patient: PatientPlan, study: StudyPlan, plan: FilmPlan, number: int, film: Film) -> Dataset:
    """The header and pixels of one film; `number` counts the study's films from 1."""
    site, ds = patient.site, Dataset()
    digital = site.modality == "DX"
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.ImageType = ["DERIVED", "PRIMARY", "", "PHANTOM"]
    ds.SOPClassUID = DigitalXRayImageStorageForPresentation if digital else ComputedRadiographyImageStorage
    ds.SOPInstanceUID = uid("image", plan.dicom_id)
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = study.date
    ds.StudyTime = ds.SeriesTime = ds.AcquisitionTime = study.time
    ds.AccessionNumber = study.study_id
    ds.Modality = site.modality
    ds.Manufacturer = site.maker
    ds.InstitutionName = site.name
    ds.ManufacturerModelName = site.model
    ds.PatientName = f"Phantom^{patient.subject_id}"
    ds.PatientID = patient.subject_id
    ds.PatientSex = patient.body.sex
    ds.PatientAge = f"{study.age:03d}Y"
    ds.BodyPartExamined = "CHEST"
    ds.KVP = "90" if plan.view == "AP" else "120"
    ds.DistanceSourceToDetector = "1100" if plan.view == "AP" else "1800"
    ds.ImagerPixelSpacing = [round(film.pitch * 1.1, 4)] * 2
    ds.ViewPosition = plan.view
    ds.StudyInstanceUID = uid("study", study.study_id)
    ds.SeriesInstanceUID = uid("series", plan.dicom_id)
    ds.StudyID = study.study_id
    ds.SeriesNumber = ds.InstanceNumber = number
    ds.PatientOrientation = ["P", "F"] if plan.geometry == "LATERAL" else ["L", "F"]
    _add_pixels(ds, film, site)
    return ds


def _add_pixels(ds: Dataset, film: Film, site: Site) -> None:
    pixels = stored_values(film, site).astype("<u2")
    centres, widths = windows(film, site)
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = site.photometric
    ds.Rows, ds.Columns = pixels.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, site.bits, site.bits - 1, 0
    ds.BurnedInAnnotation = "NO"
    ds.WindowCenter, ds.WindowWidth = (centres, widths) if len(centres) > 1 else (centres[0], widths[0])
    if len(centres) > 1:
        names = ["NORMAL", *(name for _, name in EXTRA_WINDOWS)]
        ds.WindowCenterWidthExplanation = names[: len(centres)]
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = site.intercept, site.slope, "US"
    ds.VOILUTFunction = site.function
    ds.PresentationLUTShape = "INVERSE" if site.photometric == "MONOCHROME1" else "IDENTITY"
    ds.PixelData = pixels.tobytes()


def write_film(path: Path, patient: PatientPlan, study: StudyPlan, plan: FilmPlan, number: int, film: Film) -> None:
    """Write one film as a DICOM file (explicit VR little endian)."""
    ds = build_dataset(patient, study, plan, number, film)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta = meta
    dcmwrite(path, ds, enforce_file_format=True)
