"""What a number becomes once it is there: clipped, scaled or put into bins; learned from a sample.

Imputed      the imputed train split of a column, as moments and a sketch
Clip         brings values beyond two quantiles to them
Scaling      one output, (x - mean) / scale; of penstock.encode
Bins         one output for each bin, or the number of the bin
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from penstock.columns.base import Slot
from penstock.encode import Scaling, Where, standard_scaling
from penstock.errors import DataError
from penstock.sketch import Floats, Ints, Moments, Sketch, merge_sketches, moments_of, sketch_of
from penstock.states import NumericState

__all__ = ["Bins", "Clip", "Imputed", "bins_of", "clip_of", "logarithm", "scaling_of"]

LEAST_BIN = 1e-8  # narrower bins join, as scikit-learn's do


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Imputed:
    """The train split of a column after imputation and clipping.

    Attributes:
        name: Column.
        moments: Of its values.
        logs: Of log(1 + x) of them, if they were wanted.
        sketch: Of them, before clipping.
        minimum: Of the values; the sketch's answers are kept within.
        maximum: Of the values.
    """

    name: str
    moments: Moments
    logs: Moments | None
    sketch: Sketch
    minimum: float
    maximum: float

    @classmethod
    def of(cls, state: NumericState, fills: Floats, rows: Ints) -> Imputed:
        """Return the column ``state`` with ``rows`` (k,) cells that became ``fills`` (k,)."""
        fills, rows = fills[rows > 0] + 0.0, rows[rows > 0]
        logs, sketch = state.logs, state.sketch
        if len(fills):
            order = np.argsort(fills, kind="stable")
            filled = Sketch(keys=fills[order], counts=rows[order])
            # Once merged, equal keys are one; too many of them make the sketch coarse.
            sketch = merge_sketches([state.sketch, filled])
            if logs is not None:
                above = fills > -1
                logs = logs.merge(moments_of(np.log1p(fills[above]), rows[above]))
        ends = np.array([state.minimum, state.maximum] if state.moments.count else [])
        ends = np.concatenate((ends, fills))
        # One replacement is its own mean, to the last bit.
        one = len(fills) == 1
        mean = float(fills[0]) if one else 0.0
        added = Moments(count=int(rows[0]), mean=mean) if one else moments_of(fills, rows)
        return cls(
            name=state.name,
            moments=state.moments.merge(added),
            logs=logs,
            sketch=sketch,
            minimum=float(ends.min()) if len(ends) else math.nan,
            maximum=float(ends.max()) if len(ends) else math.nan,
        )

    @property
    def within(self) -> str:
        """How exact its quantiles are, for people."""
        error = self.sketch.relative_error
        return f", within a relative 2^{int(math.log2(error))}" if error else ""

    @property
    def constant(self) -> float | None:
        """The value of all rows, if they are equal."""
        return self.minimum if self.minimum == self.maximum else None

    def quantile(self, share: float) -> float:
        """Return a quantile of the values (at least one)."""
        return self.sketch.quantile(share, low=self.minimum, high=self.maximum)

    def values(self) -> Floats:
        """Return the values (k,) that ``sketch.counts`` has the rows of."""
        return np.asarray(self.sketch.values().clip(self.minimum, self.maximum))


@dataclass(frozen=True, kw_only=True, slots=True)
class Clip:
    """Brings values beyond two quantiles to them.

    Attributes:
        low: Smallest value that stays.
        high: Largest.
        learned: How they came about, for people.
    """

    low: float
    high: float
    learned: str

    def apply(self, values: Floats) -> Floats:
        """Return ``values`` (n,) between the two."""
        return np.asarray(values.clip(self.low, self.high))


def clip_of(sample: Imputed, shares: tuple[float, float]) -> tuple[Clip, Imputed]:
    """Return the clip at two quantiles, and the column after it.

    The moments of a clipped column are as exact as its sketch.
    """
    low, high = (sample.quantile(share) for share in shares)
    learned = f"quantiles {shares[0]:g} and {shares[1]:g} of the imputed train split{sample.within}"
    clipped = replace(sample, minimum=low, maximum=high)
    values, counts = clipped.values(), sample.sketch.counts
    above = values > -1
    logs = None if sample.logs is None else moments_of(np.log1p(values[above]), counts[above])
    clipped = replace(clipped, moments=moments_of(values, counts), logs=logs)
    return Clip(low=low, high=high, learned=learned), clipped


def logarithm(values: Floats, where: Where, column: str) -> Floats:
    """Return log(1 + x) of ``values`` (n,), which have no NaN.

    Raises:
        DataError: A value is -1 or less; names the row.
    """
    low = values <= -1
    if low.any():
        at, row = where.first(low)
        raise DataError(
            f"table {where.table!r}, column {column!r}: row {row} is {float(values[at])!r}, expected a "
            "number above -1, as scale is 'log1p'\n"
            "  mend it in merge.derive, or fit again with clip or another scale"
        )
    return np.asarray(np.log1p(values))


def scaling_of(
    sample: Imputed, rule: Literal["standard", "min_max", "robust", "log1p", "none"]
) -> Scaling:
    """Return the scaling that ``rule`` asks for.

    Raises:
        DataError: The values are too large to scale, or -1 or less with ``log1p``.
    """
    if rule == "none":
        return Scaling(rule="none")
    if rule == "standard":
        return standard_scaling(sample.moments, constant=sample.constant, column=sample.name)
    if rule == "log1p":
        return _log_scaling(sample)
    if rule == "min_max":
        mean, scale, of = sample.minimum, sample.maximum - sample.minimum, "minimum and maximum"
    else:
        quartiles = sample.quantile(0.25), sample.quantile(0.75)
        mean, scale, of = sample.quantile(0.5), quartiles[1] - quartiles[0], "median and quartiles"
    if not math.isfinite(scale):
        raise DataError(
            f"column {sample.name!r}: its values range over {scale!r}, expected a finite number\n"
            "  its values are too large to scale: derive a smaller measure of it, as a logarithm"
        )
    within = sample.within if rule == "robust" else ""
    note = f"{of} of the imputed train split{within}"
    if not scale:
        ends = "ends" if rule == "min_max" else "quartiles"
        return Scaling(rule=rule, mean=mean, note=f"{note}: the {ends} are equal, so scale is 1")
    return Scaling(rule=rule, mean=mean, scale=scale, note=note)


def _log_scaling(sample: Imputed) -> Scaling:
    if sample.minimum <= -1:
        # -1 begins a bin downwards, so that bins tell rows from -1 down exactly.
        keys, shift = sample.sketch.keys, sample.sketch.shift
        limit: Any = -1.0 if shift is None else _bin_of(-1.0, shift)
        low = int(sample.sketch.counts[keys <= limit].sum())
        raise DataError(
            f"column {sample.name!r}: {low:,} of {sample.moments.count:,} rows of the imputed train split "
            f"are -1 or less, the least is {sample.minimum!r}, expected numbers above -1, as scale is "
            "'log1p'\n"
            "  mend them in merge.derive, clip them, or choose another scale"
        )
    constant = sample.constant
    constant = None if constant is None else math.log1p(constant)
    scaling = standard_scaling(sample.logs or Moments(), constant=constant, column=sample.name)
    return replace(scaling, rule="log1p")


def _bin_of(value: float, shift: int) -> int:
    return int(sketch_of(np.array([value]), binned=True).keys[0]) >> shift


@dataclass(frozen=True, kw_only=True, slots=True)
class Bins:
    """Which of some intervals a number is in.

    Attributes:
        edges: Between the bins, ascending: a value on an edge belongs to the bin above it.
        output: As the spec names it.
        learned: How they came about, for people.
    """

    edges: tuple[float, ...]
    output: Literal["one_hot", "ordinal"]
    learned: str

    def names(self, column: str) -> tuple[str, ...]:
        """Return the names of the outputs."""
        if self.output == "ordinal":
            return (column,)
        shown = [f"{edge!r}".removesuffix(".0") for edge in self.edges]
        return tuple(
            f"{column}=[{low}, {high})"
            for low, high in zip(["-inf", *shown], [*shown, "inf"], strict=True)
        )

    def places(self, values: Floats) -> Ints:
        """Return the bin of each value (n,): 0 for those below the first edge."""
        return np.searchsorted(np.array(self.edges), values, side="right").astype(np.int64)

    def slot(self, values: Floats, first: int) -> Slot:
        """Return the outputs of ``values`` (n,), which are finite."""
        places = self.places(values)
        if self.output == "ordinal":
            return first, places.astype(np.float32)
        return (places + first).astype(np.int32), None

    def shares(self, sample: Imputed) -> Floats:
        """Return for each output the share of rows in which it is not zero."""
        weights = sample.sketch.counts
        found = np.bincount(self.places(sample.values()), weights, len(self.edges) + 1)
        shares = np.asarray(found / max(int(weights.sum()), 1), np.float64)
        return shares if self.output == "one_hot" else np.array([1.0 - shares[0]])

    def entry(self) -> dict[str, Any]:
        """Return what plan.json says of it."""
        return {"output": self.output, "edges": list(self.edges), "learned": self.learned}

    @classmethod
    def from_entry(cls, entry: Mapping[str, Any]) -> Bins:
        """Return the bins that plan.json describes."""
        edges = tuple(entry["edges"])
        return cls(edges=edges, output=entry["output"], learned=entry["learned"])


def bins_of(
    sample: Imputed, bins: int | tuple[float, ...], output: Literal["one_hot", "ordinal"]
) -> Bins:
    """Return the bins: the given ones, or so many of about equal numbers of rows.

    Quantiles that are equal, or within 1e-8, make one edge, so that there may be fewer bins.
    """
    if not isinstance(bins, int):
        return Bins(edges=bins, output=output, learned="given in the spec")
    ends = np.array([sample.quantile(at / bins) for at in range(bins + 1)])
    kept = ends[np.diff(ends, prepend=-math.inf) > LEAST_BIN]
    edges = tuple(kept[1:-1].tolist())
    learned = f"quantiles of the imputed train split{sample.within}"
    if len(edges) + 1 < bins:
        learned += f": {bins} were asked for, some are equal"
    return Bins(edges=edges, output=output, learned=learned)
