"""Glue's crawlers, real: they read S3 and write tables and partitions into the catalog that moto keeps.

Real: S3 targets with exclusions and SampleSize, custom CSV and JSON classifiers, schema-change and
recrawl policies, table prefixes, Configuration (grouping, table level, InheritFromTable,
MergeNewColumns), schedules while the plane runs, logs in CloudWatch Logs, history and metrics.
Refused: targets other than S3, event mode, Grok and XML classifiers, partition indexes. The rules of
tables are those of ``penstock.local.crawler``. A crawler starts at once, in a thread of its own; a
database that is not there is made, as AWS makes it.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from penstock.local.classifiers import Classifiers
from penstock.local.crawlerspec import Spec
from penstock.local.crawlrun import LOG_GROUP, Run, execute
from penstock.local.paging import page
from penstock.local.schedules import Cron, Scheduler
from penstock.local.site import Handler, Site
from penstock.local.wire import AwsError, Call

__all__ = ["Glue", "service"]

KEPT_RUNS = 1000
# How a crawl's own state reads in a crawler's LastCrawl.
LAST = {"COMPLETED": "SUCCEEDED", "FAILED": "FAILED", "STOPPED": "CANCELLED"}
# What CreateCrawler takes; GetCrawler gives it back.
DEFINITION = (
    "Name",
    "Role",
    "DatabaseName",
    "Description",
    "Targets",
    "Schedule",
    "Classifiers",
    "TablePrefix",
    "SchemaChangePolicy",
    "RecrawlPolicy",
    "LineageConfiguration",
    "LakeFormationConfiguration",
    "Configuration",
    "CrawlerSecurityConfiguration",
    "CatalogId",
)


@dataclass(kw_only=True, slots=True)
class _Crawler:
    """What this module knows of a crawler, besides moto's record of its name and tags."""

    definition: dict[str, Any]
    spec: Spec
    created: float
    updated: float
    version: int = 1
    scheduled: bool = False
    runs: list[Run] = field(default_factory=list)

    @property
    def current(self) -> Run | None:
        return self.runs[-1] if self.runs and self.runs[-1].ended is None else None

    @property
    def state(self) -> str:
        run = self.current
        return "READY" if run is None else "STOPPING" if run.stopping.is_set() else "RUNNING"


