from __future__ import annotations

import gzip

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from makers import ORDERS, write_json, write_lines

from penstock import quarantine, sources
from penstock.errors import (
    DataError,
    EmptyTableError,
    InputError,
    MalformedRowsError,
    MissingColumnsError,
    MissingFileError,
    SchemaMismatchError,
)
from penstock.spec import Source


def read(spark, folder, **source):
    return sources.read(spark, "t", Source(path="t", **{"format": "csv", **source}), str(folder))


def values(table, column):
    return [row[column] for row in table.rows.orderBy(*table.rows.columns[:1]).collect()]


def test_types_are_inferred_from_all_values(spark, tmp_path):
    lines = ["a,b,c,d,e,f,g", "1,1.5,true,2024-02-03,2024-02-03T04:05:06Z,007,x", "-2,3,FALSE,,,1,"]
    write_lines(tmp_path / "t.csv", lines)

    table = read(spark, tmp_path)

    assert dict(table.types) == {
        "a": "bigint", "b": "double", "c": "boolean", "d": "date", "e": "timestamp", "f": "string", "g": "string",
    }  # fmt: skip
    assert values(table, "g") == [None, "x"]


def test_declared_types_and_null_values_win(spark, tmp_path):
    write_lines(tmp_path / "t.csv", ["a,b", "1,NA", "2,3"])

    table = read(spark, tmp_path, columns={"a": "string", "b": "int"}, null_values=("", "NA"))

    assert dict(table.types) == {"a": "string", "b": "int"}
    assert values(table, "b") == [None, 3]


def test_folders_become_columns_and_gzip_is_inflated(spark, tmp_path):
    write_lines(tmp_path / "month=01" / "a.csv", ["id", "1"])
    (tmp_path / "month=02").mkdir()
    (tmp_path / "month=02" / "b.csv.gz").write_bytes(gzip.compress(b"id\n2\n"))

    table = read(spark, tmp_path)

    assert [(r["id"], r["month"]) for r in table.rows.orderBy("id").collect()] == [(1, 1), (2, 2)]


def test_windows_line_ends_marks_and_quotes(spark, tmp_path):
    write_lines(tmp_path / "t.csv", ["\ufeffid,name", '1,"a, ""b"""', "2,ü"], end="\r\n")

    table = read(spark, tmp_path)

    assert values(table, "name") == ['a, "b"', "ü"]


def test_json_keys_of_all_rows_are_columns(spark, tmp_path):
    write_json(
        tmp_path / "t.jsonl", [{"id": 1, "x": 2.5}, {"id": 2, "y": "é"}, {"id": 3, "x": None}]
    )

    table = read(spark, tmp_path, format="json")

    assert dict(table.types) == {"id": "bigint", "x": "double", "y": "string"}
    assert values(table, "y") == [None, "é", None]


def test_a_column_that_is_nearly_numeric_is_noted(spark, tmp_path):
    write_lines(tmp_path / "t.csv", ["a", *map(str, range(19)), "none"])

    table = read(spark, tmp_path)

    assert table.notes == (
        "t.a: taken as string because 1 of 20 values are not bigint; declare sources.t.columns.a: "
        "bigint to quarantine them, or add them to null_values",
    )


def test_malformed_rows_are_kept_with_file_line_and_reason(spark, tmp_path):
    lines = [
        "id,n",
        "1,2",
        "2,two",
        "3",
        "",
        "4,5,6",
        '5,"x',
        "2,two",
        *[f"{i},1" for i in range(6, 40)],
    ]
    write_lines(tmp_path / "in" / "t.csv", lines)
    source = Source(
        path="t", format="csv", columns={"id": "int", "n": "int"}, max_malformed_share=0.2
    )
    table = sources.read(spark, "t", source, str(tmp_path / "in"))

    counts = quarantine.check(table, source, str(tmp_path / "q"))

    kept = spark.read.json(str(tmp_path / "q")).orderBy("line").collect()
    assert [(r["line"], r["reason"], r["row"]) for r in kept] == [
        (3, "column 'n': 'two' is not int", "2,two"),
        (4, "1 cell, expected 2", "3"),
        (6, "3 cells, expected 2", "4,5,6"),
        (7, "a quote is not closed on the line", '5,"x'),
        (8, "column 'n': 'two' is not int", "2,two"),
    ]
    assert {r["file"] for r in kept} == {f"file://{tmp_path}/in/t.csv"}
    assert (counts["rows"], counts["malformed_rows"]) == (35, 5)
    assert counts["reasons"][0] == {"reason": "column 'n': not int", "rows": 2}


def test_too_many_malformed_rows_fail_and_are_kept_first(spark, tmp_path):
    write_json(tmp_path / "in" / "t.jsonl", [{"id": 1}, {"id": 2}])
    with (tmp_path / "in" / "t.jsonl").open("a") as stream:
        stream.write('{"id": \n')
    source = Source(path="t", format="json", max_malformed_share=0.1)
    table = sources.read(spark, "t", source, str(tmp_path / "in"))

    with pytest.raises(MalformedRowsError) as caught:
        quarantine.check(table, source, str(tmp_path / "q"))

    assert str(caught.value) == (
        "source 't': 1 of 3 row is malformed (33.333%), the limit is 10.000%\n"
        f"  file://{tmp_path}/in/t.jsonl line 3: not a JSON object on one line\n"
        f"  all of them, with file, line and reason: {tmp_path}/q\n"
        "  mend the files, declare the type in sources.t.columns, or raise sources.t.max_malformed_share"
    )
    assert spark.read.json(str(tmp_path / "q")).count() == 1


