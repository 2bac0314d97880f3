"""The artifact of linear-learner: weights of the features as they came.

model.npz     weights float64 (k, d), bias float64 (k,), deviation float64 (d,)
model.json    what is predicted, the width, the best epoch
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penstock.containers.batches import Features
from penstock.containers.losses import sigmoid, softmax
from penstock.containers.model import Model, check_features, read_card, write_card

__all__ = ["LinearModel", "Quality"]

Array = NDArray[np.float64]

# Rows that are scored at once: 64-bit copies of float32 rows stay small.
SCORE_ROWS = 16_384


@dataclass(frozen=True, kw_only=True, slots=True)
class LinearModel(Model):
    """score = link(features @ weights.T + bias).

    Attributes:
        task: ``binary``, ``multiclass`` or ``regression``.
        loss: What it was trained on.
        weights: float64 (k, d); k is 1, or the number of classes.
        bias: float64 (k,).
        deviation: Standard deviation of each feature in training, float64 (d,).
        best_epoch: The epoch whose weights these are, from 0.
        best_objective: That epoch's objective.
    """

    task: str
    loss: str
    weights: Array
    bias: Array
    deviation: Array
    best_epoch: int | None
    best_objective: float

    @property
    def algorithm(self) -> str:
        """``linear-learner``."""
        return "linear-learner"

    @property
    def width(self) -> int:
        """Features of a row."""
        return int(self.weights.shape[1])

    def score(self, features: Features) -> Array:
        """Return predictions, float64: (n,), or (n, k) for classes; see :class:`Model`."""
        check_features(features, self.width, self.algorithm)
        rows = features.shape[0]
        margins = np.empty((rows, len(self.bias)))
        for start in range(0, rows, SCORE_ROWS):
            part = features[start : start + SCORE_ROWS].astype(np.float64)
            margins[start : start + SCORE_ROWS] = part @ self.weights.T + self.bias
        if self.task == "multiclass":
            return np.asarray(softmax(margins), dtype=np.float64)
        scores = sigmoid(margins[:, 0]) if self.task == "binary" else margins[:, 0]
        return np.asarray(scores, dtype=np.float64)

    def explanation(self) -> dict[str, Any]:
        """Return the coefficients, plain and times the feature's deviation, per feature.

        The second compares features of different units: it is what one deviation of the feature
        changes in the margin. With classes, each class has a measure, and ``standardized`` is the
        largest magnitude over the classes.
        """
        scaled = self.weights * self.deviation
        if self.task != "multiclass":
            measures = {"coefficient": self.weights[0], "standardized": scaled[0]}
        else:
            measures = {f"class {k}": row for k, row in enumerate(self.weights)}
            measures["standardized"] = np.abs(scaled).max(axis=0)
        return {
            "kind": "coefficients",
            "values": {name: values.tolist() for name, values in measures.items()},
        }

    def save(self, model_dir: Path) -> None:
        """Write the artifact into ``model_dir``. Equal models give equal bytes."""
        with (model_dir / "model.npz").open("wb") as stream:
            np.savez(stream, weights=self.weights, bias=self.bias, deviation=self.deviation)
        write_card(
            model_dir,
            algorithm=self.algorithm,
            task=self.task,
            objective=self.loss,
            width=self.width,
            classes={"binary": 2, "multiclass": len(self.bias)}.get(self.task),
            threshold=0.5 if self.task == "binary" else None,
            best_epoch=self.best_epoch,
            best_objective=self.best_objective,
        )

    @classmethod
    def load(cls, model_dir: Path) -> LinearModel:
        """Return the model that :meth:`save` wrote."""
        card = read_card(model_dir)
        with np.load(model_dir / "model.npz", allow_pickle=False) as arrays:
            weights, bias, deviation = (arrays[name] for name in ("weights", "bias", "deviation"))
        return cls(
            task=card["task"],
            loss=card["objective"],
            weights=weights,
            bias=bias,
            deviation=deviation,
            best_epoch=card["best_epoch"],
            best_objective=card["best_objective"],
        )


class Quality:
    """Scores of a validation epoch, summed batch by batch. Names are SageMaker's."""

    def __init__(self, task: str) -> None:
        self._task, self._rows = task, 0
        self._sums = np.zeros(4)

    def add(self, margins: NDArray[Any], labels: NDArray[np.float32]) -> None:
        """Take in margins (n, k) and labels (n,)."""
        self._rows += len(labels)
        if self._task == "regression":
            error = margins[:, 0].astype(np.float64) - labels
            self._sums[:2] += [(error**2).sum(), np.abs(error).sum()]
        elif self._task == "binary":
            said, true = margins[:, 0] > 0, labels > 0
            hits = (said & true).sum()
            self._sums += [(said == true).sum(), hits, said.sum(), true.sum()]
        else:
            self._sums[0] += (margins.argmax(axis=1) == labels).sum()

    def values(self) -> dict[str, float]:
        """Return the scores by name; a share of nothing counts as 0."""
        first, second, third, fourth = self._sums.tolist()
        share = first / max(self._rows, 1)
        if self._task == "regression":
            mean_absolute = second / max(self._rows, 1)
            return {"mse": share, "rmse": share**0.5, "absolute_loss": mean_absolute}
        if self._task == "multiclass":
            return {"multiclass_accuracy": share}
        return {
            "binary_classification_accuracy": share,
            "precision": second / max(third, 1.0),
            "recall": second / max(fourth, 1.0),
        }
