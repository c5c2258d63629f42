"""Figures look the same whichever typeface their letters are taken from."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from analysis.plots import base, typeface

# A ligature, kerning, signs; Cyrillic, which the cut typeface lacks.
TEXT = "fi AV Wa β ≈ – − “x” ≥ 10⁻³ × ± ▲ é ł Ж"  # noqa: RUF001


def saved(folder: Path) -> Path:
    with base.look():
        figure, panels = base.new_figure(4, 2)
        panels[0][0].set_title(TEXT)
        panels[0][0].set_yscale("log")
        base.footer(figure, TEXT)
        base.save(base.Drawn("figure", figure, ""), folder)
    return folder


def test_pictures_are_those_of_the_whole_typeface(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cut = saved(tmp_path / "cut")
    monkeypatch.setattr(base, "families", lambda: [typeface.WHOLE])
    whole = saved(tmp_path / "whole")
    first, second = (np.asarray(Image.open(folder / "figure.png")) for folder in (cut, whole))
    np.testing.assert_array_equal(first, second)
    assert len(np.unique(first)) > 10


def test_a_pdf_holds_the_cut_letters_and_of_the_whole_typeface_only_the_others(tmp_path: Path) -> None:
    told = (saved(tmp_path) / "figure.pdf").read_bytes().decode("latin-1")
    assert {"viewpairSans", "DejaVuSans"} == set(re.findall(r"/FontName /[A-Z]{6}\+(\w+)", told))
    # TrueType outlines, which publishers take; not Type 3.
    assert "/Subtype /Type3" not in told
    assert "/FontFile2" in told
