"""Test metrics of a model, gates, and metrics.json.

The shards of the test split are scored inside Spark tasks; mergeable states (``penstock.metrics``)
come back, never scores. Importing this module is cheap: the spec checks its gates with
``known_metrics``.
"""

from __future__ import annotations

import functools
import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from penstock.errors import DataError, EmptyTableError, InputError, listed, nearest

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from penstock.dataset import Dataset
    from penstock.spec import Task

__all__ = [
    "HEADLINE",
    "METRICS",
    "check_gates",
    "evaluate_model",
    "explain_model",
    "gate_failures",
    "known_metrics",
    "metrics_document",
    "model_entry",
]

METRICS: Mapping[str, tuple[str, ...]] = {
    "binary": (
        "auc",
        "average_precision",
        "log_loss",
        "brier",
        "accuracy",
        "precision",
        "recall",
        "sensitivity",
        "specificity",
        "f1",
        "best_f1",
        "balanced_accuracy",
        "mcc",
        "youden",
        "lift_at_10pct",
        "calibration_error",
    ),
    "multiclass": (
        "auc",
        "accuracy",
        "balanced_accuracy",
        "log_loss",
        "macro_precision",
        "macro_recall",
        "macro_f1",
        "weighted_precision",
        "weighted_recall",
        "weighted_f1",
    ),
    "regression": (
        "rmse",
        "mse",
        "mae",
        "median_absolute_error",
        "max_absolute_error",
        "mean_residual",
        "r2",
        "adjusted_r2",
    ),
}
HEADLINE: Mapping[str, str] = {"binary": "auc", "multiclass": "auc", "regression": "rmse"}
BATCH_ROWS = 16_384
# A state is at most 4 MB, so the driver holds at most 256 MB of them, however many shards there are.
MOST_TASKS = 64


class _Shard(NamedTuple):
    uri: str
    rows: int


def known_metrics(task: Task) -> tuple[str, ...]:
    """Return the names that a gate of this task may use."""
    return METRICS[task]


def evaluate_model(
    session: SparkSession,
    dataset: Dataset,
    model_uri: str,
    *,
    task: Task,
    name: str = "model",
    batch_rows: int = BATCH_ROWS,
) -> dict[str, Any]:
    """Return the metrics of a model on every row of a dataset. Runs exactly one Spark job.

    Each task unpacks the model, reads its shards in batches and returns one state; memory is the
    model and one batch. The result does not depend on how shards fall to tasks.

    Args:
        session: Where to run.
        dataset: The test split.
        model_uri: model.tar.gz, where every task can read it.
        task: Kind of label; picks the metrics.
        name: Of the model, for Spark's lists.
        batch_rows: Rows scored at once.

    Returns:
        The names of ``METRICS[task]``, and what plots need; see ``penstock.metrics``.

    Raises:
        EmptyTableError: The split has no rows.
        DataError: A score or label is impossible, or shards hold other rows than the dataset says.
    """
    from penstock.spark import map_tasks

    if not dataset.rows:
        raise EmptyTableError(
            dataset.uri, "give the test split a larger share in the spec, then run from merge"
        )
    shards = [
        _Shard(uri, shard.rows)
        for uri, shard in zip(dataset.shard_uris(), dataset.shards, strict=True)
    ]
    groups = list(_groups(shards, MOST_TASKS))
    score = functools.partial(
        _score, model_uri=model_uri, task=task, span=_span(dataset), batch_rows=batch_rows
    )
    states: list[Any] = map_tasks(session, groups, score, what=f"evaluate {name}")
    whole = functools.reduce(lambda left, right: left.merged(right), states)
    result: dict[str, Any] = whole.metrics(dataset.classes, dataset.width)
    return result


