"""How the files of a table are written: its SerDe's options as one value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from penstock.local.athena.catalog import Table
from penstock.local.athena.errors import unsupported

__all__ = ["SERDES", "Format", "Serde", "format_of"]

Kind = Literal["parquet", "orc", "json", "hivejson", "delimited", "opencsv"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Serde:
    """A file format as DDL and catalog name it."""

    kind: Kind
    library: str
    input_format: str
    output_format: str


_MAPRED = "org.apache.hadoop.hive.ql.io."
_TEXT_IN = "org.apache.hadoop.mapred.TextInputFormat"
_TEXT_OUT = "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat"
_SERDE = "org.apache.hadoop.hive.serde2."
SERDES: tuple[Serde, ...] = (
    Serde(
        kind="parquet",
        library="org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe",
        input_format=f"{_MAPRED}parquet.MapredParquetInputFormat",
        output_format=f"{_MAPRED}parquet.MapredParquetOutputFormat",
    ),
    Serde(
        kind="orc",
        library="org.apache.hadoop.hive.ql.io.orc.OrcSerde",
        input_format=f"{_MAPRED}orc.OrcInputFormat",
        output_format=f"{_MAPRED}orc.OrcOutputFormat",
    ),
    Serde(
        kind="json",
        library="org.openx.data.jsonserde.JsonSerDe",
        input_format=_TEXT_IN,
        output_format=_TEXT_OUT,
    ),
    Serde(
        kind="hivejson",
        library="org.apache.hive.hcatalog.data.JsonSerDe",
        input_format=_TEXT_IN,
        output_format=_TEXT_OUT,
    ),
    Serde(
        kind="hivejson",
        library=f"{_SERDE}JsonSerDe",
        input_format=_TEXT_IN,
        output_format=_TEXT_OUT,
    ),
    Serde(
        kind="delimited",
        library=f"{_SERDE}lazy.LazySimpleSerDe",
        input_format=_TEXT_IN,
        output_format=_TEXT_OUT,
    ),
    Serde(
        kind="opencsv",
        library=f"{_SERDE}OpenCSVSerde",
        input_format=_TEXT_IN,
        output_format=_TEXT_OUT,
    ),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Format:
    """How to read a table's files.

    Attributes:
        kind: Family of the SerDe.
        delimiter: Between fields.
        items: Between elements of an array.
        keys: Between key and value of a map.
        quote: Around fields; of OpenCSV.
        escape: Before a sign that stands for itself; empty for none.
        null: What a missing value looks like.
        skipped_lines: At the head of each file.
        ignores_malformed: A line that is no JSON is a row of nulls, not an error.
        by_position: Columns are matched by their place, not by name.
        renamed: Column -> key in the JSON, where they differ.
        exact_case: JSON keys are compared as they stand.
    """

    kind: Kind
    delimiter: str = "\x01"
    items: str = "\x02"
    keys: str = "\x03"
    quote: str = '"'
    escape: str = ""
    null: str = "\\N"
    skipped_lines: int = 0
    ignores_malformed: bool = False
    by_position: bool = False
    renamed: tuple[tuple[str, str], ...] = ()
    exact_case: bool = False

    @property
    def is_text(self) -> bool:
        """Whether the files are lines."""
        return self.kind not in ("parquet", "orc")


def format_of(table: Table) -> Format:
    """Return how a table's files are read.

    Raises:
        QueryError: The local plane has no such SerDe, or the table is of a kind that it has not.
    """
    if table.parameters.get("table_type", "").upper() == "ICEBERG":
        raise unsupported(f"Iceberg, which table {table.database}.{table.name} is")
    if table.parameters.get("projection.enabled", "").lower() == "true":
        raise unsupported(
            f"partition projection, which table {table.database}.{table.name} asks for"
        )
    found = next((each for each in SERDES if each.library == table.serde), None)
    if found is None:
        raise unsupported(
            f"SerDe {table.serde!r}, which table {table.database}.{table.name} asks for; it has "
            f"{', '.join(each.library for each in SERDES)}"
        )
    return _format(found.kind, table.options)


def _format(kind: Kind, options: Mapping[str, str]) -> Format:
    skipped = int(options.get("skip.header.line.count", "0") or 0)
    if kind == "opencsv":
        return Format(
            kind=kind,
            delimiter=_sign(options.get("separatorChar", ",")),
            quote=_sign(options.get("quoteChar", '"')),
            escape=_sign(options.get("escapeChar", "\\")),
            skipped_lines=skipped,
        )
    if kind == "delimited":
        delimiter = options.get("field.delim") or options.get("serialization.format") or "\x01"
        return Format(
            kind=kind,
            delimiter=_sign(delimiter),
            items=_sign(
                options.get("collection.delim") or options.get("colelction.delim") or "\x02"
            ),
            keys=_sign(options.get("mapkey.delim") or "\x03"),
            escape=_sign(options.get("escape.delim") or ""),
            null=options.get("serialization.null.format", "\\N"),
            skipped_lines=skipped,
        )
    if kind in ("json", "hivejson"):
        renamed = tuple(
            (name.removeprefix("mapping.").lower(), value)
            for name, value in sorted(options.items())
            if name.startswith("mapping.")
        )
        return Format(
            kind=kind,
            skipped_lines=skipped,
            ignores_malformed=options.get("ignore.malformed.json", "").lower() == "true",
            renamed=renamed,
            exact_case=options.get("case.insensitive", "").lower() == "false",
        )
    by_position = options.get(f"{kind}.column.index.access", str(kind == "orc")).lower() == "true"
    return Format(kind=kind, by_position=by_position)


def _sign(text: str) -> str:
    """Return a delimiter as it is: DDL and crawlers write it as itself, as an escape or as a number."""
    named = {"\\t": "\t", "\\n": "\n", "\\r": "\r", "\\\\": "\\", "\\b": "\b", "\\f": "\f"}
    if text in named:
        return named[text]
    if text.startswith("\\u") and len(text) == 6:
        return chr(int(text[2:], 16))
    if text.startswith("\\") and text[1:].isdigit():
        return chr(int(text[1:], 8))
    return chr(int(text)) if text.isdigit() and len(text) < 3 else text[:1] or text
