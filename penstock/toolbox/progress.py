"""How far a long read has come: a bar on a terminal's standard error, nothing anywhere else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

__all__ = ["Advance", "shown"]

Advance = Callable[[int], None]
"""Called with the bytes of every read."""


@contextmanager
def shown(what: str, total_bytes: int | None, console: Console | None = None) -> Iterator[Advance]:
    """Give a function that takes bytes read and moves a bar, or a spinner when the end is unknown.

    Args:
        what: One word in front of it.
        total_bytes: All that will be read; None for a pipe.
        console: Where to show it; standard error when None. Anything but a terminal shows nothing.
    """
    console = console or Console(stderr=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    columns: list[ProgressColumn] = [TextColumn("{task.description}")]
    if total_bytes is None:
        columns += [SpinnerColumn(), DownloadColumn(), TransferSpeedColumn(), TimeElapsedColumn()]
    else:
        columns += [BarColumn(bar_width=24), DownloadColumn(), TransferSpeedColumn()]
        columns.append(TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(what, total=total_bytes)
        yield lambda size_bytes: bar.advance(task, size_bytes)
