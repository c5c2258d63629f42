"""Leaks that a test plants are found, and nothing else is; the card and its figures."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageOps
from scipy.ndimage import gaussian_filter

from analysis.data_card import random_pairs, side_by_side
from core.data.integrity import Finding, contradictions, integrity, patients_across_splits
from core.data.near import MAX_BITS, MIN_CORRELATION, Fingerprints, fingerprint, near_pairs
from core.data.store import open_store
from tests.core.data.files import write_csv
from tests.core.data.tables import make_table, random_table
from viewpair.cli import main


def body(seed: int, shape: tuple[int, int] = (160, 128)) -> Image.Image:
    """A smooth picture with fine structure that depends on `seed`."""
    rng = np.random.default_rng(seed)
    coarse = gaussian_filter(rng.normal(size=shape), 18)
    fine = gaussian_filter(rng.normal(size=shape), 3)
    picture = coarse / coarse.std() + 0.5 * fine / fine.std()
    return Image.fromarray(np.clip(128 + 40 * picture, 5, 255).astype(np.uint8))


def compressed(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=50)
    return Image.open(buffer)


COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "compressed": compressed,
    "brighter": lambda image: image.point(lambda value: min(255, int(value * 1.1 + 8))),
    "half as large": lambda image: image.resize((image.width // 2, image.height // 2)),
    "darker in the middle": lambda image: image.point(lambda value: int(255 * (value / 255) ** 1.3)),
    "in a black frame": lambda image: ImageOps.expand(image, 20),
}


def prints_of(images: list[Image.Image]) -> Fingerprints:
    pairs = [fingerprint(np.asarray(image)) for image in images]
    return Fingerprints(np.array([bits for bits, _ in pairs]), np.stack([detail for _, detail in pairs]))


@pytest.mark.parametrize("how", COPIES)
def test_copies_are_found_and_other_films_are_not(how: str) -> None:
    films = [body(seed) for seed in range(12)]
    prints = prints_of([*films, *(COPIES[how](film) for film in films)])
    found = near_pairs(prints, np.repeat([0, 1], 12))
    assert [(pair.first, pair.second) for pair in found] == [(n, n + 12) for n in range(12)]
    assert near_pairs(prints, np.zeros(24, dtype=np.int64)) == []


def test_every_pair_of_different_groups_is_compared_once() -> None:
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2**13, 300).astype(np.uint64)
    group = rng.choice(3, 300, p=[0.6, 0.1, 0.3])
    prints = Fingerprints(bits, np.ones((300, 4), dtype=np.int8))
    wanted = [
        (i, j)
        for i in range(300)
        for j in range(i + 1, 300)
        if group[i] != group[j] and int(bits[i] ^ bits[j]).bit_count() <= MAX_BITS
    ]
    assert [(pair.first, pair.second) for pair in near_pairs(prints, group)] == wanted
    assert len(wanted) > 5_000


def test_pairs_are_confirmed_by_the_correlation_of_their_detail() -> None:
    rng = np.random.default_rng(1)
    common = rng.normal(size=50)
    drawn = common * rng.choice([-1, 1], (40, 1)) + rng.uniform(0.1, 0.8, (40, 1)) * rng.normal(size=(40, 50))
    detail = np.clip(np.rint(40 * drawn), -128, 127).astype(np.int8)
    detail[3] = 0
    group = rng.choice(3, 40)
    lengths = np.linalg.norm(detail.astype(float), axis=1)
    correlation = detail.astype(float) @ detail.astype(float).T / np.maximum(np.outer(lengths, lengths), 1)
    wanted = {
        (i, j): correlation[i, j]
        for i in range(40)
        for j in range(i + 1, 40)
        if group[i] != group[j] and correlation[i, j] >= MIN_CORRELATION
    }
    found = near_pairs(Fingerprints(np.zeros(40, dtype=np.uint64), detail), group)
    assert {(pair.first, pair.second): pytest.approx(pair.correlation) for pair in found} == wanted
    assert 20 < len(wanted) < 300


def test_many_copies_are_told_in_few_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    kinds = {"a": body(0), "b": compressed(body(0)), "c": body(1)}
    rows = []
    for n in range(60):
        name = f"{'abc'[n % 3]}{n:02d}.png"
        kinds[name[0]].save(tmp_path / name)
        # Of the first film copies are in every split, of its near copy in one.
        split = "train" if name[0] == "b" else ("train", "validate", "test")[n // 3 % 3]
        rows.append([name, f"p{n}", f"s{n}", "PA", split, n % 2])
    csv = write_csv(tmp_path / "films.csv", rows, ["path", "patient_id", "study_id", "view", "split", "Edema"])
    words = ["data=folder", f"data.csv={csv}", "data.size=64", f"paths.root={tmp_path}"]
    assert main(["data", "build", "--workers", "1", *words]) == 0
    a, c = "a00.png = a03.png = a06.png = ... (20 alike)", "c02.png = c05.png = c08.png = ... (20 alike)"
    assert any(a in line and c in line and "a09.png" not in line for line in caplog.messages)
    found = {finding.what: finding.cases for finding in integrity(Path(capsys.readouterr().out.splitlines()[-1]))}
    assert set(found["identical pictures in more than one split"]) == {a, c}
    b = "b01.png = b04.png = b07.png = ... (20 alike)"
    near = found["nearly identical pictures in more than one split"]
    assert set(near) == {
        f"{b} ~ a03.png = a12.png = a21.png = ... (7 alike)",
        f"{b} ~ a06.png = a15.png = a24.png = ... (6 alike)",
    }


def planted(folder: Path) -> Path:
    """Films of 9 patients, three a split; a copy, a near copy and a contradiction among them."""
    films = {f"{n}.png": body(n) for n in range(9)}
    films |= {"8.png": body(0), "7.png": compressed(body(1)), "5.png": body(4)}
    rows = []
    for n, (name, image) in enumerate(films.items()):
        image.save(folder / name)
        split = ("train", "validate", "test")[n // 3]
        rows.append([name, f"p{n}", f"s{n}", "PA", split, int(n in (2, 6)), int(n == 6), int(n == 2)])
    fields = ["path", "patient_id", "study_id", "view", "split", "No Finding", "Edema", "Support Devices"]
    return write_csv(folder / "films.csv", rows, fields)


def test_planted_leaks_and_contradictions_are_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["data=folder", f"data.csv={planted(tmp_path)}", "data.size=64", f"paths.root={tmp_path}"]
    assert main(["data", "build", "--workers", "1", *words]) == 0
    folder = Path(capsys.readouterr().out.splitlines()[-1])
    found = {finding.what: finding.cases for finding in integrity(folder)}
    assert found["patients in more than one split"] == ()
    assert found["identical pictures in more than one split"] == ("0.png = 8.png",)
    assert set(found["identical pictures of more than one patient"]) == {"0.png = 8.png", "4.png = 5.png"}
    assert set(found["nearly identical pictures in more than one split"]) == {"1.png ~ 7.png"}
    # Support Devices goes with No Finding; Edema does not.
    assert found["studies with 'No Finding' and a finding"] == ("s6",)
    assert main(["data", "check", *words]) == 0
    said = capsys.readouterr().out
    assert "nearly identical pictures in more than one split: 1" in said
    card = (folder / "card" / "README.md").read_text()
    assert "- nearly identical pictures in more than one split: 1 (" in card
    for name in ("labels", "films", "pairs"):
        assert f"]({name}.png)" in card
        assert Image.open(folder / "card" / f"{name}.png").width > 500
    open_store(folder, deep=True)


def test_patients_across_splits() -> None:
    tables = [make_table([("a", "f"), ("b", "f"), ("b", "l")]), make_table([("c", "f"), ("b", "f")])]
    assert patients_across_splits(tables) == ["b"]


def test_contradictions_without_a_normal_label() -> None:
    assert contradictions([make_table([("a", "f")], np.ones((1, 2), dtype=np.float32))]) == []


def test_a_finding_in_one_line() -> None:
    assert Finding("odd", ()).line() == "odd: 0"
    assert Finding("odd", tuple("abcdefghijkl")).line() == "odd: 12 (a, b, c, d, e, f, g, h, i, j, ... (12 in all))"


def test_random_pairs_are_a_frontal_and_a_lateral_of_one_study() -> None:
    table = random_table(3)
    pairs = random_pairs(table, 1000)
    study = np.repeat(np.arange(table.n_studies), np.diff(table.start))
    both = pd.DataFrame({"study": study, "view": table.view}).groupby("study")["view"].agg(lambda v: {0, 1} <= set(v))
    assert len(pairs) == both.sum() > 20
    for frontal, lateral in pairs:
        assert study[frontal] == study[lateral]
        assert (table.view[frontal], table.view[lateral]) == (0, 1)
    assert len(random_pairs(table, 5)) == 5


def test_side_by_side() -> None:
    pictures = np.stack([np.full((4, 4), value, dtype=np.uint8) for value in (10, 20)])
    np.testing.assert_array_equal(side_by_side(pictures)[0], [10] * 4 + [255] + [20] * 4)
