"""Parquet to RecordIO on Spark, two cores: ours and sagemaker-pyspark's ``format("sagemaker")``.

``python bench/run.py --only spark``
"""

from __future__ import annotations

import ctypes
import itertools
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from measure import (
    MB,
    Outcome,
    Table,
    Target,
    Times,
    check,
    heat,
    interleaved,
    number,
    rate,
)
from peer import class_path, write
from workers import WorkerMemory

from penstock import recordio, spark

__all__ = ["run"]

WIDTH = 50
FILE_ROWS, GROUP_ROWS = 1_000_000, 125_000
FILES = 5
PUNCH_HOLE, PAGE_BYTES = 0x03, 4096  # FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE
LABEL = "label"
FEATURES = [f"f{column:02}" for column in range(WIDTH)]
TASKS, FRAME, PEER = "penstock.write_parquet", "penstock.write_dataframe", 'format("sagemaker")'
LEAST_RATIO = 7
# What is measured twice differs by some per cent; a time or memory that grew with the rows, by a factor.
FLAT = 1.25
ABOUT = (
    f"Parquet files of {FILE_ROWS:,} rows, {WIDTH} float32 features and a label, read from the page cache "
    "and written as RecordIO on `local[2]`. *write_parquet*: tasks read row groups with pyarrow and "
    'write the shards. *write_dataframe*: any DataFrame, through mapInArrow. *format("sagemaker")*: '
    "sagemaker-pyspark 1.4.5 with protobuf-java 3.21 behind a VectorAssembler. Shards go to disk, that is "
    "into the page cache. The rows of all three "
    "are decoded and compared, sorted by the first feature, which numbers them."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a run finds its rows and leaves its files.

    Attributes:
        session: The Spark session.
        folder: Scratch, for the Parquet files.
        out: Scratch, for the shards.
    """

    session: Any
    folder: Path
    out: Path
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def fresh(self, name: str) -> Path:
        """Return a folder that is not there yet."""
        return self.out / f"{name}-{next(self._numbers)}" / "train"

    def clear(self) -> None:
        """Delete what was written."""
        for folder in self.out.iterdir():
            shutil.rmtree(folder)


def run(*, quick: bool, folder: Path) -> Outcome:
    """Return times, rates, ratios and memory; ``folder`` is for files that are not kept."""
    share = 10 if quick else 1
    os.environ["PENSTOCK_SPARK_MASTER"] = "local[2]"
    with (
        tempfile.TemporaryDirectory(dir=folder) as scratch,
        tempfile.TemporaryDirectory(dir=folder) as out,
        spark.session("bench", conf=class_path()) as session,
    ):
        place = Place(session=session, folder=Path(scratch), out=Path(out))
        _check_rows(place, FILE_ROWS // 10)
        pace = _paces(place, 2, FILE_ROWS // share, rounds=2 if quick else 5)
        flat = _flatness(place, (1, 4) if quick else (1, 5, 20), FILE_ROWS // share)
    numbers = {
        "rows": pace.rows,
        "bytes": pace.size_bytes,
        "seconds": {name: times.seconds for name, times in pace.seconds.items()},
        "flatness": [
            {"rows": each.rows, "seconds": each.seconds, "peak_bytes": each.peak_bytes}
            for each in flat
        ],
    }
    return Outcome(
        name="spark",
        about=ABOUT,
        tables=(_pace_table(pace), _flat_table(flat)),
        targets=_targets(pace, flat),
        numbers=numbers,
    )


def _targets(pace: Pace, flat: list[Flat]) -> tuple[Target, ...]:
    return (
        Target(
            what=f"{TASKS} against {PEER}",
            found=pace.seconds[PEER].median_s / pace.seconds[TASKS].median_s,
            wanted=LEAST_RATIO,
        ),
        Target(
            what="time per row, most rows against fewest",
            found=flat[-1].row_ns / flat[0].row_ns,
            wanted=FLAT,
            most=True,
        ),
        Target(
            what="peak memory of a Python worker, most rows against fewest",
            found=flat[-1].peak_bytes / flat[0].peak_bytes,
            wanted=FLAT,
            most=True,
        ),
    )


def _write_parquet(folder: Path, files: int, rows: int) -> str:
    """Write files of ``rows`` rows each; the first feature counts through all of them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir(parents=True)
    rng = np.random.default_rng(13)
    matrix = rng.normal(size=(WIDTH, rows)).astype(np.float32)
    labels = rng.integers(0, 2, rows).astype(np.float32)
    for file in range(files):
        matrix[0] = np.arange(file * rows, (file + 1) * rows)  # float32 counts to 16,777,216
        table = pa.table(dict(zip(FEATURES, matrix, strict=True)) | {LABEL: labels})
        path = folder / f"part-{file:05}.parquet"
        pq.write_table(table, path, row_group_size=GROUP_ROWS, use_dictionary=False)
    return str(folder)


def _ways(place: Place, source: str) -> dict[str, Callable[[], Path]]:
    """Return the three ways from the Parquet files to a fresh folder, which they return."""
    from penstock.writer import write_dataframe, write_parquet

    def tasks() -> Path:
        target = place.fresh("tasks")
        write_parquet(place.session, source, str(target), features=FEATURES, label=LABEL)
        return target

    def frame() -> Path:
        target = place.fresh("frame")
        rows = place.session.read.parquet(source)
        write_dataframe(rows, str(target), features=FEATURES, label=LABEL)
        return target

    def peer() -> Path:
        from pyspark.ml.feature import VectorAssembler
        from pyspark.sql import functions as F

        target = place.fresh("peer")
        rows = place.session.read.parquet(source)
        assembled = VectorAssembler(inputCols=FEATURES, outputCol="features").transform(rows)
        write(assembled.select("features", F.col(LABEL).cast("double")), str(target))
        return target

    return {TASKS: tasks, FRAME: frame, PEER: peer}


def _shards(folder: Path) -> list[Path]:
    return sorted(path for suffix in ("rec", "pbr") for path in folder.rglob(f"part-*.{suffix}"))


def _decoded(folder: Path) -> tuple[Any, Any]:
    """Return features and labels of all shards, sorted by the first feature."""
    batches = [recordio.decode(path.read_bytes()) for path in _shards(folder)]
    features = np.concatenate([np.asarray(batch.features) for batch in batches])
    labels = np.concatenate([np.asarray(batch.labels) for batch in batches])
    order = np.argsort(features[:, 0], kind="stable")
    return features[order], labels[order]


def _check_rows(place: Place, rows: int) -> None:
    """Stop unless all ways write the rows of the Parquet files."""
    import pyarrow.parquet as pq

    source = _write_parquet(place.folder / "check", 2, rows)
    table = pq.read_table(source)
    features = np.column_stack([table[name].to_numpy() for name in FEATURES])
    labels = table[LABEL].to_numpy()
    for name, way in _ways(place, source).items():
        found = _decoded(way())
        check(np.array_equal(found[0], features), f"{name}: features are not those of the Parquet")
        check(np.array_equal(found[1], labels), f"{name}: labels are not those of the Parquet")
    place.clear()
    shutil.rmtree(source)


def _heat_bytes(rows: int) -> int:
    """Return what the page cache of the shards takes, and the processes, with room to spare."""
    return int(1e9) + rows * WIDTH * 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """How long each way took for the same rows."""

    rows: int
    size_bytes: int
    seconds: dict[str, Times]


def _paces(place: Place, files: int, rows: int, *, rounds: int) -> Pace:
    """Time all ways, interleaved, and compare what each wrote in the last round."""
    source = _write_parquet(place.folder / "pace", files, rows)
    ways = _ways(place, source)
    heat_bytes = _heat_bytes(files * rows)
    seconds = interleaved(ways, rounds, heat_bytes=heat_bytes, between=place.clear)
    kept: list[tuple[Any, Any]] = []
    size_bytes = 0
    for way in ways.values():
        folder = way()
        size_bytes = sum(path.stat().st_size for path in _shards(folder))
        kept = [*kept[-1:], _decoded(folder)]
        same = (
            all(np.array_equal(*pair) for pair in zip(*kept, strict=True))
            if len(kept) > 1
            else True
        )
        check(same, f"{files * rows:,} rows: two ways wrote different ones")
        place.clear()
    check(len(kept[-1][1]) == files * rows, f"{len(kept[-1][1]):,} rows, expected {files * rows:,}")
    shutil.rmtree(source)
    return Pace(rows=files * rows, size_bytes=size_bytes, seconds=seconds)


@dataclass(frozen=True, kw_only=True, slots=True)
class Flat:
    """One size of the run that shows whether time and memory grow with the rows."""

    rows: int
    seconds: float
    peak_bytes: int

    @property
    def row_ns(self) -> float:
        """Nanoseconds per row."""
        return self.seconds / self.rows * 1e9


def _flatness(place: Place, sizes: tuple[int, ...], rows: int) -> list[Flat]:
    """Return time and worker memory of write_parquet for 1, ... files."""
    found: list[Flat] = []
    everything = Path(_write_parquet(place.folder / "flat", min(sizes[-1], FILES), rows))
    for files in sizes:
        with _some_files(everything, files) as source:
            tasks = _ways(place, str(source))[TASKS]
            if not found:
                tasks()  # warm
                place.clear()
            rounds = []
            with WorkerMemory() as memory:
                for _ in range(3):
                    heat(_heat_bytes(files * rows))
                    with _forgotten(place.out):
                        begun = time.perf_counter()
                        folder = tasks()
                        rounds.append(time.perf_counter() - begun)
                    _check_total(folder, files * rows)
                    place.clear()
            seconds = min(rounds)
        found.append(Flat(rows=files * rows, seconds=seconds, peak_bytes=memory.peak_bytes))
    return found


@contextmanager
def _forgotten(folder: Path) -> Iterator[None]:
    """Have the kernel forget, while the block runs, what was written below a folder, but for its sizes.

    Once it holds some gigabytes that wait for the disk, whoever writes has to wait as well, and the
    disk is measured. Holes take the place of the bytes, all but the first page of each shard.
    """
    over = threading.Event()
    libc = ctypes.CDLL(None, use_errno=True)
    libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]

    def forget() -> None:
        while not over.wait(0.1):
            for path in _shards(folder):
                if (size := path.stat().st_size) > PAGE_BYTES:
                    with path.open("r+b") as file:
                        libc.fallocate(file.fileno(), PUNCH_HOLE, PAGE_BYTES, size - PAGE_BYTES)

    thread = threading.Thread(target=forget)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def _some_files(folder: Path, files: int) -> Iterator[Path]:
    """Give a folder that has links to the files of another, by turns."""
    some = folder.with_name(f"{folder.name}-{files}")
    some.mkdir()
    for file, path in zip(range(files), itertools.cycle(sorted(folder.iterdir())), strict=False):
        (some / f"part-{file:05}.parquet").hardlink_to(path)
    yield some
    shutil.rmtree(some)


