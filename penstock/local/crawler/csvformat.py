"""CSV: delimiter, header and types of the first 1,000 records or 1 MiB, whichever ends first.

- It is CSV when at least two rows have the same number of columns, at least two, for one of the
  delimiters , | tab ; Ctrl-A. Of several the one with most columns.
- The first row is a header when all its cells are text shorter than 150 characters and none is empty
  (the last may be), and some column of the rows below is not text. So a file of text alone has no
  header: its columns are col0, col1, ... and its header is a row.
- A cell in quotes is text, whatever stands between them: the SerDe of the table hands the quotes out.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from penstock.local.crawler.found import Finding, Kind
from penstock.local.crawler.hive import NULL, Column, Type, merge_all
from penstock.local.crawler.samples import Sample

__all__ = ["BUILT_IN", "CsvRules", "cell_type", "classify", "decoded", "ragged", "timely"]

DELIMITERS = (",", "|", "\t", ";", "\x01")
MAX_RECORDS = 1000
MAX_HEADER_CHARS = 150
QUOTED = "\x02"  # put before the content of a quoted cell; text never has it

_INTEGER = re.compile(r"[+-]?\d{1,19}", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_BOOLEAN = re.compile(r"true|false", re.IGNORECASE)
_DIGITS = re.compile(r"[+-]?\d+", re.ASCII)
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}|$)")
BIGINT = range(-(1 << 63), 1 << 63)


@dataclass(frozen=True, kw_only=True, slots=True)
class CsvRules:
    """What a custom classifier fixes; the defaults are the built-in's.

    Attributes:
        delimiter: None: found out.
        quote: Character around cells.
        header: ``UNKNOWN``: found out.
        names: Of the columns, in place of a header's.
        types: Of the columns, in place of what is found.
        trim: Whether blanks around a cell are no part of it.
        single_column: Whether one column is enough.
        serde: ``open``, ``lazy``, or None: open when the classifier names a quote.
        custom: Whether this is a custom classifier's.
    """

    delimiter: str | None = None
    quote: str = '"'
    header: Literal["UNKNOWN", "PRESENT", "ABSENT"] = "UNKNOWN"
    names: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    trim: bool = True
    single_column: bool = False
    serde: Literal["open", "lazy"] = "lazy"
    custom: bool = False


BUILT_IN = CsvRules()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Rows:
    delimiter: str
    rows: list[list[str]]
    read_bytes: int


def classify(sample: Sample, rules: CsvRules = BUILT_IN) -> Finding | None:
    """Return what a file is as CSV; None when it is none. Reads at most 1,000 records."""
    content = decoded(sample)
    if content is None or QUOTED in content:
        return None
    found = _rows(content, sample.whole, rules)
    if found is None:
        return None
    header = _has_header(found.rows, rules)
    body = found.rows[1:] if header else found.rows
    width = len(found.rows[0])
    if rules.names and len(rules.names) != width:
        return None
    names = _names(found.rows[0], header, rules)
    types = _types(body, width, rules)
    quoted = any(cell.startswith(QUOTED) for row in found.rows for cell in row)
    return Finding(
        kind=_kind(found.delimiter, header, sample.compression, rules),
        columns=tuple(
            Column(name=name.lower(), type=type_, original=name)
            for name, type_ in zip(names, types, strict=True)
        ),
        records=len(body),
        record_bytes=found.read_bytes,
        whole=sample.whole and len(found.rows) < MAX_RECORDS,
        expansion=sample.expansion,
        notes=(
            *_notes(found.rows, rules, header=header, quoted=quoted),
            *(
                f"time: {name.lower()}"
                for place, name in enumerate(names)
                if types[place] == "string" and timely(row[place] for row in body)
            ),
        ),
    )


def ragged(sample: Sample) -> str | None:
    """Return why a file that looks like CSV is none: the first row that is longer or shorter."""
    content = decoded(sample)
    if content is None or QUOTED in content:
        return None
    for delimiter in DELIMITERS:
        rows = _split(content, sample.whole, delimiter, BUILT_IN.quote).rows
        widths = Counter(len(row) for row in rows)
        if not widths:
            continue
        width, count = widths.most_common(1)[0]
        if width > 1 and count < len(rows) <= count * 2:
            odd = next(place for place, row in enumerate(rows, 1) if len(row) != width)
            return f"row {odd} has {len(rows[odd - 1])} columns, most rows have {width}"
    return None


def decoded(sample: Sample) -> str | None:
    """Return the sample as text; None when it is not UTF-8. A character cut at the end is left out."""
    data = sample.data.removeprefix(b"\xef\xbb\xbf")
    if b"\0" in data:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        cut = not sample.whole and error.start >= len(data) - 3
        return data[: error.start].decode() if cut else None


def _rows(content: str, whole: bool, rules: CsvRules) -> _Rows | None:  # noqa: FBT001
    """Return the rows by the delimiter that gives most columns; None when none gives a table."""
    delimiters = DELIMITERS if rules.delimiter is None else (rules.delimiter,)
    least = 1 if rules.single_column else 2
    best: _Rows | None = None
    for delimiter in delimiters:
        found = _split(content, whole, delimiter, rules.quote)
        widths = {len(row) for row in found.rows}
        if len(found.rows) < 2 or len(widths) != 1 or min(widths) < least:
            continue
        if best is None or len(found.rows[0]) > len(best.rows[0]):
            best = found
    if best is not None and rules.trim:
        trimmed = [
            [cell if cell.startswith(QUOTED) else cell.strip() for cell in row] for row in best.rows
        ]
        return _Rows(delimiter=best.delimiter, rows=trimmed, read_bytes=best.read_bytes)
    return best


def _split(content: str, whole: bool, delimiter: str, quote: str) -> _Rows:  # noqa: FBT001
    """Cut text into rows; a last one that the sample cuts, and empty ones, are left out."""
    if quote in content:
        # A quote opens a cell at its beginning and closes it before a delimiter or line end; inside, it
        # is doubled. So one after a delimiter and before anything else opens a cell.
        d, q = re.escape(delimiter), re.escape(quote)
        opening = rf"(?:(?<=^)|(?<={d}))[ \t]*{q}(?=[^{q}{d}\r\n])"
        content = re.sub(opening, quote + QUOTED, content, flags=re.MULTILINE)
    source = io.StringIO(content, newline="")
    reader = csv.reader(source, delimiter=delimiter, quotechar=quote)
    rows: list[list[str]] = []
    before = lines = 0
    try:
        for row in reader:
            before, lines = lines, reader.line_num
            rows.append(row)
            if len(rows) == MAX_RECORDS:
                break
        else:
            if not whole and rows:
                rows.pop()
                lines = before
    except csv.Error:  # a cell longer than 128 KiB
        return _Rows(delimiter=delimiter, rows=[], read_bytes=0)
    read = sum(
        len(line.encode())
        for line, _ in zip(io.StringIO(content, newline=""), range(lines), strict=False)
    )
    return _Rows(delimiter=delimiter, rows=[row for row in rows if row], read_bytes=read)


def _has_header(rows: Sequence[Sequence[str]], rules: CsvRules) -> bool:
    if rules.header != "UNKNOWN":
        return rules.header == "PRESENT"
    first = rows[0]
    cells = [cell.removeprefix(QUOTED) for cell in first]
    if any(not cell for cell in cells[:-1]) or any(len(cell) >= MAX_HEADER_CHARS for cell in cells):
        return False
    if any(cell_type(cell) not in ("string", NULL) for cell in first):
        return False
    if all(cell_type(cell) == NULL for cell in first):
        return False
    return any(type_ not in ("string", NULL) for type_ in _found_types(rows[1:], len(first)))


def _names(first: Sequence[str], header: bool, rules: CsvRules) -> list[str]:  # noqa: FBT001
    if rules.names:
        return list(rules.names)
    if not header:
        return [f"col{place}" for place in range(len(first))]
    cells = [cell.removeprefix(QUOTED) for cell in first]
    return [cell or f"col{place}" for place, cell in enumerate(cells)]


def _types(rows: Sequence[Sequence[str]], width: int, rules: CsvRules) -> list[Type]:
    if rules.types and len(rules.types) == width:
        return list(rules.types)
    if (
        rules.custom and rules.serde == "open"
    ):  # that SerDe takes the quotes off, so they say nothing
        rows = [[cell.removeprefix(QUOTED) for cell in row] for row in rows]
    return _found_types(rows, width)


def _found_types(rows: Sequence[Sequence[str]], width: int) -> list[Type]:
    types: list[Type] = []
    for place in range(width):
        found = merge_all({cell_type(row[place]) for row in rows})
        types.append("string" if found == NULL else found)
    return types


def cell_type(cell: str) -> str:
    """Return the type of one cell: bigint, double, boolean, string, or null when it is empty.

    Dates and times are text. An integer past 64 bits is text too: nothing of it may be lost.

    >>> [cell_type(cell) for cell in ("7", "-1.5e3", "True", "2024-01-31", "")]
    ['bigint', 'double', 'boolean', 'string', 'null']
    """
    if not cell:
        return NULL
    if _INTEGER.fullmatch(cell) and int(cell) in BIGINT:
        return "bigint"
    if _NUMBER.fullmatch(cell) and not _DIGITS.fullmatch(cell):
        return "double"
    return "boolean" if _BOOLEAN.fullmatch(cell) else "string"


def _kind(delimiter: str, header: bool, compression: str, rules: CsvRules) -> Kind:  # noqa: FBT001
    quoted = rules.custom and rules.serde == "open"
    parameters: Mapping[str, str] = {
        "areColumnsQuoted": "true" if quoted else "false",
        "columnsOrdered": "true",
        "delimiter": delimiter,
        **({"skip.header.line.count": "1"} if header else {}),
    }
    serde = {"field.delim": delimiter}
    if rules.serde == "open":
        serde = {"separatorChar": delimiter, "quoteChar": rules.quote, "escapeChar": "\\"}
    return Kind(
        classification="csv",
        compression=compression,
        parameters=tuple(parameters.items()),
        serde="opencsv" if rules.serde == "open" else "lazy",
        serde_parameters=tuple(serde.items()),
    )


def _notes(
    rows: Sequence[Sequence[str]], rules: CsvRules, *, header: bool, quoted: bool
) -> tuple[str, ...]:
    notes = []
    text_only = all(cell_type(cell) in ("string", NULL) for cell in rows[0])
    if rules.header == "UNKNOWN" and not header and text_only and len(set(rows[0])) == len(rows[0]):
        notes.append("headerless")
    if quoted and rules.serde == "lazy":
        notes.append("quoted")
    return tuple(notes)


def timely(values: Iterable[str]) -> bool:
    """Return whether text is dates or times as ISO writes them, all that is there."""
    found = {bool(_TIME.match(value.removeprefix(QUOTED))) for value in values if value}
    return found == {True}
