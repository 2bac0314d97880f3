"""Raw tables as they arrive: files -> typed rows, and the rows that cannot be read.

CSV and JSON Lines are read as lines of text, cut into cells as text, and only then cast: so a
malformed row keeps its exact line, and its reason is known. Parquet has types of its own.

    line --from_csv / from_json--> text cells --try_cast--> typed cells
                 |                                  |
                 +-- wrong number of cells          +-- "column 'x': 'abc' is not int"   -> quarantine
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from penstock import inference, storage
from penstock.errors import (
    DataError,
    EmptyTableError,
    InputError,
    MissingColumnsError,
    MissingFileError,
    SchemaMismatchError,
)
from penstock.spark import sql_expression
from penstock.spec import Source

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

__all__ = ["BAD_COLUMNS", "Table", "find", "read"]

FILE, LINE, REASON = "__file", "__text", "__reason"
CORRUPT = "__corrupt"
CELLS, OBJECT = "cells", "object"  # reasons that quarantine words in full
BAD_COLUMNS = (FILE, LINE, REASON)
HEADER_BYTES, HEADER_THREADS = 1 << 16, 16
SHOWN_CHARACTERS = 60


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """One source, read.

    Attributes:
        name: As the spec calls it.
        rows: The well-formed rows, typed, with partition folders and derived columns. Lazy.
        bad: The others: ``__file``, ``__text`` (the exact line), ``__reason``. Lazy; None for Parquet.
        everything: Both, with ``__reason`` null for well-formed rows. Lazy; the same as ``rows`` for Parquet.
        types: Type of each column, in order, as Spark SQL names it.
        inferred: Names of the columns whose type was inferred.
        notes: What a person should know of the inference, one sentence each.
        files: How many files were read.
        size_bytes: Their size, together.
    """

    name: str
    rows: DataFrame
    bad: DataFrame | None
    everything: DataFrame
    types: Mapping[str, str]
    inferred: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    files: int
    size_bytes: int
    cached: tuple[DataFrame, ...] = field(default=(), repr=False)

    def release(self) -> None:
        """Free what reading has cached."""
        for frame in self.cached:
            frame.unpersist()


def find(name: str, uri: str) -> list[storage.File]:
    """Return the files of a source, at least one. Lists; reads nothing.

    Raises:
        MissingFileError: There is none.
    """
    files = storage.glob_files(uri)
    if not files:
        remedy = (
            f"check sources.{name}.path and the root; names that start with '_' or '.' do not count"
        )
        raise MissingFileError(f"source {name!r}", uri, remedy)
    return files


def read(session: SparkSession, name: str, source: Source, uri: str) -> Table:
    """Read a source from ``uri``.

    Reads the first line of every CSV file. Runs one Spark job that lists the keys of JSON objects,
    and one that infers the types of columns left undeclared. The typed rows are cached (memory,
    then disk) because counting, checking and joining each pass over them.

    Raises:
        MissingFileError: No file is there.
        EmptyTableError: The files hold no bytes.
        MissingColumnsError: A declared column is absent.
        SchemaMismatchError: A Parquet column has another type than was declared.
        InputError: Files of one source have different columns.
    """
    files = find(name, uri)
    full = [file for file in files if file.size_bytes]
    if not full:
        raise EmptyTableError(name, f"all {len(files)} files below {uri!r} have 0 bytes")
    size_bytes = sum(file.size_bytes for file in files)
    if source.format == "parquet":
        return _parquet(session, name, source, uri, files=files, size_bytes=size_bytes)
    cells, columns = _cells(session, name, source, uri, [file.uri for file in full])
    partitions = [c for c in cells.columns if c not in (*columns, *BAD_COLUMNS, CORRUPT)]
    _declared_exist(name, source, (*columns, *partitions))
    undeclared = [c for c in columns if c not in source.columns]
    guesses = inference.infer(cells, undeclared)
    types = {c: source.columns.get(c) or guesses[c].type for c in columns}
    typed = _cast(cells, types, partitions, source).persist()
    good = typed.filter(f"`{REASON}` is null").drop(*BAD_COLUMNS)
    return Table(
        name=name,
        rows=(rows := _derive(name, good, source)),
        bad=typed.filter(f"`{REASON}` is not null").select(*BAD_COLUMNS),
        everything=typed,
        types=dict(rows.dtypes),
        inferred=tuple(undeclared),
        notes=tuple(note for c in undeclared for note in guesses[c].notes(name, c)),
        files=len(files),
        size_bytes=size_bytes,
        cached=(typed,),
    )


def _parquet(
    session: SparkSession,
    name: str,
    source: Source,
    uri: str,
    *,
    files: Sequence[storage.File],
    size_bytes: int,
) -> Table:
    _one_schema(name, files)
    rows = session.read.parquet(uri)
    _declared_exist(name, source, rows.columns)
    for column, found in rows.dtypes:
        expected = source.columns.get(column, found)
        if found != expected:
            remedy = f"declare sources.{name}.columns.{column}: {found}, or write the files anew"
            raise SchemaMismatchError(name, column, found, expected, remedy)
    rows = _derive(name, rows, source)
    return Table(
        name=name,
        rows=rows,
        bad=None,
        everything=rows,
        types=dict(rows.dtypes),
        files=len(files),
        size_bytes=size_bytes,
    )


def _one_schema(name: str, files: Sequence[storage.File]) -> None:
    """Refuse files that are no Parquet, or that differ in columns or types. Reads footers, in threads.

    Spark would take one file's schema for all, and give nulls for what another file calls otherwise.
    """
    with ThreadPoolExecutor(HEADER_THREADS) as pool:
        schemas = list(pool.map(lambda file: _schema(name, file.uri), files))
    for file, schema in zip(files, schemas, strict=True):
        if schema != schemas[0]:
            ours, theirs = (
                dict(zip(s.names, map(str, s.types), strict=True)) for s in (schemas[0], schema)
            )
            odd = next(
                (c for c in {**ours, **theirs} if ours.get(c) != theirs.get(c)), "their order"
            )
            raise InputError(
                f"source {name!r}: files have different columns\n  {files[0].uri}: {odd} is "
                f"{ours.get(odd, 'absent')}\n  {file.uri}: {odd} is {theirs.get(odd, 'absent')}\n"
                "  expected one schema for all; write the files anew, or make two sources of them"
            )


def _schema(name: str, uri: str) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    system, path = storage.filesystem(uri)
    try:
        return pq.read_schema(path, filesystem=system).remove_metadata()
    except pa.ArrowInvalid as error:
        raise DataError(
            f"source {name!r}: {uri} is not a readable Parquet file: {str(error).split('. ')[0]}\n"
            "  expected whole Parquet files only; write it anew, or move it out of the folder"
        ) from error


def _declared_exist(name: str, source: Source, columns: Sequence[str]) -> None:
    missing = tuple(column for column in source.columns if column not in columns)
    if missing:
        raise MissingColumnsError(name, missing, tuple(columns))


def _cells(
    session: SparkSession, name: str, source: Source, uri: str, files: Sequence[str]
) -> tuple[DataFrame, list[str]]:
    """Return lines cut into text cells, and the names of the cells in order."""
    from pyspark.sql import functions as F

    lines = session.read.option("basePath", uri).text(uri, lineSep="\n")
    partitions = [column for column in lines.columns if column != "value"]
    lines = lines.select(
        F.col("value").alias(LINE), F.col("_metadata.file_path").alias(FILE), *partitions
    ).filter(F.length(F.trim(LINE)) > 0)
    if source.format == "csv":
        header, text = _header(name, source, files)
        # A line equal to the header is a header: the first of its file, or a file glued to another.
        variants = [mark + text + end for mark in ("", "\ufeff") for end in ("", "\r")]
        lines = lines.filter(~F.col(LINE).isin(variants))
        columns = header
        options = {"sep": source.separator, "escape": '"', "mode": "PERMISSIVE"}
        parsed = F.from_csv(
            F.regexp_replace(LINE, "\r$", ""),
            _text_schema(columns),
            {**options, "columnNameOfCorruptRecord": CORRUPT},
        )
    else:
        columns = _json_keys(lines)
        parsed = F.from_json(LINE, _text_schema(columns), {"columnNameOfCorruptRecord": CORRUPT})
    clash = [column for column in columns if column in partitions]
    if clash:
        raise InputError(
            f"source {name!r}: column {clash[0]!r} is in the files and in the folder names\n"
            "  rename one of the two; which one is meant cannot be told"
        )
    kept = lines.withColumn("__cells", parsed).select(
        *[_null(F.col(f"__cells.`{c}`"), source).alias(c) for c in columns],
        *partitions,
        FILE,
        LINE,
        F.col(f"__cells.`{CORRUPT}`").alias(CORRUPT),
    )
    return kept, list(columns)


def _text_schema(columns: Sequence[str]) -> str:
    return ", ".join([*(f"`{c}` string" for c in columns), f"`{CORRUPT}` string"])


def _null(cell: Column, source: Source) -> Column:
    from pyspark.sql import functions as F

    return F.when(~cell.isin(*source.null_values), cell)


def _header(name: str, source: Source, files: Sequence[str]) -> tuple[list[str], str]:
    """Return the column names that all CSV files share, and their header line."""
    # 64 KiB of each file: waiting, not work, so threads do, and no Spark job has to start for it.
    with ThreadPoolExecutor(HEADER_THREADS) as pool:
        texts = list(pool.map(_first_line, files))
    first = texts[0]
    for uri, text in zip(files, texts, strict=True):
        if text != first:
            raise InputError(
                f"source {name!r}: files have different headers\n"
                f"  {files[0]}: {first[:200]!r}\n  {uri}: {text[:200]!r}\n"
                "  expected one header for all; write the files anew, or make two sources of them"
            )
    names = next(csv.reader([first], delimiter=source.separator))
    repeated = [column for column in names if names.count(column) > 1]
    if repeated or "" in names:
        what = f"names column {repeated[0]!r} twice" if repeated else "has a column without a name"
        raise InputError(
            f"source {name!r}: the header of {files[0]} {what}: {first[:200]!r}\n"
            "  expected a different name for every column"
        )
    return names, first


def _first_line(uri: str) -> str:
    """Return the first line of a file, without byte order mark and line end."""
    system, path = storage.filesystem(uri)
    with system.open_input_stream(path) as stream:  # inflates .gz by its name
        head = bytes(stream.read(HEADER_BYTES))
    line = head.split(b"\n", 1)[0].removesuffix(b"\r")
    return line.decode("utf-8-sig", errors="replace")


def _json_keys(lines: DataFrame) -> list[str]:
    """Return the keys of all objects, in name order. Runs one Spark job."""
    from pyspark.sql import functions as F

    keys = lines.select(F.explode(F.json_object_keys(LINE)).alias("key")).distinct()
    return sorted(row["key"] for row in keys.collect())


def _cast(
    cells: DataFrame, types: Mapping[str, str], partitions: Sequence[str], source: Source
) -> DataFrame:
    """Return typed columns and, for rows that are malformed, a reason."""
    from pyspark.sql import functions as F

    typed = {c: F.expr(f"try_cast(`{c}` as {kind})") for c, kind in types.items()}
    wrong = [
        F.when(
            F.col(f"`{c}`").isNotNull() & typed[c].isNull(),
            F.concat(
                F.lit(f"column {c!r}: '"),
                F.substring(f"`{c}`", 1, SHOWN_CHARACTERS),
                F.lit(f"' is not {kind}"),
            ),
        )
        for c, kind in types.items()
        if kind != "string"
    ]
    broken = F.when(F.col(CORRUPT).isNotNull(), F.lit(CELLS if source.format == "csv" else OBJECT))
    if source.format == "csv":
        # A quote that the line does not close: a record over several lines, or a torn one.
        quotes = F.length(LINE) - F.length(F.replace(LINE, F.lit('"'), F.lit("")))
        broken = F.when(quotes % 2 == 1, F.lit(CELLS)).otherwise(broken)
    reason = F.coalesce(broken, *wrong)
    folders = [
        F.expr(f"cast(`{c}` as {source.columns[c]})").alias(c)
        if c in source.columns
        else F.col(f"`{c}`")
        for c in partitions
    ]
    rows = cells.select(
        *[typed[c].alias(c) for c in types], *folders, FILE, LINE, reason.alias(REASON)
    )
    # Kept for malformed rows alone: the rows are cached.
    bad_only = [F.when(F.col(REASON).isNotNull(), F.col(c)).alias(c) for c in (FILE, LINE)]
    return rows.select(*[f"`{c}`" for c in (*types, *partitions)], *bad_only, REASON)


def _derive(name: str, rows: DataFrame, source: Source) -> DataFrame:
    for column, text in source.derive.items():
        expression = sql_expression(rows, text, where=f"sources.{name}.derive.{column}")
        rows = rows.withColumn(column, expression)
    return rows
