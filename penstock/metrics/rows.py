"""What the states ask of scored rows, and the log loss of each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from penstock.errors import DataError
from penstock.metrics.sums import Floats, Ints

__all__ = ["check_lengths", "class_numbers", "log_losses", "refuse"]

CLIP = float(np.finfo(np.float64).eps)  # a certain and wrong prediction costs 36 nats, not infinity


def check_lengths(scores: Floats, labels: Floats, where: str) -> None:
    """Raise DataError unless there is one score a row."""
    if len(scores) != len(labels):
        raise DataError(
            f"{where}: {len(scores)} scores for {len(labels)} labels, expected one score a row\n"
            "  the dataset has unlabelled rows, or the model drops rows"
        )


def refuse(bad: NDArray[np.bool_], values: Floats, where: str, first_row: int, rule: str) -> None:
    """Raise DataError for the first row that ``bad`` marks. ``rule`` holds ``{found}`` once."""
    if bad.any():
        row = int(np.argmax(bad))
        problem = rule.format(found=repr(float(values[row])))
        raise DataError(f"{where}, row {first_row + row}: {problem}")


def class_numbers(labels: Floats, classes: int, where: str, first_row: int) -> Ints:
    """Return labels as class numbers (n,) int64; DataError for the first that is none."""
    bad = ~np.isin(labels, np.arange(classes))
    refuse(
        bad, labels, where, first_row,
        f"label is {{found}}, expected a class number from 0 to {classes - 1}\n"
        "  convert the dataset again with the label's classes in the spec",
    )  # fmt: skip
    return labels.astype(np.int64)


def log_losses(of_truth: Floats) -> Floats:
    """Return -log of the probability given to the true class, (n,) float64."""
    loss: Floats = -np.log(np.clip(of_truth, CLIP, 1.0))
    return loss
