"""Files of an include path and their bytes, through penstock.storage: local, or S3 as the environment has it."""

from __future__ import annotations

from typing import Any

from penstock import storage
from penstock.local.crawler.crawl import Listed

__all__ = ["listing", "opened"]


def listing(root: str) -> list[Listed]:
    """Return all files at or below an include path, hidden and empty ones too.

    One call of S3 per 1,000 objects.

    Raises:
        ServiceError: S3 refuses, as it does when there is no such bucket.
    """
    bucket = root.startswith("s3://") and "/" not in root.removeprefix("s3://").rstrip("/")
    found = storage.glob_files(root.rstrip("/") + "/" if bucket else root, hidden=True)
    return [Listed(uri=each.uri, size_bytes=each.size_bytes) for each in found]


def opened(uri: str) -> Any:
    """Open a file for reading at any place. On S3 one call, and one more for each part that is read.

    Raises:
        FileNotFoundError: It is gone.
    """
    system, path = storage.filesystem(uri)
    return system.open_input_file(path)
