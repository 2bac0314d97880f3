"""Slots of a batch -> one matrix, dense or CSR; equal values either way, to the bit."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np

from penstock.columns.base import Block, Float32s, Slot

__all__ = ["dense_matrix", "sparse_matrix"]


def dense_matrix(slots: Sequence[Slot], rows: int, width: int) -> Float32s:
    """Return float32 (rows, width), C-contiguous."""
    matrix = np.zeros((rows, width), np.float32)
    for slot in slots:
        if isinstance(slot, Block):
            found = slot.matrix
            whole = found if isinstance(found, np.ndarray) else found.toarray()
            matrix[:, slot.first : slot.first + found.shape[1]] = whole
            continue
        position, values = slot
        if values is not None:
            matrix[:, position] = values
            continue
        row = np.flatnonzero(np.asarray(position) >= 0)
        matrix[row, np.asarray(position)[row]] = 1.0
    return matrix


def sparse_matrix(slots: Sequence[Slot], rows: int, width: int) -> Any:
    """Return a scipy CSR array (rows, width) with sorted indices and no stored zeros.

    Args:
        slots: In ascending order of position.
        rows: Rows of the batch.
        width: Columns of the result.
    """
    from scipy.sparse import csr_array

    parts: list[Any] = []
    for is_block, run in groupby(slots, key=lambda slot: isinstance(slot, Block)):
        if is_block:
            parts += [_shifted(slot, rows, width) for slot in run if isinstance(slot, Block)]
        else:
            parts.append(
                _simple([slot for slot in run if not isinstance(slot, Block)], rows, width)
            )
    if not parts:
        return csr_array((rows, width), dtype=np.float32)
    # Parts have positions of their own, in ascending order: a sum of any two only interleaves.
    matrix = parts[0]
    for part in parts[1:]:
        matrix = matrix + part
    matrix.has_canonical_format = True
    return matrix


def _shifted(block: Block, rows: int, width: int) -> Any:
    """Return a block at its place in a matrix of all columns."""
    from scipy.sparse import csr_array

    found = csr_array(block.matrix)
    found.eliminate_zeros()
    parts = (found.data, found.indices + np.int32(block.first), found.indptr)
    return csr_array(parts, shape=(rows, width))


def _simple(slots: Sequence[tuple[Any, Any]], rows: int, width: int) -> Any:
    from scipy.sparse import csr_array

    # (rows, slots): row-major, so that what is kept is in CSR's order already.
    positions = np.empty((rows, len(slots)), np.int32)
    values = np.empty((rows, len(slots)), np.float32)
    for at, (position, value) in enumerate(slots):
        positions[:, at] = position
        values[:, at] = np.asarray(position) >= 0 if value is None else value
    kept = np.flatnonzero(values)
    ends = np.zeros(rows + 1, np.int32)
    np.cumsum(np.count_nonzero(values, axis=1), out=ends[1:])
    body = (values.ravel().take(kept), positions.ravel().take(kept), ends)
    matrix = csr_array(body, shape=(rows, width))
    matrix.has_canonical_format = True
    return matrix
