from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from containers.conftest import Train
from containers.jobs import Rows, binary_rows, class_rows, number_rows
from sklearn.linear_model import LinearRegression, LogisticRegression, QuantileRegressor
from sklearn.metrics import log_loss, r2_score, roc_auc_score
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from penstock.containers import linear_learner, load_model


@cache
def solution(make: Callable[[int], Rows], count: int) -> LogisticRegression:
    """scikit-learn's solver on all rows at once; once per test run, it is slow."""
    rows = make(count)
    with threadpool_limits(1):  # its threads would spin for each other on a busy machine
        return LogisticRegression(max_iter=300).fit(rows.features, rows.labels)


def solved(make: Callable[[int], Rows], count: int, test: Rows) -> np.ndarray:
    return np.asarray(solution(make, count).predict_proba(test.features))


BINARY = {"predictor_type": "binary_classifier"}


@pytest.mark.parametrize("layout", ["dense", "sparse"])
@pytest.mark.parametrize("optimizer", ["adam", "rmsprop", "sgd"])
def test_it_predicts_as_well_as_a_solver_that_sees_all_rows(
    train: Train, layout: str, optimizer: str
) -> None:
    rows, validation, test = binary_rows(12_000), binary_rows(3000, 10), binary_rows(6000, 20)
    theirs = solved(binary_rows, 12_000, test)[:, 1]
    if layout == "sparse":
        rows, validation = rows.sparse(), validation.sparse()

    code, base = train(
        linear_learner, BINARY | {"optimizer": optimizer}, {"train": rows, "validation": validation}
    )

    assert code == 0
    ours = load_model(base / "model").score(test.features)
    assert ours.shape == (6000,)
    assert ours.dtype == np.float64
    assert roc_auc_score(test.labels, ours) > roc_auc_score(test.labels, theirs) - 0.002
    if optimizer != "sgd":  # which is on its way in 15 epochs, not there
        assert log_loss(test.labels, ours) < log_loss(test.labels, theirs) + 0.001


def test_few_rows_are_enough_when_steps_are_longer(train: Train) -> None:
    rows, test = binary_rows(1500), binary_rows(4000, 20)

    _, base = train(linear_learner, BINARY, {"train": rows})

    theirs = solved(binary_rows, 1500, test)[:, 1]
    auc = roc_auc_score(test.labels, load_model(base / "model").score(test.features))
    assert auc > roc_auc_score(test.labels, theirs) - 0.01


def test_coefficients_are_those_of_the_features_as_they_came(train: Train) -> None:
    rows = number_rows(20_000)
    hyperparameters = {"predictor_type": "regressor", "early_stopping_tolerance": "0"}

    _, base = train(linear_learner, hyperparameters, {"train": rows})

    model = load_model(base / "model")
    explanation = model.explanation()
    theirs = LinearRegression().fit(rows.features, rows.labels)
    assert explanation["kind"] == "coefficients"
    # One-hot columns sum to 1, so only their differences are determined.
    np.testing.assert_allclose(
        explanation["values"]["coefficient"][:5], theirs.coef_[:5], rtol=0.02
    )
    deviation = rows.features.std(axis=0, dtype="f8")
    standardized = np.array(explanation["values"]["coefficient"]) * deviation
    np.testing.assert_allclose(explanation["values"]["standardized"], standardized, rtol=1e-6)
    assert r2_score(rows.labels, model.score(rows.features)) > 0.999 * theirs.score(
        rows.features, rows.labels
    )


@pytest.mark.parametrize(
    "loss",
    [
        "absolute_loss",
        "huber_loss",
        "eps_insensitive_squared_loss",
        "eps_insensitive_absolute_loss",
        "quantile_loss",
    ],
)
def test_every_regression_loss_fits_a_line(train: Train, loss: str) -> None:
    rows = number_rows(6000)

    _, base = train(linear_learner, {"predictor_type": "regressor", "loss": loss}, {"train": rows})

    model = load_model(base / "model")
    theirs = LinearRegression().fit(rows.features, rows.labels).score(rows.features, rows.labels)
    assert r2_score(rows.labels, model.score(rows.features)) > theirs - 0.01


