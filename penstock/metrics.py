"""Test metrics as mergeable states: scoring runs in tasks, small states travel, one place finishes.

Every state is a commutative monoid: any partitioning of the rows, merged in any order, gives the
same state to the bit. Counts are integers; sums of floats are kept without rounding, as integer
multiples of 2**-1126 (``exact_sum``). Nothing here knows Spark.

Ranking metrics need the order of all scores. ``ScoreCounts`` keeps every distinct float32 score with
its two counts; past ``limit`` distinct scores it falls back to buckets, whatever the order in which
rows arrive, and then says how far ties inside buckets can have moved the AUC:

    p <  1/2    p rounded down to `bits` mantissa bits            lower edge 0 below 2**-31
    p >= 1/2    1 - p rounded up to `bits` mantissa bits          1/2 itself is always an edge

With 10 bits that is at most 2**16 buckets, each 0.1 % wide relative to p or to 1 - p.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from penstock.errors import DataError

__all__ = ["BinaryState", "MulticlassState", "RegressionState", "ScoreCounts", "exact_sum"]

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.int64]

DISTINCT_LIMIT = 200_000  # 20 bytes each: a state stays under 4 MB
BUCKET_BITS = 10
MANY_CLASSES, MANY_CLASSES_BITS = 16, 6  # past 16 classes: 2**12 buckets for each
SMALLEST = np.float32(2.0**-31)
UNIT_BITS = 1126  # the smallest double is 2**-1074, and frexp gives it 53 bits more
LOW_BITS = 26
CURVE_POINTS = 400
THRESHOLD_POINTS = 200
FEWEST_CALLED = 20
CALIBRATION_BINS = 20
HISTOGRAM_BINS = 40
GRID_BINS = 40
PROBABILITY_SLACK = 1e-3  # float32 softmax over thousands of classes stays well inside
CLIP = float(np.finfo(np.float64).eps)  # a certain and wrong prediction costs 36 nats, not infinity


def exact_sum(values: Floats) -> int:
    """Return the sum of finite float64 ``values`` (n,), without rounding, in units of 2**-1126.

    Integers add associatively, so sums of parts are the sum of the whole, bit for bit.
    ``n`` must be below 2**26 in one call.

    >>> exact_sum(np.array([1e300, 1.0, -1e300])) == 1 << 1126
    True
    """
    mantissa, exponent = np.frexp(np.asarray(values, dtype=np.float64))
    whole = np.ldexp(mantissa, 53).astype(np.int64)
    place = exponent.astype(np.int64) + (UNIT_BITS - 53)
    # Float64 bins are exact here: 2**26 addends below 2**27 stay within 2**53.
    high = np.bincount(place, weights=whole >> LOW_BITS)
    low = np.bincount(place, weights=whole & ((1 << LOW_BITS) - 1))
    used = np.flatnonzero((high != 0) | (low != 0))
    return sum((((int(high[i]) << LOW_BITS) + int(low[i])) << int(i)) for i in used)


def _value(total: int) -> Fraction:
    return Fraction(total, 1 << UNIT_BITS)


def _ratio(part: float, whole: float) -> float:
    return float(part) / float(whole) if whole else 0.0


def _refuse(bad: NDArray[np.bool_], values: Floats, where: str, first_row: int, rule: str) -> None:
    """Raise for the first row that ``bad`` marks. ``rule`` holds ``{found}`` once."""
    if bad.any():
        row = int(np.argmax(bad))
        problem = rule.format(found=repr(float(values[row])))
        raise DataError(f"{where}, row {first_row + row}: {problem}")


def _check_labels(labels: Floats, classes: int, where: str, first_row: int) -> Ints:
    """Return labels as class numbers (n,) int64."""
    bad = ~np.isin(labels, np.arange(classes))
    _refuse(
        bad, labels, where, first_row,
        f"label is {{found}}, expected a class number from 0 to {classes - 1}\n"
        "  convert the dataset again with the label's classes in the spec",
    )  # fmt: skip
    return labels.astype(np.int64)


def _same_length(scores: Floats, labels: Floats, where: str) -> None:
    if len(scores) != len(labels):
        raise DataError(
            f"{where}: {len(scores)} scores for {len(labels)} labels, expected one score a row\n"
            "  the dataset has unlabelled rows, or the model drops rows"
        )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class State:
    """What all states share: JSON, and equality by content."""

    def to_json(self) -> str:
        """Return the state as JSON text; ``from_json`` gives an equal state back."""
        return json.dumps({field.name: _plain(getattr(self, field.name)) for field in fields(self)})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the state that ``to_json`` wrote."""
        return cls._of(json.loads(text))

    @classmethod
    def _of(cls, body: Mapping[str, Any]) -> Self:
        return cls(**{field.name: _revive(field.name, body[field.name]) for field in fields(cls)})

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.to_json() == other.to_json()

    __hash__ = None  # type: ignore[assignment]


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, State):
        return json.loads(value.to_json())
    # A sum has up to 2,100 bits: more than a JSON number may be trusted to keep.
    return hex(value) if isinstance(value, int) and abs(value) >= 2**53 else value


