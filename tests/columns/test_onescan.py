"""All kinds of numeric features in one fit: one Spark job, and the plan of one batch of all rows."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from strategies import numeric, plan, spec

from penstock import fit
from penstock.curated import Curated, CuratedFile
from penstock.errors import InputError, MissingColumnsError

SIZES = {"train": [12_000, 3000, 500], "validation": [50], "test": [50]}
SPEC = spec(
    numeric("x", impute="by_group", group_by="g", scale="robust"),
    numeric("z", impute="carry_over", carry_from="x", scale="log1p", clip=[0.01, 0.99]),
    numeric("k", "copy", missing_values=[-1], scale="bins", max_missing_share=0.5),
    numeric("gone", max_missing_share=0.5, on_excess="drop"),
    {"kind": "boolean", "columns": ["b"], "true_values": ["yes"], "false_values": ["no"]},
    {"kind": "datetime", "columns": ["t"], "parts": ["year", "hour", "elapsed_days"]},
    {"kind": "vector", "columns": ["v"]},
    {"kind": "interaction", "of": ["x", "b"]},
    select={"min_variance": 0, "drop_duplicates": True, "min_label_correlation": 0.0},
    dataset={"layout": "dense"},
)


def rows(count, seed):
    random = np.random.default_rng(seed)
    x, z = random.normal(size=(2, count)).round(2) ** 2
    k = random.integers(-1, 30, count)
    begin = datetime(2024, 1, 1)
    return pa.table(
        {
            "id": [f"{seed}-{i}" for i in range(count)],
            "y": pa.array(random.integers(0, 2, count), pa.int32()),
            "g": random.choice(list("abc"), count),
            "x": pa.array(np.where(random.random(count) < 0.2, np.nan, x), from_pandas=True),
            "z": pa.array(np.where(random.random(count) < 0.2, np.nan, z), from_pandas=True),
            "k": k,
            "copy": k,
            "gone": pa.nulls(count, pa.float64()),
            "b": random.choice(["yes", "no"], count),
            "t": pa.array(
                [begin + timedelta(hours=int(h)) for h in random.integers(0, 9999, count)]
            ),
            "v": pa.array(list(random.normal(size=(count, 2))), pa.list_(pa.float64())),
        }
    )


@pytest.fixture(scope="module")
def curated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lake")
    files = []
    for split, counts in SIZES.items():
        for number, count in enumerate(counts):
            path = f"split={split}/part-{number}.parquet"
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(rows(count, number), folder / path, row_group_size=1000)
            size = (folder / path).stat().st_size
            files.append(CuratedFile(path=path, split=split, rows=count, size_bytes=size))
    columns = tuple((field.name, str(field.type)) for field in rows(1, 0).schema)
    made = Curated(uri=str(folder), files=tuple(files), key=("id",), columns=columns, digest="d")
    made.save()
    return made


@pytest.mark.spark
def test_one_job_learns_what_all_features_need(spark, curated):
    tracker = spark.sparkContext.statusTracker()
    spark.sparkContext.setJobGroup("count-kinds", "one fit")

    fitted = fit.fit(spark, curated, SPEC)

    assert len(tracker.getJobIdsForGroup("count-kinds")) == 1
    spark.sparkContext.setLocalProperty("spark.jobGroup.id", None)
    train = pa.concat_tables([rows(count, number) for number, count in enumerate(SIZES["train"])])
    (batch,) = train.combine_chunks().to_batches()
    whole = plan(batch, of=SPEC)
    assert fitted.plan.dropped == whole.dropped
    assert set(whole.dropped) == {"gone", "copy"}
    assert fitted.plan.names == whole.names
    np.testing.assert_allclose(fitted.plan.encode(batch), whole.encode(batch), rtol=1e-6, atol=1e-6)
    left_out = {c["name"]: c["left_out"] for c in fitted.profile["columns"] if "left_out" in c}
    assert left_out == dict(whole.dropped)
    profiled = {column["name"]: column for column in fitted.profile["columns"]}
    assert set(profiled) == set(curated.names())
    assert (profiled["t"]["kind"], profiled["t"]["min"]) == ("other", "2024-01-01T00:00:00Z")


def test_columns_that_fill_or_group_must_be_there_and_not_be_the_label(curated):
    with pytest.raises(MissingColumnsError) as missing:
        fit.check(curated, spec(numeric("x", impute="by_group", group_by="h")))
    with pytest.raises(InputError) as label:
        fit.check(curated, spec(numeric("x", impute="carry_over", carry_from="y")))

    assert str(missing.value).startswith("table 'curated' lacks 1 column: 'h'\n")
    assert str(label.value) == (
        "features: 'y' is the label, expected columns that are known before it is\n"
        "  take it out of features"
    )


def test_a_correlation_with_several_classes_is_refused(curated):
    of = spec(numeric("x"), select={"min_label_correlation": 0.1}, task="multiclass")

    with pytest.raises(InputError) as caught:
        fit.check(curated, of)

    assert str(caught.value) == (
        "select.min_label_correlation: the task is multiclass, expected binary or regression\n"
        "  take it out: class numbers have no correlation with anything"
    )


def test_products_need_names_of_their_own(curated):
    of = spec(
        numeric("x", "z"),
        {"kind": "interaction", "of": ["x", "z"], "name": "x"},
        {"kind": "interaction", "of": ["x", "q"], "name": "x"},
    )

    with pytest.raises(InputError) as caught:
        fit.check(curated, of)

    assert str(caught.value) == (
        "2 problems\n"
        "features: interaction 'x' takes 'q', expected a column of another group\n"
        "  list the column in a group of its kind as well\n"
        "features: more than one is called 'x'\n  set name on the interaction"
    )
