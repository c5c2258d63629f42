"""How large a film is by its header: what reading it says, and nothing but (0, 0) of a damaged one."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.bench.mutants import mutant, sound_files
from core.data.frames import image_shape
from core.data.pixels import read_film


def saved(kind: str, data: bytes, folder: Path) -> Path:
    path = folder / f"film.{'dcm' if 'DICOM' in kind else 'png' if 'PNG' in kind else 'jpg'}"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("kind", sound_files())
def test_it_is_the_shape_of_the_film(kind: str, tmp_path: Path) -> None:
    path = saved(kind, sound_files()[kind], tmp_path)
    assert image_shape(path) == read_film(path).shape


def test_damaged_and_absent_files_raise_nothing(tmp_path: Path) -> None:
    found = [image_shape(saved(*mutant(4, number), tmp_path)) for number in range(600)]
    assert found.count((0, 0)) > 100
    assert image_shape(tmp_path / "absent.dcm") == (0, 0)
    assert image_shape(tmp_path / "absent.png") == (0, 0)


def test_a_deflated_header_is_not_inflated_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved("DICOM", sound_files()["DICOM, Deflated Explicit VR Little Endian"], tmp_path)
    assert image_shape(path) != (0, 0)
    monkeypatch.setattr("core.data.dicom.MAX_BYTES", path.stat().st_size)
    assert image_shape(path) == (0, 0)
