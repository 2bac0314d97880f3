"""pca: principal components of a stream of rows, in memory that does not grow with it.

    SAGEMAKER_BASE_DIR=/tmp/job python -m penstock.containers.pca train

regular      one pass; means and products of all pairs of features, float64 (d, d), which merge without a
             loss of digits; their eigenvectors
randomized   two passes, float64 (d, c + extra): where the products lead some random directions, then
             where they lead these; from both an approximation of the products' largest part
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penstock.containers import contract
from penstock.containers.batches import Features
from penstock.containers.hyperparameters import check
from penstock.containers.kmeans import batches
from penstock.containers.pca_model import PCAModel
from penstock.containers.unsupervised import PCA
from penstock.errors import DataError

__all__ = ["CHANNELS", "Products", "main", "train"]

Array = NDArray[np.float64]

CHANNELS = ("train", "test")
EXTRA = 10
SEED = 0


def train(job: contract.Job) -> None:
    """Train on the job's train channel and write the model; a test channel is not read.

    Raises:
        InputError: Hyperparameters are wrong, or a channel is missing.
        DataError: The rows do not fit the hyperparameters.
    """
    values = check(PCA, job.hyperparameters)
    contract.log(f"hyperparameters: {values}")
    try:
        model = (
            _regular(job, values)
            if values["algorithm_mode"] == "regular"
            else _randomized(job, values)
        )
    except contract.StopRequested:
        contract.log("stopped before the end of the rows; there is no model to save")
        return
    model.save(job.model_dir)


class Products:
    """Sums over rows x of (x - mean)(x - mean)^T, applied to some directions. They merge.

    Attributes:
        rows: Rows seen.
        mean: float64 (d,).
        applied: The sum times the directions, float64 (d, m).
    """

    def __init__(self, width: int, directions: Array | None = None) -> None:
        """Begin with no row.

        Args:
            width: d.
            directions: float64 (d, m); None stands for the identity.
        """
        self.rows, self.mean, self._directions = 0, np.zeros(width), directions
        self.applied = np.zeros((width, width if directions is None else directions.shape[1]))

    def add(self, features: Features) -> None:
        """Take in rows, float32 (n, d)."""
        part = Products(len(self.mean), self._directions)
        part.rows, values = features.shape[0], features.astype(np.float64)
        part.mean = np.asarray(values.sum(axis=0)).ravel() / part.rows
        if isinstance(values, np.ndarray):
            values -= part.mean  # so that no digits cancel
            right = values if self._directions is None else values @ self._directions
            part.applied = values.T @ right
        else:  # zeros stay absent
            right = values if self._directions is None else values @ self._directions
            product = values.T @ right
            product = product if isinstance(product, np.ndarray) else product.toarray()
            part.applied = product - part.rows * self._outer(part.mean, part.mean)
        self.merge(part)

    def merge(self, other: Products) -> None:
        """Take in the rows of another."""
        total = self.rows + other.rows
        if not total:
            return
        shift = other.mean - self.mean
        self.applied += other.applied + self.rows * other.rows / total * self._outer(shift, shift)
        self.mean = self.mean + shift * (other.rows / total)
        self.rows = total

    def about_zero(self) -> Array:
        """Return the same sum of x x^T, without the mean."""
        return self.applied + self.rows * self._outer(self.mean, self.mean)

    def _outer(self, left: Array, right: Array) -> Array:
        return np.outer(left, right if self._directions is None else right @ self._directions)


def _pass(
    job: contract.Job, values: Mapping[str, Any], directions: Array | None = None
) -> tuple[Products, Array]:
    """Read one epoch; return its products, and them as the hyperparameters want them."""
    products, started = Products(values["feature_dim"], directions), time.monotonic()
    for batch in batches(job, "train", values["feature_dim"], values["mini_batch_size"]):
        products.add(batch.features)
    if not products.rows:
        raise DataError(
            "channel 'train' has 0 rows, expected at least 1\n  check the split's shares"
        )
    pace = products.rows / max(time.monotonic() - started, 1e-9)
    contract.log(f"#throughput_metric: host={job.host}, train throughput={pace:.1f} records/second")
    return products, products.applied if values["subtract_mean"] else products.about_zero()


def _regular(job: contract.Job, values: Mapping[str, Any]) -> PCAModel:
    products, matrix = _pass(job, values)
    _progress(job, 100)
    found, vectors = np.linalg.eigh((matrix + matrix.T) / 2)  # ascending
    return _model(values, products, found, vectors)


def _randomized(job: contract.Job, values: Mapping[str, Any]) -> PCAModel:
    width, wanted = values["feature_dim"], values["num_components"]
    extra = max(EXTRA, wanted) if values["extra_components"] == -1 else values["extra_components"]
    size = min(width, wanted + extra)
    directions = np.random.default_rng(SEED).standard_normal((width, size))
    _, led = _pass(job, values, np.linalg.qr(directions)[0])
    _progress(job, 50)
    basis = np.linalg.qr(led)[0]
    products, led = _pass(job, values, basis)
    _progress(job, 100)
    # With A the products and Q the basis, A Q (Q^T A Q)^-1 (A Q)^T is A on its largest part.
    inner, turned = np.linalg.eigh(basis.T @ led)
    kept = inner > max(inner.max(), 0.0) * 1e-13
    half = (led @ turned[:, kept]) / np.sqrt(inner[kept])
    left, singular, _ = np.linalg.svd(half, full_matrices=False)
    missing = wanted - len(singular)
    if missing > 0:  # rows of lower rank: any other directions do
        left = np.linalg.qr(np.concatenate([left, directions], axis=1))[0][:, :wanted]
        singular = np.concatenate([singular, np.zeros(missing)])
    order = np.argsort(singular)
    return _model(values, products, singular[order] ** 2, left[:, order])


def _model(values: Mapping[str, Any], products: Products, found: Array, vectors: Array) -> PCAModel:
    """Return the model of eigenvalues, ascending, and their vectors in columns."""
    wanted = values["num_components"]
    vectors = vectors[:, -wanted:]
    # Either sign is right; this one does not depend on the machine.
    largest = np.abs(vectors).argmax(axis=0)
    vectors = vectors * np.where(vectors[largest, np.arange(wanted)] < 0, -1.0, 1.0)
    mean = products.mean if values["subtract_mean"] else np.zeros_like(products.mean)
    return PCAModel(
        components=vectors,
        singular_values=np.sqrt(np.maximum(found[-wanted:], 0.0)),
        mean=mean,
    )


def _progress(job: contract.Job, percent: int) -> None:
    contract.log(f"#progress_metric: host={job.host}, completed {percent} % of epochs")


def main(argv: list[str]) -> int:
    """Run as a container does; return the exit code."""
    return contract.main(train, argv, CHANNELS)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
