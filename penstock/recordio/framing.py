"""RecordIO frames: where each payload of some bytes begins and ends.

One frame, all integers unsigned, 32 bits, little-endian:

    offset  bytes  field
    0       4      magic    0xCED7230A
    4       4      header   bits 31..29 part flag, bits 28..0 payload length n
    8       n      payload  one serialised aialgs.data.Record, or what the writer likes
    8+n     p      padding  p = -n mod 4 zero bytes, so the next frame starts on a 4-byte boundary

Part flags: 0 a whole record; 1, 2, 3 the first, a middle, the last part of one. They are written
by tools that cut a payload where it holds the magic word at a multiple of four bytes. Two
readers disagree on what they mean: dmlc's puts the dropped magic word back between parts, ml-io
joins the parts as they stand. So parts are refused unless the caller says which is meant, and
never written here. A payload may hold the magic word anywhere: a frame begins only where the one
before it ends.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from penstock.errors import CorruptRecordError, InputError
from penstock.recordio.segments import Bytes, Indices, copy_segments, starts_of, windows

__all__ = [
    "HEADER_BYTES",
    "MAGIC",
    "MAX_PAYLOAD_BYTES",
    "Frames",
    "Parts",
    "check_parts",
    "find_frames",
    "join_parts",
    "padded",
]

MAGIC = 0xCED7230A
HEADER_BYTES = 8
MAX_PAYLOAD_BYTES = (1 << 29) - 1

Parts = Literal["refuse", "join", "dmlc"]
"""What a part flag means: an error; parts to join as they stand; parts cut at a magic word."""

_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)
_PADDING = np.array([0, 0xFF000000, 0xFFFF0000, 0xFFFFFF00], np.uint32)
"""By padding size: which bits of a frame's last word are padding."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Frames:
    """The complete frames at the start of some bytes.

    Attributes:
        starts: int64 (n,), where each payload begins.
        lengths: int64 (n,), payload bytes.
        flags: int64 (n,), part flags.
        offsets: int64 (n,), where each frame begins, counted from the start of the stream.
        stop: Where the last of them ends, padding included.
        error: What is wrong with the bytes behind them; None when they are, or may become, good.
    """

    starts: Indices
    lengths: Indices
    flags: Indices
    offsets: Indices
    stop: int
    error: CorruptRecordError | None = None

    def between(self, first: int, last: int) -> Frames:
        """Return frames ``first`` to ``last`` (exclusive); ``stop`` and ``error`` are kept."""
        return replace(
            self,
            starts=self.starts[first:last],
            lengths=self.lengths[first:last],
            flags=self.flags[first:last],
            offsets=self.offsets[first:last],
        )


def padded(length: int) -> int:
    """Return ``length`` rounded up to a multiple of four."""
    return length + -length % 4


def check_parts(parts: str) -> None:
    """Refuse a word that is not one of ``Parts``.

    Raises:
        InputError: It is none.
    """
    if parts not in get_args(Parts):
        raise InputError(f"parts is {parts!r}, expected one of 'refuse', 'join', 'dmlc'")


def find_frames(data: Bytes, *, source: str, base: int = 0, whole: bool = True) -> Frames:
    """Return the complete frames that ``data`` begins with.

    Frames of one size are found in one step; others by a search for the magic word, whose hits
    are kept when they continue the chain of lengths.

    Args:
        data: uint8 (bytes,), begins on a frame boundary.
        source: Where the bytes came from, for errors.
        base: Where ``data`` begins in that source, bytes.
        whole: Whether the source ends with ``data``; if so a frame that is cut is an error.

    Returns:
        All good frames, and as their ``error`` the wrong magic, the padding that is not zero or
        the cut that follows them: a reader may hand out what came before.
    """
    begins, headers = _equal_run(data)
    stop = _end(begins, headers)
    if _holds_frame(data, stop):
        more, more_headers = _chain(data, stop)
        begins, headers = np.concatenate([begins, more]), np.concatenate([headers, more_headers])
        stop = _end(begins, headers)
    frames = Frames(
        starts=begins + HEADER_BYTES,
        lengths=headers & MAX_PAYLOAD_BYTES,
        flags=headers >> 29,
        offsets=begins + base,
        stop=stop,
    )
    if (bad := _bad_padding(data, frames)) is not None:
        return _until_padding(data, frames, bad, source)
    return replace(frames, error=_tail_error(data, frames, source, base, whole=whole))


