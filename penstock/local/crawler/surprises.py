"""What of a crawl's result people do not expect, with what to do about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from penstock.errors import listed
from penstock.local.crawler.classify import UNKNOWN
from penstock.local.crawler.crawl import Crawled
from penstock.local.crawler.grouping import SIMILAR_ABOVE, Group
from penstock.local.crawler.hive import similarity, text
from penstock.local.crawler.tables import Found

__all__ = ["Surprise", "surprises"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Surprise:
    """One.

    Attributes:
        about: Table or folder.
        what: Happens.
        remedy: What to do about it.
    """

    about: str
    what: str
    remedy: str


def surprises(crawled: Crawled) -> tuple[Surprise, ...]:
    """Return what to warn of, table by table, then what is about several and about skipped files."""
    found: list[Surprise] = []
    for table in crawled.tables:
        found += _of_format(table)
        found += _of_columns(table)
        found += _of_partitions(table)
    found += _of_tables(crawled)
    found += _of_skipped(crawled)
    return tuple(found)


def _of_format(table: Found) -> Iterator[Surprise]:
    notes = Counter(note for _, note in _notes(table.group))
    if notes["headerless"]:
        names = [column["Name"] for column in table.table["StorageDescriptor"]["Columns"]]
        yield Surprise(
            about=table.name,
            what=f"all its columns are text, so the first row is taken for data, not for a header: {listed(names, 3)}",
            remedy="give the crawler a CSV classifier with ContainsHeader PRESENT",
        )
    if notes["quoted"]:
        yield Surprise(
            about=table.name,
            what="it has quoted cells; LazySimpleSerDe hands out the quotes, and cuts at delimiters inside them",
            remedy="give the crawler a CSV classifier with QuoteSymbol and Serde OpenCSVSerDe",
        )
    times = list(dict.fromkeys(n.removeprefix("time: ") for n in notes if n.startswith("time: ")))
    if times:
        yield Surprise(
            about=table.name,
            what=f"dates and times are text: {listed(times)}",
            remedy="cast them in SQL, or change the type in the catalog and crawl with UpdateBehavior LOG",
        )
    if table.group.kind.classification == UNKNOWN:
        uri, note = next(iter(_notes(table.group)), (table.location, "unknown"))
        reason = note.removeprefix("corrupt: ") if note != "unknown" else "no classifier knows it"
        yield Surprise(
            about=table.name,
            what=f"{uri} is {UNKNOWN}: {reason}",
            remedy="mend it, or leave it out with a pattern in Exclusions",
        )


def _notes(group: Group) -> Iterator[tuple[str, str]]:
    for part in group.parts:
        for file in part.files:
            for note in file.finding.notes if file.finding else ():
                yield file.uri, note


def _of_columns(table: Found) -> Iterator[Surprise]:
    columns = [column["Name"] for column in table.table["StorageDescriptor"]["Columns"]]
    keys = [key["Name"] for key in table.table["PartitionKeys"]]
    twice = [name for name, count in Counter(columns).items() if count > 1]
    if twice:
        yield Surprise(
            about=table.name,
            what=f"columns have the same name in lower case: {listed(twice)}; Athena refuses such a table",
            remedy="rename one of them in the files",
        )
    both = [key for key in keys if key in columns]
    if both:
        yield Surprise(
            about=table.name,
            what=f"a partition key is also a column of the files: {listed(both)}; Athena refuses such a table",
            remedy="rename the folders or the column",
        )


def _of_partitions(table: Found) -> Iterator[Surprise]:
    group = table.group
    whole = group.columns
    odd = [part for part in group.parts if similarity(part.columns, whole) <= SIMILAR_ABOVE]
    if group.levels and odd:
        yield Surprise(
            about=table.name,
            what=f"{'/'.join(odd[0].names)} is a partition though its schema differs: most of the others are alike",
            remedy="crawl it as a target of its own",
        )
    types: dict[str, set[str]] = {}
    for column in (column for part in group.parts for column in part.columns):
        types.setdefault(column.name, set()).add(text(column.type))
    mixed = [f"{name} ({', '.join(sorted(each))})" for name, each in types.items() if len(each) > 1]
    if group.levels and mixed:
        yield Surprise(
            about=table.name,
            what=f"partitions disagree on types: {listed(mixed, 3)}",
            remedy='set Partitions.AddOrUpdateBehavior to "InheritFromTable" in Configuration',
        )
    for depth in range(group.levels):
        names = {part.names[depth] for part in group.parts}
        if len(names) == 1 and "=" not in (only := names.pop()):
            key = table.table["PartitionKeys"][depth]["Name"]
            yield Surprise(
                about=table.name,
                what=f"{only} is the only folder at its level, so it is a partition ({key}), not a table",
                remedy=f"crawl {table.location}{'/'.join(group.parts[0].names[: depth + 1])}/, or set TableLevelConfiguration",
            )


def _of_tables(crawled: Crawled) -> Iterator[Surprise]:
    alone: dict[tuple[str, ...], list[Found]] = {}
    for table in crawled.tables:
        if table.group.alone:
            alone.setdefault(table.group.path[:-1], []).append(table)
    for path, found in alone.items():
        folder = found[0].location.rpartition("/")[0] + "/"
        names = listed([table.name for table in found], 3)
        beside = any(
            len(file.path) > len(path) + 1 and file.path[: len(path)] == path
            for file in crawled.files
        )
        if beside:
            what = f"files stand beside folders, and each is a table of its own: {names}"
            remedy = "move them into a folder, or leave them out with a pattern in Exclusions"
        else:
            what = f"its files differ in schema, format or header, so each is a table: {names}"
            remedy = "put each kind into a folder of its own"
        yield Surprise(about=folder, what=what, remedy=remedy)
    for name, count in Counter(table.name for table in crawled.tables).items():
        if count > 1:
            yield Surprise(
                about=name,
                what=f"{count} locations have this table name; all but one get a hash at its end",
                remedy="rename the folders, or crawl them into databases of their own",
            )


def _of_skipped(crawled: Crawled) -> Iterator[Surprise]:
    kinds = {
        "empty": ("empty", "nothing: a crawler leaves them out"),
        "hidden": (
            "hidden, like _SUCCESS: their name or a folder's begins with _ or .",
            "nothing, if they hold no data; Athena leaves them out too",
        ),
        "gone": ("gone since they were listed", "crawl again when nothing writes there"),
    }
    for reason, (what, remedy) in kinds.items():
        uris = [uri.rpartition("/")[2] or uri for uri, why in crawled.skipped if why == reason]
        if uris:
            noun = "file is" if len(uris) == 1 else "files are"
            yield Surprise(
                about="skipped", what=f"{len(uris)} {noun} {what}: {listed(uris, 3)}", remedy=remedy
            )
    unread = sum(file.finding is None for file in crawled.files)
    if unread:
        yield Surprise(
            about="sample",
            what=f"{unread} files were counted and not read, as folders have more than are sampled",
            remedy="nothing, if the files of a folder are alike",
        )
