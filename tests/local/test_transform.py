"""Batch transform by plain boto3: real models, and a server that does as it is told."""

from __future__ import annotations

import gzip
import json

import pytest
from botocore.exceptions import ClientError  # type: ignore[import-untyped]
from containers.jobs import number_rows
from local.hosting import (
    ECHO,
    XGBOOST,
    Hosts,
    client,
    csv_of,
    echo_plane,
    processes,
    trained,
    until,
)

from penstock import recordio
from penstock.containers import load_model, xgboost
from penstock.host import pack_model

BUCKET = "transform"
ROWS = number_rows(300)
ENDED = ("Completed", "Failed", "Stopped")


class Jobs(Hosts):  # type: ignore[misc]
    """Transform jobs of a plane."""

    def __post_init__(self):
        super().__post_init__()
        self.s3 = client(self.plane, "s3")
        self.s3.create_bucket(Bucket=BUCKET)

    def put(self, **objects):
        for key, body in objects.items():
            self.s3.put_object(Bucket=BUCKET, Key=key.replace("__", "/"), Body=body)

    def start(self, name, model, source, **more):
        """Start a job over ``source``/; names of nested parameters are merged."""
        data = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/{source}"}
        data |= more.pop("data", {})
        given = {"DataSource": {"S3DataSource": data}, "ContentType": "text/csv"}
        self.sagemaker.create_transform_job(
            TransformJobName=name,
            ModelName=model,
            TransformInput=given | more.pop("given", {}),
            TransformOutput={"S3OutputPath": f"s3://{BUCKET}/out/{name}"} | more.pop("wanted", {}),
            TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1},
            **more,
        )

    def ended(self, name):
        """Wait; return what DescribeTransformJob says."""

        def found():
            job = self.sagemaker.describe_transform_job(TransformJobName=name)
            return job if job["TransformJobStatus"] in ENDED else None

        return until(found, f"{name} does not end")

    def done(self, name, model, source, **more):
        self.start(name, model, source, **more)
        return self.ended(name)

    def outputs(self, name):
        """Return what a job wrote, by the name below its output path."""
        prefix = f"out/{name}/"
        found = self.s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
        return {
            each["Key"].removeprefix(prefix): self.s3.get_object(Bucket=BUCKET, Key=each["Key"])[
                "Body"
            ].read()
            for each in found
        }

    def uploads(self):
        return self.s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])

    def lines(self, name):
        """Return what the log says of a job's data."""
        found = client(self.plane, "logs").get_log_events(
            logGroupName="/aws/sagemaker/TransformJobs",
            logStreamName=f"{name}/local-1/data-log",
        )
        return [each["message"] for each in found["events"]]


@pytest.fixture(scope="module")
def jobs(tmp_path_factory):
    with echo_plane(tmp_path_factory.mktemp("transform") / "plane") as plane:
        yield Jobs(plane)


@pytest.fixture(scope="module")
def trees(jobs, tmp_path_factory):
    """A model of xgboost, known to the plane as ``trees``; its folder."""
    base = tmp_path_factory.mktemp("models")
    folder = trained(xgboost, base / "trees", {"num_round": "3", "max_depth": "3"}, ROWS)
    pack_model(folder, str(base / "model.tar.gz"))
    jobs.put(models__trees=(base / "model.tar.gz").read_bytes())
    jobs.model("trees", {"Image": XGBOOST, "ModelDataUrl": f"s3://{BUCKET}/models/trees"})
    return folder


def test_a_csv_prefix_is_scored_beside_its_ids(jobs, trees):
    features = ROWS.dense[:90]
    scores = load_model(trees).score(features)
    lines = [f"id{at}," + csv_of(features[at : at + 1]).decode() for at in range(90)]
    jobs.put(
        ids__a="".join(lines[:40]).encode(),
        ids__deep__b="".join(lines[40:89]).encode(),
        ids__c=lines[89].encode().rstrip(),
    )

    job = jobs.done(
        "ids",
        "trees",
        "ids",
        given={"SplitType": "Line"},
        wanted={"Accept": "text/csv", "AssembleWith": "Line"},
        DataProcessing={"InputFilter": "$[1:]", "JoinSource": "Input", "OutputFilter": "$[0,-1]"},
        MaxPayloadInMB=1,
    )

    assert job["TransformJobStatus"] == "Completed"
    assert "FailureReason" not in job
    assert job["CreationTime"] <= job["TransformStartTime"] <= job["TransformEndTime"]
    found = jobs.outputs("ids")
    assert list(found) == ["a.out", "c.out", "deep/b.out"]
    whole = (found["a.out"] + found["deep/b.out"] + found["c.out"]).decode().splitlines()
    assert [line.split(",")[0] for line in whole] == [f"id{at}" for at in range(90)]
    assert [float(line.split(",")[1]) for line in whole] == scores.tolist()
    assert not jobs.uploads()
    assert jobs.lines("ids") == [
        "[sagemaker logs]: MaxConcurrentTransforms=2, MaxPayloadInMB=1, BatchStrategy=MULTI_RECORD"
    ]


