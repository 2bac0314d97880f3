"""RecordIO, Parquet, CSV, LibSVM and npz into each other, batch by batch."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from penstock import storage
from penstock.errors import EmptyTableError, InputError
from penstock.toolbox.csvfile import CsvWriter, read_csv
from penstock.toolbox.libsvm import LibsvmWriter, read_libsvm
from penstock.toolbox.npzfile import NpzWriter, read_npz
from penstock.toolbox.parquetfile import ParquetWriter, read_parquet
from penstock.toolbox.progress import Advance, shown
from penstock.toolbox.recordfile import RecordWriter, read_records
from penstock.toolbox.sources import Source
from penstock.toolbox.tables import (
    Batch,
    Format,
    ReadOptions,
    format_of,
    prepared,
    source_format,
)

__all__ = ["Converted", "WriteOptions", "batches", "convert"]

_READERS: dict[Format, Callable[[Source, ReadOptions, Advance], Iterator[Batch]]] = {
    "recordio": read_records,
    "parquet": read_parquet,
    "csv": read_csv,
    "libsvm": read_libsvm,
    "npz": read_npz,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class WriteOptions:
    """How a target is written.

    Attributes:
        format: What it is to be; None to go by its suffix.
        force: Replace a file that is there.
        vector: Parquet: one column of lists instead of a column for each feature.
        header: CSV: a first line of names.
        index_base: LibSVM: the number of the first column.
    """

    format: str | None = None
    force: bool = False
    vector: bool = False
    header: bool = False
    index_base: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Converted:
    """What was written."""

    target: str
    format: Format
    rows: int
    width: int

    def __str__(self) -> str:
        rows = f"{self.rows:,} {'row' if self.rows == 1 else 'rows'}"
        width = f"{self.width:,} {'feature' if self.width == 1 else 'features'}"
        return f"{self.target}: {rows} of {width}, {self.format}"


class _Writer(Protocol):
    def write(self, batch: Batch, /) -> None: ...
    def close(self) -> None: ...


def batches(
    source: Source, given: str | None, options: ReadOptions, advance: Advance
) -> Iterator[Batch]:
    """Yield the rows of a source of any format.

    Args:
        source: What to read.
        given: Its format, if the suffix does not say it.
        options: How to read it.
        advance: Told of the bytes read.
    """
    kind = source_format(source, given)
    _check_options(kind, options)
    found = _READERS[kind](source, options, advance)
    yield from prepared(found, source, options)


def _check_options(kind: Format, options: ReadOptions) -> None:
    if options.label is not None and kind not in {"csv", "parquet"}:
        raise InputError(
            f"--label is {options.label!r}, but {kind} keeps labels apart from features\n"
            "  leave it out, or say --no-label"
        )


def convert(
    source: Source,
    target: str,
    *,
    given: str | None,
    reading: ReadOptions,
    writing: WriteOptions,
) -> Converted:
    """Write the rows of a source to one file, which appears whole at the end or not at all.

    Args:
        source: What to read.
        target: Path, URI, or ``-`` for standard output.
        given: Format of the source, if its suffix does not say it.
        reading: How to read.
        writing: How to write.

    Raises:
        InputError: The target is there already, or an option does not fit.
        EmptyTableError: The source has no rows; nothing is written.
        DataError: A row cannot be read, or cannot be written in that format.
    """
    kind = _check_target(target, writing, source)
    rows = width = 0
    with shown("convert", source.size_bytes) as advance, _opened(target) as sink:
        writer = _writer(kind, sink, reading, writing)
        for batch in batches(source, given, reading, advance):
            writer.write(batch)
            rows += len(batch)
            width = int(batch.features.shape[1])
        if not rows:
            raise EmptyTableError(source.text, "nothing is written")
        writer.close()
    return Converted(target=target, format=kind, rows=rows, width=width)


def _check_target(target: str, writing: WriteOptions, source: Source) -> Format:
    """Return what the target is to be, before anything is opened."""
    if target.endswith("/"):
        raise InputError(f"{target!r} is a folder, expected the name of one file")
    kind = format_of(target, writing.format, "--to")
    if writing.vector and kind != "parquet":
        raise InputError(f"--vector is for Parquet, but {target!r} is {kind}")
    if target == "-":
        if sys.stdout.isatty():
            raise InputError("'-' would write bytes to the terminal: send them to a file or a pipe")
        return kind
    uri = storage.normal(target)
    if uri in {each.uri for each in source.inputs}:
        raise InputError(f"{target!r} is the source itself, expected another name")
    if not writing.force and storage.exists(uri):
        raise InputError(f"{target!r} exists already\n  pass --force to replace it")
    return kind


@contextmanager
def _opened(target: str) -> Iterator[Any]:
    if target == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    with storage.open_output(target) as sink:
        yield sink


def _writer(kind: Format, sink: Any, reading: ReadOptions, writing: WriteOptions) -> _Writer:
    if kind == "recordio":
        return RecordWriter(sink, allow_nonfinite=reading.allow_nonfinite)
    if kind == "parquet":
        return ParquetWriter(sink, vector=writing.vector)
    if kind == "csv":
        return CsvWriter(sink, header=writing.header)
    if kind == "libsvm":
        return LibsvmWriter(sink, index_base=writing.index_base)
    return NpzWriter(sink)
