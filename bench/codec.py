"""Encode and decode: ours, a protobuf loop over rows, a pandas loop, memcpy and a file write.

``python bench/run.py --only codec``
"""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from measure import MB, Outcome, Table, Target, Times, check, interleaved, number, rate
from peers import dense_rows, frame_loop, pair_rows, parse_loop, sparse_loop, sparse_rows

from penstock import recordio

__all__ = ["run"]

Ways = dict[str, Callable[[], object]]

OURS, LOOP = "penstock", "protobuf loop"
KEPT, PADDED = f"{OURS}, buffer kept", f"{OURS}, keys of one size"
VIEW = f"{OURS}, a view of the bytes"
BATCH_ROWS = 4_096
WARM, FRESH = "memcpy into warm memory", "memcpy into fresh memory"
ABOUT = (
    "Rows of float32 features with a label, to RecordIO bytes and back, on one core. All ways write "
    "the same bytes, but for *keys of one size*, which other readers take as well. *A view of the "
    "bytes* checks every frame and copies no values (`decode(..., copy=False)`). *protobuf loop*: "
    "one message per row as the SageMaker SDK v2 wrote it, `values.extend(row)` and "
    "`SerializeToString`; *rows are lists beforehand* is the best such a loop can do. *memcpy*: "
    "`np.copyto` of as many bytes as the records have; fresh memory is what an encoder that returns a "
    "new buffer has to fill, and the kernel to hand out."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One shape of data.

    Attributes:
        name: As the report calls it.
        rows: How many.
        features: float32 (rows, columns), array or CSR.
        labels: float32 (rows,).
        least: Target of ours against the protobuf loop.
        memcpy: Target of ours against memcpy into fresh memory, as a share of its speed.
    """

    name: str
    rows: int
    features: Any
    labels: Any
    least: float
    memcpy: float | None = None

    @property
    def sparse(self) -> bool:
        """Whether the features are CSR."""
        return not isinstance(self.features, np.ndarray)


def cases(*, quick: bool) -> list[Case]:
    """Return the data, the same in every run."""
    share = 10 if quick else 1
    rng = np.random.default_rng(7)
    made = []
    for width, rows, least, memcpy in (
        (20, 200_000, 60, None),
        (100, 100_000, 30, 0.5),
        (1_000, 20_000, 20, 0.5),
    ):
        features = rng.normal(size=(rows // share, width)).astype(np.float32)
        made.append(_case(f"dense, {width:,} wide", features, rng, least, memcpy))
    for entries, width, rows in ((40, 100_000, 60_000), (25, 200, 100_000)):
        matrix = _random_csr(rng, rows // share, width, entries)
        made.append(_case(f"sparse, {entries} of {width:,}", matrix, rng, 20, None))
    return made


def _case(
    name: str, features: Any, rng: np.random.Generator, least: float, memcpy: float | None
) -> Case:
    rows = features.shape[0]
    labels = rng.integers(0, 2, rows).astype(np.float32)
    return Case(name=name, rows=rows, features=features, labels=labels, least=least, memcpy=memcpy)


def _random_csr(rng: np.random.Generator, rows: int, width: int, entries: int) -> Any:
    """Return rows with ``entries`` on average, 1 to twice as many, at ascending places."""
    from scipy.sparse import csr_array

    counts = rng.integers(1, 2 * entries, rows)
    indptr = np.concatenate([[0], np.cumsum(counts)])
    # A place in each of as many equal parts of the width as the row has entries.
    parts = np.repeat(counts, counts)
    place = np.arange(indptr[-1]) - np.repeat(indptr[:-1], counts)
    low, high = place * width // parts, (place + 1) * width // parts
    keys = rng.integers(low, high).astype(np.int32)
    values = rng.normal(size=keys.size).astype(np.float32)
    return csr_array((values, keys, indptr.astype(np.int32)), shape=(rows, width))


def run(*, quick: bool, folder: Path) -> Outcome:
    """Return the tables of all cases; ``folder`` is for files that are not kept."""
    tables: list[Table] = []
    targets: list[Target] = []
    numbers: dict[str, Any] = {}
    rounds = 3 if quick else 5
    for case in cases(quick=quick):
        content = _encoded(case)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            for verb, ways in (
                ("encode", _encode_ways(case, content, Path(scratch) / "rows.rec")),
                ("decode", _decode_ways(case, content)),
            ):
                found = interleaved(ways, rounds, heat_bytes=8 * len(content))
                tables.append(_table(f"{verb}: {case.name}", case, len(content), found))
                targets += _targets(verb, case, found)
                numbers[f"{verb} {case.name}"] = {
                    "rows": case.rows,
                    "bytes": len(content),
                    "seconds": {name: each.seconds for name, each in found.items()},
                }
    return Outcome(
        name="codec", about=ABOUT, tables=tuple(tables), targets=tuple(targets), numbers=numbers
    )


def _ours(case: Case) -> memoryview:
    if case.sparse:
        return recordio.encode_sparse(case.features, case.labels)
    return recordio.encode_dense(case.features, case.labels)


def _encoded(case: Case) -> bytes:
    """Return the bytes of a case after checking all ways against each other."""
    content = bytes(_ours(case))
    loop = sparse_loop if case.sparse else dense_rows
    check(loop(case.features, case.labels) == content, f"{case.name}: bytes differ from protobuf's")
    found = recordio.decode(content)
    arrays, labels = frame_loop(content, case.rows)
    check(np.array_equal(np.asarray(found.labels), labels), f"{case.name}: labels differ")
    check(np.array_equal(labels, case.labels), f"{case.name}: labels are not those written")
    if case.sparse:
        for name, array in zip(("data", "indices", "indptr"), arrays, strict=True):
            given = getattr(case.features, name)
            check(np.array_equal(array, given), f"{case.name}: protobuf loop, {name} differ")
            ours = getattr(found.features, name)
            check(np.array_equal(ours, given), f"{case.name}: penstock, {name} differ")
    else:
        check(np.array_equal(found.features, arrays), f"{case.name}: features differ")
        check(np.array_equal(arrays, case.features), f"{case.name}: features are not those written")
    return content


def _encode_ways(case: Case, content: bytes, path: Path) -> Ways:
    ways: Ways = {OURS: lambda: _ours(case)}
    if case.sparse:
        ways[PADDED] = lambda: _padded(case)
        ways[LOOP] = lambda: sparse_loop(case.features, case.labels)
        ways[f"{LOOP}, rows cut out as matrices"] = lambda: sparse_rows(case.features, case.labels)
        ways[f"{LOOP}, rows are lists beforehand"] = _listed(case)
    else:
        import pandas as pd

        encoder, small = (
            recordio.DenseEncoder(case.features.shape[1], labelled=True) for _ in "12"
        )
        kept = encoder.encode(case.features, case.labels)
        check(kept == content, f"{case.name}: the encoder that keeps its buffer gives other bytes")
        ways[KEPT] = lambda: encoder.encode(case.features, case.labels)
        ways[f"{KEPT}, {BATCH_ROWS:,} rows at a time"] = lambda: _in_batches(case, small)
        frame = pd.DataFrame(case.features)
        lists = case.features.tolist()
        ways[LOOP] = lambda: dense_rows(case.features, case.labels)
        ways[f"{LOOP}, DataFrame.itertuples"] = lambda: dense_rows(
            frame.itertuples(index=False, name=None), case.labels
        )
        ways[f"{LOOP}, rows are lists beforehand"] = lambda: dense_rows(lists, case.labels)
    return ways | _limits(content, path)


def _padded(case: Case) -> memoryview:
    return recordio.encode_sparse(case.features, case.labels, padded_keys=True)


def _in_batches(case: Case, encoder: recordio.DenseEncoder) -> None:
    for first in range(0, case.rows, BATCH_ROWS):
        rows = slice(first, first + BATCH_ROWS)
        encoder.encode(case.features[rows], case.labels[rows])


def _read(content: bytes) -> None:
    for _ in recordio.read(io.BytesIO(content), BATCH_ROWS):
        pass


def _listed(case: Case) -> Callable[[], object]:
    """Return the loop's best case: numpy's numbers are Python's before the clock starts."""
    matrix, labels = case.features, case.labels.tolist()
    bounds = zip(matrix.indptr[:-1].tolist(), matrix.indptr[1:].tolist(), strict=True)
    data, keys = matrix.data.tolist(), matrix.indices.tolist()
    rows = [(data[first:last], keys[first:last]) for first, last in bounds]
    return lambda: pair_rows(rows, matrix.shape[1], labels)


def _limits(content: bytes, path: Path) -> Ways:
    origin = np.frombuffer(content, np.uint8)
    warm = np.zeros_like(origin)

    def fresh() -> object:
        made = np.empty_like(origin)
        np.copyto(made, origin)
        return made

    def write() -> None:
        # A file that is there already, its pages too: no disk, no allocation, just the copy.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
        left = memoryview(content)
        while left:
            left = left[os.write(descriptor, left) :]
        os.close(descriptor)

    return {
        WARM: lambda: np.copyto(warm, origin),
        FRESH: fresh,
        "plain file write": write,
    }


def _decode_ways(case: Case, content: bytes) -> Ways:
    origin = np.frombuffer(content, np.uint8)
    ways: Ways = {
        OURS: lambda: recordio.decode(content),
        f"{OURS}, read {BATCH_ROWS:,} rows at a time": lambda: _read(content),
    }
    if case.sparse:
        padded = bytes(_padded(case))
        found: Any = recordio.decode(padded).features
        same = (found != case.features).nnz == 0 and found.nnz == case.features.nnz
        check(same, f"{case.name}: keys of one size are read wrong")
        ways[PADDED] = lambda: recordio.decode(padded)
    else:
        seen = recordio.decode(content, copy=False).features
        check(np.array_equal(seen, case.features), f"{case.name}: the view shows other values")
        check(np.shares_memory(seen, origin), f"{case.name}: the view is a copy")
        ways[VIEW] = lambda: recordio.decode(content, copy=False)
    return ways | {
        LOOP: lambda: frame_loop(content, case.rows),
        f"{LOOP}, messages only": lambda: parse_loop(content),
        WARM: _limits(content, Path())[WARM],
        FRESH: origin.copy,
    }


def _table(title: str, case: Case, size_bytes: int, found: Mapping[str, Times]) -> Table:
    ours = found[OURS].median_s
    rows = [
        (
            name,
            str(times),
            rate(case.rows, times.median_s),
            f"{size_bytes / MB / times.median_s:,.0f}",
            f"{times.median_s / ours:,.2f}x",
        )
        for name, times in found.items()
    ]
    columns = ("way", "time", "rows/s", "MB/s", "penstock is faster by")
    note = f"{case.rows:,} rows, {number(size_bytes)}B of records."
    return Table(title=title, columns=columns, rows=tuple(rows), note=note)


def _targets(verb: str, case: Case, found: Mapping[str, Times]) -> list[Target]:
    ours = found[OURS].median_s
    what = f"{verb}, {case.name}"
    targets = [
        Target(
            what=f"{what}: against the protobuf loop",
            found=found[LOOP].median_s / ours,
            wanted=case.least,
        )
    ]
    if case.memcpy is not None and verb == "encode":
        for limit in (FRESH, WARM):
            best = OURS if limit == FRESH else KEPT
            targets.append(
                Target(
                    what=f"{what}: {best}, share of {limit}",
                    found=found[limit].median_s / found[best].median_s,
                    wanted=case.memcpy,
                )
            )
    return targets
