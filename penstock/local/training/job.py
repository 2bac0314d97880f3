"""One training job from its start to its end, in a thread of the plane."""

from __future__ import annotations

import re
import shutil
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from penstock import s3, storage
from penstock.errors import PenstockError
from penstock.host import Channel, TrainingRequest
from penstock.host.artifact import gathered, pack_files
from penstock.host.checkpoints import Checkpoints
from penstock.host.cluster import ClusterResult, run_hosts
from penstock.host.metrics import MetricReader
from penstock.host.training import Control, HostRun
from penstock.local.site import Site
from penstock.local.training.configfiles import checkpoint_folder, config_files
from penstock.local.training.inputs import resolved
from penstock.local.training.logs import LogStream
from penstock.local.training.record import Record

__all__ = ["Container", "Job"]

# What SageMaker takes when a request says nothing: a day.
DEFAULT_MAX_RUN_S = 86_400
# A pipe that sits unread for so long ends a job of the real service, too.
IDLE_TIMEOUT_S = 3600.0
LOG_PAUSE_S = 0.5
BLAMED = re.compile(
    r"(?P<host>host algo-\d+: )?(?P<blame>AlgorithmError|ClientError|InternalServerError): "
)
STOPPED_BY_PLANE = "InternalServerError: the local plane was stopped while the job ran"


