"""A CSR matrix and labels -> RecordIO bytes, all rows at once.

Lengths are computed as arrays from the inside out, the rows are laid out by a running sum, and
each kind of part is written for all rows in a few copies. Keys ascend within a row, so those
whose varints have one size stand together, and a row's packed keys are at most a few ranges of
an array of such varints. Blocks of rows that fit the processor's cache keep all of it near.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from penstock.errors import InputError
from penstock.recordio.checks import (
    LABEL,
    OVERHEAD_BYTES,
    Floats,
    check_finite_labels,
    check_labels,
    check_row_bytes,
    check_sparse,
    frame_head,
    refuse_nonfinite,
)
from penstock.recordio.framing import HEADER_BYTES
from penstock.recordio.message import FLOAT32, Tensor, pieces, plain_row
from penstock.recordio.segments import Bytes, Indices, copy_segments, starts_of, windows
from penstock.recordio.varint import (
    MAX_VALUE_BITS,
    packed_class,
    put_varint,
    varint_length,
    varint_lengths,
)

if TYPE_CHECKING:
    from scipy.sparse import csr_array, csr_matrix

__all__ = ["encode_sparse"]

_BLOCK_VALUES = 1 << 18
_FLOAT_BYTES = 4
_PAD = 3
"""Zeros behind every sparse record: up to three are its padding, the next record covers the rest."""


def encode_sparse(
    features: csr_array | csr_matrix,
    labels: Floats | None = None,
    *,
    allow_nonfinite: bool = False,
    padded_keys: bool = False,
) -> memoryview:
    """Return one frame per row with keys, values and shape, as google.protobuf would.

    Keys ascend and none repeats: a matrix that is not so is brought into that form in a copy,
    so that equal matrices give equal bytes. Explicit zeros are kept. A row without any gets one
    (key 0, value 0.0), as some readers fail on a row that has no keys.

    Args:
        features: scipy CSR, float32 (rows, columns), at least one column.
        labels: float32 (rows,); without them the records have no label.
        allow_nonfinite: Write NaN and infinity instead of refusing them.
        padded_keys: Give all keys the size of the largest possible one. Valid protobuf that its
            readers take, but not the bytes that google.protobuf writes, and more of them: at a
            width of 100,000 one more for a key below 16,384, two more for one below 128.

    Returns:
        A buffer of bytes that nothing else refers to.

    Raises:
        InputError: Wrong type, shape, number of labels, or a column index out of range.
        DataError: NaN or infinity; names row and column.
    """
    check_sparse(features)
    matrix = _canonical(features)
    rows, width = matrix.shape
    check_labels(labels, rows)
    if labels is not None and not allow_nonfinite:
        check_finite_labels(labels)
    indptr = matrix.indptr.astype(np.int64)
    entry_bytes = _FLOAT_BYTES + varint_length(width - 1)
    check_row_bytes(int(np.diff(indptr).max(initial=1)) * entry_bytes)
    # An upper bound: what is not written to costs no memory.
    size = (int(indptr[-1]) + rows) * entry_bytes + rows * (OVERHEAD_BYTES + _PAD)
    encoded = np.empty(size, np.uint8)
    at = first = 0
    while first < rows:
        last = int(np.searchsorted(indptr, indptr[first] + _BLOCK_VALUES))
        last = min(rows, max(first + 1, min(last, first + _BLOCK_VALUES // 4)))
        block = _block(matrix, indptr, first, last)
        if not allow_nonfinite:
            _check_finite_sparse(block, first)
        part = None if labels is None else np.ascontiguousarray(labels[first:last])
        at += _encode_block(encoded[at:], block, part, width, padded=padded_keys)
        first = last
    return encoded[:at].data


@dataclass(frozen=True, kw_only=True, slots=True)
class _Block:
    """Some rows of a CSR matrix, each with at least one entry.

    Attributes:
        values: float32 (entries,).
        keys: uint32 or uint64 (entries,), ascending within a row.
        starts: int64 (rows + 1,), where each row's entries begin.
    """

    values: Floats
    keys: npt.NDArray[np.unsignedinteger]
    starts: Indices


def _canonical(features: Any) -> Any:
    """Return the same matrix with ascending keys in each row and none twice."""
    if features.shape[1] > 1 << MAX_VALUE_BITS:
        limit = f"at most 2**{MAX_VALUE_BITS} columns"
        raise InputError(f"features: shape is {features.shape}, expected {limit}")
    if not features.has_canonical_format:
        features = features.copy()
        features.sum_duplicates()
    return features


def _block(matrix: Any, indptr: Indices, first: int, last: int) -> _Block:
    """Return rows ``first`` to ``last``; empty ones get an explicit zero."""
    begin, end = indptr[first], indptr[last]
    values, keys = matrix.data[begin:end], matrix.indices[begin:end]
    starts = indptr[first : last + 1] - begin
    empty = starts[:-1] == starts[1:]
    if empty.any():
        places = starts[:-1][empty]
        values, keys = np.insert(values, places, 0), np.insert(keys, places, 0)
        starts = starts + np.concatenate([[0], np.cumsum(empty)])
    small = matrix.shape[1] <= 1 << 28
    return _Block(values=values, keys=keys.astype(np.uint32 if small else np.uint64), starts=starts)


def _check_finite_sparse(block: _Block, first_row: int) -> None:
    if np.isfinite(block.values).all():
        return
    at = int(np.flatnonzero(~np.isfinite(block.values))[0])
    row = first_row + int(np.searchsorted(block.starts, at, side="right")) - 1
    refuse_nonfinite(f"features: row {row}, column {block.keys[at]}", block.values[at])


def _encode_block(
    target: Bytes, block: _Block, labels: Floats | None, width: int, *, padded: bool
) -> int:
    """Write the frames of some rows to the start of ``target``; return how many bytes they have."""
    entries = np.diff(block.starts)
    if padded:
        ranges = [(varint_length(width - 1), block.starts[:-1], entries)]
    else:
        ranges = _key_ranges(block, width)
    keys_bytes = sum(size * count for size, _, count in ranges)
    tail = _tail(width, labels)
    sizes = _sizes(entries * _FLOAT_BYTES, np.asarray(keys_bytes), tail)
    frame_bytes = HEADER_BYTES + (sizes.payload + 3 & ~3)
    starts = starts_of(frame_bytes)
    at = starts[:-1]
    # The zeros behind a tail reach into the next frame, whose head is written after it.
    tail_at = at + HEADER_BYTES + sizes.payload - (tail.shape[1] - _PAD)
    windows(target, tail.shape[1])[tail_at] = tail.view(f"V{tail.shape[1]}")[:, 0]
    values_at = _write_heads(target, at, sizes)
    middle_at = values_at + sizes.values
    keys_at = _write_middles(target, middle_at, sizes.keys)
    origin = np.ascontiguousarray(block.values).view(np.uint8)
    copy_segments(target, values_at, origin, block.starts[:-1] * _FLOAT_BYTES, sizes.values)
    for size, first, count in ranges:
        copy_segments(target, keys_at, packed_class(block.keys, size), first * size, count * size)
        keys_at = keys_at + count * size
    return int(starts[-1])


def _key_ranges(block: _Block, width: int) -> list[tuple[int, Indices, Indices]]:
    """Return, by varint size, where each row's keys of that size begin, and how many there are."""
    ranges = []
    first, ends = block.starts[:-1], block.starts[1:]
    for size in range(1, varint_length(width - 1) + 1):
        last = ends
        if size < varint_length(width - 1):
            below = block.keys < block.keys.dtype.type(1 << 7 * size)
            counted = np.add.reduceat(below.view(np.int8), block.starts[:-1], dtype=np.int32)
            last = block.starts[:-1] + counted
        ranges.append((size, first, last - first))
        first = last
    return ranges


