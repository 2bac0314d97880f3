"""Which program stands for an image."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from penstock.errors import listed
from penstock.host import ALGORITHMS, Algorithm
from penstock.local.wire import AwsError

__all__ = ["Program", "program_of"]

SETTING = "PENSTOCK_IMAGES"
FILES = ("images.json", "images.yaml", "images.yml")

REGISTRY = re.compile(r"\d{12}\.dkr\.ecr(-fips)?\.[a-z0-9-]+\.amazonaws\.com(\.cn)?/")
# Names of SageMaker's repositories -> algorithm.
REPOSITORIES = {name: name for name in ALGORITHMS} | {"sagemaker-xgboost": "xgboost"}
# SageMaker's other algorithms: nobody means an image of his own by these.
OTHERS = {
    "blazingtext",
    "factorization-machines",
    "forecasting-deepar",
    "image-classification",
    "ipinsights",
    "knn",
    "lda",
    "ntm",
    "object-detection",
    "object2vec",
    "randomcutforest",
    "semantic-segmentation",
    "seq2seq",
} - set(REPOSITORIES)


@dataclass(frozen=True, kw_only=True, slots=True)
class Program:
    """What runs.

    Attributes:
        command: Command and arguments, without what docker's argument would be: train or serve.
        environment: Added to the container's.
        algorithm: When the image is SageMaker's own.
    """

    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    algorithm: Algorithm | None = None


def program_of(image: str, folder: Path) -> Program:
    """Return the program of an image: by the mapping file, or as SageMaker's own.

    Args:
        image: Its URI.
        folder: The plane's, where the mapping file may stand; it is read anew each time.

    Raises:
        AwsError: There is none, or the mapping file is wrong.
    """
    path = _mapping_file(folder)
    for pattern, entry in _mapping(path).items():
        if fnmatchcase(image, pattern):
            return _mapped(entry, pattern, path)
    repository = re.split(r"[:@]", REGISTRY.sub("", image))[0]
    if REGISTRY.match(image) and repository in REPOSITORIES:
        algorithm = ALGORITHMS[REPOSITORIES[repository]]
        return Program(command=algorithm.program[:-1], algorithm=algorithm)
    if repository in OTHERS:
        raise AwsError(
            "ValidationException",
            f"The local plane has no program for SageMaker's algorithm {repository!r}, it has "
            f"{listed(tuple(REPOSITORIES))}.\n{_how(image, folder)}",
        )
    raise AwsError(
        "ValidationException",
        f"The local plane does not know which program image {image!r} stands for.\n"
        f"{_how(image, folder)}",
    )


def _how(image: str, folder: Path) -> str:
    entry = json.dumps({image: {"command": ["python", "train.py"]}})
    return f"  write {str(folder / FILES[0])!r}, or set {SETTING} to a file, with {entry}"


def _mapping_file(folder: Path) -> Path | None:
    if named := os.environ.get(SETTING):
        return Path(named)
    return next((folder / name for name in FILES if (folder / name).exists()), None)


def _mapping(path: Path | None) -> Mapping[str, Any]:
    import yaml

    if path is None:
        return {}
    try:
        found = yaml.safe_load(path.read_text())  # JSON is YAML
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise _wrong(path, str(error)) from error
    if not isinstance(found, dict):
        raise _wrong(path, f"it holds {type(found).__name__}, expected an object: image -> command")
    return {str(pattern): entry for pattern, entry in found.items()}


def _mapped(entry: Any, pattern: str, path: Path | None) -> Program:
    given = entry if isinstance(entry, dict) else {"command": entry}
    command, environment = given.get("command"), given.get("environment", {})
    words = command if isinstance(command, list) else []
    if (
        not words
        or not all(isinstance(word, str) for word in words)
        or not isinstance(environment, dict)
    ):
        raise _wrong(
            path,
            f'{pattern!r} is {entry!r}, expected {{"command": ["program", ...], "environment": {{}}}}',
        )
    if words[0] in ("python", "python3"):
        words = [sys.executable, *words[1:]]
    return Program(
        command=tuple(words),
        environment={str(name): str(value) for name, value in environment.items()},
    )


def _wrong(path: Path | None, problem: str) -> AwsError:
    return AwsError(
        "ValidationException", f"The local plane's image mapping {str(path)!r}: {problem}"
    )
