"""A training job's folder: its request, laid out as the container contract says.

<workdir>/ml/                 what stands for /opt/ml; see penstock.containers.contract
<workdir>/log.txt             standard output and standard error, merged
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from penstock import storage
from penstock.errors import DataError, InputError, listed

__all__ = ["RECORDIO", "Channel", "Layout", "TrainingRequest", "lay_out"]

RECORDIO = "application/x-recordio-protobuf"

# SageMaker's own grace between SIGTERM and SIGKILL.
GRACE_S = 120.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Channel:
    """One input channel.

    Attributes:
        name: ``train``, ``validation``.
        uris: The objects, in order; what a manifest lists.
        size_bytes: Length that each object must have; None trusts the objects.
        input_mode: How the container reads them. File copies them into the job's folder, FastFile
            links local ones and copies others.
        content_type: Told to the container; None leaves it out.
    """

    name: str
    uris: tuple[str, ...]
    size_bytes: tuple[int, ...] | None = None
    input_mode: Literal["Pipe", "File", "FastFile"] = "Pipe"
    content_type: str | None = RECORDIO

    def __post_init__(self) -> None:
        if not self.uris:
            raise InputError(f"channel {self.name!r} lists no object, expected at least one")
        if self.size_bytes is not None and len(self.size_bytes) != len(self.uris):
            raise InputError(
                f"channel {self.name!r} has {len(self.size_bytes)} sizes for {len(self.uris)} objects"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingRequest:
    """What to run.

    Attributes:
        job: The job's name, told to the program as TRAINING_JOB_NAME.
        program: Command and arguments.
        hyperparameters: Names and texts.
        channels: Input channels; names differ.
        max_run_s: The program is asked to end after so long.
        idle_timeout_s: A program is killed when for so long no byte of a channel moves and nothing
            is logged.
        stop_grace_s: Time between SIGTERM and SIGKILL.
        metric_definitions: ``(name, regex)``; the regex has one capture group, the value.
        environment: Added to the few variables that a container inherits.
    """

    job: str
    program: tuple[str, ...]
    hyperparameters: Mapping[str, str]
    channels: tuple[Channel, ...]
    max_run_s: float = 86_400.0
    idle_timeout_s: float = 300.0
    stop_grace_s: float = GRACE_S
    metric_definitions: tuple[tuple[str, str], ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = [channel.name for channel in self.channels]
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise InputError(f"training job {self.job!r}: channels given twice: {listed(repeated)}")


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths of one job below its folder."""

    workdir: Path

    @property
    def base(self) -> Path:
        """What stands for /opt/ml."""
        return self.workdir / "ml"

    @property
    def data(self) -> Path:
        """Folder of the channels' FIFOs and files."""
        return self.base / "input" / "data"

    @property
    def model(self) -> Path:
        """What becomes model.tar.gz."""
        return self.base / "model"

    @property
    def failure(self) -> Path:
        """Where a program leaves the reason of its failure."""
        return self.base / "output" / "failure"

    @property
    def log(self) -> Path:
        """The program's output."""
        return self.workdir / "log.txt"

    def make(self) -> None:
        """Make the folders.

        Raises:
            InputError: The job's folder exists and is not empty.
        """
        if self.workdir.exists() and any(self.workdir.iterdir()):
            raise InputError(
                f"{str(self.workdir)!r} is not empty, expected a new folder for the job\n"
                "  a job's files must not mix with those of another"
            )
        for folder in (self.data, self.base / "input" / "config", self.model, self.failure.parent):
            folder.mkdir(parents=True, exist_ok=True)
        (self.base / "output" / "data").mkdir()


def lay_out(request: TrainingRequest, layout: Layout) -> dict[str, int]:
    """Write the configuration, and the objects of channels that are not piped.

    Returns:
        Bytes of each channel that is not piped.

    Raises:
        MissingFileError: An object of such a channel is missing.
        DataError: An object does not have the length that the channel says.
    """
    config = layout.base / "input" / "config"
    host = {"current_host": "algo-1", "hosts": ["algo-1"], "network_interface_name": "lo"}
    _write(config / "hyperparameters.json", dict(request.hyperparameters))
    _write(config / "resourceconfig.json", host)
    _write(
        config / "inputdataconfig.json",
        {channel.name: _input_config(channel) for channel in request.channels},
    )
    return {
        channel.name: _place(channel, layout.data / channel.name)
        for channel in request.channels
        if channel.input_mode != "Pipe"
    }


def _input_config(channel: Channel) -> dict[str, str]:
    config = {
        "TrainingInputMode": channel.input_mode,
        "S3DistributionType": "FullyReplicated",
        "RecordWrapperType": "None",
    }
    return config | ({"ContentType": channel.content_type} if channel.content_type else {})


def _place(channel: Channel, folder: Path) -> int:
    """Put a channel's objects into ``folder``; return their bytes."""
    folder.mkdir()
    total = 0
    for number, uri in enumerate(channel.uris):
        target = folder / PurePosixPath(uri).name
        if target.exists() or target.is_symlink():
            raise InputError(
                f"channel {channel.name!r}: two objects are called {target.name!r}, a folder holds "
                "one\n  use input_mode Pipe, or rename one"
            )
        local = storage.normal(uri).removeprefix("file://")
        if channel.input_mode == "FastFile" and local.startswith("/"):
            storage.open_input(
                uri
            ).close()  # a missing object is an error now, not in the container
            target.symlink_to(local)
        else:
            with storage.open_input(uri) as source, target.open("wb") as copy:
                shutil.copyfileobj(source, copy, 1 << 20)
        size = target.stat().st_size
        if channel.size_bytes is not None and size != channel.size_bytes[number]:
            raise DataError(
                f"channel {channel.name!r}: {uri!r} has {size} bytes, the dataset says "
                f"{channel.size_bytes[number]}\n  verify the dataset, then convert it again"
            )
        total += size
    return total


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2))
