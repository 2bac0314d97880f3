"""What is known of one column: the states that ``penstock.statistics`` collects and merges.

Numbers have moments and a sketch, see ``penstock.sketch``. Categories have value -> count and label
sum, all of them up to a cap; past it only the most frequent stay, their counts are lower bounds, and
``undercount`` says by how much they may be short. Merging never drops a value; ``trimmed`` does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa

from penstock import sketch as sketches
from penstock.categories import CategoryState, category_state, merged_categories
from penstock.cells import (
    first_names,
    first_numbers,
    plain,
    without_codes,
)
from penstock.errors import InputError
from penstock.sketch import Floats, Hashes, Moments, Sketch, moments_of, smallest, text_hashes
from penstock.times import since_epoch
from penstock.wanted import ExtraState, Kind, Wanted

__all__ = [
    "CategoryState",
    "ColumnState",
    "ExtraState",
    "Kind",
    "NumericState",
    "OtherState",
    "Wanted",
    "merge_states",
    "state_of",
]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class NumericState:
    """A column of numbers.

    Attributes:
        name: Column.
        type: Text of its Arrow type.
        rows: All rows; ``nulls``, ``nans`` and ``infinities`` are among them.
        minimum: Smallest finite value; NaN without any. ``maximum`` likewise.
        moments: Of the finite values.
        sketch: Of the finite values.
        logs: Of log(1 + x) of the finite values above -1, if they were wanted.
    """

    name: str
    type: str
    rows: int = 0
    nulls: int = 0
    nans: int = 0
    infinities: int = 0
    minimum: float = math.nan
    maximum: float = math.nan
    moments: Moments = field(default_factory=Moments)
    sketch: Sketch = field(default_factory=Sketch)
    logs: Moments | None = None

    @property
    def missing(self) -> int:
        """Rows that imputation fills: nulls and NaN."""
        return self.nulls + self.nans

    @property
    def distinct(self) -> int:
        """Distinct finite values."""
        return self.sketch.distinct

    @property
    def distinct_is_exact(self) -> bool:
        """Whether ``distinct`` is a count, not an estimate."""
        return self.sketch.shift is None

    @property
    def entries(self) -> int:
        """How many keys the state holds."""
        return len(self.sketch.keys)

    def quantile(self, share: float) -> float:
        """Return a quantile of the finite values (at least one), within ``relative_error``."""
        return self.sketch.quantile(share, low=self.minimum, high=self.maximum)

    def trimmed(self) -> NumericState:
        """Return itself: its size is bounded anyway."""
        return self


def _numeric_state(
    wanted: Wanted, values: Floats, nulls: int, *, binned: bool
) -> tuple[NumericState, Floats]:
    """Return the state of ``values`` (n,), and them with NaN where there is no finite one."""
    missing = np.isnan(values)
    gone = int(missing.sum())
    infinities = 0
    with np.errstate(over="ignore", invalid="ignore"):
        total = float(values.sum() if not gone else values.sum(where=~missing))
    if not math.isfinite(total):  # something is infinite, or the sum itself overflows
        infinite = np.isinf(values)
        infinities = int(infinite.sum())
        values = np.where(infinite, np.nan, values)
        missing |= infinite
    finite = (values[~missing] if gone or infinities else values) + 0.0  # -0.0 becomes 0.0
    sketch = sketches.sketch_of(finite, binned=binned)
    exact = sketch.shift is None
    state = NumericState(
        name=wanted.name,
        type=wanted.type,
        rows=len(values),
        nulls=nulls,
        nans=gone - nulls,
        infinities=infinities,
        minimum=float(finite.min()) if len(finite) else math.nan,
        maximum=float(finite.max()) if len(finite) else math.nan,
        moments=moments_of(sketch.keys, sketch.counts) if exact else moments_of(finite),
        sketch=sketch,
        logs=_logs(sketch, finite) if wanted.logs else None,
    )
    return state, values


def _logs(sketch: Sketch, finite: Floats | None = None) -> Moments:
    """Return the moments of log(1 + x): of the sketch's values while they are exact."""
    if sketch.shift is None:
        kept = sketch.keys > -1
        return moments_of(np.log1p(sketch.keys[kept]), sketch.counts[kept])
    return Moments() if finite is None else moments_of(np.log1p(finite[finite > -1]))


