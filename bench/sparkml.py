"""The peer of the plan: Spark ML's stages, fitted and applied, and sagemaker-pyspark's writer.

They do what the plan does of the flights, in the way that costs them least: all columns of a kind in
one stage, means for missing numbers (medians cost a scan of their own), and zeros for categories
that the fit has not seen, by StringIndexer's and OneHotEncoder's own rules.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from peer import write

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["SparkMl"]

MISSING = "(missing)"


@dataclass(frozen=True, kw_only=True, slots=True)
class SparkMl:
    """What the stages are told.

    Attributes:
        numbers: Columns that are imputed and scaled.
        categories: Columns that are imputed and one-hot encoded.
        label: Column of numbers.
    """

    numbers: Sequence[str]
    categories: Sequence[str]
    label: str

    def rows(self, session: Any, paths: Sequence[str]) -> DataFrame:
        """Return the columns of Parquet files, with a name for missing names."""
        from pyspark.sql import functions as F

        columns = [*self.numbers, *self.categories, self.label]
        read = session.read.parquet(*paths).select(*columns)
        # Imputer takes numbers alone.
        filled: DataFrame = read.na.fill(MISSING, list(self.categories))
        return filled.withColumn(self.label, F.col(self.label).cast("double"))

    def fit(self, rows: DataFrame) -> Any:
        """Return the fitted pipeline."""
        from pyspark.ml import Pipeline
        from pyspark.ml.feature import (
            Imputer,
            OneHotEncoder,
            StandardScaler,
            StringIndexer,
            VectorAssembler,
        )

        filled = [f"{name}_filled" for name in self.numbers]
        codes = [f"{name}_code" for name in self.categories]
        ones = [f"{name}_ones" for name in self.categories]
        stages: list[Any] = [
            Imputer(strategy="mean", inputCols=list(self.numbers), outputCols=filled),
            StringIndexer(inputCols=list(self.categories), outputCols=codes, handleInvalid="keep"),
            # What was not seen has the last code, and the last code has no column.
            OneHotEncoder(inputCols=codes, outputCols=ones, dropLast=True),
            VectorAssembler(inputCols=filled, outputCol="numbers"),
            StandardScaler(inputCol="numbers", outputCol="scaled", withMean=True, withStd=True),
            VectorAssembler(inputCols=["scaled", *ones], outputCol="features"),
        ]
        return Pipeline(stages=stages).fit(rows)

    def names(self, model: Any) -> list[str]:
        """Return the names of the outputs, as a plan calls them."""
        labels = model.stages[1].labelsArray
        return [
            *self.numbers,
            *(
                f"{column}={label}"
                for column, found in zip(self.categories, labels, strict=True)
                for label in found
            ),
        ]

    def convert(self, model: Any, rows: DataFrame, folder: str) -> None:
        """Write features and labels of all rows as RecordIO."""
        from pyspark.sql import functions as F

        made = model.transform(rows)
        write(made.select("features", F.col(self.label).alias("label")), folder)
