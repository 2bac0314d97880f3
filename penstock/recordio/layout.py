"""Finds the parts of many records at once, from one of them.

A canonical record is a few windows of nearly constant bytes around the packed values and keys:

    dense    [window values_size] values [window: label]
    sparse   [window values_size] values [window keys_size] keys [window: shape, label]

Records of one layout differ in their values, keys and label, and in lengths whose varints have
equal sizes. So one record, parsed with care, gives patterns and masks for all others like it:
gather each window, compare it as 64-bit words, read the lengths, step over the values. Nothing is
believed that is not compared: every length must agree with the others and with the frame.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from penstock.recordio.message import INT32, ITEM_BYTES, Piece, Row
from penstock.recordio.segments import Bytes, Indices, windows

__all__ = ["Layout", "Spans", "layout_of", "match"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """What the records of one layout have in common.

    Attributes:
        row: The record that it was learned from.
        patterns: The bytes of each window.
        masks: Which bits of them are common: all of a fixed byte, the top bit of a varint's.
        blobs: What stands behind each window but the last: ``values``, ``keys``.
        size_bytes: By blob, the size of its length's varint, which ends the window before it.
        sizes: Offset, size and value of the varints in the first window that count the blobs
            too; the value is less their lengths.
        fixed_bytes: Payload length less the lengths of the blobs.
        label_at: Offset of the label's values in the last window.
        label_bytes: Their length; 0 without a label.
    """

    row: Row
    patterns: tuple[bytes, ...]
    masks: tuple[bytes, ...]
    blobs: tuple[str, ...]
    size_bytes: tuple[int, ...]
    sizes: tuple[tuple[int, int, int], ...]
    fixed_bytes: int
    label_at: int
    label_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Spans:
    """Where the parts of some records stand; all arrays are int64 (n,), offsets into the data.

    Attributes:
        rows: Which records; ascending.
        values_at: Where the packed values begin.
        values_bytes: How long they are.
        keys_at: Where the packed keys begin.
        keys_bytes: How long they are; 0 when there are none.
        label_at: Where the label's values begin; meaningless without one.
    """

    rows: Indices
    values_at: Indices
    values_bytes: Indices
    keys_at: Indices
    keys_bytes: Indices
    label_at: Indices

    def at(self, chosen: npt.NDArray[np.bool_]) -> Spans:
        """Return the spans of some of the records."""
        return Spans(
            rows=self.rows[chosen],
            values_at=self.values_at[chosen],
            values_bytes=self.values_bytes[chosen],
            keys_at=self.keys_at[chosen],
            keys_bytes=self.keys_bytes[chosen],
            label_at=self.label_at[chosen],
        )


def layout_of(row: Row, found: list[Piece]) -> Layout:
    """Return the layout of one canonical record.

    Args:
        row: The record.
        found: Its pieces.
    """
    contents, masks = [bytearray()], [bytearray()]
    blobs: list[str] = []
    size_bytes: list[int] = []
    sizes: list[tuple[int, int, int]] = []
    label_at = label_bytes = 0
    blob_bytes = sum(len(piece.content) for piece in found if piece.what in {"values", "keys"})
    for piece in found:
        content, what = piece.content, piece.what
        if what in {"values", "keys"}:
            blobs.append(what)
            contents.append(bytearray())
            masks.append(bytearray())
            continue
        if what == "size":
            sizes.append((len(contents[-1]), len(content), _value(content) - blob_bytes))
        elif what in {"values_size", "keys_size"}:
            size_bytes.append(len(content))
        elif what == "label":
            label_at, label_bytes = len(contents[-1]), len(content)
        contents[-1] += content
        masks[-1] += bytes([_MASKS.get(what, 0x80)]) * len(content)
        if what == "label" and row.label is not None and row.label.kind != INT32:
            masks[-1][label_at:] = bytes(label_bytes)
    return Layout(
        row=row,
        patterns=tuple(map(bytes, contents)),
        masks=tuple(map(bytes, masks)),
        blobs=tuple(blobs),
        size_bytes=tuple(size_bytes),
        sizes=tuple(sizes),
        fixed_bytes=sum(map(len, contents)),
        label_at=label_at,
        label_bytes=label_bytes,
    )


_MASKS = {"fixed": 0xFF}


def _value(content: bytes) -> int:
    return sum((byte & 0x7F) << 7 * place for place, byte in enumerate(content))


def match(data: Bytes, layout: Layout, rows: Indices, starts: Indices, ends: Indices) -> Spans:
    """Return those of some records that have this layout.

    Args:
        data: uint8 (bytes,).
        layout: What to look for.
        rows: int64 (n,), record numbers, ascending.
        starts: int64 (n,), where each payload begins.
        ends: int64 (n,), where it ends.
    """
    none = np.zeros(rows.size, np.int64)
    spans = Spans(
        rows=rows,
        values_at=starts,
        values_bytes=none,
        keys_at=starts,
        keys_bytes=none,
        label_at=starts,
    )
    at, first, left = starts, starts, layout.fixed_bytes
    good = at + left <= ends
    for number, pattern in enumerate(layout.patterns):
        # From here on, good records have at least `left` bytes from `at` on.
        if not good.all():
            spans, at, ends, first = spans.at(good), at[good], ends[good], first[good]
        good = _equal(data, at, pattern, layout.masks[number])
        at, left = at + len(pattern), left - len(pattern)
        if number == len(layout.blobs):
            break
        size = _varints(data, at - layout.size_bytes[number], layout.size_bytes[number])
        spans = _with_blob(spans, layout.blobs[number], at, size)
        at = at + size
        good &= at + left <= ends
    good &= at == ends
    blob_bytes = spans.values_bytes + spans.keys_bytes
    for offset, size_bytes, base in layout.sizes:
        good &= _varints(data, first + offset, size_bytes) == blob_bytes + base
    if (item := ITEM_BYTES.get(layout.row.features.kind)) is not None:
        good &= spans.values_bytes % item == 0
    spans = replace(spans, label_at=at - len(layout.patterns[-1]) + layout.label_at)
    return spans if good.all() else spans.at(good)


def _with_blob(spans: Spans, blob: str, at: Indices, size: Indices) -> Spans:
    if blob == "values":
        return replace(spans, values_at=at, values_bytes=size)
    return replace(spans, keys_at=at, keys_bytes=size)


def _equal(data: Bytes, at: Indices, pattern: bytes, mask: bytes) -> npt.NDArray[np.bool_]:
    """Return which windows have the pattern's bits where the mask has ones."""
    size = len(pattern)
    different = np.zeros(at.size, np.uint64)
    if size >= 8:
        words = windows(data, 8)
        for offset in sorted({*range(0, size - 7, 8), size - 8}):
            bits = np.frombuffer(mask, "<u8", 1, offset)[0]
            if bits:
                found = words[at + offset].view("<u8")
                different |= (found ^ np.frombuffer(pattern, "<u8", 1, offset)[0]) & bits
    else:
        for offset in range(size):
            different |= (data[at + offset] ^ np.uint8(pattern[offset])) & np.uint8(mask[offset])
    same: npt.NDArray[np.bool_] = different == 0
    return same


def _varints(data: Bytes, at: Indices, size_bytes: int) -> Indices:
    """Return varints of one size; that they have it was compared by the mask."""
    values = (data[at] & 0x7F).astype(np.int64)
    for byte in range(1, size_bytes):
        values |= (data[at + byte] & 0x7F).astype(np.int64) << 7 * byte
    return values
