"""A crawl without a catalog: an include path in, tables out.

What it costs: one call of the listing per 1,000 files; of each file its footer, or its first MiB (of
JSON up to ten), eight files at a time. Of a folder at most ``Scope.sample`` files are read, 100 unless the
crawler says otherwise; the others are counted, and taken to be like them. So the cost grows with the
number of folders, and with files only up to that many in each, never with their size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from penstock.errors import InputError
from penstock.local.crawler.classify import CustomClassifier, classify
from penstock.local.crawler.globs import excluder
from penstock.local.crawler.grouping import File, Rules, files_apart, group
from penstock.local.crawler.samples import Opener
from penstock.local.crawler.tables import Found, describe

__all__ = ["Crawled", "Listed", "Scope", "Stopped", "crawl"]

SAMPLED_FILES = 100
READERS = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Listed:
    """A file of a listing.

    Attributes:
        uri: Of it.
        size_bytes: Its length.
    """

    uri: str
    size_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Scope:
    """What of an include path is crawled, and how.

    Attributes:
        root: The include path, a URI.
        exclusions: Patterns of paths below it.
        classifiers: Custom ones.
        sample: Files of one folder that are read at most.
        rules: Of grouping.
        prefix: Of table names.
        table_level: Depth of tables, 1 the bucket; None: found out.
    """

    root: str
    exclusions: tuple[str, ...] = ()
    classifiers: tuple[CustomClassifier, ...] = ()
    sample: int = SAMPLED_FILES
    combine: bool = False
    prefix: str = ""
    table_level: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Crawled:
    """What was found.

    Attributes:
        tables: By name; two may have the same, see ``tables.distinct_name``.
        files: All that were listed, but for the skipped ones.
        skipped: URIs with the reason: excluded, empty, hidden, gone.
    """

    tables: tuple[Found, ...]
    files: tuple[File, ...]
    skipped: tuple[tuple[str, str], ...]


class Stopped(Exception):
    """The crawl was told to stop."""


def crawl(
    listing: Sequence[Listed],
    opener: Opener,
    scope: Scope,
    *,
    stopping: Callable[[], bool] = lambda: False,
    known: Sequence[File] = (),
) -> Crawled:
    """Return the tables that a crawler makes of an include path.

    Args:
        listing: Its files, or itself when it is one.
        opener: Opens one.
        scope: What is crawled, and how.
        stopping: Asked between files whether to stop.
        known: Stand for folders that are not to be read again, see ``known.known_files``. Their
            partitions and tables are in the result as well.

    Raises:
        InputError: An exclusion is no pattern.
        NotEmulatedError: There is a file that Glue would know and the local plane does not.
        Stopped: ``stopping`` said so.
    """
    kept, skipped = _kept(listing, scope)
    passed = {file.path if file.path[-1] else file.path[:-1] for file in known}
    kept = [file for file in kept if passed.isdisjoint((file.path, file.path[:-1]))]
    read = _read(kept, opener, scope, stopping)
    gone = [(file.uri, "gone") for file in kept if file.uri not in read]
    files = tuple(read[file.uri] for file in kept if file.uri in read)
    tables = _tables((*files, *known), scope)
    return Crawled(tables=tables, files=files, skipped=(*skipped, *gone))


def _read(
    files: Sequence[File], opener: Opener, scope: Scope, stopping: Callable[[], bool]
) -> dict[str, File]:
    """Return the files by URI, the sampled ones with what classifiers say of them, without gone ones."""
    chosen = set(_sampled(files, scope.sample))

    def read(file: File) -> File | None:
        if file.uri not in chosen:
            return file
        if stopping():
            raise Stopped
        try:
            finding = classify(file.uri, file.size_bytes, opener, scope.classifiers)
        except FileNotFoundError:
            return None
        return replace(file, finding=finding)

    with ThreadPoolExecutor(READERS, thread_name_prefix="crawl") as pool:
        return {file.uri: file for file in pool.map(read, files) if file is not None}


def _tables(files: Sequence[File], scope: Scope) -> tuple[Found, ...]:
    root = scope.root.rstrip("/")
    if [file.uri for file in files] == [root]:  # the include path is a file, and so is its table
        groups, root = files_apart(files), root.rpartition("/")[0]
    else:
        groups = group(files, Rules(combine=scope.combine, level=_level(scope)))
    tables = [describe(each, root, prefix=scope.prefix) for each in groups]
    return tuple(sorted(tables, key=lambda found: (found.name, found.location)))


def _kept(listing: Sequence[Listed], scope: Scope) -> tuple[list[File], list[tuple[str, str]]]:
    """Return the files to crawl, and the others with their reasons."""
    excluded = excluder(scope.exclusions)
    root = scope.root.rstrip("/")
    kept, skipped = [], []
    for each in listing:
        below = each.uri.removeprefix(root).lstrip("/") or each.uri.rpartition("/")[2]
        path = tuple(part for part in below.split("/") if part)
        if excluded(below):
            skipped.append((each.uri, "excluded"))
        elif each.size_bytes == 0 or each.uri.endswith("/"):
            skipped.append((each.uri, "empty"))
        elif any(part[0] in "_." for part in path):
            skipped.append((each.uri, "hidden"))
        else:
            kept.append(File(path=path, uri=each.uri, size_bytes=each.size_bytes))
    return kept, skipped


def _sampled(files: Sequence[File], most: int) -> Iterator[str]:
    """Yield the URIs of the files to read: of each folder at most so many, spread over its names."""
    folders: dict[tuple[str, ...], list[File]] = {}
    for file in files:
        folders.setdefault(file.path[:-1], []).append(file)
    for members in folders.values():
        step = max(1.0, len(members) / most)
        yield from (members[int(place * step)].uri for place in range(min(most, len(members))))


def _level(scope: Scope) -> int | None:
    """Return the depth of tables below the include path.

    Raises:
        InputError: Tables would stand above the include path.
    """
    if scope.table_level is None:
        return None
    own = len([part for part in scope.root.partition("://")[2].split("/") if part])
    if scope.table_level < own:
        raise InputError(
            f"TableLevelConfiguration {scope.table_level}: the include path {scope.root!r} is at level "
            f"{own}, expected {own} or more\n  a bucket is at level 1"
        )
    return scope.table_level - own
