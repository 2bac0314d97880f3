"""What the finished stages of a pipeline have left for its report."""

from __future__ import annotations

import json
import sys
from importlib import metadata
from typing import Any

from penstock import evaluate, storage
from penstock.plan import FeaturePlan
from penstock.report import ReportInputs
from penstock.workspace import STAGES, Workspace

__all__ = ["gathered", "times"]


def gathered(workspace: Workspace) -> ReportInputs:
    """Return what the report shows. Reads small files, and the models.

    Raises:
        InputError: A stage has not finished.
    """
    fitted, trained = workspace.done("fit"), workspace.done("train")
    evaluated = workspace.done("evaluate")
    where = workspace.uri(fitted.outputs["plan"])
    plan = FeaturePlan.load(where.removesuffix("/plan.json"))
    return ReportInputs(
        spec=workspace.file.spec.model_dump(mode="json"),
        spec_text=workspace.file.text,
        profile=json.loads(storage.read_bytes(workspace.uri(fitted.outputs["profile"]))),
        merge=workspace.done("merge").details,
        plan={
            "names": plan.names,
            "sources": plan.sources(),
            "width": plan.width,
            "layout": plan.layout,
            "note": plan.note,
        },
        fit=fitted.details,
        models=json.loads(storage.read_bytes(workspace.uri(evaluated.outputs["metrics"])))[
            "models"
        ],
        training=trained.details,
        explanations={
            name: evaluate.explain_model(workspace.uri(path))
            for name, path in trained.outputs.items()
        },
        stages=[
            {"stage": stage, "status": "ran", **time_}
            for stage, time_ in times(workspace, *STAGES[:-1]).items()
        ],
        runs={stage: workspace.done(stage).run for stage in STAGES[:-1]},
        versions=_versions(),
    )


def times(workspace: Workspace, *names: str) -> dict[str, Any]:
    """Return how long stages took, and over how many rows and bytes, by stage."""
    records = [workspace.done(name) for name in names]
    return {
        record.stage: {
            "seconds": record.seconds,
            "rows": record.rows,
            "bytes": record.size_bytes,
        }
        for record in records
    }


def _versions() -> dict[str, str]:
    names = ("penstock", "pyspark", "pyarrow", "numpy", "xgboost-cpu")
    found = {"python": sys.version.split()[0]}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found
