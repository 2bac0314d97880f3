"""What a benchmark measures and how it is told: times, tables, targets, the machine."""

from __future__ import annotations

import gc
import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.internal import api_implementation

__all__ = [
    "Outcome",
    "Table",
    "Target",
    "Times",
    "available_bytes",
    "check",
    "heat",
    "interleaved",
    "machine",
    "number",
    "peak_rss_bytes",
    "rate",
]

MB = 1e6


class WrongResult(RuntimeError):
    """Two ways that are compared did not give the same rows or bytes."""


def check(right: bool, what: str) -> None:  # noqa: FBT001
    """Stop before anything is timed or told when ``what`` does not hold."""
    if not right:
        raise WrongResult(what)


@dataclass(frozen=True, kw_only=True, slots=True)
class Times:
    """Seconds of one way, one per round."""

    seconds: tuple[float, ...]

    @property
    def median_s(self) -> float:
        """The median."""
        return statistics.median(self.seconds)

    def __str__(self) -> str:
        low, high = min(self.seconds), max(self.seconds)
        return f"{_short(self.median_s)} ({_short(low)}–{_short(high)})"


def _short(seconds: float) -> str:
    return f"{seconds * 1e3:,.1f} ms" if seconds < 1 else f"{seconds:,.2f} s"


def interleaved(
    ways: Mapping[str, Callable[[], object]],
    rounds: int,
    *,
    heat_bytes: int,
    between: Callable[[], object] | None = None,
) -> dict[str, Times]:
    """Time each way once per round, so that a slow minute of the machine slows all of them.

    Args:
        ways: What to call, by name.
        rounds: How often.
        heat_bytes: See ``heat``; more than any way takes.
        between: Called after each, off the clock, e.g. to delete what it wrote.

    A round that is not counted goes before.
    """
    found: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + 1):
        for name, way in ways.items():
            gc.collect()
            heat(heat_bytes)
            gc.disable()
            begun = time.perf_counter()
            kept = way()
            ended = time.perf_counter() - begun
            gc.enable()
            del kept
            if between is not None:
                between()
            if turn:
                found[name].append(ended)
    return {name: Times(seconds=tuple(seconds)) for name, seconds in found.items()}


def heat(size_bytes: int) -> None:
    """Take memory, touch it and give it back, so that what is timed next finds it at hand.

    A virtual machine may return free pages to its host within seconds, and gets them back at their
    first touch: 2 GB took 6.4 s then, and 0.15 s when they had just been in use. Whoever fills
    fresh memory, or writes a file, would pay for it, by chance and not by merit.
    """
    block = np.empty(min(size_bytes, available_bytes() // 2), np.uint8)
    block[:: os.sysconf("SC_PAGE_SIZE")] = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """Some lines of a report. The first column names, the others are numbers."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """A number that was promised, and what was found."""

    what: str
    found: float
    wanted: float
    most: bool = False  # whether ``wanted`` is an upper limit
    unit: str = "x"

    @property
    def met(self) -> bool:
        """Whether the promise is kept."""
        return self.found <= self.wanted if self.most else self.found >= self.wanted

    def cells(self) -> tuple[str, ...]:
        """Return a line of the table of targets."""
        limit = "at most" if self.most else "at least"
        found, wanted = (f"{value:,.4g} {self.unit}" for value in (self.found, self.wanted))
        return self.what, found, f"{limit} {wanted}", "yes" if self.met else "NO"


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What one benchmark found."""

    name: str
    about: str
    tables: tuple[Table, ...]
    targets: tuple[Target, ...]
    numbers: Mapping[str, Any] = field(default_factory=dict)

    def write(self, folder: Path, *, quick: bool) -> None:
        """Write it as ``<name>.json``, with the machine it was found on."""
        content = asdict(self) | {
            "targets": [asdict(each) | {"met": each.met} for each in self.targets],
            "machine": machine(),
            "quick": quick,
        }
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(content, indent=1, ensure_ascii=False)
        (folder / f"{self.name}.json").write_text(text + "\n")


def rate(count: float, seconds: float) -> str:
    """Return a rate per second as text."""
    return number(count / seconds)


def number(value: float) -> str:
    """Return a number with three digits that count, e.g. 4.41 M.

    >>> number(4_410_000), number(118_400), number(0.5)
    ('4.41 M', '118 k', '0.5 ')
    """
    size, letter = next(
        (pair for pair in ((1e9, "G"), (1e6, "M"), (1e3, "k")) if value >= pair[0]), (1, "")
    )
    scaled = value / size
    return f"{scaled:,.0f} {letter}" if scaled >= 100 else f"{scaled:.3g} {letter}"


def machine() -> dict[str, str]:
    """Return what the figures depend on: processor, memory, versions, commit, date."""
    packages = ("numpy", "scipy", "pandas", "pyarrow", "protobuf", "pyspark")
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in packages)
    versions = versions.replace("protobuf", f"protobuf ({api_implementation.Type()})")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "memory": f"{memory:.1f} GiB",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "versions": f"Python {platform.python_version()}, {versions}",
        "commit": _commit(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown processor"


def _commit() -> str:
    def git(*words: str) -> str:
        return subprocess.run(
            ["git", *words], capture_output=True, text=True, check=True, cwd=Path(__file__).parent
        ).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--", "../penstock", ":(glob)*.py")
        return git("rev-parse", "--short=12", "HEAD") + (" and changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def peak_rss_bytes(pid: int | str = "self") -> int:
    """Return the most memory that a process has had, by Linux's high-water mark; 0 if it is gone.

    ``getrusage`` will not do for a child: it counts what its parent had when it forked.
    """
    return memory_bytes(pid, "VmHWM")


def available_bytes() -> int:
    """Return the memory that processes can still get; 0 where Linux does not say."""
    return _kilobytes(Path("/proc/meminfo"), "MemAvailable")


def memory_bytes(pid: int | str, what: str) -> int:
    """Return a line of /proc/<pid>/status that is in kB, as bytes; 0 if the process is gone."""
    return _kilobytes(Path(f"/proc/{pid}/status"), what)


def _kilobytes(path: Path, what: str) -> int:
    try:
        lines = path.read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{what}:")), 0)


def lines_of(outcomes: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the results as Markdown."""
    lines = ["# Results", ""]
    lines += [
        "`make bench` writes this page. Correctness is checked in the same run, before a ratio is"
    ]
    lines += [
        "told. Times are medians of interleaved rounds, with the lowest and the highest. Before each"
    ]
    lines += [
        "call, off the clock, free memory is touched, as some machines take long to hand out what was"
    ]
    lines += ["not in use for a while.", ""]
    for outcome in outcomes:
        lines += [f"## {outcome['name']}", "", outcome["about"], ""]
        lines += [f"- {key}: {value}" for key, value in outcome["machine"].items()]
        if outcome["quick"]:
            lines += ["- a quick run: small data, few rounds; not for quoting"]
        targets = [Target(**{k: v for k, v in t.items() if k != "met"}) for t in outcome["targets"]]
        if targets:
            cells = [each.cells() for each in targets]
            lines += ["", *_markdown("Targets", ("", "found", "wanted", "met"), cells)]
        for table in outcome["tables"]:
            lines += ["", *_markdown(table["title"], table["columns"], table["rows"])]
            lines += ["", table["note"]] if table["note"] else []
        lines.append("")
    return lines


def _markdown(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [f"### {title}", "", "| " + " | ".join(columns) + " |"]
    lines.append("|" + "---|" + "--:|" * (len(columns) - 1))
    return lines + ["| " + " | ".join(row) + " |" for row in rows]
