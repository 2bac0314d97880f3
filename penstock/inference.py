"""The type of a text column, from all its values: one Spark job for any number of columns.

The narrowest type that every value fits wins. Numbers with leading zeros ("007", "02134") stay text:
they are codes, and a cast would lose the zeros. Integers of more than 18 digits
stay text too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from penstock.worker import settle

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["Guess", "infer"]

# What a text looks like: the first pattern that matches is its kind. A date such as 31 February
# matches, makes its column a date, and is then a malformed cell: quarantined, not turned into text.
_DATE = r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"
PATTERNS = {
    "bigint": r"^[+-]?(0|[1-9]\d{0,17})$",  # 18 digits always fit; a longer code stays text
    "double": r"^[+-]?((0|[1-9]\d*)(\.\d*)|\.\d+|(0|[1-9]\d{0,17})(\.\d*)?[eE][+-]?\d+)([eE][+-]?\d+)?$|^NaN$",
    "boolean": r"^(?i:true|false)$",
    "date": f"^{_DATE}$",
    "timestamp": f"^{_DATE}"
    r"[T ]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?$",
}
WITHIN = {
    "double": ("bigint", "double"),
    "timestamp": ("date", "timestamp"),
}  # what else fits a type
NEARLY = 0.9


@dataclass(frozen=True, kw_only=True, slots=True)
class Guess:
    """What the values of one column look like.

    Attributes:
        type: Spark SQL name of the narrowest type that all values fit.
        values: How many values there are, missing ones left out.
        fitting: How many of them fit each type.
    """

    type: str
    values: int
    fitting: dict[str, int]

    def notes(self, table: str, column: str) -> Iterator[str]:
        """Yield a sentence when the column is nearly of a narrower type, or has no value at all."""
        if not self.values:
            yield f"{table}.{column}: all values are missing; taken as string"
            return
        best = max(self.fitting, key=lambda kind: self.fitting[kind])
        if self.type == "string" and NEARLY <= self.fitting[best] / self.values < 1:
            odd = self.values - self.fitting[best]
            yield (
                f"{table}.{column}: taken as string because {odd:,} of {self.values:,} values are not "
                f"{best}; declare sources.{table}.columns.{column}: {best} to quarantine them, "
                "or add them to null_values"
            )


def infer(cells: DataFrame, columns: Sequence[str]) -> dict[str, Guess]:
    """Return a guess for each text column. Runs one Spark job; none for no columns."""
    from pyspark.sql import functions as F

    if not columns:
        return {}
    columns = list(columns)

    def count(batches: Iterable[Any]) -> Iterator[Any]:
        settle()
        for batch in batches:
            yield _count(batch)

    texts = cells.select(*[F.col(f"`{c}`").alias(str(i)) for i, c in enumerate(columns)])
    counts = texts.mapInArrow(count, "column int, kind string, cells bigint")
    found = counts.groupBy("column", "kind").sum("cells").collect()
    fitting: dict[int, dict[str, int]] = {i: {} for i in range(len(columns))}
    for column, kind, total in found:
        fitting[column][kind] = total
    return {name: _guess(fitting[i]) for i, name in enumerate(columns)}


def _count(batch: Any) -> Any:
    """Return ``(column, kind, cells)`` of a batch of text columns; each distinct text is matched once."""
    import pyarrow as pa
    import pyarrow.compute as pc

    rows: list[tuple[int, str, int]] = []
    for index in range(batch.num_columns):
        distinct = batch.column(index).drop_null().value_counts()
        texts, counts = distinct.field("values"), distinct.field("counts")
        for kind, pattern in PATTERNS.items():
            looks = pc.match_substring_regex(texts, pattern)
            rows.append((index, kind, pc.sum(counts.filter(looks)).as_py() or 0))
            others = pc.invert(looks)
            texts, counts = texts.filter(others), counts.filter(others)
        rows.append((index, "string", pc.sum(counts).as_py() or 0))
    column, kind_, cells = zip(*rows, strict=True)
    arrays = [pa.array(column, pa.int32()), pa.array(kind_), pa.array(cells, pa.int64())]
    return pa.RecordBatch.from_arrays(arrays, ["column", "kind", "cells"])


def _guess(counts: dict[str, int]) -> Guess:
    values = sum(counts.values())
    fitting = {kind: sum(counts.get(k, 0) for k in WITHIN.get(kind, (kind,))) for kind in PATTERNS}
    fits = [kind for kind in PATTERNS if values and fitting[kind] == values]
    return Guess(type=fits[0] if fits else "string", values=values, fitting=fitting)
