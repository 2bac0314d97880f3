"""FeaturePlan: the fitted imputation and encoding of every column, from an Arrow batch to a matrix.

    FeaturePlan.encode(batch)  ->  float32 (rows, width), dense or CSR
    FeaturePlan.labels(batch)  ->  float32 (rows,)
    FeaturePlan.save(folder)       plan.json, and long vocabularies; FeaturePlan.load(folder) reads it
    FeaturePlan.to_json()          all of it as one text, which FeaturePlan.from_json reads

``penstock.planning.build_plan`` makes a plan from statistics.

One column of the table makes a run of neighbouring output columns, in the order of the plan:

    numeric       <column>                          then <column>__missing, if it has an indicator
    categorical   <column>=<value> ..., and <column>=(rare), then <column>__missing

What each kind of column does is in ``penstock.columns``. Both layouts are made from the same slots.
"""

from __future__ import annotations

import bisect
import hashlib
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from penstock import planfile, storage
from penstock.columns import KINDS, PlanColumn, Slot
from penstock.columns.base import OutOfFold, Worded
from penstock.columns.layouts import dense_matrix, sparse_matrix
from penstock.encode import LabelRule, Where
from penstock.errors import InputError, MissingColumnsError, MissingFileError, listed
from penstock.labelmoments import Folds
from penstock.sketch import Ints
from penstock.spec import Task

__all__ = ["FeaturePlan", "Output"]

SCHEMA_VERSION = 1

