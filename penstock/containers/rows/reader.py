"""A request's body -> one Arrow batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from penstock.containers.rows.csvbody import csv_columns
from penstock.containers.rows.jsonbody import json_columns, json_rows, line_blocks, parsed_lines
from penstock.containers.rows.pycells import column_of
from penstock.containers.rows.textcells import as_fitted
from penstock.encode import Where
from penstock.errors import DataError, InputError, MissingColumnsError, listed

__all__ = ["ARROW", "CSV", "JSON", "JSON_LINES", "RowReader"]

CSV = "text/csv"
JSON = "application/json"
JSON_LINES = ("application/jsonlines", "application/x-jsonlines", "application/x-ndjson")
ARROW = "application/vnd.apache.arrow.stream"

TABLE = "request"
"""What errors call the rows of a request. They count from 0."""


class RowReader:
    """Reads bodies into batches that have the columns of a plan. Safe to use from several threads."""

    def __init__(
        self,
        types: Mapping[str, str],
        *,
        order: Sequence[str] | None = None,
        header: bool = False,
        absent_is_null: bool = False,
    ) -> None:
        """Prepare for a plan's columns.

        Args:
            types: Name of each column and the text of the Arrow type that it was fitted on.
            order: Names of the cells of a CSV without header, and of rows that are lists, other
                columns included; None: those of ``types``.
            header: Whether a CSV has a header, unless the request says.
            absent_is_null: Whether keys may be absent from JSON objects, unless the request says.

        Raises:
            InputError: ``order`` lacks a column, or names one twice.
        """
        self._types = dict(types)
        self._order = tuple(types) if order is None else tuple(order)
        self._header, self._absent_is_null = header, absent_is_null
        if missing := tuple(name for name in types if name not in self._order):
            raise MissingColumnsError("order of columns", missing, self._order)
        if twice := [n for n in dict.fromkeys(self._order) if self._order.count(n) > 1]:
            raise InputError(f"order of columns: it has {listed(twice)} twice, expected each once")

    @property
    def reads(self) -> tuple[str, ...]:
        """Media types of bodies."""
        return (CSV, JSON, *JSON_LINES, ARROW)

    @property
    def order(self) -> tuple[str, ...]:
        """Names of the cells of a CSV without header."""
        return self._order

    def read(self, body: bytes, media: str, parameters: Mapping[str, str]) -> Any:
        """Return the rows of a body as a pyarrow RecordBatch.

        Args:
            body: Its bytes.
            media: One of ``reads``.
            parameters: Of Content-Type: ``header`` (present, absent), ``label_size``, ``absent``
                (null, refused).

        Raises:
            InputError: The body or a parameter is wrong as a whole.
            DataError: A row is; names it, and the column.
        """
        if media == CSV:
            return self._csv(body, parameters)
        if media == ARROW:
            return _arrow(body)
        absent = _flag(parameters, "absent", ("null", "refused"), usual=self._absent_is_null)
        if media == JSON:
            rows, names = json_rows(body, Where(table=TABLE))
            return self._batch(rows, names or self._order, 0, absent_is_null=absent)
        batches, first = [], 0
        for lines in line_blocks(body, Where(table=TABLE)):
            rows = parsed_lines(lines, Where(table=TABLE, first_row=first))
            batches.append(self._batch(rows, self._order, first, absent_is_null=absent))
            first += len(rows)
        return batches[0] if len(batches) == 1 else _joined(pa.Table.from_batches(batches))

    def _csv(self, body: bytes, parameters: Mapping[str, str]) -> Any:
        where = Where(table=TABLE)
        header = _flag(parameters, "header", ("present", "absent"), usual=self._header)
        labels = parameters.get("label_size", "0")
        if not (labels.isascii() and labels.isdigit() and len(labels) < 5):
            raise InputError(
                f"Content-Type: label_size is {labels!r}, expected a whole number\n"
                "  it is how many columns stand before the features, and are not looked at"
            )
        names = None if header else self._order
        skipped = 0 if header else int(labels)
        found = csv_columns(body, tuple(self._types), where, names=names, skipped=skipped)
        arrays = [
            as_fitted(texts, fitted, name, where)
            for texts, (name, fitted) in zip(found, self._types.items(), strict=True)
        ]
        return pa.RecordBatch.from_arrays(arrays, list(self._types))

    def _batch(
        self, rows: list[Any], order: Sequence[str], first: int, *, absent_is_null: bool
    ) -> Any:
        where = Where(table=TABLE, first_row=first)
        found = json_columns(rows, tuple(self._types), order, where, absent_is_null=absent_is_null)
        arrays = [
            column_of(cells, fitted, name, where)
            for cells, (name, fitted) in zip(found, self._types.items(), strict=True)
        ]
        return pa.RecordBatch.from_arrays(arrays, list(self._types))


def _flag(
    parameters: Mapping[str, str], name: str, values: tuple[str, str], *, usual: bool
) -> bool:
    given = parameters.get(name, values[not usual])
    if given not in values:
        raise InputError(f"Content-Type: {name} is {given!r}, expected {listed(values)}")
    return given == values[0]


def _arrow(body: bytes) -> Any:
    """Return the rows of an Arrow stream; the plan looks at their types."""
    from pyarrow import ipc

    try:
        table = ipc.open_stream(pa.BufferReader(body)).read_all()
        table.validate(full=True)
    except (pa.ArrowException, OSError) as error:
        text = (str(error).splitlines() or ["?"])[0][:200]
        raise DataError(
            f"table {TABLE!r}: no Arrow stream: {text}\n  send what pyarrow.ipc.new_stream writes"
        ) from None
    return _joined(table)


def _joined(table: Any) -> Any:
    """Return a table as one batch."""
    batches = table.combine_chunks().to_batches()
    if batches:
        return batches[0]
    arrays = [pa.nulls(0, field.type) for field in table.schema]
    return pa.RecordBatch.from_arrays(arrays, table.schema.names)
