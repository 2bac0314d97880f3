"""pipeline.yaml as frozen, validated models, and their JSON Schema for editors.

One file describes a pipeline and says nothing of where it runs. ``penstock.specfile`` turns YAML
into these models and reports every problem at once with its line. Every model refuses unknown
keys. Units stand in the names.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from penstock.numericspec import (
    BooleanFeatures,
    DatetimeFeatures,
    InteractionFeatures,
    NumericFeatures,
    SelectSpec,
    VectorFeatures,
)
from penstock.specmodel import Column, Model, Presence
from penstock.splitspec import BalanceSpec, Oversample, SplitSpec

__all__ = [
    "BalanceSpec",
    "BooleanFeatures",
    "CategoricalFeatures",
    "DatasetSpec",
    "DatetimeFeatures",
    "EvaluateSpec",
    "FeatureGroup",
    "InteractionFeatures",
    "Join",
    "LabelSpec",
    "MergeSpec",
    "NumericFeatures",
    "Oversample",
    "SelectSpec",
    "Source",
    "Spec",
    "SplitSpec",
    "Task",
    "TextFeatures",
    "TrainSpec",
    "Type",
    "VectorFeatures",
    "parse_gate",
]

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9_-]*[a-z0-9])?$", max_length=48)]
TableName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=48)]
Sql = Annotated[str, StringConstraints(min_length=1)]
Task = Literal["binary", "multiclass", "regression"]
Type = Literal["string", "int", "bigint", "float", "double", "boolean", "date", "timestamp"]
MOST_GRAMS = 16
VOCABULARIES = ("one_hot", "ordinal", "frequency", "target")
# field -> the encodings that look at it
ENCODE_OPTIONS = {
    "by": ("ordinal",),
    "buckets": ("hash",),
    "signed": ("hash",),
    "smooth": ("target",),
    "folds": ("target",),
    "fold_by": ("target",),
    "min_frequency": VOCABULARIES,
    "max_categories": VOCABULARIES,
    "rare": ("one_hot", "frequency"),
    "unknown": VOCABULARIES,
}
# encoding -> field -> what it may be
ENCODE_RULES = {
    "one_hot": {"unknown": ("rare", "zeros", "refuse")},
    "ordinal": {"unknown": ("rare", "own", "refuse")},
    "frequency": {"unknown": ("rare", "zeros", "refuse")},
    "target": {"unknown": ("rare", "own", "refuse")},
}
Gate = Annotated[str, StringConstraints(pattern=r"^(>=|<=|>|<)\s*-?\d+(\.\d+)?([eE]-?\d+)?$")]


class Source(Model):
    """One raw table: files below a path, as they arrive."""

    path: str = Field(
        description="Folder or file, relative to the root, or a URI. Folders like month=01 become columns."
    )
    format: Literal["csv", "json", "parquet"] = Field(
        description="csv has a header line; json is JSON Lines, one object a line."
    )
    columns: dict[Column, Type] = Field(
        default_factory=dict,
        description="Declared types, in Spark SQL names. Columns left out are inferred from all their values.",
    )
    null_values: tuple[str, ...] = Field(
        default=("",), description="Texts of CSV cells that mean: missing."
    )
    separator: str = Field(default=",", min_length=1, max_length=1, description="CSV only.")
    max_malformed_share: float = Field(
        default=0.01,
        ge=0,
        le=1,
        description="Malformed rows go to quarantine; past this share of the rows (0 to 1) the run fails.",
    )
    derive: dict[Column, Sql] = Field(
        default_factory=dict,
        description="Columns added right after reading: name -> SQL expression.",
    )


class Join(Model):
    """One table joined onto the base. Its columns come out as <source>__<column>."""

    source: str = Field(description="Name of a source.")
    on: str | tuple[str, ...] | dict[str, str] = Field(
        description="Key column, list of them, or a mapping from base column to this source's column."
    )
    expect: Literal["many_to_one", "one_to_one"] = Field(
        default="many_to_one",
        description="many_to_one: the key is unique in this source. one_to_one: in the base as well.",
    )
    latest_by: str | None = Field(
        default=None,
        description="Column whose largest value picks the row when a key repeats. Unset: refuse.",
    )
    columns: tuple[Column, ...] | None = Field(
        default=None, description="Columns to take; unset: all."
    )

    def key_pairs(self) -> tuple[tuple[str, str], ...]:
        """Return ``(base column, source column)`` pairs."""
        if isinstance(self.on, str):
            return ((self.on, self.on),)
        if isinstance(self.on, dict):
            return tuple(self.on.items())
        return tuple((name, name) for name in self.on)


class MergeSpec(Model):
    """raw -> curated: one row per key."""

    base: str = Field(description="Source whose rows are the rows of the result.")
    key: tuple[Column, ...] = Field(
        min_length=1, description="Columns that name one row of the base."
    )
    joins: tuple[Join, ...] = ()
    derive: dict[Column, Sql] = Field(
        default_factory=dict, description="Columns added after the joins: name -> SQL expression."
    )
    where: Sql | None = Field(default=None, description="SQL filter, applied after derive.")
    drop: tuple[Column, ...] = Field(
        default=(), description="Columns that must not reach curated/."
    )
    rows_per_file: int = Field(
        default=125_000,
        ge=1,
        description="Rows that one curated file holds, about; a file is the unit of parallel work.",
    )


class LabelSpec(Model):
    """What is predicted."""

    column: Column
    classes: tuple[str | int | float | bool, ...] | None = Field(
        default=None,
        description="Values in the order of their class numbers. Unset: binary takes 0/1 or booleans, multiclass 0..K-1.",
    )


class CategoricalFeatures(Presence):
    """Texts, codes, booleans: any column whose values are names."""

    kind: Literal["categorical"]
    columns: tuple[Column, ...] = Field(min_length=1)
    impute: Literal["most_frequent", "constant", "refuse"] = "constant"
    fill_value: str = Field(
        default="(missing)", description="For impute: constant; a category of its own."
    )
    indicator: bool = Field(
        default=False,
        description="Add <column>__missing (0/1) where the train split has missing cells.",
    )
    missing_values: tuple[str | int | float | bool, ...] = Field(
        default=(), description="Values that mean: missing, as unknown or -999."
    )
    encode: Literal["one_hot", "ordinal", "frequency", "hash", "target"] = Field(
        default="one_hot",
        description=(
            "one_hot: a column of 0/1 for each category. ordinal: its number. frequency: its share of "
            "the train rows. hash: one of so many buckets. target: the mean label of its train rows, "
            "smoothed; each train row is encoded without the labels of its own fold."
        ),
    )
    by: Literal["frequency", "name"] = Field(
        default="frequency",
        description="For encode: ordinal. Number 0 is the most frequent category, or the first by name.",
    )
    buckets: int = Field(
        default=256, ge=1, description="For encode: hash. XXH64 of the value, modulo this."
    )
    signed: bool = Field(
        default=False,
        description="For encode: hash. -1 for half of the values, so that collisions cancel out.",
    )
    smooth: Literal["auto"] | float = Field(
        default="auto",
        description=(
            "For encode: target. How many rows of the overall mean are mixed into each category's; "
            "auto: by the variances within the category and overall."
        ),
    )
    folds: int = Field(
        default=5,
        ge=2,
        le=64,
        description="For encode: target. The train rows fall into so many folds, by a hash of the key.",
    )
    fold_by: tuple[Column, ...] | None = Field(
        default=None,
        description="For encode: target. Columns whose hash is the fold; unset: merge.key.",
    )
    min_frequency: int | float = Field(
        default=1,
        gt=0,
        description="Rarer categories are rare: a count of train rows (integer), or a share of them (below 1).",
    )
    max_categories: int | None = Field(
        default=None,
        ge=1,
        description="Keep this many, the most frequent; all others are rare. Unset: no cap.",
    )
    rare: Literal["group", "zeros"] = Field(
        default="group",
        description="group: all of them are one more category, (rare). zeros: none is set.",
    )
    unknown: Literal["rare", "zeros", "own", "refuse"] = Field(
        default="rare",
        description=(
            "A value never seen in the train split: as rare categories are, all zeros, something of its "
            "own (ordinal: -1, target: the overall mean), or an error."
        ),
    )

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """Yield the fields that do not go with ``encode``, each with what is wrong."""
        for field, encodings in ENCODE_OPTIONS.items():
            if field in self.model_fields_set and self.encode not in encodings:
                yield (
                    field,
                    f"is given, but encode is {self.encode}; it goes with {', '.join(encodings)}",
                )
        for field, allowed in ENCODE_RULES.get(self.encode, {}).items():
            if (found := getattr(self, field)) not in allowed and field in self.model_fields_set:
                yield field, f"found {found!r}, expected {', '.join(allowed)} with {self.encode}"
        smooth = self.smooth
        if not isinstance(smooth, str) and not 0 <= smooth < math.inf:
            yield "smooth", f"found {smooth!r}, expected auto or a number from 0"


class TextFeatures(Presence):
    """Free text: hashed n-grams of its words or characters. A missing text is an empty one."""

    kind: Literal["text"]
    columns: tuple[Column, ...] = Field(min_length=1)
    indicator: bool = Field(
        default=False,
        description="Add <column>__missing (0/1) where the train split has missing cells.",
    )
    tokens: Literal["words", "characters"] = Field(
        default="words",
        description=(
            "words: runs of letters, digits and underscores. characters: all of them, spaces included; "
            "white space of two or more becomes one space."
        ),
    )
    ngrams: tuple[int, int] = Field(
        default=(1, 1),
        description="Shortest and longest n-gram, as [1, 2] for single words and pairs of neighbours.",
    )
    shortest_word: int = Field(
        default=2, ge=1, description="For tokens: words. Shorter words are left out."
    )
    lower_case: bool = True
    buckets: int = Field(
        default=1024,
        ge=1,
        le=2**24,
        description="Columns made of a text: the XXH64 of an n-gram, modulo this, says which.",
    )
    signed: bool = Field(
        default=False,
        description="Count -1 for half of the n-grams, so that collisions cancel out. Not with tfidf.",
    )
    weight: Literal["counts", "binary", "tfidf"] = Field(
        default="tfidf",
        description=(
            "counts: how often the text has an n-gram. binary: whether. tfidf: counts times the "
            "logarithm of how rare the bucket is among the texts of the train split."
        ),
    )
    norm: Literal["l2", "none"] = Field(
        default="l2", description="l2: scale each text's vector to length 1."
    )

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """Yield the fields that do not go together, each with what is wrong."""
        low, high = self.ngrams
        if not 1 <= low <= high <= MOST_GRAMS:
            yield (
                "ngrams",
                f"found {[low, high]}, expected 1 <= shortest <= longest <= {MOST_GRAMS}",
            )
        if self.signed and self.weight != "counts":
            yield "signed", f"is true, but weight is {self.weight}; it goes with counts"
        if "shortest_word" in self.model_fields_set and self.tokens != "words":
            yield "shortest_word", f"is given, but tokens is {self.tokens}; it goes with words"


FeatureGroup = Annotated[
    NumericFeatures
    | CategoricalFeatures
    | TextFeatures
    | BooleanFeatures
    | DatetimeFeatures
    | VectorFeatures
    | InteractionFeatures,
    Field(discriminator="kind"),
]


class DatasetSpec(Model):
    """curated -> RecordIO shards."""

    layout: Literal["auto", "dense", "sparse"] = Field(
        default="auto", description="auto: whichever makes fewer bytes, predicted from the plan."
    )
    shard_bytes: int = Field(
        default=64 * 2**20, ge=2**10, description="Aim for shards of this size."
    )
    hosts: int = Field(
        default=1,
        ge=1,
        description="Training instances that share train and validation (ShardedByS3Key): as many shards for each.",
    )
    max_width: int = Field(
        default=10_000,
        ge=1,
        description="Refuse a wider matrix, and say which column makes it wide.",
    )


class TrainSpec(Model):
    """One model."""

    algorithm: Literal["linear-learner", "xgboost"]
    name: Name | None = Field(default=None, description="Unset: the algorithm's name.")
    hyperparameters: dict[str, str | int | float | bool] = Field(
        default_factory=dict,
        description="As SageMaker names them; passed to the container as texts.",
    )
    input_mode: Literal["Pipe", "File", "FastFile"] = "Pipe"
    max_run_s: int = Field(default=3600, ge=1, description="Stop the job after this many seconds.")
    idle_timeout_s: int = Field(
        default=300,
        ge=1,
        description="Fail the job when no byte of a channel moves and nothing is logged for so long.",
    )
    gates: dict[str, Gate] = Field(
        default_factory=dict, description='For this model: auc: ">= 0.70".'
    )

    @property
    def label(self) -> str:
        """The model's name in paths and reports."""
        return self.name or self.algorithm


