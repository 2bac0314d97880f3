"""What each algorithm reads, predicts and gives."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from penstock.containers import serving
from penstock.containers.batches import Features
from penstock.containers.model import Model, load_model
from penstock.containers.scoring.answers import Columns, answered
from penstock.containers.scoring.requests import (
    CSV,
    JSON,
    JSON_LINES,
    LIBSVM,
    RECORDIO,
    SOURCE,
    rows_of,
)
from penstock.containers.serving import Answer, MediaType
from penstock.errors import DataError, InputError

__all__ = ["ModelPredictor", "load", "main"]

REFUSED_VARIABLES = ("SAGEMAKER_INFERENCE_OUTPUT", "SAGEMAKER_MULTI_MODEL")


@dataclass(frozen=True, kw_only=True, slots=True)
class Face:
    """How an algorithm is served.

    Attributes:
        reads: Media types of requests.
        gives: Media types of answers, the usual one first.
        columns: A model and rows -> predictions by name.
        missing: Whether NaN is a value to the model, that of a missing cell.
        top: What a JSON answer calls the list of predictions.
    """

    reads: tuple[str, ...]
    gives: tuple[str, ...]
    columns: Callable[[Any, Features], Columns]
    missing: bool = False
    top: str = "predictions"


def _linear(model: Model, features: Features) -> Columns:
    scores = model.score(features)
    if model.task == "regression":
        return {"score": scores}
    if model.task == "binary":
        return {"score": scores, "predicted_label": (scores >= 0.5).astype(np.int64)}
    return {"score": scores, "predicted_label": scores.argmax(axis=1)}


def _xgboost(model: Any, features: Features) -> Columns:
    return {"score": model.output(features)}


def _kmeans(model: Model, features: Features) -> Columns:
    scores = model.score(features)
    return {"closest_cluster": scores[:, 0], "distance_to_cluster": scores[:, 1]}


def _pca(model: Model, features: Features) -> Columns:
    return {"projection": model.score(features)}


FACES: Mapping[str, Face] = {
    "linear-learner": Face(
        reads=(CSV, JSON, JSON_LINES, RECORDIO),
        gives=(JSON, JSON_LINES, RECORDIO),
        columns=_linear,
    ),
    "xgboost": Face(
        reads=(CSV, LIBSVM, "text/x-libsvm", RECORDIO),
        gives=(CSV, JSON, JSON_LINES, RECORDIO),
        columns=_xgboost,
        missing=True,
    ),
    "kmeans": Face(
        reads=(CSV, JSON, JSON_LINES, RECORDIO),
        gives=(JSON, JSON_LINES, CSV, RECORDIO),
        columns=_kmeans,
    ),
    "pca": Face(
        reads=(CSV, JSON, JSON_LINES, RECORDIO),
        gives=(JSON, JSON_LINES, CSV, RECORDIO),
        columns=_pca,
        top="projections",
    ),
}


class ModelPredictor:
    """A trained model that answers requests."""

    def __init__(self, model: Model) -> None:
        """Take a model; :func:`load` reads one."""
        self._model, self._face = model, FACES[model.algorithm]

    @property
    def reads(self) -> Sequence[str]:
        """Media types of requests."""
        return self._face.reads

    @property
    def gives(self) -> Sequence[str]:
        """Media types of answers."""
        return self._face.gives

    def about(self) -> Sequence[str]:
        """Return the lines that are logged when it is ready."""
        model = self._model
        return (f"{model.algorithm} for {model.task}: {model.width:,} features",)

    def warm(self) -> None:
        """Answer a row of zeros, so that no client waits for imports and first threads."""
        body = ",".join(["0"] * self._model.width).encode()
        for accept in self.gives:
            self.answer(body, MediaType(name=CSV), accept)

    def answer(self, body: bytes, content: MediaType, accept: str) -> Answer:
        """Return the predictions for a body's rows.

        Raises:
            InputError: The body is wrong as a whole, or the rows have another width.
            DataError: A row is wrong.
        """
        if content.name == "text/x-libsvm":
            content = MediaType(name=LIBSVM, parameters=content.parameters)
        features = rows_of(body, content, self._model.width)
        _check_values(features, missing=self._face.missing)
        columns = self._face.columns(self._model, features)
        found = answered(columns, accept, top=self._face.top)
        return Answer(body=found, rows=int(features.shape[0]))


def _check_values(features: Features, *, missing: bool) -> None:
    """Refuse infinity, and NaN where it is no value.

    Raises:
        DataError: There is one; names row and feature.
    """
    values = features if isinstance(features, np.ndarray) else features.data
    wrong = np.isinf(values) if missing else ~np.isfinite(values)
    if not wrong.any():
        return
    if isinstance(features, np.ndarray):
        row, column = (int(at) for at in np.argwhere(wrong)[0])
        value = features[row, column]
    else:
        first = int(wrong.argmax())
        row = int(np.searchsorted(features.indptr, first, "right")) - 1
        column, value = int(features.indices[first]), values[first]
    found = "missing" if np.isnan(value) else repr(float(value))
    raise DataError(
        f"{SOURCE}, row {row:,}: feature {column} is {found}, expected a finite number\n"
        "  encode the rows with the plan that the model was trained on: it fills what is missing"
    )


def load(folder: Path, environment: Mapping[str, str] | None = None) -> ModelPredictor:
    """Return the predictor of an unpacked model.

    Args:
        folder: Holds model.json.
        environment: Variables; None: those of the process.

    Raises:
        MissingFileError: There is no model.
        InputError: It is of an unknown algorithm or a newer format, or a variable asks for what is
            not here.
    """
    given = os.environ if environment is None else environment
    for name in REFUSED_VARIABLES:
        if given.get(name, "").lower() not in ("", "false"):
            raise InputError(
                f"environment variable {name} is {given[name]!r}: it asks for what this server does "
                "not have\n  leave it out"
            )
    predictor = ModelPredictor(load_model(folder))
    predictor.warm()
    return predictor


def main(argv: Sequence[str]) -> int:
    """Serve as the platform asks; return the exit code."""
    return serving.main(load, argv)
