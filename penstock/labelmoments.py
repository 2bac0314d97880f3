"""Label moments per category and fold: what target encoding is made of, collected in the scan.

A row's fold is a hash of its key, modulo the number of folds; it depends on nothing else. The train
rows of a fold are later encoded from the moments of all other folds, so that no row sees its own
label.

    text of a row = salt + U+001E + cells joined by U+001F      a missing cell is U+0000
    fold          = XXH64(its UTF-8 bytes, seed 42) modulo the number of folds
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow.compute as pc

from penstock.cells import names_array, texts
from penstock.sketch import Floats, Ints
from penstock.spec import Task
from penstock.xxh64 import hash_texts

__all__ = ["MAX_CLASSES", "FoldMoments", "Folds", "Target", "merge_moments", "moments_by_fold"]

SEED = 42
CELLS, SALT, NULL = "\x1f", "\x1e", "\x00"
MAX_CLASSES = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class Folds:
    """How rows fall into folds.

    Attributes:
        columns: Key columns, in the order their cells are joined in.
        count: How many folds.
        salt: Set before the cells.
    """

    columns: tuple[str, ...]
    count: int
    salt: str = "target"

    def of(self, arrays: Sequence[Any]) -> Ints:
        """Return the fold of each row: int64 (n,).

        Args:
            arrays: Arrow arrays (n,) of ``columns``.

        >>> import pyarrow as pa
        >>> Folds(columns=("id",), count=5).of([pa.array(["17", "18", None])]).tolist()
        [0, 2, 1]
        """
        salt, between, none = names_array([self.salt + SALT, CELLS, ""])
        cells = pc.binary_join_element_wise(
            *map(texts, arrays), between, null_handling="replace", null_replacement=NULL
        )
        hashes = hash_texts(pc.binary_join_element_wise(salt, cells, none), seed=SEED)
        return (hashes % np.uint64(self.count)).astype(np.int64)


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """What target encoding collects.

    Attributes:
        folds: Of the train rows.
        task: What is predicted; a regression has values, all others class numbers.
        classes: How many classes, as far as the spec says it.
    """

    folds: Folds
    task: Task = "binary"
    classes: int | None = None

    @property
    def by_class(self) -> bool:
        """Whether there is one encoding for each class."""
        return self.task == "multiclass"

    def plain(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        folds = {"columns": list(self.folds.columns), "count": self.folds.count}
        folds["salt"] = self.folds.salt
        return {"folds": folds, "task": self.task, "classes": self.classes}

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Target:
        """Return what ``plain`` took apart."""
        folds = Folds(**body["folds"] | {"columns": tuple(body["folds"]["columns"])})
        return cls(folds=folds, task=body["task"], classes=body["classes"])


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FoldMoments:
    """Moments of the labels, in groups of rows (g, one for each category) and folds (f).

    Attributes:
        target: What was collected.
        rows: Labelled rows, int64 (g, f).
        sums: Of their labels (binary: of class 1; multiclass: rows of each class), (g, f, c).
        m2: Regression only: squared deviations from the mean of the group's fold, (g, f, 1).
    """

    target: Target
    rows: Ints
    sums: Floats
    m2: Floats | None

    @property
    def width(self) -> int:
        """How many encodings there are of a value: one, or one for each class seen."""
        return int(self.sums.shape[2])

    @classmethod
    def empty(cls, target: Target, groups: int) -> FoldMoments:
        """Return those of no rows."""
        shape = (groups, target.folds.count, (target.classes or 1) if target.by_class else 1)
        m2 = np.zeros(shape) if target.task == "regression" else None
        return cls(target=target, rows=np.zeros(shape[:2], np.int64), sums=np.zeros(shape), m2=m2)

    def grouped(self, codes: Ints, groups: int) -> FoldMoments:
        """Return the moments of joined groups: group ``i`` goes to ``codes[i]``."""
        order = np.argsort(codes, kind="stable")
        ordered = codes[order]
        first = np.flatnonzero(np.diff(ordered, prepend=-1))

        def summed(values: Any) -> Any:
            total = np.zeros((groups, *values.shape[1:]), values.dtype)
            if len(first):
                total[ordered[first]] = np.add.reduceat(values[order], first, axis=0)
            return total

        rows, sums = summed(self.rows), summed(self.sums)
        m2 = None
        if self.m2 is not None:
            between = _means(self.rows, self.sums) - _means(rows, sums)[codes]
            m2 = summed(self.m2 + self.rows[..., None] * between**2)
        return replace(self, rows=rows, sums=sums, m2=m2)

    def over_folds(self, without: int | None = None) -> FoldMoments:
        """Return the moments of each group over all folds, or all but one: f is 1."""
        kept = [fold for fold in range(self.rows.shape[1]) if fold != without]
        turned = FoldMoments(
            target=self.target,
            rows=self.rows.T[kept],
            sums=np.moveaxis(self.sums, 1, 0)[kept],
            m2=None if self.m2 is None else np.moveaxis(self.m2, 1, 0)[kept],
        ).grouped(np.zeros(len(kept), np.int64), 1)
        return replace(
            turned,
            rows=turned.rows.T,
            sums=np.moveaxis(turned.sums, 0, 1),
            m2=None if turned.m2 is None else np.moveaxis(turned.m2, 0, 1),
        )

    def deviations(self) -> Floats:
        """Return squared deviations from each group's mean, (g, f, c)."""
        if self.m2 is not None:
            return self.m2
        # A class is there or not: with s of n rows, s * (1 - s/n).
        return self.sums * (1 - _means(self.rows, self.sums))

    def means(self) -> Floats:
        """Return the mean label, (g, f, c); 0.0 without rows."""
        return _means(self.rows, self.sums)

    def padded(self, classes: int) -> FoldMoments:
        """Return the moments with room for ``classes`` classes."""
        more = classes - self.sums.shape[2]
        return replace(self, sums=np.pad(self.sums, ((0, 0), (0, 0), (0, more)))) if more else self

    def plain(self) -> dict[str, Any]:
        """Return them as JSON holds them."""
        m2 = None if self.m2 is None else self.m2[..., 0].tolist()
        sums = self.sums.tolist() if self.target.by_class else self.sums[..., 0].tolist()
        body = self.target.plain()
        return body | {"rows": self.rows.tolist(), "sums": sums, "m2": m2}

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> FoldMoments:
        """Return what ``plain`` took apart."""
        target = Target.of(body)
        rows = np.array(body["rows"], np.int64)
        sums = np.array(body["sums"], np.float64)
        m2 = None if body["m2"] is None else np.array(body["m2"], np.float64)[..., None]
        whole = sums if target.by_class else sums[..., None]
        return cls(target=target, rows=rows, sums=whole, m2=m2)


