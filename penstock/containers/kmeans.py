"""kmeans: clusters of a stream of rows, in memory that does not grow with it.

    SAGEMAKER_BASE_DIR=/tmp/job python -m penstock.containers.kmeans train

The first pass moves a multiple of k centers, batch by batch, each to the mean of the rows that were
nearest to it, and keeps a uniform sample of the rows. At its end those centers, weighted by their rows,
are clustered into k; Lloyd's steps over the sample make these better, and of several beginnings the one
wins that costs the sample least. When the sample is all rows, the result is that of a search over all of
them. Every further epoch is one step of Lloyd's over all rows.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penstock.containers import contract
from penstock.containers.batches import Batch, Features, check_finite, check_width
from penstock.containers.centers import Solution, lloyd, nearest, plus_plus, sums
from penstock.containers.hyperparameters import check
from penstock.containers.kmeans_model import KMeansModel
from penstock.containers.reservoir import Reservoir, stacked
from penstock.containers.unsupervised import KMEANS, eval_metrics
from penstock.errors import DataError, InputError

__all__ = ["CHANNELS", "main", "train"]

Array = NDArray[np.float64]

CHANNELS = ("train", "test")
AUTO_FACTOR, AUTO_TRIALS = 4, 10
SAMPLE_BYTES = 64 << 20
SAMPLE_ROWS = 1 << 16
# So many beginnings take some steps over the sample; the best go on, fewer when a step is dear.
BEGINNINGS, FIRST_STEPS = 4, 5
DEAR = 3e6  # rows x centers x features
# Over a sample a step is cheap, and the last digits are what others reach, too.
FINER = 0.1
SEED = 0


def train(job: contract.Job) -> None:
    """Train on the job's channels and write the model.

    Raises:
        InputError: Hyperparameters are wrong, or a channel is missing.
        DataError: The rows do not fit the hyperparameters.
    """
    values = check(KMEANS, job.hyperparameters)
    contract.log(f"hyperparameters: {values}")
    search = Search(values)
    try:
        _learn(job, search)
    except contract.StopRequested:
        contract.log("stopped; the model is that of the rows so far")
    solution = search.solution
    if solution is None:
        contract.log("there is no model to save")
        return
    model = KMeansModel(centers=solution.centers, rows=solution.weights)
    model.save(job.model_dir)
    if "test" in job.channels and not job.stopping:
        _test(job, model, values)


def batches(job: contract.Job, name: str, width: int, batch_rows: int) -> Iterator[Batch]:
    """Yield the batches of a channel's next epoch, checked, until the job is asked to stop.

    Raises:
        StopRequested: It is.
        DataError: Rows are not of the width, or hold what is no number.
    """
    where = f"channel {name!r}"
    with closing(job.channel(name).epoch(batch_rows, labelled=False)) as found:
        while True:
            # A signal breaks off reading alone: a batch is taken in as a whole or not at all.
            with job.interruptible():
                batch = next(found, None)
            if batch is None:
                return
            if batch.features.shape[1] != width:
                raise InputError(
                    f"{where}: rows have {batch.features.shape[1]} features but hyperparameter "
                    f"feature_dim is {width}\n  set feature_dim to what the dataset has"
                )
            check_finite(batch.features, where)
            yield batch


def _learn(job: contract.Job, search: Search) -> None:
    values = search.values
    for epoch in range(values["epochs"]):
        if epoch and search.exact:
            contract.log("all rows were kept in the first pass; further epochs change nothing")
            break
        started, rows = time.monotonic(), 0
        try:
            for batch in batches(job, "train", values["feature_dim"], values["mini_batch_size"]):
                search.add(batch.features)
                rows += batch.rows
        except contract.StopRequested:
            search.end_pass(whole=False)
            raise
        search.end_pass(whole=True)
        pace = rows / max(time.monotonic() - started, 1e-9)
        contract.log(
            f"#throughput_metric: host={job.host}, train throughput={pace:.1f} records/second"
        )
        contract.log(
            f"#quality_metric: host={job.host}, epoch={epoch}, train msd <loss>={search.msd:.9g}"
        )
        percent = 100 * (epoch + 1) / values["epochs"]
        contract.log(f"#progress_metric: host={job.host}, completed {percent:.4g} % of epochs")
    for name in eval_metrics(values["eval_metrics"]):
        score = search.msd * (1 if name == "msd" else search.rows)
        contract.log(f"#quality_metric: host={job.host}, train {name} <loss>={score:.9g}")


def _test(job: contract.Job, model: KMeansModel, values: Mapping[str, Any]) -> None:
    total, rows = 0.0, 0
    try:
        for batch in batches(job, "test", model.width, values["mini_batch_size"]):
            check_width(batch, model.width, "channel 'test'")
            total += float(nearest(batch.features, model.centers)[1].sum())
            rows += batch.rows
    except contract.StopRequested:
        return
    for name in eval_metrics(values["eval_metrics"]):
        score = total / max(rows, 1) if name == "msd" else total
        contract.log(f"#quality_metric: host={job.host}, test {name} <loss>={score:.9g}")


class Search:
    """The search for centers.

    Attributes:
        values: Hyperparameters.
        solution: What was found; None before the end of the first pass.
        rows: Rows of the first pass.
        msd: Mean squared distance: of the sample in the first pass, of all rows in later ones.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values, self.solution, self.msd = values, None, float("nan")
        self._random = np.random.default_rng(SEED)
        self._sample: Reservoir | None = None
        factor = values["extra_center_factor"]
        self._wanted = values["k"] * (AUTO_FACTOR if factor == "auto" else factor)
        self._held: list[Features] = []  # rows before the first centers
        self._centers: Array | None = None
        self._weights = np.zeros(0)
        self._step: Step | None = None

    solution: Solution | None

    @property
    def rows(self) -> int:
        """Rows of the first pass so far."""
        return self._sample.rows if self._sample else 0

    @property
    def exact(self) -> bool:
        """Whether the sample is all rows."""
        return self._sample is None or self._sample.whole

    def add(self, features: Features) -> None:
        """Take in a batch."""
        if self.solution is not None:
            self._step = self._step or Step(self.solution.centers)
            self._step.add(features)
            return
        if self._sample is None:
            self._sample = Reservoir(_capacity(features, self._wanted), self._random)
        self._sample.add(features)
        if self._centers is not None:
            self._move(features)
            return
        self._held.append(features)
        if sum(each.shape[0] for each in self._held) >= self._wanted:
            self._begin()

    def _begin(self) -> None:
        """Pick the first centers from the rows held so far, and take these in."""
        held, self._held = self._held, []
        rows = stacked(held).astype(np.float64)
        wanted = min(self._wanted, rows.shape[0])
        if self.values["init_method"] == "kmeans++":
            self._centers = plus_plus(rows, np.ones(rows.shape[0]), wanted, self._random)
        else:
            drawn = np.sort(self._random.choice(rows.shape[0], wanted, replace=False))
            self._centers = _dense(rows[drawn])
        self._weights = np.zeros(wanted)
        for each in held:
            self._move(each)

    def _move(self, features: Features) -> None:
        """Move each center to the mean of the rows that were nearest to it, this batch's included."""
        if self._centers is None:
            return
        numbers, _ = nearest(features, self._centers)
        if half_life := self.values["half_life_time_size"]:
            self._weights *= 0.5 ** (features.shape[0] / half_life)
        added = np.bincount(numbers, minlength=len(self._weights))
        summed = sums(features, numbers, len(self._weights))
        self._weights += added
        share = 1 / np.where(self._weights > 0, self._weights, 1.0)[:, None]
        self._centers = self._centers + (summed - added[:, None] * self._centers) * share

    def end_pass(self, *, whole: bool) -> None:
        """Take stock at the end of an epoch; one that is not ``whole`` counts only when it is the first.

        Raises:
            DataError: There are fewer rows than clusters.
        """
        if self.solution is None:
            self._settle(whole=whole)
        elif whole and self._step is not None:
            self.solution = self._step.solution()
            self.msd = self.solution.loss / max(self.rows, 1)
        self._step = None

    def _settle(self, *, whole: bool) -> None:
        k = self.values["k"]
        if self._sample is None or self.rows < k:
            if not whole:
                return
            raise DataError(
                f"channel 'train' has {self.rows} rows, expected at least k = {k}\n"
                "  lower k, or check the split's shares"
            )
        if self._centers is None:
            self._begin()
        sample = self._sample.sample().astype(np.float64)
        self.solution = self._best(sample)
        self.msd = self.solution.loss / sample.shape[0]
        # What counts is how many rows of all are in a cluster.
        weights = self.solution.weights * (self.rows / sample.shape[0])
        self.solution = Solution(
            centers=self.solution.centers, loss=self.solution.loss, weights=weights
        )

    def _best(self, sample: Features) -> Solution:
        """Return the best of several searches over the sample."""
        k, values, ones = self.values["k"], self.values, np.ones(sample.shape[0])
        begun = [self._reduced()]
        while len(begun) < BEGINNINGS:
            begun.append(plus_plus(sample, ones, k, self._random))
        tried = [lloyd(sample, ones, each, max_iter=FIRST_STEPS, tolerance=0.0) for each in begun]
        tried.sort(key=lambda each: each.loss)
        dear = sample.shape[0] * k * sample.shape[1] > DEAR
        tolerance = values["local_lloyd_tol"] * FINER
        found = [
            lloyd(
                sample,
                ones,
                each.centers,
                max_iter=values["local_lloyd_max_iter"],
                tolerance=tolerance,
            )
            for each in tried[: 1 if dear else BEGINNINGS]
        ]
        return min(found, key=lambda each: each.loss)

    def _reduced(self) -> Array:
        """Return k centers for the weighted centers of the pass."""
        values, k = self.values, self.values["k"]
        used = self._weights > 0
        points = (self._centers if self._centers is not None else np.zeros((0, 0)))[used]
        weights = self._weights[used]
        if len(points) <= k:
            spare = (
                plus_plus(points, weights, k - len(points), self._random)
                if len(points) < k
                else points[:0]
            )
            return np.concatenate([points, spare])
        trials = values["local_lloyd_num_trials"]
        found = []
        for _ in range(AUTO_TRIALS if trials == "auto" else trials):
            if values["local_lloyd_init_method"] == "kmeans++":
                begun = plus_plus(points, weights, k, self._random)
            else:
                begun = points[np.sort(self._random.choice(len(points), k, replace=False))]
            found.append(
                lloyd(
                    points,
                    weights,
                    begun,
                    max_iter=values["local_lloyd_max_iter"],
                    tolerance=values["local_lloyd_tol"],
                )
            )
        return min(found, key=lambda each: each.loss).centers


