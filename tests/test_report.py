import dataclasses
import html.parser
import re
from typing import Any

import numpy as np
import pytest

from penstock import evaluate, report
from penstock.metrics import BinaryState, MulticlassState, RegressionState
from penstock.report import ReportInputs, render

HOSTILE = '<script>alert("x")</script>&\'"$a_1$'
NUMERIC = (
    ("sched_hour", 5, 23), ("month", 1, 12), ("day", 1, 31), ("weekday", 1, 7), ("distance", 17, 4983),
    ("plane_age", 0, 57), ("planes__seats", 2, 450), ("planes__engines", 1, 4), ("weather__temp", 10.9, 100.0),
    ("weather__dewp", -9.9, 78.1), ("weather__humid", 12.7, 100), ("weather__wind_dir", 0, 360),
    ("weather__wind_speed", 0, 42.6), ("weather__wind_gust", 16.1, 66.7), ("weather__precip", 0, 1.21),
    ("weather__pressure", 983.8, 1042.1), ("weather__visib", 0, 10), ("airports__lat", 21.3, 61.2),
    ("airports__lon", -157.9, -68.8), ("airports__alt", 3, 6602), ("airports__tz", -10, -5),
)  # fmt: skip
CATEGORICAL = (
    ("carrier", 16), ("origin", 3), ("dest", 104), ("planes__manufacturer", 35), ("planes__type", 3),
    ("planes__engine", 6), ("airlines__name", 16), ("airports__tzone", 7),
)  # fmt: skip
SIZES = {"carrier": 17, "origin": 3, "dest": 96, "planes__manufacturer": 12, "planes__type": 4}


def profile_of(rng: np.random.Generator) -> dict[str, Any]:
    columns: list[dict[str, Any]] = []
    rows = 261_402
    base = {"distinct_is_exact": True, "missing": 0, "missing_share": 0.0, "role": "feature"}
    for at, (name, low, high) in enumerate(NUMERIC):
        values = low + (high - low) * rng.beta(1 + at % 4, 1 + (at * 7) % 5, 20_000)
        counts, edges = np.histogram(values, 30)
        share = {"weather__wind_gust": 0.7747, "plane_age": 0.1716}.get(name, 0.013 * (at % 3))
        steps = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
        columns.append(base | {
            "name": name, "kind": "numeric", "type": "double", "distinct": 40 + 77 * at,
            "missing": int(share * rows), "missing_share": share, "min": low, "max": high,
            "mean": float(values.mean()), "std": float(values.std()),
            "quantiles": {str(q): float(np.quantile(values, q)) for q in steps},
            "histogram": {"edges": edges.tolist(), "counts": (counts * 13).tolist()},
            "label_correlation": round(float(rng.normal(0, 0.09)), 4),
        })  # fmt: skip
    for name, size in CATEGORICAL:
        counts = np.sort(rng.zipf(1.6, size).clip(1, 400))[::-1]
        counts = (counts / counts.sum() * rows).astype(int)
        top = [
            {"value": f"{name[:2].upper()}{i}", "count": int(c), "label_mean": round(float(rng.uniform(0.15, 0.35)), 4)}
            for i, c in enumerate(counts[:20])
        ]
        columns.append(base | {
            "name": name, "kind": "categorical", "type": "string", "distinct": size, "top": top,
            "label_correlation": None,
        })  # fmt: skip
    columns.append(base | {
        "name": "late", "kind": "numeric", "type": "int32", "role": "label", "distinct": 2, "min": 0, "max": 1,
        "mean": 0.24, "std": 0.427, "quantiles": {}, "histogram": {"edges": [0, 0.5, 1], "counts": [198_665, 62_737]},
        "label_correlation": 1.0,
    })  # fmt: skip
    columns.append(base | {
        "name": "tailnum", "kind": "other", "type": "string", "role": "key", "distinct": 4037,
        "distinct_is_exact": False, "missing": 2001, "missing_share": 0.00765, "label_correlation": None,
    })  # fmt: skip
    names = [name for name, _, _ in NUMERIC] + ["late"]
    noise = rng.normal(size=(len(names), 6))
    matrix = np.corrcoef(noise)
    correlation = {"columns": names, "matrix": [[float(v) for v in row] for row in matrix]}
    return {"rows": rows, "label": "late", "columns": columns, "correlation": correlation}


