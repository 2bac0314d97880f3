"""What a model must not know: rows on two sides, and a feature that tells the label by itself.

    between_sides(written, spec)       merge: keys, groups and whole rows that two sides share; one Spark job
    single_features(statistics, ...)   fit: from the statistics of its one scan, and from a ``Probe``

A shared value counts for the later side: rows of validation that train has, and rows of test that train
or validation has. Nothing here stops a run unless ``split.on_leak`` is refuse.

How well one feature tells the label, by task:

    binary, multiclass   AUC of one class against the others, the largest of them: of numbers as they are,
                         of a category by the label mean of its other rows, of cells by being missing
    regression           share of the label's variance: squared correlation of numbers; between categories,
                         adjusted for their number

Categories of binary tasks and all of regression are measured on the whole train split. Numbers of binary
tasks and everything of multiclass on the first 4,096 rows of each task of the scan: as rows stand in hash
order, that is a fair sample, and the same one for the same table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from penstock.balance import class_rows
from penstock.encode import LabelRule
from penstock.errors import DataError
from penstock.probes import Probe, category_auc, probe
from penstock.sketch import Floats
from penstock.spec import Spec, SplitSpec
from penstock.states import CategoryState, NumericState
from penstock.statistics import Statistics

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

__all__ = [
    "Finding",
    "Probe",
    "between_sides",
    "category_auc",
    "probe",
    "single_features",
    "told",
]

SIDES = ("train", "validation", "test")
LEAST_ROWS = 20  # of a class, and of the others, before an AUC means anything
DIGITS = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        check: ``key``, ``values``, ``rows`` or ``feature``.
        columns: Of what; empty for ``rows``.
        measure: ``shared_rows``, ``auc`` or ``r2``.
        found: Its value: a count of rows, or a number from 0 to 1.
        of: What it was counted in: rows of validation and test, or rows measured.
        problem: What a person is told when it is a leak; None when it is none.
    """

    check: str
    columns: tuple[str, ...]
    measure: str
    found: float
    of: int
    problem: str | None

    def body(self) -> dict[str, Any]:
        """Return plain data for a stage's record and the report."""
        return {
            "check": self.check,
            "columns": list(self.columns),
            "measure": self.measure,
            "found": self.found,
            "of": self.of,
            "leak": self.problem is not None,
        }


def told(findings: Iterable[Finding], split: SplitSpec) -> list[str]:
    """Return what a person is to be told of, where leaks are let through.

    Raises:
        DataError: There is a leak, and split.on_leak is refuse; names all of them.
    """
    problems = [finding.problem for finding in findings if finding.problem is not None]
    if problems and split.on_leak == "refuse":
        raise DataError(
            "\n".join(problems) + "\n  split.on_leak is refuse; warn lets the run go on and says so"
        )
    return problems


# ---- between sides


def between_sides(written: DataFrame, spec: Spec) -> list[Finding]:
    """Return what the sides share. Runs one Spark job: a count by hash, in which nothing is sorted.

    Args:
        written: The curated rows with their column ``split``.
        spec: The pipeline.
    """
    from pyspark.sql import functions as F

    checks = _checks(written, spec)
    hashes = [_hash(columns, nulls=check == "rows") for check, columns in checks]
    side = F.col("split")
    bits = [
        F.when(side == "train", 1).otherwise(0).alias("train"),
        F.when(side == "validation", 1).otherwise(0).alias("validation"),
        F.when(side == "test", 1).otherwise(0).alias("test"),
    ]
    # A reading for each check, of its columns alone: to explode rows costs ten times as much.
    each = reduce(
        lambda one, other: one.unionByName(other),
        [
            written.select(*bits, F.lit(at).alias("check"), hashed.alias("hash"))
            for at, hashed in enumerate(hashes)
        ],
    )
    counted = each.groupBy("check", "hash").agg(
        F.max("train").alias("train"),
        F.sum("validation").alias("validation"),
        F.sum("test").alias("test"),
    )
    # A null hash stands for cells that are missing: they are no value that could be shared.
    train, validation, test = (F.col(name) for name in SIDES)
    several = train + F.signum(validation) + F.signum(test) > 1
    shared = several & F.col("hash").isNotNull()
    late = test + train * validation
    found = counted.groupBy("check").agg(
        F.count_if(shared).alias("values"),
        F.coalesce(F.sum(F.when(shared, late)), F.lit(0)).alias("rows"),
        F.sum(validation + test).alias("of"),
    )
    rows = {row["check"]: row for row in found.collect()}
    return [
        _finding(check, columns, rows[at].asDict(), spec.split)
        for at, (check, columns) in enumerate(checks)
        if at in rows
    ]


