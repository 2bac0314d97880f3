"""AWS requests as data: which operation of which service a request asks for, and how answers go back.

The services whose work is made real speak JSON: with the operation in a header (glue, athena,
elasticmapreduce, sagemaker, logs), or in method and path (emr-serverless, sagemaker-runtime).
botocore's own models say which; nothing is listed twice.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, unquote

__all__ = ["Answer", "AwsError", "Call", "Environ", "read_call", "service_model"]

Environ = dict[str, Any]
StartResponse = Callable[[str, list[tuple[str, str]]], Any]

# What X-Amz-Target begins with, before the dot -> botocore's name of the service.
TARGETS: Mapping[str, str] = {
    "AWSGlue": "glue",
    "AmazonAthena": "athena",
    "ElasticMapReduce": "emr",
    "SageMaker": "sagemaker",
    "Logs_20140328": "logs",
}
# The name that a signature carries -> services that know operations by method and path.
BY_PATH: Mapping[str, tuple[str, ...]] = {
    "emr-serverless": ("emr-serverless",),
    "sagemaker": ("sagemaker-runtime",),
}
PHRASES = {200: "OK", 400: "Bad Request", 404: "Not Found", 424: "Failed Dependency"}
JSON_TYPE = "application/x-amz-json-1.1"
DEFAULT_REGION = "us-east-1"


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """One call of an operation.

    Attributes:
        service: As botocore calls it, ``glue``.
        operation: ``StartCrawler``.
        body: Its parameters by their names on the wire: of the JSON body, the path and the query.
        region: Of the client.
        environ: The request as WSGI has it; its input has been read into ``raw``.
        raw: The body's bytes.
    """

    service: str
    operation: str
    body: Mapping[str, Any]
    region: str
    environ: Environ = field(repr=False)
    raw: bytes = field(repr=False)

    def header(self, name: str) -> str | None:
        """Return a header of the request, or None."""
        key = name.upper().replace("-", "_")
        key = key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"
        found = self.environ.get(key)
        return None if found is None else str(found)


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """An answer as HTTP has it, for what is not JSON."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request, as WSGI has it."""
        del environ
        phrase = PHRASES.get(self.status, "Error" if self.status >= 400 else "OK")
        headers = {"Content-Length": str(len(self.body)), **self.headers}
        start_response(f"{self.status} {phrase}", list(headers.items()))
        return [self.body]

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Answer:
        """Return a JSON answer; times are seconds since 1970, as the protocol has them."""
        content = json.dumps(body, separators=(",", ":")).encode()
        return cls(headers={"Content-Type": JSON_TYPE}, body=content)


class AwsError(Exception):
    """What a service refuses, with the code and the words that its clients show."""

    def __init__(self, code: str, message: str, *, status: int = 400, **more: Any) -> None:
        """Make an error; ``more`` are members besides, like OriginalStatusCode."""
        super().__init__(message)
        self.code, self.message, self.status, self.more = code, message, status, more

    def answer(self) -> Answer:
        """Return it as the JSON protocols have it; some clients read ``message``, some ``Message``."""
        body = {
            "__type": self.code,
            "message": self.message,
            "Message": self.message,
            **self.more,
        }
        headers = {"Content-Type": JSON_TYPE, "x-amzn-ErrorType": self.code}
        return Answer(status=self.status, headers=headers, body=json.dumps(body).encode())


def read_call(environ: Environ) -> Call | None:
    """Return the call that a request makes; None when no service here knows it.

    Reads the body only of requests that it knows, and puts it back for others to read.

    Raises:
        AwsError: The request's body is no JSON object.
    """
    region, signed = _scope(environ.get("HTTP_AUTHORIZATION", ""))
    target = environ.get("HTTP_X_AMZ_TARGET", "")
    if target:
        prefix, _, operation = target.partition(".")
        service = TARGETS.get(prefix)
        return None if service is None else _call(service, operation, {}, region, environ)
    for service in BY_PATH.get(signed, ()):
        for each in _routes(service):
            found = each.matches(environ)
            if found is not None:
                return _call(service, each.operation, found, region, environ)
    return None


def service_model(service: str) -> Any:
    """Return botocore's model of a service."""
    from botocore.loaders import Loader  # type: ignore[import-untyped]
    from botocore.model import ServiceModel  # type: ignore[import-untyped]

    return ServiceModel(_loaded(Loader, service))


@lru_cache(maxsize=16)
def _loaded(loader: Any, service: str) -> Any:
    return loader().load_service_model(service, "service-2")


def _call(
    service: str, operation: str, found: Mapping[str, Any], region: str, environ: Environ
) -> Call:
    raw = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(raw)
    body: Any = {}
    if service != "sagemaker-runtime" and raw:
        try:
            body = json.loads(raw)
        except ValueError as error:
            raise AwsError(
                "SerializationException", f"the body of {operation} is no JSON: {error}"
            ) from None
        if not isinstance(body, dict):
            raise AwsError("SerializationException", f"the body of {operation} is no JSON object")
    return Call(
        service=service,
        operation=operation,
        body={**body, **found},
        region=region,
        environ=environ,
        raw=raw,
    )


def _scope(authorization: str) -> tuple[str, str]:
    """Return region and service of a signature: Credential=key/day/region/service/aws4_request."""
    found = re.search(r"Credential=[^/]*/\d+/([^/]+)/([^/]+)/aws4_request", authorization)
    return (found[1], found[2]) if found else (DEFAULT_REGION, "")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Route:
    operation: str
    method: str
    path: re.Pattern[str]
    names: tuple[str, ...]

    def matches(self, environ: Environ) -> dict[str, Any] | None:
        if environ["REQUEST_METHOD"] != self.method:
            return None
        # Before it was unquoted: an ARN in a path has slashes of its own.
        path = environ.get("REQUEST_URI") or environ.get("PATH_INFO", "")
        found = self.path.fullmatch(path.partition("?")[0])
        if found is None:
            return None
        values = (unquote(value) for value in found.groups())
        query = dict(parse_qsl(environ.get("QUERY_STRING", "")))
        return query | dict(zip(self.names, values, strict=True))


@lru_cache(maxsize=8)
def _routes(service: str) -> tuple[_Route, ...]:
    model = service_model(service)
    routes = []
    for name in model.operation_names:
        http = model.operation_model(name).http
        path = http["requestUri"].split("?")[0]
        names = tuple(re.findall(r"\{(\w+)\+?\}", path))
        pattern = re.sub(r"\\\{\w+\\\}", "([^/]+)", re.escape(path))
        routes.append(
            _Route(operation=name, method=http["method"], path=re.compile(pattern), names=names)
        )
    return tuple(routes)
