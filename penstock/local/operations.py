"""Which operations the plane has: real work, moto's record only, or a refusal. Derived from the code."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from penstock.local.site import Service
from penstock.local.wire import service_model

__all__ = ["Operation", "recorded", "table"]

# botocore's name of a service -> moto's package of it.
PACKAGES = {"emr-serverless": "emrserverless", "sagemaker-runtime": "sagemakerruntime"}

# What moto remembers although it would have to do something, and nothing here does: refused.
PRETENDED: Mapping[str, frozenset[str]] = {
    "athena": frozenset({"CreateCapacityReservation"}),
    "emr": frozenset({"DescribeJobFlows"}),  # long deprecated, and moto knows no step's true state
    "glue": frozenset({"CreateDevEndpoint", "CreateMLTransform", "CreateSession"}),
    "sagemaker": frozenset(
        {
            "CreateAutoMLJobV2",
            "CreateCluster",
            "CreateCompilationJob",
            "CreateDomain",
            "CreateFeatureGroup",
            "CreateHyperParameterTuningJob",
            "CreateNotebookInstance",
            "CreateProcessingJob",
            "StartNotebookInstance",
            "StartPipelineExecution",
        }
    ),
    "sagemaker-runtime": frozenset({"InvokeEndpointAsync"}),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Operation:
    """One operation of a service.

    Attributes:
        service: As botocore calls it.
        name: As botocore calls it.
        kind: ``real``: it does what it says. ``recorded``: moto remembers it, and nothing happens.
            ``refused``: it is an error.
    """

    service: str
    name: str
    kind: Literal["real", "recorded", "refused"]


@lru_cache(maxsize=16)
def recorded(service: str) -> frozenset[str]:
    """Return the operations that moto keeps for a service. Imports moto's part of it."""
    from botocore import xform_name  # type: ignore[import-untyped]

    package = PACKAGES.get(service, service).replace("-", "")
    module = importlib.import_module(f"moto.{package}.responses")
    handlers = [
        each
        for each in vars(module).values()
        if isinstance(each, type) and each.__module__ == module.__name__
    ]
    kept = frozenset(
        name
        for name in service_model(service).operation_names
        if any(hasattr(each, xform_name(name)) for each in handlers)
    )
    return kept - PRETENDED.get(service, frozenset())


def table(services: Sequence[Service]) -> Iterator[Operation]:
    """Yield every operation of the services, by service and name."""
    for service in sorted({each.name for each in services}):
        real = {name for each in services if each.name == service for name in each.operations()}
        for name in sorted(service_model(service).operation_names):
            if name in real:
                yield Operation(service=service, name=name, kind="real")
            elif name in recorded(service):
                yield Operation(service=service, name=name, kind="recorded")
            else:
                yield Operation(service=service, name=name, kind="refused")
