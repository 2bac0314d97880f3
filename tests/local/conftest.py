"""The plane, for all tests of it."""

from __future__ import annotations

from penstock.local.fixtures import plane

__all__ = ["plane"]
