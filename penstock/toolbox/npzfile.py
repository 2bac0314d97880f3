"""npz in and out: ``features`` and ``labels``, or the parts of a CSR array as scipy saves them.

The only format that is not streamed: the arrays of a file are in memory as a whole.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np

from penstock.errors import DataError, listed
from penstock.toolbox.progress import Advance
from penstock.toolbox.sources import Source, opened
from penstock.toolbox.tables import Batch, ReadOptions, as_float32

__all__ = ["NpzWriter", "read_npz"]

_CSR = ("data", "indices", "indptr", "shape")


def read_npz(source: Source, options: ReadOptions, advance: Advance) -> Iterator[Batch]:
    """Yield the rows of npz files. Never unpickles. Memory: one whole file.

    Raises:
        DataError: It is no npz, or lacks the arrays, or they do not fit each other.
    """
    for each in source.inputs:
        with opened(each, advance) as stream:
            content = io.BytesIO(stream.read())
        try:
            with np.load(content, allow_pickle=False) as arrays:
                parts = {name: arrays[name] for name in arrays.files}
        except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise DataError(
                f"{each.name}: no npz of plain arrays, expected one that numpy.savez or "
                "scipy.sparse.save_npz wrote"
            ) from error
        features = _features(parts, each.name)
        labels = _labels(parts, features.shape[0], each.name)
        for first in range(0, features.shape[0], options.batch_rows):
            rows = slice(first, first + options.batch_rows)
            yield Batch(
                features=features[rows],
                labels=None if labels is None else labels[rows],
                names=None,
                file=each.name,
            )


def _features(parts: dict[str, Any], file: str) -> Any:
    if "features" in parts:
        dense = parts["features"]
        if dense.ndim != 2 or not dense.shape[1] or dense.dtype.kind not in "fiub":
            raise DataError(
                f"{file}: 'features' is {dense.dtype} of shape {dense.shape}, expected numbers "
                "(rows, columns)"
            )
        return as_float32(dense)
    if missing := [name for name in _CSR if name not in parts]:
        raise DataError(
            f"{file}: it has {listed(list(parts)) or 'no arrays'}, expected 'features', or the CSR "
            f"parts {listed(_CSR)}; of those it lacks {listed(missing)}"
        )
    form = str(parts.get("format", np.array("csr")).astype(str))
    if form != "csr":
        raise DataError(f"{file}: the sparse format is {form!r}, expected 'csr'")
    from scipy.sparse import csr_array

    shape = tuple(parts["shape"].tolist())
    try:
        matrix = csr_array((parts["data"], parts["indices"], parts["indptr"]), shape=shape)
        matrix.check_format(full_check=True)
    except (ValueError, TypeError) as error:
        raise DataError(f"{file}: its CSR parts do not fit each other: {error}") from error
    return matrix.astype(np.float32, copy=False)


def _labels(parts: dict[str, Any], rows: int, file: str) -> Any | None:
    if (labels := parts.get("labels")) is None:
        return None
    if labels.shape != (rows,) or labels.dtype.kind not in "fiub":
        found = f"{labels.dtype} of shape {labels.shape}"
        raise DataError(
            f"{file}: 'labels' is {found}, expected numbers ({rows},), one for each row"
        )
    return as_float32(labels)


class NpzWriter:
    """Keeps all rows and writes them at the end; what scipy.sparse.load_npz reads, when sparse."""

    def __init__(self, sink: Any) -> None:
        """Write to a binary stream."""
        self._sink = sink
        self._batches: list[Batch] = []

    def write(self, batch: Batch) -> None:
        """Keep some rows."""
        self._batches.append(batch)

    def close(self) -> None:
        """Write all of them."""
        if not self._batches:
            return
        parts: dict[str, Any]
        if all(batch.dense for batch in self._batches):
            parts = {"features": np.concatenate([batch.features for batch in self._batches])}
        else:
            from scipy.sparse import csr_array, vstack

            whole = vstack([csr_array(batch.features) for batch in self._batches], format="csr")
            parts = {
                "data": whole.data,
                "indices": whole.indices,
                "indptr": whole.indptr,
                "shape": np.array(whole.shape),
                "format": np.array(b"csr"),
            }
        if self._batches[0].labels is not None:
            parts["labels"] = np.concatenate([batch.labels for batch in self._batches])
        np.savez(self._sink, **parts)
