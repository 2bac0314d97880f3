"""The records of some frames, sorted by layout: whatever a tensor is called, all its rows at once."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from penstock.errors import DataError
from penstock.recordio.blobs import Blobs
from penstock.recordio.framing import HEADER_BYTES, Frames
from penstock.recordio.layout import Layout, Spans, layout_of, match
from penstock.recordio.message import FLOAT32, FLOAT64, INT32, Tensor, parse, pieces
from penstock.recordio.segments import (
    Bytes,
    Indices,
    copy_segments,
    gather_segments,
    starts_of,
)
from penstock.recordio.varint import decode_varints

__all__ = ["Block", "Name", "Table", "interleaved", "merged"]

_DTYPES: dict[int, np.dtype[Any]] = {
    FLOAT32: np.dtype("<f4"),
    FLOAT64: np.dtype("<f8"),
    INT32: np.dtype("<i4"),
}
_MAX_LAYOUTS = 256
"""Layouts that are looked for in all rows; a file with more is read record by record."""

Name = tuple[bool, bytes]
"""Whether it is a label, and what it is called."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """One tensor of the records of one layout.

    Attributes:
        rows: int64 (n,), record numbers, ascending.
        values: All values, one record after another.
        counts: int64 (n,), values per record.
        keys: Column of each value; None when the tensors are dense.
        width: Product of the shape; None when the records give none.
    """

    rows: Indices
    values: npt.NDArray[Any]
    counts: Indices
    keys: npt.NDArray[Any] | None
    width: int | None


class Table:
    """The records of some frames while they are decoded.

    Attributes:
        rows: How many there are.
        names: All names, in the order in which they first occur.
    """

    def __init__(self, data: Bytes, frames: Frames, *, source: str, first_row: int) -> None:
        """Sort all records into layouts. Records that are not canonical are rewritten first.

        Args:
            data: uint8 (bytes,), what the frames' ``starts`` count in.
            frames: Whole records.
            source: For errors.
            first_row: Number of the first record in that source, for errors.

        Raises:
            CorruptRecordError: A payload is no Record.
            DataError: One holds bytes instead of numbers.
        """
        self._data, self._frames, self._source, self._first_row = data, frames, source, first_row
        self._starts, self._lengths = frames.starts, frames.lengths
        self.rows = frames.starts.size
        self._groups: list[tuple[Layout, Spans]] = []
        if odd := self._match(np.arange(self.rows)):
            self._rewrite(np.array(list(odd)), list(odd.values()))
        found = {(entry.label, entry.name): 0 for entry in self._entries()}
        self.names: tuple[Name, ...] = tuple(found)

    def _entries(self) -> list[Any]:
        return [entry for layout, _ in self._groups for entry in layout.row.entries]

    def _rewrite(self, rows: Indices, contents: list[bytes]) -> None:
        """Put other payloads in place of those of some records, and sort these."""
        self._lengths, self._starts = self._lengths.copy(), self._starts.copy()
        self._lengths[rows] = [len(content) for content in contents]
        self._starts[rows] = starts_of(self._lengths[rows])[:-1] + self._data.size
        fresh = np.frombuffer(b"".join(contents), np.uint8)
        self._data = np.concatenate([self._data, fresh])
        self._match(rows)

    def _match(self, left: Indices) -> dict[int, bytes]:
        """Sort some records into layouts; return canonical bytes of those that are not."""
        odd: dict[int, bytes] = {}
        while left.size:
            row = int(left[0])
            payload = self._payload(row)
            record = parse(payload, source=self._source, at=self._payload_at(row))
            found = pieces(record)
            canonical = b"".join(piece.content for piece in found)
            if canonical != payload:
                odd[row] = canonical
                left = left[1:]
                continue
            asked = left if len(self._groups) < _MAX_LAYOUTS else left[:1]
            ends = self._starts[asked] + self._lengths[asked]
            layout = layout_of(record, found)
            spans = match(self._data, layout, asked, self._starts[asked], ends)
            self._groups.append((layout, spans))
            if spans.rows.size == left.size:
                break
            left = left[~np.isin(left, spans.rows, assume_unique=True, kind="table")]
        return odd

    def _payload(self, row: int) -> bytes:
        start = int(self._starts[row])
        return self._data[start : start + int(self._lengths[row])].tobytes()

    def _payload_at(self, row: int) -> int:
        return int(self._frames.offsets[row]) + HEADER_BYTES

    def refused(self, row: int, problem: str) -> DataError:
        """Return the error that a record is not as expected."""
        where = f"record {self.number(row)} (byte {self._frames.offsets[row]})"
        return DataError(f"{self._source}: {where} {problem}")

    def number(self, row: int) -> int:
        """Return the number of a record in its source."""
        return self._first_row + row

    def tensors(self) -> list[tuple[Indices, dict[Name, Tensor]]]:
        """Return, by layout, its rows and the tensors of one of its records."""
        return [
            (spans.rows, {(entry.label, entry.name): entry.tensor for entry in layout.row.entries})
            for layout, spans in self._groups
        ]

    def blocks(self, name: Name) -> list[Block]:
        """Return a tensor, layout by layout; layouts that do not have it are left out.

        Raises:
            CorruptRecordError: Packed varints have no end.
            DataError: Keys and values differ in number, a key is past the shape, or a dense
                tensor does not fill its shape.
        """
        found = []
        for layout, spans in self._groups:
            for number, entry in enumerate(layout.row.entries):
                if (entry.label, entry.name) == name:
                    found.append(self._block(layout, spans, number))
        return found

    def _block(self, layout: Layout, spans: Spans, entry: int) -> Block:
        tensor = layout.row.entries[entry].tensor
        packed, lengths = self._packed(layout, spans, entry)
        values, last = self._numbers(packed, tensor.kind)
        if last is None:
            counts = lengths // _DTYPES[tensor.kind].itemsize
        else:
            counts = self._varint_counts(lengths, last)
        width = math.prod(tensor.shape) if tensor.shape else None
        keys = None
        if tensor.sparse:
            keys = self._keys(layout, spans, entry, counts, width)
        elif width is not None and (counts != width).any():
            at = int(np.flatnonzero(counts != width)[0])
            problem = f"has {counts[at]} values for the shape {list(tensor.shape)}"
            raise self.refused(int(spans.rows[at]), problem)
        return Block(rows=spans.rows, values=values, counts=counts, keys=keys, width=width)

    def _packed(self, layout: Layout, spans: Spans, entry: int) -> tuple[Bytes, Indices]:
        """Return the packed values of one entry, and their length in each record."""
        if (slot := layout.slot(entry, "values")) is not None:
            lengths = spans.lengths[slot]
            return gather_segments(self._data, spans.begins[slot], lengths), lengths
        for inline, begins in zip(layout.inlines, spans.inlines, strict=True):
            if inline.entry == entry:
                lengths = np.full(spans.rows.size, inline.size_bytes)
                return gather_segments(self._data, begins, lengths), lengths
        return np.empty(0, np.uint8), np.zeros(spans.rows.size, np.int64)

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
            parse(self._payload(row), source=self._source, at=self._payload_at(row))

    def _varint_counts(self, lengths: Indices, last: Indices) -> Indices:
        """Return how many varints the packed bytes of each record hold."""
        ends = starts_of(lengths)
        before = np.searchsorted(last, ends)
        some = lengths > 0
        if (last[before[1:][some] - 1] != ends[1:][some] - 1).any():
            self._explain()
        return np.diff(before)

    def _keys(
        self, layout: Layout, spans: Spans, entry: int, counts: Indices, width: int | None
    ) -> npt.NDArray[Any]:
        """Return the keys of a sparse tensor: as many as values, all below the width."""
        if (slot := layout.slot(entry, "keys")) is None:
            keys, found = np.empty(0, np.uint32), np.zeros(spans.rows.size, np.int64)
        else:
            packed = gather_segments(self._data, spans.begins[slot], spans.lengths[slot])
            decoded = decode_varints(packed)
            if decoded is None:
                self._explain()
                raise self.refused(0, "or a later one has keys that have no end")
            keys, last = decoded
            lengths = spans.lengths[slot]
            found = (
                counts if _end_with(last, counts, lengths) else self._varint_counts(lengths, last)
            )
        if (wrong := np.flatnonzero(found != counts)).size:
            problem = f"has {found[wrong[0]]} keys for {counts[wrong[0]]} values"
            raise self.refused(int(spans.rows[wrong[0]]), problem)
        if width is not None and keys.size and int(keys.max()) >= width:
            at = int(np.flatnonzero(keys >= width)[0])
            row = int(np.searchsorted(starts_of(counts), at, side="right")) - 1
            problem = f"has the key {keys[at]}, expected less than its shape, {width}"
            raise self.refused(int(spans.rows[row]), problem)
        return keys

    def texts(self, field: int) -> Blobs | None:
        """Return a text of all records, empty where one has none; None when all are without."""
        starts, lengths = np.zeros(self.rows, np.int64), np.zeros(self.rows, np.int64)
        some = False
        for layout, spans in self._groups:
            if (slot := layout.slot(-1, str(field))) is not None:
                starts[spans.rows], lengths[spans.rows] = spans.begins[slot], spans.lengths[slot]
                some = True
        if not some:
            return None
        data = gather_segments(self._data, starts, lengths)
        return Blobs(data=data, starts=starts_of(lengths)[:-1], lengths=lengths)


def _end_with(last: Indices, counts: Indices, lengths: Indices) -> bool:
    """Return whether each record's last varint, by these counts, ends where its bytes do."""
    after = np.cumsum(counts)
    if not counts.all() or after[-1] != last.size:
        return False
    return bool((last[after - 1] == np.cumsum(lengths) - 1).all())


