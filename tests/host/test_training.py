from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from host.programs import program

from penstock.errors import InputError
from penstock.host import Channel, TrainingRequest, TrainingResult, run_training

CONTENT = os.urandom(2_000_000)


@pytest.fixture
def shards(tmp_path: Path) -> tuple[str, ...]:
    paths = [tmp_path / "part-0", tmp_path / "part-1"]
    paths[0].write_bytes(CONTENT[:1_000_000])
    paths[1].write_bytes(CONTENT[1_000_000:])
    return tuple(map(str, paths))


@pytest.fixture(autouse=True)
def nothing_remains(tmp_path: Path) -> Iterator[None]:
    yield
    assert not [path for path in tmp_path.rglob("*") if path.is_fifo()]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("feeder")]
    assert processes_of(tmp_path) == []


def processes_of(folder: Path) -> list[str]:
    """Command lines of living processes that name ``folder``."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            command = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if str(folder) in command and int(path.name) != os.getpid():
            found.append(command)
    return found


def run(tmp_path: Path, body: str, shards: tuple[str, ...], **changes: Any) -> TrainingResult:
    options: dict[str, Any] = {
        "job": "job-1",
        "program": program(tmp_path, body),
        "hyperparameters": {"epochs": "3"},
        "channels": (Channel(name="train", uris=shards),),
        "stop_grace_s": 10.0,
    }
    keywords = {name: changes.pop(name) for name in ("on_line", "stop") if name in changes}
    return run_training(
        TrainingRequest(**(options | changes)), workdir=tmp_path / "work", **keywords
    )


def test_a_program_finds_the_contract_and_its_result_is_reported(
    tmp_path: Path, shards: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "outside")
    body = """
    import json
    config = base / "input" / "config"
    seen = {name: json.loads((config / f"{name}.json").read_text())
            for name in ("hyperparameters", "inputdataconfig", "resourceconfig")}
    seen["environment"] = dict(os.environ)
    seen["bytes"] = [len(whole(0)), len(whole(1)), len(whole(0, "validation"))]
    (base / "model" / "seen.json").write_text(json.dumps(seen))
    print("loss=0.5")
    print("[3]\\tscore:7")
    print("trouble", file=sys.stderr)
    """
    lines: list[str] = []

    result = run(
        tmp_path,
        body,
        shards,
        channels=(
            Channel(name="train", uris=shards, size_bytes=(1_000_000, 1_000_000)),
            Channel(name="validation", uris=shards[:1], content_type=None),
        ),
        environment={"GIVEN": "yes"},
        metric_definitions=(("a", r"loss=(\S+)"), ("b", r"\[\d+\]#011score:(\d+)")),
        on_line=lines.append,
    )

    seen = json.loads((result.model_dir / "seen.json").read_text())
    assert (result.status, result.failure_reason, result.exit_code) == ("Completed", None, 0)
    assert seen["hyperparameters"] == {"epochs": "3"}
    assert seen["inputdataconfig"] == {
        "train": {
            "TrainingInputMode": "Pipe",
            "S3DistributionType": "FullyReplicated",
            "RecordWrapperType": "None",
            "ContentType": "application/x-recordio-protobuf",
        },
        "validation": {
            "TrainingInputMode": "Pipe",
            "S3DistributionType": "FullyReplicated",
            "RecordWrapperType": "None",
        },
    }
    assert seen["resourceconfig"]["current_host"] == "algo-1"
    assert seen["resourceconfig"]["hosts"] == ["algo-1"]
    assert seen["bytes"] == [2_000_000, 2_000_000, 1_000_000]
    assert seen["environment"]["TRAINING_JOB_NAME"] == "job-1"
    assert seen["environment"]["GIVEN"] == "yes"
    assert "AWS_SECRET_ACCESS_KEY" not in seen["environment"]
    assert result.metrics == (("a", 0, 0.5), ("b", 3, 7.0))
    assert sorted(lines) == ["[3]\tscore:7", "loss=0.5", "trouble"]
    assert sorted(result.log_path.read_text().splitlines()) == sorted(lines)
    use = result.channels["train"]
    assert (use.mode, use.bytes, use.epochs) == ("Pipe", 4_000_000, 2)
    assert result.channels["validation"].epochs == 1


@pytest.mark.parametrize("mode", ["File", "FastFile"])
def test_files_are_laid_out_in_a_folder(tmp_path: Path, shards: tuple[str, ...], mode: Any) -> None:
    body = """
    folder = data / "train"
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["part-0", "part-1"], names
    assert sum(len((folder / name).read_bytes()) for name in names) == 2_000_000
    """

    result = run(
        tmp_path, body, shards, channels=(Channel(name="train", uris=shards, input_mode=mode),)
    )

    assert (result.status, result.failure_reason) == ("Completed", None)
    use = result.channels["train"]
    assert (use.mode, use.bytes, use.epochs) == (mode, 2_000_000, None)


def test_a_crash_in_mid_stream_is_told_in_the_programs_own_words(
    tmp_path: Path, shards: tuple[str, ...]
) -> None:
    body = """
    stream = epoch(0)
    stream.read(1000)
    (base / "output" / "failure").write_text("ClientError: row 7 is purple" + "!" * 2000)
    sys.exit(1)
    """

    result = run(tmp_path, body, shards)

    assert result.status == "Failed"
    assert result.failure_reason == ("ClientError: row 7 is purple" + "!" * 2000)[:1024]
    assert result.exit_code == 1


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (
            "print('one'); print('two'); sys.exit(3)",
            "the program ended with exit code 3 and left no output/failure; its last lines:\n"
            "    one\n    two",
        ),
        (
            "os.kill(os.getpid(), signal.SIGKILL)",
            "the program was killed by SIGKILL, as the system does when memory runs out; "
            "it logged nothing",
        ),
        (
            "print('no line end', end=''); sys.stdout.flush(); os.kill(os.getpid(), signal.SIGSEGV)",
            "the program was killed by SIGSEGV; its last lines:\n    no line end",
        ),
    ],
    ids=["exit code", "killed", "segfault"],
)
def test_a_crash_without_words_is_told_by_its_log(
    tmp_path: Path, shards: tuple[str, ...], body: str, reason: str
) -> None:
    result = run(tmp_path, body, shards)

    assert (result.status, result.failure_reason) == ("Failed", reason)


def test_children_that_a_program_leaves_behind_are_ended(
    tmp_path: Path, shards: tuple[str, ...]
) -> None:
    body = """
    import subprocess
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", str(base)])
    print("started")
    """
    started = time.monotonic()

    result = run(tmp_path, body, shards)

    assert result.status == "Completed"
    assert time.monotonic() - started < 20


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (
            "stream = epoch(0); stream.read(1000); time.sleep(600)",
            "no byte of channel 'train' epoch 0 was read and nothing was logged for 0.5 s\n"
            "  the program hangs; it was killed",
        ),
        (
            "whole(0); time.sleep(600)",
            "no channel was opened (next: 'train' epoch 1) and nothing was logged for 0.5 s\n"
            "  the program hangs; it was killed, or raise idle_timeout_s",
        ),
        (
            "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhole(0); stream = epoch(1)\n"
            "stream.read(1); time.sleep(600)",
            "no byte of channel 'train' epoch 1 was read and nothing was logged for 0.5 s\n"
            "  the program hangs; it was killed",
        ),
    ],
    ids=["mid-stream", "between epochs", "stubborn"],
)
def test_a_hung_program_is_killed_and_the_place_is_told(
    tmp_path: Path, shards: tuple[str, ...], body: str, reason: str
) -> None:
    result = run(tmp_path, body, shards, idle_timeout_s=0.5)

    assert (result.status, result.failure_reason) == ("Failed", reason)


def test_a_program_that_logs_does_not_hang(tmp_path: Path, shards: tuple[str, ...]) -> None:
    body = """
    for number in range(12):
        print(number)
        time.sleep(0.1)
    """

    result = run(tmp_path, body, shards, idle_timeout_s=0.8)

    assert result.status == "Completed"


SAVES = """
    def save(*_):
        (base / "model" / "best").write_text("so far")
        sys.exit(0)
    signal.signal(signal.SIGTERM, save)
    print("ready")
    number = 0
    while True:
        whole(number)
        number += 1
