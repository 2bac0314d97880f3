"""FeaturePlan: the fitted imputation and encoding of every column, from an Arrow batch to a matrix.

    FeaturePlan.encode(batch)  ->  float32 (rows, width), dense or CSR
    FeaturePlan.labels(batch)  ->  float32 (rows,)
    FeaturePlan.to_json()          plan.json, which FeaturePlan.from_json reads

``penstock.planning.build_plan`` makes a plan from statistics.

One column of the table makes a run of neighbouring output columns, in the order of the plan:

    numeric       <column>                          then <column>__missing, if it has an indicator
    categorical   <column>=<value> ..., and <column>=(rare), then <column>__missing

Every row has at most one value that is not zero in each of these slots: the number, the category,
the indicator. A slot of a batch is either a fixed output position with values (n,), or the position
of a one for each row, -1 for none. Both layouts are made from the same slots.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from penstock.cells import names_array, numbers
from penstock.encode import LabelRule, OneHot, Scaling, Where, check_type, lookup
from penstock.errors import DataError, InputError, MissingColumnsError
from penstock.impute import Fill
from penstock.spec import Task

__all__ = ["CategoricalColumn", "FeaturePlan", "NumericColumn", "PlanColumn"]

SCHEMA_VERSION = 1

Float32s = npt.NDArray[np.float32]
Positions = npt.NDArray[np.int32]
Slot = tuple[int, Float32s] | tuple[Positions, None]


@dataclass(frozen=True, kw_only=True)
class NumericColumn:
    """One source column of numbers.

    Attributes:
        name: Column.
        type: Text of the Arrow type it was fitted on.
        fill: What replaces a missing cell.
        scaling: What happens to the number.
    """

    name: str
    type: str
    fill: Fill
    scaling: Scaling

    @property
    def kind(self) -> str:
        """As the spec names it."""
        return "numeric"

    def names(self) -> tuple[str, ...]:
        """Return the names of its output columns, in order."""
        return (self.name, *((f"{self.name}__missing",) if self.fill.indicator else ()))

    def slots(self, array: Any, where: Where, first: int) -> list[Slot]:
        """Return the slots of a batch's column; ``first`` is the position of its first output.

        Raises:
            SchemaMismatchError: The type does not fit.
            DataError: A value is infinite, does not fit in float32, or is missing against the rule.
        """
        check_type(where, self.name, array, self.type, numeric=True)
        values = numbers(array)
        missing = np.isnan(values)
        holes = bool(missing.any())
        if holes:
            if self.fill.value is None:
                raise _refused(where, self.name, missing)
            values = np.where(missing, float(self.fill.value), values)
        slots: list[Slot] = [(first, self.scaling.apply(values, where, self.name))]
        if self.fill.indicator:
            slots.append((first + 1, missing.astype(np.float32)))
        return slots


@dataclass(frozen=True, kw_only=True)
class CategoricalColumn:
    """One source column of names.

    Attributes:
        name: Column.
        type: Text of the Arrow type it was fitted on.
        fill: What replaces a missing cell.
        encoding: What becomes of a name.
    """

    name: str
    type: str
    fill: Fill
    encoding: OneHot

    @property
    def kind(self) -> str:
        """As the spec names it."""
        return "categorical"

    def names(self) -> tuple[str, ...]:
        """Return the names of its output columns, in order."""
        categories = tuple(f"{self.name}={value}" for value, _ in self.encoding.categories)
        rare = (f"{self.name}=(rare)",) if self.encoding.group else ()
        return categories + rare + ((f"{self.name}__missing",) if self.fill.indicator else ())

    @cached_property
    def _known(self) -> Any:
        return self.encoding.known()

    @cached_property
    def _fill_code(self) -> int:
        fill = names_array([] if self.fill.value is None else [str(self.fill.value)])
        return int(lookup(fill, self._known)[0]) if len(fill) else len(self._known)

    @cached_property
    def _places(self) -> Positions:
        # Code -1, missing, takes the last entry: wherever the replacement stands.
        places = self.encoding.places()
        return np.append(places, places[self._fill_code])

    def slots(self, array: Any, where: Where, first: int) -> list[Slot]:
        """Return the slots of a batch's column; ``first`` is the position of its first output.

        Raises:
            SchemaMismatchError: The type does not fit.
            DataError: A value is unknown, or missing, against the rule.
        """
        check_type(where, self.name, array, self.type, numeric=False)
        codes = lookup(array, self._known)
        if self.fill.value is None and (missing := codes < 0).any():
            raise _refused(where, self.name, missing)
        if self.encoding.unknown == "refuse":
            self._check_known(array, codes, where)
        places = self._places[codes]
        slots: list[Slot] = [(np.where(places < 0, places, places + np.int32(first)), None)]
        if self.fill.indicator:
            slots.append((first + self.encoding.width, (codes < 0).astype(np.float32)))
        return slots

    def _check_known(self, array: Any, codes: Positions, where: Where) -> None:
        unknown = len(self._known)
        wrong = codes == unknown
        if self._fill_code == unknown:
            wrong |= codes < 0
        if wrong.any():
            at, row = where.first(wrong)
            shown = [value for value, _ in self.encoding.categories[:5]]
            more = unknown - len(shown)
            raise DataError(
                f"table {where.table!r}, column {self.name!r}: row {row} is {array[at].as_py()!r}, "
                f"expected a value of the train split, as unknown is 'refuse': "
                f"{', '.join(map(repr, shown))}{f' and {more:,} more' if more > 0 else ''}\n"
                "  mend the value, or set unknown: rare or zeros on the column and fit again"
            )


PlanColumn = NumericColumn | CategoricalColumn


def _refused(where: Where, column: str, missing: npt.NDArray[np.bool_]) -> DataError:
    _, row = where.first(missing)
    return DataError(
        f"table {where.table!r}, column {column!r}: {int(missing.sum()):,} of {len(missing):,} rows "
        f"are missing, the first is row {row}, expected none, as impute is 'refuse'\n"
        "  mend the rows, or choose another impute rule for the column and fit again"
    )


@dataclass(frozen=True, kw_only=True)
class FeaturePlan:
    """Everything that encoding needs, learned from the train split alone.

    Attributes:
        task: What is predicted.
        label: How the label column becomes labels.
        columns: The source columns, in output order.
        layout: Whether ``encode`` gives a dense or a sparse matrix.
        dense_row_bytes: Predicted bytes of a dense RecordIO record.
        sparse_row_bytes: Predicted mean bytes of a sparse one, on rows like the train split's.
        fitted_on: What it was learned from: ``{"curated": <digest>, "split": "train", "rows": n}``.
    """

    task: Task
    label: LabelRule
    columns: tuple[PlanColumn, ...]
    layout: Literal["dense", "sparse"]
    dense_row_bytes: int
    sparse_row_bytes: float
    fitted_on: Mapping[str, Any]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Name of each output column, by position."""
        return tuple(name for column in self.columns for name in column.names())

    def sources(self) -> tuple[str, ...]:
        """Return the source column of each output column, by position."""
        return tuple(column.name for column in self.columns for _ in column.names())

    @property
    def width(self) -> int:
        """Number of output columns."""
        return len(self.names)

    @property
    def classes(self) -> tuple[str | int | float | bool, ...] | None:
        """Class values by class number; None for regression."""
        return self.label.classes

    @property
    def input_columns(self) -> tuple[str, ...]:
        """Columns that a batch must have to be encoded; the label is not among them."""
        return tuple(column.name for column in self.columns)

    @property
    def row_bytes(self) -> float:
        """Predicted mean bytes of one RecordIO record in the plan's layout."""
        return self.dense_row_bytes if self.layout == "dense" else self.sparse_row_bytes

    def encode(self, batch: Any, *, where: Where | None = None) -> Any:
        """Return the features of a pyarrow RecordBatch; other columns of it are not looked at.

        Args:
            batch: Has ``input_columns``, in any order, of types like those fitted.
            where: What errors call the rows.

        Returns:
            Float32 (rows, width): a C-contiguous array when the layout is dense, else a scipy CSR
            array with sorted indices and no stored zeros. Equal values either way, to the bit.

        Raises:
            MissingColumnsError: The batch lacks a column.
            SchemaMismatchError: A column has another type than was fitted.
            DataError: A value is infinite, or missing or unknown against its column's rule.
        """
        slots = self._slots(batch, where or Where())
        laid_out = _dense if self.layout == "dense" else _sparse
        return laid_out(slots, batch.num_rows, self.width)

    def labels(self, batch: Any, *, where: Where | None = None) -> Float32s:
        """Return the labels of a pyarrow RecordBatch: float32 (rows,).

        Raises:
            MissingColumnsError: The batch lacks the label column.
            SchemaMismatchError: It has another type than was fitted.
            DataError: A label is missing, or is no class.
        """
        where = where or Where()
        _check_columns(batch, (self.label.column,), where)
        return self.label.labels(batch.column(self.label.column), where)

    def _slots(self, batch: Any, where: Where) -> list[Slot]:
        """Return all slots of a batch, in ascending order of position."""
        _check_columns(batch, self.input_columns, where)
        slots: list[Slot] = []
        first = 0
        for column in self.columns:
            slots += column.slots(batch.column(column.name), where, first)
            first += len(column.names())
        return slots

    @cached_property
    def sha256(self) -> str:
        """Hash of all that the plan says."""
        body = json.dumps(self._body(), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(body.encode()).hexdigest()

    def to_json(self) -> str:
        """Return plan.json: one entry per source column, for people as well."""
        return _laid_out({"sha256": self.sha256} | self._body()) + "\n"

    @classmethod
    def from_json(cls, text: str) -> FeaturePlan:
        """Return the plan that ``to_json`` wrote.

        Raises:
            InputError: The text is of another schema version, or was changed by hand.
        """
        body = json.loads(text)
        if body.get("schema_version") != SCHEMA_VERSION:
            raise InputError(
                f"plan: schema_version is {body.get('schema_version')!r}, expected {SCHEMA_VERSION}\n"
                "  fit again: penstock fit SPEC"
            )
        label = {k: v for k, v in body["label"].items() if k != "expected"}
        classes = label.pop("classes")
        plan = cls(
            task=body["task"],
            label=LabelRule(**label, task=body["task"], classes=classes and tuple(classes)),
            columns=tuple(_column(column) for column in body["columns"]),
            layout=body["layout"],
            dense_row_bytes=body["row_bytes"]["dense"],
            sparse_row_bytes=body["row_bytes"]["sparse"],
            fitted_on=body["fitted_on"],
        )
        if plan.sha256 != body["sha256"]:
            raise InputError(
                f"plan: content hashes to {plan.sha256[:12]}..., expected sha256 {body['sha256'][:12]}...\n"
                "  it was changed after the fit; change pipeline.yaml and fit again"
            )
        return plan

    def _body(self) -> dict[str, Any]:
        first, columns = 0, []
        for column in self.columns:
            columns.append(_entry(column, first))
            first += len(column.names())
        return {
            "schema_version": SCHEMA_VERSION,
            "task": self.task,
            "label": {
                "column": self.label.column,
                "type": self.label.type,
                "classes": None if self.label.classes is None else list(self.label.classes),
                "expected": self.label.expected(),
            },
            "width": self.width,
            "layout": self.layout,
            "row_bytes": {"dense": self.dense_row_bytes, "sparse": self.sparse_row_bytes},
            "fitted_on": dict(self.fitted_on),
            "columns": columns,
        }


def _check_columns(batch: Any, columns: Sequence[str], where: Where) -> None:
    names = set(batch.schema.names)
    if missing := tuple(name for name in columns if name not in names):
        raise MissingColumnsError(where.table, missing, tuple(batch.schema.names))


def _dense(slots: Sequence[Slot], rows: int, width: int) -> Float32s:
    matrix = np.zeros((rows, width), np.float32)
    for position, values in slots:
        if values is not None:
            matrix[:, position] = values
            continue
        row = np.flatnonzero(np.asarray(position) >= 0)
        matrix[row, np.asarray(position)[row]] = 1.0
    return matrix


def _sparse(slots: Sequence[Slot], rows: int, width: int) -> Any:
    from scipy.sparse import csr_array

    # (rows, slots): row-major, so that what is kept is in CSR's order already.
    positions = np.empty((rows, len(slots)), np.int32)
    values = np.empty((rows, len(slots)), np.float32)
    for at, (position, value) in enumerate(slots):
        positions[:, at] = position
        values[:, at] = np.asarray(position) >= 0 if value is None else value
    kept = np.flatnonzero(values)
    ends = np.zeros(rows + 1, np.int32)
    np.cumsum(np.count_nonzero(values, axis=1), out=ends[1:])
    body = (values.ravel().take(kept), positions.ravel().take(kept), ends)
    matrix = csr_array(body, shape=(rows, width))
    matrix.has_canonical_format = True
    return matrix


def _entry(column: PlanColumn, first: int) -> dict[str, Any]:
    """Return what plan.json says of a source column."""
    entry: dict[str, Any] = {"name": column.name, "kind": column.kind, "type": column.type}
    entry["outputs"] = {"first": first, "count": len(column.names())}
    entry["missing"] = asdict(column.fill)
    if isinstance(column, NumericColumn):
        entry["scale"] = asdict(column.scaling)
        return entry
    one_hot = asdict(column.encoding)
    entry["one_hot"] = {
        "unknown": one_hot["unknown"],
        "rare": {
            "values": one_hot["rare_values"],
            "rows": one_hot["rare_rows"],
            "group": one_hot["group"],
            "names": list(one_hot["rare_names"]),
        },
        "undercount": one_hot["undercount"],
        "categories": [list(pair) for pair in one_hot["categories"]],
    }
    return entry


def _column(entry: Mapping[str, Any]) -> PlanColumn:
    fill = Fill(**entry["missing"])
    if entry["kind"] == "numeric":
        scaling = Scaling(**entry["scale"])
        return NumericColumn(name=entry["name"], type=entry["type"], fill=fill, scaling=scaling)
    body = entry["one_hot"]
    encoding = OneHot(
        categories=tuple((value, count) for value, count in body["categories"]),
        rare_values=body["rare"]["values"],
        rare_rows=body["rare"]["rows"],
        rare_names=tuple(body["rare"]["names"]),
        group=body["rare"]["group"],
        unknown=body["unknown"],
        undercount=body["undercount"],
    )
    return CategoricalColumn(name=entry["name"], type=entry["type"], fill=fill, encoding=encoding)


def _laid_out(value: Any, indent: str = "") -> str:
    """Return JSON with what a person reads as one thing on one line, if it is not too long."""
    flat = json.dumps(value, ensure_ascii=False, allow_nan=False)
    nested = isinstance(value, dict) and any(isinstance(v, dict | list) for v in value.values())
    if not isinstance(value, dict | list) or len(indent) + len(flat) <= (80 if nested else 200):
        return flat
    deeper = indent + "  "
    if isinstance(value, dict):
        items = [
            f"{json.dumps(key, ensure_ascii=False)}: {_laid_out(item, deeper)}"
            for key, item in value.items()
        ]
        return "{\n" + deeper + f",\n{deeper}".join(items) + f"\n{indent}}}"
    items = [_laid_out(item, deeper) for item in value]
    return "[\n" + deeper + f",\n{deeper}".join(items) + f"\n{indent}]"
