"""What SageMaker's agent does around a training container, for a program on this machine.

``run_training`` lays out /opt/ml below a folder, starts the program, feeds its channels, reads its
log, and enforces its limits. Whatever happens, it ends every thread and process that it started.

    Completed   the program ended with 0
    Failed      it ended otherwise, hung, or a channel could not be fed
    Stopped     it was asked to end: max_run_s or the stop event; a model saved until then counts
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from penstock.errors import InputError, PenstockError
from penstock.host.layout import Layout, TrainingRequest, lay_out
from penstock.host.metrics import MetricReader
from penstock.host.pipe import Feeder, Flow
from penstock.host.process import Process, clean_environment
from penstock.host.results import LOG_LINES, ChannelUse, Status, TrainingResult, died, hung

__all__ = ["ABANDONED", "Control", "HostRun", "run_training"]

# How often limits are looked at while nothing is logged.
TICK_S = 0.1

ABANDONED = "Abandoned: the host was ended"

Ending = tuple[Status, str | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Control:
    """How others end a run.

    Attributes:
        stop: When set, the program is asked to end; the result is Stopped.
        abandon: When set, the program is killed at once; the result is Failed.
    """

    stop: threading.Event = field(default_factory=threading.Event)
    abandon: threading.Event = field(default_factory=threading.Event)

    @property
    def ended(self) -> bool:
        """Whether one of them is set."""
        return self.stop.is_set() or self.abandon.is_set()


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
        InputError: ``workdir`` is not empty, a metric's regex is wrong, or the program does not
            exist.
    """
    run = HostRun(
        request, workdir, on_line=on_line, control=Control(stop=stop or threading.Event())
    )
    if (result := run.prepare()) is not None:
        return result
    return run.to_end()


