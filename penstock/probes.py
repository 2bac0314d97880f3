"""How well one column tells the classes, as sums that add up: AUCs of a sample of rows, and of categories."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from penstock.cells import numbers, plain, present, texts
from penstock.sketch import Floats, Ints
from penstock.wanted import Wanted

__all__ = ["Probe", "category_auc", "probe"]

PROBE_ROWS = 4096
MOST_CLASSES = 64  # that are told apart from the others, one by one

Probe = Mapping[str, Floats]
"""Column -> (3, k, 4): for values, categories and missing cells, and of each class: the sum of AUC x pairs,
pairs, rows of the class, other rows."""


def probe(batch: Any, wanted: Iterable[Wanted], codes: Floats, classes: int | None) -> Probe:
    """Return how well each column tells the classes on the first rows of a batch.

    Args:
        batch: Arrow RecordBatch (n rows).
        wanted: Columns; numbers and names are looked at, others passed over.
        codes: Class numbers (n,), NaN where there is none.
        classes: How many there are; of two, only the second is looked at. None: as many as are seen.
    """
    rows = min(PROBE_ROWS, batch.num_rows)
    codes = codes[:rows]
    known = np.flatnonzero(~np.isnan(codes))
    if classes is None:
        classes = int(codes[known].max(initial=0)) + 1
    chosen = range(1, 2) if classes == 2 else range(min(classes, MOST_CLASSES))
    members = np.stack([codes[known] == number for number in chosen], axis=1)
    found: dict[str, Floats] = {}
    for each in wanted:
        sums = np.zeros((3, len(chosen), 4))
        array = batch.column(each.name).slice(0, rows)
        if each.kind == "numeric":
            values = numbers(array)[known]
            there = ~np.isnan(values)
            sums[0] = _ranked(np.unique(values[there], return_inverse=True)[1], members[there])
        elif each.kind == "categorical":
            encoded = texts(array).dictionary_encode()
            there = present(encoded)[known]
            at = plain(encoded.indices).astype(np.int64)[known]
            if classes > 2:  # of two classes, statistics know every category of every row
                sums[1] = _by_category(np.where(there, at, len(encoded.dictionary)), members)
        else:
            continue
        if not there.all():
            sums[2] = _ranked((~there).astype(np.int64), members)
        found[each.name] = sums
    return found


def _ranked(codes: Ints, members: npt.NDArray[np.bool_]) -> Floats:
    """Return the sums of each class (k, 4) for rows ranked by ``codes`` (n,); ``members`` is (n, k)."""
    size = int(codes.max(initial=0)) + 1
    rows = np.bincount(codes, minlength=size)
    sums = np.zeros((members.shape[1], 4))
    for number in range(members.shape[1]):
        inside = np.bincount(codes[members[:, number]], minlength=size)
        sums[number] = _sums(_auc(inside, rows - inside), inside, rows - inside)
    return sums


def _by_category(codes: Ints, members: npt.NDArray[np.bool_]) -> Floats:
    rows = np.bincount(codes)
    sums = np.zeros((members.shape[1], 4))
    for number in range(members.shape[1]):
        inside = np.bincount(codes[members[:, number]], minlength=len(rows))
        sums[number] = _sums(category_auc(rows, inside), inside, rows - inside)
    return sums


def _sums(auc: float, inside: Any, outside: Any) -> Floats:
    inner, outer = float(inside.sum()), float(outside.sum())
    return np.array([auc * inner * outer, inner * outer, inner, outer])


def _auc(inside: Any, outside: Any) -> float:
    """Return the AUC of ascending scores, with rows of the class and others at each of them."""
    inside, outside = np.asarray(inside, np.float64), np.asarray(outside, np.float64)
    pairs = inside.sum() * outside.sum()
    below = np.cumsum(outside) - outside
    return float((inside * (below + outside / 2)).sum() / pairs) if pairs else 0.5


def category_auc(rows: Any, inside: Any) -> float:
    """Return the AUC of scoring a row by the share of the class among the other rows of its category.

    So a category of one row tells nothing, and an identifier does not look like a leak.

    Args:
        rows: Of each category, (c,).
        inside: Those of the class.
    """
    rows, inside = np.asarray(rows, np.float64), np.asarray(inside, np.float64)
    share = inside.sum() / max(rows.sum(), 1)
    others = np.maximum(rows - 1, 1)
    scores = np.concatenate(
        [
            np.where(rows > 1, (inside - 1) / others, share),
            np.where(rows > 1, inside / others, share),
        ]
    )
    levels, at = np.unique(scores, return_inverse=True)
    zeros = np.zeros(len(rows))
    ones = np.bincount(at, np.concatenate([inside, zeros]), len(levels))
    return _auc(ones, np.bincount(at, np.concatenate([zeros, rows - inside]), len(levels)))
