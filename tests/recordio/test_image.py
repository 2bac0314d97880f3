"""Image records: as MXNet lays them out, there and back, whole or refused."""

from __future__ import annotations

import io
import os
import struct
import threading
import tracemalloc
from itertools import cycle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from penstock.errors import CorruptRecordError, DataError, InputError
from penstock.recordio.blobs import Blobs
from penstock.recordio.image import (
    LabelLists,
    decode_images,
    encode_images,
    index_lines,
    read_images,
)

MAGIC = struct.pack("<I", 0xCED7230A)
FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)


def one(image, label=0.0, *, key=0, key2=0, labels=(), flag=None):
    """Return one frame, written field by field."""
    count = len(labels) if flag is None else flag
    payload = struct.pack("<IfQQ", count, label, key, key2)
    payload += struct.pack(f"<{len(labels)}f", *labels) + image
    head = MAGIC + struct.pack("<I", len(payload))
    return head + payload + bytes(-len(payload) % 4)


def plain(images):
    """Return images as lists, to compare."""
    labels = images.labels
    each = labels.tolist() if isinstance(labels, np.ndarray) else [row.tolist() for row in labels]
    return images.ids.tolist(), images.ids2.tolist(), each, images.payloads.tolist()


def lists(rows):
    """Return lists of numbers as LabelLists."""
    starts = np.cumsum([0, *map(len, rows)])
    return LabelLists(values=np.array([x for row in rows for x in row], np.float32), starts=starts)


@st.composite
def some(draw):
    """Draw images, labels of any form, ids and ids2."""
    images = draw(st.lists(st.binary(min_size=1, max_size=40), max_size=6))
    rows = len(images)
    shape = draw(st.sampled_from([(rows,), (rows, 1), (rows, 3), None]))
    if shape is None:
        row = st.lists(FLOATS, min_size=1, max_size=5)
        labels = lists(draw(st.lists(row, min_size=rows, max_size=rows)))
    else:
        labels = draw(hnp.arrays(np.float32, shape, elements=FLOATS))
    ids, ids2 = (draw(hnp.arrays(np.uint64, rows)) for _ in range(2))
    return images, labels, ids, ids2


@given(some())
def test_what_was_encoded_comes_back(drawn):
    images, labels, ids, ids2 = drawn

    content = encode_images(images, labels, ids=ids, ids2=ids2, allow_magic=True)
    found = decode_images(content, ragged=isinstance(labels, LabelLists))

    each = labels.tolist() if isinstance(labels, np.ndarray) else [row.tolist() for row in labels]
    if not images:
        each = []
    assert plain(found) == (ids.tolist(), ids2.tolist(), each, images)
    assert content == encode_images(
        found.payloads, found.labels, ids=found.ids, ids2=found.ids2, allow_magic=True
    )


@given(some())
def test_bytes_are_those_of_the_fields_in_order(drawn):
    images, labels, ids, ids2 = drawn

    content = encode_images(images, labels, ids=ids, ids2=ids2, allow_magic=True)

    rows = []
    for row, image in enumerate(images):
        fields = {"key": int(ids[row]), "key2": int(ids2[row])}
        if np.ndim(labels[row]):
            rows.append(one(image, labels=labels[row].tolist(), **fields))
        else:
            rows.append(one(image, float(labels[row]), **fields))
    assert bytes(content) == b"".join(rows)


def test_golden_bytes():
    content = encode_images([b"abcde", b"f"], np.array([1, 0.5], np.float32), first_id=7)

    assert bytes(content).hex(" ", 4) == (
        "0a23d7ce 1d000000 00000000 0000803f 07000000 00000000 00000000 00000000 61626364 65000000 "
        "0a23d7ce 19000000 00000000 0000003f 08000000 00000000 00000000 00000000 66000000"
    )


def test_ids_count_up_to_the_last():
    content = encode_images([b"a", b"b"], np.zeros(2, np.float32), first_id=2**64 - 2)

    assert decode_images(content).ids.tolist() == [2**64 - 2, 2**64 - 1]


