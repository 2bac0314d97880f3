"""InputDataConfig -> channels: what a data source lists, and what of a request is refused.

S3Prefix               every object whose key starts so, in the order of the listing
ManifestFile           [{"prefix": "s3://bucket/p/"}, "key", ...], in its order
AugmentedManifestFile  JSON Lines; of each line the attributes by name, one after the other; the
                       object of an attribute whose name ends in -ref, else the value as text
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from penstock import s3, storage
from penstock.errors import DataError, PenstockError
from penstock.host import Channel
from penstock.local.wire import AwsError

__all__ = ["check_inputs", "effective_mode", "manifest_text", "resolved"]

REFERENCE = "-ref"


def check_inputs(body: Mapping[str, Any]) -> None:
    """Check a request's channels before anything runs, as the service does. Lists S3.

    Raises:
        AwsError: ValidationException, or a refusal of what the plane lacks.
    """
    seen: set[str] = set()
    for entry in body.get("InputDataConfig", ()):
        name = entry["ChannelName"]
        if name in seen:
            raise _invalid(f"Duplicate channel name {name!r} in InputDataConfig")
        if name.strip(".") == "":
            raise _invalid(f"Channel name {name!r} is no name of a folder")
        seen.add(name)
        _check_source(entry, body)


def _check_source(entry: Mapping[str, Any], body: Mapping[str, Any]) -> None:
    name, source = entry["ChannelName"], entry["DataSource"].get("S3DataSource")
    if source is None:
        raise AwsError(
            "NotSupportedByLocalPlane",
            f"channel {name!r}: the local plane reads S3DataSource only, found "
            f"{sorted(entry['DataSource'])}",
            status=501,
        )
    kind, mode = source["S3DataType"], effective_mode(entry, body)
    absent = [
        each
        for each in ("InstanceGroupNames", "ModelAccessConfig", "HubAccessConfig")
        if source.get(each)
    ]
    if kind == "Converse" or absent:
        raise AwsError(
            "NotSupportedByLocalPlane",
            f"channel {name!r}: the local plane has no {absent[0] if absent else kind!r}",
            status=501,
        )
    _check_mode(entry, kind, mode, source)
    uri = source["S3Uri"]
    if not uri.startswith("s3://"):
        raise _invalid(f"S3Uri {uri!r} of channel {name} must start with s3://")
    if not _anything(uri):
        bucket, role = uri.split("/")[2], body["RoleArn"]
        raise _invalid(
            f'No S3 objects found under S3 URL "{uri}" given in input data source. Please ensure that '
            "the bucket exists in the selected region, that objects exist under that S3 prefix, and "
            f'that the role "{role}" has "s3:ListBucket" permissions on bucket "{bucket}".'
        )


def _check_mode(entry: Mapping[str, Any], kind: str, mode: str, source: Mapping[str, Any]) -> None:
    """Check that a channel's mode can do what is asked of it."""
    name = entry["ChannelName"]
    if kind == "AugmentedManifestFile" and mode != "Pipe":
        raise _invalid(
            f"AugmentedManifestFile is only supported in Pipe input mode. Channel: {name}"
        )
    if kind == "AugmentedManifestFile" and not source.get("AttributeNames"):
        raise _invalid(
            f"AttributeNames must be specified for AugmentedManifestFile. Channel: {name}"
        )
    if kind != "AugmentedManifestFile" and source.get("AttributeNames"):
        raise _invalid(
            f"AttributeNames is only supported for AugmentedManifestFile. Channel: {name}"
        )
    if kind == "ManifestFile" and mode == "FastFile":
        raise _invalid(f"ManifestFile is not supported in FastFile input mode. Channel: {name}")
    for field in ("CompressionType", "RecordWrapperType"):
        if entry.get(field, "None") != "None" and mode != "Pipe":
            raise _invalid(f"{field} is only supported in Pipe input mode. Channel: {name}")


def _anything(uri: str) -> bool:
    try:
        return next(s3.listing(uri), None) is not None
    except PenstockError:  # no such bucket
        return False


def _invalid(message: str) -> AwsError:
    return AwsError("ValidationException", message)