# Status, secondary status and reason of the end.
Ending = tuple[str, str, str | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Container:
    """What a job runs.

    Attributes:
        command: Command and arguments.
        environment: Added to what the platform and the request give.
        built_in: Whether it is one of SageMaker's algorithms.
        metric_definitions: ``(name, regex)``.
    """

    command: tuple[str, ...]
    environment: Mapping[str, str]
    built_in: bool
    metric_definitions: tuple[tuple[str, str], ...]


class Job:
    """A job that waits, runs or has ended.

    Attributes:
        record: What it tells of itself.
        control: How it is ended.
    """

    def __init__(self, site: Site, record: Record, container: Container, *, grace_s: float) -> None:
        """Prepare; nothing runs yet."""
        self.record, self.control = record, Control()
        self._site, self._container, self._grace_s = site, container, grace_s
        self._reader = MetricReader(container.metric_definitions)
        self._reader_lock = threading.Lock()
        self._exceeded = False
        self._logs: list[LogStream] = []
        self._started = int(time.time())

    def work(self) -> None:
        """Run to the end; whatever happens, the record says how it ended."""
        workdir = self._site.workdir("training", self.record.region, self.record.name)
        ended = threading.Event()
        flushing = threading.Thread(target=self._flush_until, args=(ended,), daemon=True)
        flushing.start()
        try:
            ending = self._run(workdir)
        except PenstockError as error:
            ending = _failed(f"ClientError: {error}")
        except Exception as error:  # noqa: BLE001  the end of a job: whoever waits for it must hear
            traceback.print_exc(file=sys.stderr)
            ending = _failed(f"InternalServerError: {type(error).__name__}: {error}")
        # Whoever hears of the end finds all logs, and nothing left behind.
        ended.set()
        flushing.join()
        shutil.rmtree(workdir, ignore_errors=True)
        self.record.end(*ending)

    def _flush_until(self, ended: threading.Event) -> None:
        last = False
        while not last:
            last = ended.wait(LOG_PAUSE_S)
            for stream in self._logs:
                stream.flush()

    def _run(self, workdir: Path) -> Ending:
        record = self.record
        if not record.stopping:
            record.enter("Starting")
            record.enter("Downloading")
        try:
            channels = resolved(record.body)
            runs = self._hosts(workdir, channels)
            checkpoints = self._checkpoints(runs)
            for each in checkpoints:
                each.restore()
        except PenstockError as error:
            return _failed(f"ClientError: Data download failed: {error}")
        try:
            result = run_hosts(
                runs, abandon=self.control.abandon, on_training=partial(self._train, checkpoints)
            )
        finally:
            for each in checkpoints:
                each.abandon()
        return self._finish(result, runs, checkpoints)

    def _hosts(self, workdir: Path, channels: Sequence[Channel]) -> list[HostRun]:
        body = self.record.body
        count = int(body["ResourceConfig"].get("InstanceCount", 1))
        runs = []
        for host in range(count):
            folder = workdir / f"algo-{host + 1}"
            stream = LogStream(
                self._site,
                f"{self.record.name}/algo-{host + 1}-{self._started}",
                self.record.region,
            )
            self._logs.append(stream)
            runs.append(
                HostRun(
                    self._request(channels, host, count, folder / "ml"),
                    folder,
                    on_line=partial(self._line, stream),
                    on_stopping=self._stopping,
                    control=self.control,
                )
            )
        return runs

    def _request(
        self, channels: Sequence[Channel], host: int, hosts: int, base: Path
    ) -> TrainingRequest:
        body = self.record.body
        limit = body.get("StoppingCondition", {}).get("MaxRuntimeInSeconds", DEFAULT_MAX_RUN_S)
        return TrainingRequest(
            job=self.record.name,
            program=self._container.command,
            hyperparameters=body.get("HyperParameters", {}),
            channels=tuple(channels),
            max_run_s=float(limit),
            idle_timeout_s=IDLE_TIMEOUT_S,
            stop_grace_s=self._grace_s,
            environment=self._environment(base),
            host=host,
            hosts=hosts,
            instance_type=body["ResourceConfig"]["InstanceType"],
            files=config_files(body, self.record.arn, channels, host, hosts, base),
        )

    def _environment(self, base: Path) -> Mapping[str, str]:
        """Return what the container is given: its role's credentials, unless it is isolated."""
        isolated = self.record.body.get("EnableNetworkIsolation", False)
        return {
            **({} if isolated else self._site.environment(self.record.region)),
            "AWS_REGION": self.record.region,
            "TRAINING_JOB_ARN": self.record.arn,
            "SAGEMAKER_METRICS_DIRECTORY": str(base / "output" / "metrics" / "sagemaker"),
            "SAGEMAKER_DATA_PATH": str(base),
            **self._container.environment,
            **self.record.body.get("Environment", {}),
        }

    def _checkpoints(self, runs: Sequence[HostRun]) -> list[Checkpoints]:
        body = self.record.body
        found = []
        for run in runs:
            folder = checkpoint_folder(body, run.layout.base)
            if folder is not None:
                found.append(Checkpoints(folder, body["CheckpointConfig"]["S3Uri"], _objects))
        return found

    def _train(self, checkpoints: Sequence[Checkpoints]) -> None:
        if not self.record.stopping:
            self.record.enter("Training", "Downloading the training image")
            self.record.enter("Training")
        for each in checkpoints:
            each.start()

    def _line(self, stream: LogStream, line: str) -> None:
        with self._reader_lock:
            before = len(self._reader.found)
            self._reader.read(line)
            found = self._reader.found[before:]
        for metric in found:
            self.record.metric(metric.name, metric.value)
        # SageMaker's own algorithms log through a daemon that writes a tab so.
        stream.add(line.replace("\t", "#011") if self._container.built_in else line)

    def _stopping(self, reason: str) -> None:
        self._exceeded = self._exceeded or reason.startswith("MaxRuntimeExceeded")
        self.record.ask_to_stop()

    def _finish(
        self, result: ClusterResult, runs: Sequence[HostRun], checkpoints: Sequence[Checkpoints]
    ) -> Ending:
        if self._site.stopping.is_set():
            return _failed(STOPPED_BY_PLANE)
        if not any(run.started for run in runs):
            return _unstarted(result)
        self.record.enter("Uploading")
        try:
            for each in checkpoints:
                each.finish()
            self._upload(runs, with_model=result.status != "Failed")
        except PenstockError as error:
            return _failed(f"ClientError: Artifact upload failed: {error}")
        if any(run.data_failure for run in runs):
            return _failed(f"ClientError: Data download failed: {result.failure_reason}")
        if result.status == "Failed":
            return _failed(_blamed(str(result.failure_reason)))
        if result.status == "Stopped":
            return "Stopped", "MaxRuntimeExceeded" if self._exceeded else "Stopped", None
        return "Completed", "Completed", None

    def _upload(self, runs: Sequence[HostRun], *, with_model: bool) -> None:
        config = self.record.body["OutputDataConfig"]
        target = storage.join(config["S3OutputPath"], self.record.name, "output")
        loose = config.get("CompressionType") == "NONE"
        if with_model:
            uri = _packed([run.layout.model for run in runs], target, "model", loose=loose)
            if uri is not None:
                self.record.tell(ModelArtifacts={"S3ModelArtifacts": uri})
        _packed([run.layout.output_data for run in runs], target, "output", loose=loose)


def _packed(folders: Sequence[Path], target: str, name: str, *, loose: bool) -> str | None:
    """Write what hosts left; return its URI, or None when they left nothing."""
    files = gathered(folders)
    if not files:
        return None
    if not loose:
        uri = storage.join(target, f"{name}.tar.gz")
        pack_files(files, uri)
        return uri
    folder = storage.join(target, "model" if name == "model" else "data") + "/"
    for path, file in files.items():
        with file.open("rb") as stream, storage.open_output(folder + path) as output:
            shutil.copyfileobj(stream, output, 1 << 20)
    return folder


def _objects(prefix: str) -> list[str]:
    return [uri for uri, _, _ in s3.listing(prefix)]


def _failed(reason: str) -> Ending:
    return "Failed", "Failed", reason


def _unstarted(result: ClusterResult) -> Ending:
    """Return how a job ends whose program never started."""
    if result.status == "Stopped":
        return "Stopped", "Stopped", None
    if not result.hosts:  # they were laid out, and there is no such program
        return _failed(_blamed(str(result.failure_reason)))
    return _failed(f"ClientError: Data download failed: {result.failure_reason}")


def _blamed(reason: str) -> str:
    """Return a reason that begins with who is to blame, as the service's do.

    >>> _blamed("host algo-2: ClientError: no rows")
    'ClientError: host algo-2: no rows'
    """
    said = BLAMED.match(reason)
    if said is None:
        return f"AlgorithmError: {reason}"
    return f"{said['blame']}: {said['host'] or ''}{reason[said.end() :]}"
