"""An output object, which appears when it is finished, or never."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from typing import Any

from penstock import storage

__all__ = ["Output"]


class _AbortedError(Exception):
    """Why the upload ends."""


class Output:
    """Written piece by piece; nothing is there before ``finish``.

    Attributes:
        uri: Where it appears.
    """

    def __init__(self, uri: str) -> None:
        """Prepare; nothing is opened yet."""
        self.uri = uri
        self._stack: ExitStack | None = None
        self._stream: Any = None

    def write(self, content: bytes) -> None:
        """Add to it."""
        if self._stack is None:
            self._stack = ExitStack()
            self._stream = self._stack.enter_context(storage.open_output(self.uri))
        self._stream.write(content)

    def finish(self) -> None:
        """Let it appear."""
        self.write(b"")
        stack, self._stack = self._stack, None
        if stack is not None:
            stack.close()

    def abort(self) -> None:
        """Leave nothing; twice, or before anything was written, is no error."""
        stack, self._stack = self._stack, None
        if stack is not None:
            with suppress(_AbortedError), stack:
                raise _AbortedError
