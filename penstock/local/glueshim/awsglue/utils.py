"""Arguments of a Glue job."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

__all__ = ["GlueArgumentError", "getResolvedOptions"]

# Glue gives these to every job; a job does not ask for them.
GIVEN = {
    "JOB_ID": None,
    "JOB_RUN_ID": None,
    "SECURITY_CONFIGURATION": None,
    "TempDir": None,
    "job-bookmark-option": "job-bookmark-disable",
    "job-bookmark-from": None,
    "job-bookmark-to": None,
    "encryption-type": None,
    "continuation-option": None,
}


class GlueArgumentError(Exception):
    """An argument is missing, or asks for a name that is Glue's."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise GlueArgumentError(message)


def getResolvedOptions(args: Sequence[str], options: Sequence[str]) -> dict[str, Any]:
    """Return the values of ``--name value`` arguments, by name with ``-`` as ``_``.

    Args:
        args: ``sys.argv``.
        options: Names that must be there. Others in ``args`` are let be.

    Raises:
        GlueArgumentError: One is missing, or is a name that Glue keeps for itself.
    """
    parser = _Parser(prog=args[0], add_help=False, allow_abbrev=False)
    for name, default in GIVEN.items():
        parser.add_argument(f"--{name}", default=default)
    for name in dict.fromkeys(options):
        if name in GIVEN and name != "TempDir":
            raise GlueArgumentError(f"'{name}' is a name of Glue's own: it need not be asked for")
        if name != "TempDir":
            parser.add_argument(f"--{name}", required=True)
    found, _ = parser.parse_known_args(list(args[1:]))
    values = vars(found)
    if "TempDir" in options and values["TempDir"] is None:
        raise GlueArgumentError("the following arguments are required: --TempDir")
    return {name: value for name, value in values.items() if value is not None}
