"""RecordIO bytes -> a matrix and labels, all rows at once."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from penstock.errors import DataError, InputError
from penstock.recordio.framing import (
    HEADER_BYTES,
    Frames,
    Parts,
    check_parts,
    find_frames,
    join_parts,
)
from penstock.recordio.layout import Layout, Spans, layout_of, match
from penstock.recordio.message import FLOAT32, FLOAT64, INT32, parse, pieces
from penstock.recordio.segments import (
    Bytes,
    Indices,
    copy_segments,
    gather_segments,
    starts_of,
)
from penstock.recordio.varint import decode_varints

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["Records", "decode", "decode_frames"]

_DTYPES: dict[int, np.dtype[Any]] = {
    FLOAT32: np.dtype("<f4"),
    FLOAT64: np.dtype("<f8"),
    INT32: np.dtype("<i4"),
}
_MAX_LAYOUTS = 256
"""Layouts that are looked for in all rows; a file with more is read record by record."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Records:
    """Some rows.

    Attributes:
        features: (rows, columns): an array, or a CSR array when any row was sparse. float32,
            or what the records hold (float64, int32; float64 when they differ).
        labels: (rows,), or (rows, k) when each record has k of them; None without labels.
    """

    features: npt.NDArray[Any] | csr_array
    labels: npt.NDArray[Any] | None

    def __len__(self) -> int:
        return int(self.features.shape[0])

    @property
    def width(self) -> int:
        """How many columns the features have."""
        return int(self.features.shape[1])

    @property
    def layout(self) -> Literal["dense", "sparse"]:
        """Whether ``features`` is an array or a CSR array."""
        return "dense" if isinstance(self.features, np.ndarray) else "sparse"


def decode(
    buffer: bytes | bytearray | memoryview | Bytes,
    *,
    source: str = "buffer",
    parts: Parts = "refuse",
) -> Records:
    """Return the rows of a whole RecordIO stream.

    Dense and sparse records may be mixed; the result is CSR then. Records that google.protobuf
    would write are read all at once; any other valid Record is read too, slowly.

    Args:
        buffer: Zero or more frames, contiguous.
        source: Where they came from, for errors.
        parts: What part flags mean; ``join`` as ml-io does, or ``dmlc``.

    Returns:
        Copies: they share no memory with ``buffer``. Of no bytes: 0 rows, 0 columns, no labels.

    Raises:
        CorruptRecordError: The bytes are no RecordIO, or a payload is no Record.
        DataError: The records are no rows of one matrix.
    """
    check_parts(parts)
    view = buffer.data if isinstance(buffer, np.ndarray) else memoryview(buffer)
    if not view.c_contiguous:
        raise InputError(f"{source}: the buffer is not contiguous, expected one run of bytes")
    data = np.frombuffer(view, np.uint8)
    frames = find_frames(data, source=source)
    if frames.error is not None:
        raise frames.error
    data, frames = join_parts(data, frames, source=source, parts=parts)
    return decode_frames(data, frames, source=source)


def decode_frames(data: Bytes, frames: Frames, *, source: str, first_row: int = 0) -> Records:
    """Return the rows of some frames.

    Args:
        data: uint8 (bytes,), what the frames' ``starts`` count in.
        frames: Whole records.
        source: For errors.
        first_row: Number of the first record in that source, for errors.

    Raises:
        CorruptRecordError: A payload is no Record.
        DataError: The records are no rows of one matrix.
    """
    if not frames.starts.size:
        return Records(features=np.empty((0, 0), np.float32), labels=None)
    table = _Table(data=data, frames=frames, source=source, first_row=first_row)
    table.find()
    labels = table.labels()
    return Records(features=table.features(), labels=labels)


