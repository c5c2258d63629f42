"""Public data sets in small: folders with the real names, headers and traps, and a film where a table names one."""

from __future__ import annotations

import csv
import functools
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from core.data.types import CHEXPERT_LABELS
from tests.core.data.files import write_csv, write_png
from tests.core.data.test_dicom import film, save

Rows = Sequence[Sequence[object]]


def write_dicom(path: Path, seed: int, shape: tuple[int, int] = (40, 32)) -> None:
    """A DICOM film of noise that depends on `seed`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save(film(np.random.default_rng(seed).integers(0, 4096, shape)), path)


# ---- NIH ChestX-ray14: 12 patients with two films each
NIH_HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]\n"
)
NIH_FINDINGS = ("No Finding", "Effusion|Infiltration", "Mass", "Pleural_Thickening|Hernia")


def nih_names() -> list[str]:
    return [f"{patient:08d}_{visit:03d}.png" for patient in range(1, 13) for visit in range(2)]


def write_nih(root: Path) -> Path:
    """The header's brackets split at their commas; every fifth film is RGBA; films lie over two of the folders."""
    root.mkdir(parents=True, exist_ok=True)
    lines = []
    for number, name in enumerate(nih_names()):
        view = "AP" if number % 2 else "PA"
        lines.append(
            f"{name},{NIH_FINDINGS[number % 4]},{number % 2},{int(name[:8])},57,M,{view},2682,2749,0.14,0.14\n"
        )
        path = root / f"images_{1 + number % 2:03d}" / "images" / name
        write_png(path, number)
        if number % 5 == 0:
            with Image.open(path) as image:
                image.convert("RGBA").save(path)
    (root / "Data_Entry_2017_v2020.csv").write_text(NIH_HEADER + "".join(lines))
    (root / "BBox_List_2017.csv").write_text(
        "Image Index,Finding Label,Bbox [x,y,w,h],,,\n"
        f"{nih_names()[1]},Infiltrate,225.08,547.01,86.77,79.18\n{nih_names()[2]},Mass,10,20,30,40\n"
    )
    (root / "train_val_list.txt").write_text("\n".join(nih_names()[:18]))
    (root / "test_list.txt").write_text("\n".join(nih_names()[18:]) + "\n")
    return root


# ---- CheXpert: ten patients for training, two in valid.csv
CHEXPERT_HEADER = ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *CHEXPERT_LABELS)


def chexpert_rows(part: str, patients: range, release: str) -> list[list[object]]:
    rows: list[list[object]] = []
    for patient in patients:
        study = f"{release}/{part}/patient{patient:05d}/study1"
        values = ["1.0", "0.0", "-1.0", ""] * 3 + ["", "1.0"]
        rows.append([f"{study}/view1_frontal.jpg", "Male", 60, "Frontal", "AP", *values])
        rows.append([f"{study}/view2_lateral.jpg", "Male", 60, "Lateral", "", *values])
    return rows


def write_chexpert(root: Path, release: str = "CheXpert-v1.0-small") -> Path:
    """One row that says Frontal and LL, as 17 real ones do."""
    parts = {
        "train": chexpert_rows("train", range(1, 11), release),
        "valid": chexpert_rows("valid", range(64541, 64543), release),
    }
    parts["train"][0][4] = "LL"
    for part, rows in parts.items():
        write_csv(root / f"{part}.csv", rows, CHEXPERT_HEADER)
        for seed, row in enumerate(rows):
            write_png(root / str(row[0]).partition("/")[2], seed)
    return root


# ---- PadChest: twelve patients, and what is left out
PADCHEST_TABLE = "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv"
PADCHEST_HEADER = (
    "", "ImageID", "ImageDir", "StudyDate_DICOM", "StudyID", "PatientID", "PatientBirth", "Projection",
    "PhotometricInterpretation_DICOM", "Report", "Labels", "Localizations",
)  # fmt: skip
PADCHEST_LABELS = (
    "['normal']", "['pleural effusion', ' laminar atelectasis']", "", "['unchanged']",
    "['nodule', 'sclerotic bone lesion']", "['hiatal hernia', 'chronic changes']",
)  # fmt: skip
PADCHEST_VIEWS = ("PA", "L", "AP_horizontal", "AP", "COSTAL", "PA")


def write_padchest(root: Path) -> Path:
    """16-bit PNG in numbered folders; blank labels; EXCLUDE; a list that is none; a MONOCHROME1 row."""
    rows: list[list[object]] = []
    for number in range(24):
        polarity = "MONOCHROME1" if number == 1 else "MONOCHROME2"
        where = [
            "['loc right']",
            f"{number}.png",
            number % 3,
            "20140101",
            f"study{number // 2}",
            f"patient{number // 2}",
        ]
        rows.append(
            [
                number,
                *where[1:],
                1950,
                PADCHEST_VIEWS[number % 6],
                polarity,
                "texto",
                PADCHEST_LABELS[number % 6],
                where[0],
            ]
        )
        path = root / str(number % 3) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        ramp = np.linspace(0, 60_000, 40 * 32).reshape(40, 32).astype(np.uint16)
        Image.fromarray(ramp).save(path)
    rows[6][7], rows[8][10], rows[9][10] = "EXCLUDE", "['exclude']", "__import__('os').abort()"
    return write_csv(root / PADCHEST_TABLE, rows, PADCHEST_HEADER).parent


