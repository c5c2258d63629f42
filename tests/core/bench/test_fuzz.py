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


RESIDENT = 320 << 20


def misbehave(path: Path) -> None:
    """Something a decoder written in C might do; which depends on the file alone."""
    what = len(path.read_bytes()) % 4
    if what == 0:
        os.kill(os.getpid(), signal.SIGSEGV)
    if what == 1:
        raise KeyError
    if what == 2:
        np.ones(RESIDENT // 8)


def hang(path: Path) -> None:
    """Never come back, busy or asleep."""
    while len(path.read_bytes()) % 2:
        pass
    time.sleep(3600)


def test_a_large_parent_is_not_held_against_the_files() -> None:
    ballast = np.ones(RESIDENT // 8)
    (outcome,) = watched(range(1), 0, Path.read_bytes, Limits(resident=RESIDENT))
    assert outcome.what == "decoded"
    assert ballast.nbytes == RESIDENT


def test_the_watcher_tells_every_way_to_fail_and_goes_on() -> None:
    expected = (CRASHED, RAISED, HUNGRY, "decoded")
    wanted = [expected[len(mutant(0, number)[1]) % 4] for number in range(7, 12)]
    assert set(expected) == set(wanted)
    found = list(watched(range(7, 12), 0, misbehave, Limits(resident=RESIDENT)))
    assert [outcome.number for outcome in found] == list(range(7, 12))
    assert [outcome.what for outcome in found] == wanted


def test_the_watcher_waits_for_no_file_for_ever() -> None:
    assert {len(mutant(0, number)[1]) % 2 for number in (2, 3)} == {0, 1}
    found = list(watched(range(2, 4), 0, hang, Limits(seconds=0.5, patience=3)))
    assert [(outcome.number, outcome.what) for outcome in found] == [(2, HUNG), (3, HUNG)]
