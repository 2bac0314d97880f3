"""What one pass over Arrow batches learns of a table, as small states that merge.

    Collector(wanted).add(batch, label) ... .finish()    one Spark task, or one notebook
    merge([statistics, ...]).trimmed()                   the driver; a new day's rows as well

A state is a function of its rows alone. Merged in another order, counts, quantiles, categories
and distinct counts are equal, and means are equal up to rounding; merged in the same order,
everything is equal to the last bit.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa

from penstock.autostate import FewState, FiguresState, LabelledState
from penstock.cells import names_array
from penstock.comoments import MATRIX_COLUMNS, CoMoments
from penstock.errors import InputError, listed
from penstock.fingerprints import fingerprints, merged_fingerprints
from penstock.groups import GroupState
from penstock.sketch import Floats, Moments, Sketch
from penstock.states import (
    CategoryState,
    ColumnState,
    ExtraState,
    NumericState,
    OtherState,
    Wanted,
    merge_states,
    state_of,
)
from penstock.targetstate import TargetState
from penstock.textstate import TextState
from penstock.vectorstate import VectorState

__all__ = ["CoMoments", "Collector", "Statistics", "merge"]

SCHEMA_VERSION = 1
LARGEST_PAIRED = 1e100
PENDING_ENTRIES = 131_072  # unmerged keys of a column before its states are merged

STATES: Mapping[str, type[ColumnState]] = {
    "numeric": NumericState,
    "categorical": CategoryState,
    "other": OtherState,
}

EXTRA: Mapping[str, type[ExtraState]] = {
    "few": FewState,
    "figures": FiguresState,
    "labelled": LabelledState,
    "grouped": GroupState,
    "target": TargetState,
    "text": TextState,
    "vector": VectorState,
}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Statistics:
    """What is known of a table.

    Attributes:
        rows: Its rows.
        columns: One state per column, by name, in the order they were asked for.
        label: Name of the label among the co-moments, if there was one.
        comoments: Of the label and all numeric columns.
        fingerprints: Of the compared columns, by name; see ``penstock.fingerprints``.
        asked: By column, a digest of what was collected of it: equal in all that may be merged.
    """

    rows: int
    columns: Mapping[str, ColumnState]
    label: str | None
    comoments: CoMoments
    fingerprints: Mapping[str, int] = field(default_factory=dict)
    asked: Mapping[str, str] = field(default_factory=dict)

    def trimmed(self) -> Statistics:
        """Return them with every column's state at its bounded size. Do this after all merging."""
        return replace(self, columns={name: s.trimmed() for name, s in self.columns.items()})

    def label_correlation(self, name: str) -> float | None:
        """Return the correlation of a numeric column with the label; None where undefined."""
        names = self.comoments.names
        if self.label is None or name == self.label or name not in names:
            return None
        value = float(self.comoments.correlation()[names.index(name), 0])
        return None if math.isnan(value) else value

    def to_json(self) -> str:
        """Return compact JSON, from which ``from_json`` restores every bit."""
        body = {
            "schema_version": SCHEMA_VERSION,
            "rows": self.rows,
            "label": self.label,
            "columns": [_plain_state(state) for state in self.columns.values()],
            "comoments": {
                name: value if name == "names" else value.tolist()
                for name, value in _fields(self.comoments).items()
            },
        }
        if self.fingerprints:
            body["fingerprints"] = dict(self.fingerprints)
        if self.asked:
            body["asked"] = dict(self.asked)
        return json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Statistics:
        """Return the statistics that ``to_json`` wrote.

        Raises:
            InputError: They are of another schema version.
        """
        body = json.loads(text)
        if body["schema_version"] != SCHEMA_VERSION:
            raise InputError(
                f"statistics: schema_version is {body['schema_version']!r}, expected {SCHEMA_VERSION}\n"
                "  fit again"
            )
        arrays = {k: np.array(v) for k, v in body["comoments"].items() if k != "names"}
        k = len(body["comoments"]["names"])
        shape = (k, min(k, MATRIX_COLUMNS))
        return cls(
            rows=body["rows"],
            columns={state["name"]: _state(state) for state in body["columns"]},
            label=body["label"],
            comoments=CoMoments(
                names=tuple(body["comoments"]["names"]),
                **{k: v.reshape(shape).astype(np.float64) for k, v in arrays.items()},
            ),
            fingerprints=body.get("fingerprints", {}),
            asked=body.get("asked", {}),
        )


