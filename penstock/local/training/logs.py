"""Lines of containers on their way to CloudWatch Logs, some at a time."""

from __future__ import annotations

import threading

from penstock.local.site import Site

__all__ = ["GROUP", "LogStream"]

GROUP = "/aws/sagemaker/TrainingJobs"

# A call of PutLogEvents takes 10,000 events and 1 MiB.
LINES_A_CALL = 200
LINE_CHARACTERS = 4096
BUFFER_LINES = 100


class LogStream:
    """One stream; any thread may add to it."""

    def __init__(self, site: Site, stream: str, region: str) -> None:
        """Prepare; the stream appears with its first line."""
        self._site, self._stream, self._region = site, stream, region
        self._lines: list[str] = []
        self._lock = threading.Lock()

    def add(self, line: str) -> None:
        """Take in a line."""
        with self._lock:
            self._lines.append(line)
            full = len(self._lines) >= BUFFER_LINES
        if full:
            self.flush()

    def flush(self) -> None:
        """Send what is there; lines keep their order."""
        with self._lock:
            lines = [
                line[start : start + LINE_CHARACTERS]
                for line in self._lines
                for start in range(0, len(line), LINE_CHARACTERS)
            ]
            self._lines = []
            for start in range(0, len(lines), LINES_A_CALL):
                part = lines[start : start + LINES_A_CALL]
                self._site.log(GROUP, self._stream, part, region=self._region)
