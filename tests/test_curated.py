"""Row ranges of the curated table: every row once, in order, in batches."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from penstock.curated import Curated, CuratedFile, open_curated, row_ranges
from penstock.errors import InputError

CODES = "dictionary<values=string, indices=int32, ordered=0>"


@pytest.fixture
def curated(tmp_path: Path) -> Curated:
    """A table with a train split of 23 rows in three files of small row groups, and one of test."""
    files, first = [], 0
    for number, rows in enumerate((10, 1, 12)):
        files.append(_write(tmp_path, f"split=train/part-{number}.parquet", first, rows))
        first += rows
    files.append(_write(tmp_path, "split=test/part-0.parquet", 100, 3))
    columns = (("id", "int64"), ("name", "string"))
    return Curated(uri=str(tmp_path), files=tuple(files), key=("id",), columns=columns)


def _write(folder: Path, name: str, first: int, rows: int) -> CuratedFile:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    ids = list(range(first, first + rows))
    table = pa.table({"id": ids, "name": [f"n{each}" for each in ids]})
    pq.write_table(table, path, row_group_size=4)
    split = name.partition("/")[0].removeprefix("split=")
    return CuratedFile(path=name, split=split, rows=rows, size_bytes=path.stat().st_size)


def ids(ranges, batch_rows=5):
    return [
        [
            row
            for batch in each.batches(["id"], batch_rows=batch_rows)
            for row in batch["id"].to_pylist()
        ]
        for each in ranges
    ]


@pytest.mark.parametrize("parts", [1, 2, 3, 5, 22, 23])
@pytest.mark.parametrize("batch_rows", [1, 3, 100])
def test_ranges_hold_every_row_once_and_in_order(curated, parts, batch_rows):
    found = ids(row_ranges(curated, "train", parts), batch_rows)

    sizes = [len(rows) for rows in found]
    assert [row for rows in found for row in rows] == list(range(23))
    assert len(found) == parts
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(("groups", "few"), [(1, CODES), (3, "string")])
def test_texts_that_repeat_come_as_codes_where_that_is_asked_for(tmp_path, groups, few):
    count = 60_000
    table = pa.table(
        {
            "few": [f"n{each % 7}" if each % 11 else None for each in range(count)],
            "many": [f"name {each}" for each in range(count)],
            "also_few": ["a", "b"] * (count // 2),
        }
    )
    (tmp_path / "split=train").mkdir()
    path = tmp_path / "split=train" / "part-0.parquet"
    pq.write_table(table, path, row_group_size=count // groups, dictionary_pagesize_limit=1 << 16)
    file = CuratedFile(
        path="split=train/part-0.parquet", split="train", rows=count, size_bytes=path.stat().st_size
    )
    of = Curated(uri=str(tmp_path), files=(file,), key=("many",), columns=())
    (whole,) = row_ranges(of, "train", 1)

    plain = list(whole.batches(table.column_names, batch_rows=9000))
    coded = list(
        whole.batches(table.column_names, batch_rows=9000, coded=["few", "many", "elsewhere"])
    )

    kinds = {tuple(str(field.type) for field in batch.schema) for batch in coded}
    assert kinds == {(few, "string", "string")}
    assert [batch.num_rows for batch in coded] == [batch.num_rows for batch in plain]
    assert [batch.to_pylist() for batch in coded] == [batch.to_pylist() for batch in plain]


def test_more_parts_than_rows_leave_some_empty(curated):
    found = ids(row_ranges(curated, "test", 5))

    assert [row for rows in found for row in rows] == [100, 101, 102]
    assert [len(rows) for rows in found] == [0, 1, 0, 1, 1]


def test_batches_have_the_columns_asked_for_and_at_most_so_many_rows(curated):
    (whole,) = row_ranges(curated, "train", 1)

    batches = list(whole.batches(["name"], batch_rows=4))

    assert {tuple(batch.schema.names) for batch in batches} == {("name",)}
    assert max(batch.num_rows for batch in batches) == 4


def test_a_table_comes_back_as_it_was_saved(curated):
    curated.save()

    found = open_curated(curated.uri)

    assert found == curated
    assert (found.rows("train"), found.rows("test"), found.rows("validation")) == (23, 3, 0)
    assert [file.rows for file in found.of("train")] == [10, 1, 12]
    assert found.names() == ("id", "name")


def test_a_table_that_is_not_finished_is_refused(curated):
    with pytest.raises(InputError) as caught:
        open_curated(curated.uri)

    assert str(caught.value) == (
        f"curated table {curated.uri!r}: no table.json, so no merge has finished there\n"
        "  run: penstock merge SPEC"
    )
