"""InvokeEndpoint on the plane: the servers of an endpoint answer, over HTTP.

What is real: the choice of a variant by weight or by TargetVariant; Content-Type, Accept and
CustomAttributes there and back, and no other header; bodies up to 6 MiB; 60 seconds for an answer;
ModelError with the container's status and words, ServiceUnavailable while a server is started again.
TargetModel, TargetContainerHostname, sessions, explanations and inference components are refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from penstock.local.hosting.chain import ContainerError
from penstock.local.hosting.client import Unreachable
from penstock.local.hosting.fleet import fleet_of
from penstock.local.site import ACCOUNT, Handler, Service, Site
from penstock.local.wire import Answer, AwsError, Call

__all__ = ["Runtime", "service"]

MOST_BYTES = 6_291_456
INVOCATION_S = 60.0
CUSTOM = "X-Amzn-SageMaker-Custom-Attributes"
VARIANT = "x-Amzn-Invoked-Production-Variant"
MOST_CUSTOM_CHARACTERS = 1024
_PRINTABLE = re.compile(r"[\x20-\x7e]*")
REFUSED = {
    "X-Amzn-SageMaker-Target-Model": "TargetModel",
    "X-Amzn-SageMaker-Target-Container-Hostname": "TargetContainerHostname",
    "X-Amzn-SageMaker-Inference-Component": "InferenceComponentName",
    "X-Amzn-SageMaker-Enable-Explanations": "EnableExplanations",
    "X-Amzn-SageMaker-Session-Id": "SessionId",
}


def service(site: Site) -> Service:
    """Return the service of a plane."""
    return Runtime(site)


class Runtime:
    """The service.

    Attributes:
        name: As botocore calls it.
    """

    name = "sagemaker-runtime"

    def __init__(self, site: Site) -> None:
        """Take the plane."""
        self._fleet = fleet_of(site)

    def operations(self) -> Mapping[str, Handler]:
        """Return what is answered here."""
        return {"InvokeEndpoint": self._invoke}

    def stop(self) -> None:
        """Do nothing: the servers belong to those who made them."""

    def _invoke(self, call: Call) -> Answer:
        name = call.body["EndpointName"]
        _check(call)
        endpoint = self._fleet.get(call.region, name)
        if endpoint is None or not endpoint.variants:
            status = "" if endpoint is None else f"\n  it is {endpoint.status}"
            raise AwsError(
                "ValidationError", f"Endpoint {name} of account {ACCOUNT} not found.{status}"
            )
        variant = endpoint.chosen(call.header("X-Amzn-SageMaker-Target-Variant"))
        try:
            reply = variant.chain.invoke(call.raw, _headers(call), INVOCATION_S)
        except Unreachable as error:
            raise AwsError(
                "ServiceUnavailable",
                f"Variant {variant.name} of endpoint {name} cannot be reached: {error}",
                status=503,
            ) from None
        except ContainerError as error:
            raise error.as_aws(endpoint.group) from None
        headers = {VARIANT: variant.name}
        if "content-type" in reply.headers:
            headers["Content-Type"] = reply.headers["content-type"]
        if CUSTOM.lower() in reply.headers:
            headers[CUSTOM] = reply.headers[CUSTOM.lower()]
        return Answer(headers=headers, body=reply.body)


def _check(call: Call) -> None:
    for header, what in REFUSED.items():
        if call.header(header):
            raise AwsError(
                "NotSupportedByLocalPlane",
                f"sagemaker-runtime.InvokeEndpoint: {what} is not in the local plane\n  leave it out",
                status=501,
            )
    if len(call.raw) > MOST_BYTES:
        raise AwsError(
            "ValidationError",
            "1 validation error detected: Value at 'body' failed to satisfy constraint: Member must "
            f"have length less than or equal to {MOST_BYTES}",
        )
    custom = call.header(CUSTOM) or ""
    if len(custom) > MOST_CUSTOM_CHARACTERS or not _PRINTABLE.fullmatch(custom):
        raise AwsError(
            "ValidationError",
            "1 validation error detected: Value at 'customAttributes' failed to satisfy constraint: "
            f"Member must have at most {MOST_CUSTOM_CHARACTERS} printable ASCII characters",
        )


def _headers(call: Call) -> dict[str, str]:
    """Return what the container is told; all other headers stay outside."""
    given = {
        "Content-Type": call.header("Content-Type"),
        "Accept": call.header("Accept"),
        CUSTOM: call.header(CUSTOM),
        "X-Amzn-SageMaker-Inference-Id": call.header("X-Amzn-SageMaker-Inference-Id"),
    }
    return {name: value for name, value in given.items() if value}
