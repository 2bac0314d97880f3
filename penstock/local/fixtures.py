"""A pytest fixture: ``from penstock.local.fixtures import plane`` in a conftest.py, and tests have AWS.

def test_mine(plane):
    boto3.client("s3").create_bucket(Bucket="lake")
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from penstock.local.plane import Plane

__all__ = ["plane"]


@pytest.fixture(scope="session")
def plane() -> Iterator[Plane]:
    """A plane for the whole session; the environment of the tests' process leads clients to it."""
    with Plane() as made, made.as_environment():
        yield made
