"""The algorithms that penstock.containers implements, and the metrics to read off their logs."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass

from penstock.errors import InputError, listed, nearest

__all__ = ["ALGORITHMS", "Algorithm", "algorithm", "check_hyperparameters", "hyperparameter_text"]

Definitions = tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Algorithm:
    """One algorithm.

    Attributes:
        name: As a spec names it.
        module: The program, for ``python -m``.
        metric_definitions: ``(name, regex)`` with one capture group, as SageMaker takes them.
        objective: Metric that early stopping watches, on the validation channel; None when the
            hyperparameters choose it.
    """

    name: str
    module: str
    metric_definitions: Definitions
    objective: str | None

    @property
    def program(self) -> tuple[str, ...]:
        """The command that trains."""
        return (sys.executable, "-m", self.module, "train")


_PROGRESS: Definitions = (
    ("train:throughput", r"#throughput_metric: host=\S+, train throughput=(\S+) records/second"),
    ("train:progress", r"#progress_metric: host=\S+, completed (\S+) %"),
)


def _linear_definitions() -> Definitions:
    scores = (
        "binary_classification_accuracy",
        "precision",
        "recall",
        "multiclass_accuracy",
        "mse",
        "rmse",
        "absolute_loss",
    )
    quality = r"#quality_metric: host=\S+, "
    return (
        ("train:objective_loss", quality + r"epoch=\S+, train \S+_objective <loss>=(\S+)"),
        (
            "validation:objective_loss",
            quality + r"epoch=\S+, validation \S+_objective <loss>=(\S+)",
        ),
        *(
            (f"validation:{score}", f"{quality}validation {score} <score>=(\\S+)")
            for score in scores
        ),
        *_PROGRESS,
    )


def _xgboost_definitions() -> Definitions:
    scores = (
        "auc",
        "aucpr",
        "error",
        "gamma-nloglik",
        "logloss",
        "mae",
        "map",
        "mape",
        "merror",
        "mlogloss",
        "mphe",
        "ndcg",
        "poisson-nloglik",
        "rmse",
        "rmsle",
    )
    # CloudWatch shows a tab as #011; both spellings of the separator are read.
    return tuple(
        (f"{channel}:{score}", rf"^\[\d+\].*(?:\t|#011){channel}-{score}:([-+.\deE]+)")
        for channel in ("train", "validation")
        for score in scores
    )


def _kmeans_definitions() -> Definitions:
    quality = r"#quality_metric: host=\S+, "
    return (
        ("train:msd", quality + r"(?:epoch=\S+, )?train msd <loss>=(\S+)"),
        ("train:ssd", quality + r"train ssd <loss>=(\S+)"),
        ("test:msd", quality + r"test msd <loss>=(\S+)"),
        ("test:ssd", quality + r"test ssd <loss>=(\S+)"),
        *_PROGRESS,
    )


ALGORITHMS: Mapping[str, Algorithm] = {
    "linear-learner": Algorithm(
        name="linear-learner",
        module="penstock.containers.linear_learner",
        metric_definitions=_linear_definitions(),
        objective="validation:objective_loss",
    ),
    "xgboost": Algorithm(
        name="xgboost",
        module="penstock.containers.xgboost",
        metric_definitions=_xgboost_definitions(),
        objective=None,
    ),
    "kmeans": Algorithm(
        name="kmeans",
        module="penstock.containers.kmeans",
        metric_definitions=_kmeans_definitions(),
        objective=None,
    ),
    "pca": Algorithm(
        name="pca",
        module="penstock.containers.pca",
        metric_definitions=_PROGRESS,
        objective=None,
    ),
}


def algorithm(name: str) -> Algorithm:
    """Return the algorithm called ``name``.

    Raises:
        InputError: There is none; offers the nearest name.
    """
    if name not in ALGORITHMS:
        close = nearest(name, tuple(ALGORITHMS))
        hint = f"\n  did you mean {close!r}?" if close else ""
        raise InputError(f"unknown algorithm {name!r}, expected {listed(tuple(ALGORITHMS))}{hint}")
    return ALGORITHMS[name]


def hyperparameter_text(value: str | float | bool) -> str:  # noqa: FBT001  a value, not a flag
    """Return a value as SageMaker takes hyperparameters: a text.

    >>> hyperparameter_text(True), hyperparameter_text(0.1)
    ('true', '0.1')
    """
    return str(value).lower() if isinstance(value, bool) else str(value)


def check_hyperparameters(name: str, hyperparameters: Mapping[str, str]) -> None:
    """Check texts as the container would, before anything is started.

    Raises:
        HyperparametersError: All problems at once.
    """
    from penstock.containers.hyperparameters import check
    from penstock.containers.tables import TABLES

    check(TABLES[algorithm(name).name], hyperparameters)
