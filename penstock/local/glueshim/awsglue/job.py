"""A Glue job without bookmarks: begun and committed, which here changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["Job"]


class Job:
    """What scripts begin and commit. The plane refuses to start jobs with bookmarks."""

    def __init__(self, glue_context: Any) -> None:
        """Take the context."""
        del glue_context

    def init(self, job_name: str, args: Mapping[str, Any] | None = None) -> None:
        """Begin; without bookmarks there is nothing to take up."""

    def commit(self) -> None:
        """Commit; without bookmarks there is nothing to keep."""
