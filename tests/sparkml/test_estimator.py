"""FeaturePlanEstimator.fit on real Spark: one job, and the plan of penstock fit."""

from __future__ import annotations

from dataclasses import replace

import pyarrow.parquet as pq
import pytest
from pyspark.sql import functions as F

from penstock import fit
from penstock.curated import Curated, CuratedFile
from penstock.errors import (
    DataError,
    EmptyTableError,
    InputError,
    MissingColumnsError,
    SchemaMismatchError,
)
from penstock.statistics import merge


def curated_of(folder, table):
    """The same file as a curated table, as the merge stage leaves it."""
    schema = pq.read_schema(folder / "train.parquet")
    file = CuratedFile(path="train.parquet", split="train", rows=table.num_rows, size_bytes=1)
    columns = tuple((field.name, str(field.type)) for field in schema)
    return Curated(uri=str(folder), files=(file,), key=("id",), columns=columns, digest="d")


def test_the_plan_is_that_of_penstock_fit_on_the_same_rows(
    spark, folder, train, estimator, train_frame
):
    params = estimator(select={"min_variance": 0, "drop_duplicates": True})

    found = params.fit(train_frame)
    expected = fit.fit(spark, curated_of(folder, train), params.spec()).plan

    origin = {"curated": "DataFrame", "split": "train", "rows": 900}
    assert replace(expected, fitted_on=origin).to_json() == found.plan.to_json()


def test_fit_runs_one_spark_job(spark, estimator, train_frame):
    tracker = spark.sparkContext.statusTracker()
    spark.sparkContext.setJobGroup("count-ml-fit", "one fit")

    estimator().fit(train_frame)

    assert len(tracker.getJobIdsForGroup("count-ml-fit")) == 1
    spark.sparkContext.setLocalProperty("spark.jobGroup.id", None)


def test_any_frame_gives_the_same_fit_whatever_its_partitions(spark, model, estimator, train_frame):
    parts = train_frame.repartition(7, "b").withColumn("k", F.col("k") + 1 - 1)
    sizes = parts.select(F.spark_partition_id().alias("p")).groupBy("p").count().count()

    found = estimator().fit(parts)

    assert sizes < parts.rdd.getNumPartitions()  # the others are empty
    assert found.plan.names == model.plan.names
    assert found.statistics.rows == 900
    assert found.plan.columns[:3] == model.plan.columns[:3]  # quantiles and counts: no rounding


def test_the_statistics_stay_with_the_model_and_those_of_other_rows_merge(
    model, estimator, other_frame, train_frame
):
    added = merge([model.statistics, estimator().fit(other_frame).statistics])

    whole = estimator().fit(train_frame.unionAll(other_frame)).statistics
    assert (added.rows, model.statistics.rows) == (1600, 900)
    assert "id" not in model.statistics.columns
    assert added.columns["c"].counts.tolist() == whole.columns["c"].counts.tolist()


def test_labels_of_a_regression_and_of_named_classes(estimator, features, train_frame):
    numbers = features[:2]
    regression = estimator(task="regression", labelCol="k", features=features[:1])
    named = estimator(features=numbers, labelCol="b2", labelClasses=["no", "yes"])
    frame = train_frame.where("k IS NOT NULL").withColumn("b2", F.expr("if(b, 'yes', 'no')"))

    assert regression.fit(frame).plan.classes is None
    assert named.fit(frame).plan.classes == ("no", "yes")


COLUMNS = "  it has: 'id', 'n.x', 'k', 'c', 't', 'b', 'at', 'v', 'words', 'y'"


