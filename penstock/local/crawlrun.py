"""One crawl on the plane: S3 is read, the catalog written, the log kept."""

from __future__ import annotations

import json
import threading
import time
import traceback
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

from penstock.errors import PenstockError
from penstock.local.crawler.changes import Change, plan_changes
from penstock.local.crawler.classify import CustomClassifier
from penstock.local.crawler.crawl import Crawled, Stopped, crawl
from penstock.local.crawler.known import known_files
from penstock.local.crawler.sources import listing, opened
from penstock.local.crawler.tables import Found
from penstock.local.crawlerspec import Spec
from penstock.local.site import Site
from penstock.local.wire import AwsError

__all__ = ["LOG_GROUP", "Run", "Work", "execute"]

LOG_GROUP = "/aws-glue/crawlers"
MAX_ERROR_CHARS = 2048

State = Literal["RUNNING", "COMPLETED", "FAILED", "STOPPED"]


@dataclass(kw_only=True, slots=True)
class Run:
    """One crawl, as ListCrawls tells of it. Written by the thread that crawls, read by all.

    Attributes:
        id: Of it.
        started: Seconds since 1970.
        stopping: Set when it is to end.
        ended: Seconds since 1970; None while it runs.
        state: Of it.
        error: Why it failed.
        counts: How many of each kind of change.
        tables: Names of the tables, by kind of change.
    """

    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    started: float = field(default_factory=time.time)
    stopping: threading.Event = field(default_factory=threading.Event)
    ended: float | None = None
    state: State = "RUNNING"
    error: str = ""
    counts: Counter[str] = field(default_factory=Counter)
    tables: dict[str, set[str]] = field(default_factory=dict)

    def summary(self) -> str:
        """Return the changes as ListCrawls has them: JSON in text."""
        told: dict[str, Any] = {}
        for thing in ("table", "partitions"):
            for done, name in (("added", "ADD"), ("updated", "UPDATE"), ("deleted", "DELETE")):
                count = self.counts[f"{thing} {done}"]
                if count:
                    told.setdefault({"table": "TABLE", "partitions": "PARTITION"}[thing], {})[
                        name
                    ] = {"Count": count}
        return json.dumps(told, separators=(",", ":"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """A crawl to be done.

    Attributes:
        site: The plane.
        spec: Of the crawler.
        run: To be filled.
        classifiers: Returns the crawler's custom ones.
        region: Of the crawler.
        writing: Held while the catalog is written, so that of two crawlers one sees what the other did.
    """

    site: Site
    spec: Spec
    run: Run
    classifiers: Callable[[], Sequence[CustomClassifier]]
    region: str
    writing: threading.Lock

    def log(self, *lines: str) -> None:
        """Add lines to the crawler's log stream."""
        told = [f"[{self.run.id}] {line}" for text in lines for line in text.splitlines()]
        self.site.log(LOG_GROUP, self.spec.name, told, region=self.region)

    def ask(self, operation: str, **body: Any) -> dict[str, Any]:
        """Ask the catalog, which moto keeps."""
        return self.site.moto.ask("glue", operation, region=self.region, **body)

    def stopping(self) -> bool:
        """Return whether the crawl is to end."""
        return self.run.stopping.is_set() or self.site.stopping.is_set()

    def tables(self) -> list[Mapping[str, Any]]:
        """Return the tables of the database."""
        return list(self.ask("GetTables", DatabaseName=self.spec.database)["TableList"])

    def partitions(self, table: str) -> Sequence[Mapping[str, Any]]:
        """Return the partitions of a table."""
        found = self.ask("GetPartitions", DatabaseName=self.spec.database, TableName=table)
        return list(found["Partitions"])


def execute(work: Work) -> None:
    """Crawl; how it ended is in the run. Ends soon after the run's ``stopping`` or the plane's."""
    run = work.run
    work.log(f"BENCHMARK : Running Start Crawl for Crawler {work.spec.name}")
    try:
        _write(work, _read(work))
        ended: State = "COMPLETED"
    except Stopped:
        ended = "STOPPED"
    except (PenstockError, AwsError, OSError) as error:
        ended, run.error = "FAILED", str(error)[:MAX_ERROR_CHARS]
    except Exception as error:  # noqa: BLE001  else the crawler would run for ever
        traceback.print_exc()
        ended, run.error = "FAILED", f"Internal Service Exception: {error!r}"[:MAX_ERROR_CHARS]
    with suppress(AwsError):
        if ended == "FAILED":
            work.log(f"ERROR : {run.error}")
        work.log(f"BENCHMARK : Crawler has finished running and is in state {ended}")
    run.state = ended
    run.ended = time.time()  # last: from now on others read the rest


def _read(work: Work) -> list[Found]:
    """Return the tables of all include paths."""
    spec, classifiers, found = work.spec, work.classifiers(), []
    with suppress(AwsError):  # it is there already
        work.ask("CreateDatabase", DatabaseInput={"Name": spec.database})
    own = _own(work.tables(), spec) if spec.only_new else []
    for target in spec.targets:
        root = target["Path"].rstrip("/")
        known = known_files(root, own, work.partitions)
        scope = spec.scope(target, classifiers)
        crawled = crawl(listing(root), opened, scope, stopping=work.stopping, known=known)
        work.log(*_told(crawled, root))
        found += [each for each in crawled.tables if _has_new(each, spec)]
    line = "BENCHMARK : Classification complete, writing results to database"
    work.log(f"{line} {spec.database}")
    return found


def _write(work: Work, found: Sequence[Found]) -> None:
    """Bring the catalog up to what was found."""
    database = work.spec.database
    policy = work.spec.policy(run_id=work.run.id, now_ms=int(time.time() * 1000))
    with work.writing:
        for change in plan_changes(found, work.tables(), work.partitions, policy):
            if work.stopping():
                raise Stopped
            if change.operation:
                work.ask(change.operation, DatabaseName=database, **change.body)
                _count(work.run, change)
            work.log(f"INFO : {change.line} in database {database}")
    work.log("BENCHMARK : Finished writing to Catalog")


def _own(tables: Sequence[Mapping[str, Any]], spec: Spec) -> list[Mapping[str, Any]]:
    mark = "UPDATED_BY_CRAWLER"
    return [table for table in tables if table.get("Parameters", {}).get(mark) == spec.name]


def _has_new(found: Found, spec: Spec) -> bool:
    """Return whether a table holds a file that was really listed, in a crawl of new folders."""
    if not spec.only_new:
        return True
    return any(file.size_bytes for part in found.group.parts for file in part.files)


def _count(run: Run, change: Change) -> None:
    key = next((key for key in ("PartitionInputList", "Entries", "PartitionsToDelete")
                if key in change.body), None)  # fmt: skip
    run.counts[change.kind] += len(change.body[key]) if key else 1
    run.tables.setdefault(change.kind, set()).add(change.table)


def _told(crawled: Crawled, root: str) -> list[str]:
    """Return what the log says of the files of one include path."""
    read = sum(file.finding is not None and file.size_bytes > 0 for file in crawled.files)
    lines = [f"INFO : {root}: {len(crawled.files)} files, {read} of them read"]
    for file in crawled.files:
        notes = file.finding.notes if file.finding else ()
        for note in notes:
            if note.startswith("corrupt: "):
                lines.append(f"WARN : {file.uri}: {note.removeprefix('corrupt: ')}")
            elif note == "unknown":
                lines.append(f"WARN : {file.uri}: no classifier recognises it")
    return lines
