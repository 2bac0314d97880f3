"""What tests of Athena share: a client that waits, in a bucket and a database of its own."""

from __future__ import annotations

import gzip
import time
from typing import Any

import boto3  # type: ignore[import-untyped]  # noqa: TID251  the client under test

ENDED = ("SUCCEEDED", "FAILED", "CANCELLED")


class AthenaClient:
    """boto3's Athena, Glue and S3 with a bucket and a database."""

    def __init__(self, name: str) -> None:
        self.bucket, self.database = f"athena-{name.replace('_', '-')}", f"db_{name}"
        self.s3, self.athena, self.glue = (
            boto3.client(each, region_name="us-east-1") for each in ("s3", "athena", "glue")
        )
        self.s3.create_bucket(Bucket=self.bucket)
        self.glue.create_database(DatabaseInput={"Name": self.database})
        self.output = f"s3://{self.bucket}/results/"

    def start(self, sql: str, **more: Any) -> str:
        request: dict[str, Any] = {
            "QueryString": sql,
            "QueryExecutionContext": {"Database": self.database},
            "ResultConfiguration": {"OutputLocation": self.output},
            **more,
        }
        return str(self.athena.start_query_execution(**request)["QueryExecutionId"])

    def wait(self, name: str) -> dict[str, Any]:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            found = self.athena.get_query_execution(QueryExecutionId=name)["QueryExecution"]
            if found["Status"]["State"] in ENDED:
                return dict(found)
            time.sleep(0.02)
        raise AssertionError(f"{name} did not end")

    def ended(self, sql: str, **more: Any) -> dict[str, Any]:
        """Run to the end and return the execution."""
        return self.wait(self.start(sql, **more))

    def run(self, sql: str, **more: Any) -> dict[str, Any]:
        """Run to success and return the execution."""
        found = self.ended(sql, **more)
        assert found["Status"]["State"] == "SUCCEEDED", found["Status"].get("StateChangeReason")
        return found

    def failure(self, sql: str, **more: Any) -> str:
        """Run to failure and return the reason."""
        found = self.ended(sql, **more)
        assert found["Status"]["State"] == "FAILED"
        assert (
            found["Status"]["AthenaError"]["ErrorMessage"] == found["Status"]["StateChangeReason"]
        )
        return str(found["Status"]["StateChangeReason"])

    def page(self, name: str, **more: Any) -> tuple[list[list[str | None]], dict[str, Any]]:
        found = self.athena.get_query_results(QueryExecutionId=name, **more)
        rows = [
            [cell.get("VarCharValue") for cell in row["Data"]] for row in found["ResultSet"]["Rows"]
        ]
        return rows, found

    def rows(self, sql: str, **more: Any) -> list[list[str | None]]:
        """Return the rows of a SELECT without the header."""
        return self.page(self.run(sql, **more)["QueryExecutionId"])[0][1:]

    def lines(self, sql: str) -> list[str | None]:
        """Return the first cells of a listing."""
        return [row[0] for row in self.page(self.run(sql)["QueryExecutionId"])[0]]

    def put(self, key: str, text: str) -> str:
        """Write an object, packed when its name ends so; return the URI."""
        body = gzip.compress(text.encode()) if key.endswith(".gz") else text.encode()
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body)
        return f"s3://{self.bucket}/{key}"

    def get(self, uri: str) -> str:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        return str(self.s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode())

    def keys(self, prefix: str) -> list[str]:
        found = self.s3.list_objects_v2(Bucket=self.bucket, Prefix=prefix)
        return [each["Key"] for each in found.get("Contents", [])]
