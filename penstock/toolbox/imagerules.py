"""What a profile says of image records, checked on all of a chunk at once."""

from __future__ import annotations

import numpy as np

from penstock.recordio.segments import Indices
from penstock.toolbox.content import Pictures
from penstock.toolbox.rowrules import RowRules

__all__ = ["check_pictures"]

_LEAST_HEADER, _LEAST_OBJECT = 2, 5


def check_pictures(
    found: Pictures, rules: RowRules, file: str, offsets: Indices, numbers: Indices
) -> None:
    """Check the image records of one chunk.

    Args:
        found: What they hold.
        rules: Whose profile to check; takes the problems.
        file: Where they are from.
        offsets: int64 (n,), where their frames begin.
        numbers: int64 (n,), their numbers in the file.
    """
    reader = rules.reader
    if reader is None:
        return
    rules.at(file, offsets, numbers)
    empty = found.sizes == 0
    rules.bad("no-image", np.flatnonzero(empty), "no image behind the header, expected one")
    if reader.image_kinds:
        wrong = np.flatnonzero(~np.isin(found.kinds, reader.image_kinds) & ~empty)
        kinds = " or ".join(reader.image_kinds)
        rules.bad("image-kind", wrong, lambda row: (
            f"the image begins as {_called(found.kinds[row])}, expected {kinds}"))  # fmt: skip
    owners = np.repeat(np.arange(found.sizes.size), found.label_counts)
    odd = np.flatnonzero(~np.isfinite(found.labels))
    if odd.size:
        text = f"a label is {found.labels[odd[0]]}, expected a finite number"
        rules.bad("label-finite", np.unique(owners[odd]), text)
    if reader.boxes:
        _check_boxes(found, rules)
    elif reader.whole_labels:
        rules.check_classes(found.labels, owners, whole=True)
    if not reader.boxes:
        rules.label_count(found.label_counts)


def _called(kind: str) -> str:
    return "no kind that is known here" if kind == "other" else kind


def _check_boxes(found: Pictures, rules: RowRules) -> None:
    """Check that labels are: header length, object length, rest of the header, objects."""
    counts = found.label_counts
    few = counts < _LEAST_HEADER
    expected = "a list: header length, object length, then each object's class and box"
    rules.bad("boxes", np.flatnonzero(few), f"one label, expected {expected}")
    rows = np.flatnonzero(~few)
    at = found.label_starts[rows]
    header, each = found.labels[at], found.labels[at + 1]
    objects = counts[rows] - header
    with np.errstate(invalid="ignore", divide="ignore"):
        good = (header >= _LEAST_HEADER) & (each >= _LEAST_OBJECT) & (objects >= 0)
        good &= (header == np.floor(header)) & (each == np.floor(each))
        good &= np.mod(objects, np.where(each > 0, each, 1)) == 0
    wrong = np.flatnonzero(~good)
    if wrong.size:
        first = int(wrong[0])
        text = (
            f"{counts[rows[first]]:,} labels that begin with header length {header[first]:g} and "
            f"object length {each[first]:g}, expected {expected}"
        )
        rules.bad("box-list", rows[wrong], text)
