"""The files below /opt/ml/input that the platform drops beside the three documented ones."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from penstock.host import Channel
from penstock.local.training.inputs import effective_mode, manifest_text

__all__ = ["checkpoint_folder", "config_files"]

DEFAULT_CHECKPOINTS = "/opt/ml/checkpoints"
# Of the request, those that the container is told as the platform spells enumerations.
ENUMERATIONS = frozenset(
    {
        "TrainingInputMode",
        "InputMode",
        "S3DataType",
        "S3DataDistributionType",
        "CompressionType",
        "RecordWrapperType",
    }
)


def checkpoint_folder(body: Mapping[str, Any], base: Path) -> Path | None:
    """Return where checkpoints lie on this machine, or None without them.

    A path outside /opt/ml cannot be had here; checkpointconfig.json tells the program the real one.
    """
    config = body.get("CheckpointConfig")
    if not config:
        return None
    given = Path(config.get("LocalPath") or DEFAULT_CHECKPOINTS)
    if ".." not in given.parts and given.is_relative_to("/opt/ml") and given != Path("/opt/ml"):
        return base / given.relative_to("/opt/ml")
    return base / "checkpoints"


def config_files(
    body: Mapping[str, Any],
    arn: str,
    channels: Sequence[Channel],
    host: int,
    hosts: int,
    base: Path,
) -> dict[str, str]:
    """Return the files of one host: path below /opt/ml -> text."""
    checkpoints = checkpoint_folder(body, base)
    definitions = body["AlgorithmSpecification"].get("MetricDefinitions", [])
    contents: dict[str, Any] = {
        "init-config": _init_config(body, host, hosts, checkpoints),
        "metric-definition-regex": definitions,
        "trainingjobconfig": _upper({**body, "TrainingJobArn": arn}),
        "upstreamoutputdataconfig": [],
    }
    if checkpoints is not None:
        contents["checkpointconfig"] = {"LocalPath": str(checkpoints)}
    if "DebugHookConfig" in body:
        contents["debughookconfig"] = body["DebugHookConfig"]
    files = {f"input/config/{name}.json": json.dumps(each) for name, each in contents.items()}
    for entry, channel in zip(body.get("InputDataConfig", ()), channels, strict=True):
        files[f"input/data/{channel.name}-manifest"] = manifest_text(entry, channel)
    return files


def _init_config(
    body: Mapping[str, Any], host: int, hosts: int, checkpoints: Path | None
) -> dict[str, Any]:
    told: dict[str, Any] = {
        "inputMode": _enumeration(body["AlgorithmSpecification"]["TrainingInputMode"]),
        "channels": {
            entry["ChannelName"]: _init_channel(entry, body)
            for entry in body.get("InputDataConfig", ())
        },
        "checkpointChannel": None,
        "hostConfig": {"clusterSize": hosts, "hostNumber": host + 1},
        "enableAdditionalPlatformLoggingForCustomer": False,
        "jobRunInfo": {"jobRunNumber": 1},
    }
    if checkpoints is not None:
        told["checkpointChannel"] = {
            "name": "checkpoints",
            "channel": {
                "s3DataSource": {
                    "s3DataType": "S3_PREFIX",
                    "s3Uri": body["CheckpointConfig"]["S3Uri"],
                    "s3DataDistributionType": "FULLY_REPLICATED",
                },
                "inputMode": "FILE",
            },
            "outputPath": str(checkpoints),
            "allowEmpty": True,
        }
    return told


def _init_channel(entry: Mapping[str, Any], body: Mapping[str, Any]) -> dict[str, Any]:
    source = entry["DataSource"]["S3DataSource"]
    distribution = source.get("S3DataDistributionType", "FullyReplicated")
    return {
        "s3DataSource": {
            "s3DataType": _enumeration(source["S3DataType"]),
            "s3Uri": source["S3Uri"],
            "s3DataDistributionType": _enumeration(distribution),
            "attributeNames": source.get("AttributeNames"),
        },
        "fileSystemDataSource": None,
        "compressionType": _enumeration(entry.get("CompressionType", "None")),
        "recordWrapper": _enumeration(entry.get("RecordWrapperType", "None")),
        "shuffleConfig": entry.get("ShuffleConfig"),
        "inputMode": _enumeration(effective_mode(entry, body)),
        "sharded": distribution == "ShardedByS3Key",
    }


def _upper(value: Any, name: str = "") -> Any:
    if isinstance(value, Mapping):
        return {each: _upper(inner, each) for each, inner in value.items()}
    if isinstance(value, list):
        return [_upper(each) for each in value]
    return _enumeration(value) if name in ENUMERATIONS else value


def _enumeration(value: str) -> str:
    """Return a value as the platform's own files spell it.

    >>> _enumeration("ShardedByS3Key"), _enumeration("FastFile"), _enumeration("S3Prefix")
    ('SHARDED_BY_S3_KEY', 'FAST_FILE', 'S3_PREFIX')
    """
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", value).upper()
