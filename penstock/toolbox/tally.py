"""What is counted of numbers: mergeable sums that one pass fills."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from penstock.toolbox.content import Cells

__all__ = ["Columns", "Numbers", "Span", "TensorTally"]

MAX_DISTINCT = 24
"""Label values that are counted one by one; with more, only their range is kept."""
_COLUMN_LIMIT = 1 << 20


@dataclass(kw_only=True, slots=True)
class Span:
    """Least, mean and largest of some whole numbers."""

    count: int = 0
    total: int = 0
    least: int | None = None
    most: int | None = None

    def add(self, values: Any) -> None:
        """Take in an array of integers."""
        if not values.size:
            return
        self.count += values.size
        self.total += int(values.sum())
        low, high = int(values.min()), int(values.max())
        self.least = low if self.least is None else min(self.least, low)
        self.most = high if self.most is None else max(self.most, high)

    def body(self) -> dict[str, Any]:
        """Return it for JSON."""
        mean = self.total / self.count if self.count else None
        return {"min": self.least, "mean": mean, "max": self.most}


@dataclass(kw_only=True, slots=True)
class Numbers:
    """Sums over stored numbers; what is not finite is counted and left out of the rest."""

    count: int = 0
    zeros: int = 0
    nan: int = 0
    infinite: int = 0
    total: float = 0.0
    least: float = math.inf
    most: float = -math.inf

    def add(self, values: Any) -> None:
        """Take in an array of numbers."""
        self.count += values.size
        self.zeros += values.size - int(np.count_nonzero(values))
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            self.nan += int(np.isnan(values).sum())
            self.infinite += int(np.isinf(values).sum())
            values = values[np.isfinite(values)]
        if values.size:
            self.total += float(values.sum(dtype=np.float64))
            self.least = min(self.least, float(values.min()))
            self.most = max(self.most, float(values.max()))

    def body(self) -> dict[str, Any]:
        """Return it for JSON."""
        finite = self.count - self.nan - self.infinite
        return {
            "count": self.count,
            "zeros": self.zeros,
            "nan": self.nan,
            "infinite": self.infinite,
            "min": self.least if finite else None,
            "mean": self.total / finite if finite else None,
            "max": self.most if finite else None,
        }


@dataclass(kw_only=True, slots=True)
class TensorTally:
    """Everything counted of the tensors of one name.

    Attributes:
        rows: Records that have it.
        dense: Of them, those without keys.
        sparse: Those with keys, or with a shape and nothing else.
        empty: Those without any value.
        shapeless: Sparse ones that do not say how wide they are.
        dtypes: Records by number type.
        widths: Records by width; a dense one's is its number of values.
        entries: Stored values per sparse record.
        cells: All places of a matrix of these rows, as far as widths are known.
        numbers: Of stored values.
        distinct: Labels only: records by value; None once there are too many.
    """

    rows: int = 0
    dense: int = 0
    sparse: int = 0
    empty: int = 0
    shapeless: int = 0
    dtypes: Counter[str] = field(default_factory=Counter)
    widths: Counter[int] = field(default_factory=Counter)
    entries: Span = field(default_factory=Span)
    cells: int = 0
    numbers: Numbers = field(default_factory=Numbers)
    distinct: Counter[float] | None = field(default_factory=Counter)

    def add(self, cells: Cells) -> None:
        """Take in some records."""
        rows, counts = cells.rows.size, cells.counts
        self.rows += rows
        self.dtypes[str(cells.values.dtype)] += rows
        self.empty += int((counts == 0).sum())
        self.numbers.add(cells.values)
        if cells.keys is None:
            self.dense += rows
            self.cells += int(counts.sum())
            widths, many = np.unique(counts, return_counts=True)
            self.widths.update(dict(zip(widths.tolist(), many.tolist(), strict=True)))
        else:
            self.sparse += rows
            self.entries.add(counts)
            if cells.width is None:
                self.shapeless += rows
            else:
                self.cells += rows * cells.width
                self.widths.update({cells.width: rows})
        if cells.label:
            self._distinct(cells.values)

    def add_labels(self, values: Any, counts: Any) -> None:
        """Take in the labels of image records: flat, and how many each record has."""
        self.rows += counts.size
        self.dense += counts.size
        self.cells += values.size
        self.dtypes[str(values.dtype)] += counts.size
        widths, many = np.unique(counts, return_counts=True)
        self.widths.update(dict(zip(widths.tolist(), many.tolist(), strict=True)))
        self.numbers.add(values)
        self._distinct(values)

    def _distinct(self, values: Any) -> None:
        if self.distinct is None:
            return
        found, many = np.unique(values, return_counts=True)
        if found.size > MAX_DISTINCT:
            self.distinct = None
            return
        self.distinct.update(dict(zip(found.astype(float).tolist(), many.tolist(), strict=True)))
        if len(self.distinct) > MAX_DISTINCT:
            self.distinct = None

    @property
    def zero_share(self) -> float | None:
        """Share of places that are zero, those that sparse records leave out included."""
        if not self.cells or self.shapeless:
            return None
        return (self.cells - self.numbers.count + self.numbers.zeros) / self.cells

    def body(self) -> dict[str, Any]:
        """Return it for JSON."""
        widths = sorted(self.widths.items())
        body: dict[str, Any] = {
            "rows": self.rows,
            "dense": self.dense,
            "sparse": self.sparse,
            "empty": self.empty,
            "sparse_without_shape": self.shapeless,
            "dtypes": dict(sorted(self.dtypes.items())),
            "width": {"min": widths[0][0], "max": widths[-1][0]} if widths else None,
            "zero_share": self.zero_share,
            "values": self.numbers.body(),
        }
        if self.sparse:
            body["entries_per_sparse_row"] = self.entries.body()
        return body


@dataclass(kw_only=True, slots=True)
class Columns:
    """Least, mean and largest of every column of a matrix; places that are left out count as 0.

    Attributes:
        rows: Rows taken in.
        stored: int64 (width,), values that are stored and finite.
        odd: int64 (width,), values that are NaN or infinite.
        total, least, most: float64 (width,), of the stored finite ones.
    """

    rows: int = 0
    stored: Any = None
    odd: Any = None
    total: Any = None
    least: Any = None
    most: Any = None

    def _grow(self, width: int) -> None:
        have = 0 if self.stored is None else self.stored.size
        if width <= have:
            return
        grown = {
            "stored": np.zeros(width, np.int64),
            "odd": np.zeros(width, np.int64),
            "total": np.zeros(width),
            "least": np.full(width, np.inf),
            "most": np.full(width, -np.inf),
        }
        for name, fresh in grown.items():
            if have:
                fresh[:have] = getattr(self, name)
            setattr(self, name, fresh)

    def add(self, cells: Cells) -> bool:
        """Take in some records; return whether they have few enough columns to be kept."""
        self.rows += cells.rows.size
        columns = cells.keys
        if columns is None:
            columns = np.arange(cells.values.size) - np.repeat(cells.starts[:-1], cells.counts)
        width = max(cells.width or 0, int(columns.max()) + 1 if columns.size else 0)
        if width > _COLUMN_LIMIT:
            return False
        self._grow(width)
        values = cells.values.astype(np.float64)
        finite = np.isfinite(values)
        if not finite.all():
            np.add.at(self.odd, columns[~finite].astype(np.int64), 1)
            values, columns = values[finite], columns[finite]
        at = columns.astype(np.int64)
        self.stored += np.bincount(at, minlength=self.stored.size)
        self.total += np.bincount(at, weights=values, minlength=self.stored.size)
        np.minimum.at(self.least, at, values)
        np.maximum.at(self.most, at, values)
        return True

    def lines(self) -> list[dict[str, Any]]:
        """Return one entry per column, for JSON."""
        if self.stored is None:
            return []
        left_out = self.rows - self.stored - self.odd > 0
        least = np.where(left_out, np.minimum(self.least, 0), self.least)
        most = np.where(left_out, np.maximum(self.most, 0), self.most)
        finite = self.rows - self.odd
        return [
            {
                "column": column,
                "min": float(least[column]) if finite[column] else None,
                "mean": float(self.total[column] / finite[column]) if finite[column] else None,
                "max": float(most[column]) if finite[column] else None,
                "stored": int(self.stored[column] + self.odd[column]),
                "not_finite": int(self.odd[column]),
            }
            for column in range(self.stored.size)
        ]
