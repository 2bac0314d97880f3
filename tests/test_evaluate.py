import dataclasses
import json
import math
import subprocess
import sys
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from sklearn import metrics as reference

from penstock import evaluate
from penstock.containers.linear_model import LinearModel
from penstock.errors import DataError, EmptyTableError, GateError, InputError
from penstock.evaluate import (
    check_gates,
    evaluate_model,
    explain_model,
    gate_failures,
    known_metrics,
)
from penstock.host import pack_model
from penstock.metrics import BinaryState, MulticlassState, RegressionState

RNG = np.random.default_rng(11)
WIDTH = 6
ROWS = 900
FEATURES = RNG.normal(size=(ROWS, WIDTH)).astype(np.float32)
CLASSES = {"binary": 2, "multiclass": 3, "regression": None}
FOUND: dict[str, Any] = {
    "binary": BinaryState.of(np.array([0.2, 0.7]), np.array([0.0, 1.0]), where="t"),
    "multiclass": MulticlassState.of(np.eye(3), np.arange(3.0), where="t"),
    "regression": RegressionState.of(np.array([1.0, 2.5]), np.array([1.0, 2.0]), where="t"),
}


@pytest.mark.parametrize("task", list(FOUND))
def test_the_names_of_a_task_are_those_of_its_metrics(task):
    found = FOUND[task].metrics(width=0)

    assert set(known_metrics(task)) <= set(found)
    scalars = {name for name, value in found.items() if isinstance(value, float)}
    context = {"base_rate", "auc_error_bound", "threshold", "label_mean", "label_std"}
    assert scalars - context <= set(known_metrics(task))
    json.dumps(found, allow_nan=False)


