"""Steps of stochastic gradient descent, with the two penalties of a linear model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Optimizer", "automatic_rate", "optimizer_named"]

Array = NDArray[np.float64]

# Keeps a step finite when no gradient was ever seen.
EPSILON = 1e-8


class Optimizer:
    """State of the steps of one parameter.

    A step is direction * size, where sgd's size is the learning rate and adam's and rmsprop's
    goes by how large past gradients were, per weight. The L1 penalty is applied as the proximal
    operator of that size, which sets weights to exactly zero.
    """

    def __init__(self, shape: tuple[int, ...], values: Mapping[str, Any], kind: str) -> None:
        automatic = {"momentum": 0.9, "beta_1": 0.9, "beta_2": 0.999}
        given = {name: values[name] for name in automatic if values[name] != "auto"}
        settings = automatic | given
        self._steps = 0
        self._mean = np.zeros(shape)
        self._square = np.zeros(shape)
        self._momentum, self._beta_2 = settings["momentum"], settings["beta_2"]
        self._beta_1 = settings["beta_1"] if kind == "adam" else 0.0
        self._move: Callable[[Array], tuple[Array, Array | float]] = (
            self._plain if kind == "sgd" else self._adaptive
        )

    def step(
        self, weights: Array, gradient: Array, rate: float, *, l1: float = 0.0, wd: float = 0.0
    ) -> Array:
        """Return the weights after one step along ``gradient`` (same shape)."""
        if wd:
            gradient = gradient + wd * weights
        self._steps += 1
        direction, size = self._move(gradient)
        moved = weights - rate * size * direction
        if l1:
            moved = np.sign(moved) * np.maximum(np.abs(moved) - rate * size * l1, 0.0)
        return moved

    def _plain(self, gradient: Array) -> tuple[Array, float]:
        # (1 - momentum) keeps the learning rate's meaning whatever the momentum is.
        self._mean = self._momentum * self._mean + (1 - self._momentum) * gradient
        return self._mean, 1.0

    def _adaptive(self, gradient: Array) -> tuple[Array, Array]:
        self._mean = self._beta_1 * self._mean + (1 - self._beta_1) * gradient
        self._square = self._beta_2 * self._square + (1 - self._beta_2) * gradient**2
        spread = np.sqrt(self._square / (1 - self._beta_2**self._steps))
        return self._mean / (1 - self._beta_1**self._steps), 1 / (spread + EPSILON)


def optimizer_named(name: str, shape: tuple[int, ...], values: Mapping[str, Any]) -> Optimizer:
    """Return a fresh optimizer for a parameter of ``shape``; ``auto`` is adam."""
    return Optimizer(shape, values, "adam" if name == "auto" else name)


def automatic_rate(name: str, *, steps: int, varying: int, curvature: float) -> float:
    """Return the learning rate that ``auto`` stands for.

    Args:
        name: The optimizer.
        steps: Steps that all epochs together would make. Adaptive steps are about one rate long,
            so few steps must be longer to get anywhere.
        varying: Features that are not constant. The largest eigenvalue of scaled features is at
            most their number, which bounds a plain step.
        curvature: Of the loss along a margin, at most.
    """
    if name == "sgd":
        return min(0.5, 1 / (curvature * max(varying, 1)))
    return float(np.clip(0.6 / np.sqrt(max(steps, 1)), 0.005, 0.3))