class Glue:
    """Crawlers and classifiers.

    Attributes:
        name: ``glue``.
    """

    name = "glue"

    def __init__(self, site: Site) -> None:
        """Make the service of a plane."""
        self.site = site
        self.classifiers = Classifiers()
        self._schedules = Scheduler(site, "glue-crawler-schedules")
        self._lock = threading.RLock()
        self._writing = threading.Lock()
        self._crawlers: dict[tuple[str, str], _Crawler] = {}

    def operations(self) -> Mapping[str, Handler]:
        """Return the operations that this one answers; all others go to moto."""
        return {
            "CreateCrawler": self._create,
            "UpdateCrawler": self._update,
            "DeleteCrawler": self._delete,
            "GetCrawler": self._get,
            "GetCrawlers": self._list,
            "BatchGetCrawlers": self._batch,
            "StartCrawler": self._start,
            "StopCrawler": self._stop,
            "ListCrawls": self._crawls,
            "GetCrawlerMetrics": self._metrics,
            "StartCrawlerSchedule": self._start_schedule,
            "StopCrawlerSchedule": self._stop_schedule,
            "UpdateCrawlerSchedule": self._update_schedule,
            **self.classifiers.operations(),
        }

    def stop(self) -> None:
        """End all crawls; the plane waits for their threads."""
        with self._lock:
            for crawler in self._crawlers.values():
                if crawler.current:
                    crawler.current.stopping.set()

    def start_crawler(self, name: str, region: str) -> Run:
        """Start a crawler, as StartCrawler does, and return its crawl.

        Raises:
            AwsError: There is none of that name, or it runs.
        """
        with self._lock:
            crawler = self._found(name, region)
            if crawler.current:
                raise AwsError(
                    "CrawlerRunningException", f"Crawler with name {name} has already started"
                )
            run = Run()
            crawler.runs = [*crawler.runs[-KEPT_RUNS + 1 :], run]
            spec = crawler.spec
        self.site.spawn(
            f"crawl-{name}",
            lambda: execute(
                self.site,
                spec,
                run,
                lambda: self.classifiers.named(spec.classifiers, region),
                region=region,
                writing=self._writing,
            ),
        )
        return run

    def stop_crawler(self, name: str, region: str) -> None:
        """Stop a crawler, as StopCrawler does.

        Raises:
            AwsError: There is none of that name, or it does not run, or it is being stopped.
        """
        with self._lock:
            run = self._found(name, region).current
            if run is None:
                raise AwsError(
                    "CrawlerNotRunningException", f"Crawler with name {name} isn't running"
                )
            if run.stopping.is_set():
                raise AwsError(
                    "CrawlerStoppingException", f"Crawler with name {name} is already stopping"
                )
            run.stopping.set()

    def _found(self, name: str, region: str) -> _Crawler:
        if (region, name) not in self._crawlers:
            found = self.site.moto.ask("glue", "GetCrawler", region=region, Name=name)
            self._adopt(found["Crawler"], region)
        return self._crawlers[region, name]

    def _adopt(self, told: Mapping[str, Any], region: str) -> None:
        """Take in a crawler that only moto knows: one of an earlier life of the plane."""
        definition = {key: told[key] for key in DEFINITION if told.get(key)}
        spec, now = Spec.read(definition), time.time()
        crawler = _Crawler(
            definition=definition,
            spec=spec,
            created=float(told.get("CreationTime", now)),
            updated=float(told.get("LastUpdated", now)),
            scheduled=spec.schedule is not None,
        )
        self._crawlers[region, spec.name] = crawler
        self._schedule(crawler, region)

    def _idle(self, name: str, region: str) -> _Crawler:
        crawler = self._found(name, region)
        if crawler.current:
            raise AwsError("CrawlerRunningException", f"Crawler with name {name} is running")
        return crawler

    def _create(self, call: Call) -> Mapping[str, Any]:
        spec = Spec.read(call.body)
        now = time.time()
        with self._lock:
            self.site.moto.forward(call)
            definition = {key: call.body[key] for key in DEFINITION if key in call.body}
            crawler = _Crawler(definition=definition, spec=spec, created=now, updated=now)
            crawler.scheduled = spec.schedule is not None
            self._crawlers[call.region, spec.name] = crawler
            self._schedule(crawler, call.region)
        return {}

    def _update(self, call: Call) -> Mapping[str, Any]:
        with self._lock:
            crawler = self._idle(call.body["Name"], call.region)
            given = {key: call.body[key] for key in DEFINITION if key in call.body}
            definition = {**crawler.definition, **given}
            spec = Spec.read(definition, "UpdateCrawler")
            if "Schedule" in given:
                crawler.scheduled = spec.schedule is not None
            self._changed(crawler, definition, spec, call.region)
        return {}

    def _changed(
        self, crawler: _Crawler, definition: dict[str, Any], spec: Spec, region: str
    ) -> None:
        # moto has no UpdateCrawler; tags stay, they are kept by ARN.
        ask, flat = self.site.moto.ask, dict(definition)
        if spec.schedule is not None:
            flat["Schedule"] = spec.schedule.expression
        ask("glue", "DeleteCrawler", region=region, Name=spec.name)
        ask("glue", "CreateCrawler", region=region, **flat)
        crawler.definition, crawler.spec = definition, spec
        crawler.updated, crawler.version = time.time(), crawler.version + 1
        self._schedule(crawler, region)

    def _delete(self, call: Call) -> Mapping[str, Any]:
        with self._lock:
            name = call.body["Name"]
            self._idle(name, call.region)
            answer = self.site.moto.forward(call)
            del self._crawlers[call.region, name]
            self._schedules.drop((call.region, name))
        return answer

    def _start(self, call: Call) -> Mapping[str, Any]:
        self.start_crawler(call.body["Name"], call.region)
        return {}

    def _stop(self, call: Call) -> Mapping[str, Any]:
        self.stop_crawler(call.body["Name"], call.region)
        return {}

    def _get(self, call: Call) -> Mapping[str, Any]:
        with self._lock:
            return {"Crawler": _described(self._found(call.body["Name"], call.region))}

    def _in(self, region: str) -> list[_Crawler]:
        told = self.site.moto.ask("glue", "GetCrawlers", region=region)["Crawlers"]
        for each in told:
            if (region, each["Name"]) not in self._crawlers:
                self._adopt(each, region)
        return [self._crawlers[region, each["Name"]] for each in told]

    def _list(self, call: Call) -> Mapping[str, Any]:
        with self._lock:
            found = [_described(crawler) for crawler in self._in(call.region)]
        return page("Crawlers", found, call)

    def _batch(self, call: Call) -> Mapping[str, Any]:
        names: Sequence[str] = call.body["CrawlerNames"]
        with self._lock:
            known = {crawler.spec.name: crawler for crawler in self._in(call.region)}
            found = [_described(known[name]) for name in names if name in known]
        return {
            "Crawlers": found,
            "CrawlersNotFound": [name for name in names if name not in known],
        }

    def _crawls(self, call: Call) -> Mapping[str, Any]:
        with self._lock:
            crawler = self._found(call.body["CrawlerName"], call.region)
            runs = [_crawl(run, crawler.spec.name) for run in reversed(crawler.runs)]
        for each in call.body.get("Filters") or ():
            runs = [run for run in runs if _passes(run, each)]
        return page("Crawls", runs, call, most=20)

    def _metrics(self, call: Call) -> Mapping[str, Any]:
        names = call.body.get("CrawlerNameList")
        with self._lock:
            wanted = self._in(call.region)
            told = [_measured(each) for each in wanted if not names or each.spec.name in names]
        return page("CrawlerMetricsList", told, call)

    def _schedule(self, crawler: _Crawler, region: str) -> None:
        """Make the scheduler agree with the crawler."""
        name, cron = crawler.spec.name, crawler.spec.schedule
        if cron is None or not crawler.scheduled:
            self._schedules.drop((region, name))
            return

        def fire() -> None:
            try:
                self.start_crawler(name, region)
            except AwsError as error:  # it still runs from last time; AWS skips this one too
                line = f"WARN : The schedule did not start the crawler: {error.message}"
                self.site.log(LOG_GROUP, name, [line], region=region)

        self._schedules.put((region, name), cron, fire)

    def _start_schedule(self, call: Call) -> Mapping[str, Any]:
        name = call.body["CrawlerName"]
        with self._lock:
            crawler = self._found(name, call.region)
            if crawler.spec.schedule is None:
                raise AwsError("NoScheduleException", f"Crawler {name} has no schedule")
            if crawler.scheduled:
                message = f"The schedule of crawler {name} is already running"
                raise AwsError("SchedulerRunningException", message)
            crawler.scheduled = True
            self._schedule(crawler, call.region)
        return {}

    def _stop_schedule(self, call: Call) -> Mapping[str, Any]:
        name = call.body["CrawlerName"]
        with self._lock:
            crawler = self._found(name, call.region)
            if not crawler.scheduled:
                message = f"The schedule of crawler {name} is not running"
                raise AwsError("SchedulerNotRunningException", message)
            crawler.scheduled = False
            self._schedule(crawler, call.region)
        return {}

    def _update_schedule(self, call: Call) -> Mapping[str, Any]:
        given = call.body.get("Schedule") or ""
        with self._lock:
            crawler = self._found(call.body["CrawlerName"], call.region)
            if given:
                Cron.parse(given)
            definition = {**crawler.definition, "Schedule": given}
            spec = Spec.read(definition, "UpdateCrawlerSchedule")
            crawler.scheduled = spec.schedule is not None
            self._changed(crawler, definition, spec, call.region)
        return {}


