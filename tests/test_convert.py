"""The convert stage on real Spark: datasets that hold the encoded rows, in order, byte for byte."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from strategies import categorical, numeric, spec

from penstock import convert, dataset, fit, recordio
from penstock.curated import SPLITS, Curated, CuratedFile
from penstock.errors import DataError, EmptyTableError, InputError, MissingColumnsError

COLUMNS = (("id", "string"), ("y", "int32"), ("n", "double"), ("c", "string"))
SIZES = {"train": [50_000, 20_000], "validation": [3000], "test": [1, 1]}
GROUPS = (numeric("n"), categorical("c", min_frequency=2))


def rows(count, seed):
    random = np.random.default_rng(seed)
    number = random.normal(size=count)
    return pa.table(
        {
            "id": [f"{seed}-{i}" for i in range(count)],
            "y": pa.array(np.arange(count) % 2, pa.int32()),
            "n": pa.array(np.where(random.random(count) < 0.1, np.nan, number), from_pandas=True),
            "c": pa.array(random.choice(np.array(["a", "b", "ä", None]), count)),
        }
    )


def lake(folder, sizes=SIZES, change=lambda table: table):
    files = []
    for split, counts in sizes.items():
        for number, count in enumerate(counts):
            path = f"split={split}/part-{number}.parquet"
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(
                change(rows(count, number + 10 * len(split))), folder / path, row_group_size=7000
            )
            size = (folder / path).stat().st_size
            files.append(CuratedFile(path=path, split=split, rows=count, size_bytes=size))
    made = Curated(uri=str(folder), files=tuple(files), key=("id",), columns=COLUMNS, digest="d")
    made.save()
    return made


def table_of(curated, split):
    return pa.concat_tables([pq.read_table(curated.uri_of(file)) for file in curated.of(split)])


def densely(matrix):
    return matrix if isinstance(matrix, np.ndarray) else matrix.toarray()


def tree(folder: Path):
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


@pytest.fixture(scope="module")
def curated(tmp_path_factory):
    return lake(tmp_path_factory.mktemp("lake"))


@pytest.fixture(scope="module")
def plan(spark, curated):
    return fit.fit(spark, curated, spec(*GROUPS)).plan


@pytest.fixture(scope="module")
def made(spark, curated, plan, tmp_path_factory):
    target = tmp_path_factory.mktemp("datasets")
    return target, convert.convert(spark, curated, plan, spec(*GROUPS), str(target))


@pytest.mark.parametrize("layout", ["dense", "sparse"])
def test_a_dataset_holds_the_encoded_rows_in_order(spark, curated, plan, layout, tmp_path):
    asked = dataclasses.replace(plan, layout=layout)

    found = convert.convert(spark, curated, asked, spec(*GROUPS), str(tmp_path))

    assert list(found) == list(SPLITS)
    for split, each in found.items():
        whole = table_of(curated, split).combine_chunks().to_batches()[0]
        records = [r for uri in each.shard_uris() for r in recordio.read(uri, batch_rows=10_000)]
        features = np.concatenate([densely(r.features) for r in records])
        expected = densely(asked.encode(whole))
        np.testing.assert_array_equal(features.view(np.uint32), expected.view(np.uint32))
        np.testing.assert_array_equal(
            np.concatenate([r.labels for r in records]), asked.labels(whole)
        )
        assert (each.rows, each.width, each.layout, each.names) == (
            len(features),
            plan.width,
            layout,
            plan.names,
        )
        assert (each.task, each.classes, each.plan_sha256) == ("binary", (0, 1), asked.sha256)


def test_committed_datasets_open_and_verify(made):
    target, datasets = made

    for split, each in datasets.items():
        opened = dataset.open_dataset(str(target / split))
        dataset.verify(opened)
        assert opened == each


def test_the_predicted_bytes_are_those_written(made, plan):
    _, datasets = made

    assert datasets["train"].size_bytes == pytest.approx(70_000 * plan.row_bytes, rel=0.02)


def test_shards_follow_the_size_of_the_rows_only(spark, curated, plan, made, tmp_path):
    _, datasets = made
    small = spec(*GROUPS, dataset={"shard_bytes": 500_000})

    found = convert.convert(spark, curated, plan, small, str(tmp_path))

    assert [shard.rows for shard in datasets["train"].shards] == [23_333, 23_333, 23_334]
    assert [len(datasets[split].shards) for split in SPLITS] == [3, 1, 1]
    assert len(found["train"].shards) == -(-70_000 * plan.row_bytes // 500_000)


def test_hosts_share_train_and_validation_equally(spark, curated, plan, made, tmp_path):
    _, datasets = made
    shared = spec(*GROUPS, dataset={"hosts": 2})

    found = convert.convert(spark, curated, plan, shared, str(tmp_path))

    assert [len(datasets[split].shards) for split in SPLITS] == [3, 1, 1]
    assert [len(found[split].shards) for split in SPLITS] == [4, 2, 1]
    assert {shard.rows for shard in found["train"].shards} == {17_500}


def test_a_split_with_fewer_rows_than_hosts_is_refused(spark, curated, plan, tmp_path):
    with pytest.raises(InputError) as caught:
        convert.convert(spark, curated, plan, spec(*GROUPS, dataset={"hosts": 3001}), str(tmp_path))

    assert str(caught.value) == "3000 rows cannot feed 3001 hosts, expected at least one for each"
    assert tree(tmp_path) == {}


def test_two_runs_in_different_folders_write_the_same_bytes(spark, made, tmp_path):
    target, _ = made
    again = lake(tmp_path / "lake")
    plan = fit.fit(spark, again, spec(*GROUPS)).plan

    convert.convert(spark, again, plan, spec(*GROUPS), str(tmp_path / "datasets"))

    assert tree(tmp_path / "datasets") == tree(target)
    assert sorted(name.split("/")[-1] for name in tree(target) if "/" not in name) == sorted(
        f"{split}.{kind}" for split in SPLITS for kind in ("dataset.json", "manifest")
    )


def test_all_splits_are_one_spark_job(spark, curated, plan, tmp_path):
    tracker = spark.sparkContext.statusTracker()
    spark.sparkContext.setJobGroup("count-convert", "one convert")

    convert.convert(spark, curated, plan, spec(*GROUPS), str(tmp_path))

    assert len(tracker.getJobIdsForGroup("count-convert")) == 1
    spark.sparkContext.setLocalProperty("spark.jobGroup.id", None)


def test_what_an_unfinished_run_left_is_swept(spark, curated, plan, made, tmp_path):
    target, _ = made
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "part-00000-0.rec").write_bytes(b"half")
    (tmp_path / "train" / "part-00099-3.rec").write_bytes(b"left")

    convert.convert(spark, curated, plan, spec(*GROUPS), str(tmp_path))

    assert tree(tmp_path) == tree(target)


def test_an_empty_split_is_refused_before_anything_is_written(spark, curated, plan, tmp_path):
    files = (*curated.of("train"), *curated.of("validation"))

    with pytest.raises(EmptyTableError) as caught:
        convert.convert(
            spark, dataclasses.replace(curated, files=files), plan, spec(*GROUPS), str(tmp_path)
        )

    assert str(caught.value) == (
        "table 'curated/split=test' has 0 rows, expected at least 1\n"
        "  add rows to the sources, or raise split.test in the spec"
    )
    assert tree(tmp_path) == {}


def test_a_table_without_a_column_of_the_plan_is_refused(spark, curated, plan, tmp_path):
    fewer = dataclasses.replace(curated, columns=(COLUMNS[0], ("nn", "double")))

    with pytest.raises(MissingColumnsError) as caught:
        convert.convert(spark, fewer, plan, spec(*GROUPS), str(tmp_path))

    assert str(caught.value) == (
        "table 'curated' lacks 3 columns: 'n', 'c', 'y'\n"
        "  it has: 'id', 'nn'\n"
        "  did you mean 'nn' for 'n'?"
    )


def test_a_row_that_cannot_be_encoded_is_named_and_no_dataset_appears(spark, plan, tmp_path):
    def spoil(table):
        labels = table["y"].to_pandas().astype(float)
        labels[labels.index >= 2500] = np.nan
        y = pa.array(labels.astype(pd.Int32Dtype()), pa.int32(), from_pandas=True)
        return table.set_column(1, "y", y)

    curated = lake(tmp_path / "lake", change=spoil)

    with pytest.raises(DataError) as caught:
        convert.convert(spark, curated, plan, spec(*GROUPS), str(tmp_path / "datasets"))

    first_bad_split, row, bad, of = "train", "2,500", 20_833, 23_333
    assert str(caught.value) == (
        f"table 'curated/split={first_bad_split}', label column 'y': {bad:,} of {of:,} rows are null, the "
        f"first is row {row}, expected a label in each\n"
        "  add `where: y IS NOT NULL` to merge, or derive it"
    )
    assert not list((tmp_path / "datasets").glob("*.manifest"))
