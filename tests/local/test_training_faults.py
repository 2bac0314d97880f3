"""Training jobs that are stopped, fail, hang, lose their data or their plane."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from botocore.exceptions import ClientError  # type: ignore[import-untyped]
from local.training import Jobs, channel, fifos_of, processes_of, training_plane, transitions


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("plane")


@pytest.fixture(scope="module")
def jobs(folder: Path) -> Iterator[Jobs]:
    with training_plane(folder, grace_s="1", jobs="3") as plane:
        made = Jobs(plane)
        made.put("faults", {"data/a": b"a" * 3_000_000, "data/b": b"b" * 3_000_000})
        yield made
    assert processes_of(folder) == []
    assert fifos_of(folder) == []


DATA = channel("train", "s3://faults/data/")


def nothing_remains(jobs: Jobs, name: str) -> bool:
    folder = jobs.plane.folder / "training" / "us-east-1" / name
    return not folder.exists() and processes_of(folder) == []


def ready(jobs: Jobs, name: str, *hosts: str) -> None:
    for host in hosts or ("algo-1",):
        jobs.until(lambda host=host: "ready" in jobs.lines(name, host))


def test_a_stopped_job_keeps_its_model(jobs: Jobs) -> None:
    jobs.create("stopped", "faults", DATA, do="wait", hosts=2)
    ready(jobs, "stopped", "algo-1", "algo-2")

    running = jobs.describe("stopped")
    jobs.sagemaker.stop_training_job(TrainingJobName="stopped")
    described = jobs.ended("stopped")

    assert (running["TrainingJobStatus"], running["SecondaryStatus"]) == ("InProgress", "Training")
    assert "TrainingEndTime" not in running
    assert "ModelArtifacts" not in running
    assert (described["TrainingJobStatus"], described["SecondaryStatus"]) == ("Stopped", "Stopped")
    assert transitions(described)[-4:] == ["Training", "Stopping", "Uploading", "Stopped"]
    assert "FailureReason" not in described
    assert jobs.report(described, "algo-2") == {"saved": True}
    assert nothing_remains(jobs, "stopped")
    with pytest.raises(ClientError) as caught:
        jobs.sagemaker.stop_training_job(TrainingJobName="stopped")
    assert caught.value.response["Error"] == {
        "Code": "ValidationException",
        "Message": "The request was rejected because the training job is in status Stopped.",
    }


def test_a_program_that_does_not_listen_is_killed_after_the_grace(jobs: Jobs) -> None:
    jobs.create("stubborn", "faults", DATA, do="stubborn")
    ready(jobs, "stubborn")

    jobs.sagemaker.stop_training_job(TrainingJobName="stubborn")
    stopping = jobs.describe("stubborn")
    jobs.sagemaker.stop_training_job(TrainingJobName="stubborn")  # twice is no error
    described = jobs.ended("stubborn")

    assert (stopping["TrainingJobStatus"], stopping["SecondaryStatus"]) == ("Stopping", "Stopping")
    assert described["TrainingJobStatus"] == "Stopped"
    assert described["TrainingTimeInSeconds"] >= 1
    assert jobs.report(described) == {"saved": True}
    assert nothing_remains(jobs, "stubborn")


def test_a_job_that_runs_too_long_is_stopped(jobs: Jobs) -> None:
    described = jobs.run("long", "faults", do="wait", max_run_s=1)

    last = described["SecondaryStatusTransitions"][-1]
    assert described["TrainingJobStatus"] == "Stopped"
    assert described["SecondaryStatus"] == last["Status"] == "MaxRuntimeExceeded"
    assert last["StatusMessage"] == "Training job runtime exceeded MaxRuntimeInSeconds provided"
    assert transitions(described)[-4:] == [
        "Training",
        "Stopping",
        "Uploading",
        "MaxRuntimeExceeded",
    ]
    assert jobs.report(described) == {"saved": True}


def test_a_failure_file_becomes_the_reason(jobs: Jobs) -> None:
    described = jobs.run("failed", "faults", DATA, do="fail", reason="no luck" + "!" * 2000)

    assert (described["TrainingJobStatus"], described["SecondaryStatus"]) == ("Failed", "Failed")
    assert described["FailureReason"] == ("AlgorithmError: no luck" + "!" * 2000)[:1024]
    assert described["SecondaryStatusTransitions"][-1]["StatusMessage"] == "Training job failed"
    assert "ModelArtifacts" not in described
    assert jobs.keys("faults", "out/failed/") == []


def test_a_reason_of_sagemakers_own_algorithms_is_kept(jobs: Jobs) -> None:
    image = "404615174143.dkr.ecr.us-east-2.amazonaws.com/kmeans:1"

    described = jobs.run("kmeans", "faults", DATA, image=image, k=0, feature_dim=4)

    assert described["FailureReason"] == (
        "ClientError: hyperparameters of kmeans: 1 problem\n"
        "  'k' is '0', expected an integer of at least 1: clusters to find"
    )


def test_several_hosts_of_sagemakers_own_algorithms_are_refused(jobs: Jobs) -> None:
    image = "382416733822.dkr.ecr.us-east-1.amazonaws.com/pca:1"

    described = jobs.run("pca", "faults", DATA, image=image, hosts=2)

    reason = described["FailureReason"].replace("algo-1", "algo-2")
    assert reason == (
        "ClientError: host algo-2: resourceconfig.json: 2 hosts, expected 1: these programs train on "
        "one host\n  set the instance count to 1"
    )


def test_one_failing_host_ends_the_others(jobs: Jobs) -> None:
    described = jobs.run("half", "faults", DATA, do="fail", host="algo-2", reason="mine", hosts=3)

    assert described["TrainingJobStatus"] == "Failed"
    assert described["FailureReason"] == "AlgorithmError: host algo-2: mine"
    assert nothing_remains(jobs, "half")


def test_a_killed_container_is_told_so(jobs: Jobs) -> None:
    described = jobs.run("killed", "faults", DATA, do="die")

    assert described["TrainingJobStatus"] == "Failed"
    assert described["FailureReason"] == (
        "AlgorithmError: the program was killed by SIGKILL, as the system does when memory runs out; "
        "it logged nothing"
    )
    assert nothing_remains(jobs, "killed")


def test_a_program_that_does_not_exist_fails(jobs: Jobs) -> None:
    given = {"ContainerEntrypoint": ["/no/such/program"]}

    described = jobs.run("absent", "faults", DATA, do="wait", AlgorithmSpecification=given)

    assert described["TrainingJobStatus"] == "Failed"
    assert described["FailureReason"] == (
        "AlgorithmError: training job 'absent': program '/no/such/program' does not start: "
        "No such file or directory\n  check the program of the request"
    )


def test_an_object_that_goes_while_it_is_read_fails_the_job(jobs: Jobs, tmp_path: Path) -> None:
    objects = {f"gone/{number:02}": bytes(400_000) for number in range(40)}
    jobs.put("gone", objects)
    go = tmp_path / "go"
    jobs.create("gone", "gone", channel("train", "s3://gone/gone/"), do="slowly", go=go)
    jobs.until(lambda: "begun" in jobs.lines("gone"))

    jobs.s3.delete_object(Bucket="gone", Key="gone/39")
    go.touch()
    described = jobs.ended("gone")

    assert described["TrainingJobStatus"] == "Failed"
    assert described["FailureReason"] == (
        "ClientError: Data download failed: channel 'train', epoch 0: read: nothing found at "
        "'s3://gone/gone/39'\n  check the path, or run the stage before"
    )
    assert nothing_remains(jobs, "gone")


def test_a_manifest_of_what_is_not_there_fails_the_job(jobs: Jobs) -> None:
    jobs.put("lists", {"list": b'[{"prefix": "s3://lists/"}, "none"]', "broken": b"[1]"})

    missing = jobs.run(
        "missing",
        "lists",
        channel("a", "s3://lists/list", "ManifestFile", InputMode="File"),
        do="files",
    )
    broken = jobs.run(
        "broken", "lists", channel("a", "s3://lists/broken", "ManifestFile"), do="files"
    )

    assert missing["FailureReason"] == (
        "ClientError: Data download failed: read: nothing found at 's3://lists/none'\n"
        "  check the path, or run the stage before"
    )
    assert transitions(missing) == ["Starting", "Downloading", "Failed"]
    assert broken["FailureReason"] == (
        "ClientError: Data download failed: manifest 's3://lists/broken' is no manifest, expected "
        '[{"prefix": "s3://bucket/folder/"}, "key", ...]'
    )


def test_hosts_may_not_leave_different_files_of_one_name(jobs: Jobs) -> None:
    described = jobs.run(
        "clash",
        "faults",
        do="clash",
        hosts=2,
        OutputDataConfig={"S3OutputPath": "s3://faults/clash"},
    )

    assert described["FailureReason"] == (
        "ClientError: Artifact upload failed: two hosts left different files 'model', one archive "
        "holds one\n  put the host's name into the file's, or write it on one host only"
    )


def test_fifty_jobs_at_once_wait_for_each_other(jobs: Jobs) -> None:
    names = [f"crowd-{number}" for number in range(50)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: jobs.create(name, "faults", DATA, do="contract"), names))

    during = jobs.sagemaker.list_training_jobs(NameContains="crowd-", MaxResults=100)
    statuses = [each["SecondaryStatus"] for each in during["TrainingJobSummaries"]]
    jobs.sagemaker.stop_training_job(TrainingJobName="crowd-49")
    ended = [jobs.ended(name) for name in names]

    busy = {"Starting", "Downloading", "Training", "Uploading"}
    assert len(statuses) == 50
    assert sum(status in busy for status in statuses) <= 4  # three, and one between two statuses
    assert "Pending" in statuses
    assert {each["TrainingJobStatus"] for each in ended[:-1]} == {"Completed"}
    assert any(transitions(each)[:2] == ["Starting", "Pending"] for each in ended)
    assert all(nothing_remains(jobs, name) for name in names)


def test_a_job_that_waits_can_be_stopped_and_never_starts(jobs: Jobs) -> None:
    busy = [f"busy-{number}" for number in range(3)]
    for name in busy:
        jobs.create(name, "faults", do="wait")
    jobs.create("waits", "faults", do="wait")

    waiting = jobs.until(lambda: jobs.describe("waits")["SecondaryStatus"] == "Pending")
    with pytest.raises(
        ClientError, match=r"\(ResourceInUse\).* is in status InProgress; only jobs"
    ):
        jobs.sagemaker.delete_training_job(TrainingJobName="waits")
    jobs.sagemaker.stop_training_job(TrainingJobName="waits")
    described = jobs.ended("waits")
    for name in busy:
        jobs.sagemaker.stop_training_job(TrainingJobName=name)

    assert waiting
    assert described["TrainingJobStatus"] == "Stopped"
    assert transitions(described) == ["Starting", "Pending", "Stopping", "Stopped"]
    assert "TrainingStartTime" not in described
    assert {jobs.ended(name)["TrainingJobStatus"] for name in busy} == {"Stopped"}


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_plane_that_ends_leaves_nothing_running(tmp_path: Path, how: str) -> None:
    folder = tmp_path / "plane"
    with training_plane(folder, grace_s="60", jobs="2") as plane:
        jobs = Jobs(plane)
        jobs.put("ends", {"data/a": b"a" * 3_000_000})
        # What a program forks is its own, when a plane is killed that cannot end it.
        first = "stubborn" if how == "stop" else "wait"
        for name, what in (("one", first), ("two", "wait"), ("three", "wait")):
            jobs.create(name, "ends", channel("train", "s3://ends/data/"), do=what)
        ready(jobs, "one")
        ready(jobs, "two")
        assert len(processes_of(folder)) >= 2
        began = time.monotonic()
        if how == "kill":
            assert plane._process is not None
            os.kill(plane._process.pid, signal.SIGKILL)
            plane._process.wait()

    assert time.monotonic() - began < 20  # not the grace
    deadline = time.monotonic() + 10
    while processes_of(folder) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert processes_of(folder) == []
    assert how == "kill" or fifos_of(folder) == []
