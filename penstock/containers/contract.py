"""SageMaker's training container contract, below a prefix that can be moved.

    <base>/input/config/hyperparameters.json     {"epochs": "15"}: all values are texts
                        inputdataconfig.json     {"train": {"TrainingInputMode": "Pipe", ...}}
                        resourceconfig.json      {"current_host": "algo-1", "hosts": ["algo-1"]}
           input/data/<channel>_<epoch>          Pipe: one FIFO per epoch, gone once it was read
           input/data/<channel>/...              File, FastFile: the channel's objects
           model/                                what becomes model.tar.gz
           output/failure                        its first 1024 characters become FailureReason
           output/data/                          what becomes output.tar.gz

<base> is /opt/ml, or what SAGEMAKER_BASE_DIR says. The program is started with the one argument
``train``, ends with 0 when it succeeded and 1 when not, and has some time between SIGTERM and
SIGKILL to save what it has.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from penstock import recordio
from penstock.containers.batches import Batch, rebatch
from penstock.errors import DataError, InputError, PenstockError, listed, nearest

__all__ = ["BASE_VARIABLE", "Channel", "Job", "StopRequested", "log", "main", "open_job"]

BASE_VARIABLE = "SAGEMAKER_BASE_DIR"
DEFAULT_BASE = "/opt/ml"

# What SageMaker keeps of output/failure.
FAILURE_CHARACTERS = 1024

# The next FIFO is usually made in advance, but nothing promises it; other readers of such
# channels give up after the same two minutes.
FIFO_DEADLINE_S = 120.0
FIFO_POLL_S = 0.01

# Channels of algorithms that learn from labels.
SUPERVISED = ("train", "validation")

_MODES = ("Pipe", "File", "FastFile")
_CONTENT_TYPES = ("application/x-recordio-protobuf",)


class StopRequested(Exception):
    """SIGTERM arrived. Not an error: save what there is and end with 0."""


class Channel:
    """One input channel: the same rows, once per epoch.

    Attributes:
        name: As the job calls it, ``train``.
        mode: ``Pipe``, ``File`` or ``FastFile``.
        epochs: How many epochs were begun so far.
    """

    def __init__(
        self, name: str, mode: str, data_dir: Path, *, fifo_deadline_s: float = FIFO_DEADLINE_S
    ) -> None:
        self.name, self.mode, self.epochs = name, mode, 0
        self._data_dir, self._fifo_deadline_s = data_dir, fifo_deadline_s

    def epoch(self, batch_rows: int, *, labelled: bool = True) -> Generator[Batch]:
        """Yield the next epoch in batches of exactly ``batch_rows`` rows, but for the last.

        In Pipe mode this opens the next FIFO, and waits for it; in the file modes it reads all
        files again, in the order of their names. Both give equal batches for equal bytes. Memory
        is that of a few batches. Closing the iterator early closes the FIFO. Labels may be left out,
        and are passed over, when they are not ``labelled``.

        Raises:
            InputError: The FIFO does not appear in time, or the channel has no file.
            DataError: The stream is not RecordIO, not of one layout and width, or lacks labels.
        """
        number = self.epochs
        self.epochs += 1
        where = f"channel {self.name!r}"
        pieces = self._fifo(number, batch_rows) if self.mode == "Pipe" else self._files(batch_rows)
        with closing(pieces):
            yield from rebatch(pieces, batch_rows, where, labelled=labelled)

    def _fifo(self, number: int, batch_rows: int) -> Generator[recordio.Records]:
        path = self._data_dir / f"{self.name}_{number}"
        deadline = time.monotonic() + self._fifo_deadline_s
        while not path.exists():
            if time.monotonic() > deadline:
                raise InputError(
                    f"channel {self.name!r}: FIFO {path.name!r} did not appear within "
                    f"{self._fifo_deadline_s:g} s\n"
                    "  one FIFO per epoch is expected; the platform's agent may have died"
                )
            time.sleep(FIFO_POLL_S)
        with path.open("rb", buffering=0) as stream:
            yield from recordio.read(stream, batch_rows=batch_rows)

    def _files(self, batch_rows: int) -> Generator[recordio.Records]:
        folder = self._data_dir / self.name
        hidden = (".", "_")
        found = [
            path for path in folder.rglob("*") if path.is_file() and path.name[0] not in hidden
        ]
        if not found:
            raise InputError(
                f"channel {self.name!r}: no file in {str(folder)!r}, expected at least one\n"
                "  check what the channel's S3 prefix or manifest lists"
            )
        for path in sorted(found, key=lambda path: os.fsencode(path.relative_to(folder))):
            yield from recordio.read(path, batch_rows=batch_rows)


@dataclass(kw_only=True, slots=True)
class Job:
    """What the platform tells a training program, and the way to tell it something back.

    Attributes:
        base: The folder that stands for /opt/ml.
        hyperparameters: Names and texts, as given.
        channels: By name.
        host: This host's name in the job, ``algo-1``.
        stopping: Whether SIGTERM has arrived.
    """

    base: Path
    hyperparameters: Mapping[str, str]
    channels: Mapping[str, Channel]
    host: str
    stopping: bool = False
    _raises: bool = False

    @property
    def model_dir(self) -> Path:
        """The folder that becomes model.tar.gz; made on first use."""
        folder = self.base / "model"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def channel(self, name: str) -> Channel:
        """Return a channel that the program cannot do without.

        Raises:
            InputError: The job has no such channel.
        """
        if name not in self.channels:
            raise InputError(
                f"the job has no channel {name!r}, it has: {listed(tuple(self.channels)) or 'none'}\n"
                f"  add {name!r} to InputDataConfig"
            )
        return self.channels[name]

    def stop(self, _signal: int = signal.SIGTERM, _frame: FrameType | None = None) -> None:
        """Ask for an early end; the handler of SIGTERM.

        Raises:
            StopRequested: The program is inside :meth:`interruptible`.
        """
        self.stopping = True
        if self._raises:
            self._raises = False  # once: a second SIGTERM must not disturb the saving
            raise StopRequested

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Mark work that SIGTERM breaks off with :class:`StopRequested`: reading, mostly."""
        if self.stopping:
            raise StopRequested
        self._raises = True
        try:
            yield
        finally:
            self._raises = False