def merge(parts: Sequence[Statistics]) -> Statistics:
    """Return the statistics of all rows of ``parts``: at least one, of the same columns.

    Raises:
        InputError: The parts describe different columns.
    """
    first = parts[0]
    for part in parts:
        if (list(part.columns), part.label) != (list(first.columns), first.label):
            raise InputError(
                f"statistics: columns are {list(part.columns)!r}, expected {list(first.columns)!r}\n"
                "  fit all of them with the same columns and label"
            )
        if other := [name for name in first.asked if part.asked.get(name) != first.asked[name]]:
            raise InputError(
                f"statistics: of {listed(other)} other things were collected, expected the same of all rows\n"
                "  fit all of them with the same features, task and label; the earlier rows again, if the "
                "spec has changed"
            )
    comoments = first.comoments
    for part in parts[1:]:
        comoments = comoments.merge(part.comoments)
    return Statistics(
        rows=sum(part.rows for part in parts),
        columns={
            name: merge_states([part.columns[name] for part in parts]) for name in first.columns
        },
        label=first.label,
        comoments=comoments,
        fingerprints=merged_fingerprints([part.fingerprints for part in parts]),
        asked=first.asked,
    )


class Collector:
    """Adds batches up to Statistics, in bounded memory.

    Args:
        wanted: Columns to collect; every batch must have them.
        label: Name under which ``add``'s label enters the correlations; None: batches have none.
    """

    def __init__(self, wanted: Sequence[Wanted], *, label: str | None = None) -> None:
        self._wanted = tuple(wanted)
        times = Counter(each.name for each in self._wanted)
        if twice := [name for name, count in times.items() if count > 1]:
            raise InputError(
                f"statistics: {listed(twice)} would name two states, expected one each\n"
                "  rename the column of that name in merge.derive"
            )
        self._fingerprints: dict[str, int] = {}
        self._label = label
        self._rows = 0
        self._states: dict[str, list[ColumnState]] = {w.name: [_empty(w)] for w in self._wanted}
        self._names = ([] if label is None else [label]) + [
            w.name for w in self._wanted if w.kind == "numeric" and w.name != label and not w.inputs
        ]
        first = 0 if label is None else 1
        self._at = {name: first + at for at, name in enumerate(self._names[first:])}
        self._comoments = CoMoments.of(self._names, np.empty((len(self._names), 0)))

    def add(self, batch: Any, label: Floats | None = None, *, target: Floats | None = None) -> None:
        """Add a pyarrow RecordBatch.

        Args:
            batch: Has every wanted column, of its declared type.
            label: Float64 (rows,), NaN where it is missing; needed if the collector has a label.
            target: The same, or class numbers of more than two classes; for target encoding.
        """
        self._rows += batch.num_rows
        pairs = np.empty((len(self._names), batch.num_rows))
        if label is not None and self._label is not None:
            pairs[0] = label
        for wanted in self._wanted:
            states = self._states[wanted.name]
            binned = any(not state.distinct_is_exact for state in (states[0], states[-1]))
            arrays = [batch.column(name) for name in wanted.reads]
            if wanted.kind in EXTRA:
                by_target = wanted.kind == "target" and target is not None
                learned = target if by_target else label
                states.append(EXTRA[wanted.kind].of(wanted, arrays, learned))
                values = None
            else:
                state, values = state_of(wanted, arrays, label, binned=binned)
                states.append(state)
            if values is not None and wanted.name in self._at:
                pairs[self._at[wanted.name]] = _moderate(state, values)
            if sum(state.entries for state in states[1:]) > PENDING_ENTRIES:
                states[:] = [merge_states(states).trimmed()]
        self._comoments = self._comoments.merge(CoMoments.of(self._names, pairs))
        added = fingerprints(batch, self._wanted)
        self._fingerprints = merged_fingerprints([self._fingerprints, added])

    def finish(self) -> Statistics:
        """Return what the batches so far have taught."""
        return Statistics(
            rows=self._rows,
            columns={name: merge_states(states).trimmed() for name, states in self._states.items()},
            label=self._label,
            comoments=self._comoments,
            fingerprints=self._fingerprints,
        )