def _tail(width: int, labels: Floats | None) -> Bytes:
    """Return what follows the keys of some rows: shape and label; and three zeros.

    Returns:
        uint8 (rows, bytes); (1, bytes) when the rows have no labels and so the same tail.
    """
    features = Tensor(kind=FLOAT32, values=b"", keys=b"", shape=(width,))
    found = pieces(plain_row(features, None if labels is None else LABEL))
    text = b"".join(piece.content for piece in found) + bytes(_PAD)
    text = text[text.index(b"\x1a") :]
    if labels is None:
        return np.frombuffer(text, np.uint8)[np.newaxis]
    rows = np.empty((labels.size, len(text)), np.uint8)
    rows.view(f"V{len(text)}")[...] = np.void(text)
    strides = (len(text),)
    offset = len(text) - _PAD - _FLOAT_BYTES
    np.ndarray((labels.size,), "<f4", rows.data, offset, strides)[...] = labels
    return rows


@dataclass(frozen=True, kw_only=True, slots=True)
class _Sizes:
    """Lengths that the records of some rows state; int64 (rows,), bytes."""

    values: Indices
    keys: Indices
    tensor: Indices
    value: Indices
    entry: Indices
    payload: Indices


def _sizes(values: Indices, keys: Indices, tail: Bytes) -> _Sizes:
    """Return all lengths of some rows, from the inside out."""
    shape = 2 + int(tail[0, 1])
    label = tail.shape[1] - _PAD - shape
    tensor = 1 + varint_lengths(values) + values + 1 + varint_lengths(keys) + keys + shape
    value = 1 + varint_lengths(tensor) + tensor
    entry = len(_KEY) + 1 + varint_lengths(value) + value
    payload = 1 + varint_lengths(entry) + entry + label
    return _Sizes(
        values=values, keys=keys, tensor=tensor, value=value, entry=entry, payload=payload
    )