@pytest.mark.parametrize("strategy", ["MultiRecord", "SingleRecord"])
def test_frames_are_scored_together_or_one_by_one(jobs, trees, strategy):
    features = ROWS.dense[:8]
    jobs.put(frames__a=bytes(recordio.encode_dense(features)))
    name = f"frames-{strategy}"

    job = jobs.done(
        name,
        "trees",
        "frames",
        given={"SplitType": "RecordIO", "ContentType": "application/x-recordio-protobuf"},
        wanted={"Accept": "application/jsonlines", "AssembleWith": "Line"},
        BatchStrategy=strategy,
        MaxConcurrentTransforms=3,
    )

    assert job["TransformJobStatus"] == "Completed"
    (lines,) = (each.splitlines() for each in jobs.outputs(name).values())
    assert [json.loads(line)["score"] for line in lines] == load_model(trees).score(
        features
    ).tolist()


def test_what_is_sent_is_what_was_asked_for(jobs):
    jobs.echo("parts")
    jobs.put(parts__x=b"one\ntwo\nthree\n", parts2__y=b"no")

    def answers(name, **more):
        assert jobs.done(name, "parts", "parts/", **more)["TransformJobStatus"] == "Completed"
        return jobs.outputs(name)

    assert answers("whole") == {"x.out": b"parts one\ntwo\nthree\n"}
    assert answers("many", given={"SplitType": "Line"}, BatchStrategy="MultiRecord") == {
        "x.out": b"parts one\ntwo\nthree\n"
    }
    assert answers("raw", given={"SplitType": "Line"}, BatchStrategy="SingleRecord") == {
        "x.out": b"parts oneparts twoparts three"
    }
    assert answers(
        "single",
        given={"SplitType": "Line"},
        wanted={"AssembleWith": "Line"},
        BatchStrategy="SingleRecord",
        MaxConcurrentTransforms=4,
    ) == {"x.out": b"parts one\nparts two\nparts three\n"}


def test_a_prefix_a_file_a_manifest_and_gzip_are_read(jobs):
    jobs.echo("sources", NAME="")
    jobs.put(
        sources__a1=b"a1",
        sources__a2__b=b"a2",
        sources__c=gzip.compress(b"zipped"),
        sources__empty=b"",
        manifests__m=json.dumps([{"prefix": f"s3://{BUCKET}/sources/"}, "a1", "a2/b"]).encode(),
    )
    manifest = {"S3DataType": "ManifestFile"}

    jobs.start("of-prefix", "sources", "sources/a")
    jobs.start("of-manifest", "sources", "manifests/m", data=manifest)
    jobs.start("of-gzip", "sources", "sources/c", given={"CompressionType": "Gzip"})
    jobs.start("of-nothing", "sources", "sources/empty")
    for name in ("of-prefix", "of-manifest", "of-gzip", "of-nothing"):
        assert jobs.ended(name)["TransformJobStatus"] == "Completed"

    both = {"a1.out": b"a1", "a2/b.out": b"a2"}
    assert jobs.outputs("of-prefix") == jobs.outputs("of-manifest") == both
    assert jobs.outputs("of-gzip") == {"c.out": b"zipped"}
    assert jobs.outputs("of-nothing") == {"empty.out": b""}


def test_a_pipeline_passes_what_the_first_says_to_the_second(jobs):
    image = {"Image": ECHO}
    jobs.model(
        "two",
        {**image, "Environment": {"NAME": "inner "}},
        {**image, "Environment": {"NAME": "outer "}},
    )
    jobs.put(two__x=b"abc")

    job = jobs.done("two", "two", "two/")

    assert job["TransformJobStatus"] == "Completed"
    assert jobs.outputs("two") == {"x.out": b"outer inner abc"}


