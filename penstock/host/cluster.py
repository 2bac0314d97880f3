"""Several hosts of one job: each a process with its own /opt/ml, all with one end.

Objects are laid out on all hosts before a program starts on any. When a host fails the others are
killed: they would wait for it, or train on a part. The hosts share this machine's loopback, and their
names do not resolve.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from penstock.errors import PenstockError
from penstock.host.results import Status, TrainingResult
from penstock.host.training import ABANDONED, HostRun

__all__ = ["ClusterResult", "run_hosts"]

# Of two hosts that end differently this is what the job says.
WORST: tuple[Status, ...] = ("Completed", "Stopped", "Failed")


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusterResult:
    """How a job of several hosts ended.

    Attributes:
        status: Failed when a host failed, Stopped when one was stopped, else Completed.
        failure_reason: Of the first host that ended so; names the host when there are several.
        hosts: The result of each host that was started or prepared, in the order of their numbers.
    """

    status: Status
    failure_reason: str | None
    hosts: tuple[TrainingResult, ...]


def run_hosts(
    runs: Sequence[HostRun],
    *,
    abandon: threading.Event,
    on_training: Callable[[], None] = lambda: None,
) -> ClusterResult:
    """Run all hosts of a job to their end.

    Args:
        runs: Hosts that were made, in the order of their numbers.
        abandon: What the hosts' control has; set here when one of them fails.
        on_training: Called once, when all are laid out and before the programs start.

    Returns:
        How the job ended. A program that does not exist is a failure like others.
    """
    ended = _Ended(len(runs), abandon)
    _at_once(runs, abandon, lambda number, run: ended.note(number, run.prepare()))
    if not ended.order:
        on_training()
        _at_once(runs, abandon, lambda number, run: ended.note(number, _to_end(run)))
        ended.check()
    return ended.result()


def _to_end(run: HostRun) -> TrainingResult | PenstockError:
    try:
        return run.to_end()
    except PenstockError as error:  # of one host; the others must end, too
        return error


def _at_once(
    runs: Sequence[HostRun], abandon: threading.Event, work: Callable[[int, HostRun], None]
) -> None:
    """Do ``work`` for every host in a thread of its own; the first in this one."""

    def guarded(number: int, run: HostRun) -> None:
        try:
            work(number, run)
        except BaseException:  # a fault of ours: it goes on, but no host may wait for this one
            abandon.set()
            raise

    others = [
        threading.Thread(target=guarded, args=(number, run), name=f"host {number}", daemon=True)
        for number, run in enumerate(runs)
        if number
    ]
    for thread in others:
        thread.start()
    try:
        guarded(0, runs[0])
    finally:
        for thread in others:
            thread.join()


class _Ended:
    """Hosts that have ended, in the order in which they did.

    Attributes:
        order: Number, status and reason of each.
    """

    def __init__(self, hosts: int, abandon: threading.Event) -> None:
        self.order: list[tuple[int, Status, str | None]] = []
        self._results: dict[int, TrainingResult] = {}
        self._hosts, self._abandon, self._lock = hosts, abandon, threading.Lock()

    def note(self, number: int, result: TrainingResult | PenstockError | None) -> None:
        if result is None:  # prepared, and nothing wrong
            return
        status: Status = "Failed" if isinstance(result, PenstockError) else result.status
        reason = str(result) if isinstance(result, PenstockError) else result.failure_reason
        with self._lock:
            if not isinstance(result, PenstockError):
                self._results[number] = result
            self.order.append((number, status, reason))
        if status == "Failed":
            self._abandon.set()

    def check(self) -> None:
        """Make a host that a fault of ours has left without a result one that failed."""
        heard = {number for number, _, _ in self.order}
        lost = [number for number in range(self._hosts) if number not in heard]
        reason = "InternalServerError: it ended without a result"
        self.order += [(number, "Failed", reason) for number in lost]

    def result(self) -> ClusterResult:
        worst = max((status for _, status, _ in self.order), key=WORST.index)
        ended = [each for each in self.order if each[1] == worst]
        # Who was ended because of another is not the cause.
        causes = [each for each in ended if each[2] != ABANDONED]
        number, status, reason = (causes or ended)[0]
        if self._hosts > 1 and status == "Failed":
            reason = f"host algo-{number + 1}: {reason}"
        hosts = tuple(self._results[each] for each in sorted(self._results))
        return ClusterResult(status=status, failure_reason=reason, hosts=hosts)
