"""Encodings of names and texts through fit and convert on real Spark."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from strategies import categorical, label_rule, spec, statistics

from penstock import convert, fit, recordio
from penstock.curated import SPLITS, Curated, CuratedFile
from penstock.errors import MissingColumnsError
from penstock.plan import FeaturePlan
from penstock.planning import build_plan

COLUMNS = (("id", "int64"), ("y", "int32"), ("c", "string"), ("d", "string"), ("t", "string"))
ROWS = {"train": 20_000, "validation": 500, "test": 500}
GROUPS = (
    categorical("c", encode="target", folds=3),
    categorical("d", encode="hash", buckets=8),
    {"kind": "text", "columns": ["t"], "buckets": 32, "ngrams": [1, 2]},
)


def rows(count, seed):
    draw = np.random.default_rng(seed)
    words = np.array(["lake", "pipe", "Turbine", "water", "a"])
    texts = [" ".join(words[at]) for at in draw.integers(0, 5, (count, 4))]
    return pa.table(
        {
            "id": np.arange(count) + 10**6 * seed,
            "y": pa.array(draw.integers(0, 2, count), pa.int32()),
            "c": [None if n < 3 else f"v{n}" for n in draw.integers(0, 300, count)],
            "d": [f"v{n}" for n in draw.integers(0, 300, count)],
            "t": texts,
        }
    )


@pytest.fixture(scope="module")
def curated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lake")
    files = []
    for number, (split, count) in enumerate(ROWS.items()):
        path = f"{split}.parquet"
        pq.write_table(rows(count, number), folder / path, row_group_size=3000)
        files.append(CuratedFile(path=path, split=split, rows=count, size_bytes=1))
    made = Curated(uri=str(folder), files=tuple(files), key=("id",), columns=COLUMNS, digest="d")
    made.save()
    return made


@pytest.fixture(scope="module")
def fitted(spark, curated):
    return fit.fit(spark, curated, spec(*GROUPS))


def table_of(curated, split):
    (file,) = curated.of(split)
    return pq.read_table(curated.uri_of(file)).combine_chunks().to_batches()[0]


def densely(matrix):
    return matrix if isinstance(matrix, np.ndarray) else matrix.toarray()


def test_a_fit_in_many_tasks_is_that_of_one_pass(fitted, curated):
    of = spec(*GROUPS)
    train = table_of(curated, "train")
    assert label_rule(train, of).task == "binary"

    alone = build_plan(statistics(train, of=of), of, fitted_on=fitted.plan.fitted_on)

    assert alone.to_json() == fitted.plan.to_json()


def test_one_scan_is_one_spark_job(spark, curated):
    tracker = spark.sparkContext.statusTracker()
    spark.sparkContext.setJobGroup("one scan", "fit with target encoding and texts")

    fit.fit(spark, curated, spec(*GROUPS))

    assert len(tracker.getJobIdsForGroup("one scan")) == 1


def test_train_rows_are_converted_out_of_fold_and_all_others_from_all_rows(
    spark, curated, fitted, tmp_path
):
    found = convert.convert(spark, curated, fitted.plan, spec(*GROUPS), str(tmp_path))

    for split in SPLITS:
        whole = table_of(curated, split)
        records = [r for uri in found[split].shard_uris() for r in recordio.read(uri)]
        features = np.concatenate([densely(r.features) for r in records])
        expected = densely(fitted.plan.encode(whole, training=split == "train"))
        np.testing.assert_array_equal(features.view(np.uint32), expected.view(np.uint32))
        naive = densely(fitted.plan.encode(whole))
        assert (features[:, 0] != naive[:, 0]).any() == (split == "train")


def test_the_profile_shows_columns_not_what_is_collected_besides(fitted):
    found = {column["name"]: column["role"] for column in fitted.profile["columns"]}

    assert found == {"id": "key", "y": "label", "c": "feature", "d": "feature", "t": "feature"}


def test_a_fit_is_saved_and_loaded(fitted, tmp_path):
    fitted.save(str(tmp_path))

    assert FeaturePlan.load(str(tmp_path)) == fitted.plan


def test_rows_that_the_split_keeps_together_share_a_fold(spark, curated):
    of = spec(categorical("c", encode="target"), split={"by": "group", "columns": ["d"]})

    fitted = fit.fit(spark, curated, of)

    assert fitted.plan.fold_columns == ("d",)


def test_a_key_of_folds_that_the_table_lacks_is_refused(curated):
    of = spec(categorical("c", encode="target", fold_by=["idd"]))

    with pytest.raises(MissingColumnsError) as caught:
        fit.check(curated, of)

    assert str(caught.value) == (
        "table 'curated' lacks 1 column: 'idd'\n"
        "  it has: 'id', 'y', 'c', 'd', 't'\n"
        "  did you mean 'id' for 'idd'?"
    )
