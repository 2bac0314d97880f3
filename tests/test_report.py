import dataclasses
import html.parser
import re
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from penstock import evaluate
from penstock.metrics import BinaryState, MulticlassState, RegressionState
from penstock.report import ReportInputs, render
from penstock.report_numbers import metric_text, short_text
from penstock.report_words import COMPARED, WORDS

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


PROFILED_ROWS = 261_402
PROFILED = {"distinct_is_exact": True, "missing": 0, "missing_share": 0.0, "role": "feature"}


def numeric_columns(rng: np.random.Generator) -> list[dict[str, Any]]:
    columns = []
    for at, (name, low, high) in enumerate(NUMERIC):
        values = low + (high - low) * rng.beta(1 + at % 4, 1 + (at * 7) % 5, 20_000)
        counts, edges = np.histogram(values, 30)
        share = {"weather__wind_gust": 0.7747, "plane_age": 0.1716}.get(name, 0.013 * (at % 3))
        steps = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
        columns.append(PROFILED | {
            "name": name, "kind": "numeric", "type": "double", "distinct": 40 + 77 * at,
            "missing": int(share * PROFILED_ROWS), "missing_share": share, "min": low, "max": high,
            "mean": float(values.mean()), "std": float(values.std()),
            "quantiles": {str(q): float(np.quantile(values, q)) for q in steps},
            "histogram": {"edges": edges.tolist(), "counts": (counts * 13).tolist()},
            "label_correlation": round(float(rng.normal(0, 0.09)), 4),
        })  # fmt: skip
    return columns


def categorical_columns(rng: np.random.Generator) -> list[dict[str, Any]]:
    columns = []
    for name, size in CATEGORICAL:
        counts = np.sort(rng.zipf(1.6, size).clip(1, 400))[::-1]
        counts = (counts / counts.sum() * PROFILED_ROWS).astype(int)
        top = [
            {
                "value": f"{name[:2].upper()}{i}",
                "count": int(c),
                "label_mean": round(float(rng.uniform(0.15, 0.35)), 4),
            }
            for i, c in enumerate(counts[:20])
        ]
        columns.append(PROFILED | {
            "name": name, "kind": "categorical", "type": "string", "distinct": size, "top": top,
            "label_correlation": None,
        })  # fmt: skip
    return columns


def profile_of(rng: np.random.Generator) -> dict[str, Any]:
    columns = [*numeric_columns(rng), *categorical_columns(rng)]
    columns.append(PROFILED | {
        "name": "late", "kind": "numeric", "type": "int32", "role": "label", "distinct": 2, "min": 0, "max": 1,
        "mean": 0.24, "std": 0.427, "quantiles": {}, "histogram": {"edges": [0, 0.5, 1], "counts": [198_665, 62_737]},
        "label_correlation": 1.0,
    })  # fmt: skip
    columns.append(PROFILED | {
        "name": "tailnum", "kind": "other", "type": "string", "role": "key", "distinct": 4037,
        "distinct_is_exact": False, "missing": 2001, "missing_share": 0.00765, "label_correlation": None,
    })  # fmt: skip
    names = [name for name, _, _ in NUMERIC] + ["late"]
    noise = rng.normal(size=(len(names), 6))
    matrix = np.atleast_2d(np.corrcoef(noise))
    correlation = {"columns": names, "matrix": [[float(v) for v in row] for row in matrix]}
    return {"rows": PROFILED_ROWS, "label": "late", "columns": columns, "correlation": correlation}


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
    {
        "stage": "train linear-learner",
        "status": "ran",
        "seconds": 14.1,
        "rows": 2_614_020,
        "bytes": 1_580_000_000,
    },
    {
        "stage": "train xgboost",
        "status": "ran",
        "seconds": 41.9,
        "rows": 261_402,
        "bytes": 158_000_000,
    },
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
        metrics.append(
            {"name": f"validation:{measure}", "epoch": epoch, "value": 0.435 + 0.19 / epoch + drift}
        )
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
            "linear-learner": {"kind": "coefficients", "values": {
                    "coefficient": rng.normal(0, 9, width).tolist(),
                    "standardized": rng.normal(0, 0.2, width).tolist(),
                }},
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
        inputs,
        spec={"name": "insurance", "task": "regression", "label": {"column": "charges"}},
        models=models,
    )