# ---- VinDr-CXR: 15 images, three readers each
VINDR_HEADER = ("image_id", "class_name", "class_id", "rad_id", "x_min", "y_min", "x_max", "y_max")
NOTHING = ("No finding", 14, "", "", "", "")


def vindr_image(number: int) -> list[tuple[object, ...]]:
    """What three readers say: all nothing, or two boxes that meet and one of another finding."""
    if number % 3:
        return [NOTHING] * 3
    seen = [("Cardiomegaly", 3, 10, 10, 20, 20), ("Cardiomegaly", 3, 12, 10, 22, 20), ("Nodule/Mass", 8, 1, 2, 4, 6)]
    return seen


def write_vindr(root: Path) -> Path:
    """Blank boxes for No finding, and films of which only the header tells the size that boxes refer to."""
    rows: list[list[object]] = []
    for number in range(15):
        image = f"{number:032x}"
        rows += [[image, said[0], said[1], f"R{8 + k}", *said[2:]] for k, said in enumerate(vindr_image(number))]
        write_dicom(root / "train" / f"{image}.dicom", number)
    return write_csv(root / "train.csv", rows, VINDR_HEADER).parent


# ---- RSNA pneumonia: 12 images, one with two boxes
RSNA_HEADER = ("patientId", "x", "y", "width", "height", "Target")


def write_rsna(root: Path) -> Path:
    """Rows of one image that stand twice, and blank boxes where Target is 0."""
    rows: list[list[object]] = [["image0", 500.0, 100.0, 50.0, 80.0, 1], ["image0", 100.0, 90.0, 40.0, 60.0, 1]]
    rows += [[f"image{n}", *((10.0, 20.0, 30.0, 40.0, 1) if n % 4 == 0 else ("", "", "", "", 0))] for n in range(1, 12)]
    write_csv(root / "stage_2_train_labels.csv", rows, RSNA_HEADER)
    words = {0: "Lung Opacity", 1: "Normal", 2: "No Lung Opacity / Not Normal", 3: "Normal"}
    classes = [[row[0], words[int(str(row[0])[5:]) % 4]] for row in rows]
    write_csv(root / "stage_2_detailed_class_info.csv", classes, ("patientId", "class"))
    for number in range(12):
        write_dicom(root / "stage_2_train_images" / f"image{number}.dcm", number)
    return root


# ---- SIIM-ACR: 12 images, one of two rows
def relative(mask: np.ndarray) -> str:
    """Run lengths as the challenge writes them, from a loop over the pixels, column after column."""
    words, gap, run = [], 0, 0
    for column in range(mask.shape[1]):
        for row in range(mask.shape[0]):
            if mask[row, column]:
                run += 1
            elif run:
                words += [gap, run]
                gap, run = 1, 0
            else:
                gap += 1
    return " ".join(str(word) for word in words + ([gap, run] if run else []))


def siim_masks() -> list[np.ndarray]:
    """The two masks [1024, 1024] of the first image: a rectangle and a triangle that overlap."""
    first, second = np.zeros((1024, 1024), bool), np.zeros((1024, 1024), bool)
    first[100:160, 300:420] = True
    for row in range(140, 240):
        second[row, 400 : 400 + row - 130] = True
    return [first, second]


@functools.cache
def siim_texts() -> list[str]:
    """The run lengths of the two masks."""
    return [relative(mask) for mask in siim_masks()]


def write_siim(root: Path) -> Path:
    """The header's second name has a leading space; films lie deep below uid folders."""
    buffer = io.StringIO()
    buffer.write("ImageId, EncodedPixels\n")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerows([["1.2.0", f" {text}"] for text in siim_texts()])
    writer.writerows([[f"1.2.{number}", " -1"] for number in range(1, 12)])
    root.mkdir(parents=True, exist_ok=True)
    (root / "train-rle.csv").write_text(buffer.getvalue())
    for number in range(12):
        write_dicom(root / "dicom-images-train" / f"1.2.{number}.9" / f"1.2.{number}.8" / f"1.2.{number}.dcm", number)
    return root


# ---- Open-i: ten reports
OPENI_PROBLEMS = (
    "normal",
    "Cardiomegaly;Pleural Effusion",
    "No Indexing",
    "Fractures, Bone;Opacity",
    "Implanted Medical Device",
)


def write_openi(root: Path) -> Path:
    """Names that end in .dcm.png; commas within a MeSH heading; an image whose report is absent."""
    projections = [
        [n, f"{n}_IM-000{n}-{v}001.dcm.png", view] for n in range(10) for v, view in ((1, "Frontal"), (2, "Lateral"))
    ]
    reports = [[n, "", OPENI_PROBLEMS[n % 5], "PA and lateral", "cough", "None.", "clear", "normal"] for n in range(10)]
    for seed, row in enumerate(projections):
        write_png(root / "images" / "images_normalized" / str(row[1]), seed)
    projections.append([77, "77_IM-0001-1001.dcm.png", "Frontal"])
    write_csv(root / "indiana_projections.csv", projections, ("uid", "filename", "projection"))
    header = ("uid", "MeSH", "Problems", "image", "indication", "comparison", "findings", "impression")
    return write_csv(root / "indiana_reports.csv", reports, header).parent


LAYOUTS: dict[str, Callable[[Path], Path]] = {
    "nih": write_nih,
    "chexpert": write_chexpert,
    "padchest": write_padchest,
    "vindr": write_vindr,
    "rsna": write_rsna,
    "siim": write_siim,
    "openi": write_openi,
}
