"""Frames are found, whatever they hold; what is wrong is named with its byte."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recordio.aialgs import frame, framed, record

from penstock import recordio
from penstock.errors import CorruptRecordError, InputError
from penstock.recordio.framing import MAGIC, find_frames, join_parts

WORD = struct.pack("<I", MAGIC)
# Payloads with the magic word in them, aligned or not, with and without a believable length.
TRICKY = st.lists(
    st.binary(max_size=9) | st.sampled_from([WORD, WORD + bytes(4), frame(b"abcd"), bytes(4)]),
    max_size=4,
).map(b"".join)


def frames_of(stream, *, base=0, whole=True):
    return find_frames(np.frombuffer(stream, np.uint8), source="part.rec", base=base, whole=whole)


def payloads(data, frames):
    raw = np.asarray(data).tobytes()
    starts, lengths = frames.starts.tolist(), frames.lengths.tolist()
    return [raw[start : start + size] for start, size in zip(starts, lengths, strict=True)]


@given(st.lists(TRICKY | st.sampled_from([b"same", b"size"])))
def test_frames_give_back_the_payloads_in_order(expected):
    stream = b"".join(map(frame, expected))

    frames = frames_of(stream)

    assert payloads(np.frombuffer(stream, np.uint8), frames) == expected
    assert (frames.stop, frames.error) == (len(stream), None)


@given(st.lists(TRICKY, min_size=1), st.data())
def test_a_cut_anywhere_but_at_a_boundary_is_an_error_at_the_last_one(expected, data):
    boundaries = [0, *np.cumsum([len(frame(payload)) for payload in expected]).tolist()]
    stream = b"".join(map(frame, expected))
    cut = data.draw(st.integers(0, len(stream)))
    last = max(boundary for boundary in boundaries if boundary <= cut)

    frames = frames_of(stream[:cut], base=100)

    assert frames.stop == last
    assert frames.starts.size == boundaries.index(last)
    if cut == last:
        assert frames.error is None
    else:
        assert frames.error is not None
        assert frames.error.offset_bytes == 100 + last
    assert frames_of(stream[:cut], whole=False).error is None


BEFORE = "; the frame before begins at byte 0 and has a payload of 4 bytes"


@pytest.mark.parametrize(
    ("stream", "offset", "problem"),
    [
        (bytes(8), 0, "magic is 0x00000000, expected 0xced7230a"),
        (frame(b"abcd") + bytes(8), 12, f"magic is 0x00000000, expected 0xced7230a{BEFORE}"),
        (frame(b"abcd") + b"abcd", 12, f"magic is 0x64636261, expected 0xced7230a{BEFORE}"),
        (frame(b"abcd") + WORD[:1], 12, "cut off: 1 byte left, a frame header has 8"),
        (frame(b"abcd") + WORD + b"\1", 12, "cut off: 5 bytes left, a frame header has 8"),
        (frame(b"abcd") * 3 + frame(b"a")[:-1], 36, "cut off: the frame has 12 bytes, 11 are left"),
        (
            WORD + b"\xff\xff\xff\x1f" + bytes(9),
            0,
            "cut off: the frame has 536870920 bytes, 17 are left",
        ),
        (frame(b"ab") + frame(b"a")[:-2] + b"\1\0", 21, "padding is 000100, expected zeros"),
        (frame(b"abc")[:-1] + b"x" + frame(b"abcd"), 11, "padding is 78, expected zeros"),
    ],
)
def test_wrong_streams_say_where_and_what(stream, offset, problem):
    with pytest.raises(CorruptRecordError) as caught:
        recordio.decode(stream, source="part.rec")

    assert str(caught.value) == f"part.rec: bad RecordIO at byte {offset}: {problem}"


def test_frames_before_the_error_are_kept():
    frames = frames_of(frame(b"ab") * 5 + frame(b"a")[:-1] + b"\1" + frame(b"abcd") * 2)

    assert (frames.starts.tolist(), frames.stop) == ([8, 20, 32, 44, 56], 60)


def split(payload):
    """Return a payload as dmlc writes it: cut at each magic word on a multiple of four bytes."""
    pieces, begin = [], 0
    for at in range(0, len(payload) - 3, 4):
        if payload[at : at + 4] == WORD and at >= begin:
            pieces.append(payload[begin:at])
            begin = at + 4
    pieces.append(payload[begin:])
    flags = [0] if len(pieces) == 1 else [1, *[2] * (len(pieces) - 2), 3]
    return b"".join(frame(piece, flag) for piece, flag in zip(pieces, flags, strict=True))


@given(st.lists(TRICKY))
def test_parts_that_dmlc_cut_are_joined_with_the_magic_word(expected):
    data = np.frombuffer(b"".join(map(split, expected)), np.uint8)
    frames = find_frames(data, source="part.rec")

    joined, whole = join_parts(data, frames, source="part.rec", parts="dmlc")

    assert payloads(joined, whole) == expected


@given(st.lists(st.lists(st.binary(max_size=9), min_size=1, max_size=4)))
def test_parts_are_joined_as_they_stand(records):
    stream = b""
    for pieces in records:
        flags = [0] if len(pieces) == 1 else [1, *[2] * (len(pieces) - 2), 3]
        stream += b"".join(frame(piece, flag) for piece, flag in zip(pieces, flags, strict=True))
    data = np.frombuffer(stream, np.uint8)
    frames = find_frames(data, source="part.rec")

    joined, whole = join_parts(data, frames, source="part.rec", parts="join")

    assert payloads(joined, whole) == [b"".join(pieces) for pieces in records]


WHOLE = record([1, 2], 3)
HALVES = WHOLE.SerializeToString()[:10], WHOLE.SerializeToString()[10:]
CUT = frame(HALVES[0], 1) + frame(HALVES[1], 3)


def test_parts_of_a_record_are_a_row():
    stream = framed(WHOLE) + CUT + framed(WHOLE)

    records = recordio.decode(stream, parts="join")

    assert records.features.tolist() == [[1, 2]] * 3


@pytest.mark.parametrize(
    ("stream", "parts", "offset", "problem"),
    [
        (
            framed(WHOLE) + CUT,
            "refuse",
            len(framed(WHOLE)),
            "part flag is 1, expected 0: the record is cut into parts\n"
            "  pass parts='join' if ml-io wrote it, parts='dmlc' if dmlc or MXNet did",
        ),
        (frame(b"a", 3), "join", 0, "part flag is 3, expected 0 or 1, as no record is begun"),
        (frame(b"a", 2), "join", 0, "part flag is 2, expected 0 or 1, as no record is begun"),
        (
            frame(b"a", 1) + frame(b"a"),
            "join",
            12,
            "part flag is 0, expected 2 or 3, as a record is begun",
        ),
        (
            frame(b"a", 1) + frame(b"a", 2) + frame(b"a", 1),
            "dmlc",
            24,
            "part flag is 1, expected 2 or 3, as a record is begun",
        ),
        (frame(b"a", 5), "join", 0, "part flag is 5, expected 0 or 1, as no record is begun"),
        (
            CUT + frame(b"abcd", 1) + frame(b"abcd", 2),
            "join",
            len(CUT),
            "cut off: the last part of this record is missing",
        ),
    ],
)
def test_wrong_parts_say_where_and_what(stream, parts, offset, problem):
    with pytest.raises(CorruptRecordError) as caught:
        recordio.decode(stream, source="part.rec", parts=parts)

    assert str(caught.value) == f"part.rec: bad RecordIO at byte {offset}: {problem}"


def test_an_unknown_word_for_parts_is_refused():
    with pytest.raises(InputError) as caught:
        recordio.decode(b"", parts="keep")  # type: ignore[arg-type]

    assert str(caught.value) == "parts is 'keep', expected one of 'refuse', 'join', 'dmlc'"
