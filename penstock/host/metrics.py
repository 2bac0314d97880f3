"""Metrics read off a program's log by regexes, as SageMaker does."""

from __future__ import annotations

import math
import re
from typing import NamedTuple

from penstock.errors import InputError

__all__ = ["Metric", "MetricReader"]

# Where the epoch of a line stands: "epoch=3," in SageMaker's own algorithms, "[3]" in XGBoost's.
_EPOCH = re.compile(r"\bepoch=(\d+)|^\[(\d+)\]")


class Metric(NamedTuple):
    """One value; epochs count from 0 as the program counts them."""

    name: str
    epoch: int
    value: float


class MetricReader:
    """Collects metrics, line by line.

    Attributes:
        found: In log order.
    """

    def __init__(self, definitions: tuple[tuple[str, str], ...]) -> None:
        """Compile ``(name, regex)`` pairs.

        Raises:
            InputError: A regex is none, or has not exactly one capture group.
        """
        self.found: list[Metric] = []
        self._definitions = [(name, _compiled(name, regex)) for name, regex in definitions]

    def read(self, line: str) -> None:
        """Take in one line. A value that is no finite number is passed over.

        A line without an epoch counts on from the metric's last one.
        """
        # XGBoost's stock regexes are written for CloudWatch, which shows a tab as #011.
        forms = (line, line.replace("\t", "#011")) if "\t" in line else (line,)
        for name, regex in self._definitions:
            matched = next(filter(None, map(regex.search, forms)), None)
            if matched is None:
                continue
            value = _number(matched[1])
            if math.isfinite(value):
                self.found.append(Metric(name, self._epoch(name, line), value))

    def _epoch(self, name: str, line: str) -> int:
        if said := _EPOCH.search(line):
            return int(said[1] or said[2])
        seen = [metric.epoch for metric in self.found if metric.name == name]
        return seen[-1] + 1 if seen else 0


def _compiled(name: str, regex: str) -> re.Pattern[str]:
    try:
        compiled = re.compile(regex)
    except re.error as error:
        raise InputError(f"metric {name!r}: {regex!r} is no regex: {error}") from error
    if compiled.groups != 1:
        raise InputError(
            f"metric {name!r}: {regex!r} has {compiled.groups} capture groups, expected 1: the value"
        )
    return compiled


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
