"""``penstock catalog preview``: what a crawler would make of a path, and what people are surprised by.

Reads what a crawler reads, writes nothing and needs no catalog.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from penstock import storage
from penstock.errors import MissingFileError
from penstock.local.crawler.crawl import Crawled, Scope, crawl
from penstock.local.crawler.sources import listing, opened
from penstock.local.crawler.surprises import Surprise, surprises
from penstock.local.crawler.tables import Found

__all__ = ["preview", "show"]

SHOWN_COLUMNS = 60
SHOWN_PARTITIONS = 3
INDENT = (0, 0, 0, 2)


def preview(
    path: str, *, exclusions: Sequence[str] = (), combine: bool = False, level: int | None = None
) -> Crawled:
    """Return what a crawler would make of a path.

    Args:
        path: Local path, ``file://`` or ``s3://``.
        exclusions: Patterns of paths below it.
        combine: Whether files of one format are one table whatever their columns.
        level: Depth of tables, 1 the bucket or the root of the disk.

    Raises:
        MissingFileError: Nothing stands there.
        InputError: A pattern or the level is wrong.
        NotEmulatedError: There is a file that Glue would know and this one does not.
        ServiceError: S3 refuses.
    """
    root = storage.normal(path).rstrip("/")
    files = listing(root)
    if not files:
        raise MissingFileError("preview", path, "check the path: there is no file at or below it")
    scope = Scope(root=root, exclusions=tuple(exclusions), combine=combine, table_level=level)
    return crawl(files, opened, scope)


def show(crawled: Crawled, console: Console) -> None:
    """Print tables, columns and warnings."""
    count = len(crawled.tables)
    console.print(_overview(crawled.tables))
    for found in crawled.tables:
        _show_columns(found, console)
    told = surprises(crawled)
    if told:
        console.print(_warnings(told))
    noun = "table" if count == 1 else "tables"
    console.print(f"A crawler would make {count} {noun} of {len(crawled.files)} files.")


def _overview(tables: Sequence[Found]) -> Table:
    shown = Table(title="Tables", title_justify="left")
    for name in ("table", "format", "partition keys"):
        shown.add_column(name, overflow="fold")
    for name in ("partitions", "columns", "files", "about rows"):
        shown.add_column(name, justify="right")
    for found in tables:
        parameters = found.table["Parameters"]
        packed = parameters["compressionType"]
        keys = ", ".join(key["Name"] for key in found.table["PartitionKeys"])
        shown.add_row(
            escape(found.name),
            parameters["classification"] + ("" if packed == "none" else f", {packed}"),
            escape(keys) or "-",
            f"{len(found.partitions):,}" if found.partitions else "-",
            str(len(found.table["StorageDescriptor"]["Columns"])),
            f"{int(parameters['objectCount']):,}",
            f"{int(parameters['recordCount']):,}",
        )
    return shown


def _show_columns(found: Found, console: Console) -> None:
    columns = found.table["StorageDescriptor"]["Columns"]
    told = [f"{column['Name']} {column['Type']}" for column in columns[:SHOWN_COLUMNS]]
    if len(columns) > SHOWN_COLUMNS:
        told.append(f"and {len(columns) - SHOWN_COLUMNS} more")
    console.print(f"[bold]{escape(found.name)}[/bold]  {escape(found.location)}", soft_wrap=True)
    console.print(Padding(escape(", ".join(told) or "no columns"), INDENT))
    for place, key in enumerate(found.table["PartitionKeys"]):
        values = list(dict.fromkeys(part["Values"][place] for part in found.partitions))
        more = f" ... {values[-1]}" if len(values) > SHOWN_PARTITIONS else ""
        some = ", ".join(values[:SHOWN_PARTITIONS]) + more
        told_key = f"partition key {key['Name']} {key['Type']}: {some}"
        console.print(Padding(escape(told_key), INDENT))


def _warnings(told: Sequence[Surprise]) -> Table:
    shown = Table(title="What may surprise", title_justify="left", show_lines=True)
    for name in ("about", "what", "what to do"):
        shown.add_column(name, overflow="fold")
    for each in told:
        shown.add_row(escape(each.about), escape(each.what), escape(each.remedy))
    return shown
