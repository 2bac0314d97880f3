"""Trained models, whatever trained them: read from a folder, scored, explained.

A model folder is what model.tar.gz holds. Beside the algorithm's own open format (npz, or
XGBoost's UBJ) stands model.json, which says what the model predicts and from how many features.
Nothing is unpickled.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penstock.containers.batches import Features
from penstock.errors import InputError, MissingFileError, SchemaMismatchError, listed

__all__ = ["Model", "check_features", "load_model", "read_card", "write_card"]

CARD = "model.json"
FORMAT_VERSION = 1

_ALGORITHMS = ("linear-learner", "xgboost", "kmeans", "pca")


class Model(ABC):
    """A trained model.

    Attributes:
        task: ``binary``, ``multiclass`` or ``regression``; ``clustering`` or ``projection``.
        best_epoch: The epoch or round that was kept, from 0; None when training had no say in it.
    """

    __slots__ = ()

    task: str
    best_epoch: int | None

    @property
    @abstractmethod
    def algorithm(self) -> str:
        """The algorithm's name, as in a spec."""

    @property
    @abstractmethod
    def width(self) -> int:
        """Features of a row."""

    @abstractmethod
    def score(self, features: Features) -> NDArray[np.float64]:
        """Return what the model predicts for each row.

        Args:
            features: float32 (n, d), an array or scipy.sparse CSR; d is :attr:`width`.

        Returns:
            float64: probability of class 1 (n,) for binary, probabilities (n, k) for multiclass,
            values (n,) for regression; nearest center and distance (n, 2) for clustering, projections
            (n, c) for projection.

        Raises:
            SchemaMismatchError: The rows have another width.
        """

    @abstractmethod
    def explanation(self) -> dict[str, Any]:
        """Return ``{"kind": "importance" | "coefficients", "values": {measure: [...]}}``.

        Each list has one number per feature, in the order of the features.
        """


def load_model(model_dir: Path) -> Model:
    """Return the model in ``model_dir``, an unpacked model.tar.gz.

    Raises:
        MissingFileError: There is no model.json.
        InputError: It is of an unknown algorithm or a newer format.
    """
    card = read_card(Path(model_dir))
    if card["algorithm"] == "xgboost":
        from penstock.containers.xgboost_model import XGBoostModel

        return XGBoostModel.load(Path(model_dir))
    if card["algorithm"] == "kmeans":
        from penstock.containers.kmeans_model import KMeansModel

        return KMeansModel.load(Path(model_dir))
    if card["algorithm"] == "pca":
        from penstock.containers.pca_model import PCAModel

        return PCAModel.load(Path(model_dir))
    from penstock.containers.linear_model import LinearModel

    return LinearModel.load(Path(model_dir))


def write_card(model_dir: Path, **about: Any) -> None:
    """Write model.json; equal arguments give equal bytes."""
    card = {"format_version": FORMAT_VERSION, "penstock": version("penstock"), **about}
    (model_dir / CARD).write_text(json.dumps(card, indent=2) + "\n")


def read_card(model_dir: Path) -> dict[str, Any]:
    """Return model.json.

    Raises:
        MissingFileError: There is none.
        InputError: It is of an unknown algorithm or a newer format.
    """
    path = model_dir / CARD
    try:
        card = json.loads(path.read_text())
    except FileNotFoundError:
        raise MissingFileError(
            "model", str(path), "name the folder of a finished training"
        ) from None
    except json.JSONDecodeError as error:
        raise InputError(f"{str(path)!r} is not JSON: {error}\n  train the model again") from error
    if not isinstance(card, dict) or card.get("format_version") != FORMAT_VERSION:
        found = card.get("format_version") if isinstance(card, dict) else type(card).__name__
        raise InputError(
            f"{str(path)!r}: format_version is {found!r}, expected {FORMAT_VERSION}\n"
            "  train the model again, or use the Penstock that wrote it"
        )
    if card.get("algorithm") not in _ALGORITHMS:
        raise InputError(
            f"{str(path)!r}: algorithm is {card.get('algorithm')!r}, expected {listed(_ALGORITHMS)}"
        )
    return card


def check_features(features: Features, width: int, algorithm: str) -> None:
    """Check that rows fit a model.

    Raises:
        SchemaMismatchError: They are no matrix of ``width`` columns.
    """
    shape = features.shape
    if len(shape) != 2 or shape[1] != width:
        found = f"{shape[1]} features" if len(shape) == 2 else f"an array of shape {shape}"
        raise SchemaMismatchError(
            f"rows for {algorithm}",
            "features",
            found,
            f"{width} features",
            "encode the rows with the plan that the model was trained on",
        )
