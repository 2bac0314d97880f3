"""The model: a fitted plan as a Transformer. Lazy and map-only."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyspark import keyword_only
from pyspark.ml import Model
from pyspark.ml.util import (
    DefaultParamsReadable,
    DefaultParamsReader,
    DefaultParamsWriter,
    MLWritable,
)

from penstock import storage
from penstock.encode import Where
from penstock.errors import InputError, MissingColumnsError, SchemaMismatchError
from penstock.plan import FeaturePlan
from penstock.sparkml import folders
from penstock.sparkml.arrow import arrow_type, check_once, numbered
from penstock.sparkml.encoding import Encoding, task
from penstock.sparkml.params import TransformParams
from penstock.sparkml.words import TABLE, in_words_of_frames
from penstock.statistics import Statistics

if TYPE_CHECKING:
    from pyspark.ml.util import MLWriter
    from pyspark.sql import DataFrame
    from pyspark.sql.types import StructField, StructType

__all__ = ["FeaturePlanModel"]

MOST_NAMED = 10_000
"""Outputs past these have no names in the column's metadata, which travels with every query plan."""

PLAN, STATISTICS = "plan", "statistics.json"


class FeaturePlanModel(
    Model, TransformParams, DefaultParamsReadable["FeaturePlanModel"], MLWritable
):
    """Adds a column of features to a DataFrame, and leaves its other columns as they are.

    Attributes:
        plan: The fitted plan.
        statistics: What it was learned from, if that is known; a new day's rows merge with it.
    """

    __module__ = "penstock.sparkml"  # what saved stages name their class by

    _input_kwargs: dict[str, Any]

    @keyword_only
    def __init__(
        self,
        *,
        plan: FeaturePlan | None = None,
        statistics: Statistics | None = None,
        outputCol: str = "features",
        outputType: str = "vector",
        labelOutputCol: str | None = None,
        trainingRows: str = "auto",
    ) -> None:
        """Take a plan, of the estimator or of ``penstock fit``, and Params.

        Raises:
            InputError: A value is none that its Param takes.
        """
        super().__init__()
        self._plan, self.statistics = plan, statistics
        self._fitted: weakref.ref[DataFrame] | None = None
        given = {name: value for name, value in self._input_kwargs.items() if value is not None}
        self._set(**{k: v for k, v in given.items() if k not in ("plan", "statistics")})

    @classmethod
    def load_plan(cls, uri: str) -> FeaturePlanModel:
        """Return the model of a plan's folder, as ``penstock fit`` writes it; a path or a URI.

        Its statistics are read if they lie beside the plan.

        Raises:
            MissingFileError: It is not there, or not all of it.
            InputError: It is of another schema version, or was changed by hand.
        """
        plan, beside = FeaturePlan.load(uri), storage.join(uri, STATISTICS)
        if not storage.exists(beside):
            return cls(plan=plan)
        return cls(plan=plan, statistics=Statistics.from_json(storage.read_bytes(beside).decode()))

    @property
    def plan(self) -> FeaturePlan:
        """The fitted plan.

        Raises:
            InputError: The model was made without one.
        """
        if self._plan is None:
            raise InputError(
                "FeaturePlanModel: it has no plan, expected a fitted one\n"
                "  make it with FeaturePlanModel(plan=...), load_plan(uri) or FeaturePlanEstimator.fit"
            )
        return self._plan

    def transformSchema(self, schema: StructType) -> StructType:
        """Return the schema of what ``transform`` gives. Pure: all checks that need no row.

        Raises:
            MissingColumnsError: A column of the plan is missing.
            SchemaMismatchError: A column has another type than was fitted, or none that Arrow has.
            InputError: A column that is to be added is there already, or a name stands for several.
        """
        from pyspark.sql.types import StructType

        self._check(schema, training=self.getTrainingRows() == "always")
        return StructType([*schema.fields, *self._added(schema)])

    def _transform(self, dataset: DataFrame) -> DataFrame:
        """Return the rows, in their order, with their features. Lazy: starts no Spark job.

        All columns pass through a Python worker as Arrow batches: select those that are needed
        before. Memory of a task is a batch. A row that cannot be encoded fails the action that meets
        it, with the text of the DataError, which names partition, row and column.

        Raises:
            InputError: As ``transformSchema``.
        """
        from pyspark.sql.types import StructType

        training = self._is_training(dataset)
        self._check(dataset.schema, training=training)
        added = self._added(dataset.schema)
        names = numbered(len(dataset.columns) + len(added))
        plain = dataset.toDF(*names[: len(dataset.columns)])
        schema = StructType([*plain.schema.fields])
        for name, field in zip(names[len(dataset.columns) :], added, strict=True):
            schema = schema.add(name, field.dataType, field.nullable, field.metadata)
        encoding = Encoding(
            plan=self.plan.to_json(),
            columns=tuple(dataset.columns),
            vectors=self.getOutputType() == "vector",
            labels=len(added) > 1,
            training=training,
        )
        made = plain.mapInArrow(task(encoding), schema)
        return made.toDF(*dataset.columns, *(field.name for field in added))

    def _is_training(self, frame: DataFrame) -> bool:
        """Return whether the rows are taken for those that the plan was fitted on."""
        asked = self.getTrainingRows()
        fitted = self._fitted() if self._fitted is not None else None
        return asked == "always" or (asked == "auto" and fitted is frame)

    def _check(self, schema: StructType, *, training: bool) -> None:
        """Raise what can be known to be wrong before any row is read."""
        plan, names = self.plan, tuple(schema.names)
        keys = plan.fold_columns if training else ()
        used = tuple(dict.fromkeys((*plan.input_columns, *keys)))
        if missing := tuple(name for name in used if name not in names):
            raise MissingColumnsError(TABLE, missing, names)
        with_label = self.getLabelOutputCol() is not None and plan.label.column in names
        used += (plan.label.column,) if with_label and plan.label.column not in used else ()
        check_once(schema, used)
        _check_free(names, [field.name for field in self._added(schema)])
        arrays = {f.name: _nothing(f) for f in schema.fields}
        batch = pa.RecordBatch.from_arrays([arrays[name] for name in used], list(used))
        with in_words_of_frames():
            # A batch without rows meets every check of types that one with rows does.
            plan.encode(batch, training=training, where=Where(table=TABLE))
            if with_label:
                plan.labels(batch, where=Where(table=TABLE))

    def _added(self, schema: StructType) -> list[StructField]:
        """Return the columns to add: the features, and labels if they are asked for and can be."""
        from pyspark.ml.linalg import VectorUDT
        from pyspark.sql.types import ArrayType, DataType, DoubleType, FloatType, StructField

        kind: DataType = VectorUDT()
        if self.getOutputType() == "array":
            kind = ArrayType(FloatType(), containsNull=False)
        features = {"ml_attr": _attributes(self.plan)}
        added = [StructField(self.getOutputCol(), kind, nullable=False, metadata=features)]
        name = self.getLabelOutputCol()
        if name is not None and self.plan.label.column in schema.names:
            label = {"ml_attr": _label_attribute(self.plan, name)}
            added.append(StructField(name, DoubleType(), nullable=False, metadata=label))
        return added

    def write(self) -> MLWriter:
        """Return what saves the model: Spark ML's metadata, and the plan's folder beside it."""
        return _Writer(self)

    @classmethod
    def read(cls) -> DefaultParamsReader[FeaturePlanModel]:
        """Return what loads a model that was saved."""
        return _Reader(cls)


