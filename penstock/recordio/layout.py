"""Finds the parts of many records at once, from one of them.

A canonical record is a few windows of nearly constant bytes around slots of any length, the packed
values and keys and the texts:

    dense    [window values_size] values [window: label]
    sparse   [window values_size] values [window keys_size] keys [window: shape, label]
    + uid    ... [window: label uid_size] uid [empty window]

Records of one layout differ in their slots and labels, and in lengths whose varints have
equal sizes. So one record, parsed with care, gives patterns and masks for all others like it:
gather each window, compare it as 64-bit words, read the lengths, step over the slots. Nothing is
believed that is not compared: every length must agree with the others and with the frame.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from penstock.recordio.message import INT32, ITEM_BYTES, Piece, Row
from penstock.recordio.segments import Bytes, Indices, every, stride_of, windows

__all__ = ["Inline", "Layout", "Slot", "Spans", "Stated", "layout_of", "match"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Slot:
    """Where bytes of any length stand in a layout: they follow window ``number of the slot``.

    Attributes:
        entry: Number of the entry; -1 for a text of the record.
        part: ``values``, ``keys``, or the number of the text's field.
        size_bytes: Of the varint of their length, which ends the window.
        item_bytes: The length is a multiple of it.
    """

    entry: int
    part: str
    size_bytes: int
    item_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Stated:
    """A varint in a window that states a length in which slots are counted.

    Attributes:
        window: Its window.
        offset: Where it begins there.
        size_bytes: How long it is.
        base: Its value less the lengths of the slots.
        slots: First and last (exclusive) slot that it counts.
    """

    window: int
    offset: int
    size_bytes: int
    base: int
    slots: tuple[int, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Inline:
    """Label values inside a window: an entry, a window, an offset there, and a length in bytes."""

    entry: int
    window: int
    offset: int
    size_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """What the records of one layout have in common.

    Attributes:
        row: The record that it was learned from.
        patterns: The bytes of each window; one more than slots.
        masks: Which bits of them are common: all of a fixed byte, the top bit of a varint's.
        slots: What stands behind each window but the last.
        stated: Lengths to check, in the order of the record.
        inlines: Label values inside windows.
        fixed_bytes: Payload length less the lengths of the slots.
        slot_bytes: By slot, its length in that record.
    """

    row: Row
    patterns: tuple[bytes, ...]
    masks: tuple[bytes, ...]
    slots: tuple[Slot, ...]
    stated: tuple[Stated, ...]
    inlines: tuple[Inline, ...]
    fixed_bytes: int
    slot_bytes: tuple[int, ...]

    def slot(self, entry: int, part: str) -> int | None:
        """Return the number of a slot, if the layout has it."""
        for number, slot in enumerate(self.slots):
            if (slot.entry, slot.part) == (entry, part):
                return number
        return None


@dataclass(frozen=True, kw_only=True, slots=True)
class Spans:
    """Where the parts of some records stand; all arrays are int64 (n,), offsets into the data.

    Attributes:
        rows: Which records; ascending.
        begins: By slot, where its bytes begin.
        lengths: By slot, how many they are.
        inlines: By inline values, where they begin.
        stated: By stated length, its value.
    """

    rows: Indices
    begins: tuple[Indices, ...] = ()
    lengths: tuple[Indices, ...] = ()
    inlines: tuple[Indices, ...] = ()
    stated: tuple[Indices, ...] = ()

    def at(self, chosen: npt.NDArray[np.bool_]) -> Spans:
        """Return the spans of some of the records."""
        return Spans(
            rows=self.rows[chosen],
            begins=tuple(each[chosen] for each in self.begins),
            lengths=tuple(each[chosen] for each in self.lengths),
            inlines=tuple(each[chosen] for each in self.inlines),
            stated=tuple(each[chosen] for each in self.stated),
        )


def layout_of(row: Row, found: list[Piece]) -> Layout:
    """Return the layout of one canonical record.

    Args:
        row: The record.
        found: Its pieces.
    """
    contents, masks = [bytearray()], [bytearray()]
    slots: list[Slot] = []
    stated: list[Stated] = []
    inlines: list[Inline] = []
    blobs = [len(piece.content) for piece in found if piece.what == "blob"]
    size_bytes = 0
    for piece in found:
        content, window, offset = piece.content, len(slots), len(contents[-1])
        if piece.what == "blob":
            slots.append(_slot(row, piece, size_bytes))
            contents.append(bytearray())
            masks.append(bytearray())
            continue
        mask = _MASKS[piece.what]
        if piece.what == "size":
            counted = (window, window + piece.blobs)
            base = _value(content) - sum(blobs[slice(*counted)])
            stated.append(
                Stated(
                    window=window, offset=offset, size_bytes=len(content), base=base, slots=counted
                )
            )
        elif piece.what == "blob_size":
            size_bytes = len(content)
        elif piece.what == "inline":
            if row.entries[piece.entry].tensor.kind == INT32:
                mask = 0x80
            inline = Inline(
                entry=piece.entry, window=window, offset=offset, size_bytes=len(content)
            )
            inlines.append(inline)
        contents[-1] += content
        masks[-1] += bytes([mask]) * len(content)
    return Layout(
        row=row,
        patterns=tuple(map(bytes, contents)),
        masks=tuple(map(bytes, masks)),
        slots=tuple(slots),
        stated=tuple(stated),
        inlines=tuple(inlines),
        fixed_bytes=sum(map(len, contents)),
        slot_bytes=tuple(blobs),
    )


_MASKS = {"fixed": 0xFF, "size": 0x80, "blob_size": 0x80, "inline": 0}


def _slot(row: Row, piece: Piece, size_bytes: int) -> Slot:
    item_bytes = 1
    if piece.part == "values":
        item_bytes = ITEM_BYTES.get(row.entries[piece.entry].tensor.kind, 1)
    return Slot(entry=piece.entry, part=piece.part, size_bytes=size_bytes, item_bytes=item_bytes)


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
    if (run := _match_run(data, layout, rows, starts, ends)) is not None:
        return run
    spans = Spans(rows=rows)
    at, left = starts, layout.fixed_bytes
    good = at + left <= ends
    for number, pattern in enumerate(layout.patterns):
        # From here on, good records have at least `left` bytes from `at` on.
        if not good.all():
            spans, at, ends = spans.at(good), at[good], ends[good]
        good = _equal(data, at, pattern, layout.masks[number])
        spans = _with_window(data, layout, spans, number, at)
        at, left = at + len(pattern), left - len(pattern)
        if number == len(layout.slots):
            break
        slot = layout.slots[number]
        size = _varints(data, at - slot.size_bytes, slot.size_bytes)
        spans = replace(spans, begins=(*spans.begins, at), lengths=(*spans.lengths, size))
        at = at + size
        good &= at + left <= ends
        if slot.item_bytes > 1:
            good &= size % slot.item_bytes == 0
    good &= at == ends
    for stated, found in zip(layout.stated, spans.stated, strict=True):
        first, last = stated.slots
        good &= found == sum(spans.lengths[first + 1 : last], spans.lengths[first] + stated.base)
    return spans if good.all() else spans.at(good)


def _match_run(
    data: Bytes, layout: Layout, rows: Indices, starts: Indices, ends: Indices
) -> Spans | None:
    """Return the spans of records of one size that follow one another, if all have this layout.

    So it is with dense rows. They are compared with the first one in place, nothing is gathered:
    where its lengths are equal, too, all parts stand at the same offsets. The first record is
    the one that the layout was learned from.
    """
    stride = stride_of(starts)
    if stride is None or not (ends - starts == ends[0] - starts[0]).all():
        return None
    slot_bytes = layout.slot_bytes
    at, begins = starts, list[Indices]()
    inlines: list[Indices] = []
    for number, pattern in enumerate(layout.patterns):
        mask = bytes(0xFF if byte == 0x80 else byte for byte in layout.masks[number])
        inlines += [at + each.offset for each in layout.inlines if each.window == number]
        if not _equal_run(data, at, stride, pattern, mask):
            return None
        at = at + len(pattern)
        if number < len(slot_bytes):
            begins.append(at)
            at = at + slot_bytes[number]
    lengths = tuple(np.full(rows.size, size) for size in slot_bytes)
    return Spans(rows=rows, begins=tuple(begins), lengths=lengths, inlines=tuple(inlines))


def _equal_run(data: Bytes, at: Indices, stride: int, pattern: bytes, mask: bytes) -> bool:
    """Return whether all windows have the pattern's bits where the mask has ones."""
    offset = 0
    while offset < len(pattern):
        size = next(size for size in (8, 4, 2, 1) if size <= len(pattern) - offset)
        dtype = f"<u{size}"
        bits = np.frombuffer(mask, dtype, 1, offset)[0]
        if bits:
            found = every(data, dtype, at + offset, stride)
            wanted = np.frombuffer(pattern, dtype, 1, offset)[0]
            if bits != np.iinfo(dtype).max:
                found, wanted = found & bits, wanted & bits
            if (found != wanted).any():
                return False
        offset += size
    return True


def _with_window(data: Bytes, layout: Layout, spans: Spans, number: int, at: Indices) -> Spans:
    """Add what a window, which begins at ``at``, states and holds."""
    stated = [
        _varints(data, at + each.offset, each.size_bytes)
        for each in layout.stated
        if each.window == number
    ]
    inlines = [at + each.offset for each in layout.inlines if each.window == number]
    if not stated and not inlines:
        return spans
    return replace(spans, stated=(*spans.stated, *stated), inlines=(*spans.inlines, *inlines))


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
