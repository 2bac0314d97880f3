"""A cluster and its steps: what they are and were, and the threads that run one after the other.

    STARTING -> RUNNING <-> WAITING -> TERMINATING -> TERMINATED | TERMINATED_WITH_ERRORS

A cluster has a thread, and so has each running step. A step waits as PENDING until the cluster and the
machine have a place for it.
"""

from __future__ import annotations

import gzip
import shutil
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from penstock import storage
from penstock.errors import PenstockError
from penstock.local.site import Site
from penstock.local.sparkargs import Submission, parse
from penstock.local.sparkfiles import on_s3
from penstock.local.sparkjob import Ended, SparkJob

__all__ = ["ENDED", "Cluster", "Step"]

TICK_S = 0.5
ENDED = frozenset({"TERMINATING", "TERMINATED", "TERMINATED_WITH_ERRORS"})
ACTIVE = frozenset({"PENDING", "RUNNING", "CANCEL_PENDING"})
STATES: Mapping[str, str] = {"succeeded": "COMPLETED", "failed": "FAILED", "cancelled": "CANCELLED"}
NO_SPARK = (
    'Cannot run program "spark-submit": error=2, No such file or directory\n'
    "  the cluster's Applications do not name Spark"
)


@dataclass(kw_only=True, slots=True)
class Step:
    """One step.

    Attributes:
        id: ``s-...``.
        body: As it was submitted.
        action: What its failure does to the cluster.
        state: As EMR names it.
        role: Its runtime role, if it has one.
    """

    id: str
    body: Mapping[str, Any]
    action: str
    role: str | None
    created: float
    state: str = "PENDING"
    started: float | None = None
    ended: float | None = None
    failure: dict[str, str] = field(default_factory=dict)
    message: str = ""
    job: SparkJob | None = None
    thread: threading.Thread | None = None

    def status(self) -> dict[str, Any]:
        """Return its StepStatus."""
        times = {
            "CreationDateTime": self.created,
            "StartDateTime": self.started,
            "EndDateTime": self.ended,
        }
        status: dict[str, Any] = {
            "State": self.state,
            "StateChangeReason": {"Message": self.message} if self.message else {},
            "Timeline": {name: value for name, value in times.items() if value is not None},
        }
        return status | ({"FailureDetails": self.failure} if self.failure else {})

    def described(self) -> dict[str, Any]:
        """Return it as DescribeStep and ListSteps do."""
        jar = self.body["HadoopJarStep"]
        properties = {each["Key"]: each["Value"] for each in jar.get("Properties", ())}
        config = {"Jar": jar["Jar"], "Properties": properties, "Args": list(jar.get("Args", ()))}
        if "MainClass" in jar:
            config["MainClass"] = jar["MainClass"]
        found = {
            "Id": self.id,
            "Name": self.body["Name"],
            "Config": config,
            "ActionOnFailure": self.action,
            "Status": self.status(),
        }
        return found | ({"ExecutionRoleArn": self.role} if self.role else {})


