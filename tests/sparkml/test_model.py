"""FeaturePlanModel.transform on real Spark: lazy, and equal to plan.encode to the bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pyspark.ml import Pipeline
from pyspark.ml.classification import LogisticRegression
from pyspark.ml.feature import VectorSlicer
from pyspark.ml.linalg import DenseVector, SparseVector, Vectors, VectorUDT
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, DoubleType, FloatType

from penstock import recordio
from penstock.errors import InputError, MissingColumnsError, SchemaMismatchError
from penstock.sparkml import FeaturePlanModel
from penstock.writer import write_dataframe


def batch_of(table):
    return table.combine_chunks().to_batches()[0]


def encoded(plan, table, **options):
    """What plan.encode says, as a dense array of float64."""
    matrix = plan.encode(batch_of(table), **options)
    whole = matrix if isinstance(matrix, np.ndarray) else matrix.toarray()
    return whole.astype(np.float64)


def rows_of(frame, column="features"):
    """The features of all rows, as a dense array of float64."""
    cells = [row[0] for row in frame.select(column).collect()]
    return np.array([c if isinstance(c, list) else c.toArray() for c in cells], np.float64)


@pytest.mark.parametrize("layout", ["dense", "sparse"])
@pytest.mark.parametrize("kind", ["vector", "array"])
def test_features_are_those_of_plan_encode_to_the_bit(model, other_frame, others, layout, kind):
    model = FeaturePlanModel(plan=replace(model.plan, layout=layout), outputType=kind)

    frame = model.transform(other_frame)

    first = frame.select("features").first()[0]
    expected = list if kind == "array" else DenseVector if layout == "dense" else SparseVector
    assert type(first) is expected
    assert rows_of(frame).tobytes() == encoded(model.plan, others).tobytes()
    if kind == "vector":
        assert frame.schema["features"].dataType == VectorUDT()
    else:
        assert frame.schema["features"].dataType == ArrayType(FloatType(), containsNull=False)


def test_transform_starts_no_job_and_says_its_schema_before(spark, model, other_frame):
    spark.sparkContext.setJobGroup("no-ml-transform", "none")

    frame = model.setLabelOutputCol("label").transform(other_frame)

    assert len(spark.sparkContext.statusTracker().getJobIdsForGroup("no-ml-transform")) == 0
    spark.sparkContext.setLocalProperty("spark.jobGroup.id", None)
    assert frame.schema == model.transformSchema(other_frame.schema)
    assert frame.columns == [*other_frame.columns, "features", "label"]
    model.clear(model.labelOutputCol)


def test_all_other_columns_pass_in_order_whatever_they_are(spark, model, other_frame, others):
    odd = other_frame.select(
        "*",
        F.expr("map(id, k)").alias("a map"),
        F.expr("named_struct('x', k, 'y', array(c))").alias("st`ruct"),
        F.expr("cast(k as decimal(20, 3))").alias("price"),
        F.to_date("at").alias("day"),
        F.lit(None).alias("void"),
        F.expr("cast(id as binary)").alias("bytes"),
        F.expr("timestamp_ntz'2024-02-29 12:00:00'").alias("twice"),
        F.lit("another").alias("twice"),
        F.udf(lambda at: Vectors.sparse(3, [at % 3], [0.5]), VectorUDT())(F.hash("id")).alias(
            "own"
        ),
    ).repartition(3, "b")

    frame = model.transform(odd)

    assert frame.columns == [*odd.columns, "features"]
    assert [f.dataType for f in frame.schema][:-1] == [f.dataType for f in odd.schema]
    plain = [f"c{at}" for at in range(len(odd.columns))]
    before, after = odd.toDF(*plain), frame.toDF(*plain, "features").drop("features")
    assert list(map(str, before.collect())) == list(map(str, after.collect()))  # NaN is not NaN
    ids = [row[0] for row in frame.select("id").collect()]
    place = {name: at for at, name in enumerate(others["id"].to_pylist())}
    order = [place[name] for name in ids]
    assert order != sorted(order)
    assert rows_of(frame).tobytes() == encoded(model.plan, others)[order].tobytes()


def test_partitions_without_rows_stay_so(model, other_frame):
    parts = other_frame.repartition(9, "b")

    frame = model.transform(parts)

    assert frame.count() == 700
    assert frame.rdd.getNumPartitions() == parts.rdd.getNumPartitions()
    assert model.transform(other_frame.where("k > 100")).collect() == []


def test_small_parts_of_batches_make_the_same_rows(spark, model, other_frame, others):
    spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", "150")
    try:
        found = rows_of(model.transform(other_frame))
    finally:
        spark.conf.unset("spark.sql.execution.arrow.maxRecordsPerBatch")

    assert found.tobytes() == encoded(model.plan, others).tobytes()


def test_timestamps_mean_the_same_in_every_session_zone(spark, model, other_frame, others):
    spark.conf.set("spark.sql.session.timeZone", "America/New_York")
    try:
        frame = model.transform(other_frame)
        found, moments = rows_of(frame), [row[0] for row in frame.select("at").collect()]
    finally:
        spark.conf.set("spark.sql.session.timeZone", "UTC")

    assert found.tobytes() == encoded(model.plan, others).tobytes()
    assert moments == [row[0] for row in other_frame.select("at").collect()]


def test_stages_after_it_know_the_names_of_the_outputs(model, other_frame, others):
    frame = model.transform(other_frame)
    names = ["c=a", "t__target", "n.x"]
    slicer = VectorSlicer(inputCol="features", outputCol="some", names=names)

    found = rows_of(slicer.transform(frame), "some")

    attributes = frame.schema["features"].metadata["ml_attr"]
    assert attributes["num_attrs"] == model.plan.width
    named = sorted(attributes["attrs"]["numeric"], key=lambda each: each["idx"])
    assert [each["name"] for each in named] == list(model.plan.names)
    at = [model.plan.names.index(name) for name in names]
    assert found.tobytes() == encoded(model.plan, others)[:, at].tobytes()


def test_a_wide_text_stays_sparse(estimator, train_frame, train):
    words = {"kind": "text", "columns": ["words"], "buckets": 200_000}
    model = estimator(features=[words], maxWidth=300_000).fit(train_frame)

    frame = model.transform(train_frame)

    cells = [row[0] for row in frame.select("features").collect()]
    expected = model.plan.encode(batch_of(train))
    assert (type(cells[0]), cells[0].size) == (SparseVector, 200_000)
    assert frame.schema["features"].metadata == {"ml_attr": {"num_attrs": 200_000}}
    indices = np.concatenate([cell.indices for cell in cells])
    values = np.concatenate([cell.values for cell in cells])
    assert indices.tolist() == expected.indices.tolist()
    assert values.tobytes() == expected.data.astype(np.float64).tobytes()


def test_the_very_frame_of_the_fit_is_encoded_out_of_fold(model, train_frame, train, other_frame):
    out_of_fold = encoded(model.plan, train, training=True)
    plain = encoded(model.plan, train)
    copied, same_rows = model.copy(), train_frame.select("*")

    assert out_of_fold.tobytes() != plain.tobytes()
    assert rows_of(model.transform(train_frame)).tobytes() == out_of_fold.tobytes()
    assert rows_of(copied.transform(train_frame)).tobytes() == out_of_fold.tobytes()
    assert rows_of(model.transform(same_rows)).tobytes() == plain.tobytes()
    always, never = copied.setTrainingRows("always"), model.copy().setTrainingRows("never")
    assert rows_of(always.transform(same_rows)).tobytes() == out_of_fold.tobytes()
    assert rows_of(never.transform(train_frame)).tobytes() == plain.tobytes()


def test_a_pipeline_trains_on_rows_that_do_not_see_their_own_label(estimator, model, train_frame):
    learner = LogisticRegression(labelCol="y", maxIter=3)

    fitted = Pipeline(stages=[estimator(), learner]).fit(train_frame)

    by_hand = learner.fit(model.copy().setTrainingRows("always").transform(train_frame))
    weights = fitted.stages[1].coefficients.toArray()
    assert weights.tobytes() == by_hand.coefficients.toArray().tobytes()


def test_labels_come_as_class_numbers_where_the_frame_has_them(
    estimator, features, train_frame, other_frame, others
):
    named = [f.withColumn("b2", F.expr("if(b, 'yes', 'no')")) for f in (train_frame, other_frame)]
    params = {"labelCol": "b2", "labelClasses": ["no", "yes"], "labelOutputCol": "label"}
    model = estimator(features=features[:2], **params).fit(named[0])

    frame = model.transform(named[1])

    assert frame.schema["label"].dataType == DoubleType()
    assert frame.schema["label"].metadata == {
        "ml_attr": {"type": "nominal", "vals": ["no", "yes"], "name": "label"}
    }
    found = [row[0] for row in frame.select("label").collect()]
    assert found == [float(value) for value in others["b"].to_pylist()]
    assert model.transform(other_frame).columns == [*other_frame.columns, "features"]


def test_the_label_of_a_regression_has_no_classes(estimator, features, train_frame):
    frame = train_frame.where("k IS NOT NULL")
    params = {"task": "regression", "labelCol": "k", "labelOutputCol": "l"}
    made = estimator(features=features[:1], **params).fit(frame).transform(frame)

    assert made.schema["l"].metadata == {"ml_attr": {"type": "numeric", "name": "l"}}
    assert made.where("k <> l").count() == 0


def test_the_features_become_a_dataset(model, other_frame, others, tmp_path):
    frame = model.transform(other_frame)

    made = write_dataframe(frame, str(tmp_path / "set"), features=["features"], label="y")

    records = [part for uri in made.shard_uris() for part in recordio.read(uri)]
    found = np.concatenate([part.features for part in records])
    assert made.width == model.plan.width
    assert found.astype(np.float64).tobytes() == encoded(model.plan, others).tobytes()
    labels = np.concatenate([part.labels for part in records])
    assert labels.tolist() == others["y"].to_pylist()


def test_sparse_features_become_a_sparse_dataset(model, other_frame, others, tmp_path):
    model = FeaturePlanModel(plan=replace(model.plan, layout="sparse"))

    made = write_dataframe(
        model.transform(other_frame).select("features", "y"),
        str(tmp_path / "set"),
        label="y",
        layout="sparse",
    )

    (uri,) = made.shard_uris()
    (records,) = recordio.read(uri)
    found, expected = records.features, model.plan.encode(batch_of(others))
    assert found.indices.tolist() == expected.indices.tolist()
    assert found.data.tobytes() == expected.data.tobytes()


COLUMNS = "  it has: 'id', 'k', 'c', 't', 'b', 'at', 'v', 'words', 'y', 'nx'"


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (
            lambda frame: frame.withColumn("nx", F.col("`n.x`")).drop("n.x"),
            MissingColumnsError,
            f"table 'DataFrame' lacks 1 column: 'n.x'\n{COLUMNS}\n  did you mean 'nx' for 'n.x'?",
        ),
        (
            lambda frame: frame.withColumn("k", F.col("k").cast("string")),
            SchemaMismatchError,
            "table 'DataFrame', column 'k': type is string, expected a number (fitted on int64)\n"
            "  cast it before encoding, or fit again on rows like these",
        ),
        (
            lambda frame: frame.withColumn("features", F.lit(1)),
            InputError,
            "table 'DataFrame' has a column 'features' already, expected none of that name\n"
            "  set another outputCol or labelOutputCol, or drop the column before",
        ),
        (
            lambda frame: frame.select("*", F.lit("x").alias("c")),
            InputError,
            "table 'DataFrame' has more than one column called 'c', expected one each\n"
            "  drop or rename the others, as after a join",
        ),
        (
            lambda frame: frame.withColumn("gap", F.expr("interval 1 month")),
            SchemaMismatchError,
            "table 'DataFrame', column 'gap': type is interval month, expected a type that Arrow has\n"
            "  drop it before, or cast it",
        ),
    ],
)
def test_what_does_not_fit_the_plan_is_told_when_transform_is_called(
    model, other_frame, change, kind, message
):
    with pytest.raises(kind) as caught:
        model.transform(change(other_frame))

    assert type(caught.value) is kind
    assert str(caught.value) == message


def test_keys_are_needed_for_training_rows_alone(model, train_frame):
    keyless = train_frame.drop("id")

    assert model.transform(keyless).columns[-1] == "features"
    with pytest.raises(MissingColumnsError) as caught:
        model.copy().setTrainingRows("always").transform(keyless)

    assert str(caught.value) == (
        "table 'DataFrame' lacks 1 column: 'id'\n"
        "  it has: 'n.x', 'k', 'c', 't', 'b', 'at', 'v', 'words', 'y'\n"
        "  did you mean 'k' for 'id'?"
    ).replace("\n  did you mean 'k' for 'id'?", "")


def test_a_row_that_cannot_be_encoded_fails_the_action_with_its_place(model, other_frame):
    frame = model.transform(
        other_frame.withColumn("n.x", F.expr("if(id = '2-9', double('Infinity'), `n.x`)"))
    )

    with pytest.raises(Exception, match="DataError") as caught:
        frame.select("features").collect()

    assert (
        "penstock.errors.DataError: table 'DataFrame, partition 0', column 'n.x': row 9 is inf"
    ) in str(caught.value)


def test_a_plan_alone_makes_a_model(model, other_frame, others, tmp_path):
    model.plan.save(str(tmp_path))

    made = [
        FeaturePlanModel(plan=model.plan, outputCol="f"),
        FeaturePlanModel.load_plan(str(tmp_path)),
    ]

    assert (
        rows_of(made[0].transform(other_frame), "f").tobytes()
        == encoded(model.plan, others).tobytes()
    )
    assert made[1].plan.sha256 == model.plan.sha256
    assert (made[0].statistics, made[1].statistics) == (None, None)
