"""One plan, the same rows, every place that encodes them: the features are equal to the last bit.

a notebook            FeaturePlan.encode of a batch made from pandas
Spark tasks           penstock.convert: tasks read the curated Parquet themselves
mapInArrow            penstock.writer.write_dataframe of the model's column
Spark ML              FeaturePlanModel.transform, as vectors and as arrays
serving container     penstock.containers.features, over HTTP
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from containers.servers import serving
from strategies import categorical, numeric, spec

from penstock import convert, fit, recordio
from penstock.curated import SPLITS, Curated, CuratedFile
from penstock.plan import FeaturePlan
from penstock.sparkml import FeaturePlanModel
from penstock.writer import write_dataframe

GROUPS = (
    numeric("x", scale="standard", clip=[0.01, 0.99]),
    numeric("k", scale="bins", indicator=True),
    categorical("c", min_frequency=3),
    categorical("t", encode="target"),
    categorical("o", encode="ordinal"),
    {"kind": "boolean", "columns": ["b"]},
    {"kind": "datetime", "columns": ["at"], "parts": ["hour", "elapsed_days"]},
    {"kind": "text", "columns": ["words"], "buckets": 32},
    {"kind": "interaction", "of": ["x", "b"]},
)
SIZES = {"train": 700, "validation": 50, "test": 300}


def frame_of(rows: int, seed: int, names: list[str | None]) -> pd.DataFrame:
    """Rows with nulls, NaN and texts of all kinds."""
    random = np.random.default_rng(seed)
    hours = random.integers(0, 9999, rows)
    words = np.array(["red", "blue", "ü", "", "漢字"])
    return pd.DataFrame(
        {
            "id": [f"{seed}-{at}" for at in range(rows)],
            "x": np.where(random.random(rows) < 0.1, np.nan, random.normal(size=rows)),
            "k": pd.array(random.integers(0, 30, rows), "Int64"),
            "c": random.choice(np.array(names, object), rows),
            "t": random.choice(np.array(names, object), rows),
            "o": random.choice(np.array(names, object), rows),
            "b": random.random(rows) < 0.5,
            "at": pd.to_datetime(
                [datetime(2024, 1, 1) + timedelta(hours=int(h)) for h in hours], utc=True
            ).as_unit("us"),
            "words": [" ".join(random.choice(words, 3)) for _ in range(rows)],
            "y": random.integers(0, 2, rows).astype(np.int32),
        }
    ).assign(k=lambda made: made["k"].mask(made["x"] > 1))


FRAMES = {
    "train": frame_of(SIZES["train"], 1, ["a", "b", "ß", None]),
    "validation": frame_of(SIZES["validation"], 2, ["a", "b"]),
    "test": frame_of(SIZES["test"], 3, ["a", "ß", "unseen", "", None]),
}


@pytest.fixture(scope="module")
def curated(tmp_path_factory: pytest.TempPathFactory) -> Curated:
    folder = tmp_path_factory.mktemp("faces")
    files = []
    for split in SPLITS:
        table = pa.Table.from_pandas(FRAMES[split], preserve_index=False)
        pq.write_table(table.replace_schema_metadata(), folder / f"{split}.parquet")
        files.append(
            CuratedFile(path=f"{split}.parquet", split=split, rows=len(FRAMES[split]), size_bytes=1)
        )
    schema = pq.read_schema(folder / "test.parquet")
    columns = tuple((field.name, str(field.type)) for field in schema)
    return Curated(uri=str(folder), files=tuple(files), key=("id",), columns=columns, digest="d")


@pytest.fixture(scope="module", params=["dense", "sparse"])
def fitted(request: Any, spark: Any, curated: Curated) -> tuple[FeaturePlan, Any]:
    of = spec(*GROUPS, dataset={"layout": request.param})
    return fit.fit(spark, curated, of).plan, of


def dense(matrix: Any) -> Any:
    """A matrix of any layout as float32 (rows, width)."""
    return matrix if isinstance(matrix, np.ndarray) else matrix.toarray()


def notebook(plan: FeaturePlan, split: str, *, training: bool = False) -> Any:
    batch = pa.RecordBatch.from_pandas(FRAMES[split], preserve_index=False)
    return dense(plan.encode(batch, training=training))


def recorded(found: Any) -> Any:
    parts = [part for uri in found.shard_uris() for part in recordio.read(uri)]
    return np.concatenate([dense(part.features) for part in parts])


def test_spark_tasks_write_what_a_notebook_encodes(spark, curated, fitted, tmp_path):
    plan, of = fitted

    made = convert.convert(spark, curated, plan, of, str(tmp_path))

    for split in SPLITS:
        expected = notebook(plan, split, training=split == "train")
        assert recorded(made[split]).tobytes() == expected.tobytes(), split


def test_the_spark_ml_model_makes_what_a_notebook_encodes(spark, curated, fitted):
    plan, _ = fitted
    rows = spark.read.parquet(f"{curated.uri}/test.parquet")

    vectors = FeaturePlanModel(plan=plan).transform(rows).select("features").collect()
    arrays = FeaturePlanModel(plan=plan, outputType="array").transform(rows).select("features")

    expected = notebook(plan, "test")
    made = np.array([row[0].toArray() for row in vectors])
    assert made.tobytes() == expected.astype(np.float64).tobytes()
    assert np.array(arrays.collect(), np.float32)[:, 0].tobytes() == expected.tobytes()


def test_map_in_arrow_writes_what_a_notebook_encodes(spark, curated, fitted, tmp_path):
    plan, _ = fitted
    frame = FeaturePlanModel(plan=plan).transform(spark.read.parquet(f"{curated.uri}/test.parquet"))

    made = write_dataframe(
        frame, str(tmp_path), features=["features"], label="y", layout=plan.layout
    )

    assert recorded(made).tobytes() == notebook(plan, "test").tobytes()


def wire(cell: Any) -> Any:
    """A cell as JSON has it: NaN has no word there but null, which a plan takes for the same."""
    return None if pd.isna(cell) else cell.isoformat() if isinstance(cell, datetime) else cell


def test_the_serving_container_answers_what_a_notebook_encodes(fitted, tmp_path):
    plan, _ = fitted
    plan.save(str(tmp_path / "model"))
    rows = FRAMES["test"][list(plan.input_columns)].to_dict("records")
    lines = (json.dumps({name: wire(cell) for name, cell in row.items()}) for row in rows)
    body = "\n".join(lines).encode()

    with serving(tmp_path) as server:
        reply = server.invoke(body, "application/jsonlines", "application/x-recordio-protobuf")

    assert reply.status == 200, reply.text
    found = recordio.decode(reply.body).features
    assert dense(found).tobytes() == notebook(plan, "test").tobytes()
