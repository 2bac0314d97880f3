from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from makers import ORDERS, shop, shop_spec, spec_of
from strategies import numeric
from strategies import spec as table_specs

from penstock import places, ranks, storage
from penstock import split as splits
from penstock.curated import open_curated
from penstock.errors import DataError, InputError, SchemaMismatchError, SpecError
from penstock.merge import merge
from penstock.spec import SplitSpec
from penstock.split import cut, fold_column, hash_column, place, placed, side, split_column

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


# ---- places and folds


def arrays(rows):
    """Arrow columns of rows of (int, text, time), as a key may have."""
    numbers, names, times = zip(*rows, strict=True)
    return [
        pa.array(numbers, pa.int64()),
        pa.array(names, pa.string()),
        pa.array(times, pa.timestamp("us", "UTC")),
    ]


KEYS = st.lists(
    st.tuples(
        st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
        st.one_of(st.none(), st.text(st.characters(codec="utf-8"), max_size=40)),
        st.one_of(st.none(), st.integers(-(10**15), 10**16)),
    ),
    min_size=1,
    max_size=30,
)


@given(KEYS, st.text(st.characters(codec="utf-8"), max_size=3), st.integers(0, 10))
def test_arrow_columns_have_the_places_of_their_texts_row_by_row(rows, salt, cut_at):
    columns = arrays(rows)

    found = places.places(columns, salt=salt)

    texts = places.key_texts(columns, salt=salt).to_pylist()
    cells = [text[len(salt) + 1 :].split("\x1f") for text in texts]
    whole = [row for row in range(len(rows)) if "\x1f" not in (rows[row][1] or "")]
    for row in whole:
        known = [None if cell == "\x00" else cell for cell in cells[row]]
        assert found[row] == place(known, salt=salt)
    later = [column.slice(cut_at) for column in columns]
    np.testing.assert_array_equal(places.places(later, salt=salt), found[cut_at:])


def test_cells_are_written_as_spark_casts_them(spark):
    rows = [
        (1, "é", True, date(2013, 1, 31), datetime(2013, 1, 31, 5, tzinfo=UTC), Decimal("1.50")),
        (-7, None, None, None, datetime(1969, 12, 31, 23, 59, 59, 250_000, tzinfo=UTC), None),
        (None, "", False, date(1, 1, 1), datetime(2013, 1, 1, 0, 0, 0, 1, tzinfo=UTC), Decimal(0)),
    ]
    schema = "a bigint, b string, c boolean, d date, e timestamp, f decimal(9,2)"
    names = ["a", "b", "c", "d", "e", "f"]
    frame = spark.createDataFrame(rows, schema)

    found = frame.select(
        hash_column(names, salt="s").alias("h"), fold_column(names, 7, salt="s").alias("f")
    ).collect()

    table = pa.table(
        {
            "a": pa.array([row[0] for row in rows], pa.int64()),
            "b": pa.array([row[1] for row in rows]),
            "c": pa.array([row[2] for row in rows]),
            "d": pa.array([row[3] for row in rows]),
            "e": pa.array([row[4] for row in rows], pa.timestamp("us", "UTC")),
            "f": pa.array([row[5] for row in rows], pa.decimal128(9, 2)),
        }
    )
    columns = table.combine_chunks().to_batches()[0].columns
    assert [row["h"] % 2**64 for row in found] == places.hashes_of(columns, salt="s").tolist()
    assert [row["f"] for row in found] == places.fold_of(columns, 7, salt="s").tolist()


@given(st.integers(2, 20), st.integers(0, 50))
def test_a_fold_depends_on_its_own_row_alone_and_folds_are_even(folds, more):
    ids = pa.array(np.arange(2000 + more))

    found = places.fold_of([ids], folds)

    np.testing.assert_array_equal(found[:2000], places.fold_of([ids.slice(0, 2000)], folds))
    shares = np.bincount(found, minlength=folds) / len(found)
    assert (np.abs(shares * folds - 1) < 0.5).all()


# ---- what a spec may say


