"""SageMaker hosting on the plane: endpoints are real servers, one process for each variant and container.

What is real: models of one container or of several as a pipeline, whose model.tar.gz is fetched from S3
and unpacked; endpoints with weighted variants, whose programs get a port of their own
(SAGEMAKER_BIND_TO_PORT) and must answer /ping with 200; updates, for which new variants come up before
the old ones go; weights; InvokeEndpoint with its headers, limits, timeouts and errors; programs that
die are started again; logs in /aws/sagemaker/Endpoints/NAME. SageMaker's own images run
penstock.containers.scoring; an image whose repository is called penstock-features runs the plan's
container; other images run what the mapping file of training says, with the argument ``serve``.

Limits. One process serves a variant, whatever its instance count; instance types, roles, VPCs and keys
are recorded and change nothing. Serverless, asynchronous, multi-model and shadow variants, inference
components, data capture, explainers and uncompressed model data are refused.
ContainerStartupHealthCheckTimeoutInSeconds may be less than SageMaker's 60 seconds.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from penstock.local.hosting import records
from penstock.local.hosting.endpoint import Endpoint
from penstock.local.hosting.fleet import fleet_of
from penstock.local.hosting.models import check_model, not_supported
from penstock.local.site import ACCOUNT, Handler, Site
from penstock.local.validation import check
from penstock.local.wire import AwsError, Call

__all__ = ["Hosting"]

CONFIG_REFUSED = {
    "AsyncInferenceConfig": "use InvokeEndpoint, or batch transform",
    "ShadowProductionVariants": "use production variants",
    "ExplainerConfig": "leave it out",
}
VARIANT_REFUSED = {
    "ServerlessConfig": "name an InstanceType and InitialInstanceCount",
    "InstancePools": "name one InstanceType",
    "ManagedInstanceScaling": "name InitialInstanceCount",
    "CapacityReservationConfig": "leave it out",
}
VARIANT_PROPERTIES = ("DesiredInstanceCount", "DesiredWeight")
# What stands for instance types that are newer than moto; the name goes back as it came.
MOTO_INSTANCE = "ml.m5.large"
STARTUP = "ContainerStartupHealthCheckTimeoutInSeconds"
SHORTEST_STARTUP_S = 60


class Hosting:
    """The service.

    Attributes:
        name: As botocore calls it.
    """

    name = "sagemaker"

    def __init__(self, site: Site) -> None:
        """Take the plane."""
        self._site, self._fleet = site, fleet_of(site)
        self._variants: dict[tuple[str, str], list[dict[str, Any]]] = {}
        self._creating = threading.Lock()

    def operations(self) -> Mapping[str, Handler]:
        """Return what is answered here."""
        return {
            "CreateModel": self._create_model,
            "DescribeModel": self._forward,
            "CreateEndpointConfig": self._create_config,
            "DescribeEndpointConfig": self._describe_config,
            "CreateEndpoint": self._create_endpoint,
            "DescribeEndpoint": self._forward,
            "ListEndpoints": self._forward,
            "UpdateEndpoint": self._update_endpoint,
            "UpdateEndpointWeightsAndCapacities": self._reweigh,
            "DeleteEndpoint": self._delete_endpoint,
        }

    def stop(self) -> None:
        """End all servers."""
        self._fleet.stop()

    def _forward(self, call: Call) -> Mapping[str, Any]:
        # moto answers {} for what was not given, which sagemaker-core takes for a broken VpcConfig.
        found = self._site.moto.forward(call)
        return {name: value for name, value in found.items() if value != {}}

    def _there(self, region: str, operation: str, **name: str) -> bool:
        try:
            self._site.moto.ask("sagemaker", operation, region=region, **name)
        except AwsError:
            return False
        return True

    def _create_model(self, call: Call) -> Mapping[str, Any]:
        check("sagemaker", "CreateModel", call.body)
        name = call.body["ModelName"]
        if self._there(call.region, "DescribeModel", ModelName=name):
            raise _exists("model", call.region, "model", name)
        check_model(self._site, call.body)
        answer = self._site.moto.forward(call)
        # What moto does not keep.
        record = records.model(call.region, name)
        record.enable_network_isolation = bool(call.body.get("EnableNetworkIsolation"))
        record.inference_execution_config = call.body.get("InferenceExecutionConfig")
        return answer

    def _create_config(self, call: Call) -> Mapping[str, Any]:
        variants = [dict(each) for each in call.body.get("ProductionVariants") or []]
        # A shorter time than SageMaker's shortest is for tests of what comes after it.
        lenient = [_with_startup(each) for each in variants]
        check("sagemaker", "CreateEndpointConfig", {**call.body, "ProductionVariants": lenient})
        _check_config(call.body, variants)
        name = call.body["EndpointConfigName"]
        if self._there(call.region, "DescribeEndpointConfig", EndpointConfigName=name):
            raise _exists("endpoint configuration", call.region, "endpoint-config", name)
        try:
            return self._site.moto.forward(call)
        except AwsError:
            known = [{**each, "InstanceType": MOTO_INSTANCE} for each in variants]
            answer = self._site.moto.forward(call, {**call.body, "ProductionVariants": known})
        self._variants[call.region, name] = variants
        return answer

    def _describe_config(self, call: Call) -> Mapping[str, Any]:
        check("sagemaker", "DescribeEndpointConfig", call.body)
        found = self._forward(call)
        kept = self._variants.get((call.region, call.body["EndpointConfigName"]))
        return found if kept is None else {**found, "ProductionVariants": kept}

    def _config(self, region: str, name: str) -> list[dict[str, Any]]:
        """Return the variants of a configuration.

        Raises:
            AwsError: There is none.
        """
        found = self._site.moto.ask(
            "sagemaker", "DescribeEndpointConfig", region=region, EndpointConfigName=name
        )
        return self._variants.get((region, name)) or list(found["ProductionVariants"])

    def _create_endpoint(self, call: Call) -> Mapping[str, Any]:
        check("sagemaker", "CreateEndpoint", call.body)
        name, region = call.body["EndpointName"], call.region
        config = self._config(region, call.body["EndpointConfigName"])
        with self._creating:
            if self._fleet.get(region, name) is not None:
                raise _exists("endpoint", region, "endpoint", name)
            answer = self._site.moto.forward(call)
            endpoint = Endpoint(self._site, region, name)
            self._fleet.add(region, endpoint)
            try:
                endpoint.create(config)
            except AwsError:
                self._forget(region, name)
                raise
        return answer

    def _update_endpoint(self, call: Call) -> Mapping[str, Any]:
        check("sagemaker", "UpdateEndpoint", call.body)
        endpoint = self._endpoint(call)
        policy = (call.body.get("DeploymentConfig") or {}).get("BlueGreenUpdatePolicy") or {}
        routing = (policy.get("TrafficRoutingConfiguration") or {}).get("Type", "ALL_AT_ONCE")
        rolling = (call.body.get("DeploymentConfig") or {}).get("RollingUpdatePolicy")
        if rolling or routing != "ALL_AT_ONCE":
            what = "RollingUpdatePolicy" if rolling else f"traffic routing {routing}"
            raise not_supported("UpdateEndpoint", what, "use ALL_AT_ONCE, or no DeploymentConfig")
        name = call.body["EndpointConfigName"]
        retained = set(VARIANT_PROPERTIES if call.body.get("RetainAllVariantProperties") else ())
        for each in call.body.get("ExcludeRetainedVariantProperties") or ():
            retained.discard(each["VariantPropertyType"])
        endpoint.update(name, self._config(call.region, name), retained=retained)
        return {"EndpointArn": endpoint.arn}

    def _reweigh(self, call: Call) -> Mapping[str, Any]:
        check("sagemaker", "UpdateEndpointWeightsAndCapacities", call.body)
        endpoint = self._endpoint(call)
        endpoint.reweigh(call.body["DesiredWeightsAndCapacities"])
        return {"EndpointArn": endpoint.arn}

    def _delete_endpoint(self, call: Call) -> Mapping[str, Any]:
        check("sagemaker", "DeleteEndpoint", call.body)
        endpoint, region = self._endpoint(call), call.region
        endpoint.delete(lambda: self._forget(region, endpoint.name))
        return {}

    def _forget(self, region: str, name: str) -> None:
        self._fleet.remove(region, name)
        self._site.moto.ask("sagemaker", "DeleteEndpoint", region=region, EndpointName=name)

    def _endpoint(self, call: Call) -> Endpoint:
        name = call.body["EndpointName"]
        found = self._fleet.get(call.region, name)
        if found is None:
            arn = _arn(call.region, "endpoint", name)
            raise AwsError("ValidationException", f'Could not find endpoint "{arn}".')
        return found


def _arn(region: str, kind: str, name: str) -> str:
    return f"arn:aws:sagemaker:{region}:{ACCOUNT}:{kind}/{name}"


def _exists(what: str, region: str, kind: str, name: str) -> AwsError:
    arn = _arn(region, kind, name)
    return AwsError("ValidationException", f'Cannot create already existing {what} "{arn}".')


def _with_startup(variant: Mapping[str, Any]) -> dict[str, Any]:
    given = variant.get(STARTUP)
    if not isinstance(given, int) or not 1 <= given < SHORTEST_STARTUP_S:
        return dict(variant)
    return {**variant, STARTUP: SHORTEST_STARTUP_S}


def _check_config(body: Mapping[str, Any], variants: list[dict[str, Any]]) -> None:
    """Refuse what cannot be served.

    Raises:
        AwsError: Of that kind, or ValidationException.
    """
    operation = "CreateEndpointConfig"
    for name, instead in CONFIG_REFUSED.items():
        if body.get(name):
            raise not_supported(operation, name, instead)
    if (body.get("DataCaptureConfig") or {}).get("EnableCapture"):
        raise not_supported(operation, "DataCaptureConfig", "leave it out")
    for variant in variants:
        for name, instead in VARIANT_REFUSED.items():
            if variant.get(name):
                raise not_supported(operation, name, instead)
        if not variant.get("ModelName"):
            raise not_supported(operation, "a variant without ModelName", "name a model")
        if not variant.get("InstanceType"):
            raise AwsError(
                "ValidationException",
                f"Variant {variant['VariantName']} has no InstanceType, expected one.",
            )
    names = [variant["VariantName"] for variant in variants]
    if len(set(names)) < len(names):
        raise AwsError("ValidationException", f"Variant names must differ, found {names}.")
