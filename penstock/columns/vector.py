"""Vectors: lists of numbers of one length, or Spark ml vectors, an output for each element."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from penstock.cells import family, present
from penstock.columns.base import (
    Block,
    ColumnKind,
    Float32s,
    Slot,
    indicator_width,
    not_for,
    refused,
)
from penstock.encode import Where
from penstock.errors import DataError, PenstockError, SchemaMismatchError
from penstock.impute import Fill, fill_of, refuse_missing
from penstock.sketch import Floats
from penstock.spec import VectorFeatures
from penstock.states import Wanted
from penstock.statistics import Statistics
from penstock.vectors import VECTOR_FIELDS, Cells, list_cells, vector_cells
from penstock.vectorstate import VectorState

__all__ = ["KIND", "VectorColumn"]

EXPECTED = "a list of numbers, or a Spark ml vector"
LISTS = ("list<", "large_list<", "fixed_size_list<")


@dataclass(frozen=True, kw_only=True)
class VectorColumn:
    """One source column of vectors, which pass as they are.

    Attributes:
        name: Column.
        type: Text of the Arrow type it was fitted on.
        fill: What replaces a missing vector: 0.0 in each place, or None.
        width: Numbers of a vector.
        stored_share: Share of them that are not zero, in the train split.
    """

    name: str
    type: str
    fill: Fill
    width: int
    stored_share: float

    @property
    def kind(self) -> str:
        """As the spec names it."""
        return "vector"

    @property
    def inputs(self) -> tuple[str, ...]:
        """Source columns that it reads."""
        return (self.name,)

    def names(self) -> tuple[str, ...]:
        """Return the names of its output columns, in order."""
        elements = tuple(f"{self.name}[{at}]" for at in range(self.width))
        return elements + ((f"{self.name}__missing",) if self.fill.indicator else ())

    def slots(self, arrays: Sequence[Any], where: Where, first: int) -> list[Slot]:
        """Return its outputs for a batch.

        Raises:
            SchemaMismatchError: The type is that of no vectors.
            DataError: A vector has another width, or an element that is null, not finite or does not
                fit in float32; or it is missing against the rule.
        """
        (array,) = arrays
        _check_type(array, self.name, where, self.type)
        missing = ~present(array)
        if missing.any():
            if self.fill.value is None:
                raise refused(where, self.name, missing)
            array = _zeroed(array, self.width)
        matrix = np.zeros((0, self.width), np.float32)
        if missing.all():
            matrix = np.zeros((len(array), self.width), np.float32)
        elif len(array):
            matrix = self._matrix(array, where)
        slots: list[Slot] = [Block(first=first, matrix=matrix)]
        if self.fill.indicator:
            slots.append((first + self.width, missing.astype(np.float32)))
        return slots

    def _matrix(self, array: Any, where: Where) -> Any:
        """Return float32 (rows, width), as CSR if some vectors are sparse."""
        read = vector_cells if pa.types.is_struct(array.type) else list_cells
        cells = read(array, self.name, where, self.width)
        values = _float32s(cells, self.name, where)
        if cells.keys is None:
            return values.reshape(-1, self.width)
        matrix = cells.csr(values)
        matrix.eliminate_zeros()
        return matrix

    def entry(self) -> dict[str, Any]:
        """Return what plan.json says of it."""
        return {
            "type": self.type,
            "missing": asdict(self.fill),
            "width": self.width,
            "stored_share": self.stored_share,
        }

    @classmethod
    def from_entry(cls, entry: Mapping[str, Any]) -> VectorColumn:
        """Return the column that plan.json describes."""
        return cls(
            name=entry["name"],
            type=entry["type"],
            fill=Fill(**entry["missing"]),
            width=entry["width"],
            stored_share=entry["stored_share"],
        )

    def filled(self, statistics: Statistics) -> Floats:
        """Return for each output the share of train rows in which it is not zero, about."""
        del statistics
        indicator = [self.fill.missing_share] if self.fill.indicator else []
        return np.array([self.stored_share] * self.width + indicator)


def _is_vector(kind: str) -> bool:
    """Return whether an Arrow type's text is that of vectors."""
    if kind.startswith("struct<"):
        return all(f"{name}: " in kind for name in VECTOR_FIELDS)
    inner = kind.rsplit(": ", 1)[-1].split(">", 1)[0].removesuffix(" not null")
    return kind.startswith(LISTS) and family(inner) in ("number", "boolean")


def _check_type(array: Any, column: str, where: Where, fitted: str) -> None:
    found = str(array.type)
    if found == "null" or _is_vector(found):
        return
    remedy = "cast it before encoding, or fit again on rows like these"
    raise SchemaMismatchError(
        where.table, column, found, f"{EXPECTED} (fitted on {fitted})", remedy
    )