"""


def test_max_run_ends_a_job_and_what_it_saves_then_counts(
    tmp_path: Path, shards: tuple[str, ...]
) -> None:
    result = run(tmp_path, SAVES, shards, max_run_s=1.0)

    assert result.status == "Stopped"
    assert result.failure_reason == "MaxRuntimeExceeded: the job ran longer than max_run_s = 1 s"
    assert (result.model_dir / "best").read_text() == "so far"


def test_the_stop_event_ends_a_job(tmp_path: Path, shards: tuple[str, ...]) -> None:
    stop = threading.Event()

    result = run(tmp_path, SAVES, shards, stop=stop, on_line=lambda _: stop.set())

    assert result.status == "Stopped"
    assert result.failure_reason == "StopRequested: the caller asked the job to end"
    assert (result.model_dir / "best").read_text() == "so far"


def test_a_program_that_ignores_sigterm_is_killed_after_its_grace(
    tmp_path: Path, shards: tuple[str, ...]
) -> None:
    body = """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    stream = epoch(0)
    time.sleep(600)
    """

    result = run(tmp_path, body, shards, max_run_s=0.5, stop_grace_s=0.3)

    assert (result.status, result.exit_code) == ("Stopped", -signal.SIGKILL)


COUNTS = """
    with epoch(0) as stream:
        count = 0
        while piece := stream.read(1 << 16):
            count += len(piece)
        print("the end, after", count)
    (base / "model" / "half").write_text("trained on half the rows")
