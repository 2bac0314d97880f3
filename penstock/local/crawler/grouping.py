"""Which files are one table, and which folders its partitions.

From the leaves up, level by level. The files of a folder without folders are one unit when they share
format, compression and schema, and a table each when they do not. The units of a folder's folders become
the partitions of one table when most of them are similar, in at most five kinds of schema; those of
another format, compression or depth stay tables of their own. With no such majority each unit is a table.
A file beside folders is a table of its own. So a folder that is alone at its level is a partition too.

Schemas are similar when more than 70% of their columns agree, see ``hive.similarity``. Combined schemas
(``CombineCompatibleSchemas``) are taken for similar whatever their columns. A table level fixes the depth
at which tables stand, counted from the include path: all that lies below and agrees in format,
compression and depth is one table.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import TypeVar

from penstock.local.crawler.found import Finding, Kind
from penstock.local.crawler.hive import Column, merged_columns, similarity

__all__ = ["File", "Group", "Part", "Rules", "files_apart", "group"]

SIMILAR_ABOVE = 0.7
MAX_SCHEMAS = 5

Path = tuple[str, ...]
Unit = TypeVar("Unit", "Group", "Part")


@dataclass(frozen=True, kw_only=True, slots=True)
class File:
    """A file that was listed.

    Attributes:
        path: Names of its folders below the include path, and its own.
        uri: Of it.
        size_bytes: Its length.
        finding: What a classifier says of it; None: it was not read, and is like the others of its folder.
    """

    path: Path
    uri: str
    size_bytes: int
    finding: Finding | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """The files of one folder that become a partition, or the whole of a table without partitions.

    Attributes:
        names: Of the folders between table and files; none: the table's own folder.
        files: In it.
        kind: Their format.
        columns: Their merged schema.
    """

    names: Path
    files: tuple[File, ...]
    kind: Kind
    columns: tuple[Column, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """A table to be.

    Attributes:
        path: Of its folder, or its only file, below the include path.
        parts: At least one; all at the same depth.
        alone: Whether ``path`` names a file.
    """

    path: Path
    parts: tuple[Part, ...]
    alone: bool = False

    @property
    def levels(self) -> int:
        """Number of partition keys."""
        return len(self.parts[0].names)

    @property
    def kind(self) -> Kind:
        """Format of the table: that of its first part."""
        return self.parts[0].kind

    @property
    def columns(self) -> tuple[Column, ...]:
        """Merged schema of all parts."""
        return merged_columns(part.columns for part in self.parts)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """How to group.

    Attributes:
        combine: Take schemas of one format for similar.
        level: Depth of tables below the include path, 0 the path itself; None: found out.
    """

    combine: bool = False
    level: int | None = None


@dataclass(kw_only=True, slots=True)
class _Folder:
    path: Path
    files: list[File] = field(default_factory=list)
    folders: dict[str, _Folder] = field(default_factory=dict)


def group(files: Iterable[File], rules: Rules) -> tuple[Group, ...]:
    """Return the tables that a crawler makes of the files, by path.

    Every file with a finding is in exactly one of them. Those without go with the others of their
    folder; in a folder of mixed files, where each is a table, they are left out.
    """
    top = _Folder(path=())
    for each in sorted(files, key=attrgetter("path")):
        folder = top
        for depth, name in enumerate(each.path[:-1], 1):
            folder = folder.folders.setdefault(name, _Folder(path=each.path[:depth]))
        folder.files.append(each)
    apart: list[Group] = []
    whole = _resolved(top, rules, apart)
    made = [*apart, *([whole] if whole else [])]
    return tuple(sorted(made, key=lambda each: (each.path, each.kind.classification)))


def files_apart(files: Iterable[File]) -> tuple[Group, ...]:
    """Return a table for each file that was read."""
    return tuple(_single(each) for each in files if each.finding)


def _resolved(folder: _Folder, rules: Rules, apart: list[Group]) -> Group | None:
    """Return the folder as one unit, if it is one; what cannot be part of a unit goes to ``apart``."""
    if rules.level is not None and len(folder.path) == rules.level:
        apart += _forced(folder)
        return None
    if not folder.folders:
        return _leaf(folder, rules, apart)
    units, others = [], 0
    for name in sorted(folder.folders):
        unit = _resolved(folder.folders[name], rules, apart)
        units += [unit] if unit else []
        others += unit is None
    single = files_apart(folder.files)
    if rules.level is None:
        kept = _majority(units, others, single, rules)
        chosen = {id(unit) for unit in kept}
        apart += [*(unit for unit in units if id(unit) not in chosen), *single]
        return _lifted(folder, kept) if kept else None
    apart += [*units, *single]
    return None


def _leaf(folder: _Folder, rules: Rules, apart: list[Group]) -> Group | None:
    read = [each for each in folder.files if each.finding]
    if not read:
        return None
    parts = [_part((), [each]) for each in read]
    if len(_clusters(parts, rules)) > 1:
        apart += files_apart(read)
        return None
    return Group(path=folder.path, parts=(_part((), folder.files),))


def _majority(
    units: Sequence[Group], others: int, single: Sequence[Group], rules: Rules
) -> list[Group]:
    """Return the units that become partitions of one table; none when too few are similar."""
    clusters = _clusters(units, rules)
    if not clusters:
        return []
    most = max(clusters, key=len)
    kinds = len(clusters) + len(_clusters(single, rules)) + others
    if len(most) * 2 <= len(units) + others + len(single) or kinds > MAX_SCHEMAS:
        return []
    first = most[0]
    return [unit for unit in units if _alike(unit, first) and unit.levels == first.levels]


def _lifted(folder: _Folder, units: Iterable[Group]) -> Group:
    """Return the folder as a table, whose parts are those of its folders' units."""
    depth = len(folder.path)
    parts = [
        Part(
            names=(*unit.path[depth:], *part.names),
            files=part.files,
            kind=part.kind,
            columns=part.columns,
        )
        for unit in units
        for part in unit.parts
    ]
    return Group(path=folder.path, parts=tuple(parts))


