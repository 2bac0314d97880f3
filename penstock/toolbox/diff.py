"""Whether two sources have the same rows, whatever their formats and layouts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from penstock.errors import InputError
from penstock.recordio.framing import Parts
from penstock.toolbox.convert import batches
from penstock.toolbox.progress import shown
from penstock.toolbox.sources import Source
from penstock.toolbox.tables import Batch, ReadOptions, cell_name, laid_out
from penstock.toolbox.walk import parts_refused, steps

__all__ = ["Difference", "diff", "diff_payloads"]

_DENSE_WIDTH = 2048
"""Sparse batches up to this width are compared as arrays: faster, and they are small."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """What two sources have in common, or not.

    Attributes:
        same: Whether all rows are equal.
        text: One sentence that says so, or the first place where they are not, with both values.
        rows: Rows compared.
        different_rows: How many of them differ; None when they were not counted.
    """

    same: bool
    text: str
    rows: int
    different_rows: int | None


def diff(
    a: Source,
    b: Source,
    *,
    formats: tuple[str | None, str | None],
    options: ReadOptions,
    tolerance: float = 0.0,
    count: bool = False,
) -> Difference:
    """Compare two sources row by row: labels, then features. A zero equals a place that is left out.

    Args:
        a: One source.
        b: The other.
        formats: Of both, if their suffixes do not say them.
        options: How to read both; NaN is equal to NaN here.
        tolerance: Largest distance of numbers that count as equal.
        count: Read on behind the first difference and count the rows that differ.

    Raises:
        InputError: The tolerance is negative, or both are standard input.
        DataError: One of them cannot be read.
    """
    if not tolerance >= 0:
        raise InputError(f"--tolerance is {tolerance!r}, expected 0 or more")
    if a.text == b.text == "-":
        raise InputError("both sources are '-', expected at most one from standard input")
    sizes = a.size_bytes, b.size_bytes
    total = None if sizes[0] is None or sizes[1] is None else sizes[0] + sizes[1]
    with shown("diff", total) as advance:
        sides = (
            _Rows(batches(a, formats[0], options, advance)),
            _Rows(batches(b, formats[1], options, advance)),
        )
        return _compared(*sides, (a.text, b.text), tolerance, count=count)


def _compared(
    left: _Rows, right: _Rows, names: tuple[str, str], tolerance: float, *, count: bool
) -> Difference:
    row = different = 0
    first: str | None = None
    while (size := min(left.ready(), right.ready())) > 0:
        pair = _of_one_width(left.take(size), right.take(size))
        if not row and (text := _forms(*pair, *names)) is not None:
            return Difference(same=False, text=text, rows=0, different_rows=None)
        wrong = _wrong_rows(*pair, tolerance)
        if wrong.size and first is None:
            first = _first(*pair, int(wrong[0]), row, tolerance, *names)
            if not count:
                return Difference(same=False, text=first, rows=row, different_rows=None)
        different += wrong.size
        row += size
    longer, shorter = names if left.ready() else names[::-1]
    uneven = left.ready() != right.ready()
    if first is not None:
        also = f"; {longer} has more rows" if uneven else ""
        text = f"{first}\n{different:,} of {row:,} rows differ{also}"
        return Difference(same=False, text=text, rows=row, different_rows=different)
    if uneven:
        text = f"{longer} has more rows than {shorter}: its {row:,} rows are equal"
        return Difference(same=False, text=text, rows=row, different_rows=None)
    text = f"same: {row:,} {'row' if row == 1 else 'rows'}"
    return Difference(same=True, text=text, rows=row, different_rows=0)


class _Rows:
    """Rows of a source, in pieces of any size."""

    def __init__(self, found: Iterator[Batch]) -> None:
        self._found = found
        self._held: Batch | None = None
        self._at = 0

    def ready(self) -> int:
        """Return how many rows are at hand, after a read if there were none; 0 at the end."""
        while self._held is None or self._at == len(self._held):
            self._held, self._at = next(self._found, None), 0
            if self._held is None:
                return 0
        return len(self._held) - self._at

    def take(self, size: int) -> Batch:
        """Return some of the rows at hand."""
        if self._held is None:
            raise StopIteration
        rows = slice(self._at, self._at + size)
        self._at += size
        labels = self._held.labels
        return replace(
            self._held,
            features=self._held.features[rows],
            labels=None if labels is None else labels[rows],
        )


def _of_one_width(left: Batch, right: Batch) -> tuple[Batch, Batch]:
    """Widen a batch whose width was guessed to that of the other."""
    width = max(left.features.shape[1], right.features.shape[1])
    return _widened(left, width), _widened(right, width)


def _widened(batch: Batch, width: int) -> Batch:
    if not batch.guessed or batch.features.shape[1] == width:
        return batch
    features = batch.features.copy()
    features.resize(len(batch), width)
    return replace(batch, features=features)


def _forms(left: Batch, right: Batch, a: str, b: str) -> str | None:
    """Return why no row can be equal; None when some can."""
    widths = left.features.shape[1], right.features.shape[1]
    if widths[0] != widths[1]:
        return f"{a} has {widths[0]:,} features, {b} has {widths[1]:,}"
    if (left.labels is None) != (right.labels is None):
        labelled, bare = (b, a) if left.labels is None else (a, b)
        return f"{labelled} has labels, {bare} has none"
    return None


def _unequal(x: Any, y: Any, tolerance: float) -> Any:
    """Return where two arrays differ; NaN equals NaN."""
    if not tolerance:
        return (x != y) & ~(np.isnan(x) & np.isnan(y))
    with np.errstate(invalid="ignore"):
        near = np.abs(x.astype(np.float64) - y.astype(np.float64)) <= tolerance
    return ~near & (x != y) & ~(np.isnan(x) & np.isnan(y))


def _wrong_rows(left: Batch, right: Batch, tolerance: float) -> Any:
    """Return which rows differ, ascending."""
    if (left.dense and right.dense) or left.features.shape[1] <= _DENSE_WIDTH:
        x, y = (laid_out(side.features, "dense") for side in (left, right))
        wrong = _unequal(x, y, tolerance).any(axis=1)
    else:
        rows, _, x, y = _merged(left.features, right.features)
        wrong = np.zeros(len(left), np.bool_)
        wrong[rows[_unequal(x, y, tolerance)]] = True
    if left.labels is not None:
        wrong |= _unequal(left.labels, right.labels, tolerance)
    return np.flatnonzero(wrong)


def _merged(x: Any, y: Any) -> tuple[Any, Any, Any, Any]:
    """Return row, column and both values of every place that either matrix stores."""
    from scipy.sparse import csr_array

    matrices = [csr_array(x), csr_array(y)]
    width = matrices[0].shape[1]
    places = []
    for matrix in matrices:
        matrix.sum_duplicates()
        rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
        places.append(rows * np.int64(width) + matrix.indices)
    every = np.union1d(*places)
    values = []
    for matrix, place in zip(matrices, places, strict=True):
        values.append(np.zeros(every.size, np.float32))
        values[-1][np.searchsorted(every, place)] = matrix.data
    return every // width, every % width, values[0], values[1]


def _first(left: Batch, right: Batch, at: int, row: int, tolerance: float, a: str, b: str) -> str:
    """Return the sentence about the first place of row ``at`` of the batches that differs."""
    where = f"row {row + at:,}"
    if left.labels is not None and right.labels is not None:
        x, y = left.labels[at], right.labels[at]
        if _unequal(x, y, tolerance):
            return f"different: {where}, label: {x!s} in {a}, {y!s} in {b}"
    _, columns, xs, ys = _merged(left.features[[at]], right.features[[at]])
    place = int(np.flatnonzero(_unequal(xs, ys, tolerance))[0])
    names = left if left.names is not None else right
    name = cell_name(names, int(columns[place]))
    return f"different: {where}, {name}: {xs[place]!s} in {a}, {ys[place]!s} in {b}"


def diff_payloads(a: Source, b: Source, *, parts: Parts) -> Difference:
    """Compare the payloads of two RecordIO sources byte by byte: images, named features, anything.

    Raises:
        CorruptRecordError: One of them is no RecordIO.
    """
    row = 0
    streams = [_payloads(source, parts) for source in (a, b)]
    held: list[tuple[Any, Any, Any] | None] = [None, None]
    while True:
        for side, stream in enumerate(streams):
            if held[side] is None:
                held[side] = next(stream, None)
        if held[0] is None or held[1] is None:
            break
        size = min(held[0][1].size, held[1][1].size)
        wrong = _first_payload(held[0], held[1], size)
        if wrong is not None:
            at, byte = wrong
            text = f"different: record {row + at:,}, byte {byte:,} of its payload"
            return Difference(same=False, text=text, rows=row + at, different_rows=None)
        row += size
        held = [_behind(each, size) for each in held]
    if held != [None, None]:
        longer, shorter = (a, b) if held[0] else (b, a)
        text = f"{longer.text} has more records than {shorter.text}: its {row:,} are equal"
        return Difference(same=False, text=text, rows=row, different_rows=None)
    noun = "record" if row == 1 else "records"
    return Difference(
        same=True, text=f"same: {row:,} {noun}, all bytes", rows=row, different_rows=0
    )


def _payloads(source: Source, parts: Parts) -> Iterator[tuple[Any, Any, Any]]:
    """Yield bytes, and where payloads begin in them and how long they are."""
    for step in steps(source, parts=parts, kind="records", what="diff"):
        if step.chunk is None:
            continue
        if step.chunk.error is not None:
            raise step.chunk.error
        if step.chunk.records is None:
            raise parts_refused(step.chunk, step.input.name)
        if step.chunk.records.starts.size:
            yield step.chunk.data, step.chunk.records.starts, step.chunk.records.lengths


def _behind(held: tuple[Any, Any, Any] | None, size: int) -> tuple[Any, Any, Any] | None:
    if held is None or held[1].size == size:
        return None
    return held[0], held[1][size:], held[2][size:]


def _first_payload(
    x: tuple[Any, Any, Any], y: tuple[Any, Any, Any], size: int
) -> tuple[int, int] | None:
    """Return record and byte of the first difference of the next ``size`` payloads."""
    from penstock.recordio.segments import gather_segments, starts_of

    lengths = x[2][:size], y[2][:size]
    uneven = np.flatnonzero(lengths[0] != lengths[1])
    count = int(uneven[0]) if uneven.size else size
    packed = [gather_segments(e[0], e[1][:count], e[2][:count]) for e in (x, y)]
    unlike = np.flatnonzero(packed[0] != packed[1])
    if unlike.size:
        starts = starts_of(lengths[0][:count])
        record = int(np.searchsorted(starts, unlike[0], side="right")) - 1
        return record, int(unlike[0] - starts[record])
    if not uneven.size:
        return None
    last = [e[0][e[1][count] :][: int(e[2][count])] for e in (x, y)]
    shared = min(last[0].size, last[1].size)
    unlike = np.flatnonzero(last[0][:shared] != last[1][:shared])
    return count, int(unlike[0]) if unlike.size else shared
