"""Which features are left out of the plan, and why: what the spec's select and max_missing_share ask.

Everything here looks at the statistics of the train split, and at no row.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from penstock.columns.boolean import label_means, rows_of
from penstock.columns.numeric import imputed
from penstock.errors import DataError, PenstockError
from penstock.spec import BooleanFeatures, InteractionFeatures, NumericFeatures, SelectSpec, Spec
from penstock.specmodel import Presence
from penstock.states import CategoryState
from penstock.statistics import Statistics

__all__ = ["Dropped", "excess", "orphans", "unselected"]

Features = Sequence[tuple[str, Any]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Dropped:
    """A feature that the plan leaves out.

    Attributes:
        name: Its column, or what an interaction is called.
        reason: In words.
    """

    name: str
    reason: str


def excess(
    statistics: Statistics, features: Features, problems: list[PenstockError]
) -> list[Dropped]:
    """Return the features with too many missing cells to keep; add to ``problems`` the refused ones."""
    dropped = []
    for name, rule in features:
        state = statistics.columns[name]
        if not isinstance(rule, Presence) or not state.rows:
            continue
        share = state.missing / state.rows
        if share <= rule.max_missing_share:
            continue
        found = f"{state.missing:,} of {state.rows:,} rows of the train split are missing"
        if rule.on_excess == "drop":
            reason = f"{found}, more than max_missing_share {rule.max_missing_share:g}"
            dropped.append(Dropped(name=name, reason=reason))
            continue
        problems.append(
            DataError(
                f"column {name!r}: {found}, a share of {share:.4g}, expected at most max_missing_share "
                f"{rule.max_missing_share:g}\n"
                "  set on_excess: drop to leave it out, raise max_missing_share, or mend its source"
            )
        )
    return dropped


def unselected(statistics: Statistics, spec: Spec, features: Features) -> list[Dropped]:
    """Return the features that ``spec.select`` leaves out, each with the first reason that holds.

    Args:
        statistics: Of the train split.
        spec: The pipeline.
        features: Columns with their rules; all can be fitted.
    """
    select, dropped = spec.select, []
    for name, rule in features:
        reason = _variance(name, rule, statistics, select)
        reason = reason or _correlation(name, rule, statistics, select)
        if reason:
            dropped.append(Dropped(name=name, reason=reason))
    gone = {each.name for each in dropped}
    if select.drop_duplicates:
        dropped += _duplicates(statistics, [each for each in features if each[0] not in gone])
    return dropped


def orphans(spec: Spec, gone: Mapping[str, str]) -> list[Dropped]:
    """Return the interactions that lost a part; ``gone`` has the reason of each feature left out."""
    return [
        Dropped(name=rule.label, reason=f"its part {lost[0]!r} is left out")
        for rule in spec.features
        if isinstance(rule, InteractionFeatures) and (lost := [n for n in rule.of if n in gone])
    ]


def _variance(name: str, rule: Any, statistics: Statistics, select: SelectSpec) -> str:
    """Return why a column varies too little; empty if it does not."""
    if select.min_variance is None:
        return ""
    if isinstance(rule, NumericFeatures):
        sample = imputed(name, rule, statistics)
        variance = 0.0 if sample.constant is not None else sample.moments.variance
    elif isinstance(rule, BooleanFeatures):
        yes, no, missing = _booleans(name, rule, statistics)
        filled = missing if rule.impute != "refuse" else 0.0
        value = bool(rule.fill_value) if rule.impute == "constant" else yes > no
        share = (yes + filled * value) / max(yes + no + filled, 1.0)
        variance = share * (1 - share)
    else:
        return ""
    if variance > select.min_variance:
        return ""
    return f"its variance is {variance:.4g}, not above select.min_variance {select.min_variance:g}"


def _correlation(name: str, rule: Any, statistics: Statistics, select: SelectSpec) -> str:
    """Return why a column says too little of the label; empty if it does not."""
    if select.min_label_correlation is None:
        return ""
    if isinstance(rule, NumericFeatures):
        found = statistics.label_correlation(name)
    elif isinstance(rule, BooleanFeatures):
        found = _boolean_correlation(name, rule, statistics)
    else:
        return ""
    if found is not None and abs(found) >= select.min_label_correlation:
        return ""
    shown = "undefined" if found is None else f"{found:.4g}"
    least = f"select.min_label_correlation {select.min_label_correlation:g}"
    return f"its correlation with the label is {shown}, nearer to 0 than {least}"


def _booleans(
    name: str, rule: BooleanFeatures, statistics: Statistics
) -> tuple[float, float, float]:
    state = statistics.columns[name]
    return rows_of(state, rule) if isinstance(state, CategoryState) else (0.0, 0.0, 0.0)


def _boolean_correlation(name: str, rule: BooleanFeatures, statistics: Statistics) -> float | None:
    """Return the correlation of 0 and 1 with the label; about, if some cells are missing."""
    state, moments = statistics.columns[name], statistics.comoments
    if not isinstance(state, CategoryState) or statistics.label is None:
        return None
    (true, true_sum), (false, false_sum) = label_means(state, rule)
    if not true or not false or not moments.count[0, 0]:
        return None
    deviation = math.sqrt(max(float(moments.m2_i[0, 0]), 0.0) / float(moments.count[0, 0]))
    if not deviation:
        return None
    share = true / (true + false)
    between = true_sum / true - false_sum / false
    return max(-1.0, min(1.0, between * math.sqrt(share * (1 - share)) / deviation))


def _duplicates(statistics: Statistics, features: Features) -> list[Dropped]:
    """Return the columns that equal one before them, under the same rule."""
    first: dict[tuple[int, str], str] = {}
    dropped = []
    for name, rule in features:
        fingerprint = statistics.fingerprints.get(name)
        if fingerprint is None:
            continue
        key = (fingerprint, rule.model_dump_json(exclude={"columns"}))
        if key in first:
            dropped.append(
                Dropped(name=name, reason=f"all its cells equal those of {first[key]!r}")
            )
        else:
            first[key] = name
    return dropped