def _checks(written: DataFrame, spec: Spec) -> list[tuple[str, tuple[str, ...]]]:
    """Return what to look at: watched columns, all features at once, and the key if it is derived.

    Else no base row has another's key, which merge has made sure of; and a split by hash or group keeps
    equal cells of its columns on one side by its rule.
    """
    split, key = spec.split, tuple(spec.merge.key)
    checks: list[tuple[str, tuple[str, ...]]] = []
    if any(column in spec.merge.derive for column in key):
        checks.append(("key", key))
    checks += [("values", (column,)) for column in split.watch]
    features = [c for group in spec.features for c in getattr(group, "columns", ())]
    chosen = features or [c for c in written.columns if c not in (*key, spec.label.column, "split")]
    return [*checks, ("rows", tuple(dict.fromkeys(chosen)))]


def _hash(columns: Sequence[str], *, nulls: bool) -> Column:
    """Return a hash of the columns; null where one is null, unless ``nulls`` are values as well."""
    from pyspark.sql import functions as F

    hashed = F.xxhash64(*[F.col(f"`{name}`") for name in columns])
    if nulls:
        # Spark's hash passes over nulls: (1, null) and (null, 1) need something else to differ in.
        return F.xxhash64(hashed, *[F.col(f"`{name}`").isNull() for name in columns])
    whole = F.lit(True)
    for name in columns:
        whole = whole & F.col(f"`{name}`").isNotNull()
    return F.when(whole, hashed)


def _finding(
    check: str, columns: tuple[str, ...], counts: Mapping[str, int], split: SplitSpec
) -> Finding:
    rows, of, values = counts["rows"], counts["of"], counts["values"]
    problem = None
    named = ", ".join(columns)
    if check == "rows" and rows > split.max_shared_rows * of:
        noun = "row" if rows == 1 else "rows"
        problem = (
            f"leak: {rows:,} of {of:,} {noun if of == 1 else 'rows'} of validation and test "
            f"({rows / of:.2%}) equal an earlier side's row in all features, split.max_shared_rows is "
            f"{split.max_shared_rows:.2%}\n"
            "  remove the repeats in merge.where, or keep them together: split.by: group"
        )
    elif check != "rows" and rows:
        noun = "value" if values == 1 else "values"
        problem = (
            f"leak: {values:,} {noun} of {named} on more than one side: {rows:,} of {of:,} rows of "
            "validation and test share theirs with an earlier side\n"
            f"  keep them together: split.by: group, columns: [{named}]; or take it out of split.watch"
        )
    return Finding(
        check=check,
        columns=() if check == "rows" else columns,
        measure="shared_rows",
        found=rows,
        of=of,
        problem=problem,
    )


# ---- one feature and the label


