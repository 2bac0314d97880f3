from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from host.programs import program

from penstock.errors import InputError
from penstock.host import Channel, TrainingRequest
from penstock.host.cluster import ClusterResult, run_hosts
from penstock.host.training import Control, HostRun


@pytest.fixture
def objects(tmp_path: Path) -> tuple[str, ...]:
    for number in range(3):
        (tmp_path / f"object-{number}").write_bytes(bytes([65 + number]) * 4)
    return tuple(str(tmp_path / f"object-{number}") for number in range(3))


def run(
    folder: Path,
    body: str,
    channels: tuple[Channel, ...] = (),
    *,
    control: Control | None = None,
    on_training: Callable[[], None] = lambda: None,
    **more: Any,
) -> ClusterResult:
    """Run a program on three hosts."""
    control = control or Control()
    runs = [
        HostRun(
            TrainingRequest(
                job="job",
                program=program(folder, body),
                hyperparameters={},
                channels=channels,
                host=host,
                hosts=3,
                stop_grace_s=10.0,
                **more,
            ),
            folder / f"algo-{host + 1}",
            control=control,
        )
        for host in range(3)
    ]
    return run_hosts(runs, abandon=control.abandon, on_training=on_training)


PRELUDE = """
    import json
    host = json.loads((base / "input/config/resourceconfig.json").read_text())["current_host"]
"""


def test_every_host_knows_itself_and_reads_its_share(
    tmp_path: Path, objects: tuple[str, ...]
) -> None:
    begun: list[str] = []
    given = (
        Channel(name="train", uris=objects, sharded=True),
        Channel(name="files", uris=objects, input_mode="File", sharded=True),
        Channel(name="all", uris=objects),
    )
    body = (
        PRELUDE
        + """
    files = sorted(path.read_text() for path in (data / "files").iterdir())
    found = [host, whole(0).decode(), files, whole(0, "all").decode()]
    (base / "model" / host).write_text(json.dumps(found))
    """
    )

    result = run(tmp_path, body, given, on_training=lambda: begun.append("training"))

    assert (result.status, result.failure_reason, begun) == ("Completed", None, ["training"])
    found = [json.loads(next(host.model_dir.iterdir()).read_text()) for host in result.hosts]
    assert found == [
        [f"algo-{number + 1}", letters, [letters], "AAAABBBBCCCC"]
        for number, letters in enumerate(("AAAA", "BBBB", "CCCC"))
    ]


def test_the_first_to_fail_is_the_reason_and_the_others_are_killed(tmp_path: Path) -> None:
    body = (
        PRELUDE
        + """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if host == "algo-2":
        (base / "output" / "failure").write_text("mine")
        sys.exit(1)
    time.sleep(600)
    """
    )

    result = run(tmp_path, body)

    assert (result.status, result.failure_reason) == ("Failed", "host algo-2: mine")
    assert [host.exit_code for host in result.hosts] == [-9, 1, -9]
    assert result.hosts[0].failure_reason == "Abandoned: the host was ended"


def test_a_stop_ends_all(tmp_path: Path) -> None:
    control = Control()
    body = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); time.sleep(600)"

    result = run(
        tmp_path,
        body,
        control=control,
        on_training=lambda: threading.Timer(0.3, control.stop.set).start(),
    )

    assert result.status == "Stopped"
    assert {host.status for host in result.hosts} == {"Stopped"}


def test_nothing_starts_when_a_host_cannot_be_laid_out(
    tmp_path: Path, objects: tuple[str, ...]
) -> None:
    missing = str(tmp_path / "missing")
    given = (Channel(name="a", uris=(*objects[:2], missing), sharded=True, input_mode="File"),)

    result = run(tmp_path, "(base / 'started').touch()", given, on_training=pytest.fail)

    assert (result.status, result.failure_reason) == (
        "Failed",
        f"host algo-3: read: nothing found at {missing!r}\n  check the path, or run the stage before",
    )
    assert list(tmp_path.rglob("started")) == []


def test_a_program_that_is_not_there_is_a_failure(tmp_path: Path) -> None:
    control = Control()
    request = TrainingRequest(
        job="job", program=("/no/such",), hyperparameters={}, channels=(), hosts=1
    )

    result = run_hosts(
        [HostRun(request, tmp_path / "host", control=control)], abandon=control.abandon
    )

    assert result == ClusterResult(
        status="Failed",
        failure_reason="training job 'job': program '/no/such' does not start: "
        "No such file or directory\n  check the program of the request",
        hosts=(),
    )


def test_a_job_that_is_stopped_before_it_starts_runs_nothing(
    tmp_path: Path, objects: tuple[str, ...]
) -> None:
    control = Control()
    control.stop.set()

    result = run(
        tmp_path,
        "pass",
        (Channel(name="a", uris=objects, input_mode="File"),),
        control=control,
        on_training=pytest.fail,
    )

    assert result.status == "Stopped"


@pytest.mark.parametrize("name", ["../up", "/root", "", "a/../../b"])
def test_an_object_never_leaves_its_folder(
    tmp_path: Path, objects: tuple[str, ...], name: str
) -> None:
    given = (Channel(name="a", uris=objects[:1], names=(name,), input_mode="File"),)

    result = run(tmp_path, "pass", given)

    assert result.failure_reason is not None
    assert result.failure_reason.split(": ", 1)[1] == (
        f"channel 'a': an object would be called {name!r}, expected a path below the channel's "
        "folder\n  use input_mode Pipe, or rename it"
    )


def test_a_regex_is_checked_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        run(tmp_path, "pass", metric_definitions=(("bad", "("),))


@pytest.mark.parametrize("host", [0, 1])
def test_a_fault_of_ours_ends_all_hosts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: int
) -> None:
    to_end, told = HostRun.to_end, list[str]()

    def broken(run: HostRun) -> Any:
        if run.request.host == host:
            raise RuntimeError("a fault")
        return to_end(run)

    monkeypatch.setattr(HostRun, "to_end", broken)
    monkeypatch.setattr(
        threading, "excepthook", lambda told_of: told.append(str(told_of.exc_value))
    )

    if host == 0:
        with pytest.raises(RuntimeError, match="a fault"):
            run(tmp_path, "time.sleep(600)")
    else:
        result = run(tmp_path, "time.sleep(600)")
        assert told == ["a fault"]
        assert (result.status, result.failure_reason) == (
            "Failed",
            "host algo-2: InternalServerError: it ended without a result",
        )