class Trickle:
    """A stream that gives its bytes in pieces of the sizes it is told, again and again."""

    def __init__(self, content, sizes):
        self.stream, self.sizes = io.BytesIO(content), cycle(sizes)

    def read(self, size):
        return self.stream.read(min(size, next(self.sizes)))


def stream_of(rows):
    images = [bytes([row + 1]) * (row * 37 % 300 + 1) for row in range(rows)]
    labels = np.arange(rows * 2, dtype=np.float32).reshape(rows, 2)
    return bytes(encode_images(images, labels, first_id=1))


@given(
    st.integers(0, 25),
    st.integers(1, 12),
    st.lists(st.integers(1, 500), min_size=1, max_size=5),
)
def test_batches_do_not_depend_on_the_pieces(rows, batch_rows, sizes):
    content = stream_of(rows)

    batches = list(read_images(Trickle(content, sizes), batch_rows))

    whole = plain(decode_images(content))
    cuts = [slice(first, first + batch_rows) for first in range(0, rows, batch_rows)]
    assert [plain(batch) for batch in batches] == [
        tuple(part[cut] for part in whole) for cut in cuts
    ]
    offsets = [offset for batch in batches for offset in batch.offsets.tolist()]
    assert offsets == decode_images(content).offsets.tolist()


@given(st.data())
def test_a_cut_off_a_boundary_is_an_error_that_gives_the_byte(data):
    content = stream_of(8)
    ends = [*decode_images(content).offsets.tolist(), len(content)]
    cut = data.draw(st.integers(1, len(content) - 1).filter(lambda place: place not in ends))
    boundary = max(end for end in ends if end < cut)

    for attempt in (
        lambda: decode_images(content[:cut]),
        lambda: list(read_images(io.BytesIO(content[:cut]), 3)),
    ):
        with pytest.raises(CorruptRecordError) as caught:
            attempt()

        assert caught.value.offset_bytes == boundary
        assert caught.value.problem.startswith("cut off: ")


def test_a_fifo_is_read_in_bounded_memory(tmp_path):
    path = tmp_path / "train_0"
    os.mkfifo(path)
    block = bytes(encode_images([bytes(range(1, 200)) * 250] * 20, np.ones(20, np.float32)))

    def write():
        with path.open("wb") as fifo:
            for _ in range(60):
                fifo.write(block)

    writer = threading.Thread(target=write)
    writer.start()
    tracemalloc.start()
    sizes = [int(batch.payloads.lengths.sum()) for batch in read_images(path, 16)]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    writer.join()

    assert (len(sizes), sum(sizes)) == (75, 1_200 * 199 * 250)
    assert peak < 12_000_000


def test_a_batch_stays_when_the_next_is_read():
    images = [bytes([row]) * 300_000 for row in range(30)]
    content = bytes(encode_images(images, np.zeros(30, np.float32)))

    batches = list(read_images(io.BytesIO(content), 4))

    assert [image for batch in batches for image in batch.payloads] == images


def test_lists_of_labels_are_given_when_asked_for():
    content = one(b"a", labels=[1, 2, 3]) + one(b"b", labels=[4]) + one(b"c", 5)

    found = decode_images(content, ragged=True)

    assert [row.tolist() for row in found.labels] == [[1, 2, 3], [4], [5]]
    assert found.labels.lengths.tolist() == [3, 1, 1]
    assert found.labels[-1].tolist() == [5]
    batches = list(read_images(io.BytesIO(content), 1, ragged=True))
    assert [[row.tolist() for row in batch.labels] for batch in batches] == [
        [[1, 2, 3]],
        [[4]],
        [[5]],
    ]


