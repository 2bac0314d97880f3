"""What a linear model minimises: loss and slope of margins.

Axes: n rows, k outputs (classes of a softmax, else 1). Margins are (n, k), labels (n,).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Loss", "loss_named", "sigmoid", "softmax"]

Array = NDArray[np.floating[Any]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Loss:
    """One loss.

    Attributes:
        name: As the hyperparameter spells it.
        objective: As the log line spells it.
        degree: A label in units of s makes the loss s**degree larger; 0 for classes.
        curvature: Second derivative along a margin, at most; 1 where it is a matter of kinks.
        value: (margins, labels) -> loss of each row, (n,).
        slope: (margins, labels) -> d loss / d margin, (n, k).
    """

    name: str
    objective: str
    degree: int
    curvature: float
    value: Callable[[Array, Array], Array]
    slope: Callable[[Array, Array], Array]


def sigmoid(margins: Array) -> Array:
    """Return 1 / (1 + exp(-margin)) without overflow.

    >>> sigmoid(np.array([-1000.0, 0.0, 1000.0])).tolist()
    [0.0, 0.5, 1.0]
    """
    small = np.exp(-np.abs(margins))
    return np.where(margins >= 0, 1.0, small) / (1.0 + small)


def softmax(margins: Array) -> Array:
    """Return the probabilities of margins (n, k), rows summing to 1.

    >>> softmax(np.array([[1000.0, 1000.0]])).tolist()
    [[0.5, 0.5]]
    """
    powers = np.exp(margins - margins.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def loss_named(name: str, values: Mapping[str, Any], unit: float) -> Loss:
    """Return a loss by its hyperparameter.

    Args:
        name: One of the names in ``tables.LOSSES``.
        values: Checked hyperparameters: huber_delta and the like, in units of the label.
        unit: One unit of training's labels, in units of the label.
    """
    if name == "logistic":
        return Loss(
            name=name,
            objective="binary_classification_cross_entropy",
            degree=0,
            curvature=0.25,
            value=lambda margins, labels: np.logaddexp(0, margins[:, 0]) - labels * margins[:, 0],
            slope=lambda margins, labels: sigmoid(margins) - labels[:, None],
        )
    if name == "softmax_loss":
        return Loss(
            name=name,
            objective="multiclass_cross_entropy",
            degree=0,
            curvature=0.5,
            value=_cross_entropy,
            slope=_cross_entropy_slope,
        )
    return _regression(name, values, unit)


def _cross_entropy(margins: Array, labels: Array) -> Array:
    top = margins.max(axis=1)
    whole = top + np.log(np.exp(margins - top[:, None]).sum(axis=1))
    return np.asarray(whole - margins[np.arange(len(labels)), labels.astype(np.int64)])


def _cross_entropy_slope(margins: Array, labels: Array) -> Array:
    slope = softmax(margins)
    slope[np.arange(len(labels)), labels.astype(np.int64)] -= 1
    return slope


def _regression(name: str, values: Mapping[str, Any], unit: float) -> Loss:
    """Return a loss of the error e = margin - label, both in training's units."""
    delta = values["huber_delta"] / unit
    free = values["loss_insensitivity"] / unit
    quantile = values["quantile"]

    def beyond(e: Array) -> Array:
        return np.asarray(np.sign(e) * np.maximum(np.abs(e) - free, 0))

    # objective, degree, loss of e, slope at e
    family: dict[str, tuple[str, int, Callable[[Array], Array], Callable[[Array], Array]]] = {
        "squared_loss": ("mse", 2, lambda e: e**2, lambda e: 2 * e),
        "absolute_loss": ("absolute_loss", 1, np.abs, np.sign),
        "huber_loss": (
            "huber_loss",
            2,
            lambda e: np.where(abs(e) <= delta, e**2 / 2, delta * (abs(e) - delta / 2)),
            lambda e: np.clip(e, -delta, delta),
        ),
        "quantile_loss": (
            "quantile_loss",
            1,
            lambda e: np.maximum((1 - quantile) * e, -quantile * e),
            lambda e: np.where(e > 0, 1 - quantile, -quantile),
        ),
        "eps_insensitive_squared_loss": (
            "eps_insensitive_squared_loss",
            2,
            lambda e: beyond(e) ** 2,
            lambda e: 2 * beyond(e),
        ),
        "eps_insensitive_absolute_loss": (
            "eps_insensitive_absolute_loss",
            1,
            lambda e: np.abs(beyond(e)),
            lambda e: np.sign(beyond(e)),
        ),
    }
    objective, degree, value, slope = family[name]
    return Loss(
        name=name,
        objective=objective,
        degree=degree,
        curvature=2.0 if name.endswith("squared_loss") else 1.0,
        value=lambda margins, labels: value(margins[:, 0] - labels),
        slope=lambda margins, labels: slope(margins - labels[:, None]),
    )
