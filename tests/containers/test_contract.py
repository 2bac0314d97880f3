from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from containers.jobs import binary_rows, write_job, write_shards

from penstock.containers import contract
from penstock.errors import CorruptRecordError, DataError, InputError

ROWS = binary_rows(100)


def job_in(base: Path, **channel: str) -> Path:
    write_job(base, {"a": "1"}, {"train": ROWS})
    path = base / "input" / "config" / "inputdataconfig.json"
    config = json.loads(path.read_text())
    config["train"] |= channel
    path.write_text(json.dumps(config))
    return base


def test_a_job_is_what_the_config_files_say(tmp_path: Path) -> None:
    job = contract.open_job(job_in(tmp_path, TrainingInputMode="Pipe"))

    assert job.hyperparameters == {"a": "1"}
    assert job.host == "algo-1"
    assert list(job.channels) == ["train"]
    assert job.channel("train").mode == "Pipe"
    assert job.model_dir == tmp_path / "model"


@pytest.mark.parametrize(
    ("channel", "message"),
    [
        (
            {"TrainingInputMode": "Tape"},
            "inputdataconfig.json, channel 'train': TrainingInputMode is 'Tape', expected 'Pipe', "
            "'File', 'FastFile'",
        ),
        (
            {"RecordWrapperType": "RecordIO"},
            "inputdataconfig.json, channel 'train': RecordWrapperType is 'RecordIO', expected "
            "'None': the shards are RecordIO already",
        ),
        (
            {"ContentType": "text/csv"},
            "inputdataconfig.json, channel 'train': ContentType is 'text/csv', expected "
            "'application/x-recordio-protobuf'\n  convert the rows first: penstock convert",
        ),
    ],
)
def test_a_channel_that_cannot_be_read_is_refused(
    tmp_path: Path, channel: dict[str, str], message: str
) -> None:
    base = job_in(tmp_path, **channel)

    with pytest.raises(InputError) as caught:
        contract.open_job(base)

    assert str(caught.value) == message


def test_a_channel_of_an_unknown_name_is_refused(tmp_path: Path) -> None:
    base = write_job(tmp_path, {}, {"train": ROWS, "validaton": ROWS})

    with pytest.raises(InputError) as caught:
        contract.open_job(base)

    assert str(caught.value) == (
        "inputdataconfig.json, channel 'validaton': unknown name, expected 'train' or 'validation'; "
        "did you mean 'validation'?"
    )


def test_several_hosts_are_refused(tmp_path: Path) -> None:
    base = job_in(tmp_path)
    resources = {"current_host": "algo-1", "hosts": ["algo-1", "algo-2"]}
    (base / "input" / "config" / "resourceconfig.json").write_text(json.dumps(resources))

    with pytest.raises(InputError) as caught:
        contract.open_job(base)

    assert str(caught.value) == (
        "resourceconfig.json: 2 hosts, expected 1: these programs train on one host\n"
        "  set the instance count to 1"
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "{path!r} is missing\n  the platform writes it; below SAGEMAKER_BASE_DIR on a laptop"),
        ("{", "{path!r} is not JSON: Expecting property name enclosed in double quotes: line 1 "
              "column 2 (char 1)"),
        ("[]", "{path!r} holds list, expected a JSON object"),
    ],
)  # fmt: skip
def test_a_bad_config_file_is_named(tmp_path: Path, content: str | None, message: str) -> None:
    path = job_in(tmp_path) / "input" / "config" / "hyperparameters.json"
    path.unlink()
    if content is not None:
        path.write_text(content)

    with pytest.raises(InputError) as caught:
        contract.open_job(tmp_path)

    assert str(caught.value) == message.format(path=str(path))


def feed(path: Path, content: bytes) -> threading.Thread:
    """Make a FIFO and write it from a thread."""
    os.mkfifo(path)

    def write() -> None:
        with path.open("wb", buffering=0) as stream:
            for start in range(0, len(content), 1000):
                stream.write(content[start : start + 1000])

    thread = threading.Thread(target=write)
    thread.start()
    return thread


