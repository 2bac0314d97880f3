"""What a scan is asked to collect, and what a state of its own kind has to offer."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

__all__ = ["ExtraState", "Kind", "Wanted"]

DIGITS = 16

Kind = str
"""numeric, categorical, other, or that of an ``ExtraState`` that penstock.statistics knows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """One state to collect.

    Attributes:
        name: What the state is called: the column's name, unless a column has a second state.
        type: Text of the column's Arrow type.
        kind: Which state describes it.
        cap: Categorical only: how many values to count before the rarest are dropped.
        inputs: Columns that it is made from; none: the column ``name`` alone.
        missing_values: Codes that count as missing cells.
        logs: Numeric only: whether the moments of log(1 + x) are wanted as well.
        compared: Whether the column is compared with others, to find columns that are equal.
        options: What an ``ExtraState`` needs to know besides.
    """

    name: str
    type: str
    kind: Kind
    cap: int = 131_072
    inputs: tuple[str, ...] = ()
    missing_values: tuple[str | int | float | bool, ...] = ()
    logs: bool = False
    compared: bool = False
    options: Any = None

    @property
    def digest(self) -> str:
        """A hash of all of it; states of equal digests merge, those of others may not."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:DIGITS]

    @property
    def reads(self) -> tuple[str, ...]:
        """Columns that a batch must have."""
        return self.inputs or (self.name,)


class ExtraState(ABC):
    """A state that is neither of numbers, names nor other cells; see ``penstock.states`` for those.

    States of equal rows are equal, in whatever order and parts they were merged.
    """

    __slots__ = ()

    name: str
    type: str
    rows: int

    @property
    @abstractmethod
    def missing(self) -> int:
        """Rows that imputation fills."""

    @property
    def distinct(self) -> int:
        """Distinct values; 0 where they are not looked at."""
        return 0

    @property
    def distinct_is_exact(self) -> bool:
        """Whether ``distinct`` is a count, not an estimate."""
        return False

    @property
    def entries(self) -> int:
        """How many keys the state holds."""
        return 0

    def trimmed(self) -> Self:
        """Return the state at its bounded size."""
        return self

    @classmethod
    @abstractmethod
    def of(cls, wanted: Wanted, arrays: Sequence[Any], label: Any) -> Self:
        """Return the state of Arrow arrays (n,) of ``wanted.reads``; of no rows without arrays.

        Args:
            wanted: What to collect.
            arrays: Not chunked.
            label: Float64 (n,), NaN where there is none; or None.
        """

    @classmethod
    @abstractmethod
    def merged(cls, states: Sequence[Self]) -> Self:
        """Return the state of all rows of ``states``: at least one."""

    @abstractmethod
    def plain(self) -> dict[str, Any]:
        """Return what JSON holds."""

    @classmethod
    @abstractmethod
    def from_plain(cls, body: Mapping[str, Any]) -> Self:
        """Return the state that ``plain`` took apart."""
