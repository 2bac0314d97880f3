from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from containers.conftest import Train
from containers.jobs import Rows
from scipy import sparse
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from penstock import recordio
from penstock.containers import contract, kmeans, load_model
from penstock.containers.centers import Solution, lloyd, nearest, plus_plus
from penstock.containers.kmeans_model import KMeansModel
from penstock.containers.reservoir import Reservoir


def blobs(rows: int, width: int, k: int, spread: float) -> np.ndarray:
    points, _ = make_blobs(rows, width, centers=k, cluster_std=spread, random_state=1)
    return np.asarray(points, dtype=np.float32)


def unlabelled(features: Any) -> Rows:
    return Rows(features, np.zeros(features.shape[0], np.float32))


def hyperparameters(k: int, width: int, **more: str) -> dict[str, str]:
    return {"k": str(k), "feature_dim": str(width), **more}


def theirs(points: np.ndarray, k: int, tries: int = 5) -> float:
    with threadpool_limits(1):
        return float(KMeans(k, n_init=tries, random_state=0).fit(points).inertia_)


def msd(said: str, channel: str) -> float:
    return float(re.findall(rf"host=algo-1, {channel} msd <loss>=(\S+)", said)[-1])


@pytest.mark.parametrize("layout", ["dense", "sparse"])
@pytest.mark.parametrize("init_method", ["random", "kmeans++"])
def test_centers_are_as_good_as_scikit_learns(
    train: Train, capfd: pytest.CaptureFixture[str], layout: str, init_method: str
) -> None:
    points = blobs(20_000, 6, 12, 1.5)
    rows = unlabelled(points)
    rows = rows.sparse() if layout == "sparse" else rows

    code, base = train(
        kmeans,
        hyperparameters(12, 6, init_method=init_method, eval_metrics='["msd", "ssd"]'),
        {"train": rows, "test": rows},
    )

    model = load_model(base / "model")
    found = model.score(rows.features)
    said = capfd.readouterr().out
    assert code == 0
    assert isinstance(model, KMeansModel)
    assert found.shape == (20_000, 2)
    assert (found[:, 1] ** 2).sum() < 1.005 * theirs(points, 12)
    assert msd(said, "train") == pytest.approx((found[:, 1] ** 2).mean(), rel=1e-6)
    assert msd(said, "test") == pytest.approx(msd(said, "train"), rel=1e-6)
    assert float(re.findall(r"test ssd <loss>=(\S+)", said)[0]) == pytest.approx(
        (found[:, 1] ** 2).sum(), rel=1e-6
    )
    assert model.rows.sum() == 20_000
    assert np.bincount(found[:, 0].astype(int), minlength=12).tolist() == model.rows.tolist()


def test_a_stream_far_longer_than_the_sample_is_clustered_as_well(
    train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kmeans, "SAMPLE_ROWS", 1000)
    points = blobs(60_000, 4, 6, 3.0)
    best = theirs(points, 6)

    costs = []
    for epochs in ("1", "4"):
        _, base = train(kmeans, hyperparameters(6, 4, epochs=epochs), {"train": unlabelled(points)})
        costs.append((load_model(base / "model").score(points)[:, 1] ** 2).sum())

    assert costs[0] < 1.02 * best
    assert costs[1] < 1.001 * best
    assert costs[1] < costs[0]


def test_rows_far_from_the_origin_lose_no_digits(train: Train) -> None:
    points = blobs(4000, 3, 5, 1.0) + np.float32(4096)  # float32 has 11 bits left behind the point

    _, base = train(kmeans, hyperparameters(5, 3), {"train": unlabelled(points)})

    cost = (load_model(base / "model").score(points)[:, 1] ** 2).sum()
    assert cost < 1.001 * theirs(points.astype(np.float64), 5)


