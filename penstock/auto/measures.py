"""What the states of a column say of it: how skewed, how much of the label it explains, which number is a code."""

from __future__ import annotations

import math

import numpy as np

from penstock.auto.thresholds import CODE_DENSITY, CODE_GAIN, CODE_TIMES, GAP, ORDERED_BINS
from penstock.sketch import Floats, Ints
from penstock.states import CategoryState, NumericState

__all__ = ["density", "is_code", "missing_code", "skewness", "tail", "values_of"]

LEAST_NINES = 99
BIN_VALUES = 4
SIGNIFICANT = 3.0  # standard deviations of what chance alone explains


def values_of(state: NumericState) -> Floats:
    """Return the value that stands for each key of the sketch, within the range that was seen."""
    return np.asarray(state.sketch.values().clip(state.minimum, state.maximum))


def skewness(values: Floats, counts: Ints) -> float:
    """Return the skewness of ``values``, each taken ``counts`` times; 0.0 of a constant, or past a double."""
    with np.errstate(over="ignore", invalid="ignore"):
        weights = counts / counts.sum()
        deviations = values - (values * weights).sum()
        variance = (deviations**2 * weights).sum()
        if not (variance > 0 and math.isfinite(variance)):
            return 0.0
        found = float((deviations**3 * weights).sum() / variance**1.5)
    return found if math.isfinite(found) else 0.0


def tail(state: NumericState) -> float:
    """Return how far the extremes are from the median, in ranges of the middle 98 % of the rows."""
    spread = state.quantile(0.99) - state.quantile(0.01)
    middle = state.quantile(0.5)
    farthest = max(state.maximum - middle, middle - state.minimum)
    return farthest / spread if spread > 0 and math.isfinite(farthest) else 0.0


def density(state: NumericState) -> float:
    """Return the share of the whole numbers in its range that a column uses."""
    span = state.maximum - state.minimum + 1
    return state.distinct / span if math.isfinite(span) else 0.0


def missing_code(state: NumericState) -> float | None:
    """Return a number of nines at an end of a column that is far away from all other values, or None."""
    if not state.distinct_is_exact or state.distinct < 3:
        return None
    keys = state.sketch.keys
    for code, others in ((keys[-1], keys[:-1]), (keys[0], keys[1:])):
        digits = f"{abs(code):.0f}"
        if abs(code) < LEAST_NINES or set(digits) != {"9"} or float(digits) != abs(code):
            continue
        span = max(float(others[-1] - others[0]), 1.0)
        if float(np.abs(others - code).min()) >= GAP * span:
            return float(code)
    return None


def is_code(
    few: CategoryState, state: NumericState, *, variance: float | None, correlation: float | None
) -> bool:
    """Return whether whole numbers explain the label value by value, and not in their order.

    Args:
        few: The column as one of names, with the label sums of each.
        state: As numbers.
        variance: Of the label; None: it has none.
        correlation: With the label.
    """
    rows, sums = few.label_rows.astype(np.float64), few.label_sums
    total = float(rows.sum())
    if not variance or total <= 2 * len(rows) or state.minimum < 0:
        return False
    if density(state) < CODE_DENSITY:
        return False
    order = np.argsort(np.array([float(value) for value in few.values.to_pylist()]))
    rows, sums = rows[order], sums[order]
    alone, ordered = _explained(rows, sums, variance), (correlation or 0.0) ** 2
    if (count := min(ORDERED_BINS, len(rows) // BIN_VALUES)) > 1:
        at = np.minimum((np.cumsum(rows) - rows) * count / total, count - 1)
        bins = at.astype(np.int64)
        parts = [np.bincount(bins, each).astype(np.float64) for each in (rows, sums)]
        ordered = max(ordered, _explained(parts[0], parts[1], variance))
    chance = SIGNIFICANT * math.sqrt(2 * len(rows)) / total
    return alone >= CODE_TIMES * ordered and alone - ordered >= CODE_GAIN + chance


def _explained(rows: Floats, sums: Floats, variance: float) -> float:
    """Return the share of the label's variance between groups, adjusted for their number."""
    rows, sums = rows[rows > 0], sums[rows > 0]
    total = float(rows.sum())
    mean = float(sums.sum()) / total
    between = float((rows * (sums / rows - mean) ** 2).sum()) / total / variance
    left = max(0.0, 1 - between) * (total - 1) / max(total - len(rows), 1.0)
    return max(0.0, 1 - left)
