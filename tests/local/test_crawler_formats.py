"""The rules of crawlers, on real files of a folder: what is in them."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import struct
import zipfile
from decimal import Decimal
from operator import itemgetter
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from local.crawlfiles import CSV, columns, crawled, one
from pyarrow import orc, parquet

from penstock.errors import NotEmulatedError
from penstock.local.crawler import CustomClassifier, hive
from penstock.local.crawler.csvformat import CsvRules, cell_type
from penstock.local.crawler.hive import Array, Map, Struct
from penstock.local.crawler.jsonformat import JsonPath
from penstock.local.crawler.samples import Ahead


def parquet_bytes(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    parquet.write_table(table, sink)
    return sink.getvalue()


CSV_CASES = {
    "a header before numbers": (CSV, {"id": "bigint", "name": "string", "price": "double"}, "1"),
    "text alone has no header": ("code,name\nUA,United\nAA,American\n",
                                 {"col0": "string", "col1": "string"}, None),
    "numbers in the first row are no header": ("1,2\n3,4\n", {"col0": "bigint", "col1": "bigint"},
                                               None),
    "pipes": ("a|b\n1|x,y\n2|z,w\n", {"a": "bigint", "b": "string"}, "1"),
    "tabs": ("a\tb\n1\tx\n", {"a": "bigint", "b": "string"}, "1"),
    "semicolons": ("a;b\n1,5;2\n2,5;3\n", {"a": "string", "b": "bigint"}, "1"),
    "control A": ("a\x01b\n1\x01x\n", {"a": "bigint", "b": "string"}, "1"),
    "an empty last header cell": ("a,b,\n1,2,\n", {"a": "bigint", "b": "bigint", "col2": "string"},
                                  "1"),
    "an empty header cell in the middle": ("a,,b\n1,2,3\n",
                                           {"col0": "string", "col1": "bigint", "col2": "string"},
                                           None),
    "a header cell of 150 characters": (f"a,{'b' * 150}\n1,2\n",
                                        {"col0": "string", "col1": "string"}, None),
    "a header cell of 149 characters": (f"a,{'b' * 149}\n1,2\n",
                                        {"a": "bigint", "b" * 149: "bigint"}, "1"),
    "empty cells are any type": ("a,b,c\n1,,\n,2.5,\n", {"a": "bigint", "b": "double",
                                                         "c": "string"}, "1"),
    "whole numbers and fractions": ("a,b\n1,1\n2.5,2\n", {"a": "double", "b": "bigint"}, "1"),
    "numbers and text": ("a,b\n1,1\nx,2\n", {"a": "string", "b": "bigint"}, "1"),
    "dates are text": ("day,n\n2013-01-01,1\n", {"day": "string", "n": "bigint"}, "1"),
    "true and false": ("a,b\ntrue,1\nFalse,2\n", {"a": "boolean", "b": "bigint"}, "1"),
    "past 64 bits is text": ("a,b\n9223372036854775808,1\n", {"a": "string", "b": "bigint"}, "1"),
    "quotes make text": ('a,b\n"1",1\n"2",2\n', {"a": "string", "b": "bigint"}, "1"),
    "delimiters in quotes": ('a,b\n"x,y",1\n"z",2\n', {"a": "string", "b": "bigint"}, "1"),
    "names in lower case": ("Id,First Name\n1,x\n", {"id": "bigint", "first name": "string"}, "1"),
    "quoted names": ('"Id","B"\n1,2\n', {"id": "bigint", "b": "bigint"}, "1"),
    "a byte order mark": ("\ufeffa,b\n1,2\n", {"a": "bigint", "b": "bigint"}, "1"),
    "Windows line ends": ("a,b\r\n1,2\r\n", {"a": "bigint", "b": "bigint"}, "1"),
}  # fmt: skip


@pytest.mark.parametrize("case", CSV_CASES)
def test_csv(case: str) -> None:
    body, expected, skipped = CSV_CASES[case]

    table = one(body)

    assert columns(table) == expected
    assert table["Parameters"]["classification"] == "csv"
    assert table["Parameters"].get("skip.header.line.count") == skipped


@pytest.mark.parametrize(
    "body",
    [
        "just one column\nof text\n",
        "a,b\n",
        "a,b\n1,2,3\n4,5\n",
        "",
        b"\xff\xfe,1\n2,3\n",
        b"a,b\n\0,1\n",
    ],
    ids=["one column", "one row", "ragged", "empty", "not UTF-8", "NUL"],
)
def test_what_is_no_csv_is_unknown(body: str | bytes) -> None:
    found = crawled({"file": body})

    assert [table.table["Parameters"]["classification"] for table in found.tables] == (
        ["UNKNOWN"] if body else []
    )


def test_only_the_first_thousand_rows_count() -> None:
    rows = "".join(f"{number},{number}\n" for number in range(999))

    assert columns(one("a,b\n" + rows + "x,1\n")) == {"a": "bigint", "b": "bigint"}


def test_only_the_first_mebibyte_counts_and_a_cut_row_does_not() -> None:
    row = f"1,{'z' * 3000}\n"
    body = "a,b\n" + row * 400  # row 350 is cut by the limit
    table = one(body)

    assert columns(table) == {"a": "bigint", "b": "string"}
    assert table["Parameters"]["recordCount"] == "400"
    assert table["Parameters"]["averageRecordSize"] == "3003"


@pytest.mark.parametrize(
    ("cell", "type_"),
    [("0", "bigint"), ("-9223372036854775808", "bigint"), ("1e5", "double"), (".5", "double"),
     ("5.", "double"), ("NaN", "string"), ("1,5", "string"), ("0x1", "string"), ("1_000", "string"),
     ("٣", "string"), ("TRUE", "boolean"), ("yes", "string"), ("12:30", "string")],
)  # fmt: skip
def test_cells(cell: str, type_: str) -> None:
    assert cell_type(cell) == type_


def test_a_custom_csv_classifier_says_what_the_built_in_cannot_know() -> None:
    body = "code;'name'\nUA;'United; Inc'\nAA;'American'\n"
    rules = CsvRules(delimiter=";", quote="'", header="PRESENT", serde="open", custom=True)

    table = one(body, classifiers=(CustomClassifier(name="mine", rules=rules),))

    assert columns(table) == {"code": "string", "name": "string"}
    assert table["StorageDescriptor"]["SerdeInfo"] == {
        "SerializationLibrary": "org.apache.hadoop.hive.serde2.OpenCSVSerde",
        "Parameters": {"separatorChar": ";", "quoteChar": "'", "escapeChar": "\\"},
    }
    assert table["Parameters"]["areColumnsQuoted"] == "true"


@pytest.mark.parametrize(
    ("rules", "body", "expected"),
    [
        (CsvRules(header="ABSENT"), CSV, {"col0": "string", "col1": "string", "col2": "string"}),
        (CsvRules(names=("x", "y", "z")), CSV, {"x": "bigint", "y": "string", "z": "double"}),
        (CsvRules(types=("int", "string", "float"), header="PRESENT"), CSV,
         {"id": "int", "name": "string", "price": "float"}),
        (CsvRules(single_column=True, header="PRESENT"), "n\n1\n2\n", {"n": "bigint"}),
        (CsvRules(trim=False), "a,b\n 1,2\n", {"a": "string", "b": "bigint"}),
        # It names two columns and the file has three: the built-in classifier is next.
        (CsvRules(names=("x", "y")), CSV, {"id": "bigint", "name": "string", "price": "double"}),
    ],
)  # fmt: skip
def test_custom_csv_rules(rules: CsvRules, body: str, expected: dict[str, str]) -> None:
    assert columns(one(body, classifiers=(CustomClassifier(name="mine", rules=rules),))) == expected


JSON_CASES = {
    "lines": ('{"a": 1, "B": "x"}\n{"a": 2.5}\n', {"a": "double", "b": "string"}),
    "sizes of integers": ('{"a": 2147483647, "b": 2147483648, "c": 9223372036854775808}',
                          {"a": "int", "b": "bigint", "c": "string"}),
    "structs": ('{"a": {"firstName": "x", "n": 1}}\n{"a": {"m": true}}',
                {"a": "struct<firstName:string,n:int,m:boolean>"}),
    "arrays": ('{"a": [1, 2.5], "b": [], "c": [{"d": 1}, {"e": "x"}]}',
               {"a": "array<double>", "b": "array<string>", "c": "array<struct<d:int,e:string>>"}),
    "nulls": ('{"a": null}\n{"a": null, "b": null}\n{"b": 1}', {"a": "string", "b": "int"}),
    "one type or another is text": ('{"a": 1}\n{"a": "x"}\n{"a": [1]}', {"a": "string"}),
    "one object over lines": ('{\n  "a": 1,\n  "b": {"c": 2}\n}\n', {"a": "int", "b": "struct<c:int>"}),
    "one array is one column": ('[{"a": 1}, {"b": 2.5}]', {"array": "array<struct<a:int,b:double>>"}),
}  # fmt: skip


@pytest.mark.parametrize("case", JSON_CASES)
def test_json(case: str) -> None:
    body, expected = JSON_CASES[case]

    table = one(body)

    assert columns(table) == expected
    assert table["Parameters"]["classification"] == "json"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("$[*]", '[{"a": 1, "b": "x"}, {"a": 2}]'),
        ("$.records[*]", '{"records": [{"a": 1, "b": "x"}]}'),
        ("$.deep.one", '{"deep": {"one": {"a": 1, "b": "x"}}}'),
        ("$", '{"a": 1, "b": "x"}'),
    ],
)
def test_a_json_path_says_where_the_records_are(path: str, body: str) -> None:
    classifier = CustomClassifier(name="mine", rules=JsonPath.parse(path))

    assert columns(one(body, classifiers=(classifier,))) == {"a": "int", "b": "string"}


def test_json_is_read_on_until_a_first_value_ends() -> None:
    body = '{"a": "' + "z" * (3 << 20) + '", "b": 1}\n'

    assert columns(one(body)) == {"a": "string", "b": "int"}


def test_a_cut_array_is_read_by_its_first_items() -> None:
    body = json.dumps([{"a": 1, "b": "z" * 1000}] * 2000)

    assert columns(one(body)) == {"array": "array<struct<a:int,b:string>>"}


def test_parquet_types_come_from_the_footer() -> None:
    fields: dict[str, pa.DataType] = {
        "Small": pa.int8(),
        "i16": pa.int16(),
        "i32": pa.int32(),
        "u32": pa.uint32(),
        "u64": pa.uint64(),
        "f": pa.float32(),
        "d": pa.float64(),
        "flag": pa.bool_(),
        "s": pa.large_string(),
        "raw": pa.binary(),
        "fixed": pa.binary(4),
        "day": pa.date32(),
        "ts": pa.timestamp("us", tz="UTC"),
        "dec": pa.decimal128(12, 3),
        "coded": pa.dictionary(pa.int32(), pa.string()),
        "list": pa.list_(pa.struct([("x", pa.int64())])),
        "map": pa.map_(pa.string(), pa.float64()),
    }
    table = pa.table({name: pa.array([None], type_) for name, type_ in fields.items()})

    found = one(parquet_bytes(table))

    assert columns(found) == {
        "small": "tinyint",
        "i16": "smallint",
        "i32": "int",
        "u32": "bigint",
        "u64": "decimal(20,0)",
        "f": "float",
        "d": "double",
        "flag": "boolean",
        "s": "string",
        "raw": "binary",
        "fixed": "binary",
        "day": "date",
        "ts": "timestamp",
        "dec": "decimal(12,3)",
        "coded": "string",
        "list": "array<struct<x:bigint>>",
        "map": "map<string,double>",
    }
    assert found["StorageDescriptor"]["SerdeInfo"]["Parameters"] == {"serialization.format": "1"}
    assert found["Parameters"]["recordCount"] == "1"


def test_orc() -> None:
    sink = io.BytesIO()
    table = pa.table({"A": pa.array([1, 2], pa.int64()), "d": pa.array([Decimal("1.5")] * 2)})
    orc.write_table(table, sink)

    found = one(sink.getvalue())

    assert columns(found) == {"a": "bigint", "d": "decimal(2,1)"}
    assert found["Parameters"]["classification"] == "orc"
    assert found["Parameters"]["recordCount"] == "2"


def avro_bytes(schema: Any, blocks: list[tuple[int, bytes]]) -> bytes:
    """Write a container as the module's head draws it."""

    def long(value: int) -> bytes:
        value = (value << 1) ^ (value >> 63)
        made = bytearray()
        while value >= 0x80:
            made.append(value & 0x7F | 0x80)
            value >>= 7
        return bytes([*made, value])

    def text(value: bytes) -> bytes:
        return long(len(value)) + value

    head = b"Obj\x01" + long(2) + text(b"avro.schema") + text(json.dumps(schema).encode())
    head += text(b"avro.codec") + text(b"null") + long(0) + b"s" * 16
    return head + b"".join(long(n) + text(data) + b"s" * 16 for n, data in blocks)


