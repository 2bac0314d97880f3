"""A SELECT of Athena as one of DuckDB: tables and views of the catalog in place of their names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, TokenError

from penstock.local.athena.catalog import NAME, Catalog, Table
from penstock.local.athena.dialect import Athena, Engine
from penstock.local.athena.errors import QueryError, syntax, unsupported
from penstock.local.athena.meter import Meter
from penstock.local.athena.scan import PATH, Scan
from penstock.local.athena.specials import place
from penstock.local.athena.textsql import view_sql
from penstock.local.athena.types import quoted

__all__ = ["Query", "Reference", "Translator", "parsed"]

UNNAMED = "penstock_unnamed_"
VIEWS_DEEP = 20
CATALOGS = {NAME, "hive", ""}
VOLATILE = {"rand", "random", "uuid", "shuffle"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """A table in a query: what DuckDB calls it, its files, and conditions on its keys alone.

    Attributes:
        name: Of the view that a query reads; the dataset is ``<name>_files``.
        scan: Its files.
        view: SQL of that view.
        alias: What the conditions call the table.
        conditions: In DuckDB's SQL, which all must hold.
    """

    name: str
    scan: Scan
    view: str
    alias: str
    conditions: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Query:
    """A translated SELECT.

    Attributes:
        sql: For DuckDB.
        scans: Tables that it reads.
        views: Statements that make views of views, in order.
    """

    sql: str
    scans: tuple[Reference, ...]
    views: tuple[tuple[str, str], ...]


def parsed(sql: str) -> exp.Expr:
    """Return the tree of one statement in Athena's SQL.

    Raises:
        QueryError: It cannot be parsed, or is more than one statement.
    """
    try:
        found = [each for each in sqlglot.parse(sql, read=Athena) if each is not None]
    except ParseError as error:
        detail = error.errors[0] if error.errors else {}
        line, column = detail.get("line") or 1, detail.get("col") or 1
        token = detail.get("highlight") or ""
        if "SENTINEL" in str(detail.get("description")):
            text = sql.rstrip()
            end = len(text) - text.rfind("\n")
            raise mismatched(text.count("\n") + 1, end, "<EOF>") from None
        raise mismatched(line, max(1, column - len(token) + 1), token) from None
    except TokenError as error:
        raise syntax("SYNTAX_ERROR", 1, 1, str(error).partition(":")[0]) from None
    if not found:
        raise mismatched(1, 1, "<EOF>")
    if len(found) > 1:
        raise QueryError("SYNTAX_ERROR: Only one sql statement is allowed. Got: " + sql)
    if not isinstance(found[0], exp.Query | exp.Values):
        text = sql.lstrip()
        line, column = sql[: len(sql) - len(text)].count("\n") + 1, 1 + len(sql) - len(text)
        column -= sql[: len(sql) - len(text)].rfind("\n") + 1
        raise mismatched(line, column, text.split()[0])
    return found[0]


def mismatched(line: int, column: int, token: str) -> QueryError:
    """Return Athena's error about a word that does not belong where it stands."""
    return QueryError(f"line {line}:{column}: mismatched input '{token}'", kind=1006)


