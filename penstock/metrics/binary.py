"""Metrics of a binary task: ranking, calibration, thresholds, and the points of their plots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from penstock.metrics.rows import check_lengths, class_numbers, log_losses, refuse
from penstock.metrics.scores import DISTINCT_LIMIT, ScoreCounts
from penstock.metrics.state import Revivers, State
from penstock.metrics.sums import Floats, Ints, exact_sum, exact_value, ratio

__all__ = ["BinaryState"]

CURVE_POINTS = 400
THRESHOLD_POINTS = 200
FEWEST_CALLED = 20
CALIBRATION_BINS = 20
SCORE_BINS = 40


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class BinaryState(State):
    """Scores of a binary task against labels 0 and 1.

    Attributes:
        ranking: Counts per score; thresholds compare float32 scores with ``>=``.
        loss: Sum of the log losses, natural logarithm, of float64 scores; see ``exact_sum``.
        squares: Sum of (score - label)**2; see ``exact_sum``.
    """

    revivers: ClassVar[Revivers] = {"ranking": ScoreCounts.from_plain}

    ranking: ScoreCounts
    loss: int
    squares: int

    @classmethod
    def of(
        cls,
        scores: Floats,
        labels: Floats,
        *,
        where: str,
        first_row: int = 0,
        limit: int = DISTINCT_LIMIT,
    ) -> BinaryState:
        """Return the state of some rows.

        Args:
            scores: Probability of class 1, float (n,).
            labels: 0 or 1, float (n,).
            where: Shard, for errors.
            first_row: Number of the first of these rows in that shard.
            limit: Distinct scores kept exactly.

        Raises:
            DataError: A score is not within 0 to 1, a label is neither 0 nor 1, or the counts differ.
        """
        check_lengths(scores, labels, where)
        scores = np.asarray(scores, dtype=np.float64)
        refuse(
            ~((scores >= 0) & (scores <= 1)), scores, where, first_row,
            "score is {found}, expected a probability from 0 to 1\n"
            "  the model is not one of a binary task, or its training diverged",
        )  # fmt: skip
        positive = class_numbers(labels, 2, where, first_row) == 1
        return cls(
            ranking=ScoreCounts.of(scores, positive, limit=limit),
            loss=exact_sum(log_losses(np.where(positive, scores, 1 - scores))),
            squares=exact_sum((scores - positive) ** 2),
        )

    def merged(self, other: BinaryState) -> BinaryState:
        """Return the state of the rows of both."""
        return BinaryState(
            ranking=self.ranking.merged(other.ranking),
            loss=self.loss + other.loss,
            squares=self.squares + other.squares,
        )

    def metrics(self, classes: Sequence[object] | None = None, width: int = 0) -> dict[str, Any]:
        """Return all metrics; names in ``penstock.evaluate.METRICS``. Null ones have a reason in ``notes``."""
        del width
        counts = self.ranking
        fp, tp = counts.falling()
        negatives, positives = int(counts.negatives.sum()), int(counts.positives.sum())
        rows = negatives + positives
        auc, bound = counts.auc()
        precision = counts.average_precision()
        return {
            "rows": rows,
            "classes": [str(name) for name in classes or (0, 1)],
            "base_rate": ratio(positives, rows),
            "auc": auc,
            "auc_error_bound": bound,
            "average_precision": precision,
            "log_loss": float(exact_value(self.loss) / rows),
            "brier": float(exact_value(self.squares) / rows),
            **_at_threshold(counts, 0.5),
            "lift_at_10pct": _lift(fp, tp, 0.1),
            "calibration": (bins := _calibration(counts)),
            "calibration_error": sum(
                bin_["rows"] * abs(bin_["score"] - bin_["rate"]) for bin_ in bins
            ) / rows,
            "best_f1": float(_f1(fp, tp).max()),
            "best": {"f1": _best(counts, _f1(fp, tp)), "youden": _best(counts, _youden(fp, tp))},
            "curves": _curves(counts),
            "notes": _binary_notes(negatives, positives, counts, bound),
        }  # fmt: skip


def _binary_notes(
    negatives: int, positives: int, counts: ScoreCounts, bound: float
) -> dict[str, str]:
    notes = {}
    if not negatives or not positives:
        only = 1 if positives else 0
        notes["auc"] = f"undefined: all {negatives + positives:,} rows are of class {only}"
    if not positives:
        notes["average_precision"] = "undefined: no row is of class 1"
        notes["lift_at_10pct"] = "undefined: no row is of class 1"
    if counts.bucketed:
        notes["scores"] = (
            f"more than {counts.limit:,} distinct scores: counted in buckets; "
            f"ties inside them move the AUC by at most {bound:.1e}"
        )
    return notes


def _f1(fp: Ints, tp: Ints) -> Floats:
    f1: Floats = 2 * tp / np.maximum(tp + fp + tp[-1], 1)
    return f1


def _youden(fp: Ints, tp: Ints) -> Floats:
    j: Floats = tp / max(tp[-1], 1) - fp / max(fp[-1], 1)
    return j


def _best(counts: ScoreCounts, criterion: Floats) -> dict[str, Any]:
    """Return the metrics where ``criterion`` (m,), highest score first, is largest; the first of equals."""
    return _at_threshold(counts, float(counts.scores[::-1][int(np.argmax(criterion))]))


def _at_threshold(counts: ScoreCounts, threshold: float) -> dict[str, Any]:
    """Return the metrics of calling rows positive whose score is at least ``threshold``."""
    called = counts.scores >= np.float32(threshold)
    tp, fp = int(counts.positives[called].sum()), int(counts.negatives[called].sum())
    fn, tn = int(counts.positives.sum()) - tp, int(counts.negatives.sum()) - fp
    recall, specificity = ratio(tp, tp + fn), ratio(tn, tn + fp)
    # Python integers: the product overflows 64 bits from 2**16 rows on.
    spread = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
    return {
        "threshold": threshold,
        "accuracy": ratio(tp + tn, tp + tn + fp + fn),
        "precision": ratio(tp, tp + fp),
        "recall": recall,
        "sensitivity": recall,
        "specificity": specificity,
        "f1": ratio(2 * tp, 2 * tp + fp + fn),
        "balanced_accuracy": (recall + specificity) / 2,
        "mcc": ratio(tp * tn - fp * fn, float(spread) ** 0.5),
        "youden": recall + specificity - 1,
        "confusion": [[tn, fp], [fn, tp]],
    }


def _lift(fp: Ints, tp: Ints, share: float) -> float | None:
    """Return the positive rate of the best-scored ``share`` of rows over that of all rows.

    Rows with equal scores are taken in proportion, so the result does not depend on their order.
    """
    rows, positives = int(fp[-1] + tp[-1]), int(tp[-1])
    if not positives:
        return None
    found = np.interp(share * rows, np.r_[0, fp + tp], np.r_[0, tp])
    return float(found / (share * positives))


def _calibration(counts: ScoreCounts) -> list[dict[str, Any]]:
    """Return bins of about equal rows: mean score, share of positives, rows. Equal scores stay together."""
    rows = counts.negatives + counts.positives
    middle = np.cumsum(rows) - rows / 2
    bins = (middle * CALIBRATION_BINS / max(int(rows.sum()), 1)).astype(np.int64)
    starts = np.flatnonzero(np.diff(bins, prepend=-1))
    sums = [
        np.add.reduceat(values, starts).tolist()
        for values in (rows, counts.scores.astype(float) * rows, counts.positives)
    ]
    return [
        {"score": score / n, "rate": positive / n, "rows": n}
        for n, score, positive in zip(*sums, strict=True)
    ]


def _thin(course: Floats, points: int) -> Ints:
    """Return indices, at most ``points``, about evenly spaced along the rising ``course`` (m,); both ends."""
    if len(course) <= points:
        return np.arange(len(course), dtype=np.int64)
    wanted = np.linspace(course[0], course[-1], points - 1)
    picked = np.unique(np.r_[np.searchsorted(course, wanted, side="left"), len(course) - 1])
    return np.asarray(np.minimum(picked, len(course) - 1), dtype=np.int64)


def _curves(counts: ScoreCounts) -> dict[str, Any]:
    """Return ROC and precision-recall points, metrics over thresholds, and score histograms."""
    fp, tp = counts.falling()
    scores = counts.scores[::-1].astype(float)
    fpr = np.r_[0.0, fp / max(int(fp[-1]), 1)]
    tpr = np.r_[0.0, tp / max(int(tp[-1]), 1)]
    precision = tp / np.maximum(tp + fp, 1)
    roc = _thin(fpr + tpr, CURVE_POINTS)
    # The first rows swing the precision most: half of the points go by the logarithm of the rows.
    called = np.log1p(tp + fp)
    pr = _thin(tpr[1:] + called / max(float(called[-1]), 1.0), CURVE_POINTS)
    # Precision over fewer rows is noise: the curve ends where FEWEST_CALLED rows are left.
    last = np.searchsorted(tp + fp, min(FEWEST_CALLED, int(tp[-1] + fp[-1])))
    at = np.linspace(0.0, float(scores[last]), THRESHOLD_POINTS)
    above = np.searchsorted(-scores, -at, side="right") - 1
    edges = np.linspace(0, 1, SCORE_BINS + 1)
    return {
        "roc": {"fpr": fpr[roc].tolist(), "tpr": tpr[roc].tolist()},
        "pr": {"recall": tpr[1:][pr].tolist(), "precision": precision[pr].tolist()},
        "thresholds": {
            "threshold": at.tolist(),
            "precision": precision[above].tolist(),
            "recall": tpr[1:][above].tolist(),
            "f1": _f1(fp, tp)[above].tolist(),
        },
        "scores": {
            "edges": edges.tolist(),
            "negatives": np.histogram(counts.scores, edges, weights=counts.negatives)[0].astype(int).tolist(),
            "positives": np.histogram(counts.scores, edges, weights=counts.positives)[0].astype(int).tolist(),
        },
    }  # fmt: skip
