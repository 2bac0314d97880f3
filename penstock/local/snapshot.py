"""What a plane keeps between two lives: buckets, the Glue catalog with crawlers and jobs, SageMaker models.

    <folder>/kept/objects.jsonl     one object a line: bucket, key, the file with its bytes, headers
    <folder>/kept/<number>.object   bytes
    <folder>/kept/records.json      what the APIs answered, by region; created again as any client would

Runs, queries, jobs and endpoints are not kept: their processes are gone. A snapshot is written beside the
one before and takes its place when it is whole.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penstock import aws
from penstock.local.site import Site
from penstock.local.wire import service_model

__all__ = ["restore", "save"]

KEPT, OBJECTS, RECORDS = "kept", "objects.jsonl", "records.json"
PARTITIONS_A_CALL = 100
HEADERS = ("ContentType", "ContentEncoding", "CacheControl", "ContentDisposition", "Metadata")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Kind:
    """What is kept by listing it and creating it again.

    Attributes:
        service: As botocore calls it.
        listing: Operation, and the member of its answer that holds the items.
        item: Member of an item that names it, if a describing operation is asked for each.
        describe: That operation, and the parameter that takes the name.
        create: Operation that makes it again.
        wrapped: Parameter of ``create`` that takes the whole item, where it is not flat.
    """

    service: str
    listing: tuple[str, str]
    create: str
    item: str | None = None
    describe: tuple[str, str] | None = None
    wrapped: str | None = None


DATABASES = _Kind(
    service="glue",
    listing=("GetDatabases", "DatabaseList"),
    create="CreateDatabase",
    wrapped="DatabaseInput",
)
KINDS = (
    _Kind(service="glue", listing=("GetCrawlers", "Crawlers"), create="CreateCrawler"),
    _Kind(service="glue", listing=("GetJobs", "Jobs"), create="CreateJob"),
    _Kind(
        service="sagemaker",
        listing=("ListModels", "Models"),
        item="ModelName",
        describe=("DescribeModel", "ModelName"),
        create="CreateModel",
    ),
    _Kind(
        service="sagemaker",
        listing=("ListEndpointConfigs", "EndpointConfigs"),
        item="EndpointConfigName",
        describe=("DescribeEndpointConfig", "EndpointConfigName"),
        create="CreateEndpointConfig",
    ),
)


def save(site: Site) -> None:
    """Write the snapshot; the plane still answers, and nothing changes it any more."""
    fresh, kept = site.folder / f"{KEPT}.new", site.folder / KEPT
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    _save_objects(fresh)
    records = {region: _records(site, region) for region in sorted(site.regions)}
    (fresh / RECORDS).write_text(json.dumps(records, indent=1, default=str))
    old = site.folder / f"{KEPT}.old"
    shutil.rmtree(old, ignore_errors=True)
    if kept.exists():
        kept.rename(old)
    fresh.rename(kept)
    shutil.rmtree(old, ignore_errors=True)


def restore(site: Site) -> None:
    """Bring back what a snapshot holds; nothing without one. The plane answers already."""
    kept = site.folder / KEPT
    if not kept.exists():
        old = site.folder / f"{KEPT}.old"  # the last life ended between two renames
        if not old.exists():
            return
        old.rename(kept)
    _restore_objects(kept)
    for region, records in json.loads((kept / RECORDS).read_text()).items():
        site.regions.add(region)
        _restore_records(site, region, records)


def _save_objects(folder: Path) -> None:
    s3, number = aws.client("s3"), 0
    with (folder / OBJECTS).open("w") as index:
        for bucket in (each["Name"] for each in s3.list_buckets()["Buckets"]):
            index.write(json.dumps({"bucket": bucket}) + "\n")
            for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
                for found in page.get("Contents", ()):
                    number += 1
                    answer = s3.get_object(Bucket=bucket, Key=found["Key"])
                    with (folder / f"{number}.object").open("wb") as file:
                        shutil.copyfileobj(answer["Body"], file, 1 << 20)
                    headers = {name: answer[name] for name in HEADERS if answer.get(name)}
                    line = {"bucket": bucket, "key": found["Key"], "file": number}
                    index.write(json.dumps(line | {"headers": headers}) + "\n")


def _restore_objects(folder: Path) -> None:
    s3 = aws.client("s3")
    with (folder / OBJECTS).open() as index:
        for line in map(json.loads, index):
            if "key" not in line:
                s3.create_bucket(Bucket=line["bucket"])
                continue
            with (folder / f"{int(line['file'])}.object").open("rb") as file:
                s3.put_object(Bucket=line["bucket"], Key=line["key"], Body=file, **line["headers"])


def _records(site: Site, region: str) -> list[dict[str, Any]]:
    """Return the calls that make everything again, in order."""
    calls = []
    for database in _listed(site, region, DATABASES):
        calls.append(_creation(DATABASES, database))
        calls += _tables(site, region, database["Name"])
    for kind in KINDS:
        for item in _listed(site, region, kind):
            whole = item
            if kind.describe is not None and kind.item is not None:
                operation, name = kind.describe
                whole = site.moto.ask(
                    kind.service, operation, region=region, **{name: item[kind.item]}
                )
            calls.append(_creation(kind, whole))
    return calls


def _tables(site: Site, region: str, database: str) -> Iterator[dict[str, Any]]:
    """Yield the calls that make the tables of a database, each followed by its partitions."""
    tables = _Kind(
        service="glue",
        listing=("GetTables", "TableList"),
        create="CreateTable",
        wrapped="TableInput",
    )
    for table in _listed(site, region, tables, DatabaseName=database):
        made = _creation(tables, table)
        made["body"]["DatabaseName"] = database
        yield made
        parts = _Kind(
            service="glue", listing=("GetPartitions", "Partitions"), create="BatchCreatePartition"
        )
        of = {"DatabaseName": database, "TableName": table["Name"]}
        found = [
            _picked("BatchCreatePartition", "PartitionInputList", each)
            for each in _listed(site, region, parts, **of)
        ]
        for first in range(0, len(found), PARTITIONS_A_CALL):
            body = {**of, "PartitionInputList": found[first : first + PARTITIONS_A_CALL]}
            yield {"service": "glue", "operation": "BatchCreatePartition", "body": body}


def _listed(site: Site, region: str, kind: _Kind, **body: Any) -> Iterator[dict[str, Any]]:
    operation, member = kind.listing
    token: str | None = None
    while True:
        more = {} if token is None else {"NextToken": token}
        answer = site.moto.ask(kind.service, operation, region=region, **body, **more)
        yield from answer.get(member, ())
        token = answer.get("NextToken")
        if not token:
            return


def _creation(kind: _Kind, item: Mapping[str, Any]) -> dict[str, Any]:
    if kind.wrapped is not None:
        body = {kind.wrapped: _picked(kind.create, kind.wrapped, item)}
    else:
        shape = service_model(kind.service).operation_model(kind.create).input_shape
        body = {name: item[name] for name in shape.members if item.get(name) is not None}
    if isinstance(body.get("Schedule"), dict):  # a crawler's: read as an object, given as a text
        body["Schedule"] = body["Schedule"].get("ScheduleExpression", "")
    return {"service": kind.service, "operation": kind.create, "body": body}


def _picked(operation: str, parameter: str, item: Mapping[str, Any]) -> dict[str, Any]:
    """Return what ``parameter`` of a Glue operation takes of an item."""
    shape = service_model("glue").operation_model(operation).input_shape.members[parameter]
    members: Sequence[str] = getattr(shape, "member", shape).members
    return {name: item[name] for name in members if item.get(name) is not None}


def _restore_records(site: Site, region: str, records: Sequence[Mapping[str, Any]]) -> None:
    for each in records:
        site.moto.ask(each["service"], each["operation"], region=region, **each["body"])
