"""No field of a DICOM header reaches anything that is written, printed or logged but what the manifest declares."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom

from tests.core.data.files import write_csv
from tests.core.data.test_dicom import film, save

CHECKOUT = Path(__file__).resolve().parents[3]
SECRET = "PLANTEDSECRET"
TAGS = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "AccessionNumber",
    "StudyDate",
    "InstitutionName",
    "ImageComments",
)
BUILD = """
import sys, logging
from pathlib import Path
logging.basicConfig(level=logging.DEBUG)
from core.data.build import prepare
from core.data.checks import data_card
from core.data.readers.folder import FolderConfig
config = FolderConfig(csv=sys.argv[1], size=16, max_quarantine=0.9)
prepare(config, Path(sys.argv[2]), workers=2)
print(data_card(next(Path(sys.argv[2], "data").iterdir())))
"""


def test_planted_names_appear_nowhere(tmp_path: Path) -> None:
    films, out = tmp_path / "films", tmp_path / "out"
    films.mkdir()
    rows = []
    with pydicom.config.disable_value_validation():
        for number in range(12):
            pixels = np.random.default_rng(number).integers(0, 4096, (24, 20))
            dataset = film(pixels, **dict.fromkeys(TAGS, SECRET))
            dataset.private_block(0x99, SECRET, create=True).add_new(1, "LO", SECRET)
            path = save(dataset, films / f"{number}.dcm")
            if number % 4 == 0:
                # Damaged in a tag that is parsed: the reason must not quote it.
                path.write_bytes(path.read_bytes().replace(b"MONOCHROME2", b"PLANTEDSECR"))
            rows.append([path.name, f"p{number // 2}", f"s{number // 2}", "PA", number % 2])
    csv = write_csv(films / "films.csv", rows, ["path", "patient_id", "study_id", "view", "Edema"])
    done = subprocess.run(
        [sys.executable, "-c", BUILD, str(csv), str(out)], cwd=CHECKOUT, capture_output=True, check=True
    )
    written = [p for p in out.rglob("*") if p.is_file()]
    assert any(p.suffix == ".tar" for p in written)
    assert b"3 images could not be read" in done.stderr
    for content in [done.stdout, done.stderr, *(p.read_bytes() for p in written)]:
        assert SECRET[:11].encode() not in content
