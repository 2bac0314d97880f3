"""S3's conditional writes, which moto has only in part: one at a time, and all of them.

moto looks first and writes later, so two creators could both win; it completes a multipart upload
without a look at If-Match; and it breaks on a part of an upload that was aborted.
"""

from __future__ import annotations

import threading
from typing import Any

__all__ = ["Conditional"]


class Conditional:
    """A WSGI application in front of moto's."""

    def __init__(self, app: Any) -> None:
        """Take the application that answers everything else."""
        self._app = app
        self._lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Answer one request, as WSGI has it."""
        conditional = "HTTP_IF_MATCH" in environ or "HTTP_IF_NONE_MATCH" in environ
        method = environ["REQUEST_METHOD"]
        if method == "PUT" and "uploadId=" in environ.get("QUERY_STRING", ""):
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

    body = f"<Error><Code>{code}</Code><Message>Refused by the local plane.</Message></Error>"
    return Response(body, status=status, mimetype="application/xml")
