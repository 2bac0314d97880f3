"""Rows of a request -> an Arrow batch with the columns that a plan reads, in the types it was fitted on.

    text/csv                              lines of cells, with or without a header
    application/json                      {"instances": [...]}, a list, one object, {"columns", "data"}
    application/jsonlines                 an object or a list a line
    application/vnd.apache.arrow.stream   record batches

What cannot be read for certain is refused with row and column: nothing is guessed, nothing filled.
"""

from penstock.containers.rows.reader import RowReader
from penstock.containers.rows.schema import input_types

__all__ = ["RowReader", "input_types"]
