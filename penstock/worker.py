"""What a Python worker of Spark does first in a task, so that a short task is short."""

from __future__ import annotations

import gc
import os
import sys
from functools import lru_cache
from zipimport import zipimporter

__all__ = ["settle"]


def settle() -> None:
    """Rid the tasks to come in this worker of chores that bring nothing; a few microseconds.

    Those of pyspark take most of the 100 ms of an empty task. Safe to call anywhere, any number of
    times. From then on the process keeps up to 256 MiB of the memory that it has freed.
    """
    _keep_memory()
    _keep_archives()
    _freeze_modules(len(sys.modules))


@lru_cache(maxsize=1)
def _keep_memory() -> None:
    """Let the C library keep what a batch frees for the next one: glibc's mallopt(3).

    Left alone it hands arrays of 128 KiB and more back to the kernel, which clears every page again
    at its next use: a writer of 2 M rows of 50 columns met some 25,000 such pages, and 10,000 with this.
    """
    import ctypes

    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return  # not glibc: nothing to set
    for option, size_bytes in ((_M_MMAP_THRESHOLD, 32 << 20), (_M_TRIM_THRESHOLD, 256 << 20)):
        mallopt(option, size_bytes)


_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""As malloc.h numbers them. 32 MiB is the most that the second takes on 64 bits."""


def _keep_archives() -> None:
    """Let the archives that this worker was born with be read once.

    Before every task pyspark's worker invalidates all import caches, as --py-files may have come.
    Python then reads the lists of pyspark.zip, py4j.zip and Spark's core jar again, once for each
    package imported from them. What PYTHONPATH names was there when the worker began, and stays.
    """
    born_with = set(os.environ.get("PYTHONPATH", "").split(os.pathsep))
    for importer in list(sys.path_importer_cache.values()):
        if isinstance(importer, zipimporter) and importer.archive in born_with:
            importer.invalidate_caches = _nothing  # type: ignore[method-assign]


def _nothing() -> None:
    """Do nothing."""


@lru_cache(maxsize=1)
def _freeze_modules(_modules: int) -> None:
    """Take what lives in this worker out of the garbage collector's sight, when modules have come.

    pyspark's daemon collects garbage after every task. To look through the objects of some thousand
    modules takes it 50 ms and more, as long as a short task.
    """
    gc.freeze()
