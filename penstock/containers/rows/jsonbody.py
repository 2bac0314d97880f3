"""JSON and JSON Lines -> columns of Python values, without Python code for a row.

    {"instances": [ROW, ...]}    [ROW, ...]    ROW    {"columns": [NAME, ...], "data": [[CELL, ...], ...]}

A ROW is an object, or a list of cells in the order of the columns, or {"features": [CELL, ...]}.
Further keys of an object are not looked at; of a key that is given twice, the last one counts.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Iterator, Sequence
from itertools import repeat
from typing import Any, NoReturn

from penstock.containers.rows.faults import shown
from penstock.encode import Where
from penstock.errors import DataError, InputError, MissingColumnsError, listed, nearest

__all__ = ["json_columns", "json_rows", "line_blocks", "parsed_lines"]

BLOCK_BYTES = 1 << 20
Rows = list[Any]


def json_rows(body: bytes, where: Where) -> tuple[Rows, Sequence[str] | None]:
    """Return the rows of a JSON body, and the names of their cells if the body says them.

    Raises:
        DataError: The body is not JSON.
        InputError: It is JSON of another form.
    """
    found = _parsed(_text(body, where), where)
    if isinstance(found, dict):
        if "instances" in found:
            found = found["instances"]
        elif {"columns", "data"} <= found.keys():
            names, data = found["columns"], found["data"]
            _check_split(names, data, where)
            return data, names
        else:
            found = [found]
    if isinstance(found, list):
        return found, None
    raise InputError(
        f"table {where.table!r}: the body is {shown(found)}, expected rows\n"
        '  send {"instances": [...]}, a list of objects, or one object'
    )


def _check_split(names: Any, data: Any, where: Where) -> None:
    named = isinstance(names, list) and all(isinstance(name, str) for name in names)
    if not (named and isinstance(data, list) and set(map(type, data)) <= {list}):
        raise InputError(
            f"table {where.table!r}: 'columns' and 'data' are {shown(names)} and {shown(data)}, "
            'expected a list of names and a list of lists\n  send {"columns": ["a"], "data": [[1]]}'
        )
    if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise InputError(
            f"table {where.table!r}: 'columns' names {listed(twice)} more than once, expected each once"
        )


def line_blocks(body: bytes, where: Where) -> Iterator[list[str]]:
    """Yield the lines of a JSON Lines body, about a megabyte at a time.

    In blocks, no parse keeps other threads waiting for long, and the values of all rows are never in
    memory at once.

    Raises:
        DataError: It is not UTF-8.
    """
    start = 0
    while start < len(body):
        end = body.find(b"\n", min(start + BLOCK_BYTES, len(body)))
        end = len(body) if end < 0 else end + 1
        # Not splitlines: a text may hold other line ends as they are.
        lines = _text(body[start:end], where).split("\n")
        yield lines if lines[-1].strip() else lines[:-1]
        start = end


def parsed_lines(lines: list[str], where: Where) -> Rows:
    """Return the value of each line.

    Raises:
        DataError: A line is empty, or not one JSON value; names the first one.
    """
    if all(map(str.strip, lines)):
        try:
            found: Rows = _loads(f"[{','.join(lines)}]")
        except (ValueError, RecursionError):
            found = []
        if len(found) == len(lines):
            return found
    return [_line(line, at, where) for at, line in enumerate(lines)]  # until the wrong one


def _line(line: str, at: int, where: Where) -> Any:
    head = f"table {where.table!r}, row {where.first_row + at:,}"
    if not line.strip():
        raise DataError(f"{head}: the line is empty, expected a JSON object\n  leave it out")
    try:
        return _loads(line)
    except (ValueError, RecursionError) as error:
        raise _no_json(head, error) from None


def json_columns(
    rows: Rows,
    wanted: Sequence[str],
    order: Sequence[str],
    where: Where,
    *,
    absent_is_null: bool = False,
) -> list[Sequence[Any]]:
    """Return the cells of the wanted columns, each (n,).

    Args:
        rows: Objects, or lists of cells.
        wanted: Names of the columns.
        order: Names of the cells of a list.
        where: What errors call the rows.
        absent_is_null: Whether an object may lack a key, whose cell is then missing.

    Raises:
        InputError: Rows are neither, or objects and lists are mixed.
        MissingColumnsError: No object has a column, or the lists do not.
        DataError: An object lacks a key, or a list has another number of cells.
    """
    if not rows:
        return [[] for _ in wanted]
    kinds = set(map(type, rows))
    if kinds == {dict}:
        if "features" not in wanted and all(map(_features_alone, rows[:1])):
            inner = _cells_of(rows, ("features",), where)[0]
            return json_columns(list(inner), wanted, order, where)
        if absent_is_null:
            return [list(map(dict.get, rows, repeat(name))) for name in wanted]
        return _cells_of(rows, wanted, where)
    if kinds == {list}:
        return _cells_in(rows, wanted, order, where)
    first = dict if isinstance(rows[0], dict) else list
    at = next(at for at, row in enumerate(rows) if type(row) is not first)
    words = "an object" if first is dict else "a list of cells"
    expected = words if at else "an object or a list of cells"
    raise InputError(
        f"table {where.table!r}, row {where.first_row + at:,}: it is {shown(rows[at])}, expected "
        f"{expected}\n  send all rows as objects, or all as lists"
    )


def _features_alone(row: dict[str, Any]) -> bool:
    return isinstance(row.get("features"), list)


def _cells_of(rows: Rows, wanted: Sequence[str], where: Where) -> list[Sequence[Any]]:
    try:
        return [list(map(operator.itemgetter(name), rows)) for name in wanted]
    except KeyError as error:
        name = error.args[0]
    at = next(at for at, row in enumerate(rows) if name not in row)
    keys = tuple(rows[at])
    if len(rows) == 1:
        raise MissingColumnsError(where.table, tuple(n for n in wanted if n not in keys), keys)
    close = nearest(name, keys)
    hint = f"; did you mean {close!r}?" if close else ""
    raise DataError(
        f"table {where.table!r}, column {name!r}: row {where.first_row + at:,} has no such key, "
        f"expected it in each object, as null where it is missing{hint}\n"
        "  send null, or say absent=null in Content-Type if absent keys mean that"
    )


def _cells_in(
    rows: Rows, wanted: Sequence[str], order: Sequence[str], where: Where
) -> list[Sequence[Any]]:
    if missing := tuple(name for name in wanted if name not in order):
        raise MissingColumnsError(where.table, missing, tuple(order))
    if set(map(len, rows)) != {len(order)}:
        at = next(at for at, row in enumerate(rows) if len(row) != len(order))
        raise DataError(
            f"table {where.table!r}, row {where.first_row + at:,}: it has {len(rows[at]):,} "
            f"{'cell' if len(rows[at]) == 1 else 'cells'}, expected {len(order):,}: {listed(order)}\n"
            "  send a cell for each, null where it is missing"
        )
    return [list(map(operator.itemgetter(order.index(name)), rows)) for name in wanted]


def _text(body: bytes, where: Where) -> str:
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"table {where.table!r}: byte {error.start:,} is {body[error.start]:#04x}, expected UTF-8\n"
            "  encode the text again"
        ) from None


def _parsed(text: str, where: Where) -> Any:
    try:
        return _loads(text)
    except (ValueError, RecursionError) as error:
        raise _no_json(f"table {where.table!r}", error) from None


def _loads(text: str) -> Any:
    return json.loads(text, parse_constant=_refuse_constant)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number; send null where a number is missing")


def _no_json(head: str, error: Exception) -> DataError:
    if isinstance(error, RecursionError):
        text = "it is nested too deeply"
    elif isinstance(error, json.JSONDecodeError):
        text = f"{error.msg} at line {error.lineno}, column {error.colno}"
    else:
        text = str(error)
    return DataError(f"{head}: no JSON: {text}\n  mend the text")
