"""Problems of a source: the first place of each kind, and how often it came."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from penstock.errors import DataError

__all__ = ["BadRecordsError", "Findings", "Problem"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One kind of problem.

    Attributes:
        kind: Short name of the kind, for programs.
        file: First file that has it.
        byte: First bad byte, or where the first bad record begins.
        row: Number of that record in its file; None when the bytes are no record.
        text: What was found there, and what was expected.
        records: How many records have it.
        at_least: Whether more may have it, as not all records were looked into.
    """

    kind: str
    file: str
    byte: int
    row: int | None
    text: str
    records: int
    at_least: bool = False


class Findings:
    """Problems so far."""

    def __init__(self) -> None:
        """Begin with none."""
        self._found: dict[str, Problem] = {}

    def add(
        self,
        kind: str,
        *,
        file: str,
        byte: int,
        row: int | None,
        text: str | Callable[[], str],
        records: int = 1,
    ) -> None:
        """Count a problem; the words are asked for when it is the first of its kind."""
        before = self._found.get(kind)
        if before is not None:
            self._found[kind] = replace(before, records=before.records + records)
            return
        said = text if isinstance(text, str) else text()
        self._found[kind] = Problem(
            kind=kind, file=file, byte=byte, row=row, text=said, records=records
        )

    def more(self, kind: str) -> None:
        """Say that not all records with this kind of problem were counted."""
        self._found[kind] = replace(self._found[kind], at_least=True)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All of them, in the order in which they were met."""
        return tuple(self._found.values())


class BadRecordsError(DataError):
    """A source has records that a reader does not accept, or bytes that are no records."""

    def __init__(self, source: str, reader: str | None, problems: tuple[Problem, ...]) -> None:
        self.source, self.reader, self.problems = source, reader, problems
        super().__init__(source, reader, problems)

    def __str__(self) -> str:
        count = len(self.problems)
        noun = "kind of problem" if count == 1 else "kinds of problems"
        reader = f" for {self.reader}" if self.reader else ""
        lines = [f"{self.source}: {count} {noun}{reader}"]
        for problem in self.problems:
            record = "" if problem.row is None else f", record {problem.row:,}"
            more = problem.records - 1
            least = "at least " if problem.at_least else ""
            again = f" (and {least}{more:,} more {'record' if more == 1 else 'records'})"
            again = again if more else ""
            text, *remedies = problem.text.split("\n")
            lines.append(f"  {problem.file}{record}, byte {problem.byte:,}: {text}{again}")
            lines += [f"  {remedy}" for remedy in remedies]
        return "\n".join(lines)

    def body(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "source": self.source,
            "ok": False,
            "for": self.reader,
            "problems": [
                {
                    "kind": problem.kind,
                    "file": problem.file,
                    "record": problem.row,
                    "byte": problem.byte,
                    "text": problem.text,
                    "records": problem.records,
                    "at_least": problem.at_least,
                }
                for problem in self.problems
            ],
        }