def _revive(name: str, value: Any) -> Any:
    if name == "scores":
        return np.asarray(value, dtype=np.float32)
    if name in {"negatives", "positives", "confusion", "keys", "counts", "grid"}:
        return np.asarray(value, dtype=np.int64)
    if name == "ranking":
        return ScoreCounts._of(value)
    if name == "rankings":
        return tuple(ScoreCounts._of(item) for item in value)
    if name == "span":
        return None if value is None else (float(value[0]), float(value[1]))
    return int(value, 16) if isinstance(value, str) else value


def _grouped(keys: NDArray[Any], *counts: Ints) -> tuple[NDArray[Any], ...]:
    """Return the distinct keys, ascending, and each of ``counts`` (n,) summed per key."""
    distinct, inverse = np.unique(keys, return_inverse=True)
    sums = []
    for count in counts:
        total = np.zeros(len(distinct), dtype=np.int64)
        np.add.at(total, inverse, count)
        sums.append(total)
    return distinct, *sums


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ScoreCounts(State):
    """How many rows of each class have each score.

    Attributes:
        scores: Distinct scores, ascending, float32 (m,); lower bucket edges when ``bucketed``.
        negatives: Rows of class 0 per score, int64 (m,).
        positives: Rows of class 1 per score, int64 (m,).
        bucketed: More than ``limit`` distinct scores were seen.
        limit: Distinct scores kept before buckets take over.
        bits: Mantissa bits of a bucket.
    """

    scores: NDArray[np.float32]
    negatives: Ints
    positives: Ints
    bucketed: bool = False
    limit: int = DISTINCT_LIMIT
    bits: int = BUCKET_BITS

    @classmethod
    def of(
        cls,
        scores: Floats,
        positive: NDArray[np.bool_],
        *,
        limit: int = DISTINCT_LIMIT,
        bits: int = BUCKET_BITS,
    ) -> ScoreCounts:
        """Count ``scores`` (n,) within 0 to 1; ``positive`` (n,) marks rows of class 1."""
        rounded = scores.astype(np.float32) + np.float32(0)  # -0.0 becomes 0.0
        ones = positive.astype(np.int64)
        empty = cls(
            scores=rounded[:0], negatives=ones[:0], positives=ones[:0], limit=limit, bits=bits
        )
        return empty._with(rounded, 1 - ones, ones)

    def merged(self, other: ScoreCounts) -> ScoreCounts:
        """Return the counts of both; any order gives the same."""
        start = replace(self, bucketed=self.bucketed or other.bucketed)
        return start._with(other.scores, other.negatives, other.positives)

    def _with(self, scores: NDArray[np.float32], negatives: Ints, positives: Ints) -> ScoreCounts:
        scores = np.concatenate([self.scores, scores])
        negatives = np.concatenate([self.negatives, negatives])
        positives = np.concatenate([self.positives, positives])
        bucketed = self.bucketed
        for _ in range(2):
            if bucketed:
                scores = _lower_edges(scores, self.bits)
            scores, negatives, positives = _grouped(scores, negatives, positives)
            if bucketed or len(scores) <= self.limit:
                break
            bucketed = True
        return replace(
            self, scores=scores, negatives=negatives, positives=positives, bucketed=bucketed
        )

    def falling(self) -> tuple[Ints, Ints]:
        """Return rows of class 0 and of class 1 at or above each score, highest score first."""
        return np.cumsum(self.negatives[::-1]), np.cumsum(self.positives[::-1])

    def auc(self) -> tuple[float | None, float]:
        """Return the area under the ROC curve, None with one class only, and its error bound.

        Rows with equal scores count half. The bound is 0 for exact counts; for buckets it is half
        the share of (negative, positive) pairs that fall into one bucket.
        """
        below = np.cumsum(self.negatives) - self.negatives
        pairs = float(self.negatives.sum()) * float(self.positives.sum())
        if not pairs:
            return None, 0.0
        tied = float(np.dot(self.negatives.astype(float), self.positives.astype(float)))
        won = float(np.dot(below.astype(float), self.positives.astype(float)))
        return (won + tied / 2) / pairs, tied / 2 / pairs if self.bucketed else 0.0

    def average_precision(self) -> float | None:
        """Return the step-wise area under precision over recall; None without rows of class 1."""
        fp, tp = self.falling()
        if not len(tp) or not tp[-1]:
            return None
        gained = np.diff(tp, prepend=0) / tp[-1]
        return float(np.dot(gained, tp / np.maximum(tp + fp, 1)))


