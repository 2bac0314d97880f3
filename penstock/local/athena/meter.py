"""What a query reads from S3: counted, bounded by the workgroup's limit, and ended when it is cancelled."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from pyarrow import PythonFile
from pyarrow.fs import FileInfo, FileSelector, FileSystem, FileSystemHandler, PyFileSystem

from penstock import storage
from penstock.local.athena.errors import QueryError

__all__ = ["Meter", "metered", "streamed"]


class Meter:
    """Bytes, requests and files of one query; shared by the threads that read for it."""

    def __init__(self, limit_bytes: int | None = None) -> None:
        """Count from zero; at ``limit_bytes`` reading fails."""
        self.bytes, self.files = 0, 0
        self.failure: QueryError | None = None
        self._limit_bytes = limit_bytes
        self._ended = threading.Event()
        self._lock = threading.Lock()

    def end(self) -> None:
        """Let all reading fail from now on."""
        self._ended.set()

    @property
    def ended(self) -> bool:
        """Whether reading fails."""
        return self._ended.is_set()

    def opened(self) -> None:
        """Count a file."""
        with self._lock:
            self.files += 1

    def check(self) -> None:
        """Raise when the query has ended.

        Raises:
            OSError: It has; Arrow carries this error through its threads.
        """
        if self.ended:
            raise OSError("the query has ended")

    def count(self, size_bytes: int) -> None:
        """Count bytes read.

        Raises:
            OSError: The query has ended, or read more than it may.
        """
        with self._lock:
            self.bytes += size_bytes
            if self._limit_bytes is not None and self.bytes > self._limit_bytes:
                self.failure = QueryError(
                    "Query cancelled! : Bytes scanned limit was exceeded", kind=1400
                )
                self._ended.set()
        self.check()


class _Counted:
    """A file that counts what is read of it, as Arrow's PythonFile wants one."""

    def __init__(self, inner: Any, meter: Meter) -> None:
        self._inner, self._meter = inner, meter
        meter.opened()

    def read(self, size: int | None = None) -> bytes:
        self._meter.check()
        found = bytes(self._inner.read(size))
        self._meter.count(len(found))
        return found

    def seek(self, offset: int, whence: int = 0) -> int:
        return int(self._inner.seek(offset, whence))

    def tell(self) -> int:
        return int(self._inner.tell())

    def size(self) -> int:
        return int(self._inner.size())

    def close(self) -> None:
        self._inner.close()

    def flush(self) -> None:
        """Nothing is written."""

    @property
    def closed(self) -> bool:
        return bool(self._inner.closed)

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return bool(self._inner.seekable())


class _Handler(FileSystemHandler):  # type: ignore[misc]
    """Reads through another file system; writes nothing."""

    def __init__(self, inner: FileSystem, meter: Meter) -> None:
        self._inner, self._meter = inner, meter

    def get_type_name(self) -> str:
        return "metered"

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = FileSystemHandler.__hash__

    def normalize_path(self, path: str) -> str:
        return str(self._inner.normalize_path(path))

    def get_file_info(self, paths: list[str]) -> list[FileInfo]:
        found: list[FileInfo] = self._inner.get_file_info(paths)
        return found

    def get_file_info_selector(self, selector: FileSelector) -> list[FileInfo]:
        found: list[FileInfo] = self._inner.get_file_info(selector)
        return found

    def open_input_stream(self, path: str) -> PythonFile:
        plain = self._inner.open_input_stream(path, compression=None)
        return PythonFile(_Counted(plain, self._meter), mode="r")

    def open_input_file(self, path: str) -> PythonFile:
        return PythonFile(_Counted(self._inner.open_input_file(path), self._meter), mode="r")

    def _refuse(self, *given: Any, **named: Any) -> Any:
        raise NotImplementedError("a metered file system is for reading")

    create_dir: Callable[..., Any] = _refuse
    delete_dir: Callable[..., Any] = _refuse
    delete_dir_contents: Callable[..., Any] = _refuse
    delete_root_dir_contents: Callable[..., Any] = _refuse
    delete_file: Callable[..., Any] = _refuse
    move: Callable[..., Any] = _refuse
    copy_file: Callable[..., Any] = _refuse
    open_output_stream: Callable[..., Any] = _refuse
    open_append_stream: Callable[..., Any] = _refuse


def metered(inner: FileSystem, meter: Meter) -> PyFileSystem:
    """Return a file system that reads through ``inner`` and counts in ``meter``."""
    return PyFileSystem(_Handler(inner, meter))


def streamed(uri: str, meter: Meter) -> PythonFile:
    """Open an object for reading in order, with one request: Arrow's own stream asks for every block."""
    return PythonFile(_Counted(storage.open_input(uri), meter), mode="r")
