"""Files that others wrote, through tables of Athena: text formats, partitions, types that do not agree."""

from __future__ import annotations

import datetime as dt
import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from local.athenaclient import AthenaClient

OPENX = "ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'"
OPENCSV = "ROW FORMAT SERDE 'org.apache.hadoop.hive.serde2.OpenCSVSerde'"


@pytest.fixture(scope="module")
def client(plane):
    del plane
    return AthenaClient("tables")


def table(client, name, columns, rest=""):
    client.run(
        f"CREATE EXTERNAL TABLE {name} ({columns}) {rest} LOCATION 's3://{client.bucket}/{name}/'"
    )


def parquet(client, key, **columns):
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out)
    client.s3.put_object(Bucket=client.bucket, Key=key, Body=out.getvalue())


def test_json(client):
    client.put(
        "j1/a.json.gz",
        '{"Id": 1, "name": "é", "Tags": ["a", null], "m": {"K": 1.5}, "st": {"X": 1, "y": {"z": "q"}},'
        ' "d": "2020-01-02", "dec": 1.5, "big": 9007199254740993}\n'
        '{"id": "2", "name": null, "tags": [], "m": {}, "st": null}\n'
        "\n",
    )
    table(
        client,
        "j1",
        "id int, name string, tags array<string>, m map<string,double>,"
        " st struct<x:int,y:struct<z:string>>, d date, `dec` decimal(10,2), big bigint",
        OPENX,
    )

    assert client.rows("SELECT * FROM j1 WHERE id IS NOT NULL ORDER BY id") == [
        [
            "1",
            "é",
            "[a, null]",
            "{K=1.5}",
            "{x=1, y={z=q}}",
            "2020-01-02",
            "1.50",
            "9007199254740993",
        ],
        ["2", None, "[]", "{}", None, None, None, None],
    ]
    assert client.rows("SELECT st.y.z, tags[1], m['K'] FROM j1 WHERE id = 1") == [["q", "a", "1.5"]]


def test_json_that_is_none(client):
    client.put("j2/a.json", '{"a": 1}\nno json\n')
    table(client, "j2", "a int", OPENX)
    table(
        client, "j2x", "a int", f"{OPENX} WITH SERDEPROPERTIES ('ignore.malformed.json' = 'true')"
    )
    client.put("j2x/a.json", '{"a": 1}\nno json\n')
    client.put("j3/a.json", '{"a": "x"}\n')
    table(client, "j3", "a int", OPENX)

    assert client.failure("SELECT a FROM j2") == (
        "HIVE_CURSOR_ERROR: Row is not a valid JSON Object: no json"
    )
    assert client.rows("SELECT a FROM j2x ORDER BY a") == [["1"], [None]]
    assert client.failure("SELECT a FROM j3") == (
        "HIVE_BAD_DATA: Error parsing field value 'x' for field 0: For input string: \"x\""
    )


def test_delimited(client):
    client.put(
        "c1/a.csv",
        "id|name|when|tags|m|flag\r\n1|é|2020-01-02 03:04:05.5|a,b|k:1,l:2|true\nx|\\N|bad||\n3\n",
    )
    table(
        client,
        "c1",
        "id int, name string, `when` timestamp, tags array<string>, m map<string,int>, flag boolean",
        "ROW FORMAT DELIMITED FIELDS TERMINATED BY '|' COLLECTION ITEMS TERMINATED BY ','"
        " MAP KEYS TERMINATED BY ':' STORED AS TEXTFILE",
    )
    client.run("ALTER TABLE c1 SET TBLPROPERTIES ('skip.header.line.count' = '1')")

    assert client.rows("SELECT * FROM c1 ORDER BY id") == [
        ["1", "é", "2020-01-02 03:04:05.500", "[a, b]", "{k=1, l=2}", "true"],
        ["3", None, None, None, None, None],
        [None, None, None, "[]", "{}", None],
    ]


def test_quoted_csv(client):
    client.put("c2/a.csv", 'a,b,c\n"1","x, ""y""","18262"\n2,\\"z,\n"3","q\\"r",""\n')
    properties = (
        "WITH SERDEPROPERTIES ('separatorChar' = ',', 'quoteChar' = '\"', 'escapeChar' = '\\\\')"
    )
    table(client, "c2", "a int, b string, c string", f"{OPENCSV} {properties}")
    client.run("ALTER TABLE c2 SET TBLPROPERTIES ('skip.header.line.count' = '1')")

    assert client.rows("SELECT a, b, c FROM c2 WHERE a <> 2 ORDER BY a") == [
        ["1", 'x, "y"', "18262"],
        ["3", 'q"r', ""],
    ]
    client.put("c3/a.csv", "1,18262\nx,1\n")
    table(client, "c3", "a int, d date", OPENCSV)
    assert client.rows("SELECT d FROM c3 LIMIT 1") == [["2020-01-01"]]
    assert client.failure("SELECT a FROM c3") == (
        "HIVE_BAD_DATA: Error parsing field value 'x' for field 0: For input string: \"x\""
    )


