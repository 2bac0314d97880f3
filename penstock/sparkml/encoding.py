"""What a task of ``FeaturePlanModel.transform`` does: Arrow batches in, the same with features out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from penstock.encode import Where
from penstock.plan import FeaturePlan
from penstock.sparkml.arrow import arrays_of, floats, in_utc, vectors_of
from penstock.sparkml.words import TABLE
from penstock.worker import settle

__all__ = ["Encoding", "task"]

BATCH_BYTES = 2**25
MIN_BATCH_ROWS = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class Encoding:
    """What to do with the rows. Small but for the plan: it travels with every task.

    Attributes:
        plan: Its JSON.
        columns: Names of the batches' columns, in their order.
        vectors: Whether features come out as ml Vectors; else as arrays.
        labels: Whether labels come out, after the features.
        training: Whether these are the rows that the plan was fitted on.
    """

    plan: str
    columns: tuple[str, ...]
    vectors: bool
    labels: bool
    training: bool


def task(encoding: Encoding) -> Callable[[Iterable[Any]], Iterator[Any]]:
    """Return what makes batches with features of a task's batches, in their order."""

    def run(batches: Iterable[Any]) -> Iterator[Any]:
        from pyspark import TaskContext

        settle()
        context = TaskContext.get()
        table = f"{TABLE}, partition {context.partitionId() if context else 0}"
        row = 0
        for batch in batches:
            yield from _encoded(encoding, batch, Where(table=table, first_row=row))
            row += batch.num_rows

    return run


@lru_cache(maxsize=4)
def _plan(text: str) -> FeaturePlan:
    """Return the plan; parsed once per worker process, not once per task."""
    return FeaturePlan.from_json(text)


def _encoded(encoding: Encoding, batch: Any, where: Where) -> Iterator[Any]:
    """Yield a batch with its features, in parts whose features are of bounded size."""
    import pyarrow as pa

    plan = _plan(encoding.plan)
    step = _rows(plan, vectors=encoding.vectors)
    made = vectors_of if encoding.vectors else arrays_of
    for start in range(0, batch.num_rows, step):
        part = batch.slice(start, step)
        named = _inputs(plan, encoding, part)
        at = Where(table=where.table, first_row=where.first_row + start)
        added = [made(plan.encode(named, training=encoding.training, where=at))]
        if encoding.labels:
            added.append(floats(plan.labels(named, where=at)))
        columns = [*part.columns, *added]
        yield pa.RecordBatch.from_arrays(columns, [f"c{i}" for i in range(len(columns))])


def _inputs(plan: FeaturePlan, encoding: Encoding, batch: Any) -> Any:
    """Return the columns that the plan reads, under their own names."""
    import pyarrow as pa

    read = {*plan.input_columns, *plan.fold_columns, plan.label.column}
    found = {
        name: in_utc(batch.column(at)) for at, name in enumerate(encoding.columns) if name in read
    }
    return pa.RecordBatch.from_arrays(list(found.values()), list(found))


def _rows(plan: FeaturePlan, *, vectors: bool) -> int:
    """Return how many rows to encode at a time, in bounded memory."""
    if vectors and plan.layout == "sparse":
        row_bytes = plan.row_bytes * 4
    else:
        row_bytes = plan.width * (12 if vectors else 4)
    return max(MIN_BATCH_ROWS, int(BATCH_BYTES // max(row_bytes, 1)))
