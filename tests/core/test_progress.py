"""Progress lines against a clock that the test moves."""

from __future__ import annotations

import io

import pytest

from core.progress import Progress, duration, state


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_plain_lines_every_interval_with_time_left() -> None:
    clock, stream = Clock(), io.StringIO()
    with Progress("building", 100, unit="studies", interval=10, stream=stream, clock=clock) as progress:
        for _ in range(50):
            clock.now += 1.0
            progress.advance(1)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 6  # five intervals and the end
    assert lines[1] == "building: 20/100 studies (20 %), 1/s, 1m20s left"


def test_short_work_is_silent_in_a_log() -> None:
    stream = io.StringIO()
    with Progress("building", 2, stream=stream, clock=Clock()) as progress:
        progress.advance(2)
    assert stream.getvalue() == ""


def test_work_of_an_earlier_run_does_not_count_towards_the_speed() -> None:
    clock, stream = Clock(), io.StringIO()
    with Progress("building", 100, done=80, interval=10, stream=stream, clock=clock) as progress:
        clock.now = 10.0
        progress.advance(10, note="loss 0.5")
    assert stream.getvalue().splitlines()[0] == "building: 90/100 steps (90 %), 1/s, 10s left, loss 0.5"


@pytest.mark.parametrize(("done", "told"), [(2, "0.2/s"), (999, "99.9/s"), (1_000, "100/s"), (123_456, "12,346/s")])
def test_a_speed_is_told_without_an_exponent(done: int, told: str) -> None:
    assert state(done, 0, "films", done, 10.0) == f"{done}/? films, {told}"


def test_a_terminal_gets_a_bar() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    with Progress("building", 3, unit="studies", stream=stream) as progress:
        progress.advance(3)
    assert "building" in stream.getvalue()
    assert "3/3" in stream.getvalue()


def test_durations_as_people_read_them() -> None:
    assert [duration(s) for s in (0.2, 59, 187, 7500)] == ["0s", "59s", "3m07s", "2h05m"]