class Page(html.parser.HTMLParser):
    """What a reader meets: text by element, tables as rows of cells, attributes of all elements."""

    VOID = frozenset({"meta", "link", "br"})

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.ids: list[str] = []
        self.links: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.tables: list[list[list[str]]] = []
        self.captions: list[str] = []
        self.headings: list[int] = []
        self.values: dict[str, str] = {}
        self.words: list[str] = []
        self._open: list[str] = []
        self._key: list[str | None] = []
        self.unbalanced: list[str] = []
        self.feed(text)
        self.close()
        self.unbalanced.extend(self._open)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.elements.append((tag, found))
        self.ids.extend([found["id"]] if found.get("id") else [])
        self.links.extend(
            value for name, value in attrs if name in {"href", "src", "xlink:href"} and value
        )
        if tag in self.VOID:
            return
        self._open.append(tag)
        self._key.append(found.get("id") or found.get("data-metric"))
        if tag == "table":
            self.tables.append([])
        if tag == "caption":
            self.captions.append("")
        if tag == "tr":
            self.tables[-1].append([])
        if tag in {"td", "th"}:
            self.tables[-1][-1].append("")
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag):
        if not self._open or self._open[-1] != tag:
            self.unbalanced.append(f"/{tag} in {self._open[-1:]}")
            return
        self._open.pop()
        self._key.pop()

    def handle_data(self, data):
        if {"style", "script"} & set(self._open):
            return
        self.words.append(data)
        if {"td", "th"} & set(self._open):
            self.tables[-1][-1][-1] = " ".join(f"{self.tables[-1][-1][-1]} {data}".split())
        elif "caption" in self._open:
            self.captions[-1] += data
        if self._key and self._key[-1]:
            self.values.setdefault(self._key[-1], data)

    def table(self, caption: str) -> list[list[str]]:
        """Return the rows of the first table whose caption starts so."""
        return next(
            rows for rows, found in zip(self.tables, self.captions, strict=True)
            if " ".join(found.split()).startswith(caption)
        )  # fmt: skip


INPUTS = {
    "binary": binary_inputs(),
    "multiclass": multiclass_inputs(),
    "regression": regression_inputs(),
}
TEXTS = {task: render(inputs) for task, inputs in INPUTS.items()}
PAGES = {task: Page(text) for task, text in TEXTS.items()}
BARE = ReportInputs(spec={"name": "flights", "task": "binary", "label": {"column": "late"}})
TASKS = pytest.mark.parametrize("task", list(INPUTS))


@TASKS
def test_the_page_is_whole_and_asks_the_network_for_nothing(task):
    page, text = PAGES[task], TEXTS[task]

    assert page.unbalanced == []
    assert "http:" not in text
    assert "https:" not in text
    assert "@import" not in text
    assert not re.findall(r"url\((?!#)", text)
    assert [link for link in page.links if not link.startswith("#") and link != "data:,"] == []
    assert {"script", "iframe", "img"} & {tag for tag, _ in page.elements} == set()
    assert len(text) < 500_000


@TASKS
def test_ids_are_unique_and_every_reference_has_a_target(task):
    page, text = PAGES[task], TEXTS[task]

    assert len(page.ids) == len(set(page.ids))
    inside = {link[1:] for link in page.links if link.startswith("#")}
    assert inside | set(re.findall(r"url\(#([^)]+)\)", text)) <= set(page.ids)


@TASKS
def test_figures_and_tables_have_words_and_headings_skip_no_level(task):
    page = PAGES[task]

    pictures = [found for tag, found in page.elements if tag == "svg"]
    assert all(p.get("aria-label") or p.get("aria-hidden") == "true" for p in pictures)
    assert len(page.captions) == len(page.tables)
    assert all(caption.strip() for caption in page.captions)
    assert page.headings[0] == 1
    assert all(later - earlier <= 1 for earlier, later in pairwise(page.headings))


def test_equal_inputs_give_equal_bytes():
    assert render(binary_inputs()) == TEXTS["binary"]


def test_the_headline_names_the_verdict_and_the_best_model():
    page, models = PAGES["binary"], INPUTS["binary"].models

    assert page.values["verdict"] == "1 of 4 gates failed"
    assert page.values["headline"] == f"{models['xgboost']['test']['auc']:.4f}"
    assert (
        "Predicts late : whether a row is of class 1, from 29 columns of 261,402 training rows."
        in page.text
    )


def test_the_best_of_an_error_is_the_smallest():
    models = INPUTS["regression"].models

    smallest = min(model["test"]["rmse"] for model in models.values())
    assert PAGES["regression"].values["headline"] == f"{smallest:,.1f}"
    assert PAGES["regression"].values["verdict"] == "No gates set"
    assert PAGES["multiclass"].values["verdict"] == "The gate is passed"


