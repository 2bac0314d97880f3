"""decode: back from the bytes, whoever wrote them."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recordio.aialgs import FLOATS, Record, dense, frame, framed, record, sparse
from scipy.sparse import csr_array

from penstock import recordio
from penstock.errors import CorruptRecordError, DataError, InputError
from penstock.recordio import records as records_module
from penstock.recordio import table as table_module
from penstock.recordio import uniform


def assert_same(records, features, labels):
    """Compare values, labels and layout; signs of zero and NaN bits included where dense."""
    if isinstance(features, np.ndarray):
        assert records.features.dtype == features.dtype
        assert records.features.tobytes() == features.tobytes()
    else:
        assert records.layout == "sparse"
        assert records.features.dtype == features.dtype
        assert (records.features != features).nnz == 0
    assert records.features.shape == features.shape
    if labels is None:
        assert records.labels is None
    else:
        assert (records.labels.dtype, records.labels.tolist()) == (labels.dtype, labels.tolist())


@given(dense())
def test_dense_rows_come_back(rows):
    features, labels = rows

    records = recordio.decode(recordio.encode_dense(features, labels))

    if len(features):
        assert_same(records, features, labels)
    else:
        assert (records.features.shape, records.labels) == ((0, 0), None)


@given(sparse())
def test_sparse_rows_come_back(rows):
    features, labels = rows

    records = recordio.decode(recordio.encode_sparse(features, labels))

    if features.shape[0]:
        assert_same(records, features, labels)
    else:
        assert (records.features.shape, records.labels) == ((0, 0), None)


def test_a_batch_says_what_it_is():
    records = recordio.decode(recordio.encode_dense(np.ones((3, 2), np.float32)))

    assert (len(records), records.width, records.layout) == (3, 2, "dense")


def test_rows_are_copies_that_may_be_changed():
    buffer = bytearray(recordio.encode_dense(np.ones((3, 2), np.float32)))

    records = recordio.decode(buffer)
    buffer[:] = bytes(len(buffer))
    records.features[0, 0] = 5

    assert records.features.tolist() == [[5, 1], [1, 1], [1, 1]]


@pytest.mark.parametrize(
    "kind", [bytes, bytearray, memoryview, lambda raw: np.frombuffer(raw, "u1")]
)
def test_any_buffer_is_read(kind):
    raw = recordio.encode_dense(np.ones((3, 2), np.float32))

    records = recordio.decode(kind(bytes(raw)))

    assert records.features.tolist() == [[1, 1]] * 3


def test_a_buffer_with_gaps_is_refused():
    with pytest.raises(InputError) as caught:
        recordio.decode(memoryview(bytes(16))[::2])

    assert str(caught.value) == "buffer: the buffer is not contiguous, expected one run of bytes"


INT32S = st.integers(-(2**31), 2**31 - 1)
VALUES = {"float32": FLOATS, "float64": st.floats(allow_nan=False), "int32": INT32S}


@st.composite
def messages(draw):
    """Draw records of one width: any tensor kinds, dense, sparse or both, and their matrix."""
    width = draw(st.integers(1, 9))
    kinds = draw(st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=3))
    labelled = draw(st.booleans())
    found, rows, labels = [], [], []
    for _ in range(draw(st.integers(1, 6))):
        kind = draw(st.sampled_from(kinds))
        keys = draw(st.none() | st.lists(st.integers(0, width - 1), unique=True))
        count = width if keys is None else len(keys)
        values = draw(st.lists(VALUES[kind], min_size=count, max_size=count))
        label = draw(INT32S) if labelled else None
        labels.append(label)
        row = np.zeros(width)
        row[range(width) if keys is None else keys] = values
        rows.append(row)
        shape = [] if keys is None else [width]
        message = record(values, label, keys=keys or [], shape=shape, kind=kind, label_kind="int32")
        if draw(st.booleans()):
            message.uid, message.metadata = draw(st.text()), "{}"
        found.append(message)
    return found, np.array(rows), labels if labelled else None


@given(messages())
def test_records_of_all_kinds_may_be_mixed(drawn):
    found, rows, labels = drawn

    records = recordio.decode(framed(*found))

    features = records.features
    matrix = features if isinstance(features, np.ndarray) else features.toarray()
    assert matrix.tolist() == rows.tolist()
    assert (None if records.labels is None else records.labels.tolist()) == labels


@pytest.mark.parametrize(("kind", "dtype"), [("float32", "f4"), ("float64", "f8"), ("int32", "i4")])
def test_numbers_keep_their_type(kind, dtype):
    encoded = framed(
        record([1, -2], -3, kind=kind, label_kind=kind),
        record([7, 300], 4, kind=kind, label_kind=kind),
    )

    records = recordio.decode(encoded)

    assert_same(records, np.array([[1, -2], [7, 300]], dtype), np.array([-3, 4], dtype))


def test_vector_labels_come_back():
    records = recordio.decode(framed(record([1], [1, 2]), record([2], [3, 4])))

    assert records.labels is not None
    assert records.labels.tolist() == [[1, 2], [3, 4]]


def test_a_row_of_zeros_may_have_a_shape_alone():
    records = recordio.decode(framed(record([], shape=[3]), record([5.0], keys=[1], shape=[3])))

    assert_same(records, csr_array(np.array([[0, 0, 0], [0, 5, 0]], np.float32)), None)


def test_matrices_are_read_as_flat_rows():
    records = recordio.decode(framed(record(range(6), shape=[2, 3]), record(range(6))))

    assert records.features.tolist() == [[0, 1, 2, 3, 4, 5]] * 2


def parts(message):
    """Return the serialised features and label of a record."""
    whole = message.SerializeToString(deterministic=True)
    message.ClearField("label")
    features = message.SerializeToString(deterministic=True)
    return features, whole[len(features) :]


def length(body: bytes) -> bytes:
    assert len(body) < 128
    return bytes([len(body)]) + body


NAME = b"\x0a\x06values"
FLOAT_1_2 = struct.pack("<2f", 1, 2)
UNPACKED = b"\x0d" + FLOAT_1_2[:4] + b"\x0d" + FLOAT_1_2[4:]
TENSORS = {
    "unpacked": b"\x12" + length(UNPACKED),
    "in two runs": b"\x12" + length(b"\x0a\x04" + FLOAT_1_2[:4] + b"\x0a\x04" + FLOAT_1_2[4:]),
    "long varint": b"\x12\x8b\x00\x0a\x88\x00" + FLOAT_1_2,
    "unknown fields": b"\x12" + length(b"\x0a\x08" + FLOAT_1_2 + b"\x20\x07" + b"\x2a\x01x"),
    "the last of a oneof": b"\x3a\x03\x0a\x01\x07\x12" + length(b"\x0a\x08" + FLOAT_1_2),
}


@pytest.mark.parametrize("name", TENSORS)
def test_any_valid_encoding_is_read_as_protobuf_reads_it(name):
    tensor = TENSORS[name]
    if name == "long varint":
        tensor = b"\x12\x8b\x00\x0a\x88\x00" + FLOAT_1_2
    value = b"\x12" + length(tensor)
    payload = b"\x0a" + length(NAME + value)
    plain = record([1, 2])

    records = recordio.decode(framed(plain) + frame(payload) + framed(plain))

    peer = Record.FromString(payload).features["values"].float32_tensor.values
    assert records.features.tolist() == [list(peer)] * 3 == [[1, 2]] * 3


def test_fields_may_come_in_any_order():
    features, label = parts(record([1, 2], 3))
    extra = b"\x1a\x02id" + b"\x22\x02{}" + b"\x52\x03new" + b"\x58\x01" + b"\x61" + bytes(8)
    swapped_entry = b"\x0a" + length(b"\x12\x0c\x12\x0a\x0a\x08" + FLOAT_1_2 + NAME)
    payloads = (features + label, label + features, extra + label + features, swapped_entry + label)

    records = recordio.decode(b"".join(map(frame, payloads)))

    assert_same(records, np.array([[1, 2]] * 4, np.float32), np.array([3] * 4, np.float32))


def test_many_layouts_are_read(rng):
    width, found, rows = 40, [], []
    for _ in range(600):
        keys = np.flatnonzero(rng.random(width) < rng.random())
        count = rng.integers(1, 5)
        found.append(record(keys + 1.0, [1] * 2, keys=keys, shape=[1] * count + [width]))
        rows.append(np.isin(np.arange(width), keys) * (np.arange(width) + 1.0))

    records = recordio.decode(framed(*found))

    assert records.features.toarray().tolist() == np.array(rows).tolist()


PLAIN = framed(record([1, 2], 3))


@pytest.mark.parametrize(
    ("payload", "offset", "problem"),
    [
        (b"\x00\x00\x00\x00", 0, "field number is 0"),
        (b"\x0a\x05ab", 0, "field 1 ends 3 bytes past its message"),
        (b"\x0b\x01", 0, "wire type of field 1 is 3"),
        (b"\x0a\x80", 1, "a varint has no end"),
        (b"\xff" * 12, 0, "a varint has no end"),
        (
            b"\x0a" + length(NAME + b"\x12\x05\x12\x03\x0a\x01x"),
            16,
            "1 bytes of values, not a multiple of 4",
        ),
        (
            b"\x0a" + length(NAME + b"\x12\x05\x3a\x03\x0a\x01\x80"),
            16,
            "packed varints have no end",
        ),
        (
            b"\x0a" + length(NAME + b"\x12\x0e\x3a\x0c\x0a\x0a" + b"\xff" * 10),
            16,
            "packed varints have no end",
        ),
    ],
)
def test_a_payload_that_is_no_record_is_refused_at_its_byte(payload, offset, problem):
    with pytest.raises(CorruptRecordError) as caught:
        recordio.decode(PLAIN + frame(payload), source="part.rec")

    at = len(PLAIN) + 8 + offset
    assert str(caught.value) == (
        f"part.rec: bad RecordIO at byte {at}: payload is not a Record: {problem}"
    )


@pytest.mark.parametrize("count", [1, 3])
def test_broken_varints_behind_a_good_record_of_their_layout_are_found(count):
    """The first has the layout of the others, whose packed numbers do not end where they must."""
    good = record([1] * 20, 1, keys=range(20), shape=[99], kind="int32").SerializeToString()
    keys_end = good.index(b"\x1a\x01")
    bad = good[: keys_end - 1] + b"\x93" + good[keys_end:]

    with pytest.raises(CorruptRecordError) as caught:
        recordio.decode(frame(good) * count + frame(bad) + frame(good), source="part.rec")

    at = count * len(frame(good)) + 8 + good.index(b"\x12\x14\x00") + 2
    assert str(caught.value) == (
        f"part.rec: bad RecordIO at byte {at}: payload is not a Record: packed varints have no end"
    )


@pytest.mark.parametrize("place", [1, 11, 13, 15])
@pytest.mark.parametrize("by", [-1, 1])
def test_lengths_must_agree_though_the_layout_is_that_of_a_good_record(place, by):
    good = record([1, 2], 3).SerializeToString()
    bad = bytearray(good)
    bad[place] += by

    with pytest.raises(CorruptRecordError) as caught:
        recordio.decode(frame(good) + frame(bytes(bad)) + frame(good), source="part.rec")

    assert len(frame(good)) <= caught.value.offset_bytes < 2 * len(frame(good))


def test_values_must_be_whole_though_the_layout_is_that_of_a_good_record():
    good = record([1, 2]).SerializeToString()
    bad = bytearray(good[:-1])
    for place in (1, 11, 13, 15):
        bad[place] -= 1

    with pytest.raises(CorruptRecordError) as caught:
        recordio.decode(frame(good) + frame(bytes(bad)), source="part.rec")

    assert str(caught.value) == (
        f"part.rec: bad RecordIO at byte {len(frame(good)) + 8 + 16}: "
        "payload is not a Record: 7 bytes of values, not a multiple of 4"
    )


def test_rows_that_differ_in_numbers_alone_are_read_at_once(rng, monkeypatch):
    """However many rows: one of them is parsed, and the others compared with it."""
    parsed = []
    parse = table_module.parse
    monkeypatch.setattr(uniform, "_KNOWN", {})
    for module in (table_module, uniform):
        monkeypatch.setattr(
            module, "parse", lambda *row, **more: parsed.append(row) or parse(*row, **more)
        )
    features = rng.normal(size=(500, 7)).astype(np.float32)

    records = recordio.decode(recordio.encode_dense(features, features[:, 0].copy()))

    assert np.array_equal(records.features, features)
    assert len(parsed) == 1
    parsed.clear()

    records = recordio.decode(recordio.encode_sparse(csr_array(features)))

    assert np.array_equal(records.features.toarray(), features)
    assert len(parsed) == 3  # twice to see that they are not dense


def with_bytes():
    message = Record()
    message.features["values"].bytes.value.append(b"x")
    return message


def with_names():
    message = record([1])
    message.features["source"].float32_tensor.values.append(1)
    return message


def with_label_name():
    message = record([1, 2])
    message.label["score"].float32_tensor.values.append(1)
    return message


def with_sparse_label():
    message = record([1, 2], 1)
    message.label["values"].float32_tensor.keys.append(0)
    return message


def with_empty_label():
    message = record([1, 2])
    message.label["values"].float32_tensor.SetInParent()
    return message


def with_empty_value():
    message = Record()
    message.features["values"].SetInParent()
    return message


NAMED = "\n  decode_named and read_named read any name"
ONE = f"record 1 (byte {len(PLAIN)})"
BYTE = f"the record at byte {len(PLAIN) + 8}"


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        (record([1, 2, 3], 1), f"{ONE} has 3 features, record 0 has 2"),
        (record([1, 2, 3], 1, kind="int32"), f"{ONE} has 3 features, record 0 has 2"),
        (record([1], 1, keys=[0], shape=[9]), f"{ONE} has 9 features, record 0 has 2"),
        (record([1, 2]), f"{ONE} has no label, record 0 has one"),
        (record([1, 2], [1, 2]), f"{ONE} has 2 labels, record 0 has 1"),
        (record([1], 1, keys=[0]), f"{ONE} is sparse and has no shape"),
        (
            record([1], 1, keys=[2], shape=[2]),
            f"{ONE} has the key 2, expected less than its shape, 2",
        ),
        (record([1, 2], 1, keys=[1], shape=[2]), f"{ONE} has 1 keys for 2 values"),
        (record([], 1, keys=[1], shape=[2]), f"{ONE} has 1 keys for 0 values"),
        (record([1, 2], 1, shape=[3]), f"{ONE} has 2 values for the shape [3]"),
        (record([], 1), f"{ONE} has features without values"),
        (with_sparse_label(), f"{ONE} has a sparse label, expected numbers"),
        (with_empty_label(), f"{ONE} has a label without values, expected numbers"),
        (Record(uid="a"), f"{ONE} has no features"),
        (with_bytes(), f"{BYTE} has bytes under 'values', not numbers"),
        (with_empty_value(), f"{BYTE} has no tensor under 'values', not numbers"),
        (with_names(), f"{ONE} has features by the name 'source', expected 'values'{NAMED}"),
        (with_label_name(), f"{ONE} has labels by the name 'score', expected 'values'{NAMED}"),
    ],
)
def test_records_that_are_no_rows_of_one_matrix_are_refused(message, problem):
    with pytest.raises(DataError) as caught:
        recordio.decode(PLAIN + framed(message), source="part.rec")

    assert str(caught.value) == f"part.rec: {problem}"


def test_a_label_that_comes_late_is_refused():
    with pytest.raises(DataError) as caught:
        recordio.decode(framed(record([1])) * 3 + framed(record([1], 1)), source="part.rec")

    at = 3 * len(framed(record([1])))
    assert str(caught.value) == f"part.rec: record 3 (byte {at}) has a label, record 0 has none"


@given(st.data())
def test_bytes_changed_at_random_never_crash_the_reader(data):
    """Whatever is in a payload: rows, or one of our errors."""
    whole = framed(
        record([1.0, 2.0], 3), record([1.0, 2.0], 3), record([4.0], 5, keys=[1], shape=[2])
    )
    changed = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(whole) - 1))
        changed[at] = data.draw(st.integers(0, 255))

    try:
        records = recordio.decode(changed)
    except (CorruptRecordError, DataError):
        return

    assert len(records) in {0, 1, 2, 3}


@pytest.mark.parametrize("block_bytes", [1, 5_000, 1 << 22])
def test_blocks_do_not_show(rng, monkeypatch, block_bytes):
    """Many rows are decoded a block at a time: same arrays, whatever the size of a block."""
    monkeypatch.setattr(records_module, "_BLOCK_BYTES", block_bytes)
    dense = rng.normal(size=(700, 3)).astype(np.float32)
    sparse = csr_array(np.where(rng.random((700, 40)) < 0.1, 1, 0).astype(np.float32))
    labels = rng.normal(size=700).astype(np.float32)

    from_dense = recordio.decode(recordio.encode_dense(dense, labels))
    from_sparse = recordio.decode(recordio.encode_sparse(sparse, labels))

    assert np.array_equal(from_dense.features, dense)
    assert (from_sparse.features != sparse).nnz == 0
    for records in (from_dense, from_sparse):
        assert np.array_equal(records.labels, labels)


def test_an_odd_row_among_many_is_refused_by_its_number(monkeypatch):
    monkeypatch.setattr(records_module, "_BLOCK_BYTES", 5_000)
    data = framed(record([1, 2])) * 500 + framed(record([1, 2, 3])) + framed(record([1, 2])) * 500

    with pytest.raises(DataError) as caught:
        recordio.decode(data, source="part.rec")

    at = 500 * len(framed(record([1, 2])))
    assert str(caught.value) == f"part.rec: record 500 (byte {at}) has 3 features, record 0 has 2"
