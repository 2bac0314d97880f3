"""A training job's folder: its request, laid out as the container contract says.

<workdir>/ml/                 what stands for /opt/ml; see penstock.containers.contract
<workdir>/log.txt             standard output and standard error, merged
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from penstock import storage
from penstock.errors import DataError, InputError
from penstock.host.channel import Channel, Share, check_names

__all__ = ["Layout", "TrainingRequest", "lay_out"]

# SageMaker's own grace between SIGTERM and SIGKILL.
GRACE_S = 120.0


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
        host: This host's number, from 0; it is called ``algo-1``, ``algo-2`` ...
        hosts: How many there are. Each runs a request of its own.
        instance_type: Told to the container; None leaves it out.
        files: More files to lay out: path below /opt/ml -> text.
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
    host: int = 0
    hosts: int = 1
    instance_type: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_names(self.channels, f"training job {self.job!r}")

    @property
    def share(self) -> Share:
        """Which host this is, for channels that are shared out."""
        return Share(self.host, self.hosts)

    @property
    def host_name(self) -> str:
        """What the host is called, ``algo-1``."""
        return f"algo-{self.host + 1}"


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
    def output_data(self) -> Path:
        """What becomes output.tar.gz."""
        return self.base / "output" / "data"

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
        self.output_data.mkdir()


def lay_out(
    request: TrainingRequest, layout: Layout, *, ended: Callable[[], bool] = lambda: False
) -> dict[str, int]:
    """Write the configuration, and the objects of channels that are not piped.

    Args:
        request: What to lay out.
        layout: Where.
        ended: Asked between pieces of objects; once true, what is left is not copied.

    Returns:
        Bytes of each channel that is not piped.

    Raises:
        MissingFileError: An object of such a channel is missing.
        DataError: An object does not have the length that the channel says.
    """
    config = layout.base / "input" / "config"
    _write(config / "hyperparameters.json", dict(request.hyperparameters))
    _write(config / "resourceconfig.json", _resources(request))
    _write(
        config / "inputdataconfig.json",
        {channel.name: _input_config(channel) for channel in request.channels},
    )
    for name, text in request.files.items():
        path = layout.base / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return {
        channel.name: _placed(channel, request.share, layout.data / channel.name, ended)
        for channel in request.channels
        if channel.input_mode != "Pipe"
    }


def _resources(request: TrainingRequest) -> dict[str, Any]:
    names = sorted(f"algo-{number + 1}" for number in range(request.hosts))
    told: dict[str, Any] = {
        "current_host": request.host_name,
        "hosts": names,
        "network_interface_name": "lo",
    }
    if request.instance_type is None:
        return told
    group = "homogeneousCluster"
    kind = {"instance_group_name": group, "instance_type": request.instance_type, "hosts": names}
    return told | {
        "current_instance_type": request.instance_type,
        "current_group_name": group,
        "instance_groups": [kind],
    }


def _input_config(channel: Channel) -> dict[str, str]:
    config = {
        "TrainingInputMode": channel.input_mode,
        "S3DistributionType": "ShardedByS3Key" if channel.sharded else "FullyReplicated",
        "RecordWrapperType": channel.record_wrapper,
    }
    return config | ({"ContentType": channel.content_type} if channel.content_type else {})


def _placed(channel: Channel, share: Share, folder: Path, ended: Callable[[], bool]) -> int:
    try:
        return _place(channel, share, folder, ended)
    except DataError as error:
        raise DataError(f"channel {channel.name!r}: {error}") from error


def _place(channel: Channel, share: Share, folder: Path, ended: Callable[[], bool]) -> int:
    """Put a host's share of a channel's objects into ``folder``; return their bytes."""
    folder.mkdir()
    total = 0
    for number in channel.numbers(0, share):
        name = channel.file_name(number)
        target = _target(channel, folder, name)
        local = storage.normal(channel.source(number)).removeprefix("file://")
        linked = channel.input_mode == "FastFile" and local.startswith("/")
        if linked:
            # A missing object is an error now, not in the container.
            storage.open_input(local).close()
            target.symlink_to(local)
        else:
            with target.open("wb") as copy, closing(channel.stored(number)) as chunks:
                for chunk in chunks:
                    if ended():
                        return total
                    copy.write(chunk)
        size = target.stat().st_size
        if linked and channel.size_bytes is not None and size != channel.size_bytes[number]:
            raise DataError(
                f"{channel.source(number)!r} has {size} bytes, the dataset says "
                f"{channel.size_bytes[number]}\n  verify the dataset, then convert it again"
            )
        total += size
    return total


def _target(channel: Channel, folder: Path, name: str) -> Path:
    """Return where an object goes; nothing stands there yet."""
    parts = PurePosixPath(name).parts
    if not parts or ".." in parts or name.startswith("/"):
        raise InputError(
            f"channel {channel.name!r}: an object would be called {name!r}, expected a path below "
            "the channel's folder\n  use input_mode Pipe, or rename it"
        )
    target = folder / name
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise InputError(
            f"channel {channel.name!r}: {name!r} lies below an object, a folder cannot be both\n"
            "  use input_mode Pipe, or rename one"
        ) from None
    if target.exists() or target.is_symlink():
        raise InputError(
            f"channel {channel.name!r}: two objects are called {name!r}, a folder holds "
            "one\n  use input_mode Pipe, or rename one"
        )
    return target


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2))