@TASKS
def test_the_comparison_shows_every_model_as_in_metrics_json(task):
    models = INPUTS[task].models

    rows = PAGES[task].table("On the test split")
    assert rows[0] == ["Metric", *models, "What it says"]
    for metric, row in zip(COMPARED[task], rows[1:], strict=True):
        shown = [metric_text(model["test"][metric]) for model in models.values()]
        assert row[:-1] == [WORDS[metric][0], *shown]


@TASKS
def test_every_metric_that_a_gate_may_name_is_shown(task):
    shown = {found["data-metric"] for _, found in PAGES[task].elements if "data-metric" in found}

    assert shown | {"sensitivity"} >= set(evaluate.known_metrics(task))
    assert set(evaluate.known_metrics(task)) - {"sensitivity"} <= set(WORDS)


def test_gates_and_thresholds_equal_the_inputs():
    page, models = PAGES["binary"], INPUTS["binary"].models

    assert page.table("Gates")[1:] == [
        [name, WORDS[gate["metric"]][0], gate["gate"].replace(">=", "≥").replace("<=", "≤"),
         f"{gate['found']:.4f}", "passed" if gate["passed"] else "failed"]
        for name, model in models.items() for gate in model["gates"]
    ]  # fmt: skip
    test = models["linear-learner"]["test"]
    assert page.table("At three thresholds")[4] == [
        "Recall (sensitivity)", *(f"{one['recall']:.4f}" for one in (test, test["best"]["f1"], test["best"]["youden"]))
    ]  # fmt: skip
    [[tn, fp], [fn, tp]] = test["confusion"]
    true_0, true_1 = page.table("threshold 0.5")[1:]
    assert true_0 == ["is 0", *(f"{n:,} {n / (tn + fp):.1%}".replace("%", " %") for n in (tn, fp))]
    assert true_1 == ["is 1", *(f"{n:,} {n / (fn + tp):.1%}".replace("%", " %") for n in (fn, tp))]


def test_the_profile_shows_every_column_with_its_missing_share_and_shape():
    profile = INPUTS["binary"].profile
    assert profile is not None

    rows = PAGES["binary"].table("Missing cells")
    assert [row[0] for row in rows[1:]] == [column["name"] for column in profile["columns"]]
    by_name = {row[0]: row for row in rows[1:]}
    assert by_name["weather__wind_gust"][2:6] == ["16.1 to 66.7", "77.5 %", "", "1,041"]
    assert by_name["tailnum"][5:] == ["≈ 4,037", "string key"]
    sparks = [
        found
        for tag, found in PAGES["binary"].elements
        if tag == "svg" and found.get("class") == "spark"
    ]
    assert len(sparks) == len(profile["columns"]) - 1
    assert "histogram of distance from" in str(sparks[4]["aria-label"])


def test_correlations_with_the_label_are_ranked_without_the_label():
    profile = INPUTS["binary"].profile
    assert profile is not None

    known = {
        c["name"]: c["label_correlation"]
        for c in profile["columns"]
        if c["label_correlation"] is not None
    }
    del known["late"]
    ranked = sorted(known, key=lambda name: -abs(known[name]))
    assert [row[0] for row in PAGES["binary"].table("With the label")[1:]] == ranked
    assert (
        f"distance × month: {profile['correlation']['matrix'][4][1]:+.2f}" in PAGES["binary"].text
    )


def test_joins_sources_splits_and_stages_equal_the_inputs():
    page = PAGES["binary"]

    planes = page.table("Joins")[2]
    assert planes[:2] == ["planes many to one", "tailnum"]
    assert planes[3:] == ["84.4 %", "2,512", "50,094", "3,322", "0", "14"]
    assert page.table("Sources")[1] == [
        "flights", "336,776", "12", "28.9 MB", "3",
        "distance: 'n/a' is not a double × 2 22 cells, the header has 19 × 1",
    ]  # fmt: skip
    assert page.table("Splits")[1:] == [
        ["train", "261,402", "79.9 %", ""], ["validation", "32,875", "10.0 %", ""], ["test", "33,069", "10.1 %", ""],
    ]  # fmt: skip
    stages = page.table("A stage is skipped")
    assert stages[1] == ["merge", "ran", "21.4 s", "", "336,776", "15,737", "35.6 MB", "1.66"]
    assert stages[6] == ["evaluate", "skipped", "0.03 s", "", "–", "–", "–", "–"]
    assert stages[7][2] == "91.3 s"


def test_features_are_counted_by_source_column():
    page = PAGES["binary"]

    rows = page.table("Columns that become more than one feature")
    assert rows[1][:2] == ["dest", "96"]
    assert sum(int(row[1]) for row in rows[1:]) + len(NUMERIC) == plan_of()["width"]
    assert "One feature each: airports__alt , airports__lat ," in page.text


