"""What becomes of a name: the ways to encode one, behind one interface.

A name becomes a code first; -1 stands for a missing one. ``CategoricalColumn`` says what code a
missing cell takes, and which codes are refused.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal, Self

import numpy as np

from penstock.columns.base import Positions, Slot
from penstock.encode import lookup
from penstock.labelmoments import Folds
from penstock.sketch import Floats, Ints
from penstock.states import CategoryState
from penstock.vocabulary import Vocabulary

__all__ = ["Encoding", "Frequency", "OneHot", "Ordinal", "VocabularyEncoding"]


class Encoding(ABC):
    """How the names of a column become numbers."""

    rule: ClassVar[str]
    """As the spec names it, and its key in plan.json."""

    @property
    @abstractmethod
    def width(self) -> int:
        """How many outputs it makes."""

    @property
    def folds(self) -> Folds | None:
        """How train rows fall into folds, if they are encoded in another way than others."""
        return None

    @abstractmethod
    def suffixes(self) -> Sequence[str]:
        """Return what the name of each output adds to that of the column."""

    @abstractmethod
    def codes(self, array: Any) -> Any:
        """Return the code of each name of an Arrow array, int (n,); -1 for a missing one."""

    @abstractmethod
    def slots(self, codes: Any, missing: int, first: int, folds: Ints | None) -> list[Slot]:
        """Return the outputs.

        Args:
            codes: From ``codes``, (n,).
            missing: Code that a missing name takes.
            first: Position of the first output.
            folds: Fold of each row, (n,), of train rows alone.
        """

    @abstractmethod
    def body(self) -> dict[str, Any]:
        """Return what plan.json says of it."""

    @classmethod
    @abstractmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        """Return the encoding that plan.json describes."""

    @abstractmethod
    def shares(self, state: CategoryState, fill: str | None) -> Floats:
        """Return for each output the share of train rows in which it is not zero."""

    @abstractmethod
    def words(self, at: int) -> str:
        """Return in words what output ``at`` holds."""


@dataclass(frozen=True, kw_only=True)
class VocabularyEncoding(Encoding):
    """An encoding with a place for each frequent value.

    Attributes:
        vocabulary: The values.
    """

    vocabulary: Vocabulary

    @cached_property
    def known(self) -> Any:
        """Arrow array of the values that have a code: its index; others have the next one."""
        return self.vocabulary.known()

    @cached_property
    def _places(self) -> Positions:
        return self.vocabulary.places()

    def codes(self, array: Any) -> Any:
        """Return the code of each name: int32 (n,)."""
        return lookup(array, self.known)

    def places(self, codes: Any, missing: int) -> Positions:
        """Return the place of each code (n,), -1 for those that have none."""
        # Code -1, missing, takes the last entry: wherever the replacement stands.
        return np.asarray(np.append(self._places, self._places[missing])[codes], np.int32)

    def place_rows(self, state: CategoryState) -> Floats:
        """Return the train rows of each place, and last of those that have none."""
        rows = [count for _, count in self.vocabulary.categories]
        rare = self.vocabulary.rare_rows
        return np.array(rows + ([rare, 0] if self.vocabulary.group else [rare])) / max(
            state.rows, 1
        )


@dataclass(frozen=True, kw_only=True)
class OneHot(VocabularyEncoding):
    """A column of 0 and 1 for each place."""

    rule = "one_hot"

    @property
    def width(self) -> int:
        """How many outputs it makes."""
        return self.vocabulary.width

    def suffixes(self) -> Sequence[str]:
        """Return what the name of each output adds to that of the column."""
        values = [f"={value}" for value, _ in self.vocabulary.categories]
        return values + ["=(rare)"] * self.vocabulary.group

    def slots(self, codes: Any, missing: int, first: int, folds: Ints | None) -> list[Slot]:
        """Return the outputs."""
        del folds
        places = self.places(codes, missing)
        return [(np.where(places < 0, places, places + np.int32(first)), None)]

    def body(self) -> dict[str, Any]:
        """Return what plan.json says of it."""
        return self.vocabulary.body()

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        """Return the encoding that plan.json describes."""
        return cls(vocabulary=Vocabulary.of(body))

    def shares(self, state: CategoryState, fill: str | None) -> Floats:
        """Return for each output the share of train rows in which it is not zero."""
        del fill
        return self.place_rows(state)[: self.width]

    def words(self, at: int) -> str:
        """Return in words what output ``at`` holds."""
        if at == len(self.vocabulary.categories):
            return f"1 where it is one of {self.vocabulary.rare_values:,} rare values, else 0"
        return f"1 where it is {self.vocabulary.categories[at][0]!r}, else 0"


@dataclass(frozen=True, kw_only=True)
class TableEncoding(VocabularyEncoding):
    """One number for each place, and one for all values that have none.

    Attributes:
        values: Number of each place, and last of values without one.
    """

    values: tuple[float, ...]

    @property
    def width(self) -> int:
        """How many outputs it makes."""
        return 1

    @cached_property
    def _table(self) -> Any:
        # Adding zero turns -0.0 into 0.0, so that dense and sparse agree to the bit.
        return np.array(self.values, np.float32) + np.float32(0.0)

    def suffixes(self) -> Sequence[str]:
        """Return what the name of each output adds to that of the column."""
        return [f"__{self.rule}"]

    def slots(self, codes: Any, missing: int, first: int, folds: Ints | None) -> list[Slot]:
        """Return the outputs."""
        del folds
        return [(first, self._table[self.places(codes, missing)])]

    def shares(self, state: CategoryState, fill: str | None) -> Floats:
        """Return for each output the share of train rows in which it is not zero."""
        del fill
        return np.array([self.place_rows(state)[self._table != 0].sum()])


@dataclass(frozen=True, kw_only=True)
class Ordinal(TableEncoding):
    """The number of a category, from 0; then that of the rare ones; -1 for values that have none.

    Attributes:
        by: ``frequency`` or ``name``: what category 0 is the first by.
    """

    rule = "ordinal"
    by: Literal["frequency", "name"]

    def body(self) -> dict[str, Any]:
        """Return what plan.json says of it."""
        return {"by": self.by} | self.vocabulary.body()

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        """Return the encoding that plan.json describes."""
        return cls.fitted(Vocabulary.of(body), body["by"])

    @classmethod
    def fitted(cls, vocabulary: Vocabulary, by: Literal["frequency", "name"]) -> Self:
        """Return the encoding of a vocabulary."""
        numbers = np.arange(vocabulary.width + 1)
        numbers[-1] = -1
        if by == "name":
            names = [value.encode() for value, _ in vocabulary.categories]
            numbers[sorted(range(len(names)), key=names.__getitem__)] = np.arange(len(names))
        return cls(vocabulary=vocabulary, values=tuple(map(float, numbers)), by=by)

    def words(self, at: int) -> str:
        """Return in words what output ``at`` holds."""
        del at
        first = int(np.argmin(self.values[:-1])) if len(self.values) > 1 else 0
        shown = [f"0 is {value!r}" for value, _ in self.vocabulary.categories[first : first + 1]]
        shown += [f"{self.vocabulary.width - 1:,} a rare value"] * self.vocabulary.group
        return f"number of the category by {self.by}: {', '.join([*shown, '-1 an unknown value'])}"


@dataclass(frozen=True, kw_only=True)
class Frequency(TableEncoding):
    """The share of the train rows that have the value; all rare ones share that of them all."""

    rule = "frequency"

    def body(self) -> dict[str, Any]:
        """Return what plan.json says of it."""
        return {"shares": list(self.values)} | self.vocabulary.body()

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        """Return the encoding that plan.json describes."""
        return cls(vocabulary=Vocabulary.of(body), values=tuple(body["shares"]))

    @classmethod
    def fitted(cls, vocabulary: Vocabulary, rows: int) -> Self:
        """Return the encoding of a vocabulary of ``rows`` train rows."""
        counts = [count for _, count in vocabulary.categories]
        counts += [vocabulary.rare_rows] * vocabulary.group
        return cls(vocabulary=vocabulary, values=(*(count / max(rows, 1) for count in counts), 0.0))

    def words(self, at: int) -> str:
        """Return in words what output ``at`` holds."""
        del at
        return "share of the train rows that have its value"
