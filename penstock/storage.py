"""URIs and bytes: plain paths, file:// and s3://.

Every byte that Penstock itself reads or writes (not Spark) passes here: in order over ``files`` and
``s3``, Parquet over pyarrow's file systems. Endpoint, region and credentials of S3 come from the
environment, as for every AWS client, see ``aws``; so the same code meets S3 and a local plane.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from penstock import aws, files, s3, s3upload
from penstock.errors import InputError, MissingFileError

__all__ = [
    "File",
    "abort_upload",
    "create",
    "delete",
    "delete_prefix",
    "exists",
    "filesystem",
    "glob_files",
    "join",
    "normal",
    "open_input",
    "open_new",
    "open_output",
    "read_bytes",
    "uploads",
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
    """Return the pyarrow filesystem of ``uri`` and the path inside it, for Parquet. Calls no service.

    On S3 with the endpoint, region, certificates, times and tries of penstock.aws; credentials are
    found by pyarrow in the same places.
    """
    from pyarrow import fs

    uri = normal(uri)
    if uri.startswith("file://"):
        return fs.LocalFileSystem(), uri.removeprefix("file://")
    return _arrow_s3(aws.environment()), uri.removeprefix("s3://")


@lru_cache(maxsize=8)
def _arrow_s3(environment: aws.Environment) -> Any:
    """Return pyarrow's S3 for the settings of the moment; made once for each."""
    from pyarrow import fs

    del environment  # only what the cache goes by
    settings = aws.s3_settings()
    options: dict[str, Any] = {}
    if settings.endpoint:
        parts = urlsplit(settings.endpoint)
        options = {"endpoint_override": parts.netloc + parts.path, "scheme": parts.scheme}
    return fs.S3FileSystem(
        region=settings.region,
        connect_timeout=aws.CONNECT_TIMEOUT_S,
        request_timeout=aws.READ_TIMEOUT_S,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=aws.max_attempts()),
        tls_ca_file_path=os.environ.get("AWS_CA_BUNDLE"),
        **options,
    )


def _on_s3(uri: str) -> bool:
    return normal(uri).startswith("s3://")


def _path(uri: str) -> Path:
    return Path(normal(uri).removeprefix("file://"))


def exists(uri: str) -> bool:
    """Return whether a file stands at ``uri``. One HEAD on S3."""
    if _on_s3(uri):
        return s3.head(normal(uri)) is not None
    with files.reached(uri):
        return _path(uri).is_file()


def glob_files(uri: str, *, hidden: bool = False) -> list[File]:
    """Return all files at or below ``uri``, sorted by URI in UTF-8 byte order.

    Names that start with ``_`` or ``.`` at any level below ``uri`` are left out, as Spark and
    Athena do, unless ``hidden``. A missing place gives an empty list, a missing bucket an error. On S3 one call per
    1,000 files.
    """
    base = normal(uri).rstrip("/")
    found = _objects(normal(uri)) if _on_s3(uri) else _files(uri)
    return sorted(
        (file for file in found if hidden or not _hidden(file.uri, base)),
        key=lambda file: file.uri.encode(),
    )


def _objects(uri: str) -> Iterator[File]:
    """Yield the object of that name, or else all below it."""
    alone = None if uri.endswith("/") else s3.head(uri)
    if alone is not None:
        yield File(uri=uri, size_bytes=alone["ContentLength"], mtime_ns=s3.changed_ns(alone))
        return
    for name, size_bytes, mtime_ns in s3.listing(uri.rstrip("/") + "/"):
        yield File(uri=name, size_bytes=size_bytes, mtime_ns=mtime_ns)


def _files(uri: str) -> Iterator[File]:
    from pyarrow import fs

    system, path = filesystem(uri)
    base = path.rstrip("/")
    with files.reached(uri):
        info = system.get_file_info(base)
        below = fs.FileSelector(base, recursive=True, allow_not_found=True)
        found = [info] if info.type == fs.FileType.File else system.get_file_info(below)
    for item in found:
        if item.type == fs.FileType.File:
            place = f"file://{item.path}"
            yield File(uri=place, size_bytes=item.size, mtime_ns=item.mtime_ns or 0)


def _hidden(path: str, base: str) -> bool:
    return any(part[:1] in "_." for part in path.removeprefix(base).split("/") if part)


