"""Why a job failed, in its own words: read off the ends of its logs."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

__all__ = ["Reason", "reason_of"]

TAIL_BYTES = 128 * 1024
REASON_CHARACTERS = 1000
TRACEBACK = "Traceback (most recent call last):"
# What a JVM says when it dies, but for the line that only repeats the program's exit code.
JVM = re.compile(r'^(?:Exception in thread "[^"]*" |Error: )(?!.*SparkUserAppException)(.*)')
STARTS = re.compile(r"^(?:error|fatal)\b", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Reason:
    """What a job died of.

    Attributes:
        message: In its words, else its exit code.
        log: The file that says so.
    """

    message: str
    log: Path


def reason_of(stdout: Path, stderr: Path, exit_code: int | None) -> Reason:
    """Return why a job failed. Reads at most 128 KiB of each log."""
    said, logged = _tail(stdout), _tail(stderr)
    # spark-submit sends both of the Python program's streams to its own standard output.
    found = (_raised(said) if exit_code == 1 else "") or _told(said)
    if found:
        return Reason(message=found[:REASON_CHARACTERS], log=stdout)
    found = _died(logged) or (_raised(logged) if exit_code == 1 else "") or _told(logged)
    if found:
        return Reason(message=found[:REASON_CHARACTERS], log=stderr)
    how = f"signal {-exit_code}" if exit_code is not None and exit_code < 0 else exit_code
    what = f"ended by {how}" if isinstance(how, str) else f"ended with exit code {how}"
    return Reason(message=f"the program {what}", log=stderr)


def _tail(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - TAIL_BYTES))
            return file.read().decode(errors="replace").splitlines()
    except FileNotFoundError:
        return []


def _raised(lines: Sequence[str]) -> str:
    """Return the exception of the last traceback: its line, and those that belong to it."""
    if TRACEBACK not in lines:
        return ""
    after = lines[len(lines) - lines[::-1].index(TRACEBACK) :]
    start = next((i for i, line in enumerate(after) if line and line[0] not in " \t"), None)
    if start is None:
        return ""
    return "\n".join(_until(after[start:], lambda line: line.startswith("\tat ")))


def _told(lines: Sequence[str]) -> str:
    """Return the last line that calls itself an error, and the indented ones below."""
    starts = [index for index, line in enumerate(lines) if STARTS.match(line)]
    if not starts:
        return ""
    first, *rest = lines[starts[-1] :]
    return "\n".join([first, *_until(rest, lambda line: line[:1] not in (" ", "\t"))])


def _died(lines: Sequence[str]) -> str:
    found = [matched[1] for line in lines if (matched := JVM.match(line))]
    return found[-1] if found else ""


def _until(lines: Sequence[str], last: Callable[[str], bool]) -> list[str]:
    return list(takewhile(lambda line: not last(line), lines))
