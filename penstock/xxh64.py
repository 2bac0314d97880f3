"""XXH64 of many texts at once: a hash that every language has, over whole arrays of bytes.

The bucket of a name or of an n-gram, and the fold of a row, come from it, so that another program
can compute them too: XXH64 of the UTF-8 bytes, with the seed that the caller states.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from penstock.sketch import Hashes, Ints

__all__ = ["hash_slices", "hash_texts", "text_buffers"]

P1, P2, P3, P4, P5 = (
    np.uint64(prime)
    for prime in (
        0x9E3779B185EBCA87,
        0xC2B2AE3D27D4EB4F,
        0x165667B19E3779F9,
        0x85EBCA77C2B2AE63,
        0x27D4EB2F165667C5,
    )
)
STRIPE = 32


def hash_texts(values: Any, *, seed: int) -> Hashes:
    """Return XXH64 of the UTF-8 bytes of each value of a large_string array without nulls: (n,).

    >>> import pyarrow as pa
    >>> hash_texts(pa.array(["", "penstock"], pa.large_string()), seed=0).tolist()
    [17241709254077376921, 11665236576758945395]
    """
    data, offsets = text_buffers(values)
    return hash_slices(data, offsets[:-1], np.diff(offsets), seed=seed)


def text_buffers(values: Any) -> tuple[npt.NDArray[np.uint8], Ints]:
    """Return the bytes of a large_string array, and the offsets of its values in them: (n + 1,)."""
    values = values.cast(pa.large_binary())
    _, offsets, data = values.buffers()
    if offsets is None or not len(values):
        return np.empty(0, np.uint8), np.zeros(1, np.int64)
    starts = np.frombuffer(offsets, np.int64)[values.offset : values.offset + len(values) + 1]
    return np.frombuffer(data or b"", np.uint8), starts


def hash_slices(data: npt.NDArray[np.uint8], starts: Ints, lengths: Ints, *, seed: int) -> Hashes:
    """Return XXH64 of each slice of ``data``: (n,).

    Steps are as many as the longest slice needs; each works on all slices that are long enough.

    Args:
        data: Bytes.
        starts: Where each slice begins, (n,).
        lengths: Its bytes, (n,).
        seed: 0 to 2^64 - 1.
    """
    # Eight bytes more, so that a whole word can be read at the last byte.
    data = np.concatenate((data, np.zeros(8, np.uint8)))
    words = np.ndarray((len(data) - 7,), "<u8", data, strides=(1,))
    halves = np.ndarray((len(data) - 7,), "<u4", data, strides=(1,))
    at, left = starts.astype(np.int64), lengths.astype(np.int64)
    with np.errstate(over="ignore"):
        hashes = _stripes(words, at, left, np.uint64(seed))
        hashes += left.view(np.uint64)
        left = left % STRIPE
        at = at + (lengths - left)
        for _ in range(3):
            long = np.flatnonzero(left >= 8)
            mixed = hashes[long] ^ _round(np.uint64(0), words[at[long]])
            hashes[long] = _rotated(mixed, 27) * P1 + P4
            at[long] += 8
            left[long] -= 8
        long = np.flatnonzero(left >= 4)
        mixed = hashes[long] ^ (halves[at[long]].astype(np.uint64) * P1)
        hashes[long] = _rotated(mixed, 23) * P2 + P3
        at[long] += 4
        left[long] -= 4
        for _ in range(3):
            long = np.flatnonzero(left >= 1)
            mixed = hashes[long] ^ (data[at[long]].astype(np.uint64) * P5)
            hashes[long] = _rotated(mixed, 11) * P1
            at[long] += 1
            left[long] -= 1
        return _avalanche(hashes)


def _stripes(words: Any, starts: Ints, lengths: Ints, seed: np.uint64) -> Hashes:
    """Return the state of each slice after its whole stripes of 32 bytes."""
    hashes = np.full(len(starts), seed + P5, np.uint64)
    left = lengths // STRIPE
    long = np.flatnonzero(left)
    if not len(long):
        return hashes
    # The longest first: those that are still at work are the first ones.
    long = long[np.argsort(-left[long], kind="stable")]
    left, at = left[long], starts[long]
    begin = (seed + P1 + P2, seed + P2, seed, seed - P1)
    lanes = [np.full(len(long), lane, np.uint64) for lane in begin]
    for step in range(int(left[0])):
        active = int(np.searchsorted(-left, -step, side="left"))
        for number, lane in enumerate(lanes):
            lane[:active] = _round(lane[:active], words[at[:active] + (STRIPE * step + 8 * number)])
    total = sum(
        (_rotated(lane, by) for lane, by in zip(lanes, (1, 7, 12, 18), strict=True)),
        np.zeros(len(long), np.uint64),
    )
    for lane in lanes:
        total = (total ^ _round(np.uint64(0), lane)) * P1 + P4
    hashes[long] = total
    return hashes


def _round(lane: Any, word: Any) -> Any:
    return _rotated(lane + word * P2, 31) * P1


def _rotated(values: Any, by: int) -> Any:
    return (values << np.uint64(by)) | (values >> np.uint64(64 - by))


def _avalanche(hashes: Hashes) -> Hashes:
    hashes = (hashes ^ (hashes >> np.uint64(33))) * P2
    hashes = (hashes ^ (hashes >> np.uint64(29))) * P3
    return np.asarray(hashes ^ (hashes >> np.uint64(32)), np.uint64)
