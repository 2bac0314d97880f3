"""TransformInput -> objects, and the names of their outputs."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Mapping
from typing import Any

from penstock import s3, storage
from penstock.errors import DataError, PenstockError

__all__ = ["objects"]

SUFFIX = ".out"


def objects(source: Mapping[str, Any], target: str) -> list[tuple[str, str]]:
    """Return each input object's URI and that of its output. Lists S3.

    Args:
        source: S3DataSource of a request.
        target: S3OutputPath.

    Raises:
        DataError: There is none, or the manifest is no manifest.
    """
    uri = source["S3Uri"]
    try:
        if source["S3DataType"] == "ManifestFile":
            prefix, names = _manifest(uri)
            found = [(prefix + name, name) for name in names]
        else:
            found = [
                (each, _below(each, uri))
                for each, _, _ in s3.listing(uri)
                if not each.endswith("/")
            ]
    except DataError:
        raise
    except PenstockError as error:  # no such bucket, or no such manifest
        raise DataError(str(error)) from error
    if not found:
        raise DataError(
            f'No S3 objects found under S3 URL "{uri}" given in input data source. Please ensure that '
            "the bucket exists in the selected region, and that objects exist under that S3 prefix."
        )
    base = target.rstrip("/")
    return [(each, f"{base}/{name.lstrip('/')}{SUFFIX}") for each, name in found]


def _below(uri: str, prefix: str) -> str:
    """Return what of an object's name goes on below the output path.

    >>> _below("s3://b/in/x/a.csv", "s3://b/in"), _below("s3://b/in/a.csv", "s3://b/in/a")
    ('x/a.csv', 'a.csv')
    """
    rest = uri.removeprefix(prefix)
    if prefix.endswith("/") or rest.startswith("/"):
        return rest.lstrip("/")
    return uri.removeprefix(posixpath.dirname(prefix) + "/")


def _manifest(uri: str) -> tuple[str, list[str]]:
    try:
        content = json.loads(storage.read_bytes(uri))
    except ValueError as error:
        raise DataError(f"manifest {uri!r} is not JSON: {error}") from None
    head = content[0] if isinstance(content, list) and content else None
    prefix = head.get("prefix") if isinstance(head, dict) else None
    if not isinstance(prefix, str) or not all(isinstance(name, str) for name in content[1:]):
        raise DataError(
            f'manifest {uri!r} is no manifest, expected [{{"prefix": "s3://bucket/folder/"}}, "name", ...]'
        )
    return prefix, content[1:]
