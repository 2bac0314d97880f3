"""URIs and bytes over pyarrow.fs: plain paths, file:// and s3://.

Every byte that Penstock itself reads or writes (not Spark) passes here. Endpoint, region and
credentials of S3 come from the environment, as for every AWS client: AWS_ENDPOINT_URL_S3 or
AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID, ...; so the same code meets S3 and a local plane.
"""

from __future__ import annotations

import os
import posixpath
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from penstock.errors import InputError, MissingFileError, ServiceError

__all__ = [
    "File",
    "create",
    "delete",
    "delete_prefix",
    "exists",
    "filesystem",
    "glob_files",
    "join",
    "normal",
    "open_input",
    "open_output",
    "read_bytes",
    "write_bytes",
]

SCHEMES = ("file", "s3")


@dataclass(frozen=True, kw_only=True, slots=True)
class File:
    """One file of a listing.

    Attributes:
        uri: Absolute URI, ``file:///...`` or ``s3://bucket/key``.
        size_bytes: Its length.
        mtime_ns: When it was last written, nanoseconds since the epoch.
    """

    uri: str
    size_bytes: int
    mtime_ns: int


def normal(uri: str) -> str:
    """Return ``uri`` as an absolute URI: a bare path becomes ``file:///...``.

    Raises:
        InputError: The scheme is neither ``file`` nor ``s3``.
    """
    scheme = urlsplit(uri).scheme if "://" in uri else ""
    if not scheme:
        slash = "/" if uri.endswith("/") else ""
        return "file://" + Path(uri).absolute().as_posix().rstrip("/") + slash
    if scheme == "s3a":
        return "s3://" + uri.split("://", 1)[1]
    if scheme not in SCHEMES:
        raise InputError(
            f"{uri!r}: scheme is {scheme!r}, expected a path, 'file://' or 's3://'\n"
            f"  copy the data to one of these first"
        )
    return uri


def join(base: str, *parts: str) -> str:
    """Return ``base`` and ``parts`` joined with single slashes; an absolute part starts anew.

    >>> join("s3://lake/x/", "a", "b.json")
    's3://lake/x/a/b.json'
    """
    for part in parts:
        absolute = "://" in part or part.startswith("/")
        base = part if absolute else base.rstrip("/") + "/" + part.removeprefix("./")
    return base


def filesystem(uri: str) -> tuple[Any, str]:
    """Return the pyarrow filesystem of ``uri`` and the path inside it. Calls no service."""
    from pyarrow import fs

    uri = normal(uri)
    if uri.startswith("file://"):
        return fs.LocalFileSystem(), uri.removeprefix("file://")
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    options: dict[str, Any] = {"region": os.environ.get("AWS_REGION", "us-east-1")}
    if endpoint:
        parts = urlsplit(endpoint)
        options |= {"endpoint_override": parts.netloc, "scheme": parts.scheme}
    return fs.S3FileSystem(**options), uri.removeprefix("s3://")