def test_avro() -> None:
    schema = {
        "type": "record",
        "name": "Row",
        "fields": [
            {"name": "Id", "type": "long"},
            {"name": "maybe", "type": ["null", "string"]},
            {"name": "day", "type": {"type": "int", "logicalType": "date"}},
            {"name": "price", "type": {"type": "bytes", "logicalType": "decimal",
                                       "precision": 9, "scale": 2}},
            {"name": "tags", "type": {"type": "array", "items": "string"}},
            {"name": "more", "type": {"type": "map", "values": "int"}},
            {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["A"]}},
            {"name": "again", "type": "Kind"},
        ],
    }  # fmt: skip

    found = one(avro_bytes(schema, [(7, b"x" * 70), (3, b"x" * 30)]))

    assert columns(found) == {
        "id": "bigint",
        "maybe": "string",
        "day": "date",
        "price": "decimal(9,2)",
        "tags": "array<string>",
        "more": "map<string,int>",
        "kind": "string",
        "again": "string",
    }
    assert found["Parameters"]["recordCount"] == "10"
    literal = found["Parameters"]["avro.schema.literal"]
    assert json.loads(literal) == schema
    assert found["StorageDescriptor"]["SerdeInfo"]["Parameters"]["avro.schema.literal"] == literal


def snappy_framed(body: bytes) -> bytes:
    packed: bytes = pa.compress(body, codec="snappy", asbytes=True)
    chunk = b"\0\0\0\0" + packed
    return b"\xff\x06\x00\x00sNaPpY" + b"\0" + struct.pack("<I", len(chunk))[:3] + chunk


