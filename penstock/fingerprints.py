"""Numbers that tell whether two columns are equal, without looking at them side by side.

    fingerprint = sum over all rows of mix(hash of the cell + hash of the row), modulo 2^64

The hash of a row is a sum over the compared columns, so that a fingerprint depends on which cells
stand in one row, and not on the order or the parts of the rows. Different columns have equal ones
by a chance of about 2^-64.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from penstock.cells import family, first_numbers, names_array, plain, present, texts, without_codes
from penstock.sketch import Hashes, integer_hashes, number_hashes, text_hashes
from penstock.times import is_time, microseconds
from penstock.wanted import Wanted

__all__ = ["fingerprints", "merged_fingerprints"]

MISSING = np.uint64(0x9E3779B97F4A7C15)
MODULUS = 2**64


def fingerprints(batch: Any, wanted: Sequence[Wanted]) -> dict[str, int]:
    """Return the fingerprint of every compared column for the rows of a RecordBatch."""
    compared = [each for each in wanted if each.compared and _comparable(each.type)]
    if not compared:
        return {}
    cells = {each.name: _cell_hashes(batch.column(each.name), each) for each in compared}
    salts = text_hashes(names_array(list(cells)))
    rows = np.zeros(batch.num_rows, np.uint64)
    for salt, hashes in zip(salts, cells.values(), strict=True):
        rows += integer_hashes((hashes + salt).view(np.int64))
    return {
        name: int(integer_hashes((hashes + rows).view(np.int64)).sum(dtype=np.uint64))
        for name, hashes in cells.items()
    }


def merged_fingerprints(parts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """Return the fingerprints of all rows of ``parts``."""
    names = dict.fromkeys(name for part in parts for name in part)
    return {name: sum(part.get(name, 0) for part in parts) % MODULUS for name in names}


def _comparable(kind: str) -> bool:
    return is_time(kind) or family(kind) in ("number", "boolean", "string")


def _cell_hashes(array: Any, wanted: Wanted) -> Hashes:
    """Return the hash of each cell (n,): equal for equal numbers, texts or moments."""
    if family(wanted.type) in ("number", "boolean") and wanted.kind != "categorical":
        values, _ = first_numbers([array], wanted.missing_values)
        hashes = number_hashes(values + 0.0)  # -0.0 becomes 0.0
        return np.where(np.isnan(values), MISSING, hashes)
    if is_time(wanted.type) and not wanted.type.startswith("null"):
        found = integer_hashes(microseconds(array))
        return np.where(present(array), found, MISSING)
    array = without_codes(array, wanted.missing_values)
    encoded = array if hasattr(array, "dictionary") else array.dictionary_encode()
    names = texts(encoded.dictionary)
    filled = names.fill_null("") if names.null_count else names
    known = np.where(present(names), text_hashes(filled), MISSING)
    codes = np.where(present(encoded), plain(encoded.indices).astype(np.int64), -1)
    return np.append(known, MISSING)[codes]
