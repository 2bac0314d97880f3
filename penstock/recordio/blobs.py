"""Byte strings of many lengths in one array: payloads, uids, metadata."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import overload

from penstock.recordio.segments import Bytes, Indices

__all__ = ["Blobs"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Blobs(Sequence[bytes]):
    """Some byte strings. An item is cut out when it is asked for.

    Attributes:
        data: uint8, holds them all.
        starts: int64 (n,), where each begins.
        lengths: int64 (n,), bytes; 0 for one that is missing.
    """

    data: Bytes
    starts: Indices
    lengths: Indices

    def __len__(self) -> int:
        return self.starts.size

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> Blobs: ...
    def __getitem__(self, index: int | slice) -> bytes | Blobs:
        if isinstance(index, slice):
            return Blobs(data=self.data, starts=self.starts[index], lengths=self.lengths[index])
        start = int(self.starts[index])
        return self.data[start : start + int(self.lengths[index])].tobytes()

    def __iter__(self) -> Iterator[bytes]:
        return (self[index] for index in range(len(self)))

    def tolist(self) -> list[bytes]:
        """Return all of them as bytes objects."""
        return list(self)
