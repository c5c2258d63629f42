"""Damaged files end decoded or in quarantine; and the watcher notices those that would not."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from core.bench.fuzz import BAD, CRASHED, HUNG, HUNGRY, RAISED, Limits, bench_fuzz, watched
from core.bench.mutants import kinds, mutant, sound_files
from core.data.pixels import load_pixels


def test_every_sound_file_is_a_picture(tmp_path: Path) -> None:
    for kind, data in sound_files().items():
        path = tmp_path / "film.dcm"
        path.write_bytes(data)
        if kind in ("DICOM, JPEG lossless", "DICOM, JPEG-LS"):
            pytest.importorskip("libjpeg" if "lossless" in kind else "jpeg_ls")
        assert np.ptp(load_pixels(path, 16, "stretch").astype(int)) > 50, kind


def test_the_same_seed_gives_the_same_damage_and_another_gives_other() -> None:
    whole = sound_files()
    first = [mutant(0, number) for number in range(60)]
    assert first == [mutant(0, number) for number in range(60)]
    assert first != [mutant(1, number) for number in range(60)]
    assert {kind for kind, _ in first} == set(kinds())
    assert sum(data != whole[kind] for kind, data in first) > 55


def test_300_damaged_files_end_decoded_or_in_quarantine() -> None:
    rows = bench_fuzz(300, seed=3)
    total = rows[-1]
    assert total["files"] == 300 == sum(row["files"] for row in rows[:-1])
    assert not any(total[what.replace(" ", "_")] for what in BAD)
    assert total["decoded"] > 30
    assert total["quarantined"] > 100


def die_at_odd_sizes(path: Path) -> None:
    """Something a decoder written in C might do; which depends on the file alone."""
    what = len(path.read_bytes()) % 6
    if what == 0:
        os.kill(os.getpid(), signal.SIGSEGV)
    if what == 1:
        while True:
            pass
    if what == 2:
        raise KeyError
    if what == 3:
        np.ones(320 << 17)
    if what == 4:
        time.sleep(3600)


def test_the_watcher_tells_every_way_to_fail_and_goes_on() -> None:
    numbers = range(8, 14)
    expected = {0: CRASHED, 1: HUNG, 2: RAISED, 3: HUNGRY, 4: HUNG, 5: "decoded"}
    found = list(watched(numbers, 0, die_at_odd_sizes, Limits(seconds=1, patience=5, resident=320 << 20)))
    assert [outcome.number for outcome in found] == list(numbers)
    wanted = [expected[len(mutant(0, number)[1]) % 6] for number in numbers]
    assert set(expected.values()) == set(wanted)
    assert [outcome.what for outcome in found] == wanted
