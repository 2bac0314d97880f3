"""Patterns of dates: MySQL's (date_parse, date_format) and Joda's (parse_datetime), as DuckDB writes them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from penstock.local.athena.errors import unsupported

__all__ = ["joda", "mysql"]

MYSQL: Mapping[str, str] = {
    "a": "%a",
    "b": "%b",
    "c": "%-m",
    "d": "%d",
    "e": "%-d",
    "f": "%f",
    "H": "%H",
    "h": "%I",
    "I": "%I",
    "i": "%M",
    "j": "%j",
    "k": "%-H",
    "l": "%-I",
    "M": "%B",
    "m": "%m",
    "p": "%p",
    "r": "%I:%M:%S %p",
    "S": "%S",
    "s": "%S",
    "T": "%H:%M:%S",
    "v": "%V",
    "W": "%A",
    "Y": "%Y",
    "y": "%y",
    "%": "%%",
}
JODA: Mapping[str, str] = {
    "yyyy": "%Y",
    "YYYY": "%Y",
    "yy": "%y",
    "MMMM": "%B",
    "MMM": "%b",
    "MM": "%m",
    "M": "%-m",
    "dd": "%d",
    "d": "%-d",
    "DDD": "%j",
    "HH": "%H",
    "H": "%-H",
    "hh": "%I",
    "h": "%-I",
    "mm": "%M",
    "m": "%-M",
    "ss": "%S",
    "s": "%-S",
    "SSS": "%g",
    "SSSSSS": "%f",
    "a": "%p",
    "EEEE": "%A",
    "EEE": "%a",
    "E": "%a",
    "Z": "%z",
    "e": "%u",
}
PIECE = re.compile(r"'((?:[^']|'')*)'|([A-Za-z])\2*|[^A-Za-z']+")


def mysql(pattern: str, name: str) -> str:
    """Return a pattern like ``%Y-%m-%d %H:%i`` in DuckDB's letters.

    Raises:
        QueryError: A letter has no counterpart.
    """

    def letter(found: re.Match[str]) -> str:
        if found[1] not in MYSQL:
            raise unsupported(f"%{found[1]} in a pattern of {name}")
        return MYSQL[found[1]]

    return re.sub(r"%(.)", letter, pattern)


def joda(pattern: str, name: str) -> str:
    """Return a pattern like ``yyyy-MM-dd'T'HH:mm`` in DuckDB's letters.

    Raises:
        QueryError: A letter has no counterpart.
    """

    def piece(found: re.Match[str]) -> str:
        text = found[0]
        if text.startswith("'"):
            return (found[1].replace("''", "'") or "'").replace("%", "%%")
        if not text[0].isalpha():
            return text.replace("%", "%%")
        if text not in JODA:
            raise unsupported(f"{text} in a pattern of {name}")
        return JODA[text]

    return PIECE.sub(piece, pattern)
