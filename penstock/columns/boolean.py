"""Yes or no: one output of 0 and 1, and perhaps an indicator."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from penstock.cells import Code, code_texts, family, names_array, without_codes
from penstock.columns.base import ColumnKind, Slot, indicator_width, not_for, refused
from penstock.encode import Where, check_type, lookup
from penstock.errors import DataError, InputError, PenstockError, SchemaMismatchError
from penstock.impute import Fill, fill_of, nothing_to_learn, refuse_missing
from penstock.sketch import Floats
from penstock.spec import BooleanFeatures
from penstock.states import CategoryState, Wanted
from penstock.statistics import Statistics

__all__ = ["KIND", "BooleanColumn", "label_means", "rows_of"]

COUNTED = 4096
SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class BooleanColumn:
    """One source column of two values.

    Attributes:
        name: Column.
        type: Text of the Arrow type it was fitted on.
        fill: What replaces a missing cell: 0.0, 1.0 or None.
        true: Texts that mean yes.
        false: Texts that mean no.
        missing_values: Values that stand for a missing cell.
        true_share: Share of the train rows in which the output is 1.
    """

    name: str
    type: str
    fill: Fill
    true: tuple[str, ...]
    false: tuple[str, ...]
    true_share: float
    missing_values: tuple[Code, ...] = ()

    @property
    def kind(self) -> str:
        """As the spec names it."""
        return "boolean"

    @property
    def inputs(self) -> tuple[str, ...]:
        """Source columns that it reads."""
        return (self.name,)

    def names(self) -> tuple[str, ...]:
        """Return the names of its output columns, in order."""
        return (self.name, *((f"{self.name}__missing",) if self.fill.indicator else ()))

    @cached_property
    def _known(self) -> Any:
        return names_array([*self.true, *self.false])

    def slots(self, arrays: Sequence[Any], where: Where, first: int) -> list[Slot]:
        """Return its outputs for a batch.

        Raises:
            SchemaMismatchError: The type does not fit.
            DataError: A value is none of the two, or missing against the rule.
        """
        (array,) = arrays
        _check_type(where, self.name, array, self.type)
        codes = lookup(without_codes(array, self.missing_values), self._known)
        if (wrong := codes == len(self._known)).any():
            at, row = where.first(wrong)
            raise DataError(
                f"table {where.table!r}, column {self.name!r}: row {row} is {array[at].as_py()!r}, "
                f"expected {_either(self.true, self.false)}\n"
                "  mend the value, or declare it in true_values, false_values or missing_values and fit "
                "again"
            )
        missing = codes < 0
        if self.fill.value is None and missing.any():
            raise refused(where, self.name, missing)
        values = (codes < len(self.true)).astype(np.float32)
        if self.fill.value is not None:
            values[missing] = np.float32(self.fill.value)
        slots: list[Slot] = [(first, values)]
        if self.fill.indicator:
            slots.append((first + 1, missing.astype(np.float32)))
        return slots

    def entry(self) -> dict[str, Any]:
        """Return what plan.json says of it."""
        body: dict[str, Any] = {"type": self.type, "missing": asdict(self.fill)}
        if self.missing_values:
            body["missing_values"] = list(self.missing_values)
        return body | {
            "true": list(self.true),
            "false": list(self.false),
            "true_share": self.true_share,
        }

    @classmethod
    def from_entry(cls, entry: Mapping[str, Any]) -> BooleanColumn:
        """Return the column that plan.json describes."""
        return cls(
            name=entry["name"],
            type=entry["type"],
            fill=Fill(**entry["missing"]),
            true=tuple(entry["true"]),
            false=tuple(entry["false"]),
            true_share=entry["true_share"],
            missing_values=tuple(entry.get("missing_values", ())),
        )

    def filled(self, statistics: Statistics) -> Floats:
        """Return for each output the share of train rows in which it is not zero."""
        del statistics
        indicator = [self.fill.missing_share] if self.fill.indicator else []
        return np.array([self.true_share, *indicator])


def _either(true: Sequence[str], false: Sequence[str]) -> str:
    yes, no = (", ".join(map(repr, words[:SHOWN])) for words in (true, false))
    return f"{yes} for true or {no} for false"


def _check_type(where: Where, column: str, array: Any, fitted: str) -> None:
    # 0 and 1 may stand for booleans, and booleans for them; their texts are all known.
    numeric = family(fitted) in ("number", "boolean")
    check_type(where, column, array, fitted, numeric=numeric)


def _words(kind: str, rule: BooleanFeatures) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the texts that mean yes, and those that mean no."""
    if rule.true_values or rule.false_values:
        return tuple(code_texts(rule.true_values)), tuple(code_texts(rule.false_values))
    if family(kind) in ("number", "boolean", "null"):
        return ("true", "1"), ("false", "0")
    return (), ()


def _rows(state: CategoryState, words: Sequence[str]) -> int:
    """Return how many rows hold one of ``words``."""
    codes = lookup(state.values, names_array(list(words)))
    return int(state.counts[codes < len(words)].sum())


