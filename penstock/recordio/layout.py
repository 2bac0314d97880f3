"""Finds the parts of many records at once, from one of them.

A canonical record is a few runs of constant bytes around varints and slots of any length, the packed
values and keys and the texts:

    dense    tag <size> name tag <size> tag <size> tag <length> [values] label
    sparse   tag <size> name tag <size> tag <size> tag <length> [values] tag <length> [keys] shape label
    + uid    ... tag <length> [uid]

So one record, parsed with care, gives the steps for all others like it: compare constant bytes, read
a length, step over a slot. Nothing is believed that is not compared: every length must agree with
the others and with the frame.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from penstock.recordio.message import INT32, ITEM_BYTES, Piece, Row
from penstock.recordio.segments import Bytes, Indices, every, stride_of, windows

__all__ = ["Inline", "Layout", "Slot", "Spans", "Step", "layout_of", "match"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Slot:
    """Bytes of any length in a record.

    Attributes:
        entry: Number of the entry; -1 for a text of the record.
        part: ``values``, ``keys``, or the number of the text's field.
        offset: Where they begin in the record that the layout was learned from.
        size_bytes: Their length there.
        item_bytes: Every length is a multiple of it.
    """

    entry: int
    part: str
    offset: int
    size_bytes: int
    item_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Inline:
    """Values of a label, of one length in all records.

    Attributes:
        entry: Number of the entry.
        offset: Where they begin in the record that the layout was learned from.
        size_bytes: Their length.
    """

    entry: int
    offset: int
    size_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """What comes next in a record.

    Attributes:
        what: ``fixed``: bytes to compare. ``size``: a varint, the length of a message; ``end``:
            that message ends here. ``slot``: a varint, and as many bytes.
        content: The bytes in the record that the layout was learned from.
        mask: Which bits of them are common.
        offset: Where they begin there.
        inlines: Where inline values begin in them.
    """

    what: Literal["fixed", "size", "end", "slot"]
    content: bytes
    mask: bytes
    offset: int
    inlines: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """What the records of one layout have in common.

    Attributes:
        row: The record that it was learned from.
        steps: How to read one.
        slots: By ``slot`` step.
        inlines: Label values, in the order of the record.
        least_bytes: A record has no fewer.
    """

    row: Row
    steps: tuple[Step, ...]
    slots: tuple[Slot, ...]
    inlines: tuple[Inline, ...]
    least_bytes: int

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
    """

    rows: Indices
    begins: tuple[Indices, ...]
    lengths: tuple[Indices, ...]
    inlines: tuple[Indices, ...]


def layout_of(row: Row, found: list[Piece]) -> Layout:
    """Return the layout of one canonical record.

    Args:
        row: The record.
        found: Its pieces.
    """
    steps: list[Step] = []
    slots: list[Slot] = []
    inlines: list[Inline] = []
    offset = 0
    for piece in found:
        size_bytes, mask = len(piece.content), b"\xff" * len(piece.content)
        if piece.what == "blob":
            slots.append(_slot(row, piece, offset))
        elif piece.what in {"size", "end"}:
            what: Literal["size", "end"] = "size" if piece.what == "size" else "end"
            steps.append(Step(what=what, content=piece.content, mask=mask, offset=offset))
        elif piece.what == "blob_size":
            steps.append(Step(what="slot", content=piece.content, mask=mask, offset=offset))
        else:
            within: tuple[int, ...] = ()
            if piece.what == "inline":
                inlines.append(Inline(entry=piece.entry, offset=offset, size_bytes=size_bytes))
                varints = row.entries[piece.entry].tensor.kind == INT32
                mask, within = (b"\x80" if varints else b"\0") * size_bytes, (0,)
            step = Step(
                what="fixed", content=piece.content, mask=mask, offset=offset, inlines=within
            )
            _append(steps, step)
        offset += size_bytes
    least = sum(len(step.content) if step.what == "fixed" else step.what != "end" for step in steps)
    return Layout(
        row=row,
        steps=tuple(steps),
        slots=tuple(slots),
        inlines=tuple(inlines),
        least_bytes=least,
    )


def _append(steps: list[Step], step: Step) -> None:
    """Add constant bytes to those before them, if there are any."""
    if not steps or steps[-1].what != "fixed":
        steps.append(step)
        return
    before = steps[-1]
    shift = len(before.content)
    steps[-1] = replace(
        before,
        content=before.content + step.content,
        mask=before.mask + step.mask,
        inlines=before.inlines + tuple(shift + at for at in step.inlines),
    )