def test_line_numbers_hold_across_chunks(spark, tmp_path, monkeypatch):
    monkeypatch.setattr(quarantine, "CHUNK_BYTES", 7)
    path = write_lines(tmp_path / "t.csv", ["id,n", "1,2", "2,two", "33,4", "2,two"])

    found = quarantine._positions(str(path), ["2,two", "absent"])

    assert found["line"].tolist() == [3, 5]


@pytest.mark.parametrize(
    ("lines", "source", "error", "message"),
    [
        (
            ["id,n", "1,2"], {"columns": {"nn": "int"}}, MissingColumnsError,
            "table 't' lacks 1 column: 'nn'\n  it has: 'id', 'n'\n  did you mean 'n' for 'nn'?",
        ),
        (
            ["id,id", "1,2"], {}, InputError,
            "source 't': the header of {uri} names column 'id' twice: 'id,id'\n"
            "  expected a different name for every column",
        ),
        (
            ["id"], {"derive": {"x": "idd + 1"}}, InputError,
            "sources.t.derive.x: 'idd + 1' does not fit the table\n"
            "  A column or function parameter with name `idd` cannot be resolved. "
            "Did you mean one of the following? [`id`].\n  it has: 'id'",
        ),
        (
            ["id"], {"derive": {"x": "id +"}}, InputError,
            "sources.t.derive.x: 'id +' is not a SQL expression\n  Syntax error at or near end of input.",
        ),
    ],
)  # fmt: skip
def test_bad_tables_say_what_is_wrong(spark, tmp_path, lines, source, error, message):
    path = write_lines(tmp_path / "t.csv", lines)

    with pytest.raises(error) as caught:
        read(spark, tmp_path, **source)

    assert str(caught.value) == message.replace("{uri}", f"file://{path}")


def test_headers_that_differ_are_refused(spark, tmp_path):
    one = write_lines(tmp_path / "a.csv", ["id,n", "1,2"])
    other = write_lines(tmp_path / "b.csv", ["n,id", "1,2"])

    with pytest.raises(InputError) as caught:
        read(spark, tmp_path)

    assert str(caught.value) == (
        "source 't': files have different headers\n"
        f"  file://{one}: 'id,n'\n  file://{other}: 'n,id'\n"
        "  expected one header for all; write the files anew, or make two sources of them"
    )


def test_no_file_and_no_byte_and_no_row_are_three_errors(spark, tmp_path):
    with pytest.raises(MissingFileError) as missing:
        read(spark, tmp_path / "none")
    (tmp_path / "zero").mkdir()
    (tmp_path / "zero" / "t.csv").touch()
    with pytest.raises(EmptyTableError) as zero:
        read(spark, tmp_path / "zero")
    write_lines(tmp_path / "header" / "t.csv", ["id"])
    source = Source(path="t", format="csv")
    with pytest.raises(EmptyTableError) as header:
        quarantine.check(read(spark, tmp_path / "header"), source, str(tmp_path / "q"))

    assert str(missing.value) == (
        f"source 't': nothing found at '{tmp_path}/none'\n"
        "  check sources.t.path and the root; names that start with '_' or '.' do not count"
    )
    assert str(zero.value) == (
        f"table 't' has 0 rows, expected at least 1\n  all 1 files below '{tmp_path}/zero' have 0 bytes"
    )
    assert str(header.value) == (
        "table 't' has 0 rows, expected at least 1\n"
        "  the 1 files of sources.t.path hold headers or blank lines only"
    )


def test_parquet_keeps_its_types_and_checks_declared_ones(spark, tmp_path):
    spark.createDataFrame([(1, "a")], "id int, s string").write.parquet(str(tmp_path / "p"))

    table = read(spark, tmp_path / "p", format="parquet")
    with pytest.raises(SchemaMismatchError) as caught:
        read(spark, tmp_path / "p", format="parquet", columns={"id": "bigint"})

    assert dict(table.types) == {"id": "int", "s": "string"}
    assert str(caught.value) == (
        "table 't', column 'id': type is int, expected bigint\n"
        "  declare sources.t.columns.id: int, or write the files anew"
    )


def test_a_folder_and_a_cell_of_one_name_are_refused(spark, tmp_path):
    write_lines(tmp_path / "id=1" / "t.csv", ORDERS)

    with pytest.raises(InputError) as caught:
        read(spark, tmp_path)

    assert str(caught.value) == (
        "source 't': column 'id' is in the files and in the folder names\n"
        "  rename one of the two; which one is meant cannot be told"
    )


def test_a_torn_parquet_file_is_named(spark, tmp_path):
    (tmp_path / "t.parquet").write_bytes(b"PAR1 and then nothing")

    with pytest.raises(DataError) as caught:
        read(spark, tmp_path, format="parquet")

    assert str(caught.value) == (
        f"source 't': file://{tmp_path}/t.parquet is not a readable Parquet file: "
        "Parquet magic bytes not found in footer\n"
        "  expected whole Parquet files only; write it anew, or move it out of the folder"
    )


def test_parquet_files_of_different_columns_are_refused(spark, tmp_path):
    pq.write_table(pa.table({"id": [1], "n": [2]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"id": [1], "n": ["2"]}), tmp_path / "b.parquet")

    with pytest.raises(InputError) as caught:
        read(spark, tmp_path, format="parquet")

    assert str(caught.value) == (
        f"source 't': files have different columns\n  file://{tmp_path}/a.parquet: n is int64\n"
        f"  file://{tmp_path}/b.parquet: n is string\n"
        "  expected one schema for all; write the files anew, or make two sources of them"
    )
