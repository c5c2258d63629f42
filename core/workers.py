"""What every pool of processes needs: how many may run, and that none outlives the process that started it."""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import platform
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from core.errors import DataError

# What the server that workers are forked from has loaded.
PRELOAD = ("__main__", "core.data.preload")
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # malloc.h


def cores() -> int:
    """Cores that this process may use (macOS knows only how many there are)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def process_pool(
    processes: int, task: str, remedy: str, prepare: Callable[[], object] | None = None
) -> Iterator[ProcessPoolExecutor]:
    """So many processes that decode or render films, each set up by `prepare`, too; they end with the block.

    Raises DataError, with the remedy, when a process that does the `task` dies.
    """
    # Not fork: threads of the caller (torch's, the loader's) would not survive it.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOAD))
    with ProcessPoolExecutor(processes, context, _start, (prepare,)) as pool:
        try:
            yield pool
        except BrokenProcessPool as error:
            raise DataError(f"a process that {task} died, perhaps for want of memory", remedy) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _start(prepare: Callable[[], object] | None) -> None:
    die_with_parent()
    keep_freed_memory()
    if prepare is not None:
        prepare()


def die_with_parent() -> None:
    """Let this worker end when the process that started it is killed; it would wait for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "called in a process that multiprocessing did not start"

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def keep_freed_memory() -> None:
    """Freed memory stays with the process: faulting in each temporary array anew costs more than the sums in it."""
    if platform.libc_ver()[0] == "glibc":
        mallopt = ctypes.CDLL(None).mallopt
        for option, size in ((M_TRIM_THRESHOLD, 1 << 28), (M_MMAP_THRESHOLD, 1 << 26), (M_TOP_PAD, 1 << 24)):
            mallopt(option, size)
