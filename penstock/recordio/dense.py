"""A float32 array and labels -> RecordIO bytes, all rows at once.

With a fixed number of float32 columns all records are equal but for the values: the bytes of one,
as google.protobuf serialises it, are a template, and two fields of a structured array, the values
and the label, are assigned. Blocks of rows that fit the processor's cache keep the check for NaN
from reading the memory twice.
"""

from __future__ import annotations

import numpy as np

from penstock.recordio.checks import (
    LABEL,
    Floats,
    check_dense,
    check_finite,
    check_finite_labels,
    check_labels,
    check_row_bytes,
    frame_head,
)
from penstock.recordio.framing import HEADER_BYTES, padded
from penstock.recordio.message import FLOAT32, Tensor, pieces, plain_row

__all__ = ["encode_dense"]

_BLOCK_BYTES = 1 << 21
_FLOAT_BYTES = 4


def encode_dense(
    features: Floats, labels: Floats | None = None, *, allow_nonfinite: bool = False
) -> memoryview:
    """Return one frame per row, as google.protobuf would serialise the records.

    Args:
        features: float32 (rows, columns), at least one column; any memory order.
        labels: float32 (rows,); without them the records have no label.
        allow_nonfinite: Write NaN and infinity instead of refusing them.

    Returns:
        A buffer of bytes that nothing else refers to.

    Raises:
        InputError: Wrong type, shape or number of labels.
        DataError: NaN or infinity; names row and column.
    """
    check_dense(features)
    rows, width = features.shape
    check_labels(labels, rows)
    if labels is not None and not allow_nonfinite:
        check_finite_labels(labels)
    template, record = _template(width, labelled=labels is not None)
    encoded = np.empty(rows, record)
    constants = [name for name in record.names or () if name not in {"values", "label"}]
    step = max(1, _BLOCK_BYTES // record.itemsize)
    for first in range(0, rows, step):
        part = encoded[first : first + step]
        block = np.ascontiguousarray(features[first : first + step])
        if not allow_nonfinite:
            check_finite(block, first)
        for name in constants:
            part[name] = template[name]
        part["values"] = block.view(f"V{_FLOAT_BYTES * width}")[:, 0]
        if labels is not None:
            part["label"] = np.ascontiguousarray(labels[first : first + step]).view("V4")
    return encoded.view(np.uint8).data


def _template(width: int, *, labelled: bool) -> tuple[np.void, np.dtype[np.void]]:
    """Return one frame whose numbers are zero, and its fields.

    ``values`` and ``label`` are the packed floats; ``before_values``, ``before_label`` and
    ``after`` are the constant bytes around them, frame header and padding included.
    """
    check_row_bytes(_FLOAT_BYTES * width)
    features = Tensor(kind=FLOAT32, values=bytes(_FLOAT_BYTES * width))
    found = pieces(plain_row(features, LABEL if labelled else None))
    payload = b"".join(piece.content for piece in found)
    fields: list[tuple[str, int]] = []
    constant = HEADER_BYTES
    for piece in found:
        if piece.what in {"blob", "inline"}:
            name = "values" if piece.what == "blob" else "label"
            fields += [(f"before_{name}", constant), (name, len(piece.content))]
            constant = 0
        else:
            constant += len(piece.content)
    frame = (frame_head(len(payload)) + payload).ljust(HEADER_BYTES + padded(len(payload)), b"\0")
    fields.append(("after", len(frame) - sum(size for _, size in fields)))
    record = np.dtype([(name, f"V{size}") for name, size in fields if size])
    return np.frombuffer(frame, record)[0], record
