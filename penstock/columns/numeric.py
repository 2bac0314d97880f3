"""Numbers: imputed, clipped, scaled or put into bins, and perhaps an indicator."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from penstock.cells import Code, family, first_numbers
from penstock.columns.base import ColumnKind, Slot, indicator_width, not_for, refused
from penstock.columns.scaling import Bins, Clip, Imputed, bins_of, clip_of, logarithm, scaling_of
from penstock.encode import Scaling, Where, check_type, lookup
from penstock.errors import DataError, InputError, PenstockError, SchemaMismatchError
from penstock.groups import GroupState
from penstock.impute import Carry, Fill, GroupFill, group_fill, numeric_fill
from penstock.sketch import Floats, Ints
from penstock.spec import NumericFeatures
from penstock.states import NumericState, Wanted
from penstock.statistics import Statistics

__all__ = ["KIND", "NumericColumn", "carried_name", "grouped_name", "imputed", "reads_problems"]


@dataclass(frozen=True, kw_only=True)
class NumericColumn:
    """One source column of numbers.

    Attributes:
        name: Column.
        type: Text of the Arrow type it was fitted on.
        fill: What replaces a missing cell.
        scaling: What happens to the number, unless there are bins.
        missing_values: Numbers that stand for a missing cell.
        groups: What replaces a missing cell in rows of a known group, before ``fill``.
        carry: Column that fills missing cells, before ``fill``.
        clip: What values are brought to first.
        bins: Which bin the number is in.
    """

    name: str
    type: str
    fill: Fill
    scaling: Scaling | None
    missing_values: tuple[Code, ...] = ()
    groups: GroupFill | None = None
    carry: Carry | None = None
    clip: Clip | None = None
    bins: Bins | None = None

    @property
    def kind(self) -> str:
        """As the spec names it."""
        return "numeric"

    @property
    def inputs(self) -> tuple[str, ...]:
        """Source columns that it reads."""
        groups = (self.groups.column,) if self.groups else ()
        carry = (self.carry.column,) if self.carry else ()
        return (self.name, *groups, *carry)

    def names(self) -> tuple[str, ...]:
        """Return the names of its output columns, in order."""
        values = self.bins.names(self.name) if self.bins else (self.name,)
        return values + ((f"{self.name}__missing",) if self.fill.indicator else ())

    @cached_property
    def _by_group(self) -> tuple[Any, Floats]:
        groups = self.groups
        if groups is None or self.fill.value is None:
            return None, np.empty(0)
        return groups.known(), groups.table(float(self.fill.value))

    def slots(self, arrays: Sequence[Any], where: Where, first: int) -> list[Slot]:
        """Return its outputs for a batch.

        Raises:
            SchemaMismatchError: A type does not fit.
            DataError: A value is infinite, does not fit in float32, is missing against the rule, or
                has no logarithm.
        """
        check_type(where, self.name, arrays[0], self.type, numeric=True)
        values, _ = first_numbers(arrays[:1], self.missing_values)
        missing = np.isnan(values)
        if missing.any():
            values = self._filled(values, missing, arrays, where)
        if self.clip:
            values = self.clip.apply(values)
        slots = [self._slot(values, where, first)]
        if self.fill.indicator:
            slots.append((first + len(self.names()) - 1, missing.astype(np.float32)))
        return slots

    def _filled(
        self, values: Floats, missing: npt.NDArray[np.bool_], arrays: Sequence[Any], where: Where
    ) -> Floats:
        """Return ``values`` (n,) with something in place of each missing one."""
        if self.carry:
            check_type(where, self.carry.column, arrays[1], "double", numeric=True)
            values, _ = first_numbers(arrays, self.missing_values)
            missing = np.isnan(values)
            if self.fill.value is None and missing.any():
                raise _both_missing(where, self.name, self.carry.column, missing)
        if self.fill.value is None:
            if missing.any():
                raise refused(where, self.name, missing)
            return values
        if self.groups is None:
            return np.where(missing, float(self.fill.value), values)
        check_type(where, self.groups.column, arrays[1], self.groups.type, numeric=False)
        known, table = self._by_group
        # Code -1, a row without a group, takes the last entry.
        return np.where(missing, table[lookup(arrays[1], known)], values)

    def _slot(self, values: Floats, where: Where, first: int) -> Slot:
        scaling = self.scaling or Scaling(rule="none")
        if scaling.rule == "log1p":
            values = logarithm(values, where, self.name)
        scaled = scaling.apply(values, where, self.name)
        # With bins, the scaling of none is there for its check of infinite values.
        return self.bins.slot(values, first) if self.bins else (first, scaled)

    def entry(self) -> dict[str, Any]:
        """Return what plan.json says of it."""
        body: dict[str, Any] = {"type": self.type, "missing": asdict(self.fill)}
        if self.missing_values:
            body["missing_values"] = list(self.missing_values)
        if self.groups:
            body["by_group"] = self.groups.entry()
        if self.carry:
            body["carry_from"] = asdict(self.carry)
        if self.clip:
            body["clip"] = asdict(self.clip)
        if self.bins:
            body["bins"] = self.bins.entry()
        if self.scaling:
            body["scale"] = asdict(self.scaling)
        return body

    @classmethod
    def from_entry(cls, entry: Mapping[str, Any]) -> NumericColumn:
        """Return the column that plan.json describes."""
        return cls(
            name=entry["name"],
            type=entry["type"],
            fill=Fill(**entry["missing"]),
            scaling=Scaling(**entry["scale"]) if "scale" in entry else None,
            missing_values=tuple(entry.get("missing_values", ())),
            groups=GroupFill.from_entry(entry["by_group"]) if "by_group" in entry else None,
            carry=Carry(**entry["carry_from"]) if "carry_from" in entry else None,
            clip=Clip(**entry["clip"]) if "clip" in entry else None,
            bins=Bins.from_entry(entry["bins"]) if "bins" in entry else None,
        )

    def filled(self, statistics: Statistics) -> Floats:
        """Return for each output the share of train rows in which it is not zero."""
        indicator = [self.fill.missing_share] if self.fill.indicator else []
        state = statistics.columns[self.name]
        if not isinstance(state, NumericState):
            return np.ones(1 + len(indicator))
        if self.bins:
            fill = [] if self.fill.value is None else [float(self.fill.value)]
            rows = np.full(len(fill), state.missing)
            shares = self.bins.shares(Imputed.of(state, np.array(fill), rows))
            return np.concatenate((shares, indicator))
        zeros = 0
        if self.scaling and self.scaling.rule in ("none", "min_max"):
            zero = self.scaling.mean
            zeros = int(state.sketch.counts[state.sketch.keys == zero].sum())
            zeros += self.fill.missing_rows if self.fill.value == zero else 0
        return np.array([1 - zeros / max(state.rows, 1), *indicator])


def _both_missing(
    where: Where, column: str, other: str, missing: npt.NDArray[np.bool_]
) -> DataError:
    _, row = where.first(missing)
    return DataError(
        f"table {where.table!r}, columns {column!r} and {other!r}: both are missing in "
        f"{int(missing.sum()):,} of {len(missing):,} rows, the first is row {row}, expected none, as "
        "fallback is 'refuse'\n"
        "  mend the rows, or choose another fallback for the column and fit again"
    )


def grouped_name(column: str, group: str) -> str:
    """Return what the state of a column by the groups of another one is called."""
    return f"{column} (by {group})"


def carried_name(column: str, other: str) -> str:
    """Return what the state of a column that another one has filled is called."""
    return f"{column} (or {other})"


def fit(name: str, rule: NumericFeatures, statistics: Statistics) -> NumericColumn:
    """Return the fitted column.

    Raises:
        DataError: Its values break its rule.
    """
    state, fill, groups, carry, sample = _sample(name, rule, statistics)
    clip = None
    if rule.clip is not None:
        clip, sample = clip_of(sample, rule.clip)
    bins = bins_of(sample, rule.bins, rule.bins_output) if rule.scale == "bins" else None
    return NumericColumn(
        name=state.name,
        type=state.type,
        fill=fill,
        scaling=None if rule.scale == "bins" else scaling_of(sample, rule.scale),
        missing_values=rule.missing_values,
        groups=groups,
        carry=carry,
        clip=clip,
        bins=bins,
    )


def imputed(name: str, rule: NumericFeatures, statistics: Statistics) -> Imputed:
    """Return the imputed train split of a column, before clipping and scaling.

    Raises:
        DataError: Its values break its rule.
    """
    return _sample(name, rule, statistics)[-1]


def _sample(
    name: str, rule: NumericFeatures, statistics: Statistics
) -> tuple[NumericState, Fill, GroupFill | None, Carry | None, Imputed]:
    state = statistics.columns[name]
    if not isinstance(state, NumericState):
        raise not_for(state, rule.kind)
    base, carry = _carried(name, rule, statistics, state)
    for each in (state, base):
        if each.infinities:
            raise DataError(
                f"column {each.name!r}: {each.infinities:,} of {each.rows:,} rows of the train split are "
                "infinite, expected finite numbers\n"
                "  mend them in merge.derive, or filter them in merge.where"
            )
    fill = numeric_fill(state, rule, carried=base)
    groups, fills, rows = _fills(rule, statistics, base, fill)
    return state, fill, groups, carry, Imputed.of(base, fills, rows)


def _carried(
    name: str, rule: NumericFeatures, statistics: Statistics, state: NumericState
) -> tuple[NumericState, Carry | None]:
    """Return the state of the column after another one has filled it, if one does."""
    if rule.impute != "carry_over" or rule.carry_from is None:
        return state, None
    base = statistics.columns[carried_name(name, rule.carry_from)]
    if not isinstance(base, NumericState):
        raise not_for(base, rule.kind)
    rows = state.missing - base.missing - (base.infinities - state.infinities)
    return base, Carry(column=rule.carry_from, rows=rows, both_missing=base.missing)


def _fills(
    rule: NumericFeatures, statistics: Statistics, base: NumericState, fill: Fill
) -> tuple[GroupFill | None, Floats, Ints]:
    """Return the replacements by group, if they differ; all replacements, and the rows of each."""
    if fill.value is None:
        return None, np.empty(0), np.empty(0, np.int64)
    value, rows = float(fill.value), np.array([base.missing])
    if rule.impute != "by_group" or rule.group_by is None:
        return None, np.array([value]), rows
    state = statistics.columns[grouped_name(base.name, rule.group_by)]
    if not isinstance(state, GroupState):
        raise not_for(state, rule.kind)
    groups, fills, rows = group_fill(state, rule, otherwise=value)
    rows[-1] = base.missing - int(rows[:-1].sum())  # those of no group as well
    return groups, fills, rows


def wanted(name: str, kind: str, rule: NumericFeatures) -> list[Wanted]:
    """Return what to collect of a column."""
    codes, logs = rule.missing_values, rule.scale == "log1p"
    own = Wanted(name=name, type=kind, kind="numeric", missing_values=codes, logs=logs)
    if rule.impute == "by_group" and rule.group_by is not None:
        inputs, called = (name, rule.group_by), grouped_name(name, rule.group_by)
        return [
            own,
            Wanted(name=called, type=kind, kind="grouped", inputs=inputs, missing_values=codes),
        ]
    if rule.impute == "carry_over" and rule.carry_from is not None:
        inputs, called = (name, rule.carry_from), carried_name(name, rule.carry_from)
        carried = Wanted(
            name=called, type=kind, kind="numeric", inputs=inputs, missing_values=codes, logs=logs
        )
        return [own, carried]
    return [own]


def problems(name: str, kind: str, rule: NumericFeatures) -> Iterator[PenstockError]:
    """Yield what is wrong with a column of this type before any row is read."""
    if family(kind) not in ("number", "boolean", "null"):
        remedy = "list it under kind: categorical, or derive a number from it in merge.derive"
        yield SchemaMismatchError("curated", name, kind, "a number or boolean", remedy)
    head = f"features: column {name!r} has"
    if rule.impute == "constant" and rule.fill_value is None:
        yield InputError(
            f"{head} impute: constant and no fill_value, expected a number\n"
            "  set fill_value, or another impute rule"
        )
    if rule.impute == "carry_over" and rule.fallback == "constant" and rule.fill_value is None:
        yield InputError(
            f"{head} fallback: constant and no fill_value, expected a number\n"
            "  set fill_value, or another fallback"
        )
    for impute, option, given in (
        ("by_group", "group_by", rule.group_by),
        ("carry_over", "carry_from", rule.carry_from),
    ):
        if rule.impute == impute and given is None:
            yield InputError(
                f"{head} impute: {impute} and no {option}, expected a column\n"
                f"  set {option}, or another impute rule"
            )
        if rule.impute == impute and given == name:
            yield InputError(
                f"{head} {option}: {name}, expected another column\n"
                f"  set {option} to another one, or another impute rule"
            )
    yield from _scale_problems(head, rule)


def reads_problems(
    name: str, rule: NumericFeatures, types: Mapping[str, str]
) -> Iterator[PenstockError]:
    """Yield what is wrong with the types of the columns that fill this one; they may be missing."""
    for column in rule.reads:
        kind = family(types.get(column, "null"))
        if rule.impute == "carry_over" and kind not in ("number", "boolean", "null"):
            remedy = f"set carry_from of column {name!r} to a column of numbers"
            yield SchemaMismatchError(
                "curated", column, types[column], "a number or boolean", remedy
            )
        elif rule.impute == "by_group" and kind == "other":
            remedy = f"set group_by of column {name!r} to a column of names"
            expected = "a string, number, boolean or date"
            yield SchemaMismatchError("curated", column, types[column], expected, remedy)


def _scale_problems(head: str, rule: NumericFeatures) -> Iterator[InputError]:
    if rule.clip is not None and not 0 <= rule.clip[0] < rule.clip[1] <= 1:
        yield InputError(
            f"{head} clip: {list(rule.clip)!r}, expected two shares of the rows, ascending, from 0 to 1\n"
            "  write it as clip: [0.01, 0.99]"
        )
    if rule.scale != "bins":
        return
    if isinstance(rule.bins, int):
        if rule.bins < 2:
            yield InputError(
                f"{head} bins: {rule.bins}, expected 2 or more, or a list of edges\n"
                "  set bins, or another scale"
            )
        return
    edges = np.array(rule.bins)
    if not len(edges) or not np.isfinite(edges).all() or (np.diff(edges) <= 0).any():
        yield InputError(
            f"{head} bins: {list(rule.bins)!r}, expected one edge or more, finite and ascending\n"
            "  write them as bins: [18, 40, 65]"
        )


def width(name: str, rule: NumericFeatures, statistics: Statistics) -> int:
    """Return how many outputs a column will have, at most."""
    outputs = 1
    if rule.scale == "bins" and rule.bins_output == "one_hot":
        outputs = rule.bins if isinstance(rule.bins, int) else len(rule.bins) + 1
    return outputs + indicator_width(rule, statistics.columns[name])


KIND = ColumnKind(
    name="numeric", column=NumericColumn, wanted=wanted, problems=problems, width=width, fit=fit
)