def log(message: str) -> None:
    """Print one line as SageMaker's algorithms do; the platform's metric regexes read these."""
    stamp = time.strftime("%m/%d/%Y %H:%M:%S")
    print(f"[{stamp} INFO {os.getpid()}] {message}", flush=True)


def open_job(base: Path, names: Sequence[str] = SUPERVISED) -> Job:
    """Return the job whose configuration stands below ``base``.

    Args:
        base: What stands for /opt/ml.
        names: Channels that the program knows.

    Raises:
        InputError: A file is missing or not what the contract says; several hosts; a channel
            whose mode, wrapper or content type is not read here.
    """
    config = base / "input" / "config"
    resources = _json(config / "resourceconfig.json")
    hosts = resources.get("hosts", ["algo-1"])
    if len(hosts) > 1:
        raise InputError(
            f"resourceconfig.json: {len(hosts)} hosts, expected 1: these programs train on one "
            "host\n  set the instance count to 1"
        )
    inputs = _json(config / "inputdataconfig.json")
    return Job(
        base=base,
        hyperparameters=_json(config / "hyperparameters.json"),
        channels={
            name: _channel(name, about, base / "input" / "data", names)
            for name, about in inputs.items()
        },
        host=resources.get("current_host", hosts[0]),
    )


def _channel(name: str, about: Mapping[str, str], data_dir: Path, names: Sequence[str]) -> Channel:
    mode = about.get("TrainingInputMode", "File")
    wrapper = about.get("RecordWrapperType", "None")
    content_type = about.get("ContentType", _CONTENT_TYPES[0])
    where = f"inputdataconfig.json, channel {name!r}"
    if name not in names:
        close = nearest(name, names)
        hint = f"; did you mean {close!r}?" if close else ""
        expected = " or ".join(map(repr, names))
        raise InputError(f"{where}: unknown name, expected {expected}{hint}")
    if mode not in _MODES:
        raise InputError(f"{where}: TrainingInputMode is {mode!r}, expected {listed(_MODES)}")
    if wrapper != "None":
        raise InputError(
            f"{where}: RecordWrapperType is {wrapper!r}, expected 'None': the shards are RecordIO "
            "already"
        )
    if content_type.split(";")[0].strip() not in _CONTENT_TYPES:
        raise InputError(
            f"{where}: ContentType is {content_type!r}, expected {listed(_CONTENT_TYPES)}\n"
            "  convert the rows first: penstock convert"
        )
    return Channel(name, mode, data_dir)


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        raise InputError(
            f"{str(path)!r} is missing\n  the platform writes it; below {BASE_VARIABLE} on a laptop"
        ) from None
    except json.JSONDecodeError as error:
        raise InputError(f"{str(path)!r} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"{str(path)!r} holds {type(content).__name__}, expected a JSON object")
    return content


def main(train: Callable[[Job], None], argv: list[str], names: Sequence[str] = SUPERVISED) -> int:
    """Run ``train`` as the platform runs a container; return the exit code.

    Args:
        train: Reads the job's channels, writes the model.
        argv: The program's arguments; SageMaker passes ``train``.
        names: Channels that the program knows.
    """
    if argv != ["train"]:
        print(f"expected the one argument 'train', got {argv!r}", file=sys.stderr)
        return 2
    base = Path(os.environ.get(BASE_VARIABLE, DEFAULT_BASE))
    try:
        job = open_job(base, names)
        signal.signal(signal.SIGTERM, job.stop)
        train(job)
    except (InputError, DataError) as error:
        return _failed(base, f"ClientError: {error}")
    except PenstockError as error:
        return _failed(base, f"AlgorithmError: {error}")
    except Exception as error:  # noqa: BLE001 - the end of the process: its reason must be kept
        return _failed(base, f"AlgorithmError: {type(error).__name__}: {error}")
    return 0


def _failed(base: Path, reason: str) -> int:
    traceback.print_exc()
    print(reason, file=sys.stderr, flush=True)
    path = base / "output" / "failure"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(reason[:FAILURE_CHARACTERS])
    return 1
