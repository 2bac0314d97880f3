"""Crawlers on the plane, through the unmodified boto3: the flights lake, policies, states, errors."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]  # noqa: TID251  the unmodified client
import pytest
from botocore.exceptions import ClientError  # type: ignore[import-untyped]

from penstock.local import Plane

REPO = Path(__file__).parents[2]
DEADLINE_S = 30.0


class Lake:
    """A bucket, a database and a Glue client of their own."""

    def __init__(self) -> None:
        self.name = f"crawl-{uuid.uuid4().hex[:8]}"
        self.database = self.name.replace("-", "_")
        self.s3, self.glue = boto3.client("s3"), boto3.client("glue")
        self.s3.create_bucket(Bucket=self.name)

    def put(self, files: Mapping[str, str | bytes]) -> None:
        for key, content in files.items():
            self.s3.put_object(Bucket=self.name, Key=key, Body=content)

    def crawler(self, path: str = "", **more: Any) -> str:
        target = {"Path": f"s3://{self.name}/{path}", **more.pop("target", {})}
        name = f"{self.name}-{uuid.uuid4().hex[:4]}"
        self.glue.create_crawler(
            Name=name,
            Role="arn:aws:iam::123456789012:role/crawler",
            DatabaseName=self.database,
            Targets={"S3Targets": [target]},
            **more,
        )
        return name

    def run(self, name: str) -> dict[str, Any]:
        """Start a crawler, wait for its end, and return what it says of itself."""
        self.glue.start_crawler(Name=name)
        return self.ended(name)

    def ended(self, name: str) -> dict[str, Any]:
        until = time.monotonic() + DEADLINE_S
        while time.monotonic() < until:
            told: dict[str, Any] = self.glue.get_crawler(Name=name)["Crawler"]
            if told["State"] == "READY":
                return told
            time.sleep(0.02)
        raise AssertionError(f"crawler {name} did not end: {told}")

    def tables(self) -> dict[str, dict[str, Any]]:
        found = self.glue.get_tables(DatabaseName=self.database)["TableList"]
        return {table["Name"]: table for table in found}

    def partitions(self, table: str) -> list[dict[str, Any]]:
        answer = self.glue.get_partitions(DatabaseName=self.database, TableName=table)
        return list(answer["Partitions"])


def columns(item: Mapping[str, Any]) -> dict[str, str]:
    """Return names and types of a table's or partition's columns."""
    return {each["Name"]: each["Type"] for each in item["StorageDescriptor"]["Columns"]}


@pytest.fixture
def lake(plane: Plane) -> Lake:
    return Lake()


@pytest.fixture(scope="module")
def flights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The raw lake of the flights example, three months of it."""
    root = tmp_path_factory.mktemp("flights")
    script = REPO / "examples/flights/make_lake.py"
    command = [sys.executable, str(script), "--root", str(root), "--months", "3"]
    subprocess.run(command, check=True, capture_output=True)
    return root / "raw" / "flights"


def refusal(call: Any, **parameters: Any) -> tuple[str, str]:
    """Return code and message of a call that is refused."""
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


CSV = "id,name,price\n1,a,2.5\n2,b,3.5\n"
WIDER = "id,name,price,more\n1,a,2.5,7\n2,b,3.5,8\n"
BASE = {"id": "bigint", "name": "string", "price": "double"}
WIDE = {**BASE, "more": "bigint"}


