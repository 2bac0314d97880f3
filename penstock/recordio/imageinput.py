"""What the image encoder takes: images, labels and ids, checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from penstock.errors import InputError
from penstock.recordio.blobs import Blobs
from penstock.recordio.checks import Floats, refuse_nonfinite, type_name
from penstock.recordio.segments import Bytes, Indices, starts_of

__all__ = ["Ids", "LabelLists", "check_ids", "image_pieces", "label_counts", "numbered", "slices"]

Ids = npt.NDArray[np.uint64]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class LabelLists(Sequence[Floats]):
    """Lists of labels of many lengths, as object detection has them.

    Attributes:
        values: float32 (m,), all labels, row after row.
        starts: int64 (n + 1,), where those of each row begin; the last entry is m.
    """

    values: Floats
    starts: Indices

    def __len__(self) -> int:
        return self.starts.size - 1

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            raise InputError(f"labels: index is {index!r}, expected one row")
        row = range(len(self))[index]
        return self.values[self.starts[row] : self.starts[row + 1]]

    @property
    def lengths(self) -> Indices:
        """How many labels each row has, int64 (n,)."""
        return np.diff(self.starts)


def image_pieces(images: Any) -> tuple[Sequence[Any], Indices]:
    """Return each image as bytes or a view of them, and their lengths, int64 (n,)."""
    if isinstance(images, Blobs):
        return slices(images.data, images.starts, images.lengths), images.lengths
    if not isinstance(images, Sequence) or isinstance(images, str | bytes | bytearray):
        raise InputError(f"images: type is {type_name(images)}, expected a sequence of bytes")
    if wrong := set(map(type, images)) - {bytes, bytearray}:
        row = next(row for row, image in enumerate(images) if type(image) in wrong)
        kind = type_name(images[row])
        raise InputError(f"images: image {row} has the type {kind}, expected bytes")
    return images, np.fromiter(map(len, images), np.int64, len(images))


def slices(data: Bytes, starts: Indices, lengths: Indices) -> list[memoryview]:
    """Return ``data[starts[i]:][:lengths[i]]`` for every i, no copies."""
    ranges = map(slice, starts.tolist(), (starts + lengths).tolist())
    return list(map(data.data.__getitem__, ranges))


def label_counts(labels: Any, rows: int, *, finite: bool) -> tuple[Indices, Floats]:
    """Return each row's flag, int64 (rows,), and all labels one after another, float32 (m,)."""
    values = labels.values if isinstance(labels, LabelLists) else labels
    if not isinstance(values, np.ndarray):
        raise InputError(f"labels: type is {type_name(labels)}, expected a numpy array")
    if values.dtype != np.float32:
        raise InputError(f"labels: dtype is {values.dtype}, expected float32")
    if isinstance(labels, LabelLists):
        _check_lists(labels, rows)
        counts = labels.lengths
    else:
        if labels.ndim not in {1, 2} or labels.shape[0] != rows or 0 in labels.shape[1:]:
            expected = f"({rows},) or ({rows}, k): one row per image (axis 0)"
            raise InputError(f"labels: shape is {labels.shape}, expected {expected}")
        counts = np.full(rows, labels.shape[1] if labels.ndim == 2 else 0, np.int64)
    values = np.ascontiguousarray(values).reshape(-1)
    if finite and not np.isfinite(values).all():
        at = int(np.flatnonzero(~np.isfinite(values))[0])
        row = int(np.searchsorted(starts_of(np.maximum(counts, 1)), at, side="right")) - 1
        refuse_nonfinite(f"labels: row {row}", values[at])
    return counts, values


def _check_lists(labels: LabelLists, rows: int) -> None:
    """Refuse lists that are not one per image, or not at least one label long."""
    if len(labels) != rows:
        raise InputError(f"labels: {len(labels)} lists, expected {rows}: one per image")
    ends = int(labels.starts[0]), int(labels.starts[-1])
    if ends != (0, labels.values.size):
        expected = f"0 to {labels.values.size}, the number of values"
        raise InputError(f"labels: starts go from {ends[0]} to {ends[1]}, expected {expected}")
    if (short := np.flatnonzero(labels.lengths < 1)).size:
        raise InputError(f"labels: row {short[0]} has no label, expected at least one")


def numbered(ids: Ids | None, first_id: int, rows: int) -> Ids:
    """Return the ids, or as many numbers from ``first_id`` on."""
    if ids is None:
        if not 0 <= first_id <= 2**64 - max(rows, 1):
            expected = f"0 to 2**64 - {max(rows, 1)}, as there are {rows} images"
            raise InputError(f"first_id is {first_id!r}, expected {expected}")
        return np.arange(rows, dtype=np.uint64) + np.uint64(first_id)
    if first_id:
        raise InputError(f"first_id is {first_id!r} and ids are given, expected one of the two")
    return check_ids(ids, "ids", rows)


def check_ids(ids: Any, what: str, rows: int) -> Ids:
    """Refuse what is not a uint64 array with one number per image; ``what`` is its name."""
    if not isinstance(ids, np.ndarray):
        raise InputError(f"{what}: type is {type_name(ids)}, expected a numpy array")
    if ids.dtype != np.uint64:
        raise InputError(f"{what}: dtype is {ids.dtype}, expected uint64")
    if ids.shape != (rows,):
        raise InputError(f"{what}: shape is {ids.shape}, expected ({rows},): one per image")
    return ids
