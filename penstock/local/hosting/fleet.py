"""The endpoints of a plane: what changes them and what asks them are two services."""

from __future__ import annotations

import threading
from weakref import WeakKeyDictionary

from penstock.local.hosting.endpoint import Endpoint
from penstock.local.site import Site

__all__ = ["Fleet", "fleet_of"]

_FLEETS: WeakKeyDictionary[Site, Fleet] = WeakKeyDictionary()
_LOCK = threading.Lock()


class Fleet:
    """All endpoints, by region and name."""

    def __init__(self) -> None:
        """Make an empty one."""
        self._endpoints: dict[tuple[str, str], Endpoint] = {}
        self._lock = threading.Lock()

    def get(self, region: str, name: str) -> Endpoint | None:
        """Return an endpoint, or None."""
        return self._endpoints.get((region, name))

    def add(self, region: str, endpoint: Endpoint) -> None:
        """Take in an endpoint."""
        with self._lock:
            self._endpoints[region, endpoint.name] = endpoint

    def remove(self, region: str, name: str) -> None:
        """Forget an endpoint."""
        with self._lock:
            self._endpoints.pop((region, name), None)

    def stop(self) -> None:
        """End all servers of all endpoints, at the same time."""
        with self._lock:
            endpoints, self._endpoints = list(self._endpoints.values()), {}
        threads = [threading.Thread(target=each.stop, daemon=True) for each in endpoints]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def fleet_of(site: Site) -> Fleet:
    """Return the endpoints of a plane, the same for all who ask."""
    with _LOCK:
        return _FLEETS.setdefault(site, Fleet())
