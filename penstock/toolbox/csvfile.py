"""CSV in and out: numbers in cells, a header or none; SageMaker's own has none and the label first."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np

from penstock.errors import DataError, InputError, listed
from penstock.toolbox.numbers import first_unreadable
from penstock.toolbox.progress import Advance
from penstock.toolbox.sources import Input, Source, Stream, opened
from penstock.toolbox.tables import Batch, ReadOptions, as_float32

__all__ = ["CsvWriter", "label_column", "read_csv"]

BLOCK_BYTES = 4 << 20
_MAX_LINE_BYTES = 256 << 20


def read_csv(source: Source, options: ReadOptions, advance: Advance) -> Iterator[Batch]:
    """Yield the rows of CSV files. Every cell is a number in the notation of C, or nan or inf.

    Raises:
        DataError: A cell is no number, or a line has more or fewer cells than the first: names file,
            line, column and text.
        InputError: The label's column is not there, or not clear.
    """
    for each in source.inputs:
        with opened(each, advance) as stream:
            yield from _read(each, stream, options)


class _Joined(io.RawIOBase):
    """Some bytes, then the rest of a stream."""

    def __init__(self, first: bytes, rest: Stream) -> None:
        super().__init__()
        self._first, self._rest = first, rest

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any, /) -> int:
        if self._first:
            count = min(len(into), len(self._first))
            into[:count] = self._first[:count]
            self._first = self._first[count:]
            return count
        return self._rest.readinto(into)


def _first_line(stream: Stream, name: str) -> tuple[bytes, bytes]:
    """Return the first line, and all bytes that were read to find it."""
    seen = b""
    while b"\n" not in seen and (more := stream.read(1 << 20)):
        seen += more
        if len(seen) > _MAX_LINE_BYTES:
            raise DataError(f"{name}: line 1 has no end within {_MAX_LINE_BYTES:,} bytes")
    return seen.partition(b"\n")[0], seen


def _cells(line: bytes, name: str) -> list[str]:
    import pyarrow as pa
    from pyarrow import csv

    if not line.strip():
        raise DataError(f"{name}: line 1 is empty, expected names or numbers")
    try:
        found = csv.read_csv(
            io.BytesIO(line + b"\n"), read_options=csv.ReadOptions(use_threads=False)
        )
    except pa.ArrowInvalid as error:
        raise DataError(f"{name}: line 1 is no CSV: {error}") from error
    return [str(cell) for cell in found.column_names]


def _is_number(cell: str) -> bool:
    try:
        float(cell or "nan")
    except ValueError:
        return False
    return True


def label_column(names: list[str], *, header: bool, options: ReadOptions, where: str) -> int | None:
    """Return which column is the label; None when none is.

    Args:
        names: Of all columns.
        header: Whether these names are the file's own.
        options: What the caller said.
        where: File, for errors.

    Raises:
        InputError: That column is not there, or it is not clear which one is meant.
    """
    if options.no_label:
        return names.index("label") if header and "label" in names else None
    if options.label is not None:
        if header and options.label in names:
            return names.index(options.label)
        if options.label.isdecimal() and int(options.label) < len(names):
            return int(options.label)
        has = f"columns {listed(names)}" if header else f"{len(names)} columns and no header"
        raise InputError(f"{where}: there is no column {options.label!r} (--label), it has {has}")
    if not header:
        return 0
    if "label" in names:
        return names.index("label")
    raise InputError(
        f"{where}: no column is named 'label', it has {listed(names)}\n"
        "  say which one is with --label NAME, or pass --no-label"
    )


def _read(each: Input, stream: Stream, options: ReadOptions) -> Iterator[Batch]:
    import pyarrow as pa

    line, seen = _first_line(stream, each.name)
    if not seen:
        return
    cells = _cells(line.removeprefix(b"\xef\xbb\xbf").rstrip(b"\r"), each.name)
    header = options.header
    if header is None:
        header = not all(map(_is_number, cells))
    label = label_column(cells, header=header, options=options, where=each.name)
    broken: list[Any] = []
    row = 0
    try:
        for batch in _texts(_Joined(seen, stream), len(cells), len(line), broken, skip=int(header)):
            if batch.num_rows:
                first_line = row + 1 + int(header)
                known = cells if header else None
                yield _batch(batch, known, label, each.name, first_line, options)
                row += batch.num_rows
    except pa.ArrowInvalid as error:
        raise _broken(broken, each.name, error) from error


def _texts(
    stream: io.RawIOBase, columns: int, line_bytes: int, broken: list[Any], *, skip: int
) -> Any:
    """Return a reader of batches in which every cell is text, as it stands in the file.

    Args:
        stream: From the first line on.
        columns: Cells of the first line.
        line_bytes: Length of the first line.
        broken: Takes the first line that has another number of cells.
        skip: Lines to leave out.
    """
    import pyarrow as pa
    from pyarrow import csv

    def refuse(row: Any) -> str:
        broken.append(row)
        return "error"

    names = [str(place) for place in range(columns)]
    return csv.open_csv(
        pa.PythonFile(io.BufferedReader(stream, 1 << 20), mode="r"),
        csv.ReadOptions(
            use_threads=False,
            column_names=names,
            skip_rows=skip,
            block_size=max(BLOCK_BYTES, 2 * line_bytes),
        ),
        csv.ParseOptions(ignore_empty_lines=False, invalid_row_handler=refuse),
        csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
        ),
    )


def _broken(broken: list[Any], name: str, error: Exception) -> DataError:
    if not broken:
        if "Empty CSV" in str(error):
            return DataError(f"{name}: there is no row below its header")
        return DataError(f"{name}: no CSV: {error}")
    row = broken[0]
    line = "a line" if row.number is None else f"line {row.number:,}"
    shown = row.text if len(row.text) <= 60 else row.text[:59] + "…"
    return DataError(
        f"{name}: {line} has {row.actual_columns:,} cells, expected {row.expected_columns:,} as the "
        f"first line has: {shown!r}"
    )


def _batch(
    batch: Any,
    names: list[str] | None,
    label: int | None,
    file: str,
    first_line: int,
    options: ReadOptions,
) -> Batch:
    numbers = [_numbers(column, options) for column in batch.columns]
    if any(column is None for column in numbers):
        raise _unreadable(batch, names, file, first_line, options)
    places = [place for place in range(batch.num_columns) if place != label]
    if options.no_label and label is not None:
        label = None
    matrix = np.empty((batch.num_rows, len(places)), np.float32)
    for column, place in enumerate(places):
        matrix[:, column] = numbers[place]
    return Batch(
        features=matrix,
        labels=None if label is None else as_float32(numbers[label]),
        names=None if names is None else tuple(names[place] for place in places),
        file=file,
    )


def _tidy(column: Any, options: ReadOptions) -> Any:
    import pyarrow.compute as pc

    column = pc.utf8_trim_whitespace(column)
    if options.allow_nonfinite:
        column = pc.if_else(pc.equal(column, ""), "nan", column)
    return column


def _numbers(column: Any, options: ReadOptions) -> Any | None:
    """Return a column of texts as float32; None when one is no number."""
    found = _cast(column)
    return _cast(_tidy(column, options)) if found is None else found


def _cast(column: Any) -> Any | None:
    import pyarrow as pa

    try:
        return column.cast(pa.float32()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:
        return None


def _unreadable(
    batch: Any, names: list[str] | None, file: str, first_line: int, options: ReadOptions
) -> DataError:
    """Return the error of the first cell, by line and then by column, that is no number."""
    import pyarrow as pa

    found: list[tuple[int, int]] = []
    for place, column in enumerate(batch.columns):
        row = first_unreadable(_tidy(column, options), pa.float32())
        if row is not None:
            found.append((row, place))
    row, place = min(found)
    text = batch.column(place)[row].as_py()
    named = "" if names is None else f" ({names[place]!r})"
    what = f"{text!r} is no number" if text.strip() else "the cell is empty"
    also = "" if text.strip() else ", or pass --allow-nonfinite to read it as NaN"
    return DataError(
        f"{file}: line {first_line + row:,}, column {place}{named}: {what}\n"
        f"  expected a number like 12 or 0.5: encode or leave out what is none{also}"
    )


class CsvWriter:
    """Writes rows as CSV: the label first, no header unless asked for."""

    def __init__(self, sink: Any, *, header: bool) -> None:
        """Write to a binary stream."""
        self._sink, self._header = sink, header
        self._writer: Any = None

    def write(self, batch: Batch) -> None:
        """Write some rows; numbers have the fewest digits that give them back exactly."""
        import pyarrow as pa
        from pyarrow import csv

        dense = batch.features if batch.dense else batch.features.toarray()
        columns = [] if batch.labels is None else [pa.array(batch.labels)]
        columns += [pa.array(column) for column in np.ascontiguousarray(dense.T)]
        names = batch.names or tuple(f"f{place}" for place in range(dense.shape[1]))
        names = names if batch.labels is None else ("label", *names)
        if self._writer is None:
            schema = pa.schema([pa.field(name, pa.float32()) for name in names])
            options = csv.WriteOptions(include_header=self._header, quoting_style="needed")
            self._writer = csv.CSVWriter(self._sink, schema, write_options=options)
        self._writer.write(pa.RecordBatch.from_arrays(columns, schema=self._writer_schema(names)))

    def _writer_schema(self, names: tuple[str, ...]) -> Any:
        import pyarrow as pa

        return pa.schema([pa.field(name, pa.float32()) for name in names])

    def close(self) -> None:
        """Write what is left."""
        if self._writer is not None:
            self._writer.close()
