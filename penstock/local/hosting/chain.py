"""The containers of a model in a row: each one's answer is the next one's request."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from penstock.local.hosting.client import Broken, Reply, TimedOut
from penstock.local.hosting.container import Container, Place
from penstock.local.hosting.models import ContainerSpec
from penstock.local.site import ACCOUNT, Site
from penstock.local.wire import AwsError

__all__ = ["Chain", "ContainerError"]

WAIT_S = 0.05


class ContainerError(Exception):
    """A container did not answer with what was asked for.

    Attributes:
        name: Of the container.
        status: Of HTTP; 0 when there is no answer.
        text: What it said.
    """

    def __init__(self, name: str, status: int, text: str) -> None:
        """Make an error."""
        super().__init__(name, status, text)
        self.name, self.status, self.text = name, status, text

    def as_aws(self, group: str) -> AwsError:
        """Return it as InvokeEndpoint words it."""
        whose = "client" if 400 <= self.status < 500 else "server"
        return AwsError(
            "ModelError",
            f'Received {whose} error ({self.status}) from {self.name} with message "{self.text}". See '
            f"log group {group} in account {ACCOUNT} for more information.",
            status=424,
            OriginalStatusCode=self.status,
            OriginalMessage=self.text,
        )


class Chain:
    """The servers of one model, started and stopped together."""

    def __init__(
        self,
        site: Site,
        specs: Sequence[ContainerSpec],
        place: Place,
        failed: Callable[[str], None] = lambda _reason: None,
    ) -> None:
        """Prepare; ``start`` starts them.

        Args:
            site: The plane.
            specs: What runs, in order.
            place: Where.
            failed: Called with the reason if one fails that was ready before.
        """
        self._place, self._tell = place, failed
        self._lock, self._active = threading.Lock(), 0
        self._reason: str | None = None
        self._was_ready = False
        several = len(specs) > 1
        self._containers = [
            Container(
                site,
                spec,
                replace(place, stream=f"{place.stream}/{spec.name}") if several else place,
                self._failed,
            )
            for spec in specs
        ]

    def start(self) -> None:
        """Start all; returns at once."""
        for container in self._containers:
            container.start()

    @property
    def reason(self) -> str | None:
        """Why it cannot run, or None."""
        return self._reason

    def wait(self, stopped: Callable[[], bool]) -> str | None:
        """Wait until all are healthy; return None, or why they never will be.

        Args:
            stopped: Whether to give up waiting.
        """
        while not stopped():
            if self._reason is not None:
                return self._reason
            if all(container.ready for container in self._containers):
                self._was_ready = True
                return None
            time.sleep(WAIT_S)
        return "The local plane is stopping."

    def _failed(self, reason: str) -> None:
        self._reason = self._reason or reason
        if self._was_ready:
            self._tell(reason)

    def execution_parameters(self, timeout_s: float) -> Reply:
        """Return what the first container says of batches; see :meth:`invoke` for what is raised."""
        first = self._containers[0]
        return _asked(first, "GET", "/execution-parameters", None, {}, timeout_s)

    def invoke(self, body: bytes, headers: Mapping[str, str], timeout_s: float) -> Reply:
        """Pass a request through all containers; return the last one's answer.

        Only the last container is told what the client accepts: what stands between containers is
        theirs to choose.

        Args:
            body: Of the request.
            headers: Content-Type, Accept and those of the platform.
            timeout_s: For each container.

        Raises:
            Unreachable: A container is not ready.
            ContainerError: A container refuses, fails, or takes too long.
        """
        with self._lock:
            self._active += 1
        try:
            given = {name: value for name, value in headers.items() if name != "Accept"}
            for container in self._containers:
                if container is self._containers[-1] and "Accept" in headers:
                    given["Accept"] = headers["Accept"]
                reply = _asked(container, "POST", "/invocations", body, given, timeout_s)
                if reply.status >= 400:
                    text = reply.body.decode(errors="replace").rstrip("\n")
                    raise ContainerError(container.name, reply.status, text)
                body = reply.body
                given["Content-Type"] = reply.headers.get("content-type", "")
        finally:
            with self._lock:
                self._active -= 1
        return reply

    def drain(self, most_s: float) -> None:
        """Wait until no request is under way, or ``most_s`` have passed."""
        deadline = time.monotonic() + most_s
        while self._active and time.monotonic() < deadline:
            time.sleep(WAIT_S)

    def stop(self, grace_s: float) -> None:
        """End all, and remove their folder. Waits."""
        for container in self._containers:
            container.stop(grace_s)
        for container in self._containers:
            container.join()
        shutil.rmtree(self._place.folder, ignore_errors=True)


def _asked(
    container: Container,
    method: str,
    path: str,
    body: bytes | None,
    headers: Mapping[str, str],
    timeout_s: float,
) -> Reply:
    try:
        return container.ask(method, path, body, headers, timeout_s=timeout_s)
    except TimedOut:
        text = (
            f"Your invocation timed out while waiting for a response from container {container.name}. "
            f"It did not answer within {timeout_s:g} s."
        )
        raise ContainerError(container.name, 0, text) from None
    except Broken as error:
        text = f"The container ended, or broke the connection, while it was asked: {error}"
        raise ContainerError(container.name, 0, text) from None
