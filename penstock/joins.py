"""Joins that cannot multiply rows: key types, key uniqueness, and what meets what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import TYPE_CHECKING, Any

from penstock.errors import (
    DataError,
    DuplicateKeyError,
    MissingColumnsError,
    SchemaMismatchError,
)
from penstock.sources import Table
from penstock.spec import Join, Spec

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

__all__ = ["base_key", "checked", "equal", "have", "latest", "meet", "typed_alike"]

KINDS = {  # what may be joined with what
    "tinyint": "integer",
    "smallint": "integer",
    "int": "integer",
    "bigint": "integer",
    "float": "fraction",
    "double": "fraction",
}


def have(table: str, rows: DataFrame, columns: Sequence[str]) -> None:
    """Refuse a table that lacks some of ``columns``; names them all and the near misses."""
    missing = tuple(dict.fromkeys(column for column in columns if column not in rows.columns))
    if missing:
        raise MissingColumnsError(table, missing, tuple(rows.columns))


def equal(left: Sequence[str], right: Sequence[str]) -> Column:
    """Return the condition that each left column equals its right one. Lazy."""
    from pyspark.sql import functions as F

    condition = F.lit(True)
    for one, other in zip(left, right, strict=True):
        condition = condition & (F.col(f"`{one}`") == F.col(f"`{other}`"))
    return condition


def typed_alike(spec: Spec, tables: Mapping[str, Table], join: Join) -> None:
    """Refuse keys that are absent or that Spark would have to cast to compare."""
    base, side = tables[spec.merge.base], tables[join.source]
    lefts, rights = [left for left, _ in join.key_pairs()], [right for _, right in join.key_pairs()]
    have(base.name, base.rows, lefts)
    wanted = [*rights, *(join.columns or ()), *([join.latest_by] if join.latest_by else [])]
    have(side.name, side.rows, wanted)
    for left, right in join.key_pairs():
        ours, theirs = base.types[left], side.types[right]
        if KINDS.get(ours, ours) != KINDS.get(theirs, theirs):
            raise SchemaMismatchError(
                side.name,
                right,
                theirs,
                f"{ours}, as {left!r} of {base.name!r} is",
                f"declare the same type in sources.{base.name}.columns and sources.{side.name}.columns",
            )


def checked(spec: Spec, tables: Mapping[str, Table], join: Join) -> dict[str, Any]:
    """Check that a join cannot multiply rows. Runs one Spark job; two for one_to_one."""
    typed_alike(spec, tables, join)
    rights = [right for _, right in join.key_pairs()]
    side = tables[join.source].rows
    if join.latest_by is None:
        remedy = (
            f"the join would multiply rows of {spec.merge.base!r}: set latest_by on this join, "
            "join on more columns, or remove the repeats"
        )
        _unique(join.source, side, rights, remedy)
    if join.expect == "one_to_one":
        remedy = f"the join with {join.source!r} expects one_to_one: say many_to_one, or remove the repeats"
        lefts = [left for left, _ in join.key_pairs()]
        _unique(spec.merge.base, tables[spec.merge.base].rows, lefts, remedy)
    return {"source": join.source, "expect": join.expect}


def _unique(table: str, rows: DataFrame, keys: list[str], remedy: str) -> None:
    """Refuse a repeated key. Rows with a null in the key are left out: they never join."""
    from pyspark.sql import functions as F

    names = [f"`{key}`" for key in keys]
    repeated = rows.dropna(subset=names).groupBy(*names).count().filter("count > 1")
    worst = repeated.agg(
        F.count("*").alias("keys"),
        F.max(
            F.struct(
                "count", *[F.col(n).cast("string").alias(f"k{i}") for i, n in enumerate(names)]
            )
        ).alias("worst"),
    ).first()
    if worst and worst["keys"]:
        cells = [worst["worst"][f"k{i}"] for i in range(len(keys))]
        shown = ", ".join(f"{key}={cell!r}" for key, cell in zip(keys, cells, strict=True))
        raise DuplicateKeyError(table, f"({shown})", worst["worst"]["count"], worst["keys"], remedy)


def base_key(spec: Spec, base: DataFrame) -> None:
    """Refuse a base whose key repeats. Runs one Spark job."""
    from pyspark.sql import functions as F

    keys = list(spec.merge.key)
    have(spec.merge.base, base, keys)
    remedy = "name more columns in merge.key, or remove the repeats"
    # Here a null counts as a value: two rows that differ in nothing else have the same hash.
    filled = base.select(
        *[F.coalesce(F.col(f"`{k}`").cast("string"), F.lit("(null)")).alias(k) for k in keys]
    )
    _unique(spec.merge.base, filled, keys, remedy)


def latest(join: Join, side: DataFrame) -> DataFrame:
    """Return one row per key: the one with the largest ``latest_by``. Lazy.

    Equal ones are ordered by a hash of the whole row: the choice is arbitrary and always the same.
    """
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    if join.latest_by is None:
        return side
    tie = F.xxhash64(*[F.col(f"`{c}`") for c in side.columns])
    newest = Window.partitionBy(*[f"`{right}`" for _, right in join.key_pairs()]).orderBy(
        F.col(f"`{join.latest_by}`").desc_nulls_last(), tie
    )
    return (
        side.withColumn("__rank", F.row_number().over(newest)).filter("__rank = 1").drop("__rank")
    )


def meet(
    spec: Spec, tables: Mapping[str, Table], records: list[dict[str, Any]], *, base_rows: int
) -> list[dict[str, Any]]:
    """Count, per join, what meets and what does not. Runs two Spark jobs in all, on keys alone."""
    if not spec.merge.joins:
        return []
    ours = _base_counts(spec, tables)
    if ours["rows"] != base_rows:
        raise DataError(
            f"the joins make {ours['rows']:,} rows of {base_rows:,} rows of {spec.merge.base!r}, "
            "expected the same number\n  this is a defect of penstock's check of keys; please report it"
        )
    theirs = _side_counts(spec, tables)
    met = []
    for index, (join, record) in enumerate(zip(spec.merge.joins, records, strict=True)):
        matched, null_key = ours[f"met{index}"], ours[f"null{index}"]
        side = theirs[index]
        keys = [left if left == right else f"{left} = {right}" for left, right in join.key_pairs()]
        met.append(
            {
                **record,
                "keys": keys,
                "base_rows_matched": matched,
                "base_rows_null_key": null_key,
                "base_rows_unmatched": base_rows - matched - null_key,
                "side_rows": side["rows"],
                "side_rows_unused": side["rows"] - side["used"],
                "side_rows_superseded": side["rows"] - side["keys"] if join.latest_by else 0,
            }
        )
    return met


def _base_counts(spec: Spec, tables: Mapping[str, Table]) -> Any:
    """Return rows after all joins and, per join, base rows that meet and that have a null in the key."""
    from pyspark.sql import functions as F

    joins = spec.merge.joins
    lefts = dict.fromkeys(left for join in joins for left, _ in join.key_pairs())
    rows = tables[spec.merge.base].rows.select(*[f"`{left}`" for left in lefts])
    counts = [F.count(F.lit(1)).alias("rows")]
    for index, join in enumerate(joins):
        left, right = zip(*join.key_pairs(), strict=True)
        names = [f"__key{index}_{i}" for i in range(len(right))]
        keys = [F.col(f"`{r}`").alias(n) for r, n in zip(right, names, strict=True)]
        side = tables[join.source].rows.select(*keys).dropna().distinct()
        rows = rows.join(side.withColumn(f"__met{index}", F.lit(1)), equal(left, names), "left")
        null_key = F.lit(False)
        for name in left:
            null_key = null_key | F.col(f"`{name}`").isNull()
        counts += [
            F.count(f"__met{index}").alias(f"met{index}"),
            F.count_if(null_key).alias(f"null{index}"),
        ]
    return rows.agg(*counts).first()


def _side_counts(spec: Spec, tables: Mapping[str, Table]) -> list[Any]:
    """Return, per join, the side's rows, those that the base uses, and its distinct keys."""
    from pyspark.sql import functions as F

    base = tables[spec.merge.base].rows
    parts = []
    for index, join in enumerate(spec.merge.joins):
        left, right = zip(*join.key_pairs(), strict=True)
        names = [f"__key{i}" for i in range(len(left))]
        used = base.select(*[F.col(f"`{b}`").alias(n) for b, n in zip(left, names, strict=True)])
        used = used.distinct().withColumn("__used", F.lit(1))
        side = tables[join.source].rows.select(*[F.col(f"`{r}`") for r in right])
        # Per key first: what comes out is small, and distinct keys are counted on the way.
        keys = side.groupBy(*[f"`{r}`" for r in right]).agg(F.count(F.lit(1)).alias("__rows"))
        keys = keys.join(used, equal(right, names), "left")
        parts.append(
            keys.agg(
                F.lit(index).alias("index"),
                F.coalesce(F.sum("__rows"), F.lit(0)).alias("rows"),
                F.coalesce(F.sum(F.when(F.col("__used") == 1, F.col("__rows"))), F.lit(0)).alias(
                    "used"
                ),
                F.count(F.lit(1)).alias("keys"),
            )
        )
    counts = reduce(lambda one, other: one.unionByName(other), parts)
    return sorted(counts.collect(), key=lambda row: int(row["index"]))
