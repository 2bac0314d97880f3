"""Groups of files as the catalog has tables and partitions: names, keys, formats, parameters.

table name       the folder's or file's, lower case, all but letters, digits and _ as _, 128 at most
partition keys   name=value folders of one name: that name; else partition_0, partition_1, ... by depth
parameters       of the table and of its StorageDescriptor alike, all text
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from penstock.local.crawler.grouping import Group, Part
from penstock.local.crawler.hive import Column, text

__all__ = ["SERDES", "Found", "describe", "distinct_name", "partition_keys", "table_name"]

MAX_NAME_CHARS = 128
HADOOP, HIVE = "org.apache.hadoop.mapred", "org.apache.hadoop.hive.ql.io"
TEXT_FORMATS = (f"{HADOOP}.TextInputFormat", f"{HIVE}.HiveIgnoreKeyTextOutputFormat")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Serde:
    library: str
    input_format: str = TEXT_FORMATS[0]
    output_format: str = TEXT_FORMATS[1]


SERDES: Mapping[str, _Serde] = {
    "": _Serde(library="", input_format="", output_format=""),
    "lazy": _Serde(library="org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe"),
    "opencsv": _Serde(library="org.apache.hadoop.hive.serde2.OpenCSVSerde"),
    "json": _Serde(library="org.openx.data.jsonserde.JsonSerDe"),
    "parquet": _Serde(
        library=f"{HIVE}.parquet.serde.ParquetHiveSerDe",
        input_format=f"{HIVE}.parquet.MapredParquetInputFormat",
        output_format=f"{HIVE}.parquet.MapredParquetOutputFormat",
    ),
    "orc": _Serde(
        library=f"{HIVE}.orc.OrcSerde",
        input_format=f"{HIVE}.orc.OrcInputFormat",
        output_format=f"{HIVE}.orc.OrcOutputFormat",
    ),
    "avro": _Serde(
        library="org.apache.hadoop.hive.serde2.avro.AvroSerDe",
        input_format=f"{HIVE}.avro.AvroContainerInputFormat",
        output_format=f"{HIVE}.avro.AvroContainerOutputFormat",
    ),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """A table that a crawler found.

    Attributes:
        table: As Glue's TableInput, without what names the crawler.
        partitions: As Glue's PartitionInput.
        group: The files behind it.
    """

    table: Mapping[str, Any]
    partitions: tuple[Mapping[str, Any], ...]
    group: Group

    @property
    def name(self) -> str:
        """Name of the table."""
        return str(self.table["Name"])

    @property
    def location(self) -> str:
        """URI of its folder, or of its only file."""
        return str(self.table["StorageDescriptor"]["Location"])


def describe(group: Group, root: str, *, prefix: str = "") -> Found:
    """Return a group as the catalog has it.

    Args:
        group: Of files.
        root: The include path, without a slash at its end.
        prefix: Of the table's name.
    """
    location = "/".join([root, *group.path]) + ("" if group.alone else "/")
    keys = partition_keys(group)
    columns = group.columns
    whole = Part(
        names=(),
        files=tuple(file for part in group.parts for file in part.files),
        kind=group.kind,
        columns=columns,
    )
    parameters = _parameters(whole)
    name = group.path[-1] if group.path else root.rpartition("/")[2]
    table = {
        "Name": prefix.lower() + table_name(name),
        "Owner": "owner",
        "Retention": 0,
        "StorageDescriptor": _storage(whole, location, parameters),
        "PartitionKeys": [{"Name": key, "Type": "string"} for key in keys],
        "TableType": "EXTERNAL_TABLE",
        "Parameters": parameters,
    }
    partitions = [
        {
            "Values": list(_values(part, keys)),
            "StorageDescriptor": _storage(
                part, location + "/".join(part.names) + "/", _parameters(part)
            ),
            "Parameters": _parameters(part),
        }
        for part in group.parts
        if part.names
    ]
    return Found(table=table, partitions=tuple(partitions), group=group)


def table_name(name: str) -> str:
    """Return a folder's or file's name as a table's.

    >>> table_name("Flights-2013.csv")
    'flights_2013_csv'
    """
    return re.sub(r"[^a-z0-9_]", "_", name.lower())[:MAX_NAME_CHARS] or "_"


def distinct_name(name: str, location: str) -> str:
    """Return the name of a table whose plain name another location has: with a hash of its own."""
    digest = hashlib.md5(location.encode(), usedforsecurity=False).hexdigest()
    return f"{name[: MAX_NAME_CHARS - 33]}_{digest}"


def partition_keys(group: Group) -> tuple[str, ...]:
    """Return the names of the partition keys: of name=value folders theirs, else by depth."""
    keys = []
    for depth, names in enumerate(zip(*(part.names for part in group.parts), strict=True)):
        found = {name.partition("=")[0].lower() if "=" in name else "" for name in names}
        key = found.pop() if len(found) == 1 else ""
        keys.append(key or f"partition_{depth}")
    return tuple(keys)


def _values(part: Part, keys: Sequence[str]) -> Iterable[str]:
    """Yield the values of a partition; %XX of a name=value folder is what Hive and Spark escape."""
    for name, key in zip(part.names, keys, strict=True):
        given, equals, value = name.partition("=")
        yield unquote(value) if equals and given.lower() == key else name


def _parameters(part: Part) -> dict[str, str]:
    read = [(file, file.finding) for file in part.files if file.finding]
    size_bytes = sum(file.size_bytes for file in part.files)
    records = sum(found.records for _, found in read)
    record_bytes = sum(found.record_bytes for _, found in read)
    estimated = sum(found.estimated_records(file.size_bytes) for file, found in read)
    read_bytes = sum(file.size_bytes for file, _ in read)
    # Files that were not read are taken to be like the others, byte for byte.
    total = (
        estimated if read_bytes in (0, size_bytes) else round(estimated * size_bytes / read_bytes)
    )
    return {
        "CrawlerSchemaDeserializerVersion": "1.0",
        "CrawlerSchemaSerializerVersion": "1.0",
        "classification": part.kind.classification,
        "compressionType": part.kind.compression,
        "typeOfData": "file",
        "averageRecordSize": str(max(1, record_bytes // records) if records else 0),
        "recordCount": str(total),
        "objectCount": str(len(part.files)),
        "sizeKey": str(size_bytes),
        **dict(part.kind.parameters),
    }


def _storage(part: Part, location: str, parameters: Mapping[str, str]) -> dict[str, Any]:
    serde = SERDES[part.kind.serde]
    formats = {"InputFormat": serde.input_format, "OutputFormat": serde.output_format}
    return {
        "Columns": [{"Name": each.name, "Type": text(each.type)} for each in part.columns],
        "Location": location,
        **(formats if serde.library else {}),
        "Compressed": part.kind.compression != "none",
        "NumberOfBuckets": -1,
        "SerdeInfo": _serde_info(part, serde.library),
        "BucketColumns": [],
        "SortColumns": [],
        "Parameters": dict(parameters),
        "StoredAsSubDirectories": False,
    }


def _serde_info(part: Part, library: str) -> dict[str, Any]:
    if not library:
        return {}
    parameters = dict(part.kind.serde_parameters)
    if part.kind.serde == "json":
        parameters["paths"] = ",".join(_original(each) for each in part.columns)
    elif part.kind.serde in ("parquet", "orc", "avro"):
        parameters["serialization.format"] = "1"
    return {"SerializationLibrary": library, "Parameters": parameters}


def _original(column: Column) -> str:
    return column.original or column.name
