"""moto's records of models, endpoints and transform jobs, which are told the truth: its Describe and List say it."""

from __future__ import annotations

from typing import Any

from penstock.local.site import ACCOUNT

__all__ = ["FAILURE_CHARACTERS", "endpoint", "model", "tell", "transform_job"]

FAILURE_CHARACTERS = 1024
"""What SageMaker keeps of a FailureReason."""


def model(region: str, name: str) -> Any:
    """Return moto's record of a model, or None."""
    return _backend(region)._models.get(name)


def endpoint(region: str, name: str) -> Any:
    """Return moto's record of an endpoint, or None."""
    return _backend(region).endpoints.get(name)


def transform_job(region: str, name: str) -> Any:
    """Return moto's record of a transform job, or None."""
    return _backend(region).transform_jobs.get(name)


def _backend(region: str) -> Any:
    from moto.sagemaker.models import sagemaker_backends

    return sagemaker_backends[ACCOUNT][region]


def tell(record: Any, **values: Any) -> None:
    """Set fields of a record, by moto's names, and when it was last changed."""
    from moto.core.utils import utcnow

    if values.get("failure_reason"):
        values["failure_reason"] = values["failure_reason"][:FAILURE_CHARACTERS]
    for name, value in values.items():
        setattr(record, name, value)
    record.last_modified_time = utcnow()
