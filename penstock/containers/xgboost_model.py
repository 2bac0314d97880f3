"""The artifact of xgboost: ``xgboost-model`` in XGBoost's own UBJ, and model.json beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penstock.containers.batches import Features, canonical
from penstock.containers.losses import sigmoid, softmax
from penstock.containers.model import Model, check_features, read_card, write_card
from penstock.containers.tables import XGBOOST_OBJECTIVES

__all__ = ["XGBoostModel", "in_layout"]

ARTIFACT = "xgboost-model"

# Cells that are scored at once: 64 MB as float32, should the rows change their layout.
SCORE_CELLS = 16 * 2**20

MEASURES = ("gain", "weight", "cover")


def in_layout(features: Features, layout: str) -> Features:
    """Return rows as trees of ``layout`` see them, whatever layout they came in.

    To a tree, a zero of a dense row is a value, and an absent cell of a sparse row is missing. A
    model is trained and used in one of the two, so that equal rows get equal predictions.
    """
    if layout == "dense":
        return features if isinstance(features, np.ndarray) else features.toarray()
    from scipy import sparse

    # XGBoost predicts from a csr_matrix and refuses a csr_array.
    return canonical(sparse.csr_matrix(features))


@dataclass(frozen=True, kw_only=True, slots=True)
class XGBoostModel(Model):
    """A booster, and what is needed to use it rightly.

    Attributes:
        task: ``binary``, ``multiclass`` or ``regression``.
        objective: XGBoost's name of it.
        layout: ``dense`` or ``sparse``, as trees saw the training rows; see :func:`in_layout`.
        booster: xgboost.Booster.
        best_epoch: The last round kept, from 0.
        best_objective: The deciding metric of that round.
    """

    task: str
    objective: str
    layout: str
    booster: Any
    best_epoch: int | None
    best_objective: float | None

    @property
    def algorithm(self) -> str:
        """``xgboost``."""
        return "xgboost"

    @property
    def width(self) -> int:
        """Features of a row."""
        return int(self.booster.num_features())

    def score(self, features: Features) -> NDArray[np.float64]:
        """Return predictions, float64: (n,), or (n, k) for classes; see :class:`Model`."""
        margin = self.objective in ("multi:softmax", "binary:logitraw")
        scores = self._predicted(features, "margin" if margin else "value")
        if margin:
            scores = (softmax if self.task == "multiclass" else sigmoid)(scores)  # type: ignore[assignment]
        return scores

    def output(self, features: Features) -> NDArray[np.float64]:
        """Return what XGBoost itself answers, and with it SageMaker's container.

        That is :meth:`score` but for two objectives: the class, float64 (n,), for ``multi:softmax``,
        and the margin (n,) for ``binary:logitraw``.

        Raises:
            SchemaMismatchError: The rows have another width.
        """
        if self.objective == "multi:softmax":
            classes: NDArray[np.float64] = self._predicted(features, "margin").argmax(axis=1)
            return classes.astype(np.float64)
        if self.objective == "binary:logitraw":
            return self._predicted(features, "margin")
        return self.score(features)

    def _predicted(self, features: Features, kind: str) -> NDArray[np.float64]:
        check_features(features, self.width, self.algorithm)
        step = max(SCORE_CELLS // self.width, 1)
        parts = [
            self.booster.inplace_predict(
                in_layout(features[start : start + step], self.layout),
                predict_type=kind,
                missing=np.nan,
            )
            for start in range(0, max(features.shape[0], 1), step)
        ]
        return np.concatenate(parts).astype(np.float64)

    def explanation(self) -> dict[str, Any]:
        """Return the importances: mean gain, number and mean cover of the splits, per feature."""
        values = {}
        for measure in MEASURES:
            numbers = np.zeros(self.width)
            for name, number in self.booster.get_score(importance_type=measure).items():
                numbers[int(name.removeprefix("f"))] = number
            values[measure] = numbers.tolist()
        return {"kind": "importance", "values": values}

    def save(self, model_dir: Path) -> None:
        """Write the artifact into ``model_dir``. Equal models give equal bytes."""
        (model_dir / ARTIFACT).write_bytes(bytes(self.booster.save_raw("ubj")))
        write_card(
            model_dir,
            algorithm=self.algorithm,
            task=self.task,
            objective=self.objective,
            width=self.width,
            classes={"binary": 2, "multiclass": self._classes()}.get(self.task),
            threshold=0.5 if self.task == "binary" else None,
            layout=self.layout,
            best_epoch=self.best_epoch,
            best_objective=self.best_objective,
        )

    def _classes(self) -> int:
        import json

        learner = json.loads(self.booster.save_config())["learner"]
        return int(learner["learner_model_param"]["num_class"])

    @classmethod
    def load(cls, model_dir: Path) -> XGBoostModel:
        """Return the model that :meth:`save` wrote."""
        import xgboost

        card = read_card(model_dir)
        booster = xgboost.Booster()
        booster.load_model(bytearray((model_dir / ARTIFACT).read_bytes()))
        return cls(
            task=XGBOOST_OBJECTIVES[card["objective"]],
            objective=card["objective"],
            layout=card["layout"],
            booster=booster,
            best_epoch=card["best_epoch"],
            best_objective=card["best_objective"],
        )
