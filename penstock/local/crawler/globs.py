r"""Exclusion patterns of a crawler, as compiled matchers of paths below the include path.

    *      any characters of one name        **     any characters, also /
    ?      one character, but not /          [a-c]  one of a set; [!a-c] one not of it; never /
    {a,b}  one of several, not nested        \      the next character as it stands

A leading dot is a character like any other, and a pattern matches a whole path or nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from penstock.errors import InputError

__all__ = ["excluder", "to_regex"]


def excluder(patterns: Iterable[str]) -> Callable[[str], bool]:
    """Return whether a path, relative to the include path, matches any of the patterns.

    Raises:
        InputError: A pattern is no glob.
    """
    compiled = [re.compile(to_regex(each), re.DOTALL) for each in patterns]
    return lambda path: any(each.fullmatch(path) for each in compiled)


def to_regex(pattern: str) -> str:
    r"""Return the regular expression of a glob, to be matched against a whole path.

    >>> to_regex("*.{csv,gz}")
    '[^/]*\\.(?:csv|gz)'

    Raises:
        InputError: A bracket or brace is not closed, braces are nested, or it ends in a backslash.
    """
    made: list[str] = []
    at, in_braces = 0, False
    while at < len(pattern):
        char = pattern[at]
        at += 1
        if char == "*":
            double = pattern.startswith("*", at)
            at += double
            made.append(".*" if double else "[^/]*")
        elif char == "?":
            made.append("[^/]")
        elif char == "\\":
            made.append(_escaped(pattern, at))
            at += 1
        elif char == "[":
            text, at = _bracket(pattern, at)
            made.append(text)
        elif char == "{":
            if in_braces:
                raise _bad(pattern, "it has braces inside braces, expected one level")
            in_braces = True
            made.append("(?:")
        elif char in "},":
            made.append({"}": ")", ",": "|"}[char] if in_braces else re.escape(char))
            in_braces = in_braces and char != "}"
        else:
            made.append(re.escape(char))
    if in_braces:
        raise _bad(pattern, "it has a { without its }")
    return "".join(made)


def _escaped(pattern: str, at: int) -> str:
    if at == len(pattern):
        raise _bad(pattern, "it ends in a backslash, expected a character after it")
    return re.escape(pattern[at])


def _bracket(pattern: str, at: int) -> tuple[str, int]:
    """Return the expression of the set that begins at ``at``, and where the pattern goes on."""
    negated = pattern.startswith("!", at)
    start = at + negated
    end = pattern.find("]", start)
    if end < 0 or end == start:
        raise _bad(pattern, "it has a [ without its ], or nothing between them")
    members = pattern[start:end]
    made, at = [], 0
    while at < len(members):
        if members[at + 1 : at + 2] == "-" and at + 2 < len(members):
            first, last = members[at], members[at + 2]
            if first > last:
                raise _bad(pattern, f"its range {first}-{last} runs backwards")
            made.append(f"{re.escape(first)}-{re.escape(last)}")
            at += 3
        else:
            made.append(_in_set(members[at]))
            at += 1
    return f"(?!/)[{'^' if negated else ''}{''.join(made)}]", end + 1


def _in_set(char: str) -> str:
    return "\\" + char if char in "\\]^-[&~|" else re.escape(char)


def _bad(pattern: str, problem: str) -> InputError:
    return InputError(f"exclusion {pattern!r}: {problem}\n  correct the pattern")
