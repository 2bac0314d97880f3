"""Rows of which another writer's bytes are kept, made by arithmetic so that they never change.

``bench/golden.py`` had sagemaker-pyspark 1.4.5 write them on Spark 3.5.6, with protobuf-java 3.21.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

GOLDEN = Path(__file__).parent / "golden"

MAGIC_FLOAT = np.frombuffer((0xCED7230A).to_bytes(4, "little"), np.float32)[0]
ODD = np.array([0, -0.0, 1e-45, 3.4028235e38, MAGIC_FLOAT, -1.1754942e-38], np.float32)
"""Zeros, denormals, the largest float, and the one whose bytes are the magic word."""


def numbers(rows: int, columns: int, seed: int) -> Any:
    """Return float32 (rows, columns), quarters between -2,500 and 2,500."""
    counted = np.arange(rows * columns, dtype=np.int64).reshape(rows, columns)
    return ((counted * 7_919 + seed * 104_729) % 20_011 - 10_005).astype(np.float32) / 4


def labels(rows: int) -> Any:
    """Return float32 (rows,)."""
    return np.array([0, 1, 0.1, -7.5], np.float32)[np.arange(rows) % 4]


def dense(rows: int, columns: int) -> Any:
    """Return float32 (rows, columns), with odd values in the last row."""
    made = numbers(rows, columns, columns)
    made[-1, : min(columns, ODD.size)] = ODD[:columns]
    return made


def sparse(rows: int, columns: int, entries: Any) -> Any:
    """Return a float32 CSR array (rows, columns); row i has entries[i % len(entries)] of them."""
    from scipy.sparse import csr_array

    counts = np.array(entries)[np.arange(rows) % len(entries)]
    indptr = np.concatenate([[0], np.cumsum(counts)])
    place = np.arange(indptr[-1]) - np.repeat(indptr[:-1], counts)
    # As many steps as fit the width: ascending keys from near 0 to near the last column.
    step = (columns - 1) // np.maximum(counts, 1)
    first = np.arange(rows) % 5 % np.maximum(step, 1)
    keys = np.repeat(first, counts) + place * np.repeat(step, counts)
    values = numbers(1, int(indptr[-1]), columns)[0]
    values[::11] = 0  # entries that are zero stay entries
    return csr_array((values, keys, indptr), shape=(rows, columns))


def tables() -> dict[str, tuple[Any, Any]]:
    """Return features and labels or None, by the name of the file in golden/."""
    return {
        "dense_1": (dense(24, 1), labels(24)),
        "dense_7_unlabelled": (dense(24, 7), None),
        "dense_50": (dense(24, 50), labels(24)),
        "dense_4100": (dense(2, 4_100), labels(2)),
        "sparse_25_of_200": (sparse(24, 200, [25]), labels(24)),
        "sparse_40_of_100000": (sparse(24, 100_000, [40, 1, 17, 33, 2]), labels(24)),
        "sparse_unlabelled": (sparse(12, 16_385, [60, 3]), None),
        "sparse_empty_rows": (sparse(8, 300, [4, 0, 0, 130]), labels(8)),
    }
