"""Moments of pairs of columns, which merge: what correlations are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from penstock.sketch import Floats

__all__ = ["MATRIX_COLUMNS", "CoMoments"]

MATRIX_COLUMNS = 50
BLOCK_ROWS = 2048


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class CoMoments:
    """Moments of pairs of columns, each over the rows where both have a value.

    Attributes:
        names: Columns i = 0..k-1; the label first, if there is one.
        count: Rows of pair (i, j), (k, m): j runs over the first m = min(k, 50) names.
        mean_i: Mean of column i over them, (k, m).
        mean_j: Mean of column j over them.
        m2_i: Sum of squared deviations of column i.
        m2_j: Of column j.
        product: Sum of products of both deviations.
    """

    names: tuple[str, ...]
    count: Floats
    mean_i: Floats
    mean_j: Floats
    m2_i: Floats
    m2_j: Floats
    product: Floats

    @classmethod
    def of(cls, names: Sequence[str], values: Floats) -> CoMoments:
        """Return the co-moments of ``values`` (k, n), NaN where there is none."""
        m = min(len(names), MATRIX_COLUMNS)
        holes = np.flatnonzero(np.isnan(values.sum(axis=1)))
        present = ~np.isnan(values[holes])
        shift = values.sum(axis=1) / max(values.shape[1], 1)
        shift[holes] = values[holes].sum(axis=1, where=present) / np.maximum(present.sum(axis=1), 1)
        sums = [np.zeros((len(names), m)) for _ in range(6)]
        # In blocks that stay in the processor's cache.
        for start in range(0, values.shape[1], BLOCK_ROWS):
            block = slice(start, start + BLOCK_ROWS)
            # Deviations from the batch's own means, so that no digits cancel below.
            deviations = values[:, block] - shift[:, None]
            mask = present[:, block].astype(np.float64)
            deviations[holes] = np.where(present[:, block], deviations[holes], 0.0)
            for total, part in zip(sums, _pair_sums(deviations, mask, holes, m), strict=True):
                total += part
        count, sum_i, sum_j, square_i, square_j, product = sums
        mean_i, mean_j = sum_i / np.maximum(count, 1), sum_j / np.maximum(count, 1)
        return cls(
            names=tuple(names),
            count=count,
            mean_i=mean_i + shift[:, None],
            mean_j=mean_j + shift[None, :m],
            m2_i=square_i - count * mean_i**2,
            m2_j=square_j - count * mean_j**2,
            product=product - count * mean_i * mean_j,
        )

    def merge(self, other: CoMoments) -> CoMoments:
        """Return the co-moments of the rows of both."""
        count = self.count + other.count
        share = other.count / np.maximum(count, 1)
        between = self.count * share
        delta_i = np.where(self.count > 0, other.mean_i - self.mean_i, other.mean_i)
        delta_j = np.where(self.count > 0, other.mean_j - self.mean_j, other.mean_j)
        return CoMoments(
            names=self.names,
            count=count,
            mean_i=np.where(self.count > 0, self.mean_i, 0.0) + delta_i * share,
            mean_j=np.where(self.count > 0, self.mean_j, 0.0) + delta_j * share,
            m2_i=self.m2_i + other.m2_i + delta_i**2 * between,
            m2_j=self.m2_j + other.m2_j + delta_j**2 * between,
            product=self.product + other.product + delta_i * delta_j * between,
        )

    def correlation(self) -> Floats:
        """Return Pearson's correlation (k, m); NaN where a column does not vary."""
        scale = np.sqrt(np.maximum(self.m2_i, 0.0) * np.maximum(self.m2_j, 0.0))
        # Rounding leaves a constant column some 1e-16 of its magnitude as deviations.
        varies = (self.m2_i > self.count * (1e-13 * self.mean_i) ** 2) & (scale > 0)
        varies &= self.m2_j > self.count * (1e-13 * self.mean_j) ** 2
        ratio = np.divide(self.product, scale, out=np.full(scale.shape, np.nan), where=varies)
        return np.asarray(ratio.clip(-1.0, 1.0))


def _pair_sums(
    values: Floats, mask: Floats, holes: npt.NDArray[np.intp], m: int
) -> tuple[Floats, ...]:
    """Return six sums over the rows where both of a pair (i, j < m) are present, each (k, m).

    They are 1, i, j, i^2, j^2 and i * j.

    Args:
        values: (k, n), zero where there is none.
        mask: (h, n), 1.0 where there is a value, of the columns ``holes`` alone; the others are whole.
        holes: Columns with missing values, ascending, (h,).
        m: How many of the columns j runs over.
    """
    near = int(np.searchsorted(holes, m))
    rows = np.full(len(values), float(values.shape[1]))
    rows[holes] = mask.sum(axis=1)
    count = np.minimum(rows[:, None], rows[None, :m])
    count[np.ix_(holes, holes[:near])] = mask @ mask[:near].T

    def sums(parts: Floats) -> tuple[Floats, Floats]:
        # (k, m): of column i where column j is present, and of column j where column i is.
        of_i = np.repeat(parts.sum(axis=1)[:, None], m, axis=1)
        of_i[:, holes[:near]] = parts @ mask[:near].T
        if m == len(parts):
            return of_i, of_i.T
        of_j = np.repeat(parts[:m].sum(axis=1)[None, :], len(parts), axis=0)
        of_j[holes] = mask @ parts[:m].T
        return of_i, of_j

    return count, *sums(values), *sums(values * values), values @ values[:m].T
