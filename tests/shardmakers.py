"""Small datasets that tests write, on a local disk or on S3, and what they look like afterwards."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from penstock import dataset, storage
from penstock.dataset import Dataset, Shard

COMMON: dict[str, Any] = {
    "width": 2,
    "layout": "dense",
    "task": "binary",
    "classes": ("no", "yes"),
    "plan_sha256": "5ca1ab1e" * 8,
    "names": ("age", "größe"),
}
PARTS = 3
LARGE_ROWS = 200_000  # of 2 columns: 11 MB, two parts of an upload


def batches(part: int, rows: int = 4) -> Iterator[tuple[Any, Any]]:
    """Yield the rows of a part, two batches."""
    for half in range(2):
        features = np.arange(rows, dtype=np.float32).reshape(-1, 2) + part + half
        yield features, np.arange(len(features), dtype=np.float32) + part


def write(prefix: str, *, rows: int = 4, attempt: int = 0, parts: int = PARTS) -> list[Shard]:
    """Write the shards of all parts."""
    return [
        dataset.write_shard(prefix, part, attempt, batches(part, rows)) for part in range(parts)
    ]


def commit(prefix: str, shards: list[Shard], **changes: Any) -> Dataset:
    """Commit with the settings that all tests share."""
    rows = sum(shard.rows for shard in shards)
    return dataset.commit(prefix, shards, **{"expected_rows": rows, **COMMON, **changes})


def run(prefix: str, *, rows: int = 4) -> Dataset:
    """Do what a driver does: sweep, write, commit."""
    dataset.sweep(prefix)
    return commit(prefix, write(prefix, rows=rows))


def content(folder: str) -> dict[str, bytes]:
    """Return all files at or below a folder, by their name in it."""
    base = storage.normal(folder).rstrip("/") + "/"
    found = storage.glob_files(base)
    return {file.uri.removeprefix(base): storage.read_bytes(file.uri) for file in found}


def listed_bytes(prefix: str) -> list[bytes]:
    """Return the bytes that the manifest lists, shard by shard, found the way SageMaker does."""
    place = storage.normal(prefix).rstrip("/") + ".manifest"
    head, *names = json.loads(storage.read_bytes(place))
    base = storage.join(place.rpartition("/")[0], head["prefix"])
    return [storage.read_bytes(base + name) for name in names]