class _Table:
    """The records of some frames while they are decoded."""

    def __init__(self, *, data: Bytes, frames: Frames, source: str, first_row: int) -> None:
        self.data, self.frames, self.source, self.first_row = data, frames, source, first_row
        self.starts, self.lengths = frames.starts, frames.lengths
        self.rows = frames.starts.size
        self.groups: list[tuple[Layout, Spans]] = []

    def find(self) -> None:
        """Sort all records into layouts. Records that are not canonical are rewritten first."""
        odd = self._match(np.arange(self.rows))
        if not odd:
            return
        rows = np.array(list(odd))
        self.lengths = self.lengths.copy()
        self.starts = self.starts.copy()
        self.lengths[rows] = [len(content) for content in odd.values()]
        self.starts[rows] = starts_of(self.lengths[rows])[:-1] + self.data.size
        fresh = np.frombuffer(b"".join(odd.values()), np.uint8)
        self.data = np.concatenate([self.data, fresh])
        self._match(rows)

    def _match(self, left: Indices) -> dict[int, bytes]:
        """Sort some records into layouts; return canonical bytes of those that are not."""
        odd: dict[int, bytes] = {}
        while left.size:
            row = int(left[0])
            start = int(self.starts[row])
            payload = self.data[start : start + int(self.lengths[row])].tobytes()
            at = int(self.frames.offsets[row]) + HEADER_BYTES
            record = parse(payload, source=self.source, at=at)
            found = pieces(record)
            canonical = b"".join(piece.content for piece in found)
            if canonical != payload:
                odd[row] = canonical
                left = left[1:]
                continue
            asked = left if len(self.groups) < _MAX_LAYOUTS else left[:1]
            layout = layout_of(record, found)
            ends = self.starts[asked] + self.lengths[asked]
            spans = match(self.data, layout, asked, self.starts[asked], ends)
            self.groups.append((layout, spans))
            if spans.rows.size == left.size:
                break
            left = left[~np.isin(left, spans.rows, assume_unique=True, kind="table")]
        return odd

    def refused(self, row: int, problem: str) -> DataError:
        """Return the error that a record is no row of the matrix."""
        where = f"record {self.first_row + row} (byte {self.frames.offsets[row]})"
        return DataError(f"{self.source}: {where} {problem}")

    def labels(self) -> npt.NDArray[Any] | None:
        """Return the labels, (rows,) or (rows, k)."""
        first = self.groups[0][0].row.label
        blocks = []
        for layout, spans in self.groups:
            label = layout.row.label
            row = int(spans.rows[0])
            if (label is None) != (first is None):
                has = ("has no label", "has one") if label is None else ("has a label", "has none")
                raise self.refused(row, f"{has[0]}, record {self.first_row} {has[1]}")
            if label is None:
                continue
            if label.keys or not label.values:
                what = "a sparse label" if label.keys else "a label without values"
                raise self.refused(row, f"has {what}, expected numbers")
            lengths = np.full(spans.rows.size, layout.label_bytes)
            packed = gather_segments(self.data, spans.label_at, lengths)
            values = self._numbers(packed, label.kind)[0]
            blocks.append(values.reshape(spans.rows.size, -1))
        if not blocks:
            return None
        return self._stacked(blocks, "labels")

    def _stacked(self, blocks: list[npt.NDArray[Any]], what: str) -> npt.NDArray[Any]:
        """Return blocks of rows, one per group, in the order of the rows."""
        width = blocks[0].shape[1]
        for (_, spans), block in zip(self.groups, blocks, strict=True):
            if block.shape[1] != width:
                problem = f"has {block.shape[1]} {what}, record {self.first_row} has {width}"
                raise self.refused(int(spans.rows[0]), problem)
        if len(blocks) == 1:
            whole = blocks[0]
        else:
            dtype = np.result_type(*blocks)
            whole = np.empty((self.rows, width), dtype)
            for (_, spans), block in zip(self.groups, blocks, strict=True):
                whole[spans.rows] = block
        return whole[:, 0] if what == "labels" and width == 1 else whole

    def _numbers(self, packed: Bytes, kind: int) -> tuple[npt.NDArray[Any], Indices | None]:
        """Return packed numbers, and where each ends if they are varints."""
        if kind != INT32:
            return packed.view(_DTYPES[kind]), None
        found = decode_varints(packed)
        if found is None:
            self._explain()
            raise self.refused(0, "or a later one has packed varints that have no end")
        return found[0].astype(np.uint32).view(np.int32), found[1]

    def _explain(self) -> None:
        """Raise the error of the first record that cannot be parsed on its own."""
        for row in range(self.rows):
            start = int(self.starts[row])
            payload = self.data[start : start + int(self.lengths[row])].tobytes()
            parse(payload, source=self.source, at=int(self.frames.offsets[row]) + HEADER_BYTES)

    def features(self) -> Any:
        """Return the features of all rows."""
        if any(layout.row.features.sparse for layout, _ in self.groups):
            return self._sparse()
        blocks = []
        for layout, spans in self.groups:
            packed = gather_segments(self.data, spans.values_at, spans.values_bytes)
            values, last = self._numbers(packed, layout.row.features.kind)
            counts = self._counts(spans, layout, last)
            self._check_widths(spans, counts, int(counts[0]))
            self._check_shape(layout, spans, int(counts[0]))
            blocks.append(values.reshape(spans.rows.size, -1))
        return self._stacked(blocks, "features")

    def _counts(self, spans: Spans, layout: Layout, last: Indices | None) -> Indices:
        """Return how many values each record has."""
        if last is None:
            return spans.values_bytes // _DTYPES[layout.row.features.kind].itemsize
        return self._varint_counts(spans.values_bytes, last)

    def _varint_counts(self, lengths: Indices, last: Indices) -> Indices:
        """Return how many varints the packed bytes of each record hold."""
        ends = starts_of(lengths)
        before = np.searchsorted(last, ends)
        some = lengths > 0
        if (last[before[1:][some] - 1] != ends[1:][some] - 1).any():
            self._explain()
        return np.diff(before)

    def _check_widths(self, spans: Spans, counts: Indices, width: int) -> None:
        if (counts != width).any():
            at = int(np.flatnonzero(counts != width)[0])
            problem = f"has {counts[at]} features, record {self.first_row} has {width}"
            raise self.refused(int(spans.rows[at]), problem)
        if not width:
            raise self.refused(int(spans.rows[0]), "has features without values")

    def _check_shape(self, layout: Layout, spans: Spans, width: int) -> None:
        shape = layout.row.features.shape
        if shape and math.prod(shape) != width:
            problem = f"has {width} values for the shape {list(shape)}"
            raise self.refused(int(spans.rows[0]), problem)

    def _sparse(self) -> csr_array:
        from scipy.sparse import csr_array

        blocks = [self._sparse_block(layout, spans) for layout, spans in self.groups]
        width = blocks[0][3]
        for (_, spans), block in zip(self.groups, blocks, strict=True):
            if block[3] != width:
                problem = f"has {block[3]} features, record {self.first_row} has {width}"
                raise self.refused(int(spans.rows[0]), problem)
        counts = self._merged(lambda block: block[2], blocks)
        indptr = starts_of(counts)
        values, keys = blocks[0][:2]
        if len(blocks) > 1:
            values = self._interleaved([block[0] for block in blocks], blocks, indptr)
            keys = self._interleaved([block[1] for block in blocks], blocks, indptr)
        dtype = np.int64 if max(width, int(indptr[-1])) > np.iinfo(np.int32).max else np.int32
        parts = (values, keys.astype(dtype), indptr.astype(dtype))
        return csr_array(parts, shape=(self.rows, width))

    def _merged(self, of: Callable[[Any], Indices], blocks: list[Any]) -> Indices:
        """Return one number per row, from one array per group."""
        if len(blocks) == 1:
            return of(blocks[0])
        whole = np.empty(self.rows, np.int64)
        for (_, spans), block in zip(self.groups, blocks, strict=True):
            whole[spans.rows] = of(block)
        return whole

    def _interleaved(
        self, flat: list[npt.NDArray[Any]], blocks: list[Any], indptr: Indices
    ) -> npt.NDArray[Any]:
        """Return the flat values of all rows, in row order, from those of each group."""
        whole = np.empty(int(indptr[-1]), np.result_type(*flat))
        size = whole.dtype.itemsize
        for (_, spans), block, values in zip(self.groups, blocks, flat, strict=True):
            if not values.size:
                continue
            bytes_at = starts_of(block[2])[:-1] * size
            origin = np.ascontiguousarray(values, whole.dtype).view(np.uint8)
            to = indptr[spans.rows] * size
            copy_segments(whole.view(np.uint8), to, origin, bytes_at, block[2] * size)
        return whole

    def _sparse_block(
        self, layout: Layout, spans: Spans
    ) -> tuple[npt.NDArray[Any], npt.NDArray[Any], Indices, int]:
        """Return flat values, flat keys, values per row and width of one group."""
        features = layout.row.features
        packed = gather_segments(self.data, spans.values_at, spans.values_bytes)
        values, last = self._numbers(packed, features.kind)
        counts = self._counts(spans, layout, last)
        if not features.sparse:
            width = int(counts[0])
            self._check_widths(spans, counts, width)
            self._check_shape(layout, spans, width)
            return values, np.tile(np.arange(width), spans.rows.size), counts, width
        if not features.shape:
            raise self.refused(int(spans.rows[0]), "is sparse and has no shape")
        width = math.prod(features.shape)
        keys, last = self._keys(gather_segments(self.data, spans.keys_at, spans.keys_bytes))
        found = self._varint_counts(spans.keys_bytes, last)
        if (wrong := np.flatnonzero(found != counts)).size:
            problem = f"has {found[wrong[0]]} keys for {counts[wrong[0]]} values"
            raise self.refused(int(spans.rows[wrong[0]]), problem)
        if keys.size and int(keys.max()) >= width:
            at = int(np.flatnonzero(keys >= width)[0])
            row = int(np.searchsorted(starts_of(counts), at, side="right")) - 1
            problem = f"has the key {keys[at]}, expected less than its shape, {width}"
            raise self.refused(int(spans.rows[row]), problem)
        return values, keys, counts, width

    def _keys(self, packed: Bytes) -> tuple[npt.NDArray[np.uint64], Indices]:
        found = decode_varints(packed)
        if found is None:
            self._explain()
            raise self.refused(0, "or a later one has keys that have no end")
        return found
