"""Checks before the scan; and the stage on real Spark."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from strategies import categorical, numeric, spec

from penstock import fit
from penstock.curated import SPLITS, Curated, CuratedFile
from penstock.errors import EmptyTableError, InputError, MissingColumnsError, SchemaMismatchError
from penstock.plan import FeaturePlan
from penstock.statistics import Statistics

COLUMNS = (
    ("id", "string"),
    ("y", "int32"),
    ("n", "double"),
    ("k", "int64"),
    ("c", "string"),
    ("at", "timestamp[us, tz=UTC]"),
)
GROUPS = (numeric("n", "k"), categorical("c", min_frequency=0.02))


def table(columns=COLUMNS, rows=100):
    files = tuple(
        CuratedFile(path=f"{split}.parquet", split=split, rows=rows, size_bytes=1)
        for split in SPLITS
    )
    return Curated(uri="lake", files=files, key=("id",), columns=columns, digest="d")


def test_a_spec_that_fits_the_table_gives_the_label_rule():
    rule = fit.check(table(), spec(*GROUPS))

    assert (rule.column, rule.type, rule.task, rule.classes) == ("y", "int32", "binary", (0, 1))


@pytest.mark.parametrize(
    ("groups", "options", "kind", "message"),
    [
        (
            [numeric("n", "nn", "k2")],
            {},
            MissingColumnsError,
            "table 'curated' lacks 2 columns: 'nn', 'k2'\n"
            "  it has: 'id', 'y', 'n', 'k', 'c', 'at'\n"
            "  did you mean 'n' for 'nn'?\n"
            "  did you mean 'k' for 'k2'?",
        ),
        (
            [numeric("n", "y")],
            {},
            InputError,
            "features: 'y' is the label, expected columns that are known before it is\n"
            "  take it out of features",
        ),
        (
            [numeric("n", "k"), categorical("k")],
            {},
            InputError,
            "features: listed more than once: 'k'\n  keep one of each",
        ),
        (
            [numeric("c")],
            {},
            SchemaMismatchError,
            "table 'curated', column 'c': type is string, expected a number or boolean\n"
            "  list it under kind: categorical, or derive a number from it in merge.derive",
        ),
        (
            [categorical("at")],
            {},
            SchemaMismatchError,
            "table 'curated', column 'at': type is timestamp[us, tz=UTC], expected a string, number, boolean "
            "or date\n"
            "  derive a name or a number from it in merge.derive, as hour(...) of a timestamp",
        ),
        (
            [numeric("n", impute="constant")],
            {},
            InputError,
            "features: column 'n' has impute: constant and no fill_value, expected a number\n"
            "  set fill_value, or another impute rule",
        ),
        (
            [numeric("n")],
            {"label": {"column": "c"}},
            SchemaMismatchError,
            "table 'curated', column 'c': type is string, expected a number or boolean\n"
            "  list its values in label.classes, in the order of their class numbers",
        ),
        (
            [numeric("n")],
            {"label": {"column": "c"}, "task": "regression"},
            SchemaMismatchError,
            "table 'curated', column 'c': type is string, expected a number or boolean\n"
            "  derive a number from it in merge.derive",
        ),
        (
            [numeric("n")],
            {"label": {"column": "c", "classes": ["a", "b", "c"]}},
            InputError,
            "label.classes: 3 values, expected 2 for task 'binary'\n  correct label.classes, or task",
        ),
        (
            [numeric("n")],
            {"label": {"column": "c", "classes": ["1", 1]}},
            InputError,
            "label.classes: ['1', 1] repeats a value\n  name each class once",
        ),
        (
            [numeric("c", "y"), categorical("gone")],
            {},
            InputError,
            "3 problems\n"
            "table 'curated' lacks 1 column: 'gone'\n"
            "  it has: 'id', 'y', 'n', 'k', 'c', 'at'\n"
            "features: 'y' is the label, expected columns that are known before it is\n"
            "  take it out of features\n"
            "table 'curated', column 'c': type is string, expected a number or boolean\n"
            "  list it under kind: categorical, or derive a number from it in merge.derive",
        ),
    ],
)
def test_a_spec_that_does_not_fit_the_table_is_refused_before_anything_is_read(
    groups, options, kind, message
):
    with pytest.raises(kind) as caught:
        fit.check(table(), spec(*groups, **options))

    assert type(caught.value) is kind
    assert str(caught.value) == message


def test_an_empty_train_split_is_refused():
    with pytest.raises(EmptyTableError) as caught:
        fit.check(table(rows=0), spec(*GROUPS))

    assert str(caught.value) == (
        "table 'curated/split=train' has 0 rows, expected at least 1\n"
        "  add rows to the sources, or raise split.train in the spec"
    )


NAMES = np.array(["a", "b", "c", "rare", None])


def rows(count, seed):
    random = np.random.default_rng(seed)
    label = random.integers(0, 2, count)
    number = random.normal(size=count) + label
    return pa.table(
        {
            "id": [f"{seed}-{i}" for i in range(count)],
            "y": pa.array(label, pa.int32()),
            "n": pa.array(np.where(random.random(count) < 0.1, np.nan, number), from_pandas=True),
            "k": random.integers(0, 50, count),
            "c": pa.array(random.choice(NAMES, count, p=[0.5, 0.3, 0.1, 0.01, 0.09])),
            "at": pa.array(np.arange(count), pa.timestamp("us", "UTC")),
        }
    )


def lake(folder, sizes):
    """A curated table of several files; ``sizes`` are rows per file of each split."""
    files = []
    for split, counts in sizes.items():
        for number, count in enumerate(counts):
            path = f"split={split}/part-{number}.parquet"
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(
                rows(count, number + 10 * len(split)), folder / path, row_group_size=1000
            )
            size = (folder / path).stat().st_size
            files.append(CuratedFile(path=path, split=split, rows=count, size_bytes=size))
    curated = Curated(uri=str(folder), files=tuple(files), key=("id",), columns=COLUMNS, digest="d")
    curated.save()
    return curated


SIZES = {"train": [30_000, 5000, 2500], "validation": [100], "test": [100]}


@pytest.fixture(scope="module")
def curated(tmp_path_factory):
    return lake(tmp_path_factory.mktemp("lake"), SIZES)


@pytest.fixture(scope="module")
def fitted(spark, curated) -> Any:
    return fit.fit(spark, curated, spec(*GROUPS))


@pytest.fixture(scope="module")
def frame(curated):
    parts = [pq.read_table(curated.uri_of(file)).to_pandas() for file in curated.of("train")]
    return pd.concat(parts, ignore_index=True)


def test_fit_runs_one_spark_job(spark, curated):
    tracker = spark.sparkContext.statusTracker()
    spark.sparkContext.setJobGroup("count-fit", "one fit")

    fit.fit(spark, curated, spec(*GROUPS))

    assert len(tracker.getJobIdsForGroup("count-fit")) == 1
    spark.sparkContext.setLocalProperty("spark.jobGroup.id", None)


def test_the_plan_is_that_of_the_train_split_alone(fitted, frame):
    number, whole, name = fitted.plan.columns

    assert fitted.plan.fitted_on == {"curated": "d", "split": "train", "rows": 37_500}
    assert number.fill.value == pytest.approx(frame["n"].median(), rel=2**-12)
    assert number.fill.missing_rows == frame["n"].isna().sum()
    filled = frame["n"].fillna(number.fill.value)
    assert number.scaling.mean == pytest.approx(filled.mean(), rel=1e-12)
    assert number.scaling.scale == pytest.approx(filled.std(ddof=0), rel=1e-12)
    assert whole.fill.value == frame["k"].median()
    counts = frame["c"].fillna("(missing)").value_counts()
    frequent = counts[counts >= 0.02 * 37_500]
    assert dict(name.encoding.vocabulary.categories) == frequent.to_dict()
    assert (name.encoding.vocabulary.rare_values, name.encoding.vocabulary.rare_rows) == (
        1,
        counts["rare"],
    )
    assert fitted.plan.names == (
        "n",
        "n__missing",
        "k",
        "c=a",
        "c=b",
        "c=c",
        "c=(missing)",
        "c=(rare)",
    )


def test_the_profile_shows_all_columns_with_their_roles(fitted, frame):
    columns = {column["name"]: column for column in fitted.profile["columns"]}

    assert (fitted.profile["rows"], fitted.profile["label"]) == (37_500, "y")
    assert {name: (c["kind"], c["role"]) for name, c in columns.items()} == {
        "id": ("categorical", "key"),
        "y": ("numeric", "label"),
        "n": ("numeric", "feature"),
        "k": ("numeric", "feature"),
        "c": ("categorical", "feature"),
        "at": ("other", "unused"),
    }
    n, c = columns["n"], columns["c"]
    assert (n["missing"], n["min"], n["max"]) == (
        frame["n"].isna().sum(),
        frame["n"].min(),
        frame["n"].max(),
    )
    assert n["std"] == pytest.approx(frame["n"].std(ddof=0))
    assert n["quantiles"]["0.25"] == pytest.approx(frame["n"].quantile(0.25), rel=2**-10)
    assert len(n["histogram"]["edges"]) == len(n["histogram"]["counts"]) + 1 == 31
    assert sum(n["histogram"]["counts"]) == frame["n"].notna().sum()
    assert n["label_correlation"] == pytest.approx(frame["n"].corr(frame["y"]), abs=1e-5)
    assert c["top"][0] == {
        "value": "a",
        "count": (frame["c"] == "a").sum(),
        "label_mean": pytest.approx(frame["y"][frame["c"] == "a"].mean()),
    }
    assert (c["distinct"], c["distinct_is_exact"], c["missing"]) == (
        4,
        True,
        frame["c"].isna().sum(),
    )
    assert columns["id"]["distinct"] == pytest.approx(frame["id"].nunique(), rel=0.1)
    assert fitted.profile["correlation"]["columns"] == ["y", "n", "k"]
    expected = frame[["y", "n", "k"]].corr().to_numpy()
    np.testing.assert_allclose(fitted.profile["correlation"]["matrix"], expected, atol=1e-5)


def test_two_fits_in_different_folders_write_the_same_bytes(spark, fitted, tmp_path):
    again = fit.fit(spark, lake(tmp_path / "other", SIZES), spec(*GROUPS))

    again.save(str(tmp_path / "one"))
    fitted.save(str(tmp_path / "two"))

    written = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert written == ["plan.json", "profile.json", "statistics.json"]
    for name in written:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    text = (tmp_path / "one" / "plan.json").read_text()
    assert FeaturePlan.from_json(text).to_json() == text
    statistics = (tmp_path / "one" / "statistics.json").read_text()
    assert Statistics.from_json(statistics).to_json() == statistics
    assert json.loads((tmp_path / "one" / "profile.json").read_text()) == fitted.profile


def test_a_file_cut_in_other_places_gives_the_same_fit(spark, fitted, tmp_path):
    parts = lake(tmp_path, SIZES)
    whole = pa.concat_tables([pq.read_table(parts.uri_of(file)) for file in parts.of("train")])
    pq.write_table(whole, tmp_path / "all.parquet")
    file = CuratedFile(path="all.parquet", split="train", rows=whole.num_rows, size_bytes=1)
    one = dataclasses.replace(parts, files=(file, *parts.of("validation"), *parts.of("test")))

    again: Any = fit.fit(spark, one, spec(*GROUPS))

    assert [c.fill for c in again.plan.columns] == [c.fill for c in fitted.plan.columns]
    assert again.plan.columns[2] == fitted.plan.columns[2]
    means = [made.plan.columns[0].scaling.mean for made in (again, fitted)]
    assert means[0] == pytest.approx(means[1], rel=1e-9)


def test_labels_of_several_classes_have_no_mean(spark, curated):
    made = fit.fit(spark, curated, spec(*GROUPS[1:], task="multiclass", label={"column": "k"}))

    columns = {column["name"]: column for column in made.profile["columns"]}
    assert made.plan.classes == tuple(range(50))
    assert columns["c"]["top"][0]["label_mean"] is None
    assert columns["n"]["label_correlation"] is None


def test_an_error_of_the_data_is_told_after_the_scan(spark, curated):
    with pytest.raises(InputError) as caught:
        fit.fit(spark, curated, spec(categorical("id")))

    assert str(caught.value) == (
        "features: width would be 37,500, dataset.max_width is 10,000\n"
        "  column 'id' alone makes 37,500 columns (one_hot of 37,500 values)\n"
        "  set min_frequency or max_categories on it, or encode: target, frequency, ordinal or hash; leave "
        "it out, or raise dataset.max_width"
    )


@pytest.mark.parametrize(
    ("rows", "columns", "parts"),
    [
        (1, 5, 1),
        (16_384, 5, 1),
        (40_000, 5, 3),
        (300_000, 40, 8),
        (3_000_000, 40, 29),
        (10**12, 100, 1024),
    ],
)
def test_how_a_table_is_cut_depends_on_its_size_only(rows, columns, parts):
    named = tuple((f"c{n}", "double") for n in range(columns))
    file = CuratedFile(path="f", split="train", rows=rows, size_bytes=1)
    made = Curated(uri="u", files=(file,), key=("c0",), columns=named, digest="d")

    assert fit.scan_tasks(made) == parts


def test_a_profile_of_a_column_without_values_has_nothing_to_show():
    from strategies import batch, statistics

    from penstock.columnprofile import profile, profile_json

    of = spec(numeric("n"))
    found = profile(
        statistics(batch(n=pa.nulls(2, pa.float64())), of=of), label="y", features=["n"], key=[]
    )

    column = found["columns"][0]
    assert (column["missing_share"], column["mean"], column["histogram"], column["quantiles"]) == (
        1,
        None,
        None,
        {},
    )
    assert not math.isnan(json.loads(profile_json(found))["columns"][1]["mean"])