MERGE = {
    "rows": {"base": 336_776, "curated": 327_346, "filtered": 9_430},
    "splits": {"train": 261_402, "validation": 32_875, "test": 33_069},
    "joins": [
        {"source": "weather", "expect": "many_to_one", "keys": ["origin", "time_hour"], "base_rows_matched": 335_220,
         "base_rows_null_key": 0, "base_rows_unmatched": 1_556, "side_rows": 26_115, "side_rows_unused": 6_737, "side_rows_superseded": 0},
        {"source": "planes", "expect": "many_to_one", "keys": ["tailnum"], "base_rows_matched": 284_170,
         "base_rows_null_key": 2_512, "base_rows_unmatched": 50_094, "side_rows": 3_322, "side_rows_unused": 0, "side_rows_superseded": 14},
        {"source": "airports", "expect": "many_to_one", "keys": ["dest = faa"], "base_rows_matched": 329_174,
         "base_rows_null_key": 0, "base_rows_unmatched": 7_602, "side_rows": 1_458, "side_rows_unused": 1_357, "side_rows_superseded": 0},
        {"source": "airlines", "expect": "many_to_one", "keys": ["carrier"], "base_rows_matched": 336_776,
         "base_rows_null_key": 0, "base_rows_unmatched": 0, "side_rows": 16, "side_rows_unused": 0, "side_rows_superseded": 0},
    ],
    "sources": [
        {"name": "flights", "rows": 336_776, "malformed_rows": 3, "files": 12, "bytes": 28_914_213,
         "reasons": [{"reason": "distance: 'n/a' is not a double", "rows": 2}, {"reason": "22 cells, the header has 19", "rows": 1}]},
        {"name": "weather", "rows": 26_115, "malformed_rows": 0, "files": 3, "bytes": 6_420_001, "reasons": []},
        {"name": "planes", "rows": 3_322, "malformed_rows": 0, "files": 1, "bytes": 251_880, "reasons": []},
        {"name": "airports", "rows": 1_458, "malformed_rows": 0, "files": 1, "bytes": 61_532, "reasons": []},
        {"name": "airlines", "rows": 16, "malformed_rows": 0, "files": 1, "bytes": 412, "reasons": []},
    ],
}  # fmt: skip
STAGES = [
    {"stage": "merge", "status": "ran", "seconds": 21.4, "rows": 336_776, "bytes": 35_600_000},
    {"stage": "fit", "status": "ran", "seconds": 6.13, "rows": 261_402, "bytes": 11_904_000},
    {"stage": "convert", "status": "ran", "seconds": 7.75, "rows": 327_346, "bytes": 197_500_000},
    {"stage": "train linear-learner", "status": "ran", "seconds": 14.1, "rows": 2_614_020, "bytes": 1_580_000_000},
    {"stage": "train xgboost", "status": "ran", "seconds": 41.9, "rows": 261_402, "bytes": 158_000_000},
    {"stage": "evaluate", "status": "skipped", "seconds": 0.03, "rows": None, "bytes": None},
]
SPEC_TEXT = "version: 1\nname: flights\ntask: binary\nlabel: {column: late}\n"


def plan_of() -> dict[str, Any]:
    names, sources = [], []
    for name, _, _ in NUMERIC:
        names.append(name)
        sources.append(name)
    for name, size in CATEGORICAL:
        for value in range(SIZES.get(name, size)):
            names.append(f"{name}={name[:2].upper()}{value}")
            sources.append(name)
    return {"names": names, "sources": sources, "width": len(names), "layout": "sparse"}