class HostRun:
    """One host of a job: prepared, then run to its end.

    Attributes:
        layout: Its folders.
        request: What it runs.
        started: Whether its program was started.
    """

    started = False

    def __init__(
        self,
        request: TrainingRequest,
        workdir: Path,
        *,
        on_line: Callable[[str], None] | None = None,
        on_stopping: Callable[[str], None] | None = None,
        control: Control | None = None,
    ) -> None:
        """Make the folders.

        Args:
            request: What to run.
            workdir: A folder that is new or empty.
            on_line: Called with every line of the log, in the thread of ``to_end``.
            on_stopping: Called with the reason before the program is asked to end.
            control: How others end it.

        Raises:
            InputError: ``workdir`` is not empty, or a metric's regex is wrong.
        """
        self.request, self.layout = request, Layout(Path(workdir).absolute())
        self.layout.make()
        self._on_line = on_line or (lambda _: None)
        self._on_stopping = on_stopping or (lambda _: None)
        self._control = control or Control()
        self._metrics = MetricReader(request.metric_definitions)
        self._last_lines: list[str] = []
        self._started = self._logged_at = time.monotonic()
        self._placed: Mapping[str, int] = {}
        self._feeders = [
            Feeder(channel, self.layout.data, share=request.share)
            for channel in request.channels
            if channel.input_mode == "Pipe"
        ]

    def prepare(self) -> TrainingResult | None:
        """Lay out configuration and files; return a result only when that is the end of the job."""
        try:
            self._placed = lay_out(self.request, self.layout, ended=lambda: self._control.ended)
        except PenstockError as error:
            self.layout.log.touch()
            return self._result("Failed", str(error), None)
        if self._control.ended:
            self.layout.log.touch()
            return self._result(*(self._asked() or ("Stopped", None)), None)
        return None

    def to_end(self) -> TrainingResult:
        """Start the program, see it through, and end all that was started.

        Raises:
            InputError: The program does not exist.
        """
        with _closing_undisturbed() as stack:
            for feeder in self._feeders:
                feeder.start()
                stack.callback(feeder.stop)
            process = self._start()
            self.started = True
            # Undone in reverse order: the program is dead before a FIFO of it is closed.
            stack.callback(process.close)
            stack.callback(process.kill)
            self._logged_at = time.monotonic()
            status, reason = self._watch(process)
            return self._result(status, reason, process.returncode)

    def _start(self) -> Process:
        request = self.request
        environment = {
            "SAGEMAKER_BASE_DIR": str(self.layout.base),
            "TRAINING_JOB_NAME": request.job,
            **request.environment,
        }
        try:
            return Process(
                request.program,
                cwd=self.layout.base,
                environment=clean_environment(environment),
                log=self.layout.log,
            )
        except OSError as error:
            raise InputError(
                f"training job {request.job!r}: program {request.program[0]!r} does not start: "
                f"{error.strerror}\n  check the program of the request"
            ) from error

    def _watch(self, process: Process) -> Ending:
        """Wait until the program ends, or end it; return the status and its reason."""
        while process.returncode is None:
            self._read(process.lines(TICK_S))
            if ending := self._limit(process):
                break
        else:
            ending = None
        process.kill()  # the program, or children that it left behind
        self._read(process.remaining())
        if failure := self.data_failure:
            # A program that reads less than all may fail, or succeed on too little.
            return "Failed", failure
        return ending or self._verdict(process.returncode)

    def _limit(self, process: Process) -> Ending | None:
        """Return how the job ends if it must end now; the program may still run."""
        request, now = self.request, time.monotonic()
        if self.data_failure:
            return "Failed", None
        ending = self._asked()
        if ending is None and now - self._started > request.max_run_s:
            limit = f"the job ran longer than max_run_s = {request.max_run_s:g} s"
            ending = "Stopped", f"MaxRuntimeExceeded: {limit}"
        if ending is not None:
            if ending[0] == "Stopped":
                self._ask_to_end(process, str(ending[1]))
            return ending
        moved_at = [flow.moved_at for flow in self._flows().values()]
        if now - max(self._logged_at, self._started, *moved_at) > request.idle_timeout_s:
            return "Failed", hung(request.idle_timeout_s, self._flows())
        return None

    def _asked(self) -> Ending | None:
        if self._control.abandon.is_set():
            return "Failed", ABANDONED
        if self._control.stop.is_set():
            return "Stopped", "StopRequested: the caller asked the job to end"
        return None

    def _ask_to_end(self, process: Process, reason: str) -> None:
        self._on_stopping(reason)
        process.terminate()
        deadline = time.monotonic() + self.request.stop_grace_s
        while process.returncode is None and time.monotonic() < deadline:
            if self._control.abandon.is_set():
                break
            self._read(process.lines(TICK_S))

    def _verdict(self, code: int | None) -> Ending:
        if code == 0:
            return "Completed", None
        return "Failed", died(code or 0, self.layout.failure, self._last_lines)

    @property
    def data_failure(self) -> str | None:
        """Why a channel could not be fed; None when all could."""
        return next((feeder.failure for feeder in self._feeders if feeder.failure), None)

    def _read(self, lines: Iterable[str]) -> None:
        for line in lines:
            self._logged_at = time.monotonic()
            self._last_lines = [*self._last_lines[-LOG_LINES:], line]
            self._metrics.read(line)
            self._on_line(line)

    def _flows(self) -> dict[str, Flow]:
        return {feeder.name: feeder.flow for feeder in self._feeders}

    def _result(self, status: Status, reason: str | None, code: int | None) -> TrainingResult:
        flows = self._flows()
        channels = {}
        for channel in self.request.channels:
            flow = flows.get(channel.name)
            channels[channel.name] = ChannelUse(
                mode=channel.input_mode,
                bytes=flow.bytes if flow else self._placed.get(channel.name, 0),
                epochs=flow.epochs if flow else None,
            )
        return TrainingResult(
            job=self.request.job,
            status=status,
            failure_reason=reason,
            exit_code=code,
            model_dir=self.layout.model,
            log_path=self.layout.log,
            seconds=time.monotonic() - self._started,
            channels=channels,
            metrics=tuple(self._metrics.found),
        )


@contextmanager
def _closing_undisturbed() -> Iterator[ExitStack]:
    """Close a stack even when Ctrl-C comes again while it closes."""
    stack = ExitStack()
    try:
        yield stack
    finally:
        if threading.current_thread() is threading.main_thread():
            before = signal.signal(signal.SIGINT, signal.SIG_IGN)
            try:
                stack.close()
            finally:
                signal.signal(signal.SIGINT, before)
        else:
            stack.close()
