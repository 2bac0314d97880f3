"""Objects cut into what is sent at once. Memory is that of one payload, however large the object."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from penstock.errors import DataError
from penstock.recordio.framing import find_frames

__all__ = ["Split", "payloads"]

Split = Literal["None", "Line", "RecordIO"]

MEGABYTE = 1 << 20


def payloads(
    stream: Any, split: Split, *, single: bool, most_bytes: int, source: str
) -> Iterator[bytes]:
    """Yield the payloads of an object, none of them empty.

    Args:
        stream: Has ``read(n)``.
        split: ``None``: the object is one payload. ``Line``, ``RecordIO``: what its records are.
        single: One record in each payload, without the newline or the frame; else as many as fit.
        most_bytes: Of a payload.
        source: The object's URI, for errors.

    Raises:
        DataError: A record, or the object, is larger than a payload may be; or it is no RecordIO.
    """
    if split == "None":
        content = _filled(stream, b"", most_bytes + 1)
        if len(content) > most_bytes:
            raise _too_large(source, "the object", most_bytes, "set SplitType, or a")
        if content:
            yield content
        return
    cut = _lines if split == "Line" else _frames
    rest, ended = b"", False
    while not ended:
        # One byte more than a payload tells whether the last record ends with it.
        buffer = _filled(stream, rest, most_bytes + 1)
        ended = len(buffer) <= most_bytes
        if not buffer:
            return
        whole = buffer if ended else buffer[:most_bytes]
        stop, records = cut(whole, ended=ended, single=single, source=source)
        if not stop:
            raise _too_large(source, "a record", most_bytes, "set a")
        rest = buffer[stop:]
        yield from records


def _filled(stream: Any, begun: bytes, size: int) -> bytes:
    pieces, have = [begun], len(begun)
    while have < size and (piece := stream.read(size - have)):
        pieces.append(bytes(piece))
        have += len(piece)
    return b"".join(pieces)


def _lines(
    content: bytes, *, ended: bool, single: bool, source: str
) -> tuple[int, Iterator[bytes]]:
    del source
    stop = len(content) if ended else content.rfind(b"\n") + 1
    block = content[:stop]
    if not single:
        return stop, iter([block] if block.strip() else [])
    return stop, (line for line in block.replace(b"\r\n", b"\n").split(b"\n") if line.strip())


def _frames(
    content: bytes, *, ended: bool, single: bool, source: str
) -> tuple[int, Iterator[bytes]]:
    frames = find_frames(np.frombuffer(content, np.uint8), source=source, whole=ended)
    if frames.error is not None:
        raise frames.error
    if not single:
        return frames.stop, iter([content[: frames.stop]] if frames.stop else [])
    ends = frames.starts + frames.lengths
    spans = zip(frames.starts.tolist(), ends.tolist(), strict=True)
    return frames.stop, (content[start:end] for start, end in spans)


def _too_large(source: str, what: str, most_bytes: int, remedy: str) -> DataError:
    return DataError(
        f"{source}: {what} is larger than {most_bytes / MEGABYTE:g} MB, which MaxPayloadInMB allows\n"
        f"  {remedy} larger MaxPayloadInMB"
    )
