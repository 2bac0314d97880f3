"""The built-in programs, through real FIFOs, as real processes."""

from __future__ import annotations

import os
import subprocess
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from containers.jobs import Rows, binary_rows, write_job, write_shards
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from penstock.containers import load_model
from penstock.containers.hyperparameters import HyperparametersError
from penstock.host import (
    Channel,
    TrainingRequest,
    TrainingResult,
    algorithm,
    check_hyperparameters,
    pack_model,
    run_training,
    unpack_model,
)

LINEAR = {"predictor_type": "binary_classifier"}
TREES = {
    "objective": "binary:logistic",
    "num_round": "20",
    "eval_metric": "logloss,auc",
    "early_stopping_rounds": "5",
    "nthread": "1",
}
HYPERPARAMETERS = {"linear-learner": LINEAR, "xgboost": TREES}
TRAIN, VALIDATION, TEST = binary_rows(6000), binary_rows(1500, 10), binary_rows(3000, 20)


def train(folder: Path, name: str, *, sparse: bool = False, **changes: Any) -> TrainingResult:
    def channel(called: str, rows: Rows) -> Channel:
        uris = write_shards(folder / "shards" / called, rows.sparse() if sparse else rows)
        sizes = tuple(Path(uri).stat().st_size for uri in uris)
        mode = changes.get("input_mode", "Pipe")
        return Channel(name=called, uris=uris, size_bytes=sizes, input_mode=mode)

    request = TrainingRequest(
        job=name,
        program=algorithm(name).program,
        hyperparameters=HYPERPARAMETERS[name] | changes.get("hyperparameters", {}),
        channels=(channel("train", TRAIN), channel("validation", VALIDATION)),
        metric_definitions=algorithm(name).metric_definitions,
        idle_timeout_s=60,
        max_run_s=300,
    )
    return run_training(
        request,
        workdir=folder / "work",
        on_line=changes.get("on_line"),
        stop=changes.get("stop"),
    )


def auc(model_dir: Path) -> float:
    return float(roc_auc_score(TEST.labels, load_model(model_dir).score(TEST.features)))


def series(result: TrainingResult, name: str) -> list[float]:
    return [metric.value for metric in result.metrics if metric.name == name]


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
def test_linear_learner_trains_through_pipes(tmp_path: Path, sparse: bool) -> None:
    result = train(tmp_path, "linear-learner", sparse=sparse)

    assert (result.status, result.failure_reason) == ("Completed", None)
    solver = LogisticRegression(max_iter=2000).fit(TRAIN.features, TRAIN.labels)
    theirs = roc_auc_score(TEST.labels, solver.predict_proba(TEST.features)[:, 1])
    assert auc(result.model_dir) > theirs - 0.002
    losses = series(result, "validation:objective_loss")
    epochs = len(losses)
    assert load_model(result.model_dir).best_epoch == int(np.argmin(losses))
    assert len(series(result, "train:objective_loss")) == epochs
    assert series(result, "validation:binary_classification_accuracy")[0] > 0.6
    # One epoch more of train: the first is read for its moments.
    assert result.channels["train"].epochs == epochs + 1
    assert result.channels["validation"].epochs == epochs


def test_xgboost_trains_through_pipes(tmp_path: Path) -> None:
    result = train(tmp_path, "xgboost")

    assert (result.status, result.failure_reason) == ("Completed", None)
    assert auc(result.model_dir) > 0.75
    assert len(series(result, "validation:auc")) == len(series(result, "train:logloss"))
    model = load_model(result.model_dir)
    assert model.best_epoch == int(np.argmax(series(result, "validation:auc")))
    passes = result.channels["train"].epochs
    shards = sum(path.stat().st_size for path in (tmp_path / "shards" / "train").iterdir())
    assert passes is not None
    assert passes > 1
    assert result.channels["train"].bytes == passes * shards


@pytest.mark.parametrize("name", ["linear-learner", "xgboost"])
def test_every_input_mode_gives_the_same_model(tmp_path: Path, name: str) -> None:
    packed = []
    modes = ("Pipe", "File", "FastFile") if name == "linear-learner" else ("Pipe", "File")
    for mode in modes:
        result = train(tmp_path / mode, name, input_mode=mode)
        pack_model(result.model_dir, str(tmp_path / f"{mode}.tar.gz"))
        packed.append((tmp_path / f"{mode}.tar.gz").read_bytes())

    assert len(set(packed)) == 1
    unpack_model(str(tmp_path / "Pipe.tar.gz"), tmp_path / "model")
    assert auc(tmp_path / "model") > 0.75


