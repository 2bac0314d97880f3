"""Moments and quantiles of numbers, and distinct counts, as states that merge in any order.

A sketch keeps value -> count while a column has at most 4,096 distinct values, so that medians and
modes are exact. Past that it keeps counts per bin. A bin holds the doubles that share sign,
exponent and the first 11 bits of the fraction, so its middle is within 2^-12 of each of them,
relatively. Past 65,536 bins, pairs of bins join and the bound doubles. Which of these a merge
arrives at depends on the union of the values only, never on the order.

    double, as an integer that sorts like it:   s eeeeeeeeeee ffffffffffff...f      1 + 11 + 52 bits
    bin number = that integer >> (41 + shift)   s eeeeeeeeeee fffffffffff           shift = 0

Distinct counts past the exact range come from the 1,024 smallest 64-bit hashes (within 3%, mostly).
Nothing here draws random numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "EXACT_VALUES",
    "HASHES",
    "Floats",
    "Hashes",
    "Ints",
    "Moments",
    "Sketch",
    "distinct",
    "integer_hashes",
    "merge_sketches",
    "middles",
    "moments_of",
    "number_hashes",
    "sketch_of",
    "smallest",
    "sortable",
    "text_hashes",
]

EXACT_VALUES = 4096
FRACTION_BITS = 11
MAX_BINS = 65_536
HASHES = 1024

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Moments:
    """Count, mean, and sum of squared deviations from the mean."""

    count: int = 0
    mean: float = 0.0
    m2: float = 0.0

    @property
    def variance(self) -> float:
        """Population variance; 0.0 without values."""
        return self.m2 / self.count if self.count else 0.0

    @property
    def std(self) -> float:
        """Population standard deviation."""
        return math.sqrt(self.variance)

    def merge(self, other: Moments) -> Moments:
        """Return the moments of both, by Chan's formula."""
        count = self.count + other.count
        if not self.count or not other.count:
            return self if self.count else other
        delta = other.mean - self.mean
        return Moments(
            count=count,
            mean=self.mean + delta * (other.count / count),
            m2=self.m2 + other.m2 + delta * delta * (self.count * (other.count / count)),
        )


def moments_of(values: Floats, counts: Ints | None = None) -> Moments:
    """Return the moments of ``values``, each taken ``counts`` times; not finite where they overflow."""
    with np.errstate(over="ignore", invalid="ignore"):
        return _moments_of(values, counts)


def _moments_of(values: Floats, counts: Ints | None) -> Moments:
    if not len(values):
        return Moments()
    if counts is None:
        mean = float(values.mean())
        deviation = values - mean
        return Moments(count=len(values), mean=mean, m2=float(np.dot(deviation, deviation)))
    count = int(counts.sum())
    mean = float((values * (counts / count)).sum())
    deviation = values - mean
    return Moments(count=count, mean=mean, m2=float((deviation * deviation * counts).sum()))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Sketch:
    """How often each finite value occurs: exactly, or per bin.

    Attributes:
        shift: None while exact; else by how many bits the bins are coarser than the finest.
        keys: Ascending (k,): values as float64 while exact, else bin numbers as int64.
        counts: Rows of each key, int64 (k,).
        hashes: Smallest hashes of the distinct values, ascending; empty while exact.
    """

    shift: int | None = None
    keys: npt.NDArray[Any] = field(default_factory=lambda: np.empty(0))
    counts: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    hashes: Hashes = field(default_factory=lambda: np.empty(0, np.uint64))

    @property
    def distinct(self) -> int:
        """Distinct values: exact while the sketch is, else estimated."""
        return len(self.keys) if self.shift is None else distinct(self.hashes)

    @property
    def relative_error(self) -> float:
        """Bound on the relative error of a quantile (of normal doubles); 0.0 while exact."""
        return 0.0 if self.shift is None else float(2.0 ** (self.shift - FRACTION_BITS - 1))

    def quantile(self, share: float, *, low: float, high: float) -> float:
        """Return the quantile as numpy.quantile (linear) does; the median as numpy.median.

        Args:
            share: 0.0 to 1.0.
            low: The smallest value seen; bounds what a bin answers.
            high: The largest.
        """
        upto = np.cumsum(self.counts)
        position = share * (int(upto[-1]) - 1)
        ranks = np.array([math.floor(position), math.ceil(position)])
        ends = self.values()[np.searchsorted(upto, ranks, side="right")].clip(low, high)
        below, above = (float(end) for end in ends)
        part = position - math.floor(position)
        # Halves first: the sum of two doubles may not be one.
        return below / 2 + above / 2 if part == 0.5 else below + (above - below) * part

    def values(self) -> Floats:
        """Return the value that stands for each key: itself, or the middle of the bin."""
        if self.shift is None:
            return np.asarray(self.keys, np.float64)
        return middles(self.keys, 52 - FRACTION_BITS + self.shift)


def middles(keys: Ints, bits: int) -> Floats:
    """Return the middle of each bin: of the doubles whose ``sortable`` >> ``bits`` is its key."""
    if not bits:
        return _doubles(keys)
    first = keys << bits
    ends = _doubles(first) / 2 + _doubles(first + ((1 << bits) - 1)) / 2
    # The bin of zero holds the smallest subnormals too; nobody measures those.
    return np.where(keys == 0, 0.0, ends)


def sortable(values: Floats) -> Ints:
    """Return integers that sort as the doubles do; -0.0 must not occur."""
    bits = values.view(np.int64)
    return np.asarray(bits ^ ((bits >> 63) & np.int64(2**63 - 1)), np.int64)


def _doubles(sortable: Ints) -> Floats:
    return (sortable ^ ((sortable >> 63) & np.int64(2**63 - 1))).view(np.float64)


