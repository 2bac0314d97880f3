"""Test metrics as mergeable states: scoring runs in tasks, small states travel, one place finishes.

    BinaryState.of(scores, labels, where=...)       some rows       -> a state
    state.merged(other)                             two states      -> the state of the rows of both
    state.to_json(), BinaryState.from_json(text)    a state travels as text
    state.metrics(classes, width)                   all rows seen   -> metrics, and points of plots

Every state is a commutative monoid: any partitioning of the rows, merged in any order, gives the
same state to the bit. Counts are integers; sums of floats are kept without rounding, as integers
(``exact_sum``). Nothing here knows Spark.

>>> import numpy as np
>>> from penstock.metrics import BinaryState
>>> scores, labels = np.array([0.2, 0.9, 0.6]), np.array([0.0, 1.0, 0.0])
>>> parts = [BinaryState.of(scores[i:], labels[i:], where="s") for i in (0, 1)]
>>> parts[0].merged(parts[1]) == parts[1].merged(parts[0])
True
"""

from penstock.metrics.binary import BinaryState
from penstock.metrics.multiclass import MulticlassState
from penstock.metrics.regression import RegressionState
from penstock.metrics.scores import ScoreCounts
from penstock.metrics.sums import exact_sum

__all__ = ["BinaryState", "MulticlassState", "RegressionState", "ScoreCounts", "exact_sum"]
