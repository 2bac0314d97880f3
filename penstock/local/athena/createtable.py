"""CREATE EXTERNAL TABLE: Hive's DDL to a TableInput of the catalog, and back for SHOW CREATE TABLE."""

from __future__ import annotations

from typing import Any

from penstock.local.athena.catalog import Column, Table
from penstock.local.athena.cursor import Cursor
from penstock.local.athena.errors import QueryError, unsupported
from penstock.local.athena.formats import SERDES, Serde
from penstock.local.athena.types import parse_type

__all__ = ["columns", "create_external", "ddl_of", "table_input"]

STORED = {
    "PARQUET": "parquet",
    "ORC": "orc",
    "JSON": "json",
    "TEXTFILE": "delimited",
    "JSONFILE": "json",
}
ROW_FORMAT = {
    ("FIELDS", "TERMINATED", "BY"): "field.delim",
    ("COLLECTION", "ITEMS", "TERMINATED", "BY"): "collection.delim",
    ("MAP", "KEYS", "TERMINATED", "BY"): "mapkey.delim",
    ("LINES", "TERMINATED", "BY"): "line.delim",
    ("ESCAPED", "BY"): "escape.delim",
    ("NULL", "DEFINED", "AS"): "serialization.null.format",
}


def serde_of(kind: str) -> Serde:
    """Return the SerDe of a family."""
    return next(each for each in SERDES if each.kind == kind)


def columns(cursor: Cursor) -> list[Column]:
    """Take ``(a int COMMENT 'x', b array<string>)``.

    Raises:
        QueryError: It is not so.
    """
    made: list[Column] = []
    cursor.expect("(")
    while not cursor.take(")"):
        name = cursor.name()
        start, deep = cursor.at, 0
        while not cursor.ended:
            word = cursor.peek()
            if not deep and (word in (",", ")", "COMMENT") or not word):
                break
            deep += word.count("<") + word.count("(") - word.count(">") - word.count(")")
            cursor.at += 1
        if start == cursor.at:
            raise cursor.wrong("a type")
        first, last = cursor.tokens[start], cursor.tokens[cursor.at - 1]
        kind = parse_type(cursor.sql[first.start : last.end + 1]).hive()
        comment = cursor.string() if cursor.take("COMMENT") else ""
        made.append(Column(name=name, type_text=kind, comment=comment))
        if not cursor.take(",") and cursor.peek() != ")":
            raise cursor.wrong("','")
    return made


def create_external(cursor: Cursor, database: str) -> tuple[str, dict[str, Any], bool]:
    """Take CREATE EXTERNAL TABLE after those words; return database, TableInput, and IF NOT EXISTS.

    Raises:
        QueryError: It is not so, or says what the local plane has not.
    """
    lenient = cursor.take("IF", "NOT", "EXISTS")
    schema, name = cursor.table(database)
    fields = columns(cursor)
    found: dict[str, Any] = {"comment": "", "location": "", "serde": "", "stored": None}
    found |= {"keys": [], "options": {}, "parameters": {}}
    while not cursor.ended:
        _clause(cursor, found)
    if not found["location"].startswith("s3://"):
        raise QueryError(
            "FAILED: Execution Error, return code 1 from org.apache.hadoop.hive.ql.exec.DDLTask. "
            f"MetaException(message:No location, or one outside S3: {found['location']!r})"
        )
    library, formats = _storage(found)
    return (
        schema,
        table_input(
            name,
            fields,
            found["keys"],
            found["location"],
            library,
            formats,
            found["options"],
            found["parameters"],
            comment=found["comment"],
        ),
        lenient,
    )


def _clause(cursor: Cursor, found: dict[str, Any]) -> None:
    if cursor.take("COMMENT"):
        found["comment"] = cursor.string()
    elif cursor.take("PARTITIONED", "BY"):
        found["keys"] = columns(cursor)
    elif cursor.take("ROW", "FORMAT", "SERDE"):
        found["serde"] = cursor.string()
        if cursor.take("WITH", "SERDEPROPERTIES"):
            found["options"] |= cursor.properties()
    elif cursor.take("WITH", "SERDEPROPERTIES"):
        found["options"] |= cursor.properties()
    elif cursor.take("ROW", "FORMAT", "DELIMITED"):
        found["serde"] = serde_of("delimited").library
        while True:
            words = next((words for words in ROW_FORMAT if cursor.take(*words)), None)
            if words is None:
                break
            found["options"][ROW_FORMAT[words]] = _unescaped(cursor.string())
        if "field.delim" in found["options"]:
            found["options"]["serialization.format"] = found["options"]["field.delim"]
    elif cursor.take("STORED", "AS", "INPUTFORMAT"):
        given = cursor.string()
        cursor.expect("OUTPUTFORMAT")
        found["stored"] = (given, cursor.string())
    elif cursor.take("STORED", "AS"):
        word = cursor.name().upper()
        if word not in STORED:
            raise unsupported(f"STORED AS {word}; it has {', '.join(STORED)}")
        found["stored"] = STORED[word]
    elif cursor.take("LOCATION"):
        found["location"] = cursor.string()
    elif cursor.take("TBLPROPERTIES"):
        found["parameters"] |= cursor.properties()
    elif cursor.peek() == "CLUSTERED":
        raise unsupported("CLUSTERED BY: buckets")
    else:
        raise cursor.wrong("a clause of CREATE EXTERNAL TABLE")


