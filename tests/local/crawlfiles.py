"""Files in memory to crawl, and short views of what a crawl makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from penstock.local.crawler import Crawled, Listed, Scope, crawl

ROOT = "mem://lake/raw"
CSV = "id,name,price\n1,a,2.5\n2,b,3.5\n"


def crawled(files: Mapping[str, str | bytes], **more: Any) -> Crawled:
    """Crawl files that lie in memory, by their paths below the include path."""
    held = {
        f"{ROOT}/{path}": body.encode() if isinstance(body, str) else body
        for path, body in files.items()
    }
    listing = [Listed(uri=uri, size_bytes=len(body)) for uri, body in held.items()]
    return crawl(listing, lambda uri: pa.BufferReader(held[uri]), Scope(root=ROOT, **more))


def shape(found: Crawled) -> dict[str, tuple[Any, ...]]:
    """Return location below the include path, partition keys and values of each table."""
    return {
        table.name: (
            table.location.removeprefix(ROOT),
            [key["Name"] for key in table.table["PartitionKeys"]],
            [part["Values"] for part in table.partitions],
        )
        for table in found.tables
    }


def only(found: Crawled) -> dict[str, Any]:
    """Return the only table of a crawl."""
    assert len(found.tables) == 1
    return dict(found.tables[0].table)


def columns(table: Mapping[str, Any]) -> dict[str, str]:
    return {each["Name"]: each["Type"] for each in table["StorageDescriptor"]["Columns"]}


def one(body: str | bytes, **more: Any) -> dict[str, Any]:
    """Return the table of one file in the include path."""
    return only(crawled({"file": body}, **more))
