"""read: batches of a stream, whoever hands it out and in whatever pieces."""

from __future__ import annotations

import io
import os
import threading
import tracemalloc
from itertools import cycle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recordio.aialgs import frame, framed, record
from scipy.sparse import csr_array, random_array

from penstock import recordio
from penstock.errors import CorruptRecordError, DataError, InputError, MissingFileError


class Trickle:
    """A stream that gives its bytes in pieces of the sizes it is told, again and again."""

    def __init__(self, content, sizes):
        self.stream, self.sizes = io.BytesIO(content), cycle(sizes)

    def read(self, size):
        return self.stream.read(min(size, next(self.sizes)))


def plain(records):
    """Return a batch as lists, to compare."""
    features = records.features
    rows = features.tolist() if isinstance(features, np.ndarray) else features.toarray().tolist()
    return records.layout, rows, None if records.labels is None else records.labels.tolist()


def some_rows(rows, *, sparse=False, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, rows).astype(np.float32)
    if sparse:
        features = random_array((rows, 300), density=0.02, format="csr", dtype=np.float32, rng=rng)
        return bytes(recordio.encode_sparse(features, labels))
    return bytes(recordio.encode_dense(rng.normal(size=(rows, 5)).astype(np.float32), labels))


@given(
    st.integers(0, 25),
    st.booleans(),
    st.integers(1, 12),
    st.lists(st.integers(1, 500), min_size=1, max_size=5),
)
def test_batches_do_not_depend_on_the_pieces(rows, sparse, batch_rows, sizes):
    content = some_rows(rows, sparse=sparse)

    batches = list(recordio.read(Trickle(content, sizes), batch_rows))

    whole = plain(recordio.decode(content))
    cuts = [slice(first, first + batch_rows) for first in range(0, rows, batch_rows)]
    assert [plain(batch) for batch in batches] == [
        (whole[0], whole[1][cut], whole[2][cut]) for cut in cuts
    ]


