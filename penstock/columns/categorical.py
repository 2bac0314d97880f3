"""Names: imputed, and encoded in one of the ways of ``penstock.columns.encoding``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from penstock.cells import Code, family, first_names, names_array, present, texts
from penstock.columns.base import ColumnKind, Slot, indicator_width, not_for, refused
from penstock.columns.encoding import Encoding, Frequency, OneHot, Ordinal, VocabularyEncoding
from penstock.columns.hashing import Hashed
from penstock.columns.numeric import carried_name
from penstock.columns.target import SUFFIX, TargetEncoding, target_encoding
from penstock.encode import Where, check_type
from penstock.errors import DataError, PenstockError, SchemaMismatchError
from penstock.impute import Carry, Fill, categorical_fill
from penstock.labelmoments import Folds, Target
from penstock.sketch import Floats, Ints
from penstock.spec import CategoricalFeatures
from penstock.states import CategoryState, Wanted
from penstock.statistics import Statistics
from penstock.targetstate import TargetState
from penstock.vocabulary import least_rows, needs_all, vocabulary_of

__all__ = ["KIND", "CategoricalColumn", "carry_problems"]

COUNTED = 131_072
"""Values counted exactly: past max_width, so that a refusal can say how many there are."""
NAMES = "a string, number, boolean or date"
REMEDY = "derive a name or a number from it in merge.derive, as hour(...) of a timestamp"
FEW = 4096
"""Values counted of a hashed column, for the report."""

ENCODINGS: Mapping[str, type[Encoding]] = {
    encoding.rule: encoding for encoding in (OneHot, Ordinal, Frequency, Hashed, TargetEncoding)
}


@dataclass(frozen=True, kw_only=True)
class CategoricalColumn:
    """One source column of names.

    Attributes:
        name: Column.
        type: Text of the Arrow type it was fitted on.
        fill: What replaces a missing cell.
        encoding: What becomes of a name.
        missing_values: Values that stand for a missing cell.
        carry: Column that fills missing cells, before ``fill``.
    """

    name: str
    type: str
    fill: Fill
    encoding: Encoding
    missing_values: tuple[Code, ...] = ()
    carry: Carry | None = None

    @property
    def kind(self) -> str:
        """As the spec names it."""
        return "categorical"

    @property
    def inputs(self) -> tuple[str, ...]:
        """Source columns that it reads."""
        return (self.name, self.carry.column) if self.carry else (self.name,)

    @property
    def folds(self) -> Folds | None:
        """How train rows fall into folds, if they are encoded in another way than others."""
        return self.encoding.folds

    def names(self) -> tuple[str, ...]:
        """Return the names of its output columns, in order."""
        values = tuple(f"{self.name}{suffix}" for suffix in self.encoding.suffixes())
        return values + ((f"{self.name}__missing",) if self.fill.indicator else ())

    def words(self, at: int) -> str:
        """Return in words what its output ``at`` holds."""
        return (
            "1 where it is missing, else 0"
            if at == self.encoding.width
            else self.encoding.words(at)
        )

    @cached_property
    def _fill_code(self) -> int:
        # Without a replacement, missing cells are refused before their code is looked at.
        fill = "" if self.fill.value is None else str(self.fill.value)
        return int(self.encoding.codes(names_array([fill]))[0])

    def slots(self, arrays: Sequence[Any], where: Where, first: int) -> list[Slot]:
        """Return its outputs for a batch.

        Raises:
            SchemaMismatchError: The type does not fit.
            DataError: A value is unknown, or missing, against the rule.
        """
        return self.training_slots(arrays, where, first, None)

    def training_slots(
        self, arrays: Sequence[Any], where: Where, first: int, folds: Ints | None
    ) -> list[Slot]:
        """Return its outputs for train rows, whose folds (n,) are given; see ``slots``."""
        check_type(where, self.name, arrays[0], self.type, numeric=False)
        if self.carry is not None:
            column, kind = self.carry.column, str(arrays[1].type)
            if family(kind) == "other":
                raise SchemaMismatchError(where.table, column, kind, NAMES, REMEDY)
        names = first_names(arrays, self.missing_values)
        codes = self.encoding.codes(names)
        if self.fill.value is None and (missing := codes < 0).any():
            if self.carry:
                called = carried_name(self.name, self.carry.column)
                raise refused(where, called, missing, option="fallback")
            raise refused(where, self.name, missing)
        if isinstance(self.encoding, VocabularyEncoding):
            self._check_known(self.encoding, names, codes, where)
        slots = self.encoding.slots(codes, self._fill_code, first, folds)
        if self.fill.indicator:
            missing = codes < 0
            if self.carry:
                missing = ~present(texts(first_names(arrays[:1], self.missing_values)))
            slots.append((first + self.encoding.width, missing.astype(np.float32)))
        return slots

    def _check_known(
        self, encoding: VocabularyEncoding, array: Any, codes: Any, where: Where
    ) -> None:
        if encoding.vocabulary.unknown != "refuse":
            return
        unknown = len(encoding.known)
        wrong = codes == unknown
        if self._fill_code == unknown:
            wrong |= codes < 0
        if wrong.any():
            at, row = where.first(wrong)
            shown = [value for value, _ in encoding.vocabulary.categories[:5]]
            more = unknown - len(shown)
            other = "rare or zeros" if encoding.rule in ("one_hot", "frequency") else "rare or own"
            raise DataError(
                f"table {where.table!r}, column {self.name!r}: row {row} is {array[at].as_py()!r}, "
                f"expected a value of the train split, as unknown is 'refuse': "
                f"{', '.join(map(repr, shown))}{f' and {more:,} more' if more > 0 else ''}\n"
                f"  mend the value, or set unknown: {other} on the column and fit again"
            )

    def entry(self) -> dict[str, Any]:
        """Return what plan.json says of it."""
        body: dict[str, Any] = {"type": self.type, "missing": asdict(self.fill)}
        if self.missing_values:
            body["missing_values"] = list(self.missing_values)
        if self.carry:
            body["carry_from"] = asdict(self.carry)
        return body | {self.encoding.rule: self.encoding.body()}

    @classmethod
    def from_entry(cls, entry: Mapping[str, Any]) -> CategoricalColumn:
        """Return the column that plan.json describes."""
        rule = next(rule for rule in ENCODINGS if rule in entry)
        return cls(
            name=entry["name"],
            type=entry["type"],
            fill=Fill(**entry["missing"]),
            encoding=ENCODINGS[rule].of(entry[rule]),
            missing_values=tuple(entry.get("missing_values", ())),
            carry=Carry(**entry["carry_from"]) if "carry_from" in entry else None,
        )

    def filled(self, statistics: Statistics) -> Floats:
        """Return for each output the share of train rows in which it is not zero."""
        called = carried_name(self.name, self.carry.column) if self.carry else self.name
        state = _names(statistics, called)
        fill = None if self.fill.value is None else str(self.fill.value)
        indicator = [self.fill.missing_share] if self.fill.indicator else []
        return np.concatenate((self.encoding.shares(state, fill), indicator))


def fit(name: str, rule: CategoricalFeatures, statistics: Statistics) -> CategoricalColumn:
    """Return the fitted column.

    Raises:
        DataError: Its values break its rule.
    """
    state = learn = _names(statistics, name)
    carry = None
    if rule.carry_from is not None:
        learn = _names(statistics, carried_name(name, rule.carry_from))
        rows = state.missing - learn.missing
        carry = Carry(column=rule.carry_from, rows=rows, both_missing=learn.missing)
    fill = categorical_fill(state, rule, carried=learn)
    return CategoricalColumn(
        name=name,
        type=state.type,
        fill=fill,
        encoding=_encoding(name, learn, rule, fill, statistics),
        missing_values=rule.missing_values,
        carry=carry,
    )


def _names(statistics: Statistics, called: str) -> CategoryState:
    state = statistics.columns[called]
    if not isinstance(state, CategoryState):
        raise not_for(state, "categorical")
    return state


def _encoding(
    name: str, state: CategoryState, rule: CategoricalFeatures, fill: Fill, statistics: Statistics
) -> Encoding:
    if rule.encode == "hash":
        return Hashed(buckets=rule.buckets, signed=rule.signed)
    value = None if fill.value is None else str(fill.value)
    vocabulary = vocabulary_of(state, rule, fill=value)
    if rule.encode == "one_hot":
        return OneHot(vocabulary=vocabulary)
    if rule.encode == "ordinal":
        return Ordinal.fitted(vocabulary, rule.by)
    if rule.encode == "frequency":
        return Frequency.fitted(vocabulary, state.rows)
    labels = statistics.columns[name + SUFFIX]
    if not isinstance(labels, TargetState):
        raise not_for(labels, "target encoded")
    return target_encoding(labels, vocabulary, fill=value, smooth=rule.smooth)


def wanted(name: str, kind: str, rule: CategoricalFeatures) -> list[Wanted]:
    """Return what to collect of a column; the keys of its folds are completed by the fit stage."""
    codes, cap = rule.missing_values, FEW if rule.encode == "hash" else COUNTED
    found = [Wanted(name=name, type=kind, kind="categorical", cap=cap, missing_values=codes)]
    names = (name,) if rule.carry_from is None else (name, rule.carry_from)
    if rule.carry_from is not None:
        called = carried_name(name, rule.carry_from)
        found.append(replace(found[0], name=called, inputs=names))
    if rule.encode == "target":
        folds = Folds(columns=rule.fold_by or (), count=rule.folds)
        found.append(
            Wanted(
                name=name + SUFFIX,
                type=kind,
                kind="target",
                cap=cap,
                inputs=(*names, *folds.columns),
                missing_values=codes,
                options=Target(folds=folds),
            )
        )
    return found


def problems(name: str, kind: str, _rule: CategoricalFeatures) -> Iterator[PenstockError]:
    """Yield what is wrong with a column of this type before any row is read."""
    if family(kind) == "other":
        yield SchemaMismatchError("curated", name, kind, NAMES, REMEDY)


def carry_problems(
    rule: CategoricalFeatures, types: Mapping[str, str]
) -> Iterator[SchemaMismatchError]:
    """Yield what is wrong with the column that fills others, if the table (``types``) has it."""
    kind = types.get(rule.carry_from or "")
    if rule.carry_from and kind is not None and family(kind) == "other":
        yield SchemaMismatchError("curated", rule.carry_from, kind, NAMES, REMEDY)


def width(name: str, rule: CategoricalFeatures, statistics: Statistics) -> int:
    """Return how many outputs a column will have, about."""
    indicator = indicator_width(rule, statistics.columns[name])
    state = statistics.columns[carried_name(name, rule.carry_from) if rule.carry_from else name]
    if rule.encode == "hash":
        return rule.buckets + indicator
    if rule.encode == "target":
        labels = statistics.columns[name + SUFFIX]
        return (labels.moments.width if isinstance(labels, TargetState) else 1) + indicator
    if not isinstance(state, CategoryState) or rule.encode != "one_hot":
        return 1 + indicator
    if needs_all(state, rule):
        return state.distinct + indicator
    # The replacement may add one category, or lift one; the count is of the frequent ones.
    frequent = int((state.counts >= least_rows(state, rule)).sum())
    kept = frequent if rule.max_categories is None else min(frequent, rule.max_categories)
    return kept + int(rule.rare == "group" and kept < state.distinct) + indicator


KIND = ColumnKind(
    name="categorical",
    column=CategoricalColumn,
    wanted=wanted,
    problems=problems,
    width=width,
    fit=fit,
)