def test_a_quantile_is_predicted(train: Train) -> None:
    rows = number_rows(4000)
    hyperparameters = {"predictor_type": "regressor", "loss": "quantile_loss", "quantile": "0.9"}

    _, base = train(linear_learner, hyperparameters | {"mini_batch_size": "100"}, {"train": rows})

    below = (rows.labels < load_model(base / "model").score(rows.features)).mean()
    theirs = QuantileRegressor(quantile=0.9, alpha=0).fit(rows.features, rows.labels)
    assert below == pytest.approx((rows.labels < theirs.predict(rows.features)).mean(), abs=0.01)


@pytest.mark.parametrize("layout", ["dense", "sparse"])
def test_classes_get_probabilities(train: Train, layout: str) -> None:
    rows, test = class_rows(12_000), class_rows(4000, seed=20)
    hyperparameters = {"predictor_type": "multiclass_classifier", "num_classes": "3"}

    _, base = train(
        linear_learner, hyperparameters, {"train": rows.sparse() if layout == "sparse" else rows}
    )

    model = load_model(base / "model")
    ours = model.score(test.features)
    np.testing.assert_allclose(ours.sum(axis=1), 1)
    assert (
        log_loss(test.labels, ours)
        < log_loss(test.labels, solved(class_rows, 12_000, test)) + 0.002
    )
    assert list(model.explanation()["values"]) == ["class 0", "class 1", "class 2", "standardized"]


def test_dense_and_sparse_rows_give_the_same_model(train: Train) -> None:
    rows = binary_rows(5000)

    _, dense = train(linear_learner, BINARY, {"train": rows})
    _, sparse = train(linear_learner, BINARY, {"train": rows.sparse()})

    found = load_model(sparse / "model").score(rows.sparse().features)
    np.testing.assert_allclose(found, load_model(dense / "model").score(rows.features), atol=1e-4)


def test_the_same_rows_give_the_same_bytes(train: Train) -> None:
    channels = {"train": binary_rows(3000), "validation": binary_rows(500, 10)}

    models = [train(linear_learner, BINARY, channels)[1] / "model" for _ in range(2)]

    for name in ("model.npz", "model.json"):
        assert (models[0] / name).read_bytes() == (models[1] / name).read_bytes()


def test_l1_sets_useless_weights_to_zero(train: Train) -> None:
    rows = binary_rows(10_000)
    noise = np.random.default_rng(7).normal(size=(10_000, 20)).astype(np.float32)
    wide = Rows(np.concatenate([rows.features, noise], axis=1), rows.labels)

    _, plain = train(linear_learner, BINARY, {"train": wide})
    _, sparse = train(linear_learner, BINARY | {"l1": "0.02"}, {"train": wide})

    def noise_weight(base: Path) -> float:
        weights = load_model(base / "model").explanation()["values"]["coefficient"][-20:]
        return float(np.abs(weights).mean())

    assert noise_weight(sparse) < 0.05 * noise_weight(plain)


def test_l2_shrinks_weights(train: Train) -> None:
    rows = binary_rows(5000)

    _, plain = train(linear_learner, BINARY, {"train": rows})
    _, shrunk = train(linear_learner, BINARY | {"wd": "0.1"}, {"train": rows})

    def size(base: Path) -> float:
        return float(
            np.abs(load_model(base / "model").explanation()["values"]["standardized"]).sum()
        )

    assert size(shrunk) < 0.8 * size(plain)


def test_balanced_weights_move_the_predictions_of_a_rare_class(train: Train) -> None:
    rows = binary_rows(20_000)
    keep = (rows.labels == 0) | (np.arange(20_000) % 20 == 0)
    rare = Rows(rows.features[keep], rows.labels[keep])

    _, plain = train(linear_learner, BINARY, {"train": rare})
    _, even = train(
        linear_learner, BINARY | {"positive_example_weight_mult": "balanced"}, {"train": rare}
    )

    means = [
        float(load_model(base / "model").score(rare.features).mean()) for base in (plain, even)
    ]
    assert means[0] == pytest.approx(rare.labels.mean(), abs=0.01)
    assert means[1] > 0.3