def _slot(row: Row, piece: Piece, offset: int) -> Slot:
    item_bytes = 1
    if piece.part == "values":
        item_bytes = ITEM_BYTES.get(row.entries[piece.entry].tensor.kind, 1)
    return Slot(
        entry=piece.entry,
        part=piece.part,
        offset=offset,
        size_bytes=len(piece.content),
        item_bytes=item_bytes,
    )


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
    walk = _Walk(data=data, rows=rows, at=starts, ends=ends, left=layout.least_bytes)
    walk.keep(starts + walk.left <= ends)
    slots = iter(layout.slots)
    for step in layout.steps:
        if step.what == "fixed":
            walk.fixed(step)
        elif step.what == "size":
            walk.size()
        elif step.what == "slot":
            walk.slot(next(slots))
        else:
            walk.end()
    walk.keep(walk.at == walk.ends)
    count = len(layout.slots)
    return Spans(
        rows=walk.rows,
        begins=tuple(walk.found[: 2 * count : 2]),
        lengths=tuple(walk.found[1 : 2 * count : 2]),
        inlines=tuple(walk.inlines),
    )


class _Walk:
    """A walk through many records at once; those that are not as expected fall behind.

    Attributes:
        rows: Records that are as expected so far.
        at: Where the next step begins in each.
        ends: Where each ends.
        left: Least bytes of the steps to come; all records have as many.
        found: Begin and length of each slot so far.
        inlines: Begins of inline values so far.
    """

    def __init__(
        self, *, data: Bytes, rows: Indices, at: Indices, ends: Indices, left: int
    ) -> None:
        self.data, self.rows, self.at, self.ends, self.left = data, rows, at, ends, left
        self.found: list[Indices] = []
        self.inlines: list[Indices] = []
        self._open: list[Indices] = []

    def keep(self, good: npt.NDArray[np.bool_]) -> None:
        """Go on with some of the records."""
        if good.all():
            return
        self.rows, self.at, self.ends = self.rows[good], self.at[good], self.ends[good]
        for known in (self.found, self.inlines, self._open):
            known[:] = [each[good] for each in known]

    def fixed(self, step: Step) -> None:
        """Compare constant bytes."""
        self.keep(_equal(self.data, self.at, step.content, step.mask))
        self.inlines += [self.at + offset for offset in step.inlines]
        self.at = self.at + len(step.content)
        self.left -= len(step.content)

    def size(self) -> None:
        """Read the length of a message, and remember where it must end."""
        length = self._varint()
        self._open.append(self.at + length)

    def end(self) -> None:
        """Compare where a message ends."""
        self.keep(self.at == self._open.pop())

    def slot(self, slot: Slot) -> None:
        """Read a length, and step over as many bytes."""
        length = self._varint()
        good = self.at + length + self.left <= self.ends
        if slot.item_bytes > 1:
            good &= length % slot.item_bytes == 0
        self.found += [self.at, length]
        self.at = self.at + length
        self.keep(good)

    def _varint(self) -> Indices:
        """Return the varint that comes next in each record, at most 2**56, and go behind it."""
        first = self.data.take(self.at)
        value = (first & 0x7F).astype(np.int64)
        size = np.ones(value.size, np.int64)
        rows = np.flatnonzero(first >= 0x80)
        for byte in range(1, _VARINT_BYTES):
            if not rows.size:
                break
            more = self.data.take(self.at[rows] + byte, mode="clip")
            value[rows] |= (more & 0x7F).astype(np.int64) << 7 * byte
            size[rows] += 1
            rows = rows[more >= 0x80]
        self.at = self.at + size
        self.left -= 1
        good = self.at + self.left <= self.ends
        good[rows] = False
        if good.all():
            return value
        self.found.append(value)
        self.keep(good)
        return self.found.pop()


_VARINT_BYTES = 8


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
    for step in layout.steps:
        mask = step.mask.replace(b"\x80", b"\xff")
        if not _equal_run(data, starts + step.offset, stride, step.content, mask):
            return None
    return Spans(
        rows=rows,
        begins=tuple(starts + slot.offset for slot in layout.slots),
        lengths=tuple(np.full(rows.size, slot.size_bytes) for slot in layout.slots),
        inlines=tuple(starts + inline.offset for inline in layout.inlines),
    )


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
