"""Moments in time as numbers: Arrow dates and timestamps, their parts, in UTC.

A moment is int64 microseconds since 1970-01-01, or float64 days since then. Nanoseconds are cut.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from penstock.cells import plain, present
from penstock.sketch import Floats, Ints

__all__ = ["DAY", "from_iso", "is_date", "is_time", "iso", "microseconds", "part", "since_epoch"]

DAY = 86_400_000_000
PER_MICROSECOND = {"s": 1_000_000, "ms": 1000, "us": 1}


def is_date(kind: str) -> bool:
    """Return whether an Arrow type's text is that of a date."""
    return kind.startswith("date")


def is_time(kind: str) -> bool:
    """Return whether an Arrow type's text is that of a date or a timestamp."""
    return kind.startswith(("date", "timestamp["))


def microseconds(array: Any) -> Ints:
    """Return the moments of an Arrow array of dates or timestamps; arbitrary where it has a null."""
    kind = array.type
    if pa.types.is_date32(kind):
        return plain(array.view(pa.int32())).astype(np.int64) * DAY
    values = plain(array.view(pa.int64()))
    if pa.types.is_date64(kind):
        return values * PER_MICROSECOND["ms"]
    if kind.unit == "ns":
        return values // 1000
    return values * PER_MICROSECOND[kind.unit]


def since_epoch(array: Any) -> Floats:
    """Return the moments in days, float64 (n,); NaN where the array has a null."""
    if pa.types.is_null(array.type):
        return np.full(len(array), np.nan)
    moments = microseconds(array)
    days = np.floor_divide(moments, DAY)
    # Whole days first, so that dates stay whole and seconds keep their digits.
    exact = days + (moments - days * DAY) / DAY
    return np.where(present(array), exact, np.nan)


def part(moments: Ints, name: str) -> Ints:
    """Return the year, month, day, weekday (Monday is 0), dayofyear, hour or minute of moments (n,).

    Args:
        moments: In microseconds.
        name: Of the part.
    """
    days = np.floor_divide(moments, DAY)
    if name == "weekday":
        return np.asarray(np.mod(days + 3, 7), np.int64)  # 1970-01-01 was a Thursday
    if name in ("hour", "minute"):
        minutes = (moments - days * DAY) // 60_000_000
        found = minutes // 60 if name == "hour" else minutes % 60
        return np.asarray(found, np.int64)
    dates = days.astype("datetime64[D]")
    if name == "year":
        return np.asarray(dates.astype("datetime64[Y]").astype(np.int64) + 1970, np.int64)
    if name == "month":
        return np.asarray(dates.astype("datetime64[M]").astype(np.int64) % 12 + 1, np.int64)
    first = dates.astype("datetime64[M]" if name == "day" else "datetime64[Y]")
    since = (dates - first.astype("datetime64[D]")).astype(np.int64)
    return np.asarray(since + 1, np.int64)


def iso(moment: int) -> str:
    """Return a moment in microseconds as ISO 8601 text in UTC.

    >>> iso(43_200_000_000)
    '1970-01-01T12:00:00Z'
    """
    return str(np.datetime64(moment, "us")).removesuffix(".000000") + "Z"


def from_iso(text: str) -> int:
    """Return the moment that ``iso`` wrote.

    >>> from_iso("1970-01-01T12:00:00Z")
    43200000000
    """
    return int(np.datetime64(text.removesuffix("Z"), "us").astype(np.int64))
