"""Row -> train | validation | test, by a hash of its key.

The rule is language-neutral, so that any system can find the side of a row again:

    text   = salt + 0x1E + the key cells as Spark casts them to string, joined by 0x1F, null as 0x00
    hash   = XXH64(UTF-8 bytes of text, seed 42)           Spark's xxhash64 of one string
    place  = (hash >> 11) / 2**53                          in [0, 1)
    side   = train if place < train else validation if place < train + validation else test

A row's side depends on its key and the salt alone: not on the other rows, on partitions or on order.
``rand()`` and ``randomSplit`` would move rows when a task is retried (SPARK-23207).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import xxhash

from penstock.spec import SplitSpec

if TYPE_CHECKING:
    from pyspark.sql import Column

__all__ = ["hash_column", "place", "side", "split_column"]

SEED = 42  # Spark's xxhash64 starts from it
CELLS, SALT, NULL = "\x1f", "\x1e", "\x00"


def place(cells: Sequence[str | None], *, salt: str) -> float:
    """Return the place in [0, 1) of a row whose key cells, as text, are ``cells``.

    >>> place(["2013-01-01", "UA", "1545"], salt="")
    0.9387828793913218
    """
    text = salt + SALT + CELLS.join(NULL if cell is None else cell for cell in cells)
    return float((xxhash.xxh64_intdigest(text.encode(), seed=SEED) >> 11) / 2**53)


def side(places: np.ndarray, spec: SplitSpec) -> np.ndarray:
    """Return the side of each place: places (n,) float64 -> (n,) of train, validation, test."""
    bounds = [spec.train, spec.train + spec.validation]
    sides: np.ndarray = np.array(["train", "validation", "test"])[np.digitize(places, bounds)]
    return sides


def hash_column(columns: Sequence[str], *, salt: str) -> Column:
    """Return the signed 64-bit hash of ``columns`` as a Spark column. Lazy."""
    from pyspark.sql import functions as F

    cells = [F.coalesce(F.col(f"`{name}`").cast("string"), F.lit(NULL)) for name in columns]
    return F.xxhash64(F.concat(F.lit(salt + SALT), F.concat_ws(CELLS, *cells)))


def split_column(columns: Sequence[str], spec: SplitSpec) -> Column:
    """Return the side of each row as a Spark column of train, validation, test. Lazy."""
    from pyspark.sql import functions as F

    where = F.shiftrightunsigned(hash_column(columns, salt=spec.salt), 11) / F.lit(2.0**53)
    return (
        F.when(where < spec.train, "train")
        .when(where < spec.train + spec.validation, "validation")
        .otherwise("test")
    )
