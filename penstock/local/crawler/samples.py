"""The beginning of a file, decompressed: what classifiers see of text. Never more than they ask for."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from penstock.errors import DataError

__all__ = ["MIB", "Ahead", "Opener", "Sample", "take"]

MIB = 1 << 20

# A seekable binary stream of a URI; FileNotFoundError when nothing stands there.
Opener = Callable[[str], Any]

MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"PK\x03\x04", "zip"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"\xff\x06\x00\x00sNaPpY", "snappy"),
)
# RuntimeError: a zip with a password, or packed in a way that zipfile does not know.
UNREADABLE = (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)
ARROW_NAMES = {"gzip": "gzip", "bzip2": "bz2", "lz4": "lz4"}
MAGIC_BYTES = 16
SNAPPY_DATA, SNAPPY_PLAIN, SNAPPY_HEADER = 0x00, 0x01, 0xFF


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """The beginning of a file.

    Attributes:
        data: Decompressed.
        whole: Whether it is all of the file.
        compression: ``none``, ``gzip``, ``bzip2``, ``zip``, ``lz4`` or ``snappy``.
        expansion: Decompressed bytes per byte of the file, as far as it was read.
    """

    data: bytes
    whole: bool
    compression: str
    expansion: float


class Ahead(io.RawIOBase):
    """A file whose beginning has been read: on S3 each read is a call, and a format makes several.

    Attributes:
        head: The beginning.
    """

    def __init__(self, stream: Any, head_bytes: int, size_bytes: int) -> None:
        """Read the first ``head_bytes`` of a file of ``size_bytes``."""
        self.head = bytes(stream.read(head_bytes))
        self._stream, self._size_bytes, self._at = stream, size_bytes, 0

    def readable(self) -> bool:
        """Return that it is."""
        return True

    def seekable(self) -> bool:
        """Return that it is."""
        return True

    def tell(self) -> int:
        """Return where the next read begins."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place; return it."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size_bytes}[whence]
        if base + offset < 0:
            raise ValueError(f"place {base + offset} is before the file's beginning")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer from the beginning that is there, else from the file."""
        view = memoryview(buffer).cast("B")
        data = self.head[self._at : self._at + len(view)]
        if len(data) < len(view) and self._at + len(data) < self._size_bytes:
            self._stream.seek(self._at + len(data))
            data += bytes(self._stream.read(len(view) - len(data)))
        view[: len(data)] = data
        self._at += len(data)
        return len(data)


def take(stream: Any, size_bytes: int, limit_bytes: int) -> Sample:
    """Return the first ``limit_bytes`` of what a file holds, decompressed by its first bytes.

    Args:
        stream: Seekable, at any place.
        size_bytes: Of the file.
        limit_bytes: Of the decompressed content.

    Raises:
        DataError: It begins like a compressed file and is none, or is a zip of several files.
    """
    stream.seek(0)
    head = bytes(stream.read(MAGIC_BYTES))
    compression = next((name for magic, name in MAGIC if head.startswith(magic)), "none")
    stream.seek(0)
    if compression == "none":
        data = bytes(stream.read(limit_bytes))
        return Sample(data=data, whole=len(data) >= size_bytes, compression="none", expansion=1.0)
    try:
        data, read_bytes = _decompressed(stream, compression, limit_bytes + 1)
    except UNREADABLE as error:
        raise DataError(
            f"it begins like {compression}, and cannot be read as such: {error}"
        ) from None
    return Sample(
        data=data[:limit_bytes],
        whole=len(data) <= limit_bytes,
        compression=compression,
        expansion=len(data) / max(1, min(read_bytes, size_bytes)),
    )


def _decompressed(stream: Any, compression: str, limit_bytes: int) -> tuple[bytes, int]:
    """Return the beginning of the content, and how many bytes of the file that took, about."""
    if compression == "zip":
        return _unzipped(stream, limit_bytes)
    if compression == "snappy":
        return _unsnapped(stream, limit_bytes)
    import pyarrow as pa

    raw = stream if isinstance(stream, pa.NativeFile) else pa.PythonFile(stream, mode="r")
    with pa.CompressedInputStream(raw, ARROW_NAMES[compression]) as unpacked:
        data = bytes(unpacked.read(limit_bytes))
        return data, int(raw.tell())


def _unzipped(stream: Any, limit_bytes: int) -> tuple[bytes, int]:
    with zipfile.ZipFile(stream) as archive:
        members = [each for each in archive.infolist() if not each.is_dir()]
        if len(members) != 1:
            raise ValueError(f"it holds {len(members)} files, expected one")
        with archive.open(members[0]) as member:
            data = member.read(limit_bytes)
        share = len(data) / max(1, members[0].file_size)
        return data, round(members[0].compress_size * share)


def _unsnapped(stream: Any, limit_bytes: int) -> tuple[bytes, int]:
    """Read the chunks of Snappy's framing: type, three bytes of length, checksum, content."""
    import pyarrow as pa

    made = io.BytesIO()
    while made.tell() < limit_bytes:
        head = bytes(stream.read(4))
        if len(head) < 4:
            break
        kind, length = head[0], int.from_bytes(head[1:], "little")
        chunk = bytes(stream.read(length))
        if len(chunk) < length:
            raise ValueError(f"a chunk has {len(chunk)} bytes, its head says {length}")
        if kind == SNAPPY_DATA:
            packed = chunk[4:]
            made.write(pa.decompress(packed, _varint(packed), codec="snappy", asbytes=True))
        elif kind == SNAPPY_PLAIN:
            made.write(chunk[4:])
        elif kind < 0x80 and kind != SNAPPY_HEADER:
            raise ValueError(f"a chunk is of kind {kind:#04x}, expected data")
    return made.getvalue()[:limit_bytes], int(stream.tell())


def _varint(data: bytes) -> int:
    value = 0
    for place, byte in enumerate(data[:5]):
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value
    raise ValueError("its first chunk has no length")
