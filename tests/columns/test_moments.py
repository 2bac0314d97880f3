"""Parts of dates and timestamps, against pandas."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import batch, plan, spec

from penstock.columns.moments import PERIODS, problems
from penstock.errors import DataError, SchemaMismatchError
from penstock.plan import FeaturePlan
from penstock.spec import DatetimeFeatures

PARTS = ["year", "month", "day", "weekday", "dayofyear", "hour", "minute", "elapsed_days"]
MOMENTS = st.lists(
    st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)), min_size=2, max_size=20
)
KINDS = ["s", "ms", "us", "ns"]


def moments(*names, **options):
    return {"kind": "datetime", "columns": list(names), **options}


def encoded(fitted, rows):
    again = FeaturePlan.from_json(fitted.to_json())
    assert again.to_json() == fitted.to_json()
    return again.encode(rows)


def of_pandas(series, name):
    return {
        "weekday": lambda: series.dt.weekday,
        "dayofyear": lambda: series.dt.dayofyear,
        "elapsed_days": lambda: (series - series.min()) / pd.Timedelta(days=1),
    }.get(name, lambda: getattr(series.dt, name))()


@given(MOMENTS, st.sampled_from(KINDS), st.sampled_from([None, "UTC", "America/New_York"]))
def test_parts_are_those_of_utc(cells, unit, zone):
    known = pd.Series(cells, dtype="datetime64[us]").dt.floor(unit)
    array = pa.array(known.to_numpy()).cast(pa.timestamp(unit)).cast(pa.timestamp(unit, zone))
    rule = moments("t", parts=PARTS, cyclic=list(PERIODS), scale="none")

    fitted = plan(batch(t=array), of=spec(rule))

    found = encoded(fitted, batch(t=array))
    assert fitted.names[: len(PARTS)] == tuple(f"t__{part}" for part in PARTS)
    for at, name in enumerate(PARTS):
        np.testing.assert_allclose(found[:, at], of_pandas(known, name), rtol=1e-6, atol=1e-6)
    for at, (name, (start, period)) in enumerate(PERIODS.items()):
        angle = 2 * np.pi * (of_pandas(known, name) - start) / period
        first = len(PARTS) + 2 * at
        assert fitted.names[first : first + 2] == (f"t__{name}_sin", f"t__{name}_cos")
        np.testing.assert_allclose(found[:, first], np.sin(angle), atol=1e-6)
        np.testing.assert_allclose(found[:, first + 1], np.cos(angle), atol=1e-6)


def test_scaled_parts_lie_between_0_and_1_on_the_train_split():
    days = pa.array([date(2020, 1, 1), date(2021, 12, 31), date(2020, 12, 31)])
    parts = ["year", "month", "day", "weekday", "dayofyear", "elapsed_days"]

    fitted = plan(batch(t=days), of=spec(moments("t", parts=parts, cyclic=[])))

    found = encoded(fitted, batch(t=days))
    expected = [
        [0, 0, 0, 2 / 6, 0, 0],
        [1, 1, 1, 4 / 6, 364 / 365, 1],
        [0, 1, 1, 3 / 6, 1, 365 / 730],
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert fitted.columns[0].reference == "2020-01-01T00:00:00Z"


def test_a_missing_moment_is_the_median_one_and_says_so():
    cells = [datetime(2024, 1, 1), datetime(2024, 1, 3), None, datetime(2024, 2, 1)]
    rows = batch(t=pa.array(cells, pa.timestamp("us")))

    fitted = plan(rows, of=spec(moments("t", parts=["day"], cyclic=[], scale="none")))

    assert fitted.names == ("t__day", "t__missing")
    assert encoded(fitted, rows).tolist() == [[1, 0], [3, 0], [3, 1], [1, 0]]
    fill = fitted.columns[0].fill
    assert (fill.value, fill.learned) == ("2024-01-03T00:00:00Z", "median of 3 values")


def test_the_median_of_dates_is_a_date():
    days = pa.array([date(2024, 1, 1), date(2024, 1, 4), None])

    fitted = plan(batch(t=days), of=spec(moments("t")))

    assert fitted.columns[0].fill.value == "2024-01-02T00:00:00Z"


def test_a_constant_moment_is_read_in_its_zone():
    given = datetime(2024, 5, 1, 1, tzinfo=timezone(timedelta(hours=2)))
    rule = moments(
        "t", parts=["day", "hour"], cyclic=[], scale="none", impute="constant", fill_value=given
    )
    rows = batch(t=pa.array([datetime(2024, 1, 1, tzinfo=UTC), None], pa.timestamp("s", "UTC")))

    fitted = plan(rows, of=spec(rule))

    assert fitted.columns[0].fill.value == "2024-04-30T23:00:00Z"
    assert encoded(fitted, rows).tolist() == [[1, 0, 0], [30, 23, 1]]
    nothing = batch(t=pa.nulls(2), y=[0, 1])
    assert encoded(fitted, nothing).tolist() == [[30, 23, 1], [30, 23, 1]]


def test_missing_moments_and_other_types_are_refused():
    days = pa.array([date(2024, 1, 1), date(2024, 1, 2)])
    fitted = plan(batch(t=days), of=spec(moments("t", impute="refuse")))

    with pytest.raises(DataError) as missing:
        fitted.encode(batch(t=pa.array([date(2024, 1, 1), None])))
    with pytest.raises(SchemaMismatchError) as other:
        fitted.encode(batch(t=["2024-01-01"]))

    assert str(missing.value) == (
        "table 'rows', column 't': 1 of 2 rows are missing, the first is row 1, expected none, as impute "
        "is 'refuse'\n  mend the rows, or choose another impute rule for the column and fit again"
    )
    assert str(other.value) == (
        "table 'rows', column 't': type is string, expected a date or a timestamp (fitted on date32[day])\n"
        "  cast it before encoding, or fit again on rows like these"
    )


def test_moments_that_are_all_missing_teach_nothing():
    with pytest.raises(DataError) as caught:
        plan(batch(t=pa.nulls(2, pa.date32())), of=spec(moments("t")))

    assert str(caught.value) == (
        "column 't': all 2 rows of the train split are missing, expected some values to learn impute: "
        "median from\n  leave it out of features, or set impute: constant and fill_value"
    )


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (
            "string",
            {},
            "table 'curated', column 't': type is string, expected a date or a timestamp\n"
            "  declare it as a timestamp in its source, or derive one in merge.derive",
        ),
        (
            "date32[day]",
            {"parts": ["hour"], "cyclic": ["minute"]},
            "features: column 't' is date32[day], and has hour and minute in parts or cyclic, expected "
            "those of a day\n  take them out, or use a timestamp",
        ),
        (
            "timestamp[us]",
            {"parts": [], "cyclic": []},
            "features: column 't' has no parts and no cyclic ones, expected one at least\n"
            "  set parts or cyclic, or leave the column out",
        ),
        (
            "timestamp[us]",
            {"parts": ["day", "day"]},
            "features: column 't' has parts: ['day', 'day'], expected each once\n  keep one of each",
        ),
    ],
)
def test_rules_that_make_no_sense_are_refused(kind, options, message):
    rule = DatetimeFeatures.model_validate(moments("t", **options))

    assert [str(each) for each in problems("t", kind, rule)] == [message]


def test_parts_of_moments_before_1970_are_whole():
    rows = batch(
        t=pa.array([datetime(1969, 12, 31, 23, 59), datetime(1900, 3, 1)], pa.timestamp("ns"))
    )
    rule = moments("t", parts=["year", "day", "hour", "minute"], cyclic=[], scale="none")

    found = encoded(plan(rows, of=spec(rule)), rows)

    assert found.tolist() == [[1969, 31, 23, 59], [1900, 1, 0, 0]]
    assert math.isclose(found[0, 0], 1969)
