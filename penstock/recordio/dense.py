"""A float32 array and labels -> RecordIO bytes, all rows at once.

With a fixed number of float32 columns all records are equal but for the values: the bytes of one,
as google.protobuf serialises it, are a template. What stands between the values of one row and
those of the next (label, padding, frame header, tags and lengths) is one constant piece, so a row
costs two strided copies, one of the constant and one of the values, and four bytes of label.
Blocks of rows that fit the processor's cache keep the check for NaN from reading the memory twice.
An encoder that is kept writes the constants once for all batches.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from penstock.errors import InputError
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
from penstock.recordio.segments import Bytes

__all__ = ["DenseEncoder", "encode_dense"]

_BLOCK_BYTES = 1 << 20
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
    encoder = DenseEncoder(
        features.shape[1], labelled=labels is not None, allow_nonfinite=allow_nonfinite
    )
    return encoder.encode(features, labels)


class DenseEncoder:
    """Encodes batch after batch into one buffer: less than half the work of ``encode_dense``.

    The buffer keeps what all rows have in common, and its pages; a batch only adds its numbers.

    >>> encoder = DenseEncoder(2, labelled=False)
    >>> rows = np.array([[1, 2], [3, 4]], np.float32)
    >>> bytes(encoder.encode(rows)) == bytes(encode_dense(rows))
    True
    """

    def __init__(self, width: int, *, labelled: bool, allow_nonfinite: bool = False) -> None:
        """Prepare for rows of one form.

        Args:
            width: Columns of every batch.
            labelled: Whether every batch has labels.
            allow_nonfinite: Write NaN and infinity instead of refusing them.

        Raises:
            InputError: A frame cannot hold so many columns.
        """
        self._width, self._labelled, self._allow_nonfinite = width, labelled, allow_nonfinite
        self._template = _template(width, labelled=labelled)
        self._space = np.empty(0, np.uint8)
        self._ready = 0

    def encode(self, features: Floats, labels: Floats | None = None) -> memoryview:
        """Return one frame per row. The bytes are valid until the next call.

        Args:
            features: float32 (rows, width); any memory order.
            labels: float32 (rows,), if the encoder is for labelled rows.

        Raises:
            InputError: Wrong type, shape or number of labels.
            DataError: NaN or infinity; names row and column of the batch.
        """
        check_dense(features)
        rows, width = features.shape
        check_labels(labels, rows)
        if width != self._width or (labels is not None) != self._labelled:
            words = [_form(width, labels is not None), _form(self._width, self._labelled)]
            raise InputError(f"features: the batch is {words[0]}, the encoder is for {words[1]}")
        if labels is not None and not self._allow_nonfinite:
            check_finite_labels(labels)
        size = rows * len(self._template.frame)
        if self._space.size < size:
            self._space, self._ready = np.empty(size, np.uint8), 0
        self._fill(self._space[:size], features, labels)
        self._ready = max(self._ready, rows)
        return self._space[:size].data

    def _fill(self, encoded: Bytes, features: Floats, labels: Floats | None) -> None:
        """Write the rows, and the constants of those for which they are not there yet."""
        frame, begin, label_at = self._template.frame, self._template.begin, self._template.label_at
        rows, stride, values_bytes = features.shape[0], len(frame), _FLOAT_BYTES * self._width
        if not rows:
            return
        # The constant that follows a row's values: to the end of its frame, and the next one's head.
        constant = np.void(frame[begin + values_bytes :] + frame[:begin])
        behind, strides = begin + values_bytes, (stride,)
        between = np.ndarray(
            (rows - 1,), constant.dtype, encoded.data, behind if rows > 1 else 0, strides
        )
        values = np.ndarray((rows,), f"V{values_bytes}", encoded.data, begin, strides)
        label = np.ndarray((rows,), "<f4", encoded.data, label_at, strides)
        if not self._ready:
            encoded[:begin] = np.frombuffer(frame, np.uint8, begin)
        encoded[encoded.size - stride + behind :] = np.frombuffer(frame, np.uint8, offset=behind)
        step = max(1, _BLOCK_BYTES // stride)
        for first in range(0, rows, step):
            last = min(rows, first + step)
            block = np.ascontiguousarray(features[first:last])
            if not self._allow_nonfinite:
                check_finite(block, first)
            values[first:last] = block.view(values.dtype)[:, 0]
            if last > self._ready:
                between[max(first, self._ready - 1, 0) : last] = constant
            if labels is not None:
                label[first:last] = labels[first:last]


def _form(width: int, labelled: bool) -> str:  # noqa: FBT001
    return f"{width} columns {'with' if labelled else 'without'} labels"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Template:
    """One frame whose numbers are zero, header and padding included.

    Attributes:
        frame: Its bytes.
        begin: Where its values begin.
        label_at: Where its label's value begins; 0 without one.
    """

    frame: bytes
    begin: int
    label_at: int


@lru_cache(maxsize=16)
def _template(width: int, *, labelled: bool) -> _Template:
    check_row_bytes(_FLOAT_BYTES * width)
    features = Tensor(kind=FLOAT32, values=bytes(_FLOAT_BYTES * width))
    begin = label_at = 0
    payload = b""
    for piece in pieces(plain_row(features, LABEL if labelled else None)):
        if piece.what == "blob":
            begin = HEADER_BYTES + len(payload)
        elif piece.what == "inline":
            label_at = HEADER_BYTES + len(payload)
        payload += piece.content
    frame = (frame_head(len(payload)) + payload).ljust(HEADER_BYTES + padded(len(payload)), b"\0")
    return _Template(frame=frame, begin=begin, label_at=label_at)
