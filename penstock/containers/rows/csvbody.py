"""CSV -> columns of texts: commas, RFC 4180 quotes, cells of several lines.

What pyarrow would read in some way or other is refused here: an empty line where a row has several
cells, and text after a closing quote or a quote within a cell that has none around it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from penstock.encode import Where
from penstock.errors import DataError, InputError, MissingColumnsError, listed

__all__ = ["csv_columns"]

QUOTE, COMMA, RETURN, NEWLINE = b'",\r\n'
BOM = b"\xef\xbb\xbf"
SHOWN_CHARACTERS = 60


def csv_columns(
    body: bytes,
    wanted: Sequence[str],
    where: Where,
    *,
    names: Sequence[str] | None,
    skipped: int = 0,
) -> list[Any]:
    """Return the wanted columns of a CSV as Arrow large_string arrays (n,), null for empty cells.

    A quoted empty cell is the empty text.

    Args:
        body: UTF-8.
        wanted: Their names.
        where: What errors call the rows.
        names: Of all columns; None: the first line names them.
        skipped: How many columns stand before those of ``names``, as labels, and are not looked at.

    Raises:
        MissingColumnsError: The header lacks a column.
        InputError: It names one twice.
        DataError: A row has another number of cells, or no right form.
    """
    from pyarrow import csv

    body = body.removeprefix(BOM)
    header = names is None
    many = len(names) + skipped if names is not None else body.split(b"\n", 1)[0].count(b",") + 1
    _check_form(body, where, header=header, blank_lines=many == 1)
    given = None if names is None else [*(f"\0{at}" for at in range(skipped)), *names]
    bad_rows: list[Any] = []

    def refuse(row: Any) -> str:
        bad_rows.append(row)
        return "error"

    try:
        table = csv.read_csv(
            pa.BufferReader(body),
            read_options=csv.ReadOptions(
                column_names=given, use_threads=False, block_size=max(len(body), 1) + 1
            ),
            parse_options=csv.ParseOptions(
                newlines_in_values=True, ignore_empty_lines=False, invalid_row_handler=refuse
            ),
            convert_options=csv.ConvertOptions(
                column_types=dict.fromkeys(wanted, pa.large_string()),
                include_columns=list(wanted) if given else None,
                strings_can_be_null=True,
                null_values=[""],
                quoted_strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid as error:
        raise _unreadable(str(error), bad_rows, where, header=header) from None
    if header:
        _check_names(table.column_names, wanted, where)
    return [_whole(table.column(name)) for name in wanted]


def _whole(column: Any) -> Any:
    """Return a chunked array as one."""
    if column.num_chunks == 1:
        return column.chunk(0)
    return column.combine_chunks() if column.num_chunks else pa.nulls(0, pa.large_string())


def _check_names(names: Sequence[str], wanted: Sequence[str], where: Where) -> None:
    if missing := tuple(name for name in wanted if name not in names):
        raise MissingColumnsError(where.table, missing, tuple(names))
    if twice := [name for name in wanted if names.count(name) > 1]:
        raise InputError(
            f"table {where.table!r}: the header names {listed(twice)} more than once, expected each "
            "once\n  rename one, or leave it out"
        )


def _unreadable(text: str, bad_rows: list[Any], where: Where, *, header: bool) -> Exception:
    head = f"table {where.table!r}"
    if bad_rows:
        bad = bad_rows[0]
        row = "" if bad.number is None else f", row {where.first_row + bad.number - 1 - header:,}"
        found = "1 cell" if bad.actual_columns == 1 else f"{bad.actual_columns:,} cells"
        return DataError(
            f"{head}{row}: it has {found}, expected {bad.expected_columns:,}: "
            f"{bad.text[:SHOWN_CHARACTERS]!r}{'...' if len(bad.text) > SHOWN_CHARACTERS else ''}\n"
            "  a cell with a comma, a quote or a line break needs quotes around it"
        )
    if "UTF8" in text:
        return DataError(f"{head}: the body is not UTF-8, expected UTF-8\n  encode it again")
    return DataError(f"{head}: the body is no CSV: {text.splitlines()[0][:200]}")


def _check_form(body: bytes, where: Where, *, header: bool, blank_lines: bool) -> None:
    """Refuse empty lines and misplaced quotes. Looks at single bytes only if there may be some."""
    quoted = b'"' in body
    blank = not blank_lines and (
        body.startswith((b"\n", b"\r")) or b"\n\n" in body or b"\n\r" in body or b"\r\r" in body
    )
    if not (quoted or blank):
        return
    content = np.frombuffer(body, np.uint8)
    inside = np.zeros(len(content), np.bool_)
    if quoted:
        quotes = content == QUOTE
        # True from an opening quote to just before its closing one.
        inside = np.logical_xor.accumulate(quotes)
        _check_quotes(content, quotes, inside, where, header=header)
    if blank:
        _check_blank(content, inside, where, header=header)


def _check_quotes(
    content: npt.NDArray[np.uint8],
    quotes: npt.NDArray[np.bool_],
    inside: npt.NDArray[np.bool_],
    where: Where,
    *,
    header: bool,
) -> None:
    at = np.flatnonzero(quotes)
    opening = inside[at]
    before = np.where(at > 0, content[np.maximum(at - 1, 0)], NEWLINE)
    last = len(content) - 1
    behind = np.where(at < last, content[np.minimum(at + 1, last)], NEWLINE)
    # A quote may stand beside another one: a doubled quote closes and opens.
    wrong = opening & ~np.isin(before, (QUOTE, COMMA, RETURN, NEWLINE))
    wrong |= ~opening & ~np.isin(behind, (QUOTE, COMMA, RETURN, NEWLINE))
    if wrong.any():
        row = _row(content, inside, int(at[np.argmax(wrong)]), header=header)
        raise DataError(
            f"table {where.table!r}, row {where.first_row + row:,}: a quote stands within a cell, "
            "expected quotes around cells only\n"
            '  put quotes around the cell, and write each quote in it twice: "5"" disk"'
        )
    if inside[-1]:
        row = _row(content, inside, int(at[-1]), header=header)
        raise DataError(
            f"table {where.table!r}, row {where.first_row + row:,}: a quote is never closed, expected "
            "a second one\n  close it, or write each quote in a cell twice"
        )


def _check_blank(
    content: npt.NDArray[np.uint8], inside: npt.NDArray[np.bool_], where: Where, *, header: bool
) -> None:
    ends = (content == NEWLINE) | (content == RETURN)
    ends[:-1] &= ~((content[:-1] == RETURN) & (content[1:] == NEWLINE))
    ends &= ~inside
    starts = (
        np.concatenate([[0], np.flatnonzero(ends)[:-1] + 1]) if ends.any() else np.zeros(0, int)
    )
    stops = np.flatnonzero(ends)
    empty = (stops == starts) | ((stops == starts + 1) & (content[starts] == RETURN))
    if empty.any():
        row = int(np.argmax(empty)) - header
        name = f"row {where.first_row + row:,}" if row >= 0 else "the header"
        raise DataError(
            f"table {where.table!r}, {name}: the line is empty, expected cells\n"
            "  leave the line out, or send a comma between cells that are missing"
        )


def _row(
    content: npt.NDArray[np.uint8], inside: npt.NDArray[np.bool_], at: int, *, header: bool
) -> int:
    """Return the row of a byte; lines may end in a lone return."""
    ends = (content[:at] == NEWLINE) | (content[:at] == RETURN)
    ends &= ~((content[:at] == RETURN) & (content[1 : at + 1] == NEWLINE))
    return int((ends & ~inside[:at]).sum()) - header
