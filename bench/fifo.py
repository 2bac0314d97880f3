"""A long stream through a FIFO: ``recordio.read`` in a process of its own, against ``cat``.

``python bench/run.py --only fifo``
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from measure import MB, Outcome, Table, Target, Times, check, heat, peak_rss_bytes, rate

from penstock import recordio

__all__ = ["run"]

WIDTH, BLOCK_ROWS = 50, 40_000
MOST_BYTES = 250e6
HEAT_BYTES = 1 << 29
ABOUT = (
    f"Rows of {WIDTH} float32 features and a label, written to a FIFO by one process, which repeats "
    "an encoded block, and read by another. The pipe holds 1 MiB for all readers. Memory is the "
    "reader's high-water mark, Python and numpy included."
)


def _block() -> tuple[memoryview, float]:
    """Return the bytes that the writer repeats, and the sum of their labels."""
    rng = np.random.default_rng(11)
    features = rng.normal(size=(BLOCK_ROWS, WIDTH)).astype(np.float32)
    labels = rng.integers(0, 1_000, BLOCK_ROWS).astype(np.float32)
    return recordio.encode_dense(features, labels), float(labels.sum(dtype=np.float64))


def record_bytes() -> int:
    """Return the bytes of one record of the stream."""
    row = np.zeros((1, WIDTH), np.float32)
    return len(recordio.encode_dense(row, row[:, 0]))


def run(*, quick: bool, folder: Path) -> Outcome:
    """Return seconds, rates and peak memory; ``folder`` is for files that are not kept."""
    block, label_sum = _block()
    total_bytes = int(400e6 if quick else 4.2e9)
    blocks = -(-total_bytes // len(block))
    size_bytes = blocks * len(block)
    reads: list[dict[str, Any]] = []
    cats: list[float] = []
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        path = Path(scratch) / "train_0"
        os.mkfifo(path)
        for _ in range(2 if quick else 3):
            heat(HEAT_BYTES)
            reads.append(_read(path, blocks))
            heat(HEAT_BYTES)
            cats.append(_cat(path, blocks))
    for each in reads:
        expected = (blocks * BLOCK_ROWS, blocks * label_sum)
        found = each["rows"], each["label_sum"]
        check(found == expected, f"rows and label sum are {found}, expected {expected}")
    peak = max(each["peak_rss_bytes"] for each in reads)
    idle = max(each["idle_rss_bytes"] for each in reads)
    ours, cat = Times(seconds=tuple(each["seconds"] for each in reads)), Times(seconds=tuple(cats))
    table = _table(ours, cat, size_bytes, peak, idle)
    target = Target(
        what="peak memory of the reader",
        found=peak / MB,
        wanted=MOST_BYTES / MB,
        most=True,
        unit="MB",
    )
    numbers = {"bytes": size_bytes, "reads": reads, "cat_seconds": cats}
    return Outcome(name="fifo", about=ABOUT, tables=(table,), targets=(target,), numbers=numbers)


def _table(ours: Times, cat: Times, size_bytes: int, peak: int, idle: int) -> Table:
    rows = size_bytes / record_bytes()
    memory = f"{peak / MB:,.0f} MB ({idle / MB:,.0f} MB before the first byte)"
    speeds = [f"{size_bytes / MB / times.median_s:,.0f}" for times in (ours, cat)]
    return Table(
        title=f"{size_bytes / 1e9:.2f} GB through a FIFO",
        columns=("reader", "time", "MB/s", "rows/s", "peak memory"),
        rows=(
            ("recordio.read", str(ours), speeds[0], rate(rows, ours.median_s), memory),
            ("cat > /dev/null", str(cat), speeds[1], "", ""),
        ),
        note=f"{rows:,.0f} rows; recordio.read takes {ours.median_s / cat.median_s:.2f} times as "
        "long as cat.",
    )


def _child(*words: object) -> list[str]:
    return [sys.executable, __file__, *map(str, words)]


@contextmanager
def _written(path: Path, blocks: int) -> Iterator[None]:
    """Have another process write to the FIFO while the block reads it."""
    with subprocess.Popen(_child("write", path, blocks)) as writer:
        try:
            yield
        except BaseException:
            writer.kill()  # it may wait for a reader that will not come
            raise
    check(writer.returncode == 0, f"the writer ended with {writer.returncode}")


def _read(path: Path, blocks: int) -> dict[str, Any]:
    """Return what the child that reads says."""
    with _written(path, blocks):
        read = subprocess.run(_child("read", path), stdout=subprocess.PIPE, check=True)
    found: dict[str, Any] = json.loads(read.stdout)
    return found


def _cat(path: Path, blocks: int) -> float:
    """Return the seconds from the first byte that ``cat`` can have to its end."""
    with _written(path, blocks), path.open("rb", buffering=0) as stream:
        begun = time.perf_counter()
        subprocess.run(["cat"], stdin=stream, stdout=subprocess.DEVNULL, check=True)
        return time.perf_counter() - begun


def _write_stream(path: str, blocks: int) -> None:
    block, _ = _block()
    with open(path, "wb", buffering=0) as stream:  # noqa: PTH123
        with suppress(ImportError, AttributeError, OSError):
            import fcntl

            fcntl.fcntl(stream.fileno(), fcntl.F_SETPIPE_SZ, 1 << 20)
        for _ in range(blocks):
            left = block
            while left:
                left = left[os.write(stream.fileno(), left) :]


def _read_stream(path: str) -> None:
    idle, rows, label_sum = peak_rss_bytes(), 0, 0.0
    # Opened here, so that the clock does not count how long the writer takes to begin.
    with open(path, "rb", buffering=0) as stream:  # noqa: PTH123
        begun = time.perf_counter()
        for batch in recordio.read(stream):
            rows += len(batch)
            label_sum += float(np.asarray(batch.labels).sum(dtype=np.float64))
        seconds = time.perf_counter() - begun
    said = {
        "rows": rows,
        "label_sum": label_sum,
        "seconds": seconds,
        "peak_rss_bytes": peak_rss_bytes(),
        "idle_rss_bytes": idle,
    }
    print(json.dumps(said))


if __name__ == "__main__":
    if sys.argv[1] == "write":
        _write_stream(sys.argv[2], int(sys.argv[3]))
    else:
        _read_stream(sys.argv[2])
