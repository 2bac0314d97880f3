"""The session of a Glue job."""

from __future__ import annotations

import logging
from typing import Any

__all__ = ["GlueContext"]


class GlueContext:
    """Gives the SparkSession. All that has to do with DynamicFrames is refused."""

    def __init__(self, sparkContext: Any, **options: Any) -> None:
        """Stand on a running SparkContext."""
        from pyspark.sql import SparkSession

        del options
        self.spark_session = SparkSession(sparkContext)

    def get_logger(self) -> logging.Logger:
        """Return a logger."""
        return logging.getLogger("glue")

    def __getattr__(self, name: str) -> Any:
        """Refuse what only Glue has."""
        raise NotImplementedError(
            f"GlueContext.{name} is not in the local plane: DynamicFrames and the catalog's readers are Glue's own\n"
            "  use glueContext.spark_session and DataFrames, which run on both"
        )
