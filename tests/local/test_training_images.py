"""Which program stands for an image; what of a request is refused; how statuses are told."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from penstock.errors import InputError
from penstock.local import validation
from penstock.local.training.control import Settings
from penstock.local.training.images import Program, program_of
from penstock.local.training.listing import listing
from penstock.local.training.record import Record
from penstock.local.wire import AwsError


@pytest.mark.parametrize(
    ("image", "module"),
    [
        ("382416733822.dkr.ecr.us-east-1.amazonaws.com/linear-learner:1", "linear_learner"),
        ("174872318107.dkr.ecr.us-west-2.amazonaws.com/kmeans:1", "kmeans"),
        ("438346466558.dkr.ecr.eu-west-1.amazonaws.com/pca:latest", "pca"),
        ("390948362332.dkr.ecr.cn-north-1.amazonaws.com.cn/kmeans", "kmeans"),
        ("683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1", "xgboost"),
        ("811284229777.dkr.ecr-fips.us-east-1.amazonaws.com/xgboost@sha256:00", "xgboost"),
    ],
)
def test_sagemakers_own_images_of_any_region_run_our_containers(
    tmp_path: Path, image: str, module: str
) -> None:
    found = program_of(image, tmp_path)

    assert found.command == (sys.executable, "-m", f"penstock.containers.{module}")
    assert found.algorithm is not None
    assert found.algorithm.program == (*found.command, "train")


def test_a_mapping_file_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = "382416733822.dkr.ecr.us-east-1.amazonaws.com/kmeans:1"
    (tmp_path / "images.yaml").write_text(
        "'*/kmeans:1': [python, mine.py]\nplain: {command: [/bin/x, -v], environment: {N: 1}}\n"
    )
    other = tmp_path / "other.json"
    other.write_text(json.dumps({own: {"command": ["there"]}}))

    here = program_of(own, tmp_path), program_of("plain", tmp_path)
    monkeypatch.setenv("PENSTOCK_IMAGES", str(other))

    assert here == (
        Program(command=(sys.executable, "mine.py")),
        Program(command=("/bin/x", "-v"), environment={"N": "1"}),
    )
    assert program_of(own, tmp_path) == Program(command=("there",))


def refusal(image: str, folder: Path) -> str:
    with pytest.raises(AwsError) as caught:
        program_of(image, folder)
    assert caught.value.code == "ValidationException"
    return caught.value.message


def test_sagemakers_other_algorithms_are_refused_by_name(tmp_path: Path) -> None:
    image = "382416733822.dkr.ecr.us-east-1.amazonaws.com/ntm:1"

    assert refusal(image, tmp_path) == (
        "The local plane has no program for SageMaker's algorithm 'ntm', it has 'linear-learner', "
        "'xgboost', 'kmeans', 'pca', 'sagemaker-xgboost'.\n"
        f"  write '{tmp_path}/images.json', or set PENSTOCK_IMAGES to a file, with "
        '{"382416733822.dkr.ecr.us-east-1.amazonaws.com/ntm:1": {"command": ["python", "train.py"]}}'
    )


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("[1]", "it holds list, expected an object: image -> command"),
        (
            '{"a": "python x.py"}',
            '\'a\' is \'python x.py\', expected {"command": ["program", ...], "environment": {}}',
        ),
        (
            '{"a": {"command": []}}',
            '\'a\' is {\'command\': []}, expected {"command": ["program", ...], "environment": {}}',
        ),
    ],
)
def test_a_wrong_mapping_says_what_is_wrong(tmp_path: Path, content: str, problem: str) -> None:
    (tmp_path / "images.json").write_text(content)

    found = refusal("a", tmp_path)

    assert found == f"The local plane's image mapping '{tmp_path / 'images.json'}': {problem}"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            {},
            "3 validation errors detected: "
            "Value null at 'trainingJobName' failed to satisfy constraint: Member must not be null; "
            "Value null at 'roleArn' failed to satisfy constraint: Member must not be null; "
            "Value null at 'outputDataConfig' failed to satisfy constraint: Member must not be null",
        ),
        (
            {"InputDataConfig": [{"ChannelName": "a b", "DataSource": {}, "InputMode": "Tape"}]},
            "5 validation errors detected: "
            "Value null at 'trainingJobName' failed to satisfy constraint: Member must not be null; "
            "Value null at 'roleArn' failed to satisfy constraint: Member must not be null; "
            "Value null at 'outputDataConfig' failed to satisfy constraint: Member must not be null; "
            "Value 'a b' at 'inputDataConfig.1.member.channelName' failed to satisfy constraint: "
            "Member must satisfy regular expression pattern: [A-Za-z0-9\\.\\-_]+; "
            "Value 'Tape' at 'inputDataConfig.1.member.inputMode' failed to satisfy constraint: "
            "Member must satisfy enum value set: [Pipe, File, FastFile]",
        ),
    ],
)
def test_all_that_is_wrong_is_said_at_once(body: dict[str, Any], message: str) -> None:
    with pytest.raises(AwsError) as caught:
        validation.check("sagemaker", "CreateTrainingJob", body)

    assert (caught.value.code, caught.value.message) == ("ValidationException", message)


def test_lengths_bounds_and_types_are_checked() -> None:
    def problem(**body: Any) -> str:
        with pytest.raises(AwsError) as caught:
            validation.check("sagemaker", "ListTrainingJobs", body)
        return f"{caught.value.code}: {caught.value.message}"

    assert problem(MaxResults=101) == (
        "ValidationException: 1 validation error detected: Value '101' at 'maxResults' failed to "
        "satisfy constraint: Member must have value less than or equal to 100"
    )
    assert problem(NameContains="a" * 64).endswith(
        "Member must have length less than or equal to 63"
    )
    assert problem(MaxResults="many") == (
        "SerializationException: 'maxResults' is str, expected integer"
    )
    assert problem(MaxResults=True) == (
        "SerializationException: 'maxResults' is bool, expected integer"
    )
    validation.check("sagemaker", "ListTrainingJobs", {"MaxResults": 7, "CreationTimeAfter": 1.5})


def test_listing_goes_by_times_and_sorts() -> None:
    records = []
    for number, name in enumerate("cab"):
        record = Record(name, "us-east-1", "arn", {"TrainingJobName": name})
        record.created, record.modified = 100.0 + number, 200.0 + number
        records.append(record)

    def names(**body: Any) -> str:
        return "".join(
            each["TrainingJobName"] for each in listing(records, body)["TrainingJobSummaries"]
        )

    assert names() == "cab"
    assert names(SortOrder="Descending") == "bac"
    assert names(SortBy="Name") == "abc"
    assert names(CreationTimeAfter=100) == "ab"
    assert names(CreationTimeBefore=102) == "ca"
    assert names(LastModifiedTimeAfter=200.5, LastModifiedTimeBefore=201.5) == "a"
    assert names(NameContains="b", StatusEquals="InProgress") == "b"
    assert names(StatusEquals="Completed") == ""


def test_settings_come_from_the_environment() -> None:
    given = {"PENSTOCK_TRAINING_JOBS": "7", "PENSTOCK_TRAINING_GRACE_S": "0.5"}

    assert Settings.of(given) == Settings(jobs=7, grace_s=0.5)
    assert Settings.of({}).grace_s == 120
    assert Settings.of({}).jobs >= 2
    with pytest.raises(InputError) as caught:
        Settings.of({"PENSTOCK_TRAINING_JOBS": "none"})
    assert str(caught.value) == (
        "PENSTOCK_TRAINING_JOBS is 'none', expected a number of at least 1"
    )


def test_a_record_ends_once_and_cuts_its_reason() -> None:
    record = Record("job", "us-east-1", "arn", {"TrainingJobName": "job"})
    record.enter("Starting", "Starting the training job...")
    record.enter("Starting")
    record.enter("Downloading")

    record.end("Failed", "Failed", "x" * 2000)
    record.end("Completed", "Completed")

    told = record.description()
    assert (told["TrainingJobStatus"], told["FailureReason"]) == ("Failed", "x" * 1024)
    assert [each["Status"] for each in told["SecondaryStatusTransitions"]] == [
        "Starting",
        "Downloading",
        "Failed",
    ]
    assert told["SecondaryStatusTransitions"][0]["StatusMessage"] == (
        "Preparing the instances for training"
    )
    assert told["BillableTimeInSeconds"] == told["TrainingTimeInSeconds"] == 1
    assert not record.ask_to_stop()
