"""Parquet in and out: plain columns, lists, or Spark ml Vectors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from penstock import storage
from penstock.errors import DataError, InputError
from penstock.toolbox.csvfile import label_column
from penstock.toolbox.progress import Advance
from penstock.toolbox.sources import Input, Source
from penstock.toolbox.tables import Batch, ReadOptions

__all__ = ["ParquetWriter", "read_parquet"]

_MAX_COLUMNS = 10_000
_GROUP_BYTES = 64 << 20


def read_parquet(source: Source, options: ReadOptions, advance: Advance) -> Iterator[Batch]:
    """Yield the rows of Parquet files; only columns that are asked for are read.

    Raises:
        InputError: A column is not there, is of no type that a matrix can hold, or the source is a
            pipe, which Parquet cannot be read from.
        DataError: The file is damaged, or a cell is null or not finite: names row and column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    for each in source.inputs:
        if each.size_bytes is None:
            raise InputError(f"{each.name}: Parquet is read from its end, expected a file, no pipe")
        system, path = storage.filesystem(each.uri)
        try:
            with system.open_input_file(path) as stream:
                yield from _read(pq.ParquetFile(stream), each, options, advance)
        except pa.ArrowInvalid as error:
            raise DataError(f"{each.name}: no Parquet: {error}") from error


def _read(file: Any, each: Input, options: ReadOptions, advance: Advance) -> Iterator[Batch]:
    from penstock.assemble import Assembler
    from penstock.encode import Where

    schema = file.schema_arrow
    names = list(schema.names)
    place = label_column(names, header=True, options=options, where=each.name)
    label = None if place is None or options.no_label else names[place]
    features = [name for at, name in enumerate(names) if at != place]
    asked = _named_columns(options, features)
    if asked is not None:
        features = asked
    assembler = Assembler.of(
        schema,
        features=features,
        label=label,
        layout="sparse" if options.layout == "sparse" else "dense",
        allow_nonfinite=options.allow_nonfinite,
        table=each.name,
    )
    told = row = 0
    total = max(file.metadata.num_rows, 1)
    for batch in file.iter_batches(options.batch_rows, columns=list(assembler.columns)):
        if not batch.num_rows:
            continue
        matrix, labels = assembler.encode(batch, where=Where(table=each.name, first_row=row))
        row += batch.num_rows
        now = int((each.size_bytes or 0) * row / total)
        advance(now - told)
        told = now
        yield Batch(
            features=matrix,
            labels=labels,
            names=assembler.names,
            file=each.name,
            selected=asked is not None,
        )


def _named_columns(options: ReadOptions, names: list[str]) -> list[str] | None:
    """Return the columns of ``--columns`` when all are names of the file's own; else None."""
    if options.columns is None:
        return None
    words = [word.strip() for word in options.columns.split(",")]
    return words if all(word in names for word in words) else None


class ParquetWriter:
    """Writes a ``label`` column and either one float column per feature, or one list of them."""

    def __init__(self, sink: Any, *, vector: bool) -> None:
        """Write to a binary stream."""
        self._sink, self._vector = sink, vector
        self._writer: Any = None
        self._held: list[Any] = []
        self._held_bytes = 0

    def write(self, batch: Batch) -> None:
        """Write some rows."""
        import pyarrow as pa

        width = batch.features.shape[1]
        if not self._vector and width > _MAX_COLUMNS:
            raise InputError(
                f"{batch.file}: {width:,} features would be as many Parquet columns, expected at "
                f"most {_MAX_COLUMNS:,}\n  pass --vector to write one column of lists"
            )
        columns = {} if batch.labels is None else {"label": pa.array(batch.labels)}
        step = max(1, _GROUP_BYTES // (4 * width))
        for first in range(0, len(batch), step):
            block = batch.features[first : first + step]
            dense = block if batch.dense else block.toarray()
            part = {name: column.slice(first, step) for name, column in columns.items()}
            self._write(pa.table(part | self._features(dense, batch)))

    def _features(self, dense: Any, batch: Batch) -> dict[str, Any]:
        import pyarrow as pa

        rows, width = dense.shape
        if self._vector:
            offsets = pa.array(np.arange(rows + 1, dtype=np.int32) * np.int32(width))
            flat = pa.array(np.ascontiguousarray(dense).ravel())
            return {"features": pa.ListArray.from_arrays(offsets, flat)}
        names = batch.names or tuple(f"f{place}" for place in range(width))
        if len(set(names)) < width or (batch.labels is not None and "label" in names):
            raise InputError(
                f"{batch.file}: column names repeat, or one is 'label', expected each once\n"
                "  pass --vector to write one column of lists"
            )
        turned = np.ascontiguousarray(dense.T)
        return {name: pa.array(turned[place]) for place, name in enumerate(names)}

    def _write(self, table: Any) -> None:
        import pyarrow.parquet as pq

        if self._writer is None:
            self._writer = pq.ParquetWriter(self._sink, table.schema, use_dictionary=False)
        self._held.append(table)
        self._held_bytes += table.nbytes
        if self._held_bytes >= _GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        if self._held:
            self._writer.write_table(pa.concat_tables(self._held))
        self._held, self._held_bytes = [], 0

    def close(self) -> None:
        """Write what is held, and the file's end."""
        self._flush()
        if self._writer is not None:
            self._writer.close()
