"""A request's parameters against botocore's model of the operation, in the words that AWS uses.

boto3 checks some of this before it calls; other clients leave it to the service.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from penstock.local.wire import AwsError, service_model

__all__ = ["check"]

TYPES: Mapping[str, tuple[type, ...]] = {
    "structure": (dict,),
    "map": (dict,),
    "list": (list,),
    "string": (str,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
    "boolean": (bool,),
}


def check(service: str, operation: str, body: Mapping[str, Any], required: str = "") -> None:
    """Check ``body``.

    Args:
        service: As botocore calls it.
        operation: As botocore calls it.
        body: The parameters.
        required: More names that must be there, separated by spaces; a dot leads inside.

    Raises:
        AwsError: ValidationException with all problems, or SerializationException.
    """
    shape = service_model(service).operation_model(operation).input_shape
    problems = list(_problems(shape, body, ""))
    problems += [_null(path) for path in required.split() if _at(body, path) is None]
    if problems:
        noun = "error" if len(problems) == 1 else "errors"
        raise AwsError(
            "ValidationException",
            f"{len(problems)} validation {noun} detected: {'; '.join(problems)}",
        )


def _at(body: Mapping[str, Any], path: str) -> Any:
    found: Any = body
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _null(path: str) -> str:
    spelled = ".".join(_spelled(name) for name in path.split("."))
    return f"Value null at '{spelled}' failed to satisfy constraint: Member must not be null"


def _spelled(name: str) -> str:
    return name[:1].lower() + name[1:]


def _problems(shape: Any, value: Any, path: str) -> Iterator[str]:
    wanted = TYPES.get(shape.type_name)
    if wanted and (not isinstance(value, wanted) or (bool not in wanted and value is True)):
        raise AwsError(
            "SerializationException",
            f"'{path}' is {type(value).__name__}, expected {shape.type_name}",
        )
    if shape.type_name == "structure":
        yield from _members(shape, value, path)
    elif shape.type_name == "list":
        yield from _length(shape, value, path)
        for number, each in enumerate(value, 1):
            yield from _problems(shape.member, each, f"{path}.{number}.member")
    elif shape.type_name == "map":
        yield from _length(shape, value, path)
        for name, each in value.items():
            yield from _problems(shape.value, each, f"{path}.{name}.member")
    elif shape.type_name == "string":
        yield from _text(shape, value, path)
    elif shape.type_name in {"integer", "long", "float", "double"}:
        yield from _bounds(shape.metadata, value, value, path, "value")


def _members(shape: Any, value: Mapping[str, Any], path: str) -> Iterator[str]:
    lead = f"{path}." if path else ""
    for name in shape.required_members:
        if value.get(name) is None:
            yield _null(f"{lead}{name}")
    for name, member in shape.members.items():
        if value.get(name) is not None:
            yield from _problems(member, value[name], f"{lead}{_spelled(name)}")


def _length(shape: Any, value: Any, path: str) -> Iterator[str]:
    yield from _bounds(shape.metadata, value, len(value), path, "length")


def _text(shape: Any, value: str, path: str) -> Iterator[str]:
    if shape.enum:
        if value not in shape.enum:
            known = f"[{', '.join(shape.enum)}]"
            yield _failed(value, path, f"Member must satisfy enum value set: {known}")
        return
    yield from _length(shape, value, path)
    pattern = shape.metadata.get("pattern")
    compiled = _compiled(pattern) if pattern else None
    if compiled is not None and not compiled.fullmatch(value):
        yield _failed(value, path, f"Member must satisfy regular expression pattern: {pattern}")


def _bounds(
    limits: Mapping[str, Any], value: Any, size: float, path: str, what: str
) -> Iterator[str]:
    if "min" in limits and size < limits["min"]:
        word = f"Member must have {what} greater than or equal to {limits['min']}"
        yield _failed(value, path, word)
    if "max" in limits and size > limits["max"]:
        yield _failed(value, path, f"Member must have {what} less than or equal to {limits['max']}")


def _failed(value: Any, path: str, constraint: str) -> str:
    return f"Value '{value}' at '{path}' failed to satisfy constraint: {constraint}"


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str] | None:
    """Return Java's pattern as Python has it; None for the few that Python does not take."""
    for theirs, ours in ((r"\p{L}", r"\w"), (r"\p{N}", r"\d"), (r"\p{Z}", r"\s")):
        pattern = pattern.replace(theirs, ours)
    try:
        return re.compile(pattern, re.DOTALL)
    except re.error:
        return None
