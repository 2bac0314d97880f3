"""Sums that do not depend on the order of their addends: of floats without rounding, of counts per key."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Floats", "Ints", "exact_sum", "exact_value", "grouped", "ratio"]

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.int64]

UNIT_BITS = 1126  # the smallest double is 2**-1074, and frexp gives it 53 bits more
LOW_BITS = 26


def exact_sum(values: Floats) -> int:
    """Return the sum of finite float64 ``values`` (n,), without rounding, in units of 2**-1126.

    Integers add associatively, so sums of parts are the sum of the whole, bit for bit.
    ``n`` must be below 2**26 in one call.

    >>> exact_sum(np.array([1e300, 1.0, -1e300])) == 1 << 1126
    True
    """
    mantissa, exponent = np.frexp(np.asarray(values, dtype=np.float64))
    whole = np.ldexp(mantissa, 53).astype(np.int64)
    place = exponent.astype(np.int64) + (UNIT_BITS - 53)
    # Float64 bins are exact here: 2**26 addends below 2**27 stay within 2**53.
    high = np.bincount(place, weights=whole >> LOW_BITS)
    low = np.bincount(place, weights=whole & ((1 << LOW_BITS) - 1))
    used = np.flatnonzero((high != 0) | (low != 0))
    return sum((((int(high[i]) << LOW_BITS) + int(low[i])) << int(i)) for i in used)


def exact_value(total: int) -> Fraction:
    """Return the number that a ``total`` of ``exact_sum`` stands for."""
    return Fraction(total, 1 << UNIT_BITS)


def ratio(part: float, whole: float) -> float:
    """Return ``part / whole``, and 0 for an empty whole."""
    return float(part) / float(whole) if whole else 0.0


def grouped(keys: NDArray[Any], *counts: Ints) -> tuple[NDArray[Any], ...]:
    """Return the distinct keys, ascending, and each of ``counts`` (n,) summed per key."""
    distinct, inverse = np.unique(keys, return_inverse=True)
    sums = []
    for count in counts:
        total = np.zeros(len(distinct), dtype=np.int64)
        np.add.at(total, inverse, count)
        sums.append(total)
    return distinct, *sums