def test_crawling_the_flights_lake_makes_its_five_tables(lake: Lake, flights: Path) -> None:
    for file in flights.rglob("*"):
        if file.is_file():
            key = f"raw/flights/{file.relative_to(flights).as_posix()}"
            lake.s3.upload_file(str(file), lake.name, key)
    name = lake.crawler("raw/flights/")

    told = lake.run(name)

    assert told["LastCrawl"]["Status"] == "SUCCEEDED"
    tables = lake.tables()
    found = {key: table["Parameters"]["classification"] for key, table in tables.items()}
    assert found == {
        "airlines": "csv",
        "airports": "parquet",
        "flights": "csv",
        "planes": "csv",
        "weather": "json",
    }
    keys = {key: table["PartitionKeys"] for key, table in tables.items()}
    assert keys == {key: [] for key in found} | {"flights": [{"Name": "month", "Type": "string"}]}
    partitions = lake.partitions("flights")
    assert [each["Values"] for each in partitions] == [["01"], ["02"], ["03"]]
    assert partitions[1]["StorageDescriptor"]["Location"] == (
        f"s3://{lake.name}/raw/flights/flights/month=02/"
    )
    assert columns(partitions[1]) == columns(tables["flights"])
    assert columns(tables["flights"])["dep_time"] == "bigint"
    assert columns(tables["airlines"]) == {"col0": "string", "col1": "string"}
    assert columns(tables["airports"])["lat"] == "double"
    assert columns(tables["weather"])["temp"] == "double"
    assert columns(tables["planes"])["year"] == "bigint"
    crawl = lake.glue.list_crawls(CrawlerName=name)["Crawls"][0]
    assert crawl["State"] == "COMPLETED"
    assert json.loads(crawl["Summary"]) == {
        "TABLE": {"ADD": {"Count": 5}},
        "PARTITION": {"ADD": {"Count": 3}},
    }
    for table in tables.values():
        assert table["Parameters"]["UPDATED_BY_CRAWLER"] == name
        assert table["Parameters"]["CRAWL_RUN_ID"] == crawl["CrawlId"]
        assert table["StorageDescriptor"]["Parameters"] == table["Parameters"]


def test_a_csv_classifier_gives_a_table_of_text_its_header(lake: Lake) -> None:
    lake.put({"airlines/a.csv": "Carrier,Name\nUA,United\nAA,American\n"})
    lake.glue.create_classifier(
        CsvClassifier={"Name": lake.name, "ContainsHeader": "PRESENT", "Delimiter": ","}
    )

    lake.run(lake.crawler("airlines", Classifiers=[lake.name], TablePrefix="Raw_"))

    table = lake.tables()["raw_airlines"]
    assert columns(table) == {"carrier": "string", "name": "string"}
    assert table["Parameters"]["skip.header.line.count"] == "1"


def test_the_log_tells_what_a_crawl_did(lake: Lake) -> None:
    lake.put({"t/a.csv": CSV, "t/b.csv": b"PAR1 and no more"})
    name = lake.crawler("t/")

    last = lake.run(name)["LastCrawl"]

    assert last["LogGroup"] == "/aws-glue/crawlers"
    events = boto3.client("logs").get_log_events(
        logGroupName=last["LogGroup"], logStreamName=last["LogStream"]
    )["events"]
    prefix, database = f"[{last['MessagePrefix']}]", f"in database {lake.database}"
    assert [event["message"] for event in events] == [
        f"{prefix} BENCHMARK : Running Start Crawl for Crawler {name}",
        f"{prefix} INFO : s3://{lake.name}/t: 2 files, 2 of them read",
        f"{prefix} WARN : s3://{lake.name}/t/b.csv: it begins like parquet, and cannot be read as "
        "such: Parquet magic bytes not found in footer. Either the file is corrupted or this is not "
        "a parquet file.",
        f"{prefix} BENCHMARK : Classification complete, writing results to database {lake.database}",
        f"{prefix} INFO : Created table a_csv {database}",
        f"{prefix} INFO : Created table b_csv {database}",
        f"{prefix} BENCHMARK : Finished writing to Catalog",
        f"{prefix} BENCHMARK : Crawler has finished running and is in state COMPLETED",
    ]


UPDATES: dict[str, tuple[dict[str, str], Any, dict[str, str], dict[str, str]]] = {
    "UPDATE_IN_DATABASE": ({"UpdateBehavior": "UPDATE_IN_DATABASE"}, "", WIDE, WIDE),
    "LOG": ({"UpdateBehavior": "LOG"}, "", BASE, BASE),
    "LOG and MergeNewColumns": (
        {"UpdateBehavior": "LOG"},
        {"Tables": {"AddOrUpdateBehavior": "MergeNewColumns"}},
        WIDE,
        BASE,
    ),
    "InheritFromTable": (
        {"UpdateBehavior": "UPDATE_IN_DATABASE"},
        {"Partitions": {"AddOrUpdateBehavior": "InheritFromTable"}},
        WIDE,
        WIDE,
    ),
}


