"""What the platform's agent does around a container: config files, FIFOs, limits, logs, artifacts."""

from __future__ import annotations

from penstock.host.algorithms import (
    ALGORITHMS,
    Algorithm,
    algorithm,
    check_hyperparameters,
    hyperparameter_text,
)
from penstock.host.artifact import pack_model, unpack_model
from penstock.host.channel import Channel
from penstock.host.layout import TrainingRequest
from penstock.host.metrics import Metric
from penstock.host.results import ChannelUse, TrainingResult
from penstock.host.training import run_training

__all__ = [
    "ALGORITHMS",
    "Algorithm",
    "Channel",
    "ChannelUse",
    "Metric",
    "TrainingRequest",
    "TrainingResult",
    "algorithm",
    "check_hyperparameters",
    "hyperparameter_text",
    "pack_model",
    "run_training",
    "unpack_model",
]