def _moderate(state: ColumnState, values: Floats) -> Floats:
    """Return ``values`` with NaN for those whose square is not a double: they have no correlation."""
    if isinstance(state, NumericState) and max(-state.minimum, state.maximum) > LARGEST_PAIRED:
        return np.where(np.abs(values) > LARGEST_PAIRED, np.nan, values)
    return values


def _empty(wanted: Wanted) -> ColumnState:
    if wanted.kind in EXTRA:
        return EXTRA[wanted.kind].of(wanted, (), None)
    if wanted.kind == "categorical":
        return CategoryState(name=wanted.name, type=wanted.type, cap=wanted.cap)
    if wanted.kind in ("numeric", "datetime"):
        logs = Moments() if wanted.logs else None
        return NumericState(name=wanted.name, type=wanted.type, logs=logs)
    return OtherState(name=wanted.name, type=wanted.type)


def _fields(state: Any) -> dict[str, Any]:
    return {name: getattr(state, name) for name in state.__dataclass_fields__}


def _plain_state(state: ColumnState) -> dict[str, Any]:
    """Return a state as JSON holds it: bin numbers as differences, NaN as null."""
    if isinstance(state, ExtraState):
        kind = next(kind for kind, made in EXTRA.items() if isinstance(state, made))
        return {"kind": kind} | state.plain()
    kind = next(kind for kind, made in STATES.items() if isinstance(state, made))
    body: dict[str, Any] = {"kind": kind}
    for name, value in _fields(state).items():
        if name == "logs" and value is None:
            continue
        if isinstance(value, Moments):
            body[name] = [value.count, *map(_finite, (value.mean, value.m2))]
        elif isinstance(value, Sketch):
            keys = value.keys if value.shift is None else np.diff(value.keys, prepend=0)
            body[name] = {
                "shift": value.shift,
                "keys": keys.tolist(),
                "counts": value.counts.tolist(),
                "hashes": value.hashes.tolist(),
            }
        elif isinstance(value, (np.ndarray, pa.Array)):
            body[name] = value.tolist()
        else:
            body[name] = _finite(value) if isinstance(value, float) else value
    return body


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _state(body: Mapping[str, Any]) -> ColumnState:
    """Return the state that ``_plain_state`` took apart."""
    values = {name: value for name, value in body.items() if name != "kind"}
    if body["kind"] in EXTRA:
        return EXTRA[body["kind"]].from_plain(values)
    if body["kind"] != "numeric" and values["hashes"] is not None:
        values["hashes"] = np.array(values["hashes"], np.uint64)
    if body["kind"] == "categorical":
        values["values"] = names_array(values["values"])
        values["counts"] = np.array(values["counts"], np.int64)
        values["label_rows"] = np.array(values["label_rows"], np.int64)
        values["label_sums"] = np.array(values["label_sums"], np.float64)
        return CategoryState(**values)
    if body["kind"] == "other":
        return OtherState(**values)
    exact = values["sketch"]["shift"] is None
    keys = np.array(values["sketch"]["keys"], np.float64 if exact else np.int64)
    values["sketch"] = Sketch(
        shift=values["sketch"]["shift"],
        keys=keys if exact else np.cumsum(keys),
        counts=np.array(values["sketch"]["counts"], np.int64),
        hashes=np.array(values["sketch"]["hashes"], np.uint64),
    )
    for name in {"moments", "logs"} & set(values):
        count, mean, m2 = values[name]
        mean, m2 = (math.inf if moment is None else moment for moment in (mean, m2))
        values[name] = Moments(count=count, mean=mean, m2=m2)
    for name in ("minimum", "maximum"):
        values[name] = math.nan if values[name] is None else values[name]
    return NumericState(**values)