@pytest.mark.parametrize(
    ("given_", "problem"),
    [
        ({"by": "group"}, "split: by is group, so columns is needed"),
        ({"by": "time"}, "split: by is time, so column is needed"),
        ({"gap": "7 days"}, "split.gap: by is hash; this is for by: time"),
        ({"by": "time", "column": "day", "salt": "x"}, "split.salt: by is time; this is for by: hash or group or stratified"),
        ({"by": "stratified", "columns": ["day"]}, "split.columns: by is stratified; this is for by: hash or group"),
        ({"by": "time", "column": "day", "gap": "a week"}, "split.gap: found 'a week', expected a number and one of second, minute, hour, day, week: '7 days'"),
        ({"by": "time", "column": "day", "gap": -1}, "split.gap: found -1, expected 0 or more"),
        ({"by": "time", "column": "day", "boundaries": ["2024-01-01"]}, "split.boundaries: found 1, expected 2: where validation begins, and where test does"),
        ({"by": "time", "column": "day", "boundaries": ["2024-02-01", "2024-01-01"]}, "split.boundaries: found '2024-02-01' before '2024-01-01', expected the earlier one first"),
        ({"by": "time", "column": "day", "boundaries": [1, 2], "train": 0.7}, "split.train: boundaries are given, so shares decide nothing; keep one"),
        ({"train": 0.7}, "split: train + validation + test is 0.9, expected 1"),
        ({"by": "tim"}, "split.by: found 'tim', expected 'hash', 'group', 'time' or 'stratified'; did you mean 'time'?"),
        ({"gapp": 1}, "split.gapp: unknown key; did you mean 'gap'?"),
    ],
)  # fmt: skip
def test_what_does_not_fit_together_is_told_whole(given_, problem):
    with pytest.raises(SpecError) as caught:
        spec_of(shop_spec(split=given_))

    assert str(caught.value).split(", ", 1)[1] == problem
    assert str(caught.value).startswith("p.yaml: 1 problem\n  line ")


# ---- shares


@given(st.integers(0, 10_000), st.integers(1, 98), st.integers(1, 98))
def test_cuts_hold_the_shares_within_a_row(rows, train, validation):
    assume(train + validation < 100)
    test = round(1 - (train + validation) / 100, 10)
    spec = SplitSpec(train=train / 100, validation=validation / 100, test=test)

    first, second = cut(rows, spec)

    sizes = np.array([first, second - first, rows - second])
    assert (sizes >= 0).all()
    assert (
        np.abs(sizes - np.array([train, validation, test * 100]) / 100 * rows) <= 1 + 1e-6
    ).all()