def test_a_piped_channel_reads_one_fifo_per_epoch(tmp_path: Path) -> None:
    channel = contract.Channel("train", "Pipe", tmp_path)
    content = [ROWS.encoded(), ROWS[:30].encoded()]

    found = []
    for epoch in range(2):
        thread = feed(tmp_path / f"train_{epoch}", content[epoch])
        found.append([batch.rows for batch in channel.epoch(40)])
        thread.join()

    assert found == [[40, 40, 20], [30]]
    assert channel.epochs == 2


def test_files_are_read_in_the_order_of_their_names_every_epoch(tmp_path: Path) -> None:
    write_shards(tmp_path / "train", ROWS, shards=4)
    (tmp_path / "train" / ".hidden").write_text("no RecordIO")
    (tmp_path / "train" / "_SUCCESS").write_text("")
    channel = contract.Channel("train", "File", tmp_path)

    for _ in range(2):
        batches = list(channel.epoch(33))
        assert [batch.rows for batch in batches] == [33, 33, 33, 1]
        labels = np.concatenate([batch.labels for batch in batches])
        assert np.array_equal(labels, ROWS.labels)


def test_a_fifo_that_never_appears_ends_in_an_error(tmp_path: Path) -> None:
    channel = contract.Channel("train", "Pipe", tmp_path, fifo_deadline_s=0.05)

    with pytest.raises(InputError) as caught:
        list(channel.epoch(10))

    assert str(caught.value) == (
        "channel 'train': FIFO 'train_0' did not appear within 0.05 s\n"
        "  one FIFO per epoch is expected; the platform's agent may have died"
    )


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    channel = contract.Channel("train", "File", tmp_path)

    with pytest.raises(InputError) as caught:
        list(channel.epoch(10))

    assert str(caught.value) == (
        f"channel 'train': no file in {str(tmp_path / 'train')!r}, expected at least one\n"
        "  check what the channel's S3 prefix or manifest lists"
    )


def test_a_stream_cut_inside_a_record_is_an_error(tmp_path: Path) -> None:
    thread = feed(tmp_path / "train_0", ROWS.encoded()[:-6])

    with pytest.raises(CorruptRecordError):
        list(contract.Channel("train", "Pipe", tmp_path).epoch(10))
    thread.join()


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (InputError("a wrong flag"), "ClientError: a wrong flag"),
        (DataError("a wrong row"), "ClientError: a wrong row"),
        (ZeroDivisionError("a bug"), "AlgorithmError: ZeroDivisionError: a bug"),
        (DataError("x" * 5000), "ClientError: " + "x" * (1024 - len("ClientError: "))),
    ],
)
def test_a_failure_is_written_where_the_platform_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, failure: str
) -> None:
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(job_in(tmp_path)))
    monkeypatch.setattr("signal.signal", lambda *_: None)

    def train(_: contract.Job) -> None:
        raise error

    code = contract.main(train, ["train"])

    assert code == 1
    assert (tmp_path / "output" / "failure").read_text() == failure


def test_an_argument_other_than_train_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    code = contract.main(lambda _: None, ["serve"])

    assert code == 2
    assert capsys.readouterr().err == "expected the one argument 'train', got ['serve']\n"


def test_sigterm_breaks_off_only_what_may_be_broken_off(tmp_path: Path) -> None:
    job = contract.open_job(job_in(tmp_path))

    with pytest.raises(contract.StopRequested), job.interruptible():
        job.stop()
    job.stop()  # a second one, while the model is being saved

    assert job.stopping
    with pytest.raises(contract.StopRequested), job.interruptible():
        pytest.fail("work began after the stop")


@pytest.mark.parametrize("module", ["linear_learner", "xgboost"])
def test_the_programs_run_from_the_command_line(tmp_path: Path, module: str) -> None:
    base = write_job(tmp_path, {"nonsense": "1"}, {"train": ROWS})

    ended = subprocess.run(
        [sys.executable, "-m", f"penstock.containers.{module}", "train"],
        env=os.environ | {"SAGEMAKER_BASE_DIR": str(base)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 1
    assert (base / "output" / "failure").read_text() in ended.stderr
    assert "'nonsense' is unknown" in ended.stderr
