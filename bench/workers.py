"""How much memory the Python workers of a Spark session take."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Self

from measure import peak_rss_bytes

__all__ = ["WorkerMemory"]

INTERVAL_S = 0.02


class WorkerMemory:
    """Watches the workers while a ``with`` block runs.

    Attributes:
        peak_bytes: The largest high-water mark of any of them during the block.
    """

    def __init__(self) -> None:
        self.peak_bytes = 0
        self._done = threading.Event()
        self._watch = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        for pid in _workers():
            # 5: set the high-water mark to what the process has now.
            with suppress(OSError):
                Path(f"/proc/{pid}/clear_refs").write_text("5")
        self._watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._watch.join()

    def _look(self) -> None:
        while True:
            last = self._done.wait(INTERVAL_S)
            self.peak_bytes = max([self.peak_bytes, *map(peak_rss_bytes, _workers())])
            if last:
                return


def _workers() -> list[int]:
    """Return the processes below this one that run pyspark's daemon or what it forked."""
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            # The name, in parentheses, may hold anything; what follows it does not.
            parents[int(path.parent.name)] = int(path.read_text().rsplit(")", 1)[1].split()[1])
    return [pid for pid in parents if _below(pid, parents) and _is_worker(pid)]


def _below(pid: int, parents: dict[int, int]) -> bool:
    while pid in parents:
        pid = parents[pid]
        if pid == os.getpid():
            return True
    return False


def _is_worker(pid: int) -> bool:
    with suppress(OSError):
        return b"pyspark.daemon" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False
