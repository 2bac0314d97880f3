"""Varints in bulk against varints one by one, and those against protobuf's own."""

from __future__ import annotations

import numpy as np
import pytest
from google.protobuf.internal.encoder import _VarintBytes
from hypothesis import given
from hypothesis import strategies as st

from penstock.recordio.varint import (
    decode_varints,
    packed_class,
    put_varint,
    varint,
    varint_length,
    varint_lengths,
)

EDGES = [edge for bits in range(7, 63, 7) for edge in ((1 << bits) - 1, 1 << bits)]
NUMBERS = st.integers(0, 2**63 - 1) | st.sampled_from(EDGES)


@given(NUMBERS)
def test_a_varint_is_that_of_protobuf(number):
    assert varint(number) == _VarintBytes(number)
    assert varint_length(number) == len(varint(number))


@given(st.lists(NUMBERS))
def test_lengths_are_those_of_each(numbers):
    lengths = varint_lengths(np.array(numbers, np.int64))

    assert lengths.tolist() == [len(varint(number)) for number in numbers]


@given(st.lists(st.integers(0, 2**64 - 1) | NUMBERS))
def test_packed_varints_come_back(numbers):
    packed = np.frombuffer(b"".join(map(varint, numbers)), np.uint8)

    found = decode_varints(packed)

    assert found is not None
    assert found[0].tolist() == numbers
    assert found[1].tolist() == (np.cumsum([*map(varint_length, numbers)]) - 1).tolist()


def test_longer_varints_than_needed_come_back():
    found = decode_varints(np.frombuffer(b"\x81\x80\x80\x00\x05\x85\x00", np.uint8))

    assert found is not None
    assert found[0].tolist() == [1, 5, 5]


@pytest.mark.parametrize("packed", [b"\x80", b"\x01\xff", b"\x80" * 10 + b"\x01"])
def test_varints_without_an_end_are_none(packed):
    assert decode_varints(np.frombuffer(packed, np.uint8)) is None


@pytest.mark.parametrize("size", range(1, 9))
def test_varints_of_one_size_are_packed_and_put(size):
    low, high = (0 if size == 1 else 1 << 7 * (size - 1)), (1 << 7 * size) - 1
    numbers = [low, high, (low + high) // 2, high - 1]
    array = np.array(numbers, np.uint32 if size <= 4 else np.uint64)
    rows = np.zeros((4, size + 2), np.uint8)

    packed = packed_class(array, size)
    put_varint(rows, 1, np.array(numbers, np.int64), size)

    assert packed[: 4 * size].tobytes() == b"".join(map(varint, numbers))
    assert [row.tobytes() for row in rows] == [b"\0" + varint(number) + b"\0" for number in numbers]
