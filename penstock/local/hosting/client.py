"""Requests to a container's server, as the platform makes them."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Broken", "Reply", "TimedOut", "Unreachable", "ask", "free_port"]

# The platform's: a server must take the connection within this time.
CONNECT_S = 0.25
LOOPBACK = "127.0.0.1"


class Unreachable(Exception):
    """Nothing takes the connection."""


class TimedOut(Exception):
    """There is no answer in time."""


class Broken(Exception):
    """The connection ended before the answer did, or what came is no HTTP."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """What a container answered.

    Attributes:
        status: Of HTTP.
        headers: By lower-case name.
        body: Its bytes.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


def ask(
    port: int,
    method: str,
    path: str,
    *,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    timeout_s: float,
) -> Reply:
    """Return a server's answer to one request.

    Raises:
        Unreachable: Nothing takes the connection.
        TimedOut: It says nothing for ``timeout_s``.
        Broken: It ends in the middle.
    """
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=CONNECT_S)
    try:
        try:
            connection.connect()
        except OSError as error:
            raise Unreachable(str(error)) from error
        connection.sock.settimeout(timeout_s)
        try:
            connection.request(method, path, body, dict(headers or {}))
            found = connection.getresponse()
            content = found.read()
        except TimeoutError as error:
            raise TimedOut(f"no answer within {timeout_s:g} s") from error
        except (OSError, http.client.HTTPException) as error:
            raise Broken(f"{type(error).__name__}: {error}") from error
    finally:
        connection.close()
    named = {name.lower(): value for name, value in found.getheaders()}
    return Reply(status=found.status, headers=named, body=content)


def free_port() -> int:
    """Return a port of this machine that nothing uses at this moment."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])
