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

    ends = np.zeros(rows + 1, np.int32)
    values = np.empty(rows * len(slots), np.float32)
    positions = np.empty(rows * len(slots), np.int32)
    kept = 0
    for first in range(0, rows, _BLOCK_ROWS):
        block = slice(first, min(rows, first + _BLOCK_ROWS))
        found, at, counts = _kept(slots, block)
        values[kept : kept + found.size], positions[kept : kept + at.size] = found, at
        ends[block.start + 1 : block.stop + 1] = counts
        kept += found.size
    np.cumsum(ends, out=ends)
    # Copies, as what is not used of the long arrays would live as long as the matrix.
    matrix = csr_array((values[:kept].copy(), positions[:kept].copy(), ends), shape=(rows, width))
    matrix.has_canonical_format = True
    return matrix


_BLOCK_ROWS = 4096
"""Rows at a time: a column is written down a matrix, a number per cache line, which has to stay."""


def _kept(slots: Sequence[tuple[Any, Any]], block: slice) -> tuple[Any, Any, Any]:
    """Return values that are not zero and their positions, row by row, and how many each row has."""
    rows = block.stop - block.start
    values = np.empty((rows, len(slots)), np.float32)
    positions = np.empty((rows, len(slots)), np.int32)
    filled = np.empty((rows, len(slots)), np.bool_)
    counts = np.zeros(rows, np.int32)
    for at, (position, value) in enumerate(slots):
        if value is None:
            found, positions[:, at] = position[block] >= 0, position[block]
            values[:, at] = found
        else:
            found = value[block] != 0
            values[:, at], positions[:, at] = value[block], position
        filled[:, at] = found
        counts += found
    kept = np.flatnonzero(filled)
    return values.ravel().take(kept), positions.ravel().take(kept), counts
