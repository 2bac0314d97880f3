"""Fixtures that every folder of tests shares."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from penstock import spark as penstock_spark


@pytest.fixture(scope="session")
def spark() -> Iterator[object]:
    """One local session of two cores for the whole run."""
    os.environ["PENSTOCK_SPARK_MASTER"] = "local[2]"
    with penstock_spark.session("tests", conf={"spark.sql.shuffle.partitions": "2"}) as session:
        yield session


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a JVM by what it asks for, so that no test can forget."""
    for item in items:
        if "spark" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.spark)
