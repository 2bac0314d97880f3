"""What is wrong with a spec's features and label on a table, before any row is read."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping

from penstock.cells import family
from penstock.columns import KINDS
from penstock.columns.categorical import carry_problems
from penstock.columns.interaction import rule_problems
from penstock.columns.numeric import reads_problems
from penstock.curated import Curated
from penstock.encode import LabelRule
from penstock.errors import (
    EmptyTableError,
    InputError,
    MissingColumnsError,
    PenstockError,
    SchemaMismatchError,
    listed,
)
from penstock.planning import features, raise_all, spec_classes
from penstock.spec import CategoricalFeatures, InteractionFeatures, NumericFeatures, Spec

__all__ = ["check"]


def check(curated: Curated, spec: Spec) -> LabelRule:
    """Return the label rule, after all checks that need no data. Reads nothing.

    Raises:
        MissingColumnsError: The table lacks a feature or the label.
        SchemaMismatchError: A column's type does not fit its use.
        EmptyTableError: The train split has no rows.
        InputError: Something else, or several of these at once.
    """
    types = dict(curated.columns)
    problems = _column_problems(curated, spec)
    problems += [
        problem
        for column, rule in features(spec)
        if column in types
        for problem in KINDS[rule.kind].problems(column, types[column], rule)
    ]
    problems += _label_problems(spec, types.get(spec.label.column))
    problems += _more_problems(spec, types)
    if not curated.rows("train"):
        problems.append(
            EmptyTableError(
                "curated/split=train", "add rows to the sources, or raise split.train in the spec"
            )
        )
    raise_all(problems)
    return LabelRule(
        column=spec.label.column,
        type=types[spec.label.column],
        task=spec.task,
        classes=spec_classes(spec),
    )


def _column_problems(curated: Curated, spec: Spec) -> list[PenstockError]:
    """Return what is wrong with which columns the spec names."""
    chosen = [column for column, _ in features(spec)]
    also = [column for _, rule in features(spec) for column in rule.reads]
    used = dict.fromkeys([*chosen, *also, spec.label.column])
    problems: list[PenstockError] = []
    names = curated.names()
    if missing := tuple(name for name in used if name not in names):
        problems.append(MissingColumnsError("curated", missing, names))
    if spec.label.column in (*chosen, *also):
        problems.append(
            InputError(
                f"features: {spec.label.column!r} is the label, expected columns that are known before "
                "it is\n  take it out of features"
            )
        )
    if twice := [name for name, times in Counter(chosen).items() if times > 1]:
        problems.append(
            InputError(f"features: listed more than once: {listed(twice)}\n  keep one of each")
        )
    return problems


def _more_problems(spec: Spec, types: Mapping[str, str]) -> Iterator[PenstockError]:
    """Yield what is wrong with options that look at several columns."""
    kinds = {column: rule.kind for column, rule in features(spec)}
    products = [rule for rule in spec.features if isinstance(rule, InteractionFeatures)]
    for product in products:
        yield from rule_problems(product, kinds)
    labels = [product.label for product in products]
    if twice := [name for name in dict.fromkeys(labels) if labels.count(name) > 1 or name in kinds]:
        yield InputError(
            f"features: more than one is called {listed(twice)}\n  set name on the interaction"
        )
    for column, rule in features(spec):
        if isinstance(rule, NumericFeatures):
            yield from reads_problems(column, rule, types)
        elif isinstance(rule, CategoricalFeatures):
            yield from carry_problems(rule, types)
    if spec.task == "multiclass" and spec.select.min_label_correlation is not None:
        yield InputError(
            "select.min_label_correlation: the task is multiclass, expected binary or regression\n"
            "  take it out: class numbers have no correlation with anything"
        )


def _label_problems(spec: Spec, kind: str | None) -> Iterator[PenstockError]:
    column, classes = spec.label.column, spec.label.classes
    least = {"binary": 2, "multiclass": 2, "regression": 0}[spec.task]
    most = {"binary": 2, "multiclass": math.inf, "regression": 0}[spec.task]
    if classes is not None and not (least <= len(classes) <= most):
        expected = {"binary": "2", "multiclass": "2 or more", "regression": "none"}[spec.task]
        yield InputError(
            f"label.classes: {len(classes)} values, expected {expected} for task {spec.task!r}\n"
            "  correct label.classes, or task"
        )
    if classes is not None and len(set(map(str, classes))) < len(classes):
        yield InputError(
            f"label.classes: {list(classes)!r} repeats a value\n  name each class once"
        )
    if kind is None:
        return
    found = family(kind)
    if found in ("number", "boolean") or (classes is not None and found in ("string", "date")):
        return
    remedy = "derive a number from it in merge.derive"
    if spec.task != "regression" and found == "string":
        remedy = "list its values in label.classes, in the order of their class numbers"
    yield SchemaMismatchError("curated", column, kind, "a number or boolean", remedy)
