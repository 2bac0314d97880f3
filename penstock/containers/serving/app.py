"""The WSGI application: routes, headers, errors, one line of log for each request."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from penstock.containers.contract import log
from penstock.containers.serving.media import MediaType, chosen, media_type
from penstock.containers.serving.predictor import Predictor
from penstock.containers.serving.settings import Settings
from penstock.errors import DataError, InputError, listed

__all__ = ["Application", "failure_line"]

Environ = Mapping[str, Any]
Start = Callable[[str, list[tuple[str, str]]], object]

TEXT = "text/plain; charset=utf-8"
JSON = "application/json"
CHARSETS = ("utf-8", "utf8", "us-ascii", "ascii")
ROUTES = {
    "/ping": ("GET", "HEAD"),
    "/invocations": ("POST",),
    "/execution-parameters": ("GET", "HEAD"),
}
PATH_CHARACTERS = 80


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """What goes back to the client.

    Attributes:
        status: Of HTTP.
        body: Its bytes.
        content_type: What they are.
        headers: Further ones.
        note: What the log says of it: never a part of a payload.
    """

    status: int
    body: bytes | memoryview = b""
    content_type: str = TEXT
    headers: tuple[tuple[str, str], ...] = ()
    note: str = ""


@dataclass(kw_only=True, slots=True)
class Application:
    """Answers requests with a predictor, which may still have to be loaded.

    Attributes:
        settings: How to serve.
        predictor: None until it is loaded.
        stopping: Whether SIGTERM has arrived.
    """

    settings: Settings
    predictor: Predictor | None = None
    stopping: bool = False

    def __call__(self, environ: Environ, start_response: Start) -> Iterable[bytes | memoryview]:
        """Answer one request; WSGI."""
        started = time.perf_counter()
        try:
            reply = self._routed(environ)
        except Exception as error:  # noqa: BLE001 - the client must get an answer, not a traceback
            print(failure_line(error), flush=True)
            text = "the server failed on this request; its log says more"
            reply = _refusal(environ, 500, "InternalError", text, note=type(error).__name__)
        head = environ["REQUEST_METHOD"] == "HEAD"
        _log(environ, reply, time.perf_counter() - started)
        phrase = f"{reply.status} {HTTPStatus(reply.status).phrase}"
        headers = [("Content-Length", str(len(reply.body))), *reply.headers]
        if reply.body:
            headers.append(("Content-Type", reply.content_type))
        start_response(phrase, headers)
        return [] if head else [reply.body]

    def _routed(self, environ: Environ) -> Reply:
        path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
        if path not in ROUTES:
            text = f"path {path[:PATH_CHARACTERS]!r}: expected {listed(tuple(ROUTES))}"
            return _refusal(environ, 404, "NotFound", text)
        if method not in ROUTES[path]:
            allowed = ", ".join(ROUTES[path])
            text = f"method {method!r} on {path}: expected {allowed}"
            refusal = _refusal(environ, 405, "MethodNotAllowed", text)
            return _with(refusal, ("Allow", allowed))
        if path == "/ping":
            return Reply(status=200 if self.predictor and not self.stopping else 503)
        if path == "/execution-parameters":
            body = json.dumps(self.settings.execution_parameters).encode()
            return Reply(status=200, body=body, content_type=JSON)
        if self.predictor is None:
            refusal = _refusal(environ, 503, "Loading", "the model is still being loaded")
            return _with(refusal, ("Retry-After", "1"))
        return self._invoked(environ, self.predictor)

    def _invoked(self, environ: Environ, predictor: Predictor) -> Reply:
        content = _content(environ, predictor)
        if isinstance(content, Reply):
            return content
        default = self.settings.default_accept or predictor.gives[0]
        wish = environ.get("HTTP_ACCEPT", "")
        accept = chosen(wish, predictor.gives, default)
        if accept is None or accept not in predictor.gives:
            asked = wish or f"{default} (SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT)"
            text = f"Accept is {asked!r}, expected one of {listed(predictor.gives)}, or '*/*'"
            return _refusal(environ, 406, "NotAcceptable", text)
        body = environ["wsgi.input"].read()
        if not body:
            return _refusal(environ, 400, "InputError", "the body is empty, expected rows")
        try:
            answer = predictor.answer(body, content, accept)
        except (InputError, DataError) as error:
            return _refusal(environ, 400, type(error).__name__, str(error))
        rows = "1 row" if answer.rows == 1 else f"{answer.rows:,} rows"
        note = f"{rows}, {content.name} to {accept}"
        return Reply(status=200, body=answer.body, content_type=accept, note=note)


def _content(environ: Environ, predictor: Predictor) -> MediaType | Reply:
    """Return what the body is, or why it cannot be read."""
    header = environ.get("CONTENT_TYPE", "")
    content = media_type(header)
    if content is None or content.name not in predictor.reads:
        text = f"Content-Type is {header!r}, expected one of {listed(predictor.reads)}"
        return _refusal(environ, 415, "UnsupportedMediaType", text)
    charset = content.parameters.get("charset", "utf-8")
    if charset.lower() not in CHARSETS:
        text = f"Content-Type has charset {charset!r}, expected 'utf-8'"
        return _refusal(environ, 415, "UnsupportedMediaType", text)
    encoding = environ.get("HTTP_CONTENT_ENCODING", "identity")
    if encoding.lower() != "identity":
        text = f"Content-Encoding is {encoding!r}, expected none: send the rows as they are"
        return _refusal(environ, 415, "UnsupportedMediaType", text)
    return content


def _refusal(environ: Environ, status: int, kind: str, text: str, *, note: str = "") -> Reply:
    """Return an error, as JSON for clients that would take it, else as text."""
    wish = environ.get("HTTP_ACCEPT", "")
    if chosen(wish, (TEXT.split(";")[0], JSON, "application/jsonlines"), "text/plain") in (
        None,
        "text/plain",
    ):
        body, content_type = text.encode(errors="backslashreplace") + b"\n", TEXT
    else:
        body = json.dumps({"error": {"type": kind, "message": text}}).encode() + b"\n"
        content_type = JSON
    return Reply(status=status, body=body, content_type=content_type, note=note or kind)


def _with(reply: Reply, header: tuple[str, str]) -> Reply:
    return Reply(
        status=reply.status,
        body=reply.body,
        content_type=reply.content_type,
        headers=(*reply.headers, header),
        note=reply.note,
    )


def _log(environ: Environ, reply: Reply, took_s: float) -> None:
    path = environ["PATH_INFO"]
    # What clients make up is shown as text that cannot break the line.
    shown = path if path in ROUTES else repr(path[:PATH_CHARACTERS])
    read = int(environ.get("CONTENT_LENGTH") or 0)
    note = f" {reply.note}," if reply.note else ""
    log(
        f"{environ['REQUEST_METHOD']} {shown} {reply.status}{note} {read:,} bytes in, "
        f"{len(reply.body):,} out, {1000 * took_s:.1f} ms"
    )


def failure_line(error: BaseException) -> str:
    """Return what the log says of a fault of ours: places, not messages, which may quote a payload."""
    places = "".join(traceback.format_tb(error.__traceback__)).rstrip()
    return f"{type(error).__name__} (its message may hold a payload, and is left out) at\n{places}"
