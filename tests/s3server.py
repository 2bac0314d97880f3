"""An S3 of one's own for tests: moto in a process of its own, on a free port of 127.0.0.1."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SETTINGS: Mapping[str, str] = {
    "AWS_ACCESS_KEY_ID": "tests",
    "AWS_SECRET_ACCESS_KEY": "tests",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    "NO_PROXY": "127.0.0.1",
}
UNSET = (
    "AWS_ENDPOINT_URL_S3",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_SESSION_TOKEN",
    "AWS_MAX_ATTEMPTS",
    "AWS_RETRY_MODE",
    "PENSTOCK_S3_KMS_KEY_ID",
)


@contextmanager
def serving() -> Iterator[str]:
    """Give the address of a server that ends with the block, or with this process."""
    server = subprocess.Popen(
        [sys.executable, str(Path(__file__))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdin is not None
    assert server.stdout is not None
    with server.stdin, server.stdout:
        try:
            yield f"http://127.0.0.1:{int(server.stdout.readline())}"
        finally:
            server.kill()
            server.wait(timeout=30)


def make_bucket(endpoint: str, name: str) -> None:
    """Make a bucket, as any client would."""
    request = urllib.request.Request(f"{endpoint}/{name}", method="PUT")
    with urllib.request.urlopen(request, timeout=30):
        pass


class Conditional:
    """What S3 does with conditional writes and moto does not: one at a time, and all of them.

    moto looks first and writes later, so two creators could both win; it completes a multipart upload
    without a look at If-Match; and it breaks on a part of an upload that was aborted.
    """

    def __init__(self, app: Any) -> None:
        self._app = app
        self._lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Answer one request, as WSGI has it."""
        conditional = "HTTP_IF_MATCH" in environ or "HTTP_IF_NONE_MATCH" in environ
        method = environ["REQUEST_METHOD"]
        if method == "PUT" and "uploadId=" in environ["QUERY_STRING"]:
            return self._part(environ)(environ, start_response)
        if method not in {"PUT", "POST", "DELETE"} or not (conditional or method == "DELETE"):
            return self._app(environ, start_response)
        with self._lock:
            refusal = self._refusal(environ) if method == "POST" else None
            return (refusal or self._app)(environ, start_response)

    def _part(self, environ: dict[str, Any]) -> Any:
        """Answer that an upload is gone, where moto looks for it in vain."""
        from werkzeug.wrappers import Response

        try:
            return Response.from_app(self._app, environ)
        except KeyError:
            return _error(404, "NoSuchUpload")

    def _refusal(self, environ: dict[str, Any]) -> Any:
        from werkzeug.test import Client

        headers = {
            "Host": environ["HTTP_HOST"],
            "Authorization": environ.get("HTTP_AUTHORIZATION", ""),
        }
        head = Client(self._app).head(environ["PATH_INFO"], headers=headers)
        if head.status_code == 200 and head.headers["ETag"] == environ.get("HTTP_IF_MATCH"):
            return None
        missing = head.status_code == 404
        return _error(404, "NoSuchKey") if missing else _error(412, "PreconditionFailed")


def _error(status: int, code: str) -> Any:
    from werkzeug.wrappers import Response

    body = f"<Error><Code>{code}</Code><Message>By the tests' server.</Message></Error>"
    return Response(body, status=status, mimetype="application/xml")


def main() -> None:
    """Serve until standard input ends, that is until the parent does."""
    from moto.moto_server.werkzeug_app import (
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    app = Conditional(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=MotoRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.port, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
