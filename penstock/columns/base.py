"""What every kind of column of a plan can do, and what its outputs look like for a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
import numpy.typing as npt

from penstock.encode import Where
from penstock.errors import DataError, InputError, PenstockError
from penstock.labelmoments import Folds
from penstock.sketch import Floats, Ints
from penstock.states import ColumnState, Wanted
from penstock.statistics import Statistics

__all__ = [
    "Block",
    "ColumnKind",
    "Float32s",
    "OutOfFold",
    "PlanColumn",
    "Positions",
    "Slot",
    "Worded",
    "indicator_width",
    "not_for",
    "refused",
]

Float32s = npt.NDArray[np.float32]
Positions = npt.NDArray[np.int32]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Block:
    """Several outputs that may be non-zero in one row, as of a text or a vector.

    Attributes:
        first: Position of the first of them.
        matrix: float32 (rows, outputs): an array, or a scipy CSR array in canonical format.
    """

    first: int
    matrix: Any


Slot = tuple[int, Float32s] | tuple[Positions, None] | Block
"""Outputs of a batch: a position with values (rows,), the position of a one for each row (-1 for
none), or a block of neighbouring positions."""


class PlanColumn(Protocol):
    """The fitted imputation and encoding of one feature: a run of neighbouring output columns."""

    @property
    def name(self) -> str:
        """What the feature is called; that of its source column, if it has one."""

    @property
    def kind(self) -> str:
        """As the spec names it."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """Source columns that it reads."""

    def names(self) -> tuple[str, ...]:
        """Return the names of its output columns, in order."""

    def slots(self, arrays: Sequence[Any], where: Where, first: int) -> list[Slot]:
        """Return its outputs for a batch, in ascending order of position.

        Args:
            arrays: Arrow arrays (rows,) of its inputs, in their order.
            where: What errors call the rows.
            first: Position of its first output.

        Raises:
            SchemaMismatchError: A type does not fit.
            DataError: A value breaks a rule; names column and row.
        """

    def entry(self) -> dict[str, Any]:
        """Return what plan.json says of it, ``type`` included, besides name, kind and positions."""

    @classmethod
    def from_entry(cls, entry: Mapping[str, Any]) -> Self:
        """Return the column that plan.json describes; ``entry`` has name and kind as well."""

    def filled(self, statistics: Statistics) -> Floats:
        """Return for each output the share of train rows in which it is not zero."""


@runtime_checkable
class OutOfFold(Protocol):
    """A column that may encode train rows in another way than others, by their fold."""

    @property
    def folds(self) -> Folds | None:
        """How train rows fall into folds; None: it encodes all rows alike."""

    def training_slots(
        self, arrays: Sequence[Any], where: Where, first: int, folds: Ints | None
    ) -> list[Slot]:
        """Return its outputs for train rows; as ``PlanColumn.slots`` if ``folds`` is None.

        Args:
            arrays: See ``PlanColumn.slots``, as for all but the last.
            where: What errors call the rows.
            first: Position of its first output.
            folds: Fold of each row, int64 (rows,).
        """


@runtime_checkable
class Worded(Protocol):
    """A column that says in words what each of its outputs holds."""

    def words(self, at: int) -> str:
        """Return what its output ``at`` (0 is its first) holds, as ``share of the train rows``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ColumnKind:
    """One kind of features: how the spec's rule for it becomes columns of a plan.

    Attributes:
        name: As the spec names it.
        column: The fitted column's class.
        wanted: ``(column, arrow type, rule)`` -> what to collect in the scan.
        problems: ``(column, arrow type, rule)`` -> what is wrong before any row is read.
        width: ``(column, rule, statistics)`` -> how many outputs it will have, about.
        fit: ``(column, rule, statistics)`` -> the fitted column; raises DataError.
    """

    name: str
    column: type[PlanColumn]
    wanted: Callable[[str, str, Any], Sequence[Wanted]]
    problems: Callable[[str, str, Any], Iterator[PenstockError]]
    width: Callable[[str, Any, Statistics], int]
    fit: Callable[[str, Any, Statistics], PlanColumn]


def refused(
    where: Where, column: str, missing: npt.NDArray[np.bool_], *, option: str = "impute"
) -> DataError:
    """Return the error that cells are missing against the rule ``refuse`` of an option."""
    _, row = where.first(missing)
    return DataError(
        f"table {where.table!r}, column {column!r}: {int(missing.sum()):,} of {len(missing):,} rows "
        f"are missing, the first is row {row}, expected none, as {option} is 'refuse'\n"
        f"  mend the rows, or choose another {option} rule for the column and fit again"
    )


def not_for(state: ColumnState, kind: str) -> InputError:
    """Return the error that statistics were collected for another kind of feature."""
    return InputError(
        f"statistics of column {state.name!r}: they are {type(state).__name__}, expected those of a "
        f"{kind} column\n  fit again with the spec as it is now"
    )


def indicator_width(rule: Any, state: ColumnState) -> int:
    """Return 1 if a column gets an indicator of missing cells, else 0."""
    return int(rule.indicator and state.missing > 0 and rule.impute != "refuse")
