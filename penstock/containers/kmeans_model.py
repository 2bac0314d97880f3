"""The artifact of kmeans.

model.npz     centers float64 (k, d), rows float64 (k,): how much of the train channel is nearest to each
model.json    k, the width
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penstock.containers.batches import Features
from penstock.containers.centers import nearest
from penstock.containers.model import Model, check_features, write_card

__all__ = ["KMeansModel"]

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class KMeansModel(Model):
    """Each row belongs to its nearest center.

    Attributes:
        task: ``clustering``.
        centers: float64 (k, d).
        rows: Rows, or their weight, of each cluster in training, float64 (k,).
        best_epoch: None: every epoch makes the centers better.
    """

    centers: Array
    rows: Array
    task: str = "clustering"
    best_epoch: int | None = None

    @property
    def algorithm(self) -> str:
        """``kmeans``."""
        return "kmeans"

    @property
    def width(self) -> int:
        """Features of a row."""
        return int(self.centers.shape[1])

    def score(self, features: Features) -> Array:
        """Return number of the nearest center and Euclidean distance to it, float64 (n, 2)."""
        check_features(features, self.width, self.algorithm)
        numbers, squared = nearest(features, self.centers)
        return np.stack([numbers.astype(np.float64), np.sqrt(squared)], axis=1)

    def explanation(self) -> dict[str, Any]:
        """Return how far the centers lie from each other in each feature: their deviation by rows."""
        weights = self.rows / max(self.rows.sum(), 1.0)
        mean = weights @ self.centers
        spread = np.sqrt(weights @ (self.centers - mean) ** 2)
        return {"kind": "spread", "values": {"deviation of centers": spread.tolist()}}

    def save(self, model_dir: Path) -> None:
        """Write the artifact into ``model_dir``. Equal models give equal bytes."""
        with (model_dir / "model.npz").open("wb") as stream:
            np.savez(stream, centers=self.centers, rows=self.rows)
        write_card(
            model_dir,
            algorithm=self.algorithm,
            task=self.task,
            width=self.width,
            k=len(self.centers),
            best_epoch=self.best_epoch,
        )

    @classmethod
    def load(cls, model_dir: Path) -> KMeansModel:
        """Return the model that :meth:`save` wrote."""
        with np.load(model_dir / "model.npz", allow_pickle=False) as arrays:
            return cls(centers=arrays["centers"], rows=arrays["rows"])
