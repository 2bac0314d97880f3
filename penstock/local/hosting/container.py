"""One container as a process: model fetched, program started, watched, started again, ended."""

from __future__ import annotations

import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from penstock.errors import DataError, PenstockError
from penstock.host.artifact import unpack_model
from penstock.host.process import Process, clean_environment
from penstock.local.hosting.client import Broken, Reply, TimedOut, Unreachable, ask, free_port
from penstock.local.hosting.images import Server, server_of
from penstock.local.hosting.models import ContainerSpec
from penstock.local.site import Site
from penstock.local.wire import AwsError

__all__ = ["FAULT", "Container", "Place"]

PING_S = 2.0
PING_EVERY_S = 0.1
POLL_S = 0.1
LOG_EVERY_S = 0.5
RESTART_PAUSE_S = 0.2
# PutLogEvents takes 10,000 events and 1 MiB at once.
LINES_A_CALL = 500
KEPT_LINES = 5
FAULT = "The local plane failed; its log has the cause."
# A program that ends so often before it was healthy will not become so.
MOST_FALSE_STARTS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where containers run, and for whom.

    Attributes:
        folder: New; goes with the containers.
        region: Of the client that made them.
        group: CloudWatch log group.
        stream: Log stream; that of a pipeline's container has its name behind it.
        owner: What errors say they serve, ``production variant AllTraffic``.
        kind: What the logs are of, ``endpoint``.
        startup_s: How long one may take to answer /ping with 200.
        environment: Variables besides those of the request.
    """

    folder: Path
    region: str
    group: str
    stream: str
    owner: str
    kind: str
    startup_s: float
    environment: Mapping[str, str] = field(default_factory=dict)


class Container:
    """A server that is kept running, by a thread of its own, until it is stopped."""

    def __init__(
        self, site: Site, spec: ContainerSpec, place: Place, failed: Callable[[str], None]
    ) -> None:
        """Prepare; ``start`` starts it.

        Args:
            site: The plane.
            spec: What runs.
            place: Where.
            failed: Called once with the reason if it cannot run any longer.
        """
        self._site, self._spec, self._place, self._failed = site, spec, place, failed
        self.name = spec.name
        self._port: int | None = None
        self._stop, self._ready = threading.Event(), threading.Event()
        self._grace_s = 0.0
        self._thread: threading.Thread | None = None
        self._lines: list[str] = []
        self._last: list[str] = []
        self._logged = time.monotonic()

    def start(self) -> None:
        """Start it; returns at once."""
        # The program is tied to the thread that starts it: the kernel ends both together.
        self._thread = self._site.spawn(f"container-{self._spec.name}", self._run)

    @property
    def ready(self) -> bool:
        """Whether its server is healthy."""
        return self._ready.is_set()

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
        *,
        timeout_s: float,
    ) -> Reply:
        """Return its answer to a request.

        Raises:
            Unreachable: It is not ready, or just ended.
            TimedOut: It takes too long.
            Broken: It ended meanwhile.
        """
        port = self._port
        if port is None or not self._ready.is_set():
            raise Unreachable("the container is not running")
        return ask(port, method, path, body=body, headers=headers, timeout_s=timeout_s)

    def stop(self, grace_s: float) -> None:
        """Ask it to end: SIGTERM, and SIGKILL after ``grace_s``. Does not wait."""
        self._grace_s = grace_s
        self._ready.clear()
        self._stop.set()

    def join(self) -> None:
        """Wait until it has ended."""
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        reason: str | None = FAULT
        try:
            server = server_of(self._spec.image, self._site.folder)
            self._fetch()
            reason = self._kept_running(server)
        except (PenstockError, AwsError) as error:
            reason = str(error)
        except OSError as error:
            reason = f"The {self.name} container cannot be started: {error}"
        finally:
            if reason is not None:
                self._failed(reason)
            self._flush(now=True)
            shutil.rmtree(self._place.folder / self.name, ignore_errors=True)

    def _fetch(self) -> None:
        """Unpack model.tar.gz.

        Raises:
            DataError: It is not there, or no archive.
        """
        model = self._place.folder / self.name / "model"
        model.mkdir(parents=True, exist_ok=True)
        uri = self._spec.model_uri
        if uri is None:
            return
        try:
            unpack_model(uri, model)
        except DataError as error:
            raise DataError(
                f'Failed to extract model data archive for container "{self.name}" from URL: "{uri}". '
                f"Please ensure that the object located at the URL is a valid tar.gz archive.\n{error}"
            ) from error
        except PenstockError as error:
            raise DataError(
                f'Failed to download model data for container "{self.name}" from URL: "{uri}". Please '
                "ensure that there is an object located at the URL and that the role passed to "
                f"CreateModel has permissions to download the object.\n{error}"
            ) from error

    def _kept_running(self, server: Server) -> str | None:
        """Run the program until it is to end; return None, or why it cannot run any longer."""
        false_starts = 0
        while not self._stop.is_set():
            port, self._last = free_port(), []
            process = self._process(server, port)
            try:
                healthy = self._follow(process, port)
            finally:
                self._ready.clear()
                code = process.returncode
                process.kill()
                self._take(process.remaining())
                process.close()
            if self._stop.is_set():
                break
            false_starts = 0 if healthy else false_starts + 1
            if code is None or false_starts >= MOST_FALSE_STARTS:
                return self._unhealthy(code)
            self._note(f"the program ended with {_ending(code)}; it is started again")
            self._stop.wait(RESTART_PAUSE_S)
        return None

    def _process(self, server: Server, port: int) -> Process:
        base = self._place.folder / self.name
        plane = {} if self._spec.isolated else self._site.environment(self._place.region)
        given = {
            **plane,
            "AWS_REGION": self._place.region,
            "SAGEMAKER_BASE_DIR": str(base),
            "SAGEMAKER_BIND_TO_PORT": str(port),
            "SAGEMAKER_REGION": self._place.region,
            **server.environment,
            **self._spec.environment,
            **self._place.environment,
        }
        return Process(
            server.command,
            cwd=base,
            environment=clean_environment(given),
            log=base / "container.log",
        )

    def _follow(self, process: Process, port: int) -> bool:
        """Watch a program until it ends; return whether it was healthy. False and alive: it is late."""
        deadline = time.monotonic() + self._place.startup_s
        while process.returncode is None:
            self._take(process.lines(POLL_S if self.ready else PING_EVERY_S))
            if self._stop.is_set():
                self._end(process)
                return True
            if self.ready:
                continue
            if _healthy(port):
                self._port = port
                self._ready.set()
            elif time.monotonic() > deadline:
                return False
        return self.ready

    def _end(self, process: Process) -> None:
        """Give a program its time between SIGTERM and SIGKILL."""
        deadline = time.monotonic() + self._grace_s
        process.terminate()
        while process.returncode is None and time.monotonic() < deadline:
            self._take(process.lines(POLL_S))

    def _unhealthy(self, code: int | None) -> str:
        lines = "\n".join(self._last)
        found = f"\nIt ended with {_ending(code)}." if code is not None else ""
        said = f" Its last lines:\n{lines}" if lines else ""
        return (
            f"The {self.name} container for {self._place.owner} did not pass the ping health check. "
            f"Please check CloudWatch logs for this {self._place.kind}.{found}{said}"
        )

    def _take(self, lines: Iterable[str]) -> None:
        taken = list(lines)
        self._lines += taken
        self._last = [*self._last, *taken][-KEPT_LINES:]
        self._flush()

    def _note(self, text: str) -> None:
        self._lines.append(f"[local plane] {self.name}: {text}")

    def _flush(self, *, now: bool = False) -> None:
        if not self._lines or not (now or time.monotonic() - self._logged > LOG_EVERY_S):
            return
        lines, self._lines, self._logged = self._lines, [], time.monotonic()
        for start in range(0, len(lines), LINES_A_CALL):
            part = lines[start : start + LINES_A_CALL]
            self._site.log(self._place.group, self._place.stream, part, region=self._place.region)


def _healthy(port: int) -> bool:
    try:
        return ask(port, "GET", "/ping", timeout_s=PING_S).status == 200
    except (Unreachable, TimedOut, Broken):
        return False


def _ending(code: int | None) -> str:
    if code is not None and code < 0:
        return f"signal {signal.Signals(-code).name}"
    return f"exit code {code}"
