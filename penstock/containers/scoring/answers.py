"""Predictions -> the bytes of an answer, as the built-in algorithms give them.

    application/json                  {"predictions": [{"score": 0.9, "predicted_label": 1}, ...]}
    application/jsonlines             {"score": 0.9, "predicted_label": 1}          a line a row
    text/csv                          0.9,1                                         a line a row
    application/x-recordio-protobuf   Records without features; label: {"score": [0.9], ...}

Numbers in texts are the shortest that give the same double; RecordIO holds float32. Nothing loops
over rows in Python.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penstock.containers.scoring.requests import CSV, JSON, RECORDIO
from penstock.recordio.checks import frame_head
from penstock.recordio.framing import HEADER_BYTES, padded
from penstock.recordio.message import FLOAT32, Entry, Row, Tensor, pieces

__all__ = ["Columns", "answered"]

Columns = Mapping[str, NDArray[Any]]
"""Predictions by name, in order: each (n,), or (n, k) where a row has several."""

FLOAT_BYTES = 4


def answered(columns: Columns, media: str, *, top: str = "predictions") -> bytes:
    """Return predictions as bytes.

    Args:
        columns: At least one; all finite.
        media: One of those above.
        top: What a JSON answer calls the list.
    """
    if media == RECORDIO:
        return _records(columns)
    if media == CSV:
        return _csv(columns)
    # A list of objects of numbers: no brace is in a text.
    objects = json.dumps(list(_objects(columns)), separators=(",", ":"), allow_nan=False)
    if media == JSON:
        return f'{{"{top}":{objects}}}'.encode()
    lines = objects[1:-1].replace("},{", "}\n{")
    return lines.encode() + b"\n" if lines else b""


def _objects(columns: Columns) -> Iterator[dict[str, Any]]:
    rows = zip(*(column.tolist() for column in columns.values()), strict=True)
    return map(dict, map(zip, repeat(tuple(columns)), rows))


def _csv(columns: Columns) -> bytes:
    whole = [_matrix(column) for column in columns.values()]
    # (row, cell), each as its own type: labels are whole numbers
    cells = (column[:, at].tolist() for column in whole for at in range(column.shape[1]))
    texts = map(",".join, zip(*(map(repr, cell) for cell in cells), strict=True))
    lines = "\n".join(texts)
    return lines.encode() + b"\n" if lines else b""


def _matrix(column: NDArray[Any]) -> NDArray[Any]:
    return column[:, None] if column.ndim == 1 else column


def _records(columns: Columns) -> bytes:
    """Return one frame a row: the same bytes but for the values, so a template is tiled."""
    values = [_matrix(column).astype("<f4") for column in columns.values()]
    entries = tuple(
        Entry(
            label=True,
            name=name.encode(),
            tensor=Tensor(kind=FLOAT32, values=bytes(FLOAT_BYTES * each.shape[1])),
        )
        for name, each in zip(columns, values, strict=True)
    )
    payload, places = b"", {}
    for piece in pieces(Row(entries=entries)):
        if piece.what in ("inline", "blob"):
            places[piece.entry] = HEADER_BYTES + len(payload)
        payload += piece.content
    frame = (frame_head(len(payload)) + payload).ljust(HEADER_BYTES + padded(len(payload)), b"\0")
    # one row of bytes for each frame
    frames = np.tile(np.frombuffer(frame, np.uint8), (len(values[0]), 1))
    for entry, each in enumerate(values):
        raw = np.ascontiguousarray(each).view(np.uint8)
        frames[:, places[entry] : places[entry] + raw.shape[1]] = raw
    return frames.tobytes()
