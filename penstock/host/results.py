"""How a training job ended, in values and in words."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from penstock.host.metrics import Metric
from penstock.host.pipe import Flow

__all__ = ["ChannelUse", "Status", "TrainingResult", "died", "hung"]

Status = Literal["Completed", "Failed", "Stopped"]

# What SageMaker keeps of output/failure.
FAILURE_CHARACTERS = 1024

LOG_LINES = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class ChannelUse:
    """What a container read of a channel.

    Attributes:
        mode: ``Pipe``, ``File`` or ``FastFile``.
        bytes: Pipe: bytes written into FIFOs, over all epochs. Else the bytes of its files.
        epochs: Pipe: FIFOs that the container opened. None else: files are read unseen.
    """

    mode: str
    bytes: int
    epochs: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingResult:
    """How a job ended.

    Attributes:
        job: Its name.
        status: ``Completed``, ``Failed`` or ``Stopped``.
        failure_reason: Why not Completed; None when it is.
        exit_code: The program's, negative for a signal; None when it was never started.
        model_dir: What it saved; may be empty.
        log_path: Its output.
        seconds: From the request to the end.
        channels: What it read, by channel name.
        metrics: ``(name, epoch, value)`` in log order.
    """

    job: str
    status: Status
    failure_reason: str | None
    exit_code: int | None
    model_dir: Path
    log_path: Path
    seconds: float
    channels: Mapping[str, ChannelUse]
    metrics: tuple[Metric, ...]


def died(exit_code: int, failure: Path, last_lines: Sequence[str]) -> str:
    """Return why a program ended with ``exit_code``: its own words, or the end of its log."""
    if failure.exists() and (said := failure.read_text(errors="replace").strip()):
        return said[:FAILURE_CHARACTERS]
    if exit_code < 0:
        how = f"the program was killed by {_signal_name(-exit_code)}"
        if -exit_code == signal.SIGKILL:
            how += ", as the system does when memory runs out"
    else:
        how = f"the program ended with exit code {exit_code} and left no output/failure"
    if not last_lines:
        return f"{how}; it logged nothing"
    return "\n    ".join([f"{how}; its last lines:", *last_lines[-LOG_LINES:]])


def hung(idle_s: float, flows: Mapping[str, Flow]) -> str:
    """Return where a program hangs that has done nothing for ``idle_s`` seconds."""
    silence = f"nothing was logged for {idle_s:g} s"
    for name, flow in flows.items():
        epoch = f"channel {name!r} epoch {flow.epochs - 1}"
        if flow.waits_for == "source":
            return f"{epoch}: {flow.source!r} gave no byte and {silence}\n  the storage hangs"
        if flow.waits_for == "pipe":
            return f"no byte of {epoch} was read and {silence}\n  the program hangs; it was killed"
    waiting = ", ".join(f"{name!r} epoch {flow.epochs}" for name, flow in flows.items())
    unread = f"no channel was opened (next: {waiting}) and " if waiting else ""
    return f"{unread}{silence}\n  the program hangs; it was killed, or raise idle_timeout_s"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
