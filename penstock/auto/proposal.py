"""Proposed features as a person reads them: the section of pipeline.yaml, with a reason for each column."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter

from penstock.errors import DataError
from penstock.spec import FeatureGroup, InteractionFeatures, Spec

__all__ = ["FILE", "Choice", "Proposal", "chosen", "grouped"]

FILE = "features.yaml"
PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
WORDS = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})  # to some YAML
GROUPS: TypeAdapter[Any] = TypeAdapter(tuple[FeatureGroup, ...])
WIDE = 44


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """What becomes of one column.

    Attributes:
        column: Its name.
        reason: Why, in words.
        kind: Of feature; None: it is left out.
        options: Of that kind's rule; those left out have their defaults.
        warning: What a person is to be told besides.
    """

    column: str
    reason: str
    kind: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    warning: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Proposal:
    """Features that were chosen from the statistics.

    Attributes:
        features: Their rules, each with its columns.
        choices: Every column that was looked at, in the order of the table.
        rows: Rows of the train split that they were chosen from.
    """

    features: tuple[FeatureGroup, ...]
    choices: tuple[Choice, ...]
    rows: int

    @property
    def reasons(self) -> dict[str, str]:
        """Why each feature is what it is, by column."""
        return {each.column: each.reason for each in self.choices if each.kind is not None}

    @property
    def left_out(self) -> dict[str, str]:
        """Why each other column is left out."""
        return {each.column: each.reason for each in self.choices if each.kind is None}

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a person is to be told."""
        return tuple(each.warning for each in self.choices if each.warning)

    def applied(self, spec: Spec) -> Spec:
        """Return ``spec`` with these features.

        Raises:
            DataError: There are none; says why of each column.
        """
        if not self.features:
            reasons = "\n".join(f"  {name}: {reason}" for name, reason in self.left_out.items())
            raise DataError(
                f"features: none of {len(self.choices):,} columns is fit to be one by itself, expected one "
                f"at least\n{reasons or '  the table has no other columns'}\n"
                "  name columns under features in the spec, or derive some in merge.derive"
            )
        return spec.model_copy(update={"features": self.features})

    def section(self) -> str:
        """Return the features section of pipeline.yaml: YAML that may be pasted and changed."""
        lines = [f"# Chosen from {self.rows:,} rows of the train split.", "features:"]
        for group in self.features:
            lines += self._group(group)
        left_out = self.left_out
        if left_out:
            lines += ["", "# Left out:"]
            lines += [f"#   {_word(name)}: {_line(reason)}" for name, reason in left_out.items()]
        return "\n".join(lines) + "\n"

    def _group(self, group: Any) -> list[str]:
        reasons = self.reasons
        options = group.model_dump(mode="json", exclude_unset=True, exclude={"kind", "columns"})
        lines = [f"  - kind: {group.kind}"]
        lines += [f"    {name}: {_value(value)}" for name, value in options.items()]
        lines.append("    columns:")
        for name in group.columns:
            item = f"      - {_word(name)}"
            lines.append(f"{item:<{WIDE}}# {_line(reasons[name])}")
        return lines


def grouped(choices: Sequence[Choice]) -> tuple[FeatureGroup, ...]:
    """Return the rules of the features among ``choices``: columns of equal rules are one group."""
    groups: dict[str, dict[str, Any]] = {}
    for each in choices:
        if each.kind is None:
            continue
        body = {"kind": each.kind, **each.options}
        group = groups.setdefault(repr(body), body | {"columns": []})
        group["columns"].append(each.column)
    order = ("numeric", "boolean", "datetime", "categorical", "text", "vector")
    bodies = sorted(groups.values(), key=lambda body: order.index(body["kind"]))
    found: tuple[FeatureGroup, ...] = GROUPS.validate_python(bodies)
    return found


def chosen(text: str) -> tuple[FeatureGroup, ...]:
    """Return the features of a section as ``Proposal.section`` writes it."""
    import yaml

    found: tuple[FeatureGroup, ...] = GROUPS.validate_python(yaml.safe_load(text)["features"])
    return tuple(group for group in found if not isinstance(group, InteractionFeatures))


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return _word(value) if isinstance(value, str) else str(value)


def _word(text: str) -> str:
    """Return a text as YAML: as it is, where no reader could take it for anything else."""
    if PLAIN.fullmatch(text) and text.lower() not in WORDS:
        return text
    return f'"{_line(text, escaped=True)}"'


def _line(text: str, *, escaped: bool = False) -> str:
    """Return a text on one line of a YAML file."""
    special = {'"': '\\"', "\\": "\\\\"} if escaped else {}
    shown = (c if c.isprintable() else f"\\U{ord(c):08X}" for c in text)
    return "".join(special.get(c, c) if len(c) == 1 else c for c in shown)
