"""What all states share: JSON, and equality by content."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self

import numpy as np

from penstock.metrics.sums import Ints

__all__ = ["Revivers", "State", "integers"]

Revivers = Mapping[str, Callable[[Any], Any]]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class State:
    """Fields to JSON text and back; equal states have equal text.

    Attributes:
        revivers: Field name -> what makes its value from plain data; numbers need none.
    """

    revivers: ClassVar[Revivers] = {}

    def to_json(self) -> str:
        """Return the state as JSON text; ``from_json`` gives an equal state back."""
        return json.dumps({field.name: _plain(getattr(self, field.name)) for field in fields(self)})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the state that ``to_json`` wrote."""
        return cls.from_plain(json.loads(text))

    @classmethod
    def from_plain(cls, body: Mapping[str, Any]) -> Self:
        """Return the state from the plain data that its JSON text holds."""
        names = [field.name for field in fields(cls)]
        return cls(**{name: cls.revivers.get(name, _number)(body[name]) for name in names})

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.to_json() == other.to_json()

    __hash__ = None  # type: ignore[assignment]


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, State):
        return json.loads(value.to_json())
    # A sum has up to 2,100 bits: more than a JSON number may be trusted to keep.
    return hex(value) if isinstance(value, int) and abs(value) >= 2**53 else value


def _number(value: Any) -> Any:
    return int(value, 16) if isinstance(value, str) else value


def integers(value: Any) -> Ints:
    """Return nested lists as an int64 array."""
    return np.asarray(value, dtype=np.int64)
