"""Which program a container image stands for: those of penstock.containers, and those of a mapping file.

The built-in algorithms are known by the name of their repository, whatever account and region the
image is of: ``382416733822.dkr.ecr.us-east-1.amazonaws.com/linear-learner:1``. Other images need a
line in images.json in the plane's folder, or in the file that PENSTOCK_LOCAL_IMAGES names:

    {"my-model:latest": {"train": ["python", "train.py"], "serve": ["python", "serve.py"]}}

A key is a whole image, or its repository without account, region and tag. Programs run on this
machine, with its Python where the command is ``python``, and get the argument as they are listed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from penstock.errors import InputError, listed

__all__ = ["IMAGES_FILE", "IMAGES_VARIABLE", "Role", "mapping_file", "program", "repository"]

Role = Literal["train", "serve"]

IMAGES_FILE = "images.json"
IMAGES_VARIABLE = "PENSTOCK_LOCAL_IMAGES"

# Repository -> role -> module of penstock.containers.
BUILT_IN: Mapping[str, Mapping[Role, str]] = {
    "linear-learner": {
        "train": "penstock.containers.linear_learner",
        "serve": "penstock.containers.scoring",
    },
    "xgboost": {
        "train": "penstock.containers.xgboost",
        "serve": "penstock.containers.scoring",
    },
    "sagemaker-xgboost": {
        "train": "penstock.containers.xgboost",
        "serve": "penstock.containers.scoring",
    },
    "penstock-features": {"serve": "penstock.containers.features"},
}

_IMAGE = re.compile(r"(?:[^/]+[.:][^/]*/)?(?P<repository>[^:@]+)(?::[^:@/]+)?(?:@.+)?")


def repository(image: str) -> str:
    """Return an image's repository: its name without registry, tag and digest.

    >>> repository("382416733822.dkr.ecr.us-east-1.amazonaws.com/linear-learner:1")
    'linear-learner'
    >>> repository("team/model")
    'team/model'
    """
    found = _IMAGE.fullmatch(image)
    return found["repository"] if found else image


def mapping_file(folder: Path) -> Path:
    """Return where the mapping of a plane with that folder stands, whether or not it is there."""
    return Path(os.environ.get(IMAGES_VARIABLE) or folder / IMAGES_FILE)


def program(image: str, role: Role, folder: Path) -> tuple[str, ...]:
    """Return the command that an image runs.

    Args:
        image: As a request names it.
        role: What it is asked to do.
        folder: The plane's; read at each call, so that a mapping can be changed meanwhile.

    Raises:
        InputError: No program is known, or the mapping file is wrong; says where to add one.
    """
    path, name = mapping_file(folder), repository(image)
    given = _mapping(path)
    commands = given.get(image) or given.get(name)
    if commands is not None and role in commands:
        return _command(commands[role], f"{path.name!r}, image {image!r}, {role!r}")
    module = BUILT_IN.get(name, {}).get(role)
    if module is not None:
        return (sys.executable, "-m", module, role)
    known = tuple(each for each, roles in BUILT_IN.items() if role in roles)
    raise InputError(
        f"image {image!r}: no program is known that can {role}, expected one of {listed(known)}, or "
        f"an entry of {path.name!r}\n"
        f'  add {{"{name}": {{"{role}": ["python", "program.py"]}}}} to it: it stands in the plane\'s '
        f"folder, or where {IMAGES_VARIABLE} says"
    )


def _mapping(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise InputError(f"{str(path)!r} is not JSON: {error}") from None
    if not isinstance(found, dict) or not all(isinstance(each, dict) for each in found.values()):
        raise InputError(
            f'{str(path)!r}: expected {{"IMAGE": {{"train": [COMMAND], "serve": [COMMAND]}}}}'
        )
    return found


def _command(found: Any, where: str) -> tuple[str, ...]:
    if not (isinstance(found, list) and found and all(isinstance(word, str) for word in found)):
        raise InputError(f"{where}: found {found!r}, expected a list of words, as a shell has them")
    if found[0] in ("python", "python3"):
        return (sys.executable, *found[1:])
    if shutil.which(found[0]) is None:
        raise InputError(f"{where}: {found[0]!r} is no program of this machine")
    return tuple(found)
