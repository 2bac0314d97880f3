"""A proxy before an S3 that fails on purpose: what a busy service and a bad network do, on demand."""

from __future__ import annotations

import http.client
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import urlsplit

FOR_EVER = 1_000_000
TIMEOUT_S = 30


@dataclass(kw_only=True)
class Rule:
    """What happens to the first requests that match.

    Attributes:
        request: Regular expression over ``METHOD /bucket/key?query``, searched.
        fault: ``answer`` with ``status`` and ``code`` instead of S3; ``cut`` the connection in the midst
            of the request's body; ``lose`` the answer of S3, which has done what was asked; ``tear`` off
            the answer in the midst of its body; ``wait`` for ``delay_s``, then go on.
        first: How many requests it happens to.
        seen: How many it has happened to.
    """

    request: str
    fault: Literal["answer", "cut", "lose", "tear", "wait"] = "answer"
    first: int = 1
    status: int = 503
    code: str = "SlowDown"
    delay_s: float = 0.0
    seen: int = 0


@dataclass(kw_only=True)
class Proxy:
    """A running proxy.

    Attributes:
        endpoint: Its address.
        target: Address of the S3 behind it.
        rules: Asked in order; the first that matches and is not used up applies. May be changed.
        log: ``METHOD /bucket/key?query`` of every request.
    """

    endpoint: str = ""
    target: str
    rules: list[Rule] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def fault_of(self, request: str) -> Rule | None:
        """Note a request and return what shall happen to it."""
        with self.lock:
            self.log.append(request)
            for rule in self.rules:
                if rule.seen < rule.first and re.search(rule.request, request):
                    rule.seen += 1
                    return rule
        return None


@contextmanager
def proxying(target: str) -> Iterator[Proxy]:
    """Give a proxy before ``target`` that ends with the block."""
    proxy = Proxy(target=target)

    class Handler(_Handler):
        shared = proxy

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    proxy.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join(TIMEOUT_S)


class _Handler(BaseHTTPRequestHandler):
    shared: Proxy
    protocol_version = "HTTP/1.1"
    timeout = TIMEOUT_S

    def log_message(self, *args: Any) -> None:
        """Say nothing."""

    def handle(self) -> None:
        """Serve a connection; one that the client or a fault has closed is done."""
        try:
            super().handle()
        except OSError:
            self.close_connection = True

    def _serve(self) -> None:
        rule = self.shared.fault_of(f"{self.command} {self.path}")
        fault = rule.fault if rule else None
        length = int(self.headers.get("Content-Length", 0))
        if fault == "cut":
            self.rfile.read(length // 2)
            self.close_connection = True
            return
        body = self.rfile.read(length)
        if rule and fault == "answer":
            text = f"<Error><Code>{rule.code}</Code><Message>On purpose.</Message></Error>"
            self._answer(rule.status, [("Content-Type", "application/xml")], text.encode())
            return
        if rule and fault == "wait":
            time.sleep(rule.delay_s)
        status, headers, content = self._forward(body)
        if fault == "lose":
            self.close_connection = True
            return
        self._answer(status, headers, content, torn=fault == "tear")

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _serve

    def _forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        target = urlsplit(self.shared.target)
        upstream = http.client.HTTPConnection(target.netloc, timeout=TIMEOUT_S)
        try:
            kept = {
                k: v for k, v in self.headers.items() if k.lower() not in {"expect", "connection"}
            }
            upstream.request(self.command, self.path, body, kept)
            answer = upstream.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            upstream.close()

    def _answer(
        self, status: int, headers: list[tuple[str, str]], content: bytes, *, torn: bool = False
    ) -> None:
        self.send_response_only(status)
        named = {name.lower() for name, _ in headers}
        for name, value in headers:
            if name.lower() not in {"connection", "transfer-encoding"}:
                self.send_header(name, value)
        if "content-length" not in named and status != 204:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[: len(content) // 2] if torn else content)
        if torn:
            self.close_connection = True