def zipped(*bodies: bytes) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for place, body in enumerate(bodies):
            archive.writestr(f"{place}.csv", body)
    return sink.getvalue()


def lz4(body: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "lz4") as out:
        out.write(body)
    made: bytes = sink.getvalue().to_pybytes()
    return made


@pytest.mark.parametrize(
    ("name", "packed"),
    [
        ("gzip", gzip.compress(CSV.encode())),
        ("gzip", gzip.compress(CSV[:16].encode()) + gzip.compress(CSV[16:].encode())),
        ("bzip2", bz2.compress(CSV.encode())),
        ("zip", zipped(CSV.encode())),
        ("lz4", lz4(CSV.encode())),
        ("snappy", snappy_framed(CSV.encode())),
    ],
    ids=["gzip", "two members", "bzip2", "zip", "lz4", "snappy"],
)
def test_compressed_files_are_read_by_their_first_bytes(name: str, packed: bytes) -> None:
    table = one(packed)

    assert columns(table) == {"id": "bigint", "name": "string", "price": "double"}
    assert table["Parameters"]["compressionType"] == name
    assert table["Parameters"]["recordCount"] == "2"
    assert table["StorageDescriptor"]["Compressed"] is True


@pytest.mark.parametrize(
    ("body", "note"),
    [
        (gzip.compress(CSV.encode() * 9, mtime=0)[:-20] + b"x", "gzip"),
        (zipped(b"a", b"b"), "it begins like zip, and cannot be read as such: it holds 2 files, expected one"),
        (b"PAR1" + b"x" * 40 + b"PAR1", "parquet"),
        (b"Obj\x01\x02", "it begins like avro, and cannot be read as such: "
                         "ValueError('it ends inside a number')"),
        (b"BZh9nothing", "bzip2"),
    ],
)  # fmt: skip
def test_a_corrupt_file_is_unknown_and_its_note_says_why(body: bytes, note: str) -> None:
    found = crawled({"file": body})

    finding = found.files[0].finding
    assert finding is not None
    assert finding.kind.classification == "UNKNOWN"
    assert note in finding.notes[0]


