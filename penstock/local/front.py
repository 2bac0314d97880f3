"""The application that answers every request: a service's real work, a refusal, or moto."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from penstock.local.operations import recorded
from penstock.local.site import Handler, Service
from penstock.local.wire import Answer, AwsError, Call, Environ, StartResponse, read_call

__all__ = ["Front"]


class Front:
    """Dispatches requests, as WSGI has them."""

    def __init__(self, app: Any, services: Sequence[Service], regions: set[str]) -> None:
        """Take moto's application, the services before it, and where to note the regions of calls."""
        self._app, self._regions = app, regions
        self._handlers: Mapping[tuple[str, str], Handler] = {
            (service.name, operation): handler
            for service in services
            for operation, handler in service.operations().items()
        }

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        try:
            call = read_call(environ)
            answer = None if call is None else self._answer(call)
        except AwsError as error:
            answer = error.answer()
        except Exception:  # noqa: BLE001  a server's last resort: the client gets a 500, the log the cause
            traceback.print_exc(file=sys.stderr)
            message = "the local plane failed; its log has the cause"
            answer = AwsError("InternalFailure", message, status=500).answer()
        if answer is not None:
            return answer(environ, start_response)
        found: Iterable[bytes] = self._app(environ, start_response)
        return found

    def _answer(self, call: Call) -> Answer | None:
        """Return what a service answers; None when moto is to answer."""
        self._regions.add(call.region)
        handler = self._handlers.get((call.service, call.operation))
        if handler is not None:
            made = handler(call)
            return made if isinstance(made, Answer) else Answer.of(made)
        if call.operation not in recorded(call.service):
            raise AwsError(
                "NotSupportedByLocalPlane",
                f"{call.service}.{call.operation} is not in the local plane: it would need AWS itself\n"
                "  docs/local-plane.md lists what is real, what is recorded only and what is refused",
                status=501,
            )
        return None
