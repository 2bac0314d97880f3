"""The bytes of sagemaker-pyspark's Spark writer, kept in golden/, are the bytes that we write."""

from __future__ import annotations

import numpy as np
import pytest
from recordio.aialgs import framed, record
from recordio.peer_rows import GOLDEN, MAGIC_FLOAT, tables

from penstock import recordio

TABLES = tables()
SAME = sorted(set(TABLES) - {"sparse_empty_rows"})


def encoded(features, labels):
    write = recordio.encode_dense if isinstance(features, np.ndarray) else recordio.encode_sparse
    return bytes(write(features, labels))


@pytest.mark.parametrize("name", SAME)
def test_our_bytes_are_the_peers(name):
    assert encoded(*TABLES[name]) == (GOLDEN / f"{name}.pbr").read_bytes()


@pytest.mark.parametrize("name", sorted(TABLES))
def test_the_peers_bytes_are_read(name):
    features, labels = TABLES[name]

    found = recordio.decode((GOLDEN / f"{name}.pbr").read_bytes())

    assert found.features.shape == features.shape
    if isinstance(features, np.ndarray):
        assert found.features.tobytes() == features.tobytes()
    else:
        assert found.features.indptr.tolist() == features.indptr.tolist()
        assert found.features.indices.tolist() == features.indices.tolist()
        assert found.features.data.tobytes() == features.data.tobytes()
    assert (found.labels is None) == (labels is None)
    assert labels is None or found.labels.tolist() == labels.tolist()


def test_an_empty_row_is_the_one_difference():
    features, labels = TABLES["sparse_empty_rows"]
    width, empty = features.shape[1], np.flatnonzero(np.diff(features.indptr) == 0)

    peer, ours = (GOLDEN / "sparse_empty_rows.pbr").read_bytes(), encoded(features, labels)

    assert empty.tolist() == [1, 2, 5, 6]
    assert peer != ours
    for label in set(labels[empty].tolist()):
        theirs = framed(record([], label, shape=[width]))
        peer = peer.replace(theirs, framed(record([0], label, keys=[0], shape=[width])))
    assert peer == ours


def test_a_magic_word_among_the_values_is_not_cut():
    features, _ = TABLES["dense_7_unlabelled"]

    content = (GOLDEN / "dense_7_unlabelled.pbr").read_bytes()

    assert MAGIC_FLOAT in features
    assert len(content) == 24 * (8 + 44)
