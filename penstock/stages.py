"""The stages of a pipeline, each: what it depends on, what it does, what it leaves behind.

    merge -> fit -> convert -> train -> evaluate -> report

:func:`run` skips a stage whose fingerprint stands in its record, and runs it otherwise. A job of
jobs/ and a verb of the CLI both end here, so both skip, record and fail alike.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penstock import storage
from penstock.curated import SPLITS, open_curated
from penstock.errors import GateError
from penstock.workspace import RUN_DIGITS, STAGES, Record, Workspace, fingerprint

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["STAGES", "Context", "Outcome", "run"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """What a stage may use.

    Attributes:
        workspace: Root and spec.
        session: Gives the SparkSession; starts it on the first call, so a skipped run starts no JVM.
        say: Takes a line of progress for a person.
    """

    workspace: Workspace
    session: Callable[[], SparkSession]
    say: Callable[[str], None] = field(default=lambda line: None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How a stage ended: its record, and whether it was skipped."""

    record: Record
    skipped: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class _Stage:
    """``depends`` gives what the fingerprint covers; ``work`` runs and returns the record's fields."""

    depends: Callable[[Workspace], dict[str, Any]]
    work: Callable[[Context, str], dict[str, Any]]


def run(stage: str, context: Context, *, force: bool = False) -> Outcome:
    """Run one stage, or skip it when nothing that it depends on has changed.

    Args:
        stage: One of :data:`STAGES`.
        context: Where, and with what.
        force: Run it all the same.

    Raises:
        InputError: The stage before has not finished.
        PenstockError: As the stage says. Its record is gone then: later stages refuse to start.
    """
    workspace, this = context.workspace, _TABLE[stage]
    mark = fingerprint(stage, this.depends(workspace))
    found = workspace.find(stage)
    if found is not None and found.fingerprint == mark and not force:
        if stage == "evaluate":
            _gate(workspace, found)
        return Outcome(record=found, skipped=True)
    workspace.forget(stage)
    started = time.monotonic()
    made = this.work(context, mark[:RUN_DIGITS])
    seconds = round(time.monotonic() - started, 3)
    record = Record(stage=stage, fingerprint=mark, seconds=seconds, **made)
    workspace.keep(record)
    if stage == "evaluate":
        _gate(workspace, record)
    return Outcome(record=record, skipped=False)
