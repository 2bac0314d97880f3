"""The operations of training jobs."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from penstock.errors import InputError
from penstock.host.layout import GRACE_S
from penstock.local import validation
from penstock.local.site import ACCOUNT, Handler, Site
from penstock.local.training.images import program_of
from penstock.local.training.inputs import check_inputs
from penstock.local.training.job import Container, Job
from penstock.local.training.listing import listing
from penstock.local.training.record import TERMINAL, Record
from penstock.local.wire import AwsError, Call

__all__ = ["Settings", "Training"]

REQUIRED = (
    "AlgorithmSpecification AlgorithmSpecification.TrainingImage ResourceConfig "
    "ResourceConfig.InstanceType ResourceConfig.InstanceCount StoppingCondition"
)
# Members of a request that would have to do something, and do not.
LACKING = (
    "ServerlessJobConfig",
    "ModelPackageConfig",
    "MlflowConfig",
    "SessionChainingConfig",
    "TensorBoardOutputConfig",
    "DebugRuleConfigurations",
    "ProfilerRuleConfigurations",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """How a plane trains.

    Attributes:
        jobs: How many run at once.
        grace_s: Time between SIGTERM and SIGKILL.
    """

    jobs: int
    grace_s: float

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Self:
        """Read PENSTOCK_TRAINING_JOBS and PENSTOCK_TRAINING_GRACE_S.

        Raises:
            InputError: One is no number.
        """
        return cls(
            jobs=int(
                _number(environment, "PENSTOCK_TRAINING_JOBS", max(2, os.cpu_count() or 1), 1)
            ),
            grace_s=_number(environment, "PENSTOCK_TRAINING_GRACE_S", GRACE_S, 0),
        )


def _number(environment: Mapping[str, str], name: str, default: float, least: float) -> float:
    given = environment.get(name, str(default))
    try:
        number = float(given)
    except ValueError:
        number = float("nan")
    if not number >= least:
        raise InputError(f"{name} is {given!r}, expected a number of at least {least:g}")
    return number


class Training:
    """Training jobs.

    Attributes:
        name: ``sagemaker``.
    """

    name = "sagemaker"

    def __init__(self, site: Site, settings: Settings | None = None) -> None:
        """Prepare; nothing runs yet."""
        self._site, self._settings = site, settings or Settings.of(os.environ)
        self._jobs: dict[tuple[str, str], Job] = {}
        self._waiting: deque[Job] = deque()
        self._running: set[Job] = set()
        self._lock = threading.Lock()

    def operations(self) -> Mapping[str, Handler]:
        """Return the operations that this one answers."""
        return {
            "CreateTrainingJob": self._create,
            "DescribeTrainingJob": self._describe,
            "ListTrainingJobs": self._list,
            "StopTrainingJob": self._stop,
            "DeleteTrainingJob": self._delete,
        }

    def stop(self) -> None:
        """Kill what runs and forget what waits."""
        self._site.stopping.set()
        with self._lock:
            waiting, running = list(self._waiting), list(self._running)
            self._waiting.clear()
        for job in waiting:
            job.record.end("Stopped", "Stopped")
        for job in running:
            job.control.abandon.set()

    def _create(self, call: Call) -> Mapping[str, Any]:
        validation.check("sagemaker", call.operation, call.body, required=REQUIRED)
        _refuse(call.body)
        check_inputs(call.body)
        container = _container(call.body, self._site.folder)
        body = dict(call.body)
        body["AlgorithmSpecification"] = {
            **body["AlgorithmSpecification"],
            "MetricDefinitions": [
                {"Name": name, "Regex": regex} for name, regex in container.metric_definitions
            ],
        }
        name = body["TrainingJobName"]
        arn = f"arn:aws:sagemaker:{call.region}:{ACCOUNT}:training-job/{name}"
        record = Record(name, call.region, arn, body)
        try:
            job = Job(self._site, record, container, grace_s=self._settings.grace_s)
        except InputError as error:  # a regex
            raise AwsError("ValidationException", str(error)) from error
        key = (call.region, name)
        with self._lock:
            if key in self._jobs:
                raise AwsError(
                    "ResourceInUse",
                    "Training job names must be unique within an AWS account and region, and a "
                    f"training job with this name already exists ({arn})",
                )
            record.enter("Starting", "Starting the training job...")
            self._jobs[key] = job
        try:
            self._site.moto.forward(call)
        except AwsError:
            with self._lock:
                del self._jobs[key]
            raise
        _tell_moto(record)
        with self._lock:
            self._waiting.append(job)
        self._admit()
        return {"TrainingJobArn": arn}

    def _admit(self) -> None:
        """Start jobs that wait, while there is room."""
        with self._lock:
            while (
                self._waiting
                and len(self._running) < self._settings.jobs
                and not self._site.stopping.is_set()
            ):
                job = self._waiting.popleft()
                self._running.add(job)
                self._site.spawn(f"training {job.record.name}", lambda job=job: self._work(job))  # type: ignore[misc]
            for job in self._waiting:
                if not job.record.stopping:
                    job.record.enter("Pending")

    def _work(self, job: Job) -> None:
        try:
            job.work()
        finally:
            _tell_moto(job.record)
            with self._lock:
                self._running.discard(job)
            self._admit()

    def _describe(self, call: Call) -> Mapping[str, Any]:
        return self._found(call).record.description()

    def _found(self, call: Call) -> Job:
        validation.check("sagemaker", call.operation, call.body)
        with self._lock:
            job = self._jobs.get((call.region, call.body["TrainingJobName"]))
        if job is None:
            raise AwsError("ValidationException", "Requested resource not found.")
        return job

    def _list(self, call: Call) -> Mapping[str, Any]:
        validation.check("sagemaker", call.operation, call.body)
        with self._lock:
            records = [
                job.record for (region, _), job in self._jobs.items() if region == call.region
            ]
        return listing(records, call.body)

    def _stop(self, call: Call) -> Mapping[str, Any]:
        job = self._found(call)
        if not job.record.ask_to_stop():
            raise AwsError(
                "ValidationException",
                f"The request was rejected because the training job is in status {job.record.status}.",
            )
        job.control.stop.set()
        with self._lock:
            waited = job in self._waiting
            if waited:
                self._waiting.remove(job)
        if waited:
            job.record.end("Stopped", "Stopped")
            _tell_moto(job.record)
        return {}

    def _delete(self, call: Call) -> Mapping[str, Any]:
        job = self._found(call)
        if job.record.status not in TERMINAL:
            raise AwsError(
                "ResourceInUse",
                f"The training job {job.record.name} is in status {job.record.status}; only jobs that "
                "have ended can be deleted.",
            )
        with self._lock:
            self._jobs.pop((job.record.region, job.record.name), None)
        with suppress(KeyError):
            del _moto_jobs(job.record.region)[job.record.name]
        return {}


def _container(body: Mapping[str, Any], folder: Path) -> Container:
    """Return what a request's image, entry point and arguments make.

    Raises:
        AwsError: The image is not known, or the request redefines what SageMaker's own has.
    """
    specification = body["AlgorithmSpecification"]
    program = program_of(specification["TrainingImage"], folder)
    given = specification.get("MetricDefinitions") or []
    entrypoint = specification.get("ContainerEntrypoint") or program.command
    arguments = specification.get("ContainerArguments") or ("train",)
    if program.algorithm is None:
        definitions = tuple((each["Name"], each["Regex"]) for each in given)
    elif given:
        raise AwsError(
            "ValidationException",
            "You can't override the metric definitions for Amazon SageMaker algorithms. "
            "Please retry the request without specifying metric definitions.",
        )
    elif (*entrypoint, *arguments) != program.algorithm.program:
        raise AwsError(
            "ValidationException",
            "ContainerEntrypoint and ContainerArguments are not supported for Amazon SageMaker "
            "algorithms.",
        )
    else:
        definitions = program.algorithm.metric_definitions
    return Container(
        command=(*entrypoint, *arguments),
        environment=program.environment,
        built_in=program.algorithm is not None,
        metric_definitions=definitions,
    )


def _refuse(body: Mapping[str, Any]) -> None:
    """Refuse what would have to do something here, and does not."""
    lacking = [name for name in LACKING if body.get(name)]
    lacking += [
        f"ResourceConfig.{name}"
        for name in ("InstanceGroups", "InstancePreferences")
        if body["ResourceConfig"].get(name)
    ]
    lacking += [
        f"AlgorithmSpecification.{name}"
        for name in ("AlgorithmName",)
        if body["AlgorithmSpecification"].get(name)
    ]
    if lacking:
        raise AwsError(
            "NotSupportedByLocalPlane",
            f"CreateTrainingJob: the local plane has no {', '.join(lacking)}; leave it out, or use AWS",
            status=501,
        )
    limits = body["StoppingCondition"]
    wait, run = limits.get("MaxWaitTimeInSeconds"), limits.get("MaxRuntimeInSeconds", 86_400)
    spot = body.get("EnableManagedSpotTraining", False)
    if spot and wait is None:
        raise AwsError(
            "ValidationException",
            "MaxWaitTimeInSeconds must be specified when EnableManagedSpotTraining is true",
        )
    if wait is not None and not spot:
        raise AwsError(
            "ValidationException",
            "MaxWaitTimeInSeconds can only be specified when EnableManagedSpotTraining is true",
        )
    if wait is not None and wait < run:
        raise AwsError(
            "ValidationException",
            f"Invalid MaxWaitTimeInSeconds. It must be equal to or greater than MaxRuntimeInSeconds "
            f"({run})",
        )
    if body["ResourceConfig"]["InstanceCount"] < 1:
        raise AwsError("ValidationException", "InstanceCount must be at least 1")


def _moto_jobs(region: str) -> dict[str, Any]:
    from moto.sagemaker.models import sagemaker_backends

    jobs: dict[str, Any] = sagemaker_backends[ACCOUNT][region].training_jobs
    return jobs


def _tell_moto(record: Record) -> None:
    """Let moto know how a job ended: its Search answers from there."""
    kept = _moto_jobs(record.region).get(record.name)
    if kept is not None:
        kept.training_job_status, kept.secondary_status = record.status, record.secondary
