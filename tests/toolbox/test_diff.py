"""diff: the same rows in any format and layout, else the first place where they are not."""

from __future__ import annotations

import numpy as np
import pytest
from recordio.aialgs import frame
from scipy.sparse import csr_array

from penstock import recordio

FEATURES = [[1, 0, 2.5], [0, 0, 0], [-1, 4, 0]]
LABELS = [0, 1, 1]


@pytest.fixture
def pair(said, rows, here):
    """Two files of equal rows, one dense and one sparse."""
    rows("a.rec", FEATURES, LABELS)
    rows("b.rec", csr_array(np.array(FEATURES, np.float32)), LABELS)
    return here


@pytest.mark.parametrize("suffix", ["parquet", "csv", "libsvm", "npz"])
def test_formats_and_layouts_do_not_matter(said, pair, suffix):
    assert said("convert", "a.rec", f"c.{suffix}")[0] == 0

    for other in ("a.rec", "b.rec"):
        assert said("diff", other, f"c.{suffix}") == (0, "same: 3 rows\n")
        assert said("diff", f"c.{suffix}", other, "--count") == (0, "same: 3 rows\n")


def test_files_of_a_folder_are_read_one_after_another(said, rows, pair):
    rows("t/1.rec", FEATURES[:1], LABELS[:1])
    rows("t/2.rec", FEATURES[1:], LABELS[1:])

    assert said("diff", "t/", "b.rec") == (0, "same: 3 rows\n")


def test_the_first_difference_has_row_column_and_both_values(said, rows, pair):
    rows("c.rec", [[1, 0, 2.5], [0, 0.1, 0], [-1, 4, 7]], LABELS)
    rows("d.rec", FEATURES, [0, 1, 2])

    expected = "different: row 1, column 1: 0.0 in {}, 0.1 in c.rec\n"
    assert said("diff", "a.rec", "c.rec") == (1, expected.format("a.rec"))
    assert said("diff", "b.rec", "c.rec") == (1, expected.format("b.rec"))
    assert said("diff", "b.rec", "c.rec", "--count") == (
        1, expected.format("b.rec") + "2 of 3 rows differ\n"
    )  # fmt: skip
    assert said("diff", "a.rec", "d.rec") == (
        1, "different: row 2, label: 1.0 in a.rec, 2.0 in d.rec\n"
    )  # fmt: skip


def test_wide_sparse_rows_are_compared_without_making_them_dense(said, rows, here):
    first = csr_array(([1.0, 2.0], ([0, 1], [5, 2**29])), shape=(2, 2**30), dtype=np.float32)
    second = csr_array(([1.0, 3.0], ([0, 1], [5, 2**29])), shape=(2, 2**30), dtype=np.float32)
    rows("a.rec", first)
    rows("b.rec", second)

    assert said("diff", "a.rec", "a.rec") == (0, "same: 2 rows\n")
    assert said("diff", "a.rec", "b.rec") == (
        1, "different: row 1, column 536870912: 2.0 in a.rec, 3.0 in b.rec\n"
    )  # fmt: skip


def test_names_are_shown_when_a_side_has_them(said, rows, here):
    rows("a.rec", [[1, 2]], [0])
    (here / "b.csv").write_text("label,age,price\n0,1,3\n")

    assert said("diff", "a.rec", "b.csv") == (
        1, "different: row 0, column 1 ('price'): 2.0 in a.rec, 3.0 in b.csv\n"
    )  # fmt: skip


def test_other_forms_differ(said, rows, pair):
    rows("wide.rec", [[1, 2, 3, 4]], [0])
    rows("bare.rec", FEATURES)
    rows("short.rec", FEATURES[:2], LABELS[:2])

    assert said("diff", "a.rec", "wide.rec") == (1, "a.rec has 3 features, wide.rec has 4\n")
    assert said("diff", "bare.rec", "a.rec") == (1, "a.rec has labels, bare.rec has none\n")
    assert said("diff", "bare.rec", "a.rec", "--no-label") == (0, "same: 3 rows\n")
    assert said("diff", "a.rec", "short.rec") == (
        1, "a.rec has more rows than short.rec: its 2 rows are equal\n"
    )  # fmt: skip


