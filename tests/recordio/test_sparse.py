"""encode_sparse against google.protobuf, byte for byte."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from recordio.aialgs import Record, framed, sparse, sparse_bytes
from scipy.sparse import csc_array, csr_array, csr_matrix, random_array

from penstock import recordio
from penstock.errors import DataError, InputError
from penstock.recordio.framing import find_frames

GOLDEN = (
    "0a23d7ce 35000000 0a1f0a06 76616c75 65731215 12130a08 0000803f 00000040"
    "1203 05ac02 1a02e807 12120a06 76616c75 65731208 12060a04 00004040 000000"
)


def test_one_row_is_these_bytes():
    features = csr_array((np.array([1, 2], np.float32), [5, 300], [0, 2]), shape=(1, 1_000))

    encoded = recordio.encode_sparse(features, np.array([3], np.float32))

    assert encoded == bytes.fromhex(GOLDEN)


@given(sparse())
def test_bytes_are_those_of_protobuf(rows):
    features, labels = rows

    encoded = recordio.encode_sparse(features, labels)

    assert encoded == sparse_bytes(features, labels)


@pytest.mark.parametrize(
    ("rows", "width", "density"),
    [
        (3_000, 200, 0.125),
        (4_000, 100_000, 0.0004),
        (300, 3_000, 0.9),
        (3, 300_000, 0.5),
        (2_000, 7, 0.1),
    ],
)
def test_bytes_are_those_of_protobuf_for_rows_of_many_lengths(rng, rows, width, density):
    features = random_array((rows, width), density=density, format="csr", dtype=np.float32, rng=rng)
    labels = rng.normal(size=rows).astype(np.float32)

    encoded = recordio.encode_sparse(features, labels)

    assert encoded == sparse_bytes(features, labels)


def test_rows_of_many_blocks_are_those_of_one(rng):
    features = random_array((70_000, 500), density=0.01, format="csr", dtype=np.float32, rng=rng)

    encoded = recordio.encode_sparse(features)

    pieces = (features[first : first + 9_999] for first in range(0, 70_000, 9_999))
    assert features.nnz > 2**18
    assert encoded == b"".join(map(recordio.encode_sparse, pieces))


def test_a_row_longer_than_a_block(rng):
    features = random_array((3, 600_000), density=0.7, format="csr", dtype=np.float32, rng=rng)

    encoded = recordio.encode_sparse(features)

    assert encoded == sparse_bytes(features)


def test_an_all_zero_row_gets_one_explicit_zero():
    features = csr_array(np.array([[0, 0], [0, 3], [0, 0]], np.float32))

    encoded = recordio.encode_sparse(features)

    explicit = csr_array((np.array([0, 3, 0], np.float32), [0, 1, 0], [0, 1, 2, 3]), shape=(3, 2))
    assert encoded == sparse_bytes(explicit)


def test_no_rows_are_no_bytes():
    encoded = recordio.encode_sparse(csr_array((0, 5), dtype=np.float32))

    assert encoded == b""


def test_equal_matrices_give_equal_bytes():
    shuffled = csr_matrix(
        (np.array([3, 1, 2], np.float32), [4, 0, 4], [0, 3]), shape=(1, 5), dtype=np.float32
    )
    before = shuffled.indices.copy()

    encoded = recordio.encode_sparse(shuffled)

    assert encoded == recordio.encode_sparse(csr_array(np.array([[1, 0, 0, 0, 5]], np.float32)))
    assert shuffled.indices.tolist() == before.tolist()


FEATURES = csr_array(np.eye(4, 2, dtype=np.float32))
OUTSIDE = csr_array(np.eye(4, dtype=np.float32))
OUTSIDE.indices[2] = 9


@pytest.mark.parametrize(
    ("features", "labels", "message"),
    [
        (
            FEATURES.toarray(),
            None,
            "features: type is numpy.ndarray, expected a scipy CSR array\n"
            "  for a numpy array use encode_dense",
        ),
        (
            csc_array(FEATURES),
            None,
            "features: type is scipy.sparse._csc.csc_array, expected a scipy CSR array",
        ),
        (FEATURES.astype(np.float64), None, "features: dtype is float64, expected float32"),
        (OUTSIDE, None, "features: row 2 has column index 9, there are 4 columns"),
        (
            csr_array((2, 2**56 + 1), dtype=np.float32),
            None,
            "features: shape is (2, 72057594037927937), expected at most 2**56 columns",
        ),
        (
            csr_array((2, 0), dtype=np.float32),
            None,
            "features: shape is (2, 0), expected (rows, columns) with at least one column",
        ),
        (
            FEATURES,
            np.zeros(2, np.float32),
            "labels: shape is (2,), expected (4,): one per row (axis 0) of features",
        ),
    ],
)
def test_wrong_arguments_are_refused(features, labels, message):
    with pytest.raises(InputError) as caught:
        recordio.encode_sparse(features, labels)

    assert str(caught.value) == message


REMEDY = "\n  impute it, or pass allow_nonfinite=True if the reader can take it"


def test_numbers_that_are_not_finite_are_refused_by_row_and_column():
    features = csr_array(np.array([[0, 0, 0], [5, 0, np.inf]], np.float32))

    with pytest.raises(DataError) as caught:
        recordio.encode_sparse(features)

    assert (
        str(caught.value) == f"features: row 1, column 2 is inf, expected a finite number{REMEDY}"
    )


def test_labels_that_are_not_finite_are_refused_by_row():
    with pytest.raises(DataError) as caught:
        recordio.encode_sparse(FEATURES, np.array([0, np.nan, 0, 0], np.float32))

    assert str(caught.value) == f"labels: row 1 is nan, expected a finite number{REMEDY}"


def test_numbers_that_are_not_finite_are_written_on_request():
    features = csr_array(np.array([[np.nan, -np.inf]], np.float32))
    labels = np.array([np.inf], np.float32)

    encoded = recordio.encode_sparse(features, labels, allow_nonfinite=True)

    assert encoded == sparse_bytes(features, labels)


@given(sparse())
def test_padded_keys_say_the_same_to_every_reader(rows):
    """What google.protobuf and our own reader make of them is what they make of canonical bytes."""
    features, labels = rows

    encoded = recordio.encode_sparse(features, labels, padded_keys=True)

    assert reserialised(encoded) == sparse_bytes(features, labels)
    if features.shape[0]:
        decoded, canonical = (
            recordio.decode(each) for each in (encoded, sparse_bytes(features, labels))
        )
        assert (decoded.features != canonical.features).nnz == 0
        assert decoded.width == canonical.width


def test_padded_keys_have_one_size(rng):
    features = random_array((50, 100_000), density=0.001, format="csr", dtype=np.float32, rng=rng)

    padded = recordio.encode_sparse(features, padded_keys=True)

    canonical = recordio.encode_sparse(features)
    short = int((features.indices < 16_384).sum() + (features.indices < 128).sum())
    assert payload_bytes(padded) - payload_bytes(canonical) == short > 0


def payload_bytes(encoded):
    return int(find_frames(np.frombuffer(encoded, np.uint8), source="buffer").lengths.sum())


def reserialised(encoded):
    """Return a stream whose records google.protobuf has read and written again."""
    frames = find_frames(np.frombuffer(encoded, np.uint8), source="buffer")
    payloads = zip(frames.starts.tolist(), frames.lengths.tolist(), strict=True)
    return framed(*(Record.FromString(encoded[at : at + size]) for at, size in payloads))
