"""Rules for features that come from numbers, times, booleans and vectors; and what is left out."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from penstock.specmodel import Column, Model, Presence

__all__ = [
    "BooleanFeatures",
    "DatetimeFeatures",
    "InteractionFeatures",
    "NumericFeatures",
    "Part",
    "SelectSpec",
    "VectorFeatures",
]

Part = Literal["year", "month", "day", "weekday", "dayofyear", "hour", "minute", "elapsed_days"]
CyclicPart = Literal["month", "day", "weekday", "dayofyear", "hour", "minute"]


class NumericFeatures(Presence):
    """Numbers, dates excluded. Booleans count as 0 and 1."""

    kind: Literal["numeric"]
    columns: tuple[Column, ...] = Field(min_length=1)
    missing_values: tuple[float, ...] = Field(
        default=(), description="Numbers that mean: missing, as -999."
    )
    impute: Literal[
        "median", "mean", "most_frequent", "constant", "by_group", "carry_over", "refuse"
    ] = Field(
        default="median",
        description="What replaces a null or NaN; learned from the train split alone.",
    )
    fill_value: float | None = Field(
        default=None, description="For impute: constant, and fallback: constant."
    )
    group_by: Column | None = Field(
        default=None, description="For impute: by_group. Column whose groups have a value each."
    )
    group_statistic: Literal["median", "mean"] = Field(
        default="median",
        description="For impute: by_group. Of the group; of all rows where the group is unknown or small.",
    )
    min_group_rows: int = Field(
        default=20,
        ge=1,
        description="For impute: by_group. A group with fewer values takes the value of all rows.",
    )
    carry_from: Column | None = Field(
        default=None,
        description="For impute: carry_over. Column whose number stands where this one is missing.",
    )
    fallback: Literal["median", "mean", "constant", "refuse"] = Field(
        default="median",
        description="For impute: carry_over. What to do where both columns are missing.",
    )
    indicator: bool = Field(
        default=True,
        description="Add <column>__missing (0/1) where the train split has missing cells.",
    )
    clip: tuple[float, float] | None = Field(
        default=None,
        description="Before scaling, bring values beyond these quantiles (as [0.01, 0.99]) to them.",
    )
    scale: Literal["standard", "min_max", "robust", "log1p", "bins", "none"] = Field(
        default="standard",
        description=(
            "Of the imputed train split. standard: (x - mean) / standard deviation. min_max: 0 to 1. "
            "robust: (x - median) / (third - first quartile). log1p: log(1 + x), then standard. "
            "bins: see bins. none: as it is."
        ),
    )
    bins: int | tuple[float, ...] = Field(
        default=5,
        description=(
            "For scale: bins. How many, of about equal numbers of rows; or the edges between them, "
            "ascending: a value on an edge belongs to the bin above it."
        ),
    )
    bins_output: Literal["one_hot", "ordinal"] = Field(
        default="one_hot", description="For scale: bins. A column of 0/1 for each, or their number."
    )

    @property
    def reads(self) -> tuple[str, ...]:
        """Columns that a feature of this rule reads besides its own."""
        group = self.group_by if self.impute == "by_group" else None
        carry = self.carry_from if self.impute == "carry_over" else None
        return tuple(column for column in (group, carry) if column is not None)


class BooleanFeatures(Presence):
    """Yes or no: booleans, the numbers 0 and 1, or declared values. One output, 0 or 1."""

    kind: Literal["boolean"]
    columns: tuple[Column, ...] = Field(min_length=1)
    true_values: tuple[str | int | float | bool, ...] = Field(
        default=(),
        description="Values that mean yes, as [yes, y]; needed for texts, with false_values.",
    )
    false_values: tuple[str | int | float | bool, ...] = Field(
        default=(), description="Values that mean no."
    )
    missing_values: tuple[str | int | float | bool, ...] = Field(
        default=(), description="Values that mean: missing, as unknown."
    )
    impute: Literal["most_frequent", "constant", "refuse"] = Field(
        default="most_frequent", description="What replaces a missing cell."
    )
    fill_value: bool | None = Field(default=None, description="For impute: constant.")
    indicator: bool = Field(
        default=True,
        description="Add <column>__missing (0/1) where the train split has missing cells.",
    )


class DatetimeFeatures(Presence):
    """Dates and timestamps. Every part is of UTC; a timestamp without a zone counts as UTC."""

    kind: Literal["datetime"]
    columns: tuple[Column, ...] = Field(min_length=1)
    parts: tuple[Part, ...] = Field(
        default=("elapsed_days",),
        description=(
            "One output each. weekday: 0 is Monday. dayofyear: from 1. elapsed_days: since the earliest "
            "moment of the train split, with fractions."
        ),
    )
    cyclic: tuple[CyclicPart, ...] = Field(
        default=("month", "weekday"),
        description="Two outputs each, sine and cosine of the part's place in its period.",
    )
    impute: Literal["median", "constant", "refuse"] = Field(
        default="median", description="The moment that replaces a missing one."
    )
    fill_value: datetime | None = Field(
        default=None, description="For impute: constant; UTC unless it says otherwise."
    )
    indicator: bool = Field(
        default=True,
        description="Add <column>__missing (0/1) where the train split has missing cells.",
    )
    scale: Literal["min_max", "none"] = Field(
        default="min_max",
        description=(
            "min_max: each part becomes 0 to 1 over its period; year and elapsed_days over those of the "
            "train split. none: as it is."
        ),
    )


class VectorFeatures(Presence):
    """Lists of numbers of one length, or Spark ml vectors: an output for each element."""

    kind: Literal["vector"]
    columns: tuple[Column, ...] = Field(min_length=1)
    impute: Literal["zeros", "refuse"] = Field(
        default="refuse", description="What a missing vector becomes."
    )
    indicator: bool = Field(
        default=True,
        description="Add <column>__missing (0/1) where the train split has missing vectors.",
    )


class InteractionFeatures(Model):
    """The product of features that other groups make; of their outputs, each with each.

    Indicators of missing cells take no part. Products come after all other columns.
    """

    kind: Literal["interaction"]
    of: tuple[Column, ...] = Field(
        min_length=2, description="Columns of other groups: numeric, boolean or categorical."
    )
    name: Column | None = Field(
        default=None, description="What the product is called. Unset: <column>*<column>."
    )

    @property
    def columns(self) -> tuple[str, ...]:
        """No column of the table: those of ``of`` have their own rules."""
        return ()

    @property
    def label(self) -> str:
        """What the product is called."""
        return self.name or "*".join(self.of)


class SelectSpec(Model):
    """Which features are left out of the plan, as the train split has them; each with its reason."""

    min_variance: float | None = Field(
        default=None,
        ge=0,
        description=(
            "Leave out numeric and boolean columns whose variance, imputed and before scaling, is at or "
            "below this; 0: those with one value."
        ),
    )
    min_label_correlation: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description=(
            "Leave out numeric and boolean columns whose correlation with the label is nearer to 0. "
            "Not for multiclass."
        ),
    )
    drop_duplicates: bool = Field(
        default=False,
        description="Leave out a column whose cells all equal those of one before it, under the same rule.",
    )
