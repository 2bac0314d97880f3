"""The artifact of pca.

model.npz     v float64 (d, c): components in columns, the largest last, as SageMaker has them
              s float64 (c,): singular values of the rows, ascending
              mean float64 (d,); zeros when the means were not taken off
model.json    how many components, the width
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penstock.containers.batches import Features
from penstock.containers.model import Model, check_features, write_card

__all__ = ["PCAModel"]

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class PCAModel(Model):
    """projection = (features - mean) @ v.

    Attributes:
        task: ``projection``.
        components: float64 (d, c), orthonormal columns; the last has the largest singular value.
        singular_values: float64 (c,), ascending.
        mean: float64 (d,).
        best_epoch: None: there is one solution.
    """

    components: Array
    singular_values: Array
    mean: Array
    task: str = "projection"
    best_epoch: int | None = None

    @property
    def algorithm(self) -> str:
        """``pca``."""
        return "pca"

    @property
    def width(self) -> int:
        """Features of a row."""
        return int(self.components.shape[0])

    def score(self, features: Features) -> Array:
        """Return the projections, float64 (n, c); the last column is that of the largest component."""
        check_features(features, self.width, self.algorithm)
        projected = features.astype(np.float64) @ self.components
        return np.asarray(projected) - self.mean @ self.components

    def explanation(self) -> dict[str, Any]:
        """Return the weight of each feature in each component, the largest component first."""
        columns = self.components.T[::-1]
        values = {f"component {number}": each.tolist() for number, each in enumerate(columns, 1)}
        return {"kind": "coefficients", "values": values}

    def save(self, model_dir: Path) -> None:
        """Write the artifact into ``model_dir``. Equal models give equal bytes."""
        with (model_dir / "model.npz").open("wb") as stream:
            np.savez(stream, v=self.components, s=self.singular_values, mean=self.mean)
        write_card(
            model_dir,
            algorithm=self.algorithm,
            task=self.task,
            width=self.width,
            num_components=len(self.singular_values),
            best_epoch=self.best_epoch,
        )

    @classmethod
    def load(cls, model_dir: Path) -> PCAModel:
        """Return the model that :meth:`save` wrote."""
        with np.load(model_dir / "model.npz", allow_pickle=False) as arrays:
            return cls(components=arrays["v"], singular_values=arrays["s"], mean=arrays["mean"])
