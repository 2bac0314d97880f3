"""What is known of a crawler and its crawls, and how Glue tells of it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from penstock.local.crawlerspec import Spec
from penstock.local.crawlrun import LOG_GROUP, Run
from penstock.local.wire import AwsError

__all__ = ["Crawler", "described", "measured", "passes", "told_crawl"]

# How a crawl's own state reads in a crawler's LastCrawl.
LAST = {"COMPLETED": "SUCCEEDED", "FAILED": "FAILED", "STOPPED": "CANCELLED"}


@dataclass(kw_only=True, slots=True)
class Crawler:
    """A crawler, besides moto's record of its name and tags.

    Attributes:
        definition: What CreateCrawler and UpdateCrawler gave.
        spec: The same, checked.
        created: Seconds since 1970.
        updated: Seconds since 1970.
        version: Counts the changes.
        scheduled: Whether its schedule is on.
        runs: Its crawls, oldest first.
    """

    definition: dict[str, Any]
    spec: Spec
    created: float
    updated: float
    version: int = 1
    scheduled: bool = False
    runs: list[Run] = field(default_factory=list)

    @property
    def current(self) -> Run | None:
        """The crawl that runs."""
        return self.runs[-1] if self.runs and self.runs[-1].ended is None else None

    @property
    def state(self) -> str:
        """As Glue has it."""
        run = self.current
        return "READY" if run is None else "STOPPING" if run.stopping.is_set() else "RUNNING"


def described(crawler: Crawler) -> dict[str, Any]:
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


def told_crawl(run: Run, name: str) -> dict[str, Any]:
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


def passes(crawl: Mapping[str, Any], wanted: Mapping[str, str]) -> bool:
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
    verdicts: Mapping[str, bool] = {
        "GT": left > right,
        "GE": left >= right,
        "LT": left < right,
        "LE": left <= right,
        "EQ": left == right,
        "NE": left != right,
    }
    return verdicts[wanted["FilterOperator"]]


def measured(crawler: Crawler) -> dict[str, Any]:
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
