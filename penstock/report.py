"""One self-contained HTML page of a run: verdict, models, data, joins, stages, provenance.

The page asks the network for nothing, reads well in light, dark, print and on a telephone, and is the
same text for the same inputs. Every name and value from data passes jinja2's escaping. Whatever is
missing (a stage that has not run, a job that ran alone) is said in its place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from penstock.evaluate import HEADLINE, METRICS

__all__ = ["ReportInputs", "render"]

Json = Mapping[str, Any]
TOP_FEATURES = 25
TOP_SOURCES = 12
HEAT_COLUMNS = 40
CONFUSION_CLASSES = 20
CURVE_FIGURES = 4
BOOKKEEPING = ("progress", "throughput")  # logged by the epoch, and say nothing of the model
MINUS = "\N{MINUS SIGN}"

# name -> (shown as, 1: higher is better, -1: lower, 0: neither, what it is)
WORDS: Mapping[str, tuple[str, int, str]] = {
    "auc": ("AUC", 1, "chance that a positive row scores above a negative one"),
    "average_precision": ("Average precision", 1, "area under precision over recall"),
    "log_loss": ("Log loss", -1, "mean negative log likelihood, in nats"),
    "brier": ("Brier score", -1, "mean squared error of the probability"),
    "accuracy": ("Accuracy", 1, "share of rows called right"),
    "precision": ("Precision", 1, "share of called rows that are positive"),
    "recall": ("Recall (sensitivity)", 1, "share of positive rows that are called"),
    "specificity": ("Specificity", 1, "share of negative rows that are not called"),
    "f1": ("F1", 1, "harmonic mean of precision and recall"),
    "best_f1": ("Best F1", 1, "largest F1 over all thresholds"),
    "balanced_accuracy": ("Balanced accuracy", 1, "mean recall of the classes"),
    "mcc": ("Matthews correlation", 1, "correlation of calls and labels"),
    "youden": ("Youden's J", 1, "recall + specificity - 1"),
    "lift_at_10pct": (
        "Lift, top 10 %",
        1,
        "positive rate among the best-scored tenth, over the base rate",
    ),
    "calibration_error": (
        "Calibration error",
        -1,
        "mean gap between score and share of positives, over bins",
    ),
    "macro_precision": ("Precision, macro", 1, "mean over the classes"),
    "macro_recall": ("Recall, macro", 1, "mean over the classes"),
    "macro_f1": ("F1, macro", 1, "mean over the classes"),
    "weighted_precision": ("Precision, weighted", 1, "mean over the rows"),
    "weighted_recall": ("Recall, weighted", 1, "mean over the rows"),
    "weighted_f1": ("F1, weighted", 1, "mean over the rows"),
    "rmse": ("RMSE", -1, "root of the mean squared error, in units of the label"),
    "mse": ("MSE", -1, "mean squared error"),
    "mae": ("MAE", -1, "mean absolute error, in units of the label"),
    "median_absolute_error": ("Median absolute error", -1, "half of the rows are closer"),
    "max_absolute_error": ("Largest error", -1, "in units of the label"),
    "mean_residual": ("Mean residual", 0, "label minus prediction: 0 is unbiased"),
    "r2": ("R²", 1, "share of the label's variance that is explained"),
    "adjusted_r2": ("Adjusted R²", 1, "R² with a price for every feature"),
}
OVER_CLASSES = ("AUC", 1, "each class against all others, mean over the classes")
COMPARED: Mapping[str, tuple[str, ...]] = {
    "binary": (
        "auc",
        "average_precision",
        "log_loss",
        "brier",
        "best_f1",
        "lift_at_10pct",
        "calibration_error",
    ),
    "multiclass": ("auc", "accuracy", "balanced_accuracy", "log_loss", "macro_f1", "weighted_f1"),
    "regression": ("rmse", "mae", "median_absolute_error", "r2", "adjusted_r2"),
}
AT_THRESHOLD = ("accuracy", "balanced_accuracy", "precision", "recall", "specificity", "f1", "mcc")
PREDICTS: Mapping[str, str] = {
    "binary": "whether a row is of class 1, from",
    "multiclass": "which class a row is of, from",
    "regression": "its value, from",
}


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
        plan: ``{"names", "sources", "width", "layout"}``; ``names`` and ``sources`` by output index.
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
    environment.filters |= {
        "count": _count, "metric": _metric, "share": _share, "size": _size, "duration": _duration,
        "short": _short_number,
    }  # fmt: skip
    task = str(inputs.spec["task"])
    words = {**WORDS, "auc": OVER_CLASSES} if task == "multiclass" else WORDS
    environment.globals |= {"words": words, "swatch": plots.swatch}
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
        overlays=_overlays(models) if task == "binary" else [],
        at_threshold=AT_THRESHOLD,
        cards=_cards(task),
        profile=_profile(inputs.profile),
        joins=_joins(inputs.merge),
        splits=_splits(inputs.merge),
        widths=_widths(inputs.plan),
        stages=_stages(inputs.stages),
    )
    return str(page)


# ---- numbers as text


def _count(value: float | None) -> str:
    """Return a whole number with separators.

    >>> _count(1234567), _count(None)
    ('1,234,567', '–')
    """
    return "–" if value is None else f"{value:,.0f}".replace("-", MINUS)


def _metric(value: float | None) -> str:
    """Return a metric with about five significant digits.

    >>> _metric(0.80531), _metric(1234.5678), _metric(-0.25), _metric(None)
    ('0.8053', '1,234.6', '−0.2500', '–')
    """
    if value is None:
        return "–"
    size = abs(value)
    decimals = 4 if size < 10 else 2 if size < 100 else 1 if size < 10_000 else 0
    small = 0 < size < 5e-5
    return (f"{value:.2e}" if small else f"{value:,.{decimals}f}").replace("-", MINUS)


def _short_number(value: float | None) -> str:
    """Return any number in little room.

    >>> _short_number(2013.0), _short_number(12500.0), _short_number(0.037512), _short_number(1.5e9)
    ('2013', '12,500', '0.0375', '1.50e+09')
    """
    if value is None:
        return "–"
    whole = float(value).is_integer() and abs(value) < 1e7
    if whole or 1000 <= abs(value) < 1e7:
        # No separator in four digits: they may be years.
        return f"{value:{',' if abs(value) >= 10_000 else ''}.0f}".replace("-", MINUS)
    return (f"{value:.3g}" if 1e-3 <= abs(value) < 1e7 else f"{value:.2e}").replace("-", MINUS)


def _share(value: float | None) -> str:
    """Return a share (0 to 1) in per cent.

    >>> _share(0.1234), _share(0.0), _share(0.0002), _share(1.0)
    ('12.3 %', '0 %', '<0.1 %', '100 %')
    """
    if value is None:
        return "–"
    if value in (0, 1):
        return f"{value:.0%}".replace("%", " %")
    if 0 < value < 0.001:
        return "<0.1 %"
    return ">99.9 %" if 0.999 < value < 1 else f"{value:.1%}".replace("%", " %")


def _size(value: float | None) -> str:
    """Return bytes in decimal units.

    >>> _size(512), _size(579_000_000)
    ('512 B', '579 MB')
    """
    if value is None:
        return "–"
    for unit in ("B", "kB", "MB", "GB"):
        if abs(value) < 999.5:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:,.3g} TB"


def _duration(value: float | None) -> str:
    """Return seconds as a person says them.

    >>> _duration(0.04), _duration(12.34), _duration(125.0)
    ('0.04 s', '12.3 s', '2 min 05 s')
    """
    if value is None:
        return "–"
    if value >= 119.95:
        minutes, seconds = divmod(round(value), 60)
        return f"{minutes:,} min {seconds:02d} s"
    return f"{value:.1f} s" if value >= 1 else f"{value:.2f} s"


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


def _overlays(models: Sequence[Json]) -> list[dict[str, Any]]:
    """Return the ROC and the precision-recall plot of all models."""
    from penstock import plots

    shown = [model for model in models if "roc" in model["curves"]]
    if not shown:
        return []

    def legend(metric: str, short: str) -> list[tuple[int, str, str]]:
        return [
            (i, m["name"], f"{short} {_metric(m['test'].get(metric))}") for i, m in enumerate(shown)
        ]

    base_rate = float(shown[0]["test"]["base_rate"])
    names = ", ".join(model["name"] for model in shown)
    return [
        {
            "title": "ROC",
            "text": "The further to the upper left, the better; the dotted line is chance.",
            "svg": plots.roc([m["curves"]["roc"] for m in shown], key="roc", label=f"ROC curves of {names}"),
            "legend": legend("auc", "AUC"),
        },
        {
            "title": "Precision and recall",
            "text": "The further to the upper right, the better; the dotted line is the base rate.",
            "svg": plots.precision_recall(
                [m["curves"]["pr"] for m in shown],
                base_rate=base_rate, key="pr", label=f"Precision-recall curves of {names}",
            ),
            "legend": legend("average_precision", "AP"),
        },
    ]  # fmt: skip


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
            *_model_figures(test, curves, name, index),
            *_training_figures(training, name, key),
        ],
        "confusion": _confusion(test),
        "training": training,
        "explanation": _explanation(inputs.explanations.get(name), inputs.plan),
    }


def _model_figures(test: Json, curves: Json, name: str, index: int) -> list[dict[str, Any]]:
    from penstock import plots

    key, figures = f"m{index}", []
    made: Any = partial(dict, legend=[])
    if test.get("calibration"):
        figures.append(made(
            title="Calibration",
            text="Bins of equal rows. On the dotted line, of 10 rows scored 0.3, 3 are positive.",
            svg=plots.calibration(test["calibration"], series=index, key=f"{key}-cal", label=f"Calibration of {name}"),
        ))  # fmt: skip
    if "scores" in curves:
        figures.append(made(
            title="Scores by class",
            text="The less they overlap, the better.",
            svg=plots.score_histogram(curves["scores"], key=f"{key}-hist", label=f"Scores of {name} by class"),
            legend=[(0, f"class {test['classes'][0]}", ""), (1, f"class {test['classes'][1]}", "")],
        ))  # fmt: skip
    if "thresholds" in curves:
        marks = {"max F1": test["best"]["f1"]["threshold"]}
        figures.append(made(
            title="Choice of threshold",
            text="A row is called positive when its score is at least the threshold.",
            svg=plots.thresholds(
                curves["thresholds"], marks=marks, key=f"{key}-thr",
                label=f"Precision, recall and F1 of {name} over the threshold",
            ),
            legend=[(0, "precision", ""), (1, "recall", ""), (2, "F1", "")],
        ))  # fmt: skip
    if curves.get("grid"):
        low, high = curves["grid"]["span"]
        figures.append(made(
            title="Predicted and actual",
            text="Darker: more rows. On the dotted line the prediction is right.",
            svg=plots.predicted_actual(
                curves["grid"]["counts"], (low, high), key=f"{key}-grid", label=f"Predictions of {name} over labels"
            ),
        ))  # fmt: skip
    if "residuals" in curves:
        figures.append(made(
            title="Residuals",
            text="Label minus prediction. Right of 0, the model said too little.",
            svg=plots.residuals(curves["residuals"], series=index, key=f"{key}-res", label=f"Residuals of {name}"),
        ))  # fmt: skip
    return figures


def _training_figures(training: Json | None, name: str, key: str) -> list[dict[str, Any]]:
    """Return one figure per measure that was logged over epochs, train and validation in each."""
    from penstock import plots

    curves: dict[str, dict[str, tuple[list[float], list[float]]]] = {}
    for metric in (training or {}).get("metrics", ()):
        split, _, measure = str(metric["name"]).rpartition(":")
        if measure in BOOKKEEPING or metric.get("epoch") is None or metric.get("value") is None:
            continue
        epochs, values = curves.setdefault(measure, {}).setdefault(split or "train", ([], []))
        epochs.append(metric["epoch"])
        values.append(metric["value"])
    best = (training or {}).get("best_epoch")
    figures: list[dict[str, Any]] = []
    both_first = sorted(curves.items(), key=lambda item: -len(item[1]))
    for number, (measure, splits) in enumerate(both_first):
        if max(len(epochs) for epochs, _ in splits.values()) < 2 or len(figures) == CURVE_FIGURES:
            continue
        figures.append({
            "title": f"Training: {measure.replace('_', ' ')}",
            "text": "Solid: the split that the model learned from." if len(splits) > 1 else "",
            "svg": plots.lines(
                list(splits.values()), mark=best, x="epoch", key=f"{key}-fit{number}",
                label=f"{measure} of {name} by epoch" + ("" if best is None else f"; best epoch {best}"),
            ),
            "legend": [(i, split, f"{_metric(values[-1])} at the end") for i, (split, (_, values)) in enumerate(splits.items())],
        })  # fmt: skip
    return figures


def _confusion(test: Json) -> list[dict[str, Any]]:
    """Return the confusion matrices to show, rows true and columns called, with shares of the true class."""
    if "confusion" not in test:
        return []
    classes = test["classes"]
    if len(classes) > CONFUSION_CLASSES:
        return []
    shown = [("" if "threshold" not in test else "threshold 0.5", test["confusion"])]
    for name, text in (("f1", "max F1"), ("youden", "max Youden's J")):
        if point := test.get("best", {}).get(name):
            shown.append((f"{text}, threshold {point['threshold']:.2f}", point["confusion"]))
    return [
        {
            "text": text,
            "classes": classes,
            "rows": [
                (classes[i], [(n, n / max(sum(counts), 1)) for n in counts], sum(counts))
                for i, counts in enumerate(matrix)
            ],
        }
        for text, matrix in shown
    ]


def _explanation(explanation: Json | None, plan: Json | None) -> dict[str, Any] | None:
    """Return the strongest features, named, and for importances their shares by source column."""
    if not explanation or not explanation["values"]:
        return None
    measure, values = _measure(explanation["values"])
    names, sources = (plan or {}).get("names") or (), (plan or {}).get("sources") or ()
    known = len(names) == len(values)
    order = sorted(range(len(values)), key=lambda i: (-abs(values[i]), i))
    top = [i for i in order if values[i]][:TOP_FEATURES]
    largest = max((abs(values[i]) for i in top), default=0.0) or 1.0
    by_source: dict[str, float] = {}
    if known and len(sources) == len(values) and explanation["kind"] == "importance":
        for source, value in zip(sources, values, strict=True):
            by_source[source] = by_source.get(source, 0.0) + abs(value)
    total = sum(by_source.values()) or 1.0
    ranked = sorted(by_source.items(), key=lambda item: (-item[1], item[0]))[:TOP_SOURCES]
    return {
        "kind": explanation["kind"],
        "measure": measure,
        "features": len(values),
        "used": sum(1 for value in values if value),
        "top": [
            {
                "name": names[i] if known else f"feature {i}",
                "value": values[i],
                "part": values[i] / largest,
            }
            for i in top
        ],
        "sources": [{"name": name, "share": value / total} for name, value in ranked],
    }


def _measure(measures: Mapping[str, Sequence[float]]) -> tuple[str, list[float]]:
    """Return the measure that compares features best, and its values by feature index."""
    if "gain" in measures and "weight" in measures:
        # A mean gain favours features that split once, by luck; the total also adds up over columns.
        pairs = zip(measures["gain"], measures["weight"], strict=True)
        return "total gain", [float(gain) * float(splits) for gain, splits in pairs]
    name = "standardized" if "standardized" in measures else next(iter(measures))
    return name, [float(value) for value in measures[name]]


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
        "correlated": sorted(labelled, key=lambda c: -abs(c["label_correlation"]))[:TOP_FEATURES],
        "heat": heat,
        "heat_left_out": len(correlation["columns"]) - len(names),
    }


def _spark(column: Json) -> Any:
    from penstock import plots

    if histogram := column.get("histogram"):
        low, high = (_short_number(histogram["edges"][at]) for at in (0, -1))
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