def _zeroed(array: Any, width: int) -> Any:
    """Return an array of vectors with zeros in place of each null."""
    kind = array.type
    if pa.types.is_null(kind):
        return array
    return pc.coalesce(array, _zero(kind, width)[0])


def _zero(kind: Any, width: int) -> Any:
    """Return an array of one vector of zeros; a Spark vector is then sparse, with nothing stored.

    Made of buffers, as pa.scalar would import pandas.
    """
    if pa.types.is_struct(kind):
        members = {field.name: field.type for field in kind}
        made = {
            "type": _numbers(members["type"], 1),
            "size": _numbers(members["size"], 1, width),
            "indices": _zero(members["indices"], 0),
            "values": _zero(members["values"], 0),
        }
        return pa.StructArray.from_arrays([made[name] for name in members], fields=list(kind))
    values = _numbers(kind.value_type, width)
    if pa.types.is_fixed_size_list(kind):
        return pa.FixedSizeListArray.from_arrays(values, type=kind)
    offset = np.int64 if pa.types.is_large_list(kind) else np.int32
    ends = pa.py_buffer(np.array([0, width], offset))
    return pa.Array.from_buffers(kind, 1, [None, ends], children=[values])


def _numbers(kind: Any, count: int, value: int = 0) -> Any:
    """Return ``count`` equal numbers of a type; only 0 in types that are no integers."""
    content = np.full(count, value, np.int64).astype(kind.to_pandas_dtype())
    return pa.Array.from_buffers(kind, count, [None, pa.py_buffer(content)])


def _float32s(cells: Cells, column: str, where: Where) -> Float32s:
    """Return the stored numbers as float32 (entries,).

    Raises:
        DataError: One is not finite, or does not fit.
    """
    with np.errstate(over="ignore"):
        values = cells.values.astype(np.float32) + np.float32(0.0)
    wrong = ~np.isfinite(values)
    if wrong.any():
        at = int(np.argmax(wrong))
        row, element = cells.entry(at)
        raise DataError(
            f"table {where.table!r}, column {column!r}: row {where.first_row + row:,}, element "
            f"{element:,} is {float(cells.values[at])!r}, expected a finite number within the range of "
            "float32\n  mend it in merge.derive, or filter it in merge.where"
        )
    return values


def fit(name: str, rule: VectorFeatures, statistics: Statistics) -> VectorColumn:
    """Return the fitted column.

    Raises:
        DataError: Vectors are missing against the rule, all are, or they differ in width.
    """
    state = statistics.columns[name]
    if not isinstance(state, VectorState):
        raise not_for(state, rule.kind)
    refusal = refuse_missing(state) if rule.impute == "refuse" else ""
    if state.widest < 0:
        raise DataError(
            f"column {state.name!r}: all {state.rows:,} rows of the train split are missing, expected "
            "some vectors to learn their width from\n  leave it out of features"
        )
    if state.narrowest != state.widest or not state.widest:
        raise DataError(
            f"column {state.name!r}: vectors of the train split have from {state.narrowest:,} to "
            f"{state.widest:,} numbers, expected one width of at least 1\n"
            "  pad or cut them in merge.derive, or filter them in merge.where"
        )
    value = None if rule.impute == "refuse" else 0.0
    fill = fill_of(rule, state, value, refusal or "zeros")
    share = state.stored / (max(state.rows, 1) * state.widest)
    return VectorColumn(
        name=state.name, type=state.type, fill=fill, width=state.widest, stored_share=share
    )


def wanted(name: str, kind: str, _rule: VectorFeatures) -> list[Wanted]:
    """Return what to collect of a column."""
    return [Wanted(name=name, type=kind, kind="vector")]


def problems(name: str, kind: str, _rule: VectorFeatures) -> Iterator[PenstockError]:
    """Yield what is wrong with a column of this type before any row is read."""
    if not _is_vector(kind):
        remedy = "list it under another kind, or derive a vector from it in merge.derive"
        yield SchemaMismatchError("curated", name, kind, EXPECTED, remedy)


def width(name: str, rule: VectorFeatures, statistics: Statistics) -> int:
    """Return how many outputs a column will have."""
    state = statistics.columns[name]
    widest = state.widest if isinstance(state, VectorState) else 1
    return max(widest, 0) + indicator_width(rule, state)


KIND = ColumnKind(
    name="vector", column=VectorColumn, wanted=wanted, problems=problems, width=width, fit=fit
)