def test_the_strongest_features_are_named():
    measures = INPUTS["binary"].explanations["xgboost"]["values"]
    names, sources = plan_of()["names"], plan_of()["sources"]
    total = np.array(measures["gain"]) * np.array(measures["weight"])
    order = np.argsort(-total, kind="stable")[:25]
    dest = sum(total[i] for i, source in enumerate(sources) if source == "dest") / total.sum()

    tables = [
        rows for rows, caption in zip(PAGES["binary"].tables, PAGES["binary"].captions, strict=True)
        if caption.startswith("Strongest")
    ]  # fmt: skip
    assert [row[0] for row in tables[1][1:]] == [names[i] for i in order]
    assert tables[1][0][1] == "total gain"
    assert tables[1][1][1] == short_text(total[order[0]])
    assert tables[0][0][1] == "standardized"
    coefficients = INPUTS["binary"].explanations["linear-learner"]["values"]["standardized"]
    assert tables[0][1][1] == short_text(max(coefficients, key=abs))
    assert ["dest", f"{dest:.1%}".replace("%", " %"), ""] in PAGES["binary"].table(
        "By source column"
    )


def test_training_marks_the_best_epoch_and_the_log_ends():
    text = PAGES["binary"].text

    assert "best: 9" in text
    assert "best: 187" in text
    assert "Training: objective loss" in text
    assert "read 240 times in Pipe mode" in text


def test_provenance_shows_runs_versions_and_the_spec():
    page = PAGES["binary"]

    assert page.table("Runs")[1:] == [
        ["merge", "4b1f0c9d2e7a"],
        ["fit", "9a33c01be57f"],
        ["convert", "0d5e8812ab34"],
    ]
    assert ["spark", "3.5.6"] in page.table("Versions")
    assert SPEC_TEXT in TEXTS["binary"].replace("&#34;", '"')


def test_every_missing_part_is_explained_in_its_place():
    page = Page(render(BARE))

    assert page.unbalanced == []
    assert page.values["verdict"] == "Not evaluated"
    for sentence in (
        "No model is in this report: neither training.json nor metrics.json was there. Run the stages train and evaluate.",
        "Split sizes are not known: the record of the merge was not there. Run the stage merge.",
        "There is no data profile: profile.json was not there. Run the stage fit.",
        "There are no correlations: profile.json was not there. Run the stage fit.",
        "Sources and joins are not known: the record of the merge was not there. Run the stage merge.",
        "The features are not known: plan.json was not there. Run the stage fit.",
        "No stage has left a record: this report was made by a job that ran alone.",
        "Run ids are not known: this report was made by a job that ran alone.",
        "The text of the spec was not given; the run ids above still cover it.",
    ):
        assert sentence in page.text


def test_a_channel_of_files_and_notes_of_the_merge_are_shown():
    training = training_of("xgboost", "logloss", 3, 2)
    training["channels"] = {
        "train": {"rows": None, "bytes": 158_000_000, "epochs": None, "mode": "File"}
    }
    merge = {**MERGE, "notes": ["flights: column 'x' is in 2 of 12 files"]}

    page = Page(render(dataclasses.replace(BARE, training={"xgboost": training}, merge=merge)))

    assert "xgboost, trained in 14.1 s; train: 158 MB in File mode" in page.text
    assert "flights: column 'x' is in 2 of 12 files" in page.text


PARTS = [field.name for field in dataclasses.fields(ReportInputs) if field.name != "spec"]


@pytest.mark.parametrize("part", PARTS)
def test_any_one_part_may_be_missing(part):
    empty = getattr(BARE, part)

    page = Page(render(dataclasses.replace(INPUTS["binary"], **{part: empty})))

    assert page.unbalanced == []
    assert len(page.ids) == len(set(page.ids))
    if part == "models":
        assert (
            "It has no test metrics: it is not in metrics.json. Run the stage evaluate."
            in page.text
        )
    if part == "training":
        assert (
            "How it was trained is not known: its training.json was not there. Run the stage train."
            in page.text
        )
    if part == "explanations":
        assert "it gave no importances" in page.text.replace("its model.tar.gz", "it")


def test_one_class_alone_in_the_test_split_says_why_auc_is_missing():
    found = BinaryState.of(np.array([0.2, 0.6]), np.zeros(2, dtype=np.float32), where="t").metrics()
    entry = evaluate.model_entry("xgboost", found, evaluate.check_gates(found, {"auc": ">= 0.7"}))

    page = Page(render(dataclasses.replace(BARE, models={"xgboost": entry})))

    assert "AUC: undefined: all 2 rows are of class 0." in page.text
    assert page.values["verdict"] == "1 of 1 gates failed"
    assert page.table("Gates")[1][3:] == ["–", "failed"]