def _mixed(bits: Hashes) -> Hashes:
    """Return a well-mixed 64-bit hash of each integer (the finaliser of splitmix64)."""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(bits ^ (bits >> np.uint64(31)), np.uint64)


def number_hashes(values: Floats) -> Hashes:
    """Return the hash of each value (n,); -0.0 must not occur."""
    return integer_hashes(values.view(np.int64))


def integer_hashes(values: Ints) -> Hashes:
    """Return the hash of each integer (n,)."""
    return _mixed(values.view(np.uint64) + np.uint64(0x9E3779B97F4A7C15))


def text_hashes(values: Any) -> Hashes:
    """Hash each string of a large_string array without nulls: a polynomial of its bytes, mixed."""
    if not len(values):
        return np.empty(0, np.uint64)
    _, offsets_buffer, data_buffer = values.buffers()
    offsets = np.frombuffer(offsets_buffer, np.int64)[
        values.offset : values.offset + len(values) + 1
    ]
    lengths = np.diff(offsets)
    size = int(offsets[-1] - offsets[0])
    data = np.frombuffer(data_buffer or b"", np.uint8)[offsets[0] : offsets[0] + size]
    powers = np.full(int(lengths.max()) + 1, 0x9E3779B97F4A7C15, np.uint64)
    np.multiply.accumulate(powers, out=powers)
    starts = offsets[:-1] - offsets[0]
    at = np.arange(size) - np.repeat(starts, lengths)
    sums = np.zeros(size + 1, np.uint64)
    np.cumsum((data + np.uint64(1)) * powers[at], out=sums[1:])
    return _mixed(sums[starts + lengths] - sums[starts] + lengths.astype(np.uint64))


def smallest(hashes: Hashes) -> Hashes:
    """Return the 1,024 smallest distinct hashes, ascending: what ``distinct`` counts from."""
    if len(hashes) > 4 * HASHES:
        # Most hashes are too large to matter; twice as many are kept in case some repeat.
        near = hashes[hashes <= np.partition(hashes, 2 * HASHES)[2 * HASHES]]
        if len(found := np.unique(near)) >= HASHES:
            return found[:HASHES]
    return np.unique(hashes)[:HASHES]


def distinct(hashes: Hashes) -> int:
    """Return how many values had these smallest hashes: exact below 1,024, else estimated."""
    if len(hashes) < HASHES:
        return len(hashes)
    return round((HASHES - 1) / (float(hashes[-1]) / 2.0**64))


def _summed(keys: npt.NDArray[Any], counts: Ints) -> tuple[npt.NDArray[Any], Ints]:
    """Return ascending distinct keys and the sum of their counts."""
    if not len(keys):
        return keys, counts
    order = np.argsort(keys, kind="stable")
    keys, counts = keys[order], counts[order]
    first = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1])))
    return keys[first], np.add.reduceat(counts, first)


def _coarsened(shift: int, keys: Ints, counts: Ints, hashes: Hashes) -> Sketch:
    """Return the sketch with as many bits as ``MAX_BINS`` allows: minimal, so order-independent."""
    keys, counts = _summed(keys, counts)
    while len(keys) > MAX_BINS:
        shift += 1
        keys, counts = _summed(keys >> 1, counts)
    return Sketch(shift=shift, keys=keys, counts=counts, hashes=hashes)


def _bins(values: Floats, shift: int) -> Ints:
    return np.asarray(sortable(values) >> (52 - FRACTION_BITS + shift), np.int64)


def sketch_of(values: Floats, *, binned: bool = False) -> Sketch:
    """Return the sketch of finite ``values`` (n,) without -0.0.

    Args:
        values: Any order.
        binned: Do not try to be exact. For a part of a column that has too many values anyway:
            saves a sort, and merges to the same sketch.
    """
    if not binned:
        ordered = np.sort(values)
        first = np.flatnonzero(
            np.concatenate((ordered[:1] == ordered[:1], ordered[1:] != ordered[:-1]))
        )
        if len(first) <= EXACT_VALUES:
            return Sketch(keys=ordered[first], counts=np.diff(first, append=len(ordered)))
    return _binned(values)


def _binned(values: Floats) -> Sketch:
    """Return the bins of finite ``values`` (n,), without a sort while their range is small."""
    keys = _bins(values, 0)
    low, high = (int(keys.min()), int(keys.max())) if len(keys) else (0, 0)
    if high - low < 4 * len(keys) + MAX_BINS:
        counts = np.bincount(keys - low, minlength=1)
        found = np.flatnonzero(counts)
        keys, counts = found + low, counts[found]
    else:
        keys, counts = np.unique(keys, return_counts=True)
    return _coarsened(0, keys, counts, smallest(number_hashes(values)))


def merge_sketches(sketches: Sequence[Sketch]) -> Sketch:
    """Return the sketch of all rows of ``sketches`` (at least one), whatever their order."""
    if all(sketch.shift is None for sketch in sketches):
        keys, counts = _summed(
            np.concatenate([sketch.keys for sketch in sketches]),
            np.concatenate([sketch.counts for sketch in sketches]),
        )
        if len(keys) <= EXACT_VALUES:
            return Sketch(keys=keys, counts=counts)
        return _coarsened(0, _bins(keys, 0), counts, smallest(number_hashes(keys)))
    shift = max(sketch.shift or 0 for sketch in sketches)
    bins = [
        _bins(sketch.keys, shift) if sketch.shift is None else sketch.keys >> (shift - sketch.shift)
        for sketch in sketches
    ]
    hashes = [
        number_hashes(sketch.keys) if sketch.shift is None else sketch.hashes for sketch in sketches
    ]
    return _coarsened(
        shift,
        np.concatenate(bins),
        np.concatenate([sketch.counts for sketch in sketches]),
        smallest(np.concatenate(hashes)),
    )
