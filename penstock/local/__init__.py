"""The local plane: AWS APIs on 127.0.0.1 that really do the work, for clients that know nothing of it.

    with Plane() as plane:
        subprocess.run(["aws-program"], env=os.environ | plane.environment())

One process serves everything: moto keeps wire formats, names, validation and states, and in front of
it the operations that moto only pretends to do start real work. docs/local-plane.md lists which.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from penstock.local.plane import Plane

__all__ = ["Plane"]


def __getattr__(name: str) -> Any:
    """Import ``Plane`` when it is asked for: the command's help needs none of it."""
    if name == "Plane":
        from penstock.local.plane import Plane

        return Plane
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
