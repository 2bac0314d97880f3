"""Target encoding: the mean label of a value's train rows, drawn towards the mean of all.

    smooth m      (sum of labels + m * overall mean) / (rows + m)
    smooth auto   m = variance within the value / variance overall

A train row is encoded from the rows of all folds but its own, every other row from all of them. A
regression and a binary task have one output, a multiclass task one for each class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, Self

import numpy as np

from penstock.columns.base import Slot
from penstock.columns.encoding import VocabularyEncoding
from penstock.encode import LabelRule
from penstock.errors import DataError
from penstock.labelmoments import MAX_CLASSES, FoldMoments, Folds, Target
from penstock.sketch import Floats, Ints
from penstock.states import CategoryState
from penstock.targetstate import BESIDES, TargetState
from penstock.vocabulary import Vocabulary
from penstock.wanted import Wanted

__all__ = ["SUFFIX", "TargetEncoding", "completed", "smoothed", "target_encoding"]

SUFFIX = " (labels)"
"""Ends the name of the state beside that of the column's names."""

Rows = tuple[tuple[float, ...], ...]


@dataclass(frozen=True, kw_only=True)
class TargetEncoding(VocabularyEncoding):
    """Mean labels.

    Attributes:
        fold_rule: How train rows fall into folds.
        smooth: ``auto``, or how many rows of the overall mean are mixed in.
        classes: None, or how many classes have an output each.
        values: Of each place (and last of values without one): a number for each output.
        fold_values: The same of each fold, from the rows of all other folds.
    """

    rule = "target"
    fold_rule: Folds
    smooth: Literal["auto"] | float
    classes: int | None
    values: Rows
    fold_values: tuple[Rows, ...] = field(repr=False)

    @property
    def width(self) -> int:
        """How many outputs it makes."""
        return self.classes or 1

    @property
    def folds(self) -> Folds | None:
        """How train rows fall into folds."""
        return self.fold_rule

    @cached_property
    def _tables(self) -> Any:
        # (folds + 1, outputs, places + 1): the last table is that of all rows.
        tables = np.array((*self.fold_values, self.values), np.float32) + np.float32(0.0)
        return np.ascontiguousarray(tables.transpose(0, 2, 1))

    def suffixes(self) -> Sequence[str]:
        """Return what the name of each output adds to that of the column."""
        if self.classes is None:
            return ["__target"]
        return [f"__target={number}" for number in range(self.classes)]

    def slots(self, codes: Any, missing: int, first: int, folds: Ints | None) -> list[Slot]:
        """Return the outputs."""
        places = self.places(codes, missing)
        table = -1 if folds is None else folds
        return [(first + at, self._tables[table, at, places]) for at in range(self.width)]

    def body(self) -> dict[str, Any]:
        """Return what plan.json says of it."""
        folds = self.fold_rule
        return {
            "smooth": self.smooth,
            "classes": self.classes,
            "folds": {"columns": list(folds.columns), "count": folds.count, "salt": folds.salt},
            "values": [list(row) for row in self.values],
            "fold_values": [[list(row) for row in rows] for rows in self.fold_values],
        } | self.vocabulary.body()

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        """Return the encoding that plan.json describes."""
        return cls(
            vocabulary=Vocabulary.of(body),
            fold_rule=Folds(**body["folds"] | {"columns": tuple(body["folds"]["columns"])}),
            smooth=body["smooth"],
            classes=body["classes"],
            values=tuple(tuple(row) for row in body["values"]),
            fold_values=tuple(tuple(tuple(row) for row in rows) for rows in body["fold_values"]),
        )

    def shares(self, state: CategoryState, fill: str | None) -> Floats:
        """Return for each output the share of train rows in which it is not zero."""
        del fill
        return np.asarray((self._tables[-1] != 0) @ self.place_rows(state))

    def words(self, at: int) -> str:
        """Return in words what output ``at`` holds."""
        what = "mean label" if self.classes is None else f"share of class {at}"
        return f"{what} of the train rows that have its value, drawn towards that of all"


def target_encoding(
    labels: TargetState,
    vocabulary: Vocabulary,
    *,
    fill: str | None,
    smooth: Literal["auto"] | float,
) -> TargetEncoding:
    """Return the fitted encoding.

    Args:
        labels: Of the column.
        vocabulary: Its values; those that it groups as rare are encoded as one.
        fill: The name that missing cells take.
        smooth: As the spec says.

    Raises:
        DataError: There are more classes than can be encoded.
    """
    target = labels.moments.target
    classes = labels.moments.width if target.by_class else None
    if classes is not None and classes > MAX_CLASSES:
        raise DataError(
            f"column {labels.name.removesuffix(SUFFIX)!r}: encode is 'target', and the label has more "
            f"than {MAX_CLASSES:,} classes, expected fewer: there is one output for each\n"
            "  choose another encode for it"
        )
    moments = labels.moments.grouped(_places(labels, vocabulary, fill), vocabulary.width + 1)
    folds = range(target.folds.count)
    return TargetEncoding(
        vocabulary=vocabulary,
        fold_rule=target.folds,
        smooth=smooth,
        classes=classes,
        values=_rows(smoothed(moments.over_folds(), smooth)),
        fold_values=tuple(_rows(smoothed(moments.over_folds(fold), smooth)) for fold in folds),
    )


def _places(labels: TargetState, vocabulary: Vocabulary, fill: str | None) -> Ints:
    """Return the place of each group of the state; that of rare values for all others."""
    names = {value: place for place, (value, _) in enumerate(vocabulary.categories)}
    other = len(names)  # the group of rare values, or the one past all places
    found = [names.get(value, other) for value in labels.values.to_pylist()]
    return np.array([*found, names.get(fill or "", other), *[other] * (BESIDES - 1)], np.int64)


def _rows(table: Floats) -> Rows:
    return tuple(map(tuple, table.tolist()))


def smoothed(moments: FoldMoments, smooth: Literal["auto"] | float) -> Floats:
    """Return the encoding of each group (g, c); a group without rows has the overall mean.

    Args:
        moments: Of all groups, in one fold.
        smooth: As the spec says.
    """
    groups = len(moments.rows)
    overall = moments.grouped(np.zeros(groups, np.int64), 1)
    mean = overall.means()[0]
    rows, means = moments.rows, moments.means()[:, 0]
    if isinstance(smooth, str):
        variance = overall.deviations()[0, 0] / max(int(overall.rows[0, 0]), 1)
        within = moments.deviations()[:, 0] / np.maximum(rows, 1)
        weight = variance * rows
        # Without any variance, overall and within, there is nothing to choose: the overall mean.
        share = np.divide(weight, weight + within, out=np.zeros_like(within), where=weight > 0)
    else:
        share = rows / np.maximum(rows + smooth, 1e-300)
    return np.asarray(np.where(rows > 0, share * means + (1 - share) * mean, mean))


def completed(wanted: Wanted, *, key: Sequence[str], label: LabelRule) -> Wanted:
    """Return what to collect with what the spec's rule for a column does not say of it.

    Args:
        wanted: Of any kind; only that of target encoding is changed.
        key: Columns that name a row: its fold comes from them unless the rule names others.
        label: What is predicted.
    """
    if not isinstance(wanted.options, Target):
        return wanted
    folds = replace(wanted.options.folds, columns=wanted.options.folds.columns or tuple(key))
    classes = None if label.classes is None else len(label.classes)
    target = Target(folds=folds, task=label.task, classes=classes)
    names = len(wanted.inputs) - len(wanted.options.folds.columns)
    return replace(wanted, inputs=(*wanted.inputs[:names], *folds.columns), options=target)
