"""What a SOURCE argument means: a file, a URI, a folder, a manifest, or a pipe."""

from __future__ import annotations

import io
import json
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penstock import storage
from penstock.errors import DataError, InputError, MissingFileError
from penstock.toolbox.progress import Advance

__all__ = ["CHUNK_BYTES", "Input", "Source", "opened", "resolve"]

CHUNK_BYTES = 1 << 20
_NO_SHARDS = (".manifest", ".json", ".idx", ".lst", ".crc")
"""Files that stand beside shards and are none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Input:
    """One stream to read.

    Attributes:
        uri: Where it is; ``-`` for standard input.
        name: What to call it: as short as the caller named it.
        size_bytes: Its length; None for a pipe.
    """

    uri: str
    name: str
    size_bytes: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """Everything that one argument stands for.

    Attributes:
        text: The argument.
        inputs: At least one, in the order in which they are read.
        names: Column names, when a dataset.json gives them.
    """

    text: str
    inputs: tuple[Input, ...]
    names: tuple[str, ...] | None = None

    @property
    def size_bytes(self) -> int | None:
        """Bytes of all inputs; None when one is a pipe."""
        sizes = [each.size_bytes for each in self.inputs]
        return None if None in sizes else sum(size for size in sizes if size is not None)


def resolve(text: str) -> Source:
    """Return the inputs that an argument stands for. Lists a folder; reads a manifest; opens nothing else.

    Args:
        text: A path, a file:// or s3:// URI, a folder or prefix (all files below it in name order,
            without hidden ones, manifests and JSON), a ``.manifest`` (the files that it lists), a
            FIFO, or ``-`` for standard input.

    Raises:
        MissingFileError: Nothing stands there.
        InputError: The folder has no files, or the scheme is unknown.
        DataError: The manifest is damaged.
    """
    if text == "-":
        return Source(text=text, inputs=(Input(uri="-", name="stdin", size_bytes=None),))
    uri = storage.normal(text)
    if uri.endswith(".manifest"):
        return _manifest(text, uri)
    if uri.startswith("file://") and _is_pipe(Path(uri.removeprefix("file://"))):
        return Source(text=text, inputs=(Input(uri=uri, name=text, size_bytes=None),))
    files = storage.glob_files(uri)
    if not files:
        if uri.startswith("file://") and Path(uri.removeprefix("file://")).is_dir():
            raise InputError(f"{text!r} is a folder without files, expected at least one shard")
        raise MissingFileError("read", text, "check the path; '-' reads standard input")
    if [file.uri for file in files] == [uri.rstrip("/")]:
        only = Input(uri=files[0].uri, name=text, size_bytes=files[0].size_bytes)
        return Source(text=text, inputs=(only,))
    return _folder(text, uri, files)


def _folder(text: str, uri: str, files: list[storage.File]) -> Source:
    """Return the shards among the files below a folder."""
    shards = [file for file in files if not file.uri.endswith(_NO_SHARDS)]
    if not shards:
        raise InputError(f"{text!r} has no shards, only {len(files)} manifests or JSON files")
    base = uri.rstrip("/") + "/"
    inputs = tuple(
        Input(
            uri=file.uri,
            name=storage.join(text, file.uri.removeprefix(base)),
            size_bytes=file.size_bytes,
        )
        for file in shards
    )
    return Source(text=text, inputs=inputs, names=_described_names(uri.rstrip("/")))


def _is_pipe(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode)


def _manifest(text: str, uri: str) -> Source:
    """Return the shards that a ManifestFile lists."""
    prefix = uri.removesuffix(".manifest")
    if storage.exists(f"{prefix}.dataset.json"):
        from penstock import dataset

        found = dataset.open_dataset(prefix)
        sizes = [shard.size_bytes for shard in found.shards]
        uris = list(found.shard_uris())
        names: tuple[str, ...] | None = found.names
    else:
        uris, names = _listed(text, uri), None
        known = {file.uri: file.size_bytes for folder in {u.rpartition("/")[0] for u in uris}
                 for file in storage.glob_files(folder)}  # fmt: skip
        if missing := [each for each in uris if each not in known]:
            raise MissingFileError(f"{text} lists", missing[0], "the manifest and its files differ")
        sizes = [known[each] for each in uris]
    if not uris:
        raise InputError(f"{text!r} lists no files, expected at least one")
    folder = text.removesuffix(".manifest")
    inputs = tuple(
        Input(
            uri=each,
            name=storage.join(folder, each.removeprefix(prefix + "/")),
            size_bytes=size,
        )
        for each, size in zip(uris, sizes, strict=True)
    )
    return Source(text=text, inputs=inputs, names=names)


def _listed(text: str, uri: str) -> list[str]:
    try:
        entries = json.loads(storage.read_bytes(uri))
    except ValueError as problem:
        raise DataError(f"{text} is no JSON: {problem}") from problem
    match entries:
        case [{"prefix": str(prefix)}, *names] if all(isinstance(name, str) for name in names):
            base = storage.join(uri.rpartition("/")[0], prefix)
            return [base + name for name in names]
    raise DataError(f"{text} is no ManifestFile, expected a list of {{'prefix': ...}} and names")


def _described_names(prefix: str) -> tuple[str, ...] | None:
    """Return the column names of the dataset at a prefix; None when it is none."""
    if not (storage.exists(f"{prefix}.manifest") and storage.exists(f"{prefix}.dataset.json")):
        return None
    from penstock import dataset

    return dataset.open_dataset(prefix).names


class Stream:
    """A stream that tells how much was read of it."""

    def __init__(self, raw: Any, name: str, advance: Advance) -> None:
        """Read ``raw``, call it ``name`` in errors, and tell ``advance``."""
        self.name = name
        self._raw, self._advance = raw, advance

    def read(self, size: int = -1, /) -> bytes:
        """Return at most ``size`` bytes; none at the end."""
        found = bytes(self._raw.read(None if size < 0 else size))
        self._advance(len(found))
        return found

    def readinto(self, into: Any, /) -> int:
        """Fill the start of ``into``; return how many bytes, 0 at the end."""
        readinto = getattr(self._raw, "readinto", None)
        if readinto is None:
            found = self._raw.read(len(into))
            into[: len(found)] = found
            count = len(found)
        else:
            count = int(readinto(into))
        self._advance(count)
        return count

    @property
    def closed(self) -> bool:
        """Whether it is closed; pyarrow asks."""
        return bool(self._raw.closed)

    def readable(self) -> bool:
        """Return that it is."""
        return True

    def writable(self) -> bool:
        """Return that it is not."""
        return False

    def seekable(self) -> bool:
        """Return that it is not, so that every reader reads it once, from its start."""
        return False


@contextmanager
def opened(each: Input, advance: Advance) -> Iterator[Stream]:
    """Open one input for reading from start to end; a FIFO waits for its writer.

    Raises:
        MissingFileError: It is gone.
        InputError: It may not be read.
    """
    if each.uri == "-":
        yield Stream(sys.stdin.buffer, each.name, advance)
        return
    if not each.uri.startswith("file://"):
        with storage.open_input(each.uri) as raw:
            yield Stream(raw, each.name, advance)
        return
    try:
        raw = io.FileIO(each.uri.removeprefix("file://"))
    except FileNotFoundError:
        raise MissingFileError("read", each.name, "check the path") from None
    except OSError as error:
        raise InputError(f"{each.name}: {error.strerror}, expected a readable file") from error
    with raw:
        _widen(raw.fileno())
        yield Stream(raw, each.name, advance)


def _widen(descriptor: int) -> None:
    """Give a FIFO a buffer of one chunk, so that reader and writer take turns less often."""
    if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
        return
    try:
        import fcntl

        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, CHUNK_BYTES)
    except (ImportError, AttributeError, OSError):
        return  # not Linux, or the user's pipes have no room left: slower, not wrong
