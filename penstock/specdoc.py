"""The reference of pipeline.yaml as Markdown, made from its JSON Schema; docs/pipeline-yaml.md is its output."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["markdown"]

HEAD = """# pipeline.yaml

Every key, made from the schema by `penstock schema --markdown`. Unknown keys are refused, with the nearest known name; all
problems are reported at once, with their lines. Nothing in the file says where it runs.

A key without a default must be there."""


def markdown(schema: Mapping[str, Any]) -> str:
    """Return the reference: a table of keys for the whole file, then one for each part.

    Args:
        schema: The JSON Schema of ``penstock.spec.Spec``.
    """
    lines = [HEAD, "", *_table(schema)]
    for name, part in schema["$defs"].items():
        lines += ["", f"## {name}", "", part.get("description", "").strip(), "", *_table(part)]
    return "\n".join(lines) + "\n"


def _table(part: Mapping[str, Any]) -> Iterator[str]:
    yield "| key | value | default | meaning |"
    yield "|---|---|---|---|"
    required = part.get("required", ())
    for name, field in part["properties"].items():
        default = "" if name in required or "default" not in field else _code(field["default"])
        cells = (f"`{name}`", _value(field), default, field.get("description", ""))
        yield (
            "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
        )


def _value(field: Mapping[str, Any]) -> str:
    """Return in words what a field takes."""
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "const" in field:
        return _code(field["const"])
    if "enum" in field:
        return ", ".join(_code(value) for value in field["enum"])
    for several in ("anyOf", "oneOf"):
        if several in field:
            return " or ".join(
                _value(each) for each in field[several] if each.get("type") != "null"
            )
    return _typed(field)


def _typed(field: Mapping[str, Any]) -> str:
    kind = field.get("type", "anything")
    if kind == "array":
        items = field.get("items") or {"type": "number"}
        return f"list of {_value(items)}"
    if kind == "object":
        values = field.get("additionalProperties") or next(
            iter(field.get("patternProperties", {}).values()), None
        )
        return f"name: {_value(values)}" if isinstance(values, dict) else "mapping"
    bounds = (
        (">=", field.get("minimum")),
        (">", field.get("exclusiveMinimum")),
        ("<=", field.get("maximum")),
        ("<", field.get("exclusiveMaximum")),
    )
    limits = [f"{sign} {value:g}" for sign, value in bounds if value is not None]
    return " ".join([str(kind), *limits])


def _code(value: Any) -> str:
    if value is None:
        return "unset"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, dict):
        return "the defaults below"
    if isinstance(value, list):
        return "`[" + ", ".join(map(str, value)) + "]`"
    return f"`{value}`" if value != "" else '`""`'
