"""Athena's SQL read, and written for DuckDB: functions by the table, casts and arithmetic as Trino means them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from sqlglot import exp
from sqlglot.dialects.duckdb import DuckDB
from sqlglot.dialects.trino import Trino
from sqlglot.generators.duckdb import DuckDBGenerator
from sqlglot.parsers.trino import TrinoParser

from penstock.local.athena.errors import QueryError, syntax, unsupported
from penstock.local.athena.functions import AGGREGATES, SCALARS
from penstock.local.athena.refused import REFUSED
from penstock.local.athena.specials import SPECIAL, place

__all__ = ["Athena", "Engine"]

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


class Athena(Trino):
    """Trino's grammar with every function by its own name."""

    class Parser(TrinoParser):
        """Knows no function: each stays as it was written, and is looked up when it is generated."""

        FUNCTIONS: ClassVar[dict[str, Callable[..., Any]]] = {}
        FUNCTION_PARSERS: ClassVar[dict[str, Callable[..., Any]]] = {
            name: parser
            for name, parser in TrinoParser.FUNCTION_PARSERS.items()
            if name in KEPT_PARSERS
        }
        NO_PAREN_FUNCTION_PARSERS: ClassVar[dict[str, Callable[..., Any]]] = {
            name: parser
            for name, parser in TrinoParser.NO_PAREN_FUNCTION_PARSERS.items()
            if name == "CASE"
        }


class Engine(DuckDB):
    """DuckDB's grammar, and Athena's meaning."""

    class Generator(DuckDBGenerator):
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

        def _around(self, node: exp.Expr) -> tuple[str, str]:
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
    name = node.name.lower()
    if name in REFUSED:
        return unsupported(
            f"function {name}: {REFUSED[name]}" if REFUSED[name] else f"function {name}"
        )
    line, column = place(node)
    return syntax("FUNCTION_NOT_FOUND", line, column, f"Function '{name}' not registered")


def _plain_decimal(value: exp.Expr) -> str:
    """Return the type of ``decimal '1.50'``, and of a cast that names no precision."""
    if not isinstance(value, exp.Literal):
        return "DECIMAL(38, 0)"
    whole, _, part = value.name.lstrip("+-").partition(".")
    return f"DECIMAL({max(1, len(whole) + len(part))}, {len(part)})"