@pytest.mark.parametrize(
    ("later", "has"),
    [
        (one(b"c", labels=[1]), "a list of 1 label, record 0 has a list of 2 labels"),
        (one(b"c", 3), "one label, in the header, record 0 has a list of 2 labels"),
    ],
)
def test_different_numbers_of_labels_are_refused_by_record(later, has):
    content = one(b"a", labels=[1, 2]) * 2 + later
    expected = f"record 2 (byte 88) has {has}\n  pass ragged=True to get the labels as lists"

    with pytest.raises(DataError) as caught:
        decode_images(content, source="x.rec")
    assert str(caught.value) == f"x.rec: {expected}"

    with pytest.raises(DataError) as caught:
        list(read_images(io.BytesIO(content), 2))
    assert str(caught.value) == f"stream: {expected}"


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        (
            MAGIC + struct.pack("<I", 20) + bytes(20),
            "the payload has 20 bytes, an image record begins with 24",
        ),
        (
            one(b"abcde", flag=2),
            "the flag says a list of 2 labels; 5 bytes are behind the header",
        ),
    ],
)
def test_what_is_no_image_record_is_refused_by_byte(bad, problem):
    with pytest.raises(CorruptRecordError) as caught:
        decode_images(one(b"abc", labels=[1]) + bad)

    assert str(caught.value) == f"buffer: bad RecordIO at byte 40: {problem}"


def test_parts_are_refused_or_read_as_dmlc_and_ml_io_mean_them():
    payload = struct.pack("<IfQQ", 0, 1.0, 5, 0) + b"abcd" + MAGIC + b"efg"
    head, tail = payload[:28], payload[32:]
    cut = MAGIC + struct.pack("<I", 1 << 29 | 28) + head + MAGIC + struct.pack("<I", 3 << 29 | 3)
    content = one(b"first") + cut + tail + b"\0" + one(b"last")

    with pytest.raises(CorruptRecordError) as caught:
        decode_images(content)
    assert caught.value.offset_bytes == 40
    assert decode_images(content, parts="dmlc").payloads[1] == payload[24:]
    assert decode_images(content, parts="join").payloads[1] == b"abcdefg"
    batches = list(read_images(io.BytesIO(content), 2, parts="dmlc"))
    assert [batch.payloads.tolist() for batch in batches] == [[b"first", payload[24:]], [b"last"]]


def test_a_payload_that_holds_the_magic_word_is_refused_unless_it_is_allowed():
    images = [b"harmless" + b"." * 3 + MAGIC, b"1234" + MAGIC]
    labels = np.zeros(2, np.float32)

    with pytest.raises(DataError) as caught:
        encode_images(images, labels, first_id=10)
    assert str(caught.value) == (
        "images: record 1 (id 11) holds the magic word 0xced7230a at byte 28 of its payload\n"
        "  dmlc's chunked reader may take it for the head of a frame: encode the image anew or "
        "leave it out,\n  or pass allow_magic=True if its reader goes from frame to frame"
    )

    content = encode_images(images, labels, allow_magic=True)
    assert decode_images(content).payloads.tolist() == images


