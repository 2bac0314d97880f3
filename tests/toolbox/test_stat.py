"""stat: counts of one pass, compared with numpy's on the same rows."""

from __future__ import annotations

import json

import numpy as np
import pytest
from recordio.aialgs import Record, frame, framed, record
from scipy.sparse import random_array

from penstock.recordio.framing import MAGIC
from penstock.recordio.image import encode_images


def summary(said, *arguments):
    code, printed = said("stat", *arguments, "--json")
    assert code == 0, printed
    return json.loads(printed)


def test_dense_numbers_are_those_of_numpy(said, rows, rng):
    features = rng.normal(size=(3_000, 7)).astype(np.float32)
    features[rng.random(features.shape) < 0.2] = 0
    labels = rng.integers(0, 3, 3_000).astype(np.float32)
    path = rows("d.rec", features, labels)

    found = summary(said, "d.rec", "--columns")

    assert (found["rows"], found["frames"], found["bytes"]) == (3_000, 3_000, path.stat().st_size)
    values = found["features"]["values"]
    assert (values["dense"], values["sparse"], values["dtypes"]) == (3_000, 0, {"float32": 3_000})
    assert values["width"] == {"min": 7, "max": 7}
    assert values["zero_share"] == pytest.approx((features == 0).mean())
    assert values["values"]["mean"] == pytest.approx(features.mean(dtype=np.float64))
    assert (values["values"]["min"], values["values"]["max"]) == (features.min(), features.max())
    many = np.unique(labels, return_counts=True)[1].tolist()
    assert found["labels"]["values"]["counts"] == dict(zip("012", many, strict=True))
    for column, line in enumerate(found["columns"]):
        one = features[:, column]
        assert (line["min"], line["max"]) == (one.min(), one.max())
        assert line["mean"] == pytest.approx(one.mean(dtype=np.float64))


def test_sparse_numbers_count_what_is_left_out_as_zero(said, rows, rng):
    matrix = random_array((500, 90), density=0.1, format="csr", dtype=np.float32, rng=rng)
    rows("s.rec", matrix)

    found = summary(said, "s.rec", "--columns")

    dense = matrix.toarray()
    values = found["features"]["values"]
    counts = np.maximum(np.diff(matrix.indptr), 1)
    assert values["entries_per_sparse_row"] == {
        "min": counts.min(), "mean": counts.mean(), "max": counts.max(),
    }  # fmt: skip
    assert values["zero_share"] == pytest.approx((dense == 0).mean())
    for column, line in enumerate(found["columns"]):
        assert line["mean"] == pytest.approx(dense[:, column].mean(dtype=np.float64))
        assert (line["min"], line["max"]) == (dense[:, column].min(), dense[:, column].max())
    assert found["labels"] == {}


def test_one_file_on_a_terminal(said, here):
    message = record([1, float("nan"), float("inf"), 0], [3], kind="float64")
    message.uid = "x"
    (here / "f.rec").write_bytes(framed(message, record([5, 0], 3, keys=[0, 1], shape=[4])))

    assert said("stat", "f.rec") == (
        0,
        "source        f.rec\n"
        "rows          2\n"
        "bytes         140 in 1 file\n"
        "frames        2, all whole\n"
        "frame bytes   60 to 80, mean 70.0\n"
        "magic words   none inside payloads\n"
        "features      1 dense and 1 sparse of 1 float32, 1 float64, width 4\n"
        "  values      0 to 5, mean 1.5, 50.00% zero\n"
        "  entries     2 to 2 a row, mean 2.0\n"
        "  not finite  1 NaN, 1 infinite\n"
        "labels        2 rows of float32, 3 to 3, mean 3\n"
        "  counts      3: 2\n"
        "uid           in 1 row\n",
    )


def test_several_files_get_a_line_each(said, rows):
    rows("t/a.rec", [[1], [2]], [0, 1])
    rows("t/b.rec", [[3]], [7])

    printed = said("stat", "t/")[1]

    assert printed.splitlines()[-4:] == [
        "",
        "file   rows  frames  parts  bytes  labels",
        "a.rec     2       2      0     96  0 to 1",
        "b.rec     1       1      0     48  7 to 7",
    ]


def test_parts_are_counted_and_not_read_unless_they_may_be_joined(said, here):
    whole = record([1, 2], 1).SerializeToString(deterministic=True)
    cut = frame(whole[:8], flag=1) + frame(whole[8:16], flag=2) + frame(whole[16:], flag=3)
    (here / "p.rec").write_bytes(cut * 3)

    refused, joined = summary(said, "p.rec"), summary(said, "p.rec", "--parts", "join")

    assert refused["part_flags"] == joined["part_flags"] == {"1": 3, "2": 3, "3": 3}
    assert (refused["rows"], refused["rows_not_read"], refused["features"]) == (3, 3, {})
    assert (joined["rows"], joined["rows_not_read"]) == (3, 0)
    assert joined["features"]["values"]["rows"] == 3


def test_magic_words_inside_payloads(said, here):
    magic = np.array([MAGIC], np.uint32).view(np.float32)[0]
    payloads = [[1, float(magic), float(magic)], [1, 2, 3], [float(magic), 0, 0]]
    (here / "m.rec").write_bytes(b"".join(_aligned(each) for each in payloads))

    found = summary(said, "m.rec")

    assert (found["rows"], found["embedded_magic_words"], found["frames_with_magic_words"]) == (
        3,
        3,
        2,
    )


def _aligned(values):
    """Return a frame whose values stand at a multiple of four bytes: the name is two bytes longer."""
    message = Record()
    message.features["values__"].float32_tensor.values.extend(values)
    content = message.SerializeToString(deterministic=True)
    at = content.index(np.float32(values[0]).tobytes())
    assert at % 4 == 2
    shorter = Record()
    shorter.features["values"].float32_tensor.values.extend(values)
    return frame(shorter.SerializeToString(deterministic=True))


def test_images(said, here):
    images = [b"\xff\xd8\xff" + bytes(9), b"BMxxxx", b"no image at all"]
    (here / "i.rec").write_bytes(encode_images(images, np.array([0, 1, 1], np.float32)))

    found = summary(said, "i.rec")

    assert found["images"] == {
        "rows": 3,
        "kinds": {"BMP": 1, "JPEG": 1, "other": 1},
        "bytes": {"min": 6, "mean": 11.0, "max": 15},
        "labels_per_image": {"min": 1, "mean": 1.0, "max": 1},
    }
    assert found["labels"]["label"]["counts"] == {"0": 1, "1": 2}


def test_seven_megabytes_are_read_in_chunks(said, rows, rng):
    features = rng.normal(size=(20_000, 80)).astype(np.float32)
    path = rows("l.rec", features)

    found = summary(said, "l.rec")

    assert path.stat().st_size > 6 << 20
    assert (found["rows"], found["features"]["values"]["rows"]) == (20_000, 20_000)
    assert found["features"]["values"]["values"]["mean"] == pytest.approx(
        features.mean(dtype=float)
    )


def test_a_damaged_file_is_an_error(said, rows):
    path = rows("d.rec", [[1, 2]])
    path.write_bytes(path.read_bytes() + b"\x0a\x23")

    assert said("stat", "d.rec") == (
        3,
        "error: d.rec: bad RecordIO at byte 32: cut off: 2 bytes left, a frame header has 8\n",
    )
