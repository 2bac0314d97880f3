"""The only SparkSession, and one way to run a Python function as Spark tasks."""

from __future__ import annotations

import logging
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from penstock.errors import InputError, PenstockError, ServiceError, listed
from penstock.java import java_home
from penstock.worker import settle

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

__all__ = ["Activity", "activity", "map_tasks", "named", "session", "sql_expression", "translated"]

T = TypeVar("T")
R = TypeVar("R")

STOP_GRACE_S = 20

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
    "spark.ui.showConsoleProgress": "false",  # progress.py shows it
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
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
        os.environ.setdefault("SPARK_CONF_DIR", str(Path(__file__).parent / "sparkconf"))
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
    with _interrupts_held():
        made = builder.getOrCreate()
    try:
        yield made
    except KeyboardInterrupt:
        _abandon(made)
        raise
    finally:
        made.stop()


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Keep Ctrl-C waiting while a session starts, and let it raise KeyboardInterrupt afterwards.

    pyspark sets a handler of its own, which talks to the JVM in the middle of another talk with it
    and loses both. The JVM and its Python workers inherit the mask: Ctrl-C is this process's to handle.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    logging.getLogger().addFilter(_no_py4j_traces)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _no_py4j_traces(record: logging.LogRecord) -> bool:
    """Drop the traceback that py4j logs to the root logger for every interrupt it passes on."""
    return "while sending command" not in str(record.msg)


def _abandon(session: SparkSession) -> None:
    """Stop a session whose main thread was interrupted while it waited for the JVM.

    That thread's connection still owes it an answer, so another thread, with a connection of its own,
    stops the context: running jobs are cancelled, and their cries are not for the user.
    """

    def stop() -> None:
        session.sparkContext.setLogLevel("OFF")
        session.sparkContext._jsc.sc().stop()

    stopping = threading.Thread(target=stop, daemon=True)
    stopping.start()
    stopping.join(STOP_GRACE_S)


@contextmanager
def named(session: SparkSession, what: str) -> Iterator[None]:
    """Show the Spark jobs of the block as ``what``, in Spark's lists and in the progress bar."""
    context, key = session.sparkContext, "spark.job.description"
    before = context.getLocalProperty(key)
    context.setLocalProperty(key, what)
    try:
        yield
    finally:
        context._jsc.setLocalProperty(key, before)  # pyspark's own refuses None, which unsets it


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
        PenstockError: A task raised it. It is raised here as it was there: after no retry, as a
            deliberate error says the same thing again, unless it is a service's that may pass.
    """
    if not items:
        return []
    last_attempt = _task_failures(session) - 1

    def guarded(item: T) -> tuple[R | None, PenstockError | None]:
        from pyspark import TaskContext

        settle()
        context = TaskContext.get()
        try:
            return run(item, context.attemptNumber() if context else 0), None
        except PenstockError as error:
            passes = isinstance(error, ServiceError) and error.retryable
            if passes and context and context.attemptNumber() < last_attempt:
                raise  # Spark runs the task again
            return None, error

    with named(session, what):
        outcomes = session.sparkContext.parallelize(items, len(items)).map(guarded).collect()
    for _, error in outcomes:
        if error is not None:
            raise error
    return [result for result, _ in outcomes]  # type: ignore[misc]


def _task_failures(session: SparkSession) -> int:
    """Return how often Spark lets a task fail: in ``local[n]`` once, in ``local[n,f]`` f times."""
    context = session.sparkContext
    master = context.master or ""
    if master.startswith("local") and not master.startswith("local-cluster"):
        given = re.fullmatch(r"local\[[^,]+,\s*(\d+)\]", master)
        return int(given[1]) if given else 1
    return int(context.getConf().get("spark.task.maxFailures", "4") or 4)


def sql_expression(rows: DataFrame, text: str, *, where: str) -> Column:
    """Return ``text`` as a column of ``rows``. Analyses, and starts no Spark job.

    Raises:
        InputError: It does not parse, or names what ``rows`` does not have; ``where`` says whose it is.
    """
    from pyspark.errors import AnalysisException, ParseException
    from pyspark.sql import functions as F

    try:
        rows.select(F.expr(text))
    except ParseException as error:
        raise InputError(f"{where}: {text!r} is not a SQL expression\n  {_first(error)}") from None
    except AnalysisException as error:
        hint = _first(error)
        raise InputError(
            f"{where}: {text!r} does not fit the table\n  {hint}\n  it has: {listed(rows.columns, 40)}"
        ) from None
    return F.expr(text)


def _first(error: Exception) -> str:
    """Return the first line of what Spark says, without its codes and position: alike on 3.5 and 4."""
    line = str(error).strip().splitlines()[0]
    line = re.sub(r"^\[[A-Z_.]+\] ", "", line).split("; line ")[0].split("(line ")[0].strip()
    return re.sub(r" SQLSTATE: \w{5}$", "", line).replace(
        "A column, variable, or function parameter", "A column or function parameter"
    )


@contextmanager
def translated() -> Iterator[None]:
    """Turn what Spark raises, once it has given up on a job, into a ServiceError.

    Raises:
        ServiceError: A job failed for a reason that is not one of ours: a full disk, a lost worker,
            an unreadable file. The foreign error is its ``__cause__``.
    """
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    try:
        yield
    except (Py4JError, PySparkException) as error:
        raise ServiceError(
            f"Spark gave up: {_root_cause(error)}\n"
            "  what the stage had begun is not taken for whole; mend the cause and run it again"
        ) from error
    except OSError as error:
        raise ServiceError(
            f"the system refused: {error}\n"
            "  what the stage had begun is not taken for whole; mend the cause and run it again"
        ) from error


def _root_cause(error: Exception) -> str:
    """Return the deepest 'Caused by' of a Java stack, or the last line of a Python worker's."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    causes = [line.removeprefix("Caused by: ") for line in lines if line.startswith("Caused by: ")]
    python = [line for line in lines if re.match(r"^[A-Za-z_.]+(Error|Exception): ", line)]
    found = causes[-1:] or python[-1:] or lines[:1] or [type(error).__name__]
    return found[0]


@dataclass(frozen=True, kw_only=True, slots=True)
class Activity:
    """What Spark is doing now, by its own status store.

    Attributes:
        what: Description of the job, or the stage's name.
        tasks_done: Finished tasks of the running stages.
        tasks: All tasks of the running stages.
        rows: Records that the running stages have read, from files or a shuffle.
        size_bytes: Bytes likewise.
    """

    what: str
    tasks_done: int
    tasks: int
    rows: int
    size_bytes: int


def activity(session: SparkSession) -> Activity | None:
    """Return what runs now, or None when nothing does. A few calls to the JVM, no job."""
    stages = session.sparkContext._jsc.sc().statusStore().activeStages()
    running = [stages.apply(i) for i in range(stages.size())]
    if not running:
        return None
    described = running[0].description()
    return Activity(
        what=described.get() if described.isDefined() else "",
        tasks_done=sum(stage.numCompleteTasks() for stage in running),
        tasks=sum(stage.numTasks() for stage in running),
        rows=sum(stage.inputRecords() + stage.shuffleReadRecords() for stage in running),
        size_bytes=sum(stage.inputBytes() + stage.shuffleReadBytes() for stage in running),
    )
