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


def _gate(workspace: Workspace, record: Record) -> None:
    failures = tuple(
        (model, metric, float("nan") if found is None else found, gate)
        for model, metric, found, gate in record.details["failures"]
    )
    if failures:
        raise GateError(failures, workspace.uri(record.outputs["metrics"]))


def _merge_depends(workspace: Workspace) -> dict[str, Any]:
    files = {
        name: [[workspace.below(f.uri), f.size_bytes, f.mtime_ns] for f in storage.glob_files(uri)]
        for name, uri in workspace.inputs().items()
    }
    parts = ("name", "sources", "merge", "split", "label", "features")
    return {"files": files, "spec": workspace.file.spec.part(*parts)}


def _merge(context: Context, run_id: str) -> dict[str, Any]:
    from penstock.merge import merge

    workspace = context.workspace
    target = workspace.uri("curated", workspace.name, run_id)
    merged = merge(
        context.session(),
        workspace.file.spec,
        inputs=workspace.inputs(),
        quarantine_uri=workspace.uri("quarantine", workspace.name),
        target=target,
    )
    return {
        "digest": merged.curated.digest,
        "outputs": {"table": workspace.below(storage.join(target, "table.json"))},
        "rows": merged.record["rows"]["base"],
        "size_bytes": sum(source["bytes"] for source in merged.record["sources"]),
        "details": merged.record,
    }


def _curated(workspace: Workspace) -> Any:
    table = workspace.done("merge").outputs["table"]
    return open_curated(workspace.uri(table).removesuffix("/table.json"))


def _fit_depends(workspace: Workspace) -> dict[str, Any]:
    parts = ("features", "label", "task", "dataset")
    return {
        "curated": workspace.done("merge").digest,
        "spec": workspace.file.spec.part(*parts),
    }


def _fit(context: Context, run_id: str) -> dict[str, Any]:
    from penstock.fit import fit

    workspace = context.workspace
    curated = _curated(workspace)
    fitted = fit(context.session(), curated, workspace.file.spec)
    plan = workspace.uri("plans", workspace.name, run_id, "plan.json")
    profile = workspace.uri("plans", workspace.name, run_id, "profile.json")
    storage.write_bytes(profile, json.dumps(fitted.profile, ensure_ascii=False).encode())
    storage.write_bytes(plan, fitted.plan.to_json().encode())
    return {
        "digest": fitted.plan.sha256,
        "outputs": {"plan": workspace.below(plan), "profile": workspace.below(profile)},
        "rows": curated.rows("train"),
        "size_bytes": sum(file.size_bytes for file in curated.of("train")),
        "details": {"width": fitted.plan.width, "layout": fitted.plan.layout},
    }


def _plan(workspace: Workspace) -> Any:
    from penstock.plan import FeaturePlan

    content = storage.read_bytes(workspace.uri(workspace.done("fit").outputs["plan"]))
    return FeaturePlan.from_json(content.decode())


def _convert_depends(workspace: Workspace) -> dict[str, Any]:
    return {
        "curated": workspace.done("merge").digest,
        "plan": workspace.done("fit").digest,
        "spec": workspace.file.spec.part("dataset"),
    }


def _convert(context: Context, run_id: str) -> dict[str, Any]:
    from penstock.convert import convert

    workspace = context.workspace
    target = workspace.uri("datasets", workspace.name, run_id)
    storage.delete_prefix(target)
    made = convert(
        context.session(), _curated(workspace), _plan(workspace), workspace.file.spec, target
    )
    shards = {split: [[s.name, s.sha256] for s in made[split].shards] for split in made}
    return {
        "digest": hashlib.sha256(json.dumps(shards, sort_keys=True).encode()).hexdigest(),
        "outputs": {split: workspace.below(made[split].manifest_uri) for split in made},
        "rows": sum(dataset.rows for dataset in made.values()),
        "size_bytes": sum(dataset.size_bytes for dataset in made.values()),
        "details": {
            split: {
                "prefix": workspace.below(dataset.uri),
                "rows": dataset.rows,
                "bytes": dataset.size_bytes,
                "shards": len(dataset.shards),
                "width": dataset.width,
                "layout": dataset.layout,
            }
            for split, dataset in made.items()
        },
    }


def _dataset(workspace: Workspace, split: str) -> Any:
    from penstock.dataset import open_dataset

    return open_dataset(workspace.uri(workspace.done("convert").details[split]["prefix"]))