def test_training_stops_early_and_keeps_the_best_epoch(
    train: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    # With a constant, far too large rate the objective jumps about.
    wild = {"learning_rate": "0.5", "use_lr_scheduler": "false", "early_stopping_patience": "2"}
    channels = {"train": binary_rows(3000), "validation": binary_rows(2000, 10)}

    _, base = train(linear_learner, BINARY | wild | {"mini_batch_size": "50"}, channels)

    lines = [
        line for line in capsys.readouterr().out.splitlines() if " validation binary_class" in line
    ]
    losses = [float(line.rpartition("=")[2]) for line in lines if "_objective" in line]
    card = json.loads((base / "model" / "model.json").read_text())
    assert len(losses) < 15
    assert card["best_epoch"] == int(np.argmin(losses))
    validation = channels["validation"]
    scores = load_model(base / "model").score(validation.features)
    assert log_loss(validation.labels, scores) == pytest.approx(min(losses), rel=1e-4)


def test_log_lines_are_those_that_sagemakers_regexes_read(
    train: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    channels = {"train": binary_rows(2000), "validation": binary_rows(500, 10)}

    train(linear_learner, BINARY | {"epochs": "1"}, channels)

    lines = [line.partition("] ")[2] for line in capsys.readouterr().out.splitlines()[1:]]
    shape = [line.replace("=", " ").rsplit(" ", 1)[0] for line in lines]
    assert shape[0] == (
        "#quality_metric: host algo-1, epoch 0, train "
        "binary_classification_cross_entropy_objective <loss>"
    )
    assert shape[1].startswith("#throughput_metric: host algo-1, train throughput")
    assert shape[2] == (
        "#quality_metric: host algo-1, epoch 0, validation "
        "binary_classification_cross_entropy_objective <loss>"
    )
    assert lines[3] == "#progress_metric: host=algo-1, completed 100 % of epochs"
    assert shape[4:] == [
        "#quality_metric: host algo-1, validation binary_classification_accuracy <score>",
        "#quality_metric: host algo-1, validation precision <score>",
        "#quality_metric: host algo-1, validation recall <score>",
    ]


@pytest.mark.parametrize(
    ("hyperparameters", "channels", "failure"),
    [
        (
            BINARY | {"epoch": "3", "wd": "-1"},
            {"train": binary_rows(10)},
            "ClientError: hyperparameters of linear-learner: 2 problems\n"
            "  'epoch' is unknown, did you mean 'epochs'?\n"
            "  'wd' is '-1', expected a number of at least 0 or 'auto': weight of the L2 penalty; "
            "auto is 0",
        ),
        (
            BINARY,
            {"train": number_rows(10)},
            "ClientError: channel 'train': a label is {label!r}, expected 0 or 1\n"
            "  check the hyperparameters against the label's classes in the spec",
        ),
        (
            BINARY | {"feature_dim": "7"},
            {"train": binary_rows(10)},
            "ClientError: channel 'train': rows have 43 features but hyperparameter feature_dim is 7\n"
            "  set feature_dim to 'auto', or check which dataset the channel reads",
        ),
        (
            BINARY,
            {"train": binary_rows(10), "validation": Rows(np.ones((3, 4), "f4"), np.ones(3, "f4"))},
            "ClientError: channel 'validation': rows have 4 features, those of channel 'train' have "
            "43\n  all splits must come from one plan",
        ),
        (
            BINARY,
            {"validation": binary_rows(10)},
            "ClientError: the job has no channel 'train', it has: 'validation'\n"
            "  add 'train' to InputDataConfig",
        ),
        (
            BINARY,
            {"train": Rows(np.ones((0, 4), "f4"), np.ones(0, "f4"))},
            "ClientError: channel 'train' has 0 rows, expected at least 1\n"
            "  check the split's shares",
        ),
        (
            {"predictor_type": "regressor", "learning_rate": "1e300", "optimizer": "sgd"},
            {"train": number_rows(10)},
            "ClientError: epoch 1: the objective is nan, training diverged\n"
            "  lower learning_rate, which was 1e+300",
        ),
    ],
    ids=["hyperparameters", "labels", "width", "validation width", "channel", "empty", "diverged"],
)
@pytest.mark.filterwarnings("ignore:overflow encountered", "ignore:invalid value encountered")
def test_failures_are_told_in_output_failure(
    train: Train, hyperparameters: dict[str, str], channels: dict[str, Rows], failure: str
) -> None:
    code, base = train(linear_learner, hyperparameters, channels)

    label = (
        float(channels["train"].labels[0])
        if "train" in channels and len(channels["train"].labels)
        else 0
    )
    assert code == 1
    assert (base / "output" / "failure").read_text() == failure.format(label=label)
    assert not (base / "model").exists()
