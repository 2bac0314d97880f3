"""DuckDB for one query: a database of its own in memory, bounded, cut off from files and network."""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from penstock.local.athena.errors import OTHER, QueryError, syntax, unsupported
from penstock.local.athena.functions import MACROS
from penstock.local.athena.meter import Meter
from penstock.local.athena.query import UNNAMED, Query, Reference
from penstock.local.athena.scan import key_values
from penstock.local.athena.types import ColumnType, from_duckdb

__all__ = ["BATCH_ROWS", "Engine", "Output", "opened"]

MEMORY = "1GB"
DISK = "20GB"
THREADS = 2
BATCH_ROWS = 1 << 16
INTERRUPT_S = 0.02


@dataclass(frozen=True, kw_only=True, slots=True)
class Output:
    """A column of a result: its name in the answer, what SQL calls it, its type."""

    name: str
    value: str
    type: ColumnType


class Engine:
    """A connection with Athena's macros; used by one thread, interrupted by any."""

    def __init__(self, folder: Path, meter: Meter) -> None:
        """Open a database; what does not fit into memory goes to ``folder``."""
        self.meter = meter
        self._scans: list[Reference] = []
        self._closed, self._closing = threading.Event(), threading.Lock()
        self._connection = duckdb.connect(
            ":memory:",
            config={
                "memory_limit": MEMORY,
                "max_temp_directory_size": DISK,
                "temp_directory": str(folder),
                "threads": THREADS,
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
                "python_enable_replacements": False,
            },
        )
        self._connection.execute("SET TimeZone = 'UTC'")
        for macro in MACROS:
            self._connection.execute(f"CREATE MACRO {macro}")
        self._connection.execute("SET enable_external_access = false")
        self._connection.execute("SET lock_configuration = true")

    def interrupt(self) -> None:
        """End what runs and what is about to: it raises in its own thread. Returns at once."""
        self.meter.end()
        threading.Thread(target=self._interrupting, daemon=True).start()

    def _interrupting(self) -> None:
        """Interrupt until it is closed: DuckDB forgets one that comes before a statement begins."""
        while not self._closed.wait(INTERRUPT_S):
            with self._closing:
                if not self._closed.is_set():
                    self._connection.interrupt()

    def close(self) -> None:
        """Close the database."""
        self._closed.set()
        with self._closing:
            self._connection.close()

    @contextmanager
    def failing(self, original: str) -> Iterator[None]:
        """Word what DuckDB raises as Athena does; ``original`` is the user's SQL, for places.

        Raises:
            QueryError: Whatever went wrong.
        """
        try:
            yield
        except duckdb.Error as error:
            raise self._worded(error, original) from error
        except (OSError, pa.ArrowInvalid) as error:
            raise self._worded(error, original) from error

    def _worded(self, error: Exception, original: str) -> QueryError:
        if self.meter.failure is not None:
            return self.meter.failure
        for each in self._scans:
            if each.scan.failure is not None:
                return each.scan.failure
        return worded(error, original)

    def load(self, query: Query) -> None:
        """Make what a query reads: datasets, views, and which partitions its conditions allow."""
        for each in query.scans:
            self._scans.append(each)
            self._connection.register(f"{each.name}_files", each.scan)
            self._connection.execute(each.view)
            if each.conditions:
                self._prune(each)
        for _, statement in query.views:
            self._connection.execute(statement)

    def _prune(self, each: Reference) -> None:
        """Let only those partitions be read for which the conditions on the keys hold."""
        table, partitions = each.scan.table, each.scan.partitions()
        rows = key_values(table, partitions)
        columns = {
            key.name: pa.array([row[key.name] for row in rows], key.type.arrow())
            for key in table.keys
        }
        columns["$at"] = pa.array(range(len(rows)), pa.int64())
        name = f"{each.name}_keys"
        self._connection.register(name, pa.table(columns))
        where = " AND ".join(f"({condition})" for condition in each.conditions)
        alias = each.alias.replace('"', '""')
        sql = f'SELECT "$at" FROM {name} AS "{alias}" WHERE {where}'  # noqa: S608  SQL is what this makes
        found = self._connection.execute(sql)
        each.scan.allowed = frozenset(partitions[at].values for (at,) in found.fetchall())

    def outputs(self, sql: str) -> list[Output]:
        """Return the columns of a SELECT, without running it."""
        relation = self._connection.sql(sql)
        names = [
            f"_col{at}" if name.startswith(UNNAMED) else name
            for at, name in enumerate(relation.columns)
        ]
        return [
            Output(name=name, value=f"c{at}", type=from_duckdb(kind))
            for at, (name, kind) in enumerate(zip(names, relation.types, strict=True))
        ]

    def stream(self, sql: str) -> Iterator[pa.RecordBatch]:
        """Run a SELECT and yield its batches as they come."""
        reader = self._connection.sql(sql).to_arrow_reader(BATCH_ROWS)
        while True:
            self.meter.check()
            try:
                batch = reader.read_next_batch()
            except StopIteration:
                return
            yield batch


