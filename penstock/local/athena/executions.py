"""Query executions: what is known of each, for as long as the plane lives, the last ten thousand."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from penstock.local.wire import AwsError

__all__ = ["Execution", "Executions"]

KEPT = 10_000
ENDED = ("SUCCEEDED", "FAILED", "CANCELLED")
ENGINE = {
    "SelectedEngineVersion": "AUTO",
    "EffectiveEngineVersion": "Athena engine version 3",
}


@dataclass(kw_only=True, slots=True)
class Execution:
    """One execution; written by its own thread, read by all.

    Attributes:
        id: As the answers have it.
        region: Where it runs.
        query: As the user wrote it.
        statement_type: ``DML``, ``DDL``, ``UTILITY``.
        substatement: Like ``SELECT``.
        workgroup: Its name.
        context: QueryExecutionContext.
        configuration: ResultConfiguration; its OutputLocation becomes the result's own.
        parameters: ExecutionParameters.
        read: Returns the bytes that it has read so far.
        interrupt: Ends what runs, when something runs.
    """

    id: str
    region: str
    query: str
    statement_type: str
    substatement: str
    workgroup: str
    context: Mapping[str, Any]
    configuration: dict[str, Any]
    parameters: tuple[str, ...] = ()
    state: str = "QUEUED"
    reason: str = ""
    error: Mapping[str, Any] | None = None
    submitted_s: float = field(default_factory=time.time)
    started_s: float = 0.0
    ended_s: float = 0.0
    stop_asked: bool = False
    outcome: Any = None
    read: Callable[[], int] = lambda: 0
    interrupt: Callable[[], None] = lambda: None

    @property
    def ended(self) -> bool:
        """Whether it is over."""
        return self.state in ENDED

    def answer(self) -> dict[str, Any]:
        """Return it as GetQueryExecution has it."""
        status: dict[str, Any] = {"State": self.state, "SubmissionDateTime": self.submitted_s}
        if self.reason:
            status["StateChangeReason"] = self.reason
        if self.error:
            status["AthenaError"] = dict(self.error)
        if self.ended:
            status["CompletionDateTime"] = self.ended_s
        more = {"ExecutionParameters": list(self.parameters)} if self.parameters else {}
        return {
            "QueryExecutionId": self.id,
            "Query": self.query,
            "StatementType": self.statement_type,
            "SubstatementType": self.substatement,
            "ResultConfiguration": self.configuration,
            "ResultReuseConfiguration": {"ResultReuseByAgeConfiguration": {"Enabled": False}},
            "QueryExecutionContext": dict(self.context),
            "Status": status,
            "Statistics": self.statistics(),
            "WorkGroup": self.workgroup,
            "EngineVersion": ENGINE,
            **more,
        }

    def statistics(self) -> dict[str, Any]:
        """Return its Statistics."""
        now = self.ended_s or time.time()
        started = self.started_s or now
        made: dict[str, Any] = {
            "EngineExecutionTimeInMillis": _ms(now - started),
            "DataScannedInBytes": self.read(),
            "TotalExecutionTimeInMillis": _ms(now - self.submitted_s),
            "QueryQueueTimeInMillis": _ms(started - self.submitted_s),
            "ServicePreProcessingTimeInMillis": 0,
            "ServiceProcessingTimeInMillis": 0,
            "ResultReuseInformation": {"ReusedPreviousResult": False},
        }
        if self.outcome is not None and self.outcome.manifest:
            made["DataManifestLocation"] = self.outcome.manifest
        return made


def _ms(seconds: float) -> int:
    return max(0, round(seconds * 1000))


class Executions:
    """All executions of a plane."""

    def __init__(self) -> None:
        """Begin with none."""
        self._known: OrderedDict[str, Execution] = OrderedDict()
        self._tokens: dict[tuple[str, str], tuple[str, str]] = {}
        self._lock = threading.Lock()

    def add(self, execution: Execution) -> None:
        """Keep an execution, and forget the oldest that ended when there are too many."""
        with self._lock:
            self._known[execution.id] = execution
            while len(self._known) > KEPT:
                old = next((each.id for each in self._known.values() if each.ended), None)
                if old is None:
                    break
                del self._known[old]

    def claimed(self, region: str, token: str, query: str, made: str) -> str:
        """Return the execution that a ClientRequestToken stands for: ``made`` for a new one.

        Raises:
            AwsError: The token stands for another query.
        """
        with self._lock:
            known, text = self._tokens.setdefault((region, token), (made, query))
            while len(self._tokens) > KEPT:
                del self._tokens[next(iter(self._tokens))]
        if text != query:
            raise AwsError("InvalidRequestException", "Idempotent parameters do not match")
        return known

    def get(self, region: str, name: str) -> Execution:
        """Return an execution.

        Raises:
            AwsError: There is none.
        """
        with self._lock:
            found = self._known.get(name)
        if found is None or found.region != region:
            raise AwsError(
                "InvalidRequestException",
                f"QueryExecution {name} was not found",
                AthenaErrorCode="INVALID_QUERY_EXECUTION_ID",
            )
        return found

    def newest(self, region: str, workgroup: str) -> Iterator[Execution]:
        """Yield the executions of a workgroup, the last first."""
        with self._lock:
            known = list(reversed(self._known.values()))
        return (each for each in known if (each.region, each.workgroup) == (region, workgroup))

    def running(self) -> list[Execution]:
        """Return those that are not over."""
        with self._lock:
            return [each for each in self._known.values() if not each.ended]
