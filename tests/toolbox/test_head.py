"""head: rows as a table that fits, or as JSON Lines."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from recordio.aialgs import Record, frame, framed, record
from scipy.sparse import csr_array

from penstock.recordio.image import encode_images


def test_dense_and_sparse_rows_with_and_without_labels(said, rows):
    rows("d.rec", [[1, 2.5], [-3, 1e10]], [0, 1])
    rows("s.rec", csr_array(np.array([[0, 2, 0, 0.1], [0, 0, 0, 0]], np.float32)))

    assert said("head", "d.rec") == (
        0,
        "row  byte  label  layout  values\n"
        "  0     0      0  dense   1 2.5\n"
        "  1    52      1  dense   -3 1e+10\n",
    )
    assert said("head", "s.rec") == (
        0,
        "row  byte  label  layout  values\n"
        "  0     0      -  sparse  1:2 3:0.1 of 4\n"
        "  1    40      -  sparse  0:0 of 4\n",
    )


@pytest.mark.parametrize("width", [60, 80, 200])
def test_a_wide_row_is_cut_where_the_terminal_ends(said, rows, monkeypatch, width):
    rows("w.rec", np.arange(2_000).reshape(2, 1_000))
    monkeypatch.setenv("COLUMNS", str(width))

    lines = said("head", "w.rec")[1].splitlines()

    assert all(width - 12 < len(line) <= width for line in lines[1:])
    assert all(line.endswith(" … 1,000 values") for line in lines[1:])


def test_no_colours_in_a_pipe(rows):
    path = rows("d.rec", [[1]])

    ended = subprocess.run(
        [sys.executable, "-m", "penstock", "recordio", "head", path],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "COLUMNS": "80"},
    )

    assert ended.stdout == "row  byte  label  layout  values\n  0     0      -  dense   1\n"
    assert ended.stderr == ""


def test_named_features_and_texts_are_shown_by_name(said, here):
    message = Record(uid="u-1", metadata='{"a": 1}')
    message.features["source"].int32_tensor.values.extend([1, 255, 8562])
    message.features["target"].int32_tensor.values.extend([4])
    (here / "n.rec").write_bytes(framed(message))

    assert said("head", "n.rec") == (
        0,
        "row  byte  label  layout  uid  metadata  values\n"
        '  0     0      -  dense   u-1  {"a": 1}  source: 1 255 8562\n'
        "                                         target: 4\n",
    )


def test_image_records(said, here):
    jpeg, png = b"\xff\xd8\xff\xe0" + bytes(6), b"\x89PNG\r\n\x1a\n" + bytes(1000)
    labels = np.array([[1, 2], [3, 4.5]], np.float32)
    (here / "i.rec").write_bytes(encode_images([jpeg, png], labels, first_id=7))

    assert said("head", "i.rec") == (
        0,
        "row  byte  id  labels  image\n"
        "  0     0   7  1 2     JPEG, 10 bytes\n"
        "  1    52   8  3 4.5   PNG, 1,008 bytes\n",
    )
    line = json.loads(said("head", "i.rec", "--json")[1].splitlines()[1])
    assert line == {
        "file": "i.rec", "row": 1, "byte": 52, "id": 8, "labels": [3.0, 4.5],
        "bytes": 1008, "kind": "PNG",
    }  # fmt: skip


def test_json_has_all_values_with_their_shortest_digits(said, here):
    first = record([0.1, float("nan")], 1)
    second = record([2.0], [1, 2], keys=[3], shape=[9], kind="float64")
    (here / "j.rec").write_bytes(framed(first, second))

    lines = [json.loads(line) for line in said("head", "j.rec", "--json")[1].splitlines()]

    assert [line["byte"] for line in lines] == [0, 52]
    assert [line["features"]["values"] for line in lines] == [
        {"layout": "dense", "dtype": "float32", "width": 2, "values": [0.1, "nan"]},
        {"layout": "sparse", "dtype": "float64", "width": 9, "keys": [3], "values": [2.0]},
    ]
    assert [line["labels"]["values"]["values"] for line in lines] == [[1.0], [1.0, 2.0]]


def test_rows_of_several_files_stand_below_each_other(said, rows):
    rows("t/part-1.rec", [[3]])
    rows("t/part-0.rec", [[1], [2]])

    assert said("head", "t", "-n", "3") == (
        0,
        "file        row  byte  label  layout  values\n"
        "part-0.rec    0     0      -  dense   1\n"
        "part-0.rec    1    28      -  dense   2\n"
        "part-1.rec    0     0      -  dense   3\n",
    )


def test_rows_before_a_bad_byte_are_shown_when_they_are_enough(said, rows):
    path = rows("b.rec", [[1], [2], [3]])
    path.write_bytes(path.read_bytes()[:70])

    assert said("head", "b.rec", "-n", "2")[0] == 0
    assert said("head", "b.rec", "-n", "3") == (
        3,
        "error: b.rec: bad RecordIO at byte 56: cut off: the frame has 28 bytes, 14 are left\n",
    )


def test_parts_are_joined_when_asked(said, here):
    whole = record([1, 2], 1).SerializeToString(deterministic=True)
    cut = frame(whole[:8], flag=1) + frame(whole[8:], flag=3)
    (here / "p.rec").write_bytes(cut + framed(record([3, 4], 0)))

    assert said("head", "p.rec") == (
        3,
        "error: p.rec: bad RecordIO at byte 0: part flag is 1, expected 0: the record is cut into parts\n"
        "  say --parts join if ml-io wrote it, --parts dmlc if dmlc or MXNet did\n",
    )
    assert said("head", "p.rec", "--parts", "join")[1].splitlines()[1:] == [
        "  0     0      1  dense   1 2",
        f"  1  {len(cut):>4}      0  dense   3 4",
    ]


def test_no_rows_and_wrong_flags(said, here):
    (here / "e.rec").write_bytes(b"")

    assert said("head", "e.rec") == (0, "e.rec: no rows\n")
    assert said("head", "e.rec", "-n", "0") == (2, "error: --rows is 0, expected at least 1\n")
    assert said("head", "e.rec", "--kind", "x") == (
        2,
        "error: --kind is 'x', expected 'auto', 'records' or 'images'\n",
    )
    assert said("head", "e.rec", "--parts", "x") == (
        2,
        "error: parts is 'x', expected one of 'refuse', 'join', 'dmlc'\n",
    )


def test_standard_input_is_a_source(said, rows):
    path = rows("d.rec", [[1]], [2])

    assert said("head", "-", text=path.read_bytes())[1].splitlines()[1].split() == [
        "0", "0", "2", "dense", "1",
    ]  # fmt: skip
