"""Content-Type and Accept: which format a request has, and which one its answer gets."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

__all__ = ["MediaType", "chosen", "media_type"]

WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_TYPE = re.compile(rf"\s*({WORD}/{WORD})\s*")
_PARAMETER = re.compile(rf'\s*;\s*(?:({WORD})\s*=\s*(?:({WORD})|"((?:[^"\\]|\\.)*)"|))?\s*')
_WEIGHT = re.compile(r"0(\.\d{0,3})?|1(\.0{0,3})?")
_COMMA = re.compile(r',(?=(?:[^"]*"[^"]*")*[^"]*$)')


@dataclass(frozen=True, kw_only=True, slots=True)
class MediaType:
    """A media type, as ``text/csv; header=present``.

    Attributes:
        name: In lower case, ``text/csv``.
        parameters: Lower-case names, values as they were sent.
    """

    name: str
    parameters: Mapping[str, str] = field(default_factory=dict)


def media_type(header: str) -> MediaType | None:
    """Return what a Content-Type header says; None when it is none.

    >>> media_type('Text/CSV; charset="utf-8"; label_size=0')
    MediaType(name='text/csv', parameters={'charset': 'utf-8', 'label_size': '0'})
    >>> media_type("csv") is None
    True
    """
    head = _TYPE.match(header)
    if head is None:
        return None
    at, parameters = head.end(), {}
    while at < len(header):
        found = _PARAMETER.match(header, at)
        if found is None:
            return None
        name, plain, quoted = found.groups()
        if name:
            unquoted = re.sub(r"\\(.)", r"\1", quoted or "")
            parameters[name.lower()] = plain if plain is not None else unquoted
        at = found.end()
    return MediaType(name=head[1].lower(), parameters=parameters)


def chosen(accept: str, gives: Sequence[str], default: str) -> str | None:
    """Return the media type of ``gives`` that an Accept header likes best; None when it likes none.

    The most exact range that fits a type says how much it is liked (q). Among types that are liked
    as much, the one that the header names first wins, and for ``*/*`` the default.

    Args:
        accept: The header, empty when there is none. A range that cannot be read is left out.
        gives: What can be given.
        default: The one of them for clients that have no wish.

    >>> chosen("text/*;q=0.5, application/json", ["text/csv", "application/json"], "text/csv")
    'application/json'
    >>> chosen("*/*", ["text/csv", "application/json"], "application/json")
    'application/json'
    >>> chosen("text/csv;q=0, text/*", ["text/csv"], "text/csv") is None
    True
    """
    if not accept.strip():
        return default
    ranges = [_weighed(part) for part in _COMMA.split(accept)]
    wishes = [(at, *wish) for at, wish in enumerate(ranges) if wish is not None]
    liked = []
    for preference, name in enumerate(sorted(gives, key=lambda name: name != default)):
        fitting = [
            (exactness, -at, weight)
            for at, asked, weight in wishes
            if (exactness := _fits(asked, name))
        ]
        if fitting:
            _, at, weight = max(fitting)
            liked.append((weight, at, -preference, name))
    best = max(liked, default=(0.0, 0, 0, ""))
    return best[3] if best[0] > 0 else None


def _weighed(part: str) -> tuple[str, float] | None:
    """Return the media range of one part of an Accept header, and how much it is liked."""
    found = media_type(part)
    weight = "1" if found is None else found.parameters.get("q", "1")
    if found is None or not _WEIGHT.fullmatch(weight):
        return None
    return found.name, float(weight)


def _fits(asked: str, name: str) -> int:
    """Return how exactly a media range names a media type: 3, 2 (``text/*``), 1 (``*/*``) or 0."""
    family = name.split("/")[0] + "/*"
    return {name: 3, family: 2, "*/*": 1}.get(asked, 0)