class Cluster:
    """One cluster.

    Attributes:
        id: ``j-...``.
        body: As it was asked for.
        steps: In the order of their submission.
        state: As EMR names it.
        changed: Held while anything of the cluster is read or changed.
    """

    def __init__(
        self, site: Site, body: Mapping[str, Any], *, id_: str, arn: str, region: str
    ) -> None:
        """Make a cluster; ``start`` brings it up."""
        instances = body.get("Instances", {})
        self.id, self.arn, self.region, self.body = id_, arn, region, body
        self.steps: list[Step] = []
        self.concurrency = int(body.get("StepConcurrencyLevel", 1))
        self.keep_alive = bool(instances.get("KeepJobFlowAliveWhenNoSteps", False))
        self.protected = bool(instances.get("TerminationProtected", False))
        self.idle_timeout_s: float | None = body.get("AutoTerminationPolicy", {}).get("IdleTimeout")
        self.state = "STARTING"
        self.reason: dict[str, str] = {}
        self.created = time.time()
        self.ready: float | None = None
        self.ended: float | None = None
        self.changed = threading.Condition()
        self._site = site
        self._end: tuple[str, str, str] | None = None  # state, code, message
        self._idle_since = time.monotonic()

    def start(self, steps: Sequence[Step]) -> None:
        """Bring it up, with its first steps."""
        self.steps.extend(steps)
        self._site.spawn(f"emr {self.id}", self._live)

    def status(self) -> dict[str, Any]:
        """Return its ClusterStatus."""
        times = {
            "CreationDateTime": self.created,
            "ReadyDateTime": self.ready,
            "EndDateTime": self.ended,
        }
        return {
            "State": self.state,
            "StateChangeReason": dict(self.reason),
            "Timeline": {name: value for name, value in times.items() if value is not None},
        }

    def active(self) -> list[Step]:
        """Return the steps that have not ended."""
        return [step for step in self.steps if step.state in ACTIVE]

    def add(self, steps: Sequence[Step]) -> None:
        """Queue steps; ``changed`` is held."""
        self.steps.extend(steps)
        self.changed.notify_all()

    def cancel(self, step: Step, *, at_once: bool) -> None:
        """Cancel a step that has not ended; ``changed`` is held."""
        if step.state == "PENDING":
            self._close(step, "CANCELLED", "Step was cancelled by user.")
        else:
            step.state = "CANCEL_PENDING"
        if step.job is not None:
            step.job.cancel(at_once=at_once)
        self.changed.notify_all()

    def terminate(self, code: str, message: str, *, state: str = "TERMINATED") -> None:
        """End it, unless it is ending; ``changed`` is held."""
        if self._end is None:
            self._end = (state, code, message)
            self.state, self.reason = "TERMINATING", {"Code": code, "Message": message}
            self.changed.notify_all()

    def _live(self) -> None:
        """Run steps until the cluster is to end, then end it."""
        with self.changed:
            self.ready = time.time()
            while self._end is None and not self._site.stopping.is_set():
                self._start_steps()
                self._settle()
                if self._end is None:
                    self.changed.wait(TICK_S)
            self._end_steps()
        for step in self.steps:
            if step.thread is not None:
                step.thread.join()
        with self.changed:
            self.ended = time.time()
            self.state = self._end[0] if self._end else "TERMINATED"

    def _start_steps(self) -> None:
        running = [step for step in self.active() if step.thread is not None]
        pending = [step for step in self.active() if step.thread is None]
        for step in pending[: self.concurrency - len(running)]:
            folder = self._site.workdir("emr", self.id, step.id)
            step.job = SparkJob(self._site, folder=folder, region=self.region)
            step.thread = self._site.spawn(f"emr {step.id}", partial(self._run, step))

    def _settle(self) -> None:
        """Set the state by what there is to do; end a cluster that has nothing to wait for."""
        if self.active():
            self._idle_since = time.monotonic()
            self.state = "RUNNING"
        elif not self.keep_alive:
            failed = any(step.state == "FAILED" for step in self.steps)
            message = "Steps completed with errors" if failed else "Steps completed"
            self.terminate("ALL_STEPS_COMPLETED", message)
        else:
            self.state = "WAITING"
            limit = self.idle_timeout_s
            if limit is not None and time.monotonic() - self._idle_since >= limit:
                self.terminate("ALL_STEPS_COMPLETED", f"Auto-terminated after {limit:g} s idle")

    def _end_steps(self) -> None:
        for step in self.active():
            if step.state == "PENDING":
                self._close(step, "CANCELLED", "Cluster terminated")
            if step.job is not None:
                step.job.cancel(at_once=True)

    def _run(self, step: Step) -> None:
        """Run one step in this thread, and draw the consequences."""
        job = step.job
        if job is None:
            return

        def begin() -> None:
            with self.changed:
                if step.state == "PENDING":
                    step.state, step.started = "RUNNING", time.time()

        ended = job.run(lambda: self._submission(step), on_start=begin)
        logs = self._saved(step, job)
        with self.changed:
            if step.state in ACTIVE:
                self._conclude(step, ended, logs)
            self.changed.notify_all()

    def _submission(self, step: Step) -> Submission:
        """Return what the step's spark-submit is to run, with the cluster's own settings below."""
        names = {each["Name"].lower() for each in self.body.get("Applications", ())}
        if names and "spark" not in names:
            raise PenstockError(NO_SPARK)
        submission = parse(step.body["HadoopJarStep"]["Args"][1:])
        defaults: dict[str, str] = {}
        for each in self.body.get("Configurations", ()):
            if each.get("Classification") == "spark-defaults":
                defaults |= each.get("Properties", {})
        return submission.under(defaults)

    def _conclude(self, step: Step, ended: Ended, logs: str) -> None:
        state = STATES[ended.outcome]
        if ended.outcome == "cancelled" and self._end is not None:
            state = "INTERRUPTED"
        self._close(step, state, "Step was cancelled by user." if state == "CANCELLED" else "")
        if state != "FAILED":
            return
        where = f"{logs}{ended.log.name}.gz" if logs and ended.log else str(ended.log or "")
        step.failure = {"Reason": "Unknown Error.", "Message": ended.message, "LogFile": where}
        if self.concurrency > 1 or step.action == "CONTINUE":
            return
        for other in self.active():
            self._close(other, "CANCELLED", f"Step {step.id} failed before it")
        if step.action != "CANCEL_AND_WAIT" and not self.protected:
            self.terminate(
                "STEP_FAILURE", "Shut down as step failed", state="TERMINATED_WITH_ERRORS"
            )

    def _close(self, step: Step, state: str, message: str) -> None:
        step.state, step.message, step.ended = state, message, time.time()

    def _saved(self, step: Step, job: SparkJob) -> str:
        """Write the step's logs where the cluster's LogUri says; return their folder's URI, if so."""
        log_uri = on_s3(self.body.get("LogUri") or "")
        if not log_uri or self._site.stopping.is_set():
            return ""
        folder = f"{log_uri.rstrip('/')}/{self.id}/steps/{step.id}/"
        try:
            for path in (job.controller, job.stdout, job.stderr):
                _save(path, f"{folder}{path.name}.gz")
        except PenstockError as error:  # as on EMR, a step does not fail for its logs
            sys.stderr.write(f"emr {step.id}: logs are not saved: {error}\n")
            return ""
        return folder


def _save(path: Path, uri: str) -> None:
    if not path.is_file():
        return
    with (
        path.open("rb") as source,
        storage.open_output(uri) as target,
        gzip.open(target, "wb", compresslevel=5) as packed,
    ):
        shutil.copyfileobj(source, packed)
