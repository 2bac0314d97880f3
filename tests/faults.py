"""Faults that befall a writer on Spark, and a driver of its own process to inject them into.

A fault strikes one task once: before it writes, in the middle of a shard, or when its shards are
written. It is shipped with the task, in the place of the function that Spark was to run; the
package knows nothing of it. Run as a program, this is a driver with its own Spark: it reads calls
as lines of JSON and answers each with one.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

DEADLINE_S = 60
POLL_S = 0.02
SLICE_ROWS = 100
SLICES_BEFORE = 3
ANSWER = "ANSWER "


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What happens to the task of a part.

    Attributes:
        when: ``before`` it writes, ``during`` a shard, or ``after`` its last.
        act: Name of a function below.
        part: Any part of the task.
        marks: Folder in which the fault leaves what it saw.
        target: Prefix of the dataset.
        twin_act: Name of what happens to the next attempt that comes there; empty: nothing.
    """

    when: str
    act: str
    part: int
    marks: str
    target: str
    twin_act: str = ""

    def strike(self) -> None:
        """Act, if this is the first to come here; the second does what twins do."""
        if mark(self.marks, "struck", self.seen()):
            ACTS[self.act](self)
        elif self.twin_act and mark(self.marks, "twin"):
            ACTS[self.twin_act](self)

    def seen(self) -> str:
        """Return what a reader of the dataset gets at this moment."""
        from penstock.dataset import open_dataset
        from penstock.errors import InputError

        try:
            return f"a dataset of {open_dataset(self.target).rows} rows"
        except InputError as error:
            return str(error)


def mark(folder: str, name: str, text: str = "") -> bool:
    """Leave a file; return whether it was not there."""
    try:
        with Path(folder, name).open("x") as stream:
            stream.write(text)
    except FileExistsError:
        return False
    return True


def await_mark(folder: str, name: str) -> None:
    """Wait until somebody leaves a file.

    Raises:
        TimeoutError: Nobody did.
    """
    give_up = time.monotonic() + DEADLINE_S
    while not Path(folder, name).exists():
        if time.monotonic() > give_up:
            mark(folder, "timeout", name)
            raise TimeoutError(f"nobody left {name!r} in {folder!r}")
        time.sleep(POLL_S)


def fail(fault: Fault) -> None:
    """Fail the task."""
    raise RuntimeError(f"injected {fault.when} the write")


def kill_worker(fault: Fault) -> None:
    """Kill the Python process of the task."""
    os.kill(os.getpid(), signal.SIGKILL)