def test_the_request_says_more_than_the_container(jobs):
    said = '{"MaxConcurrentTransforms":4,"BatchStrategy":"SINGLE_RECORD","MaxPayloadInMB":2}'
    jobs.echo("says", PARAMETERS=said)
    jobs.echo("silent")
    jobs.put(says__x=b"environment")

    jobs.start("says", "says", "says/", Environment={"NAME": "of the job"})
    jobs.start("says-less", "says", "says/", MaxPayloadInMB=3, BatchStrategy="MultiRecord")
    jobs.start("silent", "silent", "says/")
    for name in ("says", "says-less", "silent"):
        assert jobs.ended(name)["TransformJobStatus"] == "Completed"

    line = "[sagemaker logs]: MaxConcurrentTransforms={}, MaxPayloadInMB={}, BatchStrategy={}"
    assert jobs.lines("says") == [line.format(4, 2, "SINGLE_RECORD")]
    assert jobs.lines("says-less") == [line.format(4, 3, "MULTI_RECORD")]
    assert jobs.lines("silent") == [line.format(1, 6, "MULTI_RECORD")]
    told = jobs.outputs("says")["x.out"].decode().splitlines()
    assert {
        "NAME=of the job",
        "SAGEMAKER_BATCH=true",
        "SAGEMAKER_BATCH_STRATEGY=MULTI_RECORD",
        "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS=1",
        "SAGEMAKER_MAX_PAYLOAD_IN_MB=6",
    } <= set(told)


def test_an_object_that_fails_has_no_output_and_the_others_have(jobs):
    jobs.echo("failing")
    jobs.put(failing__a=b"good\n", failing__b=b"fine\nrefuse me\nmore\n", failing__c=b"good\n")

    job = jobs.done(
        "failing", "failing", "failing/", given={"SplitType": "Line"}, BatchStrategy="SingleRecord"
    )

    assert job["TransformJobStatus"] == "Failed"
    assert job["FailureReason"] == (
        f"ClientError: See job logs for more information\ns3://{BUCKET}/failing/b: 400: not this"
    )
    assert jobs.outputs("failing") == {"a.out": b"failing good", "c.out": b"failing good"}
    assert not jobs.uploads()
    assert jobs.lines("failing")[1:] == [
        f"[sagemaker logs]: {BUCKET}/failing/b: ClientError: 400",
        f"[sagemaker logs]: {BUCKET}/failing/b: Message: not this",
    ]


@pytest.mark.parametrize(
    ("name", "body", "more", "reason"),
    [
        ("server-error", b"fail", {"ModelClientConfig": {"InvocationsMaxRetries": 1}},
         "AlgorithmError: See job logs for more information\nSOURCE: 500: broken inside"),
        ("late", b"wait", {"ModelClientConfig":
                           {"InvocationsMaxRetries": 0, "InvocationsTimeoutInSeconds": 1}},
         "AlgorithmError: See job logs for more information\nSOURCE: 0: Your invocation timed out "
         "while waiting for a response from container primary. It did not answer within 1 s."),
        ("large", b"x" * 1_048_577, {"MaxPayloadInMB": 1},
         "ClientError: See job logs for more information\nSOURCE: DataError: SOURCE: the object is "
         "larger than 1 MB, which MaxPayloadInMB allows\n  set SplitType, or a larger MaxPayloadInMB"),
        ("unzipped", b"plain", {"given": {"CompressionType": "Gzip"}},
         "ClientError: See job logs for more information\nSOURCE: BadGzipFile: Not a gzipped file "
         "(b'pl')"),
        ("short", b"a,b\n", {"given": {"SplitType": "Line"},
                             "DataProcessing": {"InputFilter": "$[5]"}},
         "ClientError: See job logs for more information\nSOURCE: JSONPath '$[5]': the row has 2 "
         "cells only"),
        ("deadly", b"die", {"ModelClientConfig": {"InvocationsMaxRetries": 1}},
         "AlgorithmError: See job logs for more information\nSOURCE: 0: The container ended, or broke "
         "the connection, while it was asked: "),
    ],
)  # fmt: skip
def test_why_a_job_failed_is_said(jobs, name, body, more, reason):
    jobs.echo(name)
    jobs.put(**{f"{name}__x": body})

    job = jobs.done(name, name, f"{name}/", **more)

    assert job["TransformJobStatus"] == "Failed"
    expected = reason.replace("SOURCE", f"s3://{BUCKET}/{name}/x")
    assert job["FailureReason"][: len(expected)] == expected
    assert not jobs.outputs(name)


