"""Which command serves an image: the programs of penstock.containers, or the mapping file's."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from penstock.local.training.images import program_of

__all__ = ["Server", "server_of"]

SCORING = "penstock.containers.scoring"
# Repositories of ours that no account of SageMaker's has.
OWN: Mapping[str, str] = {"penstock-features": "penstock.containers.features"}
_REGISTRY = re.compile(r"[^/]+[.:][^/]*/")


@dataclass(frozen=True, kw_only=True, slots=True)
class Server:
    """What runs.

    Attributes:
        command: Command and arguments.
        environment: Added to the container's.
    """

    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


def server_of(image: str, folder: Path) -> Server:
    """Return the program that serves an image.

    Args:
        image: Its URI.
        folder: The plane's, where the mapping file may stand.

    Raises:
        AwsError: There is none, or the mapping file is wrong.
    """
    repository = re.split(r"[:@]", _REGISTRY.sub("", image, count=1))[0]
    if repository in OWN:
        return Server(command=(sys.executable, "-m", OWN[repository], "serve"))
    program = program_of(image, folder)
    if program.algorithm is not None:
        return Server(command=(sys.executable, "-m", SCORING, "serve"))
    return Server(command=(*program.command, "serve"), environment=program.environment)
