"""xgboost: gradient boosted trees on a quantile matrix that is filled from a stream.

    SAGEMAKER_BASE_DIR=/tmp/job python -m penstock.containers.xgboost train

The matrix reads its rows several times (for the sketch, then for the bins); each pass is the next
epoch of the channel. It keeps one small integer per cell, so memory is about a quarter of the
rows' bytes, and no copy of the rows themselves. The validation matrix uses the train matrix's bins.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xgboost

from penstock.containers import contract
from penstock.containers.batches import Batch, Features, check_width, class_rows_of
from penstock.containers.hyperparameters import check
from penstock.containers.tables import XGBOOST, XGBOOST_OBJECTIVES
from penstock.containers.xgboost_model import XGBoostModel, in_layout
from penstock.errors import DataError, ServiceError

__all__ = ["main", "train"]

# One batch of a pass: small enough beside the matrix, large enough to be sketched quickly.
BATCH_ROWS = 8192

# Sparse rows with at least this share of stored cells are trained on as dense ones. XGBoost spends
# one byte and little time on a cell of a dense matrix, and four bytes and some twenty times the
# time on a stored cell of a sparse one (262,000 rows of 199 features, 45 stored: 18 s, not 75 s).
DENSE_SHARE = 1 / 16

# Names that Penstock's loop handles itself.
_OWN = ("num_round", "early_stopping_rounds", "csv_weights")

# Metrics that are better when larger; "ndcg@5" and "map@5-" go by their first letters.
_LARGER_IS_BETTER = ("auc", "aucpr", "map", "ndcg", "pre")


class Passes(xgboost.DataIter):
    """The batches of a channel, pass by pass.

    Attributes:
        where: Names the channel in errors.
        width: Features of a row; None before the first batch.
        layout: How trees see the rows, ``dense`` or ``sparse``; None before the first batch.
    """

    def __init__(
        self, job: contract.Job, name: str, classes: int, like: Passes | None = None
    ) -> None:
        self._job, self._channel, self._classes = job, job.channel(name), classes
        self.where = f"channel {name!r}"
        self._batches: Generator[Batch] | None = None
        self._rows = 0
        self._pass_rows: int | None = None  # rows of the first pass
        self.width: int | None = like.width if like else None
        self.layout: str | None = like.layout if like else None
        super().__init__()

    def reset(self) -> None:
        """Begin the next pass: the channel's next epoch."""
        self.close()
        self._batches = self._channel.epoch(BATCH_ROWS)
        self._rows = 0

    def next(self, input_data: Callable[..., None]) -> bool:
        """Hand one batch to XGBoost; return whether there was one."""
        # Only here: an exception that a signal raises anywhere else below XGBoost's C++ is lost.
        with self._job.interruptible():
            batch = next(self._batches, None) if self._batches is not None else None
        if batch is None:
            self._end_pass()
            return False
        self._rows += batch.rows
        if self._pass_rows is not None and self._rows > self._pass_rows:
            self._end_pass()
        self.width = self.width or int(batch.features.shape[1])
        check_width(batch, self.width, self.where)
        class_rows_of(batch.labels, self._classes, self.where)
        self.layout = self.layout or _layout_for(batch.features)
        input_data(data=in_layout(batch.features, self.layout), label=batch.labels)
        return True

    def _end_pass(self) -> None:
        # XGBoost sizes its memory by the first pass and writes past its end in a longer one.
        self._pass_rows = self._rows if self._pass_rows is None else self._pass_rows
        if not self._rows:
            raise DataError(
                f"{self.where} has 0 rows, expected at least 1\n  check the split's shares"
            )
        if self._rows != self._pass_rows:
            raise DataError(
                f"{self.where}: a pass had {self._rows} rows so far, the first had "
                f"{self._pass_rows}\n  every epoch of a channel must give the same rows"
            )

    def close(self) -> None:
        """End the pass; a FIFO that is not read to its end is closed."""
        if self._batches is not None:
            self._batches.close()
            self._batches = None


def _layout_for(features: Features) -> str:
    if isinstance(features, np.ndarray):
        return "dense"
    return "dense" if features.nnz >= DENSE_SHARE * np.prod(features.shape) else "sparse"


@dataclass(frozen=True, kw_only=True, slots=True)
class Matrices:
    """The data of a training.

    Attributes:
        evals: ``(matrix, channel name)``, train first.
        layout: ``dense`` or ``sparse``.
    """

    evals: tuple[tuple[Any, str], ...]
    layout: str


def train(job: contract.Job) -> None:
    """Train on the job's channels and write the model.

    Raises:
        InputError: Hyperparameters are wrong, or a channel is missing.
        DataError: The rows do not fit the hyperparameters.
        ServiceError: XGBoost itself refuses something.
    """
    try:
        _train(job)
    except xgboost.core.XGBoostError as error:
        # Its text wraps the reason in a time, a source line and a stack of addresses.
        reason = re.split(r"\n", str(error), maxsplit=1)[0].rpartition("Check failed: ")[2]
        raise ServiceError(f"XGBoost refuses: {reason}") from error


