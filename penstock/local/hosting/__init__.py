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

from penstock.local.site import Service, Site

__all__ = ["service"]


def service(site: Site) -> Service:
    """Return the service of a plane."""
    from penstock.local.hosting.service import Hosting

    return Hosting(site)
