"""Ranges of bytes are moved where they belong and nothing else is touched."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from penstock.recordio.segments import copy_segments, gather_segments, starts_of

LENGTHS = st.lists(st.integers(0, 300) | st.sampled_from([0, 7, 64]), max_size=30)


@given(LENGTHS, st.randoms(use_true_random=False))
def test_ranges_are_copied_and_the_gaps_between_them_left(lengths, random):
    origin = np.frombuffer(random.randbytes(1_000), np.uint8)
    begins = [random.randrange(1_000 - size + 1) for size in lengths]
    gaps = [random.randrange(3) for _ in lengths]
    places = np.cumsum([0, *lengths])[:-1] + np.cumsum(gaps)
    target = np.zeros(sum(lengths) + sum(gaps) + 5, np.uint8)
    expected = target.copy()
    for at, begin, size in zip(places.tolist(), begins, lengths, strict=True):
        expected[at : at + size] = origin[begin : begin + size]

    copy_segments(
        target,
        places.astype(np.int64),
        origin,
        np.array(begins, np.int64),
        np.array(lengths, np.int64),
    )

    assert target.tolist() == expected.tolist()


@given(LENGTHS, st.randoms(use_true_random=False))
def test_gathered_ranges_stand_one_after_another(lengths, random):
    origin = np.frombuffer(random.randbytes(1_000), np.uint8)
    begins = [random.randrange(1_000 - size + 1) for size in lengths]

    gathered = gather_segments(origin, np.array(begins, np.int64), np.array(lengths, np.int64))

    ranges = zip(begins, lengths, strict=True)
    expected = b"".join(origin[begin : begin + size].tobytes() for begin, size in ranges)
    assert gathered.tobytes() == expected


def test_starts_are_a_running_sum():
    assert starts_of(np.array([2, 0, 3])).tolist() == [0, 2, 2, 5]
    assert starts_of(np.array([], np.int64)).tolist() == [0]
