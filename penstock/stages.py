"""The stages of a pipeline, each: what it depends on, what it does, what it leaves behind.

    merge -> fit -> convert -> train -> evaluate -> report

:func:`run` skips a stage whose fingerprint stands in its record, and runs it otherwise. A job of
jobs/ and a verb of the CLI both end here, so both skip, record and fail alike.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from penstock import storage
from penstock.curated import open_curated
from penstock.errors import GateError
from penstock.workspace import RUN_DIGITS, STAGES, Record, Workspace, fingerprint

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["STAGES", "Context", "Outcome", "run", "unchanged"]


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


def unchanged(workspace: Workspace) -> dict[str, bool]:
    """Return, per stage, whether it would be skipped. Reads small files and lists raw ones."""
    same: dict[str, bool] = {}
    for stage in STAGES:
        found = workspace.find(stage) if all(same.values()) else None
        same[stage] = found is not None and found.fingerprint == fingerprint(
            stage, _TABLE[stage].depends(workspace)
        )
    return same


def _gate(workspace: Workspace, record: Record) -> None:
    failures = tuple(
        (model, metric, float("nan") if found is None else found, gate)
        for model, metric, found, gate in record.details["failures"]
    )
    if failures:
        raise GateError(failures, workspace.uri(record.outputs["metrics"]))


def _merge_depends(workspace: Workspace) -> dict[str, Any]:
    from penstock import sources

    files = {
        name: [[workspace.below(f.uri), f.size_bytes, f.mtime_ns] for f in sources.find(name, uri)]
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
    from penstock.plan import FeaturePlan

    parts = ("split", "balance", "features", "select", "label", "task", "dataset")
    return {
        "curated": workspace.done("merge").digest,
        "spec": workspace.file.spec.part(*parts),
    } | ({"onto": FeaturePlan.load(workspace.uri(workspace.onto)).sha256} if workspace.onto else {})


def _fit(context: Context, run_id: str) -> dict[str, Any]:
    from penstock import auto
    from penstock.earlier import Earlier
    from penstock.fit import fit

    workspace = context.workspace
    curated = _curated(workspace)
    onto = Earlier.open(workspace.uri(workspace.onto)) if workspace.onto else None
    fitted = fit(context.session(), curated, workspace.file.spec, onto=onto)
    target = workspace.uri("plans", workspace.name, run_id)
    fitted.save(target)
    return {
        "digest": fitted.plan.sha256,
        "outputs": {
            name: workspace.below(storage.join(target, f"{name}.json"))
            for name in ("plan", "profile", "statistics")
        }
        | (
            {"features": workspace.below(storage.join(target, auto.FILE))}
            if fitted.proposal is not None
            else {}
        ),
        "rows": curated.rows("train"),
        "size_bytes": sum(file.size_bytes for file in curated.of("train")),
        "details": {
            "width": fitted.plan.width,
            "layout": fitted.plan.layout,
            "leaks": [finding.body() for finding in fitted.leaks],
            "warnings": list(fitted.warnings),
        },
    }


def _plan(workspace: Workspace) -> Any:
    from penstock.plan import FeaturePlan

    path = workspace.uri(workspace.done("fit").outputs["plan"])
    return FeaturePlan.load(path.removesuffix("/plan.json"))


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
    shards = {split: [[s.name, s.xxh128] for s in made[split].shards] for split in made}
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


def _train_depends(workspace: Workspace) -> dict[str, Any]:
    return {
        "dataset": workspace.done("convert").digest,
        "train": [model.model_dump(exclude={"gates"}) for model in workspace.file.spec.train],
        "balance": workspace.file.spec.part("balance"),
    }


def _train(context: Context, run_id: str) -> dict[str, Any]:
    from penstock.balance import weighted
    from penstock.train import train, training_request

    workspace = context.workspace
    channels = {name: _dataset(workspace, name) for name in ("train", "validation")}
    plan = _plan(workspace)
    chosen = [weighted(m, plan.task, plan.fitted_on) for m in workspace.file.spec.train]
    for model, _ in chosen:  # all specs are checked before the first hour of training
        training_request(model, channels, job=model.label)
    outputs, details = {}, {}
    for model, note in chosen:
        target = workspace.uri("models", workspace.name, model.label, run_id)
        context.say(f"{model.label}: starting")
        details[model.label] = train(
            model,
            channels,
            job=f"{workspace.name}-{model.label}-{run_id}",
            target=target,
            on_line=lambda line, name=model.label: context.say(f"{name}: {line}"),  # type: ignore[misc]
        )
        details[model.label] |= {"notes": [note]} if note else {}
        outputs[model.label] = workspace.below(storage.join(target, "model.tar.gz"))
    read = [use for body in details.values() for use in body["channels"].values()]
    digest = hashlib.sha256()
    for path in outputs.values():
        digest.update(storage.read_bytes(workspace.uri(path)))
    return {
        "digest": digest.hexdigest(),
        "outputs": outputs,
        "rows": sum(use["rows"] * (use["epochs"] or 1) for use in read),
        "size_bytes": sum(use["bytes"] for use in read),
        "details": details,
    }


def _evaluate_depends(workspace: Workspace) -> dict[str, Any]:
    spec = workspace.file.spec
    return {
        "models": workspace.done("train").digest,
        "dataset": workspace.done("convert").digest,
        "gates": [spec.evaluate.gates, *(model.gates for model in spec.train)],
        "task": spec.task,
    }


def _evaluate(context: Context, run_id: str) -> dict[str, Any]:
    from penstock import evaluate
    from penstock.reportinputs import times

    del run_id  # one report per pipeline, of its newest run
    workspace, spec = context.workspace, context.workspace.file.spec
    started = time.monotonic()
    test, trained = _dataset(workspace, "test"), workspace.done("train")
    models = {}
    for model in spec.train:
        uri = workspace.uri(trained.outputs[model.label])
        metrics = evaluate.evaluate_model(
            context.session(), test, uri, task=spec.task, name=model.label
        )
        gates = evaluate.check_gates(metrics, spec.evaluate.gates | model.gates)
        models[model.label] = evaluate.model_entry(model.algorithm, metrics, gates)
    merged = workspace.done("merge").details
    document = evaluate.metrics_document(
        pipeline=workspace.name,
        task=spec.task,
        models=models,
        rows=merged["rows"] | merged["splits"],
        stages=times(workspace, "merge", "fit", "convert", "train")
        | {"evaluate": {"seconds": round(time.monotonic() - started, 3), "rows": test.rows}},
    )
    where = workspace.uri("reports", workspace.name, "metrics.json")
    content = (json.dumps(document, indent=1) + "\n").encode()
    storage.write_bytes(where, content)
    return {
        "digest": hashlib.sha256(content).hexdigest(),
        "outputs": {"metrics": workspace.below(where)},
        "rows": test.rows * len(models),
        "size_bytes": test.size_bytes * len(models),
        "details": {
            "failures": evaluate.gate_failures(document),
            "headline": {
                name: [metric := evaluate.HEADLINE[spec.task], entry["test"][metric]]
                for name, entry in models.items()
            },
        },
    }


def _report_depends(workspace: Workspace) -> dict[str, Any]:
    records = [workspace.done(name) for name in STAGES[:-1]]
    return {
        "records": [[record.digest, record.seconds] for record in records],
        "spec": workspace.file.text,
    }


def _report(context: Context, run_id: str) -> dict[str, Any]:
    from penstock import report
    from penstock.reportinputs import gathered

    del run_id  # one report per pipeline, of its newest run
    workspace = context.workspace
    page = report.render(gathered(workspace)).encode()
    where = workspace.uri("reports", workspace.name, "index.html")
    storage.write_bytes(where, page)
    return {
        "digest": hashlib.sha256(page).hexdigest(),
        "outputs": {"page": workspace.below(where)},
        "rows": sum(workspace.done("merge").details["splits"].values()),
        "size_bytes": len(page),
        "details": {},
    }


_TABLE = {
    "merge": _Stage(depends=_merge_depends, work=_merge),
    "fit": _Stage(depends=_fit_depends, work=_fit),
    "convert": _Stage(depends=_convert_depends, work=_convert),
    "train": _Stage(depends=_train_depends, work=_train),
    "evaluate": _Stage(depends=_evaluate_depends, work=_evaluate),
    "report": _Stage(depends=_report_depends, work=_report),
}
