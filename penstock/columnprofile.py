"""profile.json: what the report shows of every column of the train split."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np

from penstock.states import CategoryState, ColumnState, NumericState
from penstock.statistics import Statistics
from penstock.times import DAY, is_time, iso

__all__ = ["profile", "profile_json"]

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
HISTOGRAM_BINS = 30
TOP = 20
DIGITS = 6  # of correlations: the last ones depend on how a BLAS sums


def profile(
    statistics: Statistics,
    *,
    label: str,
    features: Iterable[str],
    key: Iterable[str],
    table: Collection[str] | None = None,
    dropped: Mapping[str, str] | None = None,
    reasons: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return the body of profile.json, as plain data.

    Args:
        statistics: Of the train split.
        label: Its label column.
        features: Columns that the plan encodes.
        key: Columns that name a row.
        table: Names of the table's columns; None: all that there are statistics of.
        dropped: Columns that the plan leaves out, with the reason of each.
        reasons: Why features that nobody named are what they are.
    """
    dropped, reasons = dropped or {}, reasons or {}
    features, key = set(features), set(key)
    columns = []
    for name, state in statistics.columns.items():
        if table is not None and name not in table:
            continue  # a second state of a column, as of its groups
        role = "label" if name == label else "feature" if name in features else "unused"
        role = "key" if role == "unused" and name in key else role
        left_out = {"left_out": dropped[name]} if name in dropped else {}
        left_out |= {"chosen": reasons[name]} if name in reasons and name in features else {}
        columns.append(_column(state, role, statistics) | left_out)
    shown = [label] if statistics.label == label else []
    shown += [name for name in statistics.comoments.names if name in features]
    return {
        "rows": statistics.rows,
        "label": label,
        "columns": columns,
        "correlation": _correlation(statistics, shown),
    }


def profile_json(body: Mapping[str, Any]) -> str:
    """Return profile.json's text."""
    return json.dumps(body, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _column(state: ColumnState, role: str, statistics: Statistics) -> dict[str, Any]:
    correlation = statistics.label_correlation(state.name)
    body: dict[str, Any] = {
        "name": state.name,
        "kind": "other",
        "type": state.type,
        "role": role,
        "missing": state.missing,
        "missing_share": state.missing / state.rows if state.rows else 0.0,
        "distinct": state.distinct,
        "distinct_is_exact": state.distinct_is_exact,
        "label_correlation": None if correlation is None else round(correlation, DIGITS),
    }
    if is_time(state.type):
        body |= _times(state)
    elif isinstance(state, NumericState):
        body |= {"kind": "numeric"} | _numeric(state)
    elif isinstance(state, CategoryState):
        body |= {"kind": "categorical", "top": _top(state)}
    return body


def _times(state: ColumnState) -> dict[str, Any]:
    """Return the first and the last moment, where they are known."""
    if not isinstance(state, NumericState) or not state.moments.count:
        return {}
    first, last = (iso(round(end * DAY)) for end in (state.minimum, state.maximum))
    return {"min": first, "max": last}


def _numeric(state: NumericState) -> dict[str, Any]:
    if not state.moments.count:
        return dict.fromkeys(("min", "max", "mean", "std", "histogram")) | {"quantiles": {}}
    return {
        "min": state.minimum,
        "max": state.maximum,
        "mean": _finite(state.moments.mean),
        "std": _finite(state.moments.std),
        "quantiles": {str(share): state.quantile(share) for share in QUANTILES},
        "histogram": _histogram(state),
    }


def _histogram(state: NumericState) -> dict[str, Any]:
    """Return rows per bin of equal width; few whole numbers get a bin each."""
    low, high = state.minimum, state.maximum
    values = state.sketch.values().clip(low, high)
    whole = state.distinct_is_exact and bool((values == np.floor(values)).all())
    if whole and high - low < HISTOGRAM_BINS:
        edges = np.arange(low, high + 2) - 0.5
    elif low == high or not math.isfinite(high - low):
        edges = np.array([low, high])
    else:
        edges = np.linspace(low, high, HISTOGRAM_BINS + 1)
    at = np.searchsorted(edges, values, side="right").clip(1, len(edges) - 1) - 1
    counts = np.bincount(at, weights=state.sketch.counts, minlength=len(edges) - 1)
    return {"edges": edges.tolist(), "counts": counts.astype(np.int64).tolist()}


def _top(state: CategoryState) -> list[dict[str, Any]]:
    order = np.argsort(-state.counts, kind="stable")[:TOP]
    return [
        {
            "value": str(state.values[int(at)]),
            "count": int(state.counts[at]),
            "label_mean": _label_mean(state, int(at)),
        }
        for at in order
    ]


def _label_mean(state: CategoryState, at: int) -> float | None:
    rows = int(state.label_rows[at])
    return float(state.label_sums[at]) / rows if rows else None


def _correlation(statistics: Statistics, names: list[str]) -> dict[str, Any]:
    """Return the matrix among ``names``, as far as pairs were kept; null where undefined."""
    known = statistics.comoments.names
    matrix = statistics.comoments.correlation()
    at = [known.index(name) for name in names if known.index(name) < matrix.shape[1]]
    cells = matrix[np.ix_(at, at)].tolist()
    return {
        "columns": [known[i] for i in at],
        "matrix": [[None if math.isnan(c) else round(c, DIGITS) for c in row] for row in cells],
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
