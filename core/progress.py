"""Progress of long work: a bar with the time left on a terminal, plain lines in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, TextIO

PLAIN_INTERVAL = 10.0


def duration(seconds: float) -> str:
    """`seconds` as people read it: 42s, 3m07s, 2h05m."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


def state(done: int, total: int, unit: str, lately: int, seconds: float) -> str:
    """How far work is: count, share, speed, time left. total: 0 = unknown. lately: units of the last `seconds`."""
    rate = lately / seconds if seconds > 0 else 0.0
    parts = [f"{done}/{total or '?'} {unit}"]
    if total:
        parts[0] += f" ({100 * done / total:.0f} %)"
    if rate > 0:
        parts.append(f"{rate:,.0f}/s" if rate >= 100 else f"{rate:.3g}/s")
        if total > done:
            parts.append(f"{duration((total - done) / rate)} left")
    return ", ".join(parts)


class Progress:
    """Progress of `total` units of work, written to stderr while the `with` block runs.

    total: units of all the work (0 = unknown). done: units that an earlier run finished; they count towards
    the total but not towards the speed. On a terminal a rich bar is drawn; elsewhere a plain line is written
    every `interval` seconds and, if any was, one at the end.
    """

    def __init__(
        self,
        title: str,
        total: int,
        unit: str = "steps",
        *,
        done: int = 0,
        interval: float = PLAIN_INTERVAL,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.title, self.total, self.unit, self.done = title, total, unit, done
        self._first, self._interval, self._clock = done, interval, clock
        self._stream = stream or sys.stderr
        self._bar: Any = None
        self._task: Any = None
        self._note = ""
        self._wrote = False

    def __enter__(self) -> Progress:
        self._started = self._last = self._clock()
        if self._stream.isatty():
            self._start_bar()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        elif self._wrote:
            self._write_line()

    def advance(self, n: int = 1, note: str = "") -> None:
        """Count `n` more units as done; `note` (such as the loss) is shown behind them."""
        self.done += n
        self._note = note or self._note
        if self._bar is not None:
            self._bar.update(self._task, completed=self.done, note=self._note)
        elif self._clock() - self._last >= self._interval:
            self._write_line()

    def under(self, drawing: Any) -> None:
        """Show a drawing (what rich can print) under the bar on a terminal, in place of the one before."""
        if self._bar is not None:
            self._bar.under = drawing
            self._bar.refresh()

    def line(self) -> str:
        """The plain line: title, count, share, speed, time left."""
        seconds = self._clock() - self._started
        said = f"{self.title}: {state(self.done, self.total, self.unit, self.done - self._first, seconds)}"
        return f"{said}, {self._note}" if self._note else said

    def _write_line(self) -> None:
        self._last, self._wrote = self._clock(), True
        print(self.line(), file=self._stream, flush=True)

    def _start_bar(self) -> None:
        # rich takes long to import, and a log has no use for it
        from rich import progress as bars
        from rich.console import Console, RenderableType

        class Bar(bars.Progress):
            under: RenderableType | None = None

            def get_renderables(self) -> Iterable[RenderableType]:
                yield from super().get_renderables()
                if self.under is not None:
                    yield self.under

        self._bar = Bar(
            bars.TextColumn("{task.description}"),
            bars.BarColumn(),
            bars.MofNCompleteColumn(),
            bars.TextColumn(self.unit),
            bars.TimeRemainingColumn(),
            bars.TextColumn("{task.fields[note]}"),
            console=Console(file=self._stream),
        )
        self._task = self._bar.add_task(self.title, total=self.total or None, completed=self.done, note="")
        self._bar.start()
