"""awswrangler, unmodified, against Athena on the plane."""

from __future__ import annotations

import datetime as dt
import decimal
import math

import awswrangler as wr
import numpy as np
import pandas as pd
import pytest
from awswrangler.exceptions import InvalidArgumentValue, InvalidCtasApproachQuery, QueryFailed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from local.athenaclient import AthenaClient

WAYS = {
    "ctas": {"ctas_approach": True},
    "csv": {"ctas_approach": False},
    "unload": {"ctas_approach": False, "unload_approach": True},
}
COUNT = iter(range(10_000))


@pytest.fixture(scope="module")
def client(plane):
    del plane
    return AthenaClient("wrangler")


def read(client, sql, way, **more):
    options = dict(WAYS[way])
    return wr.athena.read_sql_query(
        sql,
        database=client.database,
        s3_output=f"s3://{client.bucket}/{way}/{next(COUNT)}/",
        athena_query_wait_polling_delay=0.02,
        **options,
        **more,
    )


@pytest.fixture(scope="module")
def stored(client):
    frame = pd.DataFrame(
        {
            "id": pd.array([1, 2, 3], "Int64"),
            "f": [1.5, np.nan, -2.5e-9],
            "s": ["a", None, "é\"',中\n\t"],
            "empty": ["", "x", ""],
            "flag": pd.array([True, None, False], "boolean"),
            "day": [dt.date(2020, 2, 29), None, dt.date(1969, 12, 31)],
            "moment": pd.to_datetime(
                ["2020-01-02 03:04:05.678", None, "1969-12-31"], format="mixed"
            ),
            "money": [decimal.Decimal("1.50"), None, decimal.Decimal("-99999.25")],
            "items": [[1, 2], None, []],
            "pairs": [{"k": 1.5}, None, {}],
            "row": [{"x": 1, "y": "q"}, None, {"x": None, "y": "é"}],
            "part": ["u", "v w", "u"],
        }
    )
    made = wr.s3.to_parquet(
        frame,
        path=f"s3://{client.bucket}/stored/",
        dataset=True,
        database=client.database,
        table="stored",
        partition_cols=["part"],
        dtype={
            "pairs": "map<string,double>",
            "money": "decimal(12,2)",
            "row": "struct<x:int,y:string>",
        },
    )
    assert len(made["partitions_values"]) == 2
    return frame


@pytest.mark.parametrize("way", WAYS)
def test_simple_types_come_back(client, stored, way):
    found = read(client, "SELECT * FROM stored ORDER BY id", way).sort_values("id")

    assert found["id"].tolist() == [1, 2, 3]
    assert found["f"].tolist()[::2] == [1.5, -2.5e-9]
    assert math.isnan(found["f"].tolist()[1])
    assert found["s"].tolist()[::2] == stored["s"].tolist()[::2]
    assert found["s"].isna().tolist() == [False, True, False]
    assert found["flag"].tolist()[::2] == [True, False]
    assert found["day"].tolist() == stored["day"].tolist()
    assert found["moment"].tolist()[::2] == stored["moment"].tolist()[::2]
    assert found["moment"].isna().tolist() == [False, True, False]
    assert found["money"].tolist() == stored["money"].tolist()
    assert found["part"].tolist() == ["u", "v w", "u"]
    if way == "csv":  # pandas cannot tell an empty text from a missing one
        assert found["items"].tolist()[::2] == ["[1, 2]", "[]"]
        assert found["pairs"].tolist()[::2] == ["{k=1.5}", "{}"]
        assert found["row"].tolist()[::2] == ["{x=1, y=q}", "{x=null, y=é}"]
        return
    assert found["empty"].tolist() == ["", "x", ""]
    assert [None if each is None else list(each) for each in found["items"]] == [[1, 2], None, []]
    assert [None if each is None else dict(each) for each in found["pairs"]] == [
        {"k": 1.5},
        None,
        {},
    ]
    assert found["row"].tolist()[0] == {"x": 1, "y": "q"}
    assert found["row"].tolist()[2]["y"] == "é"


@pytest.mark.parametrize("way", WAYS)
def test_partitions_and_parameters(client, stored, way):
    del stored
    found = read(
        client,
        "SELECT id, part FROM stored WHERE part = :p AND id < :n",
        way,
        params={"p": "u", "n": 2},
    )

    assert found.to_dict("records") == [{"id": 1, "part": "u"}]


@pytest.mark.parametrize("way", WAYS)
def test_chunks(client, way):
    chunks = read(client, "SELECT x FROM UNNEST(sequence(1, 2500)) AS t(x)", way, chunksize=1000)

    assert sorted(value for chunk in chunks for value in chunk["x"].tolist()) == list(
        range(1, 2501)
    )


def test_temporary_tables_go(client, stored):
    del stored
    read(client, "SELECT 1 AS a", "ctas")

    names = [
        each["Name"] for each in client.glue.get_tables(DatabaseName=client.database)["TableList"]
    ]
    assert "stored" in names
    assert not any(name.startswith("temp_table") for name in names)


