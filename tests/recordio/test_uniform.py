"""decode_uniform: records of one size are read in place, and nothing is believed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recordio.aialgs import dense, frame, framed, record

from penstock import recordio
from penstock.errors import PenstockError
from penstock.recordio import records as records_module
from penstock.recordio import uniform


def rows_of(encoded, *, copy=True):
    return uniform.decode_uniform(np.frombuffer(encoded, np.uint8), copy=copy)


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(uniform, "_BLOCK_BYTES", 1)  # eight rows


@given(dense())
def test_dense_rows_come_back(rows):
    features, labels = rows

    found = rows_of(recordio.encode_dense(features, labels))

    if not len(features):
        assert found is None
        return
    assert found is not None
    assert found[0].tobytes() == features.tobytes()
    assert (found[1] is None) == (labels is None)
    assert labels is None or found[1].tobytes() == labels.tobytes()


@pytest.mark.parametrize("kind", ["float32", "float64"])
@pytest.mark.parametrize("label", [None, 7, [1, 2, 3]])
@pytest.mark.parametrize("shape", [[], [5]])
def test_any_floats_are_read(kind, label, shape, small_blocks):
    values = np.arange(95).reshape(19, 5)
    stream = framed(
        *(record(row, label, kind=kind, label_kind=kind, shape=shape) for row in values)
    )

    found = rows_of(stream)

    assert found is not None
    assert (found[0].dtype, found[0].tolist()) == (np.dtype(kind), values.tolist())
    if label is None:
        assert found[1] is None
    else:
        assert (found[1].dtype, found[1].tolist()) == (np.dtype(kind), [label] * 19)


def odd_streams():
    plain = record([1, 2], 3)
    named = record([1, 2], 3)
    named.features["others"].float32_tensor.values.append(1)
    text = record([1, 2], 3)
    text.uid = "a"
    return {
        "nothing": b"",
        "sparse rows": framed(
            record([1], 3, keys=[1], shape=[2]), record([1], 3, keys=[0], shape=[2])
        ),
        "integers": framed(record([1, 2], 3, kind="int32"), record([1, 2], 3, kind="int32")),
        "two tensors": framed(named, named),
        "texts": framed(text, text),
        "a shape that is another": framed(record([1, 2], 3, shape=[3])),
        "no values": framed(record([], 3)),
        "another width": framed(plain, record([1, 2, 3], 3)),
        "another magic": framed(plain) + b"\1" + framed(plain)[1:],
        "a part": framed(plain) + frame(plain.SerializeToString(), flag=1),
        "a cut": framed(plain, plain)[:-1],
        "no record": frame(b"\xff" * 8),
    }


@pytest.mark.parametrize("name", sorted(odd_streams()))
def test_what_is_otherwise_is_left_to_others(name):
    assert rows_of(odd_streams()[name]) is None


@given(st.data())
def test_a_changed_byte_is_seen_by_one_way_as_by_the_other(data):
    labels = np.arange(11, dtype=np.float32) if data.draw(st.booleans()) else None
    encoded = bytearray(
        recordio.encode_dense(np.ones((11, data.draw(st.integers(1, 4))), "f4"), labels)
    )
    at = data.draw(st.integers(0, len(encoded) - 1))
    encoded[at] ^= data.draw(st.integers(1, 255))

    outcomes = []
    for way in (uniform.decode_uniform, lambda *_, **__: None):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(uniform, "_BLOCK_BYTES", 1)
            patch.setattr(records_module, "decode_uniform", way)
            try:
                found = recordio.decode(encoded)
            except PenstockError as error:
                outcomes.append(str(error))
                continue
            label_bytes = None if found.labels is None else found.labels.tobytes()
            outcomes.append((found.features.shape, found.features.tobytes(), label_bytes))

    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("rows", [1, 7, 8, 9, 16, 17])
def test_a_wrong_byte_in_any_frame_is_seen(rows, small_blocks):
    encoded = bytes(recordio.encode_dense(np.ones((rows, 3), "f4"), np.ones(rows, "f4")))
    stride = len(encoded) // rows
    first = encoded[:stride]
    numbers = {
        at for at in range(stride) if first[at : at + 4] == b"\0\0\x80?" for at in range(at, at + 4)
    }
    assert len(numbers) == 16

    for row in range(1, rows):
        for at in set(range(stride)) - numbers:
            changed = bytearray(encoded)
            changed[row * stride + at] ^= 1
            assert rows_of(changed) is None, (row, at)


def test_a_view_is_read_only_and_shares_the_buffer():
    encoded = bytearray(recordio.encode_dense(np.ones((3, 2), "f4"), np.ones(3, "f4")))

    records = recordio.decode(encoded, copy=False)

    assert records.features.tolist() == [[1, 1]] * 3
    assert not records.features.flags.writeable
    assert np.shares_memory(records.features, np.frombuffer(encoded, np.uint8))
    assert not np.shares_memory(records.labels, np.frombuffer(encoded, np.uint8))


def test_records_of_many_sizes_are_copied_though_no_copy_is_asked_for():
    stream = framed(record([1, 2], 3), record([1, 2], 3, shape=[2]))

    records = recordio.decode(stream, copy=False)

    assert records.features.tolist() == [[1, 2]] * 2
    assert not np.shares_memory(records.features, np.frombuffer(stream, np.uint8))


def test_forms_of_one_size_do_not_take_each_other_s_place():
    """One label, or none and two values more where the other says so: frames of equal size."""
    values = np.arange(12, dtype="f4").reshape(3, 4)
    labelled = bytes(recordio.encode_dense(values, np.ones(3, "f4")))
    width = next(
        width
        for width in range(5, 20)
        if len(recordio.encode_dense(np.ones((3, width), "f4"))) == len(labelled)
    )
    plain = bytes(recordio.encode_dense(np.ones((3, width), "f4")))

    for _ in range(2):
        first, second = recordio.decode(labelled), recordio.decode(plain)

        assert (first.features.tolist(), first.labels.tolist()) == (values.tolist(), [1, 1, 1])
        assert (second.features.shape, second.labels) == ((3, width), None)


def test_no_more_than_some_forms_are_kept(monkeypatch):
    monkeypatch.setattr(uniform, "_KNOWN", {})

    for width in range(1, 3 * uniform._MOST_KNOWN):
        recordio.decode(recordio.encode_dense(np.ones((2, width), "f4")))

    assert 0 < len(uniform._KNOWN) <= uniform._MOST_KNOWN