def fit(name: str, rule: BooleanFeatures, statistics: Statistics) -> BooleanColumn:
    """Return the fitted column.

    Raises:
        DataError: It holds other values, or missing cells against its rule.
    """
    state = statistics.columns[name]
    if not isinstance(state, CategoryState):
        raise not_for(state, rule.kind)
    true, false = _words(state.type, rule)
    codes = lookup(state.values, names_array([*true, *false]))
    other = np.flatnonzero(codes == len(true) + len(false))
    if len(other) or not state.distinct_is_exact:
        raise _others(state, other, _either(true, false))
    yes, no = _rows(state, true), _rows(state, false)
    fill = _fill(state, rule, yes, no)
    share = (yes + (state.missing if fill.value else 0)) / max(state.rows, 1)
    return BooleanColumn(
        name=state.name,
        type=state.type,
        fill=fill,
        true=true,
        false=false,
        true_share=share,
        missing_values=rule.missing_values,
    )


def _fill(state: CategoryState, rule: BooleanFeatures, yes: int, no: int) -> Fill:
    if rule.impute == "refuse":
        return fill_of(rule, state, None, refuse_missing(state))
    if rule.impute == "constant" and rule.fill_value is not None:
        return fill_of(rule, state, float(rule.fill_value), "given in the spec")
    if not yes + no:
        raise nothing_to_learn(state, rule.impute, "set impute: constant and fill_value")
    learned = f"most frequent: {max(yes, no):,} of {yes + no:,} values"
    return fill_of(rule, state, float(yes > no), learned)


def _others(state: CategoryState, other: Any, expected: str) -> DataError:
    most = other[np.argsort(-state.counts[other], kind="stable")][:SHOWN]
    shown = ", ".join(f"{str(state.values[int(at)])!r} ({int(state.counts[at]):,}x)" for at in most)
    more = f" and {len(other) - SHOWN:,} more values" if len(other) > SHOWN else ""
    rows = int(state.counts[other].sum())
    return DataError(
        f"column {state.name!r}: {rows:,} of {state.rows:,} rows of the train split hold {shown}{more}, "
        f"expected {expected}\n"
        "  declare the values in true_values, false_values and missing_values, or list the column under "
        "another kind"
    )


def rows_of(state: CategoryState, rule: BooleanFeatures) -> tuple[float, float, float]:
    """Return the rows that are true, those that are false, and the missing ones."""
    true, false = _words(state.type, rule)
    return float(_rows(state, true)), float(_rows(state, false)), float(state.missing)


def label_means(state: CategoryState, rule: BooleanFeatures) -> list[tuple[int, float]]:
    """Return the rows with a label, and the sum of their labels: of true ones, and of false ones."""
    found = []
    for words in _words(state.type, rule):
        at = lookup(state.values, names_array(list(words))) < len(words)
        found.append((int(state.label_rows[at].sum()), float(state.label_sums[at].sum())))
    return found


def wanted(name: str, kind: str, rule: BooleanFeatures) -> list[Wanted]:
    """Return what to collect of a column."""
    codes = rule.missing_values
    return [Wanted(name=name, type=kind, kind="categorical", cap=COUNTED, missing_values=codes)]


def problems(name: str, kind: str, rule: BooleanFeatures) -> Iterator[PenstockError]:
    """Yield what is wrong with a column of this type before any row is read."""
    head = f"features: column {name!r}"
    found = family(kind)
    if found in ("date", "other"):
        remedy = "list it under kind: datetime, or derive a boolean from it in merge.derive"
        yield SchemaMismatchError("curated", name, kind, "a boolean, number or string", remedy)
    elif found == "string" and not (rule.true_values and rule.false_values):
        yield InputError(
            f"{head} is {kind}, and kind: boolean has no true_values or no false_values, expected both\n"
            "  set them, as true_values: ['yes'] and false_values: ['no'], or use kind: categorical"
        )
    elif bool(rule.true_values) != bool(rule.false_values):
        yield InputError(
            f"{head} has only one of true_values and false_values, expected both or none\n"
            "  declare the values of both"
        )
    codes = (rule.true_values, rule.false_values, rule.missing_values)
    words = [word for each in codes for word in dict.fromkeys(code_texts(each))]
    if twice := sorted({word for word in words if words.count(word) > 1}):
        yield InputError(
            f"{head} has {', '.join(map(repr, twice))} in more than one of true_values, false_values and "
            "missing_values, expected it in one\n  take it out of the others"
        )
    if rule.impute == "constant" and rule.fill_value is None:
        yield InputError(
            f"{head} has impute: constant and no fill_value, expected true or false\n"
            "  set fill_value, or another impute rule"
        )


def width(name: str, rule: BooleanFeatures, statistics: Statistics) -> int:
    """Return how many outputs a column will have."""
    return 1 + indicator_width(rule, statistics.columns[name])


KIND = ColumnKind(
    name="boolean", column=BooleanColumn, wanted=wanted, problems=problems, width=width, fit=fit
)