def _described(crawler: _Crawler) -> dict[str, Any]:
    """Return a crawler as GetCrawler has it."""
    spec, run = crawler.spec, crawler.current
    told = {
        "Classifiers": [],
        "RecrawlPolicy": {"RecrawlBehavior": "CRAWL_EVERYTHING"},
        "LineageConfiguration": {"CrawlerLineageSettings": "DISABLE"},
        **crawler.definition,
        "SchemaChangePolicy": {"UpdateBehavior": spec.update, "DeleteBehavior": spec.delete},
        "State": crawler.state,
        "CrawlElapsedTime": int((time.time() - run.started) * 1000) if run else 0,
        "CreationTime": crawler.created,
        "LastUpdated": crawler.updated,
        "Version": crawler.version,
    }
    told.pop("Schedule", None)
    if spec.schedule is not None:
        told["Schedule"] = {
            "ScheduleExpression": spec.schedule.expression,
            "State": "SCHEDULED" if crawler.scheduled else "NOT_SCHEDULED",
        }
    ended = [each for each in crawler.runs if each.ended is not None]
    if ended:
        last = ended[-1]
        told["LastCrawl"] = {
            "Status": LAST[last.state],
            "LogGroup": LOG_GROUP,
            "LogStream": spec.name,
            "MessagePrefix": last.id,
            "StartTime": last.started,
            **({"ErrorMessage": last.error} if last.error else {}),
        }
    return told