Float32s = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class Output:
    """Where an output column comes from.

    Attributes:
        index: Its position.
        name: Its name.
        column: The source column, or the feature that several of them make.
        inputs: All source columns that it is made from.
        kind: As the spec names it.
        words: What it holds, for people.
    """

    index: int
    name: str
    column: str
    inputs: tuple[str, ...]
    kind: str
    words: str


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
        dropped: Features that the fit left out, with the reason of each.
        note: How its features came about, for people; not part of the hash, as the same features make the
            same plan, whoever chose them.
    """

    task: Task
    label: LabelRule
    columns: tuple[PlanColumn, ...]
    layout: Literal["dense", "sparse"]
    dense_row_bytes: int
    sparse_row_bytes: float
    fitted_on: Mapping[str, Any]
    dropped: Mapping[str, str] = field(default_factory=dict)
    note: str = ""

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
        return tuple(dict.fromkeys(name for column in self.columns for name in column.inputs))

    @cached_property
    def fold_columns(self) -> tuple[str, ...]:
        """Key columns that a batch of train rows must have besides, to be encoded as such."""
        rules = (c.folds for c in self.columns if isinstance(c, OutOfFold) and c.folds)
        return tuple(dict.fromkeys(name for rule in rules for name in rule.columns))

    @property
    def row_bytes(self) -> float:
        """Predicted mean bytes of one RecordIO record in the plan's layout."""
        return self.dense_row_bytes if self.layout == "dense" else self.sparse_row_bytes

    def encode(self, batch: Any, *, training: bool = False, where: Where | None = None) -> Any:
        """Return the features of a pyarrow RecordBatch; other columns of it are not looked at.

        Args:
            batch: Has ``input_columns``, in any order, of types like those fitted.
            training: Whether these are the rows that the plan was fitted on: target encodings are
                then made from the other folds' rows. Such a batch has ``fold_columns`` as well.
            where: What errors call the rows.

        Returns:
            Float32 (rows, width): a C-contiguous array when the layout is dense, else a scipy CSR
            array with sorted indices and no stored zeros. Equal values either way, to the bit.

        Raises:
            MissingColumnsError: The batch lacks a column.
            SchemaMismatchError: A column has another type than was fitted.
            DataError: A value is infinite, or missing or unknown against its column's rule.
        """
        slots = self._slots(batch, where or Where(), training=training)
        laid_out = dense_matrix if self.layout == "dense" else sparse_matrix
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

    def _slots(self, batch: Any, where: Where, *, training: bool) -> list[Slot]:
        """Return all slots of a batch, in ascending order of position."""
        _check_columns(batch, self.input_columns, where)
        if training:
            _check_keys(batch, self.fold_columns, where)
        slots: list[Slot] = []
        folds: dict[Folds, Ints] = {}
        for column, first in zip(self.columns, self._firsts, strict=False):
            arrays = [batch.column(name) for name in column.inputs]
            rule = column.folds if training and isinstance(column, OutOfFold) else None
            if rule is None or not isinstance(column, OutOfFold):
                slots += column.slots(arrays, where, first)
                continue
            if rule not in folds:
                folds[rule] = rule.of([batch.column(name) for name in rule.columns])
            slots += column.training_slots(arrays, where, first, folds[rule])
        return slots

    @cached_property
    def _firsts(self) -> tuple[int, ...]:
        """Position of each column's first output, and the width."""
        return (0, *itertools.accumulate(len(column.names()) for column in self.columns))

    def positions(self, column: str) -> range:
        """Return the positions of the outputs of a source column, or of a feature of several.

        Raises:
            InputError: The plan has no such column.
        """
        for each, first, end in zip(self.columns, self._firsts, self._firsts[1:], strict=False):
            if each.name == column:
                return range(first, end)
        raise InputError(
            f"plan: it has no column {column!r}, expected one of "
            f"{listed([each.name for each in self.columns])}\n  name a column that it encodes"
        )

    def explain(self, index: int) -> Output:
        """Return where the output column ``index`` comes from, and what it holds.

        Raises:
            InputError: The plan has no such output.
        """
        if not 0 <= index < self.width:
            raise InputError(
                f"plan: it has no output {index:,}, expected 0 to {self.width - 1:,}\n"
                "  look it up in names"
            )
        at = bisect.bisect_right(self._firsts, index) - 1
        column, first = self.columns[at], self._firsts[at]
        words = column.words(index - first) if isinstance(column, Worded) else self.names[index]
        return Output(
            index=index,
            name=self.names[index],
            column=column.name,
            inputs=column.inputs,
            kind=column.kind,
            words=words,
        )

    def source_of(self, index: int) -> str:
        """Return the source column of the output column ``index``; see ``explain``."""
        return self.explain(index).column

    @cached_property
    def sha256(self) -> str:
        """Hash of all that the plan says."""
        body = json.dumps(self._body(), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(body.encode()).hexdigest()

    def save(self, uri: str) -> None:
        """Write the plan into the folder ``uri``: long vocabularies as Parquet, then plan.json."""
        body = self._body()
        body["columns"], files = planfile.taken_apart(body["columns"])
        for name, content in files.items():
            storage.write_bytes(storage.join(uri, name), content)
        text = _laid_out(self._head() | body) + "\n"
        storage.write_bytes(storage.join(uri, planfile.FILE), text.encode())

    @classmethod
    def load(cls, uri: str) -> FeaturePlan:
        """Return the plan that ``save`` wrote into the folder ``uri``.

        Raises:
            MissingFileError: It is not there, or not all of it.
            InputError: It is of another schema version, or was changed by hand.
        """

        def read(name: str) -> bytes:
            where = storage.join(uri, name)
            if not storage.exists(where):
                raise MissingFileError("plan", where, "fit again: penstock fit SPEC")
            return storage.read_bytes(where)

        return cls._of(json.loads(read(planfile.FILE)), read)

    def to_json(self) -> str:
        """Return the whole plan as one text, for people as well: one entry per source column."""
        return _laid_out(self._head() | self._body()) + "\n"

    def _head(self) -> dict[str, Any]:
        return {"sha256": self.sha256} | ({"note": self.note} if self.note else {})

    @classmethod
    def from_json(cls, text: str) -> FeaturePlan:
        """Return the plan that ``to_json`` wrote, or ``save`` where it wrote plan.json alone.

        Raises:
            InputError: The text is of another schema version, was changed by hand, or is not all.
        """

        def read(name: str) -> bytes:
            raise InputError(
                f"plan: a part of it lies in {name!r}, expected all of it in one text\n"
                "  read it with FeaturePlan.load(folder)"
            )

        return cls._of(json.loads(text), read)

    @classmethod
    def _of(cls, body: dict[str, Any], read: Callable[[str], bytes]) -> FeaturePlan:
        if body.get("schema_version") != SCHEMA_VERSION:
            raise InputError(
                f"plan: schema_version is {body.get('schema_version')!r}, expected {SCHEMA_VERSION}\n"
                "  fit again: penstock fit SPEC"
            )
        columns = planfile.joined(body["columns"], read)
        label = {k: v for k, v in body["label"].items() if k != "expected"}
        classes = label.pop("classes")
        plan = cls(
            task=body["task"],
            label=LabelRule(**label, task=body["task"], classes=classes and tuple(classes)),
            columns=tuple(KINDS[entry["kind"]].column.from_entry(entry) for entry in columns),
            layout=body["layout"],
            dense_row_bytes=body["row_bytes"]["dense"],
            sparse_row_bytes=body["row_bytes"]["sparse"],
            fitted_on=body["fitted_on"],
            dropped={each["name"]: each["reason"] for each in body.get("dropped", ())},
            note=body.get("note", ""),
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
            outputs = {"first": first, "count": len(column.names())}
            body = column.entry()
            head = {"name": column.name, "kind": column.kind, "type": body.pop("type")}
            columns.append(head | {"outputs": outputs} | body)
            first += len(column.names())
        dropped = [{"name": name, "reason": reason} for name, reason in self.dropped.items()]
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
        } | ({"dropped": dropped} if dropped else {})


def _check_columns(batch: Any, columns: Sequence[str], where: Where) -> None:
    names = set(batch.schema.names)
    if missing := tuple(name for name in columns if name not in names):
        raise MissingColumnsError(where.table, missing, tuple(batch.schema.names))


def _check_keys(batch: Any, columns: Sequence[str], where: Where) -> None:
    names = batch.schema.names
    if missing := [name for name in columns if name not in names]:
        raise InputError(
            f"table {where.table!r} lacks {listed(missing)}, expected the key columns, which say the "
            "fold of a train row\n"
            "  add them, or leave training=True away for rows that the plan was not fitted on"
        )


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
