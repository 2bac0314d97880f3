"""Glue jobs: runs that are real spark-submits of the job's script on this machine.

Real: StartJobRun, GetJobRun, GetJobRuns, BatchStopJobRun: the script and its ``--extra-py-files``,
``--extra-files`` and ``--extra-jars`` come from S3, ``--conf`` holds, all other arguments go to the
script; states, times, ErrorMessage, Timeout, MaxRetries, MaxConcurrentRuns; output in the log groups
/aws-glue/jobs/output and /aws-glue/jobs/error, in a stream named like the run. glueetl and
gluestreaming run on Spark, pythonshell in plain Python. ``awsglue`` there is a stand-in of ours:
arguments, the session, and a commit that does nothing.

Limits: ``local[*]`` with a heap of 1 GiB whatever workers are asked for; two JVMs at once on a plane, other
runs wait as STARTING; no bookmarks, DynamicFrames, Scala, Ray, run queues, or modules installed for a run.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from penstock.errors import InputError
from penstock.local import glueargs
from penstock.local.site import Handler, Site
from penstock.local.sparkjob import Ended, SparkJob
from penstock.local.wire import AwsError, Call

__all__ = ["GlueJobs", "service"]

MINUTE_S = 60.0
TIMEOUT_MIN, LONG_TIMEOUT_MIN = 480, 2880  # for Glue 5.0 and later, and before
TIMEOUT_LIMIT_MIN = 7 * 24 * 60
DEFAULT_GLUE_VERSION = "5.1"
PAGE = 200
LOG_GROUP = "/aws-glue/jobs"
LOG_LINES = 1000
LOG_PAUSE_S = 1.0
ACTIVE = frozenset({"STARTING", "RUNNING", "STOPPING"})
STATES: Mapping[str, str] = {
    "succeeded": "SUCCEEDED",
    "failed": "FAILED",
    "cancelled": "STOPPED",
    "timed_out": "TIMEOUT",
}


@dataclass(kw_only=True, slots=True)
class Run:
    """One job run.

    Attributes:
        id: ``jr_...``.
        job: The job, as it was when the run began.
        arguments: Of the job and the run together.
        request: As StartJobRun had it.
        attempt: Counts from 0.
    """

    id: str
    job: Mapping[str, Any]
    arguments: Mapping[str, str]
    request: Mapping[str, Any]
    region: str
    timeout_min: int
    attempt: int = 0
    previous: str | None = None
    state: str = "STARTING"
    created: float = field(default_factory=time.time)
    changed: float = field(default_factory=time.time)
    started: float | None = None
    completed: float | None = None
    message: str = ""
    work: SparkJob | None = None

    def become(self, state: str, message: str = "") -> None:
        """Take on a state."""
        self.state, self.message, self.changed = state, message, time.time()
        if state == "RUNNING":
            self.started = self.changed
        if state not in ACTIVE:
            self.completed = self.changed

    def described(self) -> dict[str, Any]:
        """Return it as GetJobRun does."""
        end = self.completed or time.time()
        found: dict[str, Any] = {
            "Id": self.id,
            "Attempt": self.attempt,
            "JobName": self.job["Name"],
            "StartedOn": self.created,
            "LastModifiedOn": self.changed,
            "JobRunState": self.state,
            "Arguments": dict(self.arguments),
            "PredecessorRuns": [],
            "ExecutionTime": 0 if self.started is None else round(end - self.started),
            "Timeout": self.timeout_min,
            "LogGroupName": LOG_GROUP,
            "GlueVersion": self.job.get("GlueVersion") or DEFAULT_GLUE_VERSION,
        }
        for name in ("WorkerType", "NumberOfWorkers", "MaxCapacity", "AllocatedCapacity"):
            value = self.request.get(name) or self.job.get(name)
            found |= {name: value} if value else {}
        optional = {
            "CompletedOn": self.completed,
            "ErrorMessage": self.message,
            "PreviousRunId": self.previous,
        }
        return found | {name: value for name, value in optional.items() if value}


class _Output:
    """Passes lines on, some at a time, soon after they came."""

    def __init__(self, send: Callable[[list[str]], None]) -> None:
        self._send = send
        self._lines: list[str] = []
        self._sent = time.monotonic()

    def add(self, line: str) -> None:
        self._lines.append(line)
        if len(self._lines) >= LOG_LINES or time.monotonic() - self._sent >= LOG_PAUSE_S:
            self.flush()

    def flush(self) -> None:
        lines, self._lines, self._sent = self._lines, [], time.monotonic()
        self._send(lines)


class GlueJobs:
    """The service.

    Attributes:
        name: As botocore calls it.
    """

    name = "glue"

    def __init__(self, site: Site) -> None:
        """Serve ``site``."""
        self._site = site
        self._runs: dict[tuple[str, str], list[Run]] = {}  # by region and job, oldest first
        self._lock = threading.RLock()

    def operations(self) -> Mapping[str, Handler]:
        """Return the operations that are real."""
        return {
            "BatchStopJobRun": self._stop_runs,
            "GetJobRun": self._get_run,
            "GetJobRuns": self._get_runs,
            "StartJobRun": self._start_run,
        }

    def stop(self) -> None:
        """Leave it to the threads: they watch the site, and end their processes."""

    def _start_run(self, call: Call) -> dict[str, Any]:
        job = self._job(call)
        body = dict(call.body)
        if body.get("AllocatedCapacity") and body.get("MaxCapacity"):
            raise _invalid("Please set only Allocated Capacity or Max Capacity")
        if body.get("JobRunQueuingEnabled") or job.get("JobRunQueuingEnabled"):
            raise _refused("job run queuing", "leave JobRunQueuingEnabled out")
        with self._lock:
            runs = self._of(call)
            previous = self._run(call, body["JobRunId"]) if body.get("JobRunId") else None
            given = body.get("Arguments") or (previous.request.get("Arguments") if previous else {})
            body["Arguments"] = given or {}
            arguments = {
                **(job.get("DefaultArguments") or {}),
                **body["Arguments"],
                **(job.get("NonOverridableArguments") or {}),
            }
            try:
                glueargs.checked(job["Command"], arguments)
            except InputError as error:
                raise _refused(*str(error).split("\n  ", 1)) from error
            limit = (job.get("ExecutionProperty") or {}).get("MaxConcurrentRuns", 1)
            if sum(run.state in ACTIVE for run in runs) >= limit:
                raise AwsError(
                    "ConcurrentRunsExceededException",
                    f"Concurrent runs exceeded for {job['Name']}",
                )
            run = Run(
                id=f"jr_{secrets.token_hex(32)}",
                job=job,
                arguments=arguments,
                request=body,
                region=call.region,
                timeout_min=_timeout(job, body),
                previous=previous.id if previous else None,
            )
            self._begin(run, runs)
        return {"JobRunId": run.id}

    def _begin(self, run: Run, runs: list[Run]) -> None:
        """Add a run and start its thread; the lock is held."""
        folder = self._site.workdir("glue-jobs", run.id)
        run.work = SparkJob(
            self._site,
            folder=folder,
            region=run.region,
            timeout_s=run.timeout_min * MINUTE_S,
        )
        runs.append(run)
        self._site.spawn(f"glue {run.id}", partial(self._work, run, run.work, runs))

    def _work(self, run: Run, work: SparkJob, runs: list[Run]) -> None:
        """Run a run in this thread."""
        given = {
            "--JOB_NAME": run.job["Name"],
            "--JOB_ID": f"j_{run.id[3:67]}",
            "--JOB_RUN_ID": run.id,
            "--job-bookmark-option": "job-bookmark-disable",
        }
        command = run.job["Command"]
        output = _Output(partial(self._log, run, "output"))
        ended = work.run(
            lambda: glueargs.submission(command, run.arguments, given),
            on_start=partial(self._started, run),
            on_line=output.add,
        )
        if not self._site.stopping.is_set():
            output.flush()
            for path in (work.controller, work.stderr):
                for lines in _lines(path):
                    self._log(run, "error", lines)
        with self._lock:
            self._conclude(run, ended, runs)

    def _started(self, run: Run) -> None:
        with self._lock:
            if run.state == "STARTING":
                run.become("RUNNING")

    def _conclude(self, run: Run, ended: Ended, runs: list[Run]) -> None:
        message = ended.message
        if ended.outcome == "timed_out":
            message = f"Job run exceeded its timeout of {run.timeout_min} minutes"
        run.become(STATES[ended.outcome], message)
        if ended.outcome == "failed" and run.attempt < (run.job.get("MaxRetries") or 0):
            attempt = run.attempt + 1
            again = Run(
                id=f"{run.id.partition('_attempt_')[0]}_attempt_{attempt}",
                job=run.job,
                arguments=run.arguments,
                request=run.request,
                region=run.region,
                timeout_min=run.timeout_min,
                attempt=attempt,
                previous=run.id,
            )
            self._begin(again, runs)

    def _log(self, run: Run, name: str, lines: list[str]) -> None:
        self._site.log(f"{LOG_GROUP}/{name}", run.id, lines, region=run.region)

    def _get_run(self, call: Call) -> dict[str, Any]:
        self._job(call)
        with self._lock:
            return {"JobRun": self._run(call, call.body["RunId"]).described()}

    def _get_runs(self, call: Call) -> dict[str, Any]:
        self._job(call)
        token = call.body.get("NextToken") or "0"
        if not token.isdecimal():
            raise _invalid(f"NextToken {token!r} is not one of GetJobRuns")
        start = int(token)
        end = start + min(int(call.body.get("MaxResults") or PAGE), PAGE)
        with self._lock:
            runs = [run.described() for run in reversed(self._of(call))]
        return {"JobRuns": runs[start:end], **({"NextToken": str(end)} if end < len(runs) else {})}

    def _stop_runs(self, call: Call) -> dict[str, Any]:
        name = call.body["JobName"]
        stopped, errors = [], []
        with self._lock:
            for id_ in call.body["JobRunIds"]:
                try:
                    self._stop(self._run(call, id_))
                except AwsError as error:
                    detail = {"ErrorCode": error.code, "ErrorMessage": error.message}
                    errors.append({"JobName": name, "JobRunId": id_, "ErrorDetail": detail})
                else:
                    stopped.append({"JobName": name, "JobRunId": id_})
        return {"SuccessfulSubmissions": stopped, "Errors": errors}

    def _stop(self, run: Run) -> None:
        if run.state not in ACTIVE or run.work is None:
            raise _invalid(f"Job run {run.id} is {run.state}: only active runs can be stopped")
        run.become("STOPPING")
        run.work.cancel()

    def _job(self, call: Call) -> dict[str, Any]:
        """Return the job as moto keeps it; refuse one that is not there, as moto words it."""
        found = self._site.moto.ask(
            "glue", "GetJob", region=call.region, JobName=call.body["JobName"]
        )
        return dict(found["Job"])

    def _of(self, call: Call) -> list[Run]:
        return self._runs.setdefault((call.region, call.body["JobName"]), [])

    def _run(self, call: Call, id_: str) -> Run:
        for run in self._of(call):
            if run.id == id_:
                return run
        raise AwsError("EntityNotFoundException", f"Job run {id_} not found.")


def service(site: Site) -> GlueJobs:
    """Return the service for a plane."""
    return GlueJobs(site)


def _timeout(job: Mapping[str, Any], body: Mapping[str, Any]) -> int:
    """Return how many minutes a run may take."""
    version = str(job.get("GlueVersion") or DEFAULT_GLUE_VERSION)
    default = TIMEOUT_MIN if int(version.partition(".")[0]) >= 5 else LONG_TIMEOUT_MIN
    given = body.get("Timeout") or job.get("Timeout") or default
    if not 1 <= given <= TIMEOUT_LIMIT_MIN:
        raise _invalid(f"Timeout must be between 1 and {TIMEOUT_LIMIT_MIN} minutes, got {given}")
    return int(given)


def _lines(path: Path) -> Iterator[list[str]]:
    """Yield the lines of a log, some at a time."""
    if not path.is_file():
        return
    with path.open(encoding="utf-8", errors="replace") as log:
        lines: list[str] = []
        for line in log:
            lines.append(line.rstrip("\n"))
            if len(lines) >= LOG_LINES:
                yield lines
                lines = []
    yield lines


def _invalid(message: str) -> AwsError:
    return AwsError("InvalidInputException", message)


def _refused(what: str, remedy: str) -> AwsError:
    message = f"glue.StartJobRun: {what}: not in the local plane\n  {remedy}"
    return AwsError("NotSupportedByLocalPlane", message, status=501)
