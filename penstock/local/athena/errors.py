"""Why a query failed, as Athena says it: the text with its code, and whose fault it was."""

from __future__ import annotations

from typing import Any

__all__ = ["QueryError", "syntax", "unsupported"]

SYSTEM, USER, OTHER = 1, 2, 3
# ErrorType of AthenaError: numbers of AWS's error catalog.
SYNTAX_TYPE = 1006
FEATURE_TYPE = 1007
DATA_TYPE = 1100
RESOURCES_TYPE = 1400
USER_TYPE = 1200
INTERNAL_TYPE = 233


class QueryError(Exception):
    """A query cannot be run, or failed while it ran; goes to StateChangeReason and AthenaError."""

    def __init__(self, message: str, *, category: int = USER, kind: int = USER_TYPE) -> None:
        """Make an error; ``message`` begins with its code, like ``HIVE_BAD_DATA: ...``."""
        super().__init__(message)
        self.message, self.category, self.kind = message, category, kind

    def answer(self) -> dict[str, Any]:
        """Return it as AthenaError in an answer."""
        return {
            "ErrorCategory": self.category,
            "ErrorType": self.kind,
            "Retryable": False,
            "ErrorMessage": self.message,
        }


def syntax(code: str, line: int, column: int, text: str) -> QueryError:
    """Return an error about a place in the SQL; both numbers count from 1."""
    return QueryError(f"{code}: line {line}:{column}: {text}", kind=SYNTAX_TYPE)


def unsupported(what: str) -> QueryError:
    """Return the refusal of something that Athena has and the local plane has not."""
    return QueryError(f"NOT_SUPPORTED: the local plane has no {what}", kind=FEATURE_TYPE)
