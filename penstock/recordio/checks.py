"""What an encoder refuses, and what both encoders share."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from penstock.errors import DataError, InputError
from penstock.recordio.framing import MAGIC, MAX_PAYLOAD_BYTES
from penstock.recordio.message import FLOAT32, Tensor

__all__ = [
    "LABEL",
    "OVERHEAD_BYTES",
    "Floats",
    "check_dense",
    "check_finite",
    "check_finite_labels",
    "check_labels",
    "check_matrix",
    "check_row_bytes",
    "check_sparse",
    "frame_head",
    "refuse_nonfinite",
    "type_name",
]

Floats = npt.NDArray[np.float32]

LABEL = Tensor(kind=FLOAT32, values=bytes(4))
OVERHEAD_BYTES = 84
"""More than a frame has besides values and keys, all varints at their longest."""


def frame_head(payload_bytes: int) -> bytes:
    """Return the header of a frame."""
    return MAGIC.to_bytes(4, "little") + payload_bytes.to_bytes(4, "little")


def type_name(value: object) -> str:
    """Return how the type of a value is called, with its module unless it is built in."""
    kind = type(value)
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return module + kind.__qualname__


def check_dense(features: Any) -> None:
    """Refuse what is not a float32 array (rows, columns)."""
    if not isinstance(features, np.ndarray):
        also = "\n  for a sparse matrix use encode_sparse" if hasattr(features, "nnz") else ""
        raise InputError(f"features: type is {type_name(features)}, expected a numpy array{also}")
    check_matrix(features)


def check_sparse(features: Any) -> None:
    """Refuse what is not a float32 CSR matrix (rows, columns) with indices in range."""
    if getattr(features, "format", None) != "csr":
        also = "\n  for a numpy array use encode_dense" if isinstance(features, np.ndarray) else ""
        raise InputError(
            f"features: type is {type_name(features)}, expected a scipy CSR array{also}"
        )
    check_matrix(features)
    indices, width = features.indices, features.shape[1]
    if indices.size and not 0 <= int(indices.min()) <= int(indices.max()) < width:
        at = int(np.flatnonzero((indices < 0) | (indices >= width))[0])
        row = int(np.searchsorted(features.indptr, at, side="right")) - 1
        problem = f"row {row} has column index {indices[at]}, there are {width} columns"
        raise InputError(f"features: {problem}")


def check_matrix(features: Any) -> None:
    """Refuse another dtype than float32, and another shape than (rows, columns)."""
    if features.dtype != np.float32:
        raise InputError(f"features: dtype is {features.dtype}, expected float32")
    if features.ndim != 2 or not features.shape[1]:
        expected = "(rows, columns) with at least one column"
        raise InputError(f"features: shape is {features.shape}, expected {expected}")


def check_labels(labels: Any, rows: int) -> None:
    """Refuse what is neither None nor a float32 array with one label per row."""
    if labels is None:
        return
    if not isinstance(labels, np.ndarray):
        raise InputError(f"labels: type is {type_name(labels)}, expected a numpy array")
    if labels.dtype != np.float32:
        raise InputError(f"labels: dtype is {labels.dtype}, expected float32")
    if labels.shape != (rows,):
        expected = f"({rows},): one per row (axis 0) of features"
        raise InputError(f"labels: shape is {labels.shape}, expected {expected}")


def check_row_bytes(numbers_bytes: int) -> None:
    """Refuse rows that a frame cannot hold.

    Args:
        numbers_bytes: Most bytes that the values and keys of a row can have.
    """
    if (needs := numbers_bytes + OVERHEAD_BYTES) > MAX_PAYLOAD_BYTES:
        raise InputError(
            f"features: a row needs up to {needs:,} bytes, a frame holds {MAX_PAYLOAD_BYTES:,}"
        )


def check_finite(block: Floats, first_row: int) -> None:
    """Refuse NaN and infinity in some contiguous rows of dense features."""
    flat = block.reshape(-1)
    # A sum of squares cannot be finite when one number is not. It may overflow when all are: then
    # look at each. It takes half the time of that, and no memory.
    with np.errstate(over="ignore", invalid="ignore"):
        squares = np.dot(flat, flat)
    if not math.isfinite(squares) and not np.isfinite(block).all():
        row, column = np.argwhere(~np.isfinite(block))[0].tolist()
        refuse_nonfinite(f"features: row {first_row + row}, column {column}", block[row, column])


def check_finite_labels(labels: Floats) -> None:
    """Refuse NaN and infinity in the labels."""
    if not np.isfinite(labels).all():
        row = int(np.flatnonzero(~np.isfinite(labels))[0])
        refuse_nonfinite(f"labels: row {row}", labels[row])


def refuse_nonfinite(where: str, value: np.float32) -> None:
    """Raise the error that a number is not finite."""
    raise DataError(
        f"{where} is {value}, expected a finite number\n"
        "  impute it, or pass allow_nonfinite=True if the reader can take it"
    )