@dataclass(kw_only=True, slots=True)
class Translator:
    """Translates the SELECTs of one statement; collects what they read."""

    catalog: Catalog
    meter: Meter
    database: str
    scans: list[Reference] = field(default_factory=list)
    views: list[tuple[str, str]] = field(default_factory=list)
    named: dict[str, Table] = field(default_factory=dict)

    def query(self, tree: exp.Expr) -> Query:
        """Translate a SELECT, a UNION or VALUES; the tree is changed.

        Raises:
            QueryError: It names what is not there, or needs what the local plane has not.
        """
        _unaliased(tree)
        text = self._translated(tree, self.database, 0)
        return Query(sql=text, scans=tuple(self.scans), views=tuple(self.views))

    def _translated(self, tree: exp.Expr, database: str, deep: int) -> str:
        _refuse(tree)
        for unnest in list(tree.find_all(exp.Unnest)):
            _lateral(unnest)
        for node in list(tree.find_all(exp.Table)):
            if isinstance(node.this, exp.Identifier) and not (not node.db and _is_cte(node)):
                self._replace(node, tree, database, deep)
        return tree.sql(dialect=Engine)

    def _replace(self, node: exp.Table, tree: exp.Expr, database: str, deep: int) -> None:
        line, column = place(node)
        schema, name = (node.db or database).lower(), node.name.lower()
        if node.catalog.lower() not in CATALOGS:
            raise syntax("CATALOG_NOT_FOUND", line, column, f"Catalog '{node.catalog}' not found")
        if not schema:
            raise syntax(
                "MISSING_SCHEMA_NAME",
                line,
                column,
                "Schema must be specified when session schema is not set",
            )
        if schema == "information_schema":
            raise unsupported("information_schema: say SHOW, or ask Glue")
        table = self.catalog.table(schema, name)
        if table is None:
            if self.catalog.database(schema) is None:
                raise syntax("SCHEMA_NOT_FOUND", line, column, f"Schema '{schema}' does not exist")
            raise syntax(
                "TABLE_NOT_FOUND", line, column, f"Table '{NAME}.{schema}.{name}' does not exist"
            )
        made = f"athena_{len(self.named)}"
        self.named[made] = table
        alias = node.alias or node.name
        _shorten(tree, schema, name)
        self._make(made, table, node, alias, deep)
        node.set("this", exp.to_identifier(made))
        node.set("db", None)
        node.set("catalog", None)
        if not node.args.get("alias"):
            node.set("alias", exp.TableAlias(this=exp.to_identifier(alias, quoted=True)))

    def _make(self, made: str, table: Table, node: exp.Table, alias: str, deep: int) -> None:
        if table.is_view:
            if deep >= VIEWS_DEEP:
                raise QueryError(f"VIEW_IS_RECURSIVE: View '{table.database}.{table.name}'")
            inner = parsed(table.view_sql())
            _unaliased(inner)
            text = self._translated(inner, table.database, deep + 1)
            names = ", ".join(quoted(column.name) for column in table.columns)
            self.views.append((made, f"CREATE VIEW {made}({names}) AS {text}"))
            return
        scan = Scan(table, self.catalog, self.meter)
        with_path = any(each.name == PATH for each in node.root().find_all(exp.Identifier))
        if with_path and any(True for _ in node.root().find_all(exp.Star)):
            raise unsupported('"$path" and * in one query')
        select = view_sql(table, scan.format, f"{made}_files", path=with_path)
        conditions = tuple(_conditions(node, table, alias))
        self.scans.append(
            Reference(
                name=made,
                scan=scan,
                view=f"CREATE VIEW {made} AS {select}",
                alias=alias,
                conditions=conditions,
            )
        )


def _unaliased(tree: exp.Expr) -> None:
    """Give names of ours to the columns of a result that have none: they become ``_col0``."""
    select = tree
    while isinstance(select, exp.SetOperation | exp.Subquery):
        select = select.this
    if not isinstance(select, exp.Select):
        return
    made: list[exp.Expr] = []
    for at, each in enumerate(select.expressions):
        bare = each.unnest() if isinstance(each, exp.Paren) else each
        named = isinstance(bare, exp.Alias | exp.Column | exp.Star | exp.Dot) or bare.is_star
        if isinstance(each, exp.Paren) and isinstance(bare, exp.Column):
            made.append(exp.alias_(each, bare.name, quoted=True))
        else:
            made.append(each if named else exp.alias_(each, f"{UNNAMED}{at}", quoted=True))
    select.set("expressions", made)


def _refuse(tree: exp.Expr) -> None:
    if version := tree.find(exp.Version):
        raise unsupported(f"time travel: {version.sql()}")
    if tree.find(exp.MatchRecognize):
        raise unsupported("MATCH_RECOGNIZE")
    if mark := tree.find(exp.Placeholder, exp.Parameter):
        line, column = place(mark)
        raise syntax(
            "INVALID_PARAMETER_USAGE", line, column, "Incorrect number of parameters: expected 1"
        )