def test_only_partitions_that_match_are_read(client):
    for year in (2019, 2020, 2021):
        for month in (1, 2):
            parquet(
                client,
                f"pruned/year={year}/month={month}/x.parquet",
                a=pa.array(range(1000)),
                b=pa.array([f"{year}-{at}" for at in range(1000)]),
            )
    table(
        client,
        "pruned",
        "a bigint, b string",
        "PARTITIONED BY (year int, month string) STORED AS PARQUET",
    )
    client.run("MSCK REPAIR TABLE pruned")
    # Whoever reads this partition fails.
    client.put("pruned/year=2019/month=1/bad.parquet", "no parquet")

    def scanned(sql):
        found = client.run(sql)
        assert found["Statistics"]["DataScannedInBytes"] > 0
        return found["Statistics"]["DataScannedInBytes"]

    whole = scanned("SELECT a, b FROM pruned WHERE year >= 2020")
    one = scanned("SELECT a, b FROM pruned WHERE year = 2020 AND month = '1'")
    assert one * 3.9 < whole < one * 4.1
    assert (
        scanned("SELECT a, b FROM pruned WHERE concat(CAST(year AS varchar), month) = '20211'")
        == one
    )
    assert (
        scanned(
            "SELECT p.a, p.b FROM pruned p JOIN (VALUES 1, 2) t(x) ON p.a = t.x WHERE substr(p.month, 1, 1) = '2' AND p.year IN (2020)"
        )
        <= one
    )
    assert (
        scanned(
            "WITH t AS (SELECT * FROM pruned) SELECT a, b FROM t WHERE year = 2021 AND month = '2'"
        )
        == one
    )
    client.run("CREATE VIEW v_pruned AS SELECT a, b, year AS y, month FROM pruned")
    assert scanned("SELECT a, b FROM v_pruned WHERE y = 2021 AND month = '2'") == one
    narrow = scanned("SELECT a FROM pruned WHERE year = 2020 AND month = '1'")
    assert narrow < one
    assert client.rows(
        "SELECT count(*), count(p.a) FROM (VALUES 2019, 2020) t(y) LEFT JOIN"
        " (SELECT * FROM pruned WHERE year > 2019) p ON p.year = t.y AND p.a = 5 WHERE p.year IS NULL"
    ) == [["1", "0"]]
    assert client.failure("SELECT count(a) FROM pruned") == (
        f"HIVE_BAD_DATA: Not valid Parquet file: s3://{client.bucket}/pruned/year=2019/month=1/bad.parquet. "
        "Parquet magic bytes not found in footer. Either the file is corrupted or this is not a parquet file."
    )


def test_parquet_whose_schemas_differ(client):
    parquet(
        client,
        "pq1/a.parquet",
        Id=pa.array([1], pa.int32()),
        s=pa.array(["x"]),
        ts=pa.array([dt.datetime(2020, 1, 2, 3)], pa.timestamp("ns")),
    )
    parquet(client, "pq1/b.parquet", id=pa.array([2], pa.int64()), extra=pa.array([1]))
    parquet(
        client,
        "pq1/c.parquet",
        s=pa.array(["z"]).dictionary_encode(),
        id=pa.array([3]),
        d=pa.array(["1.5"]).cast(pa.decimal128(5, 1)),
    )
    table(client, "pq1", "id bigint, s string, ts timestamp, d decimal(10,2)", "STORED AS PARQUET")

    assert client.rows("SELECT *, 1 FROM pq1 WHERE id < 9 ORDER BY id") == [
        ["1", "x", "2020-01-02 03:00:00.000", None, "1"],
        ["2", None, None, None, "1"],
        ["3", "z", None, "1.50", "1"],
    ]
    assert client.rows("SELECT id, \"$path\" FROM pq1 WHERE s = 'z'") == [
        ["3", f"s3://{client.bucket}/pq1/c.parquet"]
    ]
    parquet(client, "pq2/a.parquet", a=pa.array(["x"]))
    table(client, "pq2", "a int", "STORED AS PARQUET")
    assert client.failure("SELECT a FROM pq2") == (
        f"HIVE_BAD_DATA: Field a's type BINARY in parquet file s3://{client.bucket}/pq2/a.parquet is "
        "incompatible with type integer defined in table schema"
    )


def test_what_is_not_read_is_refused(client):
    client.run(
        "CREATE EXTERNAL TABLE r1 (a int) ROW FORMAT SERDE 'org.example.Mine'"
        f" LOCATION 's3://{client.bucket}/r1/'"
    )
    table(client, "r2", "a int", "PARTITIONED BY (p int) STORED AS PARQUET")
    client.run("ALTER TABLE r2 SET TBLPROPERTIES ('projection.enabled' = 'true')")

    assert client.failure("SELECT * FROM r1").startswith(
        f"NOT_SUPPORTED: the local plane has no SerDe 'org.example.Mine', which table {client.database}.r1 asks for; it has "
    )
    assert client.failure("SELECT * FROM r2") == (
        f"NOT_SUPPORTED: the local plane has no partition projection, which table {client.database}.r2 asks for"
    )
    assert client.failure("SELECT * FROM r2 FOR TIMESTAMP AS OF now()").startswith(
        "NOT_SUPPORTED: the local plane has no time travel"
    )
