"""The estimator: one scan of a DataFrame -> a FeaturePlanModel."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pyspark import keyword_only
from pyspark.ml import Estimator
from pyspark.ml.util import DefaultParamsReadable, DefaultParamsWritable

from penstock.planning import build_plan
from penstock.sparkml.model import FeaturePlanModel
from penstock.sparkml.params import FitParams
from penstock.sparkml.scan import asked_of, scanned
from penstock.sparkml.specs import Asked, spec_of
from penstock.sparkml.words import TABLE, in_words_of_frames

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from penstock.spec import Spec

__all__ = ["FeaturePlanEstimator"]


class FeaturePlanEstimator(
    Estimator[FeaturePlanModel],
    FitParams,
    DefaultParamsReadable["FeaturePlanEstimator"],
    DefaultParamsWritable,
):
    """Learns a FeaturePlan from the rows of any DataFrame: imputation and encoding of every column.

    The plan is that of ``penstock fit`` on the same rows: the same columns, vocabularies and
    scalings. Means and deviations depend in their last bit on how rows fall into partitions.
    """

    __module__ = "penstock.sparkml"  # what saved stages name their class by

    _input_kwargs: dict[str, Any]

    @keyword_only
    def __init__(
        self,
        *,
        task: str | None = None,
        labelCol: str | None = None,
        features: str | Sequence[Mapping[str, Any]] | None = None,
        labelClasses: Sequence[Any] | None = None,
        keyCols: Sequence[str] | None = None,
        select: Mapping[str, Any] | None = None,
        layout: str = "auto",
        maxWidth: int = 10_000,
        outputCol: str = "features",
        outputType: str = "vector",
        labelOutputCol: str | None = None,
        trainingRows: str = "auto",
    ) -> None:
        """Take Params; ``explainParams`` says what each does.

        Raises:
            InputError: A value is none that its Param takes.
        """
        super().__init__()
        self._set(**self._given())

    @keyword_only
    def setParams(
        self,
        *,
        task: str | None = None,
        labelCol: str | None = None,
        features: str | Sequence[Mapping[str, Any]] | None = None,
        labelClasses: Sequence[Any] | None = None,
        keyCols: Sequence[str] | None = None,
        select: Mapping[str, Any] | None = None,
        layout: str | None = None,
        maxWidth: int | None = None,
        outputCol: str | None = None,
        outputType: str | None = None,
        labelOutputCol: str | None = None,
        trainingRows: str | None = None,
    ) -> FeaturePlanEstimator:
        """Set several Params at once, as the constructor."""
        return self._set(**self._given())

    def _given(self) -> dict[str, Any]:
        return {name: value for name, value in self._input_kwargs.items() if value is not None}

    def setTask(self, value: str) -> FeaturePlanEstimator:
        """Set what is predicted: binary, multiclass or regression."""
        return self._set(task=value)

    def setLabelCol(self, value: str) -> FeaturePlanEstimator:
        """Set the column of the labels."""
        return self._set(labelCol=value)

    def setFeatures(self, value: str | Sequence[Mapping[str, Any]]) -> FeaturePlanEstimator:
        """Set the features, as in a pipeline.yaml: a list of mappings, or YAML text."""
        return self._set(features=value)

    def setLabelClasses(self, value: Sequence[Any]) -> FeaturePlanEstimator:
        """Set the values of the label in the order of their class numbers."""
        return self._set(labelClasses=value)

    def setKeyCols(self, value: Sequence[str]) -> FeaturePlanEstimator:
        """Set the columns that name a row."""
        return self._set(keyCols=value)

    def setSelect(self, value: Mapping[str, Any]) -> FeaturePlanEstimator:
        """Set which features to leave out, as select of a pipeline.yaml."""
        return self._set(select=value)

    def setLayout(self, value: str) -> FeaturePlanEstimator:
        """Set the layout: auto, dense or sparse."""
        return self._set(layout=value)

    def setMaxWidth(self, value: int) -> FeaturePlanEstimator:
        """Set past which width a matrix is refused."""
        return self._set(maxWidth=value)

    def spec(self) -> Spec:
        """Return the Params as the spec of a pipeline.yaml that has a DataFrame for its table.

        Raises:
            InputError: All that is wrong with them.
        """
        task, label, features = self.needed(["task", "labelCol", "features"])
        classes = self.getOrDefault("labelClasses") if self.isSet("labelClasses") else None
        asked = Asked(
            features=features,
            select=self.getOrDefault("select"),
            task=task,
            label=label,
            classes=classes,
            key=self.getOrDefault("keyCols"),
            layout=self.getOrDefault("layout"),
            max_width=self.getOrDefault("maxWidth"),
        )
        return spec_of(asked)

    def _fit(self, dataset: DataFrame) -> FeaturePlanModel:
        """Return the fitted model. Runs one Spark job, besides those of the frame's own shuffles.

        Raises:
            InputError: The Params or the columns do not go together, or the matrix would be too wide.
                Types and names are checked before the job.
            EmptyTableError: The frame has no rows.
            DataError: The values break what the features ask of them.
            ServiceError: Spark gave up.
        """
        spec = self.spec()
        with in_words_of_frames():
            wanted, label = asked_of(dataset.schema, spec)
            statistics = scanned(dataset, wanted, label)
            fitted_on = {"curated": TABLE, "split": "train", "rows": statistics.rows}
            plan = build_plan(statistics, spec, fitted_on=fitted_on)
        model = FeaturePlanModel(plan=plan, statistics=statistics)
        model._fitted = weakref.ref(dataset)
        return self._copyValues(model)