class _Writer(DefaultParamsWriter):
    """Saves a model: ``metadata/`` as every stage of Spark ML, and ``plan/`` with our own files."""

    def saveImpl(self, path: str) -> None:
        """Write to ``path``; plan.json comes last.

        Raises:
            InputError: The model has no plan, or something stands there and is not to be replaced.
        """
        model: Any = self.instance
        plan, statistics = model.plan, model.statistics
        folders.refuse_taken(self.sparkSession, path)
        super().saveImpl(path)
        with folders.written_folder(self.sparkSession, storage.join(path, PLAN)) as uri:
            if statistics is not None:
                beside = storage.join(uri, STATISTICS)
                storage.write_bytes(beside, statistics.to_json().encode())
            plan.save(uri)


class _Reader(DefaultParamsReader["FeaturePlanModel"]):
    """Loads what ``_Writer`` saved."""

    def load(self, path: str) -> FeaturePlanModel:
        """Return the model at ``path``.

        Raises:
            MissingFileError: There is none, or not all of it.
            InputError: Its plan is of another schema version, or was changed by hand.
        """
        folders.require(self.sparkSession, path, "FeaturePlanModel")
        model = super().load(path)
        with folders.read_folder(self.sparkSession, storage.join(path, PLAN)) as uri:
            found = FeaturePlanModel.load_plan(uri)
        model._plan, model.statistics = found.plan, found.statistics
        return model


def _check_free(names: Sequence[str], added: Sequence[str]) -> None:
    for at, name in enumerate(added):
        if name in names or name in added[:at]:
            raise InputError(
                f"table {TABLE!r} has a column {name!r} already, expected none of that name\n"
                "  set another outputCol or labelOutputCol, or drop the column before"
            )


def _nothing(field: StructField) -> Any:
    """Return no cells of a column's type.

    Raises:
        SchemaMismatchError: Arrow has no such type, so that the column cannot pass through.
    """
    kind = arrow_type(field.dataType)
    if kind is None:
        raise SchemaMismatchError(
            TABLE,
            field.name,
            field.dataType.simpleString(),
            "a type that Arrow has",
            "drop it before, or cast it",
        )
    return pa.nulls(0, kind)


def _attributes(plan: FeaturePlan) -> dict[str, Any]:
    """Return the features' ml attributes, in which Spark ML stages look for names."""
    if plan.width > MOST_NAMED:
        return {"num_attrs": plan.width}
    named = [{"idx": at, "name": name} for at, name in enumerate(plan.names)]
    return {"attrs": {"numeric": named}, "num_attrs": plan.width}


def _label_attribute(plan: FeaturePlan, name: str) -> dict[str, Any]:
    if plan.classes is None:
        return {"type": "numeric", "name": name}
    values = [
        str(value).lower() if isinstance(value, bool) else str(value) for value in plan.classes
    ]
    return {"type": "nominal", "vals": values, "name": name}
