"""Tables on a terminal; in a pipe the same words without colours and without blanks at line ends."""

from __future__ import annotations

from typing import Any

from rich.console import Console

__all__ = ["put"]


def put(console: Console, table: Any) -> None:
    """Print a table."""
    if console.is_terminal:
        console.print(table)
        return
    with console.capture() as captured:
        console.print(table)
    lines = (line.rstrip() for line in captured.get().splitlines())
    console.file.write("".join(f"{line}\n" for line in lines))
