"""Training jobs as plain boto3 sees them, and as their programs see the contract."""

from __future__ import annotations

import gzip
import json
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from botocore.exceptions import ClientError  # type: ignore[import-untyped]
from local.training import Jobs, channel, fifos_of, processes_of, training_plane, transitions
from sklearn.metrics import roc_auc_score

from penstock import recordio
from penstock.containers import load_model

LINEAR = "382416733822.dkr.ecr.us-east-1.amazonaws.com/linear-learner:1"
RECORDIO = "application/x-recordio-protobuf"


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jobs]:
    folder = tmp_path_factory.mktemp("plane")
    with training_plane(folder, grace_s="1") as plane:
        yield Jobs(plane)
        assert processes_of(folder) == []
        assert fifos_of(folder) == []
        assert [path for path in (folder / "training").rglob("*") if path.is_file()] == []


@pytest.fixture(scope="module")
def bucket(jobs: Jobs) -> str:
    parts = {f"parts/part-{number}": bytes([65 + number]) * 3 for number in range(4)}
    others = {"parts2/x": b"x", "parts/deep/below": b"d"}
    zipped = {f"zipped/{key}": gzip.compress(key.encode()) * 2 for key in ("a", "b")}
    manifest = json.dumps([{"prefix": "s3://channels/parts/"}, "part-3", "part-0", "deep/below"])
    lines = [{"at-ref": f"s3://channels/parts/part-{n}", "label": n, "text": "é"} for n in (2, 0)]
    augmented = "\n".join(map(json.dumps, lines))
    files = {"list.json": manifest.encode(), "augmented.jsonl": augmented.encode()}
    jobs.put("channels", {**parts, **others, **zipped, **files})
    return "channels"


def epochs(jobs: Jobs, name: str, bucket: str, *given: dict, **more: object) -> dict:
    """Run a job that reads its channels; return their epochs by channel."""
    described = jobs.run(name, bucket, *given, do="epochs", **more)
    assert described["TrainingJobStatus"] == "Completed", described
    told = jobs.report(described)["epochs"]
    return {key: [bytes.fromhex(each) for each in values] for key, values in told.items()}


def wrapped(*contents: bytes) -> bytes:
    return b"".join(
        struct.pack("<II", 0xCED7230A, len(each)) + each + bytes(-len(each) % 4)
        for each in contents
    )


def test_training_and_validation_by_manifest_in_pipe_mode(jobs: Jobs) -> None:
    random = np.random.default_rng(0)
    rows = random.normal(size=(9000, 6)).astype("f4")
    labels = (rows @ [1, -1, 2, 0, 0, 1] + random.normal(size=9000) > 0).astype("f4")
    objects = {}
    for name, span in (("train", range(6)), ("validation", range(6, 9))):
        keys = [f"part-{number}.rec" for number in span]
        for key, number in zip(keys, span, strict=True):
            part = slice(number * 1000, number * 1000 + 1000)
            objects[f"{name}/{key}"] = bytes(recordio.encode_dense(rows[part], labels[part]))
        objects[f"{name}.manifest"] = json.dumps([{"prefix": f"s3://flow/{name}/"}, *keys]).encode()
        objects[f"{name}/unlisted.rec"] = b"not RecordIO: a manifest lists what is read"
    jobs.put("flow", objects)

    described = jobs.run(
        "flow-1",
        "flow",
        *(
            channel(name, f"s3://flow/{name}.manifest", "ManifestFile", ContentType=RECORDIO)
            for name in ("train", "validation")
        ),
        image=LINEAR,
        predictor_type="binary_classifier",
        epochs=4,
        mini_batch_size=200,
    )

    metrics = {each["MetricName"]: each["Value"] for each in described["FinalMetricDataList"]}
    assert described["TrainingJobStatus"] == described["SecondaryStatus"] == "Completed"
    assert transitions(described) == [
        "Starting",
        "Downloading",
        "Training",
        "Uploading",
        "Completed",
    ]
    assert [each["StatusMessage"] for each in described["SecondaryStatusTransitions"]] == [
        "Preparing the instances for training",
        "Downloading input data",
        "Training image download completed. Training in progress.",
        "Uploading generated training model",
        "Training job completed",
    ]
    assert all(
        first["EndTime"] == second["StartTime"]
        for first, second in zip(
            described["SecondaryStatusTransitions"],
            described["SecondaryStatusTransitions"][1:],
            strict=False,
        )
    )
    assert described["TrainingStartTime"] < described["TrainingEndTime"]
    assert described["BillableTimeInSeconds"] == described["TrainingTimeInSeconds"] >= 1
    assert metrics["train:progress"] == 100
    assert 0.8 < metrics["validation:binary_classification_accuracy"] <= 1
    assert metrics["validation:objective_loss"] < 0.6
    names = {each["Name"] for each in described["AlgorithmSpecification"]["MetricDefinitions"]}
    assert set(metrics) < names
    said = "\n".join(jobs.lines("flow-1"))
    assert "#quality_metric: host=algo-1, epoch=3, validation" in said
    uri = described["ModelArtifacts"]["S3ModelArtifacts"]
    assert uri == "s3://flow/out/flow-1/output/model.tar.gz"
    assert jobs.keys("flow", "out/") == ["out/flow-1/output/model.tar.gz"]
    assert sorted(jobs.archive(described)) == ["model.json", "model.npz"]


