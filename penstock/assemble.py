"""Columns of an Arrow batch -> a float32 matrix and labels, as they stand: no fit, no plan.

    any number, boolean, decimal        one column of the matrix
    list, fixed-size list of numbers    as many as each cell has
    Spark ml Vector                     as many as its size; dense and sparse rows in one column

What a matrix cannot hold is refused by row and column, never filled: nulls, NaN and infinity, lists of
different lengths, numbers past the range of float32, texts. Numbers are rounded to float32, whole
ones past 2**24 as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from penstock.cells import family
from penstock.encode import Float32s, Where
from penstock.errors import DataError, InputError, MissingColumnsError, SchemaMismatchError, listed
from penstock.vectors import (
    VECTOR_FIELDS,
    Cells,
    csr_of,
    list_cells,
    plain_numbers,
    refuse_nulls,
    vector_cells,
)

__all__ = ["Assembler"]

Layout = Literal["dense", "sparse"]
Kind = Literal["number", "list", "vector"]

BLOCK_BYTES = 1 << 19
"""Of the matrix that is filled at a time: columns are read once and written to near memory."""
MIN_BLOCK_ROWS = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class _Column:
    """A column of a batch, and where it goes."""

    name: str
    first: int
    width: int
    values: npt.NDArray[Any]
    cells: Cells | None

    @property
    def keyed(self) -> bool:
        return self.cells is not None and self.cells.keys is not None


class Assembler:
    """Turns batches of one schema into matrices of one width.

    The width of lists and vectors is what ``widths`` declares, else that of the first row seen; each
    further row must have it.
    """

    def __init__(
        self,
        features: tuple[str, ...],
        label: str | None,
        *,
        layout: Layout = "dense",
        widths: Mapping[str, int] | None = None,
        allow_nonfinite: bool = False,
    ) -> None:
        """Take columns that are known to be there; ``of`` checks them against a schema."""
        self.features, self.label, self.layout = features, label, layout
        self.allow_nonfinite = allow_nonfinite
        self._widths = dict(widths or {})

    @classmethod
    def of(
        cls,
        schema: pa.Schema,
        *,
        features: Sequence[str] | None,
        label: str | None,
        layout: Layout = "dense",
        widths: Mapping[str, int] | None = None,
        allow_nonfinite: bool = False,
        table: str = "rows",
    ) -> Assembler:
        """Return an assembler of some columns of a schema.

        Args:
            schema: Of the batches to come; other columns of it are not looked at.
            features: Columns, in the order of the matrix; None: all but the label.
            label: Column of numbers; None: no labels.
            layout: ``dense`` gives numpy arrays, ``sparse`` scipy CSR arrays without stored zeros,
                but for those that a sparse vector stores.
            widths: Numbers of each cell of list and vector columns, where known.
            allow_nonfinite: Pass on NaN and infinity. A number too large for float32 is refused still.
            table: What errors call the rows.

        Raises:
            MissingColumnsError: The schema lacks a column.
            SchemaMismatchError: A column is of no type that a matrix can hold.
            InputError: There is no feature, one is named twice, or the label is among them.
        """
        names = tuple(schema.names)
        chosen = tuple(name for name in names if name != label)
        chosen = chosen if features is None else tuple(features)
        asked = chosen if label is None else (*chosen, label)
        if missing := tuple(dict.fromkeys(name for name in asked if name not in names)):
            raise MissingColumnsError(table, missing, names)
        _check_names(table, chosen, label)
        for name in chosen:
            _kind(schema.field(name).type, name, table)
        if label is not None:
            _check_label(schema.field(label).type, label, table)
        numbers = {n: 1 for n in chosen if _kind(schema.field(n).type, n, table) == "number"}
        fixed = {
            name: schema.field(name).type.list_size
            for name in chosen
            if pa.types.is_fixed_size_list(schema.field(name).type)
        }
        return cls(
            chosen,
            label,
            layout=layout,
            widths={**numbers, **fixed, **dict(widths or {})},
            allow_nonfinite=allow_nonfinite,
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that a batch must have: the features, then the label."""
        return self.features if self.label is None else (*self.features, self.label)

    @property
    def widths(self) -> dict[str, int]:
        """Width of each feature column that is known by now."""
        return dict(self._widths)

    @property
    def width(self) -> int:
        """Columns of the matrix.

        Raises:
            InputError: A list or vector column has no declared width, and no row was seen yet.
        """
        return sum(self._known(name) for name in self.features)

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each column of the matrix: ``price``, ``embedding[0]``, ``embedding[1]``, ...

        Raises:
            InputError: As ``width``.
        """
        return tuple(name for column in self.features for name in self._names(column))

    def _names(self, column: str) -> Iterator[str]:
        width = self._known(column)
        return iter((column,)) if width == 1 else (f"{column}[{i}]" for i in range(width))

    def _known(self, column: str) -> int:
        if (width := self._widths.get(column)) is None:
            raise InputError(
                f"column {column!r}: its width is not known before its first row\n"
                "  encode a batch first, or declare it in widths"
            )
        return width

    def encode(self, batch: Any, *, where: Where | None = None) -> tuple[Any, Float32s | None]:
        """Return the matrix and the labels of a pyarrow RecordBatch.

        Args:
            batch: Has ``columns``, in any order.
            where: What errors call the rows.

        Returns:
            Float32 (rows, width), a C-contiguous array or a scipy CSR array with ascending indices;
            and float32 (rows,) labels, or None without a label column. A matrix may be a read-only
            view of the batch.

        Raises:
            MissingColumnsError: The batch lacks a column.
            SchemaMismatchError: A column is of no type that a matrix can hold.
            DataError: A row cannot be in a matrix; names row and column.
        """
        where = where or Where()
        names = tuple(batch.schema.names)
        if missing := tuple(name for name in self.columns if name not in names):
            raise MissingColumnsError(where.table, missing, names)
        if not batch.num_rows:
            nothing = np.empty((0, self.width), np.float32)
            empty = None if self.label is None else np.empty(0, np.float32)
            return nothing if self.layout == "dense" else csr_of(nothing), empty
        columns = self._read(batch, where)
        labels = None if self.label is None else self._labels(batch, where)
        laid_out = self._dense if self.layout == "dense" else self._sparse
        return laid_out(columns, batch.num_rows, where), labels

    def _read(self, batch: Any, where: Where) -> list[_Column]:
        """Return the feature columns of a batch of at least one row; fixes widths."""
        columns = []
        first = 0
        for name in self.features:
            array = batch.column(name)
            kind = _kind(array.type, name, where.table)
            if kind == "number":
                refuse_nulls(array, name, where, "a number")
                cells, values = None, plain_numbers(array)
            else:
                reader = list_cells if kind == "list" else vector_cells
                cells = reader(array, name, where, self._widths.get(name))
                values = _float32s(cells, name, where, allow=self.allow_nonfinite)
            width = 1 if cells is None else cells.width
            if self._widths.setdefault(name, width) != width:
                raise DataError(
                    f"table {where.table!r}, column {name!r}: type is {array.type}, expected "
                    f"{self._widths[name]:,} numbers in each cell as in the batches before\n"
                    "  all rows of a dataset have one width"
                )
            columns.append(_Column(name=name, first=first, width=width, values=values, cells=cells))
            first += width
        return columns

    def _labels(self, batch: Any, where: Where) -> Float32s:
        array = batch.column(self.label)
        name = str(self.label)
        _check_label(array.type, name, where.table)
        refuse_nulls(array, name, where, "a label")
        column = _Column(name=name, first=0, width=1, values=plain_numbers(array), cells=None)
        return self._dense([column], len(array), where)[:, 0]

    def _dense(self, columns: Sequence[_Column], rows: int, where: Where) -> Float32s:
        """Return float32 (rows, width of these columns)."""
        width = sum(column.width for column in columns)
        if len(columns) == 1 and not columns[0].keyed and columns[0].values.dtype == np.float32:
            matrix = columns[0].values.reshape(rows, width)
            if columns[0].cells is None:
                self._check(columns, matrix, 0, where)
            return matrix
        matrix = np.empty((rows, width), np.float32)
        step = max(MIN_BLOCK_ROWS, BLOCK_BYTES // (4 * width))
        origin = columns[0].first
        with np.errstate(over="ignore", invalid="ignore"):
            for start in range(0, rows, step):
                block = matrix[start : start + step]
                for column in columns:
                    at = column.first - origin
                    if column.cells is None:
                        block[:, at] = column.values[start : start + step]
                    else:
                        column.cells.put(block[:, at : at + column.width], column.values, start)
                self._check(columns, block, start, where)
        return matrix

    def _sparse(self, columns: Sequence[_Column], rows: int, where: Where) -> Any:
        """Return a CSR array of all columns; neighbours that store all numbers go together."""
        from scipy.sparse import hstack

        parts = []
        for keyed, group in groupby(columns, lambda column: column.keyed):
            if keyed:
                parts += [column.cells.csr(column.values) for column in group if column.cells]
            else:
                parts.append(csr_of(self._dense(list(group), rows, where)))
        matrix = parts[0] if len(parts) == 1 else hstack(parts, format="csr")
        matrix.has_canonical_format = True
        return matrix

    def _check(self, columns: Sequence[_Column], block: Float32s, start: int, where: Where) -> None:
        """Refuse what is not finite in single-number columns; the others were checked when read."""
        if np.isfinite(block).all():
            return
        found = []
        for column in columns:
            if column.cells is None:
                values = column.values[start : start + len(block)]
                cast = block[:, column.first - columns[0].first]
                if (at := _first_bad(values, cast, allow=self.allow_nonfinite)) is not None:
                    found.append((at, column, values[at]))
        if found:
            at, column, value = min(found, key=lambda bad: (bad[0], bad[1].first))
            row = where.first_row + start + at
            raise _not_finite(f"table {where.table!r}, column {column.name!r}: row {row:,}", value)


def _check_names(table: str, features: tuple[str, ...], label: str | None) -> None:
    if not features:
        raise InputError(f"table {table!r}: no feature columns, expected at least one")
    if twice := [n for n in dict.fromkeys(features) if features.count(n) > 1]:
        raise InputError(
            f"table {table!r}: features name {listed(twice)} more than once, expected each once"
        )
    if label in features:
        raise InputError(
            f"table {table!r}: column {label!r} is the label and a feature, expected one of them\n"
            "  a model that is given the label learns nothing else: leave it out of features"
        )


def _check_label(kind: pa.DataType, name: str, table: str) -> None:
    if _kind(kind, name, table) != "number":
        expected = "a number or a boolean"
        remedy = "a label is one number: take an element of it, or another column"
        raise SchemaMismatchError(table, name, str(kind), expected, remedy)


def _kind(kind: pa.DataType, name: str, table: str) -> Kind:
    """Return how a type is read.

    Raises:
        SchemaMismatchError: A matrix cannot hold it.
    """
    if _is_number(kind):
        return "number"
    listy = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    if (listy or pa.types.is_fixed_size_list(kind)) and _is_number(kind.value_type):
        return "list"
    if pa.types.is_struct(kind) and tuple(field.name for field in kind) == VECTOR_FIELDS:
        return "vector"
    raise SchemaMismatchError(
        table,
        name,
        str(kind),
        "a number, a boolean, a list of numbers or a Spark ml Vector",
        "name the columns to take in features, or encode it first (penstock fit learns how)",
    )


def _is_number(kind: pa.DataType) -> bool:
    return family(str(kind)) in ("number", "boolean", "null")


def _float32s(cells: Cells, name: str, where: Where, *, allow: bool) -> Float32s:
    """Return all stored values of a column as float32 (entries,)."""
    with np.errstate(over="ignore", invalid="ignore"):
        values = np.asarray(cells.values, np.float32)
    if (at := _first_bad(cells.values, values, allow=allow)) is not None:
        row, element = cells.entry(at)
        found = f"row {where.first_row + row:,}, element {element:,}"
        raise _not_finite(f"table {where.table!r}, column {name!r}: {found}", cells.values[at])
    return values


def _first_bad(values: npt.NDArray[Any], cast: Float32s, *, allow: bool) -> int | None:
    """Return where a number did not arrive in float32 finite; with ``allow`` it must have been."""
    fine = np.isfinite(cast)
    if allow:
        fine |= ~np.isfinite(values)
    return None if fine.all() else int(np.argmin(fine))


def _not_finite(where: str, value: Any) -> DataError:
    number = value.item()
    if np.isfinite(value):
        return DataError(
            f"{where} is {number!r}, expected a number within the range of float32\n"
            "  scale the column down, or take its logarithm"
        )
    return DataError(
        f"{where} is {number!r}, expected a finite number\n"
        "  fill or filter it first, or allow it with allow_nonfinite=True if the reader can take it"
    )
