"""The parts of pipeline.yaml that say which rows go where, and how often: split and balance."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from penstock.specmodel import Column, Model

__all__ = ["BalanceSpec", "Oversample", "SplitSpec"]


class SplitSpec(Model):
    """Row -> train | validation | test: the same row of the same table always lands on the same side."""

    by: Literal["hash", "group", "time", "stratified"] = Field(
        default="hash",
        description="hash: of the key. group: rows that share columns stay together. time: train before "
        "validation before test. stratified: the shares hold within each class of a column.",
    )
    columns: tuple[Column, ...] | None = Field(
        default=None,
        description="hash: hashed columns; unset: merge.key. group: columns that name a group, such as a customer.",
    )
    column: Column | None = Field(
        default=None,
        description="time: a date, timestamp or whole number. stratified: a column of classes; unset: the label.",
    )
    train: float = Field(default=0.8, gt=0, lt=1, description="Share of the rows.")
    validation: float = Field(default=0.1, gt=0, lt=1, description="Share of the rows.")
    test: float = Field(default=0.1, gt=0, lt=1, description="Share of the rows.")
    boundaries: tuple[str | int, ...] | None = Field(
        default=None,
        description="time: the first value of validation and the first of test, instead of shares; "
        "times without a zone are UTC. Added rows then move no row.",
    )
    gap: str | int | None = Field(
        default=None,
        description="time: rows less than this before a boundary go to no side, as '7 days' or '12 hours'; "
        "of a whole-number column, a number.",
    )
    nulls: Literal["refuse", "own"] = Field(
        default="refuse",
        description="group: a row with a null in its group columns is refused, or is a group of its own.",
    )
    salt: str = Field(
        default="", description="Change it for another split of the same rows; not of time."
    )
    watch: tuple[Column, ...] = Field(
        default=(),
        description="Columns, such as a customer, whose values should not be on two sides: told when one is.",
    )
    on_leak: Literal["warn", "refuse"] = Field(
        default="warn",
        description="When a side knows of another, or one feature alone tells the label: say so, or fail.",
    )
    max_shared_rows: float = Field(
        default=0.01,
        ge=0,
        le=1,
        description="A leak: more than this share of validation and test equals earlier rows in all features.",
    )
    max_single_feature_auc: float = Field(
        default=0.99,
        gt=0.5,
        le=1,
        description="A leak: one feature alone ranks the labels with a larger AUC (classes). 1: none is.",
    )
    max_single_feature_r2: float = Field(
        default=0.99,
        gt=0,
        le=1,
        description="A leak: one feature alone explains a larger share of the label's variance (regression). 1: none is.",
    )


def _class_name(value: object) -> object:
    """Return a class as text: YAML reads the keys true and 1 as a boolean and a number."""
    return str(value).lower() if isinstance(value, bool) else value


ClassName = Annotated[str, BeforeValidator(_class_name), Field(coerce_numbers_to_str=True)]


class Oversample(Model):
    """Rows of small classes of the train split are written more than once."""

    to: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="Repeat the rows of a class until it has about this share of the rows of the largest.",
    )
    times: dict[ClassName, float] = Field(
        default_factory=dict,
        description="Class -> how often its rows are written, at least 1; of a fraction, some rows once more.",
    )


class BalanceSpec(Model):
    """What is done about classes of different sizes; for binary and multiclass tasks."""

    class_weights: bool = Field(
        default=False,
        description="Weigh rows by rows / (classes x rows of the class), by the hyperparameter that each algorithm has for it.",
    )
    oversample: Oversample | None = Field(
        default=None, description="Write rows of small classes more often, on the train split only."
    )
