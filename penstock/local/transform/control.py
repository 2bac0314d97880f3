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

import threading
from collections.abc import Mapping
from typing import Any

from penstock.errors import InputError
from penstock.local.hosting.models import containers_of, not_supported
from penstock.local.site import ACCOUNT, Handler, Site
from penstock.local.transform.job import TransformJob
from penstock.local.transform.jsonpath import JsonPath
from penstock.local.transform.processing import KINDS, Kind, Processing
from penstock.local.validation import check
from penstock.local.wire import AwsError, Call

__all__ = ["Transform"]

MOST_MEGABYTES = 100
CREATE = "CreateTransformJob"


class Transform:
    """The service.

    Attributes:
        name: As botocore calls it.
    """

    name = "sagemaker"

    def __init__(self, site: Site) -> None:
        """Take the plane."""
        self._site = site
        self._jobs: dict[tuple[str, str], TransformJob] = {}
        self._creating = threading.Lock()

    def operations(self) -> Mapping[str, Handler]:
        """Return what is answered here."""
        return {
            CREATE: self._create,
            "DescribeTransformJob": self._forward,
            "ListTransformJobs": self._forward,
            "StopTransformJob": self._stop,
        }

    def stop(self) -> None:
        """End all jobs."""
        jobs = list(self._jobs.values())
        for job in jobs:
            if job.status in ("InProgress", "Stopping"):
                job.stop()
        for job in jobs:
            job.join()

    def _forward(self, call: Call) -> Mapping[str, Any]:
        return self._site.moto.forward(call)

    def _create(self, call: Call) -> Mapping[str, Any]:
        check("sagemaker", CREATE, call.body)
        body, region = call.body, call.region
        processing = _checked(body)
        name = body["TransformJobName"]
        specs = containers_of(self._site, region, body["ModelName"])
        with self._creating:
            if (region, name) in self._jobs:
                arn = f"arn:aws:sagemaker:{region}:{ACCOUNT}:transform-job/{name}"
                raise AwsError(
                    "ResourceInUse",
                    "Job name must be unique within an AWS account and region, and a job with this "
                    f"name already exists ({arn})",
                )
            answer = self._site.moto.forward(call)
            job = TransformJob(self._site, region, body, specs, processing)
            self._jobs[region, name] = job
        job.start()
        return answer

    def _stop(self, call: Call) -> Mapping[str, Any]:
        check("sagemaker", "StopTransformJob", call.body)
        name = call.body["TransformJobName"]
        job = self._jobs.get((call.region, name))
        if job is None:
            arn = f"arn:aws:sagemaker:{call.region}:{ACCOUNT}:transform-job/{name}"
            raise AwsError("ResourceNotFound", f"Could not find transform job '{arn}'.")
        if job.status not in ("InProgress", "Stopping"):
            raise AwsError(
                "ValidationException",
                f"The request was rejected because the transform job is in status {job.status}.",
            )
        job.stop()
        return {}


def _invalid(message: str) -> AwsError:
    return AwsError("ValidationException", message)


def _checked(body: Mapping[str, Any]) -> Processing:
    """Refuse what cannot be done; return what is done to records.

    Raises:
        AwsError: ValidationException, or what the plane does not have.
    """
    given, wanted = body["TransformInput"], body["TransformOutput"]
    source = given["DataSource"]["S3DataSource"]
    if source["S3DataType"] not in ("S3Prefix", "ManifestFile"):
        raise _invalid(f"S3DataType {source['S3DataType']} is not supported for transform jobs.")
    if given.get("SplitType") == "TFRecord":
        raise not_supported(CREATE, "SplitType TFRecord", "use RecordIO or Line")
    if body.get("DataCaptureConfig"):
        raise not_supported(CREATE, "DataCaptureConfig", "leave it out")
    for uri in (source["S3Uri"], wanted["S3OutputPath"]):
        if not uri.startswith("s3://"):
            raise _invalid(f"{uri!r} is no URI of S3, expected 's3://BUCKET/...'.")
    megabytes, concurrent = body.get("MaxPayloadInMB"), body.get("MaxConcurrentTransforms") or 1
    if megabytes == 0:
        raise not_supported(CREATE, "MaxPayloadInMB 0", "name a number of megabytes, up to 100")
    if (megabytes or 1) * concurrent > MOST_MEGABYTES:
        raise _invalid(
            f"MaxConcurrentTransforms * MaxPayloadInMB is {(megabytes or 1) * concurrent}, expected at "
            f"most {MOST_MEGABYTES}."
        )
    return _processing(body)


def _media(header: str | None) -> str:
    return (header or "").split(";")[0].strip().lower()


def _processing(body: Mapping[str, Any]) -> Processing:
    """Return what is done to records.

    Raises:
        AwsError: A path is none, or does not fit the formats.
    """
    given, wanted = body["TransformInput"], body["TransformOutput"]
    asked = body.get("DataProcessing") or {}
    content, split = _media(given.get("ContentType")), given.get("SplitType", "None")
    single = body.get("BatchStrategy") == "SingleRecord"
    document = content == "application/json" and (single or split == "None")
    kind: Kind = "csv" if content == "text/csv" else "document" if document else "lines"
    try:
        found = Processing(
            kind=kind,
            before=JsonPath.of(asked.get("InputFilter") or "$"),
            after=JsonPath.of(asked.get("OutputFilter") or "$"),
            join=asked.get("JoinSource") == "Input",
        )
    except InputError as error:
        raise _invalid(str(error)) from None
    if not found.nothing and (content not in KINDS or split == "RecordIO"):
        raise _invalid(
            f"DataProcessing needs ContentType {', '.join(KINDS)} and SplitType None or Line, found "
            f"{given.get('ContentType')!r} and {split!r}."
        )
    if found.join and _media(wanted.get("Accept")) != content:
        raise _invalid(
            f"JoinSource Input needs Accept and ContentType to be equal, found "
            f"{wanted.get('Accept')!r} and {given.get('ContentType')!r}."
        )
    if found.join and wanted.get("AssembleWith", "None") != split:
        raise _invalid(
            f"JoinSource Input needs AssembleWith and SplitType to be equal, found "
            f"{wanted.get('AssembleWith', 'None')!r} and {split!r}."
        )
    return found