def test_a_magic_word_in_an_id_counts_too():
    with pytest.raises(DataError, match=r"^images: record 0 .* at byte 8 of its payload"):
        encode_images([b"a"], np.zeros(1, np.float32), first_id=0xCED7230A)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ((b"abc", [1]), "images: type is bytes, expected a sequence of bytes"),
        (([b"a", "b"], [1, 2]), "images: image 1 has the type str, expected bytes"),
        (([b"a", b""], [1, 2]), "images: image 1 has no bytes, expected at least one"),
        (
            ([b"a"], [1, 2]),
            "labels: shape is (2,), expected (1,) or (1, k): one row per image (axis 0)",
        ),
        (
            ([b"a"], [[]]),
            "labels: shape is (1, 0), expected (1,) or (1, k): one row per image (axis 0)",
        ),
        (([b"a"], lists([[1], [2]])), "labels: 2 lists, expected 1: one per image"),
        (([b"a", b"b"], lists([[1], []])), "labels: row 1 has no label, expected at least one"),
    ],
)
def test_wrong_images_and_labels_are_refused(arguments, problem):
    images, labels = arguments
    labels = labels if isinstance(labels, LabelLists) else np.array(labels, np.float32)

    with pytest.raises(InputError) as caught:
        encode_images(images, labels)

    assert str(caught.value) == problem


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        ([1.0], "labels: type is list, expected a numpy array"),
        (np.zeros(1), "labels: dtype is float64, expected float32"),
        (
            LabelLists(values=np.zeros(3, np.float32), starts=np.array([0, 2])),
            "labels: starts go from 0 to 2, expected 0 to 3, the number of values",
        ),
    ],
)
def test_labels_of_another_type_are_refused(labels, problem):
    with pytest.raises(InputError) as caught:
        encode_images([b"a"], labels)

    assert str(caught.value) == problem


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"ids": [1]}, "ids: type is list, expected a numpy array"),
        ({"ids": np.zeros(1, np.int64)}, "ids: dtype is int64, expected uint64"),
        ({"ids2": np.zeros(2, np.uint64)}, "ids2: shape is (2,), expected (1,): one per image"),
        ({"first_id": -1}, "first_id is -1, expected 0 to 2**64 - 1, as there are 1 images"),
        (
            {"first_id": 1, "ids": np.zeros(1, np.uint64)},
            "first_id is 1 and ids are given, expected one of the two",
        ),
    ],
)
def test_wrong_ids_are_refused(options, problem):
    with pytest.raises(InputError) as caught:
        encode_images([b"a"], np.zeros(1, np.float32), **options)

    assert str(caught.value) == problem


@pytest.mark.parametrize(
    "labels",
    [
        np.array([1, np.nan], np.float32),
        np.array([[1, 2], [3, np.nan]], np.float32),
        lists([[1, 2, 3], [np.nan]]),
    ],
    ids=["one", "vector", "lists"],
)
def test_labels_that_are_not_finite_are_refused_by_row_unless_allowed(labels):
    remedy = "  impute it, or pass allow_nonfinite=True if the reader can take it"

    with pytest.raises(DataError) as caught:
        encode_images([b"a", b"b"], labels)
    assert str(caught.value) == f"labels: row 1 is nan, expected a finite number\n{remedy}"

    content = encode_images([b"a", b"b"], labels, allow_nonfinite=True)
    assert np.isnan(decode_images(content, ragged=True).labels[1]).any()


def test_an_image_too_long_for_a_frame_is_refused():
    image = np.zeros(2**29 - 24, np.uint8)  # never touched: the system gives no memory for it
    blobs = Blobs(data=image, starts=np.array([0]), lengths=np.array([image.size]))

    with pytest.raises(InputError) as caught:
        encode_images(blobs, np.zeros(1, np.float32))

    assert str(caught.value) == (
        "images: image 0 needs 536,870,912 bytes with its labels, a frame holds 536,870,911"
    )


def test_a_label_list_is_no_slice():
    with pytest.raises(InputError) as caught:
        lists([[1], [2]])[0:1]

    assert str(caught.value) == "labels: index is slice(0, 1, None), expected one row"


def test_an_index_has_key_and_place_of_each_frame():
    first = bytes(encode_images([b"abc", b"defgh"], np.zeros(2, np.float32), first_id=4))
    second = bytes(encode_images([b"i"], np.zeros(1, np.float32), first_id=6))

    whole = index_lines(decode_images(first + second))

    assert whole == b"4\t0\n5\t36\n6\t76\n"
    later = index_lines(decode_images(second), first_byte=len(first))
    assert index_lines(decode_images(first)) + later == whole


def test_batch_rows_and_parts_are_checked_at_once():
    with pytest.raises(InputError) as caught:
        read_images(io.BytesIO(), 0)
    assert str(caught.value) == "batch_rows is 0, expected at least 1"

    with pytest.raises(InputError) as caught:
        decode_images(b"", parts="some")  # type: ignore[arg-type]
    assert str(caught.value) == "parts is 'some', expected one of 'refuse', 'join', 'dmlc'"
