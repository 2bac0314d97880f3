"""Athena's SQL read, and written for DuckDB: functions by the table, casts and arithmetic as Trino means them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlglot import exp
from sqlglot.dialects.duckdb import DuckDB
from sqlglot.dialects.trino import Trino

from penstock.local.athena.datepatterns import joda, mysql
from penstock.local.athena.errors import QueryError, syntax, unsupported
from penstock.local.athena.functions import AGGREGATES, SCALARS, UNITS

__all__ = ["Athena", "Engine", "place"]

WHOLE = {"TINYINT", "SMALLINT", "INT", "BIGINT"}
KEPT_PARSERS = ("CAST", "TRY_CAST", "TRIM", "EXTRACT", "POSITION", "SUBSTRING", "LISTAGG")
EXTRACTED = {
    "dow": "isodow",
    "day_of_week": "isodow",
    "day_of_month": "day",
    "day_of_year": "doy",
    "yow": "isoyear",
    "year_of_week": "isoyear",
    "week_of_year": "week",
}
JODA = ("format_datetime", "parse_datetime")


class Athena(Trino):
    """Trino's grammar with every function by its own name."""

    class Parser(Trino.Parser):
        """Knows no function: each stays as it was written, and is looked up when it is generated."""

        FUNCTIONS: Mapping[str, Callable[..., Any]] = {}
        FUNCTION_PARSERS = {
            name: parser
            for name, parser in Trino.Parser.FUNCTION_PARSERS.items()
            if name in KEPT_PARSERS
        }
        NO_PAREN_FUNCTION_PARSERS = {
            name: parser
            for name, parser in Trino.Parser.NO_PAREN_FUNCTION_PARSERS.items()
            if name == "CASE"
        }


def place(node: exp.Expression) -> tuple[int, int]:
    """Return line and column of a node, or 1 and 1."""
    found = [each.meta for each in (node, *node.find_all(exp.Identifier)) if "line" in each.meta]
    if not found:
        return 1, 1
    meta = min(found, key=lambda each: each["start"])
    return int(meta["line"]), max(1, int(meta["col"]) - (meta["end"] - meta["start"]))


