"""Against the xxhash package, and against values that never change."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.xxh64 import hash_slices, hash_texts

TEXTS = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=12),
    st.integers(0, 200).map(lambda n: "abcdefg"[n % 7] * n),
)


@given(st.lists(TEXTS, max_size=20), st.integers(0, 2**64 - 1))
@settings(max_examples=40)
def test_every_text_hashes_as_the_xxhash_package_hashes_it(texts, seed):
    found = hash_texts(pa.array(texts, pa.large_string()), seed=seed)

    assert found.tolist() == [xxhash.xxh64_intdigest(t.encode(), seed=seed) for t in texts]


def test_a_part_of_an_array_and_bytes_of_all_lengths_hash_alike():
    data = np.arange(300, dtype=np.uint8)[:200]
    texts = pa.array(["x" * n for n in range(100)], pa.large_string())

    slices = hash_slices(data, np.arange(100), np.arange(100)[::-1].copy(), seed=7)
    part = hash_texts(texts.slice(30, 40), seed=7)

    assert slices.tolist() == [
        xxhash.xxh64_intdigest(data[at : at + 99 - at].tobytes(), seed=7) for at in range(100)
    ]
    assert part.tolist() == hash_texts(texts, seed=7)[30:70].tolist()


@pytest.mark.parametrize(
    ("text", "seed", "golden"),
    [("", 0, 0xEF46DB3751D8E999), ("a", 0, 0xD24EC4F1A98C6E5B), ("naïve", 42, 6911616141519224023)],
)
def test_golden_hashes(text, seed, golden):
    found = hash_texts(pa.array([text], pa.large_string()), seed=seed)

    assert found.tolist() == [golden]
