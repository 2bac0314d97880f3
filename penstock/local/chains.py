"""What triggers start, followed to its end: a chain of job runs and crawls, each of which may fire more.

A conditional trigger sees only what was started in its own chain, as with Glue. Within a chain it fires
once.
"""

from __future__ import annotations

import threading
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from penstock.local.site import Site
from penstock.local.wire import AwsError

__all__ = ["Chain", "Started", "start"]

POLL_S = 0.1
JOB_ENDS = frozenset({"SUCCEEDED", "STOPPED", "FAILED", "TIMEOUT", "ERROR", "EXPIRED"})
CRAWL_ENDS: Mapping[str, str] = {
    "COMPLETED": "SUCCEEDED",
    "FAILED": "FAILED",
    "STOPPED": "CANCELLED",
}

Kind = Literal["job", "crawler"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Started:
    """A job run or crawl that a trigger started.

    Attributes:
        kind: Of it.
        name: Of the job or crawler.
        id: Of the run or crawl.
    """

    kind: Kind
    name: str
    id: str


@dataclass(kw_only=True, slots=True)
class Chain:
    """All that one firing led to.

    Attributes:
        region: Where.
        arguments: That every job run of it gets.
        stopping: Set when it is to end.
        active: What runs.
        outcomes: Last state of each job and crawler that has ended, by kind and name.
        fired: Names of the triggers that have fired.
        counts: Ended ones by state; ``ERRORED``: could not be started.
        errors: Why those could not be started.
        lock: Of all this.
    """

    region: str
    arguments: Mapping[str, str] = field(default_factory=dict)
    stopping: threading.Event = field(default_factory=threading.Event)
    active: list[Started] = field(default_factory=list)
    outcomes: dict[tuple[Kind, str], str] = field(default_factory=dict)
    fired: set[str] = field(default_factory=set)
    counts: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def satisfies(self, predicate: Mapping[str, Any]) -> bool:
        """Return whether the conditions of a trigger hold in this chain."""
        held = [self._holds(each) for each in predicate.get("Conditions", ())]
        return any(held) if predicate.get("Logical") == "ANY" else bool(held) and all(held)

    def _holds(self, condition: Mapping[str, Any]) -> bool:
        if condition.get("JobName"):
            return self.outcomes.get(("job", condition["JobName"])) == condition.get("State")
        found = self.outcomes.get(("crawler", condition.get("CrawlerName", "")))
        return found is not None and found == condition.get("CrawlState")


def start(
    site: Site,
    chain: Chain,
    first: Iterable[Mapping[str, Any]],
    waiting: Callable[[], Iterable[Mapping[str, Any]]],
    ended: Callable[[], None] = lambda: None,
) -> None:
    """Fire triggers, and follow what comes of it in a thread of its own.

    Args:
        site: The plane.
        chain: To be filled.
        first: The triggers.
        waiting: Returns the conditional triggers that may fire, at the time.
        ended: Called when all has ended.
    """
    for trigger in first:
        _fire(site, chain, trigger)

    def follow() -> None:
        try:
            while chain.active and not site.stopping.wait(POLL_S):
                _look(site, chain, waiting)
        except Exception:  # noqa: BLE001  a workflow run must not stay RUNNING for ever
            traceback.print_exc()
            chain.errors.append("the local plane failed; its log has the cause")
        ended()

    site.spawn("glue-chain", follow)


def _look(site: Site, chain: Chain, waiting: Callable[[], Iterable[Mapping[str, Any]]]) -> None:
    """Take in what has ended, and fire what waited for it."""
    with chain.lock:
        for each in list(chain.active):
            if chain.stopping.is_set():
                _stop(site, chain, each)
            state = _state(site, chain, each)
            if state is None:
                continue
            chain.active.remove(each)
            chain.counts[state] += 1
            chain.outcomes[each.kind, each.name] = state
            for trigger in () if chain.stopping.is_set() else waiting():
                due = trigger["Name"] not in chain.fired and _mentions(trigger, each)
                if due and chain.satisfies(trigger["Predicate"]):
                    _fire(site, chain, trigger)


def _mentions(trigger: Mapping[str, Any], ended: Started) -> bool:
    member = {"job": "JobName", "crawler": "CrawlerName"}[ended.kind]
    conditions = trigger["Predicate"].get("Conditions", ())
    return any(condition.get(member) == ended.name for condition in conditions)


def _fire(site: Site, chain: Chain, trigger: Mapping[str, Any]) -> None:
    """Start the actions of a trigger; one that is refused is counted, and the others still start."""
    with chain.lock:
        chain.fired.add(trigger["Name"])
        for action in trigger["Actions"]:
            try:
                chain.active.append(_started(site, chain, action))
            except AwsError as error:
                chain.counts["ERRORED"] += 1
                chain.errors.append(error.message)


def _started(site: Site, chain: Chain, action: Mapping[str, Any]) -> Started:
    ask, region = site.front.ask, chain.region
    if action.get("JobName"):
        given = {
            key: action[key]
            for key in ("Timeout", "SecurityConfiguration", "NotificationProperty")
            if action.get(key)
        }
        arguments = {**(action.get("Arguments") or {}), **chain.arguments}
        name = action["JobName"]
        answer = ask(
            "glue", "StartJobRun", region=region, JobName=name, Arguments=arguments, **given
        )
        return Started(kind="job", name=name, id=answer["JobRunId"])
    name = action["CrawlerName"]
    ask("glue", "StartCrawler", region=region, Name=name)
    crawls = ask("glue", "ListCrawls", region=region, CrawlerName=name, MaxResults=1)["Crawls"]
    return Started(kind="crawler", name=name, id=crawls[0]["CrawlId"])


def _state(site: Site, chain: Chain, each: Started) -> str | None:
    """Return the final state of a run or crawl; None while it runs, or a retry takes its place."""
    ask, region = site.front.ask, chain.region
    try:
        if each.kind == "crawler":
            wanted = {"FieldName": "CRAWL_ID", "FilterOperator": "EQ", "FieldValue": each.id}
            found = ask(
                "glue", "ListCrawls", region=region, CrawlerName=each.name, Filters=[wanted]
            )
            return CRAWL_ENDS.get(found["Crawls"][0]["State"])
        runs = ask("glue", "GetJobRuns", region=region, JobName=each.name)["JobRuns"]
    except AwsError:  # the job or crawler was deleted while it ran
        return "ERROR"
    retries = [run for run in runs if run.get("PreviousRunId") == each.id and run.get("Attempt")]
    if retries:
        chain.active[chain.active.index(each)] = Started(
            kind="job", name=each.name, id=retries[0]["Id"]
        )
        return None
    states = [run["JobRunState"] for run in runs if run["Id"] == each.id]
    return states[0] if states and states[0] in JOB_ENDS else None


def _stop(site: Site, chain: Chain, each: Started) -> None:
    ask, region = site.front.ask, chain.region
    try:
        if each.kind == "crawler":
            ask("glue", "StopCrawler", region=region, Name=each.name)
        else:
            ask("glue", "BatchStopJobRun", region=region, JobName=each.name, JobRunIds=[each.id])
    except AwsError:
        return  # it is stopping already, or has ended
