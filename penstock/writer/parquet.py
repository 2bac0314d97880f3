"""Parquet -> a dataset of equal shards, in tasks that read the row groups with pyarrow."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Any

from penstock import dataset as datasets
from penstock import recordio, storage
from penstock.assemble import Assembler
from penstock.curated import RowRange
from penstock.dataset import Dataset, Shard
from penstock.encode import Where
from penstock.errors import DataError, EmptyTableError, MissingFileError
from penstock.writer.target import Layout, Target, check_hosts

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["planned_shards", "write_parquet"]

SHARD_BYTES = 64 * 2**20
BATCH_BYTES = 1 << 23
MAX_BATCH_ROWS = 65_536
MIN_BATCH_ROWS = 64
SAMPLE_ROWS = 1024
SHARD_ROWS = 32_768
FEW_SHARDS = 8
FOOTER_READERS = 16
MAX_TASK_SHARDS = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """One Parquet file."""

    uri: str
    rows: int
    row_groups: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """Rows ``start`` to ``stop`` (exclusive) of one file, which go to one shard."""

    part: int
    source: Source
    start: int
    stop: int


def write_parquet(
    session: SparkSession,
    source_uri: str,
    target_uri: str,
    *,
    features: Sequence[str] | None = None,
    label: str | None = None,
    layout: Layout = "dense",
    shard_bytes: int = SHARD_BYTES,
    hosts: int = 1,
    task: str = "regression",
    classes: Sequence[Any] | None = None,
    allow_nonfinite: bool = False,
) -> Dataset:
    """Write the rows of Parquet files as a RecordIO dataset. Runs exactly one Spark job.

    Rows keep their order: files by name, then as they stand. Shards differ by at most one row, and
    there are as many for each host. Their bytes depend on the rows and these arguments alone, not on
    the cluster. A task reads neighbouring shards in one go where they share row groups; its
    memory is some pages of each column and one batch, whatever the size of row groups and shards.

    Args:
        session: Where to run.
        source_uri: A Parquet file, or a folder of them at any depth. Columns that are only in names
            of folders (``month=01``) are not read.
        target_uri: Prefix of the shards, such as ``s3://bucket/datasets/train/``. Shards of an earlier,
            unfinished run are swept first.
        features: Columns, in the order of the matrix: numbers, booleans, lists of numbers, Spark ml
            Vectors. None: all but the label.
        label: Column of numbers; None: records without labels.
        layout: ``dense`` or ``sparse``.
        shard_bytes: Size of a shard to stay below.
        hosts: Training instances that share the shards (ShardedByS3Key).
        task: What the labels are for; stands in dataset.json.
        classes: Class names in the order of their labels; stand in dataset.json.
        allow_nonfinite: Write NaN and infinity instead of refusing them.

    Returns:
        The committed dataset.

    Raises:
        MissingFileError: No file stands there.
        EmptyTableError: The files have no rows.
        MissingColumnsError: A file lacks a column.
        SchemaMismatchError: A column is of no type that a matrix can hold.
        DataError: A row cannot be in a matrix; names file, row and column. Nothing is committed.
        InputError: There are fewer rows than hosts, or another dataset stands there.
        ServiceError: Spark or the storage gave up.
    """
    from penstock.spark import map_tasks, translated

    check_hosts(hosts)
    sources, schema = _footers(source_uri, features, label, layout)
    rows = sum(source.rows for source in sources)
    if not rows:
        raise EmptyTableError(source_uri, "check the path: a dataset needs rows")
    assembler = Assembler.of(
        schema,
        features=features,
        label=label,
        layout=layout,
        allow_nonfinite=allow_nonfinite,
        table=source_uri,
    )
    row_bytes = _sample(assembler, next(source for source in sources if source.rows))
    target = Target(
        uri=target_uri,
        features=assembler.features,
        label=label,
        layout=layout,
        hosts=hosts,
        task=task,
        classes=None if classes is None else tuple(classes),
        widths=assembler.widths,
        allow_nonfinite=allow_nonfinite,
    )
    count = planned_shards(rows, row_bytes, shard_bytes, hosts=hosts)
    runs = _runs(_pieces(sources, rows, count), session.sparkContext.defaultParallelism)
    batch_rows = _batch_rows(assembler, row_bytes)

    def run(pieces: tuple[Piece, ...], attempt: int) -> list[Shard]:
        return _write(target, pieces, attempt, batch_rows)

    datasets.sweep(target_uri)
    with translated():
        written = map_tasks(session, runs, run, what="write: shards")
    shards = [shard for each in written for shard in each]
    return target.commit(shards, rows=rows, parts=range(count))


def planned_shards(rows: int, row_bytes: float, shard_bytes: int, *, hosts: int = 1) -> int:
    """Return into how many shards to cut some rows: by size, but some even of a few, for all cores.

    A multiple of ``hosts``; depends on nothing else than the arguments.

    Raises:
        InputError: There are fewer rows than hosts.
    """
    by_size = datasets.shard_count(rows, row_bytes, shard_bytes, hosts)
    few = min(FEW_SHARDS, math.ceil(rows / SHARD_ROWS))
    return max(by_size, min(math.ceil(few / hosts), rows // hosts) * hosts)


def _footers(
    uri: str, features: Sequence[str] | None, label: str | None, layout: Layout
) -> tuple[list[Source], Any]:
    """Return all files with their row counts, and the Arrow schema of the first.

    Raises:
        MissingFileError: There is none.
        MissingColumnsError: A file lacks a column.
        SchemaMismatchError: A file has a column that no matrix can hold.
    """
    files = storage.glob_files(uri)
    if not files:
        raise MissingFileError("Parquet", uri, "check the path, or run the stage before")
    with ThreadPoolExecutor(FOOTER_READERS) as readers:
        footers = list(readers.map(_footer, [file.uri for file in files]))
    schema = footers[0][1]
    names = [name for name in schema.names if name != label] if features is None else features
    for source, each in footers:
        Assembler.of(each, features=names, label=label, layout=layout, table=source.uri)
    return [source for source, _ in footers], schema


def _footer(uri: str) -> tuple[Source, Any]:
    """Return what the footer of a Parquet file says. Reads the last bytes of it.

    Raises:
        SchemaMismatchError: It is no Parquet file.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    system, path = storage.filesystem(uri)
    try:
        with system.open_input_file(path) as stream:
            metadata = pq.read_metadata(stream)
    except pa.ArrowInvalid as problem:
        raise DataError(
            f"{uri} is no Parquet file: {problem}\n"
            "  move it away, or name the folder of the Parquet files"
        ) from problem
    schema = metadata.schema.to_arrow_schema()
    return Source(uri=uri, rows=metadata.num_rows, row_groups=metadata.num_row_groups), schema


