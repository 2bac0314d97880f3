"""Classes of different sizes: weights for the trainers, and rows that are written more than once.

    weight of a class = rows / (classes x rows of the class)              the classes weigh the same
    copies of a row   = whole part of its class's times, and one more if its place < the fraction

Both are of the train split alone. The place is that of the row's key with the salt "oversample", see
``penstock.places``: the same row always has the same copies, whatever is retried. Copies are spread over
the batch that they are written in, by a hash of key and copy.

fit notes the class counts in plan.json (``fitted_on``); convert and train read them there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from penstock.encode import LabelRule
from penstock.places import hashes_of
from penstock.sketch import Floats, Hashes, Ints
from penstock.spec import BalanceSpec, Spec, TrainSpec
from penstock.states import CategoryState, NumericState
from penstock.statistics import Statistics

__all__ = [
    "class_rows",
    "class_weights",
    "copies",
    "noted",
    "problems",
    "repeated",
    "times",
    "weighted",
]

SALT = "oversample"
DIGITS = 6  # of weights, as a person reads them


def class_rows(statistics: Statistics, label: LabelRule) -> tuple[int, ...]:
    """Return the rows of each class, by class number; of a fitted label rule that has classes."""
    state = statistics.columns[label.column]
    if isinstance(state, NumericState):
        found = dict(zip(state.sketch.values().tolist(), state.sketch.counts.tolist(), strict=True))
        return tuple(int(found.get(float(number), 0)) for number in range(len(label.classes or ())))
    if isinstance(state, CategoryState):
        found = dict(zip(state.values.to_pylist(), state.counts.tolist(), strict=True))
        return tuple(int(found.get(name, 0)) for name in label.names().to_pylist())
    return ()


def class_weights(rows: Sequence[int]) -> tuple[float, ...]:
    """Return the weight of a row of each class, by class number; 0 for a class without rows.

    >>> class_weights([900, 100])
    (0.555556, 5.0)
    """
    total = sum(rows)
    return tuple(
        float(f"{total / (len(rows) * count):.{DIGITS}g}") if count else 0.0 for count in rows
    )


def times(balance: BalanceSpec, label: LabelRule, rows: Sequence[int]) -> tuple[float, ...]:
    """Return how often the rows of each class are written, by class number; at least 1.0 each."""
    asked = balance.oversample
    if asked is None:
        return (1.0,) * len(rows)
    if asked.to is not None:
        most = max(rows, default=0)
        return tuple(max(1.0, asked.to * most / count) if count else 1.0 for count in rows)
    return tuple(asked.times.get(name, 1.0) for name in label.names().to_pylist())


def noted(statistics: Statistics, spec: Spec, label: LabelRule) -> dict[str, Any]:
    """Return what plan.json says of the classes; nothing when ``spec`` asks for no balance.

    Args:
        statistics: Of the train split.
        spec: The pipeline.
        label: Fitted.
    """
    if not spec.balance.class_weights and spec.balance.oversample is None:
        return {}
    rows = class_rows(statistics, label)
    body: dict[str, Any] = {"class_rows": list(rows)}
    if spec.balance.class_weights:
        body["class_weights"] = list(class_weights(rows))
    if spec.balance.oversample is not None:
        body["class_times"] = list(times(spec.balance, label, rows))
    return body


def copies(key: Sequence[Any], labels: Any, class_times: Sequence[float]) -> Ints:
    """Return how often each row is written: int64 (n,), at least 1.

    Args:
        key: Arrow arrays (n,) of the key's columns.
        labels: Class numbers (n,).
        class_times: By class number.
    """
    wanted: Floats = np.asarray(class_times, np.float64)[np.asarray(labels).astype(np.int64)]
    whole = np.floor(wanted)
    counts = whole.astype(np.int64)
    # Only rows with a fraction need a place: hashing all of a large class would be for nothing.
    torn = np.flatnonzero(wanted > whole)
    if len(torn):
        hashes = _hashes(key, torn)
        counts[torn] += (hashes >> np.uint64(11)) / 2.0**53 < (wanted - whole)[torn]
    return counts


def _hashes(key: Sequence[Any], at: Ints) -> Hashes:
    from penstock.cells import taken

    return hashes_of([taken(column, at) for column in key], salt=SALT)


def repeated(key: Sequence[Any], counts: Ints) -> Ints:
    """Return the rows to write, in order: int64 (sum of counts,), each row ``counts`` times.

    Without any copy the rows are in their own order; else all of them are ordered by a hash of key and
    copy, so that a row's copies lie apart.
    """
    rows = np.repeat(np.arange(len(counts)), counts)
    if len(rows) == len(counts):
        return rows
    first = np.cumsum(counts) - counts
    number = (np.arange(len(rows)) - first[rows]).astype(np.uint64)
    hashes = hashes_of(key, salt=SALT)[rows] + number * np.uint64(0x9E3779B97F4A7C15)
    # One multiplication spreads neighbouring numbers over all bits.
    mixed = (hashes ^ (hashes >> np.uint64(31))) * np.uint64(0xBF58476D1CE4E5B9)
    return rows[np.argsort(mixed ^ (mixed >> np.uint64(27)), kind="stable")]


def weighted(model: TrainSpec, task: str, notes: Mapping[str, Any]) -> tuple[TrainSpec, str | None]:
    """Return the model with the class weights of a plan's notes, and a sentence for the log.

    What the user has set stays. Pure.

    Args:
        model: As the spec has it.
        task: What it learns.
        notes: ``fitted_on`` of the plan.
    """
    weights = notes.get("class_weights")
    if not weights:
        return model, None
    name: str
    value: float | bool
    if task == "binary":
        name = {
            "linear-learner": "positive_example_weight_mult",
            "xgboost": "scale_pos_weight",
        }[model.algorithm]
        negative, positive = notes["class_rows"]
        value = float(f"{negative / positive:.{DIGITS}g}")
    elif model.algorithm == "linear-learner":
        name, value = "balance_multiclass_weights", True
    else:
        return model, (
            f"balance.class_weights: {model.algorithm} has no hyperparameter for the weights of "
            f"{len(weights)} classes, so its rows weigh the same; use balance.oversample"
        )
    if name in model.hyperparameters:
        found = model.hyperparameters[name]
        return model, f"balance.class_weights: {name} stays {found!r}, as hyperparameters say"
    told = f"balance.class_weights: {name} is set to {value!r}"
    changed = {**model.hyperparameters, name: value}
    return model.model_copy(update={"hyperparameters": changed}), told


def problems(spec: Spec) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield where and what is wrong between fields that are each well-formed."""
    balance, over = spec.balance, spec.balance.oversample
    if spec.task == "regression" and (balance.class_weights or over is not None):
        yield ("balance",), "a regression has no classes; remove it or change the task"
        return
    if balance.class_weights and over is not None:
        yield ("balance",), "class_weights and oversample do the same twice; keep one"
    if over is None:
        return
    where = ("balance", "oversample")
    if (over.to is None) == (not over.times):
        yield where, "expected either to, a share of the largest class, or times, by class"
    for name, count in over.times.items():
        if not 1 <= count <= 10_000:
            yield (*where, "times", name), f"found {count:g}, expected a number from 1 to 10000"
    yield from _unknown_classes(spec, over.times)


def _unknown_classes(
    spec: Spec, given: Mapping[str, float]
) -> Iterator[tuple[tuple[str, ...], str]]:
    classes = (0, 1) if spec.task == "binary" else None
    classes = classes if spec.label.classes is None else spec.label.classes  # type: ignore[assignment]
    if classes is None:
        return
    known = LabelRule(column="", type="string", task=spec.task, classes=classes).names().to_pylist()
    for name in given:
        if name not in known:
            yield (
                ("balance", "oversample", "times", name),
                f"no class is called {name!r}, expected {' or '.join(map(repr, known))}",
            )
