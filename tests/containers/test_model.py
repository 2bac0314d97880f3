from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from containers.conftest import Train
from containers.jobs import binary_rows

from penstock.containers import linear_learner, load_model, xgboost
from penstock.errors import InputError, MissingFileError, SchemaMismatchError

HYPERPARAMETERS = {
    linear_learner: {"predictor_type": "binary_classifier"},
    xgboost: {"objective": "binary:logistic", "num_round": "2"},
}
ALGORITHMS = pytest.mark.parametrize("program", [linear_learner, xgboost], ids=["linear", "trees"])


@ALGORITHMS
def test_a_model_says_what_it_is(train: Train, program: ModuleType) -> None:
    _, base = train(program, HYPERPARAMETERS[program], {"train": binary_rows(200)})

    model = load_model(base / "model")

    card = json.loads((base / "model" / "model.json").read_text())
    assert model.algorithm == card["algorithm"]
    assert (model.task, card["task"]) == ("binary", "binary")
    assert (model.width, card["width"]) == (43, 43)
    assert card["classes"] == 2
    assert card["threshold"] == 0.5


@ALGORITHMS
@pytest.mark.parametrize(
    ("features", "found"),
    [(np.ones((2, 7), "f4"), "7 features"), (np.ones(43, "f4"), "an array of shape (43,)")],
)
def test_rows_of_another_width_are_refused(
    train: Train, program: ModuleType, features: np.ndarray, found: str
) -> None:
    _, base = train(program, HYPERPARAMETERS[program], {"train": binary_rows(200)})
    model = load_model(base / "model")

    with pytest.raises(SchemaMismatchError) as caught:
        model.score(features)

    assert str(caught.value) == (
        f"table 'rows for {model.algorithm}', column 'features': type is {found}, expected "
        "43 features\n  encode the rows with the plan that the model was trained on"
    )


@ALGORITHMS
def test_no_rows_give_no_scores(train: Train, program: ModuleType) -> None:
    _, base = train(program, HYPERPARAMETERS[program], {"train": binary_rows(200)})

    assert load_model(base / "model").score(np.ones((0, 43), np.float32)).shape == (0,)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError) as caught:
        load_model(tmp_path)

    assert str(caught.value) == (
        f"model: nothing found at {str(tmp_path / 'model.json')!r}\n"
        "  name the folder of a finished training"
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            '{"format_version": 2}',
            "{path!r}: format_version is 2, expected 1\n"
            "  train the model again, or use the Penstock that wrote it",
        ),
        (
            '{"format_version": 1, "algorithm": "ntm"}',
            "{path!r}: algorithm is 'ntm', expected 'linear-learner', 'xgboost', 'kmeans', 'pca'",
        ),
        (
            "{",
            "{path!r} is not JSON: Expecting property name enclosed in double quotes: line 1 "
            "column 2 (char 1)\n  train the model again",
        ),
    ],
)
def test_a_card_that_is_not_ours_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "model.json"
    path.write_text(content)

    with pytest.raises(InputError) as caught:
        load_model(tmp_path)

    assert str(caught.value) == message.format(path=str(path))
