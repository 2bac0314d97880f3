"""The only SparkSession, and one way to run a Python function as Spark tasks."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from penstock.errors import PenstockError
from penstock.java import java_home

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["map_tasks", "session"]

T = TypeVar("T")
R = TypeVar("R")

SETTINGS: Mapping[str, str] = {
    "spark.sql.session.timeZone": "UTC",  # the same timestamps on every machine
    "spark.sql.ansi.enabled": "false",  # 3.5 and 4.x alike; casts that must not fail say try_cast
    "spark.sql.parquet.compression.codec": "zstd",
    "spark.sql.sources.partitionOverwriteMode": "static",
    # Spark's Parquet readers meet INT96 nowhere else; pyarrow and Athena want plain microseconds.
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
}
LOCAL_SETTINGS: Mapping[str, str] = {
    "spark.ui.enabled": "false",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.memory": "2g",
    "spark.sql.shuffle.partitions": "8",
    "spark.log.level": "ERROR",
}


@contextmanager
def session(name: str, *, conf: Mapping[str, str] | None = None) -> Iterator[SparkSession]:
    """Give the session of this process and stop it at the end, if this call made it.

    Under spark-submit, EMR or Glue the master is theirs; started as plain Python it is
    ``local[*]``. Costs a JVM start, about 3 s, the first time.

    Args:
        name: What the application is called in Spark's lists.
        conf: Settings on top of ours.

    Raises:
        InputError: No Java 17 or 21 is on this machine.
    """
    # Python workers must be this interpreter, and the gateway must find a Java.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    if "PYSPARK_GATEWAY_PORT" not in os.environ:
        os.environ["JAVA_HOME"] = str(java_home())
    from pyspark.conf import SparkConf
    from pyspark.sql import SparkSession

    running = SparkSession.getActiveSession()
    if running is not None:
        yield running
        return
    given = SparkConf()
    builder = SparkSession.builder.appName(f"penstock {name}")
    master = given.get("spark.master", None)
    settings = dict(SETTINGS)
    if master is None or master.startswith("local"):
        builder = builder.master(master or os.environ.get("PENSTOCK_SPARK_MASTER", "local[*]"))
        settings |= {k: v for k, v in LOCAL_SETTINGS.items() if not given.contains(k)}
    for key, value in (settings | dict(conf or {})).items():
        builder = builder.config(key, value)
    made = builder.getOrCreate()
    made.sparkContext.setLogLevel("ERROR")
    try:
        yield made
    finally:
        made.stop()


def map_tasks(
    session: SparkSession, items: Sequence[T], run: Callable[[T, int], R], *, what: str
) -> list[R]:
    """Call ``run(item, attempt)`` in one Spark task for each item. Runs exactly one Spark job.

    Scheduling, retries and speculation are Spark's. What comes back passes through the driver:
    return small states, never rows.

    Args:
        session: Where to run.
        items: What each task gets; small, as they travel with the task.
        run: A function that workers can import, or a closure of such. ``attempt`` counts from 0.
        what: Shown in Spark's lists and in the progress bar.

    Returns:
        One result per item, in the order of the items.

    Raises:
        PenstockError: A task raised it. It is raised here as it was there, after no retry:
            a deliberate error says the same thing again.
    """
    if not items:
        return []

    def guarded(item: T) -> tuple[R | None, PenstockError | None]:
        from pyspark import TaskContext

        context = TaskContext.get()
        try:
            return run(item, context.attemptNumber() if context else 0), None
        except PenstockError as error:
            return None, error

    context = session.sparkContext
    context.setJobDescription(what)
    outcomes = context.parallelize(items, len(items)).map(guarded).collect()
    context.setJobDescription("")
    for _, error in outcomes:
        if error is not None:
            raise error
    return [result for result, _ in outcomes]  # type: ignore[misc]
