"""A uniform sample of a stream's rows, in memory that does not grow with it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from penstock.containers.batches import Features

__all__ = ["Reservoir", "stacked"]


class Reservoir:
    """Keeps the rows with the smallest of random keys: every row has the same chance.

    Attributes:
        rows: Rows seen.
        capacity: Rows kept at most.
    """

    def __init__(self, capacity: int, random: np.random.Generator) -> None:
        self.rows, self.capacity, self._random = 0, capacity, random
        self._limit = np.inf  # keys from here on are not kept
        self._keys: list[NDArray[np.float64]] = []
        self._pieces: list[Features] = []
        self._held = 0

    @property
    def whole(self) -> bool:
        """Whether all rows are kept."""
        return self.rows <= self.capacity

    def add(self, features: Features) -> None:
        """Take in rows, (n, d)."""
        keys = self._random.random(features.shape[0])
        self.rows += features.shape[0]
        wanted = keys < self._limit
        if not wanted.any():
            return
        self._keys.append(keys[wanted])
        self._pieces.append(features if wanted.all() else features[wanted])
        self._held += int(wanted.sum())
        if self._held > 2 * self.capacity:
            self._settle()

    def _settle(self) -> None:
        """Drop what no longer belongs to the sample."""
        keys, rows = np.concatenate(self._keys), stacked(self._pieces)
        if len(keys) > self.capacity:
            # In the order in which they came, so that a sample of all rows is all rows in order.
            kept = np.sort(np.argpartition(keys, self.capacity)[: self.capacity])
            keys, rows = keys[kept], rows[kept]
            self._limit = keys.max()
        self._keys, self._pieces, self._held = [keys], [rows], len(keys)

    def sample(self) -> Features:
        """Return the kept rows, (min(rows, capacity), d), in the order in which they came."""
        self._settle()
        return self._pieces[0]


def stacked(pieces: list[Features]) -> Features:
    """Return the rows of some pieces, all arrays or all CSR, as one."""
    if len(pieces) == 1:
        return pieces[0]
    if all(isinstance(piece, np.ndarray) for piece in pieces):
        return np.concatenate(pieces)
    from scipy import sparse

    return sparse.vstack(pieces, format="csr")
