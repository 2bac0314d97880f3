"""Metrics of a regression task: sizes of the residuals, their shape, and predictions over labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from penstock.metrics.rows import check_lengths, refuse
from penstock.metrics.state import Revivers, State, integers
from penstock.metrics.sums import Floats, Ints, exact_sum, exact_value, grouped

__all__ = ["RegressionState"]

RESIDUAL_BINS = 40
GRID_BINS = 40


def _span(value: Sequence[float] | None) -> tuple[float, float] | None:
    return None if value is None else (float(value[0]), float(value[1]))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class RegressionState(State):
    """Predicted values against labels; sums as in ``exact_sum``, residual = label - prediction.

    Attributes:
        rows: Rows seen.
        labels: Sum of the labels.
        label_squares: Sum of their squares, exact since float32 squares fit a double.
        residuals: Sum of the residuals.
        squares: Sum of their squares.
        magnitudes: Sum of their absolute values.
        largest: Largest absolute residual.
        keys: Residual buckets, the upper 16 bits of their order-preserving float32 bits, ascending (m,).
        counts: Rows per bucket, int64 (m,).
        span: Label range of the whole split, which ``grid`` covers; None: no grid.
        grid: Rows by label bin (axis 0) and prediction bin (axis 1); those outside go to the rim.
    """

    revivers: ClassVar[Revivers] = {
        "keys": integers,
        "counts": integers,
        "span": _span,
        "grid": integers,
    }

    rows: int
    labels: int
    label_squares: int
    residuals: int
    squares: int
    magnitudes: int
    largest: float
    keys: Ints
    counts: Ints
    span: tuple[float, float] | None
    grid: Ints

    @classmethod
    def of(
        cls, scores: Floats, labels: Floats, *, where: str, first_row: int = 0,
        span: tuple[float, float] | None = None,
    ) -> RegressionState:  # fmt: skip
        """Return the state of some rows.

        Args:
            scores: Predicted values, float (n,).
            labels: float32 (n,).
            where: Shard, for errors.
            first_row: Number of the first of these rows in that shard.
            span: Smallest and largest label of the whole split; the same for all states merged.

        Raises:
            DataError: A prediction or a label is NaN or infinite.
        """
        check_lengths(scores, labels, where)
        scores, labels = np.asarray(scores, dtype=np.float64), np.asarray(labels, dtype=np.float64)
        for name, values in (("prediction", scores), ("label", labels)):
            refuse(
                ~np.isfinite(values), values, where, first_row,
                f"{name} is {{found}}, expected a finite number\n"
                "  the training diverged, or the dataset was not written by convert",
            )  # fmt: skip
        residuals = labels - scores
        keys, counts = grouped(_bucket_keys(residuals), np.ones(len(residuals), dtype=np.int64))
        return cls(
            rows=len(labels),
            labels=exact_sum(labels),
            label_squares=exact_sum(labels**2),
            residuals=exact_sum(residuals),
            squares=exact_sum(residuals**2),
            magnitudes=exact_sum(np.abs(residuals)),
            largest=float(np.abs(residuals).max(initial=0.0)),
            keys=keys,
            counts=counts,
            span=span,
            grid=_grid(labels, scores, span),
        )

    def merged(self, other: RegressionState) -> RegressionState:
        """Return the state of the rows of both.

        Raises:
            ValueError: Their spans differ, so their grids do not add up.
        """
        if self.span != other.span:
            raise ValueError(f"spans differ: {self.span!r} and {other.span!r}")
        keys, counts = grouped(np.r_[self.keys, other.keys], np.r_[self.counts, other.counts])
        sums = ("rows", "labels", "label_squares", "residuals", "squares", "magnitudes")
        return RegressionState(
            **{name: getattr(self, name) + getattr(other, name) for name in sums},
            largest=max(self.largest, other.largest),
            keys=keys,
            counts=counts,
            span=self.span,
            grid=self.grid + other.grid,
        )

    def metrics(self, classes: Sequence[object] | None = None, width: int = 0) -> dict[str, Any]:
        """Return all metrics; quantiles of residuals are right to 0.8 % of their size.

        Args:
            classes: Unused; all tasks have one signature.
            width: Features of the model, for the adjusted R2.
        """
        del classes
        rows, squares = self.rows, exact_value(self.squares)
        # Fractions: the difference of two large sums loses nothing.
        spread = exact_value(self.label_squares) - exact_value(self.labels) ** 2 / rows
        r2 = float(1 - squares / spread) if spread else None
        adjusted = _adjusted(r2, rows, width)
        quantiles, median, histogram = _residual_shape(self.keys, self.counts)
        return {
            "rows": rows,
            "rmse": float(squares / rows) ** 0.5,
            "mse": float(squares / rows),
            "mae": float(exact_value(self.magnitudes) / rows),
            "median_absolute_error": min(median, self.largest),
            "max_absolute_error": self.largest,
            "mean_residual": float(exact_value(self.residuals) / rows),
            "r2": r2,
            "adjusted_r2": adjusted,
            "label_mean": float(exact_value(self.labels) / rows),
            "label_std": float(spread / rows) ** 0.5,
            "residual_quantiles": quantiles,
            "curves": {
                "residuals": histogram,
                "grid": {"span": list(self.span), "counts": self.grid.tolist()} if self.span else None,
            },
            "notes": _notes(r2, adjusted, rows, width),
        }  # fmt: skip


def _adjusted(r2: float | None, rows: int, width: int) -> float | None:
    """Return R2 with a price for every feature; None with too few rows to pay it."""
    left = rows - width - 1
    return None if r2 is None or left <= 0 else 1 - (1 - r2) * (rows - 1) / left


def _notes(r2: float | None, adjusted: float | None, rows: int, width: int) -> dict[str, str]:
    if r2 is None:
        return dict.fromkeys(("r2", "adjusted_r2"), f"undefined: all {rows:,} labels are equal")
    if adjusted is None:
        needed = f"expected more than {width + 1:,}"
        return {"adjusted_r2": f"undefined: {rows:,} rows for {width:,} features, {needed}"}
    return {}


def _bucket_keys(values: Floats) -> Ints:
    """Return float32 bits, made order-preserving, without their lower 16, (n,) int64."""
    largest = np.finfo(np.float32).max
    bits = (
        (np.clip(values, -largest, largest).astype(np.float32) + np.float32(0))
        .view(np.int32)
        .astype(np.int64)
    )
    ordered = np.where(bits >= 0, bits, -(bits & 0x7FFFFFFF))
    keys: Ints = ordered >> 16
    return keys


def _bucket_edge(keys: Ints) -> Floats:
    """Return the lower edge of each bucket, (m,) float64."""
    ordered = keys << 16
    size = np.minimum(np.abs(ordered), 0x7F7FFFFF).astype(np.uint32).view(np.float32).astype(float)
    edges: Floats = np.where(ordered < 0, -size, size)
    return edges


def _grid(labels: Floats, scores: Floats, span: tuple[float, float] | None) -> Ints:
    if span is None or span[0] >= span[1]:
        return np.zeros((GRID_BINS, GRID_BINS), dtype=np.int64)
    low, high = span
    bins = [
        np.clip((values - low) / (high - low) * GRID_BINS, 0, GRID_BINS - 1).astype(np.int64)
        for values in (labels, scores)
    ]
    flat = np.bincount(bins[0] * GRID_BINS + bins[1], minlength=GRID_BINS**2)
    return flat.reshape(GRID_BINS, GRID_BINS).astype(np.int64)  # axes: label, prediction


def _residual_shape(keys: Ints, counts: Ints) -> tuple[dict[str, float], float, dict[str, Any]]:
    """Return residual quantiles, the median of their sizes, and a histogram of the middle 99 %."""
    edges = _bucket_edge(np.unique(np.r_[keys, keys + 1]))
    rows = np.zeros(len(edges))
    rows[np.searchsorted(edges, _bucket_edge(keys + 1))] = counts
    share = np.cumsum(rows) / counts.sum()
    steps = (0.005, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.995)
    quantiles = dict(zip(map(str, steps), np.interp(steps, share, edges).tolist(), strict=True))
    sizes = np.unique(np.abs(edges))
    within = np.interp(sizes, edges, share) - np.interp(-sizes, edges, share)
    bins = np.linspace(quantiles["0.005"], quantiles["0.995"], RESIDUAL_BINS + 1)
    shown = np.diff(np.interp(bins, edges, share)) * counts.sum()
    histogram = {"edges": bins.tolist(), "counts": np.round(shown, 2).tolist()}
    return quantiles, float(np.interp(0.5, within, sizes)), histogram
