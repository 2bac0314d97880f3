"""Dates and timestamps: parts, and their places on a circle; all of UTC."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC
from typing import Any

import numpy as np

from penstock.cells import present
from penstock.columns.base import ColumnKind, Slot, indicator_width, not_for, refused
from penstock.encode import Where
from penstock.errors import InputError, PenstockError, SchemaMismatchError
from penstock.impute import Fill, fill_of, nothing_to_learn, refuse_missing
from penstock.sketch import Floats, Ints
from penstock.spec import DatetimeFeatures
from penstock.states import NumericState, Wanted
from penstock.statistics import Statistics
from penstock.times import DAY, from_iso, is_date, is_time, iso, microseconds, part

__all__ = ["KIND", "DatetimeColumn"]

PERIODS: Mapping[str, tuple[int, int]] = {
    "month": (1, 12),
    "day": (1, 31),
    "weekday": (0, 7),
    "dayofyear": (1, 366),
    "hour": (0, 24),
    "minute": (0, 60),
}
"""First value and number of values."""
CLOCK = ("hour", "minute")


@dataclass(frozen=True, kw_only=True, slots=True)
class PartScale:
    """How a part of a moment becomes a number: ``(part - offset) / scale``."""

    part: str
    offset: float = 0.0
    scale: float = 1.0


@dataclass(frozen=True, kw_only=True)
class DatetimeColumn:
    """One source column of dates or timestamps.

    Attributes:
        name: Column.
        type: Text of the Arrow type it was fitted on.
        fill: What replaces a missing moment: ISO 8601 text, UTC.
        reference: Where elapsed_days counts from: the earliest moment of the train split.
        parts: One output each.
        cyclic: Two outputs each: sine and cosine.
    """

    name: str
    type: str
    fill: Fill
    reference: str
    parts: tuple[PartScale, ...]
    cyclic: tuple[str, ...]

    @property
    def kind(self) -> str:
        """As the spec names it."""
        return "datetime"

    @property
    def inputs(self) -> tuple[str, ...]:
        """Source columns that it reads."""
        return (self.name,)

    def names(self) -> tuple[str, ...]:
        """Return the names of its output columns, in order."""
        parts = [each.part for each in self.parts]
        parts += [f"{each}_{function}" for each in self.cyclic for function in ("sin", "cos")]
        indicator = ["missing"] if self.fill.indicator else []
        return tuple(f"{self.name}__{each}" for each in parts + indicator)

    def slots(self, arrays: Sequence[Any], where: Where, first: int) -> list[Slot]:
        """Return its outputs for a batch.

        Raises:
            SchemaMismatchError: The type is that of no date or timestamp.
            DataError: A moment is missing against the rule.
        """
        (array,) = arrays
        missing = ~present(array)
        if str(array.type) == "null":
            moments = np.zeros(len(array), np.int64)
        elif is_time(str(array.type)):
            moments = microseconds(array)
        else:
            expected = f"a date or a timestamp (fitted on {self.type})"
            remedy = "cast it before encoding, or fit again on rows like these"
            raise SchemaMismatchError(where.table, self.name, str(array.type), expected, remedy)
        if missing.any():
            if self.fill.value is None:
                raise refused(where, self.name, missing)
            moments = np.where(missing, from_iso(str(self.fill.value)), moments)
        outputs = self._outputs(moments)
        if self.fill.indicator:
            outputs.append(missing.astype(np.float64))
        # Adding zero turns -0.0 into 0.0, so that dense and sparse agree to the bit.
        return [
            (first + at, output.astype(np.float32) + np.float32(0.0))
            for at, output in enumerate(outputs)
        ]

    def _outputs(self, moments: Ints) -> list[Floats]:
        outputs: list[Floats] = []
        for each in self.parts:
            if each.part == "elapsed_days":
                value = (moments - from_iso(self.reference)) / DAY
            else:
                value = part(moments, each.part).astype(np.float64)
            outputs.append((value - each.offset) / each.scale)
        for name in self.cyclic:
            start, period = PERIODS[name]
            angle = (part(moments, name) - start) * (2 * math.pi / period)
            outputs += [np.sin(angle), np.cos(angle)]
        return outputs

    def entry(self) -> dict[str, Any]:
        """Return what plan.json says of it."""
        return {
            "type": self.type,
            "time_zone": "UTC",
            "missing": asdict(self.fill),
            "reference": self.reference,
            "parts": [asdict(each) for each in self.parts],
            "cyclic": list(self.cyclic),
        }

    @classmethod
    def from_entry(cls, entry: Mapping[str, Any]) -> DatetimeColumn:
        """Return the column that plan.json describes."""
        return cls(
            name=entry["name"],
            type=entry["type"],
            fill=Fill(**entry["missing"]),
            reference=entry["reference"],
            parts=tuple(PartScale(**each) for each in entry["parts"]),
            cyclic=tuple(entry["cyclic"]),
        )

    def filled(self, statistics: Statistics) -> Floats:
        """Return for each output the share of train rows in which it is not zero, at most."""
        del statistics
        shares = np.ones(len(self.names()))
        if self.fill.indicator:
            shares[-1] = self.fill.missing_share
        return shares


def fit(name: str, rule: DatetimeFeatures, statistics: Statistics) -> DatetimeColumn:
    """Return the fitted column.

    Raises:
        DataError: Moments are missing against the rule, or all are.
    """
    state = statistics.columns[name]
    if not isinstance(state, NumericState):
        raise not_for(state, rule.kind)
    fill = _fill(state, rule)
    if state.moments.count:
        ends = round(state.minimum * DAY), round(state.maximum * DAY)
    else:
        ends = (from_iso(str(fill.value)),) * 2
    return DatetimeColumn(
        name=state.name,
        type=state.type,
        fill=fill,
        reference=iso(ends[0]),
        parts=tuple(_scaled(each, rule, ends) for each in rule.parts),
        cyclic=rule.cyclic,
    )


def _scaled(name: str, rule: DatetimeFeatures, ends: tuple[int, int]) -> PartScale:
    if rule.scale == "none":
        return PartScale(part=name)
    if name == "elapsed_days":
        return PartScale(part=name, scale=(ends[1] - ends[0]) / DAY or 1.0)
    if name == "year":
        low, high = part(np.array(ends), "year").tolist()
        return PartScale(part=name, offset=float(low), scale=float(high - low) or 1.0)
    start, count = PERIODS[name]
    return PartScale(part=name, offset=float(start), scale=float(count - 1))


def _fill(state: NumericState, rule: DatetimeFeatures) -> Fill:
    if rule.impute == "refuse":
        return fill_of(rule, state, None, refuse_missing(state))
    if rule.impute == "constant" and rule.fill_value is not None:
        given = rule.fill_value
        given = given.replace(tzinfo=UTC) if given.tzinfo is None else given.astimezone(UTC)
        text = iso(from_iso(given.replace(tzinfo=None).isoformat()))
        return fill_of(rule, state, text, "given in the spec")
    if not state.moments.count:
        raise nothing_to_learn(state, rule.impute, "set impute: constant and fill_value")
    median = state.quantile(0.5)
    median = math.floor(median) if is_date(state.type) else median
    error = state.sketch.relative_error
    within = f", within 2^{int(math.log2(error))} of the days since 1970" if error else ""
    learned = f"median of {state.rows - state.missing:,} values{within}"
    return fill_of(rule, state, iso(round(median * DAY)), learned)


def wanted(name: str, kind: str, _rule: DatetimeFeatures) -> list[Wanted]:
    """Return what to collect of a column."""
    return [Wanted(name=name, type=kind, kind="datetime")]


def problems(name: str, kind: str, rule: DatetimeFeatures) -> Iterator[PenstockError]:
    """Yield what is wrong with a column of this type before any row is read."""
    head = f"features: column {name!r}"
    if not is_time(kind):
        remedy = "declare it as a timestamp in its source, or derive one in merge.derive"
        yield SchemaMismatchError("curated", name, kind, "a date or a timestamp", remedy)
    if not rule.parts and not rule.cyclic:
        yield InputError(
            f"{head} has no parts and no cyclic ones, expected one at least\n"
            "  set parts or cyclic, or leave the column out"
        )
    given = (*rule.parts, *rule.cyclic)
    if is_date(kind) and (clock := [each for each in CLOCK if each in given]):
        yield InputError(
            f"{head} is {kind}, and has {' and '.join(clock)} in parts or cyclic, expected those of a day\n"
            "  take them out, or use a timestamp"
        )
    for option, listed in (("parts", rule.parts), ("cyclic", rule.cyclic)):
        if len(set(listed)) < len(listed):
            yield InputError(
                f"{head} has {option}: {list(listed)!r}, expected each once\n  keep one of each"
            )
    if rule.impute == "constant" and rule.fill_value is None:
        yield InputError(
            f"{head} has impute: constant and no fill_value, expected a moment\n"
            "  set fill_value, as 2024-01-31T12:00:00Z, or another impute rule"
        )


def width(name: str, rule: DatetimeFeatures, statistics: Statistics) -> int:
    """Return how many outputs a column will have."""
    indicator = indicator_width(rule, statistics.columns[name])
    return len(rule.parts) + 2 * len(rule.cyclic) + indicator


KIND = ColumnKind(
    name="datetime", column=DatetimeColumn, wanted=wanted, problems=problems, width=width, fit=fit
)
