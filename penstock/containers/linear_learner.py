"""linear-learner: streaming mini-batch training of linear and logistic regression.

    SAGEMAKER_BASE_DIR=/tmp/job python -m penstock.containers.linear_learner train

Epoch 0 of the train channel is read for the moments of features and labels, the next ones are
trained on. Within an epoch the rate falls along a cosine; what an epoch gives is the mean of the
weights over its steps, which is far nearer to the optimum than the last step is. The epoch with
the best objective wins: on the validation channel, or on train without one. Memory is that of
some mini-batches and a few vectors, however many rows there are.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penstock.containers import contract
from penstock.containers.batches import Batch, check_width, class_rows_of
from penstock.containers.hyperparameters import check
from penstock.containers.linear_model import LinearModel, Quality
from penstock.containers.losses import Loss, loss_named
from penstock.containers.moments import Moments, Scaling
from penstock.containers.optimizers import automatic_rate, optimizer_named
from penstock.containers.tables import LINEAR_LEARNER, LOSSES
from penstock.errors import DataError, InputError

__all__ = ["main", "train"]

Array = NDArray[np.float64]

TASKS = {
    "binary_classifier": "binary",
    "multiclass_classifier": "multiclass",
    "regressor": "regression",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Census:
    """What the first epoch tells.

    Attributes:
        features: Moments of the features, d columns.
        label: Moments of the label, one column.
        class_rows: Rows per class, int64 (k,); empty for a regressor.
    """

    features: Moments
    label: Moments
    class_rows: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Weights:
    """Parameters of scaled features: weights (d, k), bias (k,), float64."""

    weights: Array
    bias: Array


@dataclass(kw_only=True, slots=True)
class Best:
    """The best epoch so far. Its weights start as those that no epoch has touched."""

    weights: Weights
    epoch: int | None = None
    objective: float = math.inf
    reference: float = math.inf  # what the next epochs must beat by the tolerance
    stale_epochs: int = 0


def train(job: contract.Job) -> None:
    """Train on the job's channels and write the model.

    Raises:
        InputError: Hyperparameters are wrong, or a channel is missing.
        DataError: The rows do not fit the hyperparameters.
    """
    values = check(LINEAR_LEARNER, job.hyperparameters)
    contract.log(f"hyperparameters: { {k: v for k, v in values.items() if v is not None} }")
    try:
        with job.interruptible():
            census = _census(job, values)
    except contract.StopRequested:
        contract.log("stopped before the first epoch; there is no model to save")
        return
    trainer = Trainer(values, census)
    try:
        with job.interruptible():
            trainer.fit(job)
    except contract.StopRequested:
        contract.log(f"stopped; the best epoch so far is {trainer.best.epoch}")
    trainer.report(job)
    if trainer.best.epoch is not None:
        trainer.model().save(job.model_dir)


def _census(job: contract.Job, values: Mapping[str, Any]) -> Census:
    """Read one epoch of the train channel: moments, and checks of every label."""
    where, classes = "channel 'train'", _classes(values)
    features, label = Moments(0), Moments(1)
    class_rows = np.zeros(classes, dtype=np.int64)
    for batch in job.channel("train").epoch(values["mini_batch_size"]):
        width = int(batch.features.shape[1])
        if not features.rows:
            _check_feature_dim(width, values["feature_dim"], where)
            features = Moments(width)
        features.add(batch.features, where)
        label.add(batch.labels[:, None], where)
        class_rows += class_rows_of(batch.labels, classes, where)
    if not features.rows:
        raise DataError(f"{where} has 0 rows, expected at least 1\n  check the split's shares")
    return Census(features=features, label=label, class_rows=class_rows)


def _classes(values: Mapping[str, Any]) -> int:
    kinds = {"binary_classifier": 2, "regressor": 0}
    return int(kinds.get(values["predictor_type"], values["num_classes"] or 0))


def _check_feature_dim(width: int, expected: int | str, where: str) -> None:
    if expected not in ("auto", width):
        raise InputError(
            f"{where}: rows have {width} features but hyperparameter feature_dim is {expected}\n"
            "  set feature_dim to 'auto', or check which dataset the channel reads"
        )


class Trainer:
    """The training of one model.

    Attributes:
        best: The best epoch so far.
    """

    def __init__(self, values: Mapping[str, Any], census: Census) -> None:
        self._values, self._census = values, census
        self._scaling = _scaling(values, census.features)
        self._unit, self._origin = _label_scale(values, census.label)
        predictor = values["predictor_type"]
        name = LOSSES[predictor][0] if values["loss"] == "auto" else values["loss"]
        self._loss: Loss = loss_named(name, values, self._unit)
        self._class_weights = _class_weights(values, census.class_rows)
        bias = _start_bias(values, census.class_rows, self._class_weights)
        start = _start(values, len(census.features.mean), bias)
        self._now = Weights(
            weights=start.weights * (self._scaling.factor > 0)[:, None], bias=start.bias
        )
        self.best = Best(weights=self._now)
        self._optimizers = [
            optimizer_named(values["optimizer"], part.shape, values)
            for part in (self._now.weights, self._now.bias)
        ]
        self._steps = math.ceil(census.features.rows / values["mini_batch_size"])
        self._rate = values["learning_rate"]
        if self._rate == "auto":
            varying = int((self._scaling.factor > 0).sum())
            self._rate = automatic_rate(
                values["optimizer"],
                steps=self._steps * values["epochs"],
                varying=varying,
                curvature=self._loss.curvature,
            )
        self._quality: dict[str, float] = {}

    def fit(self, job: contract.Job) -> None:
        """Train until the epochs or the patience are used up. Logs objectives as it goes."""
        epochs, rows = self._values["epochs"], self._census.features.rows
        for epoch in range(epochs):
            started = time.monotonic()
            objective, mean = self._epoch(job, epoch)
            self._log_objective(job.host, epoch, "train", objective)
            pace = rows / max(time.monotonic() - started, 1e-9)
            contract.log(
                f"#throughput_metric: host={job.host}, train throughput={pace:.1f} records/second"
            )
            scores: dict[str, float] = {}
            if "validation" in job.channels:
                objective, scores = self._validate(job, mean)
                self._log_objective(job.host, epoch, "validation", objective)
            percent = 100 * (epoch + 1) / epochs
            contract.log(f"#progress_metric: host={job.host}, completed {percent:.4g} % of epochs")
            if not math.isfinite(objective):
                raise DataError(
                    f"epoch {epoch}: the objective is {objective!r}, training diverged\n"
                    f"  lower learning_rate, which was {self._rate:g}"
                )
            if self._is_enough(epoch, objective, mean, scores):
                contract.log(
                    f"early stop: no objective better by {self._values['early_stopping_tolerance']:g} "
                    f"of itself in {self.best.stale_epochs} epochs"
                )
                break

    def _log_objective(self, host: str, epoch: int, channel: str, objective: float) -> None:
        name = f"{self._loss.objective}_objective"
        contract.log(
            f"#quality_metric: host={host}, epoch={epoch}, {channel} {name} <loss>={objective:.9g}"
        )

    def _is_enough(
        self, epoch: int, objective: float, mean: Weights, scores: dict[str, float]
    ) -> bool:
        """Take note of an epoch; return whether patience is used up."""
        best = self.best
        if objective < best.objective:
            best.objective, best.epoch, best.weights, self._quality = objective, epoch, mean, scores
        margin = self._values["early_stopping_tolerance"] * abs(best.reference)
        if not math.isfinite(best.reference) or objective < best.reference - margin:
            best.reference, best.stale_epochs = objective, 0
        else:
            best.stale_epochs += 1
        return best.stale_epochs >= int(self._values["early_stopping_patience"])

    def _epoch(self, job: contract.Job, epoch: int) -> tuple[float, Weights]:
        """Train one epoch; return its objective and the mean of its weights."""
        weights = np.zeros_like(self._now.weights)
        bias = np.zeros_like(self._now.bias)
        total, mass, step, rows = 0.0, 0.0, 0, 0
        for batch in job.channel("train").epoch(self._values["mini_batch_size"]):
            loss, share = self._step(batch, self._rate_at(epoch, step))
            total, mass, step = total + loss, mass + share, step + 1
            weights += self._now.weights
            bias += self._now.bias
            rows += batch.rows
            if job.stopping:
                raise contract.StopRequested
        if rows != self._census.features.rows:
            raise DataError(
                f"channel 'train': epoch {epoch + 1} had {rows} rows, the first had "
                f"{self._census.features.rows}\n  every epoch of a channel must give the same rows"
            )
        return self._in_units(total / mass), Weights(weights=weights / step, bias=bias / step)

    def _rate_at(self, epoch: int, step: int) -> float:
        if not self._values["use_lr_scheduler"]:
            return float(self._rate)
        done = (epoch + step / self._steps) / self._values["epochs"]
        return float(self._rate) * 0.5 * (1 + math.cos(math.pi * done))

    def _step(self, batch: Batch, rate: float) -> tuple[float, float]:
        """Take one step; return the summed loss of the rows and the sum of their weights."""
        labels, weights = self._labels(batch), self._row_weights(batch)
        margins = self._scaling.margins(batch.features, self._now.weights, self._now.bias)
        slopes = self._loss.slope(margins, labels) * (weights[:, None] / np.float32(batch.rows))
        gradients = self._scaling.gradient(batch.features, slopes.astype(np.float32))
        l1, wd = (
            0.0 if self._values[name] == "auto" else self._values[name] for name in ("l1", "wd")
        )
        moved = self._optimizers[0].step(self._now.weights, gradients[0], rate, l1=l1, wd=wd)
        bias = self._now.bias
        if self._values["use_bias"]:
            bias = self._optimizers[1].step(bias, gradients[1], rate)
        self._now = Weights(weights=moved, bias=bias)
        return self._summed(margins, labels, weights)

    def _summed(
        self,
        margins: NDArray[np.float32],
        labels: NDArray[np.float32],
        weights: NDArray[np.float32],
    ) -> tuple[float, float]:
        loss = self._loss.value(margins, labels)
        return float((loss * weights).sum(dtype=np.float64)), float(weights.sum(dtype=np.float64))

    def _validate(self, job: contract.Job, mean: Weights) -> tuple[float, dict[str, float]]:
        """Return the objective and the scores of one epoch of the validation channel."""
        where, width = "channel 'validation'", len(self._census.features.mean)
        total, mass, scores = 0.0, 0.0, Quality(TASKS[self._values["predictor_type"]])
        for batch in job.channel("validation").epoch(self._values["mini_batch_size"]):
            check_width(batch, width, where)
            class_rows_of(batch.labels, len(self._census.class_rows), where)
            margins = self._scaling.margins(batch.features, mean.weights, mean.bias)
            loss, share = self._summed(margins, self._labels(batch), self._row_weights(batch))
            total, mass = total + loss, mass + share
            scores.add(margins * self._unit + self._origin, batch.labels)
            if job.stopping:
                raise contract.StopRequested
        if not mass:
            raise DataError(f"{where} has 0 rows, expected at least 1\n  check the split's shares")
        return self._in_units(total / mass), scores.values()

    def _labels(self, batch: Batch) -> NDArray[np.float32]:
        if self._values["predictor_type"] != "regressor":
            return batch.labels
        return ((batch.labels - self._origin) / self._unit).astype(np.float32)

    def _row_weights(self, batch: Batch) -> NDArray[np.float32]:
        if not len(self._class_weights):
            return np.ones(batch.rows, dtype=np.float32)
        return self._class_weights[batch.labels.astype(np.int64)]

    def _in_units(self, objective: float) -> float:
        return objective * self._unit**self._loss.degree

    def report(self, job: contract.Job) -> None:
        """Log the best epoch's scores on the validation channel."""
        for name, value in self._quality.items():
            contract.log(f"#quality_metric: host={job.host}, validation {name} <score>={value:.9g}")

    def model(self) -> LinearModel:
        """Return the best epoch's model, in terms of the features and labels as they came."""
        best = self.best.weights
        weights, bias = self._scaling.plain(best.weights, best.bias)
        return LinearModel(
            task=TASKS[self._values["predictor_type"]],
            loss=self._loss.name,
            weights=weights.T * self._unit,
            bias=bias * self._unit + self._origin,
            deviation=self._census.features.deviation,
            best_epoch=self.best.epoch,
            best_objective=self.best.objective,
        )


