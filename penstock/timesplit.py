"""Train before validation before test: the boundaries of a split by time, and the gap before each.

Times count in whole units from an origin: days of a date, microseconds of a timestamp (UTC), the number
itself of a whole number. So all comparisons are exact.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from penstock.errors import DataError, InputError, SchemaMismatchError
from penstock.ranks import CLASS, VALUE, Rank, Span, ranked
from penstock.spark import named
from penstock.spec import SplitSpec

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

__all__ = ["GAP", "Timed", "in_order", "timed"]

GAP = re.compile(r"(\d+) (second|minute|hour|day|week)s?")
SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400, "week": 604_800}
DAY_S, MICROS = 86_400, 1_000_000
KINDS = {
    "date": "date",
    "timestamp": "timestamp",
    "timestamp_ntz": "timestamp",
    "tinyint": "number",
    "smallint": "number",
    "int": "number",
    "bigint": "number",
}
EXAMPLES = {"date": "'2024-01-31'", "timestamp": "'2024-01-31 05:00:00'", "number": "202401"}
EPOCH_DAY, EPOCH = date(1970, 1, 1), datetime(1970, 1, 1, tzinfo=UTC)
SIDES = ("train", "validation", "test")


@dataclass(frozen=True, kw_only=True, slots=True)
class Timed:
    """A split by time: ``side`` is a Spark column, null within a gap; see ``split.Placed``."""

    side: Column
    record: Mapping[str, Any]
    notes: tuple[str, ...] = field(default=())


def timed(rows: DataFrame, split: SplitSpec) -> Timed:
    """Return the side of each row by ``split.column``.

    Runs one Spark job when the boundaries are given. Else some five, over a cached column of 8 bytes a
    row: the boundaries are exact, and no row comes to the driver.

    Raises:
        SchemaMismatchError, InputError, DataError: As ``split.placed`` says.
    """
    from pyspark.sql import functions as F

    column = split.column or ""
    kind = _kind(rows, column)
    gap = _gap(split.gap, kind, column)
    value = _value(column, rows.schema[column].dataType.simpleString())
    values = rows.select(F.lit("").alias(CLASS), value.alias(VALUE))
    if split.boundaries is not None:
        first, second = (_parsed(each, kind, column) for each in split.boundaries)
        bounds = (first - gap, first, second - gap, second)
        counts = _counted(values, bounds)
    else:
        values.persist()
        try:
            first, second = _from_shares(values, split, kind)
            bounds = (first - gap, first, second - gap, second)
            counts = _counted(values, bounds)
        finally:
            values.unpersist()
    shown = [_text(each, kind) for each in (first, second)]
    _check(split, kind, shown, counts)
    notes = () if split.boundaries is not None else (_note(column, shown),)
    return Timed(
        side=_side(value, bounds),
        record={
            "by": "time",
            "columns": [column],
            "boundaries": shown,
            "gap": split.gap,
            "gap_rows": counts["gap"],
        },
        notes=notes,
    )


def in_order(boundaries: Sequence[str | int]) -> bool | None:
    """Return whether two boundaries ascend; None when they are not of one readable kind."""
    kinds = ("number",) if all(isinstance(b, int) for b in boundaries) else ("timestamp",)
    try:
        first, second = (_parsed(each, kinds[0], "") for each in boundaries)
    except InputError:
        return None
    return first < second


def _kind(rows: DataFrame, column: str) -> str:
    found = rows.schema[column].dataType.simpleString()
    if found not in KINDS:
        raise SchemaMismatchError(
            "merge",
            column,
            found,
            "date, timestamp or a whole number, as split.by is time",
            "declare its type in sources.<name>.columns, or derive one in merge.derive",
        )
    return KINDS[found]


def _value(column: str, kind: str) -> Column:
    from pyspark.sql import functions as F

    cell = F.col(f"`{column}`")
    if kind == "date":
        return F.unix_date(cell).cast("bigint")
    if kind.startswith("timestamp"):
        return F.unix_micros(cell.cast("timestamp"))
    return cell.cast("bigint")


def _gap(gap: str | int | None, kind: str, column: str) -> int:
    """Return the gap in units of the column."""
    if gap is None:
        return 0
    found = GAP.fullmatch(str(gap))
    if kind == "number" and isinstance(gap, int):
        return gap
    if kind != "number" and found is not None:
        seconds = int(found[1]) * SECONDS[found[2]]
        if kind == "timestamp":
            return seconds * MICROS
        if seconds % DAY_S == 0:
            return seconds // DAY_S
    expected = {
        "number": "a number",
        "date": "whole days, such as '7 days'",
        "timestamp": "such as '12 hours'",
    }[kind]
    raise InputError(
        f"split.gap: found {gap!r}, expected {expected}: column {column!r} is a {_called(kind)}\n"
        "  change the gap, or the type of the column"
    )


def _called(kind: str) -> str:
    return "whole number" if kind == "number" else kind


def _parsed(boundary: str | int, kind: str, column: str) -> int:
    """Return a boundary in units of the column."""
    try:
        if kind == "number":
            if isinstance(boundary, int):
                return boundary
        elif kind == "date":
            return (date.fromisoformat(str(boundary)) - EPOCH_DAY).days
        else:
            moment = datetime.fromisoformat(str(boundary))
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            return (moment - EPOCH) // timedelta(microseconds=1)
    except ValueError:
        pass
    raise InputError(
        f"split.boundaries: found {boundary!r}, expected a {_called(kind)} such as {EXAMPLES[kind]}, "
        f"as column {column!r} is\n  correct the boundary, or the type of the column"
    )


def _text(value: int, kind: str) -> str | int:
    """Return a boundary as pipeline.yaml would have it."""
    if kind == "number":
        return value
    if kind == "date":
        return (EPOCH_DAY + timedelta(days=value)).isoformat()
    return (EPOCH + timedelta(microseconds=value)).replace(tzinfo=None).isoformat(" ")


def _from_shares(values: DataFrame, split: SplitSpec, kind: str) -> tuple[int, int]:
    """Return the values at which the rows are nearest to the shares, rows of one value together."""
    from pyspark.sql import functions as F

    with named(values.sparkSession, "split: times"):
        found = values.agg(
            F.min(VALUE).alias("low"), F.max(VALUE).alias("high"),
            F.count(VALUE).alias("rows"), F.count(F.lit(1)).alias("all"),
        ).first()  # fmt: skip
    if found is None or not found["rows"]:
        raise DataError(
            f"split.column {split.column!r} has no value in {found['all'] if found else 0:,} rows\n"
            "  split by another column, or by hash"
        )
    span = Span(low=found["low"], high=found["high"], rows=found["rows"])
    shares = (split.train, split.train + split.validation)
    wanted = [min(int(share * span.rows + 0.5), span.rows - 1) for share in shares]
    whole = values.dropna()
    first, second = ranked(whole, {"": span}, {"": wanted})[""]
    above = _next(whole, sorted({first.value, second.value}))
    start = _edge(first, wanted[0], span, above)
    end = _edge(second, wanted[1], span, above)
    if start is not None and end is not None and end <= start:
        end = {**_next(whole, [start]), **above}.get(start)
    if start is None or end is None:
        most = max((first, second), key=lambda rank: rank.rows)
        raise DataError(
            f"split by time: {most.rows:,} of {span.rows:,} rows have {split.column} "
            f"{_text(most.value, kind)!r}; rows of one value stay on one side, so none is left for "
            "another\n  name the boundaries in split.boundaries, or split by a finer column"
        )
    return start, end


def _next(values: DataFrame, after: Sequence[int]) -> dict[int, int]:
    """Return, of each value, the next larger one that there is."""
    from pyspark.sql import functions as F

    larger = [F.min(F.when(F.col(VALUE) > each, F.col(VALUE))) for each in after]
    with named(values.sparkSession, "split: times"):
        found = values.agg(*larger).first()
    return {each: found[at] for at, each in enumerate(after) if found and found[at] is not None}


def _edge(rank: Rank, wanted: int, span: Span, above: Mapping[int, int]) -> int | None:
    """Return the boundary that is nearest to ``wanted`` rows before it: a value, or the next one."""
    edges = [(rank.below, rank.value), (rank.below + rank.rows, above.get(rank.value))]
    inner = [(abs(rows - wanted), at, value) for at, (rows, value) in enumerate(edges)
             if 0 < rows < span.rows and value is not None]  # fmt: skip
    return min(inner)[2] if inner else None


def _side(value: Column, bounds: tuple[int, int, int, int]) -> Column:
    from pyspark.sql import functions as F

    return (
        F.when(value < bounds[0], "train")
        .when(value < bounds[1], None)
        .when(value < bounds[2], "validation")
        .when(value < bounds[3], None)
        .when(value.isNotNull(), "test")
    )


def _counted(values: DataFrame, bounds: tuple[int, int, int, int]) -> dict[str, int]:
    """Return the rows of each side, of the gaps and without a time. Runs one Spark job."""
    from pyspark.sql import functions as F

    value = F.col(VALUE)
    with named(values.sparkSession, "split: times"):
        sides = values.groupBy(_side(value, bounds).alias("side"), value.isNull().alias("null"))
        found = {(row["side"], row["null"]): row["count"] for row in sides.count().collect()}
    counts = {side: found.get((side, False), 0) for side in SIDES}
    return counts | {"gap": found.get((None, False), 0), "null": found.get((None, True), 0)}


def _check(
    split: SplitSpec, kind: str, shown: Sequence[str | int], counts: Mapping[str, int]
) -> None:
    rows = sum(counts.values())
    if counts["null"]:
        raise DataError(
            f"split by time: {counts['null']:,} of {rows:,} rows have no {split.column}, expected a "
            f"{_called(kind)} in each\n  filter them in merge.where, or derive a time"
        )
    for side in SIDES:
        if not counts[side]:
            gap = f" and gap {split.gap!r}" if split.gap else ""
            others = ", ".join(f"{name} {counts[name]:,}" for name in (*SIDES, "gap"))
            raise DataError(
                f"split by time: no row is left for {side} with boundaries {shown[0]!r} and "
                f"{shown[1]!r}{gap}, of {rows:,} rows ({others})\n"
                "  move split.boundaries or the shares, or make split.gap smaller"
            )


def _note(column: str, shown: Sequence[str | int]) -> str:
    return (
        f"split: by {column}, validation begins at {shown[0]} and test at {shown[1]}; added rows may "
        f"move that: to keep it, set split.boundaries: [{shown[0]!r}, {shown[1]!r}]"
    )
