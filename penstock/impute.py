"""What replaces a missing cell: a null, or NaN. Learned from the train split's statistics alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np

from penstock.cells import names_array, taken
from penstock.errors import DataError
from penstock.groups import GroupState
from penstock.sketch import EXACT_VALUES, Floats, Ints, Moments
from penstock.spec import CategoricalFeatures, NumericFeatures
from penstock.states import CategoryState, ColumnState, NumericState

__all__ = [
    "Carry",
    "Fill",
    "GroupFill",
    "categorical_fill",
    "fill_of",
    "group_fill",
    "imputed_moments",
    "nothing_to_learn",
    "numeric_fill",
    "refuse_missing",
]


class ImputeRule(Protocol):
    """What all rules with imputation have."""

    @property
    def impute(self) -> str:
        """As the spec names it."""

    @property
    def indicator(self) -> bool:
        """Whether an indicator is wanted."""


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


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupFill:
    """What replaces a missing number, by the group of its row in another column.

    Attributes:
        column: Name of the other column.
        type: Text of its Arrow type when it was fitted.
        values: Group and replacement, by the group's name; all other rows take the column's ``Fill``.
        learned: How they came about, for people.
    """

    column: str
    type: str
    values: tuple[tuple[str, float], ...]
    learned: str

    def known(self) -> Any:
        """Return the groups as an Arrow large_string array."""
        return names_array([group for group, _ in self.values])

    def table(self, otherwise: float) -> Floats:
        """Return the replacement of each group, and twice that of other rows."""
        return np.array([value for _, value in self.values] + [otherwise, otherwise])

    def entry(self) -> dict[str, Any]:
        """Return what plan.json says of it."""
        return asdict(self) | {"values": [list(pair) for pair in self.values]}

    @classmethod
    def from_entry(cls, entry: Mapping[str, Any]) -> GroupFill:
        """Return the replacements that plan.json describes."""
        values = tuple((group, float(value)) for group, value in entry["values"])
        return cls(**{**entry, "values": values})


@dataclass(frozen=True, kw_only=True, slots=True)
class Carry:
    """The column whose number stands where another one's is missing.

    Attributes:
        column: Its name.
        rows: Rows of the train split that took its number.
        both_missing: Rows where it was missing as well; they take the column's ``Fill``.
    """

    column: str
    rows: int
    both_missing: int


def numeric_fill(
    state: NumericState, rule: NumericFeatures, *, carried: NumericState | None = None
) -> Fill:
    """Return what replaces a missing number: by_group and carry_over have this as the last resort.

    Args:
        state: Of the column.
        rule: Of the spec.
        carried: With carry_over, the column after another one filled it.

    Raises:
        DataError: Nothing can be learned: every row is missing, or there is no exact mode; or
            the rule refuses missing cells and there are some.
    """
    how, learn = _how(rule), carried or state
    if how == "refuse":
        option = "fallback" if rule.impute == "carry_over" else "impute"
        return fill_of(rule, state, None, refuse_missing(learn, option=option))
    if how == "constant" and rule.fill_value is not None:
        return fill_of(rule, state, float(rule.fill_value), "given in the spec")
    if not learn.moments.count:
        raise nothing_to_learn(learn, rule.impute, "set impute: constant and fill_value")
    of = f"{learn.rows - learn.missing:,} values"
    if how == "mean":
        return fill_of(rule, state, learn.moments.mean, f"mean of {of}")
    if how == "median":
        error = learn.sketch.relative_error
        within = f", within a relative 2^{int(math.log2(error))}" if error else ""
        return fill_of(rule, state, learn.quantile(0.5), f"median of {of}{within}")
    if not state.distinct_is_exact:
        raise DataError(
            f"column {state.name!r}: impute is 'most_frequent', and the train split has about "
            f"{state.distinct:,} distinct values, expected at most {EXACT_VALUES:,}\n"
            "  set impute: median or mean on it"
        )
    # argmax gives the first of equals: the smallest value.
    at = int(np.argmax(state.sketch.counts))
    share = f"{int(state.sketch.counts[at]):,} of {of}"
    return fill_of(rule, state, float(state.sketch.keys[at]), f"most frequent: {share}")


def _how(rule: NumericFeatures) -> str:
    """Return the rule for cells that neither a group nor another column fills."""
    if rule.impute == "by_group":
        return rule.group_statistic
    return rule.fallback if rule.impute == "carry_over" else rule.impute


def group_fill(
    state: GroupState, rule: NumericFeatures, *, otherwise: float
) -> tuple[GroupFill, Floats, Ints]:
    """Return the replacements by group; and all replacements (k,) of train rows and their rows (k,).

    Args:
        state: Of the column and the one it is grouped by.
        rule: Of the spec.
        otherwise: The column's replacement in rows of no group, or of a small one. The last of the
            returned replacements is this; its rows are those of the groups here alone.
    """
    values = state.medians() if rule.group_statistic == "median" else state.means()
    large = state.counts >= rule.min_group_rows
    kept = np.flatnonzero(large)
    names = taken(state.groups, kept).to_pylist()
    pairs = tuple(zip(names, values[kept].tolist(), strict=True))
    learned = f"{rule.group_statistic} of each of {len(kept):,} groups"
    if rule.group_statistic == "median" and state.relative_error:
        learned += f", within a relative 2^{int(math.log2(state.relative_error))}"
    if small := len(state.groups) - len(kept):
        learned += f"; {small:,} groups have less than {rule.min_group_rows:,} values"
    if not state.distinct_is_exact:
        learned += f"; of more groups, all but one in {2**state.halvings:,} are left out"
    fill = GroupFill(
        column=rule.group_by or "", type=state.group_type, values=pairs, learned=learned
    )
    fills = np.append(values[kept], otherwise)
    return fill, fills, np.append(state.holes[kept], state.holes[~large].sum())


def categorical_fill(
    state: CategoryState, rule: CategoricalFeatures, *, carried: CategoryState | None = None
) -> Fill:
    """Return what replaces a missing category: carry_over has this as the last resort.

    Args:
        state: Of the column.
        rule: Of the spec.
        carried: With carry_over, the column after another one filled it.

    Raises:
        DataError: Every row is missing, so none is the most frequent; or the rule refuses
            missing cells and there are some.
    """
    option = "fallback" if rule.impute == "carry_over" else "impute"
    how, learn = getattr(rule, option), carried or state
    if how == "refuse":
        return fill_of(rule, state, None, refuse_missing(learn, option=option))
    if how == "constant":
        return fill_of(rule, state, rule.fill_value, "given in the spec")
    if not learn.entries:
        raise nothing_to_learn(learn, how, f"set {option}: constant")
    # argmax gives the first of equals: the first by name.
    at = int(np.argmax(learn.counts))
    bound = "" if learn.distinct_is_exact else "at least "
    share = f"{bound}{int(learn.counts[at]):,} of {learn.rows - learn.missing:,} values"
    return fill_of(rule, state, str(learn.values[at]), f"most frequent: {share}")


def imputed_moments(moments: Moments, missing_rows: int, value: float) -> Moments:
    """Return the moments of a column after ``missing_rows`` cells became ``value``.

    >>> imputed_moments(Moments(count=2, mean=1.0, m2=2.0), 2, 4.0)
    Moments(count=4, mean=2.5, m2=11.0)
    """
    return moments.merge(Moments(count=missing_rows, mean=value, m2=0.0))


def fill_of(rule: ImputeRule, state: ColumnState, value: float | str | None, learned: str) -> Fill:
    """Return ``value`` as the replacement, with how much was missing."""
    return Fill(
        rule=rule.impute,
        value=value,
        learned=learned,
        missing_rows=state.missing,
        missing_share=state.missing / state.rows if state.rows else 0.0,
        indicator=rule.indicator and state.missing > 0 and rule.impute != "refuse",
    )


def refuse_missing(state: ColumnState, *, option: str = "impute") -> str:
    """Return what to say of a column without missing cells.

    Args:
        state: Of the column.
        option: Which of its options is ``refuse``.

    Raises:
        DataError: Some are missing.
    """
    if state.missing:
        raise DataError(
            f"column {state.name!r}: {state.missing:,} of {state.rows:,} rows of the train split are "
            f"missing, expected none, as {option} is 'refuse'\n"
            f"  choose another {option} rule for it, or filter those rows in merge.where"
        )
    return "no cell of the train split is missing"


def nothing_to_learn(state: ColumnState, impute: str, remedy: str) -> DataError:
    """Return the error that no row of a column has a value to learn from."""
    found = (
        "infinite or missing" if isinstance(state, NumericState) and state.infinities else "missing"
    )
    return DataError(
        f"column {state.name!r}: all {state.rows:,} rows of the train split are {found}, expected "
        f"some values to learn impute: {impute} from\n"
        f"  leave it out of features, or {remedy}"
    )
