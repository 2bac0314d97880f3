"""Statistics x spec -> FeaturePlan. Pure: merged statistics of several days make a plan as well.

Nothing is encoded before the width is known and allowed, and all problems of all columns are
reported at once.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from penstock.columns import KINDS, PlanColumn
from penstock.columns.interaction import InteractionColumn, interaction
from penstock.encode import LabelRule
from penstock.errors import DataError, InputError, PenstockError, listed
from penstock.plan import FeaturePlan
from penstock.selection import Dropped, excess, orphans, unselected
from penstock.sketch import Floats
from penstock.spec import (
    BooleanFeatures,
    CategoricalFeatures,
    DatetimeFeatures,
    InteractionFeatures,
    NumericFeatures,
    Spec,
    TextFeatures,
    VectorFeatures,
)
from penstock.states import CategoryState, ColumnState, NumericState
from penstock.statistics import Statistics

__all__ = ["Rule", "build_plan", "features", "raise_all", "spec_classes"]

Rule = (
    NumericFeatures
    | CategoricalFeatures
    | TextFeatures
    | BooleanFeatures
    | DatetimeFeatures
    | VectorFeatures
)
SHOWN = 5


def features(spec: Spec) -> Iterator[tuple[str, Rule]]:
    """Yield every feature column with its rule, in the order of the spec."""
    for rule in spec.features:
        if not isinstance(rule, InteractionFeatures):
            for column in rule.columns:
                yield column, rule


def spec_classes(spec: Spec) -> tuple[str | int | float | bool, ...] | None:
    """Return the classes as far as the spec tells them: binary has 0 and 1 unless it names others."""
    return (0, 1) if spec.task == "binary" and spec.label.classes is None else spec.label.classes


def raise_all(problems: Sequence[PenstockError]) -> None:
    """Raise the only problem, or all of them as one error; nothing without any."""
    if len(problems) == 1:
        raise problems[0]
    if problems:
        kind = DataError if all(isinstance(p, DataError) for p in problems) else InputError
        raise kind(f"{len(problems)} problems\n" + "\n".join(str(p) for p in problems))


def build_plan(statistics: Statistics, spec: Spec, *, fitted_on: Mapping[str, Any]) -> FeaturePlan:
    """Return the plan that ``spec`` asks for on rows with these statistics.

    Args:
        statistics: Of the train split, with a state for every feature and for the label.
        spec: The pipeline.
        fitted_on: What the plan says of its origin.

    Raises:
        InputError: The matrix would be wider than dataset.max_width, or two outputs share a name.
        DataError: Labels are missing, constant or wrong, or a column breaks its rule; all at once.
    """
    problems: list[PenstockError] = []
    label = _label(statistics, spec, problems)
    columns: list[PlanColumn] = []
    kept = list(features(spec))
    dropped = excess(statistics, kept, problems)
    kept = _without(kept, dropped)
    try:
        _check_width(statistics, spec, kept)
        columns = _columns(statistics, kept, problems)
    except InputError as error:
        problems.append(error)
    raise_all(problems)
    dropped += unselected(statistics, spec, kept)
    columns = _selected(spec, columns, dropped)
    _check_names(columns)
    dense, sparse = _row_bytes(statistics, columns)
    asked = spec.dataset.layout
    smaller = "sparse" if sparse < dense else "dense"
    return FeaturePlan(
        task=spec.task,
        label=label,
        columns=tuple(columns),
        layout="sparse" if "sparse" in (asked, smaller) and asked != "dense" else "dense",
        dense_row_bytes=dense,
        sparse_row_bytes=sparse,
        fitted_on=fitted_on,
        dropped={each.name: each.reason for each in dropped},
    )


def _without(
    kept: Sequence[tuple[str, Rule]], dropped: Sequence[Dropped]
) -> list[tuple[str, Rule]]:
    gone = {each.name for each in dropped}
    return [(name, rule) for name, rule in kept if name not in gone]


def _selected(
    spec: Spec, columns: Sequence[PlanColumn], dropped: list[Dropped]
) -> list[PlanColumn]:
    """Return the columns that are not in ``dropped``, and the products; add those that lost a part.

    Raises:
        DataError: No column is left.
        InputError: The products make the matrix too wide.
    """
    gone = {each.name: each.reason for each in dropped}
    kept = [column for column in columns if column.name not in gone]
    if not kept:
        reasons = "\n".join(f"  {name}: {reason}" for name, reason in gone.items())
        raise DataError(
            f"features: all {len(gone):,} columns are left out of the plan, expected one at least\n"
            f"{reasons}\n  relax select or max_missing_share, or check merge.derive and merge.where"
        )
    lost = orphans(spec, gone)
    dropped += lost
    by_name = {column.name: column for column in columns}
    without = {each.name for each in lost}
    products = [
        interaction(rule, by_name)
        for rule in spec.features
        if isinstance(rule, InteractionFeatures) and rule.label not in without
    ]
    _check_products(spec, sum(len(column.names()) for column in kept), products)
    return [*kept, *products]


def _check_products(spec: Spec, width: int, products: Sequence[InteractionColumn]) -> None:
    limit, whole = spec.dataset.max_width, width + sum(each.width for each in products)
    if whole <= limit or not products:
        return
    widest = max(products, key=lambda each: each.width)
    raise InputError(
        f"features: width would be {whole:,}, dataset.max_width is {limit:,}\n"
        f"  interaction {widest.name!r} alone makes {widest.width:,} columns\n"
        "  set min_frequency or max_categories on its parts, leave it out, or raise dataset.max_width"
    )


def _columns(
    statistics: Statistics, kept: Sequence[tuple[str, Rule]], problems: list[PenstockError]
) -> list[PlanColumn]:
    """Return the fitted columns; add to ``problems`` what is wrong with the others."""
    columns: list[PlanColumn] = []
    for name, rule in kept:
        try:
            columns.append(KINDS[rule.kind].fit(name, rule, statistics))
        except DataError as error:
            problems.append(error)
    return columns


def _label(statistics: Statistics, spec: Spec, problems: list[PenstockError]) -> LabelRule:
    """Return the label rule with its classes; add to ``problems`` what is wrong with the labels."""
    state = statistics.columns[spec.label.column]
    rule = LabelRule(column=state.name, type=state.type, task=spec.task, classes=spec_classes(spec))
    head = f"label column {state.name!r}"
    if state.missing:
        problems.append(
            DataError(
                f"{head}: {state.missing:,} of {state.rows:,} rows of the train split are null, expected "
                f"a label in each\n  {rule.null_remedy()}"
            )
        )
    found = _label_values(state)
    expected = rule.expected()
    if rule.task == "multiclass" and rule.classes is None:
        rule = replace(rule, classes=tuple(range(len(found))))
        expected = "the whole numbers from 0 to the number of classes less one, each at least once"
    if wrong := _wrong_labels(state, rule, found):
        problems.append(
            DataError(
                f"{head}: {wrong}, expected {expected}\n"
                "  list the values in label.classes, mend them in merge.derive, or filter them in "
                "merge.where"
            )
        )
    elif len(found) == 1:
        value, rows = next(iter(found.items()))
        problems.append(
            DataError(
                f"{head}: all {rows:,} labels of the train split are {_shown(value)}, expected at least "
                "two values\n  there is nothing to learn: check merge.derive and merge.where"
            )
        )
    return rule


def _label_values(state: ColumnState) -> dict[float | str, int]:
    """Return rows by value; of numbers with too many values, the middles of the bins."""
    if isinstance(state, NumericState):
        values: list[float | str] = state.sketch.values().tolist()
        return dict(zip(values, state.sketch.counts.tolist(), strict=True)) | (
            {math.inf: state.infinities} if state.infinities else {}
        )
    if isinstance(state, CategoryState):
        return dict(zip(state.values.to_pylist(), state.counts.tolist(), strict=True))
    return {}


def _wrong_labels(
    state: ColumnState, rule: LabelRule, found: Mapping[float | str, int]
) -> str | None:
    """Return what is found instead of labels, in words; None when all of them are valid."""
    allowed = set(range(len(rule.classes or ()))) if rule.numeric else rule.names().to_pylist()
    if rule.task == "regression":
        largest = float(np.finfo(np.float32).max)
        wrong = {v: n for v, n in found.items() if abs(float(v)) > largest}
    elif not state.distinct_is_exact:
        return f"the train split has about {state.distinct:,} distinct values"
    else:
        wrong = {v: n for v, n in found.items() if v not in allowed}
    if not wrong:
        return None
    most = sorted(wrong.items(), key=lambda item: -item[1])
    shown = ", ".join(f"{_shown(value)} ({rows:,}x)" for value, rows in most[:SHOWN])
    return (
        f"{sum(wrong.values()):,} of {state.rows:,} rows of the train split hold {shown}"
        f"{f' and {len(wrong) - SHOWN:,} more values' if len(wrong) > SHOWN else ''}"
    )


def _shown(value: float | str) -> str:
    whole = isinstance(value, float) and value.is_integer() and abs(value) < 2**53
    return repr(int(value) if whole else value)


def _check_width(statistics: Statistics, spec: Spec, kept: Sequence[tuple[str, Rule]]) -> None:
    """Raise unless the matrix is narrow enough. Predicts; makes no vocabulary."""
    widths = {name: KINDS[rule.kind].width(name, rule, statistics) for name, rule in kept}
    width, limit = sum(widths.values()), spec.dataset.max_width
    if width <= limit:
        return
    widest = max(widths, key=lambda name: widths[name])
    state, rule = statistics.columns[widest], dict(kept)[widest]
    one_hot = getattr(rule, "encode", None) == "one_hot"
    about = "about " if one_hot and not state.distinct_is_exact else ""
    lines = [f"features: width would be {about}{width:,}, dataset.max_width is {limit:,}"]
    if one_hot:
        lines += [
            f"  column {widest!r} alone makes {about}{widths[widest]:,} columns "
            f"(one_hot of {about}{state.distinct:,} values)",
            "  set min_frequency or max_categories on it, or encode: target, frequency, ordinal or hash; leave "
            "it out, or raise dataset.max_width",
        ]
    elif (buckets := getattr(rule, "buckets", 0)) and widths[widest] >= buckets:
        lines += [
            f"  column {widest!r} alone makes {widths[widest]:,} columns (buckets: {buckets:,})",
            "  set fewer buckets on it, leave it out, or raise dataset.max_width",
        ]
    else:
        lines.append("  leave columns out, or raise dataset.max_width")
    raise InputError("\n".join(lines))


def _check_names(columns: Sequence[PlanColumn]) -> None:
    """Raise if two outputs share a name, as those of column 'a=b' and value 'b' of column 'a'."""
    times = Counter(name for column in columns for name in column.names())
    if twice := [name for name, count in times.items() if count > 1]:
        raise InputError(
            f"features: output columns would share a name: {listed(twice)}\n"
            "  rename a source column, or change the value in merge.derive"
        )


def _row_bytes(statistics: Statistics, columns: Sequence[PlanColumn]) -> tuple[int, float]:
    """Return the bytes of a dense RecordIO record and the expected bytes of a sparse one."""
    filled = np.concatenate([column.filled(statistics) for column in columns])
    width = len(filled)
    key_bytes = _varint_bytes(np.arange(width))
    values = float(4 * filled.sum())
    keys = float((filled * key_bytes).sum())
    shape = float(_varint_bytes(np.array([width]))[0])
    sparse = _record_bytes(_field(values) + _field(keys) + _field(shape))
    dense = _record_bytes(_field(4.0 * width))
    # Frames are padded to 4 bytes; sparse ones by 1.5 on average.
    return 4 * math.ceil(dense / 4), round(sparse + 1.5, 1)


def _record_bytes(features_tensor: float) -> float:
    """Return the bytes of a frame before padding, with one float32 label."""
    entries = [_field(8 + _field(_field(tensor))) for tensor in (features_tensor, _field(4.0))]
    return 8 + sum(entries)


def _field(size: float) -> float:
    """Return the bytes of a length-delimited protobuf field with ``size`` bytes of content."""
    return 1 + float(_varint_bytes(np.array([size]))[0]) + size


def _varint_bytes(values: npt.NDArray[Any]) -> Floats:
    return np.asarray(np.maximum(1.0, np.ceil(np.log2(np.floor(values) + 1) / 7)))
