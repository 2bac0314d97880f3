"""Means and variances of a stream, and the scaling that training uses.

Linear models are trained on x' = (x - mean) / deviation, because one step size then suits all
features; the weights are given back for x itself. Sparse rows are never shifted: the shift is
folded into the weights and the gradient, so that zeros stay absent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from penstock.containers.batches import Features
from penstock.errors import DataError

__all__ = ["Moments", "Scaling"]

Vector = NDArray[np.float64]

# A column whose deviation is below this share of its magnitude is constant but for rounding.
CONSTANT_SHARE = 1e-6


class Moments:
    """Count, mean and variance per column, one batch at a time. Memory is that of a few rows.

    Attributes:
        rows: Rows seen.
        mean: float64 (d,).
    """

    def __init__(self, width: int) -> None:
        self.rows = 0
        self.mean = np.zeros(width)
        self._squares = np.zeros(width)  # sum of squared distances from the mean

    def add(self, features: Features, where: str) -> None:
        """Take in ``features``, float32 (n, d).

        Raises:
            DataError: A value is NaN or infinite; names its column.
        """
        rows = features.shape[0]
        mean, squares = _batch_moments(features)
        if not np.isfinite(squares).all():
            column = int(np.flatnonzero(~np.isfinite(squares))[0])
            raise DataError(
                f"{where}: feature {column} has a value that is NaN, infinite or too large, "
                "expected finite float32 numbers\n  impute it in the plan"
            )
        total = self.rows + rows
        shift = mean - self.mean
        self._squares += squares + shift**2 * (self.rows * rows / total)
        self.mean += shift * (rows / total)
        self.rows = total

    @property
    def deviation(self) -> Vector:
        """Standard deviation per column, float64 (d,); exactly 0 where a column is constant."""
        deviation = np.sqrt(self._squares / max(self.rows, 1))
        return np.where(deviation > CONSTANT_SHARE * np.abs(self.mean), deviation, 0.0)


def _batch_moments(features: Features) -> tuple[Vector, Vector]:
    """Return the mean and the sum of squared distances from it, float64 (d,) each."""
    rows, width = features.shape
    with np.errstate(over="ignore", invalid="ignore"):
        if isinstance(features, np.ndarray):
            mean = features.mean(axis=0, dtype=np.float64)
            squares = ((features - mean) ** 2).sum(axis=0)
            return mean, squares
        data = features.data.astype(np.float64)
        mean = np.bincount(features.indices, weights=data, minlength=width) / rows
        # Stored values by their distance, and (rows - stored) zeros at distance mean.
        stored = np.bincount(features.indices, minlength=width)
        distance = (data - mean[features.indices]) ** 2
        squares = np.bincount(features.indices, weights=distance, minlength=width)
        return mean, squares + (rows - stored) * mean**2


@dataclass(frozen=True, kw_only=True, slots=True)
class Scaling:
    """x' = (x - shift) * factor.

    Attributes:
        shift: float64 (d,).
        factor: float64 (d,); 0 drops a constant column, which the bias stands for.
    """

    shift: Vector
    factor: Vector

    @classmethod
    def of(cls, moments: Moments, *, scale: bool, center: bool) -> Scaling:
        """Return the scaling that makes deviations 1 (``scale``) and means 0 (``center``)."""
        deviation = moments.deviation
        varies = deviation > 0
        factor = np.ones_like(deviation)
        if scale:
            factor = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=varies)
        if center:
            # Off its mean, a constant column is zero: no gradient may reach its weight.
            factor = np.where(varies, factor, 0.0)
            return cls(shift=moments.mean.copy(), factor=factor)
        return cls(shift=np.zeros_like(deviation), factor=factor)

    def margins(self, features: Features, weights: Vector, bias: Vector) -> NDArray[np.float32]:
        """Return x' @ weights + bias, (n, k), for weights (d, k) and bias (k,) of x'."""
        plain, offset = self.plain(weights, bias)
        margins: NDArray[np.float32] = features @ plain.astype(np.float32)
        return margins + offset.astype(np.float32)

    def gradient(self, features: Features, slopes: NDArray[np.float32]) -> tuple[Vector, Vector]:
        """Return the gradients of weights (d, k) and bias (k,) for slopes (n, k) of the margins."""
        total = slopes.sum(axis=0, dtype=np.float64)
        raw = (features.T @ slopes).astype(np.float64)
        return (raw - np.outer(self.shift, total)) * self.factor[:, None], total

    def plain(self, weights: Vector, bias: Vector) -> tuple[Vector, Vector]:
        """Return the weights (d, k) and bias (k,) that give the same margins on x itself."""
        plain = weights * self.factor[:, None]
        return plain, bias - self.shift @ plain
