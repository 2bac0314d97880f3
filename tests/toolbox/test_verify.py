"""verify: the first bad byte, and what each reader refuses."""

from __future__ import annotations

import json

import numpy as np
import pytest
from recordio.aialgs import Record, frame, framed, record
from scipy.sparse import csr_array

from penstock.recordio.image import LabelLists, encode_images
from penstock.toolbox.profiles import PROFILES

JPEG = b"\xff\xd8\xff\xe0" + bytes(8)


def write(here, content, name="x.rec"):
    (here / name).write_bytes(content)


def test_good_files_are_one_line(said, rows):
    rows("t/a.rec", [[1, 2], [3, 4]], [0, 1])
    rows("t/b.rec", csr_array(np.eye(2, dtype=np.float32)), [1, 0])

    assert said("verify", "t") == (
        0, "OK: t: 2 files, 4 records, 216 bytes; dense float32, sparse float32\n"
    )  # fmt: skip
    assert said("verify", "t", "--for", "xgboost", "--task", "binary") == (
        0,
        "OK: t: 2 files, 4 records, 216 bytes; dense float32, sparse float32, width 2; "
        "as xgboost reads them\n",
    )
    assert json.loads(said("verify", "t", "--json")[1]) == {
        "source": "t", "ok": True, "for": None, "files": 2, "records": 4, "bytes": 216,
    }  # fmt: skip


FRAME_BYTES = 36
"""Of a sparse row of one column: header 8, payload 26, padding 2."""


def _set(content, at, byte):
    return content[:at] + bytes([byte]) + content[at + 1 :]


@pytest.mark.parametrize(
    ("damage", "byte", "problem"),
    [
        (lambda b: b[:-1], 144, "cut off: the frame has 36 bytes, 35 are left"),
        (lambda b: b[:148], 144, "cut off: 4 bytes left, a frame header has 8"),
        (lambda b: b[:1], 0, "cut off: 1 byte left, a frame header has 8"),
        (
            lambda b: _set(b, 72, 0),
            72,
            "magic is 0xced72300, expected 0xced7230a; the frame before begins at byte 36 and has a "
            "payload of 26 bytes",
        ),
        (lambda b: _set(b, 71, 1), 70, "padding is 0001, expected zeros"),
    ],
    ids=["cut", "cut-header", "one-byte", "magic", "padding"],
)
def test_damaged_frames_are_named_by_byte(said, rows, damage, byte, problem):
    path = rows("x.rec", csr_array(np.ones((5, 1), np.float32)))
    content = path.read_bytes()
    assert len(content) == 5 * FRAME_BYTES
    path.write_bytes(damage(content))

    assert said("verify", "x.rec") == (
        3, f"error: x.rec: 1 kind of problem\n  x.rec, byte {byte:,}: {problem}\n"
    )  # fmt: skip


@pytest.mark.parametrize("row", range(5))
def test_a_length_that_runs_past_the_end(said, rows, row):
    path = rows("x.rec", csr_array(np.ones((5, 1), np.float32)))
    path.write_bytes(_set(path.read_bytes(), row * FRAME_BYTES + 6, 1))

    assert said("verify", "x.rec") == (
        3,
        f"error: x.rec: 1 kind of problem\n  x.rec, byte {row * FRAME_BYTES}: cut off: the frame has "
        f"65572 bytes, {(5 - row) * FRAME_BYTES} are left\n",
    )


def test_payloads_that_are_no_records_are_skipped_and_counted(said, here):
    good = record([1, 2], 1).SerializeToString(deterministic=True)
    bad = bytes.fromhex("0aff")
    write(here, b"".join(frame(bad if row in {1, 3} else good) for row in range(6)))

    assert said("verify", "x.rec") == (
        3,
        "error: x.rec: 1 kind of problem\n"
        "  x.rec, record 1, byte 61: payload is not a Record: a varint has no end (and 1 more record)\n",
    )


def test_keys_past_the_shape_and_too_few_values(said, here):
    write(
        here, framed(record([1, 2], 1, keys=[0, 5], shape=[3]), record([1], 1, keys=[0], shape=[3]))
    )

    assert said("verify", "x.rec") == (
        3,
        "error: x.rec: 1 kind of problem\n"
        "  x.rec, record 0, byte 0: the record has the key 5, expected less than its shape, 3\n",
    )


