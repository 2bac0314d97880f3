"""Tensors by any name, and the texts of a record."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recordio.aialgs import Record, framed, record

from penstock import recordio
from penstock.errors import DataError, InputError


def tokens(source, target, *, uid=None):
    message = Record()
    for name, values in (("source", source), ("target", target)):
        if values is not None:
            message.features[name].int32_tensor.values.extend(values)
    if uid is not None:
        message.uid = uid
    return message


def prediction(score, label):
    message = Record()
    message.label["score"].float32_tensor.values.append(score)
    message.label["predicted_label"].float32_tensor.values.append(label)
    return message


def rows_of(tensors):
    return [
        tensors.row(index).tolist() if tensors.present[index] else None
        for index in range(len(tensors))
    ]


int32s = st.integers(-(2**31), 2**31 - 1)
token_lists = st.none() | st.lists(int32s, max_size=40)


@given(st.lists(st.tuples(token_lists, token_lists), min_size=1, max_size=12))
def test_tensors_of_any_name_and_length_come_back(pairs):
    records = recordio.decode_named(framed(*(tokens(*pair) for pair in pairs)))

    assert records.rows == len(pairs)
    for place, name in enumerate(("source", "target")):
        expected = [pair[place] for pair in pairs]
        if any(each is not None for each in expected):
            assert rows_of(records.features[name]) == expected
        else:
            assert name not in records.features
    assert records.labels == {}


def test_predictions_are_labels_without_features():
    records = recordio.decode_named(framed(prediction(0.25, 0), prediction(0.75, 1)))

    assert records.features == {}
    assert sorted(records.labels) == ["predicted_label", "score"]
    assert records.labels["score"].matrix().tolist() == [[0.25], [0.75]]
    assert records.labels["score"].matrix().dtype == np.float32
    assert records.labels["predicted_label"].matrix().tolist() == [[0], [1]]


def test_dense_and_sparse_rows_of_one_name_are_one_csr_array():
    data = framed(record([1, 2, 3], 1), record([5], 2, keys=[1], shape=[3]), record([4, 0, 0], 3))

    features = recordio.decode_named(data).features["values"]

    assert features.width == 3
    assert features.keys.tolist() == [0, 1, 2, 1, 0, 1, 2]
    assert features.matrix().toarray().tolist() == [[1, 2, 3], [0, 5, 0], [4, 0, 0]]


def test_a_matrix_needs_the_tensor_in_every_record():
    records = recordio.decode_named(framed(tokens([1], [2]), tokens([3], None)))

    with pytest.raises(DataError) as caught:
        records.features["target"].matrix()

    assert str(caught.value) == (
        "'target': record 1 has no such tensor, expected one in every record\n"
        "  take .values and .starts instead"
    )


def test_a_matrix_needs_one_width():
    records = recordio.decode_named(framed(tokens([1], [2]), tokens([3, 4], [5])))

    assert records.features["target"].matrix().tolist() == [[2], [5]]
    with pytest.raises(DataError) as caught:
        records.features["source"].matrix()

    assert str(caught.value) == (
        "'source': records have 1 to 2 values, expected one width\n"
        "  take .values and .starts instead"
    )


def test_a_key_past_the_shape_is_refused_under_any_name():
    message = record([1])
    tensor = message.features["other"].float32_tensor
    tensor.values.append(1)
    tensor.keys.append(7)
    tensor.shape.append(7)

    with pytest.raises(DataError) as caught:
        recordio.decode_named(framed(record([1]), message), source="part.rec")

    at = len(framed(record([1])))
    assert str(caught.value) == (
        f"part.rec: record 1 (byte {at}) has the key 7, expected less than its shape, 7"
    )


def with_texts(number, uid=None, metadata=None):
    message = record([number, 0], number)
    if uid is not None:
        message.uid = uid
    if metadata is not None:
        message.metadata = metadata
    return message


TEXTS = framed(
    with_texts(1, "a"),
    with_texts(2),
    with_texts(3, "längere", '{"x": 1}'),
    with_texts(4, "", "m" * 300),
)


def test_uid_and_metadata_are_kept_on_request():
    records = recordio.decode(TEXTS, keep=("uid", "metadata"))

    assert [uid.decode() for uid in records.uids] == ["a", "", "längere", ""]
    assert records.metadata.tolist() == [b"", b"", b'{"x": 1}', b"m" * 300]
    assert records.features.tolist() == [[1, 0], [2, 0], [3, 0], [4, 0]]
    assert records.labels.tolist() == [1, 2, 3, 4]


def test_texts_are_left_out_unless_asked_for():
    assert (recordio.decode(TEXTS).uids, recordio.decode(TEXTS).metadata) == (None, None)
    one = recordio.decode(TEXTS, keep=["uid"])
    assert (one.uids is None, one.metadata) == (False, None)


def test_texts_that_no_record_has_are_none():
    records = recordio.decode(framed(record([1])), keep=("uid", "metadata"))

    assert (records.uids, records.metadata) == (None, None)


@pytest.mark.parametrize(("keep", "found"), [("uid", "'uid'"), (["id"], "'id'")])
def test_only_known_texts_can_be_kept(keep, found):
    with pytest.raises(InputError) as caught:
        recordio.decode(b"", keep=keep)

    assert str(caught.value) == f"keep has {found}, expected a collection of 'uid', 'metadata'"


@pytest.mark.parametrize("batch_rows", [1, 2, 3, 100])
def test_reading_in_batches_keeps_texts_and_names(tmp_path, batch_rows):
    path = tmp_path / "part.rec"
    path.write_bytes(TEXTS)

    batches = list(recordio.read(path, batch_rows, keep=("uid",)))
    named = list(recordio.read_named(path, batch_rows))

    uids = [uid for batch in batches for uid in (batch.uids or [b""] * len(batch))]
    assert [uid.decode() for uid in uids] == ["a", "", "längere", ""]
    values = np.concatenate([batch.features["values"].matrix() for batch in named])
    assert values.tolist() == [[1, 0], [2, 0], [3, 0], [4, 0]]


def test_a_batch_may_have_other_names_than_the_one_before(tmp_path):
    path = tmp_path / "part.rec"
    path.write_bytes(framed(tokens([1], [2]), prediction(0.5, 1)))

    first, second = recordio.read_named(path, 1)

    assert (list(first.features), list(second.features)) == (["source", "target"], [])
    assert (list(first.labels), sorted(second.labels)) == ([], ["predicted_label", "score"])