def _sample(assembler: Assembler, source: Source) -> float:
    """Return the mean bytes of a record of the first rows; the assembler knows all widths then."""
    rows = RowRange(
        uris=(source.uri,),
        rows_per_file=(source.rows,),
        start=0,
        stop=min(SAMPLE_ROWS, source.rows),
    )
    size_bytes = count = 0
    for batch in rows.batches(assembler.columns, batch_rows=SAMPLE_ROWS):
        features, labels = assembler.encode(batch, where=Where(table=source.uri, first_row=count))
        encode = recordio.encode_dense if assembler.layout == "dense" else recordio.encode_sparse
        size_bytes += len(encode(features, labels, allow_nonfinite=assembler.allow_nonfinite))
        count += batch.num_rows
    return size_bytes / count


def _batch_rows(assembler: Assembler, row_bytes: float) -> int:
    """Return how many rows to read at a time, in bounded memory."""
    largest = row_bytes if assembler.layout == "dense" else max(row_bytes, 8)
    return int(min(MAX_BATCH_ROWS, max(MIN_BATCH_ROWS, BATCH_BYTES // largest)))


def _pieces(sources: Sequence[Source], rows: int, count: int) -> list[Piece]:
    """Cut all rows into ``count`` shards that differ by at most one row, and these at the files' ends."""
    pieces = []
    first = part = 0
    for source in sources:
        start = first
        while start < first + source.rows:
            stop = min(first + source.rows, rows * (part + 1) // count)
            if stop > start:
                pieces.append(
                    Piece(part=part, source=source, start=start - first, stop=stop - first)
                )
            part += stop == rows * (part + 1) // count
            start = stop
        first += source.rows
    return pieces


def _runs(pieces: Sequence[Piece], slots: int) -> list[tuple[Piece, ...]]:
    """Give neighbouring shards to one task: a task costs about as much as a shard of 64 MiB.

    Two tasks for each slot even out their differences. One is enough where there are few row groups:
    one that begins inside a row group decodes it from its start, rows of others included.
    """
    shards = [tuple(group) for _, group in groupby(pieces, key=lambda piece: piece.part)]
    groups = sum({piece.source.uri: piece.source.row_groups for piece in pieces}.values())
    wanted = 2 * slots if groups >= 2 * slots else slots
    tasks = max(min(len(shards), wanted), math.ceil(len(shards) / MAX_TASK_SHARDS))
    bounds = [len(shards) * task // tasks for task in range(tasks + 1)]
    return [
        tuple(piece for shard in shards[start:stop] for piece in shard)
        for start, stop in pairwise(bounds)
    ]


def _write(target: Target, pieces: Sequence[Piece], attempt: int, batch_rows: int) -> list[Shard]:
    """Write the shards of one task, one after another."""
    assembler = target.assembler()
    batches = _batches(pieces, target.columns, batch_rows)
    return [
        target.write(part, attempt, ((batch, where) for _, batch, where in of_part), assembler)
        for part, of_part in groupby(batches, key=lambda each: each[0])
    ]


def _batches(
    pieces: Sequence[Piece], columns: Sequence[str], batch_rows: int
) -> Iterator[tuple[int, Any, Where]]:
    """Yield shard number, batch and its place, in order; reads each file once."""
    for source, of_file in groupby(pieces, key=lambda piece: piece.source):
        left = list(of_file)
        row = left[0].start
        rows = RowRange(
            uris=(source.uri,), rows_per_file=(source.rows,), start=row, stop=left[-1].stop
        )
        for batch in rows.batches(columns, batch_rows=batch_rows):
            taken = 0
            while taken < batch.num_rows:
                count = min(batch.num_rows - taken, left[0].stop - row)
                where = Where(table=source.uri, first_row=row)
                yield left[0].part, batch.slice(taken, count), where
                taken, row = taken + count, row + count
                if row == left[0].stop:
                    left.pop(0)
