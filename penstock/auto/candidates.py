"""What to collect of columns that nobody has given a rule: enough for every rule they may get."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from penstock.auto.thresholds import FEW_MOST
from penstock.autostate import FewState, Labelled, LabelledState
from penstock.cells import family
from penstock.columns import KINDS
from penstock.columns.target import SUFFIX, completed
from penstock.comoments import MATRIX_COLUMNS, CoMoments
from penstock.encode import LabelRule
from penstock.errors import InputError
from penstock.sketch import Sketch, moments_of
from penstock.spec import (
    BooleanFeatures,
    CategoricalFeatures,
    DatetimeFeatures,
    NumericFeatures,
    Spec,
    TextFeatures,
    VectorFeatures,
)
from penstock.specmodel import Model
from penstock.states import CategoryState, ColumnState, NumericState, OtherState
from penstock.statistics import Statistics
from penstock.textstate import TextState
from penstock.times import is_time
from penstock.vectorstate import VectorState
from penstock.wanted import Wanted

__all__ = [
    "FIGURES",
    "LABELS",
    "TEXT",
    "VALUES",
    "candidates",
    "is_vector",
    "settled",
    "without_code",
]

FIGURES, TEXT, VALUES = " (figures)", " (text)", " (values)"
"""End the names of second states of a column."""
LABELS = "(labels)"
OTHER_CATEGORIES = 4096


def candidates(
    columns: Sequence[tuple[str, str]], spec: Spec, label: LabelRule, key: Sequence[str]
) -> list[Wanted]:
    """Return what to collect of each column of a table, and of all of them together.

    Args:
        columns: ``(name, Arrow type)`` of each.
        spec: The pipeline; it has no features.
        label: What is predicted; its column is collected as every fit does.
        key: Columns that name a row.
    """
    wanted: list[Wanted] = []
    named: list[tuple[str, str]] = []
    for name, kind in columns:
        if name == label.column:
            use = "numeric" if label.numeric else "categorical"
            wanted.append(Wanted(name=name, type=kind, kind=use, cap=OTHER_CATEGORIES))
            continue
        found = _of(name, kind)
        wanted += found
        if any(each.kind in ("few", "figures") for each in found):
            named.append((name, kind))
    if label.task != "multiclass" and named:
        wanted.append(_labelled(named, label, key))
    return wanted


def _of(name: str, kind: str) -> list[Wanted]:
    """Return what to collect of one column, by its type."""
    if is_time(kind):
        (found,) = KINDS["datetime"].wanted(name, kind, _rule("datetime"))
        return [replace(found, compared=True)]
    own = Wanted(name=name, type=kind, kind="other", cap=OTHER_CATEGORIES, compared=True)
    found_family = family(kind)
    if found_family == "number":
        values = Wanted(name=name + VALUES, type=kind, kind="few", inputs=(name,), options=FEW_MOST)
        return [replace(own, kind="numeric", logs=True), values]
    if found_family == "boolean":
        return [replace(own, kind="categorical")]
    if found_family == "string":
        (text,) = KINDS["text"].wanted(name, kind, _rule("text"))
        figures = Wanted(name=name + FIGURES, type=kind, kind="figures", inputs=(name,))
        text = replace(text, name=name + TEXT, inputs=(name,))
        return [replace(own, kind="categorical"), figures, text]
    if is_vector(name, kind):
        return [replace(own, kind="vector", compared=False)]
    return [replace(own, compared=False)]


def is_vector(name: str, kind: str) -> bool:
    """Return whether a column of this Arrow type may be of vectors."""
    return kind != "null" and not list(KINDS["vector"].problems(name, kind, _rule("vector")))


def _rule(kind: str) -> Any:
    rules: dict[str, type[Model]] = {
        "boolean": BooleanFeatures,
        "categorical": CategoricalFeatures,
        "datetime": DatetimeFeatures,
        "numeric": NumericFeatures,
        "text": TextFeatures,
        "vector": VectorFeatures,
    }
    return rules[kind].model_validate({"kind": kind, "columns": ["x"]})


def _labelled(named: Sequence[tuple[str, str]], label: LabelRule, key: Sequence[str]) -> Wanted:
    rule = CategoricalFeatures(kind="categorical", columns=("x",), encode="target")
    asked = [
        completed(KINDS["categorical"].wanted(name, kind, rule)[-1], key=key, label=label)
        for name, kind in named
    ]
    target = asked[0].options
    return Wanted(
        name=LABELS,
        type="",
        kind="labelled",
        inputs=(*(name for name, _ in named), *target.folds.columns),
        options=Labelled(columns=tuple(asked), target=target, most=FEW_MOST),
    )


# ---- the statistics of a spec that has the features


def settled(
    statistics: Statistics, wanted: Sequence[Wanted], asked: Mapping[str, str]
) -> Statistics:
    """Return the statistics as a scan for ``wanted`` would have collected them, to the bit.

    What is missing from them is the correlation of a column in which a number was found to mean missing.

    Args:
        statistics: As ``candidates`` asked for them, of any rows.
        wanted: What the proposed rules ask for.
        asked: Digests of that, see ``Statistics.asked``.

    Raises:
        InputError: Something is wanted that was not collected: the rules are not proposed ones.
    """
    coded = {each.name for each in wanted if each.missing_values}
    numbers = {each.name for each in wanted if each.kind == "numeric" and not each.inputs}
    names = [
        name for name in statistics.comoments.names if name in numbers or name == statistics.label
    ]
    compared = {each.name for each in wanted if each.compared}
    return replace(
        statistics,
        columns={each.name: _settled(statistics, each) for each in wanted},
        comoments=_among(statistics.comoments, names, coded),
        fingerprints={
            name: value for name, value in statistics.fingerprints.items() if name in compared
        },
        asked=dict(asked),
    )


def _settled(statistics: Statistics, wanted: Wanted) -> ColumnState:
    """Return one state as a scan for it would have collected it."""
    found = statistics.columns
    state: Any = found.get(wanted.name)
    if wanted.kind in ("numeric", "datetime") and isinstance(state, NumericState):
        numbers = state
        for code in wanted.missing_values:
            numbers = without_code(numbers, float(code))
        return numbers if wanted.logs else replace(numbers, logs=None)
    if wanted.kind == "categorical":
        few = found.get(wanted.name + VALUES)
        state = few.seen if isinstance(few, FewState) else state
        if isinstance(state, CategoryState):
            return replace(state, name=wanted.name, cap=wanted.cap)
    if wanted.kind == "target":
        labelled = found.get(LABELS)
        labels = labelled.columns.get(wanted.name) if isinstance(labelled, LabelledState) else None
        if labels is not None:
            return replace(labels, cap=wanted.cap)
    text = found.get(wanted.name + TEXT)
    if wanted.kind == "text" and isinstance(text, TextState):
        return replace(text, name=wanted.name)
    if wanted.kind == "vector" and isinstance(state, VectorState):
        return state
    if wanted.kind == "other" and isinstance(state, VectorState):
        return OtherState(
            name=state.name, type=state.type, rows=state.rows, nulls=state.nulls, hashes=None
        )
    if wanted.kind == "other" and isinstance(state, OtherState):
        return state
    raise InputError(
        f"statistics: of column {wanted.name.removesuffix(SUFFIX)!r} nothing was collected for kind "
        f"{wanted.kind!r}, expected a proposed rule\n  fit again with the spec as it is now"
    )


def without_code(state: NumericState, code: float) -> NumericState:
    """Return the state of a column with few values as if all cells of this number were missing."""
    keys, counts = state.sketch.keys, state.sketch.counts
    kept = keys != code
    sketch = Sketch(keys=keys[kept], counts=counts[kept])
    values = sketch.keys
    some = len(values) > 0
    logs = moments_of(np.log1p(values[values > -1]), sketch.counts[values > -1])
    return replace(
        state,
        nulls=state.nulls + int(counts[~kept].sum()),
        minimum=float(values[0]) if some else np.nan,
        maximum=float(values[-1]) if some else np.nan,
        moments=moments_of(values, sketch.counts),
        sketch=sketch,
        logs=None if state.logs is None else logs,
    )


def _among(whole: CoMoments, names: Sequence[str], unknown: set[str]) -> CoMoments:
    """Return the co-moments among some columns; without rows where they are not known."""
    rows = [whole.names.index(name) for name in names]
    width = min(len(names), MATRIX_COLUMNS)
    known = whole.count.shape[1]
    to = [at for at, row in enumerate(rows[:width]) if row < known and names[at] not in unknown]
    kept = [at for at, name in enumerate(names) if name not in unknown]

    def part(matrix: Any) -> Any:
        made = np.zeros((len(names), width))
        if to and kept:
            made[np.ix_(kept, to)] = matrix[
                np.ix_([rows[at] for at in kept], [rows[at] for at in to])
            ]
        return made

    parts = ("count", "mean_i", "mean_j", "m2_i", "m2_j", "product")
    return CoMoments(names=tuple(names), **{each: part(getattr(whole, each)) for each in parts})
