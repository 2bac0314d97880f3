"""What a query is to the code that runs it: its parts, its translation, and what it leaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlglot import exp

from penstock.local.athena.catalog import Catalog
from penstock.local.athena.engine import Engine, opened
from penstock.local.athena.errors import QueryError
from penstock.local.athena.meter import Meter
from penstock.local.athena.query import Translator, parsed
from penstock.local.athena.statements import Statement

__all__ = ["Outcome", "Ready", "Task", "in_engine", "known_database"]


@dataclass(kw_only=True, slots=True)
class Task:
    """What a query needs to run.

    Attributes:
        id: Of the execution.
        statement: Parsed.
        catalog: Of its region.
        database: Of its session.
        output: Folder of results, with a slash at its end.
        parameters: For the question marks, as SQL.
        meter: Counts what it reads.
        folder: For what does not fit into memory; it goes with the query.
        may_place: Whether CTAS may name its external_location.
        started: Told of the engine, so that others can interrupt it.
    """

    id: str
    statement: Statement
    catalog: Catalog
    database: str
    output: str
    parameters: Sequence[str]
    meter: Meter
    folder: Path
    may_place: bool = True
    started: Any = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What a query left.

    Attributes:
        location: Of its result.
        columns: ColumnInfo.
        has_rows: Whether the result is rows under a header.
        manifest: List of the files that it made; empty for none.
        updated: Rows that it wrote.
    """

    location: str
    columns: Sequence[Mapping[str, Any]] = field(default_factory=tuple)
    has_rows: bool = False
    manifest: str = ""
    updated: int = 0


def _tree(task: Task) -> exp.Expr:
    """Return the statement's query with its parameters in place."""
    tree = parsed(task.statement.query)
    marks = list(tree.find_all(exp.Placeholder))
    marks.sort(key=lambda mark: mark.meta.get("start", 0))
    if len(marks) != len(task.parameters):
        raise QueryError(
            "INVALID_PARAMETER_USAGE: line 1:1: Incorrect number of parameters: expected "
            f"{len(marks)} but found {len(task.parameters)}",
            kind=1006,
        )
    for mark, text in zip(_in_order(tree, marks), task.parameters, strict=True):
        value = parsed(f"SELECT {text}").expressions[0]
        mark.replace(exp.Paren(this=value))
    return tree


def _in_order(tree: exp.Expr, marks: list[Any]) -> list[Any]:
    """Return question marks as they stand in the text: depth first is that order."""
    del marks
    return [node for node in tree.dfs() if isinstance(node, exp.Placeholder)]


class Ready:
    """A translated query in an engine."""

    def __init__(self, task: Task, engine: Engine) -> None:
        """Translate a query, and make what it reads known to the engine."""
        translator = Translator(catalog=task.catalog, meter=task.meter, database=task.database)
        self.engine = engine
        query = translator.query(_tree(task))
        self.sql = query.sql
        with engine.failing(task.statement.sql):
            engine.load(query)
            self.outputs = engine.outputs(self.sql)


def in_engine(task: Task) -> Any:
    """Return a context with an engine for a query."""
    return opened(task.folder, task.meter)


def known_database(task: Task, name: str) -> None:
    """Raise when there is no such database.

    Raises:
        QueryError: There is none.
    """
    if task.catalog.database(name) is None:
        raise QueryError(f"SCHEMA_NOT_FOUND: line 1:1: Schema '{name}' does not exist", kind=1006)
