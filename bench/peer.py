"""sagemaker-pyspark's writer as a Spark session can use it: class path, schema, call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jars import peer_jars

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["class_path", "vector_rows", "write"]


def class_path() -> dict[str, str]:
    """Return the settings that put the peer on the driver's class path."""
    return {"spark.driver.extraClassPath": ":".join(map(str, peer_jars()))}


def vector_rows(session: Any, features: Any, labels: Any) -> Any:
    """Return a DataFrame of one partition with an ml Vector per row of a matrix."""
    from pyspark.ml.linalg import Vectors, VectorUDT
    from pyspark.sql.types import DoubleType, StructField, StructType

    fields = [StructField("features", VectorUDT())]
    rows: list[tuple[Any, ...]] = [
        (_vector(Vectors, features, row),) for row in range(features.shape[0])
    ]
    if labels is not None:
        fields.append(StructField("label", DoubleType()))
        rows = [(*row, float(label)) for row, label in zip(rows, labels, strict=True)]
    return session.createDataFrame(rows, StructType(fields)).coalesce(1)


def _vector(vectors: Any, features: Any, row: int) -> Any:
    if not hasattr(features, "indptr"):
        return vectors.dense(features[row].tolist())
    entries = slice(features.indptr[row], features.indptr[row + 1])
    keys, values = features.indices[entries].tolist(), features.data[entries].tolist()
    return vectors.sparse(features.shape[1], keys, values)


def write(rows: DataFrame, folder: str) -> None:
    """Write ``features`` and ``label`` as the peer does, into a folder that is replaced."""
    rows.write.format("sagemaker").mode("overwrite").save(folder)
