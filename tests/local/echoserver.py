"""A server that does what it is told: its mode by the environment, its answers by the request.

MODE      deaf: never healthy; exits: ends at once; else healthy
NAME      what it puts before what it gives back
PARAMETERS  what /execution-parameters says; empty: 404
LICENCE   a file that must be there when it starts
"""

from __future__ import annotations

import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

MODE, NAME = os.environ.get("MODE", ""), os.environ.get("NAME", "")
PARAMETERS = os.environ.get("PARAMETERS", "")
LICENCE = os.environ.get("LICENCE", __file__)
CUSTOM = "X-Amzn-SageMaker-Custom-Attributes"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/ping":
            self.reply(503 if MODE == "deaf" else 200, b"")
        elif self.path == "/execution-parameters" and PARAMETERS:
            self.reply(200, PARAMETERS.encode())
        else:
            self.reply(404, b"")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if body.startswith(b"die"):
            os._exit(9)
        if body.startswith(b"wait"):
            threading.Event().wait(60)
        if body.startswith(b"fail"):
            self.reply(500, b"broken inside")
        elif body.startswith(b"refuse"):
            self.reply(400, b"not this")
        elif body.startswith(b"environment"):
            told = "\n".join(f"{k}={v}" for k, v in sorted(os.environ.items()))
            self.reply(200, told.encode())
        elif body.startswith(b"headers"):
            self.reply(200, "\n".join(f"{k}={v}" for k, v in self.headers.items()).encode())
        else:
            self.reply(200, NAME.encode() + body)

    def reply(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", self.headers.get("Content-Type", "text/plain"))
        if CUSTOM in self.headers:
            self.send_header(CUSTOM, f"{self.headers[CUSTOM]} seen")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        print("asked", self.path, *args[1:2], flush=True)


if __name__ == "__main__":
    assert sys.argv[1:] == ["serve"]
    print("starting", NAME, flush=True)
    if MODE == "exits" or not Path(LICENCE).exists():
        print("no licence found", flush=True)
        sys.exit(3)
    port = int(os.environ["SAGEMAKER_BIND_TO_PORT"])
    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