def test_a_tolerance(said, rows, pair):
    rows("c.rec", np.array(FEATURES) + 0.25, LABELS)

    assert said("diff", "a.rec", "c.rec", "--tolerance", "0.25") == (0, "same: 3 rows\n")
    assert said("diff", "b.rec", "c.rec", "--tolerance", "0.2")[0] == 1
    assert said("diff", "a.rec", "c.rec", "--tolerance", "-1") == (
        2, "error: --tolerance is -1.0, expected 0 or more\n"
    )  # fmt: skip


def test_nan_equals_nan_and_zeros_have_no_sign(said, rows):
    rows("a.rec", [[np.nan, 0.0, np.inf]])
    rows("b.rec", [[np.nan, -0.0, np.inf]])
    rows("c.rec", [[np.nan, 0.0, 1.0]])

    assert said("diff", "a.rec", "b.rec") == (0, "same: 1 row\n")
    assert said("diff", "a.rec", "b.rec", "--tolerance", "1") == (0, "same: 1 row\n")
    assert said("diff", "a.rec", "c.rec", "--tolerance", "1") == (
        1, "different: row 0, column 2: inf in a.rec, 1.0 in c.rec\n"
    )  # fmt: skip


def test_many_rows_in_batches_of_other_sizes(said, rows, rng, here):
    features = rng.normal(size=(20_000, 5)).astype(np.float32)
    rows("a.rec", features, np.zeros(20_000))
    said("convert", "a.rec", "a.csv")
    changed = features.copy()
    changed[17_123, 3] += 1
    rows("b.rec", changed, np.zeros(20_000))

    assert said("diff", "a.csv", "a.rec") == (0, "same: 20,000 rows\n")
    assert said("diff", "a.csv", "b.rec")[1].startswith("different: row 17,123, column 3: ")


def test_what_cannot_be_told_is_an_error(said, pair):
    (pair / "bad.rec").write_bytes(recordio.encode_dense(np.ones((1, 3), np.float32))[:-1])

    assert said("diff", "a.rec", "nope.rec")[0] == 2
    assert said("diff", "a.rec", "bad.rec") == (
        3, "error: bad.rec: bad RecordIO at byte 0: cut off: the frame has 36 bytes, 35 are left\n"
    )  # fmt: skip
    assert said("diff", "-", "-") == (
        2, "error: both sources are '-', expected at most one from standard input\n"
    )  # fmt: skip


PAYLOADS = [b"abcdef", b"", b"xyz"]


@pytest.mark.parametrize(
    ("others", "text"),
    [
        ([b"abcdef", b"", b"xyz"], "same: 3 records, all bytes"),
        ([b"abcdef", b"", b"xyZ"], "different: record 2, byte 2 of its payload"),
        ([b"abcdef", b"", b"xy"], "different: record 2, byte 2 of its payload"),
        ([b"abcdef", b"q", b"xyz"], "different: record 1, byte 0 of its payload"),
        ([b"abXdeff", b"", b"xyz"], "different: record 0, byte 2 of its payload"),
        ([b"abcdef", b""], "a.rec has more records than b.rec: its 2 are equal"),
        ([*PAYLOADS, b"q"], "b.rec has more records than a.rec: its 3 are equal"),
    ],
)
def test_payloads_are_compared_byte_by_byte(said, here, others, text):
    (here / "a.rec").write_bytes(b"".join(map(frame, PAYLOADS)))
    (here / "b.rec").write_bytes(b"".join(map(frame, others)))

    assert said("diff", "a.rec", "b.rec", "--bytes") == (
        int(not text.startswith("same")),
        f"{text}\n",
    )


def test_payloads_in_parts_are_joined_when_asked(said, here):
    (here / "a.rec").write_bytes(frame(b"abcdef"))
    (here / "b.rec").write_bytes(frame(b"abcd", 1) + frame(b"ef", 3))

    assert said("diff", "a.rec", "b.rec", "--bytes", "--parts", "join")[0] == 0
    assert said("diff", "a.rec", "b.rec", "--bytes")[0] == 3