def hostile(value: Any) -> Any:
    """Replace every text of some data, keys of free choice included, by something that bites."""
    kept = {"kind", "role", "status", "expect", "metric", "gate", "layout", "type"}
    if isinstance(value, dict):
        return {k: v if k in kept else hostile(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [hostile(one) for one in value]
    return HOSTILE + value if isinstance(value, str) else value


def test_names_and_values_from_data_are_text_and_never_markup():
    inputs = INPUTS["binary"]
    models = {HOSTILE + name: hostile(dict(model)) for name, model in inputs.models.items()}
    training = {HOSTILE + name: {**one, "algorithm": HOSTILE, "hyperparameters": {HOSTILE: HOSTILE}} for name, one in inputs.training.items()}  # fmt: skip
    training = {
        name: {**one, "channels": {HOSTILE: one["channels"]["train"]},
               "metrics": [{**m, "name": HOSTILE + m["name"]} for m in one["metrics"]]}
        for name, one in training.items()
    }  # fmt: skip
    explanations = {HOSTILE + name: hostile(dict(one)) for name, one in inputs.explanations.items()}
    text = render(
        ReportInputs(
            spec={"name": HOSTILE, "task": "binary", "label": {"column": HOSTILE}},
            spec_text=HOSTILE, profile=hostile(inputs.profile), merge=hostile(inputs.merge), plan=hostile(inputs.plan),
            models=models, training=training, explanations=explanations, stages=hostile(list(inputs.stages)),
            runs={HOSTILE: HOSTILE}, versions={HOSTILE: HOSTILE},
        )
    )  # fmt: skip
    page = Page(text)

    assert "<script" not in text
    assert page.unbalanced == []
    assert {tag for tag, _ in page.elements} == {tag for tag, _ in PAGES["binary"].elements}
    known = {name for _, found in PAGES["binary"].elements for name in found}
    assert {name for _, found in page.elements for name in found} <= known
    assert page.text.count(HOSTILE) > 100


def test_a_wide_table_stays_under_a_megabyte_and_a_half():
    profile = profile_of(np.random.default_rng(1))
    numeric = [column for column in profile["columns"] if column["kind"] == "numeric"]
    columns = [
        {**numeric[i % 20], "name": f"a_column_with_quite_a_long_name_{i}"} for i in range(60)
    ]
    names = [column["name"] for column in columns]
    wide = {
        **profile,
        "columns": columns,
        "correlation": {"columns": names, "matrix": np.eye(60).tolist()},
    }

    text = render(dataclasses.replace(INPUTS["binary"], profile=wide))

    assert len(text.encode()) < 1_500_000
    assert "20 more columns are left out here; profile.json has them." in Page(text).text


def test_the_page_says_why_columns_are_features_and_what_the_leak_checks_found():
    plain = {"kind": "other", "type": "string", "missing": 0, "missing_share": 0.0, "distinct": 2,
             "distinct_is_exact": True, "label_correlation": None}  # fmt: skip
    columns = [
        plain | {"name": "refund", "role": "unused", "left_out": "tells <the> label"},
        plain | {"name": "city", "role": "feature", "chosen": "3 values"},
    ]
    body = {"check": "feature", "columns": ["city"], "measure": "auc", "found": 0.71, "of": 99}
    between = {"check": "rows", "columns": [], "measure": "shared_rows", "found": 7, "of": 50}
    page = render(
        dataclasses.replace(
            BARE,
            profile={"rows": 9, "label": "late", "columns": columns},
            fit={"leaks": [body | {"leak": False}], "warnings": ["'refund' is left out"]},
            merge={"leaks": [between | {"leak": True}], "warnings": []},
        )
    )

    assert '>city</th><td>feature</td><td class="names">3 values</td>' in page
    assert (
        '<span class="tag">left out</span></td><td class="names">tells &lt;the&gt; label</td>'
        in page
    )
    assert "<strong>Warning</strong> &#39;refund&#39; is left out</p>" in page
    assert '<td class="names">all features</td><td class="n">7</td><td class="n">50</td>' in page
    assert '<td class="n">AUC 0.7100</td><td class="n">99</td>' in page
    assert page.count('<span class="pill bad">suspected</span>') == 1
    assert "Leak checks are not known: the records of merge and fit have none." in render(BARE)
