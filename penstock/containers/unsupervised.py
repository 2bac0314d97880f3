"""The hyperparameters of kmeans and pca, named as SageMaker names them. Data only, no numpy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from penstock.containers.hyperparameters import Hyperparameter, Table

__all__ = ["EVAL_METRICS", "KMEANS", "PCA", "eval_metrics"]

EVAL_METRICS = ("msd", "ssd")


def eval_metrics(text: str) -> tuple[str, ...]:
    """Return the names of a JSON list.

    >>> eval_metrics('["msd", "ssd"]')
    ('msd', 'ssd')

    Raises:
        ValueError: It is none.
    """
    found = json.loads(text)
    if not isinstance(found, list) or not all(each in EVAL_METRICS for each in found):
        raise ValueError(text)
    return tuple(found)


def _check_kmeans(values: Mapping[str, Any]) -> list[str]:
    try:
        eval_metrics(values["eval_metrics"])
    except ValueError:
        return [
            f"'eval_metrics' is {values['eval_metrics']!r}, expected a JSON list of 'msd' and 'ssd'"
        ]
    return []


def _check_pca(values: Mapping[str, Any]) -> list[str]:
    wanted, width = values["num_components"], values["feature_dim"]
    if wanted <= width:
        return []
    return [f"'num_components' is {wanted} but feature_dim is {width}, expected at most that"]


KMEANS = Table(
    algorithm="kmeans",
    cross_check=_check_kmeans,
    parameters=(
        Hyperparameter(
            name="k", kind="int", required=True, minimum=1, sentence="clusters to find",
        ),
        Hyperparameter(
            name="feature_dim", kind="int", required=True, minimum=1, sentence="features of a row",
        ),
        Hyperparameter(
            name="epochs", kind="int", default=1, minimum=1,
            sentence="passes over the train channel; from the second on each moves the centers to the "
            "means of all their rows",
        ),
        Hyperparameter(
            name="mini_batch_size", kind="int", default=5000, minimum=1, sentence="rows of one step",
        ),
        Hyperparameter(
            name="init_method", kind="text", default="random", choices=("random", "kmeans++"),
            sentence="how the first centers are picked from the first rows",
        ),
        Hyperparameter(
            name="extra_center_factor", kind="int", default="auto", auto=True, minimum=1,
            sentence="centers during the first pass, as a multiple of k; auto is 4",
        ),
        Hyperparameter(
            name="half_life_time_size", kind="int", default=0, minimum=0,
            sentence="rows after which a row weighs half in the first pass; 0 lets all weigh alike",
        ),
        Hyperparameter(
            name="local_lloyd_init_method", kind="text", default="kmeans++",
            choices=("random", "kmeans++"), sentence="where the final search begins",
        ),
        Hyperparameter(
            name="local_lloyd_max_iter", kind="int", default=300, minimum=1,
            sentence="most steps of the final search",
        ),
        Hyperparameter(
            name="local_lloyd_num_trials", kind="int", default="auto", auto=True, minimum=1,
            sentence="beginnings of the final search; auto is 10",
        ),
        Hyperparameter(
            name="local_lloyd_tol", kind="float", default=0.0001, minimum=0,
            sentence="share of the loss by which a step must better it",
        ),
        Hyperparameter(
            name="eval_metrics", kind="text", default='["msd"]',
            sentence="scores to report: mean and sum of squared distances",
        ),
    ),
)  # fmt: skip

PCA = Table(
    algorithm="pca",
    cross_check=_check_pca,
    parameters=(
        Hyperparameter(
            name="feature_dim", kind="int", required=True, minimum=1, sentence="features of a row",
        ),
        Hyperparameter(
            name="num_components", kind="int", required=True, minimum=1,
            sentence="components to find",
        ),
        Hyperparameter(
            name="mini_batch_size", kind="int", required=True, minimum=1, sentence="rows of one step",
        ),
        Hyperparameter(
            name="algorithm_mode", kind="text", default="regular", choices=("regular", "randomized"),
            sentence="exact, with a matrix of feature_dim squared, or approximate without one",
        ),
        Hyperparameter(
            name="extra_components", kind="int", default=-1, minimum=-1,
            sentence="more directions that randomized follows; -1 takes 10, or num_components if more",
        ),
        Hyperparameter(
            name="subtract_mean", kind="bool", default=True,
            sentence="whether the features' means are taken off",
        ),
    ),
)  # fmt: skip