def _lower_edges(scores: NDArray[np.float32], bits: int) -> NDArray[np.float32]:
    """Return the lower edge of each score's bucket, (n,) float32; edges map to themselves.

    Bit operations only: no function whose last bit differs between processors.
    """
    step = np.uint32(1 << (23 - bits))
    mask = ~np.uint32(step - np.uint32(1))
    low = (scores.view(np.uint32) & mask).view(np.float32)
    low = np.where(scores < SMALLEST, np.float32(0), low)
    rest = (np.float32(1) - scores).astype(np.float32)
    up = ((rest.view(np.uint32) + step - np.uint32(1)) & mask).view(np.float32)
    return np.where(scores < np.float32(0.5), low, np.float32(1) - up).astype(np.float32)


def _row_losses(of_truth: Floats) -> Floats:
    """Return -log of the probability given to the true class, (n,) float64."""
    loss: Floats = -np.log(np.clip(of_truth, CLIP, 1.0))
    return loss


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class BinaryState(State):
    """Scores of a binary task against labels 0 and 1.

    Attributes:
        ranking: Counts per score; thresholds compare float32 scores with ``>=``.
        loss: Sum of the log losses, natural logarithm, of float64 scores; see ``exact_sum``.
        squares: Sum of (score - label)**2; see ``exact_sum``.
    """

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
        _same_length(scores, labels, where)
        scores = np.asarray(scores, dtype=np.float64)
        _refuse(
            ~((scores >= 0) & (scores <= 1)), scores, where, first_row,
            "score is {found}, expected a probability from 0 to 1\n"
            "  the model is not one of a binary task, or its training diverged",
        )  # fmt: skip
        positive = _check_labels(labels, 2, where, first_row) == 1
        return cls(
            ranking=ScoreCounts.of(scores, positive, limit=limit),
            loss=exact_sum(_row_losses(np.where(positive, scores, 1 - scores))),
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
            "base_rate": _ratio(positives, rows),
            "auc": auc,
            "auc_error_bound": bound,
            "average_precision": precision,
            "log_loss": float(_value(self.loss) / rows),
            "brier": float(_value(self.squares) / rows),
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
    recall, specificity = _ratio(tp, tp + fn), _ratio(tn, tn + fp)
    # Python integers: the product overflows 64 bits from 2**16 rows on.
    spread = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
    return {
        "threshold": threshold,
        "accuracy": _ratio(tp + tn, tp + tn + fp + fn),
        "precision": _ratio(tp, tp + fp),
        "recall": recall,
        "sensitivity": recall,
        "specificity": specificity,
        "f1": _ratio(2 * tp, 2 * tp + fp + fn),
        "balanced_accuracy": (recall + specificity) / 2,
        "mcc": _ratio(tp * tn - fp * fn, float(spread) ** 0.5),
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
    edges = np.linspace(0, 1, HISTOGRAM_BINS + 1)
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


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class MulticlassState(State):
    """Class probabilities against class numbers.

    Attributes:
        confusion: Rows by true class (axis 0) and predicted class (axis 1), int64 (k, k).
        loss: Sum of the log losses; see ``exact_sum``.
        rankings: Per class, counts per score of that class against all others.
    """

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
        _same_length(scores, labels, where)
        scores = np.asarray(scores, dtype=np.float64)
        classes = scores.shape[1]
        sums = scores.sum(axis=1)
        bad = ~((np.abs(sums - 1) <= PROBABILITY_SLACK) & (scores >= 0).all(axis=1))
        _refuse(
            bad, sums, where, first_row,
            f"the scores of {classes} classes sum to {{found}}, expected probabilities with sum 1\n"
            "  the model is not one of a multiclass task, or its training diverged",
        )  # fmt: skip
        scores = np.minimum(scores, 1.0)
        truth = _check_labels(labels, classes, where, first_row)
        cells = np.bincount(truth * classes + scores.argmax(axis=1), minlength=classes**2)
        bits = BUCKET_BITS if classes <= MANY_CLASSES else MANY_CLASSES_BITS
        return cls(
            confusion=cells.reshape(classes, classes).astype(np.int64),  # axes: true, predicted
            loss=exact_sum(_row_losses(scores[np.arange(len(truth)), truth])),
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
        confusion = self.confusion
        rows = int(confusion.sum())
        true, called, hits = confusion.sum(axis=1), confusion.sum(axis=0), np.diag(confusion)
        precision = hits / np.maximum(called, 1)
        recall = hits / np.maximum(true, 1)
        f1 = 2 * hits / np.maximum(true + called, 1)
        areas = [ranking.auc() for ranking in self.rankings]
        known = [(auc, bound) for auc, bound in areas if auc is not None]
        names = [str(name) for name in classes or range(len(hits))]
        occurs = (true + called) > 0
        averages = {"precision": precision, "recall": recall, "f1": f1}
        absent = [name for name, (auc, _) in zip(names, areas, strict=True) if auc is None]
        return {
            "rows": rows,
            "classes": names,
            "accuracy": _ratio(int(hits.sum()), rows),
            "balanced_accuracy": float(recall[true > 0].mean()),
            "log_loss": float(_value(self.loss) / rows),
            "auc": float(np.mean([auc for auc, _ in known])) if known else None,
            "auc_error_bound": float(np.mean([bound for _, bound in known])) if known else 0.0,
            **{f"macro_{name}": float(value[occurs].mean()) for name, value in averages.items()},
            **{f"weighted_{name}": float(np.dot(value, true) / rows) for name, value in averages.items()},
            "per_class": [
                {
                    "class": names[k], "rows": int(true[k]), "precision": float(precision[k]),
                    "recall": float(recall[k]), "f1": float(f1[k]), "auc": areas[k][0],
                }
                for k in range(len(hits))
            ],
            "confusion": confusion.tolist(),
            "curves": {},
            "notes": {"auc": f"no rows, or all of them, in {len(absent)} of {len(names)} classes: left out of the mean"}
            if absent
            else {},
        }  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class RegressionState(State):
    """Predicted values against labels; sums as in ``exact_sum``, residual = label - prediction.

    Attributes:
        rows: Rows seen.
        labels: Sum of the labels.
        label_squares: Sum of their squares, exact since float32 squares fit a double.
        residuals: Sum of the residuals.
        squares: Sum of their squares.
        magnitudes: Sum of their absolute values.
        largest: Largest absolute residual.
        keys: Residual buckets, the upper 16 bits of their order-preserving float32 bits, ascending (m,).
        counts: Rows per bucket, int64 (m,).
        span: Label range of the whole split, which ``grid`` covers; None: no grid.
        grid: Rows by label bin (axis 0) and prediction bin (axis 1); those outside go to the rim.
    """

    rows: int
    labels: int
    label_squares: int
    residuals: int
    squares: int
    magnitudes: int
    largest: float
    keys: Ints
    counts: Ints
    span: tuple[float, float] | None
    grid: Ints

    @classmethod
    def of(
        cls, scores: Floats, labels: Floats, *, where: str, first_row: int = 0,
        span: tuple[float, float] | None = None,
    ) -> RegressionState:  # fmt: skip
        """Return the state of some rows.

        Args:
            scores: Predicted values, float (n,).
            labels: float32 (n,).
            where: Shard, for errors.
            first_row: Number of the first of these rows in that shard.
            span: Smallest and largest label of the whole split; the same for all states merged.

        Raises:
            DataError: A prediction or a label is NaN or infinite.
        """
        _same_length(scores, labels, where)
        scores, labels = np.asarray(scores, dtype=np.float64), np.asarray(labels, dtype=np.float64)
        for name, values in (("prediction", scores), ("label", labels)):
            _refuse(
                ~np.isfinite(values), values, where, first_row,
                f"{name} is {{found}}, expected a finite number\n"
                "  the training diverged, or the dataset was not written by convert",
            )  # fmt: skip
        residuals = labels - scores
        keys, counts = _grouped(_bucket_keys(residuals), np.ones(len(residuals), dtype=np.int64))
        return cls(
            rows=len(labels),
            labels=exact_sum(labels),
            label_squares=exact_sum(labels**2),
            residuals=exact_sum(residuals),
            squares=exact_sum(residuals**2),
            magnitudes=exact_sum(np.abs(residuals)),
            largest=float(np.abs(residuals).max(initial=0.0)),
            keys=keys,
            counts=counts,
            span=span,
            grid=_grid(labels, scores, span),
        )

    def merged(self, other: RegressionState) -> RegressionState:
        """Return the state of the rows of both.

        Raises:
            ValueError: Their spans differ, so their grids do not add up.
        """
        if self.span != other.span:
            raise ValueError(f"spans differ: {self.span!r} and {other.span!r}")
        keys, counts = _grouped(np.r_[self.keys, other.keys], np.r_[self.counts, other.counts])
        sums = ("rows", "labels", "label_squares", "residuals", "squares", "magnitudes")
        return RegressionState(
            **{name: getattr(self, name) + getattr(other, name) for name in sums},
            largest=max(self.largest, other.largest),
            keys=keys,
            counts=counts,
            span=self.span,
            grid=self.grid + other.grid,
        )

    def metrics(self, classes: Sequence[object] | None = None, width: int = 0) -> dict[str, Any]:
        """Return all metrics; quantiles of residuals are right to 0.8 % of their size.

        Args:
            classes: Unused; all tasks have one signature.
            width: Features of the model, for the adjusted R2.
        """
        del classes
        rows, notes = self.rows, {}
        spread = (
            _value(self.label_squares) - _value(self.labels) ** 2 / rows
        )  # exact: no cancellation
        squares = _value(self.squares)
        r2 = float(1 - squares / spread) if spread else None
        left = rows - width - 1
        adjusted = 1 - (1 - r2) * (rows - 1) / left if r2 is not None and left > 0 else None
        if r2 is None:
            notes["r2"] = notes["adjusted_r2"] = f"undefined: all {rows:,} labels are equal"
        elif adjusted is None:
            notes["adjusted_r2"] = (
                f"undefined: {rows:,} rows for {width:,} features, expected more than {width + 1:,}"
            )
        quantiles, median, histogram = _residual_shape(self.keys, self.counts)
        return {
            "rows": rows,
            "rmse": float(squares / rows) ** 0.5,
            "mse": float(squares / rows),
            "mae": float(_value(self.magnitudes) / rows),
            "median_absolute_error": min(median, self.largest),
            "max_absolute_error": self.largest,
            "mean_residual": float(_value(self.residuals) / rows),
            "r2": r2,
            "adjusted_r2": adjusted,
            "label_mean": float(_value(self.labels) / rows),
            "label_std": float(spread / rows) ** 0.5,
            "residual_quantiles": quantiles,
            "curves": {
                "residuals": histogram,
                "grid": {"span": list(self.span), "counts": self.grid.tolist()} if self.span else None,
            },
            "notes": notes,
        }  # fmt: skip


def _bucket_keys(values: Floats) -> Ints:
    """Return float32 bits, made order-preserving, without their lower 16, (n,) int64."""
    largest = np.finfo(np.float32).max
    bits = (
        (np.clip(values, -largest, largest).astype(np.float32) + np.float32(0))
        .view(np.int32)
        .astype(np.int64)
    )
    ordered = np.where(bits >= 0, bits, -(bits & 0x7FFFFFFF))
    keys: Ints = ordered >> 16
    return keys


def _bucket_edge(keys: Ints) -> Floats:
    """Return the lower edge of each bucket, (m,) float64."""
    ordered = keys << 16
    size = np.minimum(np.abs(ordered), 0x7F7FFFFF).astype(np.uint32).view(np.float32).astype(float)
    edges: Floats = np.where(ordered < 0, -size, size)
    return edges


def _grid(labels: Floats, scores: Floats, span: tuple[float, float] | None) -> Ints:
    if span is None or span[0] >= span[1]:
        return np.zeros((GRID_BINS, GRID_BINS), dtype=np.int64)
    low, high = span
    bins = [
        np.clip((values - low) / (high - low) * GRID_BINS, 0, GRID_BINS - 1).astype(np.int64)
        for values in (labels, scores)
    ]
    flat = np.bincount(bins[0] * GRID_BINS + bins[1], minlength=GRID_BINS**2)
    return flat.reshape(GRID_BINS, GRID_BINS).astype(np.int64)  # axes: label, prediction


def _residual_shape(keys: Ints, counts: Ints) -> tuple[dict[str, float], float, dict[str, Any]]:
    """Return residual quantiles, the median of their sizes, and a histogram of the middle 99 %."""
    edges = _bucket_edge(np.unique(np.r_[keys, keys + 1]))
    rows = np.zeros(len(edges))
    rows[np.searchsorted(edges, _bucket_edge(keys + 1))] = counts
    share = np.cumsum(rows) / counts.sum()
    steps = (0.005, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.995)
    quantiles = dict(zip(map(str, steps), np.interp(steps, share, edges).tolist(), strict=True))
    sizes = np.unique(np.abs(edges))
    within = np.interp(sizes, edges, share) - np.interp(-sizes, edges, share)
    bins = np.linspace(quantiles["0.005"], quantiles["0.995"], HISTOGRAM_BINS + 1)
    shown = np.diff(np.interp(bins, edges, share)) * counts.sum()
    histogram = {"edges": bins.tolist(), "counts": np.round(shown, 2).tolist()}
    return quantiles, float(np.interp(0.5, within, sizes)), histogram
