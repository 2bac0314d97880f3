"""sagemaker-pyspark's estimators, unmodified, on Spark 3.5: they stage, train through FIFOs and end."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]  # noqa: TID251  an unmodified client is what is tested
import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from penstock.containers import load_model
from penstock.containers.kmeans_model import KMeansModel
from penstock.containers.pca_model import PCAModel
from penstock.host import unpack_model
from penstock.java import java_home
from penstock.local import Plane

ROOT = Path(__file__).parents[2]
PROGRAM = Path(__file__).with_name("sagemaker_spark.py")

BUCKET = "sagemaker-spark"

pytestmark = pytest.mark.spark


@pytest.fixture(scope="module")
def jars() -> list[str]:
    """The client's own jars, and the protobuf-java that Spark no longer ships."""
    package = importlib.util.find_spec("sagemaker_pyspark")  # its import warns
    if package is None or package.origin is None:
        pytest.skip("sagemaker-pyspark is not installed")
    spec = importlib.util.spec_from_file_location("jars", ROOT / "bench" / "jars.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    try:
        _, protobuf = module.peer_jars()
    except module.PeerMissing as error:
        pytest.skip(str(error))
    return [*map(str, Path(package.origin).parent.glob("jars/*.jar")), str(protobuf)]


@dataclass(frozen=True)
class Fit:
    """What an estimator was given and left."""

    rows: np.ndarray
    labels: np.ndarray
    model: Any
    described: dict[str, Any]


@pytest.fixture(scope="module")
def fits(plane: Plane, tmp_path_factory: pytest.TempPathFactory, jars: list[str]) -> dict[str, Fit]:
    """Each estimator, fitted on its rows in one Spark session."""
    folder = tmp_path_factory.mktemp("fits")
    boto3.client("s3").create_bucket(Bucket=BUCKET)
    data = {name: make() for name, make in ROWS.items()}
    for name, (rows, labels) in data.items():
        table = pd.DataFrame({"features": list(rows.astype("f8")), "label": labels.astype("f8")})
        table.to_parquet(folder / f"{name}.parquet")
    wanted = [f"{name}={folder / name}.parquet" for name in ROWS]
    environment = {**os.environ, "JAVA_HOME": str(java_home()), "PYSPARK_PYTHON": sys.executable}

    ended = subprocess.run(
        [sys.executable, str(PROGRAM), BUCKET, ":".join(jars), *wanted],
        env=environment,
        capture_output=True,
        text=True,
        timeout=500,
        cwd=folder,
    )

    assert ended.returncode == 0, ended.stderr[-4000:]
    jobs = dict(line.split()[1:] for line in ended.stdout.splitlines() if line.startswith("job "))
    return {name: fit_of(jobs[name], folder / name, *data[name]) for name in ROWS}


def fit_of(job: str, folder: Path, rows: np.ndarray, labels: np.ndarray) -> Fit:
    described = boto3.client("sagemaker").describe_training_job(TrainingJobName=job)
    uri = described["ModelArtifacts"]["S3ModelArtifacts"]
    assert uri == f"s3://{BUCKET}/models/{job}/{job}/output/model.tar.gz"  # it adds the name, too
    unpack_model(uri, folder)
    return Fit(rows, labels, load_model(folder), described)


def clustered() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    truth = random.normal(scale=20, size=(6, 5))
    numbers = random.integers(0, 6, 6000)
    return (truth[numbers] + random.normal(size=(6000, 5))).astype("f4"), numbers


def binary() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    rows = random.normal(size=(6000, 5)).astype("f4")
    chance = 1 / (1 + np.exp(-(rows @ [2, -1, 0.5, 0, 1] + 0.3)))
    return rows, random.random(6000) < chance


def stretched() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    rows = random.normal(size=(4000, 5)) * [9, 5, 3, 1, 0.5] + 7
    return rows.astype("f4"), np.zeros(4000)


ROWS = {
    "KMeansSageMakerEstimator": clustered,
    "LinearLearnerBinaryClassifier": binary,
    "PCASageMakerEstimator": stretched,
}


def piped(described: dict[str, Any]) -> bool:
    specification = described["AlgorithmSpecification"]
    return bool(
        described["TrainingJobStatus"] == "Completed"
        and specification["TrainingInputMode"] == "Pipe"
        and described["InputDataConfig"][0]["DataSource"]["S3DataSource"]["S3DataType"]
        == "S3Prefix"
    )


def test_kmeans_finds_centers_as_good_as_scikit_learns(fits: dict[str, Fit]) -> None:
    fit = fits["KMeansSageMakerEstimator"]

    theirs = KMeans(6, n_init=5, random_state=0).fit(fit.rows)
    cost = (fit.model.score(fit.rows)[:, 1] ** 2).sum()
    assert piped(fit.described)
    assert isinstance(fit.model, KMeansModel)
    assert fit.model.centers.shape == (6, 5)
    assert cost < 1.001 * theirs.inertia_
    ours, others = (
        np.array(sorted(each.tolist())) for each in (fit.model.centers, theirs.cluster_centers_)
    )
    np.testing.assert_allclose(ours, others, atol=0.05)


def test_linear_learner_predicts_as_well_as_a_solver(fits: dict[str, Fit]) -> None:
    fit = fits["LinearLearnerBinaryClassifier"]

    theirs = LogisticRegression().fit(fit.rows, fit.labels).predict_proba(fit.rows)[:, 1]
    auc = roc_auc_score(fit.labels, fit.model.score(fit.rows))
    assert piped(fit.described)
    assert auc > roc_auc_score(fit.labels, theirs) - 0.002


def test_pca_is_scikit_learns(fits: dict[str, Fit]) -> None:
    fit = fits["PCASageMakerEstimator"]

    theirs = PCA(3).fit(fit.rows.astype("f8"))
    assert piped(fit.described)
    assert isinstance(fit.model, PCAModel)
    np.testing.assert_allclose(fit.model.singular_values[::-1], theirs.singular_values_, rtol=1e-6)
    np.testing.assert_allclose(
        np.abs(fit.model.components), np.abs(theirs.components_[::-1].T), atol=1e-5
    )


def test_staged_data_are_gone_and_metrics_are_told(fits: dict[str, Fit]) -> None:
    described = fits["KMeansSageMakerEstimator"].described
    metrics = {each["MetricName"]: each["Value"] for each in described["FinalMetricDataList"]}

    left = boto3.client("s3").list_objects_v2(Bucket=BUCKET, Prefix="staged").get("Contents", [])
    assert left == []
    assert metrics["train:msd"] == pytest.approx(5, rel=0.1)  # unit variance in five features
    assert metrics["train:progress"] == 100