def _end(begins: Indices, headers: Indices) -> int:
    """Return where the last of some frames ends."""
    if not begins.size:
        return 0
    return int(begins[-1]) + HEADER_BYTES + padded(int(headers[-1]) & MAX_PAYLOAD_BYTES)


def _word(data: Bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4].tobytes(), "little")


def _holds_frame(data: Bytes, at: int) -> bool:
    """Return whether a complete frame begins at ``at``."""
    if at + HEADER_BYTES > data.size or _word(data, at) != MAGIC:
        return False
    return at + HEADER_BYTES + padded(_word(data, at + 4) & MAX_PAYLOAD_BYTES) <= data.size


def _equal_run(data: Bytes) -> tuple[Indices, Indices]:
    """Return begin and header of the frames at the start that have the first one's header."""
    if not _holds_frame(data, 0):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    header = _word(data, 4)
    stride = HEADER_BYTES + padded(header & MAX_PAYLOAD_BYTES)
    count = data.size // stride
    heads = np.ndarray((count,), "<u8", data.data, strides=(stride,))
    same = heads == heads[0]
    if not same.all():
        count = int(same.argmin())
    return np.arange(count, dtype=np.int64) * stride, np.full(count, header, np.int64)


def _chain(data: Bytes, at: int) -> tuple[Indices, Indices]:
    """Return begin and header of the frames from ``at`` on, whatever their sizes.

    A loop turns once for each magic word that stands inside a payload, not for each frame.
    """
    words = data[at : at + (data.size - at) // 4 * 4].view("<u4")
    hits = np.flatnonzero(words[:-1] == MAGIC)
    headers = words[hits + 1].astype(np.int64)
    ends = hits + 2 + ((headers & MAX_PAYLOAD_BYTES) + 3 >> 2)
    linked = ends[:-1] == hits[1:]
    if not linked.all():
        taken, first = [], 0
        breaks = np.append(np.flatnonzero(~linked), hits.size - 1)
        while first < hits.size:
            last = int(breaks[np.searchsorted(breaks, first)])
            taken.append(np.arange(first, last + 1))
            following = int(np.searchsorted(hits, ends[last]))
            if following < hits.size and hits[following] != ends[last]:
                break
            first = following
        chosen = np.concatenate(taken)
        hits, headers, ends = hits[chosen], headers[chosen], ends[chosen]
    complete = int(np.searchsorted(ends, words.size, side="right"))
    return hits[:complete] * 4 + at, headers[:complete]


def _bad_padding(data: Bytes, frames: Frames) -> int | None:
    """Return the first frame whose padding is not zero."""
    size = -frames.lengths & 3
    if not size.any():
        return None
    words = data[: frames.stop].view("<u4")
    last = (frames.starts + frames.lengths + size >> 2) - 1
    bad = words[last] & _PADDING[size]
    return int(np.flatnonzero(bad)[0]) if bad.any() else None


def _until_padding(data: Bytes, frames: Frames, row: int, source: str) -> Frames:
    length = int(frames.lengths[row])
    end = int(frames.starts[row]) + length
    found = data[end : end - length + padded(length)].tobytes().hex()
    at = int(frames.offsets[row]) + HEADER_BYTES + length
    error = CorruptRecordError(source, at, f"padding is {found}, expected zeros")
    stop = int(frames.starts[row]) - HEADER_BYTES
    return replace(frames.between(0, row), stop=stop, error=error)


def _tail_error(
    data: Bytes, frames: Frames, source: str, base: int, *, whole: bool
) -> CorruptRecordError | None:
    """Return what is wrong with the bytes behind the last complete frame."""
    at, left = frames.stop, data.size - frames.stop
    if left >= 4 and (magic := _word(data, at)) != MAGIC:
        problem = f"magic is {magic:#010x}, expected {MAGIC:#010x}"
        if frames.offsets.size:
            problem += (
                f"; the frame before begins at byte {frames.offsets[-1]} "
                f"and has a payload of {frames.lengths[-1]} bytes"
            )
    elif not left or not whole:
        return None
    elif left < HEADER_BYTES:
        noun = "byte" if left == 1 else "bytes"
        problem = f"cut off: {left} {noun} left, a frame header has {HEADER_BYTES}"
    else:
        needs = HEADER_BYTES + padded(_word(data, at + 4) & MAX_PAYLOAD_BYTES)
        problem = f"cut off: the frame has {needs} bytes, {left} are left"
    return CorruptRecordError(source, base + at, problem)


def join_parts(
    data: Bytes, frames: Frames, *, source: str, parts: Parts, whole: bool = True
) -> tuple[Bytes, Frames]:
    """Return bytes and frames in which every frame is a whole record.

    Args:
        data: uint8 (bytes,).
        frames: What ``find_frames`` found in it.
        source: For errors.
        parts: What a part flag means.
        whole: Whether the source ends here; if not, the parts of an unfinished record are left.

    Returns:
        The same data when no record has parts; else a copy with the joined records behind it.
        ``offsets`` of a joined record is that of its first part.

    Raises:
        CorruptRecordError: A part where none may be, or a record whose last part is missing.
    """
    flags = frames.flags
    if not flags.any():
        return data, frames
    if parts == "refuse":
        _refuse_part(frames, source, int(np.flatnonzero(flags)[0]))
    before = np.concatenate([[_WHOLE], flags[:-1]])
    inside = (before == _FIRST) | (before == _MIDDLE)
    follows = (flags == _MIDDLE) | (flags == _LAST)
    if (wrong := np.flatnonzero((inside != follows) | (flags > _LAST))).size:
        row = int(wrong[0])
        wants = "2 or 3, as a record is begun" if inside[row] else "0 or 1, as no record is begun"
        problem = f"part flag is {flags[row]}, expected {wants}"
        raise CorruptRecordError(source, int(frames.offsets[row]), problem)
    first, last = np.flatnonzero(~follows), np.flatnonzero((flags == _WHOLE) | (flags == _LAST))
    if first.size > last.size:
        if whole:
            problem = "cut off: the last part of this record is missing"
            raise CorruptRecordError(source, int(frames.offsets[first[-1]]), problem)
        first = first[: last.size]
    return _joined(data, frames, first, last, magic=parts == "dmlc")


def _refuse_part(frames: Frames, source: str, row: int) -> None:
    problem = (
        f"part flag is {frames.flags[row]}, expected 0: the record is cut into parts\n"
        "  pass parts='join' if ml-io wrote it, parts='dmlc' if dmlc or MXNet did"
    )
    raise CorruptRecordError(source, int(frames.offsets[row]), problem)


def _joined(
    data: Bytes, frames: Frames, first: Indices, last: Indices, *, magic: bool
) -> tuple[Bytes, Frames]:
    """Append to ``data`` the records that have parts ``first[i]`` to ``last[i]``."""
    parts = np.flatnonzero(frames.flags[: last[-1] + 1] if last.size else frames.flags[:0])
    continues = frames.flags[parts] != _FIRST
    gaps = continues * (4 if magic else 0)
    ends = starts_of(frames.lengths[parts] + gaps)
    fresh = np.empty(int(ends[-1]), np.uint8)
    copy_segments(fresh, ends[:-1] + gaps, data, frames.starts[parts], frames.lengths[parts])
    if magic and continues.any():
        word = np.frombuffer(MAGIC.to_bytes(4, "little"), "V4")
        windows(fresh, 4)[ends[:-1][continues]] = word
    split = np.flatnonzero(last > first)
    begin = ends[np.searchsorted(parts, first[split])]
    starts, lengths = frames.starts[first], frames.lengths[first]
    starts[split] = begin + data.size
    lengths[split] = ends[np.searchsorted(parts, last[split]) + 1] - begin
    joined = Frames(
        starts=starts,
        lengths=lengths,
        flags=np.zeros(first.size, np.int64),
        offsets=frames.offsets[first],
        stop=frames.stop,
    )
    return np.concatenate([data, fresh]), joined
