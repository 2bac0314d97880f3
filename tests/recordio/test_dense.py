"""encode_dense against google.protobuf, byte for byte."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recordio.aialgs import dense, dense_bytes
from scipy.sparse import csr_array

from penstock import recordio
from penstock.errors import DataError, InputError

GOLDEN = (
    "0a23d7ce 2c000000 0a160a06 76616c75 6573120c 120a0a08 0000803f 00000040"
    "12120a06 76616c75 65731208 12060a04 00004040"
)


def test_one_row_is_these_bytes():
    features, labels = np.array([[1, 2]], np.float32), np.array([3], np.float32)

    encoded = recordio.encode_dense(features, labels)

    assert encoded == bytes.fromhex(GOLDEN)


@given(dense())
def test_bytes_are_those_of_protobuf(rows):
    features, labels = rows

    encoded = recordio.encode_dense(features, labels)

    assert encoded == dense_bytes(features, labels)


@pytest.mark.parametrize("width", [*range(20, 34), 4_000, 4_090, 4_096, 530_000])
def test_bytes_are_those_of_protobuf_where_lengths_grow_a_byte(width):
    features = np.arange(2 * width, dtype=np.float32).reshape(2, width)
    labels = np.array([0, 1], np.float32)

    encoded = recordio.encode_dense(features, labels)

    assert encoded == dense_bytes(features, labels)


def test_rows_of_many_blocks_are_those_of_one(rng):
    features = rng.normal(size=(30_000, 25)).astype(np.float32)
    labels = rng.normal(size=30_000).astype(np.float32)

    encoded = recordio.encode_dense(features, labels)

    assert len(encoded) > 2**21
    pieces = (slice(first, first + 999) for first in range(0, 30_000, 999))
    assert encoded == b"".join(recordio.encode_dense(features[at], labels[at]) for at in pieces)


def test_memory_order_does_not_matter(rng):
    features = rng.normal(size=(8, 6)).astype(np.float32)

    encoded = recordio.encode_dense(np.asfortranarray(features)[::2, 1::2], features[::2, 0])

    assert encoded == dense_bytes(features[::2, 1::2], features[::2, 0])


def test_arguments_are_not_changed_and_not_referred_to():
    features, labels = np.ones((3, 2), np.float32), np.ones(3, np.float32)

    encoded = recordio.encode_dense(features, labels)
    before = bytes(encoded)
    features[:] = 7

    assert (bytes(encoded), labels.tolist()) == (before, [1, 1, 1])


FEATURES = np.zeros((4, 2), np.float32)


@pytest.mark.parametrize(
    ("features", "labels", "message"),
    [
        ([[1.0]], None, "features: type is list, expected a numpy array"),
        (
            csr_array(FEATURES),
            None,
            "features: type is scipy.sparse._csr.csr_array, expected a numpy array\n"
            "  for a sparse matrix use encode_sparse",
        ),
        (np.zeros((4, 2)), None, "features: dtype is float64, expected float32"),
        (
            np.zeros(4, np.float32),
            None,
            "features: shape is (4,), expected (rows, columns) with at least one column",
        ),
        (
            np.zeros((4, 0), np.float32),
            None,
            "features: shape is (4, 0), expected (rows, columns) with at least one column",
        ),
        (FEATURES, [1.0] * 4, "labels: type is list, expected a numpy array"),
        (FEATURES, np.zeros(4), "labels: dtype is float64, expected float32"),
        (
            FEATURES,
            np.zeros(2, np.float32),
            "labels: shape is (2,), expected (4,): one per row (axis 0) of features",
        ),
        (
            FEATURES,
            np.zeros((4, 1), np.float32),
            "labels: shape is (4, 1), expected (4,): one per row (axis 0) of features",
        ),
        (
            np.zeros((0, 2**27), np.float32),
            None,
            "features: a row needs up to 536,870,996 bytes, a frame holds 536,870,911",
        ),
    ],
)
def test_wrong_arguments_are_refused(features, labels, message):
    with pytest.raises(InputError) as caught:
        recordio.encode_dense(features, labels)

    assert str(caught.value) == message


REMEDY = "\n  impute it, or pass allow_nonfinite=True if the reader can take it"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused_by_row_and_column(value):
    features = np.zeros((400_000, 3), np.float32)
    features[300_000, 2] = value

    with pytest.raises(DataError) as caught:
        recordio.encode_dense(features)

    assert str(caught.value) == (
        f"features: row 300000, column 2 is {value}, expected a finite number{REMEDY}"
    )


def test_labels_that_are_not_finite_are_refused_by_row():
    with pytest.raises(DataError) as caught:
        recordio.encode_dense(FEATURES, np.array([0, 0, np.nan, 0], np.float32))

    assert str(caught.value) == f"labels: row 2 is nan, expected a finite number{REMEDY}"


def test_numbers_that_are_not_finite_are_written_on_request():
    features = np.array([[np.nan, np.inf], [-np.inf, 0]], np.float32)

    encoded = recordio.encode_dense(features, features[:, 0], allow_nonfinite=True)

    assert encoded == dense_bytes(features, features[:, 0])


@given(
    width=st.integers(1, 40),
    counts=st.lists(st.integers(0, 30), min_size=1, max_size=6),
    labelled=st.booleans(),
)
def test_a_kept_encoder_gives_the_same_bytes_batch_after_batch(width, counts, labelled):
    """Batches that grow, shrink and are empty: no byte of the one before shows."""
    encoder = recordio.DenseEncoder(width, labelled=labelled)
    for number, rows in enumerate(counts):
        features = np.arange(number, number + rows * width, dtype=np.float32).reshape(rows, width)
        labels = np.full(rows, number, np.float32) if labelled else None

        encoded = encoder.encode(features, labels)

        assert bytes(encoded) == bytes(recordio.encode_dense(features, labels))


def test_a_kept_encoder_refuses_batches_of_another_form():
    encoder = recordio.DenseEncoder(2, labelled=True)

    with pytest.raises(InputError) as caught:
        encoder.encode(np.ones((1, 3), np.float32))

    assert str(caught.value) == (
        "features: the batch is 3 columns without labels, the encoder is for 2 columns with labels"
    )


def test_numbers_whose_squares_overflow_are_finite():
    features = np.full((3, 4), 3e38, np.float32)

    assert np.array_equal(recordio.decode(recordio.encode_dense(features)).features, features)
