"""Centers of points: which is nearest, where to begin, and Lloyd's way to better ones.

Points are an array or CSR, float64 inside. Nothing here is larger than the points and one matrix of
CHUNK_ROWS rows and as many columns as there are centers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Solution", "lloyd", "nearest", "plus_plus", "sums"]

Points = Any  # (n, d): np.ndarray or scipy.sparse CSR
Array = NDArray[np.float64]

CHUNK_ROWS = 4096


@dataclass(frozen=True, kw_only=True, slots=True)
class Solution:
    """Centers and what they cost.

    Attributes:
        centers: float64 (k, d).
        loss: Weighted sum of squared distances to the nearest center.
        weights: Weight of the points nearest to each, float64 (k,).
    """

    centers: Array
    loss: float
    weights: Array


def nearest(points: Points, centers: Array) -> tuple[NDArray[np.int64], Array]:
    """Return the nearest center of each point, int64 (n,), and the squared distances to it, (n,)."""
    numbers = np.empty(points.shape[0], dtype=np.int64)
    squared = np.empty(points.shape[0])
    lengths, doubled = (centers**2).sum(axis=1), 2 * centers.T
    for start in range(0, points.shape[0], CHUNK_ROWS):
        part = slice(start, start + CHUNK_ROWS)
        chunk = points[part].astype(np.float64, copy=False)
        # |x - c|^2 = |x|^2 - 2 x.c + |c|^2; the first does not decide which is nearest. (rows, k)
        distances = np.asarray(chunk @ doubled)
        np.subtract(lengths, distances, out=distances)
        found = distances.argmin(axis=1)
        numbers[part] = found
        squared[part] = distances[np.arange(len(found)), found] + _squares(chunk)
    return numbers, np.maximum(squared, 0.0, out=squared)


def _squares(points: Points) -> Array:
    if isinstance(points, np.ndarray):
        return np.asarray(np.einsum("ij,ij->i", points, points))
    return np.asarray(points.multiply(points).sum(axis=1)).ravel()


def sums(points: Points, numbers: NDArray[np.int64], k: int, weights: Array | None = None) -> Array:
    """Return the (weighted) sum of the points of each center, float64 (k, d)."""
    from scipy import sparse

    values = np.ones(len(numbers)) if weights is None else weights
    chosen = sparse.csr_array(
        (values, numbers, np.arange(len(numbers) + 1)), shape=(len(numbers), k)
    )
    summed = chosen.T @ points
    return np.asarray(summed if isinstance(summed, np.ndarray) else summed.toarray(), np.float64)


def plus_plus(points: Points, weights: Array, k: int, random: np.random.Generator) -> Array:
    """Return k of the points, float64 (k, d), far from each other: greedy k-means++.

    Each next center is, of some candidates drawn by weighted squared distance from those before,
    the one that leaves the least of it. Points that coincide may be drawn twice when fewer than k differ.
    """
    tries = 2 + int(np.log(k))
    first = random.choice(len(weights), p=weights / weights.sum())
    chosen = [first]
    lengths = _squares(points)
    closest = _distances(points, lengths, np.array([first]))[:, 0]
    for _ in range(1, k):
        mass = np.cumsum(weights * closest)
        drawn = np.searchsorted(mass, random.random(tries) * mass[-1]).clip(max=len(weights) - 1)
        left = np.minimum(closest[:, None], _distances(points, lengths, drawn))
        best = int((weights @ left).argmin())
        closest = left[:, best]
        chosen.append(int(drawn[best]))
    return _dense(points[chosen])


def _distances(points: Points, lengths: Array, chosen: NDArray[np.int64]) -> Array:
    """Return squared distances to some of the points, (n, m); ``lengths`` are the points' own squares."""
    product = points @ points[chosen].T
    distances = np.asarray(product if isinstance(product, np.ndarray) else product.toarray())
    distances *= -2
    distances += lengths[:, None]
    distances += lengths[chosen]
    return np.asarray(np.maximum(distances, 0.0, out=distances))


def _dense(points: Points) -> Array:
    return np.asarray(points if isinstance(points, np.ndarray) else points.toarray(), np.float64)


def lloyd(
    points: Points, weights: Array, centers: Array, *, max_iter: int, tolerance: float
) -> Solution:
    """Return better centers: Lloyd's steps until the loss falls by less than a share, or long enough.

    A center without points is put on the point that costs most.
    """
    k, before = len(centers), np.inf
    for _ in range(max_iter):
        numbers, squared = nearest(points, centers)
        loss = float(weights @ squared)
        if before - loss <= tolerance * loss:
            break
        before = loss
        mass = np.bincount(numbers, weights=weights, minlength=k)
        empty = np.flatnonzero(mass == 0)
        means = sums(points, numbers, k, weights) / np.where(mass > 0, mass, 1.0)[:, None]
        if len(empty):
            dearest = np.argsort(weights * squared)[::-1][: len(empty)]
            means[empty[: len(dearest)]] = _dense(points[np.sort(dearest)])
        centers = means
    numbers, squared = nearest(points, centers)
    return Solution(
        centers=centers,
        loss=float(weights @ squared),
        weights=np.asarray(np.bincount(numbers, weights=weights, minlength=k), np.float64),
    )
