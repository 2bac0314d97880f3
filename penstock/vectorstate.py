"""What a scan learns of a column of vectors: their width, and how full they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import pyarrow as pa

from penstock.cells import plain, present
from penstock.wanted import ExtraState, Wanted

__all__ = ["VectorState"]


@dataclass(frozen=True, kw_only=True, slots=True)
class VectorState(ExtraState):
    """A column of lists of numbers, or of Spark ml vectors.

    Attributes:
        name: Column.
        type: Text of its Arrow type.
        rows: All rows; ``nulls`` are among them.
        narrowest: Fewest numbers of a vector, zeros that are not stored included; -1 without any.
        widest: Most numbers of a vector; -1 without any.
        stored: Numbers that are stored and not zero, of all vectors.
    """

    name: str
    type: str
    rows: int = 0
    nulls: int = 0
    narrowest: int = -1
    widest: int = -1
    stored: int = 0

    @property
    def missing(self) -> int:
        """Rows that are null."""
        return self.nulls

    @classmethod
    def of(cls, wanted: Wanted, arrays: Sequence[Any], label: Any) -> Self:
        """Return the state of an Arrow array (n,)."""
        del label
        if not arrays:
            return cls(name=wanted.name, type=wanted.type)
        array = arrays[0]
        nulls = len(array) if pa.types.is_null(array.type) else array.null_count
        some = len(array) > nulls
        widths, stored = _measured(array.drop_null()) if some else (np.array([-1]), 0)
        return cls(
            name=wanted.name,
            type=wanted.type,
            rows=len(array),
            nulls=nulls,
            narrowest=int(widths.min()),
            widest=int(widths.max()),
            stored=stored,
        )

    @classmethod
    def merged(cls, states: Sequence[Self]) -> Self:
        """Return the state of all rows of ``states``."""
        known = [state for state in states if state.widest >= 0]
        return cls(
            name=states[0].name,
            type=states[0].type,
            rows=sum(state.rows for state in states),
            nulls=sum(state.nulls for state in states),
            narrowest=min((state.narrowest for state in known), default=-1),
            widest=max((state.widest for state in known), default=-1),
            stored=sum(state.stored for state in states),
        )

    def plain(self) -> dict[str, Any]:
        """Return what JSON holds."""
        return asdict(self)

    @classmethod
    def from_plain(cls, body: Mapping[str, Any]) -> Self:
        """Return the state that ``plain`` took apart."""
        return cls(**body)


def _measured(array: Any) -> tuple[Any, int]:
    """Return the widths of vectors (n,), none of which is null, and how many numbers are not zero."""
    if not pa.types.is_struct(array.type):
        child = array.flatten()
        return _lengths(array), _nonzero(child)
    kind, size, stored = (array.field(name) for name in ("type", "size", "values"))
    sparse = (plain(kind) == 0) & present(size)
    widths = np.where(sparse, plain(size), np.where(present(stored), _lengths(stored), 0))
    return widths, _nonzero(stored.flatten())


def _lengths(array: Any) -> Any:
    if pa.types.is_fixed_size_list(array.type):
        return np.full(len(array), array.type.list_size, np.int64)
    return np.diff(plain(array.offsets).astype(np.int64))


def _nonzero(child: Any) -> int:
    if pa.types.is_null(child.type):
        return 0
    values = child.cast(pa.float64()) if not pa.types.is_floating(child.type) else child
    return int(((plain(values) != 0) & present(values)).sum())
