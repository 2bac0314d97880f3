"""chunks: whole records of a stream, whatever the size of the pieces."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recordio.aialgs import frame

from penstock.toolbox.chunks import chunks
from penstock.toolbox.sources import Stream

PAYLOADS = st.lists(st.binary(max_size=40), max_size=12)


def stream(content):
    return Stream(io.BytesIO(content), "s", lambda _: None)


def payloads(chunk):
    frames = chunk.records
    return [
        chunk.data[start : start + length].tobytes()
        for start, length in zip(frames.starts.tolist(), frames.lengths.tolist(), strict=True)
    ]


@given(PAYLOADS, st.integers(1, 200))
def test_payloads_do_not_depend_on_the_pieces(contents, piece):
    found = list(chunks(stream(b"".join(map(frame, contents))), parts="refuse", piece_bytes=piece))

    assert [payload for chunk in found for payload in payloads(chunk)] == contents
    starts = [chunk.first_row for chunk in found]
    assert starts == [sum(len(payloads(c)) for c in found[:i]) for i in range(len(found))]
    assert all(chunk.error is None for chunk in found)


@given(
    st.lists(st.lists(st.binary(max_size=9), min_size=1, max_size=4), max_size=8),
    st.integers(1, 99),
)
def test_parts_of_a_record_stay_together(records, piece):
    written = b""
    for parts in records:
        flags = [0] if len(parts) == 1 else [1, *[2] * (len(parts) - 2), 3]
        written += b"".join(frame(part, flag) for part, flag in zip(parts, flags, strict=True))

    found = list(chunks(stream(written), parts="join", piece_bytes=piece))

    assert [payload for chunk in found for payload in payloads(chunk)] == list(
        map(b"".join, records)
    )


@given(PAYLOADS.filter(len), st.integers(1, 99), st.data())
def test_a_cut_is_the_error_of_the_last_chunk(contents, piece, data):
    frames = list(map(frame, contents))
    whole = b"".join(frames)
    ends = np.cumsum([0, *map(len, frames)]).tolist()
    cut = data.draw(st.integers(1, len(whole) - 1).filter(lambda at: at not in ends))

    found = list(chunks(stream(whole[:cut]), parts="refuse", piece_bytes=piece))

    boundary = max(end for end in ends if end < cut)
    assert [payload for c in found for payload in payloads(c)] == contents[: ends.index(boundary)]
    assert [chunk.error is not None for chunk in found] == [*[False] * (len(found) - 1), True]
    assert found[-1].error.offset_bytes == boundary


@pytest.mark.parametrize("piece", [1, 1_000])
def test_records_before_a_part_that_is_missing_are_given(piece):
    written = frame(b"a") + frame(b"bbbb", 1) + frame(b"cc", 3) + frame(b"dddd", 1) + frame(b"e")

    found = list(chunks(stream(written), parts="join", piece_bytes=piece))

    assert [payload for chunk in found for payload in payloads(chunk)] == [b"a", b"bbbbcc"]
    assert str(found[-1].error) == (
        "s: bad RecordIO at byte 48: part flag is 0, expected 2 or 3, as a record is begun"
    )
