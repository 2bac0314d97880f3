"""One query from its text to its files."""

from __future__ import annotations

from penstock.errors import InputError, PenstockError
from penstock.local.athena import ddl, results, writes
from penstock.local.athena.errors import QueryError
from penstock.local.athena.task import Outcome, Ready, Task, in_engine, known_database
from penstock.local.athena.writer import columns_of

__all__ = ["run"]


def run(task: Task) -> Outcome:
    """Run a query and write its result.

    Raises:
        QueryError: It cannot be run, or failed.
    """
    try:
        return RUNNERS[task.statement.kind](task)
    except PenstockError as error:  # S3: a bucket that is not there, say
        text = str(error).partition("\n")[0]
        raise QueryError(f"GENERIC_USER_ERROR: {text}") from error


def _ddl(task: Task) -> Outcome:
    found = ddl.run(task.statement.sql, task.catalog, task.database)
    location = f"{task.output}{task.id}.txt"
    results.write_text(location, found.lines, found.columns())
    return Outcome(location=location, columns=found.columns())


def _select(task: Task) -> Outcome:
    location = f"{task.output}{task.id}.csv"
    with in_engine(task) as engine:
        task.started(engine)
        ready = Ready(task, engine)
        with engine.failing(task.statement.sql):
            results.write_csv(engine, ready.sql, ready.outputs, location)
    columns = [each.type.info(each.name) for each in ready.outputs]
    return Outcome(location=location, columns=columns, has_rows=True)


def _view(task: Task) -> Outcome:
    with in_engine(task) as engine:
        task.started(engine)
        fields = columns_of(Ready(task, engine).outputs)
    statement = task.statement
    known_database(task, statement.database)
    ddl.create_view(
        task.catalog,
        (statement.database, statement.table),
        statement.query.strip().removesuffix(";"),
        fields,
        session=task.database,
        replace="replace" in statement.flags,
    )
    location = f"{task.output}{task.id}.txt"
    results.write_text(location, (), ())
    return Outcome(location=location)


def _refused(task: Task) -> Outcome:
    raise InputError(f"{task.statement.kind} is no statement that runs by itself")


RUNNERS = {
    "select": _select,
    "ctas": writes.ctas,
    "insert": writes.insert,
    "unload": writes.unload,
    "view": _view,
    "ddl": _ddl,
    "prepare": _refused,
    "execute": _refused,
}