@pytest.mark.parametrize("case", UPDATES)
def test_a_second_crawl_changes_what_the_policy_allows(lake: Lake, case: str) -> None:
    policy, output, table_columns, partition_columns = UPDATES[case]
    more = (
        {"Configuration": json.dumps({"Version": 1.0, "CrawlerOutput": output})} if output else {}
    )
    lake.put({"t/p=1/a.csv": CSV, "t/p=2/a.csv": CSV})
    name = lake.crawler("t", SchemaChangePolicy=policy, **more)
    lake.run(name)
    lake.put({"t/p=1/a.csv": WIDER, "t/p=2/a.csv": CSV, "t/p=3/a.csv": CSV})

    lake.run(name)

    assert columns(lake.tables()["t"]) == table_columns
    found = {each["Values"][0]: columns(each) for each in lake.partitions("t")}
    assert list(found) == ["1", "2", "3"]
    assert found["1"] == partition_columns
    assert found["2"] == found["3"] == (WIDE if case == "InheritFromTable" else BASE)


DELETIONS = {"DEPRECATE_IN_DATABASE": "deprecated", "DELETE_FROM_DATABASE": "gone", "LOG": "kept"}


@pytest.mark.parametrize("policy", DELETIONS)
def test_what_is_gone_is_treated_as_the_policy_says(lake: Lake, policy: str) -> None:
    lake.put({"one/p=1/a.csv": CSV, "one/p=2/a.csv": CSV, "two/a.json": '{"a": 1}'})
    name = lake.crawler("", SchemaChangePolicy={"DeleteBehavior": policy})
    lake.run(name)
    lake.glue.create_table(
        DatabaseName=lake.database,
        TableInput={"Name": "mine", "StorageDescriptor": {"Location": f"s3://{lake.name}/mine/"}},
    )
    lake.s3.delete_object(Bucket=lake.name, Key="two/a.json")
    lake.s3.delete_object(Bucket=lake.name, Key="one/p=2/a.csv")
    before = time.time() * 1000
    lake.put({"one/p=1/a.csv": CSV, "three/a.json": '{"b": 1}'})  # or one would be the only folder

    lake.run(name)

    def fate(found: Mapping[str, Any] | None) -> str:
        if found is None:
            return "gone"
        mark = found["Parameters"].get("DEPRECATED_BY_CRAWLER")
        assert mark is None or before - 1000 < int(mark) < time.time() * 1000 + 1000
        return "deprecated" if mark else "kept"

    tables = lake.tables()
    partitions = {each["Values"][0]: each for each in lake.partitions("one")}
    assert fate(tables.get("two")) == fate(partitions.get("2")) == DELETIONS[policy]
    assert fate(tables["one"]) == fate(partitions["1"]) == "kept"
    assert "mine" in tables


def test_a_table_that_comes_back_is_deprecated_no_more(lake: Lake) -> None:
    lake.put({"one/a.csv": CSV, "two/a.json": '{"a": 1}'})
    name = lake.crawler()
    lake.run(name)
    lake.s3.delete_object(Bucket=lake.name, Key="two/a.json")
    lake.put({"three/a.json": '{"b": 1}'})
    lake.run(name)
    assert "DEPRECATED_BY_CRAWLER" in lake.tables()["two"]["Parameters"]
    lake.put({"two/a.json": '{"a": 1}'})

    lake.run(name)

    assert "DEPRECATED_BY_CRAWLER" not in lake.tables()["two"]["Parameters"]


def test_a_second_crawl_of_the_same_files_changes_nothing(lake: Lake) -> None:
    lake.put({"t/p=1/a.csv": CSV, "t/p=2/a.csv": CSV})
    name = lake.crawler("t")
    lake.run(name)
    before = lake.tables(), lake.partitions("t")

    lake.run(name)

    assert (lake.tables(), lake.partitions("t")) == before
    crawls = lake.glue.list_crawls(CrawlerName=name)["Crawls"]
    assert [crawl["Summary"] for crawl in crawls] == [
        "{}",
        '{"TABLE":{"ADD":{"Count":1}},"PARTITION":{"ADD":{"Count":2}}}',
    ]


