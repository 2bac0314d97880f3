"""Paths, payloads and processing of batch transform, without a server."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock import recordio
from penstock.errors import DataError, InputError
from penstock.local.transform.jsonpath import JsonPath
from penstock.local.transform.payloads import payloads
from penstock.local.transform.processing import Processing


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("$", [1], [1]),
        ("$.a", {"a": 1}, 1),
        ("$.a.b", {"a": {"b": 2}}, 2),
        ("$['a']", {"a": 1}, 1),
        ("$['a','b']", {"b": 2, "a": 1, "c": 3}, {"a": 1, "b": 2}),
        ('$["a b"].c', {"a b": {"c": 1}}, 1),
        ("$[0]", [5, 6, 7], 5),
        ("$[-1]", [5, 6, 7], 7),
        ("$[0,2]", [5, 6, 7], [5, 7]),
        ("$[1:]", [5, 6, 7], [6, 7]),
        ("$[:-1]", [5, 6, 7], [5, 6]),
        ("$[1:3]", [5, 6, 7, 8], [6, 7]),
        ("$[0,2:]", [5, 6, 7, 8], [5, 7, 8]),
        ("$.*", {"a": 1, "b": 2}, [1, 2]),
        ("$[*].a", [{"a": 1}, {"a": 2}], [1, 2]),
        ("$.a[0].b", {"a": [{"b": 3}]}, 3),
    ],
)
def test_a_path_leads_to_its_values(path, value, expected):
    assert JsonPath.of(path).found(value) == expected


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("a", "it must begin with '$'"),
        ("$..a", "'..a' is no step"),
        ("$[?(@.a)]", "'?(@.a)' is neither a name, an item nor a slice"),
        ("$[", "'[' is no step"),
        ("$['a','b'].c", "several names must be the last step"),
        ("$[1:2:3]", "'1:2:3' is neither a name, an item nor a slice"),
    ],
)
def test_other_paths_are_refused(path, problem):
    with pytest.raises(InputError) as caught:
        JsonPath.of(path)

    assert str(caught.value) == (
        f"JSONPath {path!r}: {problem}\n"
        "  expected as '$', '$.name', \"$['a','b']\", '$[0,2]' or '$[1:]'"
    )


@pytest.mark.parametrize(
    ("path", "value"),
    [("$.a", {}), ("$[3]", [1]), ("$.a", [1]), ("$[0]", {"a": 1}), ("$[0,9]", [1])],
)
def test_a_path_that_leads_nowhere_is_an_error(path, value):
    with pytest.raises(DataError) as caught:
        JsonPath.of(path).found(value)

    assert str(caught.value) == f"JSONPath {path!r} leads nowhere in {value!r}"


LINES = st.lists(
    st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), min_size=1, max_size=9)
)


@given(LINES.filter(lambda lines: all(map(str.strip, lines))), st.integers(40, 60), st.booleans())
def test_lines_are_cut_where_they_end_and_none_is_lost(lines, most, single):
    body = "".join(f"{line}\n" for line in lines).encode()

    found = list(payloads(io.BytesIO(body), "Line", single=single, most_bytes=most, source="x"))

    assert all(0 < len(each) <= most for each in found)
    if single:
        assert found == [line.encode() for line in lines]
    else:
        assert b"".join(found) == body
        assert all(each.endswith(b"\n") for each in found)


@pytest.mark.parametrize("last", [b"", b"\n"])
def test_a_payload_takes_as_many_lines_as_fit(last):
    stream = io.BytesIO(b"aaa\nbbb\nccc" + last)

    found = list(payloads(stream, "Line", single=False, most_bytes=8, source="x"))

    assert found == [b"aaa\nbbb\n", b"ccc" + last]


def test_frames_are_cut_where_they_end():
    features = np.arange(12, dtype=np.float32).reshape(4, 3)
    body = bytes(recordio.encode_dense(features))
    frame = len(body) // 4

    several = list(
        payloads(io.BytesIO(body), "RecordIO", single=False, most_bytes=2 * frame + 1, source="x")
    )
    alone = list(payloads(io.BytesIO(body), "RecordIO", single=True, most_bytes=frame, source="x"))

    assert several == [body[: 2 * frame], body[2 * frame :]]
    # Without header and padding.
    size = int.from_bytes(body[4:8], "little")
    assert alone == [body[at * frame + 8 :][:size] for at in range(4)]


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ("Line", "s3://b/k: a record is larger than 9.53674e-06 MB, which MaxPayloadInMB allows\n"
         "  set a larger MaxPayloadInMB"),
        ("None", "s3://b/k: the object is larger than 9.53674e-06 MB, which MaxPayloadInMB allows\n"
         "  set SplitType, or a larger MaxPayloadInMB"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(split, message):
    with pytest.raises(DataError) as caught:
        list(payloads(io.BytesIO(b"x" * 20), split, single=False, most_bytes=10, source="s3://b/k"))

    assert str(caught.value) == message


def test_an_empty_object_has_no_payload():
    for split in ("None", "Line", "RecordIO"):
        assert not list(payloads(io.BytesIO(b""), split, single=False, most_bytes=9, source="x"))


def processing(kind, before="$", after="$", *, join=False):
    return Processing(kind=kind, before=JsonPath.of(before), after=JsonPath.of(after), join=join)


def test_cells_of_a_csv_are_sent_joined_and_kept():
    found = processing("csv", "$[1:]", "$[0,-1]", join=True)
    payload = b'id1,"a, b",2\r\nid2,c,3\n'

    assert found.sent(payload) == b'"a, b",2\nc,3\n'
    assert found.kept(payload, b"0.5\n0.25\n") == b"id1,0.5\nid2,0.25\n"


def test_a_joined_row_keeps_its_text():
    found = processing("csv", "$[1]", join=True)

    assert found.sent(b'"x",01.50\n') == b"01.50\n"
    assert found.kept(b'"x",01.50\n', b"7,8") == b'"x",01.50,7,8\n'


def test_lines_of_json_are_sent_joined_and_kept():
    found = processing("lines", "$.features", "$['id','SageMakerOutput']", join=True)
    payload = b'{"id":1,"features":[1,2]}\n{"id":2,"features":[3,4]}\n'

    assert found.sent(payload) == b"[1,2]\n[3,4]\n"
    kept = found.kept(payload, b'{"score":0.5}\n{"score":0.25}')
    assert [json.loads(line) for line in kept.splitlines()] == [
        {"id": 1, "SageMakerOutput": {"score": 0.5}},
        {"id": 2, "SageMakerOutput": {"score": 0.25}},
    ]


def test_what_is_no_object_stands_beside_its_answer():
    found = processing("document", join=True)

    assert found.kept(b"[1]", b'{"a": 2}') == b'{"SageMakerInput":[1],"SageMakerOutput":{"a":2}}'


@pytest.mark.parametrize(
    ("path", "answer", "message"),
    [
        ("$", b"1\n", "Fail to join data: mismatched line count between the input and the output: "
         "2 and 1"),
        ("$[5]", b"1\n2\n", "JSONPath '$[5]': the row has 3 cells only"),
        ("$.a", b"1\n2\n", "JSONPath '$.a': a row of a CSV is a list, expected as '$[1:]'"),
        ("$[0]", b"1\n2,3\n", "rows have 3 to 4 cells, expected as many each"),
        ("$[3:]", b"1\n2\n", "JSONPath '$[3:]' leaves no cell of a row"),
    ],
)  # fmt: skip
def test_answers_that_do_not_fit_are_refused(path, answer, message):
    with pytest.raises(DataError) as caught:
        processing("csv", after=path, join=True).kept(b"a,b\nc,d\n", answer)

    assert str(caught.value) == message
