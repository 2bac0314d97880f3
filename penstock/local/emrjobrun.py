"""A job run of EMR Serverless: what it is and was, and the thread that runs it.

SUBMITTED -> SCHEDULED -> RUNNING -> SUCCESS | FAILED
                 '-- CANCELLING -----'--> CANCELLED
"""

from __future__ import annotations

import gzip
import shutil
import sys
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from penstock import storage
from penstock.errors import PenstockError
from penstock.local.site import ACCOUNT, Site
from penstock.local.sparkargs import Submission, parse, split_text
from penstock.local.sparkfiles import on_s3
from penstock.local.sparkjob import Ended, SparkJob

__all__ = ["ACTIVE", "JobRun", "begin"]

ACTIVE = frozenset({"SUBMITTED", "PENDING", "SCHEDULED", "RUNNING", "CANCELLING"})
CREATED_BY = f"arn:aws:iam::{ACCOUNT}:user/local"


@dataclass(kw_only=True, slots=True)
class JobRun:
    """One job run.

    Attributes:
        id: ``00f...``.
        application: Id of its application.
        body: As it was asked for.
        defaults: Its spark-defaults.
        monitoring: Where its logs go.
        timeout_min: 0: none.
    """

    id: str
    arn: str
    application: str
    release: str
    region: str
    body: dict[str, Any]
    defaults: Mapping[str, str]
    monitoring: Mapping[str, Any]
    timeout_min: int
    state: str = "SUBMITTED"
    details: str = ""
    created: float = field(default_factory=time.time)
    updated: float = field(default_factory=time.time)
    started: float | None = None
    ended: float | None = None
    job: SparkJob | None = None

    def become(self, state: str, details: str = "") -> None:
        """Take on a state."""
        self.state, self.details, self.updated = state, details, time.time()
        if state == "RUNNING":
            self.started = self.updated
        if state not in ACTIVE:
            self.ended = self.updated

    def cancel(self) -> None:
        """End it soon."""
        self.become("CANCELLING")
        if self.job is not None:
            self.job.cancel()

    def answer(self) -> dict[str, Any]:
        """Return what StartJobRun says of it."""
        return {"applicationId": self.application, "jobRunId": self.id, "arn": self.arn}

    def summary(self) -> dict[str, Any]:
        """Return what ListJobRuns says of it."""
        return {
            "applicationId": self.application,
            "id": self.id,
            "name": self.body.get("name", ""),
            "mode": "BATCH",
            "arn": self.arn,
            "createdBy": CREATED_BY,
            "createdAt": self.created,
            "updatedAt": self.updated,
            "executionRole": self.body["executionRoleArn"],
            "state": self.state,
            "stateDetails": self.details,
            "releaseLabel": self.release,
            "type": "Spark",
            "attempt": 1,
        }

    def described(self) -> dict[str, Any]:
        """Return what GetJobRun says of it."""
        found = self.summary()
        del found["id"], found["type"]
        end = self.ended or time.time()
        found |= {
            "jobRunId": self.id,
            "jobDriver": self.body["jobDriver"],
            "tags": self.body["tags"],
            "executionTimeoutMinutes": self.timeout_min,
            "totalExecutionDurationSeconds": round(end - self.started) if self.started else 0,
        }
        optional = {
            "configurationOverrides": self.body.get("configurationOverrides"),
            "startedAt": self.started,
            "endedAt": self.ended,
        }
        return found | {name: value for name, value in optional.items() if value}


def begin(
    site: Site, run: JobRun, lock: AbstractContextManager[Any], *, timeout_s: float | None
) -> None:
    """Start a run in a thread of its own; ``lock`` is held, and taken for each change of the run."""
    folder = site.workdir("emr-serverless", run.id)
    run.job = SparkJob(site, folder=folder, region=run.region, timeout_s=timeout_s)
    run.become("SCHEDULED")
    site.spawn(f"emr-serverless {run.id}", partial(_work, site, run, run.job, lock))


def _work(site: Site, run: JobRun, job: SparkJob, lock: AbstractContextManager[Any]) -> None:
    def started() -> None:
        with lock:
            if run.state == "SCHEDULED":
                run.become("RUNNING")

    ended = job.run(lambda: _submission(run), on_start=started)
    if not site.stopping.is_set():
        _save(run, job)
        _log(site, run, job)
    with lock:
        _conclude(run, ended)


def _submission(run: JobRun) -> Submission:
    driver = run.body["jobDriver"]["sparkSubmit"]
    parameters = split_text(driver.get("sparkSubmitParameters") or "")
    arguments = [*parameters, driver["entryPoint"], *(driver.get("entryPointArguments") or ())]
    return parse(arguments).under(run.defaults)


def _conclude(run: JobRun, ended: Ended) -> None:
    if ended.outcome == "succeeded":
        run.become("SUCCESS")
    elif ended.outcome == "cancelled":
        run.become("CANCELLED")
    elif ended.outcome == "timed_out":
        run.become("FAILED", f"Job run exceeded its timeout of {run.timeout_min} minutes.")
    else:
        code = "" if ended.exit_code is None else f" ExitCode: {ended.exit_code}."
        run.become(
            "FAILED",
            "Job failed, please check complete logs in configured logging destination."
            f"{code} Last few exceptions: {ended.message}",
        )


def _logs(job: SparkJob) -> tuple[Path, ...]:
    return tuple(path for path in (job.stdout, job.stderr, job.controller) if path.is_file())


def _save(run: JobRun, job: SparkJob) -> None:
    """Write the driver's logs where the run's S3 monitoring says."""
    log_uri = on_s3((run.monitoring.get("s3MonitoringConfiguration") or {}).get("logUri", ""))
    if not log_uri:
        return
    folder = f"{log_uri.rstrip('/')}/applications/{run.application}/jobs/{run.id}/SPARK_DRIVER"
    try:
        for path in _logs(job):
            with (
                path.open("rb") as source,
                storage.open_output(f"{folder}/{path.name}.gz") as target,
                gzip.open(target, "wb", compresslevel=5) as packed,
            ):
                shutil.copyfileobj(source, packed)
    except PenstockError as error:  # a run does not fail for its logs
        sys.stderr.write(f"emr-serverless {run.id}: logs are not saved: {error}\n")


def _log(site: Site, run: JobRun, job: SparkJob) -> None:
    """Send the driver's logs to CloudWatch, when the run asks for it."""
    watch = run.monitoring.get("cloudWatchLoggingConfiguration") or {}
    if not watch.get("enabled"):
        return
    group = watch.get("logGroupName") or "/aws/emr-serverless"
    prefix = watch.get("logStreamNamePrefix")
    base = f"{prefix}/" if prefix else ""
    stream = f"{base}applications/{run.application}/jobs/{run.id}/SPARK_DRIVER"
    for path in _logs(job):
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        site.log(group, f"{stream}/{path.name}", lines, region=run.region)