def test_a_crawl_of_new_folders_reads_only_those(lake: Lake) -> None:
    lake.put({"t/p=1/a.csv": CSV, "t/p=2/a.csv": CSV, "u/a.json": '{"a": 1}'})
    name = lake.crawler("", RecrawlPolicy={"RecrawlBehavior": "CRAWL_NEW_FOLDERS_ONLY"},
                        SchemaChangePolicy={"UpdateBehavior": "LOG", "DeleteBehavior": "LOG"})  # fmt: skip
    lake.run(name)
    before = lake.tables()
    lake.put({"t/p=1/b.csv": WIDER, "t/p=3/a.csv": CSV, "v/a.json": '{"q": 1}'})

    lake.run(name)

    after = lake.tables()
    assert {key: after[key] for key in before} == before
    assert columns(after["v"]) == {"q": "int"}
    found = {each["Values"][0]: each["Parameters"]["objectCount"] for each in lake.partitions("t")}
    assert found == {"1": "1", "2": "1", "3": "1"}


def test_two_locations_of_one_name_get_two_tables(lake: Lake) -> None:
    lake.put(
        {
            "x/t/a.csv": CSV,
            "y/t/a.json": '{"a": 1}',
            "x/u/a.json": '{"b": 1}',
            "y/u/a": "k,l\n1,x\n",
        }
    )
    name = lake.crawler()

    lake.run(name)

    tables = lake.tables()
    assert sorted(key[:2] for key in tables) == ["t", "t_", "u", "u_"]
    before = {table["StorageDescriptor"]["Location"]: key for key, table in tables.items()}
    lake.run(name)
    after = {each["StorageDescriptor"]["Location"]: key for key, each in lake.tables().items()}
    assert after == before


def test_exclusions_leave_files_out_and_stand_in_the_table(lake: Lake) -> None:
    lake.put({"t/a.csv": CSV, "t/b.tmp": "no table", "t/old/a.csv": WIDER})

    lake.run(lake.crawler("t/", target={"Exclusions": ["*.tmp", "old/**"]}))

    table = lake.tables()["t"]
    assert columns(table) == BASE
    assert table["Parameters"]["exclusions"] == '["*.tmp","old/**"]'


def test_a_crawler_runs_once_at_a_time_and_can_be_stopped(lake: Lake) -> None:
    lake.put({f"t/p={number}/a.csv": CSV for number in range(120)})
    name = lake.crawler("t")
    glue = lake.glue
    assert refusal(glue.stop_crawler, Name=name) == (
        "CrawlerNotRunningException",
        f"Crawler with name {name} isn't running",
    )

    glue.start_crawler(Name=name)

    assert refusal(glue.start_crawler, Name=name) == (
        "CrawlerRunningException",
        f"Crawler with name {name} has already started",
    )
    running = ("CrawlerRunningException", f"Crawler with name {name} is running")
    assert refusal(glue.update_crawler, Name=name, Description="x") == running
    assert refusal(glue.delete_crawler, Name=name) == running
    assert glue.get_crawler(Name=name)["Crawler"]["State"] == "RUNNING"
    assert glue.list_crawls(CrawlerName=name)["Crawls"][0]["State"] == "RUNNING"
    glue.stop_crawler(Name=name)
    last = lake.ended(name)["LastCrawl"]
    assert last["Status"] == "CANCELLED"
    assert glue.list_crawls(CrawlerName=name)["Crawls"][0]["State"] == "STOPPED"
    assert lake.run(name)["LastCrawl"]["Status"] == "SUCCEEDED"
    assert len(lake.partitions("t")) == 120


def test_a_crawl_that_fails_says_why(lake: Lake) -> None:
    lake.put({"t/a.xml": "<?xml version='1.0'?><r/>"})
    name = lake.crawler("t", Classifiers=["none-such"])

    missing = lake.run(name)["LastCrawl"]
    lake.glue.update_crawler(Name=name, Classifiers=[])
    refused = lake.run(name)["LastCrawl"]

    assert missing["Status"] == refused["Status"] == "FAILED"
    assert missing["ErrorMessage"] == "Classifier none-such not found."
    assert refused["ErrorMessage"] == (
        f"glue.StartCrawler is not in the local plane: s3://{lake.name}/t/a.xml is XML, and there is "
        "no classifier of XML\n  leave it out with a pattern in Exclusions of the crawler's target"
    )
    crawl = lake.glue.list_crawls(CrawlerName=name)["Crawls"][0]
    assert (crawl["State"], crawl["ErrorMessage"]) == ("FAILED", refused["ErrorMessage"])