def test_a_file_that_glue_would_know_is_refused() -> None:
    with pytest.raises(NotEmulatedError) as caught:
        crawled({"a.xml": '<?xml version="1.0"?><rows/>'})

    assert str(caught.value) == (
        "glue.StartCrawler is not in the local plane: mem://lake/raw/a.xml is XML, and there is no "
        "classifier of XML\n  leave it out with a pattern in Exclusions of the crawler's target"
    )


TYPES = st.recursive(
    st.sampled_from(["tinyint", "int", "bigint", "float", "double", "string", "boolean", "date", "null",
                     "decimal(10,2)", "decimal(20,0)"]),
    lambda inner: st.one_of(
        inner.map(Array),
        st.tuples(inner, inner).map(lambda pair: Map(*pair)),
        st.lists(st.tuples(st.sampled_from("abc"), inner), min_size=1, unique_by=itemgetter(0))
        .map(lambda fields: Struct(tuple(fields))),
    ),
    max_leaves=6,
)  # fmt: skip


@given(TYPES, TYPES)
def test_merging_types_keeps_equals_and_does_not_depend_on_order(
    a: hive.Type, b: hive.Type
) -> None:
    def unordered(type_: hive.Type) -> Any:
        if isinstance(type_, Struct):
            return frozenset((name, unordered(each)) for name, each in type_.fields)
        if isinstance(type_, Array):
            return ("array", unordered(type_.item))
        if isinstance(type_, Map):
            return ("map", unordered(type_.key), unordered(type_.value))
        return type_

    assert hive.merge(a, a) == a
    assert unordered(hive.merge(a, b)) == unordered(hive.merge(b, a))


