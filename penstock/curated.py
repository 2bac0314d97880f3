"""The curated table: Parquet files by split, in shuffled order, and table.json, written last.

    curated/<pipeline>/<run>/split=train/part-00000-....parquet
    curated/<pipeline>/<run>/table.json       files, rows and schema; without it there is no table

Map-only stages read these files with pyarrow inside Spark tasks; nothing here needs Spark.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from penstock import storage
from penstock.errors import InputError

__all__ = ["SPLITS", "Curated", "CuratedFile", "RowRange", "open_curated", "row_ranges"]

SPLITS = ("train", "validation", "test")
TABLE_FILE = "table.json"
FILE_BUFFER_BYTES = 1 << 18
S3_BUFFER_BYTES = 1 << 22
DICTIONARY_BYTES = 1 << 17


@dataclass(frozen=True, kw_only=True, slots=True)
class CuratedFile:
    """One Parquet file; ``path`` is relative to the table."""

    path: str
    split: str
    rows: int
    size_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Curated:
    """A finished curated table.

    Attributes:
        uri: Folder of the table.
        files: All files, in the order in which their rows are read.
        key: Columns that name a row.
        columns: ``(name, arrow type)`` of every column, in file order.
        digest: Hash of all rows and columns, whatever the files are called and wherever they stand.
    """

    uri: str
    files: tuple[CuratedFile, ...]
    key: tuple[str, ...]
    columns: tuple[tuple[str, str], ...]
    digest: str = ""

    def rows(self, split: str) -> int:
        """Return how many rows a split has."""
        return sum(file.rows for file in self.files if file.split == split)

    def of(self, split: str) -> tuple[CuratedFile, ...]:
        """Return the files of a split, in reading order."""
        return tuple(file for file in self.files if file.split == split)

    def uri_of(self, file: CuratedFile) -> str:
        """Return where ``file`` stands."""
        return storage.join(self.uri, file.path)

    def names(self) -> tuple[str, ...]:
        """Return the column names, in file order."""
        return tuple(name for name, _ in self.columns)

    def save(self) -> None:
        """Write table.json: the one step that makes the table exist."""
        body = {
            "digest": self.digest,
            "key": list(self.key),
            "columns": [{"name": name, "type": kind} for name, kind in self.columns],
            "files": [asdict(file) for file in self.files],
        }
        content = json.dumps(body, indent=1, ensure_ascii=False) + "\n"
        storage.write_bytes(storage.join(self.uri, TABLE_FILE), content.encode())


def open_curated(uri: str) -> Curated:
    """Return the finished table at ``uri``. Reads one small file.

    Raises:
        InputError: There is no table.json, so no merge has finished there.
    """
    where = storage.join(uri, TABLE_FILE)
    if not storage.exists(where):
        raise InputError(
            f"curated table {uri!r}: no {TABLE_FILE}, so no merge has finished there\n"
            "  run: penstock merge SPEC"
        )
    body: dict[str, Any] = json.loads(storage.read_bytes(where))
    return Curated(
        uri=uri,
        files=tuple(CuratedFile(**file) for file in body["files"]),
        key=tuple(body["key"]),
        columns=tuple((column["name"], column["type"]) for column in body["columns"]),
        digest=body["digest"],
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class RowRange:
    """Rows ``start`` to ``stop`` (exclusive) of the rows of some files, read one after another."""

    uris: tuple[str, ...]
    rows_per_file: tuple[int, ...]
    start: int
    stop: int

    def batches(
        self, columns: Sequence[str], *, batch_rows: int, coded: Sequence[str] = ()
    ) -> Iterator[Any]:
        """Yield pyarrow RecordBatches of these rows, in order.

        Row groups outside the range are not read. Memory is some pages of each column, and on S3,
        where each read costs a round trip, up to 4 MiB of it.

        Args:
            columns: What to read.
            batch_rows: Rows of a batch, at most.
            coded: Those of them, of texts, that may come as dictionary arrays: they do where a file holds
                codes of few texts anyway, which takes a third of the time.
        """
        import pyarrow.parquet as pq

        first = 0
        for uri, rows in zip(self.uris, self.rows_per_file, strict=True):
            if first < self.stop and first + rows > self.start:
                system, path = storage.filesystem(uri)
                source = system.open_input_file(path)
                buffer_bytes = _buffer_bytes(uri)
                metadata = pq.read_metadata(source)
                with pq.ParquetFile(
                    source,
                    metadata=metadata,
                    read_dictionary=_of_codes(metadata, coded),
                    buffer_size=buffer_bytes,
                    pre_buffer=False,
                ) as parquet:
                    yield from _slice(
                        parquet, columns, self.start - first, self.stop - first, batch_rows
                    )
            first += rows


def _buffer_bytes(uri: str) -> int:
    """Return how much of a column chunk is read at a time; without it, the whole chunk is."""
    return S3_BUFFER_BYTES if storage.normal(uri).startswith("s3://") else FILE_BUFFER_BYTES


def _of_codes(metadata: Any, columns: Sequence[str]) -> list[str]:
    """Return which of ``columns`` are codes of few texts.

    A code takes 2 bytes at most. A writer that meets too many texts goes over to the texts themselves,
    of which each takes 4 bytes and more. In files of several row groups nothing counts as codes: each
    has a dictionary of its own, at which pyarrow would cut the batches.
    """
    if metadata.num_row_groups != 1:
        return []
    numbers = {metadata.schema.column(at).path: at for at in range(metadata.num_columns)}
    chunks = {
        name: metadata.row_group(0).column(numbers[name]) for name in columns if name in numbers
    }
    return [
        name
        for name, chunk in chunks.items()
        if chunk.has_dictionary_page
        and chunk.total_uncompressed_size <= 2 * chunk.num_values + DICTIONARY_BYTES
    ]


def _slice(
    parquet: Any, columns: Sequence[str], start: int, stop: int, batch_rows: int
) -> Iterator[Any]:
    """Yield rows ``start`` to ``stop`` of one file; ``start`` may be negative, ``stop`` past it."""
    first = 0
    wanted: list[int] = []
    skip = 0
    for index in range(parquet.num_row_groups):
        rows = parquet.metadata.row_group(index).num_rows
        if first < stop and first + rows > start:
            if not wanted:
                skip = max(0, start - first)
            wanted.append(index)
        first += rows
    left = min(stop, first) - max(0, start)
    # A Spark task has one core: threads of pyarrow's would take turns with those of other tasks.
    batches = parquet.iter_batches(
        batch_rows, row_groups=wanted, columns=list(columns), use_threads=False
    )
    for batch in batches:
        dropped = min(skip, batch.num_rows)
        skip -= dropped
        taken = batch.slice(dropped, left)
        left -= taken.num_rows
        if taken.num_rows:
            yield taken
        if left <= 0:
            return


def row_ranges(curated: Curated, split: str, parts: int) -> tuple[RowRange, ...]:
    """Cut a split into ``parts`` row ranges whose sizes differ by at most one row."""
    files = curated.of(split)
    uris = tuple(curated.uri_of(file) for file in files)
    per_file = tuple(file.rows for file in files)
    rows = sum(per_file)
    bounds = [rows * part // parts for part in range(parts + 1)]
    return tuple(
        RowRange(uris=uris, rows_per_file=per_file, start=start, stop=stop)
        for start, stop in itertools.pairwise(bounds)
    )
