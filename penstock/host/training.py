"""What SageMaker's agent does around a training container, for a program on this machine.

``run_training`` lays out /opt/ml below a folder, starts the program, feeds its channels, reads its
log, and enforces its limits. Whatever happens, it ends every thread and process that it started.

    Completed   the program ended with 0
    Failed      it ended otherwise, hung, or a channel could not be fed
    Stopped     it was asked to end: max_run_s or the stop event; a model saved until then counts
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from penstock.errors import InputError, PenstockError
from penstock.host.layout import Channel, Layout, TrainingRequest, lay_out
from penstock.host.metrics import Metric, MetricReader
from penstock.host.pipe import Feeder
from penstock.host.process import Process, clean_environment
from penstock.host.results import ChannelUse, TrainingResult, died, hung

__all__ = ["Channel", "ChannelUse", "Metric", "TrainingRequest", "TrainingResult", "run_training"]

# How often limits are looked at while nothing is logged.
TICK_S = 0.1


def run_training(
    request: TrainingRequest,
    *,
    workdir: Path,
    on_line: Callable[[str], None] | None = None,
    stop: threading.Event | None = None,
) -> TrainingResult:
    """Run one training job to its end.

    Args:
        request: What to run, on which channels, within which limits.
        workdir: A folder that is new or empty; the job's files stay in it. Delete it when the
            model has been packed.
        on_line: Called with every line of the log, in the calling thread.
        stop: When set, the program is asked to end; the result is Stopped.

    Returns:
        How the job ended. A program that fails gives a result, not an exception.

    Raises:
        InputError: ``workdir`` is not empty, or the program does not exist.
    """
    layout = Layout(workdir)
    layout.make()
    run = _Run(request, layout, on_line or (lambda _: None), stop or threading.Event())
    try:
        lay_out(request, layout)
    except PenstockError as error:
        return run.result("Failed", str(error))
    return run.to_end()


class _Run:
    """One job while it runs."""

    def __init__(
        self,
        request: TrainingRequest,
        layout: Layout,
        on_line: Callable[[str], None],
        stop: threading.Event,
    ) -> None:
        self._request, self._layout, self._on_line, self._stop = request, layout, on_line, stop
        self._metrics = MetricReader(request.metric_definitions)
        self._last_lines: list[str] = []
        self._started = self._logged_at = time.monotonic()
        self._feeders = [
            Feeder(channel.name, channel.uris, layout.data, size_bytes=channel.size_bytes)
            for channel in request.channels
            if channel.input_mode == "Pipe"
        ]

    def to_end(self) -> TrainingResult:
        with ExitStack() as stack:
            for feeder in self._feeders:
                feeder.start()
                stack.callback(feeder.stop)
            process = self._start()
            # Left in the reverse order: the program dies before any FIFO of its is closed.
            stack.callback(process.close)
            stack.callback(process.kill)
            status, reason = self._watch(process)
            process.kill()
            self._read(process.remaining())
        return self.result(status, reason, process.returncode)

    def _start(self) -> Process:
        request = self._request
        environment = {
            "SAGEMAKER_BASE_DIR": str(self._layout.base),
            "TRAINING_JOB_NAME": request.job,
            **request.environment,
        }
        try:
            return Process(
                request.program,
                cwd=self._layout.base,
                environment=clean_environment(environment),
                log=self._layout.log,
            )
        except OSError as error:
            raise InputError(
                f"training job {request.job!r}: program {request.program[0]!r} does not start: "
                f"{error.strerror}\n  check the program of the request"
            ) from error

    def _watch(self, process: Process) -> tuple[str, str]:
        """Wait for the program's end; return the status and its reason."""
        while process.returncode is None:
            self._read(process.lines(TICK_S))
            if failure := next(filter(None, (feeder.failure for feeder in self._feeders)), None):
                process.kill()
                return "Failed", failure
            if self._stop.is_set():
                self._end(process)
                return "Stopped", "StopRequested: the caller asked for the job's end"
            if time.monotonic() - self._started > self._request.max_run_s:
                self._end(process)
                limit = f"the job ran longer than max_run_s = {self._request.max_run_s:g} s"
                return "Stopped", f"MaxRuntimeExceeded: {limit}"
            if self._idle_s() > self._request.idle_timeout_s:
                process.kill()
                return "Failed", hung(self._request.idle_timeout_s, self._flows())
        return self._verdict(process, process.returncode)

    def _verdict(self, process: Process, code: int) -> tuple[str, str]:
        process.kill()  # children that the program left behind
        self._read(process.remaining())
        # A feeder may have failed in the same moment: its failure made the program fail, or made
        # it succeed on less than all rows.
        if failure := next(filter(None, (feeder.failure for feeder in self._feeders)), None):
            return "Failed", failure
        if code == 0:
            return "Completed", ""
        return "Failed", died(code, self._layout.failure, self._last_lines)

    def _end(self, process: Process) -> None:
        """Ask the program to end; kill it when it does not."""
        process.terminate()
        deadline = time.monotonic() + self._request.stop_grace_s
        while process.returncode is None and time.monotonic() < deadline:
            self._read(process.lines(TICK_S))
        process.kill()

    def _read(self, lines: object) -> None:
        for line in lines:  # type: ignore[attr-defined]
            self._logged_at = time.monotonic()
            self._last_lines = [*self._last_lines[-19:], line]
            self._metrics.read(line)
            self._on_line(line)

    def _idle_s(self) -> float:
        moved_at = [flow.moved_at for flow in self._flows().values()]
        return time.monotonic() - max(self._logged_at, *moved_at, self._started)

    def _flows(self) -> dict[str, object]:
        return {feeder.name: feeder.flow for feeder in self._feeders}

    def result(self, status: str, reason: str, code: int | None = None) -> TrainingResult:
        raise NotImplementedError
