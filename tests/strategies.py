"""Tables, specs and statistics that several test files draw or build."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

from penstock.columns import KINDS
from penstock.columns.target import completed
from penstock.encode import LabelRule
from penstock.planning import build_plan, features, spec_classes
from penstock.spec import Spec
from penstock.states import Wanted
from penstock.statistics import Collector, Statistics

NUMBERS = st.one_of(
    st.none(),
    st.just(float("nan")),
    st.integers(-20, 20).map(float),
    st.floats(-1e6, 1e6, allow_nan=False, width=32),
)
NAMES = st.one_of(
    st.none(),
    st.sampled_from(["a", "b", "c", ""]),
    st.text(st.characters(codec="utf-8"), max_size=3),
)


def spec(*groups: dict[str, Any], task: str = "binary", **parts: Any) -> Spec:
    """A whole spec around feature groups."""
    return Spec.model_validate(
        {
            "name": "p",
            "task": task,
            "label": {"column": "y"},
            "sources": {"s": {"path": "s", "format": "csv"}},
            "merge": {"base": "s", "key": ["id"]},
            "features": list(groups),
            "train": [{"algorithm": "xgboost"}],
        }
        | parts
    )


def numeric(*names: str, **options: Any) -> dict[str, Any]:
    """A numeric feature group."""
    return {"kind": "numeric", "columns": list(names), **options}


def categorical(*names: str, **options: Any) -> dict[str, Any]:
    """A categorical feature group."""
    return {"kind": "categorical", "columns": list(names), **options}


def batch(**arrays: Any) -> Any:
    """A RecordBatch with a label ``y`` of 0 and 1 unless it is given."""
    made = {k: v if isinstance(v, pa.Array) else pa.array(v) for k, v in arrays.items()}
    rows = len(next(iter(made.values())))
    made.setdefault("y", pa.array(np.arange(rows) % 2, pa.int64()))
    return pa.RecordBatch.from_pydict(made)


def wanted(rows: Any, of: Spec) -> list[Wanted]:
    """What the fit stage would collect of these columns."""
    schema = {field.name: str(field.type) for field in rows.schema}
    label = label_rule(rows, of)
    kind = "numeric" if label.numeric else "categorical"
    found = [
        replace(
            completed(each, key=of.merge.key, label=label),
            compared=of.select.drop_duplicates and not each.inputs,
        )
        for name, rule in features(of)
        for each in KINDS[rule.kind].wanted(name, schema[name], rule)
    ]
    return [*found, Wanted(name=label.column, type=label.type, kind=kind)]


def label_rule(rows: Any, of: Spec) -> LabelRule:
    """The label rule before the fit."""
    kind = str(rows.schema.field(of.label.column).type)
    return LabelRule(column=of.label.column, type=kind, task=of.task, classes=spec_classes(of))


def statistics(*batches: Any, of: Spec) -> Statistics:
    """What one task learns of the batches."""
    rule = label_rule(batches[0], of)
    collector = Collector(wanted(batches[0], of), label=rule.column)
    for rows in batches:
        values = rule.values(rows.column(rule.column))[0]
        collector.add(rows, values, target=values)
    return collector.finish()


def plan(*batches: Any, of: Spec) -> Any:
    """The plan fitted on the batches."""
    return build_plan(statistics(*batches, of=of), of, fitted_on={"curated": "d", "rows": 1})
