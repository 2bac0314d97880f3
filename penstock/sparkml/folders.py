"""A saved stage: Spark ML's ``metadata/`` and, of a model, the plan's own folder ``plan/`` beside it.

Files and S3 are reached as everything else of Penstock is, over ``penstock.storage``; any other file
system, such as HDFS, over Spark's own.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penstock import storage
from penstock.errors import InputError, MissingFileError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["read_folder", "refuse_taken", "require", "written_folder"]

OURS = ("file", "s3", "s3a", "s3n")


def refuse_taken(session: SparkSession, path: str) -> None:
    """Raise if something stands at ``path``.

    Raises:
        InputError: It does.
    """
    where, system = _hadoop(session, path)
    if system.exists(where):
        raise InputError(
            f"save: something stands at {path!r}, expected nothing\n"
            "  save to another path, or replace it: stage.write().overwrite().save(path)"
        )


def require(session: SparkSession, path: str, what: str) -> None:
    """Raise unless a stage was saved at ``path``.

    Raises:
        MissingFileError: There is none.
    """
    where, system = _hadoop(session, storage.join(path, "metadata"))
    if not system.exists(where):
        raise MissingFileError(what, path, f"name the folder that {what}.save wrote")


@contextmanager
def written_folder(session: SparkSession, path: str) -> Iterator[str]:
    """Give a URI to write into; when the block ends, what was written stands below ``path``."""
    if (uri := _ours(session, path)) is not None:
        yield uri
        return
    with tempfile.TemporaryDirectory() as folder:
        yield folder
        where, system = _hadoop(session, path)
        system.mkdirs(where)
        for file in sorted(Path(folder).iterdir()):
            system.copyFromLocalFile(_path(session, file.as_uri()), where)


@contextmanager
def read_folder(session: SparkSession, path: str) -> Iterator[str]:
    """Give a URI at which the files below ``path`` can be read while the block lasts."""
    if (uri := _ours(session, path)) is not None:
        yield uri
        return
    with tempfile.TemporaryDirectory() as folder:
        where, system = _hadoop(session, path)
        for status in system.listStatus(where) if system.exists(where) else ():
            target = _path(session, Path(folder).as_uri())
            system.copyToLocalFile(False, status.getPath(), target, True)
        yield folder


def _ours(session: SparkSession, path: str) -> str | None:
    """Return ``path`` as penstock.storage takes it; None if it is on another file system.

    A path without a scheme is on Spark's default file system, which need not be the local one.
    """
    where, system = _hadoop(session, path)
    uri = system.makeQualified(where).toUri()
    scheme = uri.getScheme()
    if scheme not in OURS:
        return None
    return str(uri.getPath() if scheme == "file" else f"s3://{uri.getAuthority()}{uri.getPath()}")


def _hadoop(session: SparkSession, path: str) -> tuple[Any, Any]:
    """Return a Hadoop path and its file system."""
    where = _path(session, path)
    return where, where.getFileSystem(session._jsparkSession.sessionState().newHadoopConf())


def _path(session: SparkSession, path: str) -> Any:
    jvm: Any = session._jvm
    return jvm.org.apache.hadoop.fs.Path(path)
