from __future__ import annotations

import numpy as np
import pytest

from penstock.containers.losses import Loss, loss_named
from penstock.containers.tables import LOSSES

VALUES = {"huber_delta": 1.0, "loss_insensitivity": 0.01, "quantile": 0.3}


def case(name: str, unit: float = 1.0) -> tuple[Loss, np.ndarray, np.ndarray]:
    random = np.random.default_rng(3)
    outputs = 4 if name == "softmax_loss" else 1
    margins = random.normal(size=(40, outputs)) * 2
    labels = random.integers(0, 4 if outputs == 4 else 2, 40).astype(float)
    return loss_named(name, VALUES, unit), margins, labels


@pytest.mark.parametrize("name", [loss for losses in LOSSES.values() for loss in losses])
def test_slopes_are_the_derivatives_of_the_losses(name: str) -> None:
    loss, margins, labels = case(name)
    step = 1e-6

    slopes = loss.slope(margins, labels)

    for output in range(margins.shape[1]):
        moved = np.zeros_like(margins)
        moved[:, output] = step
        rise = loss.value(margins + moved, labels) - loss.value(margins - moved, labels)
        np.testing.assert_allclose(slopes[:, output], rise / (2 * step), atol=1e-4)


@pytest.mark.parametrize("name", LOSSES["regressor"])
def test_a_loss_in_other_units_is_that_of_the_label_times_the_unit(name: str) -> None:
    loss, margins, labels = case(name)
    scaled, _, _ = case(name, unit=50.0)

    found = scaled.value(margins / 50, labels / 50) * 50**scaled.degree

    np.testing.assert_allclose(found, loss.value(margins, labels))


@pytest.mark.parametrize("name", ["logistic", "softmax_loss"])
def test_huge_margins_do_not_overflow(name: str) -> None:
    loss, margins, labels = case(name)

    assert np.isfinite(loss.value(margins * 1e4, labels)).all()
    assert np.isfinite(loss.slope(margins * 1e4, labels)).all()
