from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from penstock.spec import SplitSpec
from penstock.split import place, side, split_column

CELLS = st.lists(st.one_of(st.none(), st.text(max_size=8)), min_size=1, max_size=3)


@given(CELLS, st.text(max_size=4))
def test_a_place_depends_on_the_key_and_the_salt_alone(cells, salt):
    assert place(cells, salt=salt) == place(list(cells), salt=salt)
    assert 0 <= place(cells, salt=salt) < 1


def test_null_and_empty_and_shifted_cells_are_different_keys():
    keys = [["a", None], ["a", ""], ["a"], ["", "a"], [None, "a"], ["a\x1f"]]

    assert len({place(key, salt="") for key in keys}) >= len(keys) - 1


def test_sides_have_their_shares():
    places = np.array([place([str(i)], salt="") for i in range(20_000)])

    sides = side(places, SplitSpec(train=0.7, validation=0.2, test=0.1))

    shares = [np.mean(sides == name) for name in ("train", "validation", "test")]
    np.testing.assert_allclose(shares, [0.7, 0.2, 0.1], atol=0.01)


def test_spark_and_python_agree_on_every_row(spark):
    rows = [(i, None if i % 7 == 0 else f"k{i}é") for i in range(500)]
    spec = SplitSpec(salt="s1")

    found = spark.createDataFrame(rows, "a bigint, b string").select(
        "a", "b", split_column(["a", "b"], spec).alias("side")
    )

    places = np.array([place([str(a), b], salt="s1") for a, b in rows])
    assert [row["side"] for row in found.collect()] == side(places, spec).tolist()


def test_another_salt_is_another_split():
    keys = [[str(i)] for i in range(1000)]
    one, other = ([place(k, salt=s) for k in keys] for s in ("", "x"))

    agree = np.mean(side(np.array(one), SplitSpec()) == side(np.array(other), SplitSpec()))

    assert 0.6 < agree < 0.72  # 0.8**2 + 0.1**2 + 0.1**2 = 0.66, as independent splits have
