"""What building costs beyond the decoders: a data set built beside its files only decoded, by as many processes.

The files are made: films as large as detectors have them and smaller ones, in the formats that films come in. Ways take
turns within one run, so that their ratio may be believed; how fast any of them is hangs on the machine.
"""

from __future__ import annotations

import contextlib
import csv
import logging
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from core.bench.decoding import decoded, shrunk
from core.bench.mutants import dicom, picture
from core.config import TrialConfig
from core.data.build import build
from core.data.packing import at_once
from core.data.readers.folder import FolderConfig
from core.workers import cores, process_pool

# Height and width of the films, px: as detectors have them, as NIH's, RSNA's and SIIM's were made, and small ones.
FILMS = ((2500, 2048), (1024, 1024), (512, 512))
# So long a process decodes in a round, by as many files as that takes: starting the processes is little beside it.
SECONDS, FEWEST, MOST = 12.0, 8, 20_000
DISTINCT = 3  # films; the other files are links to these
# Standard deviation in 4096 levels. An 8-bit PNG then has 3.6 bits a pixel and a JPEG of quality 95 (that of
# MIMIC-CXR-JPG) 1.6: public films have 3.5 and 1.8. With less noise a JPEG is decoded several times as fast.
NOISE = 32
FORMATS: dict[str, Callable[[np.ndarray], bytes]] = {
    "DICOM, JPEG 2000": lambda film: dicom(film, JPEG2000Lossless),
    "DICOM, JPEG-LS": lambda film: dicom(film, JPEGLSLossless),
    "DICOM, RLE": lambda film: dicom(film, RLELossless),
    "DICOM, deflated": lambda film: dicom(film, DeflatedExplicitVRLittleEndian),
    "DICOM, plain": lambda film: dicom(film, ExplicitVRLittleEndian),
    "PNG, 16 bits": lambda film: picture(film, "PNG"),
    "PNG": lambda film: picture((film >> 4).astype(np.uint8), "PNG"),
    "JPEG": lambda film: picture((film >> 4).astype(np.uint8), "JPEG", quality=95),
}


def bench_build(config: TrialConfig, repeats: int) -> list[dict[str, Any]]:
    """Rows (files, film, images, decoded_per_second, built_per_second, of_decoders, of_decoders_and_resize).

    Images per second of one process per core: only decoded to an array; built, from the table to the index, at
    `data.size`. of_decoders: the second over the first. of_decoders_and_resize: over decoding and shrinking with
    Pillow, as a plain builder would. Each is the median of `repeats` rounds.
    """
    rows = []
    for shape in FILMS:
        films = [made_film(shape, seed) for seed in range(DISTINCT)]
        for name, encode in FORMATS.items():
            with tempfile.TemporaryDirectory() as folder, without_warnings():
                contents = [encode(film) for film in films]
                seconds = decoding_seconds(contents[0], Path(folder))
                table = write_files(Path(folder), contents, enough(seconds) * cores())
                row = compare(config, table, at_once(1, seconds), repeats)
                rows.append({"files": name, "film": f"{shape[0]} x {shape[1]}", **row})
    return rows


@contextlib.contextmanager
def without_warnings() -> Iterator[None]:
    """Leave out what the builder warns of: of one film in many copies it is of no use."""
    log = logging.getLogger("core.data")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)


def decoding_seconds(content: bytes, folder: Path) -> float:
    """Seconds that a process takes to decode a file like this one."""
    path = folder / "one"
    path.write_bytes(content)
    seconds = min(timed(lambda: decoded(path)) for _ in range(3))
    path.unlink()
    return seconds


def enough(seconds: float) -> int:
    """How many files a process decodes in a round, where one takes so many seconds."""
    return int(np.clip(SECONDS / seconds, FEWEST, MOST))


def made_film(shape: tuple[int, int], seed: int) -> np.ndarray:
    """uint16 [H, W] of 12 bits: a bright middle between two dark lungs, and noise that a compressor cannot foretell."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, side, dtype=np.float32) for side in shape), indexing="ij")
    lungs = sum(np.exp(-(((x - side) / 0.25) ** 2) - (y / 0.6) ** 2) for side in (-0.45, 0.45))
    film = 3000 * np.exp(-(x**2) - 0.3 * y**2) * (1 - 0.6 * lungs)
    noise = np.random.default_rng(seed).normal(0, NOISE, shape).astype(np.float32)
    return np.clip(film + noise, 0, 4095).astype(np.uint16)


def write_files(folder: Path, contents: list[bytes], count: int) -> Path:
    """`count` files of these contents in turn, and the CSV that lists them; returns its path."""
    rows = []
    for number in range(count):
        path = folder / f"{number:06d}.film"
        if number < len(contents):
            path.write_bytes(contents[number])
        else:
            os.link(folder / f"{number % len(contents):06d}.film", path)
        rows.append([path.name, f"p{number}", f"s{number}", "PA", number % 2])
    with (folder / "films.csv").open("w", newline="") as handle:
        csv.writer(handle).writerows([["path", "patient_id", "study_id", "view", "Edema"], *rows])
    return folder / "films.csv"


def compare(config: TrialConfig, table: Path, chunk: int, repeats: int) -> dict[str, Any]:
    """The columns of one row. chunk: files that a process decodes at once."""
    paths = sorted(table.parent.glob("*.film"))
    data = FolderConfig(csv=str(table), size=config.data.size, studies_per_shard=64)
    seconds: dict[str, list[float]] = {"decode": [], "shrink": [], "build": []}
    for _ in range(repeats):
        seconds["decode"].append(timed(lambda: over_processes(decoded, paths, chunk)))
        with tempfile.TemporaryDirectory() as root:
            seconds["build"].append(timed(lambda root=root: build(data, Path(root))))  # type: ignore[misc]
        seconds["shrink"].append(timed(lambda: over_processes(partial(shrunk, size=config.data.size), paths, chunk)))
    decode, shrink, whole = (statistics.median(seconds[way]) for way in ("decode", "shrink", "build"))
    rates = {"decoded_per_second": len(paths) / decode, "built_per_second": len(paths) / whole}
    return {"images": len(paths), **rates, "of_decoders": decode / whole, "of_decoders_and_resize": shrink / whole}


def timed(work: Callable[[], object]) -> float:
    """Seconds that something takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def over_processes(work: Callable[[Path], None], paths: list[Path], chunk: int) -> None:
    """Do something with every file, by processes like those that build."""
    with process_pool(cores(), "decodes films", "run again") as pool:
        for _ in pool.map(work, paths, chunksize=chunk):
            pass
