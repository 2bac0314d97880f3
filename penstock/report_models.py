"""The models of the report: their figures, confusion matrices and strongest features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from penstock.report_numbers import metric_text

__all__ = ["confusion_matrices", "explained", "model_figures", "overlays", "training_figures"]

Json = Mapping[str, Any]
Figure = dict[str, Any]  # title, text, svg, legend
Key = tuple[int, str, str]  # of a legend: number of the curve, its name, what to add
Course = tuple[list[float], list[float]]  # epochs, values

TOP_FEATURES = 25
TOP_SOURCES = 12
CONFUSION_CLASSES = 20
CURVE_FIGURES = 4
BOOKKEEPING = ("progress", "throughput")  # logged by the epoch, and say nothing of the model


def model_figures(test: Json, curves: Json, name: str, index: int) -> list[Figure]:
    """Return the plots of the test split that the model's task has; none without ``curves``."""
    return [*_score_figures(test, curves, name, index), *_value_figures(curves, name, index)]


def _figure(title: str, text: str, svg: str, legend: Sequence[Key] = ()) -> Figure:
    return {"title": title, "text": text, "svg": svg, "legend": legend}


def _score_figures(test: Json, curves: Json, name: str, index: int) -> list[Figure]:
    """Return calibration, scores by class and the choice of a threshold, of a binary task."""
    from penstock import plots

    key, figures = f"m{index}", []
    if test.get("calibration"):
        figures.append(_figure(
            title="Calibration",
            text="Bins of equal rows. On the dotted line, of 10 rows scored 0.3, 3 are positive.",
            svg=plots.calibration(test["calibration"], series=index, key=f"{key}-cal", label=f"Calibration of {name}"),
        ))  # fmt: skip
    if "scores" in curves:
        figures.append(_figure(
            title="Scores by class",
            text="The less they overlap, the better.",
            svg=plots.score_histogram(curves["scores"], key=f"{key}-hist", label=f"Scores of {name} by class"),
            legend=[(0, f"class {test['classes'][0]}", ""), (1, f"class {test['classes'][1]}", "")],
        ))  # fmt: skip
    if "thresholds" in curves:
        marks = {"max F1": test["best"]["f1"]["threshold"]}
        figures.append(_figure(
            title="Choice of threshold",
            text="A row is called positive when its score is at least the threshold.",
            svg=plots.thresholds(
                curves["thresholds"], marks=marks, key=f"{key}-thr",
                label=f"Precision, recall and F1 of {name} over the threshold",
            ),
            legend=[(0, "precision", ""), (1, "recall", ""), (2, "F1", "")],
        ))  # fmt: skip
    return figures


def _value_figures(curves: Json, name: str, index: int) -> list[Figure]:
    """Return predictions over labels and the residuals, of a regression task."""
    from penstock import plots

    key, figures = f"m{index}", []
    if curves.get("grid"):
        low, high = curves["grid"]["span"]
        figures.append(_figure(
            title="Predicted and actual",
            text="Darker: more rows. On the dotted line the prediction is right.",
            svg=plots.predicted_actual(
                curves["grid"]["counts"], (low, high), key=f"{key}-grid", label=f"Predictions of {name} over labels"
            ),
        ))  # fmt: skip
    if "residuals" in curves:
        figures.append(_figure(
            title="Residuals",
            text="Label minus prediction. Right of 0, the model said too little.",
            svg=plots.residuals(curves["residuals"], series=index, key=f"{key}-res", label=f"Residuals of {name}"),
        ))  # fmt: skip
    return figures


def training_figures(training: Json | None, name: str, key: str) -> list[Figure]:
    """Return one figure per measure that was logged over epochs, train and validation in each."""
    from penstock import plots

    training = training or {}
    best = training.get("best_epoch")
    ending = "" if best is None else f"; best epoch {best}"
    figures: list[Figure] = []
    both_first = sorted(_logged(training).items(), key=lambda item: -len(item[1]))
    for number, (measure, splits) in enumerate(both_first):
        if max(len(epochs) for epochs, _ in splits.values()) < 2 or len(figures) == CURVE_FIGURES:
            continue
        figures.append(_figure(
            title=f"Training: {measure.replace('_', ' ')}",
            text="Solid: the split that the model learned from." if len(splits) > 1 else "",
            svg=plots.lines(
                list(splits.values()), mark=best, x="epoch", key=f"{key}-fit{number}",
                label=f"{measure} of {name} by epoch{ending}",
            ),
            legend=[
                (index, split, f"{metric_text(values[-1])} at the end")
                for index, (split, (_, values)) in enumerate(splits.items())
            ],
        ))  # fmt: skip
    return figures


def _logged(training: Json) -> dict[str, dict[str, Course]]:
    """Return measure -> split -> epochs and values, in the order of the log."""
    courses: dict[str, dict[str, Course]] = {}
    for metric in training.get("metrics", ()):
        split, _, measure = str(metric["name"]).rpartition(":")
        if measure in BOOKKEEPING or metric.get("epoch") is None or metric.get("value") is None:
            continue
        epochs, values = courses.setdefault(measure, {}).setdefault(split or "train", ([], []))
        epochs.append(metric["epoch"])
        values.append(metric["value"])
    return courses


def confusion_matrices(test: Json) -> list[dict[str, Any]]:
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


def explained(explanation: Json | None, plan: Json | None) -> dict[str, Any] | None:
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


def overlays(models: Sequence[Json]) -> list[Figure]:
    """Return the ROC and the precision-recall plot of all models."""
    from penstock import plots

    shown = [model for model in models if "roc" in model["curves"]]
    if not shown:
        return []

    def legend(metric: str, short: str) -> list[Key]:
        values = [metric_text(model["test"].get(metric)) for model in shown]
        return [(i, model["name"], f"{short} {values[i]}") for i, model in enumerate(shown)]

    base_rate = float(shown[0]["test"]["base_rate"])
    names = ", ".join(model["name"] for model in shown)
    return [
        _figure(
            title="ROC",
            text="The further to the upper left, the better; the dotted line is chance.",
            svg=plots.roc([m["curves"]["roc"] for m in shown], key="roc", label=f"ROC curves of {names}"),
            legend=legend("auc", "AUC"),
        ),
        _figure(
            title="Precision and recall",
            text="The further to the upper right, the better; the dotted line is the base rate.",
            svg=plots.precision_recall(
                [m["curves"]["pr"] for m in shown],
                base_rate=base_rate, key="pr", label=f"Precision-recall curves of {names}",
            ),
            legend=legend("average_precision", "AP"),
        ),
    ]  # fmt: skip
