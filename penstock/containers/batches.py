"""Batches of one size, layout and width, whatever the pieces that a stream came in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penstock.errors import DataError
from penstock.recordio import Records

__all__ = [
    "Batch",
    "Features",
    "canonical",
    "check_finite",
    "check_width",
    "class_rows_of",
    "rebatch",
]

Features = Any  # float32 (n, d): np.ndarray, or scipy.sparse CSR


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Some rows of a channel.

    Attributes:
        features: float32 (n, d), an array or CSR without stored zeros.
        labels: float32 (n,), all finite; zeros when the program asked for none.
    """

    features: Features
    labels: NDArray[np.float32]

    @property
    def rows(self) -> int:
        """How many rows."""
        return int(self.features.shape[0])


def rebatch(
    pieces: Iterable[Records], batch_rows: int, where: str, *, labelled: bool = True
) -> Iterator[Batch]:
    """Yield ``batch_rows`` rows at a time, and the rest at the end.

    What is trained must not depend on where shards or reads end, so pieces are cut and joined.

    Args:
        pieces: Records of any number of rows.
        batch_rows: Rows of each batch but the last.
        where: Named in errors, ``channel 'train'``.
        labelled: Whether labels are wanted.

    Raises:
        DataError: Two pieces differ in layout or width, or labels are absent or not finite.
    """
    held: list[Batch] = []
    first: Batch | None = None
    rows = 0
    for records in pieces:
        piece = _checked(records, where, labelled=labelled)
        first = first or piece
        _same_kind(first, piece, where)
        start = 0
        while (stop := start + batch_rows - rows) <= piece.rows:
            yield _joined([*held, _cut(piece, start, stop)])
            held, rows, start = [], 0, stop
        if start < piece.rows:
            held.append(_cut(piece, start, piece.rows))
            rows += piece.rows - start
    if held:
        yield _joined(held)


def check_width(batch: Batch, width: int, where: str) -> None:
    """Check that a channel is as wide as the train channel.

    Raises:
        DataError: It is not.
    """
    if (found := batch.features.shape[1]) != width:
        raise DataError(
            f"{where}: rows have {found} features, those of channel 'train' have {width}\n"
            "  all splits must come from one plan"
        )


def check_finite(features: Features, where: str) -> None:
    """Check the features of an algorithm that has no moments of them.

    Raises:
        DataError: A value is NaN or infinite; names its column.
    """
    values = features if isinstance(features, np.ndarray) else features.data
    if np.isfinite(values).all():
        return
    bad = np.flatnonzero(~np.isfinite(values))[0]
    column = bad % features.shape[1] if isinstance(features, np.ndarray) else features.indices[bad]
    raise DataError(
        f"{where}: feature {int(column)} has a value that is NaN or infinite, expected finite float32 "
        "numbers\n  impute it in the plan"
    )


def class_rows_of(labels: NDArray[np.float32], classes: int, where: str) -> NDArray[np.int64]:
    """Return the rows of each class, int64 (classes,); nothing when ``classes`` is 0.

    Raises:
        DataError: A label is no class number.
    """
    if not classes:
        return np.zeros(0, dtype=np.int64)
    numbers = labels.astype(np.int64)
    wrong = (numbers != labels) | (numbers < 0) | (numbers >= classes)
    if wrong.any():
        expected = "0 or 1" if classes == 2 else f"integers from 0 to {classes - 1}"
        raise DataError(
            f"{where}: a label is {float(labels[wrong][0])!r}, expected {expected}\n"
            "  check the hyperparameters against the label's classes in the spec"
        )
    return np.bincount(numbers, minlength=classes)


def _checked(records: Records, where: str, *, labelled: bool) -> Batch:
    labels = records.labels if labelled else np.zeros(len(records), np.float32)
    if labels is None:
        raise DataError(f"{where}: the records have no label\n  convert with the label column")
    if labels.ndim != 1:
        raise DataError(f"{where}: the records have {labels.shape[1]} labels each, expected one")
    if not np.isfinite(labels).all():
        bad = float(labels[~np.isfinite(labels)][0])
        raise DataError(f"{where}: a label is {bad!r}, expected finite numbers")
    features = records.features.astype(np.float32, copy=False)
    return Batch(features=features, labels=labels.astype(np.float32, copy=False))


def _same_kind(first: Batch, piece: Batch, where: str) -> None:
    def kind(batch: Batch) -> str:
        layout = "dense" if isinstance(batch.features, np.ndarray) else "sparse"
        return f"{layout} rows of {batch.features.shape[1]} features"

    if kind(first) != kind(piece):
        raise DataError(
            f"{where}: {kind(piece)} after {kind(first)}, expected one kind\n"
            "  all shards of a channel must come from one plan"
        )


def _cut(batch: Batch, start: int, stop: int) -> Batch:
    if start == 0 and stop == batch.rows:
        return batch
    return Batch(features=batch.features[start:stop], labels=batch.labels[start:stop])


def _joined(pieces: list[Batch]) -> Batch:
    if len(pieces) == 1:
        return Batch(features=canonical(pieces[0].features), labels=pieces[0].labels)
    features: list[Features] = [piece.features for piece in pieces]
    if isinstance(features[0], np.ndarray):
        joined = np.concatenate(features)
    else:
        from scipy import sparse

        joined = canonical(sparse.vstack(features, format="csr"))
    return Batch(features=joined, labels=np.concatenate([piece.labels for piece in pieces]))


def canonical(features: Features) -> Features:
    """Return ``features`` without stored zeros.

    An all-zero sparse row is written with one explicit zero, because readers stumble over a row
    without entries. To a tree, a stored zero is a value and an absent one is missing.
    """
    if isinstance(features, np.ndarray) or features.data.all():
        return features
    features = features.copy()
    features.eliminate_zeros()
    return features
