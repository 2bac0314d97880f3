"""A stream of RecordIO -> the frames of some records at a time, in memory that they bound."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from penstock import storage
from penstock.errors import InputError, MissingFileError
from penstock.recordio.framing import Frames, Parts, check_parts, find_frames, join_parts

__all__ = ["BinaryStream", "Source", "check_batches", "frame_batches", "source_name"]

CHUNK_BYTES = 1 << 20
"""What is asked of a stream at a time; also the largest pipe that Linux gives to all users."""


class BinaryStream(Protocol):
    """Anything with ``read(n)``, which gives at most n bytes, and none at the end."""

    def read(self, size: int, /) -> bytes:
        """Return the next bytes."""


Source = str | os.PathLike[str] | BinaryStream


def check_batches(batch_rows: int, parts: Parts) -> None:
    """Refuse what ``frame_batches`` cannot do, before anything is opened.

    Raises:
        InputError: ``batch_rows`` is not at least 1, or ``parts`` is unknown.
    """
    if batch_rows < 1:
        raise InputError(f"batch_rows is {batch_rows!r}, expected at least 1")
    check_parts(parts)


def frame_batches(source: Source, batch_rows: int, *, parts: Parts) -> Iterator[tuple[Any, Frames]]:
    """Yield bytes, and the frames of ``batch_rows`` records in them; the last may be fewer.

    The records of a batch depend on the bytes alone, not on how a stream hands them out. Opens
    the source when the first batch is asked for, a FIFO by waiting for its writer, and closes
    what it opened. Both are valid until the next batch is asked for.

    Args:
        source: Path, file:// or s3:// URI, FIFO, or an open binary stream, which is read from
            where it stands.
        batch_rows: Records of a batch.
        parts: What part flags mean.

    Yields:
        uint8 (bytes,) and whole records in it.

    Raises:
        InputError: The stream would block.
        MissingFileError: Nothing stands at the path or URI.
        CorruptRecordError: The stream is no RecordIO or ends inside a frame; gives the byte.
    """
    name = source_name(source)
    with _opened(source, name) as stream:
        yield from _batches(_Buffer(stream, name), name, batch_rows, parts)


def source_name(source: Any) -> str:
    """Return what errors call a source."""
    if isinstance(source, str | os.PathLike):
        return os.fspath(source)
    name = getattr(source, "name", None)
    return name if isinstance(name, str) else "stream"


def _opened(source: Any, name: str) -> AbstractContextManager[Any]:
    if not isinstance(source, str | os.PathLike):
        return nullcontext(source)
    uri = storage.normal(name)
    if not uri.startswith("file://"):
        return closing(storage.open_input(uri))
    try:
        stream = io.FileIO(uri.removeprefix("file://"))
    except FileNotFoundError:
        raise MissingFileError("read", name, "check the path, or run the stage before") from None
    _widen(stream.fileno())
    return stream


def _widen(descriptor: int) -> None:
    """Give a FIFO a buffer of one chunk, so that reader and writer take turns less often."""
    if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
        return
    try:
        import fcntl

        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, CHUNK_BYTES)
    except (ImportError, AttributeError, OSError):
        return  # not Linux, or the user's pipes have no room left: slower, not wrong


class _Buffer:
    """The bytes of a stream that no batch has taken yet.

    Attributes:
        base: Where ``data`` begins in the stream, bytes.
    """

    def __init__(self, stream: Any, name: str) -> None:
        self.base = 0
        self._name, self._stream = name, stream
        self._readinto = getattr(stream, "readinto", None)
        self._space = np.empty(2 * CHUNK_BYTES, np.uint8)
        self._begin = self._end = 0

    @property
    def data(self) -> Any:
        """The bytes, uint8 (n,); changed by ``fill``."""
        return self._space[self._begin : self._end]

    def drop(self, size_bytes: int) -> None:
        """Forget the first bytes."""
        self._begin += size_bytes
        self.base += size_bytes

    def fill(self) -> bool:
        """Append what one read of the stream gives; return whether it gave any."""
        if self._space.size - self._end < CHUNK_BYTES:
            self._make_room()
        into = self._space.data[self._end : self._end + CHUNK_BYTES]
        if self._readinto is not None:
            count = self._readinto(into)
        elif (chunk := self._stream.read(CHUNK_BYTES)) is None:
            count = None
        else:
            count = len(chunk)
            into[:count] = chunk
        if count is None:
            raise InputError(
                f"{self._name}: the stream does not block, expected one that waits for data"
            )
        self._end += count
        return bool(count)

    def _make_room(self) -> None:
        """Move the bytes to the start, into a larger array if they fill most of this one."""
        held = self._end - self._begin
        space = self._space
        if held + CHUNK_BYTES > space.size:
            self._space = np.empty(held + held // 2 + 2 * CHUNK_BYTES, np.uint8)
        self._space[:held] = space[self._begin : self._end]
        self._begin, self._end = 0, held


def _batches(
    buffer: _Buffer, name: str, batch_rows: int, parts: Parts
) -> Iterator[tuple[Any, Frames]]:
    """Yield bytes and the frames of one batch in them; valid until the next is asked for."""
    known: list[Frames] = []
    rows = scanned = 0
    more = True
    while more:
        more = buffer.fill()
        base = buffer.base + scanned
        found = find_frames(buffer.data[scanned:], source=name, base=base, whole=not more)
        known.append(_moved(found, scanned))
        scanned += found.stop
        rows += found.starts.size if not found.flags.any() else _ends(found).size
        while rows >= batch_rows or (rows and not more and found.error is None):
            frames = _together(known)
            taken = min(rows, batch_rows)
            if frames.flags.any():
                taken = int(_ends(frames)[taken - 1]) + 1
            batch, rest = frames.between(0, taken), frames.between(taken, frames.starts.size)
            stop = int(rest.offsets[0]) - buffer.base if rest.starts.size else scanned
            yield join_parts(buffer.data, batch, source=name, parts=parts)
            buffer.drop(stop)
            scanned -= stop
            known = [_moved(rest, -stop)]
            rows -= min(rows, batch_rows)
        if parts == "refuse":
            join_parts(buffer.data, found, source=name, parts=parts)
        elif not more:
            whole = found.error is None
            join_parts(buffer.data, _together(known), source=name, parts=parts, whole=whole)
        if found.error is not None:
            raise found.error


def _ends(frames: Frames) -> Any:
    """Return the frames with which a record ends: whole ones and last parts."""
    return np.flatnonzero((frames.flags == 0) | (frames.flags == 3))


def _moved(frames: Frames, by: int) -> Frames:
    return replace(frames, starts=frames.starts + by, stop=frames.stop + by)


def _together(known: list[Frames]) -> Frames:
    if len(known) == 1:
        return known[0]
    return replace(
        known[-1],
        starts=np.concatenate([frames.starts for frames in known]),
        lengths=np.concatenate([frames.lengths for frames in known]),
        flags=np.concatenate([frames.flags for frames in known]),
        offsets=np.concatenate([frames.offsets for frames in known]),
    )
