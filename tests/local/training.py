"""Training jobs for the tests of the plane: requests, waiting, what they left."""

from __future__ import annotations

import io
import json
import os
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]  # noqa: TID251  as any client does

from penstock.local import Plane

ROLE = "arn:aws:iam::123456789012:role/trainer"
TRAINER = "123456789012.dkr.ecr.us-east-1.amazonaws.com/trainer:1"
PROGRAM = Path(__file__).with_name("trainer.py")
DEADLINE_S = 60.0
POLL_S = 0.02
ENDED = ("Completed", "Failed", "Stopped")


@contextmanager
def training_plane(folder: Path, **settings: str) -> Iterator[Plane]:
    """Run a plane of its own, for which the image TRAINER is trainer.py."""
    folder.mkdir(exist_ok=True)
    mapping = {"*/trainer:*": {"command": ["python", str(PROGRAM)], "environment": {"MAPPED": "1"}}}
    (folder / "images.json").write_text(json.dumps(mapping))
    given = {f"PENSTOCK_TRAINING_{name.upper()}": value for name, value in settings.items()}
    before = {name: os.environ.get(name) for name in given}
    os.environ.update(given)
    try:
        with Plane(folder) as plane:
            yield plane
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def channel(name: str, uri: str, kind: str = "S3Prefix", **more: Any) -> dict[str, Any]:
    """Return one entry of InputDataConfig; ``source`` has more of its data source."""
    source = {"S3DataType": kind, "S3Uri": uri, **more.pop("source", {})}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}, **more}


class Jobs:
    """The training jobs of a plane, through plain boto3."""

    def __init__(self, plane: Plane) -> None:
        session = boto3.Session(
            aws_access_key_id="local", aws_secret_access_key="local", region_name="us-east-1"
        )
        self.plane = plane
        self.sagemaker, self.s3, self.logs = (
            session.client(name, endpoint_url=plane.endpoint)
            for name in ("sagemaker", "s3", "logs")
        )

    def put(self, bucket: str, objects: Mapping[str, bytes]) -> None:
        self.s3.create_bucket(Bucket=bucket)
        for key, content in objects.items():
            self.s3.put_object(Bucket=bucket, Key=key, Body=content)

    def create(self, name: str, bucket: str, *channels: dict[str, Any], **more: Any) -> None:
        """Create a job; ``do`` and others become hyperparameters, capitals members of the request."""
        given = {key: more.pop(key) for key in list(more) if key[0].isupper()}
        specification = {
            "TrainingImage": more.pop("image", TRAINER),
            "TrainingInputMode": more.pop("mode", "Pipe"),
            **given.pop("AlgorithmSpecification", {}),
        }
        request = {
            "TrainingJobName": name,
            "RoleArn": ROLE,
            "AlgorithmSpecification": specification,
            "OutputDataConfig": {"S3OutputPath": f"s3://{bucket}/out"},
            "ResourceConfig": {
                "InstanceType": "ml.m5.large",
                "InstanceCount": more.pop("hosts", 1),
                "VolumeSizeInGB": 10,
            },
            "StoppingCondition": {"MaxRuntimeInSeconds": more.pop("max_run_s", 600)},
            "HyperParameters": {key: str(value) for key, value in more.items()},
        }
        if channels:
            request["InputDataConfig"] = list(channels)
        self.sagemaker.create_training_job(**{**request, **given})

    def describe(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.sagemaker.describe_training_job(TrainingJobName=name)
        return found

    def until(self, condition: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + DEADLINE_S
        while not (found := condition()):
            assert time.monotonic() < deadline, "waited too long"
            time.sleep(POLL_S)
        return found

    def ended(self, name: str) -> dict[str, Any]:
        """Return the description of a job that has ended."""
        self.until(lambda: self.describe(name)["TrainingJobStatus"] in ENDED)
        return self.describe(name)

    def run(self, name: str, bucket: str, *channels: dict[str, Any], **more: Any) -> dict[str, Any]:
        self.create(name, bucket, *channels, **more)
        return self.ended(name)

    def lines(self, name: str, host: str = "algo-1") -> list[str]:
        """Return what a host has logged so far."""
        group = "/aws/sagemaker/TrainingJobs"
        try:
            streams = self.logs.describe_log_streams(
                logGroupName=group, logStreamNamePrefix=f"{name}/{host}-"
            )["logStreams"]
        except self.logs.exceptions.ResourceNotFoundException:
            return []
        if not streams:
            return []
        (stream,) = streams
        events = self.logs.get_log_events(
            logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True
        )["events"]
        return [each["message"] for each in events]

    def archive(self, described: Mapping[str, Any], name: str = "model") -> dict[str, bytes]:
        """Return the files of model.tar.gz or output.tar.gz."""
        where = described["OutputDataConfig"]["S3OutputPath"].removeprefix("s3://")
        bucket, _, prefix = where.partition("/")
        key = f"{prefix}/{described['TrainingJobName']}/output/{name}.tar.gz"
        content = self.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            return {each.name: archive.extractfile(each).read() for each in archive}  # type: ignore[union-attr]

    def report(self, described: Mapping[str, Any], host: str = "algo-1") -> dict[str, Any]:
        """Return what trainer.py reported on a host."""
        found: dict[str, Any] = json.loads(self.archive(described)[f"{host}.json"])
        return found

    def keys(self, bucket: str, prefix: str) -> list[str]:
        found = self.s3.list_objects_v2(Bucket=bucket, Prefix=prefix)
        return [each["Key"] for each in found.get("Contents", ())]


def transitions(described: Mapping[str, Any]) -> list[str]:
    return [each["Status"] for each in described["SecondaryStatusTransitions"]]


def processes_of(folder: Path) -> list[str]:
    """Command lines of living processes, but this one, that name a folder or run in it."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            command = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            where = str((path / "cwd").readlink())
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        named = str(folder) in command or where.startswith(str(folder))
        if named and int(path.name) != os.getpid() and "penstock.local.server" not in command:
            found.append(command)
    return found


def fifos_of(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_fifo()]