def test_the_model_of_a_job_is_that_of_its_rows(jobs: Jobs, tmp_path: Path) -> None:
    described = jobs.describe("flow-1")
    for name, content in jobs.archive(described).items():
        (tmp_path / name).write_bytes(content)
    rows = np.random.default_rng(5).normal(size=(2000, 6)).astype("f4")

    scores = load_model(tmp_path).score(rows)

    assert roc_auc_score(rows @ [1, -1, 2, 0, 0, 1] > 0, scores) > 0.97


def test_xgboost_of_another_region_trains_from_files(jobs: Jobs, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    rows = random.normal(size=(2000, 4)).astype("f4")
    labels = (rows[:, 0] * rows[:, 1] > 0).astype("f4")
    jobs.put("trees", {"rows/a.rec": bytes(recordio.encode_dense(rows, labels))})

    described = jobs.run(
        "trees",
        "trees",
        channel("train", "s3://trees/rows/", ContentType=RECORDIO),
        image="141502667606.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-xgboost:1.7-1",
        mode="File",
        objective="binary:logistic",
        num_round=20,
    )

    for name, content in jobs.archive(described).items():
        (tmp_path / name).write_bytes(content)
    metrics = {each["MetricName"]: each["Value"] for each in described["FinalMetricDataList"]}
    assert roc_auc_score(labels, load_model(tmp_path).score(rows)) > 0.99
    assert 0 < metrics["train:logloss"] < 0.3
    assert any(line.startswith("[19]#011train-logloss:") for line in jobs.lines("trees"))


def test_a_program_finds_the_whole_contract(jobs: Jobs, bucket: str) -> None:
    described = jobs.run(
        "contract",
        bucket,
        channel(
            "train", f"s3://{bucket}/parts/", source={"S3DataDistributionType": "ShardedByS3Key"}
        ),
        channel("code", f"s3://{bucket}/parts2/", InputMode="File", ContentType="text/plain"),
        do="contract",
        hosts=2,
        Environment={"GIVEN": "yes"},
        CheckpointConfig={"S3Uri": f"s3://{bucket}/marks", "LocalPath": "/opt/ml/marks"},
        AlgorithmSpecification={
            "MetricDefinitions": [
                {"Name": "loss", "Regex": r"loss=(\S+)"},
                {"Name": "none", "Regex": r"nothing (\d+)"},
            ],
        },
    )

    seen = {host: jobs.report(described, host) for host in ("algo-1", "algo-2")}
    config, environment = seen["algo-2"]["config"], seen["algo-2"]["environment"]
    assert seen["algo-2"]["arguments"] == ["train"]
    assert config["hyperparameters"] == {"do": "contract"}
    assert config["inputdataconfig"] == {
        "train": {
            "TrainingInputMode": "Pipe",
            "S3DistributionType": "ShardedByS3Key",
            "RecordWrapperType": "None",
        },
        "code": {
            "TrainingInputMode": "File",
            "S3DistributionType": "FullyReplicated",
            "RecordWrapperType": "None",
            "ContentType": "text/plain",
        },
    }
    assert config["resourceconfig"] == {
        "current_host": "algo-2",
        "hosts": ["algo-1", "algo-2"],
        "network_interface_name": "lo",
        "current_instance_type": "ml.m5.large",
        "current_group_name": "homogeneousCluster",
        "instance_groups": [
            {
                "instance_group_name": "homogeneousCluster",
                "instance_type": "ml.m5.large",
                "hosts": ["algo-1", "algo-2"],
            }
        ],
    }
    assert config["checkpointconfig"]["LocalPath"] == environment["SAGEMAKER_BASE_DIR"] + "/marks"
    assert config["init-config"]["hostConfig"] == {"clusterSize": 2, "hostNumber": 2}
    assert config["init-config"]["channels"]["train"]["s3DataSource"] == {
        "s3DataType": "S3_PREFIX",
        "s3Uri": f"s3://{bucket}/parts/",
        "s3DataDistributionType": "SHARDED_BY_S3_KEY",
        "attributeNames": None,
    }
    assert config["init-config"]["channels"]["code"]["inputMode"] == "FILE"
    assert config["trainingjobconfig"]["TrainingJobArn"] == described["TrainingJobArn"]
    assert config["metric-definition-regex"][0] == {"Name": "loss", "Regex": r"loss=(\S+)"}
    assert seen["algo-1"]["manifests"]["code-manifest"] == "parts2/\ns3://channels/parts2/x\n"
    assert environment["TRAINING_JOB_NAME"] == "contract"
    assert environment["TRAINING_JOB_ARN"] == described["TrainingJobArn"]
    assert environment["AWS_REGION"] == "us-east-1"
    assert environment["AWS_ENDPOINT_URL"] == jobs.plane.endpoint
    assert environment["GIVEN"] == "yes"
    assert environment["MAPPED"] == "1"
    assert not [name for name in environment if name.startswith("SM_")]
    assert sorted(jobs.archive(described, "output")) == ["seen-algo-1.txt", "seen-algo-2.txt"]
    assert [(each["MetricName"], each["Value"]) for each in described["FinalMetricDataList"]] == [
        ("loss", 0.25)
    ]
    assert sorted(jobs.lines("contract", "algo-1")) == [
        "loss=0.25",
        "loss=0.5",
        "tab\there",
        "trouble",
    ]
    assert sorted(jobs.lines("contract", "algo-2")) == sorted(jobs.lines("contract", "algo-1"))


def test_an_isolated_container_has_no_credentials(jobs: Jobs, bucket: str) -> None:
    described = jobs.run("isolated", bucket, do="contract", EnableNetworkIsolation=True)

    environment = jobs.report(described)["environment"]
    assert [name for name in environment if name.startswith("AWS_")] == ["AWS_REGION"]


def test_a_prefix_is_a_pure_prefix_and_every_epoch_a_fifo(jobs: Jobs, bucket: str) -> None:
    seen = epochs(
        jobs,
        "prefix",
        bucket,
        channel("a", f"s3://{bucket}/parts"),
        channel("b", f"s3://{bucket}/parts/p"),
        channel("c", f"s3://{bucket}/list.json", "ManifestFile"),
        epochs=3,
    )

    assert seen == {
        "a": [b"dAAABBBCCCDDDx"] * 3,
        "b": [b"AAABBBCCCDDD"] * 3,
        "c": [b"DDDAAAd"] * 3,
    }


def test_a_reader_may_close_early(jobs: Jobs, bucket: str) -> None:
    seen = epochs(jobs, "early", bucket, channel("a", f"s3://{bucket}/parts/p"), epochs=3, early=4)

    assert seen == {"a": [b"AAABBBCCCDDD", b"AAAB", b"AAABBBCCCDDD"]}


def test_gzip_wrapping_and_augmented_manifests(jobs: Jobs, bucket: str) -> None:
    parts = f"s3://{bucket}/parts/part"
    names = {"source": {"AttributeNames": ["at-ref", "label", "text"]}}
    seen = epochs(
        jobs,
        "forms",
        bucket,
        channel("gzip", f"s3://{bucket}/zipped/", CompressionType="Gzip"),
        channel("raw", f"s3://{bucket}/zipped/a"),
        channel("wrapped", parts, RecordWrapperType="RecordIO"),
        channel(
            "both", f"s3://{bucket}/zipped", CompressionType="Gzip", RecordWrapperType="RecordIO"
        ),
        channel("plain", f"s3://{bucket}/augmented.jsonl", "AugmentedManifestFile", **names),
        channel(
            "augmented",
            f"s3://{bucket}/augmented.jsonl",
            "AugmentedManifestFile",
            RecordWrapperType="RecordIO",
            **names,
        ),
        epochs=1,
    )

    assert gzip.decompress(seen.pop("raw")[0]) == b"aa".replace(b"aa", b"zipped/a"[-1:] * 2)
    assert seen == {
        "gzip": [b"aabb"],
        "wrapped": [wrapped(b"AAA", b"BBB", b"CCC", b"DDD")],
        "both": [wrapped(b"aa", b"bb")],
        "plain": ["CCC2éAAA0é".encode()],
        "augmented": [wrapped(b"CCC", b"2", "é".encode(), b"AAA", b"0", "é".encode())],
    }


def test_objects_are_shuffled_for_each_epoch_and_shared_out_anew(jobs: Jobs, bucket: str) -> None:
    jobs.put("many", {f"p/{number:02}": bytes([number]) for number in range(20)})
    shuffled = {"ShuffleConfig": {"Seed": 7}}
    sharded = {"source": {"S3DataDistributionType": "ShardedByS3Key"}}
    described = jobs.run(
        "shuffled",
        "many",
        channel("all", "s3://many/p/", **shuffled),
        channel("shared", "s3://many/p/", **shuffled, **sharded),
        channel("still", "s3://many/p/", **sharded),
        do="epochs",
        hosts=3,
        epochs=4,
    )

    told = [jobs.report(described, f"algo-{number}")["epochs"] for number in (1, 2, 3)]
    orders = [tuple(bytes.fromhex(each)) for each in told[0]["all"]]
    assert all(sorted(order) == list(range(20)) for order in orders)
    assert len(set(orders)) == 4
    assert told[0]["all"] == told[1]["all"] == told[2]["all"]
    for epoch in range(4):
        shares = [bytes.fromhex(each["shared"][epoch]) for each in told]
        assert sorted(b"".join(shares)) == list(range(20))
        assert sorted(map(len, shares)) == [6, 7, 7]
    assert len(set(told[0]["shared"])) == 4
    assert [list(bytes.fromhex(each["still"][3])) for each in told] == [
        list(range(start, 20, 3)) for start in (0, 1, 2)
    ]


def test_more_hosts_than_objects_leave_a_host_with_nothing(jobs: Jobs, bucket: str) -> None:
    sharded = {"source": {"S3DataDistributionType": "ShardedByS3Key"}}
    described = jobs.run(
        "lonely", bucket, channel("a", f"s3://{bucket}/parts2/", **sharded), do="epochs", hosts=2
    )

    told = [jobs.report(described, host)["epochs"]["a"] for host in ("algo-1", "algo-2")]
    assert told == [[b"x".hex()] * 2, [""] * 2]


@pytest.mark.parametrize("mode", ["File", "FastFile"])
def test_files_keep_their_paths_below_the_prefix(jobs: Jobs, bucket: str, mode: str) -> None:
    given = [
        channel("folder", f"s3://{bucket}/parts/"),
        channel("bare", f"s3://{bucket}/parts"),
        channel("half", f"s3://{bucket}/parts/part-"),
    ]
    if mode == "File":
        given.append(channel("listed", f"s3://{bucket}/list.json", "ManifestFile"))

    described = jobs.run(f"files-{mode}", bucket, *given, do="files", mode=mode)

    seen = {name: sorted(files) for name, files in jobs.report(described)["files"].items()}
    parts = [f"part-{number}" for number in range(4)]
    assert seen.pop("listed", ["deep/below", "part-0", "part-3"]) == [
        "deep/below",
        "part-0",
        "part-3",
    ]
    assert seen == {
        "folder": ["deep/below", *parts],
        "bare": sorted(["deep/below", *parts, "parts2/x"]),
        "half": parts,
    }


def test_checkpoints_are_restored_and_followed(jobs: Jobs, bucket: str) -> None:
    given = {"CheckpointConfig": {"S3Uri": "s3://marks/run"}}
    jobs.put("marks", {"run/old": b"old", "runaway": b"another's"})

    first = jobs.run("marks-1", "marks", do="checkpoints", marked=1, **given)

    assert jobs.report(first) == {"found": {"old": "old"}}
    assert jobs.keys("marks", "run") == ["run/deep/down", "run/step", "runaway"]
    second = jobs.run("marks-2", "marks", do="checkpoints", **given)
    assert second["TrainingJobStatus"] == "Failed"  # mkdir of what is there
    assert jobs.s3.get_object(Bucket="marks", Key="run/step")["Body"].read() == b"2"


def test_output_may_stay_loose(jobs: Jobs, bucket: str) -> None:
    output = {
        "OutputDataConfig": {"S3OutputPath": f"s3://{bucket}/loose/", "CompressionType": "NONE"}
    }

    described = jobs.run("loose", bucket, do="contract", **output)

    folder = f"s3://{bucket}/loose/loose/output/model/"
    assert described["ModelArtifacts"]["S3ModelArtifacts"] == folder
    assert jobs.keys(bucket, "loose/") == [
        "loose/loose/output/data/seen-algo-1.txt",
        "loose/loose/output/model/algo-1.json",
    ]


def test_arguments_and_entry_points_replace_what_the_image_has(jobs: Jobs, bucket: str) -> None:
    arguments = {"ContainerArguments": ["train", "--fast"]}

    described = jobs.run("arguments", bucket, do="contract", AlgorithmSpecification=arguments)

    assert jobs.report(described)["arguments"] == ["train", "--fast"]


def test_jobs_are_listed_filtered_and_in_pages(jobs: Jobs, bucket: str) -> None:
    for number in range(5):
        jobs.run(f"listed-{number}", bucket, do="contract")
    ask = jobs.sagemaker.list_training_jobs

    pages = jobs.sagemaker.get_paginator("list_training_jobs").paginate(
        NameContains="listed-",
        SortBy="Name",
        SortOrder="Descending",
        PaginationConfig={"PageSize": 2},
    )
    names = [[each["TrainingJobName"] for each in page["TrainingJobSummaries"]] for page in pages]

    assert names == [["listed-4", "listed-3"], ["listed-2", "listed-1"], ["listed-0"]]
    assert ask(NameContains="listed-", StatusEquals="Failed")["TrainingJobSummaries"] == []
    with pytest.raises(ClientError, match=r"\(ValidationException\).*: Invalid NextToken$"):
        ask(NextToken="garbage")


def test_a_search_and_tags_know_of_jobs_too(jobs: Jobs, bucket: str) -> None:
    jobs.create("tagged", bucket, do="wait", Tags=[{"Key": "team", "Value": "lake"}])
    arn = jobs.describe("tagged")["TrainingJobArn"]
    search = {"Filters": [{"Name": "Tags.team", "Operator": "Equals", "Value": "lake"}]}

    def found() -> str:
        answer = jobs.sagemaker.search(Resource="TrainingJob", SearchExpression=search)
        return str(answer["Results"][0]["TrainingJob"]["TrainingJobStatus"])

    running = found()
    jobs.sagemaker.stop_training_job(TrainingJobName="tagged")
    jobs.ended("tagged")

    assert running == "InProgress"
    assert jobs.until(lambda: found() == "Stopped")
    assert jobs.sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "team", "Value": "lake"}]


