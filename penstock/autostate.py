"""States that a scan collects besides the usual ones while nobody has said yet what a column is.

    FewState        numbers: rows and label sums of each value, if they are few and whole
    FiguresState    texts: how long they are, how many words, what they look like
    LabelledState   the labels by value and fold of all columns that have few values; see ``targetstate``

A column with more than ``most`` values overflows: nothing more is kept of it. It overflows if all its
rows together have so many, whatever parts they came in, so these states merge in any order as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from penstock.categories import CategoryState, category_state, merged_categories
from penstock.cells import names_array, plain, present, texts
from penstock.labelmoments import Target
from penstock.sketch import Ints
from penstock.targetstate import TargetState
from penstock.wanted import ExtraState, Wanted

__all__ = ["SHAPES", "FewState", "FiguresState", "Labelled", "LabelledState"]

FEWEST_SEEN = 8192
"""Rows at the head of a batch that may show that a column has too many values."""

WORD = r"[\pL\pN_]+"
SHAPES: Mapping[str, str] = {
    "date": r"^\s*(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{4})"
    r"([T ]\d{1,2}:\d{2}.*)?\s*$",
    "number": r"^\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*$",
    "code": r"^\s*\{?([0-9a-fA-F]{16,}"
    r"|[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12})\}?\s*$",
}
"""What a text may look like: a date, a number, a UUID or a long hexadecimal number."""


def _many(array: Any, most: int) -> bool:
    """Return whether the first rows of an Arrow array show more than ``most`` values already."""
    head = array.slice(0, FEWEST_SEEN)
    # NaN and -0.0 count here, and not as values.
    return len(array) > most and int(pc.count_distinct(head, mode="only_valid").as_py()) > most + 2


def _whole(array: Any) -> bool:
    """Return whether all cells of an Arrow array are whole numbers, or missing."""
    kind = array.type
    if not (pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        return True
    values = plain(array.cast(pa.float64()))[present(array)]
    with np.errstate(invalid="ignore"):
        return bool((np.isnan(values) | (values == np.floor(values))).all())


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FewState(ExtraState):
    """A column of numbers that may be names.

    Attributes:
        name: Of the state.
        type: Text of the column's Arrow type.
        rows: All rows.
        most: How many values are few; past that it overflows.
        seen: The column as one of names; None: it has overflowed, or a number is not whole.
    """

    name: str
    type: str
    rows: int
    most: int
    seen: CategoryState | None

    @property
    def missing(self) -> int:
        """Rows without a number, as far as they were counted."""
        return 0 if self.seen is None else self.seen.missing

    @property
    def entries(self) -> int:
        """How many values the state holds."""
        return 0 if self.seen is None else self.seen.entries

    @classmethod
    def of(cls, wanted: Wanted, arrays: Sequence[Any], label: Any) -> Self:
        """Return the state of one batch; of no rows without arrays."""
        most: int = wanted.options
        state = cls(name=wanted.name, type=wanted.type, rows=0, most=most, seen=None)
        named = replace(wanted, cap=most)
        if not arrays:
            empty = CategoryState(name=wanted.name, type=wanted.type, cap=most)
            return replace(state, seen=empty)
        state = replace(state, rows=len(arrays[0]))
        if not _whole(arrays[0]) or _many(arrays[0], most):
            return state
        return state._bounded(merged_categories([category_state(named, arrays[0], label)]))

    def _bounded(self, seen: CategoryState | None) -> Self:
        few = seen is not None and len(seen.values) <= self.most
        return replace(self, seen=seen if few else None)

    @classmethod
    def merged(cls, states: Sequence[Self]) -> Self:
        """Return the state of all rows of ``states``."""
        seen = [state.seen for state in states if state.seen is not None]
        merged = replace(states[0], rows=sum(state.rows for state in states))
        return merged._bounded(merged_categories(seen) if len(seen) == len(states) else None)

    def plain(self) -> dict[str, Any]:
        """Return what JSON holds."""
        seen = self.seen
        return {
            "name": self.name,
            "type": self.type,
            "rows": self.rows,
            "most": self.most,
            "seen": seen
            and {
                "rows": seen.rows,
                "nulls": seen.nulls,
                "nans": seen.nans,
                "values": seen.values.to_pylist(),
                "counts": seen.counts.tolist(),
                "label_rows": seen.label_rows.tolist(),
                "label_sums": seen.label_sums.tolist(),
            },
        }

    @classmethod
    def from_plain(cls, body: Mapping[str, Any]) -> Self:
        """Return the state that ``plain`` took apart."""
        state = cls(**dict(body) | {"seen": None})
        if body["seen"] is None:
            return state
        found = dict(body["seen"])
        seen = CategoryState(
            name=state.name,
            type=state.type,
            cap=state.most,
            rows=found["rows"],
            nulls=found["nulls"],
            nans=found["nans"],
            values=names_array(found["values"]),
            counts=np.array(found["counts"], np.int64),
            label_rows=np.array(found["label_rows"], np.int64),
            label_sums=np.array(found["label_sums"], np.float64),
        )
        return replace(state, seen=seen)


@dataclass(frozen=True, kw_only=True, slots=True)
class FiguresState(ExtraState):
    """What texts look like.

    Attributes:
        name: Of the state.
        type: Text of the column's Arrow type.
        rows: All rows.
        missing: Rows that are null.
        characters: Of all texts.
        words: Of all texts: runs of letters, digits and underscores.
        shapes: Texts that look like each of ``SHAPES``.
    """

    name: str
    type: str
    rows: int = 0
    missing: int = 0
    characters: int = 0
    words: int = 0
    shapes: tuple[int, ...] = (0,) * len(SHAPES)

    def share(self, shape: str) -> float:
        """Return the share of the texts that look like ``shape``; 0.0 without texts."""
        present_rows = self.rows - self.missing
        return self.shapes[list(SHAPES).index(shape)] / present_rows if present_rows else 0.0

    @property
    def words_each(self) -> float:
        """Words of a text, on average."""
        return self.words / max(self.rows - self.missing, 1)

    @classmethod
    def of(cls, wanted: Wanted, arrays: Sequence[Any], label: Any) -> Self:
        """Return the state of one batch; of no rows without arrays."""
        del label
        state = cls(name=wanted.name, type=wanted.type)
        if not arrays:
            return state
        encoded = arrays[0]
        if not pa.types.is_dictionary(encoded.type):
            encoded = encoded.dictionary_encode()
        known = texts(encoded.dictionary)
        at = plain(encoded.indices).astype(np.int64)[present(encoded)]
        counts = np.where(present(known), np.bincount(at, minlength=len(known)), 0)
        filled = pc.coalesce(known, names_array([""])[0])

        def total(each: Any) -> int:
            return int((plain(each.cast(pa.int64())) * counts).sum())

        return replace(
            state,
            rows=len(encoded),
            missing=len(encoded) - int(counts.sum()),
            characters=total(pc.utf8_length(filled)),
            words=total(pc.count_substring_regex(filled, pattern=WORD)),
            shapes=tuple(
                total(pc.match_substring_regex(filled, pattern=shape)) for shape in SHAPES.values()
            ),
        )

    @classmethod
    def merged(cls, states: Sequence[Self]) -> Self:
        """Return the state of all rows of ``states``."""
        return replace(
            states[0],
            rows=sum(state.rows for state in states),
            missing=sum(state.missing for state in states),
            characters=sum(state.characters for state in states),
            words=sum(state.words for state in states),
            shapes=tuple(np.sum([state.shapes for state in states], axis=0).tolist()),
        )

    def plain(self) -> dict[str, Any]:
        """Return what JSON holds."""
        names = ("name", "type", "rows", "missing", "characters", "words")
        return {name: getattr(self, name) for name in names} | {"shapes": list(self.shapes)}

    @classmethod
    def from_plain(cls, body: Mapping[str, Any]) -> Self:
        """Return the state that ``plain`` took apart."""
        return cls(**dict(body) | {"shapes": tuple(body["shapes"])})


@dataclass(frozen=True, kw_only=True, slots=True)
class Labelled:
    """What a ``LabelledState`` collects.

    Attributes:
        columns: What would be collected of each column if it were target encoded; their keys are the same.
        target: How rows fall into folds.
        most: How many values are few.
    """

    columns: tuple[Wanted, ...]
    target: Target
    most: int


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class LabelledState(ExtraState):
    """Labels by value and fold, of several columns: the folds are made once for all of them.

    Attributes:
        name: Of the state.
        type: Empty: it is of several columns.
        rows: All rows.
        most: How many values are few; past that a column overflows.
        columns: The state of each column's labels; None: it has overflowed.
    """

    name: str
    type: str
    rows: int
    most: int
    columns: Mapping[str, TargetState | None] = field(default_factory=dict)

    @property
    def missing(self) -> int:
        """No row: cells are missing in columns."""
        return 0

    @property
    def entries(self) -> int:
        """How many values the state holds."""
        return sum(state.entries for state in self.columns.values() if state is not None)

    @classmethod
    def of(cls, wanted: Wanted, arrays: Sequence[Any], label: Any) -> Self:
        """Return the state of one batch; ``arrays`` are the columns, and the keys of the rows."""
        asked: Labelled = wanted.options
        state = cls(name=wanted.name, type="", rows=0, most=asked.most)
        if not arrays:
            empty = {each.name: TargetState.of(each, (), None) for each in asked.columns}
            return replace(state, columns=empty)
        columns, keys = arrays[: len(asked.columns)], arrays[len(asked.columns) :]
        folds = asked.target.folds.of(keys)
        found = {
            each.name: _labels(each, array, folds, label, asked.most)
            for each, array in zip(asked.columns, columns, strict=True)
        }
        return replace(state, rows=len(folds), columns=found)

    @classmethod
    def merged(cls, states: Sequence[Self]) -> Self:
        """Return the state of all rows of ``states``."""
        columns: dict[str, TargetState | None] = {}
        for name in states[0].columns:
            parts = [part for state in states if (part := state.columns[name]) is not None]
            whole = TargetState.merged(parts) if len(parts) == len(states) else None
            few = whole is not None and len(whole.values) <= states[0].most
            columns[name] = whole if few else None
        return replace(states[0], rows=sum(state.rows for state in states), columns=columns)

    def plain(self) -> dict[str, Any]:
        """Return what JSON holds."""
        columns = {name: state and state.plain() for name, state in self.columns.items()}
        names = ("name", "type", "rows", "most")
        return {name: getattr(self, name) for name in names} | {"columns": columns}

    @classmethod
    def from_plain(cls, body: Mapping[str, Any]) -> Self:
        """Return the state that ``plain`` took apart."""
        columns = {
            name: state and TargetState.from_plain(state) for name, state in body["columns"].items()
        }
        return cls(**dict(body) | {"columns": columns})


def _labels(wanted: Wanted, array: Any, folds: Ints, label: Any, most: int) -> TargetState | None:
    """Return the labels of one column in a batch; None if it has too many values, or a fraction."""
    if not _whole(array) or _many(array, most):
        return None
    state = TargetState.counted(wanted, array, folds, label)
    return state if len(state.values) <= most else None
