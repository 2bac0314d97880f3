"""Numbers of each group of another column: what impute: by_group learns in the one scan.

    group -> rows, missing rows, sum; and (group, bin of values) -> rows, for medians

A state has at most 131,072 entries. Beyond that it first makes bins of values, each within 2^-12 of
its middle, then within 2^-10, then forgets the half of the groups whose names have the larger
hashes, and again. Which of these a merge arrives at depends on the union of the rows only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from penstock.cells import first_numbers, names_array, plain, present, taken, texts
from penstock.sketch import Floats, Ints, middles, sortable, text_hashes
from penstock.wanted import ExtraState, Wanted

__all__ = ["MOST_ENTRIES", "GroupState"]

MOST_ENTRIES = 131_072
LEVELS = (
    *((bits, 0) for bits in (0, 41, 42, 43)),
    *((43, halvings) for halvings in range(1, 17)),
    *((bits, 16) for bits in range(44, 53)),
    *((52, halvings) for halvings in range(17, 64)),
)
"""How many bits of a double a bin leaves out, and how often half of the groups are left out."""


def _no_ints() -> Ints:
    return np.empty(0, np.int64)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class GroupState(ExtraState):
    """A column of numbers by the groups of another one. Rows without a group are in none.

    Attributes:
        name: What the state is called.
        type: Text of the numbers' Arrow type.
        group_type: Text of the groups' Arrow type; empty without rows.
        rows: All rows.
        level: How coarse it is, see the module; 0: exact, and all groups are here.
        groups: Arrow large_string (k,), ascending in UTF-8 byte order.
        counts: Rows of each group with a finite number, (k,).
        holes: Rows of each group without a number, (k,).
        sums: Of each group's finite numbers, float64 (k,).
        of_group: Group of each entry, ascending, (m,).
        keys: Bin of each entry, ascending in a group, (m,).
        weights: Rows of each entry, (m,).
    """

    name: str
    type: str
    group_type: str = ""
    rows: int = 0
    level: int = 0
    groups: Any = field(default_factory=lambda: names_array([]))
    counts: Ints = field(default_factory=_no_ints)
    holes: Ints = field(default_factory=_no_ints)
    sums: Floats = field(default_factory=lambda: np.empty(0))
    of_group: Ints = field(default_factory=_no_ints)
    keys: Ints = field(default_factory=_no_ints)
    weights: Ints = field(default_factory=_no_ints)

    @property
    def missing(self) -> int:
        """Rows of the groups here that have no number."""
        return int(self.holes.sum())

    @property
    def distinct(self) -> int:
        """Groups that are here."""
        return len(self.groups)

    @property
    def distinct_is_exact(self) -> bool:
        """Whether all groups are here."""
        return self.halvings == 0

    @property
    def entries(self) -> int:
        """How many keys the state holds."""
        return len(self.groups) + len(self.keys)

    @property
    def bits(self) -> int:
        """How many bits of a double a bin leaves out."""
        return LEVELS[self.level][0]

    @property
    def halvings(self) -> int:
        """How often half of the groups were left out."""
        return LEVELS[self.level][1]

    @property
    def relative_error(self) -> float:
        """Bound on the relative error of a median (of normal doubles)."""
        return float(2.0 ** (self.bits - 53)) if self.bits else 0.0

    @classmethod
    def of(cls, wanted: Wanted, arrays: Sequence[Any], label: Any) -> Self:
        """Return the state of Arrow arrays (n,): the numbers, and the groups."""
        del label
        if not arrays:
            return cls(name=wanted.name, type=wanted.type)
        values, _ = first_numbers(arrays[:1], wanted.missing_values)
        kept, names, codes = _coded(arrays[1])
        found = np.isfinite(values)
        size = len(names)
        inside = kept & found
        holes = np.bincount(codes[kept & np.isnan(values)], minlength=size)
        at, numbers = codes[inside], values[inside] + 0.0  # -0.0 becomes 0.0
        state = cls(
            name=wanted.name,
            type=wanted.type,
            group_type=str(arrays[1].type),
            rows=len(values),
            groups=names,
            counts=np.bincount(at, minlength=size).astype(np.int64),
            holes=holes.astype(np.int64),
            sums=_totals(at, numbers, size),
            of_group=at,
            keys=sortable(numbers),
            weights=np.ones(len(at), np.int64),
        )
        return cls.merged([state])

    @classmethod
    def merged(cls, states: Sequence[Self]) -> Self:
        """Return the state of all rows of ``states``."""
        level = max(state.level for state in states)
        states = [state.at_level(level) for state in states]
        encoded = pa.concat_arrays([state.groups for state in states]).dictionary_encode()
        codes = plain(encoded.indices).astype(np.int64)
        order = pc.sort_indices(encoded.dictionary)
        place = np.empty(len(order), np.int64)
        place[plain(order)] = np.arange(len(order))
        codes = place[codes]
        first = np.cumsum([0, *(len(state.groups) for state in states)]).tolist()
        of_group = np.concatenate([codes[s.of_group + first[at]] for at, s in enumerate(states)])
        of_group, keys, weights = _summed(
            of_group,
            np.concatenate([state.keys for state in states]),
            np.concatenate([state.weights for state in states]),
        )

        def total(parts: Sequence[npt.NDArray[Any]]) -> Floats:
            # Sums of counts are whole and below 2^53: exact in float64.
            return _totals(codes, np.concatenate(parts), len(order))

        state = cls(
            name=states[0].name,
            type=states[0].type,
            group_type=next((s.group_type for s in states if s.group_type), ""),
            rows=sum(state.rows for state in states),
            level=level,
            groups=encoded.dictionary.take(order),
            counts=total([state.counts for state in states]).astype(np.int64),
            holes=total([state.holes for state in states]).astype(np.int64),
            sums=total([state.sums for state in states]),
            of_group=of_group,
            keys=keys,
            weights=weights,
        )
        while state.entries > MOST_ENTRIES and state.level + 1 < len(LEVELS):
            state = state.at_level(state.level + 1)
        return state

    def at_level(self, level: int) -> Self:
        """Return the state as coarse as ``level``, which is not below its own."""
        if level == self.level:
            return self
        coarse = replace(self, level=level)
        more = coarse.bits - self.bits
        of_group, keys, weights = _summed(self.of_group, self.keys >> more, self.weights)
        coarse = replace(coarse, of_group=of_group, keys=keys, weights=weights)
        if not coarse.halvings:
            return coarse
        limit = np.uint64(2**64 - 1) >> np.uint64(coarse.halvings)
        kept = text_hashes(self.groups) <= limit
        entries = kept[of_group]
        return replace(
            coarse,
            groups=taken(self.groups, np.flatnonzero(kept)),
            counts=self.counts[kept],
            holes=self.holes[kept],
            sums=self.sums[kept],
            of_group=(np.cumsum(kept) - 1)[of_group[entries]],
            keys=keys[entries],
            weights=weights[entries],
        )

    def means(self) -> Floats:
        """Return the mean of each group (k,); NaN where it has no number."""
        none = np.full(len(self.sums), np.nan)
        return np.asarray(np.divide(self.sums, self.counts, out=none, where=self.counts > 0))

    def medians(self) -> Floats:
        """Return the median of each group (k,), within ``relative_error``; NaN without numbers."""
        found = np.full(len(self.counts), np.nan)
        some = self.counts > 0
        if not some.any():
            return found
        upto = np.cumsum(self.weights)
        begins = (np.cumsum(self.counts) - self.counts)[some]
        last = self.counts[some] - 1
        values = middles(self.keys, self.bits)
        below, above = (
            values[np.searchsorted(upto, begins + rank, side="right")]
            for rank in (last // 2, (last + 1) // 2)
        )
        found[some] = below / 2 + above / 2
        return found

    def plain(self) -> dict[str, Any]:
        """Return what JSON holds."""
        body: dict[str, Any] = {}
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            body[name] = value.tolist() if isinstance(value, (np.ndarray, pa.Array)) else value
        return body

    @classmethod
    def from_plain(cls, body: Mapping[str, Any]) -> Self:
        """Return the state that ``plain`` took apart."""
        whole = ("counts", "holes", "of_group", "keys", "weights")
        arrays = {name: np.array(body[name], np.int64) for name in whole}
        sums = np.array(body["sums"], np.float64)
        groups = names_array(body["groups"])
        return cls(**{**body, **arrays, "sums": sums, "groups": groups})


def _coded(array: Any) -> tuple[npt.NDArray[np.bool_], Any, Ints]:
    """Return which cells have a group, the groups, and the group of each cell (0 where none)."""
    if pa.types.is_null(array.type):
        return np.zeros(len(array), np.bool_), names_array([]), np.zeros(len(array), np.int64)
    encoded = array if pa.types.is_dictionary(array.type) else array.dictionary_encode()
    encoded = texts(encoded.dictionary).take(encoded.indices).dictionary_encode()
    kept = present(encoded)
    codes = np.where(kept, plain(encoded.indices), 0).astype(np.int64)
    return kept, encoded.dictionary, codes


def _totals(codes: Ints, parts: npt.NDArray[Any], size: int) -> Floats:
    return np.asarray(np.bincount(codes, parts.astype(np.float64), size), np.float64)


def _summed(of_group: Ints, keys: Ints, weights: Ints) -> tuple[Ints, Ints, Ints]:
    """Return ascending distinct (group, key) pairs and the sums of their weights."""
    if not len(keys):
        return of_group, keys, weights
    order = np.lexsort((keys, of_group))
    of_group, keys, weights = of_group[order], keys[order], weights[order]
    new = (of_group[1:] != of_group[:-1]) | (keys[1:] != keys[:-1])
    first = np.flatnonzero(np.concatenate(([True], new)))
    return of_group[first], keys[first], np.add.reduceat(weights, first)
