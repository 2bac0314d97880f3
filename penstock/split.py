"""Row -> train | validation | test: by hash, by group, by time, or with equal shares in every class.

    hash         side of the place of the key's hash, see penstock.places
    group        the same of the group's columns, so that no group is on two sides; a row with a null there
                 is refused, or is a group of its own and goes by key and group columns together
    time         train < first boundary <= validation < second boundary <= test; rows less than the gap
                 before a boundary go to no side. Boundaries are given, or are the values of the column
                 at which the rows are nearest to the shares: rows of one value stay on one side
    stratified   within each class (null is one), ordered by the key's hash >> 1, the first share is
                 train, the next validation: shares hold within one row of the class

    side of a place = train if place < train else validation if place < train + validation else test

Nothing is drawn at random: ``rand()`` and ``randomSplit`` would move rows when a task is retried
(SPARK-23207). Added rows move no other row under hash and group, and under time with given boundaries.
They may move boundaries that come from shares, and, stratified, rows next to a class's border.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from penstock import timesplit
from penstock.errors import DataError
from penstock.places import CELLS, FOLD_SALT, NULL, SALT, place
from penstock.ranks import CLASS, VALUE, Rank, Span, ranked, spans
from penstock.spec import Spec, SplitSpec

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

__all__ = [
    "SIDE",
    "Placed",
    "cut",
    "fold_column",
    "group_nulls",
    "hash_column",
    "place",
    "placed",
    "problems",
    "side",
    "split_column",
]

SIDE = "split"
MAX_CLASSES = 1000
SHOWN = 5
# field -> the splits that look at it
FIELDS = {
    "columns": ("hash", "group"),
    "column": ("time", "stratified"),
    "boundaries": ("time",),
    "gap": ("time",),
    "nulls": ("group",),
    "salt": ("hash", "group", "stratified"),
}
NEEDED = {"group": "columns", "time": "column"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Placed:
    """Rows with their side.

    Attributes:
        rows: With a column ``split``: train, validation, test; null for a row that goes to no side.
        record: What decided, for the report: ``by``, ``columns``, and of times ``boundaries``, ``gap``,
            ``gap_rows``.
        notes: What a person should know, one sentence each.
    """

    rows: DataFrame
    record: Mapping[str, Any]
    notes: tuple[str, ...] = field(default=())


def side(places: np.ndarray, spec: SplitSpec) -> np.ndarray:
    """Return the side of each place: places (n,) float64 -> (n,) of train, validation, test."""
    bounds = [spec.train, spec.train + spec.validation]
    sides: np.ndarray = np.array(["train", "validation", "test"])[np.digitize(places, bounds)]
    return sides


def hash_column(columns: Sequence[str], *, salt: str) -> Column:
    """Return the signed 64-bit hash of ``columns`` as a Spark column. Lazy."""
    from pyspark.sql import functions as F

    cells = [F.coalesce(F.col(f"`{name}`").cast("string"), F.lit(NULL)) for name in columns]
    return F.xxhash64(F.concat(F.lit(salt + SALT), F.concat_ws(CELLS, *cells)))


def fold_column(columns: Sequence[str], folds: int, *, salt: str = FOLD_SALT) -> Column:
    """Return the fold of each row, 0 to ``folds`` - 1, as ``penstock.places.fold_of`` does. Lazy."""
    from pyspark.sql import functions as F

    hashes = hash_column(columns, salt=salt)
    # The hash is unsigned, Spark's number is not: a negative one lacks 2**64.
    lacking = F.when(hashes < 0, 2**64 % folds).otherwise(0)
    return F.pmod(F.pmod(hashes, F.lit(folds)) + lacking, F.lit(folds)).cast("int")


def split_column(columns: Sequence[str], spec: SplitSpec) -> Column:
    """Return the side of each row by the hash of ``columns``, as a Spark column. Lazy."""
    return _side_column(hash_column(columns, salt=spec.salt), spec)


def _place(hashes: Column) -> Column:
    from pyspark.sql import functions as F

    return F.shiftrightunsigned(hashes, 11) / F.lit(2.0**53)


def _side_column(hashes: Column, spec: SplitSpec) -> Column:
    from pyspark.sql import functions as F

    where = _place(hashes)
    return (
        F.when(where < spec.train, "train")
        .when(where < spec.train + spec.validation, "validation")
        .otherwise("test")
    )


def placed(rows: DataFrame, spec: Spec) -> Placed:
    """Return the rows with their side, as ``spec.split`` says.

    Lazy for hash and group. Time runs one Spark job when boundaries are given and some five else,
    stratified some five, of which the first computes ``rows``, reduced to what decides, and caches it.

    Raises:
        SchemaMismatchError: The column of a time split is neither a date, a timestamp nor a whole number.
        InputError: Boundaries or the gap do not fit the column.
        DataError: Times are null, a side of a time split has no rows, or a column to stratify by has
            too many classes.
    """
    split, key = spec.split, list(spec.merge.key)
    columns = list(split.columns or key)
    if split.by == "time":
        timed = timesplit.timed(rows, split)
        return Placed(
            rows=rows.withColumn(SIDE, timed.side), record=timed.record, notes=timed.notes
        )
    if split.by == "stratified":
        return _stratified(rows, spec)
    hashes = hash_column(columns, salt=split.salt)
    if split.by == "group" and split.nulls == "own":
        from pyspark.sql import functions as F

        own = hash_column([*key, *columns], salt=split.salt)
        hashes = F.when(_any_null(columns), own).otherwise(hashes)
    return Placed(
        rows=rows.withColumn(SIDE, _side_column(hashes, split)),
        record={"by": split.by, "columns": columns},
    )


def _any_null(columns: Sequence[str]) -> Column:
    from pyspark.sql import functions as F

    found = F.lit(False)
    for name in columns:
        found = found | F.col(f"`{name}`").isNull()
    return found


def group_nulls(rows: DataFrame, split: SplitSpec) -> None:
    """Refuse rows without a group, where the split goes by group and says so. Runs one Spark job then.

    Raises:
        DataError: There are some; says how many.
    """
    from pyspark.sql import functions as F

    if split.by != "group" or split.nulls == "own" or not split.columns:
        return
    found = rows.agg(F.count_if(_any_null(split.columns)), F.count(F.lit(1))).first()
    if found is not None and found[0]:
        raise DataError(
            f"split by group: {found[0]:,} of {found[1]:,} rows have a null in "
            f"{', '.join(split.columns)}, expected a group in each\n"
            "  set split.nulls: own, so that each of them is a group of its own, filter them in "
            "merge.where, or derive a group"
        )


def cut(rows: int, split: SplitSpec) -> tuple[int, int]:
    """Return how many of ``rows`` ordered rows are train, and how many train or validation.

    >>> cut(10, SplitSpec())
    (8, 9)
    """
    first, second = split.train * rows, (split.train + split.validation) * rows
    # Half a row up. A share of 0.1 + 0.8 is not quite 0.9: a billionth of a row does not decide.
    return int(first + 0.5 + 1e-9), min(rows, int(second + 0.5 + 1e-9))


def _stratified(rows: DataFrame, spec: Spec) -> Placed:
    from pyspark.sql import functions as F

    split, column = spec.split, spec.split.column or spec.label.column
    # 63 bits, so that differences do not overflow.
    place_ = F.shiftrightunsigned(hash_column(spec.merge.key, salt=split.salt), 1)
    class_ = F.coalesce(F.col(f"`{column}`").cast("string"), F.lit(NULL))
    values = rows.select(class_.alias(CLASS), place_.alias(VALUE)).persist()
    try:
        found = spans(values, most=MAX_CLASSES + 1)
        if len(found) > MAX_CLASSES:
            raise DataError(
                f"split.column {column!r} has more than {MAX_CLASSES:,} classes, expected few, each "
                "with rows for all sides\n  derive a coarser column in merge.derive, or split by hash"
            )
        cuts = {name: cut(span.rows, split) for name, span in found.items()}
        wanted = {name: [at for at in cuts[name] if at < span.rows] for name, span in found.items()}
        borders = ranked(values, found, wanted)
    finally:
        values.unpersist()
    table = rows.sparkSession.createDataFrame(
        [(name, *_borders(borders[name])) for name in found],
        f"{CLASS} string, __validation bigint, __test bigint",
    )
    second, third = F.col("__validation"), F.col("__test")
    sided = (
        rows.withColumn(CLASS, class_)
        .join(F.broadcast(table), CLASS, "left")
        .withColumn(
            SIDE,
            F.when(second.isNull() | (place_ < second), "train")
            .when(third.isNull() | (place_ < third), "validation")
            .otherwise("test"),
        )
        .drop(CLASS, "__validation", "__test")
    )
    return Placed(
        rows=sided,
        record={"by": "stratified", "columns": [column], "classes": len(found)},
        notes=tuple(_few(column, found, cuts)),
    )


def _borders(ranks: Sequence[Rank]) -> tuple[int | None, int | None]:
    """Return the first hash of validation and of test; None past the last row of the class."""
    found: list[int | None] = [rank.value for rank in ranks]
    # The later border goes first when only one is there: it is that of validation, as cuts ascend.
    return tuple([*found, None, None][:2])  # type: ignore[return-value]


def _few(column: str, found: Mapping[str, Span], cuts: Mapping[str, tuple[int, int]]) -> list[str]:
    """Return a sentence about the classes that are too small to be on all sides."""
    lacking = []
    for name, span in found.items():
        first, second = cuts[name]
        sizes = {"train": first, "validation": second - first, "test": span.rows - second}
        if gone := [each for each, size in sizes.items() if not size]:
            shown = "null" if name == NULL else repr(name)
            noun = "row" if span.rows == 1 else "rows"
            lacking.append(f"{shown} ({span.rows:,} {noun}: none in {' and '.join(gone)})")
    if not lacking:
        return []
    more = f" and {len(lacking) - SHOWN:,} more" if len(lacking) > SHOWN else ""
    noun = "class has" if len(lacking) == 1 else "classes have"
    return [
        f"split: {len(lacking):,} {noun} too few rows of {column!r} for all sides: "
        f"{', '.join(lacking[:SHOWN])}{more}"
    ]


def problems(split: SplitSpec) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield where and what is wrong between fields that are each well-formed."""
    given = split.model_fields_set
    for name, kinds in FIELDS.items():
        if name in given and split.by not in kinds:
            yield ("split", name), f"by is {split.by}; this is for by: {' or '.join(kinds)}"
    needed = NEEDED.get(split.by)
    if needed is not None and not getattr(split, needed):
        yield ("split",), f"by is {split.by}, so {needed} is needed"
    shares = ("train", "validation", "test")
    if split.boundaries is not None:
        yield from _boundaries(split.boundaries)
        if named := [name for name in shares if name in given]:
            yield ("split", named[0]), "boundaries are given, so shares decide nothing; keep one"
    elif abs((total := sum(getattr(split, name) for name in shares)) - 1) > 1e-9:
        yield ("split",), f"train + validation + test is {total:g}, expected 1"
    if isinstance(split.gap, str) and not timesplit.GAP.fullmatch(split.gap):
        units = ", ".join(timesplit.SECONDS)
        yield (
            ("split", "gap"),
            f"found {split.gap!r}, expected a number and one of {units}: '7 days'",
        )
    if isinstance(split.gap, int) and split.gap < 0:
        yield ("split", "gap"), f"found {split.gap}, expected 0 or more"


def _boundaries(given: Sequence[str | int]) -> Iterator[tuple[tuple[str, ...], str]]:
    where = ("split", "boundaries")
    if len(given) != 2:
        yield where, f"found {len(given)}, expected 2: where validation begins, and where test does"
    elif timesplit.in_order(given) is False:
        yield where, f"found {given[0]!r} before {given[1]!r}, expected the earlier one first"
