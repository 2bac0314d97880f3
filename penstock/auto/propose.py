"""All columns -> features: each by itself, and then without those that another one, or the spec, makes idle."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from penstock.auto.candidates import VALUES
from penstock.auto.proposal import Choice, Proposal, grouped
from penstock.auto.rules import by_itself
from penstock.auto.thresholds import COPY_CORRELATION, SURE_ROWS
from penstock.autostate import FewState, FiguresState, LabelledState
from penstock.spec import Spec
from penstock.states import CategoryState, ColumnState
from penstock.statistics import Statistics
from penstock.textstate import TextState

__all__ = ["propose"]

SECOND = (FewState, FiguresState, LabelledState, TextState)


def propose(
    statistics: Statistics, spec: Spec, *, leaks: Mapping[str, str] | None = None
) -> Proposal:
    """Return features for all columns that are fit to be one. Pure.

    Args:
        statistics: Of the train split, as ``candidates`` asked for them.
        spec: The pipeline, without features.
        leaks: Columns that alone tell the label, with what a person is told of each.
    """
    states = {
        name: state
        for name, state in statistics.columns.items()
        if name != spec.label.column and not isinstance(state, SECOND)
    }
    reserved, leaks = _reserved(spec), leaks or {}
    choices = []
    for name, state in states.items():
        if name in reserved:
            choices.append(Choice(column=name, reason=reserved[name]))
        elif name in leaks:
            choices.append(_leak(name, leaks[name]))
        else:
            choices.append(by_itself(state, statistics, spec))
    choices = _without(choices, _equal(statistics, choices))
    choices = _without(choices, _copies(statistics, states, choices))
    choices = _without(choices, _renamed(statistics, states, choices))
    return Proposal(features=grouped(choices), choices=tuple(choices), rows=statistics.rows)


def _reserved(spec: Spec) -> dict[str, str]:
    """Return the columns that are no features whatever they hold, with the reason of each."""
    split, found = spec.split, {}
    if len(spec.merge.key) == 1:
        found[spec.merge.key[0]] = "the key: it names the row"
    if split.by == "group":
        found |= dict.fromkeys(split.columns or (), "the split's group: no group of test is known")
    if split.by == "hash" and split.columns:
        alone = [name for name in split.columns if name not in spec.merge.key]
        found |= dict.fromkeys(alone, "the split's: its values of test are not known")
    found |= dict.fromkeys(split.watch, "split.watch: its values should be on one side")
    return found


def _leak(name: str, told: str) -> Choice:
    reason = told.removeprefix("leak: ").split("\n", 1)[0]
    return Choice(
        column=name,
        reason=f"{reason}: known only once the label is?",
        warning=f"features: {name!r} is left out: {reason}\n"
        "  name it under features if it is known before the label is",
    )


def _without(choices: Sequence[Choice], gone: Mapping[str, str]) -> list[Choice]:
    return [
        Choice(column=each.column, reason=gone[each.column]) if each.column in gone else each
        for each in choices
    ]


def _kept(choices: Iterable[Choice]) -> list[Choice]:
    return [each for each in choices if each.kind is not None]


def _equal(statistics: Statistics, choices: Sequence[Choice]) -> dict[str, str]:
    """Return the columns whose cells all equal those of one before them."""
    first: dict[int, str] = {}
    gone = {}
    for each in _kept(choices):
        fingerprint = statistics.fingerprints.get(each.column)
        if fingerprint is None:
            continue
        if fingerprint in first:
            gone[each.column] = f"all its cells equal those of {first[fingerprint]!r}"
        else:
            first[fingerprint] = each.column
    return gone


def _copies(
    statistics: Statistics, states: Mapping[str, ColumnState], choices: Sequence[Choice]
) -> dict[str, str]:
    """Return the numbers that are those of a column before them in other units."""
    names = statistics.comoments.names
    matrix = statistics.comoments.correlation()
    kept = [each.column for each in _kept(choices) if each.kind == "numeric"]
    kept = [name for name in kept if name in names]
    gone: dict[str, str] = {}
    for at, name in enumerate(kept):
        for other in kept[:at]:
            column = names.index(other)
            if other in gone or column >= matrix.shape[1]:
                continue
            alike = states[name].missing == states[other].missing
            if alike and abs(matrix[names.index(name), column]) >= COPY_CORRELATION:
                gone[name] = f"{other!r} in other units: their correlation is 1"
                break
    return gone


def _renamed(
    statistics: Statistics, states: Mapping[str, ColumnState], choices: Sequence[Choice]
) -> dict[str, str]:
    """Return the names that are those of a column before them in other words."""
    first: dict[Any, str] = {}
    gone = {}
    for each in _kept(choices):
        few = statistics.columns.get(each.column + VALUES)
        state = few.seen if isinstance(few, FewState) else states[each.column]
        alike = _signature(state) if each.kind == "categorical" else None
        if alike is None:
            continue
        if alike in first:
            gone[each.column] = (
                f"{first[alike]!r} in other words: as many rows, with the same labels, of each value"
            )
        else:
            first[alike] = each.column
    return gone


def _signature(state: Any) -> Any:
    """Return what two columns have in common whose values map one to one; None if too little is known."""
    if not isinstance(state, CategoryState) or not state.distinct_is_exact:
        return None
    if len(state.values) < 3 or state.rows < SURE_ROWS or not state.label_rows.any():
        return None
    order = np.lexsort((state.label_sums, state.counts))
    return (
        state.missing,
        state.counts[order].tobytes(),
        state.label_sums[order].round(6).tobytes(),
    )
