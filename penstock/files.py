"""Files of a local disk: new, replaced whole, or claimed. storage.py gives them one face with S3."""

from __future__ import annotations

import io
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from penstock.errors import ServiceError

__all__ = ["FileOutput", "beside", "claimed", "reached", "replacing"]


@contextmanager
def reached(uri: str) -> Iterator[None]:
    """Word what a disk refuses; a missing file stays a FileNotFoundError for the caller.

    Raises:
        ServiceError: No permission, no space, a file where a folder should be.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ServiceError(
            f"{uri!r}: {error}\n  check the path, permissions and free space"
        ) from error


@contextmanager
def beside(path: Path, content: bytes) -> Iterator[Path]:
    """Give a hidden file beside ``path`` that holds ``content``, on disk; it is gone afterwards."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _hidden(path)
    try:
        with partial.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        yield partial
    finally:
        partial.unlink(missing_ok=True)


def _hidden(path: Path) -> Path:
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}")


class FileOutput(io.BufferedIOBase):
    """A file that is written under one name and, when finished, stands under another or the same.

    Attributes:
        uri: What the caller called it, for messages.
    """

    def __init__(self, uri: str, stream: BinaryIO, written: Path, target: Path) -> None:
        self.uri, self._stream = uri, stream
        self._written, self._target = written, target
        self._state: os.stat_result | None = None

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, data: Any) -> int:
        """Write all of ``data``.

        Raises:
            ServiceError: The disk refuses, for instance because it is full.
        """
        with reached(self.uri):
            return self._stream.write(data)

    def finish(self) -> None:
        """Close the file, and let it appear under its name.

        Raises:
            ServiceError: The disk refuses, or the file was deleted while it was written.
        """
        with reached(self.uri):
            self._stream.flush()
            there = self._is_there()
            self._state = os.fstat(self._stream.fileno())
            self._stream.close()
            if not there:
                raise ServiceError(
                    f"{self.uri!r}: it was deleted while it was written\n"
                    "  let one run at a time write there, then run it again"
                )
            if self._written != self._target:
                self._written.replace(self._target)

    def abort(self) -> None:
        """Close the file and delete it; a FIFO or device stays, and so does what took the name since.

        After ``finish`` of a claimed name: withdraw what it made.
        """
        there = self._is_there() and self._written.is_file()
        with suppress(OSError):
            self._stream.close()
        if there:
            with suppress(OSError):
                self._written.unlink()

    def _is_there(self) -> bool:
        """Return whether the name still leads to the file that was opened, not to a successor."""
        mine = self._state or os.fstat(self._stream.fileno())
        try:
            found = self._written.stat()
        except OSError:
            return False
        # The number of a deleted file is soon another's; its time of change is not.
        return (found.st_ino, found.st_mtime_ns) == (mine.st_ino, mine.st_mtime_ns)


def claimed(uri: str, path: Path) -> FileOutput | None:
    """Create a file and open it, in one step; None when something stands there.

    What is written goes to this file and no other: a writer whose file was deleted writes to nowhere,
    and does not bring the name back.
    """
    with reached(uri):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            stream = path.open("xb")
        except FileExistsError:
            return None
    return FileOutput(uri, stream, path, path)


def replacing(uri: str, path: Path) -> FileOutput:
    """Open a hidden file that takes the place of ``path`` in the end; a FIFO or device, as it is."""
    with reached(uri):
        path.parent.mkdir(parents=True, exist_ok=True)
        target = path.resolve()
        if target.exists() and not target.is_file():
            return FileOutput(uri, target.open("wb"), target, target)
        written = _hidden(target)
        return FileOutput(uri, written.open("xb"), written, target)