def kill_executor(fault: Fault) -> None:
    """Kill the JVM that runs the task: worker <- daemon <- executor."""
    executor = parent_of(os.getppid())
    if "CoarseGrainedExecutorBackend" not in command_of(executor):
        raise RuntimeError(f"process {executor} is no executor: {command_of(executor)}")
    os.kill(executor, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def hang(fault: Fault) -> None:
    """Say who waits, and wait for an end that comes from outside."""
    family = [os.getpid(), os.getppid(), parent_of(os.getppid())]
    Path(fault.marks, "family.partial").write_text(json.dumps(family))
    Path(fault.marks, "family.partial").rename(Path(fault.marks, "family"))
    await_mark(fault.marks, "never")


def straggle(fault: Fault) -> None:
    """Wait until the driver has committed."""
    await_mark(fault.marks, "committed")


def wait_for_twin(fault: Fault) -> None:
    """Wait until a second attempt has come as far."""
    await_mark(fault.marks, "twin")


def none(fault: Fault) -> None:
    """Do nothing."""


ACTS: dict[str, Callable[[Fault], None]] = {
    each.__name__: each
    for each in (fail, kill_worker, kill_executor, hang, straggle, wait_for_twin, none)
}


def parent_of(pid: int) -> int:
    """Return the parent of a process."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def command_of(pid: int) -> str:
    """Return the command line of a process; empty when it is gone."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return ""


def struck_batches(batches: Iterable[Any], fault: Fault) -> Iterator[Any]:
    """Yield batches in small slices; the fault strikes after some of them."""
    count = 0
    for batch in batches:
        for first in range(0, batch.num_rows, SLICE_ROWS):
            if count == SLICES_BEFORE:
                fault.strike()
            yield batch.slice(first, SLICE_ROWS)
            count += 1


def parquet_run(run: Callable[[Any, int], Any], fault: Fault) -> Callable[[Any, int], Any]:
    """Return what a task of ``write_parquet`` runs, with the fault in it."""

    def struck(pieces: Any, attempt: int) -> Any:
        if all(piece.part != fault.part for piece in pieces):
            return run(pieces, attempt)
        from penstock.curated import RowRange

        whole = RowRange.batches

        def batches(self: RowRange, *args: Any, **options: Any) -> Iterator[Any]:
            return struck_batches(whole(self, *args, **options), fault)

        if fault.when == "before":
            fault.strike()
        try:
            if fault.when == "during":
                RowRange.batches = batches  # type: ignore[method-assign]
            found = run(pieces, attempt)
            if fault.when == "after":
                fault.strike()
        finally:
            RowRange.batches = whole  # type: ignore[method-assign]
            mark(fault.marks, f"ended-{attempt}")
        return found

    return struck


def frame_run(
    run: Callable[[Iterable[Any]], Iterator[Any]], fault: Fault
) -> Callable[[Iterable[Any]], Iterator[Any]]:
    """Return what a task of ``write_dataframe`` runs, with the fault in it."""

    def struck(batches: Iterable[Any]) -> Iterator[Any]:
        from pyspark import TaskContext

        context = TaskContext.get()
        if context is None or context.partitionId() != fault.part:
            yield from run(batches)
            return
        if fault.when == "before":
            fault.strike()
        yield from run(struck_batches(batches, fault) if fault.when == "during" else batches)
        if fault.when == "after":
            fault.strike()

    return struck


# ---- the driver


def write(
    session: Any,
    *,
    how: str,
    source: str,
    target: str,
    fault: dict[str, Any] | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Write a dataset, with a fault on the way, and say what became of it."""
    from penstock import spark, writer
    from penstock.errors import PenstockError
    from penstock.writer import frames

    map_tasks, task = spark.map_tasks, frames._task
    if fault is not None:
        struck = Fault(**fault)

        def struck_tasks(session: Any, items: Any, run: Any, *, what: str) -> Any:
            return map_tasks(session, items, parquet_run(run, struck), what=what)

        def struck_task(target: Any) -> Any:
            return frame_run(task(target), struck)

        spark.map_tasks, frames._task = struck_tasks, struck_task
    try:
        if how == "parquet":
            found = writer.write_parquet(session, source, target, label="y", **options)
        else:
            rows = session.read.parquet(source)
            found = writer.write_dataframe(rows, target, label="y", **options)
    except PenstockError as error:
        return {"error": str(error)}
    finally:
        spark.map_tasks, frames._task = map_tasks, task
    if fault is not None:
        mark(fault["marks"], "committed")
    return {"rows": found.rows, "shards": [shard.name for shard in found.shards]}


def serve(master: str, conf: dict[str, str]) -> None:
    """Answer calls until there are no more."""
    from penstock import spark

    os.environ["PENSTOCK_SPARK_MASTER"] = master
    local = spark.LOCAL_SETTINGS
    with spark.session("faults", conf={**local, **conf}) as session:
        for line in sys.stdin:
            sys.stdout.write(f"{ANSWER}{json.dumps(write(session, **json.loads(line)))}\n")
            sys.stdout.flush()


class Cluster:
    """A Spark master and two workers, of one slot each, that take themselves for two hosts.

    On one host Spark starts no twin: it wants another host for it.
    """

    HOSTS = ("127.0.0.1", "127.0.0.2")

    def __init__(self, folder: Path) -> None:
        """Start the three processes, with logs in ``folder``."""
        self.folder = folder
        self.processes: list[subprocess.Popen[bytes]] = []
        try:
            self._start("master.Master", "--host", self.HOSTS[0], "--port", "0")
            self.master = self._logged(0, r"Starting Spark master at (spark://\S+)")
            for host in self.HOSTS:
                size = ["--cores", "1", "--memory", "1g", "--work-dir", str(folder / host)]
                self._start("worker.Worker", "--host", host, *size, self.master)
            for number in (1, 2):
                self._logged(number, r"(Successfully registered) with master")
        except BaseException:
            self.stop()
            raise

    def _start(self, name: str, *args: str) -> None:
        import pyspark

        from penstock.java import java_home

        home = Path(pyspark.__file__).parent
        command = [str(home / "bin" / "spark-class"), f"org.apache.spark.deploy.{name}"]
        settings = {
            "JAVA_HOME": str(java_home()),
            "SPARK_HOME": str(home),
            "SPARK_CONF_DIR": str(self.folder),
            "SPARK_LOCAL_DIRS": str(self.folder),
            "PYTHONPATH": pythonpath(),
        }
        log = self.folder / f"log{len(self.processes)}"
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [*command, "--webui-port", "0", *args],
                stdout=stream,
                stderr=stream,
                env=os.environ | settings,
            )
        self.processes.append(process)

    def _logged(self, number: int, pattern: str) -> str:
        """Return what a process says, once it does."""
        give_up = time.monotonic() + DEADLINE_S
        log = self.folder / f"log{number}"
        while (found := re.search(pattern, log.read_text())) is None:
            if time.monotonic() > give_up:
                raise TimeoutError(f"{pattern!r} is not in:\n{log.read_text()[-3000:]}")
            time.sleep(POLL_S)
        return found[1]

    def stop(self) -> None:
        """End the processes that this object started."""
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            process.wait(DEADLINE_S)


def pythonpath() -> str:
    """Return where workers find this module and the package."""
    here = Path(__file__).parent
    given = [path for path in [os.environ.get("PYTHONPATH")] if path]
    return os.pathsep.join([str(here), str(here.parent), *given])


class Driver:
    """A process with a Spark of its own, for the span of a ``with``."""

    def __init__(self, master: str, log: Path, **conf: str) -> None:
        """Start it; it is ready when it first answers."""
        self.log = log
        self._stderr = log.open("w")
        self.process = subprocess.Popen(
            [sys.executable, __file__, master, json.dumps(conf)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
            env=os.environ | {"PYTHONPATH": pythonpath()},
        )

    def send(self, *, fault: Fault | None = None, **call: Any) -> None:
        """Ask for a dataset; see :func:`write`."""
        body = call | {"fault": None if fault is None else asdict(fault)}
        if self.process.stdin is None:
            raise RuntimeError("the driver has no standard input")
        self.process.stdin.write(json.dumps(body) + "\n")
        self.process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """Return what became of it."""
        for line in self.process.stdout or ():
            if line.startswith(ANSWER):
                return dict(json.loads(line.removeprefix(ANSWER)))
        raise RuntimeError(f"the driver ended:\n{self.log.read_text()[-3000:]}")

    def call(self, **call: Any) -> dict[str, Any]:
        """Ask, and return the answer."""
        self.send(**call)
        return self.answer()

    def kill(self) -> None:
        """End the Python driver as the kernel does when memory is out."""
        self.process.kill()
        self._close()

    def __enter__(self) -> Driver:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None and self.process.stdin is not None:
            self.process.stdin.close()
            try:
                self.process.wait(DEADLINE_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self._close()

    def _close(self) -> None:
        self.process.wait(DEADLINE_S)
        for stream in (self.process.stdin, self.process.stdout, self._stderr):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()


if __name__ == "__main__":
    # Workers import this module by its name, so it must not be called __main__ here.
    import faults  # type: ignore[import-not-found]

    faults.serve(sys.argv[1], json.loads(sys.argv[2]))
