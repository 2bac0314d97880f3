"""Numbers that groups or another column fill, and codes that mean missing; against pandas."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from strategies import NAMES, NUMBERS, batch, numeric, plan, spec, statistics

from penstock import groups
from penstock.columns.numeric import problems, reads_problems
from penstock.errors import DataError, SchemaMismatchError
from penstock.groups import GroupState
from penstock.plan import FeaturePlan
from penstock.spec import NumericFeatures
from penstock.statistics import Statistics, merge
from penstock.wanted import Wanted

ROWS = st.lists(st.tuples(NUMBERS, NAMES), min_size=2, max_size=60)
WANTED = Wanted(name="x (by g)", type="double", kind="grouped", inputs=("x", "g"))


def columns(rows):
    return {
        "x": pa.array([x for x, _ in rows], pa.float64()),
        "g": pa.array([g for _, g in rows], pa.string()),
    }


def frame(rows):
    return pd.DataFrame(
        {"x": [x for x, _ in rows], "g": [g for _, g in rows]}, dtype=object
    ).astype({"x": float})


def grouped(**options):
    return numeric("x", impute="by_group", group_by="g", scale="none", **options)


def encoded(fitted, rows):
    again = FeaturePlan.from_json(fitted.to_json())
    assert again.to_json() == fitted.to_json()
    return again.encode(rows)


def state(rows):
    return GroupState.of(WANTED, list(columns(rows).values()), None)


@settings(max_examples=40)
@given(ROWS, ROWS, st.sampled_from(["median", "mean"]), st.integers(1, 4))
def test_a_hole_takes_the_value_of_its_group(train, new, statistic, least):
    known = frame(train)
    assume(known["x"].notna().any())
    rule = grouped(group_statistic=statistic, min_group_rows=least, indicator=False)
    fitted = plan(batch(**columns(train)), of=spec(rule))

    found = encoded(fitted, batch(**columns(new)))

    by = known.dropna().groupby("g")["x"]
    values, counts = by.agg(statistic), by.count()
    values = values[counts >= least]
    fresh = frame(new)
    fills = fresh["g"].map(lambda g: values.get(g, known["x"].agg(statistic)))
    expected = fresh["x"].fillna(fills.astype(float))
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-6, atol=1e-6)


@settings(max_examples=40)
@given(ROWS, st.sampled_from(["median", "mean"]))
def test_the_scale_is_that_of_the_column_with_its_groups_filled(train, statistic):
    known = frame(train)
    assume(known["x"].notna().any())
    options = {"group_statistic": statistic, "min_group_rows": 1}
    rule = numeric("x", impute="by_group", group_by="g", **options)

    scaling = plan(batch(**columns(train)), of=spec(rule)).columns[0].scaling

    fills = known.groupby("g")["x"].transform(statistic).fillna(known["x"].agg(statistic))
    filled = known["x"].fillna(fills)
    assert scaling.mean == pytest.approx(filled.mean(), rel=1e-9, abs=1e-6)
    if filled.std(ddof=0) > 1e-6:
        assert scaling.scale == pytest.approx(filled.std(ddof=0), rel=1e-6)


@settings(max_examples=40)
@given(
    st.lists(ROWS, min_size=2, max_size=4), st.randoms(use_true_random=False), st.integers(2, 60)
)
def test_states_of_groups_merge_in_any_order_even_when_there_are_too_many(parts, random, most):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(groups, "MOST_ENTRIES", most)
        whole = state([row for part in parts for row in part])
        states = [state(part) for part in parts]
        random.shuffle(states)
        left = GroupState.merged([GroupState.merged(states[:1]), *states[1:]])
        right = GroupState.merged([states[0], GroupState.merged(states[1:])])

    for found in (left, right):
        found = GroupState.from_plain(json.loads(json.dumps(found.plain())))
        for name in ("rows", "level", "bits", "halvings"):
            assert getattr(found, name) == getattr(whole, name)
        for name in ("groups", "counts", "holes", "of_group", "keys", "weights"):
            assert getattr(found, name).tolist() == getattr(whole, name).tolist()
        np.testing.assert_allclose(found.sums, whole.sums, rtol=1e-12, atol=1e-3)


def test_medians_stay_within_their_bound_and_groups_that_stay_are_exact(monkeypatch):
    monkeypatch.setattr(groups, "MOST_ENTRIES", 30_000)
    random = np.random.default_rng(5)
    values = random.normal(100, 5, 50_000)
    names = random.integers(0, 20, 50_000).astype(str)
    arrays = [pa.array(values), pa.array(names)]

    found = GroupState.of(WANTED, arrays, None)

    by = pd.Series(values).groupby(names)
    assert found.groups.to_pylist() == list(by.groups)
    assert (found.bits, found.halvings) == (41, 0)
    np.testing.assert_allclose(found.medians(), by.median(), rtol=2**-12)
    np.testing.assert_allclose(found.means(), by.mean(), rtol=1e-12)
    monkeypatch.setattr(groups, "MOST_ENTRIES", 2000)
    fewer = GroupState.of(WANTED, arrays, None)
    assert fewer.halvings > 0
    assert not fewer.distinct_is_exact
    kept = by.count()[fewer.groups.to_pylist()]
    assert fewer.counts.tolist() == kept.tolist()
    assert len(kept) < 20


def test_plan_json_tells_how_groups_were_learned():
    rows = batch(
        x=pa.array([1.0, 3.0, None, 10.0, None, None]),
        g=pa.array(["a", "a", "a", "b", "b", None]),
    )

    (body,) = json.loads(plan(rows, of=spec(grouped(min_group_rows=2))).to_json())["columns"]

    assert body["by_group"] == {
        "column": "g",
        "type": "string",
        "values": [["a", 2.0]],
        "learned": "median of each of 1 groups; 1 groups have less than 2 values",
    }
    assert body["missing"] == {
        "rule": "by_group",
        "value": 3.0,
        "learned": "median of 3 values",
        "missing_rows": 3,
        "missing_share": 0.5,
        "indicator": True,
    }


def test_a_group_of_another_type_is_refused():
    fitted = plan(batch(**columns([(1.0, "a"), (None, "a")])), of=spec(grouped()))

    with pytest.raises(SchemaMismatchError) as caught:
        fitted.encode(batch(x=pa.array([None], pa.float64()), g=[3]))

    assert str(caught.value) == (
        "table 'rows', column 'g': type is int64, expected a string (fitted on string)\n"
        "  cast it before encoding, or fit again on rows like these"
    )


@settings(max_examples=40)
@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=2, max_size=40))
def test_another_column_fills_a_hole_and_then_the_fallback(cells):
    known = pd.DataFrame(cells, columns=["x", "z"], dtype=float)
    carried = known["x"].fillna(known["z"])
    assume(carried.notna().any())
    rows = batch(
        x=pa.array([x for x, _ in cells], pa.float64()),
        z=pa.array([z for _, z in cells], pa.float64()),
    )
    fitted = plan(rows, of=spec(numeric("x", impute="carry_over", carry_from="z")))

    found = encoded(fitted, rows)

    filled = carried.fillna(carried.median())
    scale = filled.std(ddof=0)
    assume(scale == 0 or scale > 1e-6)
    np.testing.assert_allclose(
        found[:, 0], (filled - filled.mean()) / (scale or 1), rtol=1e-5, atol=1e-5
    )
    missing = known["x"].isna()
    if missing.any():
        assert found[:, 1].tolist() == missing.tolist()
    (column,) = fitted.columns
    assert column.fill.missing_rows == missing.sum()
    assert column.carry.both_missing == carried.isna().sum()
    assert column.carry.rows == missing.sum() - carried.isna().sum()


def test_a_row_where_both_columns_are_missing_can_be_refused():
    rule = numeric("x", impute="carry_over", carry_from="z", fallback="refuse")
    holes = {"x": pa.array([1.0, None, None]), "z": pa.array([None, None, 3.0])}
    whole = batch(x=pa.array([1.0, None]), z=pa.array([None, 2.0]))
    fitted = plan(whole, of=spec(rule))
    with pytest.raises(DataError) as fit:
        plan(batch(**holes), of=spec(rule))
    with pytest.raises(DataError) as encode:
        fitted.encode(batch(**holes))

    assert fitted.encode(whole)[:, 1].tolist() == [0.0, 1.0]
    assert str(fit.value) == (
        "column 'x (or z)': 1 of 3 rows of the train split are missing, expected none, as fallback is "
        "'refuse'\n"
        "  choose another fallback rule for it, or filter those rows in merge.where"
    )
    assert str(encode.value) == (
        "table 'rows', columns 'x' and 'z': both are missing in 1 of 3 rows, the first is row 1, expected "
        "none, as fallback is 'refuse'\n"
        "  mend the rows, or choose another fallback for the column and fit again"
    )


@settings(max_examples=40)
@given(st.lists(st.one_of(NUMBERS, st.sampled_from([-999.0, 9999.0])), min_size=2, max_size=40))
def test_codes_are_missing_cells_in_the_scan_and_when_encoding(cells):
    coded = pa.array(cells, pa.float64())
    plain = pa.array([None if cell in (-999.0, 9999.0) else cell for cell in cells], pa.float64())
    assume(plain.drop_null().to_numpy().size and not np.isnan(plain.drop_null()).all())
    rule = {"impute": "mean", "scale": "standard"}

    found = plan(batch(x=coded), of=spec(numeric("x", missing_values=[-999, 9999], **rule)))
    expected = plan(batch(x=plain), of=spec(numeric("x", **rule)))

    assert found.columns[0].fill == expected.columns[0].fill
    assert encoded(found, batch(x=coded)).tobytes() == expected.encode(batch(x=plain)).tobytes()
    assert json.loads(found.to_json())["columns"][0]["missing_values"] == [-999.0, 9999.0]


def test_whole_numbers_may_have_codes_and_new_rows_have_the_same():
    rows = batch(x=pa.array([1, -1, 3, -1], pa.int32()))
    fitted = plan(rows, of=spec(numeric("x", missing_values=[-1], scale="none")))

    assert encoded(fitted, rows).tolist() == [[1, 0], [2, 1], [3, 0], [2, 1]]
    assert fitted.columns[0].fill.missing_rows == 2


def test_a_day_added_to_another_gives_the_plan_of_both():
    of = spec(
        grouped(min_group_rows=1),
        numeric("z", impute="carry_over", carry_from="x", missing_values=[0], scale="log1p"),
    )
    random = np.random.default_rng(0)
    days = []
    for _ in range(2):
        x = np.where(random.random(500) < 0.3, math.nan, random.integers(0, 50, 500))
        z = np.where(random.random(500) < 0.3, 0.0, random.integers(0, 9, 500))
        days.append(batch(x=x, z=z, g=random.choice(list("abc"), 500)))

    parts = [Statistics.from_json(statistics(day, of=of).to_json()) for day in days]
    from penstock.planning import build_plan

    made = [
        build_plan(each, of, fitted_on={"rows": 1})
        for each in (merge(parts), merge(parts[::-1]), statistics(*days, of=of))
    ]
    assert made[0].to_json() == made[1].to_json() == made[2].to_json()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"impute": "by_group"},
            "features: column 'x' has impute: by_group and no group_by, expected a column\n"
            "  set group_by, or another impute rule",
        ),
        (
            {"impute": "carry_over", "carry_from": "x"},
            "features: column 'x' has carry_from: x, expected another column\n"
            "  set carry_from to another one, or another impute rule",
        ),
        (
            {"impute": "carry_over", "carry_from": "z", "fallback": "constant"},
            "features: column 'x' has fallback: constant and no fill_value, expected a number\n"
            "  set fill_value, or another fallback",
        ),
    ],
)
def test_rules_without_what_they_need_are_refused(options, message):
    rule = NumericFeatures.model_validate(numeric("x", **options))

    assert [str(each) for each in problems("x", "double", rule)] == [message]


def test_columns_that_cannot_fill_are_refused():
    carry = NumericFeatures.model_validate(numeric("x", impute="carry_over", carry_from="s"))
    group = NumericFeatures.model_validate(numeric("x", impute="by_group", group_by="t"))
    types = {"s": "string", "t": "timestamp[us]"}

    found = [*reads_problems("x", carry, types), *reads_problems("x", group, types)]

    assert [str(each) for each in found] == [
        "table 'curated', column 's': type is string, expected a number or boolean\n"
        "  set carry_from of column 'x' to a column of numbers",
        "table 'curated', column 't': type is timestamp[us], expected a string, number, boolean or date\n"
        "  set group_by of column 'x' to a column of names",
    ]