def test_known_metrics_cost_no_heavy_import():
    code = (
        "import sys; from penstock.evaluate import known_metrics; known_metrics('binary');"
        "print([m for m in ('numpy', 'pyspark', 'matplotlib', 'pydantic', 'pyarrow') if m in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"


def test_gates_say_what_was_found_in_their_order():
    found = {"auc": 0.7, "log_loss": 0.5, "recall": None}

    checked = check_gates(found, {"log_loss": "< 0.5", "auc": ">= 0.70", "recall": "> 0"})

    assert checked == [
        {"metric": "log_loss", "gate": "< 0.5", "found": 0.5, "passed": False},
        {"metric": "auc", "gate": ">= 0.70", "found": 0.7, "passed": True},
        {"metric": "recall", "gate": "> 0", "found": None, "passed": False},
    ]


@pytest.mark.parametrize(
    ("gate", "passed"),
    [("<= 0.5", True), ("> 0.5", False), (">= 0.5", True), ("< 0.50001", True), ("> -1e3", True)],
)
def test_each_operator_is_what_it_says(gate, passed):
    assert check_gates({"auc": 0.5}, {"auc": gate})[0]["passed"] is passed


def test_a_gate_on_an_unknown_metric_offers_the_nearest():
    with pytest.raises(InputError) as caught:
        check_gates({"rmse": 1.0, "mae": 1.0, "rows": 7}, {"rsme": "<= 2"})

    assert str(caught.value) == (
        "gates: no metric 'rsme' for this task, expected one of 'rmse', 'mae'\n  did you mean 'rmse'?"
    )


def test_a_gate_on_a_metric_of_another_task_offers_what_there_is():
    with pytest.raises(InputError) as caught:
        check_gates({"mae": 1.0}, {"calibration_error": "<= 2"})

    assert str(caught.value) == (
        "gates: no metric 'calibration_error' for this task, expected one of 'mae'\n  name one of them"
    )


def test_the_document_keeps_numbers_apart_from_the_points_of_plots():
    found = FOUND["binary"].metrics()
    gates = check_gates(found, {"auc": ">= 0.5", "log_loss": "<= 0.001"})
    entry = evaluate.model_entry("xgboost", found, gates)

    document = evaluate.metrics_document(
        pipeline="flights", task="binary", models={"mine": entry}, rows={"test": 2}, stages={}
    )

    assert list(document) == ["pipeline", "task", "models", "rows", "stages"]
    mine = document["models"]["mine"]
    assert mine["algorithm"] == "xgboost"
    assert mine["test"]["auc"] == 1.0
    assert "curves" not in mine["test"]
    assert mine["curves"]["roc"]["tpr"][-1] == 1.0
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    failures = gate_failures(document)
    assert failures == (("mine", "log_loss", found["log_loss"], "<= 0.001"),)
    assert "mine has log_loss" in str(GateError(failures, "reports/flights/index.html"))


def test_an_undefined_metric_fails_its_gate_as_nan():
    gates = check_gates({"auc": None}, {"auc": ">= 0.5"})
    document = {"models": {"m": {"gates": gates}}}

    [(model, metric, found, gate)] = gate_failures(document)

    assert (model, metric, gate) == ("m", "auc", ">= 0.5")
    assert math.isnan(found)


@pytest.mark.parametrize(("shards", "lengths"), [(3, [1, 1, 1]), (64, [1] * 64), (130, [2, 2, 2])])
def test_shards_fall_to_a_bounded_number_of_tasks_each_once(shards, lengths):
    listed = [evaluate._Shard(f"part-{i}", i) for i in range(shards)]

    groups = list(evaluate._groups(listed, evaluate.MOST_TASKS))

    assert [shard for group in groups for shard in group] == listed
    assert [len(group) for group in groups[: len(lengths)]] == lengths
    assert len(groups) <= evaluate.MOST_TASKS


# ---- real shards, a real model, real tasks


def model_of(task: str) -> LinearModel:
    outputs = 3 if task == "multiclass" else 1
    rng = np.random.default_rng(5)
    return LinearModel(
        task=task,
        loss="logistic",
        weights=rng.normal(size=(outputs, WIDTH)),
        bias=rng.normal(size=outputs),
        deviation=np.ones(WIDTH),
        best_epoch=0,
        best_objective=0.0,
    )


def labels_of(task: str) -> Any:
    if task == "regression":
        return (FEATURES @ np.arange(WIDTH) + RNG.normal(size=ROWS)).astype(np.float32)
    return RNG.integers(0, CLASSES[task], ROWS).astype(np.float32)


def packed(model: LinearModel, folder: Any) -> str:
    (folder / "model").mkdir()
    model.save(folder / "model")
    uri = f"file://{folder}/model.tar.gz"
    pack_model(folder / "model", uri)
    return uri


def dataset_of(folder: Any, task: str, labels: Any, *, parts: int, layout: Any = "dense") -> Any:
    from penstock import dataset

    prefix = f"file://{folder}/data-{parts}/test/"
    features = FEATURES if layout == "dense" else sparse.csr_matrix(FEATURES)
    bounds = [ROWS * part // parts for part in range(parts + 1)]
    shards = [
        dataset.write_shard(prefix, part, 0, [(features[a:b], labels[a:b])])
        for part, (a, b) in enumerate(pairwise(bounds))
    ]
    names = tuple(f"f{i}" for i in range(WIDTH))
    classes = {"binary": (0, 1), "multiclass": ("a", "b", "c")}.get(task)
    return dataset.commit(
        prefix, shards, expected_rows=ROWS, width=WIDTH, layout=layout, task=task, classes=classes,
        plan_sha256="0" * 64, names=names,
    )  # fmt: skip


@pytest.mark.parametrize(("task", "layout"), [("binary", "dense"), ("binary", "sparse"), ("multiclass", "dense"), ("regression", "dense")])  # fmt: skip
def test_metrics_are_those_of_all_rows_at_once_and_do_not_depend_on_shards(
    spark, tmp_path, task, layout
):
    model, labels = model_of(task), labels_of(task)
    uri = packed(model, tmp_path)
    one, many = (dataset_of(tmp_path, task, labels, parts=parts, layout=layout) for parts in (1, 5))

    found = evaluate_model(spark, many, uri, task=task, batch_rows=97)

    assert found == evaluate_model(spark, one, uri, task=task)
    scores = model.score(FEATURES)
    assert found["rows"] == ROWS
    if task == "binary":
        assert found["auc"] == pytest.approx(
            reference.roc_auc_score(labels, scores.astype(np.float32)), abs=1e-9
        )
        assert found["log_loss"] == pytest.approx(reference.log_loss(labels, scores), abs=1e-9)
        assert found["classes"] == ["0", "1"]
    elif task == "multiclass":
        assert found["accuracy"] == pytest.approx(
            reference.accuracy_score(labels, scores.argmax(axis=1))
        )
        assert found["classes"] == ["a", "b", "c"]
    else:
        assert found["rmse"] == pytest.approx(
            reference.root_mean_squared_error(labels, scores), rel=1e-9
        )
        assert found["adjusted_r2"] < found["r2"]
        assert np.sum(found["curves"]["grid"]["counts"]) == ROWS


def test_one_spark_job_scores_a_model(spark, tmp_path):
    data = dataset_of(tmp_path, "binary", labels_of("binary"), parts=3)
    uri = packed(model_of("binary"), tmp_path)
    tracker = spark.sparkContext.statusTracker()
    spark.sparkContext.setJobGroup("evaluate-test", "one job")

    evaluate_model(spark, data, uri, task="binary")

    spark.sparkContext.setLocalProperty("spark.jobGroup.id", None)
    assert len(tracker.getJobIdsForGroup("evaluate-test")) == 1


def test_an_impossible_label_is_named_by_shard_and_row_from_inside_a_task(spark, tmp_path):
    labels = labels_of("multiclass")
    labels[:] = 1.0
    labels[500] = 2.0
    data = dataset_of(tmp_path, "multiclass", labels, parts=2)
    uri = packed(model_of("binary"), tmp_path)

    with pytest.raises(DataError) as caught:
        evaluate_model(spark, data, uri, task="binary", batch_rows=20)

    assert str(caught.value) == (
        f"{data.shard_uris()[1]}, row 50: label is 2.0, expected a class number from 0 to 1\n"
        "  convert the dataset again with the label's classes in the spec"
    )


def test_a_shard_that_lost_rows_is_refused(spark, tmp_path):
    data = dataset_of(tmp_path, "binary", labels_of("binary"), parts=1)
    longer = dataclasses.replace(data, shards=(dataclasses.replace(data.shards[0], rows=ROWS + 1),))

    with pytest.raises(DataError) as caught:
        evaluate_model(spark, longer, packed(model_of("binary"), tmp_path), task="binary")

    assert str(caught.value) == (
        f"{data.shard_uris()[0]}: 900 rows, expected 901 as the dataset lists\n"
        "  the shard was changed after convert; run: penstock convert SPEC --force"
    )


def test_an_empty_test_split_is_refused_before_any_task(tmp_path):
    data = dataset_of(tmp_path, "binary", labels_of("binary"), parts=1)
    empty = dataclasses.replace(data, rows=0)
    nobody: Any = None

    with pytest.raises(EmptyTableError) as caught:
        evaluate_model(nobody, empty, "nowhere", task="binary")

    assert str(caught.value) == (
        f"table {data.uri!r} has 0 rows, expected at least 1\n"
        "  give the test split a larger share in the spec, then run from merge"
    )


def test_an_explanation_comes_from_the_artifact(tmp_path):
    model = model_of("binary")

    found = explain_model(packed(model, tmp_path))

    assert found["kind"] == "coefficients"
    assert found["values"]["coefficient"] == model.weights[0].tolist()