def test_equal_jobs_leave_equal_bytes(train: Train) -> None:
    rows = unlabelled(blobs(3000, 3, 4, 2.0))

    models = [
        {
            path.name: path.read_bytes()
            for path in (
                train(kmeans, hyperparameters(4, 3), {"train": rows})[1] / "model"
            ).iterdir()
        }
        for _ in range(2)
    ]

    assert models[0] == models[1]
    assert json.loads(models[0]["model.json"]) | {"penstock": ""} == {
        "format_version": 1,
        "penstock": "",
        "algorithm": "kmeans",
        "task": "clustering",
        "width": 3,
        "k": 4,
        "best_epoch": None,
    }


def test_a_half_life_lets_the_centers_follow(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    moved = np.concatenate([random.normal(0, 1, (20_000, 2)), random.normal(50, 1, (5000, 2))])
    seen: list[np.ndarray] = []

    def best(search: kmeans.Search, sample: Any) -> Solution:
        seen.append(search._reduced())
        return Solution(centers=seen[-1], loss=0.0, weights=np.ones(1))

    monkeypatch.setattr(kmeans.Search, "_best", best)
    for half_life in ("0", "500"):
        train(
            kmeans,
            hyperparameters(1, 2, half_life_time_size=half_life, extra_center_factor="1"),
            {"train": unlabelled(moved.astype(np.float32))},
        )

    assert np.allclose(seen[0], 10, atol=0.2)  # the mean of all rows
    assert np.allclose(seen[1], 50, atol=0.3)


def _one_shard(folder: Path, rows: Rows) -> None:
    folder.mkdir(parents=True)
    (folder / "part").write_bytes(rows.encoded())


@pytest.mark.parametrize(
    ("rows", "given", "message"),
    [
        (
            np.zeros((3, 2), np.float32),
            hyperparameters(5, 2),
            "ClientError: channel 'train' has 3 rows, expected at least k = 5\n"
            "  lower k, or check the split's shares",
        ),
        (
            np.zeros((9, 2), np.float32),
            hyperparameters(2, 3),
            "ClientError: channel 'train': rows have 2 features but hyperparameter feature_dim is 3\n"
            "  set feature_dim to what the dataset has",
        ),
        (
            np.array([[1, 2], [3, np.nan]], np.float32),
            hyperparameters(1, 2),
            "ClientError: channel 'train': feature 1 has a value that is NaN or infinite, expected "
            "finite float32 numbers\n  impute it in the plan",
        ),
        (
            np.zeros((9, 2), np.float32),
            hyperparameters(2, 2, eval_metrics='["mse"]', extra_center_factor="0"),
            "ClientError: hyperparameters of kmeans: 1 problem\n"
            "  'extra_center_factor' is '0', expected an integer of at least 1 or 'auto': centers "
            "during the first pass, as a multiple of k; auto is 4",
        ),
        (
            np.zeros((9, 2), np.float32),
            hyperparameters(2, 2, eval_metrics='["mse"]'),
            "ClientError: hyperparameters of kmeans: 1 problem\n"
            "  'eval_metrics' is '[\"mse\"]', expected a JSON list of 'msd' and 'ssd'",
        ),
    ],
)
def test_what_does_not_fit_is_a_clear_failure(
    train: Train,
    monkeypatch: pytest.MonkeyPatch,
    rows: np.ndarray,
    given: dict[str, str],
    message: str,
) -> None:
    encoded = recordio.encode_dense(rows, np.zeros(len(rows), "f4"), allow_nonfinite=True)
    monkeypatch.setattr(Rows, "encoded", lambda self: bytes(encoded) if len(self.labels) else b"")
    monkeypatch.setattr("containers.jobs.write_shards", _one_shard)
    code, base = train(kmeans, given, {"train": unlabelled(rows)})

    assert code == 1
    assert (base / "output" / "failure").read_text() == message


def test_identical_rows_are_no_trouble(train: Train) -> None:
    code, base = train(
        kmeans, hyperparameters(3, 2), {"train": unlabelled(np.ones((50, 2), np.float32))}
    )

    assert code == 0
    assert load_model(base / "model").score(np.ones((2, 2), np.float32))[:, 1].tolist() == [0, 0]


def test_rows_without_labels_are_read(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    points = blobs(500, 2, 3, 1.0)
    monkeypatch.setattr(Rows, "encoded", lambda self: bytes(recordio.encode_dense(self.features)))

    code, _ = train(kmeans, hyperparameters(3, 2), {"train": unlabelled(points)})

    assert code == 0


def test_a_stop_keeps_what_was_found(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    points, add = blobs(5000, 2, 3, 1.0), kmeans.Search.add

    def adds_and_is_stopped(search: kmeans.Search, features: Any) -> None:
        add(search, features)
        if search.rows >= 2000:
            jobs[0].stopping = True

    jobs: list[contract.Job] = []
    learn = kmeans._learn

    def learns(job: contract.Job, search: kmeans.Search) -> None:
        jobs.append(job)
        learn(job, search)

    monkeypatch.setattr(kmeans, "_learn", learns)
    monkeypatch.setattr(kmeans.Search, "add", adds_and_is_stopped)

    code, base = train(
        kmeans, hyperparameters(3, 2, mini_batch_size="1000"), {"train": unlabelled(points)}
    )

    model = load_model(base / "model")
    assert code == 0
    assert isinstance(model, KMeansModel)
    assert model.rows.sum() == 2000


def test_nearest_is_what_distances_say() -> None:
    random = np.random.default_rng(0)
    points, centers = random.normal(size=(10_000, 3)), random.normal(size=(7, 3))
    direct = ((points[:, None] - centers) ** 2).sum(axis=2)

    for form in (points, sparse.csr_array(points)):
        numbers, squared = nearest(form, centers)
        assert (numbers == direct.argmin(axis=1)).all()
        np.testing.assert_allclose(squared, direct.min(axis=1), atol=1e-12)


def test_weights_count_as_so_many_points() -> None:
    random = np.random.default_rng(3)
    points = random.normal(size=(40, 2))
    copies = random.integers(1, 6, 40)
    begun = plus_plus(points, copies.astype(float), 4, np.random.default_rng(1))

    weighted = lloyd(points, copies.astype(float), begun, max_iter=50, tolerance=0.0)
    repeated = lloyd(
        np.repeat(points, copies, axis=0), np.ones(copies.sum()), begun, max_iter=50, tolerance=0.0
    )

    np.testing.assert_allclose(weighted.centers, repeated.centers, atol=1e-12)
    assert weighted.loss == pytest.approx(repeated.loss)


def test_a_center_without_points_takes_the_dearest_one() -> None:
    points = np.array([[0.0], [0.1], [10.0]])

    found = lloyd(points, np.ones(3), np.array([[0.0], [99.0]]), max_iter=10, tolerance=0.0)

    assert sorted(found.centers[:, 0].tolist()) == pytest.approx([0.05, 10.0])


def test_the_sample_is_uniform_over_the_stream() -> None:
    counts = np.zeros(10)
    for seed in range(40):
        reservoir = Reservoir(200, np.random.default_rng(seed))
        for start in range(0, 10_000, 333):
            stop = min(start + 333, 10_000)
            reservoir.add(np.arange(start, stop, dtype=np.float32)[:, None])
        sample = reservoir.sample()
        assert sample.shape == (200, 1)
        assert len(np.unique(sample)) == 200
        counts += np.bincount((sample[:, 0] // 1000).astype(int), minlength=10)

    assert not reservoir.whole
    assert np.abs(counts - 800).max() < 5 * np.sqrt(800)


def test_a_sample_of_all_rows_is_all_rows_in_order() -> None:
    reservoir = Reservoir(1000, np.random.default_rng(0))
    rows = sparse.random_array((900, 5), density=0.3, format="csr", dtype=np.float32)
    for start in range(0, 900, 100):
        reservoir.add(rows[start : start + 100])

    assert reservoir.whole
    assert (reservoir.sample() != rows).nnz == 0


def test_the_explanation_is_the_spread_of_the_centers(tmp_path: Path) -> None:
    model = KMeansModel(centers=np.array([[0.0, 5.0], [4.0, 5.0]]), rows=np.array([1.0, 3.0]))

    model.save(tmp_path)

    expected = {"deviation of centers": [pytest.approx(3**0.5), 0.0]}
    assert load_model(tmp_path).explanation() == {"kind": "spread", "values": expected}