def open_input(uri: str) -> Any:
    """Open ``uri`` for sequential reading: a binary stream with ``read(n)`` and ``close``.

    On S3 one GET; a connection that breaks is taken up where it broke, 5 times without progress at
    most, and of the same version of the object only.

    Raises:
        MissingFileError: Nothing stands there.
        ServiceError: It cannot be read, or was replaced while it was read.
    """
    if _on_s3(uri):
        return s3.open_input(normal(uri))
    try:
        with files.reached(uri):
            return _path(uri).open("rb")
    except FileNotFoundError:
        raise MissingFileError("read", uri, "check the path, or run the stage before") from None


def read_bytes(uri: str) -> bytes:
    """Return the whole content of ``uri``.

    Raises:
        MissingFileError: Nothing stands there.
    """
    with open_input(uri) as stream, files.reached(uri):
        return bytes(stream.read())


@contextmanager
def open_output(uri: str) -> Iterator[Any]:
    """Open ``uri`` for writing a new or replaced file, which appears whole when the block ends.

    When the block raises there is what was there before. Memory on S3: 24 MiB. Folders are made. A
    FIFO or device is written to as it stands.
    """
    on_s3 = _on_s3(uri)
    output = s3upload.Upload(normal(uri)) if on_s3 else files.replacing(uri, _path(uri))
    with _finished(output):
        yield output


@contextmanager
def open_new(uri: str) -> Iterator[Any | None]:
    """Open ``uri`` for writing if nothing stands there; give None when something does.

    The name is taken at once, by an empty file or a small object, and belongs to this block alone:
    whoever deletes it meanwhile makes the block fail, and it does not come back. When the block
    raises, the name is free again; when the process is killed, what it had stays (on S3 the small
    object and an unfinished upload).

    Raises:
        ServiceError: It cannot be written, or was deleted while it was written.
    """
    on_s3 = _on_s3(uri)
    output = s3upload.claimed(normal(uri)) if on_s3 else files.claimed(uri, _path(uri))
    if output is None:
        yield None
        return
    with _finished(output):
        yield output


@contextmanager
def _finished(output: s3upload.Upload | files.FileOutput) -> Iterator[None]:
    try:
        yield
        output.finish()
    except BaseException:
        output.abort()
        raise


def write_bytes(uri: str, content: bytes) -> None:
    """Put ``content`` at ``uri`` in one step: readers see the old file or the new, never a part."""
    if _on_s3(uri):
        s3.put(normal(uri), content)
        return
    with files.reached(uri), files.beside(_path(uri), content) as partial:
        partial.replace(_path(uri))


def create(uri: str, content: bytes) -> bool:
    """Put ``content`` at ``uri`` if nothing stands there; return whether it was this call.

    Of several creators one wins, whole: link(2) on a local disk, a PUT with If-None-Match on S3.
    """
    if _on_s3(uri):
        return s3.create(normal(uri), content) is not None
    with files.reached(uri), files.beside(_path(uri), content) as partial:
        try:
            os.link(partial, _path(uri))
        except FileExistsError:
            return False
    return True


def delete(uri: str) -> None:
    """Delete the file at ``uri``; a missing one is fine."""
    if _on_s3(uri):
        s3.delete(normal(uri))
        return
    with files.reached(uri):
        _path(uri).unlink(missing_ok=True)


def delete_prefix(uri: str) -> None:
    """Delete everything below the folder ``uri``, unfinished uploads too; a missing one is fine.

    Raises:
        InputError: ``uri`` has fewer than two path parts: too near the root to be meant.
    """
    path = posixpath.normpath(normal(uri).partition("://")[2])
    if len([part for part in path.split("/") if part]) < 2:
        raise InputError(f"refusing to delete {uri!r}: it is a root, expected a folder below one")
    if _on_s3(uri):
        s3.delete_below(f"s3://{path}/")
        return
    system, _ = filesystem(uri)
    with files.reached(uri):
        system.delete_dir_contents(path, missing_dir_ok=True)


def uploads(uri: str) -> list[tuple[str, str]]:
    """Return URI and id of the unfinished uploads below ``uri``; none on a local disk."""
    return sorted(s3.uploads(normal(uri).rstrip("/") + "/")) if _on_s3(uri) else []


def abort_upload(uri: str, upload_id: str) -> None:
    """Abort one of :func:`uploads` and free its parts; one that is gone is fine."""
    s3.abort_upload(normal(uri), upload_id)
