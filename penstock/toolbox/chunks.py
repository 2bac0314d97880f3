"""A RecordIO stream -> pieces of some megabytes with their frames, in memory that a piece bounds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from penstock.errors import CorruptRecordError
from penstock.recordio.framing import HEADER_BYTES, Frames, Parts, find_frames, join_parts
from penstock.recordio.segments import Bytes
from penstock.toolbox.sources import Stream

__all__ = ["PIECE_BYTES", "Chunk", "chunks"]

PIECE_BYTES = 4 << 20
_WHOLE, _LAST = 0, 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Chunk:
    """Some whole records of a stream.

    Attributes:
        data: uint8, what the frames' ``starts`` count in.
        raw: The frames as they stand in the stream, parts and all.
        records: One frame per record, parts joined; None when there are parts that may not be joined.
        first_row: Number of the first record in the stream.
        error: Why the stream ends here too early; None while it is good.
    """

    data: Bytes
    raw: Frames
    records: Frames | None
    first_row: int
    error: CorruptRecordError | None


def chunks(stream: Stream, *, parts: Parts, piece_bytes: int = PIECE_BYTES) -> Iterator[Chunk]:
    """Yield the frames of a stream, piece by piece, and what is wrong with it as the last one's error.

    Nothing is raised for bad bytes, so that a caller may count what came before them. Memory: two
    pieces, or three times the largest record when that is larger.

    Args:
        stream: At the start of a frame.
        parts: What part flags mean. With ``refuse`` chunks that have parts come without records.
        piece_bytes: How much to read before frames are looked for.
    """
    left: Any = np.empty(0, np.uint8)
    base = row = 0
    more = True
    while more:
        data, more = _filled(stream, left, max(piece_bytes, left.size))
        found = find_frames(data, source=stream.name, base=base, whole=not more)
        frames, stop = _whole_records(found, last=found.error is not None or not more)
        chunk = _chunk(data, frames, row, stream.name, parts, last=not more, error=found.error)
        if frames.starts.size or chunk.error is not None:
            yield chunk
        if chunk.error is not None:
            return
        row += _rows(chunk)
        base += stop
        left = data[stop:]


def _filled(stream: Stream, left: Bytes, size_bytes: int) -> tuple[Bytes, bool]:
    """Return ``left`` and the next bytes in one array, and whether more may follow."""
    data = np.empty(left.size + size_bytes, np.uint8)
    data[: left.size] = left
    end = left.size
    while end < data.size:
        count = stream.readinto(data.data[end:])
        if not count:
            return data[:end], False
        end += count
    return data, True


def _whole_records(found: Frames, *, last: bool) -> tuple[Frames, int]:
    """Return the frames up to the last end of a record, and where they end in the data."""
    if last or not found.flags.any():
        return found, found.stop
    ends = np.flatnonzero((found.flags == _WHOLE) | (found.flags >= _LAST))
    count = int(ends[-1]) + 1 if ends.size else 0
    if count == found.starts.size:
        return found, found.stop
    stop = int(found.starts[count]) - HEADER_BYTES
    return replace(found.between(0, count), stop=stop), stop


def _chunk(
    data: Bytes,
    frames: Frames,
    row: int,
    name: str,
    parts: Parts,
    *,
    last: bool,
    error: CorruptRecordError | None,
) -> Chunk:
    records: Frames | None = replace(frames, error=None)
    if parts == "refuse" and frames.flags.any():
        records = None
    elif frames.flags.any():
        try:
            data, records = join_parts(
                data, frames, source=name, parts=parts, whole=last and error is None
            )
        except CorruptRecordError as wrong:
            good = frames.between(0, int(np.searchsorted(frames.offsets, wrong.offset_bytes)))
            before = _whole_records(good, last=False)[0]
            data, records = join_parts(data, before, source=name, parts=parts)
            error = wrong
    return Chunk(data=data, raw=frames, records=records, first_row=row, error=error)


def _rows(chunk: Chunk) -> int:
    if chunk.records is not None:
        return chunk.records.starts.size
    return int(((chunk.raw.flags == _WHOLE) | (chunk.raw.flags == 1)).sum())
