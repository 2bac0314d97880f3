"""convert: every format into every other and back, bit for bit; what it refuses, and what it leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recordio.aialgs import FLOATS, dense, framed, record, sparse
from scipy.sparse import csr_array, load_npz

from penstock import dataset, recordio
from penstock.toolbox.convert import WriteOptions, convert
from penstock.toolbox.sources import resolve
from penstock.toolbox.tables import ReadOptions

SUFFIXES = ("rec", "parquet", "csv", "libsvm", "npz")


def go(source, target, *, force=True, vector=False, header=False, **reading):
    return convert(
        resolve(str(source)),
        str(target),
        given=None,
        reading=ReadOptions(**reading),
        writing=WriteOptions(force=force, vector=vector, header=header),
    )


def bits(features):
    """Return values as bits; minus zero counts as zero, as no sparse format keeps it."""
    return (features + np.float32(0)).view(np.uint32).tolist()


@settings(max_examples=15, deadline=None)
@given(
    dense().filter(lambda drawn: len(drawn[0]) > 0), st.sampled_from(SUFFIXES[1:]), st.booleans()
)
def test_dense_rows_come_back_bit_for_bit(drawn, suffix, vector):
    features, labels = drawn
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        (path / "a.rec").write_bytes(recordio.encode_dense(features, labels))
        go(path / "a.rec", path / f"b.{suffix}", vector=vector and suffix == "parquet")
        back = {"no_label": labels is None} if suffix in {"csv", "parquet"} else {}
        if suffix == "libsvm":
            back["width"] = features.shape[1]
        go(path / f"b.{suffix}", path / "c.rec", layout="dense", **back)

        found = recordio.decode((path / "c.rec").read_bytes())

    assert bits(found.features) == bits(features)
    assert (found.labels is None) == (labels is None)
    if labels is not None:
        assert found.labels.view(np.uint32).tolist() == labels.view(np.uint32).tolist()


@settings(max_examples=10, deadline=None)
@given(sparse().filter(lambda d: d[0].shape[0] > 0 and d[0].shape[1] < 20_000),
       st.sampled_from(["libsvm", "npz"]))  # fmt: skip
def test_sparse_rows_come_back_bit_for_bit(drawn, suffix):
    features, labels = drawn
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        (path / "a.rec").write_bytes(recordio.encode_sparse(features, labels))
        go(path / "a.rec", path / f"b.{suffix}")
        go(path / f"b.{suffix}", path / "c.rec", width=features.shape[1])

        assert (path / "c.rec").read_bytes() == (path / "a.rec").read_bytes()


@settings(max_examples=20, deadline=None)
@given(st.lists(FLOATS, min_size=1, max_size=30))
def test_digits_in_csv_and_libsvm_are_exact(values):
    column = np.array(values, np.float32).reshape(-1, 1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        np.savez(path / "a.npz", features=column, labels=column[:, 0])
        for suffix in ("csv", "libsvm"):
            go(path / "a.npz", path / f"b.{suffix}")
            go(path / f"b.{suffix}", path / f"c-{suffix}.npz", layout="dense", width=1)
            with np.load(path / f"c-{suffix}.npz") as found:
                assert (
                    found["labels"].view(np.uint32).tolist()
                    == column[:, 0].view(np.uint32).tolist()
                )
                assert bits(found["features"]) == bits(column)


def test_what_is_written_is_what_others_read(said, rows, here):
    rows("a.rec", [[1, 0, 2.5], [0, 0, 0]], [0, 1])

    for suffix in SUFFIXES[1:]:
        assert said("convert", "a.rec", f"b.{suffix}")[0] == 0
    assert said("convert", "a.rec", "v.parquet", "--vector") == (
        0, "v.parquet: 2 rows of 3 features, parquet\n"
    )  # fmt: skip
    assert said("convert", "a.rec", "s.npz", "--layout", "sparse")[0] == 0
    assert said("convert", "a.rec", "h.csv", "--header", "--no-label", "--columns", "2,0")[0] == 0

    assert (here / "b.csv").read_text() == "0,1,0,2.5\n1,0,0,0\n"
    assert (here / "b.libsvm").read_text() == "0 1:1 3:2.5\n1\n"
    assert (here / "h.csv").read_text() == '"f2","f0"\n2.5,1\n0,0\n'
    assert pq.read_table("b.parquet").to_pydict() == {
        "label": [0, 1], "f0": [1, 0], "f1": [0, 0], "f2": [2.5, 0],
    }  # fmt: skip
    assert pq.read_table("v.parquet").to_pydict() == {
        "label": [0, 1], "features": [[1, 0, 2.5], [0, 0, 0]],
    }  # fmt: skip
    with np.load("b.npz", allow_pickle=False) as found:
        assert found["features"].tolist() == [[1, 0, 2.5], [0, 0, 0]]
    assert load_npz("s.npz").toarray().tolist() == [[1, 0, 2.5], [0, 0, 0]]


def test_an_empty_row_without_a_label_is_not_lost_in_libsvm(said, rows, here):
    rows("a.rec", csr_array(np.array([[0, 0], [0, 3], [0, 0]], np.float32)))
    matrix = csr_array(np.array([[0, 0], [0, 3], [0, 0]], np.float32))
    np.savez("m.npz", data=matrix.data, indices=matrix.indices, indptr=matrix.indptr, shape=[3, 2])

    said("convert", "m.npz", "b.libsvm")

    assert (here / "b.libsvm").read_text() == "1:0\n2:3\n1:0\n"
    assert said("convert", "b.libsvm", "b.rec")[1] == "b.rec: 3 rows of 2 features, recordio\n"
    assert (here / "b.rec").read_bytes() == (here / "a.rec").read_bytes()


def test_names_come_from_the_dataset(said, here):
    batches = [(np.array([[1, 2]], np.float32), np.zeros(1, np.float32))]
    shard = dataset.write_shard("data/train", 0, 0, batches)
    dataset.commit(
        "data/train", [shard], expected_rows=1, width=2, layout="dense", task="binary",
        classes=("no", "yes"), plan_sha256="0" * 64, names=("age", "price"),
    )  # fmt: skip

    assert said("convert", "data/train.manifest", "t.parquet", "--columns", "price,age")[0] == 0
    assert pq.read_table("t.parquet").column_names == ["label", "price", "age"]


def test_folders_of_parquet_and_the_label_by_name(said, here):
    (here / "p").mkdir()
    for part in (0, 1):
        pq.write_table(
            pa.table({"id": ["a"], "y": [part], "x": pa.array([part + 5], pa.int64())}),
            here / "p" / f"part-{part}.parquet",
        )

    assert said("convert", "p", "p.csv", "--label", "y", "--columns", "x")[0] == 0
    assert (here / "p.csv").read_text() == "0,5\n1,6\n"


def test_a_pipe_to_a_pipe(rows, here):
    path = rows("a.rec", np.ones((1000, 3)), np.zeros(1000))
    os.mkfifo("p")
    writer = threading.Thread(target=lambda: Path("p").write_bytes(path.read_bytes()))
    writer.start()

    made = subprocess.run(
        [sys.executable, "-m", "penstock", "recordio", "convert", "p", "-", "--from", "recordio",
         "--to", "csv"],
        capture_output=True, check=True,
    )  # fmt: skip
    writer.join()

    assert made.stdout == b"0,1,1,1\n" * 1000
    assert made.stderr == b"-: 1,000 rows of 3 features, csv\n"


BAD_TEXTS = [
    ("x.csv", "label,age\n1,2\n0,oops\n", "x.csv: line 3, column 1 ('age'): 'oops' is no number\n  expected a number like 12 or 0.5: encode or leave out what is none"),
    ("x.csv", "1,2\n0,\n", "x.csv: line 2, column 1: the cell is empty\n  expected a number like 12 or 0.5: encode or leave out what is none, or pass --allow-nonfinite to read it as NaN"),
    ("x.csv", "1,2,3\n\n4,5\n", "x.csv: line 3 has 2 cells, expected 3 as the first line has: '4,5'"),
    ("x.csv", "1,2,3\n\n4,5,6\n", "x.csv: line 2, column 0: the cell is empty\n  expected a number like 12 or 0.5: encode or leave out what is none, or pass --allow-nonfinite to read it as NaN"),
    ("x.csv", "1,nan\n", "x.csv: row 0, column 0 is nan, expected a finite number\n  impute it, or pass --allow-nonfinite if the reader can take it"),
    ("x.csv", "inf,1\n", "x.csv: row 0, label is inf, expected a finite number\n  impute it, or pass --allow-nonfinite if the reader can take it"),
    ("x.csv", "\n1,2\n", "x.csv: line 1 is empty, expected names or numbers"),
    ("x.libsvm", "1 1:2\n0 2:x\n", "x.libsvm: line 2: 'x' in '2:x', expected a number"),
    ("x.libsvm", "1 1:2\n0 z:1\n", "x.libsvm: line 2: 'z' in 'z:1', expected a whole number"),
    ("x.libsvm", "# c\n\n1 1:2\n0 0:1\n", "x.libsvm: line 4: '0:1' has the key 0, expected at least 1\n  if its keys count from 0, pass --index-base 0"),
    ("x.libsvm", "1 1:2\n2:1\n", "x.libsvm: line 2 has no label, the lines before have one: '2:1'"),
    ("x.libsvm", "1:2\n1 2:1\n", "x.libsvm: line 2 has a label, the lines before have none: '1'"),
    ("x.libsvm", "1 qid:3 2:1\n", "x.libsvm: line 1: 'qid' in 'qid:3', expected a whole number\n  a matrix has no place for query ids: take them out first"),
    ("x.libsvm", "1,2 2:1\n", "x.libsvm: line 1: '1,2' in '1,2', expected a number\n  a row of several labels cannot be converted"),
    ("x.libsvm", "1 2:1 2:3\n", "x.libsvm: line 1 has two values for column 1, expected one"),
    ("x.libsvm", "1 2:1 7\n", "x.libsvm: line 1: '7', expected key:value"),
    ("x.libsvm", "1 2: 1\n", "x.libsvm: line 1: '2: 1', expected key:value"),
    ("x.libsvm", "1 2:\n", "x.libsvm: line 1: '2', expected key:value"),
    ("x.libsvm", "1 1:2:3\n", "x.libsvm: line 1: '1:2:3', expected key:value"),
    ("x.libsvm", "1 :3\n", "x.libsvm: line 1: '1 :3', expected key:value"),
    ("x.npz", "?", "x.npz: no npz of plain arrays, expected one that numpy.savez or scipy.sparse.save_npz wrote"),
    ("x.parquet", "?", "x.parquet: no Parquet: Parquet file size is 1 bytes, smaller than the minimum file footer (8 bytes)"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "message"), BAD_TEXTS)
def test_what_cannot_be_read_is_named_and_leaves_nothing(said, here, name, text, message):
    (here / name).write_text(text)

    assert said("convert", name, "out.rec") == (3, f"error: {message}\n")
    assert [path.name for path in here.iterdir()] == [name]


def test_errors_in_later_blocks_name_their_line(said, here):
    lines = ["1,2"] * 1_500_000 + ["1,x", "1,2"]
    (here / "x.csv").write_text("\n".join(lines))
    (here / "x.libsvm").write_text("\n".join(["1 1:2"] * 400_000 + ["1 1:x"]))

    assert said("convert", "x.csv", "o.rec")[1].startswith(
        "error: x.csv: line 1,500,001, column 1: 'x' is no number"
    )
    assert said("convert", "x.libsvm", "o.rec", "--width", "1") == (
        3, "error: x.libsvm: line 400,001: 'x' in '1:x', expected a number\n"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["x.rec", "y.rec"], 2, "'y.rec' exists already\n  pass --force to replace it"),
        (["x.rec", "x.rec"], 2, "'x.rec' is the source itself, expected another name"),
        (["x.rec", "t/"], 2, "'t/' is a folder, expected the name of one file"),
        (["x.rec", "z.txt"], 2, "'z.txt': its name does not say what it is, expected one of .rec, .recordio, .rio, .pbr, .pb, .pr, .parquet, .pq, .csv, .libsvm, .svm, .svmlight, .npz\n  say --to recordio|parquet|csv|libsvm|npz"),
        (["x.rec", "z.rec", "--to", "json"], 2, "--to is 'json', expected one of recordio, parquet, csv, libsvm, npz"),
        (["x.rec", "z.csv", "--label", "1"], 2, "--label is '1', but recordio keeps labels apart from features\n  leave it out, or say --no-label"),
        (["h.csv", "z.rec"], 2, "h.csv: no column is named 'label', it has 'a', 'b'\n  say which one is with --label NAME, or pass --no-label"),
        (["h.csv", "z.rec", "--label", "c"], 2, "h.csv: there is no column 'c' (--label), it has columns 'a', 'b'"),
        (["h.csv", "z.rec", "--label", "a", "--no-label"], 2, "--label and --no-label exclude each other, expected one of them"),
        (["h.csv", "z.rec", "--no-label", "--columns", "bb"], 2, "--columns: there is no column 'bb'\n  did you mean 'b'?"),
        (["h.csv", "z.rec", "--no-label", "--columns", "0-2"], 2, "--columns: '0-2', expected numbers from 0 to 1"),
        (["h.csv", "z.rec", "--no-label", "--columns", "a,0"], 2, "--columns: 'a,0' names a column twice, expected each once"),
        (["x.rec", "z.csv", "--vector"], 2, "--vector is for Parquet, but 'z.csv' is csv"),
        (["x.rec", "z.rec", "--layout", "x"], 2, "--layout is 'x', expected 'keep', 'dense' or 'sparse'"),
        (["x.rec", "z.rec", "--index-base", "2"], 2, "--index-base is 2, expected 0 or 1"),
        (["h.csv", "z.rec", "--header-in", "x"], 2, "--header-in is 'x', expected 'auto', 'yes' or 'no'"),
        (["h.csv", "z.rec", "--header-in", "no"], 3, "h.csv: line 1, column 0: 'a' is no number\n  expected a number like 12 or 0.5: encode or leave out what is none"),
        (["mixed", "z.rec"], 2, "'mixed' has files of several kinds: 'mixed/a.csv' (csv), 'mixed/b.rec' (recordio), expected one kind"),
        (["e.csv", "z.rec"], 3, "table 'e.csv' has 0 rows, expected at least 1\n  nothing is written"),
        (["n.rec", "z.csv"], 3, "n.rec: record 0 (byte 0) has features by the name 'source', expected 'values'\n  head, stat, verify and diff --bytes take any name"),
        (["-", "z.rec", "--from", "libsvm"], 2, "-: the width is one more than the largest key, which a pipe shows at its end only\n  say it: --width N"),
        (["-", "z.rec", "--from", "parquet"], 2, "stdin: Parquet is read from its end, expected a file, no pipe"),
        (["two.rec", "z.csv"], 3, "two.rec: its records have 2 labels each, expected one"),
    ],
)  # fmt: skip
def test_what_is_refused(said, rows, here, arguments, code, message):
    rows("x.rec", [[1]])
    rows("y.rec", [[2]])
    rows("mixed/b.rec", [[2]])
    (here / "mixed" / "a.csv").write_text("1,2\n")
    (here / "h.csv").write_text("a,b\n1,2\n")
    (here / "e.csv").write_text("")
    message_named = record([1], 1)
    message_named.features["source"].CopyFrom(message_named.features["values"])
    del message_named.features["values"]
    (here / "n.rec").write_bytes(framed(message_named))
    (here / "two.rec").write_bytes(framed(record([1], [1, 2])))
    before = sorted(path.name for path in here.rglob("*"))

    assert said("convert", *arguments, text=b"") == (code, f"error: {message}\n")
    assert sorted(path.name for path in here.rglob("*")) == before


def test_a_failure_keeps_the_old_target(said, rows, here):
    rows("y.rec", [[2]])
    before = (here / "y.rec").read_bytes()
    (here / "x.csv").write_text("1,2\n" * 100_000 + "?")

    assert said("convert", "x.csv", "y.rec", "--force")[0] == 3
    assert (here / "y.rec").read_bytes() == before
    assert sorted(path.name for path in here.iterdir()) == ["x.csv", "y.rec"]


def test_a_header_of_numbers_is_one_when_said(said, here):
    (here / "x.csv").write_text("2019,2020\n1,5\n")

    assert said("convert", "x.csv", "x.parquet", "--header-in", "yes", "--label", "2019")[0] == 0
    assert pq.read_table("x.parquet").to_pydict() == {"label": [1], "2020": [5]}
    assert said("convert", "x.csv", "y.rec")[1] == "y.rec: 2 rows of 1 feature, recordio\n"


def test_nan_passes_when_allowed(said, here):
    (here / "x.csv").write_text("1,nan,3\n0,, -inf \n")

    assert said("convert", "x.csv", "x.rec", "--allow-nonfinite")[0] == 0
    found = recordio.decode((here / "x.rec").read_bytes()).features
    assert np.array_equal(found, [[np.nan, 3], [np.nan, -np.inf]], equal_nan=True)


def test_ctrl_c_leaves_nothing(rows, here):
    content = rows("a.rec", np.ones((100, 3))).read_bytes()
    os.mkfifo("p")
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "penstock",
            "recordio",
            "convert",
            "p",
            "b.csv",
            "--from",
            "recordio",
        ],
        stderr=subprocess.PIPE,
    )
    with open("p", "wb") as pipe:  # noqa: PTH123  opens when the command has begun to read
        for _ in range(1_000):
            pipe.write(content)
        pipe.flush()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)

    assert process.returncode == 130
    assert sorted(path.name for path in here.iterdir()) == ["a.rec", "p"]


def test_from_s3_to_s3(said, rows, s3, here):
    from penstock import storage

    storage.write_bytes(f"{s3}/t/part-0.rec", rows("a.rec", [[1, 2]], [0]).read_bytes())
    storage.write_bytes(f"{s3}/t/part-1.rec", rows("b.rec", [[3, 4]], [1]).read_bytes())

    assert said("convert", f"{s3}/t/", f"{s3}/t.csv") == (
        0, f"{s3}/t.csv: 2 rows of 2 features, csv\n"
    )  # fmt: skip
    assert storage.read_bytes(f"{s3}/t.csv") == b"0,1,2\n1,3,4\n"
    assert said("diff", f"{s3}/t/", f"{s3}/t.csv") == (0, "same: 2 rows\n")
    assert said("verify", f"{s3}/t", "--for", "knn")[0] == 0
    assert said("convert", f"{s3}/t.csv", f"{s3}/t.parquet", "--no-label")[0] == 0
    assert said("stat", f"{s3}/t")[1].splitlines()[-2].split()[:2] == ["part-0.rec", "1"]
    assert said("convert", f"{s3}/t/", f"{s3}/t.csv") == (
        2, f"error: '{s3}/t.csv' exists already\n  pass --force to replace it\n"
    )  # fmt: skip
    storage.write_bytes(f"{s3}/x.csv", b"1,2\n" * 1_000 + b"?")
    assert said("convert", f"{s3}/x.csv", f"{s3}/x.rec")[0] == 3
    assert not storage.exists(f"{s3}/x.rec")
