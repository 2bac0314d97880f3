"""Pipe mode: one thread per channel writes the channel's objects into a FIFO, epoch by epoch.

    mkfifo <channel>_0        the reader may look for it before it opens it
    open for writing          waits until the reader opens its side
    mkfifo <channel>_1        so the next epoch is there before this one ends
    write the objects' bytes, in order, nothing between them
    close, unlink <channel>_0 the reader sees the end of the epoch; a FIFO is read once
    ... and so on, for as many epochs as the reader opens

A reader that closes early ends its epoch, not the channel. A failure of ours must never look like
the end of an epoch, or a model would be trained on half the rows: the feeder keeps the FIFO open,
reports, and waits until the container is dead.
"""

from __future__ import annotations

import fcntl
import os
import select
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from penstock.host.channel import ALL, Channel, Share

__all__ = ["Feeder", "Flow"]

# The default capacity of a Linux FIFO is 64 KiB; an ordinary user may raise it to 1 MiB.
PIPE_BYTES = 1 << 20

# How often a feeder that waits for its reader looks whether the job has ended.
WAKE_MS = 100

# How long a feeder may take to notice that the job has ended, before it is left behind.
JOIN_DEADLINE_S = 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Flow:
    """Where a channel stands.

    Attributes:
        bytes: Bytes that the reader has taken, over all epochs.
        epochs: Epochs whose FIFO was opened by the reader.
        moved_at: When a byte last moved or a FIFO was opened, in seconds of time.monotonic().
        waits_for: ``reader``: the next FIFO is not opened yet. ``pipe``: the reader takes no bytes.
            ``source``: an object gives no bytes.
        source: URI of the object being read.
    """

    bytes: int
    epochs: int
    moved_at: float
    waits_for: str
    source: str


class _ReaderClosed(Exception):
    """The reader closed its side. It may: the epoch ends, the channel goes on."""


class Feeder:
    """Writes one channel. Start it before the container, stop it after the container has ended.

    Attributes:
        name: The channel's.
        failure: Why the channel cannot go on; None while it can.
    """

    def __init__(
        self,
        channel: Channel,
        folder: Path,
        *,
        share: Share = ALL,
        on_failure: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare a feeder; nothing is opened yet.

        Args:
            channel: What to write.
            folder: Where the FIFOs stand, ``<base>/input/data``.
            share: Which host reads.
            on_failure: Called in the feeder's thread after ``failure`` was set.
        """
        self.name, self.failure = channel.name, None
        self._channel, self._folder, self._share = channel, folder, share
        self._on_failure = on_failure
        self._stopped = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name=f"feeder {channel.name}", daemon=True
        )
        self._bytes = self._epochs = 0
        self._moved_at, self._waits_for, self._source = time.monotonic(), "reader", ""

    failure: str | None

    @property
    def flow(self) -> Flow:
        """Where the channel stands now."""
        return Flow(
            bytes=self._bytes,
            epochs=self._epochs,
            moved_at=self._moved_at,
            waits_for=self._waits_for,
            source=self._source,
        )

    def start(self) -> None:
        """Make the first FIFO and begin to wait for its reader."""
        os.mkfifo(self._path(0))
        self._thread.start()

    def stop(self) -> bool:
        """End the thread and remove the FIFOs; return whether the thread has ended.

        The container must be dead: a reader would take the closed FIFO for the end of an epoch.
        """
        self._stopped.set()
        deadline = time.monotonic() + JOIN_DEADLINE_S
        while self._thread.is_alive() and time.monotonic() < deadline:
            # A reader that comes and goes releases a writer that waits in open().
            with suppress(FileNotFoundError):
                os.close(os.open(self._path(self._epochs), os.O_RDONLY | os.O_NONBLOCK))
            self._thread.join(WAKE_MS / 1000)
        for path in self._folder.glob(f"{self.name}_*"):
            if path.is_fifo():
                path.unlink(missing_ok=True)
        return not self._thread.is_alive()

    def _path(self, epoch: int) -> Path:
        return self._folder / f"{self.name}_{epoch}"

    def _run(self) -> None:
        while not self._stopped.is_set():
            path, target = self._path(self._epochs), None
            try:
                target = os.open(path, os.O_WRONLY)
                if not self._stopped.is_set():
                    self._epoch(target)
            except _ReaderClosed:
                self._waits_for = "reader"
            except Exception as error:  # noqa: BLE001 - the end of the thread: any reason counts
                self.failure = f"channel {self.name!r}, epoch {max(self._epochs - 1, 0)}: {error}"
                self._on_failure()
                self._stopped.wait()
            finally:
                if target is not None:
                    os.close(target)
                path.unlink(missing_ok=True)

    def _epoch(self, target: int) -> None:
        """Write one epoch into the open FIFO ``target``."""
        self._epochs += 1
        os.mkfifo(self._path(self._epochs))
        self._moved_at = time.monotonic()
        with suppress(OSError, AttributeError):  # not Linux, or no room: slower, not wrong
            fcntl.fcntl(target, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        os.set_blocking(target, False)
        for number in self._channel.numbers(self._epochs - 1, self._share):
            self._source, self._waits_for = self._channel.source(number), "source"
            with closing(self._channel.content(number)) as chunks:
                for chunk in chunks:
                    self._waits_for = "pipe"
                    self._write(memoryview(chunk), target)
                    if self._stopped.is_set():
                        return
                    self._waits_for = "source"
        self._waits_for = "reader"

    def _write(self, chunk: memoryview, target: int) -> None:
        # Never a write that blocks: it could not be ended when a process outside the container's
        # group holds the FIFO open.
        poll = select.poll()
        poll.register(target, select.POLLOUT)
        while chunk and not self._stopped.is_set():
            try:
                written = os.write(target, chunk)
            except BlockingIOError:
                poll.poll(WAKE_MS)
                continue
            except BrokenPipeError:
                raise _ReaderClosed from None
            self._bytes += written
            self._moved_at = time.monotonic()
            chunk = chunk[written:]