def test_a_missing_bucket_fails_the_crawl(lake: Lake) -> None:
    target = {"Path": f"s3://{lake.name}-none/"}

    last = lake.run(lake.crawler("", target=target))["LastCrawl"]

    assert last["Status"] == "FAILED"
    assert last["ErrorMessage"] == (
        f"'s3://{lake.name}-none/': ListObjectsV2 was answered with 404 NoSuchBucket: "
        "The specified bucket does not exist\n  make the bucket, or correct the URI"
    )


INVALID: dict[str, tuple[dict[str, Any], str]] = {
    "no target": ({"Targets": {}}, "Targets has no S3Targets, expected at least one"),
    "no URI": (
        {"Targets": {"S3Targets": [{"Path": "lake/raw"}]}},
        "S3 target path is 'lake/raw', expected s3://bucket or s3://bucket/prefix",
    ),
    "a bad pattern": (
        {"Targets": {"S3Targets": [{"Path": "s3://b/", "Exclusions": ["[a"]}]}},
        "exclusion '[a': it has a [ without its ], or nothing between them\n  correct the pattern",
    ),
    "a bad sample": (
        {"Targets": {"S3Targets": [{"Path": "s3://b/", "SampleSize": 250}]}},
        "SampleSize is 250, expected 1 to 249",
    ),
    "a bad schedule": (
        {"Schedule": "cron(0 12 * *)"},
        "Invalid Schedule cron expression: cron(0 12 * *): it has 4 fields in cron(...), expected 6",
    ),
    "a policy that new folders forbid": (
        {
            "RecrawlPolicy": {"RecrawlBehavior": "CRAWL_NEW_FOLDERS_ONLY"},
            "SchemaChangePolicy": {"UpdateBehavior": "UPDATE_IN_DATABASE"},
        },
        'The SchemaChangePolicy for "Crawl new folders only" Amazon S3 target can have only LOG '
        "DeleteBehavior value and LOG UpdateBehavior value.",
    ),
    "a misspelt configuration": (
        {"Configuration": '{"Version": 1.0, "Groping": {}}'},
        "Configuration has 'Groping', expected one of Version, CrawlerOutput, Grouping, "
        "CreatePartitionIndex",
    ),
    "no JSON": (
        {"Configuration": "{"},
        "Configuration is no JSON: Expecting property name enclosed in double quotes: line 1 column 2 "
        "(char 1)",
    ),
    "a table level of none": (
        {"Configuration": '{"Version": 1.0, "Grouping": {"TableLevelConfiguration": 0}}'},
        "Configuration.Grouping.TableLevelConfiguration is 0, expected 1 or more",
    ),
}


@pytest.mark.parametrize("case", INVALID)
def test_invalid_crawlers_are_refused(lake: Lake, case: str) -> None:
    parameters, message = INVALID[case]
    given: dict[str, Any] = {
        "Name": lake.name,
        "Role": "r",
        "DatabaseName": lake.database,
        "Targets": {"S3Targets": [{"Path": f"s3://{lake.name}/"}]},
        **parameters,
    }

    assert refusal(lake.glue.create_crawler, **given) == ("InvalidInputException", message)
    assert lake.name not in lake.glue.list_crawlers()["CrawlerNames"]


ELSEWHERE = (
    " is not in the local plane: it would need AWS itself\n"
    "  docs/local-plane.md lists what is real, what is recorded only and what is refused"
)


@pytest.mark.parametrize(
    ("parameters", "what"),
    [
        ({"Targets": {"JdbcTargets": [{"ConnectionName": "c", "Path": "db/%"}]}}, "a target of JdbcTargets"),
        ({"Targets": {"DynamoDBTargets": [{"Path": "t"}]}}, "a target of DynamoDBTargets"),
        ({"RecrawlPolicy": {"RecrawlBehavior": "CRAWL_EVENT_MODE"}}, "RecrawlBehavior CRAWL_EVENT_MODE"),
    ],
)  # fmt: skip
def test_what_the_plane_cannot_crawl_is_refused(
    lake: Lake, parameters: dict[str, Any], what: str
) -> None:
    given = {"Name": lake.name, "Role": "r", "DatabaseName": "d",
             "Targets": {"S3Targets": [{"Path": "s3://b/"}]}, **parameters}  # fmt: skip

    assert refusal(lake.glue.create_crawler, **given) == (
        "NotSupportedByLocalPlane",
        f"glue.CreateCrawler: {what}{ELSEWHERE}",
    )


