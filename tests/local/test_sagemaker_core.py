"""sagemaker-core, unmodified: train through pipes on a manifest, deploy, invoke."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import boto3  # type: ignore[import-untyped]  # noqa: TID251  to put the data there
import numpy as np
import pytest

from penstock import recordio

PROGRAM = Path(__file__).with_name("sagemaker_core_client.py")


@pytest.mark.skipif(
    importlib.util.find_spec("sagemaker") is None, reason="sagemaker-core is not installed"
)
def test_a_model_is_trained_deployed_and_asked(plane):
    random = np.random.default_rng(1)
    features = random.normal(size=(2000, 2)).astype(np.float32)
    labels = (features.sum(axis=1) > 0).astype(np.float32)
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="core-lake")
    body = bytes(recordio.encode_dense(features, labels))
    s3.put_object(Bucket="core-lake", Key="data/part-0.rec", Body=body)
    manifest = json.dumps([{"prefix": "s3://core-lake/data/"}, "part-0.rec"]).encode()
    s3.put_object(Bucket="core-lake", Key="train.manifest", Body=manifest)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}

    ended = subprocess.run(
        [sys.executable, str(PROGRAM), "core-lake", "s3://core-lake/train.manifest"],
        env=kept | plane.environment(),
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 0, ended.stderr[-3000:]
    found = json.loads(ended.stdout.splitlines()[-1])
    assert found["status"] == "Completed"
    assert found["labels"] == [1, 0]
    assert "validation:binary_classification_accuracy" in found["metrics"]