def test_an_ended_job_can_be_deleted(jobs: Jobs, bucket: str) -> None:
    jobs.run("deleted", bucket, do="contract")

    jobs.sagemaker.delete_training_job(TrainingJobName="deleted")

    with pytest.raises(
        ClientError, match=r"\(ValidationException\).*: Requested resource not found.$"
    ):
        jobs.describe("deleted")
    assert jobs.run("deleted", bucket, do="contract")["TrainingJobStatus"] == "Completed"


def test_a_waiter_of_boto3_ends(jobs: Jobs, bucket: str) -> None:
    jobs.create("waited", bucket, do="contract")

    waiter = jobs.sagemaker.get_waiter("training_job_completed_or_stopped")
    waiter.wait(TrainingJobName="waited", WaiterConfig={"Delay": 1, "MaxAttempts": 30})

    assert jobs.describe("waited")["TrainingJobStatus"] == "Completed"


NOT_FOUND = (
    'No S3 objects found under S3 URL "s3://channels/none" given in input data source. Please ensure '
    "that the bucket exists in the selected region, that objects exist under that S3 prefix, and that "
    'the role "arn:aws:iam::123456789012:role/trainer" has "s3:ListBucket" permissions on bucket '
    '"channels".'
)


@pytest.mark.parametrize(
    ("given", "code", "message"),
    [
        ({"TrainingJobName": "a_b"}, "ValidationException", "1 validation error detected: Value 'a_b' at "
         "'trainingJobName' failed to satisfy constraint: Member must satisfy regular expression "
         "pattern: [a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}"),
        ({"ResourceConfig": {"InstanceType": "ml.tiny", "InstanceCount": 1}}, "ValidationException",
         None),
        ({"StoppingCondition": {}, "EnableManagedSpotTraining": True}, "ValidationException",
         "MaxWaitTimeInSeconds must be specified when EnableManagedSpotTraining is true"),
        ({"TensorBoardOutputConfig": {"S3OutputPath": "s3://channels/board"}}, "NotSupportedByLocalPlane",
         "CreateTrainingJob: the local plane has no TensorBoardOutputConfig; leave it out, or use AWS"),
        ({"InputDataConfig": [channel("a", "s3://channels/none")]}, "ValidationException", NOT_FOUND),
        ({"InputDataConfig": [channel("a", "s3://no-such-bucket/none")]}, "ValidationException", None),
        ({"InputDataConfig": [channel("a", "s3://channels/list.json", "ManifestFile",
                                      InputMode="FastFile")]}, "ValidationException",
         "ManifestFile is not supported in FastFile input mode. Channel: a"),
        ({"InputDataConfig": [channel("a", "s3://channels/parts/", InputMode="File",
                                      CompressionType="Gzip")]}, "ValidationException",
         "CompressionType is only supported in Pipe input mode. Channel: a"),
        ({"InputDataConfig": [channel("a", "s3://channels/augmented.jsonl", "AugmentedManifestFile",
                                      InputMode="File")]}, "ValidationException",
         "AugmentedManifestFile is only supported in Pipe input mode. Channel: a"),
        ({"InputDataConfig": [channel("a", "s3://channels/parts/")] * 2}, "ValidationException",
         "Duplicate channel name 'a' in InputDataConfig"),
    ],
)  # fmt: skip
def test_what_the_service_refuses_is_refused(
    jobs: Jobs, bucket: str, given: dict, code: str, message: str | None
) -> None:
    with pytest.raises(ClientError) as caught:
        jobs.create("refused", bucket, do="contract", **given)

    assert caught.value.response["Error"]["Code"] == code
    if message is not None:
        assert caught.value.response["Error"]["Message"] == message


