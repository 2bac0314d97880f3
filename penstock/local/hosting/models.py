"""Models as requests describe them -> the containers that serve them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from penstock import storage
from penstock.errors import PenstockError
from penstock.local.hosting.images import server_of
from penstock.local.site import Site
from penstock.local.wire import AwsError

__all__ = ["PRIMARY", "ContainerSpec", "check_model", "containers_of", "not_supported"]

PRIMARY = "primary"
MOST_CONTAINERS = 15
REFUSED = ("ModelPackageName", "InferenceSpecificationName", "ModelDataSource")


@dataclass(frozen=True, kw_only=True, slots=True)
class ContainerSpec:
    """One container of a model.

    Attributes:
        name: As errors call it: ``primary``, or the hostname in a pipeline.
        image: Its URI.
        model_uri: Of model.tar.gz; None when it brings its model along.
        environment: Of the request.
        isolated: Whether it gets no credentials, nor the address of the plane.
    """

    name: str
    image: str
    model_uri: str | None
    environment: Mapping[str, str]
    isolated: bool = False


def not_supported(operation: str, what: str, instead: str) -> AwsError:
    """Return the error that the plane cannot do what a request asks for."""
    return AwsError(
        "NotSupportedByLocalPlane",
        f"sagemaker.{operation}: {what} is not in the local plane\n  {instead}",
        status=501,
    )


def check_model(site: Site, body: Mapping[str, Any]) -> None:
    """Check a CreateModel beyond its shape: only what can be served becomes a model.

    Raises:
        AwsError: ValidationException as SageMaker has it, or what the plane cannot do.
    """
    single, several = body.get("PrimaryContainer"), body.get("Containers")
    if bool(single) == bool(several):
        found = "both PrimaryContainer and" if single else "neither PrimaryContainer nor"
        raise AwsError(
            "ValidationException", f"CreateModel has {found} Containers, expected one of them"
        )
    if (body.get("InferenceExecutionConfig") or {}).get("Mode") == "Direct":
        raise not_supported("CreateModel", "InferenceExecutionConfig Direct", "use Serial")
    if several and not 2 <= len(several) <= MOST_CONTAINERS:
        raise AwsError(
            "ValidationException",
            f"Containers has {len(several)} members, expected 2 to {MOST_CONTAINERS}",
        )
    named = [each["ContainerHostname"] for each in several or () if each.get("ContainerHostname")]
    if len(set(named)) < len(named):
        raise AwsError("ValidationException", f"container hostnames must differ, found {named}")
    for container in several or [single]:
        _check_container(site, container)


def _check_container(site: Site, container: Mapping[str, Any]) -> None:
    for name in REFUSED:
        if container.get(name):
            raise not_supported("CreateModel", name, "name an Image and ModelDataUrl")
    if container.get("AdditionalModelDataSources"):
        raise not_supported("CreateModel", "AdditionalModelDataSources", "put all in model.tar.gz")
    if container.get("Mode") == "MultiModel" or container.get("MultiModelConfig"):
        raise not_supported("CreateModel", "a multi-model container", "make one model for each")
    if not container.get("Image"):
        raise AwsError("ValidationException", "a container has no Image, expected one")
    server_of(container["Image"], site.folder)
    uri = container.get("ModelDataUrl")
    if not uri:
        return
    try:
        there = uri.startswith("s3://") and storage.exists(uri)
    except PenstockError:  # no such bucket
        there = False
    if not there:
        raise AwsError("ValidationException", f"Could not find model data at {uri}.")


def containers_of(site: Site, region: str, model: str) -> tuple[ContainerSpec, ...]:
    """Return the containers of a model, in the order in which a request passes them.

    Raises:
        AwsError: There is no such model.
    """
    found = site.moto.ask("sagemaker", "DescribeModel", region=region, ModelName=model)
    return tuple(_specs(found))


def _specs(model: Mapping[str, Any]) -> Iterator[ContainerSpec]:
    several = model.get("Containers") or []
    for number, container in enumerate(several or [model["PrimaryContainer"]], 1):
        name = container.get("ContainerHostname") or f"container-{number}"
        yield ContainerSpec(
            name=name if several else PRIMARY,
            image=container["Image"],
            model_uri=container.get("ModelDataUrl"),
            environment=container.get("Environment") or {},
            isolated=bool(model.get("EnableNetworkIsolation")),
        )
