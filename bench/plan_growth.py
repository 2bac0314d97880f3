"""How the cost of a fit and a conversion grows: with what is asked, with rows, with columns."""

from __future__ import annotations

import itertools
import shutil
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flightrows import CATEGORIES, NUMBERS, YEAR_ROWS, curated_flights, flight_spec, widened
from measure import MB, Table, heat, number
from workers import WorkerMemory

from penstock.convert import convert
from penstock.curated import Curated
from penstock.fit import fit
from penstock.spec import Spec

__all__ = ["Scan", "Size", "growth", "scan_table", "scans", "size_table"]

ROUNDS = 3
HEAT_BYTES = int(1e9)
WIDE_FILES = 4
WIDTHS = (1, 2, 4, 8)
# Each of these ways takes its turn among the columns.
WAYS: tuple[dict[str, Any], ...] = (
    {"impute": "median", "scale": "robust"},
    {"impute": "mean", "scale": "min_max", "clip": (0.01, 0.99)},
    {"impute": "most_frequent", "scale": "bins", "bins": 8},
    {"impute": "median", "scale": "standard", "indicator": True},
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Scan:
    """One fit, by Spark's own count of jobs and stages."""

    asked: str
    rows: int
    jobs: int
    stages: int
    seconds: float
    peak_bytes: int


def _mixed() -> list[dict[str, Any]]:
    return [way | {"columns": NUMBERS[at :: len(WAYS)]} for at, way in enumerate(WAYS)]


def _asked() -> dict[str, Spec]:
    grouped = {"columns": NUMBERS, "impute": "by_group", "group_by": "origin"}
    target = {"columns": CATEGORIES, "encode": "target"}
    ordinal = {"columns": CATEGORIES, "encode": "ordinal", "min_frequency": 100}
    return {
        "means, standardised; one-hot": flight_spec(),
        "medians, modes, quantiles, bins by turns; ordinal": flight_spec(_mixed(), [ordinal]),
        "all numbers by group; all names by their labels, out of fold": flight_spec(
            [grouped], [target]
        ),
    }


def scans(session: Any, curated: Curated) -> list[Scan]:
    """Return what fits of the same table cost that ask for ever more; the first asks for means."""
    asked = _asked()
    seconds: dict[str, list[float]] = {name: [] for name in asked}
    counts: dict[str, tuple[int, int]] = {}
    peaks: dict[str, int] = dict.fromkeys(asked, 0)
    for turn, (name, spec) in itertools.product(range(ROUNDS + 1), asked.items()):
        heat(HEAT_BYTES)
        group = f"{name} {turn}"
        session.sparkContext.setLocalProperty("spark.jobGroup.id", group)
        with WorkerMemory() as memory:
            begun = time.perf_counter()
            fit(session, curated, spec)
            ended = time.perf_counter() - begun
        counts[name] = _counts(session, group)
        if turn:
            seconds[name].append(ended)
            peaks[name] = max(peaks[name], memory.peak_bytes)
    session.sparkContext._jsc.setLocalProperty("spark.jobGroup.id", None)
    return [
        Scan(
            asked=name,
            rows=curated.rows("train"),
            jobs=counts[name][0],
            stages=counts[name][1],
            seconds=statistics.median(seconds[name]),
            peak_bytes=peaks[name],
        )
        for name in asked
    ]


def _counts(session: Any, group: str) -> tuple[int, int]:
    """Return how many jobs and stages a group of jobs had, as Spark tells."""
    tracker = session.sparkContext.statusTracker()
    jobs = tracker.getJobIdsForGroup(group)
    return len(jobs), sum(len(tracker.getJobInfo(job).stageIds) for job in jobs)


def scan_table(found: Sequence[Scan]) -> Table:
    """Return the table of scans."""
    return Table(
        title=f"{number(found[0].rows)}rows, a fit, whatever its columns need",
        columns=("asked of the columns", "Spark jobs", "stages", "time", "peak memory of a worker"),
        rows=tuple(
            (
                each.asked,
                str(each.jobs),
                str(each.stages),
                f"{each.seconds:,.2f} s",
                f"{each.peak_bytes / MB:,.0f} MB",
            )
            for each in found
        ),
        note=(
            f"The train split of a smaller table. Median of {ROUNDS}, in turns. What a group or a label adds "
            "is arithmetic; no scan."
        ),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Size:
    """A fit and a conversion of one table."""

    rows: int
    columns: int
    fit_s: float
    convert_s: float


def growth(session: Any, curated: Curated, folder: Path, out: Path) -> list[Size]:
    """Return what tables of more rows and of more columns cost; they stay in ``folder``."""
    copies = round(sum(file.rows for file in curated.files) / YEAR_ROWS)
    counts = sorted({1, max(1, copies // 3), copies})
    tables = [(curated_flights(folder, count), flight_spec()) for count in counts]
    for times in WIDTHS:
        wide, names = widened(folder, curated, times, WIDE_FILES)
        group = {"columns": names, "impute": "mean", "indicator": False}
        tables.append((wide, flight_spec([group])))
    return [_size(session, table, spec, out) for table, spec in tables]


def _size(session: Any, curated: Curated, spec: Spec, out: Path) -> Size:
    fits: list[float] = []
    conversions: list[float] = []
    for turn in range(ROUNDS):
        heat(HEAT_BYTES)
        target = out / f"size-{turn}"
        begun = time.perf_counter()
        fitted = fit(session, curated, spec)
        between = time.perf_counter()
        convert(session, curated, fitted.plan, spec, str(target))
        ended = time.perf_counter()
        shutil.rmtree(target)
        fits.append(between - begun)
        conversions.append(ended - between)
    return Size(
        rows=sum(file.rows for file in curated.files),
        columns=len(fitted.plan.columns),
        fit_s=statistics.median(fits),
        convert_s=statistics.median(conversions),
    )


def size_table(found: Sequence[Size]) -> Table:
    """Return the table of sizes."""
    return Table(
        title="more rows, more columns",
        columns=("rows", "columns", "fit", "convert", "of both, a row"),
        rows=tuple(
            (
                number(each.rows),
                str(each.columns),
                f"{each.fit_s:,.2f} s",
                f"{each.convert_s:,.2f} s",
                f"{(each.fit_s + each.convert_s) / each.rows * 1e9:,.0f} ns",
            )
            for each in found
        ),
        note=(
            f"Median of {ROUNDS}. First more copies of the year, then every column of numbers more often, "
            f"of the first {WIDE_FILES} files."
        ),
    )
