"""A serving program as a subprocess, and clients of it."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

DEADLINE_S = 30


@dataclass(kw_only=True)
class Reply:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


@dataclass(kw_only=True)
class Server:
    """A running program; its log is read by a thread as it is written."""

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)
    port: int = 0
    ready: threading.Event = field(default_factory=threading.Event)

    def follow(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            if found := re.search(r"\] ready on http://127\.0\.0\.1:(\d+)", line):
                self.port = int(found[1])
                self.ready.set()
        self.ready.set()

    def client(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_S)

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Reply:
        """Send one request; header names have _ for -."""
        connection = self.client()
        try:
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, sent)
            found = connection.getresponse()
            return Reply(status=found.status, headers=dict(found.headers), body=found.read())
        finally:
            connection.close()

    def invoke(self, body: bytes, content: str, accept: str = "application/json") -> Reply:
        return self.ask("POST", "/invocations", body, Content_Type=content, Accept=accept)

    def raw(self, sent: bytes) -> bytes:
        """Send bytes, say that there are no more, and return all that comes back."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE_S) as link:
            link.sendall(sent)
            link.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: link.recv(65536), b""))

    def stop(self) -> int:
        """Send SIGTERM; return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(DEADLINE_S)


@contextmanager
def serving(base: Path, *command: str, **environment: str) -> Iterator[Server]:
    """Run the features program on ``base``/model until the block ends; it is ready at its begin.

    ``command`` are other arguments of Python than those of the container.
    """
    given = {
        **os.environ,
        "SAGEMAKER_BASE_DIR": str(base),
        "SAGEMAKER_BIND_TO_PORT": "0",
        **environment,
    }
    process = subprocess.Popen(
        [sys.executable, *(command or ("-m", "penstock.containers.features", "serve"))],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=given,
    )
    server = Server(process=process)
    follower = threading.Thread(target=server.follow, daemon=True)
    follower.start()
    try:
        assert server.ready.wait(DEADLINE_S)
        yield server
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(DEADLINE_S)
        follower.join(DEADLINE_S)
        assert process.stdout is not None
        process.stdout.close()
