"""The state behind text features: in how many texts of a column each bucket of n-grams occurs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import pyarrow as pa

from penstock.cells import plain, present
from penstock.sketch import Ints
from penstock.tokens import Tokens
from penstock.wanted import ExtraState, Wanted

__all__ = ["TextState"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TextState(ExtraState):
    """A column of texts. Its size is that of the buckets, whatever the texts are.

    Attributes:
        name: Column.
        type: Text of its Arrow type.
        rows: All rows.
        missing: Rows that are null.
        tokens: How texts become buckets.
        documents: Rows with an n-gram of each bucket, int64 (buckets,).
    """

    name: str
    type: str
    rows: int
    missing: int
    tokens: Tokens
    documents: Ints

    @property
    def entries(self) -> int:
        """How many counters the state holds."""
        return len(self.documents)

    @classmethod
    def of(cls, wanted: Wanted, arrays: Sequence[Any], label: Any) -> Self:
        """Return the state of one batch; of no rows without arrays."""
        del label
        tokens: Tokens = wanted.options
        documents = np.zeros(tokens.buckets, np.int64)
        if arrays:
            documents += _documents(tokens, arrays[0])
        return cls(
            name=wanted.name,
            type=wanted.type,
            rows=sum(len(array) for array in arrays),
            missing=sum(array.null_count for array in arrays),
            tokens=tokens,
            documents=documents,
        )

    @classmethod
    def merged(cls, states: Sequence[Self]) -> Self:
        """Return the state of all rows of ``states``."""
        return replace(
            states[0],
            rows=sum(state.rows for state in states),
            missing=sum(state.missing for state in states),
            documents=np.sum([state.documents for state in states], axis=0),
        )

    def plain(self) -> dict[str, Any]:
        """Return what JSON holds."""
        return {
            "name": self.name,
            "type": self.type,
            "rows": self.rows,
            "missing": self.missing,
            "tokens": self.tokens.plain(),
            "documents": self.documents.tolist(),
        }

    @classmethod
    def from_plain(cls, body: Mapping[str, Any]) -> Self:
        """Return the state that ``plain`` took apart."""
        documents = np.array(body["documents"], np.int64)
        return cls(**dict(body) | {"tokens": Tokens.of(body["tokens"]), "documents": documents})


def _documents(tokens: Tokens, array: Any) -> Ints:
    """Return the rows with an n-gram of each bucket; texts that repeat are taken apart once."""
    if pa.types.is_null(array.type):
        return np.zeros(tokens.buckets, np.int64)
    encoded = array if pa.types.is_dictionary(array.type) else array.dictionary_encode()
    at = plain(encoded.indices).astype(np.int64)[present(encoded)]
    rows = np.bincount(at, minlength=len(encoded.dictionary))
    counts = tokens.counts(encoded.dictionary)
    weights = np.repeat(rows, np.diff(counts.indptr))
    found = np.bincount(counts.indices, weights=weights, minlength=tokens.buckets)
    return np.asarray(found, np.int64)
