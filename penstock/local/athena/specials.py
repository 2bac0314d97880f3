"""Functions that no template can say: units, patterns and lambdas are looked at where they are written."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from sqlglot import exp

from penstock.local.athena.datepatterns import joda, mysql
from penstock.local.athena.errors import QueryError, syntax, unsupported
from penstock.local.athena.functions import UNITS

__all__ = ["SPECIAL", "place"]

JODA = ("format_datetime", "parse_datetime")


def place(node: exp.Expr) -> tuple[int, int]:
    """Return line and column of a node, or 1 and 1."""
    found = [each.meta for each in (node, *node.find_all(exp.Identifier)) if "line" in each.meta]
    if not found:
        return 1, 1
    meta = min(found, key=lambda each: each["start"])
    return int(meta["line"]), max(1, int(meta["col"]) - (meta["end"] - meta["start"]))


Write = Callable[[Any, exp.Anonymous], str]


def _wrong(node: exp.Anonymous) -> QueryError:
    line, column = place(node)
    name = node.name.lower()
    return syntax("FUNCTION_NOT_FOUND", line, column, f"Unexpected parameters for function {name}")


def _texts(writer: Any, node: exp.Anonymous, least: int, most: int) -> list[str]:
    if not least <= len(node.expressions) <= most:
        raise _wrong(node)
    return [writer.sql(each) for each in node.expressions]


def _literal(node: exp.Expr, what: str) -> str:
    if not (isinstance(node, exp.Literal) and node.is_string):
        raise unsupported(f"{what} that is not a literal")
    return node.name


def _unit(node: exp.Anonymous) -> str:
    unit = _literal(node.expressions[0], f"unit of {node.name.lower()}").lower()
    if unit not in UNITS:
        line, column = place(node)
        raise syntax(
            "INVALID_FUNCTION_ARGUMENT", line, column, f"'{unit}' is not a valid TIMESTAMP field"
        )
    return unit


def _date_add(writer: Any, node: exp.Anonymous) -> str:
    _, count, moment = _texts(writer, node, 3, 3)
    made = UNITS[_unit(node)]
    kind = "BIGINT" if made in ("to_milliseconds", "to_hours", "to_minutes") else "INTEGER"
    kind = "DOUBLE" if made in ("to_seconds", "to_milliseconds") else kind
    return f"cast_to_type({moment} + {made}(CAST({count} AS {kind})), {moment})"


def _date_diff(writer: Any, node: exp.Anonymous) -> str:
    _, first, second = _texts(writer, node, 3, 3)
    return f"date_sub('{_unit(node)}', {first}, {second})"


def _date_trunc(writer: Any, node: exp.Anonymous) -> str:
    _, moment = _texts(writer, node, 2, 2)
    return f"cast_to_type(date_trunc('{_unit(node)}', {moment}), {moment})"


def _pattern(writer: Any, node: exp.Anonymous) -> str:
    name = node.name.lower()
    value, _ = _texts(writer, node, 2, 2)
    given = _literal(node.expressions[1], f"pattern of {name}")
    pattern = (joda if name in JODA else mysql)(given, name).replace("'", "''")
    if name in ("date_parse", "parse_datetime"):
        kind = "TIMESTAMPTZ" if name == "parse_datetime" else "TIMESTAMP"
        return f"CAST(strptime({value}, '{pattern}') AS {kind})"
    return f"strftime({value}, '{pattern}')"


def _concat(writer: Any, node: exp.Anonymous) -> str:
    return "(" + " || ".join(_texts(writer, node, 2, 200)) + ")"


def _chosen(writer: Any, node: exp.Anonymous) -> str:
    texts = _texts(writer, node, 1, 200)
    missing = " OR ".join(f"{text} IS NULL" for text in texts)
    return f"CASE WHEN {missing} THEN NULL ELSE {node.name.lower()}({', '.join(texts)}) END"


def _replaced(writer: Any, node: exp.Anonymous) -> str:
    texts = _texts(writer, node, 2, 3)
    if len(texts) == 3:
        if isinstance(node.expressions[2], exp.Lambda):
            raise unsupported("regexp_replace with a lambda")
        with_groups = f"regexp_replace({texts[2]}, '\\$([0-9]+)', '\\\\\\1', 'g')"
        return f"regexp_replace({texts[0]}, {texts[1]}, {with_groups}, 'g')"
    return f"regexp_replace({texts[0]}, {texts[1]}, '', 'g')"


def _lambda(node: exp.Anonymous, at: int, count: int) -> tuple[list[str], exp.Expr]:
    """Return the names and the body of a lambda."""
    found = node.expressions[at] if at < len(node.expressions) else None
    if not isinstance(found, exp.Lambda) or len(found.expressions) != count:
        raise _wrong(node)
    return [each.name for each in found.expressions], found.this


def _bound(body: exp.Expr, values: Mapping[str, str], writer: Any) -> str:
    """Return a lambda's body with DuckDB's texts for its names."""

    def put(node: exp.Expr) -> exp.Expr:
        named = isinstance(node, exp.Column | exp.Identifier) and node.name in values
        if named and (not isinstance(node, exp.Column) or not node.table):
            inside = isinstance(node, exp.Identifier) and isinstance(node.parent, exp.Column)
            return node if inside else exp.Var(this=values[node.name])
        return node

    return str(writer.sql(body.copy().transform(put)))


def _each(writer: Any, node: exp.Anonymous) -> str:
    names, body = _lambda(node, 1, 1)
    native = {"transform": "list_transform", "filter": "list_filter"}[node.name.lower()]
    inside = _bound(body, {}, writer)
    return f"{native}({writer.sql(node.expressions[0])}, LAMBDA {names[0]} : {inside})"


def _match(writer: Any, node: exp.Anonymous) -> str:
    names, body = _lambda(node, 1, 1)
    array = writer.sql(node.expressions[0])
    tests = f"list_transform({array}, LAMBDA {names[0]} : {_bound(body, {}, writer)})"
    kind = node.name.lower()
    if kind == "all_match":
        return f"CASE WHEN len({array}) = 0 THEN true ELSE list_bool_and({tests}) END"
    found = f"CASE WHEN len({array}) = 0 THEN false ELSE list_bool_or({tests}) END"
    return found if kind == "any_match" else f"(NOT {found})"


def _reduce(writer: Any, node: exp.Anonymous) -> str:
    if len(node.expressions) != 4:
        raise _wrong(node)
    names, body = _lambda(node, 2, 2)
    last, outer = _lambda(node, 3, 1)
    array, start = (writer.sql(each) for each in node.expressions[:2])
    folded = (
        f"list_reduce(list_transform({array}, LAMBDA penstock_x : cast_to_type(penstock_x, {start})),"
        f" LAMBDA {names[0]}, {names[1]} : {_bound(body, {}, writer)}, {start})"
    )
    return _bound(outer, {last[0]: folded}, writer)


def _zip_with(writer: Any, node: exp.Anonymous) -> str:
    names, body = _lambda(node, 2, 2)
    one, other = (writer.sql(each) for each in node.expressions[:2])
    inside = _bound(
        body, {names[0]: f"({one})[penstock_i]", names[1]: f"({other})[penstock_i]"}, writer
    )
    return (
        f"list_transform(range(1, greatest(len({one}), len({other})) + 1),"
        f" LAMBDA penstock_i : {inside})"
    )


def _of_map(writer: Any, node: exp.Anonymous) -> str:
    """Write map_filter, transform_keys and transform_values: over the entries of a map."""
    names, body = _lambda(node, 1, 2)
    entries = f"map_entries({writer.sql(node.expressions[0])})"
    inside = _bound(body, {names[0]: "penstock_e.key", names[1]: "penstock_e.value"}, writer)
    kind = node.name.lower()
    if kind == "map_filter":
        return f"map_from_entries(list_filter({entries}, LAMBDA penstock_e : {inside}))"
    key, value = {
        "transform_keys": (inside, "penstock_e.value"),
        "transform_values": ("penstock_e.key", inside),
    }[kind]
    return (
        f"map_from_entries(list_transform({entries}, LAMBDA penstock_e :"
        f" struct_pack(k := {key}, v := {value})))"
    )


def _cast_path(writer: Any, node: exp.Anonymous) -> str:
    """Write a JSON function; Athena's paths have ``["a"]`` where DuckDB's have ``."a"``."""
    value, path = _texts(writer, node, 2, 2)
    if isinstance(node.expressions[1], exp.Literal):
        path = re.sub(r"\[\"([^\"]*)\"\]", r'."\1"', path)
    name = {"json_extract": "t_json_extract", "json_extract_scalar": "t_json_scalar"}
    return f"{name[node.name.lower()]}({value}, {path})"


SPECIAL: Mapping[str, Write] = {
    "date_add": _date_add,
    "date_diff": _date_diff,
    "date_trunc": _date_trunc,
    **dict.fromkeys(("date_parse", "date_format", "format_datetime", "parse_datetime"), _pattern),
    "concat": _concat,
    **dict.fromkeys(("greatest", "least"), _chosen),
    "regexp_replace": _replaced,
    **dict.fromkeys(("transform", "filter"), _each),
    **dict.fromkeys(("any_match", "all_match", "none_match"), _match),
    "reduce": _reduce,
    "zip_with": _zip_with,
    **dict.fromkeys(("map_filter", "transform_keys", "transform_values"), _of_map),
    **dict.fromkeys(("json_extract", "json_extract_scalar"), _cast_path),
}
