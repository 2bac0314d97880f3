"""SageMaker batch transform: see ``control``, whose notes docs/local-plane.md shows."""

from __future__ import annotations

from penstock.local.site import Service, Site

__all__ = ["service"]


def service(site: Site) -> Service:
    """Return the service of a plane."""
    from penstock.local.transform.control import Transform

    return Transform(site)
