"""Clients, models and endpoints for the tests of hosting and batch transform."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import boto3  # type: ignore[import-untyped]  # noqa: TID251  the unmodified client
import numpy as np
from botocore.config import Config  # type: ignore[import-untyped]
from containers.jobs import Rows, write_job

from penstock.containers import contract
from penstock.local import Plane

ROLE = "arn:aws:iam::123456789012:role/penstock"
LINEAR = "382416733822.dkr.ecr.us-east-1.amazonaws.com/linear-learner:1"
XGBOOST = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"
FEATURES = "penstock-features:latest"
ECHO = "123456789012.dkr.ecr.us-east-1.amazonaws.com/echo:1"
ECHO_PROGRAM = Path(__file__).with_name("echoserver.py")
DEADLINE_S = 60.0
POLL_S = 0.05
WAITER = {"Delay": 0.1, "MaxAttempts": 600}


def client(plane: Plane, service: str, **config: Any) -> Any:
    """Return an ordinary client of a plane."""
    return boto3.client(
        service,
        endpoint_url=plane.endpoint,
        region_name="us-east-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",
        config=Config(retries={"total_max_attempts": 1}, max_pool_connections=40, **config),
    )


@contextmanager
def echo_plane(folder: Path) -> Iterator[Plane]:
    """Run a plane of its own, for which the image ECHO is the echo server."""
    folder.mkdir()
    mapping = {"*/echo:*": {"command": [sys.executable, str(ECHO_PROGRAM)]}}
    (folder / "images.json").write_text(json.dumps(mapping))
    with Plane(folder) as plane:
        yield plane


@dataclass
class Hosts:
    """Endpoints of a plane, deleted at the end."""

    plane: Plane
    sagemaker: Any = None
    runtime: Any = None
    endpoints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sagemaker = client(self.plane, "sagemaker", parameter_validation=False)
        self.runtime = client(self.plane, "sagemaker-runtime")

    def model(self, name: str, *containers: Mapping[str, Any]) -> str:
        """Make a model of one container, or of several."""
        several = {"Containers": containers} if len(containers) > 1 else {}
        one = {} if several else {"PrimaryContainer": containers[0]}
        self.sagemaker.create_model(ModelName=name, ExecutionRoleArn=ROLE, **several, **one)
        return name

    def echo(self, name: str, **environment: str) -> str:
        """Make a model that echoes behind its name."""
        given = {"NAME": f"{name} ", **environment}
        return self.model(name, {"Image": ECHO, "Environment": given})

    def config(self, name: str, *variants: Mapping[str, Any], **more: Any) -> str:
        """Make a configuration; a variant needs its model's name only."""
        given = [
            {
                "VariantName": each["ModelName"],
                "InstanceType": "ml.m5.large",
                "InitialInstanceCount": 1,
                **each,
            }
            for each in variants
        ]
        self.sagemaker.create_endpoint_config(
            EndpointConfigName=name, ProductionVariants=given, **more
        )
        return name

    def create(self, name: str, *variants: Mapping[str, Any]) -> str:
        """Make an endpoint; does not wait."""
        self.config(name, *variants)
        self.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
        self.endpoints.append(name)
        return name

    def serving(self, name: str, *variants: Mapping[str, Any]) -> str:
        """Make an endpoint and wait until it is in service."""
        self.create(name, *variants)
        self.wait(name)
        return name

    def wait(self, name: str, what: str = "endpoint_in_service") -> None:
        """Wait as boto3 does."""
        self.sagemaker.get_waiter(what).wait(EndpointName=name, WaiterConfig=WAITER)

    def status(self, name: str) -> str:
        return str(self.sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"])

    def ask(self, name: str, body: bytes, content: str = "text/csv", **more: Any) -> Any:
        """Invoke an endpoint; the answer has ``Body`` as bytes."""
        found = self.runtime.invoke_endpoint(
            EndpointName=name, Body=body, ContentType=content, **more
        )
        return {**found, "Body": found["Body"].read()}

    def close(self) -> None:
        for name in self.endpoints:
            if self.status(name) in ("InService", "Failed"):
                self.sagemaker.delete_endpoint(EndpointName=name)


def trained(
    program: ModuleType, base: Path, hyperparameters: Mapping[str, str], rows: Rows
) -> Path:
    """Run a training container's program on some rows; return the folder of its model."""
    write_job(base, dict(hyperparameters), {"train": rows})
    (base / "model").mkdir()
    program.train(contract.open_job(base))
    return base / "model"


def until(done: Callable[[], Any], what: str) -> Any:
    """Return what ``done`` returns, once it is true."""
    deadline = time.monotonic() + DEADLINE_S
    while not (found := done()):
        assert time.monotonic() < deadline, what
        time.sleep(POLL_S)
    return found


def csv_of(features: np.ndarray) -> bytes:
    """Return a matrix as CSV, each number the shortest that gives the same float32."""
    return "".join(",".join(map(str, row)) + "\n" for row in features).encode()


def instances_of(features: np.ndarray) -> bytes:
    """Return a matrix as SageMaker's JSON."""
    return json.dumps({"instances": [{"features": row} for row in features.tolist()]}).encode()


def processes(marker: str) -> list[int]:
    """Return the processes whose environment holds a text."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes()
        except OSError:
            continue
        if marker.encode() in environment:
            found.append(int(folder.name))
    return found


def kill(process: int) -> None:
    """End a process without asking it."""
    os.kill(process, signal.SIGKILL)