@pytest.mark.parametrize(
    ("params", "kind", "message"),
    [
        (
            {"features": [{"kind": "numeric", "columns": ["n.y", "k"]}]},
            MissingColumnsError,
            f"table 'DataFrame' lacks 1 column: 'n.y'\n{COLUMNS}\n  did you mean 'n.x' for 'n.y'?",
        ),
        (
            {"labelCol": "yy"},
            MissingColumnsError,
            f"table 'DataFrame' lacks 1 column: 'yy'\n{COLUMNS}\n  did you mean 'y' for 'yy'?",
        ),
        (
            {"keyCols": ["ids"]},
            MissingColumnsError,
            f"table 'DataFrame' lacks 1 column: 'ids'\n{COLUMNS}\n  did you mean 'id' for 'ids'?",
        ),
        (
            {"features": [{"kind": "numeric", "columns": ["c"]}]},
            SchemaMismatchError,
            "table 'DataFrame', column 'c': type is string, expected a number or boolean\n"
            "  list it under kind: categorical, or derive a number from it with withColumn",
        ),
        (
            {"features": [{"kind": "numeric", "columns": ["c", "zz"]}]},
            InputError,
            f"2 problems\ntable 'DataFrame' lacks 1 column: 'zz'\n{COLUMNS}\n"
            "table 'DataFrame', column 'c': type is string, expected a number or boolean\n"
            "  list it under kind: categorical, or derive a number from it with withColumn",
        ),
        (
            {"keyCols": []},
            InputError,
            "FeaturePlanEstimator.keyCols is not set, expected the columns that name a row\n"
            "  encode: target makes its folds of them; set keyCols, or fold_by on the feature",
        ),
    ],
)
def test_what_does_not_fit_the_frame_is_told_before_any_job(
    spark, estimator, train_frame, params, kind, message
):
    spark.sparkContext.setJobGroup("no-ml-fit", "none")

    with pytest.raises(kind) as caught:
        estimator(**params).fit(train_frame)

    assert type(caught.value) is kind
    assert str(caught.value) == message
    assert len(spark.sparkContext.statusTracker().getJobIdsForGroup("no-ml-fit")) == 0
    spark.sparkContext.setLocalProperty("spark.jobGroup.id", None)


def test_a_name_that_stands_for_two_columns_is_refused(estimator, train_frame):
    with pytest.raises(InputError) as caught:
        estimator().fit(train_frame.select("*", F.lit(1.0).alias("k")))

    assert str(caught.value) == (
        "table 'DataFrame' has more than one column called 'k', expected one each\n"
        "  drop or rename the others, as after a join"
    )


def test_a_frame_without_rows_is_refused(estimator, train_frame):
    with pytest.raises(EmptyTableError) as caught:
        estimator().fit(train_frame.where("k > 100"))

    assert str(caught.value) == (
        "table 'DataFrame' has 0 rows, expected at least 1\n"
        "  check its filters and joins: a plan is learned from rows"
    )


def test_missing_labels_are_refused(estimator, train_frame):
    with pytest.raises(DataError) as caught:
        estimator(labelCol="y2").fit(
            train_frame.withColumn("y2", F.expr("if(id < '1-2', null, y)"))
        )

    rows = train_frame.where("id < '1-2'").count()
    assert str(caught.value) == (
        f"label column 'y2': {rows} of 900 rows of the DataFrame are null, expected a label in each\n"
        "  filter it: y2 IS NOT NULL"
    )


def test_a_matrix_past_the_width_is_refused(estimator, train_frame):
    with pytest.raises(InputError) as caught:
        estimator(maxWidth=70).fit(train_frame)

    assert str(caught.value) == (
        "features: width would be 88, maxWidth is 70\n"
        "  column 'words' alone makes 64 columns (buckets: 64)\n"
        "  set fewer buckets on it, leave it out, or raise maxWidth"
    )


def test_an_error_of_a_task_is_told_as_it_was_there(estimator, train_frame):
    torn = train_frame.withColumn("v", F.expr("if(id = '1-7', array(1D), v)"))

    with pytest.raises(DataError) as caught:
        estimator(features=[{"kind": "vector", "columns": ["v"]}]).fit(torn)

    assert "column 'v': " in str(caught.value)
    assert "Traceback" not in str(caught.value)


def test_timestamps_mean_the_same_in_every_session_zone(spark, model, estimator, train_frame):
    spark.conf.set("spark.sql.session.timeZone", "Asia/Tokyo")
    try:
        found = estimator().fit(train_frame)
    finally:
        spark.conf.set("spark.sql.session.timeZone", "UTC")

    assert found.plan.sha256 == model.plan.sha256


def test_a_frame_may_have_more_partitions_than_states_are_kept(
    monkeypatch, model, estimator, spark, train_frame
):
    monkeypatch.setattr("penstock.sparkml.scan.MAX_STATES", 2)

    found = estimator().fit(train_frame.repartition(5, "id"))

    assert found.statistics.rows == 900
    assert found.plan.names == model.plan.names
