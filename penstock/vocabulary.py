"""Which values of a column of names are kept, which are rare, and what an unknown one is treated as."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from penstock.cells import names_array
from penstock.errors import DataError
from penstock.spec import CategoricalFeatures
from penstock.states import CategoryState

__all__ = ["Vocabulary", "least_rows", "needs_all", "vocabulary_of"]

Codes = npt.NDArray[np.int32]


@dataclass(frozen=True, kw_only=True, slots=True)
class Vocabulary:
    """A place for each frequent category, and one for all rare ones.

    Attributes:
        categories: Frequent values with their train rows, most frequent first, then by name.
        rare_values: How many values of the train split are rare.
        rare_rows: Their train rows.
        rare_names: The values, where an unknown value is treated in another way than they are.
        group: Whether rare values have a place, the last one.
        unknown: ``rare``, ``zeros``, ``own`` or ``refuse``, for values the train split does not have.
        undercount: By how much the counts may be too low; 0: they are exact.
    """

    categories: tuple[tuple[str, int], ...]
    rare_values: int
    rare_rows: int
    rare_names: tuple[str, ...]
    group: bool
    unknown: Literal["rare", "zeros", "own", "refuse"]
    undercount: int = 0

    @property
    def width(self) -> int:
        """How many places there are."""
        return len(self.categories) + self.group

    def known(self) -> Any:
        """Return an Arrow array of the values that ``places`` starts with."""
        names = [value for value, _ in self.categories] + list(self.rare_names)
        return names_array(names)

    def places(self) -> Codes:
        """Return for each known value, and last for unknown ones, its place; -1: it has none."""
        frequent = np.arange(len(self.categories), dtype=np.int32)
        rare = np.int32(len(self.categories) if self.group else -1)
        unknown = rare if self.unknown == "rare" else np.int32(-1)
        return np.concatenate(
            (frequent, np.full(len(self.rare_names), rare, np.int32), np.array([unknown], np.int32))
        )

    def body(self) -> dict[str, Any]:
        """Return what plan.json says of it."""
        return {
            "unknown": self.unknown,
            "rare": {
                "values": self.rare_values,
                "rows": self.rare_rows,
                "group": self.group,
                "names": list(self.rare_names),
            },
            "undercount": self.undercount,
            "categories": [list(pair) for pair in self.categories],
        }

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Vocabulary:
        """Return the vocabulary that plan.json describes."""
        return cls(
            categories=tuple((value, count) for value, count in body["categories"]),
            rare_values=body["rare"]["values"],
            rare_rows=body["rare"]["rows"],
            rare_names=tuple(body["rare"]["names"]),
            group=body["rare"]["group"],
            unknown=body["unknown"],
            undercount=body["undercount"],
        )


def vocabulary_of(
    state: CategoryState, rule: CategoricalFeatures, *, fill: str | None
) -> Vocabulary:
    """Return the vocabulary of a column whose missing cells became ``fill``.

    Frequent are the values with at least ``min_frequency`` train rows, and of them at most
    ``max_categories``. Equal counts go by name, in UTF-8 byte order.

    Raises:
        DataError: Not all values were counted, and the rule needs each.
    """
    unlike = rule.unknown == "refuse" or (rule.unknown != "rare" and rule.rare == "group")
    if not state.distinct_is_exact and (needs_all(state, rule) or unlike):
        raise _too_many(state, rule)
    counts = dict(zip(state.values.to_pylist(), state.counts.tolist(), strict=True))
    if fill is not None and state.missing:
        counts[fill] = counts.get(fill, 0) + state.missing
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0].encode()))
    least = least_rows(state, rule)
    kept = [item for item in ranked[: rule.max_categories] if item[1] >= least]
    rest = ranked[len(kept) :]
    missed = 0 if state.distinct_is_exact else state.distinct - state.entries
    rare_values = len(rest) + max(0, missed)
    rows = state.rows if fill is not None else state.rows - state.missing
    return Vocabulary(
        categories=tuple(kept),
        rare_values=rare_values,
        rare_rows=rows - sum(count for _, count in kept),
        rare_names=tuple(value for value, _ in rest) if unlike else (),
        group=rule.rare == "group" and rare_values > 0,
        unknown=rule.unknown,
        undercount=state.undercount,
    )


def needs_all(state: CategoryState, rule: CategoricalFeatures) -> bool:
    """Return whether the vocabulary may hold values that the state no longer counts."""
    return rule.max_categories is None and least_rows(state, rule) <= state.undercount


def least_rows(state: CategoryState, rule: CategoricalFeatures) -> float:
    """Return how many train rows make a value frequent."""
    share = isinstance(rule.min_frequency, float) and rule.min_frequency < 1
    return rule.min_frequency * state.rows if share else rule.min_frequency


def _too_many(state: CategoryState, rule: CategoricalFeatures) -> DataError:
    head = (
        f"column {state.name!r}: the train split has about {state.distinct:,} categories, and only the "
        f"{state.cap:,} most frequent are counted"
    )
    if not needs_all(state, rule):
        return DataError(
            f"{head}, so unknown: {rule.unknown} cannot tell unknown values from rare ones\n"
            "  set unknown: rare on it"
        )
    return DataError(
        f"{head}, each up to {state.undercount:,} rows too low\n"
        f"  set min_frequency above {state.undercount:,}, or max_categories, on it"
    )
