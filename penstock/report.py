"""One self-contained HTML page of a run: verdict, models, data, joins, stages, provenance.

The page asks the network for nothing, reads well in light, dark, print and on a telephone, and is the
same text for the same inputs. Every name and value from data passes jinja2's escaping. Whatever is
missing (a stage that has not run, a job that ran alone) is said in its place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from penstock.evaluate import HEADLINE, METRICS
from penstock.report_models import (
    confusion_matrices,
    explained,
    model_figures,
    overlays,
    training_figures,
)
from penstock.report_numbers import FILTERS, short_text
from penstock.report_words import AT_THRESHOLD, COMPARED, PREDICTS, WORDS, words_of

__all__ = ["ReportInputs", "render"]

Json = Mapping[str, Any]
TOP_CORRELATED = 25
HEAT_COLUMNS = 40
TOP_ALONE = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportInputs:
    """What a run left behind, as plain data. All but ``spec`` may be missing.

    Attributes:
        spec: The spec as plain data; ``name``, ``task`` and ``label.column`` are read.
        spec_text: pipeline.yaml as it was written.
        profile: profile.json.
        merge: ``{"rows": {"base", "curated", "filtered"}, "splits": {"train", ...},
            "joins": [{"source", "expect", "keys", "base_rows_matched", "base_rows_null_key",
            "base_rows_unmatched", "side_rows", "side_rows_unused", "side_rows_superseded"}],
            "sources": [{"name", "rows", "malformed_rows", "files", "bytes", "reasons": [{"reason", "rows"}]}]}``.
        plan: ``{"names", "sources", "width", "layout", "note"}``; ``names`` and ``sources`` by output index.
        fit: What the fit's record says of it: ``{"leaks", "warnings"}``.
        models: ``models`` of metrics.json: model name -> ``penstock.evaluate.model_entry``.
        training: Model name -> training.json.
        explanations: Model name -> ``{"kind", "values": {measure: [float by feature index]}}``.
        stages: ``{"stage", "status": "ran"|"skipped", "seconds", "rows", "bytes"}`` in order.
        runs: Stage -> run id.
        versions: Program -> version.
    """

    spec: Json
    spec_text: str | None = None
    profile: Json | None = None
    merge: Json | None = None
    plan: Json | None = None
    fit: Json | None = None
    models: Mapping[str, Json] = field(default_factory=dict)
    training: Mapping[str, Json] = field(default_factory=dict)
    explanations: Mapping[str, Json] = field(default_factory=dict)
    stages: Sequence[Json] = ()
    runs: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)


def render(inputs: ReportInputs) -> str:
    """Return the page as HTML text; equal inputs give equal text."""
    import jinja2

    from penstock import plots

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("penstock"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    task = str(inputs.spec["task"])
    environment.filters |= FILTERS
    environment.globals |= {"words": words_of(task), "swatch": plots.swatch}
    models = [_model(inputs, name, index) for index, name in enumerate(_model_names(inputs))]
    page = environment.get_template("report.html.j2").render(
        inputs=inputs,
        spec=inputs.spec,
        task=task,
        label=inputs.spec["label"]["column"],
        predicts=PREDICTS[task],
        verdict=_verdict(models),
        best=_best(models, HEADLINE[task]),
        headline=HEADLINE[task],
        models=models,
        compared=_compared(models, COMPARED[task]),
        overlays=overlays(models) if task == "binary" else [],
        at_threshold=AT_THRESHOLD,
        cards=_cards(task),
        profile=_profile(inputs.profile),
        joins=_joins(inputs.merge),
        splits=_splits(inputs.merge),
        widths=_widths(inputs.plan),
        chosen=_chosen(inputs.profile),
        findings=_findings(inputs),
        stages=_stages(inputs.stages),
    )
    return str(page)


# ---- verdict and comparison


def _verdict(models: Sequence[Json]) -> dict[str, Any]:
    gates = [gate for model in models for gate in model["gates"]]
    failed = [gate for gate in gates if not gate["passed"]]
    if not models:
        return {"kind": "none", "text": "Not evaluated"}
    if not gates:
        return {"kind": "none", "text": "No gates set"}
    if failed:
        return {"kind": "bad", "text": f"{len(failed)} of {len(gates)} gates failed"}
    return {
        "kind": "good",
        "text": "The gate is passed" if len(gates) == 1 else f"All {len(gates)} gates passed",
    }


def _best(models: Sequence[Json], metric: str) -> Json | None:
    """Return the model with the best headline metric; the first of equals."""
    sign = WORDS[metric][1]
    scored = [model for model in models if model["test"].get(metric) is not None]
    return max(scored, key=lambda model: sign * model["test"][metric]) if scored else None


def _cards(task: str) -> list[str]:
    """Return the metrics shown big; those of one threshold stand in a table of their own."""
    tabled = (*AT_THRESHOLD, "sensitivity") if task == "binary" else ()
    return [name for name in METRICS[task] if name not in tabled]


def _compared(models: Sequence[Json], metrics: Sequence[str]) -> list[dict[str, Any]]:
    """Return one row per metric: its value for every model, and which of them is best."""
    rows = []
    for metric in metrics:
        values = [model["test"].get(metric) for model in models]
        known = [value for value in values if value is not None]
        sign = WORDS[metric][1]
        best = max(known, key=lambda value: sign * value) if len(known) > 1 and sign else None
        rows.append({"metric": metric, "values": values, "best": best})
    return rows


# ---- one model


def _model_names(inputs: ReportInputs) -> list[str]:
    return list(dict.fromkeys([*inputs.models, *inputs.training, *inputs.explanations]))


def _model(inputs: ReportInputs, name: str, index: int) -> dict[str, Any]:
    entry = inputs.models.get(name, {})
    test, curves = entry.get("test", {}), entry.get("curves", {})
    training = inputs.training.get(name)
    algorithm = entry.get("algorithm") or (training or {}).get("algorithm", "")
    gates = entry.get("gates", [])
    key = f"m{index}"
    return {
        "name": name,
        "id": f"model-{index + 1}",
        "algorithm": algorithm,
        "test": test,
        "curves": curves,
        "gates": gates,
        "passed": all(gate["passed"] for gate in gates) if gates else None,
        "figures": [
            *model_figures(test, curves, name, index),
            *training_figures(training, name, key),
        ],
        "confusion": confusion_matrices(test),
        "training": training,
        "explanation": explained(inputs.explanations.get(name), inputs.plan),
    }


# ---- data, joins, features, stages


def _profile(profile: Json | None) -> dict[str, Any] | None:
    from penstock import plots

    if profile is None:
        return None
    columns = [{**column, "spark": _spark(column)} for column in profile["columns"]]
    labelled = [
        c for c in columns if c.get("label_correlation") is not None and c.get("role") != "label"
    ]
    correlation = profile.get("correlation") or {"columns": [], "matrix": []}
    names = correlation["columns"][:HEAT_COLUMNS]
    heat = (
        plots.heat_map(
            names, correlation["matrix"], label=f"Correlations of {len(names)} numeric columns"
        )
        if len(names) > 1
        else None
    )
    return {
        "rows": profile["rows"],
        "label": profile["label"],
        "columns": columns,
        "missing": sum(1 for column in columns if column["missing"]),
        "correlated": sorted(labelled, key=lambda c: -abs(c["label_correlation"]))[:TOP_CORRELATED],
        "heat": heat,
        "heat_left_out": len(correlation["columns"]) - len(names),
    }


def _spark(column: Json) -> Any:
    from penstock import plots

    if histogram := column.get("histogram"):
        low, high = (short_text(histogram["edges"][at]) for at in (0, -1))
        return plots.sparkline(
            histogram["counts"], label=f"histogram of {column['name']} from {low} to {high}"
        )
    if top := column.get("top"):
        counts = [one["count"] for one in top]
        text = f"the {len(counts)} most frequent values of {column['name']}"
        return plots.sparkline(counts, label=text, bars=True)
    return None


def _joins(merge: Json | None) -> list[dict[str, Any]]:
    rows = []
    for join in (merge or {}).get("joins", ()):
        parts = {
            name: int(join.get(f"base_rows_{name}") or 0)
            for name in ("matched", "null_key", "unmatched")
        }
        total = sum(parts.values()) or 1
        rows.append({**join, "shares": {name: count / total for name, count in parts.items()}})
    return rows


def _splits(merge: Json | None) -> list[dict[str, Any]]:
    splits = (merge or {}).get("splits", {})
    total = sum(splits.values()) or 1
    return [{"name": name, "rows": rows, "share": rows / total} for name, rows in splits.items()]


def _widths(plan: Json | None) -> list[dict[str, Any]]:
    """Return output columns per source column, widest first."""
    counts: dict[str, int] = {}
    for source in (plan or {}).get("sources") or ():
        counts[source] = counts.get(source, 0) + 1
    widest = max(counts.values(), default=1)
    return [
        {"name": name, "columns": count, "part": count / widest}
        for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]


def _chosen(profile: Json | None) -> list[dict[str, Any]]:
    """Return the columns that were chosen or left out, with the reason of each; features first."""
    columns = (profile or {}).get("columns", ())
    kept = [{"name": c["name"], "why": c["chosen"], "out": False} for c in columns if "chosen" in c]
    out = [
        {"name": c["name"], "why": c["left_out"], "out": True} for c in columns if "left_out" in c
    ]
    return kept + out


def _findings(inputs: ReportInputs) -> dict[str, Any]:
    """Return what the leak checks looked at, worst first, and what a person was told."""
    records = [record or {} for record in (inputs.merge, inputs.fit)]
    looked = [finding for record in records for finding in record.get("leaks", ())]
    between = [finding for finding in looked if finding["check"] != "feature"]
    alone = [finding for finding in looked if finding["check"] == "feature"]
    alone.sort(key=lambda finding: (not finding["leak"], -finding["found"]))
    return {
        "rows": between + alone[:TOP_ALONE],
        "more": max(0, len(alone) - TOP_ALONE),
        "warnings": [text for record in records for text in record.get("warnings", ())],
        "split": (inputs.merge or {}).get("split") or {},
    }


def _stages(stages: Sequence[Json]) -> dict[str, Any]:
    total = sum(float(stage.get("seconds") or 0) for stage in stages)
    rows = []
    for stage in stages:
        seconds = float(stage.get("seconds") or 0)
        rows.append({
            **stage,
            "share": seconds / total if total else 0.0,
            "rows_per_s": stage["rows"] / seconds if stage.get("rows") and seconds else None,
            "mb_per_s": stage["bytes"] / 1e6 / seconds if stage.get("bytes") and seconds else None,
        })  # fmt: skip
    return {"rows": rows, "seconds": total}
