"""Crawlers on the plane, through the unmodified boto3: the flights lake, policies, states, errors."""

from __future__ import annotations

import gzip
import importlib.util
import json
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import boto3  # noqa: TID251  the client under test
import pytest
from botocore.exceptions import ClientError

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

    def put(self, **files: str | bytes) -> None:
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


def test_crawling_the_flights_lake_makes_its_five_tables(lake: Lake, flights: Path) -> None:
    for file in flights.rglob("*"):
        if file.is_file():
            key = f"raw/flights/{file.relative_to(flights)}"
            lake.s3.upload_file(str(file), lake.name, key)
    name = lake.crawler("raw/flights/")

    told = lake.run(name)

    assert told["LastCrawl"]["Status"] == "SUCCEEDED"
    tables = lake.tables()
    assert {key: table["Parameters"]["classification"] for key, table in tables.items()} == {
        "airlines": "csv",
        "airports": "parquet",
        "flights": "csv",
        "planes": "csv",
        "weather": "json",
    }
    assert tables["flights"]["PartitionKeys"] == [{"Name": "month", "Type": "string"}]
    print(lake.partitions("flights")[0], told, tables["weather"])
    print(lake.glue.list_crawls(CrawlerName=name))
