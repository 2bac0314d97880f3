"""Dense records of one size, one behind another: most files, and the fastest way through them.

All their frames are alike but for the numbers, so what stands between the values of one row and
those of the next is the same bytes everywhere, the frame header among them:

    | head | values | tail  head | values | tail  head | values | tail |
                     `- between -'         `- between -'

One record, parsed with care, says where the values are and what stands between them. The rest is
compared with it, every byte, and the values are copied, in blocks that fit the processor's cache.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from penstock.errors import DataError
from penstock.recordio.framing import HEADER_BYTES, MAGIC, padded
from penstock.recordio.message import FLOAT32, FLOAT64, NAME, Tensor, parse, pieces
from penstock.recordio.segments import Bytes

__all__ = ["Uniform", "decode_uniform", "frame_bytes"]

Uniform = tuple[npt.NDArray[Any], npt.NDArray[Any] | None]
"""Features (rows, columns); labels (rows,) or (rows, k), or None."""

_BLOCK_BYTES = 1 << 19
_DTYPES: dict[int, np.dtype[Any]] = {FLOAT32: np.dtype("<f4"), FLOAT64: np.dtype("<f8")}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Form:
    """What one frame tells of all.

    Attributes:
        values_at: Where its values begin, counted from the frame's begin.
        values: Type of the values.
        width: How many values it has.
        label_at: Where its label's values begin.
        label: Type of the label.
        label_width: How many values the label has; 0 without one.
    """

    values_at: int
    values: np.dtype[Any]
    width: int
    label_at: int = 0
    label: np.dtype[Any] = _DTYPES[FLOAT32]
    label_width: int = 0


def frame_bytes(data: Bytes, at: int) -> int | None:
    """Return the size of the whole frame that begins at a byte; None if none does."""
    head = data[at : at + HEADER_BYTES].tobytes()
    if len(head) < HEADER_BYTES or head[:4] != MAGIC.to_bytes(4, "little"):
        return None
    size = int.from_bytes(head[4:], "little")
    return None if size >> 29 else HEADER_BYTES + padded(size)


def decode_uniform(data: Bytes, *, copy: bool = True) -> Uniform | None:
    """Return the rows of frames that are alike but for their numbers.

    Args:
        data: uint8 (bytes,), contiguous, begins on a frame boundary.
        copy: Whether the features must not be a view of ``data``.

    Returns:
        None when the frames are not so, or not as they should be: who knows them better says why.
        Without ``copy`` the features are a read-only view, its rows a frame apart.
    """
    stride = frame_bytes(data, 0)
    if stride is None or data.size % stride:
        return None
    form = _form_of(data[:stride].tobytes())
    if form is None:
        return None
    rows = data.size // stride
    every = np.ndarray(
        (rows, form.width), form.values, data.data, form.values_at, (stride, form.values.itemsize)
    )
    every.flags.writeable = False
    features = np.empty((rows, form.width), form.values) if copy else every
    labels = np.empty((rows, form.label_width), form.label) if form.label_width else None
    if not _walk(data, stride, form, features if copy else None, labels):
        return None
    if labels is not None and form.label_width == 1:
        labels = labels[:, 0]
    return features, labels


_KNOWN: dict[int, tuple[_Form, bytes]] = {}
"""By size of a frame, the form that was met last, and the bytes that it was learned from."""
_MOST_KNOWN = 64


def _form_of(frame: bytes) -> _Form | None:
    """Return the form of a frame: at once when all but its numbers was met before."""
    known = _KNOWN.get(len(frame))
    if known is not None and _constant(frame, known[0]) == known[1]:
        return known[0]
    form = _form(frame)
    if form is not None:
        if len(_KNOWN) >= _MOST_KNOWN:
            _KNOWN.clear()
        _KNOWN[len(frame)] = (form, _constant(frame, form))
    return form


def _constant(frame: bytes, form: _Form) -> bytes:
    """Return a frame without its numbers, which say nothing of where they stand."""
    end = form.values_at + form.width * form.values.itemsize
    if not form.label_width:
        return frame[: form.values_at] + frame[end:]
    label_end = form.label_at + form.label_width * form.label.itemsize
    return frame[: form.values_at] + frame[end : form.label_at] + frame[label_end:]


def _form(frame: bytes) -> _Form | None:
    """Return the form of a frame; None when its record is another than the usual ones."""
    size = int.from_bytes(frame[4:HEADER_BYTES], "little")
    payload = frame[HEADER_BYTES : HEADER_BYTES + size]
    try:
        row = parse(payload, source="", at=0)
    except DataError:
        return None
    found = pieces(row)
    usual = [False] if len(row.entries) == 1 else [False, True]
    if row.texts or [entry.label for entry in row.entries] != usual:
        return None
    if not all(entry.name == NAME and _plain(entry.tensor) for entry in row.entries):
        return None
    if b"".join(piece.content for piece in found) != payload or any(frame[HEADER_BYTES + size :]):
        return None
    places, at = {}, HEADER_BYTES
    for piece in found:
        if piece.what in {"blob", "inline"}:
            places[piece.entry] = at
        at += len(piece.content)
    features = row.entries[0].tensor
    values = _DTYPES[features.kind]
    width = len(features.values) // values.itemsize
    if len(row.entries) == 1:
        return _Form(values_at=places[0], values=values, width=width)
    label = row.entries[1].tensor
    kind = _DTYPES[label.kind]
    return _Form(
        values_at=places[0],
        values=values,
        width=width,
        label_at=places[1],
        label=kind,
        label_width=len(label.values) // kind.itemsize,
    )


def _plain(tensor: Tensor) -> bool:
    """Return whether a tensor is dense, of floats, has some, and as many as its shape says."""
    if tensor.kind not in _DTYPES or tensor.keys or not tensor.values:
        return False
    count = len(tensor.values) // _DTYPES[tensor.kind].itemsize
    return not tensor.shape or math.prod(tensor.shape) == count


def _walk(
    data: Bytes,
    stride: int,
    form: _Form,
    features: npt.NDArray[Any] | None,
    labels: npt.NDArray[Any] | None,
) -> bool:
    """Compare what stands between the values, and copy those; False as soon as a frame differs."""
    rows, values_bytes = data.size // stride, form.width * form.values.itemsize
    values = np.ndarray((rows,), f"V{values_bytes}", data.data, form.values_at, (stride,))
    between = _Between(data, stride, form, values_bytes)
    step = max(8, _BLOCK_BYTES // stride)
    for first in range(0, rows, step):
        last = min(rows, first + step)
        if not between.alike(first, last, labels):
            return False
        if features is not None:
            features[first:last].view(values.dtype)[:, 0] = values[first:last]
    return True


class _Between:
    """The bytes between the values of one row and those of the next, of a block of rows at a time."""

    def __init__(self, data: Bytes, stride: int, form: _Form, values_bytes: int) -> None:
        self._form = form
        self._tail = form.values_at + values_bytes
        self._size = size = stride - values_bytes
        self._rows = rows = data.size // stride
        self._begin, self._end = data[: form.values_at], data[data.size - stride + self._tail :]
        self._between = np.ndarray(
            (rows - 1,), f"V{size}", data.data, self._tail if rows > 1 else 0, (stride,)
        )
        most = min(rows, max(8, _BLOCK_BYTES // stride))
        frame = data[:stride].tobytes()
        if form.label_width:
            label_bytes = form.label_width * form.label.itemsize
            frame = (
                frame[: form.label_at] + bytes(label_bytes) + frame[form.label_at + label_bytes :]
            )
        wanted = frame[self._tail :] + frame[: form.values_at]
        # Compared eight bytes at a time: the zeros behind the last are in both.
        self._wanted = np.zeros(most * size + 7 & ~7, np.uint8)
        self._wanted[: most * size].view(f"V{size}")[...] = np.void(wanted)
        self._found = np.zeros_like(self._wanted)

    def alike(self, first: int, last: int, labels: npt.NDArray[Any] | None) -> bool:
        """Return whether rows ``first`` to ``last`` have the first one's form; keep their labels."""
        count, size = last - first, self._size
        used = self._found[: count * size]
        inner = min(last, self._rows - 1) - first
        used.view(f"V{size}")[:inner] = self._between[first : first + inner]
        if inner < count:
            # Behind the last row nothing begins; the first one's head is what would.
            used[inner * size :] = np.concatenate([self._end, self._begin])
        if labels is not None:
            label_bytes = labels.shape[1] * labels.itemsize
            at = self._form.label_at - self._tail
            place = np.ndarray((count,), f"V{label_bytes}", used.data, at, (size,))
            labels[first:last].view(place.dtype)[:, 0] = place
            place[...] = np.void(bytes(label_bytes))
        words = count * size // 8
        same = self._found.view("<u8")[:words] == self._wanted.view("<u8")[:words]
        rest = slice(words * 8, count * size)
        return bool(same.all() and (self._found[rest] == self._wanted[rest]).all())
