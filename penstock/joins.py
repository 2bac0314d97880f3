"""Joins that cannot multiply rows: key types, key uniqueness, and what meets what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    """Count, per join, what meets and what does not. Runs two Spark jobs per join, on keys alone."""
    from pyspark.sql import functions as F

    base = tables[spec.merge.base].rows
    met = []
    for join, record in zip(spec.merge.joins, records, strict=True):
        keys = join.key_pairs()
        lefts, rights = [left for left, _ in keys], [right for _, right in keys]
        names = [f"__key{i}" for i in range(len(keys))]
        side = tables[join.source].rows.select(
            *[F.col(f"`{r}`").alias(n) for r, n in zip(rights, names, strict=True)]
        )
        once = side.dropna().distinct().withColumn("__met", F.lit(1))
        null_key = F.lit(False)
        for left in lefts:
            null_key = null_key | F.col(f"`{left}`").isNull()
        pairs = base.select(*[f"`{left}`" for left in lefts]).join(
            once, equal(lefts, names), "left"
        )
        ours = pairs.agg(
            F.count("*").alias("rows"),
            F.count("__met").alias("met"),
            F.count_if(null_key).alias("null_key"),
        ).first()
        used = base.select(*[f"`{left}`" for left in lefts]).distinct()
        theirs = (
            side.join(used.withColumn("__used", F.lit(1)), equal(names, lefts), "left")
            .agg(
                F.count("*").alias("rows"),
                F.count("__used").alias("used"),
            )
            .first()
        )
        distinct = once.count() if join.latest_by else None
        if ours is None or theirs is None or ours["rows"] != base_rows:
            raise DataError(
                f"join with {join.source!r}: {ours and ours['rows']} rows out of {base_rows} rows of the base\n"
                "  expected the same number; this is a defect of the check, please report it"
            )
        met.append(
            {
                **record,
                "keys": [left if left == right else f"{left} = {right}" for left, right in keys],
                "base_rows_matched": ours["met"],
                "base_rows_null_key": ours["null_key"],
                "base_rows_unmatched": base_rows - ours["met"] - ours["null_key"],
                "side_rows": theirs["rows"],
                "side_rows_unused": theirs["rows"] - theirs["used"],
                "side_rows_superseded": 0 if distinct is None else theirs["rows"] - distinct,
            }
        )
    return met