def _means(rows: Ints, sums: Floats) -> Floats:
    return np.asarray(sums / np.maximum(rows, 1)[..., None], np.float64)


def moments_by_fold(
    target: Target, codes: Ints, groups: int, folds: Ints, labels: Floats
) -> FoldMoments:
    """Return the moments of one batch.

    Args:
        target: What to collect.
        codes: Group of each row, (n,).
        groups: How many groups there are.
        folds: Fold of each row, (n,).
        labels: Class numbers or values (n,), NaN where there is none: such rows do not count.
    """
    known = ~np.isnan(labels)
    codes, folds, labels = codes[known], folds[known], labels[known]
    count = target.folds.count
    cells = codes * count + folds
    rows = np.bincount(cells, minlength=groups * count).reshape(groups, count)
    if target.by_class:
        # One class past the limit stands for all of them: the fit refuses it.
        numbers = np.minimum(labels, MAX_CLASSES).astype(np.int64)
        classes = max(target.classes or 1, int(numbers.max(initial=0)) + 1)
        found = np.bincount(cells * classes + numbers, minlength=groups * count * classes)
        sums = found.reshape(groups, count, classes).astype(np.float64)
        return FoldMoments(target=target, rows=rows, sums=sums, m2=None)
    flat = np.asarray(np.bincount(cells, labels, minlength=groups * count), np.float64)
    sums, m2 = flat.reshape(groups, count, 1), None
    if target.task == "regression":
        deviations = labels - _means(rows, sums).ravel()[cells]
        squares = np.bincount(cells, weights=deviations**2, minlength=groups * count)
        m2 = np.asarray(squares, np.float64).reshape(groups, count, 1)
    return FoldMoments(target=target, rows=rows, sums=sums, m2=m2)


def merge_moments(parts: Sequence[FoldMoments], codes: Ints, groups: int) -> FoldMoments:
    """Return the moments of the rows of all ``parts`` (at least one), in joined groups.

    Args:
        parts: Collected alike.
        codes: Group of each group of the first part, then of the second one, ...
        groups: How many groups there are afterwards.
    """
    classes = max(part.sums.shape[2] for part in parts)
    parts = [part.padded(classes) for part in parts]
    found = [part.m2 for part in parts if part.m2 is not None]
    whole = FoldMoments(
        target=parts[0].target,
        rows=np.concatenate([part.rows for part in parts]),
        sums=np.concatenate([part.sums for part in parts]),
        m2=np.concatenate(found) if found else None,
    )
    return whole.grouped(codes, groups)