def effective_mode(entry: Mapping[str, Any], body: Mapping[str, Any]) -> str:
    """Return how a channel is read: its own mode, or the job's."""
    return str(entry.get("InputMode") or body["AlgorithmSpecification"]["TrainingInputMode"])


def resolved(body: Mapping[str, Any]) -> tuple[Channel, ...]:
    """Return the channels of a request. Lists S3, reads manifests.

    Raises:
        PenstockError: A manifest is missing or wrong, or there is no object.
    """
    return tuple(_channel(entry, body) for entry in body.get("InputDataConfig", ()))


def _channel(entry: Mapping[str, Any], body: Mapping[str, Any]) -> Channel:
    source = entry["DataSource"]["S3DataSource"]
    uris, names, together = _objects(source)
    if not uris:
        raise DataError(f"channel {entry['ChannelName']!r}: no object at {source['S3Uri']!r}")
    mode: Any = effective_mode(entry, body)
    return Channel(
        name=entry["ChannelName"],
        uris=tuple(uris),
        names=tuple(names) if mode != "Pipe" else None,
        input_mode=mode,
        content_type=entry.get("ContentType"),
        sharded=source.get("S3DataDistributionType") == "ShardedByS3Key",
        compression=entry.get("CompressionType", "None"),
        record_wrapper=entry.get("RecordWrapperType", "None"),
        shuffle_seed=entry.get("ShuffleConfig", {}).get("Seed"),
        together=together,
    )


def _objects(source: Mapping[str, Any]) -> tuple[Sequence[str | bytes], Sequence[str], int]:
    """Return objects, their paths in a folder, and how many belong together."""
    uri, kind = source["S3Uri"], source["S3DataType"]
    if kind == "S3Prefix":
        found = [name for name, _, _ in s3.listing(uri)]
        return found, [_below(name, uri) for name in found], 1
    if kind == "ManifestFile":
        prefix, keys = _manifest(uri)
        return [prefix + key for key in keys], keys, 1
    attributes = source["AttributeNames"]
    return list(_augmented(uri, attributes)), (), len(attributes)


def _below(name: str, prefix: str) -> str:
    """Return the path of an object in its channel's folder.

    >>> _below("s3://b/p/train/x/a.csv", "s3://b/p/train"), _below("s3://b/p/train2/a", "s3://b/p/train")
    ('x/a.csv', 'train2/a')
    """
    rest = name.removeprefix(prefix)
    if prefix.endswith("/") or rest.startswith("/"):
        return rest.lstrip("/")
    return name.removeprefix(posixpath.dirname(prefix) + "/")


def _manifest(uri: str) -> tuple[str, list[str]]:
    try:
        content = json.loads(storage.read_bytes(uri))
    except ValueError as error:
        raise DataError(f"manifest {uri!r} is not JSON: {error}") from None
    head = content[0] if isinstance(content, list) and content else None
    prefix = head.get("prefix") if isinstance(head, dict) else None
    if not isinstance(prefix, str) or not all(isinstance(key, str) for key in content[1:]):
        raise DataError(
            f'manifest {uri!r} is no manifest, expected [{{"prefix": "s3://bucket/folder/"}}, "key", ...]'
        )
    return prefix, content[1:]


def _augmented(uri: str, attributes: Sequence[str]) -> Iterator[str | bytes]:
    with storage.open_input(uri) as stream:
        for number, line in enumerate(stream, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                values = [row[name] for name in attributes]
            except (ValueError, KeyError, TypeError) as error:
                raise DataError(
                    f"augmented manifest {uri!r}, line {number}: {type(error).__name__}: {error}\n"
                    f"  expected a JSON object with {list(attributes)}"
                ) from None
            for name, value in zip(attributes, values, strict=True):
                yield str(value) if name.endswith(REFERENCE) else _text(value)


def _text(value: Any) -> bytes:
    return (value if isinstance(value, str) else json.dumps(value)).encode()


def manifest_text(entry: Mapping[str, Any], channel: Channel) -> str:
    """Return what stands in ``<channel>-manifest``: a key prefix, and the URI of every object."""
    uri = entry["DataSource"]["S3DataSource"]["S3Uri"]
    listed = [each for each in channel.uris if isinstance(each, str)]
    return "\n".join([uri.removeprefix("s3://").partition("/")[2], *listed]) + "\n"
