"""Names: imputed, and one output for each frequent category."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from penstock.cells import family, names_array
from penstock.columns.base import (
    ColumnKind,
    Positions,
    Slot,
    indicator_width,
    not_for,
    refused,
)
from penstock.encode import OneHot, Where, check_type, least_rows, lookup, needs_all, one_hot
from penstock.errors import DataError, PenstockError, SchemaMismatchError
from penstock.impute import Fill, categorical_fill
from penstock.sketch import Floats
from penstock.spec import CategoricalFeatures
from penstock.states import CategoryState, Wanted
from penstock.statistics import Statistics

__all__ = ["KIND", "CategoricalColumn"]

COUNTED = 131_072
"""Values counted exactly: past max_width, so that a refusal can say how many there are."""


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

    @property
    def inputs(self) -> tuple[str, ...]:
        """Source columns that it reads."""
        return (self.name,)

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

    def slots(self, arrays: Sequence[Any], where: Where, first: int) -> list[Slot]:
        """Return its outputs for a batch.

        Raises:
            SchemaMismatchError: The type does not fit.
            DataError: A value is unknown, or missing, against the rule.
        """
        (array,) = arrays
        check_type(where, self.name, array, self.type, numeric=False)
        codes = lookup(array, self._known)
        if self.fill.value is None and (missing := codes < 0).any():
            raise refused(where, self.name, missing)
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

    def entry(self) -> dict[str, Any]:
        """Return what plan.json says of it."""
        one_hot = self.encoding
        return {
            "type": self.type,
            "missing": asdict(self.fill),
            "one_hot": {
                "unknown": one_hot.unknown,
                "rare": {
                    "values": one_hot.rare_values,
                    "rows": one_hot.rare_rows,
                    "group": one_hot.group,
                    "names": list(one_hot.rare_names),
                },
                "undercount": one_hot.undercount,
                "categories": [list(pair) for pair in one_hot.categories],
            },
        }

    @classmethod
    def from_entry(cls, entry: Mapping[str, Any]) -> CategoricalColumn:
        """Return the column that plan.json describes."""
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
        return cls(
            name=entry["name"], type=entry["type"], fill=Fill(**entry["missing"]), encoding=encoding
        )

    def filled(self, statistics: Statistics) -> Floats:
        """Return for each output the share of train rows in which it is not zero."""
        rows = max(statistics.columns[self.name].rows, 1)
        counts = [count for _, count in self.encoding.categories]
        rare = [self.encoding.rare_rows] if self.encoding.group else []
        indicator = [self.fill.missing_share] if self.fill.indicator else []
        return np.array([count / rows for count in counts + rare] + indicator)


def fit(name: str, rule: CategoricalFeatures, statistics: Statistics) -> CategoricalColumn:
    """Return the fitted column.

    Raises:
        DataError: Its values break its rule.
    """
    state = statistics.columns[name]
    if not isinstance(state, CategoryState):
        raise not_for(state, rule.kind)
    fill = categorical_fill(state, rule)
    value = None if fill.value is None else str(fill.value)
    encoding = one_hot(state, rule, fill=value)
    return CategoricalColumn(name=state.name, type=state.type, fill=fill, encoding=encoding)


def wanted(name: str, kind: str, _rule: CategoricalFeatures) -> list[Wanted]:
    """Return what to collect of a column."""
    return [Wanted(name=name, type=kind, kind="categorical", cap=COUNTED)]


def problems(name: str, kind: str, _rule: CategoricalFeatures) -> Iterator[PenstockError]:
    """Yield what is wrong with a column of this type before any row is read."""
    if family(kind) == "other":
        remedy = "derive a name or a number from it in merge.derive, as hour(...) of a timestamp"
        expected = "a string, number, boolean or date"
        yield SchemaMismatchError("curated", name, kind, expected, remedy)


def width(name: str, rule: CategoricalFeatures, statistics: Statistics) -> int:
    """Return how many outputs a column will have, about."""
    state = statistics.columns[name]
    indicator = indicator_width(rule, state)
    if not isinstance(state, CategoryState):
        return 1 + indicator
    if needs_all(state, rule):
        return state.distinct + indicator
    # The replacement may add one category, or lift one; the count is of the frequent ones.
    frequent = int((state.counts >= least_rows(state, rule)).sum())
    kept = frequent if rule.max_categories is None else min(frequent, rule.max_categories)
    return kept + int(rule.rare == "group" and kept < state.distinct) + indicator


KIND = ColumnKind(
    name="categorical",
    column=CategoricalColumn,
    wanted=wanted,
    problems=problems,
    width=width,
    fit=fit,
)
