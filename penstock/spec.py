"""pipeline.yaml as frozen, validated models, and their JSON Schema for editors.

One file describes a pipeline and says nothing of where it runs. ``penstock.specfile`` turns YAML
into these models and reports every problem at once with its line. Every model refuses unknown
keys. Units stand in the names.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from penstock.namespec import CategoricalFeatures, TextFeatures
from penstock.numericspec import (
    BooleanFeatures,
    DatetimeFeatures,
    InteractionFeatures,
    NumericFeatures,
    SelectSpec,
    VectorFeatures,
)
from penstock.specmodel import Column, Model
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
    features: tuple[FeatureGroup, ...] = Field(
        default=(),
        description="Unset: chosen from the statistics of the train split; penstock features SPEC prints them.",
    )
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
