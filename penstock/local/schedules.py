"""Schedules of Glue: ``cron(minutes hours day-of-month month day-of-week year)`` in UTC, and what fires them.

A schedule fires while the plane runs; what came due while it did not is not made up for. Of each field
lists, ranges, steps and names are read, and ``?`` for ``*``; ``L``, ``W`` and ``#`` are refused.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from penstock.local.site import Site
from penstock.local.wire import AwsError

__all__ = ["Cron", "Scheduler"]

MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
# Name, first and last value, and the names of values.
FIELDS: tuple[tuple[str, int, int, tuple[str, ...]], ...] = (
    ("minutes", 0, 59, ()),
    ("hours", 0, 23, ()),
    ("day of month", 1, 31, ()),
    ("month", 1, 12, MONTHS),
    ("day of week", 1, 7, DAYS),
    ("year", 1970, 2199, ()),
)
MINUTE = timedelta(minutes=1)
# A machine that slept is not flooded with what came due meanwhile.
MAX_CATCH_UP = timedelta(minutes=5)
POLL_S = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Cron:
    """A parsed schedule.

    Attributes:
        expression: As it was given.
        fields: Values that each field allows, in the order of ``FIELDS``.
    """

    expression: str
    fields: tuple[frozenset[int], ...]

    @classmethod
    def parse(cls, expression: str) -> Cron:
        """Return a schedule.

        Raises:
            AwsError: It is none, as Glue refuses it.
        """
        inner = re.fullmatch(r"\s*cron\((.*)\)\s*", expression)
        parts = inner[1].split() if inner else []
        if len(parts) != len(FIELDS):
            raise _bad(
                expression, f"it has {len(parts)} fields in cron(...), expected {len(FIELDS)}"
            )
        if ("?" in parts[2]) == ("?" in parts[4]):
            raise _bad(expression, "expected ? for either the day of month or the day of week")
        fields = tuple(
            _values(expression, part, *field) for part, field in zip(parts, FIELDS, strict=True)
        )
        return cls(expression=expression, fields=fields)

    def matches(self, when: datetime) -> bool:
        """Return whether it fires in the minute of a time in UTC.

        >>> Cron.parse("cron(15 12 * * ? *)").matches(datetime(2026, 1, 1, 12, 15, tzinfo=UTC))
        True
        """
        weekday = when.isoweekday() % 7 + 1
        now = (when.minute, when.hour, when.day, when.month, weekday, when.year)
        return all(value in field for value, field in zip(now, self.fields, strict=True))


def _values(
    expression: str, part: str, name: str, first: int, last: int, names: tuple[str, ...]
) -> frozenset[int]:
    found: set[int] = set()
    for item in part.upper().split(","):
        body, slash, step = item.partition("/")
        low, dash, high = body.partition("-")
        if body in ("*", "?"):
            low, high, dash = str(first), str(last), "-"
        ends = [_number(each, first, names) for each in ((low, high) if dash else (low,))]
        stride = int(step) if step.isdecimal() else 0 if slash else 1
        if None in ends or stride < 1:
            raise _bad(expression, f"its field {name} is {part!r}, expected {first} to {last}, lists, "
                       "ranges and steps of them")  # fmt: skip
        bounds = [end for end in ends if end is not None]
        start, stop = bounds[0], bounds[-1] if dash or not slash else last
        if not first <= start <= stop <= last:
            raise _bad(expression, f"its field {name} is {part!r}, expected {first} to {last}")
        found |= set(range(start, stop + 1, stride))
    return frozenset(found)


def _number(text: str, first: int, names: tuple[str, ...]) -> int | None:
    if text in names:
        return names.index(text) + first
    return int(text) if text.isdecimal() else None


def _bad(expression: str, problem: str) -> AwsError:
    message = f"Invalid Schedule cron expression: {expression}: {problem}"
    return AwsError("InvalidInputException", message)


class Scheduler:
    """Fires schedules of one service while the plane runs; one thread, which begins with the first."""

    def __init__(self, site: Site, name: str) -> None:
        """Make one without schedules; ``name`` is that of its thread."""
        self._site, self._name = site, name
        self._lock = threading.Lock()
        self._entries: dict[Hashable, tuple[Cron, Callable[[], None]]] = {}
        self._done = datetime.min.replace(tzinfo=UTC)
        self._thread: threading.Thread | None = None

    def put(self, key: Hashable, cron: Cron, fire: Callable[[], None]) -> None:
        """Add a schedule, or take the place of that of the key."""
        with self._lock:
            self._entries[key] = (cron, fire)
            if self._thread is None:
                self._done = _minute(datetime.now(UTC))
                self._thread = self._site.spawn(self._name, self._run)

    def drop(self, key: Hashable) -> None:
        """Take a schedule away; a missing one is fine."""
        with self._lock:
            self._entries.pop(key, None)

    def tick(self, now: datetime) -> int:
        """Fire what came due since the last tick; return how many."""
        with self._lock:
            minute, start = _minute(now), max(self._done, _minute(now) - MAX_CATCH_UP)
            self._done = max(self._done, minute)
            passed = range(int((minute - start) / MINUTE))
            minutes = [start + MINUTE * (place + 1) for place in passed]
            due = [
                fire
                for cron, fire in self._entries.values()
                if any(cron.matches(each) for each in minutes)
            ]
        for fire in due:
            fire()
        return len(due)

    def _run(self) -> None:
        while not self._site.stopping.wait(POLL_S):
            self.tick(datetime.now(UTC))


def _minute(when: datetime) -> datetime:
    return when.replace(second=0, microsecond=0)