class Engine(DuckDB):
    """DuckDB's grammar, and Athena's meaning."""

    class Generator(DuckDB.Generator):
        """Writes what :class:`Athena` read."""

        def anonymous_sql(self, expression: exp.Anonymous) -> str:
            """Write a function by the table."""
            around, inner = self.called(expression)
            return around.format(inner)

        def called(self, node: exp.Anonymous) -> tuple[str, str]:
            """Return what is around a call, and the call itself."""
            name = node.name.lower()
            special = SPECIAL.get(name)
            if special is not None:
                return "{}", special(self, node)
            aggregate = AGGREGATES.get(name)
            known = aggregate or SCALARS.get(name)
            if known is None:
                raise _unknown(node)
            arguments = list(node.expressions)
            distinct = ""
            if aggregate and arguments and isinstance(arguments[0], exp.Distinct):
                distinct, arguments = "DISTINCT ", list(arguments[0].expressions)
            texts = [self.sql(argument) for argument in arguments]
            if not known.least <= len(texts) <= known.most:
                line, column = place(node)
                raise syntax(
                    "FUNCTION_NOT_FOUND",
                    line,
                    column,
                    f"Unexpected parameters for function {name}: {len(texts)} given, expected "
                    f"{known.least} to {known.most}",
                )
            if distinct:
                texts[0] = distinct + texts[0]
            text = known.text.format(*texts, args=", ".join(texts))
            return (aggregate.around if aggregate else "{}"), text

        def _around(self, node: exp.Expression) -> tuple[str, str]:
            """Return what is around, for calls that have FILTER, OVER or the like behind them."""
            if isinstance(node, exp.Anonymous):
                return self.called(node)
            if isinstance(node, exp.Filter):
                around, inner = self._around(node.this)
                return around, f"{inner} FILTER ({self.sql(node.expression).strip()})"
            if isinstance(node, exp.RespectNulls):
                return self._around(node.this)
            if isinstance(node, exp.IgnoreNulls):
                around, inner = self._around(node.this)
                return around, f"{inner[:-1]} IGNORE NULLS)"
            return "{}", self.sql(node)

        def filter_sql(self, expression: exp.Filter) -> str:
            """Write an aggregate of some rows."""
            around, inner = self._around(expression)
            return around.format(inner)

        def window_sql(self, expression: exp.Window) -> str:
            """Write a function over a window."""
            this = expression.this
            if not isinstance(
                this, exp.Anonymous | exp.Filter | exp.IgnoreNulls | exp.RespectNulls
            ):
                return super().window_sql(expression)
            around, inner = self._around(this)
            bare = expression.copy()
            bare.set("this", exp.Var(this="penstock_window"))
            return around.format(super().window_sql(bare).replace("penstock_window", inner, 1))

        def div_sql(self, expression: exp.Div) -> str:
            """Write a division: of integers, of decimals, of floating numbers."""
            return f"t_div({self.sql(expression, 'this')}, {self.sql(expression, 'expression')})"

        def add_sql(self, expression: exp.Add) -> str:
            """Write a sum; a date plus days stays a date."""
            return self._shifted(expression, "+")

        def sub_sql(self, expression: exp.Sub) -> str:
            """Write a difference."""
            return self._shifted(expression, "-")

        def _shifted(self, node: exp.Binary, sign: str) -> str:
            left, right = self.sql(node, "this"), self.sql(node, "expression")
            if isinstance(node.expression, exp.Interval):
                return f"cast_to_type({left} {sign} {right}, {left})"
            if isinstance(node.this, exp.Interval):
                return f"cast_to_type({left} {sign} {right}, {right})"
            return f"{left} {sign} {right}"

        def cast_sql(self, expression: exp.Cast, safe_prefix: str | None = None) -> str:
            """Write a cast."""
            del safe_prefix
            return self._cast(expression, "CAST")

        def trycast_sql(self, expression: exp.TryCast) -> str:
            """Write a cast that gives null where it fails."""
            return self._cast(expression, "TRY_CAST")

        def _cast(self, node: exp.Cast, word: str) -> str:
            target, value = node.to, self.sql(node, "this")
            name = target.this.name if isinstance(target.this, exp.DataType.Type) else ""
            if name in ("VARCHAR", "TEXT", "CHAR"):
                length = target.expressions[0].name if target.expressions else ""
                return f"left(t_text({value}), {length})" if length else f"t_text({value})"
            if name in WHOLE:
                kind = "INTEGER" if name == "INT" else name
                return (
                    f"CASE WHEN typeof({value}) IN ('DOUBLE', 'FLOAT')"
                    f" THEN {word}(round(TRY_CAST({value} AS DOUBLE)) AS {kind})"
                    f" WHEN typeof({value}) = 'VARCHAR'"
                    f" THEN {word}(t_whole(CAST({value} AS VARCHAR)) AS {kind})"
                    f" ELSE {word}({value} AS {kind}) END"
                )
            if name == "JSON":
                return f"to_json({value})"
            if name == "TIMESTAMP" and isinstance(node.this, exp.Literal):
                zoned = not node.name.strip()[-1:].isdigit() or "+" in node.name
                return f"{word}({value} AS {'TIMESTAMPTZ' if zoned else 'TIMESTAMP'})"
            if name == "DECIMAL" and not target.expressions:
                return f"{word}({value} AS {_plain_decimal(node.this)})"
            return f"{word}({value} AS {self.sql(target)})"

        def extract_sql(self, expression: exp.Extract) -> str:
            """Write a field of a date or time."""
            field = expression.name.lower()
            return f"date_part('{EXTRACTED.get(field, field)}', {self.sql(expression.expression)})"

        def substring_sql(self, expression: exp.Substring) -> str:
            """Write a part of a string."""
            parts = [expression.args.get(name) for name in ("this", "start", "length")]
            return f"t_substr({', '.join(self.sql(part) for part in parts if part is not None)})"

        def attimezone_sql(self, expression: exp.AtTimeZone) -> str:
            """Write a change of zone: to UTC it is none."""
            zone = expression.args["zone"].name
            if zone.upper() not in ("UTC", "Z", "ETC/UTC", "GMT"):
                raise unsupported(f"time zone but UTC: AT TIME ZONE {zone!r}")
            return f"CAST({self.sql(expression, 'this')} AS TIMESTAMPTZ)"

        def currenttimestamp_sql(self, expression: exp.CurrentTimestamp) -> str:
            """Write the time at which the query began."""
            del expression
            return "now()"


def _unknown(node: exp.Anonymous) -> QueryError:
    from penstock.local.athena.refused import REFUSED

    name = node.name.lower()
    if name in REFUSED:
        return unsupported(
            f"function {name}: {REFUSED[name]}" if REFUSED[name] else f"function {name}"
        )
    line, column = place(node)
    return syntax("FUNCTION_NOT_FOUND", line, column, f"Function '{name}' not registered")


def _plain_decimal(value: exp.Expression) -> str:
    """Return the type of ``decimal '1.50'``, and of a cast that names no precision."""
    if not isinstance(value, exp.Literal):
        return "DECIMAL(38, 0)"
    whole, _, part = value.name.lstrip("+-").partition(".")
    return f"DECIMAL({max(1, len(whole) + len(part))}, {len(part)})"


Write = Callable[[Any, exp.Anonymous], str]


def _wrong(node: exp.Anonymous) -> QueryError:
    line, column = place(node)
    name = node.name.lower()
    return syntax("FUNCTION_NOT_FOUND", line, column, f"Unexpected parameters for function {name}")


def _texts(writer: Any, node: exp.Anonymous, least: int, most: int) -> list[str]:
    if not least <= len(node.expressions) <= most:
        raise _wrong(node)
    return [writer.sql(each) for each in node.expressions]


def _literal(node: exp.Expression, what: str) -> str:
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


def _lambda(node: exp.Anonymous, at: int, count: int) -> tuple[list[str], exp.Expression]:
    """Return the names and the body of a lambda."""
    found = node.expressions[at] if at < len(node.expressions) else None
    if not isinstance(found, exp.Lambda) or len(found.expressions) != count:
        raise _wrong(node)
    return [each.name for each in found.expressions], found.this


def _bound(body: exp.Expression, values: Mapping[str, str], writer: Any) -> str:
    """Return a lambda's body with DuckDB's texts for its names."""

    def put(node: exp.Expression) -> exp.Expression:
        named = isinstance(node, exp.Column | exp.Identifier) and node.name in values
        if named and (isinstance(node, exp.Identifier) or not node.table):
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
    import re

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
