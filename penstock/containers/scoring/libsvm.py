"""LibSVM rows -> CSR: ``1 0:0.5 7:1``, a line a row; the label may be absent, and is not looked at."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from penstock.errors import DataError

__all__ = ["libsvm_rows"]

_NUMBER = rb"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_LINE = re.compile(
    rb"[ \t]*(?:" + _NUMBER + rb"(?=[ \t\r]|$)[ \t]*)?(?:\d+:" + _NUMBER + rb"[ \t]*)*\r?"
)
_LABEL = re.compile(rb"(?m)^[ \t]*" + _NUMBER + rb"(?=[ \t\r]|$)")
SHOWN_BYTES = 60


def libsvm_rows(body: bytes, width: int, source: str) -> Any:
    """Return the rows of a LibSVM body, a float32 CSR array (n, width). Columns count from 0.

    Raises:
        DataError: A line is no such row, or a column is past ``width``; names the row.
    """
    from scipy import sparse

    lines = body.removesuffix(b"\n").split(b"\n")
    if not all(map(_LINE.fullmatch, lines)):
        at = next(at for at, line in enumerate(lines) if not _LINE.fullmatch(line))
        raise DataError(
            f"{source}, row {at:,}: it is {lines[at][:SHOWN_BYTES].decode(errors='replace')!r}, "
            "expected a label or none, then column:value, as '1 0:0.5 7:1'"
        )
    bare = _LABEL.sub(b"", body.removesuffix(b"\n"))
    counts = [line.count(b":") for line in bare.split(b"\n")]
    # columns and values by turns
    numbers = np.array(bare.replace(b":", b" ").split(), np.float64).reshape(-1, 2)
    columns = numbers[:, 0].astype(np.int64)
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    past = columns >= width
    if past.any():
        first = int(past.argmax())
        at = int(np.searchsorted(starts, first, "right")) - 1
        raise DataError(
            f"{source}, row {at:,}: column {columns[first]} is none of the {width:,} features, which "
            "count from 0"
        )
    found = sparse.csr_array(
        (numbers[:, 1].astype(np.float32), columns, starts), shape=(len(counts), width)
    )
    found.sum_duplicates()
    return found
