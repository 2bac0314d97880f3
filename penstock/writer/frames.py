"""Any DataFrame -> a dataset, one shard of each partition, over mapInArrow."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from penstock import dataset as datasets
from penstock.assemble import Assembler
from penstock.dataset import Dataset, Shard
from penstock.encode import Where
from penstock.errors import (
    DataError,
    EmptyTableError,
    InputError,
    MissingColumnsError,
    PenstockError,
    SchemaMismatchError,
    ServiceError,
)
from penstock.worker import settle
from penstock.writer.target import Layout, Target, check_hosts

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import Column, DataFrame

__all__ = ["write_dataframe"]

TABLE = "DataFrame"


def write_dataframe(
    frame: DataFrame,
    target_uri: str,
    *,
    features: Sequence[str] | None = None,
    label: str | None = None,
    layout: Layout = "dense",
    shards: int | None = None,
    key: Sequence[str] | None = None,
    hosts: int = 1,
    task: str = "regression",
    classes: Sequence[Any] | None = None,
    allow_nonfinite: bool = False,
) -> Dataset:
    """Write the rows of a DataFrame as a RecordIO dataset. Runs one action.

    Each partition becomes one shard, in the order of its rows; a partition without rows makes none,
    and the numbers of the others stay as they are. The frame must give the same rows when a task runs
    again, or the dataset is not that of a quiet run: no ``rand()``, no ``repartition(n)`` without
    columns. With ``shards`` and ``key`` that holds by itself: a row's shard is a hash of its key, and
    within a shard rows are in the order of another hash of it, which is to say shuffled.

    Memory of a worker is bounded by an Arrow batch: ``spark.sql.execution.arrow.maxRecordsPerBatch``
    rows, 10,000 unless set; lower it for rows of many thousand numbers.

    Args:
        frame: Columns of numbers, booleans, ``array<float>`` and the like, or Spark ml Vectors.
        target_uri: Prefix of the shards. Shards of an earlier, unfinished run are swept first.
        features: Columns, in the order of the matrix; None: all but the label.
        label: Column of numbers; None: records without labels.
        layout: ``dense`` or ``sparse``.
        shards: Into how many shards to place the rows, by ``key``; None: the frame's partitions.
        key: Columns that name a row; they need not be features.
        hosts: Training instances that share the shards (ShardedByS3Key): the number of shards with
            rows must be a multiple.
        task: What the labels are for; stands in dataset.json.
        classes: Class names in the order of their labels; stand in dataset.json.
        allow_nonfinite: Write NaN and infinity instead of refusing them.

    Returns:
        The committed dataset.

    Raises:
        MissingColumnsError: The frame lacks a column.
        SchemaMismatchError: A column is of no type that a matrix can hold.
        EmptyTableError: The frame has no rows.
        DataError: A row cannot be in a matrix, or rows were lost on the way. Nothing is committed.
        InputError: The shards cannot be shared by the hosts, or another dataset stands there.
        ServiceError: Spark or the storage gave up.
    """
    from penstock.spark import named, translated

    check_hosts(hosts)
    _check_placement(shards, key, hosts)
    assembler = Assembler.of(
        _arrow_schema(frame, features, label),
        features=features,
        label=label,
        layout=layout,
        allow_nonfinite=allow_nonfinite,
        table=TABLE,
    )
    target = Target(
        uri=target_uri,
        features=assembler.features,
        label=label,
        layout=layout,
        hosts=hosts,
        task=task,
        classes=None if classes is None else tuple(classes),
        widths=assembler.widths,
        allow_nonfinite=allow_nonfinite,
    )
    placed = _placed(frame, target, shards, key)
    datasets.sweep(target_uri)
    with translated(), named(frame.sparkSession, "write: shards"):
        outcomes, rows = _run(placed, target)
    return _committed(target, outcomes, rows)


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What a task says of its partition, when that had rows."""

    part: int
    shard: Shard | None
    widths: dict[str, int]
    error: str | None = None
    kind: str = ""

    def to_json(self) -> str:
        """Return it as a text that passes through a column."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Outcome:
        """Return the outcome that ``to_json`` wrote."""
        body = json.loads(text)
        shard = body.pop("shard")
        return cls(shard=None if shard is None else Shard(**shard), **body)


def _check_placement(shards: int | None, key: Sequence[str] | None, hosts: int) -> None:
    if (shards is None) != (not key):
        given, absent = ("key", "shards") if shards is None else ("shards", "key")
        raise InputError(
            f"{given} is given without {absent}, expected both or neither\n"
            "  rows are placed by a hash of their key, so that a task that runs again writes the same"
        )
    if shards is not None and (shards < 1 or shards % hosts):
        nearest = max(1, round(shards / hosts)) * hosts
        raise InputError(
            f"shards is {shards}, expected a multiple of hosts, which is {hosts}\n"
            f"  pass shards={nearest}"
        )


def _arrow_schema(frame: DataFrame, features: Sequence[str] | None, label: str | None) -> pa.Schema:
    """Return the Arrow types in which the columns asked for reach Python; others are null."""
    import pyarrow as pa
    from pyspark.errors import PySparkTypeError
    from pyspark.sql.pandas.types import to_arrow_type
    from pyspark.sql.types import UserDefinedType

    asked = set(frame.columns if features is None else features) | {label}
    fields = []
    for field in frame.schema.fields:
        kind = field.dataType
        if isinstance(kind, UserDefinedType):
            kind = kind.sqlType()
        try:
            arrow = to_arrow_type(kind) if field.name in asked else pa.null()
        except PySparkTypeError as problem:
            raise SchemaMismatchError(
                TABLE,
                field.name,
                kind.simpleString(),
                "a type that Arrow has",
                "name the columns to take in features, or cast it",
            ) from problem
        fields.append(pa.field(field.name, arrow))
    return pa.schema(fields)


def _placed(
    frame: DataFrame, target: Target, shards: int | None, key: Sequence[str] | None
) -> DataFrame:
    """Return the columns to write, in their final partitions and order. Lazy.

    Raises:
        MissingColumnsError: The frame lacks a column of the key.
    """
    from pyspark.sql import functions as F

    # Under plain names: mapInArrow cannot take columns with a dot or a backtick in theirs.
    columns = [_column(name).alias(f"c{i}") for i, name in enumerate(target.columns)]
    if shards is None or not key:
        return frame.select(columns)
    if missing := tuple(name for name in key if name not in frame.columns):
        raise MissingColumnsError(TABLE, missing, tuple(frame.columns))
    keys = [_column(name) for name in key]
    # Rows of one key come in the order of their contents: the order in which a shuffle delivers
    # them is another each time.
    contents = F.xxhash64(*(_column(name) for name in target.columns))
    order = [F.xxhash64(*keys), *keys, contents]
    return frame.repartition(shards, *keys).sortWithinPartitions(*order).select(columns)


def _column(name: str) -> Column:
    from pyspark.sql import functions as F

    return F.col("`" + name.replace("`", "``") + "`")


def _run(frame: DataFrame, target: Target) -> tuple[list[Outcome], int]:
    """Write all shards; return what the tasks say, by partition, and the rows that the JVM counted.

    The count is taken in the stage that writes, just before rows go to Python: Spark adds up what
    a result task observed once, whatever was tried again or twice.
    """
    from pyspark.sql import Observation
    from pyspark.sql import functions as F

    seen = Observation()
    counted = frame.observe(seen, F.count(F.lit(1)).alias("rows"))
    said = counted.mapInArrow(_task(target), "outcome string").collect()
    outcomes = sorted((Outcome.from_json(row[0]) for row in said), key=lambda each: each.part)
    return outcomes, int(seen.get["rows"])


def _task(target: Target) -> Callable[[Iterable[Any]], Iterator[Any]]:
    """Return what a task does with its batches: write one shard, and say what became of it."""

    def run(batches: Iterable[Any]) -> Iterator[Any]:
        import pyarrow as pa
        from pyspark import TaskContext

        settle()
        context = TaskContext.get()
        part = context.partitionId() if context else 0
        attempt = context.attemptNumber() if context else 0
        if outcome := _write(target, part, attempt, batches):
            yield pa.RecordBatch.from_arrays([pa.array([outcome.to_json()])], ["outcome"])

    return run


def _write(target: Target, part: int, attempt: int, batches: Iterable[Any]) -> Outcome | None:
    """Write the shard of a partition; None when it has no rows.

    A deliberate error is an outcome: it would be the same at the next attempt. A failing service is
    not: Spark tries again.
    """
    import pyarrow as pa

    filled = (
        pa.RecordBatch.from_arrays(batch.columns, list(target.columns))
        for batch in batches
        if batch.num_rows
    )
    first = next(filled, None)
    if first is None:
        return None
    assembler = target.assembler()
    try:
        shard = target.write(part, attempt, _numbered(part, first, filled), assembler)
    except ServiceError:
        raise
    except PenstockError as error:
        kind = "data" if isinstance(error, DataError) else "input"
        return Outcome(part=part, shard=None, widths={}, error=str(error), kind=kind)
    return Outcome(part=part, shard=shard, widths=assembler.widths)


def _numbered(part: int, first: Any, others: Iterable[Any]) -> Iterator[tuple[Any, Where]]:
    """Yield batches with their place in the partition."""
    table, row = f"{TABLE}, partition {part}", 0
    yield first, Where(table=table, first_row=0)
    row = first.num_rows
    for batch in others:
        yield batch, Where(table=table, first_row=row)
        row += batch.num_rows


def _committed(target: Target, outcomes: Sequence[Outcome], rows: int) -> Dataset:
    """Check what the tasks say, and commit; what they wrote goes when it cannot be a dataset."""
    try:
        widths = _checked(target, outcomes)
    except PenstockError:
        datasets.sweep(target.uri)
        raise
    shards = [outcome.shard for outcome in outcomes if outcome.shard is not None]
    parts = [outcome.part for outcome in outcomes]
    return target.with_widths(widths).commit(shards, rows=rows, parts=parts)


def _checked(target: Target, outcomes: Sequence[Outcome]) -> dict[str, int]:
    """Return the widths that all shards have.

    Raises:
        DataError: A row could not be written, or shards differ in width.
        EmptyTableError: There are no rows.
        InputError: The hosts cannot share the shards.
    """
    for outcome in outcomes:
        if outcome.error is not None:
            raise (DataError if outcome.kind == "data" else InputError)(outcome.error)
    if not outcomes:
        raise EmptyTableError(TABLE, "check its filters and joins: a dataset needs rows")
    first = outcomes[0]
    for outcome in outcomes:
        for name, width in outcome.widths.items():
            if width != first.widths[name]:
                raise DataError(
                    f"table {TABLE!r}, column {name!r}: {width:,} numbers in each row of partition "
                    f"{outcome.part}, {first.widths[name]:,} in those of partition {first.part}\n"
                    "  all rows of a dataset have one width: pad or cut such rows, or filter them"
                )
    if len(outcomes) % target.hosts:
        raise InputError(
            f"{len(outcomes)} partitions have rows, expected a multiple of hosts, which is "
            f"{target.hosts}: each host gets as many shards\n"
            f"  pass shards={-(-len(outcomes) // target.hosts) * target.hosts} and key=[...], the "
            "columns that name a row"
        )
    return first.widths
