"""One column -> a rule, or why it is left out: by its type, and by what the scan has seen."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from penstock.auto import measures
from penstock.auto.candidates import FIGURES, LABELS, VALUES, is_vector, without_code
from penstock.auto.proposal import Choice
from penstock.auto.thresholds import (
    COUNTER_DENSITY,
    HASH_BUCKETS,
    IDENTIFIER_SHARE,
    LEAST_ROWS,
    MATERIAL_MISSING,
    MOSTLY_MISSING,
    NAMED_IDENTIFIER,
    NAMED_IDENTIFIER_SHARE,
    ONE_HOT_ALWAYS,
    ONE_HOT_MOST,
    PROSE_WORDS,
    ROWS_PER_VALUE,
    SHAPED,
    SKEW,
    SURE_ROWS,
    TAIL,
    UNIQUE_SHARE,
    YEAR_DAYS,
)
from penstock.autostate import FewState, FiguresState, LabelledState
from penstock.cells import INTEGERS, family
from penstock.columns.target import SUFFIX
from penstock.spec import Spec
from penstock.states import CategoryState, ColumnState, NumericState
from penstock.statistics import Statistics
from penstock.times import is_date, is_time, iso
from penstock.vectorstate import VectorState

__all__ = ["by_itself", "min_frequency"]

IDENTIFIER = re.compile(r"(^|[_\W])(id|ids|key|uuid|guid|sha\d*|md5)$", re.IGNORECASE)
CAMEL = re.compile(r"[a-z](Id|ID|Key|Uuid|UUID|Guid|GUID)$")
CODE = re.compile(
    r"(^|[_\W])(code|zip|zipcode|postcode|postal|sku|isbn|class|type)$", re.IGNORECASE
)
DAY = 86_400_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """One column, and what there is to judge it by."""

    state: ColumnState
    statistics: Statistics
    spec: Spec

    @property
    def name(self) -> str:
        return self.state.name

    @property
    def missing_share(self) -> float:
        return self.state.missing / max(self.state.rows, 1)

    @property
    def present(self) -> int:
        return self.state.rows - self.state.missing

    @property
    def few(self) -> CategoryState | None:
        """The numbers as names, if they are few and whole."""
        found = self.statistics.columns.get(self.name + VALUES)
        return found.seen if isinstance(found, FewState) else None

    @property
    def figures(self) -> FiguresState | None:
        found = self.statistics.columns.get(self.name + FIGURES)
        return found if isinstance(found, FiguresState) else None

    @property
    def labels_known(self) -> bool:
        """Whether the labels of each value were collected."""
        found = self.statistics.columns.get(LABELS)
        return (
            isinstance(found, LabelledState) and found.columns.get(self.name + SUFFIX) is not None
        )

    @property
    def called_identifier(self) -> bool:
        """Whether its name and its many values say that it names things."""
        distinct = self.state.distinct
        many = distinct > NAMED_IDENTIFIER or distinct > NAMED_IDENTIFIER_SHARE * self.present
        called = IDENTIFIER.search(self.name) or CAMEL.search(self.name)
        return bool(called) and many and distinct > ONE_HOT_ALWAYS

    def out(self, reason: str) -> Choice:
        return Choice(column=self.name, reason=reason)

    def of(self, kind: str, reason: str, **options: Any) -> Choice:
        return Choice(column=self.name, kind=kind, reason=reason, options=options)


def min_frequency(rows: int) -> int:
    """Return the rows that a category must have not to be rare, of so many rows.

    >>> [min_frequency(rows) for rows in (100, 1000, 50_000, 3_000_000)]
    [2, 10, 50, 100]
    """
    least = 10 if rows >= 500 else max(2, rows // 50)
    return min(100, max(least, rows // 1000))


def by_itself(state: ColumnState, statistics: Statistics, spec: Spec) -> Choice:
    """Return what becomes of a column, whatever the others are.

    Args:
        state: Of the column, as ``candidates`` asked for it.
        statistics: Which have its second states.
        spec: The pipeline.
    """
    look = Look(state=state, statistics=statistics, spec=spec)
    if look.name != look.name.strip() or not look.name:
        return look.out("its name begins or ends with white space: rename it in merge.derive")
    kind = next((k for k, fits in KINDS.items() if fits(state)), None)
    if family(state.type) == "null" or (kind is not None and not look.present):
        return look.out("all its cells are missing")
    if kind is None:
        return look.out(f"nothing is made of {state.type}: derive a number or a name from it")
    if look.missing_share > MOSTLY_MISSING:
        return look.out(f"{_share(look.missing_share)} of its cells are missing")
    return RULES[kind](look)


KINDS: Mapping[str, Callable[[ColumnState], bool]] = {
    "time": lambda state: is_time(state.type),
    "number": lambda state: isinstance(state, NumericState),
    "boolean": lambda state: family(state.type) == "boolean",
    "name": lambda state: isinstance(state, CategoryState),
    "vector": lambda state: is_vector(state.name, state.type),
}


# ---- numbers


def _number(look: Look) -> Choice:
    state = look.state
    if not isinstance(state, NumericState):
        return look.out(f"nothing is known of its {state.type}")
    if state.infinities:
        return look.out(
            f"{state.infinities:,} of its cells are infinite: mend them in merge.derive"
        )
    if choice := _constant(look) or _number_identifier(look, state):
        return choice
    few = look.few
    if few is not None and set(few.values.to_pylist()) == {"0", "1"}:
        reason = f"0 and 1{_missing(look)}"
        return look.of("boolean" if look.present >= SURE_ROWS else "numeric", reason)
    if few is not None and (choice := _code(look, few, state)):
        return choice
    return _scaled(look, state)


def _number_identifier(look: Look, state: NumericState) -> Choice | None:
    whole = state.type in INTEGERS or look.few is not None
    span = f"{_many(state)} values from {_shown(state.minimum)} to {_shown(state.maximum)}"
    share = state.distinct / max(look.present, 1)
    if not whole:
        return None
    if look.called_identifier:
        return look.out(f"an identifier by its name, with {span}")
    counts = share >= UNIQUE_SHARE and measures.density(state) >= COUNTER_DENSITY
    if counts and look.present >= LEAST_ROWS:
        return look.out(f"an identifier: whole numbers that hardly repeat, {span}")
    return None


def _code(look: Look, few: CategoryState, state: NumericState) -> Choice | None:
    """Return the rule of whole numbers that are names; None if they are not."""
    if state.distinct < 3:
        return None
    moments, statistics = statistics_label(look.statistics), look.statistics
    follows = measures.is_code(
        few,
        state,
        variance=moments,
        correlation=statistics.label_correlation(look.name),
    )
    if not follows and not CODE.search(look.name):
        return None
    why = "the label follows the values, not their order" if follows else "codes by its name"
    return _named(look, few, f"whole numbers, {_many(state)} values; {why}")


def statistics_label(statistics: Statistics) -> float | None:
    """Return the variance of the label; None if it has none that means anything."""
    if statistics.label is None or not statistics.comoments.count.size:
        return None
    count = float(statistics.comoments.count[0, 0])
    return float(statistics.comoments.m2_i[0, 0]) / count if count else None


def _scaled(look: Look, state: NumericState) -> Choice:
    code = measures.missing_code(state)
    # A correlation is not known without the cells that turn out to be missing.
    if code is not None and look.spec.select.min_label_correlation is None:
        state = without_code(state, code)
    else:
        code = None
    share = state.missing / state.rows
    options: dict[str, Any] = {"impute": "median"}
    if code is not None:
        options["missing_values"] = [code]
    options["indicator"] = not 0 < share < MATERIAL_MISSING
    reason = (
        f"{_shown(state.minimum)} to {_shown(state.maximum)}, median {_shown(state.quantile(0.5))}"
    )
    reason += (
        f"; {_shown(code)} means missing, {_share(share)}" if code is not None else _missing(look)
    )
    scale, why = _scale(state)
    return look.of("numeric", reason + why, **options, **scale)


def _scale(state: NumericState) -> tuple[dict[str, Any], str]:
    """Return the options that say how numbers are scaled, and why in words."""
    values, counts = measures.values_of(state), state.sketch.counts
    if state.minimum >= 0 and (skew := measures.skewness(values, counts)) > SKEW:
        after = measures.skewness(np.log1p(values), counts)
        if abs(after) < skew / 2:
            # Rows to come may be negative: no number is farther out than the train split's.
            return {
                "scale": "log1p",
                "clip": [0.0, 1.0],
            }, f"; skewness {skew:.1f}, of logarithms {after:.1f}"
    if (far := measures.tail(state)) > TAIL:
        return {
            "scale": "standard",
            "clip": [0.001, 0.999],
        }, f"; extremes {far:,.0f} times as far out as 98 % of the rows"
    return {"scale": "standard"}, ""


# ---- names


def _name(look: Look) -> Choice:
    state, figures = look.state, look.figures
    if not isinstance(state, CategoryState) or figures is None:
        return look.out(f"nothing is known of its {state.type}")
    if choice := _constant(look) or _looks_like(look, figures):
        return choice
    share = state.distinct / max(look.present, 1)
    many = f"{_many(state)} values in {look.present:,} cells"
    long = figures.words_each >= PROSE_WORDS
    if long and state.distinct > ONE_HOT_MOST:
        reason = f"free text: {figures.words_each:.0f} words each, {many}{_missing(look)}"
        return look.of("text", reason, indicator=look.missing_share >= MATERIAL_MISSING)
    if look.called_identifier:
        return look.out(f"an identifier by its name: {many}")
    if share > (IDENTIFIER_SHARE if look.present >= LEAST_ROWS else UNIQUE_SHARE):
        return look.out(f"an identifier: {many}")
    return _named(look, state, f"{_many(state)} values")


def _looks_like(look: Look, figures: FiguresState) -> Choice | None:
    """Return why texts are left out that are something else than names."""
    if figures.share("date") >= SHAPED:
        return look.out(
            "texts that look like dates: declare a date in its source, or derive one by to_date"
        )
    if look.state.distinct <= ONE_HOT_MOST:
        return None
    if figures.share("code") >= SHAPED:
        return look.out(f"an identifier: long hexadecimal codes, {_many(look.state)} values")
    if figures.share("number") >= SHAPED and not CODE.search(look.name):
        return look.out("texts that are numbers: declare a double in its source, or derive one")
    return None


def _named(look: Look, state: CategoryState, reason: str) -> Choice:
    """Return the rule of a column of names, by how many there are."""
    reason += _missing(look)
    least = min_frequency(state.rows)
    frequent = int((state.counts >= least).sum())
    often = look.present >= ROWS_PER_VALUE * frequent
    if state.distinct_is_exact and (
        frequent <= ONE_HOT_ALWAYS or (frequent <= ONE_HOT_MOST and often)
    ):
        rare = state.distinct - frequent
        if rare:
            reason += f"; {rare:,} of them in fewer than {least:,} rows"
        return look.of("categorical", reason, encode="one_hot", min_frequency=least)
    if look.labels_known:
        return look.of("categorical", reason, encode="target")
    return look.of("categorical", reason, encode="hash", buckets=HASH_BUCKETS)


# ---- all others


def _constant(look: Look) -> Choice | None:
    """Return the rule of a column with one value; None if it has several."""
    if look.state.distinct > 1:
        return None
    if look.missing_share < MATERIAL_MISSING or not look.state.distinct_is_exact:
        return look.out(f"one value{_missing(look)}")
    few = look.state if isinstance(look.state, CategoryState) else look.few
    if few is None:
        return look.out(f"one value{_missing(look)}")
    return _named(look, few, "one value, and missing")


def _boolean(look: Look) -> Choice:
    return _constant(look) or look.of("boolean", f"true and false{_missing(look)}")


def _time(look: Look) -> Choice:
    state = look.state
    if not isinstance(state, NumericState) or state.minimum == state.maximum:
        return look.out("one moment" if look.present else "all its cells are missing")
    days = state.maximum - state.minimum
    first, last = (iso(round(end * DAY))[:10] for end in (state.minimum, state.maximum))
    cyclic = ["dayofyear"] if days >= YEAR_DAYS else []
    cyclic += ["weekday"] if days >= 14 and _has_weekdays(state) else []
    if _has_clock(state, days):
        cyclic.append("hour")
    parts = ["elapsed_days"]
    reason = f"{first} to {last}{_missing(look)}"
    split = look.spec.split
    if split.by == "time":
        reason += "; how long ago is left out, as the split is by time"
        parts = []
        if not cyclic:
            return look.out(
                f"{first} to {last}: too short a time for a season, and the split is by time"
            )
    return look.of("datetime", reason, parts=parts, cyclic=cyclic)


def _has_weekdays(state: NumericState) -> bool:
    """Return whether the moments are of several days of the week, as far as is known."""
    return not state.distinct_is_exact or len(set((np.floor(state.sketch.keys) % 7).tolist())) > 1


def _has_clock(state: NumericState, days: float) -> bool:
    """Return whether times of day are there: more moments than days, or one that is not midnight."""
    if is_date(state.type):
        return False
    ends = (state.minimum, state.maximum)
    return state.distinct > 1.1 * days + 2 or any(end != np.floor(end) for end in ends)


def _vector(look: Look) -> Choice:
    state = look.state
    if not isinstance(state, VectorState) or state.narrowest != state.widest or not state.widest:
        return look.out("its vectors have different lengths: pad or cut them in merge.derive")
    limit = look.spec.dataset.max_width
    if state.widest > limit:
        return look.out(f"{state.widest:,} numbers each, dataset.max_width is {limit:,}")
    impute = "zeros" if look.state.missing else "refuse"
    return look.of("vector", f"{state.widest:,} numbers each{_missing(look)}", impute=impute)


RULES: Mapping[str, Callable[[Look], Choice]] = {
    "time": _time,
    "number": _number,
    "boolean": _boolean,
    "name": _name,
    "vector": _vector,
}


# ---- words


def _share(share: float) -> str:
    return f"{share:.1%}" if 0.001 <= share <= 0.999 else f"{share:.2g}"


def _missing(look: Look) -> str:
    return f"; {_share(look.missing_share)} missing" if look.state.missing else ""


def _many(state: ColumnState) -> str:
    return f"{'' if state.distinct_is_exact else 'about '}{state.distinct:,}"


def _shown(value: float) -> str:
    whole = value == np.floor(value) or abs(value) >= 1000
    if not whole or abs(value) >= 1e15:
        return f"{value:.4g}"
    return f"{value:.0f}" if abs(value) < 10_000 else f"{value:,.0f}"  # years have no comma
