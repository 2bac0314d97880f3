"""What is said of a cell that is not what its column was fitted on."""

from __future__ import annotations

from penstock.containers.rows.schema import WORDS, shape_of
from penstock.encode import Where
from penstock.errors import DataError

__all__ = ["shown", "wrong_cell"]

SHOWN_CHARACTERS = 60


def shown(cell: object) -> str:
    """Return a cell for an error, not all of it if it is long."""
    found = ascii(cell) if isinstance(cell, str) and not cell.isprintable() else repr(cell)
    return found if len(found) <= SHOWN_CHARACTERS else found[:SHOWN_CHARACTERS] + "..."


def wrong_cell(column: str, at: int, cell: object, fitted: str, where: Where) -> DataError:
    """Return the error that a cell is not what its column was fitted on.

    Args:
        column: Its name.
        at: The cell's place in the batch.
        cell: What was found.
        fitted: Text of the Arrow type that the plan's column was fitted on.
        where: What errors call the rows.
    """
    words = WORDS[shape_of(fitted)]
    remedy = f"send {words.split(',')[0]}, or null where it is missing"
    if shape_of(fitted) == "nothing":
        remedy = "send null, or fit again on rows like these"
    return DataError(
        f"table {where.table!r}, column {column!r}: row {where.first_row + at:,} is {shown(cell)}, "
        f"expected {words} (fitted on {fitted})\n  {remedy}"
    )
