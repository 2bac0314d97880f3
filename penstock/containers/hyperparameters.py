r"""Hyperparameters as SageMaker sends them: texts in, checked values out.

hyperparameters.json is one flat object whose values are all strings: ``{"epochs": "15"}``. Script
mode encodes each value once more, ``{"epochs": "\"15\""}``; both are read. A table declares each
name once, with its type, default, range and sentence; the check reports every problem at once.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from penstock.errors import InputError, listed, nearest

__all__ = ["Hyperparameter", "HyperparametersError", "Table", "check"]

# The platform and its tuner add names of their own, which no algorithm declares.
PLATFORM_PREFIXES = ("_", "sagemaker_")

_KINDS = {"int": "an integer", "float": "a number", "bool": "'true' or 'false'", "text": "a text"}
_BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


class HyperparametersError(InputError):
    """Hyperparameters that an algorithm cannot take; all of them.

    Attributes:
        algorithm: Whose table was asked.
        problems: One sentence each, in the order of the names given.
    """

    def __init__(self, algorithm: str, problems: tuple[str, ...]) -> None:
        self.algorithm, self.problems = algorithm, problems
        super().__init__(algorithm, problems)

    def __str__(self) -> str:
        count = len(self.problems)
        noun = "problem" if count == 1 else "problems"
        head = f"hyperparameters of {self.algorithm}: {count} {noun}"
        return "\n".join([head, *(f"  {problem}" for problem in self.problems)])


@dataclass(frozen=True, kw_only=True, slots=True)
class Hyperparameter:
    """One declared name.

    Attributes:
        name: As SageMaker spells it.
        kind: What its text must parse to.
        default: Value when it is not given; None means that there is none.
        sentence: What it does, in a few words.
        required: Whether leaving it out is a problem.
        auto: Whether the text ``auto`` is allowed, and kept as ``"auto"``.
        minimum: Smallest number allowed.
        maximum: Largest number allowed.
        above: Numbers must be larger than this.
        below: Numbers must be smaller than this.
        choices: The only texts allowed (beside ``auto``); with another kind than text, texts
            allowed beside its values.
    """

    name: str
    kind: Literal["int", "float", "bool", "text"]
    default: Any = None
    sentence: str
    required: bool = False
    auto: bool = False
    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None
    below: float | None = None
    choices: tuple[str, ...] = ()

    def expected(self) -> str:
        """Return what a value must be, for messages and documentation."""
        words = [] if self.kind == "text" and self.choices else [_KINDS[self.kind] + self._range()]
        words += [repr(choice) for choice in self.choices]
        if self.auto:
            words.append("'auto'")
        return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " or " + words[-1]

    def _range(self) -> str:
        bounds = {
            "of at least": self.minimum,
            "above": self.above,
            "of at most": self.maximum,
            "below": self.below,
        }
        said = [f"{word} {bound:g}" for word, bound in bounds.items() if bound is not None]
        return " " + " and ".join(said) if said else ""

    def parse(self, raw: str) -> Any:
        """Return the value of ``raw``.

        Raises:
            ValueError: It is not what :meth:`expected` says. The text of the error is not used.
        """
        text = _unwrapped(raw)
        if (self.auto and text == "auto") or text in self.choices:
            return text
        if self.kind == "text":
            if self.choices:
                raise ValueError(text)
            return text
        if self.kind == "bool":
            if text.lower() not in _BOOLEANS:
                raise ValueError(text)
            return _BOOLEANS[text.lower()]
        return self._number(text)

    def _number(self, text: str) -> int | float:
        number = float(text)
        outside = (
            not math.isfinite(number)
            or (self.minimum is not None and number < self.minimum)
            or (self.maximum is not None and number > self.maximum)
            or (self.above is not None and number <= self.above)
            or (self.below is not None and number >= self.below)
            or (self.kind == "int" and not number.is_integer())
        )
        if outside:
            raise ValueError(text)
        return int(number) if self.kind == "int" else number


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """All that one algorithm knows of its hyperparameters.

    Attributes:
        algorithm: Its name in specs, ``linear-learner``.
        parameters: The declared names.
        refused: SageMaker's names that do not work here, with what to do instead.
        cross_check: Problems of the values taken together.
    """

    algorithm: str
    parameters: tuple[Hyperparameter, ...]
    refused: Mapping[str, str] = field(default_factory=dict)
    cross_check: Callable[[Mapping[str, Any]], list[str]] = lambda _: []


def check(table: Table, given: Mapping[str, str]) -> dict[str, Any]:
    """Return every declared name with its value: what was given, else the default.

    Args:
        table: The algorithm's declaration.
        given: Names and texts, as in hyperparameters.json. Names of the platform are passed over.

    Raises:
        HyperparametersError: A name is unknown, refused or missing, or a value is not what its
            name expects. All problems stand in the one error.
    """
    declared = {parameter.name: parameter for parameter in table.parameters}
    values = {parameter.name: parameter.default for parameter in table.parameters}
    problems: list[str] = []
    for name, raw in given.items():
        if name.startswith(PLATFORM_PREFIXES):
            continue
        if name not in declared:
            problems += _undeclared(table, name, raw)
            continue
        try:
            values[name] = declared[name].parse(str(raw))
        except ValueError:
            problems.append(f"{name!r} is {raw!r}, expected {_described(declared[name])}")
    problems += [
        f"{parameter.name!r} is missing, expected {_described(parameter)}"
        for parameter in table.parameters
        if parameter.required and parameter.name not in given
    ]
    # Values that are wrong one by one would only repeat themselves in the check of all.
    problems = problems or table.cross_check(values)
    if problems:
        raise HyperparametersError(table.algorithm, tuple(problems))
    return values


def _described(parameter: Hyperparameter) -> str:
    return f"{parameter.expected()}: {parameter.sentence}"


def _undeclared(table: Table, name: str, raw: str) -> list[str]:
    if name in table.refused:
        if _unwrapped(str(raw)) == "auto":
            return []
        return [f"{name!r} is not implemented here: {table.refused[name]}"]
    known = [parameter.name for parameter in table.parameters]
    if close := nearest(name, [*known, *table.refused]):
        return [f"{name!r} is unknown, did you mean {close!r}?"]
    return [f"{name!r} is unknown, expected one of {listed(known)}"]


def _unwrapped(raw: str) -> str:
    """Return the text inside ``raw`` when it is a JSON string, else ``raw`` itself."""
    try:
        inner = json.loads(raw)
    except json.JSONDecodeError:
        return raw.strip()
    return inner.strip() if isinstance(inner, str) else raw.strip()
