"""The part of JSONPath that batch transform has.

    $              all                      $[0]       one item; $[-1] the last
    $.name         a member                 $[0,5:]    some items, as a list
    $['a','b']     some members             $[1:3]     items 1 and 2
    $.* or $[*]    all members or items

For CSV a row is a list of cells, so that paths of items alone mean something.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from penstock.errors import DataError, InputError

__all__ = ["JsonPath"]

_STEP = re.compile(
    r"""\.(?P<name>[A-Za-z_][\w-]*)|\.(?P<star>\*)|\[(?P<inner>(?:'[^']*'|"[^"]*"|[^\]'"])*)\]"""
)
_NAME = re.compile(r"""\s*(?:'([^']*)'|"([^"]*)")\s*""")
_ITEM = re.compile(r"\s*(-?\d+)\s*")
_SLICE = re.compile(r"\s*(-?\d+)?\s*:\s*(-?\d+)?\s*")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Names:
    names: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Items:
    items: tuple[int | slice, ...]

    @property
    def one(self) -> int | None:
        """The item, if it is a single one."""
        only = self.items[0]
        return only if len(self.items) == 1 and isinstance(only, int) else None

    def places(self, size: int) -> list[int]:
        """Return the positions in a list of ``size``; IndexError for one outside."""
        found: list[int] = []
        for item in self.items:
            if isinstance(item, slice):
                found += range(size)[item]
            else:
                found.append(range(size)[item])
        return found


@dataclass(frozen=True, kw_only=True, slots=True)
class JsonPath:
    """A path that was read.

    Attributes:
        text: As it was given.
        steps: From the root on.
    """

    text: str
    steps: tuple[_Names | _Items, ...]

    @classmethod
    def of(cls, text: str) -> JsonPath:
        """Read a path.

        Raises:
            InputError: It is none, or uses more of JSONPath.
        """
        if not text.startswith("$"):
            raise _unreadable(text, "it must begin with '$'")
        at, steps = 1, []
        while at < len(text):
            found = _STEP.match(text, at)
            if found is None:
                raise _unreadable(text, f"{text[at:]!r} is no step")
            steps.append(_step(text, found))
            at = found.end()
        if any(isinstance(step, _Names) and len(step.names) > 1 for step in steps[:-1]):
            raise _unreadable(text, "several names must be the last step")
        return cls(text=text, steps=tuple(steps))

    @property
    def whole(self) -> bool:
        """Whether it is ``$``."""
        return not self.steps

    def found(self, value: Any) -> Any:
        """Return what the path leads to in a JSON value.

        Raises:
            DataError: It leads nowhere.
        """
        try:
            return _walked(value, self.steps)
        except (KeyError, IndexError, TypeError):
            shown = repr(value)
            raise DataError(
                f"JSONPath {self.text!r} leads nowhere in {shown[:80]}{'...' if len(shown) > 80 else ''}"
            ) from None

    def columns(self, width: int) -> list[int]:
        """Return the columns of a CSV row of ``width`` cells.

        Raises:
            DataError: A column is not there, or the path is none of a CSV.
        """
        if self.whole:
            return list(range(width))
        step = self.steps[0]
        if len(self.steps) > 1 or isinstance(step, _Names):
            raise DataError(
                f"JSONPath {self.text!r}: a row of a CSV is a list, expected as '$[1:]'"
            )
        try:
            return step.places(width)
        except IndexError:
            raise DataError(f"JSONPath {self.text!r}: the row has {width} cells only") from None


def _unreadable(text: str, why: str) -> InputError:
    return InputError(
        f"JSONPath {text!r}: {why}\n  expected as '$', '$.name', \"$['a','b']\", '$[0,2]' or '$[1:]'"
    )


def _step(text: str, found: re.Match[str]) -> _Names | _Items:
    if found["name"]:
        return _Names(names=(found["name"],))
    if found["star"] or found["inner"].strip() == "*":
        return _Items(items=(slice(None),))
    parts = found["inner"].split(",")
    if names := [_NAME.fullmatch(part) for part in parts]:
        known = [name[1] if name[1] is not None else name[2] for name in names if name]
        if len(known) == len(parts):
            return _Names(names=tuple(known))
    items: list[int | slice] = []
    for part in parts:
        if item := _ITEM.fullmatch(part):
            items.append(int(item[1]))
        elif bounds := _SLICE.fullmatch(part):
            low, high = (None if each is None else int(each) for each in bounds.groups())
            items.append(slice(low, high))
        else:
            raise _unreadable(text, f"{part.strip()!r} is neither a name, an item nor a slice")
    return _Items(items=tuple(items))


def _walked(value: Any, steps: Sequence[_Names | _Items]) -> Any:
    if not steps:
        return value
    step, rest = steps[0], steps[1:]
    if isinstance(step, _Names):
        if not isinstance(value, dict):
            raise TypeError
        if len(step.names) == 1:
            return _walked(value[step.names[0]], rest)
        return {name: value[name] for name in step.names}
    if isinstance(value, dict) and step.items == (slice(None),):
        value = list(value.values())
    if not isinstance(value, list):
        raise TypeError
    if step.one is not None:
        return _walked(value[step.one], rest)
    return [_walked(value[place], rest) for place in step.places(len(value))]
