"""Copies many byte ranges of different lengths at once: the memcpy of this codec.

numpy copies ranges of one length quickly (an array of ``V64`` items is moved 64 bytes at a time)
and has nothing for ranges of many lengths. A range of 2**k to 2**(k+1)-1 bytes is covered by two
items of 2**k bytes, one that begins where it begins and one that ends where it ends, so a
handful of array operations, one pair per power of two, move any number of ranges and write no
byte outside them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "Bytes",
    "Indices",
    "copy_segments",
    "every",
    "gather_segments",
    "starts_of",
    "stride_of",
    "windows",
]

Bytes = npt.NDArray[np.uint8]
Indices = npt.NDArray[np.int64]


def windows(data: Bytes, size_bytes: int) -> npt.NDArray[np.void]:
    """Return a view whose item i is the ``size_bytes`` bytes of ``data`` from byte i on.

    Args:
        data: uint8 (n,), contiguous.
        size_bytes: 1 to n.

    Returns:
        void (n - size_bytes + 1,), overlapping items, no copy.
    """
    count = data.size - size_bytes + 1
    return np.ndarray((count,), f"V{size_bytes}", data.data, strides=(1,))


def starts_of(lengths: Indices) -> Indices:
    """Return where each of some ranges begins when they stand one after another.

    Args:
        lengths: int64 (n,).

    Returns:
        int64 (n + 1,); the last entry is the total.

    >>> starts_of(np.array([2, 0, 3])).tolist()
    [0, 2, 2, 5]
    """
    starts = np.zeros(lengths.size + 1, np.int64)
    np.cumsum(lengths, out=starts[1:])
    return starts


def stride_of(at: Indices) -> int | None:
    """Return by how much some offsets go up, if it is always by the same; None if not.

    >>> stride_of(np.array([3, 5, 7])), stride_of(np.array([3, 5, 8])), stride_of(np.array([3]))
    (2, None, 0)
    """
    if at.size < 2:
        return 0 if at.size else None
    stride = int(at[1] - at[0])
    if at[-1] - at[0] != stride * (at.size - 1) or not (at[1:] - at[:-1] == stride).all():
        return None
    return stride


def every(data: Bytes, dtype: str, at: Indices, stride: int) -> npt.NDArray[Any]:
    """Return a view whose item i stands at byte ``at[i]``; ``stride_of(at)`` is ``stride``."""
    return np.ndarray((at.size,), dtype, data.data, int(at[0]), (stride,))


def copy_segments(
    target: Bytes, target_at: Indices, origin: Bytes, origin_at: Indices, lengths: Indices
) -> None:
    """Copy ``origin[origin_at[i]:][:lengths[i]]`` to ``target[target_at[i]:]`` for every i.

    Args:
        target: uint8, contiguous, writeable; its ranges do not overlap.
        target_at: int64 (n,).
        origin: uint8, contiguous, another array than ``target``.
        origin_at: int64 (n,).
        lengths: int64 (n,), bytes, 0 allowed. All ranges lie inside their arrays.
    """
    if not lengths.size:
        return
    shortest, longest = int(lengths.min()), int(lengths.max())
    if shortest == longest:
        if longest:
            windows(target, longest)[target_at] = windows(origin, longest)[origin_at]
        return
    for power in range(max(shortest, 1).bit_length() - 1, longest.bit_length()):
        size = 1 << power
        rows = np.flatnonzero((lengths >= size) & (lengths < 2 * size))
        if not rows.size:
            continue
        into, out_of = windows(target, size), windows(origin, size)
        to, at, rest = target_at[rows], origin_at[rows], lengths[rows] - size
        into[to] = out_of[at]
        to += rest
        at += rest
        into[to] = out_of[at]


def gather_segments(origin: Bytes, origin_at: Indices, lengths: Indices) -> Bytes:
    """Return ``origin[origin_at[i]:][:lengths[i]]`` for every i, one after another.

    Args:
        origin: uint8, contiguous.
        origin_at: int64 (n,).
        lengths: int64 (n,), bytes, 0 allowed.

    Returns:
        uint8 (sum of lengths,).
    """
    if lengths.size and (size := int(lengths[0])) and (lengths == size).all():
        if (stride := stride_of(origin_at)) is not None:
            return every(origin, f"V{size}", origin_at, stride).copy().view(np.uint8)
        return windows(origin, size)[origin_at].view(np.uint8)
    starts = starts_of(lengths)
    gathered = np.empty(int(starts[-1]), np.uint8)
    copy_segments(gathered, starts[:-1], origin, origin_at, lengths)
    return gathered