@pytest.mark.parametrize(
    ("name", "hyperparameters", "line"),
    [
        (
            "linear-learner",
            {"epochs": "100000", "early_stopping_patience": "100000"},
            "epoch=3, val",
        ),
        ("xgboost", {"num_round": "100000", "early_stopping_rounds": "100000"}, "[3]\t"),
    ],
)
def test_a_stopped_job_keeps_its_best_model(
    tmp_path: Path, name: str, hyperparameters: dict[str, str], line: str
) -> None:
    stop = threading.Event()

    result = train(
        tmp_path,
        name,
        hyperparameters=hyperparameters,
        stop=stop,
        on_line=lambda text: stop.set() if line in text else None,
    )

    assert (result.status, result.exit_code) == ("Stopped", 0)
    assert auc(result.model_dir) > 0.7


@pytest.mark.parametrize("name", ["linear-learner", "xgboost"])
def test_a_job_that_is_stopped_before_it_has_a_model_ends_well(tmp_path: Path, name: str) -> None:
    stop = threading.Event()

    result = train(tmp_path, name, stop=stop, on_line=lambda _: stop.set())

    assert (result.status, result.exit_code) == ("Stopped", 0)


def test_wrong_hyperparameters_fail_the_job_with_the_whole_message(tmp_path: Path) -> None:
    wrong = {"epoch": "3", "l1": "-1"}

    result = train(tmp_path, "linear-learner", hyperparameters=wrong)

    with pytest.raises(HyperparametersError) as caught:
        check_hyperparameters("linear-learner", LINEAR | wrong)
    assert result.status == "Failed"
    assert result.failure_reason == f"ClientError: {caught.value}"
    assert str(caught.value) == (
        "hyperparameters of linear-learner: 2 problems\n"
        "  'epoch' is unknown, did you mean 'epochs'?\n"
        "  'l1' is '-1', expected a number of at least 0 or 'auto': weight of the L1 penalty; "
        "auto is 0"
    )


@pytest.mark.parametrize("name", ["linear-learner", "xgboost"])
def test_a_corrupt_shard_fails_the_job_and_is_named(tmp_path: Path, name: str) -> None:
    content = TRAIN.encoded()
    path = tmp_path / "bad.rec"
    path.write_bytes(content[: len(content) // 2] + b"\0" * 64)
    request = TrainingRequest(
        job="corrupt",
        program=algorithm(name).program,
        hyperparameters=HYPERPARAMETERS[name],
        channels=(Channel(name="train", uris=(str(path),)),),
    )

    result = run_training(request, workdir=tmp_path / "work")

    assert result.status == "Failed"
    assert result.failure_reason is not None
    assert result.failure_reason.startswith("ClientError: ")
    assert "bad RecordIO at byte" in result.failure_reason
    assert list(result.model_dir.iterdir()) == []


def write(fifo: Path, content: bytes) -> None:
    with suppress(BrokenPipeError):  # a reader that saw enough
        fifo.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (
            "linear-learner",
            "ClientError: channel 'train': epoch 1 had {second} rows, the first had {first}\n"
            "  every epoch of a channel must give the same rows",
        ),
        (
            "xgboost",
            "ClientError: channel 'train': a pass had {second} rows so far, the first had {first}\n"
            "  every epoch of a channel must give the same rows",
        ),
    ],
)
@pytest.mark.parametrize(("first", "second"), [(500, 400), (400, 500)], ids=["fewer", "more"])
def test_an_epoch_of_other_rows_is_refused(
    tmp_path: Path, name: str, reason: str, first: int, second: int
) -> None:
    base = write_job(tmp_path, HYPERPARAMETERS[name], {"train": TRAIN[:1]})
    config = base / "input" / "config" / "inputdataconfig.json"
    config.write_text(config.read_text().replace("File", "Pipe"))
    data = base / "input" / "data"
    rows = [first, second, second, second, second]
    feeders = []
    for epoch, count in enumerate(rows):
        os.mkfifo(data / f"train_{epoch}")
        content = TRAIN[:count].encoded()
        thread = threading.Thread(target=write, args=(data / f"train_{epoch}", content))
        thread.start()
        feeders.append(thread)

    ended = subprocess.run(
        algorithm(name).program,
        env=os.environ | {"SAGEMAKER_BASE_DIR": str(base)},
        capture_output=True,
        check=False,
    )

    assert ended.returncode == 1
    failure = (base / "output" / "failure").read_text()
    assert failure == reason.format(first=first, second=second)
    for epoch, thread in enumerate(feeders):
        while thread.is_alive():
            os.close(os.open(data / f"train_{epoch}", os.O_RDONLY | os.O_NONBLOCK))
            thread.join(0.01)
