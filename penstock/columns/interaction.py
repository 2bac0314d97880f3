"""Products of features that other groups make: of their outputs, each with each."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np

from penstock.columns.base import Block, ColumnKind, OutOfFold, PlanColumn, Slot
from penstock.columns.layouts import sparse_matrix
from penstock.encode import Where
from penstock.errors import DataError, InputError, PenstockError
from penstock.impute import Fill
from penstock.sketch import Floats
from penstock.spec import InteractionFeatures
from penstock.states import Wanted
from penstock.statistics import Statistics

__all__ = ["KIND", "InteractionColumn", "interaction", "rule_problems"]

PART_KINDS = ("numeric", "boolean", "categorical")


@dataclass(frozen=True, kw_only=True)
class InteractionColumn:
    """The product of two columns or more, which are here without their indicators.

    Attributes:
        name: What it is called.
        parts: Fitted columns; an output is the product of one output of each.
        named: Whether the spec names it, and so its outputs.
    """

    name: str
    parts: tuple[PlanColumn, ...]
    named: bool

    @property
    def kind(self) -> str:
        """As the spec names it."""
        return "interaction"

    @property
    def inputs(self) -> tuple[str, ...]:
        """Source columns that it reads."""
        return tuple(dict.fromkeys(name for part in self.parts for name in part.inputs))

    @property
    def width(self) -> int:
        """Outputs it makes."""
        return math.prod(len(part.names()) for part in self.parts)

    def names(self) -> tuple[str, ...]:
        """Return the names of its output columns, in order."""
        if self.named and self.width == 1:
            return (self.name,)
        made = ("*".join(names) for names in product(*(part.names() for part in self.parts)))
        return tuple(f"{self.name}:{each}" for each in made) if self.named else tuple(made)

    def slots(self, arrays: Sequence[Any], where: Where, first: int) -> list[Slot]:
        """Return its outputs for a batch.

        Raises:
            SchemaMismatchError: A part's type does not fit.
            DataError: A value breaks the rule of its part, or a product does not fit in float32.
        """
        given = dict(zip(self.inputs, arrays, strict=True))
        matrix = None
        for part in self.parts:
            of_part = [given[name] for name in part.inputs]
            rows, width = len(of_part[0]), len(part.names())
            found = sparse_matrix(part.slots(of_part, where, 0), rows, width)
            matrix = found if matrix is None else _products(matrix, found)
        if matrix is None:
            return []
        self._check(matrix, where)
        matrix.eliminate_zeros()
        return [Block(first=first, matrix=matrix)]

    def _check(self, matrix: Any, where: Where) -> None:
        wrong = ~np.isfinite(matrix.data)
        if wrong.any():
            at = int(np.argmax(wrong))
            row = int(np.searchsorted(matrix.indptr, at, side="right")) - 1
            raise DataError(
                f"table {where.table!r}, interaction {self.name!r}: the product in row "
                f"{where.first_row + row:,} is {float(matrix.data[at])!r}, expected a finite number within "
                "the range of float32\n"
                "  scale its parts, or mend the value in merge.derive"
            )

    def entry(self) -> dict[str, Any]:
        """Return what plan.json says of it."""
        parts = [{"name": part.name, "kind": part.kind} | part.entry() for part in self.parts]
        kinds = " * ".join(part["type"] for part in parts)
        return {"type": kinds, "named": self.named, "parts": parts}

    @classmethod
    def from_entry(cls, entry: Mapping[str, Any]) -> InteractionColumn:
        """Return the column that plan.json describes."""
        from penstock.columns import KINDS  # which needs this module

        parts = tuple(KINDS[part["kind"]].column.from_entry(part) for part in entry["parts"])
        return cls(name=entry["name"], parts=parts, named=entry["named"])

    def filled(self, statistics: Statistics) -> Floats:
        """Return for each output the share of train rows in which it is not zero, about."""
        shares = np.ones(1)
        for part in self.parts:
            shares = np.outer(shares, part.filled(statistics)).ravel()
        return shares


def _products(left: Any, right: Any) -> Any:
    """Return the products of each row's outputs: CSR (rows, n), (rows, m) -> (rows, n * m)."""
    from scipy.sparse import csr_array

    counts = np.diff(left.indptr).astype(np.int64), np.diff(right.indptr).astype(np.int64)
    ends = np.concatenate(([0], np.cumsum(counts[0] * counts[1])))
    row = np.repeat(np.arange(len(ends) - 1), np.diff(ends))
    within = np.arange(ends[-1]) - ends[row]
    at_left = left.indptr[row] + within // counts[1][row]
    at_right = right.indptr[row] + within % counts[1][row]
    width = left.shape[1] * right.shape[1]
    keys = left.indices[at_left].astype(np.int64) * right.shape[1] + right.indices[at_right]
    with np.errstate(over="ignore"):
        data = left.data[at_left] * right.data[at_right]
    matrix = csr_array((data, keys.astype(np.int32), ends), shape=(left.shape[0], width))
    matrix.has_canonical_format = True
    return matrix


def interaction(rule: InteractionFeatures, columns: Mapping[str, PlanColumn]) -> InteractionColumn:
    """Return the product that a rule asks for.

    Args:
        rule: Of the spec.
        columns: Fitted columns by name, among them those of the rule.

    Raises:
        InputError: A part's outputs depend on the fold of a row.
    """
    parts = []
    for name in rule.of:
        part = columns[name]
        if isinstance(part, OutOfFold) and part.folds is not None:
            raise InputError(
                f"features: interaction {rule.label!r} takes {name!r}, which is target-encoded by folds, "
                "expected another encoding\n  set another encode for it, or leave it out"
            )
        fill: Any = getattr(part, "fill", None)
        if isinstance(fill, Fill) and fill.indicator:
            bare: Any = part
            part = replace(bare, fill=replace(fill, indicator=False))
        parts.append(part)
    return InteractionColumn(name=rule.label, parts=tuple(parts), named=rule.name is not None)


def rule_problems(rule: InteractionFeatures, kinds: Mapping[str, str]) -> Iterator[InputError]:
    """Yield what is wrong with a product before any row is read.

    Args:
        rule: Of the spec.
        kinds: Kind of each feature of other groups.
    """
    head = f"features: interaction {rule.label!r}"
    for name in rule.of:
        if name not in kinds:
            yield InputError(
                f"{head} takes {name!r}, expected a column of another group\n"
                "  list the column in a group of its kind as well"
            )
        elif kinds[name] not in PART_KINDS:
            yield InputError(
                f"{head} takes {name!r}, which is {kinds[name]}, expected numeric, boolean or categorical "
                "columns\n  leave it out, or derive a number from it in merge.derive"
            )


def _fit(name: str, _rule: Any, _statistics: Statistics) -> PlanColumn:
    raise InputError(
        f"features: {name!r} is an interaction, expected a column\n  see interaction()"
    )


def _nothing(*_: Any) -> Iterator[PenstockError]:
    yield from ()


def _wanted(*_: Any) -> list[Wanted]:
    return []


KIND = ColumnKind(
    name="interaction",
    column=InteractionColumn,
    wanted=_wanted,
    problems=_nothing,
    width=lambda *_: 0,
    fit=_fit,
)
"""For plan.json alone: products are made of fitted columns, by ``interaction``."""