def _train(job: contract.Job) -> None:
    values = check(XGBOOST, job.hyperparameters)
    contract.log(f"hyperparameters: { {k: v for k, v in values.items() if v is not None} }")
    threads = values["nthread"] or _cores()
    try:
        matrices = _matrices(job, values, threads)
    except contract.StopRequested:
        contract.log("stopped before the first round; there is no model to save")
        return
    rounds = Rounds(values, matrices, threads)
    rounds.fit(job)
    if rounds.done:
        rounds.model().save(job.model_dir)


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _matrices(job: contract.Job, values: Mapping[str, Any], threads: int) -> Matrices:
    """Stream each channel into a quantile matrix."""
    task = XGBOOST_OBJECTIVES[values["objective"]]
    classes = {"binary": 2, "multiclass": values["num_class"]}.get(task, 0)
    evals: list[tuple[Any, str]] = []
    first: Passes | None = None
    job.channel("train")
    for name in ("train", "validation"):
        if name not in job.channels:
            continue
        passes = Passes(job, name, classes, like=first)
        ref = evals[0][0] if evals else None
        matrix = _matrix(passes, values["max_bin"], threads, ref)
        evals.append((matrix, name))
        first = first or passes
        contract.log(
            f"channel {name!r}: {matrix.num_row()} rows of {passes.width} features, trained on as "
            f"{passes.layout}, in {job.channels[name].epochs} passes"
        )
    layout = first.layout if first else None
    return Matrices(evals=tuple(evals), layout=layout or "dense")


def _matrix(passes: Passes, max_bin: int, threads: int, ref: Any) -> Any:
    try:
        return xgboost.QuantileDMatrix(passes, max_bin=max_bin, nthread=threads, ref=ref)
    finally:
        passes.close()


class Rounds:
    """The boosting of one model.

    Attributes:
        done: Rounds made.
    """

    def __init__(self, values: Mapping[str, Any], matrices: Matrices, threads: int) -> None:
        self._values, self._matrices, self.done = values, matrices, 0
        self._booster = xgboost.Booster(
            _parameters(values, threads), [matrix for matrix, _ in matrices.evals]
        )
        self._best_round, self._best, self._metric = 0, float("nan"), ""

    def fit(self, job: contract.Job) -> None:
        """Boost until the rounds or the patience are used up, or the platform asks to stop."""
        patience = self._values["early_stopping_rounds"]
        for number in range(self._values["num_round"]):
            if job.stopping:
                contract.log(f"stopped after {self.done} rounds")
                break
            self._booster.update(self._matrices.evals[0][0], number)
            self.done = number + 1
            line = self._booster.eval_set(self._matrices.evals, number)
            print(line, flush=True)
            self._note(number, line)
            if patience is not None and number - self._best_round >= patience:
                contract.log(
                    f"early stop: {self._metric} was best in round {self._best_round}, "
                    f"{self._best:.6g}"
                )
                break

    def _note(self, number: int, line: str) -> None:
        """Remember the round if the last metric of the last channel is the best so far."""
        # A line reads: [12]<tab>train-auc:0.81<tab>validation-auc:0.79
        self._metric, _, text = line.rsplit("\t", 1)[-1].rpartition(":")
        value = float(text)
        kind = re.split(r"[@-]", self._metric.partition("-")[2])[0]
        better = value > self._best if kind in _LARGER_IS_BETTER else value < self._best
        if better or self._best != self._best:
            self._best_round, self._best = number, value

    def model(self) -> XGBoostModel:
        """Return the model: cut to its best round when early stopping was asked for."""
        cut = self._values["early_stopping_rounds"] is not None
        return XGBoostModel(
            task=XGBOOST_OBJECTIVES[self._values["objective"]],
            objective=_objective(self._values),
            layout=self._matrices.layout,
            booster=self._booster[: self._best_round + 1] if cut else self._booster,
            best_epoch=self._best_round if cut else None,
            best_objective=self._best if cut else None,
        )


def _objective(values: Mapping[str, Any]) -> str:
    # XGBoost warns at the old name of the same thing.
    return "reg:squarederror" if values["objective"] == "reg:linear" else str(values["objective"])


def _parameters(values: Mapping[str, Any], threads: int) -> list[tuple[str, Any]]:
    """Return XGBoost's own parameters: what was given, and what makes training repeatable."""
    fixed = {"objective": _objective(values), "tree_method": "hist", "nthread": threads}
    metrics = (values["eval_metric"] or "").split(",")
    given = {
        name: value
        for name, value in values.items()
        if value is not None and name not in (*_OWN, *fixed, "eval_metric")
    }
    named = [("eval_metric", metric.strip()) for metric in metrics if metric.strip()]
    return [*(given | fixed).items(), *named]


def main(argv: list[str]) -> int:
    """Run as a container does; return the exit code."""
    return contract.main(train, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
