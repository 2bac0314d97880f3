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


def test_a_worker_reads_the_archives_it_was_born_with_once(spark):
    """Before each task pyspark has Python forget what its archives hold."""

    def reads(_item, _attempt):
        import zipimport

        if not hasattr(zipimport, "reads_seen"):
            zipimport.reads_seen, zipimport.read = [], zipimport._read_directory
        seen, zipimport.reads_seen[:] = list(zipimport.reads_seen), []
        zipimport._read_directory = lambda path: (
            zipimport.reads_seen.append(path) or zipimport.read(path)
        )
        return seen

    def kept(_item, _attempt):
        import sys
        import zipimport

        if hasattr(zipimport, "read"):
            zipimport._read_directory = zipimport.read
        archives = [
            f for f in sys.path_importer_cache.values() if isinstance(f, zipimport.zipimporter)
        ]
        return len(archives), sum("invalidate_caches" in vars(archive) for archive in archives)

    for _ in range(3):
        found = map_tasks(spark, range(4), reads, what="test")

    assert found == [[]] * 4
    for archives, those_kept in map_tasks(spark, range(4), kept, what="test"):
        assert archives == those_kept
        assert archives > 0