def _is_cte(node: exp.Table) -> bool:
    """Return whether a name is one that a WITH around it makes."""
    inside: exp.Expr = node
    above = node.parent
    name = node.name.lower()
    while above is not None:
        found = above.args.get("with_")
        if isinstance(found, exp.With) and inside is not found:
            if any(each.alias.lower() == name for each in found.expressions):
                return True
        elif isinstance(above, exp.With):
            for each in above.expressions:
                if each is inside and not above.args.get("recursive"):
                    break
                if each.alias.lower() == name:
                    return True
        inside, above = above, above.parent
    return False


def _shorten(tree: exp.Expr, schema: str, name: str) -> None:
    """Write ``db.t.c`` as ``t.c``: the table has another place in DuckDB."""
    for column in tree.find_all(exp.Column):
        if column.db.lower() == schema and column.table.lower() == name:
            column.set("db", None)
            column.set("catalog", None)


def _lateral(node: exp.Unnest) -> None:
    """Write UNNEST of several arrays as a SELECT that zips them."""
    alias = node.args.get("alias")
    names = [each.name for each in alias.args.get("columns") or []] if alias else []
    offset = node.args.get("offset")
    if isinstance(offset, exp.Identifier):
        names.append(offset.name)
    values = list(node.expressions)
    counted = bool(offset)
    given = len(names) - counted if names else len(values)
    if names and given not in (len(values), 2 * len(values)):
        raise unsupported("UNNEST of rows into columns: unnest the array, then take the fields")
    names = names or [f"_col{at}" for at in range(len(values) + counted)]
    parts: list[str] = []
    texts = [each.sql(dialect=Engine) for each in values]
    if given == 2 * len(values) and given != len(values):
        for at, text in enumerate(texts):
            parts.append(f"unnest(map_keys({text})) AS {quoted(names[2 * at])}")
            parts.append(f"unnest(map_values({text})) AS {quoted(names[2 * at + 1])}")
    else:
        parts += [
            f"unnest({text}) AS {quoted(name)}" for text, name in zip(texts, names, strict=False)
        ]
    if counted:
        longest = ", ".join(f"coalesce(cardinality({text}), 0)" for text in texts)
        parts.append(
            f"unnest(range(1, CAST(greatest({longest}, 0) + 1 AS BIGINT))) AS {quoted(names[-1])}"
        )
    outer = quoted(alias.name) if alias and alias.name else "penstock_unnest"
    text = f"LATERAL (SELECT {', '.join(parts)}) AS {outer}"
    node.replace(exp.Var(this=text))


def _conditions(node: exp.Table, table: Table, alias: str) -> Iterator[str]:
    """Yield the conditions of WHERE that are about the keys of one table and nothing else."""
    keys = {key.name for key in table.keys}
    select = node.find_ancestor(exp.Select)
    where = select.args.get("where") if select is not None else None
    if not keys or select is None or where is None or not _kept(node, select):
        return
    root = where.this
    parts = list(root.flatten()) if isinstance(root, exp.And) else [root]
    for part in parts:
        columns = list(part.find_all(exp.Column))
        if (
            columns
            and all(_is_key(column, keys, alias) for column in columns)
            and not any(True for _ in part.find_all(exp.Query, exp.Window, exp.Star))
            and not any(each.name.lower() in VOLATILE for each in part.find_all(exp.Anonymous))
        ):
            yield part.sql(dialect=Engine)


def _is_key(column: exp.Column, keys: set[str], alias: str) -> bool:
    return column.name.lower() in keys and column.table.lower() in ("", alias.lower())


def _kept(node: exp.Table, select: exp.Select) -> bool:
    """Return whether each row that a table's side of the joins gives is one of its own."""
    joins: list[Any] = select.args.get("joins") or []
    if any(join.side in ("RIGHT", "FULL") for join in joins):
        return False
    parent = node.parent
    if isinstance(parent, exp.Join):
        return parent.side == "" and parent in joins
    return isinstance(parent, exp.From) and parent.parent is select
