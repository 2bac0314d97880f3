"""Glue's crawlers, real: they read S3 and write tables and partitions into the catalog that moto keeps.

Real: S3 targets with exclusions and SampleSize, custom CSV and JSON classifiers, schema-change and
recrawl policies, table prefixes, Configuration (grouping, table level, InheritFromTable,
MergeNewColumns), schedules while the plane runs, logs in CloudWatch Logs, history and metrics.
Refused: targets other than S3, event mode, Grok and XML classifiers, partition indexes. The rules of
tables are those of ``penstock.local.crawler``. A crawler starts at once, in a thread of its own; a
database that is not there is made, as AWS makes it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from penstock.local.classifiers import Classifiers
from penstock.local.crawlerrecord import Crawler, described, measured, passes, told_crawl
from penstock.local.crawlerspec import Spec
from penstock.local.crawlrun import LOG_GROUP, Run, Work, execute
from penstock.local.paging import page
from penstock.local.schedules import Cron, Scheduler
from penstock.local.site import Handler, Site
from penstock.local.wire import AwsError, Call

__all__ = ["Glue", "service"]

KEPT_RUNS = 1000
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


class Glue:
    """Crawlers and classifiers.

    Attributes:
        name: ``glue``.
        schedules: What fires them.
    """

    name = "glue"

    def __init__(self, site: Site) -> None:
        """Make the service of a plane."""
        self.site = site
        self.classifiers = Classifiers()
        self.schedules = Scheduler(site, "glue-crawler-schedules")
        self._lock = threading.RLock()
        self._writing = threading.Lock()
        self._crawlers: dict[tuple[str, str], Crawler] = {}

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
        work = Work(
            site=self.site,
            spec=spec,
            run=run,
            classifiers=lambda: self.classifiers.named(spec.classifiers, region),
            region=region,
            writing=self._writing,
        )
        self.site.spawn(f"crawl-{name}", partial(execute, work))
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

    def _found(self, name: str, region: str) -> Crawler:
        if (region, name) not in self._crawlers:
            found = self.site.moto.ask("glue", "GetCrawler", region=region, Name=name)
            self._adopt(found["Crawler"], region)
        return self._crawlers[region, name]

    def _adopt(self, told: Mapping[str, Any], region: str) -> None:
        """Take in a crawler that only moto knows: one of an earlier life of the plane."""
        definition = {key: told[key] for key in DEFINITION if told.get(key)}
        spec, now = Spec.read(definition), time.time()
        crawler = Crawler(
            definition=definition,
            spec=spec,
            created=float(told.get("CreationTime", now)),
            updated=float(told.get("LastUpdated", now)),
            scheduled=spec.schedule is not None,
        )
        self._crawlers[region, spec.name] = crawler
        self._schedule(crawler, region)

    def _idle(self, name: str, region: str) -> Crawler:
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
            crawler = Crawler(definition=definition, spec=spec, created=now, updated=now)
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
        self, crawler: Crawler, definition: dict[str, Any], spec: Spec, region: str
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
            self.schedules.drop((call.region, name))
        return answer

    def _start(self, call: Call) -> Mapping[str, Any]:
        self.start_crawler(call.body["Name"], call.region)
        return {}

    def _stop(self, call: Call) -> Mapping[str, Any]:
        self.stop_crawler(call.body["Name"], call.region)
        return {}

    def _get(self, call: Call) -> Mapping[str, Any]:
        with self._lock:
            return {"Crawler": described(self._found(call.body["Name"], call.region))}

    def _in(self, region: str) -> list[Crawler]:
        told = self.site.moto.ask("glue", "GetCrawlers", region=region)["Crawlers"]
        for each in told:
            if (region, each["Name"]) not in self._crawlers:
                self._adopt(each, region)
        return [self._crawlers[region, each["Name"]] for each in told]

    def _list(self, call: Call) -> Mapping[str, Any]:
        with self._lock:
            found = [described(crawler) for crawler in self._in(call.region)]
        return page("Crawlers", found, call)

    def _batch(self, call: Call) -> Mapping[str, Any]:
        names: Sequence[str] = call.body["CrawlerNames"]
        with self._lock:
            known = {crawler.spec.name: crawler for crawler in self._in(call.region)}
            found = [described(known[name]) for name in names if name in known]
        return {
            "Crawlers": found,
            "CrawlersNotFound": [name for name in names if name not in known],
        }

    def _crawls(self, call: Call) -> Mapping[str, Any]:
        with self._lock:
            crawler = self._found(call.body["CrawlerName"], call.region)
            runs = [told_crawl(run, crawler.spec.name) for run in reversed(crawler.runs)]
        for each in call.body.get("Filters") or ():
            runs = [run for run in runs if passes(run, each)]
        return page("Crawls", runs, call, most=20)

    def _metrics(self, call: Call) -> Mapping[str, Any]:
        names = call.body.get("CrawlerNameList")
        with self._lock:
            wanted = self._in(call.region)
            told = [measured(each) for each in wanted if not names or each.spec.name in names]
        return page("CrawlerMetricsList", told, call)

    def _schedule(self, crawler: Crawler, region: str) -> None:
        """Make the scheduler agree with the crawler."""
        name, cron = crawler.spec.name, crawler.spec.schedule
        if cron is None or not crawler.scheduled:
            self.schedules.drop((region, name))
            return

        def fire() -> None:
            try:
                self.start_crawler(name, region)
            except AwsError as error:  # it still runs from last time; AWS skips this one too
                line = f"WARN : The schedule did not start the crawler: {error.message}"
                self.site.log(LOG_GROUP, name, [line], region=region)

        self.schedules.put((region, name), cron, fire)

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


def service(site: Site) -> Glue:
    """Return the service of a plane."""
    return Glue(site)
