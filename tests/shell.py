"""`viewpair WORDS` as from a shell, but forked from a process that has torch: to import it anew takes longer than most
of what these tests run."""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.conftest import CHECKOUT
from viewpair.cli import main


class Command:
    """One command, started in `folder`; what it prints goes to a file. env: all of its environment, None = as here."""

    def __init__(self, words: Sequence[str], folder: Path = CHECKOUT, env: Mapping[str, str] | None = None) -> None:
        descriptor, printed = tempfile.mkstemp(prefix="viewpair-", suffix=".txt")
        os.close(descriptor)
        self._words, self._printed = words, Path(printed)
        environment = {**(os.environ if env is None else env), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(CHECKOUT)}
        arguments = (list(words), self._printed, folder, environment)
        self._process = multiprocessing.get_context("forkserver").Process(target=_be_viewpair, args=arguments)
        self._process.start()

    def kill(self) -> None:
        """End it as `kill -9` does."""
        self._process.kill()
        self._process.join()
        self._printed.unlink()

    def finished(self, code: int = 0, seconds: float = 280) -> str:
        """What it printed; it must end with `code`."""
        self._process.join(timeout=seconds)
        printed = self._printed.read_text()
        self._printed.unlink()
        assert self._process.exitcode == code, f"viewpair {' '.join(self._words)}\n{printed}"
        return printed


def _be_viewpair(words: list[str], printed: Path, folder: Path, environment: Mapping[str, str]) -> None:
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    descriptor = os.open(printed, os.O_WRONLY | os.O_APPEND)
    for standard in (1, 2):
        os.dup2(descriptor, standard)
    sys.exit(main(words))
