"""Files of CTAS, INSERT and UNLOAD: a stream of batches to S3, in the table's format, by partitions.

The rows come sorted by the partitions, so one file is open at a time whatever their number.
"""

from __future__ import annotations

import gzip
import io
import itertools
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from penstock import storage
from penstock.local.athena.engine import Engine, Output, wrapped
from penstock.local.athena.errors import QueryError, unsupported
from penstock.local.athena.results import contents
from penstock.local.athena.scan import NULL_PARTITION
from penstock.local.athena.textsql import json_line, text_line
from penstock.local.athena.types import ColumnType, quoted

__all__ = ["MOST_PARTITIONS", "Target", "Written", "write"]

MOST_PARTITIONS = 100
FILE_BYTES = 256 << 20
GROUP_ROWS = 1 << 18
GZIP_LEVEL = 4  # 9, which the writers would take, needs several times as long
COMPRESSIONS = {
    "parquet": {"GZIP": "gzip", "SNAPPY": "snappy", "ZSTD": "zstd", "NONE": "none", "LZ4": "lz4"},
    "orc": {
        "ZLIB": "zlib",
        "GZIP": "zlib",
        "SNAPPY": "snappy",
        "ZSTD": "zstd",
        "LZ4": "lz4",
        "NONE": "uncompressed",
    },
    "text": {"GZIP": "gzip", "NONE": "none"},
}
DEFAULTS = {"parquet": "GZIP", "orc": "ZLIB", "text": "GZIP"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """Where and how rows are written.

    Attributes:
        location: Folder, with a slash at its end.
        kind: ``parquet``, ``orc``, ``json``, ``delimited``.
        compression: As SQL names it; empty for the format's own.
        delimiter: Of delimited files.
        keys: Names of the partition columns, which are the last of the rows.
        limit: Partitions that one statement may write.
    """

    location: str
    kind: str
    compression: str = ""
    delimiter: str = "\x01"
    keys: tuple[str, ...] = ()
    limit: int = MOST_PARTITIONS

    def codec(self) -> str:
        """Return the compression as writers name it.

        Raises:
            QueryError: The format has no such compression.
        """
        family = self.kind if self.kind in ("parquet", "orc") else "text"
        name = (self.compression or DEFAULTS[family]).upper()
        if name not in COMPRESSIONS[family]:
            raise unsupported(f"compression {name} of {self.kind} files")
        return COMPRESSIONS[family][name]


@dataclass(kw_only=True, slots=True)
class Written:
    """What was written: files, rows, and the values and folders of the partitions."""

    files: list[str] = field(default_factory=list)
    rows: int = 0
    partitions: dict[tuple[str, ...], str] = field(default_factory=dict)


def write(engine: Engine, sql: str, outputs: Sequence[Output], target: Target) -> Written:
    """Run a SELECT and write its rows; when it fails, the files that it wrote are deleted.

    Raises:
        QueryError: Too many partitions, or what cannot be written in this format.
    """
    target.codec()
    written = Written()
    try:
        for values, batches in _by_partition(engine, sql, outputs, target):
            folder = _folder(target, values)
            if values:
                written.partitions[values] = folder
                _within(written, target)
            _files(batches, folder, target, written)
    except BaseException:
        for file in written.files:
            storage.delete(file)
        raise
    return written


def _within(written: Written, target: Target) -> None:
    if len(written.partitions) > target.limit:
        raise QueryError(
            f"HIVE_TOO_MANY_OPEN_PARTITIONS: Exceeded limit of {target.limit} open writers for "
            "partitions/buckets",
            kind=1007,
        )


def _folder(target: Target, values: tuple[str, ...]) -> str:
    pairs = zip(target.keys, values, strict=True)
    parts = [f"{name}={quote(value, safe=' -_.,@+')}" for name, value in pairs]
    return storage.join(target.location, *parts) + ("/" if parts else "")


def _selected(outputs: Sequence[Output], target: Target) -> str:
    """Return the list of the SELECT: what goes into the files, then the partitions as text."""
    data = [each for each in outputs if each.name.lower() not in target.keys]
    named = [(each.name.lower(), each.value, each.type) for each in data]
    keys = [each for each in outputs if each.name.lower() in target.keys]
    texts = [
        f"coalesce({_key_text(each)}, '{NULL_PARTITION}') AS {quoted('$' + each.name.lower())}"
        for each in keys
    ]
    if target.kind == "json":
        files = [f"{json_line(named)} AS line"]
    elif target.kind == "delimited":
        files = [f"{text_line(named, target.delimiter)} AS line"]
    else:
        files = [
            f"CAST({value} AS {kind.duckdb()}) AS {quoted(name)}" for name, value, kind in named
        ]
    return ", ".join([*files, *texts])


def _key_text(output: Output) -> str:
    if output.type.parts:
        raise QueryError(
            f"NOT_SUPPORTED: Unsupported type [{output.type.sql()}] for partition: {output.name}"
        )
    return f"CAST({output.value} AS VARCHAR)"


def _by_partition(
    engine: Engine, sql: str, outputs: Sequence[Output], target: Target
) -> Iterator[tuple[tuple[str, ...], Iterator[pa.RecordBatch]]]:
    """Yield the values of each partition with the batches of its rows; of none, all rows once."""
    text = wrapped(sql, list(outputs), _selected(outputs, target))
    if not target.keys:
        yield (), engine.stream(text)
        return
    order = ", ".join(quoted(f"${name}") for name in target.keys)
    pieces = _pieces(engine.stream(f"{text} ORDER BY {order}"), len(target.keys))
    current = next(pieces, None)
    while current is not None:
        values = current[0]
        following: list[tuple[tuple[str, ...], pa.RecordBatch] | None] = [current]

        def same(
            values: tuple[str, ...] = values, following: list[Any] = following
        ) -> Iterator[pa.RecordBatch]:
            while following[0] is not None and following[0][0] == values:
                yield following[0][1]
                following[0] = next(pieces, None)

        yield values, same()
        for _ in same():
            """What the caller left."""
        current = following[0]


def _pieces(
    batches: Iterator[pa.RecordBatch], keys: int
) -> Iterator[tuple[tuple[str, ...], pa.RecordBatch]]:
    """Cut sorted batches where the last ``keys`` columns change; yield their values and the rest."""
    for batch in batches:
        if not batch.num_rows:
            continue
        width = batch.num_columns - keys
        columns = [batch.column(width + at) for at in range(keys)]
        changed = np.zeros(batch.num_rows - 1, bool)
        for column in columns:
            changed |= pc.not_equal(column[1:], column[:-1]).to_numpy(zero_copy_only=False)
        cuts = [0, *(np.flatnonzero(changed) + 1).tolist(), batch.num_rows]
        data = batch.select(list(range(width)))
        for first, last in itertools.pairwise(cuts):
            yield (
                tuple(column[first].as_py() for column in columns),
                data.slice(first, last - first),
            )


def _files(
    batches: Iterator[pa.RecordBatch], folder: str, target: Target, written: Written
) -> None:
    """Write batches into files of a folder, a new one when one is large."""
    current = next(batches, None)
    while current is not None:
        uri = storage.join(folder, _name(target))
        written.files.append(uri)
        with storage.open_output(uri) as out, _sink(out, current.schema, target) as sink:
            while current is not None and sink.bytes < FILE_BYTES:
                sink.write(current)
                written.rows += current.num_rows
                current = next(batches, None)


def _name(target: Target) -> str:
    """Return a name that no other file has; text says by it how it is compressed."""
    end = ".gz" if target.kind in ("json", "delimited") and target.codec() == "gzip" else ""
    return f"{uuid.uuid4().hex[:8]}_{uuid.uuid4()}{end}"


def _sink(out: Any, schema: pa.Schema, target: Target) -> _Sink:
    if target.kind in ("parquet", "orc"):
        return _Columnar(out, schema, target)
    return _Lines(out, target)


class _Sink:
    """A file that is being written."""

    bytes = 0

    def write(self, batch: pa.RecordBatch) -> None:
        """Add rows."""
        raise NotImplementedError

    def close(self) -> None:
        """Write the end."""
        raise NotImplementedError

    def __enter__(self) -> _Sink:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None:
            self.close()


class _Columnar(_Sink):
    def __init__(self, out: Any, schema: pa.Schema, target: Target) -> None:
        import pyarrow.orc as po
        import pyarrow.parquet as pq

        self._out = pa.PythonFile(out, mode="w")
        self._writer = (
            pq.ParquetWriter(
                self._out,
                schema,
                compression=target.codec(),
                compression_level=GZIP_LEVEL if target.codec() == "gzip" else None,
                use_deprecated_int96_timestamps=True,
            )
            if target.kind == "parquet"
            else po.ORCWriter(self._out, compression=target.codec())
        )
        self._schema, self._held, self._rows = schema, list[pa.RecordBatch](), 0

    def write(self, batch: pa.RecordBatch) -> None:
        self._held.append(batch)
        self._rows += batch.num_rows
        self.bytes += batch.nbytes
        if self._rows >= GROUP_ROWS:
            self._flush()

    def _flush(self) -> None:
        if self._held:
            table = pa.Table.from_batches(self._held, self._schema)
            self._writer.write(table) if not hasattr(
                self._writer, "write_table"
            ) else self._writer.write_table(table)
        self._held, self._rows = [], 0

    def close(self) -> None:
        self._flush()
        self._writer.close()


class _Lines(_Sink):
    def __init__(self, out: Any, target: Target) -> None:
        self._out: Any = out
        self._zip: Any = None
        if target.codec() == "gzip":
            self._zip = gzip.GzipFile(
                fileobj=out, mode="wb", compresslevel=GZIP_LEVEL, mtime=0, filename=""
            )

    def write(self, batch: pa.RecordBatch) -> None:
        stream: io.BufferedIOBase = self._zip or self._out
        for content in contents(batch.column(0)):
            stream.write(content)
            self.bytes += len(content)

    def close(self) -> None:
        if self._zip is not None:
            self._zip.close()


def columns_of(outputs: Sequence[Output]) -> list[tuple[str, ColumnType]]:
    """Return names and types of columns as a table has them: each once, and each with a name.

    Raises:
        QueryError: As Athena words it.
    """
    made: dict[str, ColumnType] = {}
    for at, each in enumerate(outputs):
        name = each.name.lower()
        if each.name.startswith("_col") and each.name[4:] == str(at):
            raise QueryError(
                f"MISSING_COLUMN_NAME: line 1:1: Column name not specified at position {at + 1}",
                kind=1006,
            )
        if name in made:
            raise QueryError(
                f"DUPLICATE_COLUMN_NAME: line 1:1: Column name '{name}' specified more than once",
                kind=1006,
            )
        if each.type.kind == "unknown":
            raise QueryError(
                f"COLUMN_TYPE_UNKNOWN: line 1:1: Column type is unknown: {name}", kind=1006
            )
        each.type.hive()
        made[name] = each.type
    return list(made.items())
