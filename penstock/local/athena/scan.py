"""A table's files as a dataset that lists and reads nothing before DuckDB scans it.

DuckDB hands the columns that it needs and the filters that it could push down to ``scanner``; only
then are the partitions that can match listed, and their files read. A scan can be made again, as for
a table that stands twice in a query.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds

from penstock import storage
from penstock.errors import PenstockError
from penstock.local.athena.catalog import Catalog, Partition, Table
from penstock.local.athena.errors import QueryError
from penstock.local.athena.formats import Format, format_of
from penstock.local.athena.lines import batches as line_batches
from penstock.local.athena.meter import Meter, metered
from penstock.local.athena.parquetfit import fits, fitted_batches, read_format

__all__ = ["LINE", "PATH", "Scan"]

LINE = "$line"
PATH = "$path"
NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"
ASKED_AT_ONCE = 8
FOLDERS_AT_ONCE = 64
FILES_AT_ONCE = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class _Chosen:
    """A partition that can match: its expression, and the values of its keys."""

    location: str
    values: dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class _File:
    """A file, and the values of its partition's keys."""

    uri: str
    values: dict[str, Any]


class Scan(ds.Dataset):  # type: ignore[misc]
    """One reference to a table in a query."""

    def __init__(self, table: Table, catalog: Catalog, meter: Meter) -> None:
        """Prepare to read a table; asks nobody yet.

        Raises:
            QueryError: The local plane cannot read its format.
        """
        self.table, self._catalog, self._meter = table, catalog, meter
        self.format: Format = format_of(table)
        # Rows of partitions that the SQL itself rules out: see prune.
        self.allowed: frozenset[tuple[str, ...]] | None = None
        fields = (
            [pa.field(LINE, pa.string())]
            if self.format.is_text
            else [pa.field(column.name, column.type.arrow()) for column in table.columns]
        )
        fields += [pa.field(key.name, key.type.arrow()) for key in table.keys]
        self._schema = pa.schema([*fields, pa.field(PATH, pa.string())])
        self._lock = threading.Lock()
        self._partitions: list[Partition] | None = None
        self.failure: QueryError | None = None

    @property
    def schema(self) -> pa.Schema:
        """Columns, keys and the path; for text the line instead of the columns."""
        return self._schema

    def scanner(
        self,
        columns: list[str] | None = None,
        filter: Any = None,
        **more: Any,
    ) -> ds.Scanner:
        """Return a scanner of the rows that match; DuckDB calls this."""
        del more
        names = list(self._schema.names) if columns is None else list(columns)
        schema = pa.schema([self._schema.field(name) for name in names])
        batches = self._guarded(self._batches(names, filter))
        return ds.Scanner.from_batches(pa.RecordBatchReader.from_batches(schema, batches))

    def _guarded(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Keep an error of ours, which reaches DuckDB as text only."""
        try:
            yield from batches
        except QueryError as error:
            self.failure = error
            raise OSError(error.message) from error
        except PenstockError as error:  # S3: a bucket that is gone, say
            text = str(error).partition("\n")[0]
            self.failure = QueryError(f"GENERIC_USER_ERROR: {text}")
            raise OSError(text) from error

    def _batches(self, names: list[str], where: Any) -> Iterator[pa.RecordBatch]:
        read = self._text if self.format.is_text else self._columnar
        chosen = self.chosen(where)
        with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
            for first in range(0, len(chosen), FOLDERS_AT_ONCE):
                folders = chosen[first : first + FOLDERS_AT_ONCE]
                self._meter.check()
                listed = pool.map(lambda each: storage.glob_files(each.location), folders)
                files = [
                    _File(uri=file.uri, values=each.values)
                    for each, found in zip(folders, listed, strict=True)
                    for file in found
                ]
                for start in range(0, len(files), FILES_AT_ONCE):
                    yield from read(files[start : start + FILES_AT_ONCE], names, where)

    def partitions(self) -> list[Partition]:
        """Return all partitions of the table; asks the catalog once."""
        with self._lock:
            if self._partitions is None:
                self._partitions = self._catalog.partitions(self.table)
            return self._partitions

    def chosen(self, where: Any) -> list[_Chosen]:
        """Return the partitions that can match a filter; of a table without keys, the table."""
        if not self.table.keys:
            return [_Chosen(location=self.table.location, values={})]
        values = key_values(self.table, self.partitions())
        found = [
            _Chosen(location=partition.location, values=row)
            for partition, row in zip(self.partitions(), values, strict=True)
            if self.allowed is None or partition.values in self.allowed
        ]
        if where is None:
            return found
        kind = ds.ParquetFileFormat()
        system = storage.filesystem("s3://none")[0]
        parts = [
            kind.make_fragment(str(at), system, partition_expression=_equals(each.values, {}))
            for at, each in enumerate(found)
        ]
        rows = ds.FileSystemDataset(parts, self._schema, kind, system)
        return [found[int(each.path)] for each in rows.get_fragments(where)]

    def _columnar(
        self, files: Sequence[_File], names: list[str], where: Any
    ) -> Iterator[pa.RecordBatch]:
        """Yield batches of Parquet or ORC files: those that are as the catalog says all at once."""
        kind = read_format(self.format)
        system = metered(storage.filesystem("s3://any")[0], self._meter)
        needed = {name for name in self._schema.names if name in names or name in str(where)}
        target = [each for each in enumerate(self.table.columns) if each[1].name in needed]

        def fragment(file: _File) -> tuple[Any, bool]:
            made = kind.make_fragment(
                file.uri.removeprefix("s3://"),
                system,
                partition_expression=_equals(file.values, {PATH: file.uri}),
            )
            try:
                found = made.physical_schema
            except (pa.ArrowInvalid, OSError) as error:
                self._meter.check()
                raise _no_file(file.uri, self.format, error) from error
            return made, fits(found, target, file.uri, self.format)

        with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
            made = list(pool.map(fragment, files))
        plain = [each for each, same in made if same]
        if plain:
            dataset = ds.FileSystemDataset(plain, self._schema, kind, system)
            yield from _scanned(dataset, names, where)
        for file, (each, same) in zip(files, made, strict=True):
            if not same:
                extra = {**file.values, PATH: file.uri}
                found = fitted_batches(each, target, self._part_schema(needed), extra, self.format)
                yield from self._filtered(found, needed, names, where)

    def _text(
        self, files: Sequence[_File], names: list[str], where: Any
    ) -> Iterator[pa.RecordBatch]:
        for file in files:
            found = self._lines(file)
            yield from self._filtered(found, set(self._schema.names), names, where)

    def _lines(self, file: _File) -> Iterator[pa.RecordBatch]:
        extra = {**file.values, PATH: file.uri}
        for lines in line_batches(file.uri, self._meter, skip=self.format.skipped_lines):
            yield _with_constants(lines, self._schema, extra)

    def _part_schema(self, needed: set[str]) -> pa.Schema:
        return pa.schema([field for field in self._schema if field.name in needed])

    def _filtered(
        self,
        found: Iterator[pa.RecordBatch],
        needed: set[str],
        names: list[str],
        where: Any,
    ) -> Iterator[pa.RecordBatch]:
        schema = self._part_schema(needed)
        reader = pa.RecordBatchReader.from_batches(schema, found)
        scanner = ds.Scanner.from_batches(reader, columns=names, filter=where)
        yield from scanner.to_batches()


def _no_file(uri: str, given: Format, error: Exception) -> QueryError:
    kind = {"parquet": "Parquet", "orc": "ORC"}[given.kind]
    reason = str(error).rpartition("': ")[2].strip()
    return QueryError(f"HIVE_BAD_DATA: Not valid {kind} file: {uri}. {reason}", kind=1100)


def key_values(table: Table, partitions: Sequence[Partition]) -> list[dict[str, Any]]:
    """Return the typed values of the keys of partitions.

    Raises:
        QueryError: A value is not of its key's type.
    """
    columns: dict[str, list[Any]] = {}
    for at, key in enumerate(table.keys):
        texts = [
            None if each.values[at] == NULL_PARTITION else each.values[at] for each in partitions
        ]
        try:
            typed = pa.array(texts, pa.string()).cast(key.type.arrow())
        except pa.ArrowInvalid as error:
            raise QueryError(
                f"HIVE_INVALID_PARTITION_VALUE: Invalid partition value for {key.type_text} "
                f"partition key: {key.name}: {error}"
            ) from error
        columns[key.name] = typed.to_pylist()
    return [{name: values[at] for name, values in columns.items()} for at in range(len(partitions))]


def _equals(values: dict[str, Any], more: dict[str, Any]) -> Any:
    made = ds.scalar(True)
    for name, value in {**values, **more}.items():
        found = ds.field(name)
        made = made & (found.is_null() if value is None else found == value)
    return made


def _scanned(dataset: Any, names: list[str], where: Any) -> Iterator[pa.RecordBatch]:
    scanner = dataset.scanner(columns=names, filter=where, batch_readahead=4, fragment_readahead=2)
    yield from scanner.to_batches()


def _with_constants(lines: pa.Array, schema: pa.Schema, extra: dict[str, Any]) -> pa.RecordBatch:
    columns = [lines]
    for field in schema:
        if field.name != LINE:
            scalar = pa.scalar(extra[field.name], field.type)
            columns.append(pa.repeat(scalar, len(lines)))
    return pa.RecordBatch.from_arrays(columns, schema=schema)