class Step:
    """One of Lloyd's steps over a whole epoch."""

    def __init__(self, centers: Array) -> None:
        self._centers, self._sums = centers, np.zeros_like(centers)
        self._rows, self._loss = np.zeros(len(centers)), 0.0

    def add(self, features: Features) -> None:
        """Take in a batch."""
        numbers, squared = nearest(features, self._centers)
        self._sums += sums(features, numbers, len(self._centers))
        self._rows += np.bincount(numbers, minlength=len(self._centers))
        self._loss += float(squared.sum())

    def solution(self) -> Solution:
        """Return the means of the rows of each center; the loss is that of the centers before."""
        means = self._sums / np.maximum(self._rows, 1)[:, None]
        centers = np.where((self._rows > 0)[:, None], means, self._centers)
        return Solution(centers=centers, loss=self._loss, weights=self._rows)


def _capacity(features: Features, least: int) -> int:
    """Return how many rows are kept, by what a row of the first batch takes."""
    dense = isinstance(features, np.ndarray)
    cells = features.size if dense else 2 * features.nnz
    row_bytes = max(8 * cells / features.shape[0], 1.0)
    return max(least, min(SAMPLE_ROWS, int(SAMPLE_BYTES / row_bytes)))


def _dense(rows: Features) -> Array:
    return np.asarray(rows if isinstance(rows, np.ndarray) else rows.toarray(), np.float64)


def main(argv: list[str]) -> int:
    """Run as a container does; return the exit code."""
    return contract.main(train, argv, CHANNELS)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