_KEY = b"\x0a\x06values"


def _write_heads(target: Bytes, at: Indices, sizes: _Sizes) -> Indices:
    """Write all that stands before the values; return where those begin.

    A loop over the sizes that the four varints of a head have together: a few.
    """
    stated = (sizes.entry, sizes.value, sizes.tensor, sizes.values)
    lengths = [varint_lengths(size) for size in stated]
    code = lengths[0]
    for more in lengths[1:]:
        code = code * 8 + more
    head_bytes = HEADER_BYTES + 4 + len(_KEY) + lengths[0] + lengths[1] + lengths[2] + lengths[3]
    kinds = [int(code[0])] if (code == code[0]).all() else np.unique(code).tolist()
    for kind in kinds:
        rows = slice(None) if len(kinds) == 1 else np.flatnonzero(code == kind)
        widths = [kind >> shift & 7 for shift in (9, 6, 3, 0)]
        heads = _heads(sizes.payload[rows], [size[rows] for size in stated], widths)
        windows(target, heads.shape[1])[at[rows]] = heads.view(f"V{heads.shape[1]}")[:, 0]
    return at + head_bytes


def _heads(payload: Indices, stated: list[Indices], widths: list[int]) -> Bytes:
    """Return frame header and first bytes of records whose varints have the same sizes."""
    text = bytearray(frame_head(0))
    columns = []
    for tag, width in zip((b"\x0a", _KEY + b"\x12", b"\x12", b"\x0a"), widths, strict=True):
        text += tag
        columns.append(len(text))
        text += bytes(width)
    heads = np.empty((payload.size, len(text)), np.uint8)
    heads.view(f"V{len(text)}")[...] = np.void(bytes(text))
    np.ndarray((payload.size,), "<u4", heads.data, 4, (len(text),))[...] = payload
    for column, size, width in zip(columns, stated, widths, strict=True):
        put_varint(heads, column, size, width)
    return heads


def _write_middles(target: Bytes, at: Indices, keys_bytes: Indices) -> Indices:
    """Write tag and length of the packed keys; return where those begin."""
    target[at] = 0x12
    lengths = varint_lengths(keys_bytes)
    longest = int(lengths.max())
    for byte in range(longest):
        rows = slice(None) if byte == 0 else np.flatnonzero(lengths > byte)
        more = np.where(lengths[rows] > byte + 1, 0x80, 0)
        target[at[rows] + 1 + byte] = keys_bytes[rows] >> 7 * byte & 0x7F | more
    return at + 1 + lengths
