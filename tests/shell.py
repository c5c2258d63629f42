"""`viewpair WORDS` as from a shell, but forked from a process that has torch: to import it anew takes longer than most
of what these tests run."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.conftest import CHECKOUT
from viewpair.cli import main

STANDARD = (1, 2)


class Command:
    """One command, started in `folder`; what it prints goes to files. env: all of its environment, None = as here."""

    def __init__(self, words: Sequence[str], folder: Path = CHECKOUT, env: Mapping[str, str] | None = None) -> None:
        self._words, self._printed = words, Path(tempfile.mkdtemp(prefix="viewpair-"))
        environment = {**(os.environ if env is None else env), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(CHECKOUT)}
        arguments = (list(words), self._printed, folder, environment)
        self._process = multiprocessing.get_context("forkserver").Process(target=_be_viewpair, args=arguments)
        self._process.start()

    def kill(self) -> None:
        """End it as `kill -9` does."""
        self._process.kill()
        self._process.join()
        shutil.rmtree(self._printed)

    def finished(self, code: int = 0, seconds: float = 280) -> str:
        """What it printed, then what it printed as errors and progress; it must end with `code`."""
        return "".join(self.streams(code, seconds))

    def streams(self, code: int = 0, seconds: float = 280) -> tuple[str, str]:
        """Its standard output and standard error; it must end with `code`, and is ended after `seconds`."""
        self._process.join(timeout=seconds)
        ended = self._process.exitcode
        out, err = ((self._printed / str(descriptor)).read_text() for descriptor in STANDARD)
        self.kill()
        assert ended == code, f"viewpair {' '.join(self._words)}: {ended}\n{out}\n{err}"
        return out, err


def _be_viewpair(words: list[str], printed: Path, folder: Path, environment: Mapping[str, str]) -> None:
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for descriptor in STANDARD:
        os.dup2(os.open(printed / str(descriptor), os.O_WRONLY | os.O_CREAT), descriptor)
    sys.exit(main(words))
