"""What a serving program is told by its environment: the platform's variables, and a few of ours."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from penstock.containers.contract import BASE_VARIABLE, DEFAULT_BASE
from penstock.errors import InputError

__all__ = ["HOST_VARIABLE", "Settings"]

HOST_VARIABLE = "PENSTOCK_SERVE_HOST"
MEGABYTE = 1 << 20

# What InvokeEndpoint takes at most, and what batch transform can be set to.
REAL_TIME_BYTES = 6 * MEGABYTE
BATCH_MEGABYTES = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """How to serve.

    Attributes:
        model_dir: Folder of the model.
        host: Address to listen on: this machine alone, unless the image says otherwise.
        port: 0 takes a free one.
        threads: Requests that are worked on at once.
        max_payload_bytes: The largest body that is read.
        default_accept: Media type for clients that have no wish; empty: the program's own.
        grace_s: How long requests may take to finish after SIGTERM. SIGKILL comes after 30 s.
    """

    model_dir: Path
    host: str = "127.0.0.1"
    port: int = 8080
    threads: int = 2
    max_payload_bytes: int = REAL_TIME_BYTES
    default_accept: str = ""
    grace_s: float = 25.0

    @property
    def execution_parameters(self) -> dict[str, object]:
        """What batch transform should send, unless the job says otherwise.

        Concurrent transforms times megabytes may not be more than 100 on the platform.
        """
        megabytes = max(1, min(self.max_payload_bytes, REAL_TIME_BYTES) // MEGABYTE)
        return {
            "MaxConcurrentTransforms": min(self.threads, BATCH_MEGABYTES // megabytes),
            "BatchStrategy": "MULTI_RECORD",
            "MaxPayloadInMB": megabytes,
        }

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Settings:
        """Return the settings of an environment.

        Raises:
            InputError: A variable holds no number, or one out of its range.
        """
        batch = environment.get("SAGEMAKER_BATCH", "").lower() == "true"
        megabytes = _number(environment, "SAGEMAKER_MAX_PAYLOAD_IN_MB", 0, 0, BATCH_MEGABYTES)
        # 0 stands for chunks without an end, which are read up to the same limit.
        usual = (megabytes or BATCH_MEGABYTES) * MEGABYTE if batch else REAL_TIME_BYTES
        cores = os.cpu_count() or 1
        return cls(
            model_dir=Path(environment.get(BASE_VARIABLE, DEFAULT_BASE)) / "model",
            host=environment.get(HOST_VARIABLE, "127.0.0.1"),
            port=_number(environment, "SAGEMAKER_BIND_TO_PORT", 8080, 0, 65535),
            threads=_number(environment, "SAGEMAKER_MODEL_SERVER_WORKERS", cores, 1, 1024),
            max_payload_bytes=_number(environment, "MAX_CONTENT_LENGTH", usual, 1, 1 << 31),
            default_accept=environment.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", ""),
        )


def _number(environment: Mapping[str, str], name: str, usual: int, least: int, most: int) -> int:
    text = environment.get(name, "").strip()
    if not text:
        return usual
    if not (text.isascii() and text.isdigit() and least <= int(text) <= most):
        raise InputError(
            f"environment variable {name}: found {text!r}, expected a whole number from {least:,} to "
            f"{most:,}\n  change it, or leave it out for {usual:,}"
        )
    return int(text)
