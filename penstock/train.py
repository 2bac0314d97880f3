"""dataset x algorithm -> model: one training job, its artifact, its log and its numbers.

models/<pipeline>/<model>/<run>/model.tar.gz     what the container left in /opt/ml/model
                               /log.txt          its standard output and error
                               /training.json    written last: status, metrics by epoch, channels
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from penstock import storage
from penstock.dataset import Dataset
from penstock.errors import TrainingFailedError
from penstock.host import (
    Channel,
    TrainingRequest,
    TrainingResult,
    algorithm,
    check_hyperparameters,
    hyperparameter_text,
    pack_model,
    run_training,
)
from penstock.spec import TrainSpec

__all__ = ["TRAINING_FILE", "train", "training_request"]

TRAINING_FILE = "training.json"


def training_request(
    model: TrainSpec, channels: Mapping[str, Dataset], *, job: str
) -> TrainingRequest:
    """Return the request of one training job. Pure: reads nothing, starts nothing.

    Raises:
        InputError: The algorithm does not take these hyperparameters; all problems at once.
    """
    chosen = algorithm(model.algorithm)
    hyperparameters = {
        name: hyperparameter_text(value) for name, value in model.hyperparameters.items()
    }
    check_hyperparameters(model.algorithm, hyperparameters)
    return TrainingRequest(
        job=job,
        program=chosen.program,
        hyperparameters=hyperparameters,
        channels=tuple(
            Channel(
                name=name,
                uris=dataset.shard_uris(),
                size_bytes=tuple(shard.size_bytes for shard in dataset.shards),
                input_mode=model.input_mode,
            )
            for name, dataset in channels.items()
        ),
        max_run_s=model.max_run_s,
        idle_timeout_s=model.idle_timeout_s,
        metric_definitions=chosen.metric_definitions,
    )


def train(
    model: TrainSpec,
    channels: Mapping[str, Dataset],
    *,
    job: str,
    target: str,
    on_line: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Run one training job and keep what it leaves below ``target``. Starts no Spark job.

    The shards that the manifests list pass through a FIFO per channel and epoch (Pipe) or are laid
    out as files. Memory here does not grow with the data; the container's is the algorithm's.

    Args:
        model: Algorithm, hyperparameters, limits.
        channels: Channel name -> dataset.
        job: Name of the job.
        target: Folder of its outputs; what stands there is removed.
        on_line: Called with each line of the log.

    Returns:
        The content of training.json.

    Raises:
        TrainingFailedError: It ended Failed or Stopped. Its log is kept.
        InputError: The algorithm does not take these hyperparameters.
    """
    request = training_request(model, channels, job=job)
    storage.delete_prefix(target)
    workdir = Path(tempfile.mkdtemp(prefix="penstock-job-"))
    try:
        result = run_training(request, workdir=workdir, on_line=on_line)
        log = storage.join(target, "log.txt")
        storage.write_bytes(log, result.log_path.read_bytes() if result.log_path.exists() else b"")
        if result.status != "Completed":
            raise TrainingFailedError(job, result.status, result.failure_reason or "", log)
        pack_model(result.model_dir, storage.join(target, "model.tar.gz"))
        body = _body(model, request, result, channels)
    finally:
        shutil.rmtree(workdir, ignore_errors=True)
    content = json.dumps(body, indent=1) + "\n"
    storage.write_bytes(storage.join(target, TRAINING_FILE), content.encode())
    return body


def _body(
    model: TrainSpec,
    request: TrainingRequest,
    result: TrainingResult,
    channels: Mapping[str, Dataset],
) -> dict[str, Any]:
    facts = json.loads((result.model_dir / "model.json").read_text())
    return {
        "job": request.job,
        "algorithm": model.algorithm,
        "status": result.status,
        "hyperparameters": dict(request.hyperparameters),
        "seconds": round(result.seconds, 3),
        "channels": {
            name: {
                "rows": channels[name].rows,
                "bytes": use.bytes,
                "epochs": use.epochs,
                "mode": use.mode,
            }
            for name, use in result.channels.items()
        },
        "metrics": [metric._asdict() for metric in result.metrics],
        "best_epoch": facts.get("best_epoch"),
        "width": channels["train"].width,
    }