"""


def test_a_missing_shard_in_mid_stream_fails_the_job_and_never_ends_the_epoch(
    tmp_path: Path, shards: tuple[str, ...]
) -> None:
    missing = str(tmp_path / "part-9")
    lines: list[str] = []

    result = run(
        tmp_path,
        COUNTS,
        shards,
        channels=(Channel(name="train", uris=(*shards, missing)),),
        on_line=lines.append,
    )

    assert result.status == "Failed"
    assert result.failure_reason == (
        f"channel 'train', epoch 0: read: nothing found at {missing!r}\n"
        "  check the path, or run the stage before"
    )
    assert lines == []
    assert list(result.model_dir.iterdir()) == []


def test_a_shard_that_is_not_as_long_as_listed_fails_the_job(
    tmp_path: Path, shards: tuple[str, ...]
) -> None:
    channel = Channel(name="train", uris=shards, size_bytes=(1_000_000, 1_000_004))

    result = run(tmp_path, COUNTS, shards, channels=(channel,))

    assert (result.status, result.failure_reason) == (
        "Failed",
        f"channel 'train', epoch 0: {shards[1]!r} has 1000000 bytes, the dataset says 1000004\n"
        "  verify the dataset, then convert it again",
    )


@pytest.mark.parametrize(
    ("channel", "reason"),
    [
        (
            {"uris": ("{folder}/part-9",)},
            "read: nothing found at '{folder}/part-9'\n  check the path, or run the stage before",
        ),
        (
            {"uris": ("{folder}/part-0",), "size_bytes": (5,)},
            "channel 'train': '{folder}/part-0' has 1000000 bytes, the dataset says 5\n"
            "  verify the dataset, then convert it again",
        ),
        (
            {"uris": ("{folder}/part-0", "{folder}/part-0")},
            "channel 'train': two objects are called 'part-0', a folder holds one\n"
            "  use input_mode Pipe, or rename one",
        ),
    ],
    ids=["missing", "length", "names"],
)
def test_files_that_cannot_be_laid_out_fail_the_job_before_it_starts(
    tmp_path: Path, shards: tuple[str, ...], channel: dict[str, Any], reason: str
) -> None:
    uris = tuple(uri.format(folder=tmp_path) for uri in channel["uris"])
    placed = Channel(**(channel | {"name": "train", "uris": uris, "input_mode": "File"}))

    result = run(tmp_path, "print('started')", shards, channels=(placed,))

    assert (result.status, result.exit_code) == ("Failed", None)
    assert result.failure_reason == reason.format(folder=tmp_path)
    assert result.log_path.read_text() == ""


def test_ctrl_c_leaves_nothing(tmp_path: Path, shards: tuple[str, ...]) -> None:
    body = """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    stream = epoch(0)
    stream.read(10)
    print("ready")
    time.sleep(600)
    """

    def interrupt(_: str) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, body, shards, on_line=interrupt)

    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_error_of_the_caller_leaves_nothing(tmp_path: Path, shards: tuple[str, ...]) -> None:
    def fail(_: str) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(tmp_path, "print(1); stream = epoch(0); time.sleep(600)", shards, on_line=fail)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills a child with its parent")
def test_a_killed_parent_takes_the_program_with_it(tmp_path: Path, shards: tuple[str, ...]) -> None:
    command = program(tmp_path, "print('ready'); stream = epoch(0); time.sleep(600)")
    parent = tmp_path / "parent.py"
    parent.write_text(
        textwrap.dedent(f"""
        import pathlib
        from penstock.host import Channel, TrainingRequest, run_training
        request = TrainingRequest(
            job="job", program={command!r}, hyperparameters={{}},
            channels=(Channel(name="train", uris={shards!r}),))
        run_training(request, workdir=pathlib.Path({str(tmp_path / "work")!r}),
                     on_line=lambda line: print(line, flush=True))
        """)
    )
    with subprocess.Popen(
        [sys.executable, str(parent)], stdout=subprocess.PIPE, text=True
    ) as started:
        assert started.stdout is not None
        assert started.stdout.readline() == "ready\n"
        started.kill()

    deadline = time.monotonic() + 10
    while processes_of(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.01)
    left = processes_of(tmp_path)
    for path in (tmp_path / "work").rglob("train_*"):
        path.unlink()  # nobody is left to do it
    assert left == []


def test_a_folder_in_use_is_refused(tmp_path: Path, shards: tuple[str, ...]) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "file").write_text("")

    with pytest.raises(InputError) as caught:
        run(tmp_path, "", shards)

    assert str(caught.value) == (
        f"{str(tmp_path / 'work')!r} is not empty, expected a new folder for the job\n"
        "  a job's files must not mix with those of another"
    )


def test_a_program_that_does_not_exist_is_refused(tmp_path: Path, shards: tuple[str, ...]) -> None:
    with pytest.raises(InputError) as caught:
        run(tmp_path, "", shards, program=("no-such-program", "train"))

    assert str(caught.value) == (
        "training job 'job-1': program 'no-such-program' does not start: No such file or directory\n"
        "  check the program of the request"
    )


def test_requests_that_make_no_sense_are_refused(shards: tuple[str, ...]) -> None:
    with pytest.raises(InputError) as empty:
        Channel(name="train", uris=())
    with pytest.raises(InputError) as sizes:
        Channel(name="train", uris=shards, size_bytes=(1,))
    with pytest.raises(InputError) as twice:
        TrainingRequest(
            job="j",
            program=("p",),
            hyperparameters={},
            channels=(Channel(name="a", uris=shards),) * 2,
        )

    assert str(empty.value) == "channel 'train' lists no object, expected at least one"
    assert str(sizes.value) == "channel 'train' has 1 sizes for 2 objects"
    assert str(twice.value) == "training job 'j': channels given twice: 'a'"
