"""EMR Serverless: applications, and job runs that are real spark-submits on this machine.

Real: applications with their states, autoStart and autoStop; StartJobRun with a sparkSubmit driver
(entryPoint, entryPointArguments, sparkSubmitParameters, spark-defaults), executionTimeoutMinutes,
CancelJobRun; logs of the driver below ``logUri/applications/<id>/jobs/<run>/SPARK_DRIVER/``, in
CloudWatch when that is asked for; tags.

Limits: ``local[*]`` with a heap of 1 GiB, whatever capacity is asked for; two JVMs run at once on a plane,
other runs wait as SCHEDULED. Hive, streaming mode, retry policies, sessions and dashboards are refused.
"""

from __future__ import annotations

import secrets
import string
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import parse_qs

from penstock.local import emrjobrun
from penstock.local.emrjobrun import ACTIVE, JobRun
from penstock.local.site import ACCOUNT, Handler, Site
from penstock.local.wire import AwsError, Call

__all__ = ["EmrServerless", "service"]

PAGE = 50
MINUTE_S = 60.0
DEFAULT_TIMEOUT_MIN = 720
IDLE_MIN = 15
ID_CHARACTERS = string.digits + string.ascii_lowercase
APPLICATION_FIELDS = (
    "architecture",
    "autoStartConfiguration",
    "autoStopConfiguration",
    "initialCapacity",
    "maximumCapacity",
    "monitoringConfiguration",
    "networkConfiguration",
    "runtimeConfiguration",
    "tags",
)


@dataclass(kw_only=True, slots=True)
class Application:
    """One application.

    Attributes:
        id: ``00f...``.
        body: As it was asked for.
        runs: Its job runs, oldest first.
        tokens: clientToken -> job run.
    """

    id: str
    arn: str
    region: str
    body: dict[str, Any]
    state: str = "CREATED"
    created: float = field(default_factory=time.time)
    updated: float = field(default_factory=time.time)
    runs: list[JobRun] = field(default_factory=list)
    tokens: dict[str, JobRun] = field(default_factory=dict)

    def become(self, state: str) -> None:
        """Take on a state."""
        self.state, self.updated = state, time.time()

    def active(self) -> list[JobRun]:
        """Return the runs that have not ended."""
        return [run for run in self.runs if run.state in ACTIVE]

    def settle(self) -> None:
        """Stop it when it has been idle for as long as its autoStop says."""
        stop = self.body.get("autoStopConfiguration") or {}
        limit_s = float(stop.get("idleTimeoutMinutes", IDLE_MIN)) * MINUTE_S
        idle_since = max([self.updated, *(run.updated for run in self.runs)])
        idle = self.state == "STARTED" and not self.active()
        if idle and stop.get("enabled", True) and time.time() - idle_since >= limit_s:
            self.become("STOPPED")

    def summary(self) -> dict[str, Any]:
        """Return what ListApplications says of it."""
        return {
            "id": self.id,
            "name": self.body.get("name", ""),
            "arn": self.arn,
            "releaseLabel": self.body["releaseLabel"],
            "type": "Spark",
            "state": self.state,
            "stateDetails": "",
            "createdAt": self.created,
            "updatedAt": self.updated,
            "architecture": self.body.get("architecture", "X86_64"),
        }

    def described(self) -> dict[str, Any]:
        """Return what GetApplication says of it."""
        said = {name: self.body[name] for name in APPLICATION_FIELDS if self.body.get(name)}
        said.setdefault("autoStartConfiguration", {"enabled": True})
        said.setdefault("autoStopConfiguration", {"enabled": True, "idleTimeoutMinutes": IDLE_MIN})
        found = self.summary() | {"applicationId": self.id} | said
        del found["id"]
        return found