def _scaling(values: Mapping[str, Any], moments: Moments) -> Scaling:
    scale = values["normalize_data"] in (True, "auto")
    center = scale if values["unbias_data"] == "auto" else values["unbias_data"]
    # Without a bias, a shift of the features could not be given back for the features themselves.
    return Scaling.of(moments, scale=scale, center=center and values["use_bias"])


def _label_scale(values: Mapping[str, Any], label: Moments) -> tuple[float, float]:
    """Return (unit, origin): training sees (label - origin) / unit."""
    if values["predictor_type"] != "regressor":
        return 1.0, 0.0
    scaled, centered = values["normalize_label"], values["unbias_label"]
    deviation = float(label.deviation[0])
    unit = deviation if scaled in (True, "auto") and deviation > 0 else 1.0
    origin = float(label.mean[0]) if centered in (True, "auto") and values["use_bias"] else 0.0
    return unit, origin


def _class_weights(values: Mapping[str, Any], rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the weight of a row of each class, mean 1 over the rows; empty when all are 1."""
    mult = values["positive_example_weight_mult"]
    binary = values["predictor_type"] == "binary_classifier"
    if binary and mult not in (1.0, "balanced", "auto"):
        weights = np.array([1.0, mult])
    elif (binary and mult != 1.0) or (len(rows) and values["balance_multiclass_weights"]):
        weights = 1.0 / np.maximum(rows, 1)
    else:
        return np.zeros(0, dtype=np.float32)
    mean = (weights * rows).sum() / rows.sum()
    return np.asarray(weights / mean, dtype=np.float32)


def _start_bias(
    values: Mapping[str, Any], rows: NDArray[np.int64], weights: NDArray[np.float32]
) -> Array:
    """Return the first bias (k,): by itself it predicts the (weighted) shares of the classes."""
    outputs = len(rows) if values["predictor_type"] == "multiclass_classifier" else 1
    if values["init_bias"] != "auto" or not values["use_bias"] or not len(rows):
        return np.full(outputs, 0.0 if values["init_bias"] == "auto" else values["init_bias"])
    # One row more of each class, so that an absent one has a logarithm.
    logarithms = np.log((rows + 1) * (weights if len(weights) else 1.0))
    base = logarithms[:1] if outputs == 1 else logarithms.mean()
    return np.asarray(logarithms[-outputs:] - base, dtype=np.float64)


def _start(values: Mapping[str, Any], width: int, bias: Array) -> Weights:
    shape, random = (width, len(bias)), np.random.default_rng(0)
    weights = np.zeros(shape)
    if values["init_method"] == "uniform":
        weights = random.uniform(-values["init_scale"], values["init_scale"], shape)
    elif values["init_method"] == "normal":
        weights = random.normal(0.0, values["init_sigma"], shape)
    return Weights(weights=weights, bias=bias)


def main(argv: list[str]) -> int:
    """Run as a container does; return the exit code."""
    return contract.main(train, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
