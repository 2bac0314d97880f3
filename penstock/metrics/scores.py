"""Rows by score: all that the ranking metrics need.

Ranking metrics need the order of all scores. ``ScoreCounts`` keeps every distinct float32 score with
its two counts; past ``limit`` distinct scores it falls back to buckets, whatever the order in which
rows arrive, and then says how far ties inside buckets can have moved the AUC:

    p <  1/2    p rounded down to `bits` mantissa bits            lower edge 0 below 2**-31
    p >= 1/2    1 - p rounded up to `bits` mantissa bits          1/2 itself is always an edge

With 10 bits that is at most 2**16 buckets, each 0.1 % wide relative to p or to 1 - p.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from penstock.metrics.state import Revivers, State, integers
from penstock.metrics.sums import Floats, Ints, grouped

__all__ = ["BUCKET_BITS", "DISTINCT_LIMIT", "ScoreCounts"]

DISTINCT_LIMIT = 200_000  # 20 bytes each: a state stays under 4 MB
BUCKET_BITS = 10
SMALLEST = np.float32(2.0**-31)


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

    revivers: ClassVar[Revivers] = {
        "scores": partial(np.asarray, dtype=np.float32),
        "negatives": integers,
        "positives": integers,
    }

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
            scores, negatives, positives = grouped(scores, negatives, positives)
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
