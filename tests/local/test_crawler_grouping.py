"""The rules of crawlers, on real files of a folder: which of them are one table."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from local.crawlfiles import CSV, ROOT, columns, crawled, one, only, shape

from penstock.errors import InputError
from penstock.local.crawler import Listed, Scope, Stopped, crawl
from penstock.local.crawler.found import Finding, Kind
from penstock.local.crawler.grouping import File, Rules, group
from penstock.local.crawler.hive import Column
from penstock.local.crawler.tables import distinct_name, partition_keys, table_name

OTHER = "x,y,z\nq,r,1\ns,t,2\n"
JSON = '{"id": 1, "name": "a", "price": 2.5}\n'
GROUPINGS: dict[str, tuple[dict[str, str], dict[str, tuple[Any, ...]]]] = {
    "files of a folder": ({"a.csv": CSV, "b.csv": CSV}, {"raw": ("/", [], [])}),
    "hive partitions": (
        {"t/y=2023/a.csv": CSV, "t/y=2024/a.csv": CSV},
        {"raw": ("/", ["partition_0", "y"], [["t", "2023"], ["t", "2024"]])},
    ),
    "unnamed partitions": (
        {"2023/01/a.csv": CSV, "2023/02/a.csv": CSV, "2024/01/a.csv": CSV},
        {"raw": ("/", ["partition_0", "partition_1"],
                 [["2023", "01"], ["2023", "02"], ["2024", "01"]])},
    ),
    "named and unnamed": (
        {"y=1/x/a.csv": CSV, "y=2/z/a.csv": CSV},
        {"raw": ("/", ["y", "partition_1"], [["1", "x"], ["2", "z"]])},
    ),
    "keys that differ are no keys": (
        {"a=1/a.csv": CSV, "b=1/a.csv": CSV},
        {"raw": ("/", ["partition_0"], [["a=1"], ["b=1"]])},
    ),
    "escaped values": (
        {"t=a%3Ab/a.csv": CSV, "t=c/a.csv": CSV},
        {"raw": ("/", ["t"], [["a:b"], ["c"]])},
    ),
    "different schemas": (
        {"one/a.csv": CSV, "two/a.csv": OTHER},
        {"one": ("/one/", [], []), "two": ("/two/", [], [])},
    ),
    "different formats": (
        {"one/a.csv": CSV, "two/a.json": JSON},
        {"one": ("/one/", [], []), "two": ("/two/", [], [])},
    ),
    "the majority takes the others in": (
        {"p=1/a": CSV, "p=2/a": CSV, "p=3/a": OTHER},
        {"raw": ("/", ["p"], [["1"], ["2"], ["3"]])},
    ),
    "but not those of another format": (
        {"a/f": CSV, "b/f": CSV, "c/f": JSON},
        {"raw": ("/", ["partition_0"], [["a"], ["b"]]), "c": ("/c/", [], [])},
    ),
    "half is no majority": (
        {"a/f": CSV, "b/f": CSV, "c/f": OTHER, "d/f": "k,l\nx,1\n"},
        {name: (f"/{name}/", [], []) for name in "abcd"},
    ),
    "a table among others keeps its partitions": (
        {"t/p=1/a": CSV, "t/p=2/a": CSV, "u/a": JSON},
        {"t": ("/t/", ["p"], [["1"], ["2"]]), "u": ("/u/", [], [])},
    ),
    "mixed files in one folder": (
        {"t/a.csv": CSV, "t/b.csv": OTHER, "u/a.json": JSON},
        {"a_csv": ("/t/a.csv", [], []), "b_csv": ("/t/b.csv", [], []), "u": ("/u/", [], [])},
    ),
    "a file beside folders": (
        {"readme.csv": OTHER, "p=1/a": CSV, "p=2/a": CSV},
        {"raw": ("/", ["p"], [["1"], ["2"]]), "readme_csv": ("/readme.csv", [], [])},
    ),
    "other delimiters are other tables": (
        {"a/f": CSV, "b/f": CSV.replace(",", "|")},
        {"a": ("/a/", [], []), "b": ("/b/", [], [])},
    ),
    "names are folded": ({"My Table-1/a": CSV, "u/a": JSON},
                         {"my_table_1": ("/My Table-1/", [], []), "u": ("/u/", [], [])}),
}  # fmt: skip


@pytest.mark.parametrize("case", GROUPINGS)
def test_grouping(case: str) -> None:
    files, expected = GROUPINGS[case]

    assert shape(crawled(files)) == expected


def test_combined_schemas_are_one_table_whatever_their_columns() -> None:
    found = crawled({"a/f": CSV, "b/f": OTHER}, combine=True)

    assert shape(found) == {"raw": ("/", ["partition_0"], [["a"], ["b"]])}
    assert list(columns(only(found))) == ["id", "name", "price", "x", "y", "z"]


def test_a_table_level_fixes_where_tables_stand() -> None:
    files = {"a/p/f": CSV, "a/q/f": OTHER, "b/p/f": CSV, "b/p/r/f": CSV, "top": CSV}

    found = crawled(files, table_level=3)  # mem://lake/raw is at level 2

    assert [(t.name, t.location.removeprefix(ROOT), len(t.partitions)) for t in found.tables] == [
        ("a", "/a/", 2),
        ("b", "/b/", 1),
        ("b", "/b/", 1),
        ("top", "/top", 0),
    ]


def test_a_table_level_above_the_include_path_is_refused() -> None:
    with pytest.raises(InputError) as caught:
        crawled({"a": CSV}, table_level=1)

    assert str(caught.value) == (
        "TableLevelConfiguration 1: the include path 'mem://lake/raw' is at level 2, expected 2 or "
        "more\n  a bucket is at level 1"
    )


def test_partitions_keep_their_own_schema_and_the_table_has_all_columns() -> None:
    found = crawled({"p=1/f": "a,b,c,d\n1,x,1,1\n", "p=2/f": "a,b,c,d,e\n1.5,x,1,1,z\n"})

    assert columns(only(found)) == {
        "a": "double", "b": "string", "c": "bigint", "d": "bigint", "e": "string",
    }  # fmt: skip
    first, second = found.tables[0].partitions
    assert columns(first) == {"a": "bigint", "b": "string", "c": "bigint", "d": "bigint"}
    assert columns(second)["a"] == "double"


def test_a_table_of_csv_in_full() -> None:
    table = one(CSV, prefix="Raw_")

    parameters = {
        "CrawlerSchemaDeserializerVersion": "1.0",
        "CrawlerSchemaSerializerVersion": "1.0",
        "classification": "csv",
        "compressionType": "none",
        "typeOfData": "file",
        "averageRecordSize": "15",
        "recordCount": "2",
        "objectCount": "1",
        "sizeKey": "30",
        "areColumnsQuoted": "false",
        "columnsOrdered": "true",
        "delimiter": ",",
        "skip.header.line.count": "1",
    }
    assert table == {
        "Name": "raw_raw",
        "Owner": "owner",
        "Retention": 0,
        "StorageDescriptor": {
            "Columns": [
                {"Name": "id", "Type": "bigint"},
                {"Name": "name", "Type": "string"},
                {"Name": "price", "Type": "double"},
            ],
            "Location": f"{ROOT}/",
            "InputFormat": "org.apache.hadoop.mapred.TextInputFormat",
            "OutputFormat": "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
            "Compressed": False,
            "NumberOfBuckets": -1,
            "SerdeInfo": {
                "SerializationLibrary": "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe",
                "Parameters": {"field.delim": ","},
            },
            "BucketColumns": [],
            "SortColumns": [],
            "Parameters": parameters,
            "StoredAsSubDirectories": False,
        },
        "PartitionKeys": [],
        "TableType": "EXTERNAL_TABLE",
        "Parameters": parameters,
    }


def test_excluded_empty_and_hidden_files_are_skipped_and_told() -> None:
    files = {"a.csv": CSV, "b.tmp": CSV, "c.csv": "", "_SUCCESS": "x", "_temporary/d": CSV}

    found = crawled(files, exclusions=("*.tmp",))

    assert sorted((uri.removeprefix(ROOT), why) for uri, why in found.skipped) == [
        ("/_SUCCESS", "hidden"),
        ("/_temporary/d", "hidden"),
        ("/b.tmp", "excluded"),
        ("/c.csv", "empty"),
    ]
    assert shape(found) == {"raw": ("/", [], [])}


def test_of_many_files_a_sample_is_read_and_all_are_counted() -> None:
    opened = []

    def opener(uri: str) -> Any:
        opened.append(uri)
        return pa.BufferReader(CSV.encode())

    listing = [Listed(uri=f"{ROOT}/{n:03}.csv", size_bytes=len(CSV)) for n in range(250)]
    found = crawl(listing, opener, Scope(root=ROOT, sample=10))

    assert len(opened) == 10
    assert only(found)["Parameters"]["objectCount"] == "250"
    assert only(found)["Parameters"]["recordCount"] == "500"


def test_a_file_that_goes_while_it_is_crawled_is_left_out() -> None:
    def opener(uri: str) -> Any:
        if uri.endswith("gone"):
            raise FileNotFoundError(uri)
        return pa.BufferReader(CSV.encode())

    listing = [Listed(uri=f"{ROOT}/{name}", size_bytes=len(CSV)) for name in ("here", "gone")]
    found = crawl(listing, opener, Scope(root=ROOT))

    assert found.skipped == ((f"{ROOT}/gone", "gone"),)
    assert only(found)["Parameters"]["objectCount"] == "1"


def test_a_crawl_that_is_told_to_stop_stops() -> None:
    listing = [Listed(uri=f"{ROOT}/a", size_bytes=3)]

    with pytest.raises(Stopped):
        crawl(listing, lambda uri: pa.BufferReader(b""), Scope(root=ROOT), stopping=lambda: True)


def test_names() -> None:
    assert table_name("Straße 7") == "stra_e_7"
    assert len(table_name("x" * 200)) == 128
    assert (
        distinct_name("flights", "s3://a/b/")
        == "flights_2db4a1427f3bc8b7a5a35a5f7b9ef18a"[:8]
        + (distinct_name("flights", "s3://a/b/")[8:])
    )
    assert distinct_name("flights", "s3://a/b/") != distinct_name("flights", "s3://a/c/")
    assert len(distinct_name("x" * 128, "s3://a/b/")) == 128


SCHEMAS = [
    tuple(Column(name=name, type="bigint") for name in names) for names in ("abcd", "abce", "xyz")
]
NAMES = st.sampled_from(["p=1", "p=2", "q=1", "x", "y"])


def place_of(file: tuple[list[str], str, Any, str]) -> tuple[str, ...]:
    return (*file[0], file[1])


TREES = st.lists(
    st.tuples(st.lists(NAMES, max_size=3), st.sampled_from("fgh"), st.sampled_from(SCHEMAS),
              st.sampled_from(["csv", "json"])),
    max_size=12,
    unique_by=place_of,
)  # fmt: skip


@given(TREES, st.booleans(), st.sampled_from([None, 0, 1, 2]))
def test_every_file_is_in_one_table_whose_place_it_lies_in(
    tree: list[tuple[list[str], str, tuple[Column, ...], str]], combine: bool, level: int | None
) -> None:
    folders = {tuple(path) for path, *_ in tree}
    files = [
        File(
            path=(*path, name + ".f"),
            uri="/".join([*path, name + ".f"]),
            size_bytes=1,
            finding=Finding(kind=Kind(classification=kind), columns=columns),
        )
        for path, name, columns, kind in tree
    ]

    made = group(files, Rules(combine=combine, level=level))

    seen = [file.uri for each in made for part in each.parts for file in part.files]
    assert sorted(seen) == sorted(file.uri for file in files)
    for each in made:
        assert len({len(part.names) for part in each.parts}) == 1
        assert len({part.names for part in each.parts}) == len(each.parts)
        assert len(partition_keys(each)) == each.levels
        for part in each.parts:
            assert all(
                file.path[: -1 if not each.alone else None] == (*each.path, *part.names)
                for file in part.files
            )
            assert len({(file.finding or files[0].finding).kind.classification  # type: ignore[union-attr]
                        for file in part.files}) == 1  # fmt: skip
    assert folders or not made


@given(TREES)
def test_grouping_does_not_depend_on_the_order_of_the_listing(
    tree: list[tuple[list[str], str, tuple[Column, ...], str]],
) -> None:
    files = [
        File(
            path=(*path, name),
            uri="/".join([*path, name]),
            size_bytes=1,
            finding=Finding(kind=Kind(classification=kind), columns=columns),
        )
        for path, name, columns, kind in tree
    ]

    assert group(files, Rules()) == group(files[::-1], Rules())
