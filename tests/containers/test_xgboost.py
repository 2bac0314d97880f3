from __future__ import annotations

import json

import numpy as np
import pytest
import xgboost as library
from containers.conftest import Train
from containers.jobs import Rows, binary_rows, class_rows, number_rows
from scipy import sparse
from sklearn.metrics import accuracy_score, r2_score, roc_auc_score

from penstock.containers import load_model, xgboost

BINARY = {
    "objective": "binary:logistic",
    "num_round": "30",
    "max_depth": "4",
    "seed": "3",
    "nthread": "1",
}


def in_memory(rows: Rows, test: Rows, hyperparameters: dict[str, str]) -> np.ndarray:
    parameters = dict(hyperparameters)
    rounds = int(parameters.pop("num_round"))
    booster = library.train(parameters, library.QuantileDMatrix(rows.dense, rows.labels), rounds)
    return np.asarray(booster.predict(library.DMatrix(test.dense)))


@pytest.mark.parametrize("layout", ["dense", "sparse"])
def test_it_predicts_as_well_as_a_matrix_in_memory(train: Train, layout: str) -> None:
    rows, test = binary_rows(8000), binary_rows(5000, 20)
    given = rows.sparse() if layout == "sparse" else rows

    code, base = train(xgboost, BINARY, {"train": given})

    ours = load_model(base / "model").score(test.features)
    theirs = in_memory(rows, test, BINARY)
    assert code == 0
    assert ours.dtype == np.float64
    assert roc_auc_score(test.labels, ours) == pytest.approx(
        roc_auc_score(test.labels, theirs), abs=0.003
    )


@pytest.mark.parametrize("share", [0.5, 0.01], ids=["trained as dense", "trained as sparse"])
def test_rows_get_the_same_score_in_either_layout(train: Train, share: float) -> None:
    features = sparse.random_array(
        (2000, 40), density=share, format="csr", dtype=np.float32, rng=np.random.default_rng(1)
    )
    labels = (features.sum(axis=1) > features.sum() / 2000).astype(np.float32)

    _, base = train(xgboost, BINARY, {"train": Rows(features, labels)})

    model = load_model(base / "model")
    card = json.loads((base / "model" / "model.json").read_text())
    assert card["layout"] == ("dense" if share == 0.5 else "sparse")
    assert np.array_equal(model.score(features), model.score(features.toarray()))
    assert np.array_equal(model.score(features), model.score(sparse.csr_matrix(features)))
    assert roc_auc_score(labels, model.score(features)) > 0.9


@pytest.mark.parametrize("objective", ["multi:softprob", "multi:softmax"])
def test_classes_get_probabilities(train: Train, objective: str) -> None:
    rows, test = class_rows(4000), class_rows(3000, seed=20)
    hyperparameters = {"objective": objective, "num_class": "3", "num_round": "10", "nthread": "1"}

    _, base = train(xgboost, hyperparameters, {"train": rows})

    ours = load_model(base / "model").score(test.features)
    theirs = in_memory(rows, test, hyperparameters | {"objective": "multi:softprob"})
    assert ours.shape == (3000, 3)
    np.testing.assert_allclose(ours.sum(axis=1), 1, atol=1e-6)
    assert accuracy_score(test.labels, ours.argmax(axis=1)) == pytest.approx(
        accuracy_score(test.labels, theirs.argmax(axis=1)), abs=0.01
    )


def test_numbers_are_predicted(train: Train) -> None:
    rows, test = number_rows(5000), number_rows(3000, 20)

    _, base = train(xgboost, {"num_round": "20", "nthread": "1"}, {"train": rows})

    ours = load_model(base / "model").score(test.features)
    theirs = in_memory(rows, test, {"num_round": "20", "nthread": "1"})
    assert r2_score(test.labels, ours) == pytest.approx(r2_score(test.labels, theirs), abs=0.01)


def test_a_raw_margin_is_given_as_a_probability(train: Train) -> None:
    rows = binary_rows(2000)

    _, plain = train(xgboost, BINARY, {"train": rows})
    _, raw = train(xgboost, BINARY | {"objective": "binary:logitraw"}, {"train": rows})

    scores = load_model(raw / "model").score(rows.features)
    assert scores.min() >= 0
    assert scores.max() <= 1
    assert roc_auc_score(rows.labels, scores) == pytest.approx(
        roc_auc_score(rows.labels, load_model(plain / "model").score(rows.features)), abs=0.01
    )


