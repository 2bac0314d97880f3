"""What replaces a missing cell: a null, or NaN. Learned from the train split's statistics alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from penstock.errors import DataError
from penstock.sketch import EXACT_VALUES, Moments
from penstock.spec import CategoricalFeatures, NumericFeatures
from penstock.states import CategoryState, NumericState

__all__ = ["Fill", "categorical_fill", "imputed_moments", "numeric_fill"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Fill:
    """What replaces a missing cell of one column.

    Attributes:
        rule: As the spec names it.
        value: The replacement; None where the rule is ``refuse``.
        learned: How the value came about, for people.
        missing_rows: Of the train split.
        missing_share: Of the train split's rows, 0.0 to 1.0.
        indicator: Whether a column of 0 and 1 says where cells were missing.
    """

    rule: str
    value: float | str | None
    learned: str
    missing_rows: int
    missing_share: float
    indicator: bool


def numeric_fill(state: NumericState, rule: NumericFeatures) -> Fill:
    """Return what replaces a missing number.

    Raises:
        DataError: Nothing can be learned: every row is missing, or there is no exact mode; or
            the rule refuses missing cells and there are some.
    """
    present = state.rows - state.missing
    if rule.impute == "refuse":
        return _fill(rule, state, None, _refused(state, rule))
    if rule.impute == "constant" and rule.fill_value is not None:
        return _fill(rule, state, float(rule.fill_value), "given in the spec")
    if not state.moments.count:
        raise _nothing_to_learn(state, rule.impute, "set impute: constant and fill_value")
    of = f"{present:,} values"
    if rule.impute == "mean":
        return _fill(rule, state, state.moments.mean, f"mean of {of}")
    if rule.impute == "median":
        error = state.sketch.relative_error
        within = f", within a relative 2^{int(math.log2(error))}" if error else ""
        return _fill(rule, state, state.quantile(0.5), f"median of {of}{within}")
    if not state.distinct_is_exact:
        raise DataError(
            f"column {state.name!r}: impute is 'most_frequent', and the train split has about "
            f"{state.distinct:,} distinct values, expected at most {EXACT_VALUES:,}\n"
            "  set impute: median or mean on it"
        )
    # argmax gives the first of equals: the smallest value.
    at = int(np.argmax(state.sketch.counts))
    share = f"{int(state.sketch.counts[at]):,} of {of}"
    return _fill(rule, state, float(state.sketch.keys[at]), f"most frequent: {share}")


def categorical_fill(state: CategoryState, rule: CategoricalFeatures) -> Fill:
    """Return what replaces a missing category.

    Raises:
        DataError: Every row is missing, so none is the most frequent; or the rule refuses
            missing cells and there are some.
    """
    if rule.impute == "refuse":
        return _fill(rule, state, None, _refused(state, rule))
    if rule.impute == "constant":
        return _fill(rule, state, rule.fill_value, "given in the spec")
    if not state.entries:
        raise _nothing_to_learn(state, rule.impute, "set impute: constant")
    # argmax gives the first of equals: the first by name.
    at = int(np.argmax(state.counts))
    bound = "" if state.distinct_is_exact else "at least "
    share = f"{bound}{int(state.counts[at]):,} of {state.rows - state.missing:,} values"
    return _fill(rule, state, str(state.values[at]), f"most frequent: {share}")


def imputed_moments(moments: Moments, missing_rows: int, value: float) -> Moments:
    """Return the moments of a column after ``missing_rows`` cells became ``value``.

    >>> imputed_moments(Moments(count=2, mean=1.0, m2=2.0), 2, 4.0)
    Moments(count=4, mean=2.5, m2=11.0)
    """
    return moments.merge(Moments(count=missing_rows, mean=value, m2=0.0))


def _fill(
    rule: NumericFeatures | CategoricalFeatures,
    state: NumericState | CategoryState,
    value: float | str | None,
    learned: str,
) -> Fill:
    return Fill(
        rule=rule.impute,
        value=value,
        learned=learned,
        missing_rows=state.missing,
        missing_share=state.missing / state.rows if state.rows else 0.0,
        indicator=rule.indicator and state.missing > 0 and rule.impute != "refuse",
    )


def _refused(
    state: NumericState | CategoryState, rule: NumericFeatures | CategoricalFeatures
) -> str:
    """Return what to say of a column without missing cells; raise if it has some."""
    if state.missing:
        raise DataError(
            f"column {state.name!r}: {state.missing:,} of {state.rows:,} rows of the train split are "
            "missing, expected none, as impute is 'refuse'\n"
            "  choose another impute rule for it, or filter those rows in merge.where"
        )
    return "no cell of the train split is missing"


def _nothing_to_learn(state: NumericState | CategoryState, impute: str, remedy: str) -> DataError:
    found = (
        "infinite or missing" if isinstance(state, NumericState) and state.infinities else "missing"
    )
    return DataError(
        f"column {state.name!r}: all {state.rows:,} rows of the train split are {found}, expected "
        f"some values to learn impute: {impute} from\n"
        f"  leave it out of features, or {remedy}"
    )
