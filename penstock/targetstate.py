"""The state behind target encoding: the labels' moments by value and fold, of one column of names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import pyarrow as pa

from penstock.cells import first_names, names_array, plain, present, taken, texts
from penstock.errors import InputError
from penstock.labelmoments import FoldMoments, Target, merge_moments, moments_by_fold
from penstock.sketch import Floats, Ints
from penstock.wanted import ExtraState, Wanted

__all__ = ["TargetState"]

BESIDES = 2  # groups after those of the values: missing cells, and values that were dropped


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TargetState(ExtraState):
    """Labels of a column of names.

    Attributes:
        name: Of the state.
        type: Text of the column's Arrow type.
        cap: How many values ``trimmed`` keeps.
        rows: All rows.
        missing: Rows without a name.
        values: Arrow large_string (k,), ascending in UTF-8 byte order.
        counts: Rows of each value, int64 (k,).
        moments: Of k + 2 groups: each value, missing cells, and values that were dropped.
    """

    name: str
    type: str
    cap: int
    rows: int
    missing: int
    values: Any
    counts: Ints
    moments: FoldMoments

    @property
    def entries(self) -> int:
        """How many values the state holds."""
        return len(self.values)

    @classmethod
    def of(cls, wanted: Wanted, arrays: Sequence[Any], label: Floats | None) -> Self:
        """Return the state of one batch; ``arrays`` are its columns, and the keys of the rows."""
        target: Target = wanted.options
        state = cls(
            name=wanted.name,
            type=wanted.type,
            cap=wanted.cap,
            rows=0,
            missing=0,
            values=names_array([]),
            counts=np.empty(0, np.int64),
            moments=FoldMoments.empty(target, BESIDES),
        )
        if not arrays:
            return state
        if label is None:
            raise InputError(
                f"statistics of column {wanted.name!r}: the rows come without labels, expected one each\n"
                "  give them to Collector.add as target"
            )
        names = len(arrays) - len(target.folds.columns)
        array = first_names(arrays[:names], wanted.missing_values)
        return cls.counted(wanted, array, target.folds.of(arrays[names:]), label)

    @classmethod
    def counted(cls, wanted: Wanted, array: Any, folds: Ints, label: Floats) -> Self:
        """Return the state of one batch.

        Args:
            wanted: What to collect.
            array: The names, (n,).
            folds: Of each row, int64 (n,).
            label: Float64 (n,), NaN where there is none.
        """
        target: Target = wanted.options
        values, codes = _coded(array)
        counts = np.bincount(codes, minlength=len(values) + 1)
        return cls(
            name=wanted.name,
            type=wanted.type,
            cap=wanted.cap,
            rows=len(array),
            missing=int(counts[-1]),
            values=values,
            counts=counts[:-1],
            moments=moments_by_fold(target, codes, len(values) + BESIDES, folds, label),
        )

    @classmethod
    def merged(cls, states: Sequence[Self]) -> Self:
        """Return the state of all rows of ``states``."""
        values, codes = _coded(pa.concat_arrays([state.values for state in states]))
        groups, at = [], 0
        for state in states:
            besides = len(values) + np.arange(BESIDES)
            groups += [codes[at : at + len(state.values)], besides]
            at += len(state.values)
        counts = np.zeros(len(values), np.int64)
        np.add.at(counts, codes, np.concatenate([state.counts for state in states]))
        moments = [state.moments for state in states]
        return replace(
            states[0],
            cap=max(state.cap for state in states),
            rows=sum(state.rows for state in states),
            missing=sum(state.missing for state in states),
            values=values,
            counts=counts,
            moments=merge_moments(moments, np.concatenate(groups), len(values) + BESIDES),
        )

    def trimmed(self) -> Self:
        """Return the state with the ``cap`` most frequent values (of equals, the first by name)."""
        if len(self.values) <= self.cap:
            return self
        kept = np.sort(np.argsort(-self.counts, kind="stable")[: self.cap])
        # Dropped values join the last group.
        codes = np.full(len(self.values) + BESIDES, self.cap + 1)
        codes[kept] = np.arange(self.cap)
        codes[len(self.values)] = self.cap
        return replace(
            self,
            values=taken(self.values, kept),
            counts=self.counts[kept],
            moments=self.moments.grouped(codes, self.cap + BESIDES),
        )

    def plain(self) -> dict[str, Any]:
        """Return what JSON holds."""
        return {
            "name": self.name,
            "type": self.type,
            "cap": self.cap,
            "rows": self.rows,
            "missing": self.missing,
            "values": self.values.tolist(),
            "counts": self.counts.tolist(),
            "moments": self.moments.plain(),
        }

    @classmethod
    def from_plain(cls, body: Mapping[str, Any]) -> Self:
        """Return the state that ``plain`` took apart."""
        return cls(
            **dict(body)
            | {
                "values": names_array(body["values"]),
                "counts": np.array(body["counts"], np.int64),
                "moments": FoldMoments.of(body["moments"]),
            }
        )


def _coded(array: Any) -> tuple[Any, Ints]:
    """Return the distinct values in byte order, and for each cell its value; k for a missing one."""
    import pyarrow.compute as pc

    if pa.types.is_null(array.type):
        array = array.cast(pa.large_string())
    encoded = array if pa.types.is_dictionary(array.type) else array.dictionary_encode()
    # Two entries of a dictionary may have one text: 1.0 and 1, or those of a foreign dictionary.
    names = texts(encoded.dictionary).dictionary_encode()
    codes = np.where(present(encoded), plain(encoded.indices).astype(np.int64), -1)
    used = np.zeros(len(encoded.dictionary) + 1, np.bool_)
    used[codes] = True
    order = plain(pc.sort_indices(names.dictionary)).astype(np.int64)
    distinct = np.where(present(names), plain(names.indices).astype(np.int64), -1)
    seen = np.zeros(len(order) + 1, np.bool_)
    seen[distinct[used[:-1]]] = True
    order = order[seen[order]]
    place = np.full(len(names.dictionary) + 1, len(order))
    place[order] = np.arange(len(order))
    place[-1] = len(order)
    return taken(names.dictionary, order), place[np.append(distinct, -1)[codes]]
