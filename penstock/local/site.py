"""What the services of a plane share: moto, a folder, threads that end with it, logs, child environments."""

from __future__ import annotations

import io
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from penstock.local.address import client_environment
from penstock.local.wire import Answer, AwsError, Call, Environ

__all__ = ["ACCOUNT", "Handler", "Moto", "Service", "Site"]

ACCOUNT = "123456789012"  # moto's
JOIN_DEADLINE_S = 10.0

Handler = Callable[[Call], "Mapping[str, Any] | Answer"]


class Service(Protocol):
    """Operations of one AWS service that do real work.

    Attributes:
        name: As botocore calls it, ``glue``.
    """

    name: str

    def operations(self) -> Mapping[str, Handler]:
        """Return the operations that this one answers; all others go to moto."""

    def stop(self) -> None:
        """End all work: processes, FIFOs, servers. Called once, when the plane stops."""


class Moto:
    """moto, which keeps wire formats, names, validation and states. Asked in this process."""

    def __init__(self, app: Any) -> None:
        """Take moto's WSGI application."""
        self._app = app

    def forward(self, call: Call, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Ask moto the same, or with another JSON ``body``, and return its JSON answer.

        Raises:
            AwsError: moto refuses, as it words it.
        """
        raw = call.raw if body is None else json.dumps(body).encode()
        return self._asked(dict(call.environ), raw, f"{call.service} {call.operation}")

    def ask(self, service: str, operation: str, *, region: str, **body: Any) -> dict[str, Any]:
        """Ask moto an operation of a service that has it in a header: ``ask("glue", "GetTable", ...)``.

        Raises:
            AwsError: moto refuses.
        """
        from penstock.local.wire import TARGETS

        target = next(target for target, name in TARGETS.items() if name == service)
        signed = {"emr": "elasticmapreduce"}.get(service, service)
        environ: Environ = {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": "/",
            "QUERY_STRING": "",
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "wsgi.url_scheme": "http",
            "wsgi.version": (1, 0),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            "HTTP_HOST": f"{signed}.{region}.amazonaws.com",
            "HTTP_X_AMZ_TARGET": f"{target}.{operation}",
            "HTTP_AUTHORIZATION": "AWS4-HMAC-SHA256 Credential="
            f"local/20260101/{region}/{signed}/aws4_request, SignedHeaders=host, Signature=0",
            "CONTENT_TYPE": "application/x-amz-json-1.1",
        }
        return self._asked(environ, json.dumps(body).encode(), f"{service} {operation}")

    def _asked(self, environ: Environ, raw: bytes, what: str) -> dict[str, Any]:
        from werkzeug.wrappers import Response

        environ |= {"wsgi.input": io.BytesIO(raw), "CONTENT_LENGTH": str(len(raw))}
        answer = Response.from_app(self._app, environ)
        content = answer.get_data()
        try:
            body: Any = json.loads(content) if content else {}
        except ValueError:
            body = {"message": content.decode(errors="replace")[:300]}
        if answer.status_code >= 400:
            code = str(body.get("__type") or answer.headers.get("x-amzn-ErrorType") or "Unknown")
            message = str(body.get("message") or body.get("Message") or f"{what} failed")
            raise AwsError(code.rpartition("#")[2], message, status=answer.status_code)
        return dict(body)


class Site:
    """One running plane, as its services see it.

    Attributes:
        folder: Where its files lie: work folders of jobs, logs.
        endpoint: URL of the plane.
        moto: moto.
        stopping: Set when the plane stops; all loops of services watch it.
        regions: Of the calls so far.
        front: The plane itself, asked in this process as a client would: services first, then moto.
    """

    def __init__(self, folder: Path, endpoint: str, moto: Moto) -> None:
        """Make a site; the folder exists."""
        self.folder, self.endpoint, self.moto = folder, endpoint, moto
        self.stopping = threading.Event()
        self.regions: set[str] = set()
        self.front = moto  # until the services are made
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()

    def environment(self, region: str = "us-east-1") -> dict[str, str]:
        """Return the variables with which any AWS client finds this plane."""
        return client_environment(self.endpoint, region)

    def workdir(self, *parts: str) -> Path:
        """Return a new or present folder below ``folder``; parts are names, never paths.

        Raises:
            ValueError: A part is a path.
        """
        for part in parts:
            if part in ("", ".", "..") or "/" in part or os.sep in part:
                raise ValueError(f"{part!r} is no name")
        path = self.folder.joinpath(*parts)
        path.mkdir(parents=True, exist_ok=True)
        return path

    def spawn(self, name: str, work: Callable[[], None]) -> threading.Thread:
        """Run ``work`` in a thread of its own; ``work`` ends soon after ``stopping`` is set."""
        thread = threading.Thread(target=work, name=name, daemon=True)
        with self._lock:
            self._threads = [each for each in self._threads if each.is_alive()]
            self._threads.append(thread)
        thread.start()
        return thread

    def log(self, group: str, stream: str, lines: Iterable[str], *, region: str) -> None:
        """Add lines to a CloudWatch log stream, which is made when it is not there."""
        now = int(time.time() * 1000)
        events = [{"timestamp": now, "message": line} for line in lines if line]
        if not events:
            return
        for operation, body in (
            ("CreateLogGroup", {"logGroupName": group}),
            ("CreateLogStream", {"logGroupName": group, "logStreamName": stream}),
        ):
            with suppress(AwsError):  # it is there already
                self.moto.ask("logs", operation, region=region, **body)
        self.moto.ask(
            "logs",
            "PutLogEvents",
            region=region,
            logGroupName=group,
            logStreamName=stream,
            logEvents=events,
        )

    def stop(self) -> None:
        """Set ``stopping`` and wait for all threads, at most ten seconds in all."""
        self.stopping.set()
        deadline = time.monotonic() + JOIN_DEADLINE_S
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
