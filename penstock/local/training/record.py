"""What a training job tells of itself: statuses with their times, messages, metrics, artifacts."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping
from typing import Any

__all__ = ["MESSAGES", "TERMINAL", "Record"]

TERMINAL = frozenset({"Completed", "Failed", "Stopped"})

# As DescribeTrainingJob words them.
MESSAGES: Mapping[str, str] = {
    "Pending": "Training job waiting for capacity",
    "Starting": "Preparing the instances for training",
    "Downloading": "Downloading input data",
    "Training": "Training image download completed. Training in progress.",
    "Uploading": "Uploading generated training model",
    "Stopping": "Stopping the training job",
    "Completed": "Training job completed",
    "Failed": "Training job failed",
    "Stopped": "Training job stopped",
    "MaxRuntimeExceeded": "Training job runtime exceeded MaxRuntimeInSeconds provided",
}

# Of the request, what the description repeats; tags have operations of their own.
NOT_ECHOED = frozenset({"Tags", "SessionChainingConfig"})
FAILURE_CHARACTERS = 1024


class Record:
    """One job. Many threads ask it, one at a time changes it.

    Attributes:
        name: The job's.
        region: The client's.
        arn: The job's.
        body: The request.
        created: Seconds since 1970.
    """

    def __init__(self, name: str, region: str, arn: str, body: Mapping[str, Any]) -> None:
        self.name, self.region, self.arn, self.body = name, region, arn, body
        self.created = self.modified = time.time()
        self._lock = threading.Lock()
        self._status, self._transitions = "InProgress", list[dict[str, Any]]()
        self._started: float | None = None
        self._ended: float | None = None
        self._more: dict[str, Any] = {}
        self._metrics: dict[str, tuple[float, float]] = {}

    @property
    def status(self) -> str:
        """TrainingJobStatus."""
        return self._status

    @property
    def secondary(self) -> str:
        """SecondaryStatus."""
        return str(self._transitions[-1]["Status"]) if self._transitions else "Starting"

    @property
    def stopping(self) -> bool:
        """Whether it was asked to end, and has not."""
        return self._status == "Stopping"

    def enter(self, secondary: str, message: str | None = None) -> None:
        """Enter a secondary status, or say something new in the present one."""
        with self._lock:
            self._enter(secondary, message)

    def _enter(self, secondary: str, message: str | None = None) -> None:
        now = time.time()
        last = self._transitions[-1] if self._transitions else None
        if last is None or last["Status"] != secondary:
            if last is not None:
                last["EndTime"] = now
            last = {"Status": secondary, "StartTime": now}
            self._transitions.append(last)
        last["StatusMessage"] = message or MESSAGES[secondary]
        if secondary == "Downloading" and self._started is None:
            self._started = now
        self.modified = now

    def ask_to_stop(self) -> bool:
        """Note that it was asked to end; return whether it still ran."""
        with self._lock:
            if self._status != "InProgress":
                return self._status == "Stopping"
            self._status = "Stopping"
            self._enter("Stopping")
            return True

    def metric(self, name: str, value: float) -> None:
        """Note the last value of a metric."""
        with self._lock:
            self._metrics[name] = (value, time.time())

    def tell(self, **members: Any) -> None:
        """Add members to the description: ModelArtifacts."""
        with self._lock:
            self._more |= members

    def end(self, status: str, secondary: str, reason: str | None = None) -> None:
        """End; a job ends once."""
        with self._lock:
            if self._status in TERMINAL:
                return
            self._enter(secondary)
            self._transitions[-1]["EndTime"] = self._transitions[-1]["StartTime"]
            if self._started is not None:
                self._ended = self.modified
            if reason is not None:
                self._more["FailureReason"] = reason[:FAILURE_CHARACTERS]
            self._status = status

    def description(self) -> dict[str, Any]:
        """Return what DescribeTrainingJob answers."""
        with self._lock:
            echoed = {name: value for name, value in self.body.items() if name not in NOT_ECHOED}
            told = echoed | {
                "TrainingJobArn": self.arn,
                "TrainingJobStatus": self._status,
                "SecondaryStatus": self.secondary,
                "CreationTime": self.created,
                "LastModifiedTime": self.modified,
                "SecondaryStatusTransitions": [dict(each) for each in self._transitions],
                "EnableNetworkIsolation": bool(echoed.get("EnableNetworkIsolation", False)),
                "EnableInterContainerTrafficEncryption": bool(
                    echoed.get("EnableInterContainerTrafficEncryption", False)
                ),
                "EnableManagedSpotTraining": bool(echoed.get("EnableManagedSpotTraining", False)),
                "ProfilingStatus": "Disabled",
                **self._more,
                **self._times(),
            }
            if self._metrics:
                told["FinalMetricDataList"] = [
                    {"MetricName": name, "Value": value, "Timestamp": when}
                    for name, (value, when) in sorted(self._metrics.items())
                ]
            return told

    def _times(self) -> dict[str, Any]:
        if self._started is None:
            return {}
        if self._ended is None:
            return {"TrainingStartTime": self._started}
        seconds = max(1, math.ceil(self._ended - self._started))
        return {
            "TrainingStartTime": self._started,
            "TrainingEndTime": self._ended,
            "TrainingTimeInSeconds": seconds,
            "BillableTimeInSeconds": seconds,
        }

    def summary(self) -> dict[str, Any]:
        """Return what ListTrainingJobs answers."""
        told = self.description()
        names = (
            "TrainingJobName",
            "TrainingJobArn",
            "CreationTime",
            "TrainingEndTime",
            "LastModifiedTime",
            "TrainingJobStatus",
            "SecondaryStatus",
        )
        return {name: told[name] for name in names if name in told}