def test_early_stopping_cuts_the_model_to_its_best_round(
    train: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    channels = {"train": binary_rows(1000), "validation": binary_rows(1000, 10)}
    given = {"num_round": "300", "eta": "0.5", "early_stopping_rounds": "5"}

    _, base = train(xgboost, BINARY | given | {"eval_metric": "logloss,auc"}, channels)

    rounds = [line for line in capsys.readouterr().out.splitlines() if "validation-auc:" in line]
    model = load_model(base / "model")
    validation = channels["validation"]
    auc = roc_auc_score(validation.labels, model.score(validation.features))
    assert len(rounds) < 300
    assert rounds[0].startswith("[0]\ttrain-logloss:0.")
    assert "\ttrain-auc:0." in rounds[0]
    assert "\tvalidation-logloss:0." in rounds[0]
    assert model.best_epoch is not None
    card = json.loads((base / "model" / "model.json").read_text())
    assert card["best_objective"] == pytest.approx(auc, abs=1e-6)
    booster = library.Booster(model_file=bytearray((base / "model" / "xgboost-model").read_bytes()))
    assert booster.num_boosted_rounds() == model.best_epoch + 1


def test_without_early_stopping_all_rounds_are_kept(train: Train) -> None:
    channels = {"train": binary_rows(1000), "validation": binary_rows(300, 10)}

    _, base = train(xgboost, BINARY, channels)

    booster = library.Booster(model_file=bytearray((base / "model" / "xgboost-model").read_bytes()))
    assert booster.num_boosted_rounds() == 30
    assert load_model(base / "model").best_epoch is None


def test_importances_name_the_features_that_matter(train: Train) -> None:
    random = np.random.default_rng(2)
    features = random.normal(size=(3000, 6)).astype(np.float32)
    labels = (features[:, 4] > 0).astype(np.float32)

    _, base = train(xgboost, BINARY, {"train": Rows(features, labels)})

    explanation = load_model(base / "model").explanation()
    assert explanation["kind"] == "importance"
    assert list(explanation["values"]) == ["gain", "weight", "cover"]
    assert all(len(numbers) == 6 for numbers in explanation["values"].values())
    assert int(np.argmax(explanation["values"]["gain"])) == 4


def test_the_same_rows_give_the_same_bytes(train: Train) -> None:
    channels = {"train": binary_rows(5000), "validation": binary_rows(500, 10)}
    random = {"subsample": "0.5", "colsample_bytree": "0.5"}

    models = [train(xgboost, BINARY | random, channels)[1] / "model" for _ in range(2)]

    for name in ("xgboost-model", "model.json"):
        assert (models[0] / name).read_bytes() == (models[1] / name).read_bytes()


@pytest.mark.parametrize(
    ("hyperparameters", "channels", "failure"),
    [
        (
            {"num_rounds": "3"},
            {"train": binary_rows(10)},
            "ClientError: hyperparameters of xgboost: 2 problems\n"
            "  'num_rounds' is unknown, did you mean 'num_round'?\n"
            "  'num_round' is missing, expected an integer of at least 1: most boosting rounds",
        ),
        (
            BINARY,
            {"train": class_rows(100)},
            "ClientError: channel 'train': a label is 2.0, expected 0 or 1\n"
            "  check the hyperparameters against the label's classes in the spec",
        ),
        (
            BINARY,
            {"train": binary_rows(10), "validation": Rows(np.ones((3, 4), "f4"), np.ones(3, "f4"))},
            "ClientError: channel 'validation': rows have 4 features, those of channel 'train' have "
            "43\n  all splits must come from one plan",
        ),
        (
            BINARY,
            {"train": Rows(np.ones((0, 4), "f4"), np.ones(0, "f4"))},
            "ClientError: channel 'train' has 0 rows, expected at least 1\n"
            "  check the split's shares",
        ),
    ],
    ids=["hyperparameters", "labels", "validation width", "empty"],
)
def test_failures_are_told_in_output_failure(
    train: Train, hyperparameters: dict[str, str], channels: dict[str, Rows], failure: str
) -> None:
    code, base = train(xgboost, hyperparameters, channels)

    assert code == 1
    assert (base / "output" / "failure").read_text() == failure
    assert not (base / "model").exists()


def test_what_xgboost_itself_refuses_is_told_too(train: Train) -> None:
    rows = Rows(binary_rows(50).features, np.full(50, -1, np.float32))

    code, base = train(xgboost, {"objective": "reg:gamma", "num_round": "2"}, {"train": rows})

    assert code == 1
    assert (base / "output" / "failure").read_text() == (
        "AlgorithmError: XGBoost refuses: is_valid: `base_score` must be greater than 0 for gamma "
        "regression"
    )