class EvaluateSpec(Model):
    """What a model must reach on the test split."""

    gates: dict[str, Gate] = Field(
        default_factory=dict, description='For every model: metric -> bound, as in auc: ">= 0.70".'
    )


class Spec(Model):
    """A whole pipeline.yaml."""

    version: Literal[1] = 1
    name: Name = Field(
        description="Names the folders below curated/, datasets/, models/, reports/."
    )
    task: Task
    label: LabelSpec
    sources: dict[TableName, Source] = Field(min_length=1)
    merge: MergeSpec
    split: SplitSpec = SplitSpec()
    balance: BalanceSpec = BalanceSpec()
    features: tuple[FeatureGroup, ...] = Field(min_length=1)
    select: SelectSpec = SelectSpec()
    dataset: DatasetSpec = DatasetSpec()
    train: tuple[TrainSpec, ...] = Field(min_length=1)
    evaluate: EvaluateSpec = EvaluateSpec()

    def part(self, *names: str) -> dict[str, Any]:
        """Return the named top-level parts as plain data: what a stage's fingerprint covers."""
        return self.model_dump(mode="json", include=set(names))


def parse_gate(gate: str) -> tuple[str, float]:
    """Return ``(operator, bound)`` of a gate that the models have accepted.

    >>> parse_gate(">= 0.70")
    ('>=', 0.7)
    """
    matched = re.match(r"(>=|<=|>|<)\s*(.+)", gate)
    if matched is None:
        raise ValueError(f"gate {gate!r} is not '<operator> <number>'")
    return matched[1], float(matched[2])
