"""Tiny models as the training containers write them, and waits for what the plane does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from containers.jobs import Rows, write_job

ROLE = "arn:aws:iam::123456789012:role/penstock"
LINEAR = "382416733822.dkr.ecr.us-east-1.amazonaws.com/linear-learner:1"
XGBOOST = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"
FEATURES = "penstock-features:latest"
DEADLINE_S = 60.0
POLL_S = 0.05


def trained(program: str, base: Path, hyperparameters: Mapping[str, str], rows: Rows) -> Path:
    """Run a training container on some rows; return the folder of its model."""
    write_job(base, dict(hyperparameters), {"train": rows})
    (base / "model").mkdir()
    ended = subprocess.run(
        [sys.executable, "-m", f"penstock.containers.{program}", "train"],
        env={**os.environ, "SAGEMAKER_BASE_DIR": str(base)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
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