def _forced(folder: _Folder) -> list[Group]:
    """Return the tables of a folder at the table level: one, unless format or depth differ."""
    tables: dict[tuple[str, str, int], list[Part]] = {}
    for each in _all_folders(folder):
        kinds: dict[tuple[str, str], list[File]] = {}
        unread = [file for file in each.files if not file.finding]
        for file in each.files:
            if file.finding:
                kind = file.finding.kind
                kinds.setdefault((kind.classification, kind.compression), []).append(file)
        for place, (key, files) in enumerate(kinds.items()):
            names = each.path[len(folder.path) :]
            members = [*files, *(unread if place == 0 else [])]
            tables.setdefault((*key, len(names)), []).append(_part(names, members))
    return [Group(path=folder.path, parts=tuple(parts)) for parts in tables.values()]


def _all_folders(folder: _Folder) -> Iterable[_Folder]:
    yield folder
    for name in sorted(folder.folders):
        yield from _all_folders(folder.folders[name])


def _part(names: Path, files: Sequence[File]) -> Part:
    findings = [each.finding for each in files if each.finding]
    return Part(
        names=names,
        files=tuple(files),
        kind=findings[0].kind,
        columns=merged_columns(each.columns for each in findings),
    )


def _single(file: File) -> Group:
    return Group(path=file.path, parts=(_part((), [file]),), alone=True)


def _clusters(items: Sequence[Unit], rules: Rules) -> list[list[Unit]]:
    """Return the items in clusters of similar ones: each joins the first whose first it is like."""
    clusters: list[list[Unit]] = []
    for item in items:
        for cluster in clusters:
            if _similar(item, cluster[0], rules):
                cluster.append(item)
                break
        else:
            clusters.append([item])
    return clusters


def _similar(a: Group | Part, b: Group | Part, rules: Rules) -> bool:
    if isinstance(a, Group) and isinstance(b, Group) and a.levels != b.levels:
        return False
    if not _alike(a, b) or (
        a.kind.classification == "csv" and a.kind.parameters != b.kind.parameters
    ):
        return False
    return rules.combine or similarity(a.columns, b.columns) > SIMILAR_ABOVE


def _alike(a: Group | Part, b: Group | Part) -> bool:
    """Return whether both have the same format and compression."""
    return (a.kind.classification, a.kind.compression) == (
        b.kind.classification,
        b.kind.compression,
    )
