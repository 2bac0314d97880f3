"""Pages of answers that list things: MaxResults and NextToken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from penstock.local.wire import AwsError, Call

__all__ = ["page"]

MAX_ITEMS = 1000


def page(member: str, items: Sequence[Any], call: Call, *, most: int = 100) -> Mapping[str, Any]:
    """Return one page of the items, and the token of the next one if there is more.

    Args:
        member: Of the answer that holds them.
        items: All of them, in a stable order.
        call: That asks; its MaxResults and NextToken count.
        most: Items of a page when MaxResults is not given.

    Raises:
        AwsError: The token is none of ours.
    """
    token = call.body.get("NextToken")
    if token and not str(token).isdecimal():
        raise AwsError(
            "InvalidInputException", f"NextToken is {token!r}, expected one of an answer"
        )
    start = int(token) if token else 0
    end = start + min(int(call.body.get("MaxResults") or most), MAX_ITEMS)
    more = {"NextToken": str(end)} if end < len(items) else {}
    return {member: list(items[start:end]), **more}