def test_all_kinds_of_problems_are_listed_each_with_its_first_place(said, here):
    write(
        here,
        framed(
            record([1, 2], 1),
            record([1, 2]),
            record([1, 2, 3], 0.5),
            record([1, float("inf")], 1),
            record([], 1, shape=[2]),
            record([1], 1, keys=[1]),
            record([1, 2]),
        ),
    )

    code, printed = said("verify", "x.rec", "--for", "xgboost", "--task", "binary")

    assert code == 3
    assert printed == (
        "error: x.rec: 6 kinds of problems for xgboost\n"
        "  x.rec, record 3, byte 140: features, column 1: inf, expected a finite number or NaN\n"
        "  x.rec, record 4, byte 192: a sparse row without keys, expected one explicit zero: "
        "keys [0], values [0]\n"
        "  x.rec, record 5, byte 240: features are sparse without a shape, expected one\n"
        "  x.rec, record 2, byte 84: 3 features, expected 2 as record 0 of x.rec has\n"
        "  x.rec, record 1, byte 52: no label, expected one number (and 1 more record)\n"
        "  x.rec, record 2, byte 84: the label is 0.5, expected 0 or 1 for a binary task\n"
    )
    body = json.loads(said("verify", "x.rec", "--for", "xgboost", "--json")[1])
    assert [problem["kind"] for problem in body["problems"]] == [
        "finite", "no-keys", "shape", "width", "label",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("profile", "message", "problem"),
    [
        ("sagemaker", record([1], kind="float64"), "features are float64, expected float32"),
        ("xgboost", record([float("nan")], 1), None),
        ("xgboost", record([1], 1, kind="int32", label_kind="float64"), None),
        ("linear-learner", record([1]), "no label, expected one number"),
        ("linear_learner", record([1], [1, 2]), "2 labels, expected one"),
        ("linear-learner", record([1], 1, label_kind="int32"), "the label is int32, expected float32"),
        ("linear-learner", record([1], float("nan")), "label: nan, expected a finite number"),
        ("kmeans", record([1]), None),
        ("pca", record([float("nan")]), "features, column 0: nan, expected a finite number"),
        ("factorization-machines", record([1], 1, kind="int32"), "features are int32, expected float32"),
        ("lda", record([1], kind="float64"), "features are float64, expected float32"),
        ("knn", record([1]), "no label, expected one number"),
        ("randomcutforest", record([1] * 10_001), "10,001 features, expected 1 to 10,000"),
        ("RandomCutForest", record([1] * 10_000), None),
        ("ntm", record([1], keys=[1], shape=[1_000_001]), "1,000,001 features, expected 1 to 1,000,000"),
        ("seq2seq", record([1], kind="int32"), "no features by the name 'source', expected them; it, or one near it, has 'values'"),
    ],
)  # fmt: skip
def test_what_readers_of_rows_refuse(said, here, profile, message, problem):
    write(here, framed(message))

    code, printed = said("verify", "x.rec", "--for", profile)

    if problem is None:
        assert (code, printed.split(":")[0]) == (0, "OK")
    else:
        assert code == 3
        assert f"\n  x.rec, record 0, byte 0: {problem}\n" in printed


def test_seq2seq_wants_two_lists_of_any_length(said, here):
    messages = []
    for size in (1, 5):
        message = Record()
        message.features["source"].int32_tensor.values.extend(range(size))
        message.features["target"].int32_tensor.values.extend(range(size + 2))
        messages.append(message)
    write(here, framed(*messages))

    assert said("verify", "x.rec", "--for", "seq2seq") == (
        0, "OK: x.rec: 1 file, 2 records, 96 bytes; dense int32; as seq2seq reads them\n"
    )  # fmt: skip


def test_no_reader_takes_parts(said, here):
    whole = record([1, 2], 1).SerializeToString(deterministic=True)
    write(here, frame(whole[:8], flag=1) + frame(whole[8:], flag=3))

    assert said("verify", "x.rec", "--parts", "join")[0] == 0
    assert said("verify", "x.rec") == (
        3,
        "error: x.rec: 1 kind of problem\n"
        "  x.rec, byte 0: part flag is 1, expected 0: the record is cut into parts\n"
        "    say --parts join if ml-io wrote it, --parts dmlc if dmlc or MXNet did\n",
    )
    assert said("verify", "x.rec", "--parts", "join", "--for", "kmeans") == (
        3,
        "error: x.rec: 1 kind of problem for kmeans\n"
        "  x.rec, byte 0: part flag is 1, expected 0: this reader joins no parts\n",
    )


