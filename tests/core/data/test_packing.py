"""Packing over processes: the order, how many studies go at once, and what a sample is."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

from core.data.packing import MOST, SECONDS, ImagePlan, StudyPlan, at_once, pack_study, packed_studies
from core.data.pixels import Rendering, load_pixels
from tests.core.data.files import write_png

RENDERING = Rendering(24, "pad")


def plans(folder: Path, count: int) -> list[StudyPlan]:
    """Studies of one or two of a few films; of every seventh one file is missing."""
    for number in range(5):
        write_png(folder / f"{number}.png", np.random.default_rng(number).integers(0, 256, (40, 30), dtype=np.uint8))
    return [
        StudyPlan(
            key=f"train-{number:08d}",
            study_id=f"s{number}",
            patient_id=f"p{number // 2}",
            site="here",
            labels={"Edema": 1.0, "Fracture": float("nan")},
            images=tuple(
                ImagePlan(
                    f"i{number}.{slot}", "frontal", str(folder / f"{(number + slot) % (5 + (number % 7 == 3))}.png")
                )
                for slot in range(1 + number % 2)
            ),
        )
        for number in range(count)
    ]


def test_processes_return_the_studies_in_their_order(tmp_path: Path) -> None:
    studies = plans(tmp_path, 400)
    alone = list(packed_studies(studies, RENDERING, workers=1))
    assert sum(len(packed.quarantine) for packed in alone) == 10
    assert list(packed_studies(studies, RENDERING, workers=2)) == alone


@pytest.mark.parametrize(
    ("studies", "seconds", "expected"),
    [(1, 60.0, 1), (1, SECONDS, 1), (4, SECONDS, 4), (1, SECONDS / 10, 10), (8, SECONDS / 4, 32), (3, 0.0, MOST)],
)
def test_so_many_studies_go_at_once_as_keep_a_process_busy(studies: int, seconds: float, expected: int) -> None:
    assert at_once(studies, seconds) == expected


def test_a_sample_is_what_tarfile_and_numpy_read(tmp_path: Path) -> None:
    study = plans(tmp_path, 2)[1]
    packed = pack_study(study, RENDERING)
    expected = np.stack([load_pixels(Path(image.path), 24, "pad") for image in study.images])
    with tarfile.open(fileobj=io.BytesIO(packed.members + bytes(1024))) as tar:
        array, meta = (tar.extractfile(member) for member in tar.getmembers())
        assert tar.getnames() == ["train-00000001.images.npy", "train-00000001.meta.json"]
        assert array is not None
        assert meta is not None
        np.testing.assert_array_equal(np.load(io.BytesIO(array.read()), allow_pickle=False), expected)
        assert json.load(meta)["labels"] == {"Edema": 1.0, "Fracture": None}
    for image, pixels in zip(packed.images, expected, strict=True):
        begin = image["offset"]
        assert packed.members[begin : begin + pixels.size] == pixels.tobytes()