class EmrServerless:
    """The service.

    Attributes:
        name: As botocore calls it.
    """

    name = "emr-serverless"

    def __init__(self, site: Site) -> None:
        """Serve ``site``."""
        self._site = site
        self._applications: dict[str, Application] = {}
        self._lock = threading.RLock()

    def operations(self) -> Mapping[str, Handler]:
        """Return the operations that are real; all hold the lock for their moment."""
        handlers: dict[str, Handler] = {
            "CancelJobRun": self._cancel,
            "CreateApplication": self._create,
            "DeleteApplication": self._delete,
            "GetApplication": self._get,
            "GetJobRun": self._get_run,
            "ListApplications": self._list,
            "ListJobRuns": self._list_runs,
            "ListTagsForResource": self._tags,
            "StartApplication": self._start,
            "StartJobRun": self._start_run,
            "StopApplication": self._stop,
            "TagResource": self._tag,
            "UntagResource": self._untag,
            "UpdateApplication": self._update,
        }
        return {name: partial(self._locked, handler) for name, handler in handlers.items()}

    def stop(self) -> None:
        """Leave it to the threads: they watch the site, and end their processes."""

    def _locked(self, handler: Handler, call: Call) -> Any:
        with self._lock:
            return handler(call)

    def _create(self, call: Call) -> dict[str, Any]:
        body = dict(call.body)
        if str(body.get("type", "")).upper() != "SPARK":
            raise _refused(f"an application of type {body.get('type')!r}", "say type='SPARK'")
        label = str(body.get("releaseLabel", ""))
        if not label.startswith("emr-"):
            raise _invalid(
                f"Type 'SPARK' is not supported for release label '{label}' "
                "or release label does not exist"
            )
        id_ = "00" + _random(14)
        arn = f"arn:aws:emr-serverless:{call.region}:{ACCOUNT}:/applications/{id_}"
        made = Application(id=id_, arn=arn, region=call.region, body=body)
        self._applications[id_] = made
        return {"applicationId": id_, "name": body.get("name", ""), "arn": arn}

    def _get(self, call: Call) -> dict[str, Any]:
        return {"application": self._application(call).described()}

    def _list(self, call: Call) -> dict[str, Any]:
        query, found = _query(call), []
        for each in self._applications.values():
            each.settle()
            states = query.get("states")
            if each.region == call.region and (not states or each.state in states):
                found.append(each.summary())
        return _page("applications", found, query)

    def _start(self, call: Call) -> dict[str, Any]:
        application = self._application(call)
        if application.state == "TERMINATED":
            raise _invalid(f"Application {application.id} is terminated.")
        application.become("STARTED")
        return {}

    def _stop(self, call: Call) -> dict[str, Any]:
        application = self._application(call)
        if active := application.active():
            raise AwsError(
                "ConflictException",
                f"Application {application.id} has {len(active)} job runs that have not ended.",
                status=409,
            )
        application.become("STOPPED")
        return {}

    def _update(self, call: Call) -> dict[str, Any]:
        application = self._application(call)
        _check_idle(application)
        names = (*APPLICATION_FIELDS, "releaseLabel")
        application.body |= {name: call.body[name] for name in names if name in call.body}
        application.updated = time.time()
        return {"application": application.described()}

    def _delete(self, call: Call) -> dict[str, Any]:
        application = self._application(call)
        _check_idle(application)
        application.become("TERMINATED")
        return {}

    def _start_run(self, call: Call) -> dict[str, Any]:
        application = self._application(call)
        body = {**call.body, "tags": dict(call.body.get("tags") or {})}
        _check_run(body)
        known = application.tokens.get(body.get("clientToken", ""))
        if known is not None:
            return known.answer()
        if application.state != "STARTED":
            auto = (application.body.get("autoStartConfiguration") or {}).get("enabled", True)
            if application.state == "TERMINATED" or not auto:
                raise AwsError(
                    "ConflictException",
                    f"Application {application.id} is {application.state}: it takes no job runs.",
                    status=409,
                )
            application.become("STARTED")
        id_ = "00" + _random(14)
        run = JobRun(
            id=id_,
            arn=f"{application.arn}/jobruns/{id_}",
            application=application.id,
            release=application.body["releaseLabel"],
            region=application.region,
            body=body,
            defaults=_defaults(application.body, body),
            monitoring=_monitoring(application.body, body),
            timeout_min=int(body.get("executionTimeoutMinutes", DEFAULT_TIMEOUT_MIN)),
        )
        application.runs.append(run)
        if body.get("clientToken"):
            application.tokens[body["clientToken"]] = run
        timeout_s = run.timeout_min * MINUTE_S if run.timeout_min else None
        emrjobrun.begin(self._site, run, self._lock, timeout_s=timeout_s)
        return run.answer()

    def _get_run(self, call: Call) -> dict[str, Any]:
        return {"jobRun": self._run(call).described()}

    def _list_runs(self, call: Call) -> dict[str, Any]:
        query = _query(call)
        states = query.get("states")
        after, before = (_time(query, f"createdAt{end}") for end in ("After", "Before"))
        found = [
            run.summary()
            for run in reversed(self._application(call).runs)
            if (not states or run.state in states)
            and (after is None or run.created >= after)
            and (before is None or run.created <= before)
        ]
        return _page("jobRuns", found, query)

    def _cancel(self, call: Call) -> dict[str, Any]:
        run = self._run(call)
        if run.state not in ACTIVE:
            raise _invalid(f"Job run {run.id} is {run.state}: only active runs can be cancelled.")
        run.cancel()
        return {"applicationId": run.application, "jobRunId": run.id}

    def _tags(self, call: Call) -> dict[str, Any]:
        return {"tags": self._tagged(call)}

    def _tag(self, call: Call) -> dict[str, Any]:
        self._tagged(call).update(call.body["tags"])
        return {}

    def _untag(self, call: Call) -> dict[str, Any]:
        tags = self._tagged(call)
        for key in _query(call).get("tagKeys", ()):
            tags.pop(key, None)
        return {}

    def _tagged(self, call: Call) -> dict[str, str]:
        """Return the tags of an application or run, by its ARN."""
        arn = call.body["resourceArn"]
        owners: list[Application | JobRun] = [*self._applications.values()]
        owners += [run for each in self._applications.values() for run in each.runs]
        for owner in owners:
            if owner.arn == arn:
                tags: dict[str, str] = owner.body.setdefault("tags", {})
                return tags
        raise _missing("Resource", arn)

    def _application(self, call: Call) -> Application:
        found = self._applications.get(call.body["applicationId"])
        if found is None or found.region != call.region:
            raise _missing("Application", call.body["applicationId"])
        found.settle()
        return found

    def _run(self, call: Call) -> JobRun:
        for run in self._application(call).runs:
            if run.id == call.body["jobRunId"]:
                return run
        raise _missing("JobRun", call.body["jobRunId"])


