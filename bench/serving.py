"""How fast the plan answers over loopback: start, one row, a body of 6 MB.

python bench/serving.py PLAN_FOLDER ROWS.csv      ROWS.csv has a header that names the plan's columns
"""

from __future__ import annotations

import http.client
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

CSV = {"Content-Type": "text/csv; header=present"}
RECORDIO = "application/x-recordio-protobuf"
BODY_BYTES = 6_000_000


def main(folder: str, rows: str) -> None:
    """Start the program, ask, print a table."""
    started = time.perf_counter()
    environment = {**os.environ, "SAGEMAKER_BIND_TO_PORT": "0"}
    command = [sys.executable, "-m", "penstock", "serve", folder, "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        if process.stdout is None:
            return
        port = next(
            int(found[1])
            for line in process.stdout
            if (found := re.search(r"ready on http://127\.0\.0\.1:(\d+)", line))
        )
        print(f"start to ready        {time.perf_counter() - started:.2f} s")
        _measured(port, Path(rows).read_bytes(), process)
    finally:
        process.terminate()
        process.wait()


def _measured(port: int, content: bytes, process: subprocess.Popen[str]) -> None:
    header, lines = content.split(b"\n", 1)
    one = header + b"\n" + lines.split(b"\n", 1)[0] + b"\n"
    many = header + b"\n" + (lines * (BODY_BYTES // len(lines) + 1))[: BODY_BYTES - len(header) - 1]
    many = many[: many.rindex(b"\n") + 1]
    rows = many.count(b"\n") - 1
    link = http.client.HTTPConnection("127.0.0.1", port)
    for accept in (RECORDIO, "text/csv", "application/json"):
        took = np.array([_took(link, one, accept, process) for _ in range(1000)])
        p50, p99 = np.percentile(took, (50, 99)) * 1000
        best = min(_took(link, many, accept, process) for _ in range(5))
        print(
            f"{accept:32} one row p50 {p50:.2f} ms, p99 {p99:.2f} ms; 6 MB {best:.2f} s, {rows / best:,.0f} rows/s"
        )
    link.close()


def _took(
    link: http.client.HTTPConnection, body: bytes, accept: str, process: subprocess.Popen[str]
) -> float:
    started = time.perf_counter()
    link.request("POST", "/invocations", body, {**CSV, "Accept": accept})
    reply = link.getresponse()
    answer = reply.read()
    took = time.perf_counter() - started
    if process.stdout is not None:
        process.stdout.readline()  # the log must not fill its pipe
    if reply.status != 200:
        raise SystemExit(answer.decode())
    return took


if __name__ == "__main__":
    main(*sys.argv[1:])