def _groups(shards: Sequence[_Shard], most: int) -> Iterator[tuple[_Shard, ...]]:
    """Yield runs of shards: at most ``most``, their lengths at most one apart."""
    count = min(most, len(shards))
    for part in range(count):
        yield tuple(shards[len(shards) * part // count : len(shards) * (part + 1) // count])


def _span(dataset: Dataset) -> tuple[float, float] | None:
    lows = [shard.label_min for shard in dataset.shards if shard.label_min is not None]
    highs = [shard.label_max for shard in dataset.shards if shard.label_max is not None]
    return (float(min(lows)), float(max(highs))) if lows and highs else None


def _score(
    shards: tuple[_Shard, ...],
    attempt: int,
    *,
    model_uri: str,
    task: Task,
    span: tuple[float, float] | None,
    batch_rows: int,
) -> Any:
    """Return the state of some shards; runs in a Spark task."""
    del attempt  # scoring has no effects that a second attempt could repeat
    with _loaded(model_uri) as model:
        states = (
            state
            for shard in shards
            for state in _shard_states(shard, model, task, span, batch_rows)
        )
        return functools.reduce(lambda left, right: left.merged(right), states)


@contextmanager
def _loaded(model_uri: str) -> Iterator[Any]:
    """Give the model, unpacked into a folder that goes away again."""
    from penstock.containers import load_model
    from penstock.host import unpack_model

    with tempfile.TemporaryDirectory(prefix="penstock-model-") as folder:
        unpack_model(model_uri, Path(folder))
        yield load_model(Path(folder))


def _shard_states(
    shard: _Shard, model: Any, task: Task, span: tuple[float, float] | None, batch_rows: int
) -> Iterator[Any]:
    from penstock import recordio

    row = 0
    for records in recordio.read(shard.uri, batch_rows=batch_rows):
        if records.labels is None:
            raise DataError(
                f"{shard.uri}, row {row}: no label, expected one in every row of a test split\n"
                "  convert the dataset again, with the label in the spec"
            )
        yield _state(
            task,
            model.score(records.features),
            records.labels,
            where=shard.uri,
            first_row=row,
            span=span,
        )
        row += len(records.labels)
    if row != shard.rows:
        raise DataError(
            f"{shard.uri}: {row:,} rows, expected {shard.rows:,} as the dataset lists\n"
            "  the shard was changed after convert; run: penstock convert SPEC --force"
        )


def _state(
    task: Task,
    scores: Any,
    labels: Any,
    *,
    where: str,
    first_row: int,
    span: tuple[float, float] | None,
) -> Any:
    from penstock.metrics import BinaryState, MulticlassState, RegressionState

    if task == "binary":
        return BinaryState.of(scores, labels, where=where, first_row=first_row)
    if task == "multiclass":
        return MulticlassState.of(scores, labels, where=where, first_row=first_row)
    return RegressionState.of(scores, labels, where=where, first_row=first_row, span=span)


def explain_model(model_uri: str) -> dict[str, Any]:
    """Return what a model says of its features: ``{"kind", "values"}``, lists by feature index."""
    with _loaded(model_uri) as model:
        explanation: dict[str, Any] = model.explanation()
        return explanation


def check_gates(metrics: Mapping[str, Any], gates: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return ``{"metric", "gate", "found", "passed"}`` per gate, in order; an undefined metric fails.

    Raises:
        InputError: A gate names a metric that this task does not have.
    """
    from penstock.spec import parse_gate

    known = [name for names in METRICS.values() for name in names if name in metrics]
    known = list(dict.fromkeys(known))
    checked = []
    for metric, gate in gates.items():
        if metric not in known:
            close = nearest(metric, known)
            hint = f"did you mean {close!r}?" if close else "name one of them"
            raise InputError(
                f"gates: no metric {metric!r} for this task, expected one of {listed(known, 20)}\n  {hint}"
            )
        operator, bound = parse_gate(gate)
        found = metrics[metric]
        passed = found is not None and _holds(float(found), operator, bound)
        checked.append({"metric": metric, "gate": gate, "found": found, "passed": passed})
    return checked


def _holds(found: float, operator: str, bound: float) -> bool:
    return {
        ">=": found >= bound,
        "<=": found <= bound,
        ">": found > bound,
        "<": found < bound,
    }[operator]


def model_entry(
    algorithm: str, metrics: Mapping[str, Any], gates: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return one model's part of metrics.json: numbers under ``test``, points of plots under ``curves``."""
    return {
        "algorithm": algorithm,
        "test": {name: value for name, value in metrics.items() if name != "curves"},
        "gates": [dict(gate) for gate in gates],
        "curves": dict(metrics.get("curves", {})),
    }


def metrics_document(
    *,
    pipeline: str,
    task: Task,
    models: Mapping[str, Mapping[str, Any]],
    rows: Mapping[str, Any],
    stages: Mapping[str, Any],
) -> dict[str, Any]:
    """Return metrics.json as plain data.

    Args:
        pipeline: Name of the spec.
        task: Kind of label.
        models: Model name -> ``model_entry``.
        rows: Row counts: base, curated, and one for each split.
        stages: Stage name -> its record, as the report shows it.
    """
    return {
        "pipeline": pipeline,
        "task": task,
        "models": {name: dict(entry) for name, entry in models.items()},
        "rows": dict(rows),
        "stages": dict(stages),
    }


def gate_failures(document: Mapping[str, Any]) -> tuple[tuple[str, str, float, str], ...]:
    """Return ``(model, metric, found, gate)`` of every failed gate, for ``GateError``; undefined is NaN."""
    return tuple(
        (
            name,
            gate["metric"],
            math.nan if gate["found"] is None else float(gate["found"]),
            gate["gate"],
        )
        for name, entry in document["models"].items()
        for gate in entry["gates"]
        if not gate["passed"]
    )