def service(site: Site) -> EmrServerless:
    """Return the service for a plane."""
    return EmrServerless(site)


def _check_idle(application: Application) -> None:
    if application.state not in ("CREATED", "STOPPED"):
        raise _invalid(
            f"Application {application.id} must be in one of the following statuses [CREATED, STOPPED]. "
            f"Current status: {application.state}"
        )


def _check_run(body: Mapping[str, Any]) -> None:
    """Refuse a job run that cannot be had."""
    if "sparkSubmit" not in (body.get("jobDriver") or {}):
        raise _refused("a jobDriver that is not sparkSubmit", "say jobDriver={'sparkSubmit': ...}")
    if body.get("mode", "BATCH") != "BATCH":
        raise _refused(f"mode {body['mode']!r}", "say mode='BATCH'")
    if (body.get("retryPolicy") or {}).get("maxAttempts", 1) > 1:
        raise _refused("a retryPolicy with several attempts", "leave retryPolicy out")
    minutes = body.get("executionTimeoutMinutes")
    if minutes and minutes < 5:
        raise _invalid("RunTimeout must be at least 5 minutes.")


def _defaults(application: Mapping[str, Any], body: Mapping[str, Any]) -> dict[str, str]:
    """Return the spark-defaults of an application and a run, the run's first."""
    given = [
        *(application.get("runtimeConfiguration") or ()),
        *((body.get("configurationOverrides") or {}).get("applicationConfiguration") or ()),
    ]
    found: dict[str, str] = {}
    for each in given:
        if each.get("classification") == "spark-defaults":
            found |= each.get("properties", {})
    return found


def _monitoring(application: Mapping[str, Any], body: Mapping[str, Any]) -> dict[str, Any]:
    overrides = body.get("configurationOverrides") or {}
    return {
        **(application.get("monitoringConfiguration") or {}),
        **(overrides.get("monitoringConfiguration") or {}),
    }


def _query(call: Call) -> dict[str, list[str]]:
    """Return the query, where a name may stand several times."""
    return parse_qs(call.environ.get("QUERY_STRING", ""))


def _time(query: Mapping[str, list[str]], name: str) -> float | None:
    if name not in query:
        return None
    text = query[name][0]
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except ValueError:
        raise _invalid(f"{name} is {text!r}, expected a time like 2024-01-31T12:00:00Z") from None


def _page(name: str, found: Sequence[Any], query: Mapping[str, list[str]]) -> dict[str, Any]:
    token = query.get("nextToken", ["0"])[0]
    size = int(query.get("maxResults", [str(PAGE)])[0])
    if not token.isdecimal():
        raise _invalid(f"nextToken {token!r} is not one of ours")
    end = int(token) + size
    return {name: found[int(token) : end], **({"nextToken": str(end)} if end < len(found) else {})}


def _random(length: int) -> str:
    return "".join(secrets.choice(ID_CHARACTERS) for _ in range(length))


def _invalid(message: str) -> AwsError:
    return AwsError("ValidationException", message)


def _missing(kind: str, id_: str) -> AwsError:
    return AwsError("ResourceNotFoundException", f"{kind} {id_} does not exist", status=404)


def _refused(what: str, remedy: str) -> AwsError:
    message = f"emr-serverless: {what} is not in the local plane\n  {remedy}"
    return AwsError("NotSupportedByLocalPlane", message, status=501)
