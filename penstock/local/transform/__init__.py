"""SageMaker batch transform on the plane: a model's servers get S3's objects, piece by piece.

What is real: S3Prefix and ManifestFile, gzip; SplitType None, Line and RecordIO; both batch strategies;
AssembleWith; sizes and concurrency from the request, else from /execution-parameters, else 6 MB and 1;
retries; InputFilter, JoinSource and OutputFilter for CSV, JSON and JSON Lines; one ``.out`` object for
each input object, written when all of it was answered; pipelines; logs in /aws/sagemaker/TransformJobs.
An object that fails has no output and the job ends Failed, when all others are done.

Limits. One process does the work of all instances. A slice ``[a:b]`` of a JSONPath ends before ``b``.
TFRecord, MaxPayloadInMB 0 (chunks without an end) and data capture are refused.
"""

from __future__ import annotations

from penstock.local.site import Service, Site

__all__ = ["service"]


def service(site: Site) -> Service:
    """Return the service of a plane."""
    from penstock.local.transform.service import Transform

    return Transform(site)
