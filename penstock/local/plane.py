"""A plane from outside: started as a process of its own, found by variables of the environment."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from penstock.errors import InputError, ServiceError
from penstock.local.address import client_environment

__all__ = ["Plane"]

START_DEADLINE_S = 30.0
STOP_DEADLINE_S = 30.0
LOG = "plane.log"


class Plane:
    """The local plane, as a context manager or with start and stop.

    Attributes:
        folder: Where its files lie: work folders of jobs, the plane's log.
        endpoint: URL for AWS clients; set by ``start``.
    """

    def __init__(
        self, folder: str | Path | None = None, *, port: int = 0, keep: bool = False
    ) -> None:
        """Prepare a plane; nothing runs yet.

        Args:
            folder: Where its files go; None: a temporary folder, which goes with the plane.
            port: On 127.0.0.1; 0 takes a free one.
            keep: Keep buckets, catalog and models in ``folder`` on stop, and begin with what is there.

        Raises:
            InputError: ``keep`` without a folder.
        """
        if keep and folder is None:
            raise InputError(
                "local plane: keep needs a folder\n  say where: Plane('DIR', keep=True)"
            )
        self._temporary = folder is None
        self.folder = Path(tempfile.mkdtemp(prefix="penstock-") if folder is None else folder)
        self._port, self._keep = port, keep
        self._process: subprocess.Popen[bytes] | None = None
        self.endpoint = ""

    def start(self) -> Self:
        """Start the process and wait until it answers: a second or two.

        Raises:
            ServiceError: It does not start; says what it printed.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "penstock.local.server", "--folder", str(self.folder)]
        command += ["--port", str(self._port), *(["--keep"] if self._keep else [])]
        with (self.folder / LOG).open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # Ctrl-C is the caller's; it stops the plane in order
            )
        line = self._first_line()
        if not line:
            tail = (self.folder / LOG).read_text(errors="replace")[-2000:]
            self.stop()  # a temporary folder goes with it
            raise ServiceError(
                f"local plane: it did not start within {START_DEADLINE_S:g} s\n{tail}\n"
                "  is the port free, and the extra installed: pip install 'penstock[local]'?"
            )
        self.endpoint = f"http://127.0.0.1:{json.loads(line)['port']}"
        return self

    def _first_line(self) -> bytes:
        if self._process is None or self._process.stdout is None:
            return b""
        ready, _, _ = select.select([self._process.stdout], [], [], START_DEADLINE_S)
        return self._process.stdout.readline() if ready else b""

    def environment(self, region: str = "us-east-1") -> dict[str, str]:
        """Return the variables with which any AWS client finds this plane."""
        return client_environment(self.endpoint, region)

    @contextlib.contextmanager
    def as_environment(self, region: str = "us-east-1") -> Iterator[Mapping[str, str]]:
        """Set the variables in this process for the block, without any other AWS_ variable."""
        before = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
        before |= {"NO_PROXY": os.environ["NO_PROXY"]} if "NO_PROXY" in os.environ else {}
        made = self.environment(region)
        try:
            for name in before:
                del os.environ[name]
            os.environ.update(made)
            yield made
        finally:
            for name in made:
                os.environ.pop(name, None)
            os.environ.update(before)

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """End the plane and all that it started; wait until it is gone. Twice is no error."""
        process, self._process = self._process, None
        if process is None:
            return
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
        try:
            process.wait(STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(STOP_DEADLINE_S)
        if self._temporary:
            shutil.rmtree(self.folder, ignore_errors=True)

    def wait(self) -> None:
        """Return when the process has ended, or the caller is interrupted."""
        while self.running:
            time.sleep(0.2)

    def __enter__(self) -> Self:
        """Start it."""
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop it."""
        self.stop()
