from __future__ import annotations

import pytest

from penstock.containers.hyperparameters import (
    Hyperparameter,
    HyperparametersError,
    Table,
    check,
)
from penstock.containers.tables import LINEAR_LEARNER, XGBOOST

TABLE = Table(
    algorithm="toy",
    parameters=(
        Hyperparameter(name="epochs", kind="int", default=3, minimum=1, sentence="passes"),
        Hyperparameter(name="rate", kind="float", default="auto", auto=True, above=0, sentence="r"),
        Hyperparameter(name="fast", kind="bool", default=False, sentence="haste"),
        Hyperparameter(name="mode", kind="text", required=True, choices=("a", "b"), sentence="way"),
    ),
    refused={"gpu": "there is none; remove it"},
)


@pytest.mark.parametrize(
    ("name", "raw", "value"),
    [
        ("epochs", "7", 7),
        ("epochs", '"7"', 7),
        ("epochs", "7.0", 7),
        ("rate", "1e-3", 0.001),
        ("rate", "auto", "auto"),
        ("rate", '"auto"', "auto"),
        ("fast", "True", True),
        ("fast", "false", False),
        ("fast", "1", True),
        ("mode", '"b"', "b"),
    ],
)
def test_texts_become_values_whether_encoded_once_or_twice(
    name: str, raw: str, value: object
) -> None:
    values = check(TABLE, {"mode": "a"} | {name: raw})

    assert values[name] == value
    assert type(values[name]) is type(value)


def test_names_not_given_have_their_defaults_and_the_platforms_own_are_passed_over() -> None:
    values = check(TABLE, {"mode": "a", "_tuning_objective_metric": "x", "sagemaker_region": "y"})

    assert values == {"epochs": 3, "rate": "auto", "fast": False, "mode": "a"}


def test_every_problem_stands_in_one_message() -> None:
    given = {"epoch": "3", "zzz": "1", "gpu": "1", "rate": "-1", "fast": "perhaps", "epochs": "1.5"}

    with pytest.raises(HyperparametersError) as caught:
        check(TABLE, given)

    assert str(caught.value) == (
        "hyperparameters of toy: 7 problems\n"
        "  'epoch' is unknown, did you mean 'epochs'?\n"
        "  'zzz' is unknown, expected one of 'epochs', 'rate', 'fast', 'mode'\n"
        "  'gpu' is not implemented here: there is none; remove it\n"
        "  'rate' is '-1', expected a number above 0 or 'auto': r\n"
        "  'fast' is 'perhaps', expected 'true' or 'false': haste\n"
        "  'epochs' is '1.5', expected an integer of at least 1: passes\n"
        "  'mode' is missing, expected 'a' or 'b': way"
    )


def test_not_a_number_is_no_number() -> None:
    with pytest.raises(HyperparametersError) as caught:
        check(TABLE, {"mode": "a", "rate": "nan"})

    assert caught.value.problems == ("'rate' is 'nan', expected a number above 0 or 'auto': r",)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (
            {"predictor_type": "multiclass_classifier"},
            "'num_classes' is missing, expected an integer of at least 2: "
            "predictor_type is 'multiclass_classifier'",
        ),
        (
            {"predictor_type": "binary_classifier", "loss": "hinge_loss"},
            "'loss' is 'hinge_loss', which gives no probabilities, but predictor_type is "
            "'binary_classifier', expected 'auto', 'logistic'",
        ),
        (
            {"predictor_type": "regressor", "num_classes": "3"},
            "'num_classes' is 3 but predictor_type is 'regressor', expected it only with "
            "'multiclass_classifier'",
        ),
        (
            {"predictor_type": "regressor", "num_models": "32"},
            "'num_models' is '32', expected an integer of at least 1 and of at most 1 or 'auto': "
            "models trained side by side; one here",
        ),
    ],
)
def test_linear_learner_checks_its_values_together(given: dict[str, str], problem: str) -> None:
    with pytest.raises(HyperparametersError) as caught:
        check(LINEAR_LEARNER, given)

    assert str(caught.value) == f"hyperparameters of linear-learner: 1 problem\n  {problem}"


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (
            {"objective": "multi:softprob"},
            "'num_class' is missing, expected an integer of at least 2: "
            "objective is 'multi:softprob'",
        ),
        (
            {"rate_drop": "0.1"},
            "'rate_drop' is given but booster is 'gbtree', expected 'dart'",
        ),
        (
            {"tree_method": "exact"},
            "'tree_method' is 'exact', expected 'auto' or 'hist': how splits are found; "
            "the streamed matrix allows hist alone",
        ),
        (
            {"learning_rate": "0.1"},
            "'learning_rate' is not implemented here: SageMaker's name is 'eta'; rename it",
        ),
        ({"eta": "2"}, "'eta' is '2', expected a number of at least 0 and of at most 1: "
                       "shrinkage of a tree"),
    ],
)  # fmt: skip
def test_xgboost_checks_its_values_together(given: dict[str, str], problem: str) -> None:
    with pytest.raises(HyperparametersError) as caught:
        check(XGBOOST, {"num_round": "5"} | given)

    assert str(caught.value) == f"hyperparameters of xgboost: 1 problem\n  {problem}"


def test_a_refused_name_is_fine_when_it_leaves_the_choice_to_us() -> None:
    values = check(LINEAR_LEARNER, {"predictor_type": "regressor", "lr_scheduler_step": "auto"})

    assert "lr_scheduler_step" not in values


@pytest.mark.parametrize("table", [LINEAR_LEARNER, XGBOOST], ids=lambda table: table.algorithm)
def test_declared_and_refused_names_are_told_apart(table: Table) -> None:
    declared = [parameter.name for parameter in table.parameters]

    assert len(set(declared)) == len(declared)
    assert not set(declared) & set(table.refused)
