"""No field of a file's header reaches anything that is written, printed or logged but what the manifest declares."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from tests.core.data.files import write_csv
from tests.core.data.test_dicom import film, lut

CHECKOUT = Path(__file__).resolve().parents[3]
SECRET, DATE = "PLANTEDSECRET", "19670823"
NAMES = (
    "PatientName",
    "PatientID",
    "AccessionNumber",
    "InstitutionName",
    "ReferringPhysicianName",
    "StudyDescription",
    "ImageComments",
    "WindowCenterWidthExplanation",
)
DATES = ("PatientBirthDate", "StudyDate", "SeriesDate", "ContentDate")
# Every verb that reads the files, with all that they log; the last build has more unreadable films than it may.
COMMANDS = """
import logging, sys
logging.basicConfig(level=logging.DEBUG)
from viewpair.cli import main
words = ["data=folder", f"data.csv={sys.argv[1]}", "data.size=16", f"paths.root={sys.argv[2]}"]
allowed = "data.max_quarantine=0.9"
codes = [main(["data", verb, "--workers", "1", *words, allowed]) for verb in ("build", "check", "card")]
print(codes, main(["data", "build", "--workers", "1", *words, "data.max_quarantine=0", "data.tone=minmax"]))
"""


def talkative(number: int) -> Dataset:
    """A film whose header holds names and dates wherever there is room."""
    dataset = film(np.random.default_rng(number).integers(0, 4096, (24, 20)), **dict.fromkeys(NAMES, SECRET))
    for name in DATES:
        setattr(dataset, name, DATE)
    item = Dataset()
    item.PatientName, item.StudyDate = SECRET, DATE
    dataset.RequestAttributesSequence = Sequence([item])
    table = lut(0, 12, list(range(4096)))
    table[0].LUTExplanation = SECRET
    dataset.VOILUTSequence = table
    dataset.private_block(0x99, SECRET, create=True).add_new(1, "LO", SECRET)
    dataset.file_meta.SourceApplicationEntityTitle = SECRET
    dataset.preamble = (SECRET + DATE).encode().ljust(128, b"\0")
    return dataset


def damaged(content: bytes, number: int) -> bytes:
    """Damage of four kinds in tags that are parsed: what stands there must not be quoted."""
    if number % 4 == 0:
        return content.replace(b"MONOCHROME2", SECRET[:11].encode())
    if number % 4 == 1:
        return content.replace(b"1.2.840.10008.1.2.1\0", (SECRET[:19] + "\0").encode().ljust(20, b"\0"))
    if number % 4 == 2:
        return content[: len(content) // 2]
    return content.replace(b"(\x00\x04\x00CS\x0b\x00", b"(\x00\x04\x00CS\xff\xff")


def write_films(folder: Path) -> Path:
    """DICOM films, some of them damaged, and PNG and JPEG files with texts in them."""
    rows: list[str] = []
    for number in range(12):
        path = folder / f"{number}.dcm"
        with pydicom.config.disable_value_validation():
            talkative(number).save_as(path, enforce_file_format=True)
        if number % 2:
            path.write_bytes(damaged(path.read_bytes(), number // 2))
        rows.append(path.name)
    texts = PngInfo()
    texts.add_text("Patient", f"{SECRET} {DATE}")
    exif = Image.Exif()
    exif[0x010E], exif[0x0132] = SECRET, DATE
    for number in range(6):
        image = Image.fromarray(np.random.default_rng(number).integers(0, 256, (24, 20), dtype=np.uint8))
        image.save(folder / f"p{number}.png", pnginfo=texts)
        image.save(folder / f"j{number}.jpg", exif=exif, comment=SECRET)
        rows += [f"p{number}.png", f"j{number}.jpg"]
    (folder / "j0.jpg").write_bytes((folder / "j0.jpg").read_bytes()[:-400])
    table = [[name, f"p{n // 2}", f"s{n // 2}", "PA", n % 2] for n, name in enumerate(rows)]
    return write_csv(folder / "films.csv", table, ["path", "patient_id", "study_id", "view", "Edema"])


def test_planted_names_and_dates_appear_nowhere(tmp_path: Path) -> None:
    films, out = tmp_path / "films", tmp_path / "out"
    films.mkdir()
    csv = write_films(films)
    planted = b"".join(path.read_bytes() for path in films.iterdir() if path != csv)
    assert planted.count(SECRET.encode()) > 100
    assert planted.count(DATE.encode()) > 50
    command = [sys.executable, "-c", COMMANDS, str(csv), str(out)]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, check=True)
    assert b"[0, 0, 0] 2" in done.stdout, done.stderr.decode()
    written = [path for path in out.rglob("*") if path.is_file()]
    assert {".tar", ".json", ".csv", ".parquet", ".md", ".png", ".pdf"} <= {path.suffix for path in written}
    quarantines = [pd.read_csv(path) for path in written if path.name == "quarantine.csv"]
    assert min(map(len, quarantines)) >= 3
    # What parquet packs is unpacked first.
    tables = [pd.read_parquet(path).to_json().encode() for path in written if path.suffix == ".parquet"]
    for content in [done.stdout, done.stderr, *tables, *(path.read_bytes() for path in written)]:
        assert SECRET[:11].encode() not in content
        assert DATE.encode() not in content


def test_a_shard_declares_ids_views_and_labels_alone(pristine: Path) -> None:
    """What stands beside the pixels in a shard, field by field."""
    with tarfile.open(next(iter(sorted(pristine.glob("*.tar"))))) as tar:
        members = tar.getmembers()
        meta = json.loads(tar.extractfile(members[1]).read())  # type: ignore[union-attr]
    assert set(meta) == {"study_id", "patient_id", "image_ids", "views", "labels"}
    assert {member.name.split(".", 1)[1] for member in members} == {"images.npy", "meta.json"}
    assert {(member.uname, member.gname, member.uid, member.mtime) for member in members} == {("", "", 0, 0)}