def _crawl(run: Run, name: str) -> dict[str, Any]:
    """Return a crawl as ListCrawls has it."""
    ended = {} if run.ended is None else {"EndTime": run.ended, "Summary": run.summary()}
    return {
        "CrawlId": run.id,
        "State": run.state if run.ended is not None else "RUNNING",
        "StartTime": run.started,
        "LogGroup": LOG_GROUP,
        "LogStream": name,
        "MessagePrefix": run.id,
        "DPUHour": 0.0,  # nobody pays for it
        **({"ErrorMessage": run.error} if run.error else {}),
        **ended,
    }


def _passes(crawl: Mapping[str, Any], wanted: Mapping[str, str]) -> bool:
    """Return whether a crawl passes a filter of ListCrawls; times are milliseconds since 1970."""
    fields = {"CRAWL_ID": "CrawlId", "STATE": "State", "DPU_HOUR": "DPUHour"}
    fields |= {"START_TIME": "StartTime", "END_TIME": "EndTime"}
    found, given = crawl.get(fields[wanted["FieldName"]]), wanted["FieldValue"]
    if found is None:
        return False
    left: Any = found
    right: Any = given
    if not isinstance(found, str):
        try:
            right = float(given) / (1000 if wanted["FieldName"].endswith("_TIME") else 1)
        except ValueError:
            message = f"Filter {wanted['FieldName']} has the value {given!r}, expected a number"
            raise AwsError("InvalidInputException", message) from None
    passes: Mapping[str, bool] = {
        "GT": left > right,
        "GE": left >= right,
        "LT": left < right,
        "LE": left <= right,
        "EQ": left == right,
        "NE": left != right,
    }
    return passes[wanted["FilterOperator"]]


def _measured(crawler: _Crawler) -> dict[str, Any]:
    """Return the metrics of a crawler; changes are those of its last crawl."""
    took = [run.ended - run.started for run in crawler.runs if run.ended is not None]
    last = next((run for run in reversed(crawler.runs) if run.ended is not None), Run())
    return {
        "CrawlerName": crawler.spec.name,
        "TimeLeftSeconds": 0.0,
        "StillEstimating": crawler.current is not None,
        "LastRuntimeSeconds": took[-1] if took else 0.0,
        "MedianRuntimeSeconds": statistics.median(took) if took else 0.0,
        "TablesCreated": last.counts["table added"],
        "TablesUpdated": last.counts["table updated"],
        "TablesDeleted": last.counts["table deleted"],
    }


def service(site: Site) -> Glue:
    """Return the service of a plane."""
    return Glue(site)
