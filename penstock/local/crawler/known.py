"""Tables that the catalog has, as files that need not be read: what a crawl of new folders builds on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from penstock.local.crawler.found import Finding, Kind
from penstock.local.crawler.grouping import File
from penstock.local.crawler.hive import Column, parse
from penstock.local.crawler.tables import SERDES

__all__ = ["known_files"]

FORMAT_PARAMETERS = ("areColumnsQuoted", "columnsOrdered", "delimiter", "skip.header.line.count")


def known_files(
    root: str,
    tables: Sequence[Mapping[str, Any]],
    partitions: Callable[[str], Sequence[Mapping[str, Any]]],
) -> tuple[File, ...]:
    """Return one file for each table and partition below an include path, with the catalog's schema.

    Each stands for its folder: a file in a folder that has one is not new.
    """
    made = []
    for table in tables:
        parts = partitions(table["Name"]) if table.get("PartitionKeys") else [table]
        made += [_file(root.rstrip("/"), part) for part in parts]
    return tuple(file for file in made if file is not None)


def _file(root: str, item: Mapping[str, Any]) -> File | None:
    storage = item.get("StorageDescriptor", {})
    location = str(storage.get("Location", ""))
    if not f"{location.rstrip('/')}/".startswith(root + "/"):
        return None
    alone = not location.endswith("/")
    names = tuple(name for name in location.removeprefix(root).split("/") if name)
    parameters = item.get("Parameters", {})
    library = storage.get("SerdeInfo", {}).get("SerializationLibrary", "")
    kind = Kind(
        classification=parameters.get("classification", ""),
        compression=parameters.get("compressionType", "none"),
        parameters=tuple(
            (name, parameters[name]) for name in FORMAT_PARAMETERS if name in parameters
        ),
        serde=next((name for name, serde in SERDES.items() if serde.library == library), ""),
    )
    columns = tuple(
        Column(name=column["Name"], type=parse(column["Type"]))
        for column in storage.get("Columns", [])
    )
    return File(
        path=names if alone else (*names, ""),
        uri=location,
        size_bytes=0,
        finding=Finding(kind=kind, columns=columns),
    )
