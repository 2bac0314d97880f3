"""The services of a plane, each made when the plane starts; their heavy imports wait for their first call."""

from __future__ import annotations

import importlib

from penstock.local.site import Service, Site

__all__ = ["MODULES", "services"]

MODULES: tuple[str, ...] = (
    "penstock.local.athena",
    "penstock.local.emr",
    "penstock.local.emrserverless",
    "penstock.local.gluejobs",
    "penstock.local.glue",
    "penstock.local.triggers",
    "penstock.local.training",
    "penstock.local.hosting",
    "penstock.local.hosting.runtime",
    "penstock.local.transform",
)


def services(site: Site) -> tuple[Service, ...]:
    """Return one of each service for the site; every module has ``service(site)``."""
    return tuple(importlib.import_module(module).service(site) for module in MODULES)
