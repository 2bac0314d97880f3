"""Metrics of a multiclass task: of the called class, and of each class against all others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from penstock.metrics.rows import check_lengths, class_numbers, log_losses, refuse
from penstock.metrics.scores import BUCKET_BITS, DISTINCT_LIMIT, ScoreCounts
from penstock.metrics.state import Revivers, State, integers
from penstock.metrics.sums import Floats, Ints, exact_sum, exact_value, ratio

__all__ = ["MulticlassState"]

Area = tuple[float | None, float]  # as ``ScoreCounts.auc`` returns it

MANY_CLASSES, MANY_CLASSES_BITS = 16, 6  # past 16 classes: 2**12 buckets for each
PROBABILITY_SLACK = 1e-3  # float32 softmax over thousands of classes stays well inside


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class MulticlassState(State):
    """Class probabilities against class numbers.

    Attributes:
        confusion: Rows by true class (axis 0) and predicted class (axis 1), int64 (k, k).
        loss: Sum of the log losses; see ``exact_sum``.
        rankings: Per class, counts per score of that class against all others.
    """

    revivers: ClassVar[Revivers] = {
        "confusion": integers,
        "rankings": lambda rankings: tuple(map(ScoreCounts.from_plain, rankings)),
    }

    confusion: Ints
    loss: int
    rankings: tuple[ScoreCounts, ...]

    @classmethod
    def of(
        cls,
        scores: Floats,
        labels: Floats,
        *,
        where: str,
        first_row: int = 0,
        limit: int = DISTINCT_LIMIT,
    ) -> MulticlassState:
        """Return the state of some rows; the limit of distinct scores is shared by the classes.

        Args:
            scores: Probabilities, float (n, k), rows summing to 1.
            labels: Class numbers 0 to k - 1, float (n,).
            where: Shard, for errors.
            first_row: Number of the first of these rows in that shard.
            limit: Distinct scores kept exactly, over all classes.

        Raises:
            DataError: A row is not a distribution over the classes, or a label is no class number.
        """
        check_lengths(scores, labels, where)
        scores = _probabilities(scores, where, first_row)
        classes = scores.shape[1]
        truth = class_numbers(labels, classes, where, first_row)
        cells = np.bincount(truth * classes + scores.argmax(axis=1), minlength=classes**2)
        bits = BUCKET_BITS if classes <= MANY_CLASSES else MANY_CLASSES_BITS
        return cls(
            confusion=cells.reshape(classes, classes).astype(np.int64),  # axes: true, predicted
            loss=exact_sum(log_losses(scores[np.arange(len(truth)), truth])),
            rankings=tuple(
                ScoreCounts.of(scores[:, k], truth == k, limit=limit // classes, bits=bits)
                for k in range(classes)
            ),
        )

    def merged(self, other: MulticlassState) -> MulticlassState:
        """Return the state of the rows of both."""
        return MulticlassState(
            confusion=self.confusion + other.confusion,
            loss=self.loss + other.loss,
            rankings=tuple(a.merged(b) for a, b in zip(self.rankings, other.rankings, strict=True)),
        )

    def metrics(self, classes: Sequence[object] | None = None, width: int = 0) -> dict[str, Any]:
        """Return all metrics; averages are over the classes that occur, as label or as prediction."""
        del width
        confusion, rows = self.confusion, int(self.confusion.sum())
        names = [str(name) for name in classes or range(len(confusion))]
        true, called, hits = confusion.sum(axis=1), confusion.sum(axis=0), np.diag(confusion)
        precision = hits / np.maximum(called, 1)
        recall = hits / np.maximum(true, 1)
        f1 = 2 * hits / np.maximum(true + called, 1)
        areas = [ranking.auc() for ranking in self.rankings]
        occurs = (true + called) > 0
        averages = {"precision": precision, "recall": recall, "f1": f1}
        return {
            "rows": rows,
            "classes": names,
            "accuracy": ratio(int(hits.sum()), rows),
            "balanced_accuracy": float(recall[true > 0].mean()),
            "log_loss": float(exact_value(self.loss) / rows),
            **_mean_area(areas),
            **{f"macro_{name}": float(value[occurs].mean()) for name, value in averages.items()},
            **{f"weighted_{name}": float(np.dot(value, true) / rows) for name, value in averages.items()},
            "per_class": [
                {
                    "class": name, "rows": int(true[k]), "precision": float(precision[k]),
                    "recall": float(recall[k]), "f1": float(f1[k]), "auc": auc,
                }
                for k, (name, (auc, _)) in enumerate(zip(names, areas, strict=True))
            ],
            "confusion": confusion.tolist(),
            "curves": {},
            "notes": _notes(areas),
        }  # fmt: skip


def _probabilities(scores: Floats, where: str, first_row: int) -> Floats:
    """Return scores (n, k) as float64 within 0 to 1; DataError for the first row that is no distribution."""
    scores = np.asarray(scores, dtype=np.float64)
    sums = scores.sum(axis=1)
    refuse(
        ~((np.abs(sums - 1) <= PROBABILITY_SLACK) & (scores >= 0).all(axis=1)), sums, where, first_row,
        f"the scores of {scores.shape[1]} classes sum to {{found}}, expected probabilities with sum 1\n"
        "  the model is not one of a multiclass task, or its training diverged",
    )  # fmt: skip
    return np.minimum(scores, 1.0)


def _mean_area(areas: Sequence[Area]) -> dict[str, float | None]:
    known = [(auc, bound) for auc, bound in areas if auc is not None]
    return {
        "auc": float(np.mean([auc for auc, _ in known])) if known else None,
        "auc_error_bound": float(np.mean([bound for _, bound in known])) if known else 0.0,
    }


def _notes(areas: Sequence[Area]) -> dict[str, str]:
    absent = sum(1 for auc, _ in areas if auc is None)
    if not absent:
        return {}
    return {
        "auc": f"no rows, or all of them, in {absent} of {len(areas)} classes: left out of the mean"
    }