def _check_total(folder: Path, rows: int) -> None:
    """Count the rows by the size of the files: all records have the same."""
    first = _shards(folder)[0]
    with first.open("rb") as stream:
        length = int.from_bytes(stream.read(8)[4:], "little")
    record_bytes = 8 + length + -length % 4
    found = sum(path.stat().st_size for path in _shards(folder))
    check(found == rows * record_bytes, f"{found / record_bytes:,} rows written, expected {rows:,}")


def _pace_table(pace: Pace) -> Table:
    ours = pace.seconds[TASKS].median_s
    rows = tuple(
        (
            name,
            str(times),
            rate(pace.rows, times.median_s),
            f"{pace.size_bytes / MB / times.median_s:,.0f}",
            f"{times.median_s / ours:,.2f}x",
        )
        for name, times in pace.seconds.items()
    )
    return Table(
        title=f"{number(pace.rows)}rows, {WIDTH} wide, local[2]",
        columns=("way", "time", "rows/s", "MB/s", "write_parquet is faster by"),
        rows=rows,
        note=f"{number(pace.size_bytes)}B of records, written to disk.",
    )


def _flat_table(flat: list[Flat]) -> Table:
    rows = tuple(
        (
            number(each.rows),
            f"{each.seconds:,.2f} s",
            f"{each.row_ns:,.0f} ns",
            f"{each.peak_bytes / MB:,.0f} MB",
        )
        for each in flat
    )
    return Table(
        title="write_parquet, more and more rows",
        columns=("rows", "time", "per row", "peak memory of a worker"),
        rows=rows,
        note=f"Best of three; above {FILES} files the same again. What is written is forgotten as the run goes "
        "on, so that the disk is not measured. Memory: the largest high-water mark of any Python worker.",
    )
