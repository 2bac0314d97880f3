"""map_tasks: what is tried again, and what is raised as it was."""

import os
import subprocess
import sys

import pytest

from penstock.errors import DataError
from penstock.spark import map_tasks

SCRIPT = """
from penstock import spark
from penstock.errors import ServiceError

def run(failures, attempt):
    if attempt < failures:
        error = ServiceError(f"attempt {attempt}: 503")
        error.retryable = True
        raise error
    return attempt

with spark.session("test") as session:
    print(spark.map_tasks(session, [0, 1, 2], run, what="test"))
    try:
        spark.map_tasks(session, [5], run, what="test")
    except ServiceError as error:
        print(f"raised: {error}")
"""


def test_a_service_that_fails_for_a_while_is_tried_again_by_spark():
    environment = os.environ | {"PENSTOCK_SPARK_MASTER": "local[1,3]"}

    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=True
    )

    assert done.stdout.splitlines() == ["[0, 1, 2]", "raised: attempt 2: 503"]


def test_a_deliberate_error_is_raised_as_it_was(spark):
    def run(item, attempt):
        raise DataError(f"item {item}, attempt {attempt}")

    with pytest.raises(DataError) as caught:
        map_tasks(spark, [7], run, what="test")

    assert str(caught.value) == "item 7, attempt 0"


def test_a_worker_keeps_its_modules_from_the_garbage_collector(spark):
    def frozen(_item, _attempt):
        import gc

        return gc.get_freeze_count(), len(gc.get_objects())

    frozen_objects, others = map_tasks(spark, [0], frozen, what="test")[0]

    assert frozen_objects > others