@given(st.booleans(), st.integers(1, 7), st.integers(1, 300), st.data())
def test_a_stream_cut_off_a_boundary_is_an_error_after_the_batches_before(
    sparse, batch_rows, size, data
):
    content = some_rows(8, sparse=sparse)
    ends, at = [0], 0
    while at < len(content):
        length = int.from_bytes(content[at + 4 : at + 8], "little")
        ends.append(at := at + 8 + length + -length % 4)
    cut = data.draw(st.integers(1, len(content) - 1).filter(lambda place: place not in ends))
    boundary = max(end for end in ends if end < cut)
    batches = []

    with pytest.raises(CorruptRecordError) as caught:
        batches.extend(recordio.read(Trickle(content[:cut], [size]), batch_rows))

    assert (caught.value.source, caught.value.offset_bytes) == ("stream", boundary)
    assert caught.value.problem.startswith("cut off: ")
    batches = []
    try:
        for batch in recordio.read(Trickle(content[:cut], [size]), batch_rows):
            batches.append(len(batch))
    except CorruptRecordError:
        assert batches == [batch_rows] * (ends.index(boundary) // batch_rows)


def test_paths_uris_and_streams_are_read(tmp_path):
    path = tmp_path / "part.rec"
    path.write_bytes(some_rows(10))

    sources = [path, str(path), f"file://{path}", path.open("rb"), io.BytesIO(path.read_bytes())]
    found = [[plain(batch) for batch in recordio.read(source, 4)] for source in sources]
    sources[3].close()

    assert [len(rows) for _, rows, _ in found[0]] == [4, 4, 2]
    assert found == [found[0]] * 5


def test_a_stream_is_read_from_where_it_stands_and_left_open():
    content = some_rows(3)
    stream = io.BytesIO(b"????" + content)
    stream.seek(4)

    (batch,) = recordio.read(stream)

    assert plain(batch) == plain(recordio.decode(content))
    assert not stream.closed


def test_no_bytes_are_no_batches():
    assert list(recordio.read(io.BytesIO(b""))) == []


@pytest.mark.parametrize("sparse", [False, True])
def test_a_fifo_is_read_while_it_is_written(tmp_path, sparse):
    fifo, content = tmp_path / "train_0", some_rows(40_000, sparse=sparse)
    os.mkfifo(fifo)

    def write():
        with fifo.open("wb", buffering=0) as stream:
            for first in range(0, len(content), 70_001):
                stream.write(content[first : first + 70_001])

    writer = threading.Thread(target=write)
    writer.start()
    batches = list(recordio.read(fifo, 1_000))
    writer.join(timeout=30)

    assert [len(batch) for batch in batches] == [1_000] * 40
    whole = plain(recordio.decode(content))
    assert [row for batch in batches for row in plain(batch)[1]] == whole[1]


def test_a_reader_of_a_fifo_may_stop_early(tmp_path):
    fifo, content = tmp_path / "train_0", some_rows(40_000)
    os.mkfifo(fifo)
    ended = []

    def write():
        try:
            with fifo.open("wb", buffering=0) as stream:
                while True:
                    stream.write(content)
        except BrokenPipeError:
            ended.append("reader left")

    writer = threading.Thread(target=write)
    writer.start()
    batches = recordio.read(fifo, 10)
    first = next(batches)
    batches.close()  # type: ignore[attr-defined]
    writer.join(timeout=30)

    assert (len(first), ended) == (10, ["reader left"])


def test_a_fifo_that_is_cut_is_an_error(tmp_path):
    fifo, content = tmp_path / "train_0", some_rows(100)
    os.mkfifo(fifo)
    writer = threading.Thread(target=lambda: fifo.write_bytes(content[:-1]))
    writer.start()

    with pytest.raises(CorruptRecordError) as caught:
        list(recordio.read(fifo))
    writer.join(timeout=30)

    size = len(content) // 100
    assert str(caught.value) == (
        f"{fifo}: bad RecordIO at byte {99 * size}: "
        f"cut off: the frame has {size} bytes, {size - 1} are left"
    )


class Repeat:
    """A stream of the same bytes, many times over; holds them once."""

    def __init__(self, content, times):
        self.content, self.times = content, times

    def read(self, size):
        assert size >= len(self.content)
        self.times -= 1
        return self.content if self.times >= 0 else b""


@pytest.mark.parametrize("sparse", [False, True])
def test_memory_is_bounded_by_the_batch(sparse):
    content = some_rows(2_000, sparse=sparse)
    times = 50_000_000 // len(content)

    tracemalloc.start()
    rows = sum(len(batch) for batch in recordio.read(Repeat(content, times), 1_000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert rows == 2_000 * times
    assert peak < 8_000_000


def test_a_record_larger_than_a_read_comes_whole(rng):
    features = rng.normal(size=(3, 700_000)).astype(np.float32)

    batches = list(recordio.read(io.BytesIO(recordio.encode_dense(features)), 2))

    assert [len(batch) for batch in batches] == [2, 1]
    assert np.array_equal(np.concatenate([batch.features for batch in batches]), features)


def test_records_in_parts_may_straddle_reads_and_batches():
    raw = record([1, 2], 3).SerializeToString()
    content = (frame(raw[:9], 1) + frame(raw[9:12], 2) + frame(raw[12:], 3) + frame(raw)) * 5

    batches = list(recordio.read(Trickle(content, [7, 31]), 3, parts="join"))

    assert [plain(batch)[1] for batch in batches] == [[[1, 2]] * 3] * 3 + [[[1, 2]]]


def test_a_record_whose_last_part_is_missing_is_an_error():
    raw = record([1, 2], 3).SerializeToString()
    content = frame(raw) + frame(raw[:8], 1)

    with pytest.raises(CorruptRecordError) as caught:
        list(recordio.read(io.BytesIO(content), 1, parts="join"))

    assert str(caught.value) == (
        f"stream: bad RecordIO at byte {len(frame(raw))}: "
        "cut off: the last part of this record is missing"
    )


def test_batches_stay_sparse_once_one_is():
    dense, sparse = record([1, 2]), record([3], keys=[1], shape=[2])

    batches = list(recordio.read(io.BytesIO(framed(dense, sparse, dense, dense)), 1))

    assert [batch.layout for batch in batches] == ["dense", "sparse", "sparse", "sparse"]
    assert isinstance(batches[2].features, csr_array)
    assert batches[2].features.toarray().tolist() == [[1, 2]]


@pytest.mark.parametrize(
    ("later", "problem"),
    [
        (record([1], 3), "record 2 has 1 features, the 2 before it have 2"),
        (record([1, 2]), "record 2 has no label, the 2 before it have a label"),
        (record([1, 2], [3, 4]), "record 2 has 2 labels, the 2 before it have a label"),
        (record([1, 2], 3), None),
    ],
)
def test_rows_stay_alike_from_batch_to_batch(later, problem):
    content = framed(record([1, 2], 3), record([1, 2], 3), later)

    if problem is None:
        assert [len(batch) for batch in recordio.read(io.BytesIO(content), 2)] == [2, 1]
        return
    with pytest.raises(DataError) as caught:
        list(recordio.read(io.BytesIO(content), 2))
    assert str(caught.value) == f"stream: {problem}"


def test_errors_count_records_and_bytes_from_the_start_of_the_stream():
    good = framed(record([1, 2]))
    content = good * 5 + framed(record([1], keys=[7], shape=[2])) + good

    with pytest.raises(DataError) as caught:
        list(recordio.read(Trickle(content, [11]), 2))

    assert str(caught.value) == (
        f"stream: record 5 (byte {5 * len(good)}) has the key 7, expected less than its shape, 2"
    )


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(MissingFileError) as caught:
        next(recordio.read(tmp_path / "none.rec"))

    assert str(caught.value) == (
        f"read: nothing found at '{tmp_path}/none.rec'\n  check the path, or run the stage before"
    )


def test_wrong_arguments_are_refused_at_once():
    with pytest.raises(InputError) as caught:
        recordio.read(io.BytesIO(), 0)
    assert str(caught.value) == "batch_rows is 0, expected at least 1"

    with pytest.raises(InputError) as caught:
        recordio.read(io.BytesIO(), parts="some")  # type: ignore[arg-type]
    assert str(caught.value) == "parts is 'some', expected one of 'refuse', 'join', 'dmlc'"


def test_a_stream_that_does_not_block_is_refused():
    reader, writer = os.pipe()
    os.set_blocking(reader, False)

    with (
        os.fdopen(writer, "wb"),
        os.fdopen(reader, "rb", buffering=0) as stream,
        pytest.raises(InputError) as caught,
    ):
        next(recordio.read(stream))

    assert (
        str(caught.value) == "stream: the stream does not block, expected one that waits for data"
    )
