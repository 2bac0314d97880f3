"""Key cells -> a place in [0, 1), and what follows from it: sides, folds, copies.

The rule is language-neutral, so that any system can find the place of a row again:

    text   = salt + 0x1E + the key cells as texts, joined by 0x1F, null as 0x00
    hash   = XXH64(UTF-8 bytes of text, seed 42)           Spark's xxhash64 of one string
    place  = (hash >> 11) / 2**53                          in [0, 1)
    fold   = hash modulo folds, with a salt of its own     0 ... folds - 1

A place depends on the key and the salt alone: not on other rows, on batches, partitions or order.
Places of different salts are independent of each other: folds cut across sides, copies across folds.

Cells are written as Spark casts them to string: whole numbers in decimal, booleans as true and false,
dates as 2013-01-31, times in UTC as 2013-01-31 05:00:00 with as many decimals as they need. Fractions
have the shortest digits that give them back; languages write them differently, so keep them out of keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from penstock.cells import names_array, plain, present, taken, texts
from penstock.sketch import Floats, Hashes, Ints
from penstock.xxh64 import hash_texts

__all__ = ["FOLD_SALT", "fold_of", "hashes_of", "key_texts", "place", "places"]

SEED = 42  # Spark's xxhash64 starts from it
CELLS, SALT, NULL = "\x1f", "\x1e", "\x00"
FOLD_SALT = "fold"


def place(cells: Sequence[str | None], *, salt: str) -> float:
    """Return the place in [0, 1) of one row whose key cells, as text, are ``cells``.

    >>> place(["2013-01-01", "UA", "1545"], salt="")
    0.9387828793913218
    """
    text = salt + SALT + CELLS.join(NULL if cell is None else cell for cell in cells)
    return float((xxhash.xxh64_intdigest(text.encode(), seed=SEED) >> 11) / 2**53)


def places(columns: Sequence[Any], *, salt: str) -> Floats:
    """Return the place of each row: Arrow arrays (n,) of the key's columns -> float64 (n,)."""
    return np.asarray((hashes_of(columns, salt=salt) >> np.uint64(11)) / 2.0**53)


def fold_of(columns: Sequence[Any], folds: int, *, salt: str = FOLD_SALT) -> Ints:
    """Return the fold of each row, 0 to ``folds`` - 1: Arrow arrays (n,) of its key -> int64 (n,).

    A row keeps its fold whatever the other rows are. Folds have about equal sizes, not exactly.
    """
    return np.asarray(hashes_of(columns, salt=salt) % np.uint64(folds), np.int64)


def hashes_of(columns: Sequence[Any], *, salt: str) -> Hashes:
    """Return the hash of each row: Arrow arrays (n,) of the key's columns -> uint64 (n,)."""
    return hash_texts(key_texts(columns, salt=salt), seed=SEED)


def key_texts(columns: Sequence[Any], *, salt: str) -> Any:
    """Return the text of each row's key, as hashed: an Arrow large_string array (n,)."""
    rows = len(columns[0])
    cells = [_cells(column) for column in columns]
    joined = pc.binary_join_element_wise(
        *cells, _repeated(CELLS, rows), null_handling="replace", null_replacement=NULL
    )
    return pc.binary_join_element_wise(_repeated(salt + SALT, rows), joined, _repeated("", rows))


def _repeated(text: str, rows: int) -> Any:
    return taken(names_array([text]), np.zeros(rows, np.int64))


def _cells(array: Any) -> Any:
    """Return the cells of an Arrow array as large_string (n,), as Spark would write them."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        return _cells(array.dictionary_decode())
    if pa.types.is_timestamp(kind):
        return _times(array)
    if pa.types.is_decimal(kind):
        return array.cast(pa.large_string())
    return texts(array)


def _times(array: Any) -> Any:
    """Return times as texts in UTC: seconds, and of a fraction as many decimals as it needs."""
    ticks = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[array.type.unit]
    whole, part = np.divmod(plain(array.view(pa.int64())), ticks)
    whole = np.ascontiguousarray(whole)
    # The mask as bits of its own: the array may be a slice that begins within a byte.
    valid = pa.py_buffer(np.packbits(present(array), bitorder="little").tobytes())
    seconds = pa.Array.from_buffers(pa.timestamp("s"), len(array), [valid, pa.py_buffer(whole)])
    written = seconds.cast(pa.large_string())
    if not (part[present(array)] != 0).any():
        return written
    digits = len(str(ticks)) - 1
    padded = (part + ticks).astype(np.int64)  # a leading 1 keeps the zeros
    decimals = pa.Array.from_buffers(pa.int64(), len(part), [None, pa.py_buffer(padded)])
    tail = pc.utf8_slice_codeunits(decimals.cast(pa.large_string()), 1, digits + 1)
    tail = pc.utf8_rtrim(tail, "0")
    point = taken(names_array(["", "."]), (part != 0).astype(np.int64))
    empty = _repeated("", len(array))
    return pc.binary_join_element_wise(written, point, tail, empty)
