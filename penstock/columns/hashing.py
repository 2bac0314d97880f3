"""Names by hash: no vocabulary, no state, any value at any time.

bucket = XXH64(UTF-8 bytes of the value's text, seed 0) modulo the number of buckets
sign   = -1 where the hash is 2^63 or more, if the column is signed
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pyarrow as pa

from penstock.cells import names_array, plain, present, texts
from penstock.columns.base import Block, Slot
from penstock.columns.encoding import Encoding
from penstock.sketch import Floats, Hashes, Ints
from penstock.states import CategoryState
from penstock.xxh64 import hash_texts

__all__ = ["SEED", "Hashed", "buckets_of"]

SEED = 0


def buckets_of(hashes: Hashes, buckets: int) -> tuple[Ints, Ints]:
    """Return the bucket of each hash, and 1 where its sign is negative, else 0: int64 (n,)."""
    return (hashes % np.uint64(buckets)).astype(np.int64), (hashes >> np.uint64(63)).astype(
        np.int64
    )


@dataclass(frozen=True, kw_only=True)
class Hashed(Encoding):
    """One of ``buckets`` columns is 1, or -1.

    Attributes:
        buckets: How many.
        signed: Whether half of the values are -1.
    """

    rule = "hash"
    buckets: int
    signed: bool

    @property
    def width(self) -> int:
        """How many outputs it makes."""
        return self.buckets

    def suffixes(self) -> Sequence[str]:
        """Return what the name of each output adds to that of the column."""
        return [f"__hash={bucket}" for bucket in range(self.buckets)]

    def codes(self, array: Any) -> Any:
        """Return twice the bucket, plus 1 where the sign is negative: int64 (n,)."""
        if pa.types.is_null(array.type):
            return np.full(len(array), -1)
        encoded = array if pa.types.is_dictionary(array.type) else array.dictionary_encode()
        names = texts(encoded.dictionary)
        known = present(names)
        bucket, negative = buckets_of(hash_texts(names.drop_null(), seed=SEED), self.buckets)
        # The last entry of the table is what null becomes.
        table = np.full(len(names) + 1, -1)
        table[:-1][known] = 2 * bucket + negative
        return table[np.where(present(encoded), plain(encoded.indices).astype(np.int64), -1)]

    def slots(self, codes: Any, missing: int, first: int, folds: Ints | None) -> list[Slot]:
        """Return the outputs."""
        from scipy.sparse import csr_array

        del folds
        codes = np.where(codes < 0, missing, codes)
        places = (codes >> 1).astype(np.int32)
        if not self.signed:
            return [(places + np.int32(first), None)]
        ones = np.where(codes & 1, np.float32(-1), np.float32(1))
        ends = np.arange(len(codes) + 1, dtype=np.int32)
        matrix = csr_array((ones, places, ends), shape=(len(codes), self.buckets))
        return [Block(first=first, matrix=matrix)]

    def body(self) -> dict[str, Any]:
        """Return what plan.json says of it."""
        return {"hash": "xxh64", "seed": SEED, "buckets": self.buckets, "signed": self.signed}

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        """Return the encoding that plan.json describes."""
        return cls(buckets=body["buckets"], signed=body["signed"])

    def shares(self, state: CategoryState, fill: str | None) -> Floats:
        """Return for each output the share of train rows in which it is not zero."""
        rows = np.bincount(
            self.codes(state.values) >> 1, weights=state.counts, minlength=self.buckets
        )
        if fill is not None and state.missing:
            rows[self.codes(names_array([fill]))[0] >> 1] += state.missing
        # Values that are not counted fall anywhere.
        rest = max(0.0, state.rows - float(rows.sum()))
        return np.asarray((rows + rest / self.buckets) / max(state.rows, 1))

    def words(self, at: int) -> str:
        """Return in words what output ``at`` holds."""
        one = "1 or -1" if self.signed else "1"
        return f"{one} where the XXH64 of its value, modulo {self.buckets:,}, is {at:,}, else 0"