def test_refusals_are_known_to_it(client):
    with pytest.raises(InvalidCtasApproachQuery, match="Please, define distinct names"):
        read(client, "SELECT 1 AS a, 2 AS a", "ctas")
    with pytest.raises(InvalidArgumentValue, match="define all columns names"):
        read(client, "SELECT 1", "ctas")
    with pytest.raises(InvalidArgumentValue, match="undefined columns types"):
        read(client, "SELECT NULL AS a", "ctas")
    with pytest.raises(QueryFailed, match="TABLE_NOT_FOUND"):
        read(client, "SELECT * FROM nowhere", "csv")


def test_over_100_partitions_are_refused(client):
    sql = "SELECT x, x AS p FROM UNNEST(sequence(1, 101)) AS t(x)"

    with pytest.raises(QueryFailed, match="HIVE_TOO_MANY_OPEN_PARTITIONS: Exceeded limit of 100"):
        wr.athena.create_ctas_table(
            sql,
            database=client.database,
            ctas_table="many",
            s3_output=f"s3://{client.bucket}/many/",
            partitioning_info=["p"],
            wait=True,
            athena_query_wait_polling_delay=0.02,
        )
    assert client.keys("many/many/") == []


def test_catalog_functions(client, stored):
    del stored
    more = {"database": client.database, "s3_output": client.output}

    assert wr.athena.show_create_table("stored", **more).startswith(
        f"CREATE EXTERNAL TABLE `{client.database}.stored`("
    )
    described = wr.athena.describe_table("stored", **more)
    assert described["Column Name"].tolist()[-1] == "part"
    assert described["Partition"].tolist()[-1]
    repaired = wr.athena.repair_table("stored", **more)
    assert repaired == "SUCCEEDED"


VALUES = {
    "i": st.none() | st.integers(-(2**63), 2**63 - 1),
    "f": st.none() | st.floats(allow_nan=False, width=64),
    "s": st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8),
    "d": st.none() | st.dates(dt.date(1, 1, 1), dt.date(9999, 12, 31)),
    "b": st.none() | st.booleans(),
    "t": st.none()
    | st.datetimes(dt.datetime(1700, 1, 1), dt.datetime(2200, 1, 1)).map(
        lambda t: t.replace(microsecond=t.microsecond // 1000 * 1000)
    ),
    "n": st.none() | st.decimals(-9999999, 9999999, places=2, allow_nan=False),
    "l": st.none() | st.lists(st.none() | st.integers(-9, 9), max_size=3),
}
KINDS = {
    "i": "bigint",
    "f": "double",
    "s": "varchar",
    "d": "date",
    "b": "boolean",
    "t": "timestamp",
    "n": "decimal(9,2)",
    "l": "array(integer)",
}


def literal(value, kind):
    if value is None:
        return f"CAST(NULL AS {kind})"
    if isinstance(value, list):
        return f"CAST(ARRAY[{', '.join('NULL' if each is None else str(each) for each in value)}] AS {kind})"
    if isinstance(value, float) and math.isinf(value):
        return "infinity()" if value > 0 else "-infinity()"
    text = str(value).replace("'", "''") if not isinstance(value, bool) else str(value).lower()
    if isinstance(value, bool):
        return text
    if kind == "bigint":
        return text if abs(value) < 2**63 else f"CAST('{text}' AS bigint)"
    return f"CAST('{text}' AS {kind})"


@settings(
    max_examples=8,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    rows=st.lists(st.fixed_dictionaries(VALUES), min_size=1, max_size=6),
    key=st.sampled_from(["none", "b", "s"]),
)
def test_ctas_then_select_is_what_was_written(client, rows, key):
    table = f"random_{next(COUNT)}"
    values = ", ".join(
        "(" + ", ".join([str(at), *(literal(row[name], KINDS[name]) for name in VALUES)]) + ")"
        for at, row in enumerate(rows)
    )
    keys = [] if key == "none" else [key]
    order = ["at", *(name for name in VALUES if name not in keys), *keys]
    parts = f"WITH (partitioned_by = ARRAY['{key}'])" if keys else ""
    client.run(
        f"CREATE TABLE {table} {parts} AS SELECT {', '.join(order)} FROM (VALUES {values}) AS t(at, {', '.join(VALUES)})"
    )

    found = read(client, f"SELECT * FROM {table} ORDER BY at", "ctas").sort_values("at")

    for name in VALUES:
        expected = [row[name] for row in rows]
        got = [_plain(each) for each in found[name].tolist()]
        if name == "s" and keys == ["s"]:
            expected = [None if each is None else each for each in expected]
        assert got == [_plain(each) for each in expected], name
    texts = client.rows(f"SELECT i, s, d, n FROM {table} ORDER BY at")
    assert texts == [
        [
            None if row[name] is None else str(row[name]) if name != "n" else f"{row[name]:.2f}"
            for name in "isdn"
        ]
        for row in rows
    ]


def _plain(value):
    if isinstance(value, np.ndarray | list):
        return [None if each is None or each != each else int(each) for each in value]
    if (
        value is None
        or value is pd.NaT
        or value is pd.NA
        or (isinstance(value, float) and math.isnan(value))
    ):
        return None
    if isinstance(value, pd.Timestamp):
        return value.to_pydatetime()
    return value
