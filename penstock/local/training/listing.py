"""ListTrainingJobs: filtered, sorted, page by page."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from typing import Any

from penstock.local.training.record import Record
from penstock.local.wire import AwsError

__all__ = ["listing"]

PAGE = 10
KEYS = {"Name": "TrainingJobName", "CreationTime": "CreationTime", "Status": "TrainingJobStatus"}


def listing(records: Iterable[Record], body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the page that a request asks for.

    Raises:
        AwsError: The token is none of ours.
    """
    found = [each for each in (record.summary() for record in records) if _wanted(each, body)]
    key = KEYS[body.get("SortBy", "CreationTime")]
    found.sort(key=lambda each: each[key], reverse=body.get("SortOrder") == "Descending")
    start, size = _offset(body.get("NextToken")), int(body.get("MaxResults", PAGE))
    page = found[start : start + size]
    answer: dict[str, Any] = {"TrainingJobSummaries": page}
    if start + size < len(found):
        answer["NextToken"] = base64.urlsafe_b64encode(f"{start + size}".encode()).decode()
    return answer


def _wanted(summary: Mapping[str, Any], body: Mapping[str, Any]) -> bool:
    checks = (
        body.get("NameContains", "") in summary["TrainingJobName"],
        body.get("StatusEquals") in (None, summary["TrainingJobStatus"]),
        summary["CreationTime"] > body.get("CreationTimeAfter", -1),
        summary["CreationTime"] < body.get("CreationTimeBefore", float("inf")),
        summary["LastModifiedTime"] > body.get("LastModifiedTimeAfter", -1),
        summary["LastModifiedTime"] < body.get("LastModifiedTimeBefore", float("inf")),
    )
    return all(checks)


def _offset(token: str | None) -> int:
    if token is None:
        return 0
    try:
        return int(base64.urlsafe_b64decode(token.encode()))
    except (ValueError, binascii.Error):
        raise AwsError("ValidationException", "Invalid NextToken") from None