@contextmanager
def opened(folder: Path, meter: Meter) -> Iterator[Engine]:
    """Give an engine whose files lie in ``folder``, which goes with it."""
    folder.mkdir(parents=True, exist_ok=True)
    engine = Engine(folder, meter)
    try:
        yield engine
    finally:
        engine.close()
        shutil.rmtree(folder, ignore_errors=True)


def wrapped(sql: str, outputs: list[Output], values: str) -> str:
    """Return a SELECT of ``values`` over another, whose columns are ``c0``, ``c1``, ..."""
    names = ", ".join(each.value for each in outputs)
    return f"SELECT {values} FROM ({sql}) AS penstock_result({names})"  # noqa: S608  SQL is what this makes


# Ours come as the text of a cast that cannot succeed, between two signs: see textsql.raised.
OURS = re.compile("\x1e(.*?)\x1e", re.DOTALL)
CODES = re.compile(r"\b([A-Z]+(?:_[A-Z]+)+: .*)", re.DOTALL)


def worded(error: Exception, original: str) -> QueryError:
    """Return an error of DuckDB in Athena's words, with the place of a name in the user's SQL."""
    text = str(error).partition("\n\nLINE ")[0]
    own = OURS.search(text) or CODES.search(text)
    if own:
        return QueryError(own[1].strip().strip("'"), kind=1100)
    missing = re.search(
        r'(?:Referenced column|Column) "?([^"\s]+)"? (?:was )?not found', text
    ) or re.search(r'does not have a column named "([^"]+)"', text)
    if missing:
        line, column = found_at(original, missing[1])
        return syntax(
            "COLUMN_NOT_FOUND",
            line,
            column,
            f"Column '{missing[1]}' cannot be resolved or requester is not authorized to access "
            "requested resources",
        )
    return _of_kind(error, text, original)


def _of_kind(error: Exception, text: str, original: str) -> QueryError:
    plain = text.partition(": ")[2] or text
    if isinstance(error, duckdb.OutOfMemoryException):
        return QueryError(
            "EXCEEDED_LOCAL_MEMORY_LIMIT: Query exceeded the memory of the local plane, "
            f"{MEMORY}, and {DISK} on disk",
            category=OTHER,
            kind=1400,
        )
    if "Division by zero" in text:
        return QueryError("DIVISION_BY_ZERO: Division by zero", kind=1100)
    if isinstance(error, duckdb.ConversionException | duckdb.OutOfRangeException):
        cast = re.search(r"Could not convert string '!?(.*)' to (\w+)", text, re.DOTALL)
        if cast:
            kind = {"INT32": "INTEGER", "INT64": "BIGINT", "INT16": "SMALLINT", "INT8": "TINYINT"}
            return QueryError(
                f"INVALID_CAST_ARGUMENT: Cannot cast '{cast[1]}' to {kind.get(cast[2], cast[2])}",
                kind=1100,
            )
        code = "NUMERIC_VALUE_OUT_OF_RANGE" if "out of range" in text else "INVALID_CAST_ARGUMENT"
        return QueryError(f"{code}: {plain}", kind=1100)
    if isinstance(error, duckdb.BinderException | duckdb.CatalogException):
        code = "TYPE_MISMATCH" if "argument types" in text else "SYNTAX_ERROR"
        column = re.search(r'column "([^"]+)" must appear in the GROUP BY', text)
        if column:
            line, at = found_at(original, column[1])
            return syntax(
                "EXPRESSION_NOT_AGGREGATE",
                line,
                at,
                f"'{column[1]}' must be an aggregate expression or appear in GROUP BY clause",
            )
        return QueryError(f"{code}: line 1:1: {plain}", kind=1006)
    if isinstance(error, duckdb.ParserException):
        return unsupported(f"such SQL: {plain}")
    return QueryError(f"GENERIC_USER_ERROR: {plain}")


def found_at(original: str, name: str) -> tuple[int, int]:
    """Return line and column of the first place where a name stands alone; 1 and 1 for none."""
    last = re.escape(name.rpartition(".")[2])
    found = re.search(
        rf'(?<![\w.]){re.escape(name)}\b|"{last}"|(?<!\w){last}\b', original, re.IGNORECASE
    )
    if found is None:
        return 1, 1
    before = original[: found.start()]
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
