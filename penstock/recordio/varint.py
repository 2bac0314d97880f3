"""Protobuf varints in bulk: seven bits a byte, lowest first, the top bit set on all but the last.

value 300 = 0b10_0101100  ->  bytes ac 02
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from penstock.recordio.segments import Bytes, Indices

__all__ = [
    "MAX_VALUE_BITS",
    "decode_varints",
    "packed_class",
    "put_varint",
    "varint",
    "varint_length",
    "varint_lengths",
]

MAX_VALUE_BITS = 56
"""Bits that eight varint bytes hold: what one 64-bit word can be spread into."""


def varint(value: int) -> bytes:
    """Return the varint of one number that is not negative.

    >>> varint(300).hex(" ")
    'ac 02'
    """
    spread = bytearray()
    while value > 0x7F:
        spread.append(value & 0x7F | 0x80)
        value >>= 7
    spread.append(value)
    return bytes(spread)


def varint_length(value: int) -> int:
    """Return how many bytes the varint of ``value`` has.

    >>> [varint_length(value) for value in (0, 127, 128, 16_383, 16_384)]
    [1, 1, 2, 2, 3]
    """
    return max(1, -(-value.bit_length() // 7))


def varint_lengths(values: Indices) -> Indices:
    """Return how many bytes each varint has.

    Args:
        values: int64 (n,), none negative.

    Returns:
        int64 (n,).
    """
    lengths = np.ones(values.size, np.int64)
    for byte in range(1, varint_length(int(values.max(initial=0)))):
        lengths += values >= 1 << 7 * byte
    return lengths


def put_varint(rows: Bytes, column: int, values: Indices, size_bytes: int) -> None:
    """Write varints of one size down a column of a byte matrix.

    Args:
        rows: uint8 (n, width), changed in place.
        column: Where the varint begins in each row.
        values: int64 (n,), each of exactly ``size_bytes`` bytes as a varint.
        size_bytes: Width of the column.
    """
    for byte in range(size_bytes):
        more = 0x80 if byte < size_bytes - 1 else 0
        rows[:, column + byte] = values >> 7 * byte & 0x7F | more


def packed_class(values: npt.NDArray[np.unsignedinteger], size_bytes: int) -> Bytes:
    """Return the varints of ``values``, each cut or filled to ``size_bytes`` bytes.

    Right for the values whose varint has that size; the bytes of the others mean nothing.

    Args:
        values: uint32 or uint64 (n,).
        size_bytes: 1 to 4 for uint32, to 8 for uint64.

    Returns:
        uint8, item i at bytes ``i * size_bytes``; some slack at the end.
    """
    if size_bytes == 1:
        return values.astype(np.uint8)
    kind = values.dtype.type
    words = values & kind(0x7F)
    for byte in range(1, size_bytes):
        words |= values << kind(byte) & kind(0x7F << 8 * byte)
    words |= kind(int.from_bytes(b"\x80" * (size_bytes - 1), "little"))
    item_bytes = values.dtype.itemsize
    if size_bytes == item_bytes:
        return words.view(np.uint8)
    # Each word is stored over the unused bytes of the one before: a strided copy goes upwards.
    packed = np.empty(values.size * size_bytes + item_bytes, np.uint8)
    np.ndarray((values.size,), words.dtype, packed.data, strides=(size_bytes,))[...] = words
    return packed


def decode_varints(packed: Bytes) -> tuple[npt.NDArray[np.unsignedinteger], Indices] | None:
    """Return the values of varints that stand one after another.

    Args:
        packed: uint8 (n,).

    Returns:
        The values, uint32 or uint64 (m,), and the index of each one's last byte, int64 (m,).
        None when the last varint has no end, or one has more than ten bytes.
    """
    last = np.flatnonzero(packed < 0x80)
    if packed.size and (not last.size or last[-1] != packed.size - 1):
        return None
    blocks = []
    before = -1
    for first in range(0, last.size, _BLOCK):
        ends = last[first : first + _BLOCK]
        sizes = np.diff(ends, prepend=before)
        if (longest := int(sizes.max())) > _MAX_BYTES:
            return None
        blocks.append(_decode_block(packed, ends - sizes + 1, sizes.astype(np.uint8), longest))
        before = int(ends[-1])
    return np.concatenate(blocks) if blocks else np.empty(0, np.uint32), last


_BLOCK = 1 << 16
"""Varints at a time: their temporary arrays stay in the processor's cache."""
_MAX_BYTES = 10
_NARROW_BYTES = 4


def _decode_block(
    packed: Bytes, at: Indices, sizes: Bytes, longest: int
) -> npt.NDArray[np.unsignedinteger]:
    """Return the values of varints that begin at ``at``, which is changed."""
    dtype = np.dtype(np.uint32 if longest <= _NARROW_BYTES else np.uint64)
    values: npt.NDArray[np.unsignedinteger] = (packed.take(at) & 0x7F).astype(dtype)
    for byte in range(1, longest):
        at += 1
        # Behind the end of a varint stand other bytes, or none: they count nothing.
        found = packed.take(at, mode="clip")
        found &= (sizes > byte) * np.uint8(0x7F)
        values |= found.astype(dtype) << dtype.type(7 * byte)
    return values
