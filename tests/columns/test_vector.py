"""Lists and Spark ml vectors, which pass as they are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import batch, numeric, plan, spec, statistics

from penstock.columns.vector import problems
from penstock.errors import DataError
from penstock.plan import FeaturePlan
from penstock.spec import VectorFeatures
from penstock.statistics import Statistics, merge

ML = pa.struct(
    [
        ("type", pa.int8()),
        ("size", pa.int32()),
        ("indices", pa.list_(pa.int32())),
        ("values", pa.list_(pa.float64())),
    ]
)
LISTS = [
    pa.list_(pa.float32()),
    pa.large_list(pa.float64()),
    pa.list_(pa.int32()),
    pa.list_(pa.float32(), 3),
]
CELLS = st.lists(
    st.none() | st.lists(st.integers(-3, 3), min_size=3, max_size=3), min_size=2, max_size=12
)


def vector(*names, **options):
    return {"kind": "vector", "columns": list(names), **options}


def ml(cells):
    """Every other vector as a sparse one."""
    made = []
    for at, cell in enumerate(cells):
        if cell is None or at % 2:
            made.append(None if cell is None else {"type": 1, "values": cell})
            continue
        kept = [i for i, value in enumerate(cell) if value]
        made.append({"type": 0, "size": 3, "indices": kept, "values": [cell[i] for i in kept]})
    return pa.array(made, ML)


def both(fitted, rows):
    again = FeaturePlan.from_json(fitted.to_json())
    assert again.to_json() == fitted.to_json()
    dense = replace(again, layout="dense").encode(rows)
    sparse = replace(again, layout="sparse").encode(rows)
    assert dense.tobytes() == sparse.toarray().tobytes()
    assert (sparse.data != 0).all()
    return dense


@given(CELLS, st.sampled_from([*LISTS, ML]))
def test_vectors_pass_and_missing_ones_are_zeros(cells, kind):
    array = ml(cells) if kind == ML else pa.array(cells, kind)
    first = pa.array([[1, 2, 3]], kind) if kind != ML else ml([[1, 2, 3]])
    array = pa.concat_arrays([first, array])
    rows = batch(v=array, x=np.arange(len(array)))

    fitted = plan(rows, of=spec(vector("v", impute="zeros"), numeric("x", scale="none")))

    missing = [False, *(cell is None for cell in cells)]
    names = ("v[0]", "v[1]", "v[2]", *(("v__missing",) if any(missing) else ()), "x")
    assert fitted.names == names
    found = both(fitted, rows)
    np.testing.assert_array_equal(found[:, :3], [[1, 2, 3], *(cell or [0, 0, 0] for cell in cells)])
    assert found[:, -1].tolist() == list(range(len(array)))
    if any(missing):
        assert found[:, 3].tolist() == missing
    nonzero = np.count_nonzero(found[:, :3])
    assert fitted.columns[0].stored_share == pytest.approx(nonzero / (3 * len(array)))


def test_states_of_vectors_merge_in_any_order_and_go_through_json():
    of = spec(vector("v"))
    days = [
        batch(v=pa.array(cells, pa.list_(pa.float32())))
        for cells in ([[1, 2]], [[0, 1, 2], None], [])
    ]
    parts = [Statistics.from_json(statistics(day, of=of).to_json()) for day in days]

    found = [merge(order).columns["v"] for order in (parts, parts[::-1])]

    assert found[0] == found[1] == statistics(*days, of=of).columns["v"]
    assert (found[0].narrowest, found[0].widest, found[0].stored, found[0].missing) == (2, 3, 4, 1)


@pytest.mark.parametrize(
    ("cells", "options", "message"),
    [
        (
            [[1, 2], [1, 2, 3]],
            {},
            "column 'v': vectors of the train split have from 2 to 3 numbers, expected one width of at "
            "least 1\n  pad or cut them in merge.derive, or filter them in merge.where",
        ),
        (
            [[1], None],
            {},
            "column 'v': 1 of 2 rows of the train split are missing, expected none, as impute is 'refuse'\n"
            "  choose another impute rule for it, or filter those rows in merge.where",
        ),
        (
            [None, None],
            {"impute": "zeros"},
            "column 'v': all 2 rows of the train split are missing, expected some vectors to learn their "
            "width from\n  leave it out of features",
        ),
    ],
)
def test_what_cannot_be_learned_is_refused(cells, options, message):
    with pytest.raises(DataError) as caught:
        plan(batch(v=pa.array(cells, pa.list_(pa.float64()))), of=spec(vector("v", **options)))

    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (
            [[1, 2], [3]],
            "table 'rows', column 'v': row 1 has 1 numbers, expected 2 as the rows before\n"
            "  all rows of a dataset have one width: pad or cut such rows, or filter them",
        ),
        (
            [[1, 2], [1, float("nan")]],
            "table 'rows', column 'v': row 1, element 1 is nan, expected a finite number within the range "
            "of float32\n  mend it in merge.derive, or filter it in merge.where",
        ),
        (
            [[1, 2], None],
            "table 'rows', column 'v': 1 of 2 rows are missing, the first is row 1, expected none, as "
            "impute is 'refuse'\n"
            "  mend the rows, or choose another impute rule for the column and fit again",
        ),
    ],
)
def test_rows_that_do_not_fit_are_refused_by_row(cells, message):
    kind = pa.list_(pa.float64())
    fitted = plan(batch(v=pa.array([[1, 2], [3, 4]], kind)), of=spec(vector("v")))

    with pytest.raises(DataError) as caught:
        fitted.encode(batch(v=pa.array(cells, kind)))

    assert str(caught.value) == message


def test_a_batch_without_rows_or_without_vectors_has_the_width():
    kind = pa.list_(pa.float64())
    fitted = plan(batch(v=pa.array([[1, 2], None], kind)), of=spec(vector("v", impute="zeros")))

    assert both(fitted, batch(v=pa.array([], kind))).shape == (0, 3)
    assert both(fitted, batch(v=pa.nulls(2))).tolist() == [[0, 0, 1], [0, 0, 1]]


@pytest.mark.parametrize("kind", ["string", "list<item: string>", "struct<a: double>", "double"])
def test_columns_without_vectors_are_refused(kind):
    (found,) = problems("v", kind, VectorFeatures.model_validate(vector("v")))

    assert str(found) == (
        f"table 'curated', column 'v': type is {kind}, expected a list of numbers, or a Spark ml vector\n"
        "  list it under another kind, or derive a vector from it in merge.derive"
    )


@pytest.mark.parametrize("kind", [*LISTS, ML])
def test_columns_with_vectors_are_not(kind):
    assert not list(problems("v", str(kind), VectorFeatures.model_validate(vector("v"))))
