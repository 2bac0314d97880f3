from __future__ import annotations

import pytest

from penstock.errors import InputError
from penstock.host import ALGORITHMS, algorithm
from penstock.host.metrics import Metric, MetricReader

STAMP = "[11/21/2026 08:11:21 INFO 11827] "


def read(definitions: tuple[tuple[str, str], ...], *lines: str) -> list[Metric]:
    reader = MetricReader(definitions)
    for line in lines:
        reader.read(line)
    return reader.found


def test_lines_of_linear_learner_become_metrics() -> None:
    found = read(
        ALGORITHMS["linear-learner"].metric_definitions,
        f"{STAMP}#quality_metric: host=algo-1, epoch=4, train mse_objective <loss>=0.25",
        f"{STAMP}#quality_metric: host=algo-1, epoch=4, validation mse_objective <loss>=0.5",
        f"{STAMP}#progress_metric: host=algo-1, completed 6.667 % of epochs",
        f"{STAMP}#throughput_metric: host=algo-1, train throughput=613.4 records/second",
        f"{STAMP}#quality_metric: host=algo-1, validation rmse <score>=7e-1",
        f"{STAMP}hyperparameters: something",
    )

    assert found == [
        ("train:objective_loss", 4, 0.25),
        ("validation:objective_loss", 4, 0.5),
        ("train:progress", 0, 6.667),
        ("train:throughput", 0, 613.4),
        ("validation:rmse", 0, 0.7),
    ]


@pytest.mark.parametrize("separator", ["\t", "#011"])
def test_lines_of_xgboost_become_metrics(separator: str) -> None:
    line = separator.join(["[12]", "train-auc:0.81", "train-logloss:0.4", "validation-auc:0.79"])

    found = read(ALGORITHMS["xgboost"].metric_definitions, line)

    assert sorted(found) == [
        ("train:auc", 12, 0.81),
        ("train:logloss", 12, 0.4),
        ("validation:auc", 12, 0.79),
    ]


def test_sagemakers_stock_regex_for_xgboost_works() -> None:
    stock = (("validation:rmse", r".*\[[0-9]+\].*#011validation-rmse:(\S+)"),)

    assert read(stock, "[3]\ttrain-rmse:1\tvalidation-rmse:2.5") == [("validation:rmse", 3, 2.5)]


def test_a_metric_without_an_epoch_counts_on() -> None:
    found = read((("x", r"x=(\S+)"),), "x=1", "epoch=7 x=2", "x=3", "x=nan", "x=oops")

    assert found == [("x", 0, 1.0), ("x", 7, 2.0), ("x", 8, 3.0)]


@pytest.mark.parametrize(
    ("regex", "message"),
    [
        ("(", "metric 'x': '(' is no regex: missing ), unterminated subpattern at position 0"),
        ("a", "metric 'x': 'a' has 0 capture groups, expected 1: the value"),
        ("(a)(b)", "metric 'x': '(a)(b)' has 2 capture groups, expected 1: the value"),
    ],
)
def test_a_regex_that_finds_no_value_is_refused(regex: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        MetricReader((("x", regex),))

    assert str(caught.value) == message


@pytest.mark.parametrize("name", list(ALGORITHMS))
def test_metric_definitions_fit_sagemakers_limit(name: str) -> None:
    definitions = ALGORITHMS[name].metric_definitions

    assert len(definitions) <= 40
    assert MetricReader(definitions).found == []


def test_an_unknown_algorithm_is_refused() -> None:
    with pytest.raises(InputError) as caught:
        algorithm("xgbost")

    assert str(caught.value) == (
        "unknown algorithm 'xgbost', expected 'linear-learner', 'xgboost', 'kmeans', 'pca'\n"
        "  did you mean 'xgboost'?"
    )