def _unescaped(text: str) -> str:
    """Return a delimiter; Hive's strings have octal escapes for signs that cannot be seen."""
    if text.startswith("\\") and text[1:].isdigit():
        return chr(int(text[1:], 8))
    return {"\\t": "\t", "\\n": "\n", "\\\\": "\\"}.get(text, text)


def _storage(found: dict[str, Any]) -> tuple[str, tuple[str, str]]:
    stored = found["stored"]
    if isinstance(stored, tuple):
        return found["serde"] or serde_of("delimited").library, stored
    serde = serde_of(stored or "delimited")
    if found["serde"]:
        known = next((each for each in SERDES if each.library == found["serde"]), None)
        if known is not None and stored is None:
            serde = known
    return found["serde"] or serde.library, (serde.input_format, serde.output_format)


def table_input(
    name: str,
    fields: list[Column],
    keys: list[Column],
    location: str,
    library: str,
    formats: tuple[str, str],
    options: dict[str, str],
    parameters: dict[str, str],
    *,
    comment: str = "",
) -> dict[str, Any]:
    """Return a TableInput as Athena makes them."""
    described = {"Description": comment} if comment else {}
    made = {"EXTERNAL": "TRUE", **({"comment": comment} if comment else {}), **parameters}
    return {
        "Name": name,
        "TableType": "EXTERNAL_TABLE",
        "Owner": "hadoop",
        "Retention": 0,
        **described,
        "Parameters": made,
        "PartitionKeys": [key.glue() for key in keys],
        "StorageDescriptor": {
            "Columns": [each.glue() for each in fields],
            "Location": location,
            "InputFormat": formats[0],
            "OutputFormat": formats[1],
            "Compressed": False,
            "NumberOfBuckets": -1,
            "SerdeInfo": {
                "SerializationLibrary": library,
                "Parameters": {"serialization.format": "1", **options},
            },
            "BucketColumns": [],
            "SortColumns": [],
            "Parameters": {},
            "StoredAsSubDirectories": False,
        },
    }


def ddl_of(table: Table) -> list[str]:
    """Return the lines of SHOW CREATE TABLE."""

    def text(value: str) -> str:
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'").replace("\t", "\\t") + "'"

    def fields(found: tuple[Column, ...]) -> list[str]:
        rows = [
            f"  `{each.name}` {each.type_text}"
            + (f" COMMENT {text(each.comment)}" if each.comment else "")
            for each in found
        ]
        return [*(f"{row}, " for row in rows[:-1]), f"{rows[-1]})"] if rows else ["  )"]

    lines = [f"CREATE EXTERNAL TABLE `{table.database}.{table.name}`(", *fields(table.columns)]
    if table.keys:
        lines += ["PARTITIONED BY ( ", *fields(table.keys)]
    serde = (table.raw.get("StorageDescriptor") or {}).get("SerdeInfo") or {}
    lines += ["ROW FORMAT SERDE ", f"  {text(table.serde)} "]
    options = sorted((serde.get("Parameters") or {}).items())
    if options:
        pairs = [f"  {text(name)}={text(str(value))}" for name, value in options]
        lines += ["WITH SERDEPROPERTIES ( ", *(f"{p}, " for p in pairs[:-1]), f"{pairs[-1]}) "]
    lines += ["STORED AS INPUTFORMAT ", f"  {text(table.input_format)} "]
    lines += ["OUTPUTFORMAT ", f"  {text(table.output_format)}"]
    lines += ["LOCATION", f"  {text(table.location)}"]
    pairs = [
        f"  {text(name)}={text(value)}"
        for name, value in sorted(table.parameters.items())
        if name != "EXTERNAL"
    ]
    if pairs:
        lines += ["TBLPROPERTIES (", *(f"{p}, " for p in pairs[:-1]), f"{pairs[-1]})"]
    return lines