def test_widths_must_agree_over_all_files(said, rows):
    rows("t/a.rec", [[1, 2]])
    rows("t/b.rec", [[1, 2, 3]])

    assert said("verify", "t", "--for", "kmeans") == (
        3,
        "error: t: 1 kind of problem for kmeans\n"
        "  t/b.rec, record 0, byte 0: 3 features, expected 2 as record 0 of t/a.rec has\n",
    )


def test_image_classification(said, here):
    labels = np.array([0, 1.5, 2], np.float32)
    write(here, encode_images([JPEG, JPEG, b"GIF89a"], labels))

    assert said("verify", "x.rec", "--for", "image-classification") == (
        3,
        "error: x.rec: 2 kinds of problems for image-classification\n"
        "  x.rec, record 2, byte 88: the image begins as GIF, expected JPEG or PNG\n"
        "  x.rec, record 1, byte 44: the label is 1.5, expected a class: a whole number, 0 or more\n",
    )
    write(here, encode_images([JPEG, JPEG], labels[::2]))
    assert said("verify", "x.rec", "--for", "image-classification") == (
        0, "OK: x.rec: 1 file, 2 records, 88 bytes; as image-classification reads them\n"
    )  # fmt: skip


def test_object_detection_wants_lists_of_boxes(said, here):
    box = [2, 5, 0, 0.1, 0.1, 0.5, 0.5]
    values = np.array([*box, *box[:-1], *box, *box[2:]], np.float32)
    lists = LabelLists(values=values, starts=np.array([0, 7, 13, 25]))
    write(here, encode_images([JPEG] * 3, lists))

    assert said("verify", "x.rec", "--for", "object-detection") == (
        3,
        "error: x.rec: 1 kind of problem for object-detection\n"
        "  x.rec, record 1, byte 72: 6 labels that begin with header length 2 and object length 5, "
        "expected a list: header length, object length, then each object's class and box\n",
    )


def test_an_image_reader_must_not_meet_the_magic_word(said, here):
    image = JPEG + b"\x0a\x23\xd7\xce" + bytes(4)
    write(here, encode_images([image], np.zeros(1, np.float32), allow_magic=True))

    assert said("verify", "x.rec")[0] == 0
    assert said("verify", "x.rec", "--for", "image-classification") == (
        3,
        "error: x.rec: 1 kind of problem for image-classification\n"
        "  x.rec, record 0, byte 0: the payload holds the magic word 0xced7230a at a multiple of four "
        "bytes, expected none: a reader that looks for it may begin a frame there\n",
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--for", "xgbost"], f"--for is 'xgbost', expected one of: {', '.join(PROFILES)}\n  did you mean 'xgboost'?"),
        (["--task", "binary"], "--task is 'binary' without --for: say which reader the labels are for"),
        (["--task", "x", "--for", "knn"], "--task is 'x', expected 'binary', 'multiclass' or 'regression'"),
        (["--classes", "3", "--for", "knn"], "--classes is 3, expected 2 or more, with --task multiclass"),
    ],
)  # fmt: skip
def test_wrong_flags(said, rows, arguments, message):
    rows("x.rec", [[1]])

    assert said("verify", "x.rec", *arguments) == (2, f"error: {message}\n")


def test_classes_of_a_multiclass_task(said, rows):
    rows("x.rec", [[1], [1], [1]], [0, 2, 3])
    flags = ["--for", "linear-learner", "--task", "multiclass"]

    assert said("verify", "x.rec", *flags)[0] == 0
    assert said("verify", "x.rec", *flags, "--classes", "3") == (
        3,
        "error: x.rec: 1 kind of problem for linear-learner\n"
        "  x.rec, record 2, byte 96: the label is 3, expected a whole number from 0 to 2\n",
    )


def test_every_profile_is_listed_with_its_reason(said):
    printed = " ".join(said("verify", "--profiles")[1].split())

    assert [each.name for each in PROFILES.values() if each.name not in printed] == []
    assert [each.reason for each in PROFILES.values() if each.reason not in printed] == []


def test_no_source_is_an_error(said):
    assert said("verify") == (2, "error: verify needs a SOURCE, or --profiles\n")


def test_a_profile_wants_some_records(said, here):
    write(here, b"")

    assert said("verify", "x.rec") == (0, "OK: x.rec: 1 file, 0 records, 0 bytes\n")
    assert said("verify", "x.rec", "--for", "lda") == (
        3, "error: x.rec: 1 kind of problem for lda\n  x.rec, byte 0: no records, expected some\n"
    )  # fmt: skip
