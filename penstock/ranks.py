"""Exact values by rank, per class, in Spark: no sort, no sketch, no row on the driver.

Each pass counts, in one Spark job, how many values fall into each of some hundreds of equal ranges of
what is still possible, and keeps the range that holds the rank. A range comes back with the smallest
and largest value in it, so that a few passes find the value itself, whatever the number of rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock.spark import named

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["CLASS", "VALUE", "Rank", "Span", "ranked", "spans"]

CLASS, VALUE = "__class", "__value"
MAX_RANGES = 1024
MIN_RANGES = 16
RANGES_PER_PASS = 2**17  # what a pass may bring back to the driver


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """What is known of the values between two of them.

    Attributes:
        low: The smallest.
        high: The largest.
        rows: How many there are.
        below: How many values of the class are smaller than ``low``.
    """

    low: int
    high: int
    rows: int
    below: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Rank:
    """The value of a rank.

    Attributes:
        value: It.
        below: How many values of its class are smaller.
        rows: How many are equal to it.
    """

    value: int
    below: int
    rows: int


def spans(values: DataFrame, *, most: int) -> dict[str, Span]:
    """Return the span of each class, of ``most`` classes at most. Runs one Spark job.

    Args:
        values: Columns ``__class`` string and ``__value`` bigint, without nulls.
        most: So many come to the driver; which, if there are more, is not said.
    """
    from pyspark.sql import functions as F

    found = values.groupBy(CLASS).agg(
        F.min(VALUE).alias("low"), F.max(VALUE).alias("high"), F.count(VALUE).alias("rows")
    )
    return {
        row[CLASS]: Span(low=row["low"], high=row["high"], rows=row["rows"])
        for row in sorted(found.limit(most).collect(), key=lambda row: str(row[CLASS]))
    }


def ranked(
    values: DataFrame, found: Mapping[str, Span], wanted: Mapping[str, Sequence[int]]
) -> dict[str, list[Rank]]:
    """Return the values at some ranks of each class. Runs some two to six Spark jobs, fewer if values repeat.

    Args:
        values: As of ``spans``; cache it, each pass reads it. Values of a class span less than 2**63.
        found: What ``spans`` returned of it.
        wanted: Class -> ranks from 0, each below the rows of the class.
    """
    open_ = {
        (name, index): (rank, found[name])
        for name, ranks in wanted.items()
        for index, rank in enumerate(ranks)
    }
    done: dict[tuple[str, int], Rank] = {}
    while True:
        for place, (_, span) in list(open_.items()):
            if span.low == span.high:
                done[place] = Rank(value=span.low, below=span.below, rows=span.rows)
                del open_[place]
        if not open_:
            break
        with named(values.sparkSession, "split: ranks"):
            open_ = _narrowed(values, open_)
    return {name: [done[name, index] for index in range(len(wanted[name]))] for name in wanted}


def _narrowed(
    values: DataFrame, open_: Mapping[tuple[str, int], tuple[int, Span]]
) -> dict[tuple[str, int], tuple[int, Span]]:
    """Return each rank with a narrower span that holds it. Runs one Spark job."""
    from pyspark.sql import functions as F

    ranges = min(MAX_RANGES, max(MIN_RANGES, RANGES_PER_PASS // len(open_)))
    asked = [
        (name, index, span.low, span.high, (span.high - span.low) // ranges + 1)
        for (name, index), (_, span) in open_.items()
    ]
    schema = f"{CLASS} string, at int, low bigint, high bigint, width bigint"
    table = F.broadcast(values.sparkSession.createDataFrame(asked, schema))
    inside = values.join(table, CLASS).filter(F.col(VALUE).between(F.col("low"), F.col("high")))
    counted = (
        inside.withColumn("range", F.expr(f"({VALUE} - low) div width"))
        .groupBy(CLASS, "at", "range")
        .agg(F.min(VALUE).alias("low"), F.max(VALUE).alias("high"), F.count(VALUE).alias("rows"))
    )
    narrowed: dict[tuple[str, int], tuple[int, Span]] = {}
    below = {place: span.below for place, (_, span) in open_.items()}
    for row in sorted(counted.collect(), key=lambda row: int(row["range"])):
        place = (row[CLASS], row["at"])
        if place in narrowed:
            continue
        if open_[place][0] < below[place] + row["rows"]:
            span = Span(low=row["low"], high=row["high"], rows=row["rows"], below=below[place])
            narrowed[place] = (open_[place][0], span)
        below[place] += row["rows"]
    return narrowed
