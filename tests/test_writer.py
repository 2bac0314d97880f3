"""Rows without a plan as datasets, on real Spark: from Parquet files and from any DataFrame."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import uuid
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock import dataset, recordio
from penstock.errors import (
    DataError,
    EmptyTableError,
    InputError,
    MissingColumnsError,
    MissingFileError,
    SchemaMismatchError,
)
from penstock.writer import frames, write_dataframe, write_parquet
from penstock.writer.parquet import Source, _pieces, _runs, planned_shards
from penstock.writer.target import Target

VECTOR = pa.struct(
    [
        ("type", pa.int8()),
        ("size", pa.int32()),
        ("indices", pa.list_(pa.int32())),
        ("values", pa.list_(pa.float64())),
    ]
)


def table(rows, first=0):
    """Return rows whose numbers say which row of all they are."""
    number = np.arange(first, first + rows)
    vectors = [
        {"type": 0, "size": 3, "indices": [1], "values": [float(i)]}
        if i % 2
        else {"type": 1, "size": None, "indices": None, "values": [float(i), 0.0, 1.0]}
        for i in number.tolist()
    ]
    return pa.table(
        {
            "a": pa.array(number, pa.int32()),
            "half": pa.array(number / 2),
            "even": pa.array(number % 2 == 0),
            "list": pa.array([[i, -i] for i in number.tolist()], pa.list_(pa.float32())),
            "v": pa.array(vectors, VECTOR),
            "y": pa.array((number % 3).astype(np.float32)),
            "text": [f"row {i}" for i in number],
        }
    )


FEATURES = ["half", "v", "list", "even", "a"]
NAMES = ("half", "v[0]", "v[1]", "v[2]", "list[0]", "list[1]", "even", "a")


def expected(numbers):
    i = np.asarray(numbers, np.float64)
    even = i % 2 == 0
    columns = [i / 2, i * even, i * ~even, even, i, -i, even, i]
    return np.stack(columns, axis=1).astype(np.float32)


def lake(folder: Path, sizes=(700, 0, 300, 1), **options):
    first = 0
    for number, rows in enumerate(sizes):
        path = folder / f"day={number}" / "part.parquet"
        path.parent.mkdir(parents=True)
        pq.write_table(table(rows, first), path, **({"row_group_size": 128} | options))
        first += rows
    (folder / "_SUCCESS").write_bytes(b"")
    return str(folder)


def densely(matrix):
    return matrix if isinstance(matrix, np.ndarray) else matrix.toarray()


def content(found):
    """Return features and labels of all shards, in order."""
    records = [r for uri in found.shard_uris() for r in recordio.read(uri)]
    features = np.concatenate([densely(r.features) for r in records])
    labels = [r.labels for r in records]
    return features, None if labels[0] is None else np.concatenate(labels)


def files(folder: Path):
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


def jobs_of(spark, run):
    group = uuid.uuid4().hex
    spark.sparkContext.setJobGroup(group, "jobs of a block")
    try:
        run()
    finally:
        spark.sparkContext._jsc.clearJobGroup()
    return len(spark.sparkContext.statusTracker().getJobIdsForGroup(group))


# ---- Parquet


@pytest.mark.parametrize("layout", ["dense", "sparse"])
@pytest.mark.parametrize("label", ["y", None])
def test_parquet_becomes_a_dataset_of_its_rows_in_order(spark, tmp_path, layout, label):
    source = lake(tmp_path / "lake")

    found = write_parquet(
        spark,
        source,
        str(tmp_path / "train"),
        features=FEATURES,
        label=label,
        layout=layout,
        shard_bytes=20_000,
        hosts=2,
        task="multiclass",
        classes=["a", "b", "c"],
    )

    features, labels = content(found)
    np.testing.assert_array_equal(features, expected(range(1001)))
    if label is None:
        assert labels is None
    else:
        np.testing.assert_array_equal(labels, np.arange(1001) % 3)
    rows = [shard.rows for shard in found.shards]
    assert len(rows) > 2
    assert len(rows) % 2 == 0
    assert max(rows) - min(rows) <= 1
    assert (found.rows, found.names, found.layout) == (1001, NAMES, layout)
    assert (found.task, found.classes) == ("multiclass", ("a", "b", "c"))
    assert dataset.open_dataset(str(tmp_path / "train")) == found
    dataset.verify(found)


def test_all_columns_but_the_label_are_features_unless_named(spark, tmp_path):
    pq.write_table(pa.table({"b": [1.0], "y": [2.0], "a": [3]}), tmp_path / "one.parquet")

    found = write_parquet(spark, str(tmp_path / "one.parquet"), str(tmp_path / "t"), label="y")

    features, labels = content(found)
    assert found.names == ("b", "a")
    assert features.tolist() == [[1.0, 3.0]]
    assert labels.tolist() == [2.0]


def test_parquet_is_one_spark_job(spark, tmp_path):
    source = lake(tmp_path / "lake")

    count = jobs_of(
        spark, lambda: write_parquet(spark, source, str(tmp_path / "t"), features=FEATURES)
    )

    assert count == 1


def test_files_and_row_groups_do_not_change_the_bytes(spark, tmp_path):
    options = {"features": FEATURES, "label": "y", "shard_bytes": 9_000}

    write_parquet(spark, lake(tmp_path / "many"), str(tmp_path / "1" / "t"), **options)
    one = lake(tmp_path / "one", sizes=(1001,), row_group_size=5000)
    write_parquet(spark, one, str(tmp_path / "2" / "t"), **options)

    assert files(tmp_path / "1") == files(tmp_path / "2")


def test_a_second_run_finds_its_dataset(spark, tmp_path):
    source = lake(tmp_path / "lake")
    first = write_parquet(spark, source, str(tmp_path / "d" / "t"), features=FEATURES)
    before = files(tmp_path / "d")

    again = write_parquet(spark, source, str(tmp_path / "d" / "t"), features=FEATURES)

    assert again == first
    assert files(tmp_path / "d") == before


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(1, 4)), min_size=1, max_size=8),
    st.integers(1, 12),
    st.integers(1, 6),
)
def test_shards_are_equal_and_tasks_cover_all_rows_in_order(sizes, count, slots):
    sources = [Source(uri=f"f{i}", rows=n, row_groups=g) for i, (n, g) in enumerate(sizes)]
    rows = sum(n for n, _ in sizes)
    count = min(count, rows)
    if not count:
        return

    pieces = _pieces(sources, rows, count)
    runs = _runs(pieces, slots)

    covered = [(p.source.uri, row) for p in pieces for row in range(p.start, p.stop)]
    assert covered == [(s.uri, row) for s in sources for row in range(s.rows)]
    sizes_of = [sum(p.stop - p.start for p in pieces if p.part == part) for part in range(count)]
    assert max(sizes_of) - min(sizes_of) <= 1
    assert [piece for run in runs for piece in run] == pieces
    parts = [{piece.part for piece in run} for run in runs]
    assert sum(len(each) for each in parts) == count
    assert min(slots, count) <= len(runs) <= count


@pytest.mark.parametrize(
    ("shards", "row_groups", "slots", "tasks"),
    [(3, 9, 2, 3), (8, 9, 2, 4), (8, 1, 2, 2), (100, 9, 1, 7), (1, 1, 8, 1)],
)
def test_a_task_writes_some_shards_fewer_where_row_groups_are_few(shards, row_groups, slots, tasks):
    sources = [Source(uri="f", rows=1000, row_groups=row_groups)]

    assert len(_runs(_pieces(sources, 1000, shards), slots)) == tasks


def test_shards_are_counted_by_size_with_some_for_all_cores_and_a_multiple_of_hosts():
    assert planned_shards(10, 100, 2**20) == 1
    assert planned_shards(1_000_000, 100, 2**20) == 96
    assert planned_shards(100_000, 10, 2**30) == 4
    assert planned_shards(100_000, 10, 2**30, hosts=3) == 6
    assert planned_shards(10**9, 10, 2**40, hosts=16) == 16
    with pytest.raises(InputError) as caught:
        planned_shards(2, 10, 2**30, hosts=3)
    assert str(caught.value) == "2 rows cannot feed 3 hosts, expected at least one for each"


HUGE = """
import re, sys, pathlib, pyarrow as pa
from penstock.writer.parquet import _footers, _pieces, _write
from penstock.writer.target import Target
sources, schema = _footers(sys.argv[1], None, None, "dense")
target = Target(uri=sys.argv[2], features=tuple(schema.names), label=None, layout="dense", hosts=1,
                task="", classes=None, widths=dict.fromkeys(schema.names, 1), allow_nonfinite=False)
peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+)", pathlib.Path("/proc/self/status").read_text())[1])
before = peak()
_write(target, _pieces(sources, sources[0].rows, 4), 0, 8192)
print(pa.default_memory_pool().max_memory(), (peak() - before) * 1024)
"""


def test_a_huge_row_group_is_never_in_memory_whole(tmp_path):
    random = np.random.default_rng(0)
    columns = {f"c{i}": random.random(4_000_000, np.float32) for i in range(4)}
    path = tmp_path / "one.parquet"
    pq.write_table(pa.table(columns), path, row_group_size=4_000_000, use_dictionary=False)

    said = subprocess.run(
        [sys.executable, "-c", HUGE, str(path), str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=True,
    )

    assert path.stat().st_size > 60e6
    arrow_bytes, resident_bytes = map(int, said.stdout.split())
    assert arrow_bytes < 16e6
    assert resident_bytes < 40e6


def test_of_a_missing_place_and_of_no_rows_there_is_no_dataset(spark, tmp_path):
    empty = lake(tmp_path / "empty", sizes=(0,))

    with pytest.raises(MissingFileError) as missing:
        write_parquet(spark, str(tmp_path / "none"), str(tmp_path / "t"))
    with pytest.raises(EmptyTableError) as none:
        write_parquet(spark, empty, str(tmp_path / "t"), features=FEATURES)

    assert str(missing.value) == (
        f"Parquet: nothing found at {str(tmp_path / 'none')!r}\n"
        "  check the path, or run the stage before"
    )
    assert str(none.value) == (
        f"table {empty!r} has 0 rows, expected at least 1\n  check the path: a dataset needs rows"
    )


def test_a_file_that_is_no_parquet_is_named(spark, tmp_path):
    source = lake(tmp_path / "lake")
    (tmp_path / "lake" / "notes.txt").write_text("not a table")

    with pytest.raises(DataError) as caught:
        write_parquet(spark, source, str(tmp_path / "t"), features=FEATURES)

    first, _, remedy = str(caught.value).partition("\n")
    assert first.startswith(f"file://{source}/notes.txt is no Parquet file: ")
    assert remedy == "  move it away, or name the folder of the Parquet files"


def test_a_file_without_a_column_is_named(spark, tmp_path):
    source = lake(tmp_path / "lake", sizes=(3,))
    pq.write_table(pa.table({"a": [1]}), tmp_path / "lake" / "z.parquet")

    with pytest.raises(MissingColumnsError) as caught:
        write_parquet(spark, source, str(tmp_path / "t"), features=["a", "half"])

    assert str(caught.value) == (
        f"table 'file://{source}/z.parquet' lacks 1 column: 'half'\n  it has: 'a'"
    )


def test_a_text_column_is_refused_before_any_job(spark, tmp_path):
    source = lake(tmp_path / "lake", sizes=(3,))

    def run():
        with pytest.raises(SchemaMismatchError) as caught:
            write_parquet(spark, source, str(tmp_path / "t"), label="y")
        assert str(caught.value) == (
            f"table 'file://{source}/day=0/part.parquet', column 'text': type is string, expected a "
            "number, a boolean, a list of numbers or a Spark ml Vector\n"
            "  name the columns to take in features, or encode it first (penstock fit learns how)"
        )

    assert jobs_of(spark, run) == 0


def test_a_bad_row_is_named_by_file_and_row_and_nothing_is_committed(spark, tmp_path):
    (tmp_path / "lake").mkdir()
    for number, bad in enumerate([None, 45_678]):
        values = np.zeros(60_000)
        if bad:
            values[bad] = np.nan
        pq.write_table(pa.table({"x": values}), tmp_path / "lake" / f"{number}.parquet")

    with pytest.raises(DataError) as caught:
        write_parquet(spark, str(tmp_path / "lake"), str(tmp_path / "t"))

    assert str(caught.value) == (
        f"table 'file://{tmp_path}/lake/1.parquet', column 'x': row 45,678 is nan, "
        "expected a finite number\n"
        "  fill or filter it first, or allow it with allow_nonfinite=True if the reader can take it"
    )
    with pytest.raises(InputError, match="no manifest"):
        dataset.open_dataset(str(tmp_path / "t"))

    found = write_parquet(spark, str(tmp_path / "lake"), str(tmp_path / "t"), allow_nonfinite=True)

    assert np.flatnonzero(np.isnan(content(found)[0])).tolist() == [105_678]


def test_hosts_are_at_least_one(spark, tmp_path):
    with pytest.raises(InputError) as caught:
        write_parquet(spark, str(tmp_path), str(tmp_path / "t"), hosts=0)

    assert str(caught.value) == "hosts is 0, expected a whole number of at least 1"


# ---- DataFrames


@pytest.fixture(scope="module")
def frame(spark, tmp_path_factory):
    """Rows of :func:`table` with a real ml Vector, in three partitions."""
    from pyspark.ml.linalg import Vectors

    rows = [
        (
            i,
            i / 2,
            i % 2 == 0,
            [float(i), float(-i)],
            Vectors.sparse(3, [1], [float(i)]) if i % 2 else Vectors.dense([float(i), 0.0, 1.0]),
            float(i % 3),
            f"row {i}",
        )
        for i in range(300)
    ]
    from pyspark.ml.linalg import VectorUDT
    from pyspark.sql import types as T

    kinds = {
        "a": T.IntegerType(),
        "half": T.DoubleType(),
        "even": T.BooleanType(),
        "list": T.ArrayType(T.FloatType()),
        "v": VectorUDT(),
        "y": T.DoubleType(),
        "text": T.StringType(),
    }
    schema = T.StructType([T.StructField(name, kind) for name, kind in kinds.items()])
    folder = str(tmp_path_factory.mktemp("frame"))
    spark.createDataFrame(spark.sparkContext.parallelize(rows, 3), schema).write.parquet(
        folder, mode="overwrite"
    )
    whole = spark.createDataFrame(spark.sparkContext.parallelize(rows, 3), schema)
    return whole, folder


@pytest.mark.parametrize("layout", ["dense", "sparse"])
def test_a_dataframe_of_every_kind_becomes_one_shard_of_each_partition(
    spark, frame, tmp_path, layout
):
    whole, _ = frame

    found = write_dataframe(
        whole, str(tmp_path / "t"), features=FEATURES, label="y", layout=layout, hosts=3
    )

    features, labels = content(found)
    np.testing.assert_array_equal(features, expected(range(300)))
    np.testing.assert_array_equal(labels, np.arange(300) % 3)
    assert [(shard.name, shard.rows) for shard in found.shards] == [
        ("part-00000-0.rec", 100),
        ("part-00001-0.rec", 100),
        ("part-00002-0.rec", 100),
    ]
    assert (found.names, found.layout, found.rows) == (NAMES, layout, 300)
    dataset.verify(dataset.open_dataset(str(tmp_path / "t")))


def test_vectors_that_spark_wrote_to_parquet_read_the_same_both_ways(spark, frame, tmp_path):
    whole, folder = frame

    direct = write_parquet(
        spark, folder, str(tmp_path / "p"), features=FEATURES, label="y", layout="sparse"
    )
    through = write_dataframe(
        whole.coalesce(1), str(tmp_path / "d"), features=FEATURES, label="y", layout="sparse"
    )

    assert [shard.xxh128 for shard in direct.shards] == [s.xxh128 for s in through.shards]
    assert direct.plan_sha256 == through.plan_sha256


def test_partitions_without_rows_make_no_shard_and_leave_the_numbers(spark, tmp_path):
    rows = spark.range(0, 40, 1, 4).where("id between 10 and 19 or id >= 30")

    found = write_dataframe(rows, str(tmp_path / "t"))

    assert [(shard.name, shard.rows) for shard in found.shards] == [
        ("part-00001-0.rec", 10),
        ("part-00003-0.rec", 10),
    ]
    assert content(found)[0][:, 0].tolist() == [*range(10, 20), *range(30, 40)]
    assert dataset.open_dataset(str(tmp_path / "t")) == found


def test_with_a_key_the_bytes_do_not_depend_on_how_rows_arrive(spark, tmp_path):
    from pyspark.sql import functions as F

    rows = spark.range(0, 2000, 1, 4).select(
        (F.col("id") % 500).alias("k"), (F.col("id") / 3).alias("x"), F.col("id").alias("y`s")
    )
    shaken = rows.orderBy(F.xxhash64("x")).coalesce(3)
    options = {"features": ["x"], "label": "y`s", "shards": 6, "key": ["k"], "hosts": 3}

    found = write_dataframe(rows, str(tmp_path / "1" / "t"), **options)
    write_dataframe(shaken, str(tmp_path / "2" / "t"), **options)

    assert files(tmp_path / "1") == files(tmp_path / "2")
    features, labels = content(found)
    assert len(found.shards) == 6
    assert sorted(labels.tolist()) == list(range(2000))
    np.testing.assert_array_equal(features[:, 0], (labels.astype(np.float64) / 3).astype("f4"))
    placed = [set((r.labels % 500).tolist()) for u in found.shard_uris() for r in recordio.read(u)]
    assert sum(len(keys) for keys in placed) == 500
    assert labels.tolist() != sorted(labels.tolist())


def test_a_dataframe_is_one_spark_job(spark, tmp_path):
    rows = spark.range(0, 100, 1, 2)

    assert jobs_of(spark, lambda: write_dataframe(rows, str(tmp_path / "t"))) == 1


def test_the_row_total_is_that_of_an_independent_count(spark, tmp_path):
    rows = spark.range(0, 100, 1, 2)
    target = Target(
        uri=str(tmp_path / "t"),
        features=("id",),
        label=None,
        layout="dense",
        hosts=1,
        task="",
        classes=None,
        widths={"id": 1},
        allow_nonfinite=False,
    )

    outcomes, seen = frames._run(rows, target)
    lossy = dataclasses.replace(outcomes[0].shard, rows=outcomes[0].shard.rows - 1)
    lost = [dataclasses.replace(outcomes[0], shard=lossy), *outcomes[1:]]

    assert seen == 100
    with pytest.raises(DataError) as caught:
        frames._committed(target, lost, seen)
    assert str(caught.value) == (
        f"file://{tmp_path}/t/: the shards have 99 rows, the source has 100\n"
        "  no manifest is made; run convert again"
    )


def test_an_empty_dataframe_is_refused(spark, tmp_path):
    with pytest.raises(EmptyTableError) as caught:
        write_dataframe(spark.range(0, 40, 1, 4).where("id < 0"), str(tmp_path / "t"))

    assert str(caught.value) == (
        "table 'DataFrame' has 0 rows, expected at least 1\n"
        "  check its filters and joins: a dataset needs rows"
    )


def test_a_bad_row_is_named_by_partition_and_row_and_nothing_stays(spark, tmp_path):
    rows = spark.range(0, 40, 1, 4).selectExpr("if(id = 33, null, id) x")

    with pytest.raises(DataError) as caught:
        write_dataframe(rows, str(tmp_path / "t"))

    assert str(caught.value) == (
        "table 'DataFrame, partition 3', column 'x': 1 of 10 rows is null, the first is row 3, "
        "expected a number in each\n"
        "  filter such rows, or fill them first (pyspark.ml.feature.Imputer, DataFrame.fillna)"
    )
    assert files(tmp_path) == {}


def test_partitions_of_different_width_are_refused(spark, tmp_path):
    rows = spark.range(0, 40, 1, 2).selectExpr("transform(sequence(1, 2 + id div 20), x -> 1.0) v")

    with pytest.raises(DataError) as caught:
        write_dataframe(rows, str(tmp_path / "t"))

    assert str(caught.value) == (
        "table 'DataFrame', column 'v': 3 numbers in each row of partition 1, 2 in those of "
        "partition 0\n"
        "  all rows of a dataset have one width: pad or cut such rows, or filter them"
    )
    assert files(tmp_path) == {}


def test_shards_that_hosts_cannot_share_are_refused(spark, tmp_path):
    rows = spark.range(0, 40, 1, 3)

    with pytest.raises(InputError) as frame_s:
        write_dataframe(rows, str(tmp_path / "t"), hosts=2)
    with pytest.raises(InputError) as asked:
        write_dataframe(rows, str(tmp_path / "t"), hosts=2, shards=5, key=["id"])

    assert str(frame_s.value) == (
        "3 partitions have rows, expected a multiple of hosts, which is 2: each host gets as many "
        "shards\n  pass shards=4 and key=[...], the columns that name a row"
    )
    assert str(asked.value) == (
        "shards is 5, expected a multiple of hosts, which is 2\n  pass shards=4"
    )
    assert files(tmp_path) == {}


@pytest.mark.parametrize(
    ("given", "absent", "options"),
    [("shards", "key", {"shards": 2}), ("key", "shards", {"key": ["id"]})],
)
def test_shards_and_key_go_together(spark, tmp_path, given, absent, options):
    with pytest.raises(InputError) as caught:
        write_dataframe(spark.range(4), str(tmp_path / "t"), **options)

    assert str(caught.value) == (
        f"{given} is given without {absent}, expected both or neither\n"
        "  rows are placed by a hash of their key, so that a task that runs again writes the same"
    )


def test_columns_that_are_absent_or_of_no_use_are_refused_before_any_job(spark, frame, tmp_path):
    whole, _ = frame

    def run():
        with pytest.raises(MissingColumnsError) as absent:
            write_dataframe(whole, str(tmp_path / "t"), features=["halb"])
        with pytest.raises(MissingColumnsError) as key:
            write_dataframe(whole, str(tmp_path / "t"), features=["a"], shards=2, key=["user"])
        with pytest.raises(SchemaMismatchError) as text:
            write_dataframe(whole, str(tmp_path / "t"), label="y")
        assert str(absent.value).startswith("table 'DataFrame' lacks 1 column: 'halb'\n")
        assert str(key.value).startswith("table 'DataFrame' lacks 1 column: 'user'\n")
        assert str(text.value) == (
            "table 'DataFrame', column 'text': type is string, expected a number, a boolean, a list "
            "of numbers or a Spark ml Vector\n"
            "  name the columns to take in features, or encode it first (penstock fit learns how)"
        )

    assert jobs_of(spark, run) == 0
