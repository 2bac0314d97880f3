"""The state of a column of names: rows and label sums of each value, up to a cap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from penstock.cells import names_array, plain, present, taken, texts
from penstock.sketch import Floats, Hashes, Ints, distinct, smallest, text_hashes
from penstock.wanted import Wanted

__all__ = ["CategoryState", "category_state", "merged_categories"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class CategoryState:
    """A column of names.

    Attributes:
        name: Column.
        type: Text of its Arrow type.
        cap: How many values ``trimmed`` keeps.
        rows: All rows; ``nulls`` and ``nans`` are among them.
        values: Arrow large_string (k,), ascending in UTF-8 byte order.
        counts: Rows of each value, int64 (k,).
        label_rows: Rows of each value that have a label, int64 (k,).
        label_sums: Sum of those labels, float64 (k,).
        undercount: By how much any count may be too low, and a value's that is not here; 0: exact.
        hashes: Smallest hashes of all values, once some were dropped.
    """

    name: str
    type: str
    cap: int
    rows: int = 0
    nulls: int = 0
    nans: int = 0
    values: Any = field(default_factory=lambda: names_array([]))
    counts: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    label_rows: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    label_sums: Floats = field(default_factory=lambda: np.empty(0))
    undercount: int = 0
    hashes: Hashes | None = None

    @property
    def missing(self) -> int:
        """Rows that imputation fills: nulls and NaN."""
        return self.nulls + self.nans

    @property
    def distinct(self) -> int:
        """Distinct values, without the missing one."""
        return len(self.values) if self.hashes is None else distinct(self.hashes)

    @property
    def distinct_is_exact(self) -> bool:
        """Whether ``distinct`` is a count, and every value is here with its exact count."""
        return self.hashes is None

    @property
    def entries(self) -> int:
        """How many values the state holds."""
        return len(self.values)

    def trimmed(self) -> CategoryState:
        """Return the state with the ``cap`` most frequent values (of equals, the first by name)."""
        if len(self.values) <= self.cap:
            return self
        order = np.argsort(-self.counts, kind="stable")
        kept = np.sort(order[: self.cap])
        hashes = self.hashes
        return replace(
            self,
            values=taken(self.values, kept),
            counts=self.counts[kept],
            label_rows=self.label_rows[kept],
            label_sums=self.label_sums[kept],
            undercount=self.undercount + int(self.counts[order[self.cap]]),
            hashes=smallest(text_hashes(self.values)) if hashes is None else hashes,
        )


def category_state(wanted: Wanted, array: Any, label: Floats | None) -> CategoryState:
    """Return the state of one array; its values may repeat, and merging makes them one."""
    if pa.types.is_null(array.type):
        array = array.cast(pa.large_string())
    encoded = array if pa.types.is_dictionary(array.type) else array.dictionary_encode()
    values = texts(encoded.dictionary)
    # Code 0 stands for null.
    codes = np.where(present(encoded), plain(encoded.indices).astype(np.int64) + 1, 0)
    size = len(values) + 1
    counts = np.bincount(codes, minlength=size)
    nulls = int(counts[0] + counts[1:][~present(encoded.dictionary)].sum())
    kept = np.flatnonzero(present(values) & (counts[1:] > 0))
    label_rows, label_sums = _label_sums(codes, label, counts)
    return CategoryState(
        name=wanted.name,
        type=wanted.type,
        cap=wanted.cap,
        rows=len(array),
        nulls=nulls,
        nans=len(array) - nulls - int(counts[1:][kept].sum()),
        values=taken(values, kept),
        counts=counts[1:][kept],
        label_rows=label_rows[1:][kept],
        label_sums=label_sums[1:][kept],
    )


def _label_sums(codes: Ints, label: Floats | None, counts: Any) -> tuple[Any, Any]:
    """Return rows with a label, and the sum of their labels, for each code."""
    if label is None:
        return np.zeros(len(counts), np.int64), np.zeros(len(counts))
    known = ~np.isnan(label)
    if not known.all():
        codes, label = codes[known], label[known]
        counts = np.bincount(codes, minlength=len(counts))
    return counts, np.bincount(codes, weights=label, minlength=len(counts))


def merged_categories(states: Sequence[CategoryState]) -> CategoryState:
    """Return the state of all rows of ``states``: at least one. Drops no value."""
    encoded = pa.concat_arrays([state.values for state in states]).dictionary_encode()
    codes = plain(encoded.indices).astype(np.int64)
    order = pc.sort_indices(encoded.dictionary)
    by_name = plain(order)

    def summed(parts: Sequence[Any]) -> Any:
        # Sums of counts are whole and below 2^53: exact in float64.
        weights = np.concatenate(parts).astype(np.float64)
        return np.bincount(codes, weights=weights, minlength=len(by_name))[by_name]

    hashes = None
    if any(state.hashes is not None for state in states):
        parts = [text_hashes(s.values) if s.hashes is None else s.hashes for s in states]
        hashes = smallest(np.concatenate(parts))
    return CategoryState(
        name=states[0].name,
        type=states[0].type,
        cap=max(state.cap for state in states),
        rows=sum(state.rows for state in states),
        nulls=sum(state.nulls for state in states),
        nans=sum(state.nans for state in states),
        values=encoded.dictionary.take(order),
        counts=summed([state.counts for state in states]).astype(np.int64),
        label_rows=summed([state.label_rows for state in states]).astype(np.int64),
        label_sums=summed([state.label_sums for state in states]),
        undercount=sum(state.undercount for state in states),
        hashes=hashes,
    )
