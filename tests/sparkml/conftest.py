"""Rows of every kind of column, as Arrow tables and as DataFrames."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

FEATURES: list[dict[str, Any]] = [
    {"kind": "numeric", "columns": ["n.x"], "scale": "robust"},
    {"kind": "numeric", "columns": ["k"], "scale": "bins"},
    {"kind": "categorical", "columns": ["c"], "min_frequency": 5},
    {"kind": "categorical", "columns": ["t"], "encode": "target"},
    {"kind": "boolean", "columns": ["b"]},
    {"kind": "datetime", "columns": ["at"], "parts": ["hour", "weekday"]},
    {"kind": "vector", "columns": ["v"]},
    {"kind": "text", "columns": ["words"], "buckets": 64},
]


def made_rows(count: int, seed: int, names: str = "abcß漢") -> Any:
    """A table with nulls, NaN, texts of all kinds, and rare names."""
    random = np.random.default_rng(seed)
    number = np.where(random.random(count) < 0.1, np.nan, random.normal(size=count))
    name = random.choice([*names, ""], count)
    label = (random.random(count) < 0.3 + 0.4 * (name == names[0])).astype(np.int32)
    begin = datetime(2024, 1, 1)
    missing = random.random(count) < 0.1
    return pa.table(
        {
            "id": [f"{seed}-{i}" for i in range(count)],
            "n.x": pa.array(number, mask=random.random(count) < 0.1),
            "k": pa.array(random.integers(0, 40, count), mask=missing),
            "c": pa.array([*name], mask=missing),
            "t": pa.array(random.choice([*names], count)),
            "b": pa.array(random.random(count) < 0.5),
            "at": pa.array(
                [begin + timedelta(hours=int(h)) for h in random.integers(0, 9999, count)],
                pa.timestamp("us", "UTC"),
            ),
            "v": pa.array(list(random.normal(size=(count, 2))), pa.list_(pa.float64())),
            "words": pa.array(
                [" ".join(random.choice(["red", "blue", "ü"], 3)) for _ in range(count)]
            ),
            "y": label,
        }
    )


@pytest.fixture(scope="session")
def features() -> list[dict[str, Any]]:
    return FEATURES


@pytest.fixture(scope="session")
def train() -> Any:
    return made_rows(900, 1)


@pytest.fixture(scope="session")
def others() -> Any:
    """Rows of another day, with names that the plan has not seen."""
    return made_rows(700, 2, names="axyzü")


@pytest.fixture(scope="session")
def folder(tmp_path_factory, train, others) -> Any:
    where = tmp_path_factory.mktemp("frames")
    pq.write_table(train, where / "train.parquet")
    pq.write_table(others, where / "others.parquet")
    return where


@pytest.fixture(scope="session")
def train_frame(spark, folder) -> Any:
    return spark.read.parquet(str(folder / "train.parquet"))


@pytest.fixture(scope="session")
def other_frame(spark, folder) -> Any:
    return spark.read.parquet(str(folder / "others.parquet"))


@pytest.fixture(scope="session")
def estimator(features) -> Any:
    """What makes an estimator of all features; options are more Params."""
    from penstock.sparkml import FeaturePlanEstimator

    def make(**options: Any) -> FeaturePlanEstimator:
        given = {"task": "binary", "labelCol": "y", "features": features, "keyCols": ["id"]}
        return FeaturePlanEstimator(**given | options)

    return make


@pytest.fixture(scope="session")
def model(estimator, train_frame) -> Any:
    return estimator().fit(train_frame)
