"""Fixtures that every folder of tests shares."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator

import faultproxy
import pytest
import s3server
from hypothesis import settings

from penstock import spark as penstock_spark

# How long an example takes says something of the machine, not of the code.
settings.register_profile("penstock", deadline=None)
settings.load_profile("penstock")


@pytest.fixture(scope="session")
def spark() -> Iterator[object]:
    """One local session of two cores for the whole run."""
    os.environ["PENSTOCK_SPARK_MASTER"] = "local[2]"
    with penstock_spark.session("tests", conf={"spark.sql.shuffle.partitions": "2"}) as session:
        yield session


BUCKETS = itertools.count()


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """Address of an S3 that lives as long as the run; see s3server."""
    with s3server.serving() as endpoint:
        yield endpoint


@pytest.fixture
def s3(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """URI of a fresh bucket, ``s3://test-N``, and the environment that leads every client to it."""
    for name in s3server.UNSET:
        monkeypatch.delenv(name, raising=False)
    for name, value in {**s3server.SETTINGS, "AWS_ENDPOINT_URL": s3_endpoint}.items():
        monkeypatch.setenv(name, value)
    bucket = f"test-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}-{next(BUCKETS)}"
    s3server.make_bucket(s3_endpoint, bucket)
    return f"s3://{bucket}"


@pytest.fixture
def s3_faults(
    s3_endpoint: str, s3: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[faultproxy.Proxy]:
    """A proxy between this test and its S3; give it rules, and it fails. Calls are tried twice."""
    with faultproxy.proxying(s3_endpoint) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
        yield proxy


LONG = (
    "test_pipeline.py",
    "test_jobs.py",
    "test_writer_faults.py",
    "test_stages_on_plane.py",
    "test_training_spark.py",
)
"""Files of minutes: begun first, so that no worker is left alone with one at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a JVM by what it asks for, so that no test can forget; long files first."""
    for item in items:
        if "spark" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.spark)
    items.sort(key=lambda item: item.path.name not in LONG)
