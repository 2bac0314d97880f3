"""One spark-submit as a child process, from the queue to its logs: for steps, job runs and Glue jobs.

At most two JVMs run at once on a plane, whoever asked for them; who waits longest goes first. A job
that is cancelled gets SIGTERM and ten seconds, then SIGKILL with all that it started. When the plane
stops, SIGKILL at once; when it is killed, the kernel ends the JVM, and the JVM's end its driver.
"""

from __future__ import annotations

import shlex
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal
from weakref import WeakKeyDictionary

from penstock.errors import PenstockError
from penstock.host.process import Process
from penstock.local.site import Site
from penstock.local.sparkargs import Submission
from penstock.local.sparkchild import prepared
from penstock.local.sparkreason import reason_of

__all__ = ["Ended", "Outcome", "SparkJob"]

JVMS = 2
POLL_S = 0.2
GRACE_S = 10.0

Outcome = Literal["succeeded", "failed", "cancelled", "timed_out"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """How a job ended.

    Attributes:
        outcome: In a word.
        exit_code: Of the child, negative for a signal; None when none was started.
        message: Why it failed, in the program's own words; empty when it did not.
        log: The file that says so.
    """

    outcome: Outcome
    exit_code: int | None = None
    message: str = ""
    log: Path | None = None


class Slots:
    """A bounded number of places, given in the order of asking."""

    def __init__(self, count: int) -> None:
        """Make ``count`` places."""
        self._free = count
        self._waiting: deque[object] = deque()
        self._changed = threading.Condition()

    def acquire(self, given_up: Callable[[], bool]) -> bool:
        """Wait for a place; return whether it was given before ``given_up`` said so."""
        ticket = object()
        with self._changed:
            self._waiting.append(ticket)
            try:
                while not given_up():
                    if self._free and self._waiting[0] is ticket:
                        self._free -= 1
                        return True
                    self._changed.wait(POLL_S)
                return False
            finally:
                self._waiting.remove(ticket)
                self._changed.notify_all()

    def release(self) -> None:
        """Give a place back."""
        with self._changed:
            self._free += 1
            self._changed.notify_all()


_slots: WeakKeyDictionary[Site, Slots] = WeakKeyDictionary()
_slots_lock = threading.Lock()


def _slots_of(site: Site) -> Slots:
    with _slots_lock:
        return _slots.setdefault(site, Slots(JVMS))


class SparkJob:
    """One run of a program by spark-submit.

    Attributes:
        stdout: Log of its standard output, to which Python's standard error goes, too.
        stderr: Log of the JVM.
        controller: What was started, and how it ended.
    """

    def __init__(
        self, site: Site, *, folder: Path, region: str, timeout_s: float | None = None
    ) -> None:
        """Make a job that works in ``folder``, which exists and is its own; nothing runs yet."""
        self._site, self._folder, self._region = site, folder, region
        self._timeout_s = timeout_s
        self._cancelled, self._at_once = threading.Event(), threading.Event()
        self.stdout, self.stderr = folder / "stdout", folder / "stderr"
        self.controller = folder / "controller"

    def cancel(self, *, at_once: bool = False) -> None:
        """End it soon: with SIGTERM and a grace, or ``at_once``. It may be waiting or gone."""
        if at_once:
            self._at_once.set()
        self._cancelled.set()

    @property
    def cancelled(self) -> bool:
        """Whether it was told to end."""
        return self._cancelled.is_set() or self._site.stopping.is_set()

    def run(
        self,
        submission: Callable[[], Submission],
        *,
        on_start: Callable[[], None] = lambda: None,
        on_line: Callable[[str], None] = lambda line: None,
    ) -> Ended:
        """Run the program and return how it ended; the calling thread waits.

        Args:
            submission: Gives what to run; what it raises fails the job.
            on_start: Called when a place is free and the work begins.
            on_line: Takes each line of standard output.
        """
        slots = _slots_of(self._site)
        if not slots.acquire(lambda: self.cancelled):
            return Ended(outcome="cancelled")
        try:
            on_start()
            ended = self._worked(submission, on_line)
        finally:
            slots.release()
            for name in ("cwd", "conf", "tmp", "fetched"):
                shutil.rmtree(self._folder / name, ignore_errors=True)
        return ended

    def _worked(
        self, submission: Callable[[], Submission], on_line: Callable[[str], None]
    ) -> Ended:
        started = time.monotonic()
        try:
            process = self._started(submission())
        except (PenstockError, OSError) as error:
            self.say("ERROR", f"not started: {error}")
            return Ended(outcome="failed", message=str(error), log=self.controller)
        try:
            outcome = self._followed(process, started, on_line)
        finally:
            process.kill()
            for line in process.remaining():
                on_line(line)
            process.close()
        code = process.returncode
        took = f"with exit code {code} after {time.monotonic() - started:.0f} s"
        if outcome is None:
            outcome = "succeeded" if code == 0 else "failed"
        self.say("INFO" if outcome == "succeeded" else "ERROR", f"{outcome} {took}")
        if outcome != "failed":
            return Ended(outcome=outcome, exit_code=code)
        reason = reason_of(self.stdout, self.stderr, code)
        return Ended(outcome=outcome, exit_code=code, message=reason.message, log=reason.log)

    def _started(self, submission: Submission) -> Process:
        for note in submission.notes:
            self.say("INFO", note)
        child = prepared(
            submission,
            folder=self._folder,
            stderr=self.stderr,
            environment=self._site.environment(self._region),
        )
        self.say("INFO", f"starting {shlex.join(child.argv[4:])}")
        return Process(child.argv, cwd=child.cwd, environment=child.environment, log=self.stdout)

    def _followed(
        self, process: Process, started: float, on_line: Callable[[str], None]
    ) -> Outcome | None:
        """Pass lines on until the program has ended; return why it was ended, if it was."""
        ended_for: Outcome | None = None
        kill_at = 0.0
        while process.returncode is None:
            for line in process.lines(POLL_S):
                on_line(line)
            now = time.monotonic()
            if ended_for is None and (found := self._why_end(now - started)):
                ended_for, kill_at = found, now + GRACE_S
                self.say("INFO", f"{found}: SIGTERM")
                process.terminate()
            if ended_for and (now >= kill_at or self._at_once.is_set() or self._stopping):
                process.kill()
        return ended_for

    @property
    def _stopping(self) -> bool:
        return self._site.stopping.is_set()

    def _why_end(self, ran_s: float) -> Outcome | None:
        if self.cancelled:
            return "cancelled"
        if self._timeout_s is not None and ran_s >= self._timeout_s:
            return "timed_out"
        return None

    def say(self, level: str, text: str) -> None:
        """Add a line to the controller's log."""
        stamp = datetime.now(UTC).isoformat(timespec="milliseconds")
        with self.controller.open("a", encoding="utf-8") as log:
            log.write(f"{stamp} {level} {text}\n")
