"""The process: a listening socket, threads, SIGTERM, the exit code."""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.server import create_server
from waitress.task import ErrorTask
from waitress.utilities import Error, RequestEntityTooLarge

from penstock.containers.contract import log
from penstock.containers.serving.app import Application, failure_line
from penstock.containers.serving.predictor import Predictor
from penstock.containers.serving.settings import Settings
from penstock.errors import PenstockError

__all__ = ["main", "run"]

READ_BYTES = 1 << 18
POLL_S = 0.5
# A body that is too large is read to its end and thrown away, so that the client sees the 413 and
# not a broken connection; but not one that would take for ever.
THROWN_AWAY_BYTES = 1 << 30
CONNECTIONS = 1000


class _Body:
    """Gathers a body up to a limit; past it, keeps nothing and counts on."""

    def __init__(self, limit: int) -> None:
        self.size, self._limit = 0, limit
        self._content = io.BytesIO()

    @property
    def too_large(self) -> bool:
        return self.size > self._limit

    def append(self, data: bytes) -> None:
        self.size += len(data)
        if self.too_large:
            self._content = io.BytesIO()
        else:
            self._content.write(data)

    def __len__(self) -> int:
        return self.size

    def getfile(self) -> io.BytesIO:
        self._content.seek(0)
        return self._content

    def close(self) -> None:
        self._content.close()


class _TooLarge(RequestEntityTooLarge):  # type: ignore[misc]  # waitress has no types
    """Its text is ours."""


class _Parser(HTTPRequestParser):  # type: ignore[misc]  # waitress has no types
    """Keeps bodies in memory up to the limit, whatever their length was said to be."""

    limit = 0

    def parse_header(self, header_plus: bytes) -> None:
        super().parse_header(header_plus)
        if self.body_rcv is not None:
            self.body_rcv.buf = _Body(self.limit)
        if self.content_length > self.limit and self.expect_continue:
            self._refuse(self.content_length)  # the client waits for a word before it sends

    def received(self, data: bytes) -> int:
        consumed = super().received(data)
        body = None if self.body_rcv is None else self.body_rcv.buf
        if self.completed and body is not None and body.too_large:
            self._refuse(max(self.content_length, body.size))
        return int(consumed)

    def _refuse(self, size: int) -> None:
        self.error = _TooLarge(
            f"the body has {size:,} bytes, expected at most {self.limit:,}: send fewer rows"
        )
        self.expect_continue, self.completed = False, True


class _Refusal(ErrorTask):  # type: ignore[misc]  # waitress has no types
    """An answer to what is no request that the application could look at."""

    def execute(self) -> None:
        error: Error = self.request.error
        body = f"{error.body}\n".encode(errors="backslashreplace")
        self.status = f"{error.code} {error.reason}"
        self.response_headers.append(("Content-Type", "text/plain; charset=utf-8"))
        self.set_close_on_finish()
        self.content_length = len(body)
        log(f"refused {error.code} {error.reason}, {len(body):,} out")
        self.write(body)


class _Channel(HTTPChannel):  # type: ignore[misc]  # waitress has no types
    error_task_class = _Refusal

    @property
    def idle(self) -> bool:
        """Whether nothing is under way: no request, no part of one, nothing to be sent."""
        return not (self.requests or self.request is not None or self.total_outbufs_len)


class _Server:
    """A listening socket and its threads; stops when it is told to, and has answered all."""

    def __init__(self, application: Application) -> None:
        settings = application.settings
        parser = type("_LimitedParser", (_Parser,), {"limit": settings.max_payload_bytes})
        self._application, self._grace_s = application, settings.grace_s
        self._listener = create_server(
            application,
            host=settings.host,
            port=settings.port,
            threads=settings.threads,
            ident="penstock",
            max_request_body_size=THROWN_AWAY_BYTES,
            recv_bytes=READ_BYTES,
            outbuf_overflow=1 << 30,  # answers stay in memory, too
            outbuf_high_watermark=1 << 30,
            connection_limit=CONNECTIONS,
            asyncore_use_poll=True,
            log_socket_errors=False,
            clear_untrusted_proxy_headers=True,
        )
        self._listener.channel_class = type(
            "_LimitedChannel", (_Channel,), {"parser_class": parser}
        )
        self._deadline: float | None = None

    @property
    def port(self) -> int:
        return int(self._listener.effective_port)

    def stop(self) -> None:
        """Take no more connections, finish what has begun. Safe in a handler of signals."""
        self._application.stopping = True
        self._listener.pull_trigger()

    def loop(self, failed: Callable[[], bool]) -> None:
        """Serve until told to stop, or until ``failed`` is true."""
        sockets: dict[int, Any] = self._listener._map
        while not failed():
            wasyncore.loop(timeout=POLL_S, use_poll=True, map=sockets, count=1)
            if self._application.stopping and self._drained():
                break
        self._listener.task_dispatcher.shutdown(timeout=1)
        wasyncore.close_all(sockets, ignore_all=True)

    def _drained(self) -> bool:
        """Return whether nothing is left to be done, or the time for it has passed."""
        if self._deadline is None:
            self._deadline = time.monotonic() + self._grace_s
            self._listener.del_channel()
            self._listener.socket.close()
        channels: Sequence[_Channel] = list(self._listener.active_channels.values())
        for channel in channels:
            if channel.idle:
                channel.will_close = True
        left = [channel for channel in channels if not channel.idle]
        if left and time.monotonic() > self._deadline:
            log(f"{len(left)} connections are cut off, {self._grace_s:g} s after SIGTERM")
            return True
        return not channels


def run(
    load: Callable[[Path], Predictor],
    settings: Settings,
    *,
    ready: Callable[[str], None] | None = None,
) -> int:
    """Serve until SIGTERM or Ctrl-C; return the exit code.

    The port is open at once; ``/ping`` says 503 until the model is loaded.

    Args:
        load: Gives the predictor of the model folder.
        settings: How to serve.
        ready: Called with the URL when the model is loaded.

    Raises:
        PenstockError: The model cannot be loaded.
        OSError: The port is taken.
    """
    application = Application(settings=settings)
    server = _Server(application)
    url = f"http://{settings.host}:{server.port}"
    log(f"listening on {url}, loading {str(settings.model_dir)!r}")
    failures: list[BaseException] = []

    def loading() -> None:
        started = time.perf_counter()
        try:
            predictor = load(settings.model_dir)
            for line in predictor.about():
                log(line)
        except BaseException as error:  # noqa: BLE001 - raised again in the main thread
            failures.append(error)
            server.stop()
            return
        application.predictor = predictor
        log(f"ready on {url}, loaded in {time.perf_counter() - started:.2f} s")
        if ready is not None:
            ready(url)

    def stop(_signal: int, _frame: FrameType | None) -> None:
        server.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    threading.Thread(target=loading, name="loading", daemon=True).start()
    server.loop(lambda: bool(failures))
    if failures:
        raise failures[0]
    log("stopped")
    return 0


def main(load: Callable[[Path], Predictor], argv: Sequence[str]) -> int:
    """Run a serving program as the platform runs a container; return the exit code.

    Args:
        load: Gives the predictor of the model folder.
        argv: The program's arguments; SageMaker passes ``serve``.
    """
    if list(argv) != ["serve"]:
        print(f"expected the one argument 'serve', got {list(argv)!r}", file=sys.stderr)
        return 2
    try:
        return run(load, Settings.of(os.environ))
    except PenstockError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
    except Exception as error:  # noqa: BLE001 - the end of the process
        print(failure_line(error), file=sys.stderr, flush=True)
        print(f"error: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
    return 1
