"""A container program as a process group: started apart, read without blocking, always ended."""

from __future__ import annotations

import errno
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

__all__ = ["Process", "clean_environment"]

# What a container inherits. Everything else stays outside: credentials above all, which a
# container gets only when the request names them.
KEPT = (
    "HOME",
    "LANG",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "PATH",
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONHASHSEED",
    "PYTHONPATH",
    "TMPDIR",
    "TZ",
    "VIRTUAL_ENV",
)
KEPT_PREFIX = "LC_"

# A line longer than this is cut: a program that logs without line ends must not fill the memory.
LINE_BYTES = 64 * 1024

# A killed process is gone at once, but for one that the kernel holds in a dead disk's wait.
KILL_DEADLINE_S = 10.0

# Its killed children go a moment later. Where process 1 collects nobody, they stay as zombies, which
# hold nothing: not worth a longer wait.
ORPHANS_DEADLINE_S = 1.0
ORPHANS_POLL_S = 0.002

# A killed parent cleans nothing up. On Linux the kernel can kill the child with it, when the child
# asks; setting that between fork and exec from Python is not safe in a process with threads, so a
# small program asks and then becomes the container's. Python ignores SIGPIPE, containers must not.
TETHER = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() != int(sys.argv[1]):
    sys.exit("the parent is gone")
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
os.execvp(sys.argv[2], sys.argv[2:])
"""


def clean_environment(given: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a container: a few inherited names, then ``given``."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in KEPT or name.startswith(KEPT_PREFIX)
    }
    # Otherwise a line stands in the program's buffer, and a job looks hung that is not.
    return kept | {"PYTHONUNBUFFERED": "1"} | dict(given)


class Process:
    """A running program with its own session, its output merged and line by line in a file."""

    def __init__(
        self, argv: tuple[str, ...], *, cwd: Path, environment: Mapping[str, str], log: Path
    ) -> None:
        """Start ``argv``.

        Raises:
            OSError: The program cannot be started.
        """
        if shutil.which(argv[0], path=environment.get("PATH")) is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), argv[0])
        self._popen = subprocess.Popen(
            _tethered(argv),
            cwd=cwd,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        if self._popen.stdout is None:
            raise RuntimeError("Popen gave no standard output")
        self._output = self._popen.stdout
        self._log = log.open("wb")
        os.set_blocking(self._output.fileno(), False)
        self._rest = b""
        self._ended = False  # whether the output has ended
        self._group_gone = False

    @property
    def returncode(self) -> int | None:
        """Exit code, negative for a signal; None while the program runs."""
        return self._popen.poll()

    def lines(self, wait_s: float) -> Iterator[str]:
        """Yield the lines that are there, after waiting at most ``wait_s`` for the first."""
        if self._ended:
            # Nothing more to read, and the exit code follows within moments.
            with suppress(subprocess.TimeoutExpired):
                self._popen.wait(wait_s)
            return
        poll = select.poll()
        poll.register(self._output, select.POLLIN)
        poll.poll(wait_s * 1000)
        yield from self._split(self._read())

    def remaining(self) -> Iterator[str]:
        """Yield what a dead program has left behind, without waiting."""
        while piece := self._read():
            yield from self._split(piece)
        if self._rest:
            self._ended = True
            yield from self._split(b"")

    def _read(self) -> bytes:
        try:
            piece = os.read(self._output.fileno(), LINE_BYTES)
        except BlockingIOError:
            return b""
        self._ended = not piece
        self._log.write(piece)
        self._log.flush()
        return piece

    def _split(self, piece: bytes) -> Iterator[str]:
        *lines, self._rest = (self._rest + piece).split(b"\n")
        if self._rest and (self._ended or len(self._rest) > LINE_BYTES):
            lines, self._rest = [*lines, self._rest], b""
        for line in lines:
            yield line.decode(errors="replace").rstrip("\r")

    def terminate(self) -> None:
        """Send SIGTERM to the whole group."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL to the whole group, and wait until the program and its children are gone."""
        self._signal(signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            self._popen.wait(KILL_DEADLINE_S)
            self._await_group()
            self._group_gone = True  # from now on its number may belong to others

    def _await_group(self) -> None:
        """Wait for the killed children; nobody but the system can collect them."""
        deadline = time.monotonic() + ORPHANS_DEADLINE_S
        with suppress(ProcessLookupError, PermissionError):
            while not self._group_gone and time.monotonic() < deadline:
                os.killpg(self._popen.pid, 0)
                time.sleep(ORPHANS_POLL_S)

    def close(self) -> None:
        """Close the log and the output; the program must be dead."""
        self._output.close()
        self._log.close()

    def _signal(self, number: signal.Signals) -> None:
        # The group outlives its leader as long as a child of it runs.
        if not self._group_gone:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._popen.pid, number)


def _tethered(argv: tuple[str, ...]) -> tuple[str, ...]:
    if sys.platform != "linux":
        return argv
    return (sys.executable, "-I", "-S", "-c", TETHER, str(os.getpid()), *argv)