def merged(rows: int, blocks: list[Block], of: Callable[[Block], Any]) -> npt.NDArray[Any]:
    """Return one number per record, from one array per block; 0 for records in no block."""
    if len(blocks) == 1 and blocks[0].rows.size == rows:
        only: npt.NDArray[Any] = of(blocks[0])
        return only
    whole = np.zeros(rows, np.int64)
    for block in blocks:
        whole[block.rows] = of(block)
    return whole


def interleaved(
    flat: list[npt.NDArray[Any]], blocks: list[Block], starts: Indices
) -> npt.NDArray[Any]:
    """Return the flat values of all records, in their order, from those of each block.

    Args:
        flat: By block, one number per value.
        blocks: Where the values belong.
        starts: int64 (rows + 1,), where each record's values begin in the result.
    """
    if len(blocks) == 1:
        return flat[0]
    whole = np.empty(int(starts[-1]), np.result_type(*flat))
    size = whole.dtype.itemsize
    for block, values in zip(blocks, flat, strict=True):
        if not values.size:
            continue
        bytes_at = starts_of(block.counts)[:-1] * size
        origin = np.ascontiguousarray(values, whole.dtype).view(np.uint8)
        to = starts[block.rows] * size
        copy_segments(whole.view(np.uint8), to, origin, bytes_at, block.counts * size)
    return whole
