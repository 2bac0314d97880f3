"""One scan of a DataFrame -> statistics of what a spec asks for, as ``penstock.fit`` collects them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from penstock.curated import Curated, CuratedFile
from penstock.encode import LabelRule
from penstock.errors import (
    DataError,
    EmptyTableError,
    InputError,
    MissingColumnsError,
    PenstockError,
    ServiceError,
)
from penstock.fit import check, collect, wanted_states
from penstock.planning import features
from penstock.sparkml.arrow import arrow_type, check_once, in_utc, numbered
from penstock.sparkml.specs import NO_KEY, WHO
from penstock.sparkml.words import TABLE
from penstock.spec import Spec
from penstock.states import Wanted
from penstock.statistics import Statistics, merge
from penstock.worker import settle

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql.types import StructType

__all__ = ["asked_of", "scanned"]

MAX_STATES = 1024
"""Partitions past these share a task, so that the driver holds no more states than that."""


def asked_of(schema: StructType, spec: Spec) -> tuple[list[Wanted], LabelRule]:
    """Return what to collect of a DataFrame, after all checks that need no row.

    Raises:
        MissingColumnsError: It lacks a feature, the label or the key.
        SchemaMismatchError: A column's type does not fit its use.
        InputError: Something else, or several of these at once.
    """
    names = [column for column, _ in features(spec)]
    check_once(schema, [*names, spec.label.column, *spec.merge.key])
    table = _table(schema, spec)
    label = check(table, spec)
    used = {*names, spec.label.column}
    columns = tuple(column for column in table.columns if column[0] in used)
    wanted = wanted_states(replace(table, columns=columns), spec, label)
    _check_key(schema, wanted)
    return wanted, label


def _table(schema: StructType, spec: Spec) -> Curated:
    """Return a DataFrame as a curated table: its columns and their Arrow types."""
    columns = [
        (field.name, str(arrow_type(field.dataType) or field.dataType.simpleString()))
        for field in schema.fields
    ]
    # That there are rows is not known before the scan.
    rows = CuratedFile(path=TABLE, split="train", rows=1, size_bytes=0)
    return Curated(uri=TABLE, files=(rows,), key=spec.merge.key, columns=tuple(columns))


def _check_key(schema: StructType, wanted: Sequence[Wanted]) -> None:
    read = dict.fromkeys(name for each in wanted for name in each.reads)
    if NO_KEY in read:
        raise InputError(
            f"{WHO}.keyCols is not set, expected the columns that name a row\n"
            "  encode: target makes its folds of them; set keyCols, or fold_by on the feature"
        )
    if missing := tuple(name for name in read if name not in schema.names):
        raise MissingColumnsError(TABLE, missing, tuple(schema.names))


def scanned(frame: DataFrame, wanted: Sequence[Wanted], label: LabelRule) -> Statistics:
    """Return the statistics of all rows. Runs one Spark job, besides those of the frame's shuffles.

    Each task adds its batches up to one state of bounded size; the driver merges the states in the
    order of the partitions. No row comes to the driver.

    Raises:
        EmptyTableError: There are no rows.
        DataError: The values break what the spec asks of them.
        ServiceError: Spark gave up.
    """
    from penstock.spark import named, translated

    names = list(dict.fromkeys([*(n for each in wanted for n in each.reads), label.column]))
    plain = frame.toDF(*numbered(len(frame.columns)))
    chosen = plain.select([f"c{frame.columns.index(name)}" for name in names])
    tasks = chosen.coalesce(MAX_STATES).mapInArrow(_task(names, wanted, label), "said string")
    with translated(), named(frame.sparkSession, "fit: statistics"):
        said = sorted(
            (json.loads(row[0]) for row in tasks.collect()), key=lambda body: body["part"]
        )
    for body in said:
        if body["error"] is not None:
            raise (DataError if body["kind"] == "data" else InputError)(body["error"])
    if not said:
        raise EmptyTableError(TABLE, "")
    return merge([Statistics.from_json(body["statistics"]) for body in said]).trimmed()


def _task(
    names: Sequence[str], wanted: Sequence[Wanted], label: LabelRule
) -> Callable[[Iterable[Any]], Iterator[Any]]:
    """Return what a task does with its batches: add them up, and say what it has learned."""

    def run(batches: Iterable[Any]) -> Iterator[Any]:
        import pyarrow as pa
        from pyspark import TaskContext

        settle()
        context = TaskContext.get()
        part = context.partitionId() if context else 0
        filled = (batch for batch in batches if batch.num_rows)
        if (first := next(filled, None)) is not None:
            rows = _named(first, filled, names)
            body = {"part": part} | _learned(rows, wanted, label)
            said = json.dumps(body, ensure_ascii=False)
            yield pa.RecordBatch.from_arrays([pa.array([said])], ["said"])

    return run


def _learned(
    batches: Iterator[Any], wanted: Sequence[Wanted], label: LabelRule
) -> dict[str, str | None]:
    """Return the statistics, or a deliberate error: it would be the same at the next attempt."""
    try:
        statistics = collect(batches, wanted, label)
    except ServiceError:
        raise
    except PenstockError as error:
        kind = "data" if isinstance(error, DataError) else "input"
        return {"statistics": None, "error": str(error), "kind": kind}
    return {"statistics": statistics.to_json(), "error": None, "kind": None}


def _named(first: Any, others: Iterable[Any], names: Sequence[str]) -> Iterator[Any]:
    """Yield batches under the columns' own names."""
    import pyarrow as pa

    yield pa.RecordBatch.from_arrays([in_utc(column) for column in first.columns], list(names))
    for batch in others:
        columns = [in_utc(column) for column in batch.columns]
        yield pa.RecordBatch.from_arrays(columns, list(names))
