"""Athena on the plane through boto3: every kind of statement, results, states and refusals."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from botocore.exceptions import ClientError  # type: ignore[import-untyped]
from local.athenaclient import AthenaClient
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from penstock.local import Plane
from penstock.local.athena.control import Athena
from penstock.local.site import Moto, Site
from penstock.local.wire import Call


@pytest.fixture(scope="module")
def client(plane):
    del plane
    return AthenaClient("statements")


def refusal(client, sql, **more):
    with pytest.raises(ClientError) as caught:
        client.start(sql, **more)
    return caught.value.response["Error"]["Message"]


# It would run for many minutes.
HUGE = (
    "SELECT count(*) FROM UNNEST(sequence(1, 3000)) AS a(x), UNNEST(sequence(1, 3000)) AS b(y),"
    " UNNEST(sequence(1, 100000)) AS c(z) WHERE x * y % 7 = z % 5"
)
CTAS = "CREATE TABLE {} WITH (format = 'PARQUET') AS "


# ---------------------------------------------------------------- results


def test_result_is_a_quoted_csv_and_null_is_nothing(client):
    found = client.run("SELECT 1 AS a, 'x\"y' AS b, CAST(NULL AS varchar) AS c, '' AS d, 2.5e0")

    name = found["QueryExecutionId"]
    location = found["ResultConfiguration"]["OutputLocation"]
    assert location == f"{client.output}{name}.csv"
    assert client.get(location) == '"a","b","c","d","_col4"\n"1","x""y",,"","2.5"\n'
    assert client.keys(f"results/{name}") == [f"results/{name}.csv", f"results/{name}.csv.metadata"]
    rows, answer = client.page(name)
    assert rows == [["a", "b", "c", "d", "_col4"], ["1", 'x"y', None, "", "2.5"]]
    info = answer["ResultSet"]["ResultSetMetadata"]["ColumnInfo"]
    assert [each["Type"] for each in info] == ["integer", "varchar", "varchar", "varchar", "double"]
    assert found["StatementType"] == "DML"
    assert found["Statistics"]["DataScannedInBytes"] == 0


def test_every_type_as_text(client):
    (row,) = client.rows(
        "SELECT true, CAST(1 AS tinyint), 12345678901, REAL '1.5', DECIMAL '1.50', DATE '2020-01-02',"
        " TIMESTAMP '2020-01-02 03:04:05.678', ARRAY[1, NULL], MAP(ARRAY['a'], ARRAY[NULL]),"
        " CAST(ROW(1, 'x') AS ROW(a integer, b varchar)), to_utf8('ab'), 1e10, NULL"
    )

    assert row == [
        *("true", "1", "12345678901", "1.5", "1.50", "2020-01-02", "2020-01-02 03:04:05.678"),
        *("[1, null]", "{a=null}", "{a=1, b=x}", "61 62", "1.0E10", None),
    ]


def test_pages(client):
    found = client.run("SELECT x, 'a,\n\"b' AS y FROM UNNEST(sequence(1, 2500)) AS t(x)")
    name = found["QueryExecutionId"]

    sizes, values, token = [], [], {}
    while True:
        rows, answer = client.page(name, **token)
        sizes.append(len(rows))
        values += rows
        if "NextToken" not in answer:
            break
        token = {"NextToken": answer["NextToken"]}

    assert sizes == [1000, 1000, 501]
    assert values[0] == ["x", "y"]
    assert sorted(int(row[0]) for row in values[1:]) == list(range(1, 2501))
    assert {row[1] for row in values[1:]} == {'a,\n"b'}


def test_empty_result(client):
    assert client.rows("SELECT 1 AS a WHERE false") == []


def test_same_names_twice(client):
    name = client.run("SELECT 1 AS a, 2 AS a")["QueryExecutionId"]

    assert client.page(name)[0] == [["a", "a"], ["1", "2"]]


# ---------------------------------------------------------------- tables, views, inserts


def test_ctas_insert_and_view(client):
    made = client.run(CTAS.format("t_ctas") + "SELECT 1 AS a, 'x' AS b UNION ALL SELECT 2, 'y'")
    name = made["QueryExecutionId"]
    manifest = made["Statistics"]["DataManifestLocation"]

    assert manifest == f"{client.output}{name}-manifest.csv"
    files = client.get(manifest).splitlines()
    assert all(file.startswith(f"{client.output}tables/{name}/") for file in files)
    assert made["StatementType"] == "DDL"
    assert client.page(name)[1]["UpdateCount"] == 2
    assert client.rows("SELECT * FROM t_ctas ORDER BY a") == [["1", "x"], ["2", "y"]]

    inserted = client.run("INSERT INTO t_ctas (b, a) VALUES ('z', 3), (NULL, 4)")

    assert client.page(inserted["QueryExecutionId"])[1]["UpdateCount"] == 2
    assert client.rows("SELECT count(*), max(a), count(b) FROM t_ctas") == [["4", "4", "3"]]

    client.run("CREATE VIEW v_ctas AS SELECT b, a * 2 AS twice FROM t_ctas")
    client.run("CREATE OR REPLACE VIEW v_more AS SELECT sum(twice) AS s FROM v_ctas WHERE b > 'a'")

    assert client.rows("SELECT s FROM v_more") == [["12"]]
    assert client.lines("SHOW VIEWS") == ["v_ctas", "v_more"]
    assert client.lines("SHOW CREATE VIEW v_ctas")[0] == f"CREATE VIEW {client.database}.v_ctas AS"
    client.run("DROP VIEW v_more")
    assert client.lines("SHOW VIEWS") == ["v_ctas"]
    assert client.failure("SELECT * FROM v_more") == (
        f"TABLE_NOT_FOUND: line 1:15: Table 'awsdatacatalog.{client.database}.v_more' does not exist"
    )


@pytest.mark.parametrize("kind", ["PARQUET", "ORC", "JSON", "TEXTFILE"])
def test_formats_written_and_read(client, kind):
    values = (
        "SELECT 1 AS a, CAST('é\"x,' AS varchar) AS s, DECIMAL '1.50' AS d, DATE '2020-01-02' AS day,"
        " TIMESTAMP '2020-01-02 03:04:05.678' AS ts, ARRAY[1, 2] AS l, 2.5e0 AS f, true AS b,"
        " MAP(ARRAY['k'], ARRAY[1]) AS m"
    )
    table = f"t_{kind.lower()}"
    client.run(f"CREATE TABLE {table} WITH (format = '{kind}') AS {values}")
    client.run(f"INSERT INTO {table} SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL")

    assert client.rows(f"SELECT * FROM {table} ORDER BY a") == [
        [
            "1",
            'é"x,',
            "1.50",
            "2020-01-02",
            "2020-01-02 03:04:05.678",
            "[1, 2]",
            "2.5",
            "true",
            "{k=1}",
        ],
        [None] * 9,
    ]


def test_ctas_partitions_and_their_limit(client):
    where = "WITH (partitioned_by = ARRAY['p', 'q']) AS"
    client.run(
        f"CREATE TABLE t_parts {where} SELECT x, x % 3 AS p, CAST(x % 2 AS varchar) AS q"
        " FROM UNNEST(sequence(1, 12)) AS t(x)"
    )

    assert client.lines("SHOW PARTITIONS t_parts") == [
        f"p={p}/q={q}" for p in range(3) for q in range(2)
    ]
    assert client.rows("SELECT sum(x), count(*) FROM t_parts WHERE p = 1 AND q = '0'") == [
        ["14", "2"]
    ]
    before = client.keys("results/tables/")
    many = "SELECT x, x AS p FROM UNNEST(sequence(1, {})) AS t(x)"
    where = "WITH (partitioned_by = ARRAY['p']) AS "
    reason = client.failure(f"CREATE TABLE t_many {where}" + many.format(101))
    assert reason == (
        "HIVE_TOO_MANY_OPEN_PARTITIONS: Exceeded limit of 100 open writers for partitions/buckets"
    )
    assert client.keys("results/tables/") == before
    client.run(f"CREATE TABLE t_many {where}" + many.format(100))
    reason = client.failure("INSERT INTO t_many " + many.format(101))
    assert reason.startswith("HIVE_TOO_MANY_OPEN_PARTITIONS")
    client.run("INSERT INTO t_many SELECT 1, 500")
    assert client.rows("SELECT count(*), count(DISTINCT p) FROM t_many") == [["101", "101"]]


def test_unload(client):
    folder = f"s3://{client.bucket}/unloaded/"
    sql = "UNLOAD (SELECT 1 AS a, 'x' AS p) TO '{}' WITH (format = 'JSON', compression = 'NONE', partitioned_by = ARRAY['p'])"

    found = client.run(sql.format(folder))

    (file,) = client.get(found["Statistics"]["DataManifestLocation"]).splitlines()
    assert file.startswith(f"{folder}p=x/")
    assert client.get(file) == '{"a":1}\n'
    assert client.failure(sql.format(folder)).startswith(
        f"HIVE_PATH_ALREADY_EXISTS: Target directory for unload already exists: {folder}."
    )


def test_ctas_refusals(client):
    client.run(CTAS.format("t_twice") + "SELECT 1 AS a")
    name = f"awsdatacatalog.{client.database}.t_twice"

    def failed(sql):
        return client.failure(sql)

    assert failed(CTAS.format("t_twice") + "SELECT 1 AS a") == (
        f"TABLE_ALREADY_EXISTS: line 1:1: Destination table '{name}' already exists"
    )
    client.run("CREATE TABLE IF NOT EXISTS t_twice AS SELECT 1 AS a")
    assert failed(CTAS.format("n") + "SELECT 1") == (
        "MISSING_COLUMN_NAME: line 1:1: Column name not specified at position 1"
    )
    assert failed(CTAS.format("n") + "SELECT 1 AS a, 2 AS A") == (
        "DUPLICATE_COLUMN_NAME: line 1:1: Column name 'a' specified more than once"
    )
    assert failed(CTAS.format("n") + "SELECT NULL AS a") == (
        "COLUMN_TYPE_UNKNOWN: line 1:1: Column type is unknown: a"
    )
    assert failed(CTAS.format("n") + "SELECT now() AS a") == (
        "NOT_SUPPORTED: Unsupported Hive type: timestamp(3) with time zone"
    )
    assert failed(
        "CREATE TABLE n WITH (bucketed_by = ARRAY['a'], bucket_count = 2) AS SELECT 1 AS a"
    ) == ("NOT_SUPPORTED: the local plane has no buckets: bucketed_by in table")
    assert failed("CREATE TABLE n WITH (partitioned_by = ARRAY['a']) AS SELECT 1 AS a, 2 AS b") == (
        "HIVE_COLUMN_ORDER_MISMATCH: Partition keys must be the last columns in the table and in the "
        "same order as the table properties: [a]"
    )
    location = client.put("taken/x", "1").removesuffix("x")
    assert failed(
        f"CREATE TABLE n WITH (external_location = '{location}') AS SELECT 1 AS a"
    ).startswith(
        f"HIVE_PATH_ALREADY_EXISTS: Target directory for table '{client.database}.n' already exists: {location}"
    )


def test_tables_without_rows(client):
    client.run(CTAS.format("t_none") + "SELECT 1 AS a, 'x' AS b WITH NO DATA")
    client.run("CREATE TABLE t_nil AS SELECT * FROM t_none WHERE a > 5")

    assert client.rows("SELECT * FROM t_none") == client.rows("SELECT * FROM t_nil") == []
    client.run("INSERT INTO t_nil SELECT 7, 'y'")
    assert client.rows("SELECT * FROM t_nil") == [["7", "y"]]


def test_insert_refusals(client):
    client.run(CTAS.format("t_ins") + "SELECT 1 AS a, 'x' AS b")

    assert client.failure("INSERT INTO t_ins SELECT 'x', 'y'") == (
        "TYPE_MISMATCH: line 1:1: Insert query has mismatched column types: "
        "Table: [integer, varchar], Query: [varchar, varchar]"
    )
    assert client.failure("INSERT INTO t_ins SELECT 1") == (
        "TYPE_MISMATCH: line 1:1: Insert query has mismatched column types: "
        "Table: [integer, varchar], Query: [integer]"
    )
    assert client.failure("INSERT INTO nowhere SELECT 1") == (
        f"TABLE_NOT_FOUND: line 1:1: Table 'awsdatacatalog.{client.database}.nowhere' does not exist"
    )


# ---------------------------------------------------------------- DDL


def test_ddl_of_databases_and_tables(client):
    client.run("CREATE DATABASE IF NOT EXISTS ddl_one COMMENT 'x'")
    client.run("CREATE SCHEMA ddl_two")

    assert [name for name in client.lines("SHOW DATABASES") if name.startswith("ddl")] == [
        "ddl_one",
        "ddl_two",
    ]
    assert client.lines("SHOW DATABASES LIKE 'ddl_t*'") == ["ddl_two"]
    client.run(
        "CREATE EXTERNAL TABLE ddl_one.`t` (`a` int COMMENT 'it\\'s', b array<struct<x:int,y:decimal(10,2)>>)\n"
        "PARTITIONED BY (day date) ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'\n"
        "WITH SERDEPROPERTIES ('ignore.malformed.json' = 'true')\n"
        f"LOCATION 's3://{client.bucket}/ddl/t/' TBLPROPERTIES ('classification' = 'json')"
    )
    assert client.lines("SHOW TABLES IN ddl_one 't|u'") == ["t"]
    assert client.lines("SHOW COLUMNS IN ddl_one.t") == ["a  ", "b  ", "day"]
    assert client.lines("SHOW TBLPROPERTIES ddl_one.t")[0] == "EXTERNAL"
    described = client.page(client.run("DESCRIBE ddl_one.t")["QueryExecutionId"])[0]
    assert [[cell.strip() for cell in row] for row in described][:2] == [
        ["a", "int", "it's"],
        ["b", "array<struct<x:int,y:decimal(10,2)>>", ""],
    ]
    shown = client.lines("SHOW CREATE TABLE ddl_one.t")
    assert shown[:5] == [
        "CREATE EXTERNAL TABLE `ddl_one.t`(",
        "  `a` int COMMENT 'it\\'s', ",
        "  `b` array<struct<x:int,y:decimal(10,2)>>)",
        "PARTITIONED BY ( ",
        "  `day` date)",
    ]
    client.run("ALTER TABLE ddl_one.t ADD COLUMNS (c string)")
    client.run("ALTER TABLE ddl_one.t SET TBLPROPERTIES ('k' = 'v')")
    assert client.lines("SHOW COLUMNS FROM t IN ddl_one") == ["a  ", "b  ", "c  ", "day"]
    assert client.failure("DROP DATABASE ddl_one").startswith("FAILED: Execution Error")
    client.run("DROP TABLE ddl_one.t")
    client.run("DROP TABLE IF EXISTS ddl_one.t")
    assert client.failure("DROP TABLE ddl_one.t") == (
        "FAILED: SemanticException [Error 10001]: Table not found ddl_one.t"
    )
    client.run("DROP DATABASE ddl_one")
    client.run("DROP DATABASE ddl_two CASCADE")
    assert client.failure("DROP DATABASE ddl_two") == (
        "FAILED: SemanticException [Error 10072]: Database does not exist: ddl_two"
    )


def test_shown_ddl_makes_the_same_table(client):
    client.run(
        "CREATE EXTERNAL TABLE t_shown (a int, b map<string,int>) ROW FORMAT DELIMITED\n"
        "FIELDS TERMINATED BY '\\t' COLLECTION ITEMS TERMINATED BY '|' STORED AS TEXTFILE\n"
        f"LOCATION 's3://{client.bucket}/shown/' TBLPROPERTIES ('skip.header.line.count' = '1')"
    )
    shown = "\n".join(client.lines("SHOW CREATE TABLE t_shown"))

    client.run("DROP TABLE t_shown")
    client.run(shown.replace(f"`{client.database}.t_shown`", "t_shown"))

    assert "\n".join(client.lines("SHOW CREATE TABLE t_shown")) == shown


def test_partitions_by_hand_and_by_repair(client):
    for day in ("2020-01-01", "2020-01-02"):
        client.put(f"repair/day={day}/h=1/x.csv", f"{day[-1]},a\n")
    elsewhere = client.put("elsewhere/x.csv", "9,z\n").removesuffix("x.csv")
    client.run(
        "CREATE EXTERNAL TABLE t_repair (a int, b string) PARTITIONED BY (day date, h int)\n"
        f"ROW FORMAT DELIMITED FIELDS TERMINATED BY ',' LOCATION 's3://{client.bucket}/repair/'"
    )
    assert client.rows("SELECT * FROM t_repair") == []

    lines = client.lines("MSCK REPAIR TABLE t_repair")

    assert sorted(lines[1:]) == [
        "Repair: Added partition to metastore t_repair:day=2020-01-01/h=1",
        "Repair: Added partition to metastore t_repair:day=2020-01-02/h=1",
    ]
    add = f"ALTER TABLE t_repair ADD {{}} PARTITION (day = '2021-01-01', h = 2) LOCATION '{elsewhere}'"
    client.run(add.format(""))
    client.run(add.format("IF NOT EXISTS"))
    assert "AlreadyExistsException" in client.failure(add.format(""))
    assert client.rows("SELECT a, b, day, h FROM t_repair ORDER BY a") == [
        ["1", "a", "2020-01-01", "1"],
        ["2", "a", "2020-01-02", "1"],
        ["9", "z", "2021-01-01", "2"],
    ]
    client.run("ALTER TABLE t_repair DROP PARTITION (day = '2020-01-01', h = 1)")
    assert client.lines("SHOW PARTITIONS t_repair") == ["day=2020-01-02/h=1", "day=2021-01-01/h=2"]


# ---------------------------------------------------------------- errors, parameters


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("selec 1", "line 1:1: mismatched input 'selec'"),
        ("SELECT a FROM", "line 1:14: mismatched input '<EOF>'"),
        ("CREATE EXTERNAL TABLE", None),
        (
            "EXPLAIN SELECT 1",
            "NOT_SUPPORTED: the local plane has no EXPLAIN: its plans would be another engine's",
        ),
        ("DELETE FROM t", "NOT_SUPPORTED: the local plane has no DELETE: it needs Iceberg tables"),
        ("GRANT ALL ON t TO x", "Queries of this type are not supported"),
        (
            "SELECT 1; SELECT 2",
            "SYNTAX_ERROR: Only one sql statement is allowed. Got: SELECT 1; SELECT 2",
        ),
        (
            "CREATE TABLE t (a int)",
            "NOT_SUPPORTED: the local plane has no CREATE TABLE with columns: it needs Iceberg; say CREATE EXTERNAL TABLE",
        ),
    ],
)
def test_wrong_sql_is_refused_at_the_start(client, sql, message):
    if message is None:
        assert client.failure(sql).startswith("line 1:")
        return
    assert refusal(client, sql) == message


def test_names_that_are_not_there(client):
    client.run(CTAS.format("t_names") + "SELECT 1 AS a")

    assert client.failure("SELECT\n  nope FROM t_names") == (
        "COLUMN_NOT_FOUND: line 2:3: Column 'nope' cannot be resolved or requester is not authorized to access requested resources"
    )
    assert client.failure("SELECT t.nope FROM t_names t").startswith("COLUMN_NOT_FOUND: line 1:")
    assert client.failure("SELECT 1 FROM nowhere.t") == (
        "SCHEMA_NOT_FOUND: line 1:15: Schema 'nowhere' does not exist"
    )
    assert client.failure("SELECT a, count(*) FROM t_names") == (
        "EXPRESSION_NOT_AGGREGATE: line 1:8: 'a' must be an aggregate expression or appear in GROUP BY clause"
    )


def test_parameters_and_prepared_statements(client):
    client.run(CTAS.format("t_par") + "SELECT 1 AS a, 'x' AS b UNION ALL SELECT 2, 'y'")
    select = "SELECT a FROM t_par WHERE b = ? AND a < ? LIMIT 5"

    assert client.rows(select, ExecutionParameters=["'x'", "10"]) == [["1"]]
    assert client.failure(select, ExecutionParameters=["'x'"]) == (
        "INVALID_PARAMETER_USAGE: line 1:1: Incorrect number of parameters: expected 2 but found 1"
    )
    client.run(f"PREPARE mine FROM {select}")
    assert client.rows("EXECUTE mine USING 'y', 5") == [["2"]]
    listed = client.athena.list_prepared_statements(WorkGroup="primary")["PreparedStatements"]
    assert [each["StatementName"] for each in listed] == ["mine"]
    client.run("DEALLOCATE PREPARE mine")
    assert refusal(client, "EXECUTE mine") == (
        "PreparedStatement mine was not found in workGroup primary"
    )


# ---------------------------------------------------------------- executions


def test_stop(client):
    name = client.start(HUGE)
    until = time.monotonic() + 30
    while (
        client.athena.get_query_execution(QueryExecutionId=name)["QueryExecution"]["Status"][
            "State"
        ]
        != "RUNNING"
    ):
        assert time.monotonic() < until

    client.athena.stop_query_execution(QueryExecutionId=name)
    ended = client.wait(name)

    assert ended["Status"]["State"] == "CANCELLED"
    assert ended["Status"]["StateChangeReason"] == "Query cancelled by user"
    with pytest.raises(ClientError, match="Final query state: CANCELLED"):
        client.athena.get_query_results(QueryExecutionId=name)


def test_many_at_once(client):
    names = [client.start(f"SELECT {at} AS a") for at in range(20)]

    values = []
    for name in names:
        assert client.wait(name)["Status"]["State"] == "SUCCEEDED"
        values.append(client.page(name)[0][1][0])

    assert values == [str(at) for at in range(20)]
    found = client.athena.batch_get_query_execution(QueryExecutionIds=[*names[:3], "x" * 36])
    assert [each["QueryExecutionId"] for each in found["QueryExecutions"]] == names[:3]
    assert len(found["UnprocessedQueryExecutionIds"]) == 1
    listed = client.athena.list_query_executions(MaxResults=5)
    assert listed["QueryExecutionIds"] == names[:-6:-1]
    assert "NextToken" in listed


def test_token_makes_a_query_run_once(client):
    token = "t" * 32
    first = client.start("SELECT 1", ClientRequestToken=token)

    assert client.start("SELECT 1", ClientRequestToken=token) == first
    assert (
        refusal(client, "SELECT 2", ClientRequestToken=token)
        == "Idempotent parameters do not match"
    )


def test_workgroups(client):
    athena, location = client.athena, f"s3://{client.bucket}/group/"
    configuration = {
        "ResultConfiguration": {"OutputLocation": location},
        "EnforceWorkGroupConfiguration": True,
        "BytesScannedCutoffPerQuery": 10_000_000,
    }
    athena.create_work_group(Name="mine", Configuration=configuration)

    found = client.run("SELECT 1", WorkGroup="mine")

    assert found["ResultConfiguration"]["OutputLocation"].startswith(location)
    assert found["WorkGroup"] == "mine"
    sql = f"CREATE TABLE n WITH (external_location = 's3://{client.bucket}/n/') AS SELECT 1 AS a"
    assert "enforces a centralized output location" in client.failure(sql, WorkGroup="mine")
    athena.update_work_group(
        WorkGroup="mine",
        State="DISABLED",
        ConfigurationUpdates={"EnforceWorkGroupConfiguration": False},
    )
    assert athena.get_work_group(WorkGroup="mine")["WorkGroup"]["State"] == "DISABLED"
    assert refusal(client, "SELECT 1", WorkGroup="mine") == "WorkGroup mine is disabled."
    athena.delete_work_group(WorkGroup="mine")
    assert refusal(client, "SELECT 1", WorkGroup="mine") == "WorkGroup mine is not found."
    assert refusal(client, "SELECT 1", ResultConfiguration={}) == (
        "No output location provided. An output location is required either through the Workgroup "
        "result configuration setting or as an API input."
    )


def test_what_a_query_may_read_is_limited(client):
    line = "x" * 999
    client.put("big/a.txt", f"{line}\n" * 11_000)
    client.run(f"CREATE EXTERNAL TABLE t_big (a string) LOCATION 's3://{client.bucket}/big/'")
    client.athena.create_work_group(
        Name="small",
        Configuration={
            "BytesScannedCutoffPerQuery": 10_000_000,
            "EnforceWorkGroupConfiguration": False,
        },
    )

    found = client.ended("SELECT count(a) FROM t_big", WorkGroup="small")

    assert found["Status"]["State"] == "CANCELLED"
    assert (
        found["Status"]["StateChangeReason"]
        == "Query cancelled! : Bytes scanned limit was exceeded"
    )
    assert client.rows("SELECT count(a) FROM t_big") == [["11000"]]


def test_metadata_comes_from_glue(client):
    client.run(CTAS.format("t_meta") + "SELECT 1 AS a")
    athena = client.athena

    table = athena.get_table_metadata(
        CatalogName="AwsDataCatalog", DatabaseName=client.database, TableName="t_meta"
    )["TableMetadata"]
    names = [
        each["Name"] for each in athena.list_databases(CatalogName="AwsDataCatalog")["DatabaseList"]
    ]

    assert table["Columns"] == [{"Name": "a", "Type": "int"}]
    assert client.database in names


def test_a_bucket_that_is_not_there(client):
    output = {"OutputLocation": "s3://athena-nowhere/x/"}
    reason = client.failure("SELECT 1", ResultConfiguration=output)
    assert reason.startswith("GENERIC_USER_ERROR: 's3://athena-nowhere/x/")
    client.run("CREATE EXTERNAL TABLE t_gone (a int) LOCATION 's3://athena-nowhere/t/'")
    assert "athena-nowhere" in client.failure("SELECT a FROM t_gone")


def test_files_and_engine_are_out_of_reach(client):
    assert client.failure("SELECT * FROM '/etc/passwd'".replace("'", '"')) == (
        f"TABLE_NOT_FOUND: line 1:15: Table 'awsdatacatalog.{client.database}./etc/passwd' does not exist"
    )
    assert client.failure("SELECT * FROM read_text('/etc/passwd')") == (
        "FUNCTION_NOT_FOUND: line 1:15: Function 'read_text' not registered"
    )
    assert client.failure("SELECT * FROM information_schema.tables") == (
        "NOT_SUPPORTED: the local plane has no information_schema: say SHOW, or ask Glue"
    )
    assert refusal(client, "CREATE TABLE t WITH (format = 'ORC') AS SHOW TABLES").startswith(
        "line 1:41: mismatched input 'SHOW'"
    )
    assert refusal(client, "PRAGMA database_list") == "line 1:1: mismatched input 'PRAGMA'"


def test_plane_stops_while_queries_run():
    with Plane() as own, own.as_environment():
        client = AthenaClient("stopping")
        names = [client.start(HUGE) for _ in range(6)]
        until = time.monotonic() + 30
        while (
            client.athena.get_query_execution(QueryExecutionId=names[0])["QueryExecution"][
                "Status"
            ]["State"]
            != "RUNNING"
        ):
            assert time.monotonic() < until
        began = time.monotonic()

        own.stop()

        assert time.monotonic() - began < 10
        assert not own.folder.exists()


def test_a_query_that_takes_too_long_fails(client, tmp_path):
    app = DomainDispatcherApplication(create_backend_app)
    service = Athena(Site(tmp_path, "", Moto(app)), timeout_s=0.3)
    body = {"QueryString": HUGE, "ResultConfiguration": {"OutputLocation": client.output}}
    call = Call(
        service="athena",
        operation="StartQueryExecution",
        body=body,
        region="us-east-1",
        environ={},
        raw=b"",
    )

    name = service.start(call)["QueryExecutionId"]
    service.site.stop()
    (ended,) = service.batch_get(replace(call, body={"QueryExecutionIds": [name]}))[
        "QueryExecutions"
    ]

    assert ended["Status"]["State"] == "FAILED"
    assert ended["Status"]["StateChangeReason"] == "Query timeout: 0.3 s are over"
    assert list((tmp_path / "athena").iterdir()) == []
