"""What a program must offer to be served."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from penstock.containers.serving.media import MediaType

__all__ = ["Answer", "Predictor"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What a request gets back.

    Attributes:
        body: Its bytes.
        rows: How many rows were asked about, for the log.
    """

    body: bytes | memoryview
    rows: int


class Predictor(Protocol):
    """A loaded model. Several threads ask it at once."""

    @property
    def reads(self) -> Sequence[str]:
        """Media types of requests, as ``text/csv``, lower case."""

    @property
    def gives(self) -> Sequence[str]:
        """Media types of answers; the first is the one for clients that have no wish."""

    def about(self) -> Sequence[str]:
        """Return the lines that are logged when it is ready."""

    def answer(self, body: bytes, content: MediaType, accept: str) -> Answer:
        """Return the answer to one request.

        Args:
            body: Never empty.
            content: What the body is, one of ``reads``, with the parameters of the header.
            accept: What the answer is to be, one of ``gives``.

        Raises:
            InputError: The request is wrong as a whole. The client gets 400 and the text.
            DataError: A row is wrong; likewise.
        """