def test_crawlers_are_described_updated_and_deleted(lake: Lake) -> None:
    name, glue = lake.crawler("t/", Description="one", Tags={"team": "lake"}), lake.glue

    glue.update_crawler(
        Name=name, Description="two", TablePrefix="raw_", Schedule="cron(0 3 * * ? *)"
    )

    told = glue.get_crawler(Name=name)["Crawler"]
    assert {key: told[key] for key in ("Description", "TablePrefix", "Version", "State")} == {
        "Description": "two",
        "TablePrefix": "raw_",
        "Version": 2,
        "State": "READY",
    }
    assert told["Targets"] == {"S3Targets": [{"Path": f"s3://{lake.name}/t/"}]}
    assert told["Schedule"] == {"ScheduleExpression": "cron(0 3 * * ? *)", "State": "SCHEDULED"}
    assert told["LastUpdated"] > told["CreationTime"]
    assert refusal(glue.create_crawler, Name=name, Role="r", Targets=told["Targets"]) == (
        "AlreadyExistsException",
        "Crawler already exists.",
    )
    batch = glue.batch_get_crawlers(CrawlerNames=[name, "none"])
    assert [each["Name"] for each in batch["Crawlers"]] == [name]
    assert batch["CrawlersNotFound"] == ["none"]
    assert glue.list_crawlers(Tags={"team": "lake"})["CrawlerNames"] == [name]
    glue.delete_crawler(Name=name)
    gone = ("EntityNotFoundException", f"Crawler {name} not found.")
    for call in (glue.get_crawler, glue.start_crawler, glue.stop_crawler, glue.delete_crawler):
        assert refusal(call, Name=name) == gone
    assert refusal(glue.list_crawls, CrawlerName=name) == gone


def test_crawlers_and_crawls_come_in_pages(lake: Lake) -> None:
    lake.put({"t/a.csv": CSV})
    name = lake.crawler("t")
    for _ in range(3):
        lake.run(name)

    first = lake.glue.list_crawls(CrawlerName=name, MaxResults=2)
    rest = lake.glue.list_crawls(CrawlerName=name, MaxResults=2, NextToken=first["NextToken"])

    ids = [crawl["CrawlId"] for page in (first, rest) for crawl in page["Crawls"]]
    assert len(set(ids)) == 3
    assert "NextToken" not in rest
    wanted = [{"FieldName": "CRAWL_ID", "FilterOperator": "EQ", "FieldValue": ids[1]}]
    found = lake.glue.list_crawls(CrawlerName=name, Filters=wanted)["Crawls"]
    assert [crawl["CrawlId"] for crawl in found] == [ids[1]]
    names = [each["Name"] for page in lake.glue.get_paginator("get_crawlers").paginate(
        PaginationConfig={"PageSize": 1}) for each in page["Crawlers"]]  # fmt: skip
    assert names.count(name) == 1
    metrics = lake.glue.get_crawler_metrics(CrawlerNameList=[name])["CrawlerMetricsList"][0]
    assert metrics["LastRuntimeSeconds"] > 0
    assert (metrics["TablesCreated"], metrics["TablesUpdated"]) == (0, 0)


def test_schedules_are_started_and_stopped(lake: Lake) -> None:
    name, glue = lake.crawler(), lake.glue
    assert refusal(glue.start_crawler_schedule, CrawlerName=name) == (
        "NoScheduleException",
        f"Crawler {name} has no schedule",
    )

    glue.update_crawler_schedule(CrawlerName=name, Schedule="cron(0 3 ? * MON-FRI *)")

    def state() -> str:
        return str(glue.get_crawler(Name=name)["Crawler"]["Schedule"]["State"])

    assert state() == "SCHEDULED"
    assert refusal(glue.start_crawler_schedule, CrawlerName=name) == (
        "SchedulerRunningException",
        f"The schedule of crawler {name} is already running",
    )
    glue.stop_crawler_schedule(CrawlerName=name)
    assert state() == "NOT_SCHEDULED"
    assert refusal(glue.stop_crawler_schedule, CrawlerName=name) == (
        "SchedulerNotRunningException",
        f"The schedule of crawler {name} is not running",
    )
    glue.start_crawler_schedule(CrawlerName=name)
    assert state() == "SCHEDULED"


