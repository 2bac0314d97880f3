"""The only boto3: clients, as every AWS client is set, and what AWS refuses, as errors of ours.

Endpoint, region and credentials come from where botocore finds them: AWS_ENDPOINT_URL_S3,
AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_PROFILE and its files, roles of the machine. The region is
AWS_REGION, else AWS_DEFAULT_REGION, else the profile's, else us-east-1.

Retries are bounded. A call is tried 6 times (AWS_MAX_ATTEMPTS says otherwise) when the service answers
500, 502, 503, 504 or a throttling code, or when the network fails; the pauses grow, 31 s in all at
most. A connection may take 10 s, an answer 60 s from one byte to the next.

boto3 is imported when the first client is made.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from penstock.errors import ServiceError

__all__ = [
    "CONNECT_TIMEOUT_S",
    "READ_TIMEOUT_S",
    "Settings",
    "call",
    "client",
    "code_of",
    "environment",
    "failed",
    "max_attempts",
    "network_errors",
    "reached",
    "s3_settings",
]

MAX_ATTEMPTS = 6
CONNECT_TIMEOUT_S = 10
READ_TIMEOUT_S = 60
DEFAULT_REGION = "us-east-1"
POOLED_CONNECTIONS = 16

_PASSING_CODES = frozenset(
    {"ConditionalRequestConflict", "OperationAborted", "RequestTimeout", "SlowDown"}
)
_SETTINGS = "check the AWS settings and credentials in the environment"
_FORBIDDEN = "check the credentials in the environment and the policies of bucket and key"
_REMEDIES: Mapping[str, str] = {
    "NoSuchBucket": "make the bucket, or correct the URI",
    "AccessDenied": _FORBIDDEN,
    "403": _FORBIDDEN,  # a HEAD has no body that says more
    "ExpiredToken": "renew the credentials in the environment",
}

Environment = tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """Where S3 is, for clients other than boto3.

    Attributes:
        region: Name of the region.
        endpoint: URL that stands in for S3's own; None for S3 itself.
    """

    region: str
    endpoint: str | None


def environment() -> Environment:
    """Return what clients depend on: this process and its AWS_ variables. A key for caches."""
    found = sorted((name, value) for name, value in os.environ.items() if name.startswith("AWS_"))
    return (("pid", str(os.getpid())), *found)


def max_attempts() -> int:
    """Return how often a call is tried before it fails: AWS_MAX_ATTEMPTS, or 6."""
    return int(os.environ.get("AWS_MAX_ATTEMPTS", MAX_ATTEMPTS))


def client(service: str) -> Any:
    """Return the boto3 client of a service, like ``s3``; calls nothing, may be shared by threads.

    Made once per process and set of AWS_ variables: 0.2 s the first time, then nothing.

    Raises:
        ServiceError: The settings of AWS contradict each other, or name a profile that is not there.
    """
    from botocore.exceptions import BotoCoreError  # type: ignore[import-untyped]

    try:
        return _client(service, environment())
    except (BotoCoreError, ValueError) as error:  # ValueError: an endpoint without a scheme
        raise failed(
            f"AWS {service} cannot be asked: {error}\n  {_SETTINGS}", retryable=False
        ) from error


@lru_cache(maxsize=16)
def _client(service: str, environment: Environment, own_endpoint: bool = False) -> Any:  # noqa: FBT001, FBT002
    del environment  # only what the cache goes by
    import boto3  # type: ignore[import-untyped]  # noqa: TID251  this is where it is allowed
    from botocore.config import Config  # type: ignore[import-untyped]

    session = boto3.session.Session()
    config = Config(
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=READ_TIMEOUT_S,
        max_pool_connections=POOLED_CONNECTIONS,
        retries={
            "mode": os.environ.get("AWS_RETRY_MODE", "standard"),
            "total_max_attempts": max_attempts(),
        },
        ignore_configured_endpoint_urls=own_endpoint,
    )
    region = os.environ.get("AWS_REGION") or session.region_name or DEFAULT_REGION
    return session.client(service, region_name=region, config=config)


def s3_settings() -> Settings:
    """Return where :func:`client` finds S3, so that pyarrow can be told the same."""
    endpoint = client("s3").meta.endpoint_url
    own = _client("s3", environment(), own_endpoint=True).meta.endpoint_url
    region = client("s3").meta.region_name
    return Settings(region=region, endpoint=None if endpoint == own else endpoint)


def call(
    uri: str, operation: str, *, accepted: Collection[str] = (), **parameters: Any
) -> dict[str, Any]:
    """Call an operation of S3, like ``put_object``, and return the answer.

    Args:
        uri: What it is about, for messages.
        operation: As boto3 names it.
        accepted: Error codes that are an answer: then the error's body is returned, see
            :func:`code_of`.
        parameters: As boto3 names them.

    Raises:
        ServiceError: S3 refused, or did not answer in the tries and times of this module's head.
    """
    from botocore.exceptions import ClientError

    with reached(uri, operation):
        try:
            answer: dict[str, Any] = getattr(client("s3"), operation)(**parameters)
        except ClientError as error:
            if code_of(error.response) not in accepted:
                raise
            answer = error.response
    return answer


def code_of(answer: Mapping[str, Any]) -> str:
    """Return the error code of an answer, or ``""`` when it is none."""
    return str(answer.get("Error", {}).get("Code", ""))


@contextmanager
def reached(uri: str, operation: str) -> Iterator[None]:
    """Word what AWS refuses and what the network fails to carry.

    Raises:
        ServiceError: With ``retryable`` set when the same call may succeed later.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        raise _refused(uri, error) from error
    except BotoCoreError as error:
        raise _unanswered(uri, operation, error) from error


def network_errors() -> tuple[type[Exception], ...]:
    """Return what reading the body of an answer raises when the connection breaks."""
    from botocore import exceptions  # type: ignore[import-untyped]

    return (
        exceptions.HTTPClientError,
        exceptions.ConnectionError,
        exceptions.IncompleteReadError,
        exceptions.FlexibleChecksumError,
    )


def failed(text: str, *, retryable: bool) -> ServiceError:
    """Return a ServiceError that says whether the same call may succeed later."""
    error = ServiceError(text)
    error.retryable = retryable
    return error


def _refused(uri: str, error: Any) -> ServiceError:
    code, about = code_of(error.response), error.response.get("ResponseMetadata", {})
    status, tries = int(about.get("HTTPStatusCode", 0)), int(about.get("RetryAttempts", 0)) + 1
    passing = status >= 500 or code in _PASSING_CODES or "Throttl" in code
    otherwise = "check bucket, key and endpoint, and the credentials in the environment"
    remedy = "run it again later" if passing else _REMEDIES.get(code, otherwise)
    times = f", {tries} times" if tries > 1 else ""
    named = code if code != str(status) else ""
    message = str(error.response.get("Error", {}).get("Message", "")).rstrip(".")
    return failed(
        f"{uri!r}: {error.operation_name} was answered with {f'{status} {named}'.rstrip()}{times}: "
        f"{message}\n"
        f"  {remedy}",
        retryable=passing,
    )


def _unanswered(uri: str, operation: str, error: Exception) -> ServiceError:
    if isinstance(error, network_errors()):
        return failed(
            f"{uri!r}: no answer to {operation}: {error}\n"
            "  check the network and the endpoint, then run it again",
            retryable=True,
        )
    return failed(
        f"{uri!r}: {operation} was not sent: {error}\n  {_SETTINGS}",
        retryable=False,
    )
