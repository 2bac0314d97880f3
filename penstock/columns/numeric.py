"""Numbers: imputed, scaled, one output and perhaps an indicator."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from penstock.cells import family, numbers
from penstock.columns.base import ColumnKind, Slot, indicator_width, not_for, refused
from penstock.encode import Scaling, Where, check_type, standard_scaling
from penstock.errors import DataError, InputError, PenstockError, SchemaMismatchError
from penstock.impute import Fill, imputed_moments, numeric_fill
from penstock.sketch import Floats
from penstock.spec import NumericFeatures
from penstock.states import NumericState, Wanted
from penstock.statistics import Statistics

__all__ = ["KIND", "NumericColumn"]


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

    @property
    def inputs(self) -> tuple[str, ...]:
        """Source columns that it reads."""
        return (self.name,)

    def names(self) -> tuple[str, ...]:
        """Return the names of its output columns, in order."""
        return (self.name, *((f"{self.name}__missing",) if self.fill.indicator else ()))

    def slots(self, arrays: Sequence[Any], where: Where, first: int) -> list[Slot]:
        """Return its outputs for a batch.

        Raises:
            SchemaMismatchError: The type does not fit.
            DataError: A value is infinite, does not fit in float32, or is missing against the rule.
        """
        (array,) = arrays
        check_type(where, self.name, array, self.type, numeric=True)
        values = numbers(array)
        missing = np.isnan(values)
        holes = bool(missing.any())
        if holes:
            if self.fill.value is None:
                raise refused(where, self.name, missing)
            values = np.where(missing, float(self.fill.value), values)
        slots: list[Slot] = [(first, self.scaling.apply(values, where, self.name))]
        if self.fill.indicator:
            slots.append((first + 1, missing.astype(np.float32)))
        return slots

    def entry(self) -> dict[str, Any]:
        """Return what plan.json says of it."""
        return {"type": self.type, "missing": asdict(self.fill), "scale": asdict(self.scaling)}

    @classmethod
    def from_entry(cls, entry: Mapping[str, Any]) -> NumericColumn:
        """Return the column that plan.json describes."""
        return cls(
            name=entry["name"],
            type=entry["type"],
            fill=Fill(**entry["missing"]),
            scaling=Scaling(**entry["scale"]),
        )

    def filled(self, statistics: Statistics) -> Floats:
        """Return for each output the share of train rows in which it is not zero."""
        state, fill, zeros = statistics.columns[self.name], self.fill, 0
        if isinstance(state, NumericState) and self.scaling.rule == "none":
            zeros = int(state.sketch.counts[state.sketch.keys == 0].sum())
            zeros += fill.missing_rows if fill.value == 0 else 0
        indicator = [fill.missing_share] if fill.indicator else []
        return np.array([1 - zeros / max(state.rows, 1), *indicator])


def fit(name: str, rule: NumericFeatures, statistics: Statistics) -> NumericColumn:
    """Return the fitted column.

    Raises:
        DataError: Its values break its rule.
    """
    state = statistics.columns[name]
    if not isinstance(state, NumericState):
        raise not_for(state, rule.kind)
    if state.infinities:
        raise DataError(
            f"column {state.name!r}: {state.infinities:,} of {state.rows:,} rows of the train split are "
            "infinite, expected finite numbers\n"
            "  mend them in merge.derive, or filter them in merge.where"
        )
    fill = numeric_fill(state, rule)
    if rule.scale == "none":
        return NumericColumn(
            name=state.name, type=state.type, fill=fill, scaling=Scaling(rule="none")
        )
    value = state.minimum if fill.value is None else float(fill.value)
    ends = [state.minimum, state.maximum] if state.moments.count else []
    values = {*ends, *([value] if state.missing else [])}
    scaling = standard_scaling(
        imputed_moments(state.moments, state.missing, value),
        constant=value if len(values) == 1 else None,
        column=state.name,
    )
    return NumericColumn(name=state.name, type=state.type, fill=fill, scaling=scaling)


def wanted(name: str, kind: str, _rule: NumericFeatures) -> list[Wanted]:
    """Return what to collect of a column."""
    return [Wanted(name=name, type=kind, kind="numeric")]


def problems(name: str, kind: str, rule: NumericFeatures) -> Iterator[PenstockError]:
    """Yield what is wrong with a column of this type before any row is read."""
    if family(kind) not in ("number", "boolean", "null"):
        remedy = "list it under kind: categorical, or derive a number from it in merge.derive"
        yield SchemaMismatchError("curated", name, kind, "a number or boolean", remedy)
    if rule.impute == "constant" and rule.fill_value is None:
        yield InputError(
            f"features: column {name!r} has impute: constant and no fill_value, expected a number\n"
            "  set fill_value, or another impute rule"
        )


def width(name: str, rule: NumericFeatures, statistics: Statistics) -> int:
    """Return how many outputs a column will have."""
    return 1 + indicator_width(rule, statistics.columns[name])


KIND = ColumnKind(
    name="numeric", column=NumericColumn, wanted=wanted, problems=problems, width=width, fit=fit
)