def test_classifiers_are_kept_changed_and_refused(lake: Lake) -> None:
    glue, name = lake.glue, lake.name
    glue.create_classifier(JsonClassifier={"Name": name, "JsonPath": "$.records[*]"})

    glue.update_classifier(JsonClassifier={"Name": name, "JsonPath": "$[*]"})

    told = glue.get_classifier(Name=name)["Classifier"]["JsonClassifier"]
    assert (told["JsonPath"], told["Version"]) == ("$[*]", 2)
    assert [each for each in glue.get_classifiers()["Classifiers"] if "JsonClassifier" in each]
    again = {"JsonClassifier": {"Name": name, "JsonPath": "$"}}
    exists = ("AlreadyExistsException", f"Classifier {name} already exists.")
    assert refusal(glue.create_classifier, **again) == exists
    bad = {"JsonClassifier": {"Name": "x", "JsonPath": "$..a"}}
    assert refusal(glue.create_classifier, **bad) == (
        "InvalidInputException",
        "JsonPath '$..a': expected names and at most a final [*], like '$', '$.a.b', '$.records[*]'\n"
        "  more of the language is not in the local plane",
    )
    grok = {"GrokClassifier": {"Name": "g", "Classification": "log", "GrokPattern": "%{WORD:w}"}}
    assert refusal(glue.create_classifier, **grok) == (
        "NotSupportedByLocalPlane",
        f"glue.CreateClassifier: a GrokClassifier{ELSEWHERE}",
    )
    glue.delete_classifier(Name=name)
    gone = ("EntityNotFoundException", f"Classifier {name} not found.")
    assert refusal(glue.get_classifier, Name=name) == gone


def test_an_include_path_may_be_a_file(lake: Lake) -> None:
    lake.put({"t/a.csv": CSV, "t/b.json": '{"a": 1}'})

    lake.run(lake.crawler("t/a.csv"))

    table = lake.tables()["a_csv"]
    assert table["StorageDescriptor"]["Location"] == f"s3://{lake.name}/t/a.csv"
    assert columns(table) == BASE


def test_a_plane_that_stops_ends_its_crawls(tmp_path: Path) -> None:
    with Plane(tmp_path / "plane") as plane, plane.as_environment():
        lake = Lake()
        lake.put({f"t/p={number}/a.csv": CSV for number in range(120)})
        name = lake.crawler("t")
        lake.glue.start_crawler(Name=name)
        assert lake.glue.get_crawler(Name=name)["Crawler"]["State"] == "RUNNING"

        began = time.monotonic()
        plane.stop()

    assert time.monotonic() - began < 10
    assert "Traceback" not in (tmp_path / "plane" / "plane.log").read_text()


def test_a_plane_that_keeps_its_state_knows_its_crawlers(tmp_path: Path) -> None:
    with Plane(tmp_path / "plane", keep=True) as plane, plane.as_environment():
        lake = Lake()
        lake.put({"t/p=1/a.csv": CSV, "t/p=2/a.csv": CSV})
        name = lake.crawler("t", Description="one", Schedule="cron(0 3 * * ? *)")
        lake.glue.update_crawler(Name=name, Description="two", TablePrefix="raw_")
        lake.run(name)
    with Plane(tmp_path / "plane", keep=True) as plane, plane.as_environment():
        again = Lake()
        again.database = lake.database
        assert len(again.partitions("raw_t")) == 2
        again.s3.put_object(Bucket=lake.name, Key="t/p=3/a.csv", Body=CSV)

        told = again.run(name)

        assert (told["Description"], told["TablePrefix"]) == ("two", "raw_")
        assert told["Schedule"] == {"ScheduleExpression": "cron(0 3 * * ? *)", "State": "SCHEDULED"}
        assert len(again.partitions("raw_t")) == 3
        assert [each["Name"] for each in again.glue.get_crawlers()["Crawlers"]] == [name]