def test_a_job_without_objects_or_without_a_healthy_server_fails(jobs):
    jobs.echo("sick", MODE="exits")
    jobs.put(sick__x=b"x")

    nothing = jobs.done("nothing", "sick", "nowhere/")
    sick = jobs.done("sick", "sick", "sick/")

    assert nothing["FailureReason"] == (
        f'ClientError: No S3 objects found under S3 URL "s3://{BUCKET}/nowhere/" given in input data '
        "source. Please ensure that the bucket exists in the selected region, and that objects exist "
        "under that S3 prefix."
    )
    assert sick["FailureReason"].startswith(
        "AlgorithmError: The primary container for transform job sick did not pass the ping health "
        "check. Please check CloudWatch logs for this transform job.\nIt ended with exit code 3."
    )


def test_a_stopped_job_stores_nothing(jobs):
    jobs.echo("stopped")
    jobs.put(stopped__a=b"good", stopped__b=b"wait")
    jobs.start("stopped", "stopped", "stopped/")
    until(lambda: jobs.outputs("stopped"), "the first object is not done")

    jobs.sagemaker.stop_transform_job(TransformJobName="stopped")
    job = jobs.ended("stopped")
    with pytest.raises(ClientError) as caught:
        jobs.sagemaker.stop_transform_job(TransformJobName="stopped")

    assert job["TransformJobStatus"] == "Stopped"
    assert not jobs.outputs("stopped")
    assert not processes("NAME=stopped ")
    assert caught.value.response["Error"] == {
        "Code": "ValidationException",
        "Message": "The request was rejected because the transform job is in status Stopped.",
    }
    listed = jobs.sagemaker.list_transform_jobs(StatusEquals="Stopped")["TransformJobSummaries"]
    assert [each["TransformJobName"] for each in listed] == ["stopped"]


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        ({"given": {"SplitType": "TFRecord"}}, "NotSupportedByLocalPlane",
         "sagemaker.CreateTransformJob: SplitType TFRecord is not in the local plane\n"
         "  use RecordIO or Line"),
        ({"MaxPayloadInMB": 60, "MaxConcurrentTransforms": 2}, "ValidationException",
         "MaxConcurrentTransforms * MaxPayloadInMB is 120, expected at most 100."),
        ({"DataProcessing": {"InputFilter": "x"}}, "ValidationException",
         "JSONPath 'x': it must begin with '$'\n"
         "  expected as '$', '$.name', \"$['a','b']\", '$[0,2]' or '$[1:]'"),
        ({"DataProcessing": {"JoinSource": "Input"}}, "ValidationException",
         "JoinSource Input needs Accept and ContentType to be equal, found None and 'text/csv'."),
        ({"DataProcessing": {"JoinSource": "Input"}, "given": {"SplitType": "Line"},
          "wanted": {"Accept": "text/csv"}}, "ValidationException",
         "JoinSource Input needs AssembleWith and SplitType to be equal, found 'None' and 'Line'."),
        ({"given": {"ContentType": "a/b"}, "DataProcessing": {"InputFilter": "$[0]"}},
         "ValidationException", "DataProcessing needs ContentType text/csv, application/json, "
         "application/jsonlines and SplitType None or Line, found 'a/b' and 'None'."),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_refused_at_once(jobs, more, code, message):
    with pytest.raises(ClientError) as caught:
        jobs.start("refused", "anything", "x/", **more)

    assert caught.value.response["Error"] == {"Code": code, "Message": message}


def test_a_job_needs_its_model_and_a_name_of_its_own(jobs):
    with pytest.raises(ClientError) as caught:
        jobs.start("modelless", "unknown-model", "x/")
    assert caught.value.response["Error"] == {
        "Code": "ValidationException",
        "Message": "Could not find model "
        "'arn:aws:sagemaker:us-east-1:123456789012:model/unknown-model'.",
    }

    jobs.echo("twice")
    jobs.put(twice__x=b"x")
    jobs.done("twice", "twice", "twice/")
    with pytest.raises(ClientError) as caught:
        jobs.start("twice", "twice", "twice/")
    assert caught.value.response["Error"]["Code"] == "ResourceInUse"


def test_a_plane_that_stops_ends_its_jobs(tmp_path):
    with echo_plane(tmp_path / "plane") as plane:
        jobs = Jobs(plane)
        jobs.echo("endless")
        jobs.put(endless__x=b"wait")
        jobs.start("endless", "endless", "endless/")
        until(lambda: jobs.lines("endless") if _begun(jobs) else None, "the job does not begin")
        assert processes("NAME=endless ")

    assert not processes(str(plane.folder))


def _begun(jobs):
    job = jobs.sagemaker.describe_transform_job(TransformJobName="endless")
    return "TransformStartTime" in job