def training_of(algorithm: str, measure: str, epochs: int, best: int) -> dict[str, Any]:
    metrics = []
    for epoch in range(1, epochs + 1):
        metrics.append({"name": f"train:{measure}", "epoch": epoch, "value": 0.41 + 0.2 / epoch})
        drift = 0.0015 * max(0, epoch - best)
        metrics.append({"name": f"validation:{measure}", "epoch": epoch, "value": 0.435 + 0.19 / epoch + drift})
    return {
        "job": f"flights-{algorithm}-8f3c", "algorithm": algorithm, "status": "Completed", "seconds": 14.12,
        "hyperparameters": {"epochs": str(epochs), "learning_rate": "0.005", "mini_batch_size": "1000"},
        "channels": {
            "train": {"rows": 261_402, "bytes": 158_000_000, "epochs": epochs, "mode": "Pipe"},
            "validation": {"rows": 32_875, "bytes": 19_870_000, "epochs": epochs, "mode": "Pipe"},
        },
        "metrics": metrics, "best_epoch": best, "width": plan_of()["width"],
    }  # fmt: skip


def binary_inputs() -> ReportInputs:
    rng = np.random.default_rng(2013)
    labels = (rng.random(33_069) < 0.24).astype(np.float32)
    models = {}
    for name, pull, bound in (("linear-learner", 0.7, ">= 0.80"), ("xgboost", 1.22, ">= 0.70")):
        odds = rng.normal(-1.45 + pull * labels, 1.0)
        state = BinaryState.of(1 / (1 + np.exp(-odds)), labels, where="test")
        found = state.metrics(width=9)
        gates = evaluate.check_gates(found, {"auc": bound, "log_loss": "<= 0.6"})
        models[name] = evaluate.model_entry(name, found, gates)
    plan = plan_of()
    width = plan["width"]
    return ReportInputs(
        spec={"name": "flights", "task": "binary", "label": {"column": "late"}},
        spec_text=SPEC_TEXT,
        profile=profile_of(rng),
        merge=MERGE,
        plan=plan,
        models=models,
        training={
            "linear-learner": training_of("linear-learner", "objective_loss", 12, 9),
            "xgboost": training_of("xgboost", "logloss", 240, 187),
        },
        explanations={
            "linear-learner": {"kind": "coefficients", "values": {"weight": rng.normal(0, 0.2, width).tolist()}},
            "xgboost": {
                "kind": "importance",
                "values": {
                    "weight": rng.gamma(0.4, 30, width).tolist(),
                    "gain": (rng.gamma(0.4, 30, width) * (rng.random(width) < 0.8)).tolist(),
                },
            },
        },
        stages=STAGES,
        runs={"merge": "4b1f0c9d2e7a", "fit": "9a33c01be57f", "convert": "0d5e8812ab34"},
        versions={"penstock": "0.1.0", "spark": "3.5.6", "python": "3.11.9"},
    )  # fmt: skip


def multiclass_inputs() -> ReportInputs:
    rng = np.random.default_rng(7)
    classes = ("gold", "silver", "bronze", "none")
    truth = rng.choice(4, 8_000, p=[0.1, 0.2, 0.3, 0.4])
    odds = rng.normal(size=(8_000, 4)) + 1.4 * np.eye(4)[truth]
    scores = np.exp(odds) / np.exp(odds).sum(axis=1, keepdims=True)
    found = MulticlassState.of(scores, truth.astype(np.float32), where="test").metrics(classes)
    inputs = binary_inputs()
    return dataclasses.replace(
        inputs,
        spec={"name": "medals", "task": "multiclass", "label": {"column": "medal"}},
        models={"xgboost": evaluate.model_entry("xgboost", found, evaluate.check_gates(found, {"macro_f1": ">= 0.5"}))},
        training={"xgboost": inputs.training["xgboost"]},
        explanations={"xgboost": inputs.explanations["xgboost"]},
    )  # fmt: skip


def regression_inputs() -> ReportInputs:
    rng = np.random.default_rng(8)
    labels = rng.gamma(2.2, 5_800, 9_000).astype(np.float32)
    span = (float(labels.min()), float(labels.max()))
    inputs = binary_inputs()
    models = {}
    for name, noise in (("linear-learner", 0.45), ("xgboost", 0.25)):
        scores = labels * rng.normal(1, noise, 9_000) + 300
        found = RegressionState.of(scores, labels, where="test", span=span).metrics(width=40)
        models[name] = evaluate.model_entry(name, found, [])
    return dataclasses.replace(
        inputs, spec={"name": "insurance", "task": "regression", "label": {"column": "charges"}}, models=models
    )