@given(TYPES)
def test_types_are_read_as_they_are_written(type_: hive.Type) -> None:
    assert hive.text(hive.parse(hive.text(type_))) == hive.text(type_)


def orc_bytes(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    orc.write_table(table, sink)
    return sink.getvalue()


SMALL = pa.table({"a": [1, 2], "s": [{"x": 1}, {"x": 2}]})
SOUND = [
    CSV.encode(),
    b'"a","b""c"\n1,2\n',
    b'{"a": [1, {"b": null}]}\n{"a": "x"}\n',
    b'[{"a": 1}, {"a": "x"}]',
    gzip.compress(CSV.encode()),
    zipped(CSV.encode()),
    lz4(CSV.encode()),
    snappy_framed(CSV.encode()),
    parquet_bytes(SMALL),
    orc_bytes(SMALL),
    avro_bytes(
        {"type": "record", "name": "r", "fields": [{"name": "a", "type": "int"}]}, [(1, b"a")]
    ),
]
EDITS = st.lists(
    st.tuples(st.integers(0, 3000), st.integers(0, 8), st.binary(max_size=4)), max_size=4
)


@given(st.sampled_from(SOUND), EDITS)
def test_any_bytes_at_all_are_one_table(body: bytes, edits: list[tuple[int, int, bytes]]) -> None:
    for place, length, replacement in edits:
        at = place % (len(body) + 1)
        body = body[:at] + replacement + body[at + length :]
    if not body:
        return

    assert crawled({"file": body}).tables[0].name == "raw"


PLACES = st.integers(-3, 40)


@given(
    st.binary(max_size=30),
    st.integers(0, 35),
    st.lists(st.tuples(PLACES, st.integers(0, 2), PLACES)),
)
def test_reading_ahead_changes_nothing(
    body: bytes, ahead: int, moves: list[tuple[int, int, int]]
) -> None:
    plain, read_ahead = io.BytesIO(body), Ahead(io.BytesIO(body), ahead, len(body))
    for offset, whence, count in moves:
        base = [0, plain.tell(), len(body)][whence]
        if base + offset < 0:
            continue
        assert read_ahead.seek(offset, whence) == plain.seek(offset, whence)
        assert read_ahead.read(count if count >= 0 else -1) == plain.read(
            count if count >= 0 else -1
        )
        assert read_ahead.tell() == plain.tell()


@pytest.mark.parametrize("body", ["[" * 200_000, '{"a":' * 900 + "1" + "}" * 900])
def test_depth_without_end_is_no_trouble(body: str) -> None:
    assert one(body)["Name"] == "raw"
