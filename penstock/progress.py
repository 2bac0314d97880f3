"""What a person sees while stages run: a bar per stage on a terminal, a line per stage elsewhere.

The bar's numbers are Spark's own (``penstock.spark.activity``), asked for four times a second from a
thread that ends with the stage.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from penstock.spark import Activity, activity

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from penstock.stages import Outcome

__all__ = ["Screen", "closing_table", "outputs_table"]

POLL_S = 0.25


class Screen:
    """Shows stages as they run. Standard error is for progress; standard output for results."""

    def __init__(self, console: Console) -> None:
        """Show on ``console``."""
        self.console = console
        self._session: SparkSession | None = None
        self._said = ""

    def watch(self, session: SparkSession) -> None:
        """Ask this session what it is doing, from now on."""
        self._session = session

    def say(self, line: str) -> None:
        """Show a stage's own words, such as the last line of a training log."""
        self._said = line

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Show a bar for as long as the block runs; on anything but a terminal, nothing."""
        self._said = ""
        if not self.console.is_terminal:
            yield
            return
        bar = Progress(
            SpinnerColumn(),
            TextColumn("[bold]{task.fields[stage]:<9}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[detail]}"),
            TimeElapsedColumn(),
            console=self.console,
            transient=True,
        )
        ended = threading.Event()
        with bar:
            task = bar.add_task(name, total=None, stage=name, detail="starting")
            poll = threading.Thread(target=self._poll, args=(bar, task, ended), daemon=True)
            poll.start()
            try:
                yield
            finally:
                ended.set()
                poll.join()

    def _poll(self, bar: Progress, task: TaskID, ended: threading.Event) -> None:
        from py4j.protocol import Py4JError

        what, since = "", time.monotonic()
        while not ended.wait(POLL_S):
            try:
                now = activity(self._session) if self._session is not None else None
            except (Py4JError, OSError):  # the session is stopping; the bar only decorates
                return
            if now is not None:
                if now.what != what:
                    what, since = now.what, time.monotonic()
                detail = _detail(now, time.monotonic() - since)
                bar.update(task, total=now.tasks, completed=now.tasks_done, detail=detail)
            elif self._said:
                bar.update(task, total=None, detail=escape(self._said[:60].replace("\t", " ")))


def _detail(now: Activity, seconds: float) -> str:
    """Return what runs, its tasks and, as far as Spark has been told, its mean rates."""
    text = f"{now.what[:24]} {now.tasks_done}/{now.tasks} tasks"
    if now.rows and seconds > POLL_S:
        text += f" {now.rows / seconds:,.0f} rows/s {now.size_bytes / seconds / 1e6:,.1f} MB/s"
    return escape(text.strip())


def closing_table(outcomes: list[Outcome]) -> Table:
    """Return the table that a run ends with: a row per stage, its time and rates."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("stage")
    table.add_column("")
    for name in ("seconds", "rows", "rows/s", "MB", "MB/s"):
        table.add_column(name, justify="right", no_wrap=True)
    for outcome in outcomes:
        record = outcome.record
        row = [f"{record.rows:,}", f"{record.size_bytes / 1e6:,.1f}"]
        if outcome.skipped:
            table.add_row(record.stage, "[dim]skipped[/]", "", row[0], "", row[1], "")
            continue
        seconds = max(record.seconds, 1e-3)
        rates = [f"{record.rows / seconds:,.0f}", f"{record.size_bytes / seconds / 1e6:,.1f}"]
        row = [f"{seconds:,.1f}", row[0], rates[0], row[1], rates[1]]
        table.add_row(record.stage, "[green]ran[/]", *row)
    return table


def outputs_table(outcomes: list[Outcome]) -> Table:
    """Return what the stages left behind, below the root."""
    table = Table(box=None, pad_edge=False, show_header=False)
    for outcome in outcomes:
        for path in outcome.record.outputs.values():
            table.add_row(outcome.record.stage, path)
    return table