@settings(max_examples=2, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32 - 1))
def test_ranks_are_those_of_a_sort(spark, seed):
    random = np.random.default_rng(seed)
    values = {
        "a": random.integers(-(2**61), 2**61, 500),
        "b": random.integers(0, 5, 200),
        "c": np.array([7]),
    }
    rows = [(name, int(value)) for name, each in values.items() for value in each]
    frame = spark.createDataFrame(rows, f"{ranks.CLASS} string, {ranks.VALUE} bigint").cache()
    wanted = {name: [0, len(each) // 2, len(each) - 1] for name, each in values.items()}

    found = ranks.ranked(frame, ranks.spans(frame, most=10), wanted)

    frame.unpersist()
    for name, each in values.items():
        expected = np.sort(each)[wanted[name]]
        assert [rank.value for rank in found[name]] == expected.tolist()
        assert [rank.below for rank in found[name]] == [(each < v).sum() for v in expected]
        assert [rank.rows for rank in found[name]] == [(each == v).sum() for v in expected]


# ---- rows of Spark


def events(count, first=0):
    """Rows of (id, who, day, kind): 40 customers, some unknown; 100 days; kinds of unequal size."""
    return [
        (
            i,
            None if i % 50 == 49 else f"c{i % 40}",
            date(2024, 1, 1) + timedelta(days=(i * 7919) % 100),
            "rare" if i % 31 == 0 else None if i % 97 == 0 else "common",
        )
        for i in range(first, first + count)
    ]


SCHEMA = "id bigint, who string, day date, kind string"


def table_spec(**split):
    return table_specs(numeric("id"), split=split, merge={"base": "s", "key": ["id"]})


def sides_of(spark, rows, partitions=2, **split):
    frame = spark.createDataFrame(rows, SCHEMA).repartition(partitions)
    found = placed(frame, table_spec(**split))
    return {row["id"]: row["split"] for row in found.rows.select("id", "split").collect()}, found


GROUP = {"by": "group", "columns": ["who"], "nulls": "own"}
PINNED = {
    "by": "time",
    "column": "day",
    "boundaries": ["2024-03-01", "2024-03-20"],
    "gap": "3 days",
}


@pytest.mark.parametrize("split", [{}, GROUP, PINNED], ids=["hash", "group", "time"])
def test_added_rows_and_other_partitions_move_no_row(spark, split):
    few, _ = sides_of(spark, events(600), **split)

    more, _ = sides_of(spark, events(300, 600) + events(600)[::-1], partitions=5, **split)

    assert len(more) == 900
    assert {row: more[row] for row in few} == few
    assert set(filter(None, few.values())) == {"train", "validation", "test"}


def test_a_group_is_on_one_side_and_a_row_without_one_is_its_own(spark):
    found, made = sides_of(spark, events(2000), **GROUP)

    by_group = {}
    for row, who, *_ in events(2000):
        by_group.setdefault(who, set()).add(found[row])
    assert {len(sides) for who, sides in by_group.items() if who is not None} == {1}
    assert len(by_group) > 30
    assert by_group[None] == {"train", "validation", "test"}
    assert made.record == {"by": "group", "columns": ["who"]}


def test_time_goes_by_exact_boundaries_with_a_gap(spark):
    found, made = sides_of(spark, events(1000), by="time", column="day", gap="3 days")

    days = {row: day for row, _, day, _ in events(1000)}
    first, second = (date.fromisoformat(each) for each in made.record["boundaries"])
    assert (first, second) == (
        date(2024, 3, 21),
        date(2024, 3, 31),
    )  # 10 rows a day: the 80th, the 90th
    for row, day in days.items():
        gap = timedelta(days=3)
        expected = (
            "test" if day >= second
            else None if day >= second - gap
            else "validation" if day >= first
            else None if day >= first - gap
            else "train"
        )  # fmt: skip
        assert found[row] == expected
    assert made.record == {
        "by": "time", "columns": ["day"], "boundaries": ["2024-03-21", "2024-03-31"],
        "gap": "3 days", "gap_rows": 60,
    }  # fmt: skip
    assert made.notes == (
        "split: by day, validation begins at 2024-03-21 and test at 2024-03-31; added rows may move "
        "that: to keep it, set split.boundaries: ['2024-03-21', '2024-03-31']",
    )


def test_rows_of_one_value_stay_on_one_side_and_the_nearest_boundary_is_taken(spark):
    rows = [
        (i, "c", date(2024, 1, 1 + (0 if i < 3 else 1 if i < 70 else 2 if i < 97 else 3)), "k")
        for i in range(100)
    ]

    found, made = sides_of(spark, rows, by="time", column="day")

    # 80 rows would be train: of the values, 70 end before the third day. Of 90, 97 end before the fourth.
    assert made.record["boundaries"] == ["2024-01-03", "2024-01-04"]
    assert [list(found.values()).count(s) for s in ("train", "validation", "test")] == [70, 27, 3]


@pytest.mark.parametrize("partitions", [1, 5])
def test_stratified_shares_hold_in_each_class_within_a_row(spark, partitions):
    rows = [*events(1000), (5000, "c", date(2024, 1, 1), "single")]

    found, made = sides_of(
        spark, rows, partitions, by="stratified", column="kind", train=0.7, validation=0.2, test=0.1
    )

    kinds = {}
    for row, _, _, kind in rows:
        kinds.setdefault(kind, []).append(found[row])
    for each in kinds.values():
        sizes = np.array([each.count(side_) for side_ in ("train", "validation", "test")])
        assert (np.abs(sizes - np.array([0.7, 0.2, 0.1]) * len(each)) <= 1).all()
    again, _ = sides_of(
        spark, rows[::-1], 3, by="stratified", column="kind", train=0.7, validation=0.2, test=0.1
    )
    assert again == found
    assert made.record == {"by": "stratified", "columns": ["kind"], "classes": 4}
    assert made.notes == (
        "split: 1 class has too few rows of 'kind' for all sides: 'single' (1 row: none in validation "
        "and test)",
    )


def frame_of(spark, **change):
    rows = [(i, "c", date(2024, 1, 1) + timedelta(days=i), "k") for i in range(20)]
    return spark.createDataFrame(rows, SCHEMA).selectExpr(
        *[f"{change.get(name, name)} as {name}" for name in ("id", "who", "day", "kind")]
    )


@pytest.mark.parametrize(
    ("change", "split", "error", "message"),
    [
        ({"day": "cast(day as string)"}, {"by": "time", "column": "day"}, SchemaMismatchError,
         "table 'merge', column 'day': type is string, expected date, timestamp or a whole number, as split.by is time\n"
         "  declare its type in sources.<name>.columns, or derive one in merge.derive"),
        ({"day": "nullif(day, date'2024-01-05')"}, {"by": "time", "column": "day"}, DataError,
         "split by time: 1 of 20 rows have no day, expected a date in each\n"
         "  filter them in merge.where, or derive a time"),
        ({"day": "date'2024-01-05'"}, {"by": "time", "column": "day"}, DataError,
         "split by time: 20 of 20 rows have day '2024-01-05'; rows of one value stay on one side, so none is left "
         "for another\n  name the boundaries in split.boundaries, or split by a finer column"),
        ({}, {"by": "time", "column": "day", "gap": "12 hours"}, InputError,
         "split.gap: found '12 hours', expected whole days, such as '7 days': column 'day' is a date\n"
         "  change the gap, or the type of the column"),
        ({}, {"by": "time", "column": "day", "boundaries": [1, 2]}, InputError,
         "split.boundaries: found 1, expected a date such as '2024-01-31', as column 'day' is\n"
         "  correct the boundary, or the type of the column"),
        ({}, {"by": "time", "column": "day", "boundaries": ["2024-01-04", "2024-01-06"], "gap": "5 days"}, DataError,
         "split by time: no row is left for train with boundaries '2024-01-04' and '2024-01-06' and gap '5 days', "
         "of 20 rows (train 0, validation 0, test 15, gap 5)\n"
         "  move split.boundaries or the shares, or make split.gap smaller"),
        ({"kind": "cast(day as string)"}, {"by": "stratified", "column": "kind"}, DataError,
         "split.column 'kind' has more than 10 classes, expected few, each with rows for all sides\n"
         "  derive a coarser column in merge.derive, or split by hash"),
    ],
)  # fmt: skip
def test_a_split_that_cannot_be_made_says_why(spark, monkeypatch, change, split, error, message):
    monkeypatch.setattr(splits, "MAX_CLASSES", 10)

    with pytest.raises(error) as caught:
        placed(frame_of(spark, **change), table_spec(**split))

    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("expression", "boundaries", "gap", "shown"),
    [
        ("cast(id as int)", [14, 17], 2, [14, 17]),
        ("cast(day as timestamp)", ["2024-01-15", "2024-01-18T01:00:00+01:00"], "2 days",
         ["2024-01-15 00:00:00", "2024-01-18 00:00:00"]),
        ("cast(day as timestamp_ntz)", ["2024-01-15 00:00", "2024-01-18"], "48 hours",
         ["2024-01-15 00:00:00", "2024-01-18 00:00:00"]),
    ],
    ids=["int", "timestamp", "ntz"],
)  # fmt: skip
def test_numbers_and_times_go_by_given_boundaries(spark, expression, boundaries, gap, shown):
    frame = frame_of(spark).selectExpr("id", f"{expression} as at")

    made = placed(frame, table_spec(by="time", column="at", boundaries=boundaries, gap=gap))

    found = {row["id"]: row["split"] for row in made.rows.collect()}
    sides_ = ["train"] * 12 + [None] * 2 + ["validation"] + [None] * 2 + ["test"] * 3
    assert [found[i] for i in range(20)] == sides_
    assert (made.record["boundaries"], made.record["gap_rows"]) == (shown, 4)


# ---- through the merge


def merged(spark, root, orders, **split):
    spec = spec_of(shop_spec(split=split))
    return merge(
        spark,
        spec,
        inputs={name: str(root / source.path) for name, source in spec.sources.items()},
        quarantine_uri=str(root / "quarantine"),
        target=str(shop(root, orders=orders) / "curated"),
    )


def orders_of(count):
    return [
        ORDERS[0],
        *[
            f"{i},2024-01-{1 + i % 28:02},{'' if i % 40 == 39 else f'c{i % 30}'},{i}.5,{'true' if i % 3 else 'false'}"
            for i in range(count)
        ],
    ]


@pytest.mark.parametrize(
    ("split", "splits_", "rows"),
    [
        ({"by": "time", "column": "day", "gap": "2 days"},
         {"train": 200, "validation": 10, "test": 30}, {"base": 280, "curated": 240, "filtered": 0, "gap": 40}),
        ({"by": "stratified"},
         {"train": 224, "validation": 28, "test": 28}, {"base": 280, "curated": 280, "filtered": 0}),
    ],
    ids=["time", "stratified"],
)  # fmt: skip
def test_a_merge_counts_its_sides_and_its_gap(spark, tmp_path, split, splits_, rows):
    made = merged(spark, tmp_path, orders_of(280), **split)

    assert made.record["splits"] == splits_
    assert made.record["rows"] == rows
    assert made.record["split"]["by"] == split["by"]
    assert open_curated(str(tmp_path / "curated")) == made.curated
    assert made.record["warnings"] == []


def test_a_merge_by_group_refuses_rows_without_one_and_leaves_no_table(spark, tmp_path):
    with pytest.raises(DataError) as caught:
        merged(spark, tmp_path, orders_of(80), by="group", columns=["customer"])

    assert str(caught.value) == (
        "split by group: 2 of 80 rows have a null in customer, expected a group in each\n"
        "  set split.nulls: own, so that each of them is a group of its own, filter them in merge.where, "
        "or derive a group"
    )
    assert not storage.exists(str(tmp_path / "curated" / "table.json"))