@contextmanager
def _reached(uri: str) -> Iterator[None]:
    """Word what a disk or S3 refuses; a missing file stays a FileNotFoundError for the caller.

    Raises:
        ServiceError: No permission, no space, no connection, no bucket.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ServiceError(
            f"{uri!r}: {error}\n  check the path, permissions, free space and, for s3://, the endpoint "
            "and credentials in the environment"
        ) from error


def exists(uri: str) -> bool:
    """Return whether a file stands at ``uri``. One HEAD on S3."""
    from pyarrow import fs

    system, path = filesystem(uri)
    with _reached(uri):
        return bool(system.get_file_info(path.rstrip("/")).type == fs.FileType.File)


def glob_files(uri: str) -> list[File]:
    """Return all files at or below ``uri``, sorted by URI in UTF-8 byte order.

    Names that start with ``_`` or ``.`` at any level below ``uri`` are left out, as Spark and
    Athena do. A missing place gives an empty list. Paginated on S3.
    """
    from pyarrow import fs

    system, path = filesystem(uri)
    base = path.rstrip("/")
    prefix = "s3://" if normal(uri).startswith("s3://") else "file://"
    with _reached(uri):
        info = system.get_file_info(base)
        below = fs.FileSelector(base, recursive=True, allow_not_found=True)
        found = [info] if info.type == fs.FileType.File else system.get_file_info(below)
    files = [
        File(uri=prefix + item.path, size_bytes=item.size, mtime_ns=item.mtime_ns or 0)
        for item in found
        if item.type == fs.FileType.File and not _hidden(item.path, base)
    ]
    return sorted(files, key=lambda file: file.uri.encode())


def _hidden(path: str, base: str) -> bool:
    return any(part[:1] in "_." for part in path.removeprefix(base).split("/") if part)


def open_input(uri: str) -> Any:
    """Open ``uri`` for sequential reading: a pyarrow stream with ``read(n)`` and ``close``.

    Raises:
        MissingFileError: Nothing stands there.
    """
    system, path = filesystem(uri)
    try:
        with _reached(uri):
            return system.open_input_stream(path, compression=None)
    except FileNotFoundError:
        raise MissingFileError("read", uri, "check the path, or run the stage before") from None


def read_bytes(uri: str) -> bytes:
    """Return the whole content of ``uri``.

    Raises:
        MissingFileError: Nothing stands there.
    """
    with open_input(uri) as stream:
        return bytes(stream.read())


@contextmanager
def open_output(uri: str) -> Iterator[Any]:
    """Open ``uri`` for writing a new or replaced file; parents are made.

    On a local disk the file grows in place; on S3 the object appears at the end of the block, and a
    block that raises leaves the part written until then, as pyarrow cannot abort an upload. So write
    under a name that nobody reads until a manifest lists it.
    """
    system, path = filesystem(uri)
    with _reached(uri):
        if normal(uri).startswith("file://"):
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        with system.open_output_stream(path, compression=None) as stream:
            yield stream


def write_bytes(uri: str, content: bytes) -> None:
    """Put ``content`` at ``uri`` in one step: readers see the old file or the new, never a part."""
    if not normal(uri).startswith("file://"):
        with open_output(uri) as stream:
            stream.write(content)
        return
    path = Path(filesystem(uri)[1])
    with _reached(uri), _beside(path, content) as partial:
        partial.replace(path)


def create(uri: str, content: bytes) -> bool:
    """Put ``content`` at ``uri`` if nothing stands there; return whether it was this call.

    Local: link(2), which is atomic. S3: a HEAD, then a PUT; two creators in the same instant
    both succeed there, so callers write content that is equal for equal inputs.
    """
    if not normal(uri).startswith("file://"):
        if exists(uri):
            return False
        write_bytes(uri, content)
        return True
    path = Path(filesystem(uri)[1])
    with _reached(uri), _beside(path, content) as partial:
        try:
            os.link(partial, path)
        except FileExistsError:
            return False
    return True


@contextmanager
def _beside(path: Path, content: bytes) -> Iterator[Path]:
    """Give a hidden file beside ``path`` that holds ``content``, on disk; it is gone afterwards."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with partial.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        yield partial
    finally:
        partial.unlink(missing_ok=True)


def delete(uri: str) -> None:
    """Delete the file at ``uri``; a missing one is fine."""
    system, path = filesystem(uri)
    with suppress(FileNotFoundError), _reached(uri):
        system.delete_file(path)


def delete_prefix(uri: str) -> None:
    """Delete everything below the folder ``uri``; a missing one is fine.

    Raises:
        InputError: ``uri`` has fewer than two path parts: too near the root to be meant.
    """
    system, path = filesystem(uri)
    path = posixpath.normpath(path)
    if len([part for part in path.split("/") if part]) < 2:
        raise InputError(f"refusing to delete {uri!r}: it is a root, expected a folder below one")
    with _reached(uri):
        system.delete_dir_contents(path, missing_dir_ok=True)
