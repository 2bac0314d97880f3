"""Many texts -> numbers at once, and which one is none."""

from __future__ import annotations

from typing import Any

__all__ = ["first_unreadable"]


def first_unreadable(texts: Any, kind: Any) -> int | None:
    """Return the place of the first text that cannot be cast; None when all can.

    Looks by halves, so that it costs two casts of all.

    Args:
        texts: Arrow array of strings.
        kind: Arrow type that they are to have.
    """
    if _readable(texts, kind):
        return None
    low, high = 0, len(texts)
    while high - low > 1:
        middle = (low + high) // 2
        if _readable(texts.slice(low, middle - low), kind):
            low = middle
        else:
            high = middle
    return low


def _readable(texts: Any, kind: Any) -> bool:
    import pyarrow as pa

    try:
        texts.cast(kind)
    except pa.ArrowInvalid:
        return False
    return True