def _merged_numeric(states: Sequence[NumericState]) -> NumericState:
    sketch = sketches.merge_sketches([state.sketch for state in states])
    moments, logs = Moments(), None
    wanted = all(state.logs is not None for state in states)
    if sketch.shift is None:
        moments = moments_of(sketch.keys, sketch.counts)
        logs = _logs(sketch) if wanted else None
    else:
        for state in states:
            moments = moments.merge(state.moments)
            if wanted:
                logs = (logs or Moments()).merge(state.logs or Moments())
    return NumericState(
        name=states[0].name,
        type=states[0].type,
        rows=sum(state.rows for state in states),
        nulls=sum(state.nulls for state in states),
        nans=sum(state.nans for state in states),
        infinities=sum(state.infinities for state in states),
        minimum=float(np.fmin.reduce([state.minimum for state in states])),
        maximum=float(np.fmax.reduce([state.maximum for state in states])),
        moments=moments,
        sketch=sketch,
        logs=logs,
    )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class OtherState:
    """A column that is neither: times, bytes, nested values.

    Attributes:
        name: Column.
        type: Text of its Arrow type.
        rows: All rows; ``nulls`` are among them.
        hashes: Smallest hashes of the values; None for nested values, whose equality is not looked at.
    """

    name: str
    type: str
    rows: int = 0
    nulls: int = 0
    hashes: Hashes | None = field(default_factory=lambda: np.empty(0, np.uint64))

    @property
    def missing(self) -> int:
        """Rows that are null."""
        return self.nulls

    @property
    def distinct(self) -> int:
        """Distinct values; 0 where they are not looked at."""
        return 0 if self.hashes is None else sketches.distinct(self.hashes)

    @property
    def distinct_is_exact(self) -> bool:
        """Whether ``distinct`` is a count, not an estimate."""
        return self.hashes is not None and len(self.hashes) < sketches.HASHES

    @property
    def entries(self) -> int:
        """How many hashes the state holds."""
        return 0 if self.hashes is None else len(self.hashes)

    def trimmed(self) -> OtherState:
        """Return itself: its size is bounded anyway."""
        return self


def _other_state(wanted: Wanted, array: Any) -> OtherState:
    kind, hashes = array.type, None
    cells = array.drop_null()
    if pa.types.is_temporal(kind) and kind.bit_width in (32, 64):
        integers = cells.view(pa.int32() if kind.bit_width == 32 else pa.int64())
        hashes = smallest(sketches.integer_hashes(plain(integers).astype(np.int64)))
    elif pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        hashes = smallest(text_hashes(cells.cast(pa.large_binary())))
    return OtherState(
        name=wanted.name, type=wanted.type, rows=len(array), nulls=array.null_count, hashes=hashes
    )


def _merged_other(states: Sequence[OtherState]) -> OtherState:
    hashes = [state.hashes for state in states if state.hashes is not None]
    return replace(
        states[0],
        rows=sum(state.rows for state in states),
        nulls=sum(state.nulls for state in states),
        hashes=smallest(np.concatenate(hashes)) if len(hashes) == len(states) else None,
    )


ColumnState = NumericState | CategoryState | OtherState | ExtraState


def state_of(
    wanted: Wanted, arrays: Sequence[Any], label: Floats | None = None, *, binned: bool = False
) -> tuple[ColumnState, Floats | None]:
    """Return the state of a batch and, of numbers, the values that moments are made of.

    Args:
        wanted: What to collect.
        arrays: Arrow arrays (n,) of ``wanted.reads``, in their order; not chunked.
        label: Float64 (n,), NaN where there is none; for the label sums of categories.
        binned: See ``penstock.sketch.sketch_of``.

    Returns:
        The state; float64 (n,) with NaN for null and infinity, or None.
    """
    codes = wanted.missing_values
    if wanted.kind == "numeric":
        values, nulls = first_numbers(arrays, codes)
        return _numeric_state(wanted, values, nulls, binned=binned)
    if wanted.kind == "datetime":
        values = since_epoch(arrays[0])
        return _numeric_state(wanted, values, arrays[0].null_count, binned=binned)
    if wanted.kind == "categorical":
        return category_state(wanted, first_names(arrays, codes), label), None
    return _other_state(wanted, without_codes(arrays[0], codes)), None


def merge_states(states: Sequence[ColumnState]) -> ColumnState:
    """Return the state of all rows of ``states``: at least one, of the same column and kind."""
    numeric = [state for state in states if isinstance(state, NumericState)]
    categories = [state for state in states if isinstance(state, CategoryState)]
    others = [state for state in states if isinstance(state, OtherState)]
    if len(numeric) == len(states):
        return _merged_numeric(numeric)
    if len(categories) == len(states):
        return merged_categories(categories)
    if len(others) == len(states):
        return _merged_other(others)
    extra = [state for state in states if isinstance(state, ExtraState)]
    if len(extra) == len(states) and len({type(state) for state in states}) == 1:
        return type(extra[0]).merged(extra)
    kinds = ", ".join(sorted({type(state).__name__ for state in states}))
    raise InputError(
        f"statistics of column {states[0].name!r}: states are {kinds}, expected one kind\n"
        "  fit all of them with the same features"
    )