def single_features(
    statistics: Statistics,
    label: LabelRule,
    columns: Sequence[str],
    probes: Sequence[Probe],
    split: SplitSpec,
) -> list[Finding]:
    """Return how well each feature alone tells the label; best first.

    Args:
        statistics: Of the train split.
        label: Fitted.
        columns: The features' columns.
        probes: Of the tasks of the scan; none for a regression.
        split: For the limits.
    """
    found = []
    for column in columns:
        if not isinstance(statistics.columns.get(column), NumericState | CategoryState):
            continue  # of two columns, or of neither numbers nor names
        if label.task == "regression":
            measure, limit = "r2", split.max_single_feature_r2
            value, of = _explained(statistics, label, column)
        else:
            measure, limit = "auc", split.max_single_feature_auc
            value, of = _best_auc(statistics, label, column, probes)
        if value is None:
            continue
        value = round(value, DIGITS)
        problem = _alone(column, measure, value, limit) if value > limit else None
        found.append(
            Finding(
                check="feature",
                columns=(column,),
                measure=measure,
                found=value,
                of=of,
                problem=problem,
            )
        )
    return sorted(found, key=lambda finding: -finding.found)


def _alone(column: str, measure: str, value: float, limit: float) -> str:
    what = (
        f"ranks the labels with an AUC of {value:.4f}"
        if measure == "auc"
        else f"explains {value:.2%} of the label's variance"
    )
    return (
        f"leak: feature {column!r} alone {what}, split.max_single_feature_{measure} is {limit:g}\n"
        "  leave it out of features if it is known only once the label is; else raise the limit"
    )


def _best_auc(
    statistics: Statistics, label: LabelRule, column: str, probes: Sequence[Probe]
) -> tuple[float | None, int]:
    """Return the largest AUC of a column, and the rows it was measured on."""
    found = [each[column] for each in probes if column in each]
    sums = np.zeros((3, max((each.shape[1] for each in found), default=1), 4))
    for each in found:
        sums[:, : each.shape[1]] += each
    enough = (sums[..., 2] >= LEAST_ROWS) & (sums[..., 3] >= LEAST_ROWS)
    aucs = np.divide(sums[..., 0], sums[..., 1], out=np.full(enough.shape, 0.5), where=enough)
    # A small number may stand for the class as well as a large one; of categories, shares have a direction.
    for way in (0, 2):
        aucs[way] = np.maximum(aucs[way], 1 - aucs[way])
    # Of values that few rows have, it is not the values that tell: their absence would.
    rows = sums[..., 2] + sums[..., 3]
    aucs[0] = np.where(rows[0] * 2 >= rows.max(initial=0), aucs[0], 0.5)
    best, of = float(aucs.max(initial=0.5)), int(rows.max(initial=0))
    state = statistics.columns.get(column)
    if isinstance(state, CategoryState) and label.task == "binary":
        totals = class_rows(statistics, label)
        if min(totals) >= LEAST_ROWS:
            rows_, sums_ = _with_rest(state, sum(totals), totals[1])
            best, of = max(best, category_auc(rows_, sums_)), sum(totals)
    return (best, of) if of else (None, 0)


def _with_rest(state: CategoryState, rows: float, total: float) -> tuple[Floats, Floats]:
    """Return rows and label sums of each category, and of all other cells as one more."""
    counts, sums = state.label_rows.astype(np.float64), state.label_sums
    rest, rest_sum = rows - counts.sum(), total - sums.sum()
    return np.append(counts, max(rest, 0.0)), np.append(sums, rest_sum if rest > 0 else 0.0)


def _explained(statistics: Statistics, label: LabelRule, column: str) -> tuple[float | None, int]:
    """Return the share of the label's variance that a column explains, and the rows measured."""
    state, truth = statistics.columns.get(column), statistics.columns[label.column]
    if isinstance(state, NumericState):
        correlation = statistics.label_correlation(column)
        return (None if correlation is None else correlation**2), state.moments.count
    if not isinstance(state, CategoryState) or not isinstance(truth, NumericState):
        return None, 0
    moments = truth.moments
    rows, sums = _with_rest(state, moments.count, moments.mean * moments.count)
    rows, sums = rows[rows > 0], sums[rows > 0]
    free = moments.count - len(rows)
    if free <= 0 or not moments.m2 > 0:
        return None, 0
    between = float((rows * (sums / rows - moments.mean) ** 2).sum())
    left = max(0.0, 1 - between / moments.m2) * (moments.count - 1) / free
    return max(0.0, 1 - left), moments.count