def test_metric_definitions_of_sagemakers_own_are_its_own(jobs: Jobs, bucket: str) -> None:
    given = {"MetricDefinitions": [{"Name": "a", "Regex": "a=(.*)"}]}
    with pytest.raises(ClientError) as caught:
        jobs.create("own", bucket, image=LINEAR, AlgorithmSpecification=given)

    assert caught.value.response["Error"] == {
        "Code": "ValidationException",
        "Message": "You can't override the metric definitions for Amazon SageMaker algorithms. "
        "Please retry the request without specifying metric definitions.",
    }


def test_a_name_is_taken_once(jobs: Jobs, bucket: str) -> None:
    jobs.run("once", bucket, do="contract")

    with pytest.raises(ClientError) as caught:
        jobs.create("once", bucket, do="contract")

    assert caught.value.response["Error"] == {
        "Code": "ResourceInUse",
        "Message": "Training job names must be unique within an AWS account and region, and a training "
        "job with this name already exists "
        "(arn:aws:sagemaker:us-east-1:123456789012:training-job/once)",
    }


def test_an_image_that_nobody_knows_is_refused(jobs: Jobs, bucket: str) -> None:
    folder = jobs.plane.folder
    with pytest.raises(ClientError) as caught:
        jobs.create("unknown", bucket, image="mine:1")

    assert caught.value.response["Error"] == {
        "Code": "ValidationException",
        "Message": "The local plane does not know which program image 'mine:1' stands for.\n"
        f"  write '{folder}/images.json', or set PENSTOCK_IMAGES to a file, with "
        '{"mine:1": {"command": ["python", "train.py"]}}',
    }


def test_what_moto_only_remembers_is_refused(jobs: Jobs) -> None:
    with pytest.raises(ClientError, match="NotSupportedByLocalPlane"):
        jobs.sagemaker.create_processing_job(
            ProcessingJobName="p",
            ProcessingResources={
                "ClusterConfig": {
                    "InstanceCount": 1,
                    "InstanceType": "ml.m5.large",
                    "VolumeSizeInGB": 1,
                }
            },
            AppSpecification={"ImageUri": "x"},
            RoleArn="arn:aws:iam::123456789012:role/trainer",
        )
