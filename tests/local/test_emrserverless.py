"""EMR Serverless through boto3: applications, and job runs that are real spark-submits."""

from __future__ import annotations

import gzip
import time
from importlib.util import find_spec

import boto3  # type: ignore[import-untyped]  # noqa: TID251  the tests are the plane's clients
import pytest
from botocore.exceptions import ClientError  # type: ignore[import-untyped]

pytestmark = [
    pytest.mark.spark,
    pytest.mark.skipif(find_spec("sagemaker_pyspark") is None, reason="no jars that speak to S3"),
]

DEADLINE_S = 120
ROLE = "arn:aws:iam::123456789012:role/run"
ACTIVE = {"SUBMITTED", "PENDING", "SCHEDULED", "RUNNING", "CANCELLING"}

GREETS = """
import os, sys
from pyspark.sql import SparkSession
session = SparkSession.builder.getOrCreate()
print(sys.argv[1:], os.environ["STAGE"], session.conf.get("spark.mine"), session.conf.get("spark.base"))
"""
STAYS = """
import sys, time
import boto3
boto3.client("s3").put_object(Bucket=sys.argv[1], Key="started", Body=b"")
time.sleep(600)
"""


@pytest.fixture
def serverless(plane):
    return boto3.client("emr-serverless")


@pytest.fixture(scope="module")
def bucket(plane):
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="serverless")
    for name, text in {
        "greets.py": GREETS,
        "fails.py": "raise ValueError('no such day')",
        "stays.py": STAYS,
    }.items():
        s3.put_object(Bucket="serverless", Key=name, Body=text.encode())
    return "serverless"


def application(serverless, **more):
    return serverless.create_application(
        name="test", releaseLabel="emr-7.13.0", type="SPARK", **more
    )["applicationId"]


def start(serverless, id_, script, *arguments, parameters="", **more):
    submit = {"entryPoint": script, "entryPointArguments": list(arguments)}
    driver = {"sparkSubmit": submit | ({"sparkSubmitParameters": parameters} if parameters else {})}
    return serverless.start_job_run(
        applicationId=id_, executionRoleArn=ROLE, jobDriver=driver, **more
    )["jobRunId"]


def wait_for(what, found):
    end = time.monotonic() + DEADLINE_S
    while not (result := found()):
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.1)
    return result


def ended(serverless, id_, run):
    def over():
        found = serverless.get_job_run(applicationId=id_, jobRunId=run)["jobRun"]
        return found if found["state"] not in ACTIVE else None

    return wait_for("the run's end", over)


def refused(call, **body):
    with pytest.raises(ClientError) as caught:
        call(**body)
    return caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]


def state(serverless, id_):
    return serverless.get_application(applicationId=id_)["application"]["state"]


def test_a_run_gets_its_arguments_and_settings_and_its_logs_are_kept(serverless, bucket):
    runtime = {"classification": "spark-defaults", "properties": {"spark.base": "0"}}
    id_ = application(serverless, runtimeConfiguration=[runtime])
    overrides = {
        "applicationConfiguration": [
            {"classification": "spark-defaults", "properties": {"spark.mine": "1"}}
        ],
        "monitoringConfiguration": {
            "s3MonitoringConfiguration": {"logUri": f"s3://{bucket}/logs/"},
            "cloudWatchLoggingConfiguration": {"enabled": True, "logGroupName": "/serverless"},
        },
    }
    parameters = (
        "--conf spark.executor.memory=16g --conf spark.emr-serverless.driverEnv.STAGE='dev 1'"
    )

    run = start(
        serverless,
        id_,
        f"s3://{bucket}/greets.py",
        "--day",
        "2024 01",
        parameters=parameters,
        configurationOverrides=overrides,
    )
    found = ended(serverless, id_, run)

    where = f"applications/{id_}/jobs/{run}/SPARK_DRIVER"
    body = boto3.client("s3").get_object(Bucket=bucket, Key=f"logs/{where}/stdout.gz")["Body"]
    said = "['--day', '2024 01'] dev 1 1 0"
    assert (found["state"], found["stateDetails"]) == ("SUCCESS", "")
    assert found["createdAt"] <= found["startedAt"] <= found["endedAt"]
    assert gzip.decompress(body.read()).decode() == f"{said}\n"
    events = boto3.client("logs").get_log_events(
        logGroupName="/serverless", logStreamName=f"{where}/stdout"
    )["events"]
    assert [event["message"] for event in events] == [said]
    assert state(serverless, id_) == "STARTED"  # autoStart


def test_a_failed_run_says_why(serverless, bucket):
    id_ = application(serverless)

    failed = start(serverless, id_, f"s3://{bucket}/fails.py")
    missing = start(serverless, id_, f"s3://{bucket}/none.py")

    words = "Job failed, please check complete logs in configured logging destination."
    found = ended(serverless, id_, failed)
    assert (found["state"], found["stateDetails"]) == (
        "FAILED",
        f"{words} ExitCode: 1. Last few exceptions: ValueError: no such day",
    )
    found = ended(serverless, id_, missing)
    assert (found["state"], found["stateDetails"]) == (
        "FAILED",
        f"{words} Last few exceptions: read: nothing found at 's3://{bucket}/none.py'\n"
        "  check the path, or run the stage before",
    )
    listed = serverless.list_job_runs(applicationId=id_, states=["FAILED", "SUCCESS"])["jobRuns"]
    assert [each["id"] for each in listed] == [missing, failed]
    assert serverless.list_job_runs(applicationId=id_, states=["SUCCESS"])["jobRuns"] == []


def test_a_run_is_cancelled_and_holds_its_application_up_till_then(serverless, bucket):
    id_ = application(serverless)
    run = start(serverless, id_, f"s3://{bucket}/stays.py", bucket)
    s3 = boto3.client("s3")
    wait_for(
        "the program's start",
        lambda: s3.list_objects_v2(Bucket=bucket, Prefix="started").get("Contents"),
    )

    assert refused(serverless.stop_application, applicationId=id_) == (
        "ConflictException",
        f"Application {id_} has 1 job runs that have not ended.",
    )
    serverless.cancel_job_run(applicationId=id_, jobRunId=run)

    assert ended(serverless, id_, run)["state"] == "CANCELLED"
    assert refused(serverless.cancel_job_run, applicationId=id_, jobRunId=run) == (
        "ValidationException",
        f"Job run {run} is CANCELLED: only active runs can be cancelled.",
    )
    serverless.stop_application(applicationId=id_)
    assert state(serverless, id_) == "STOPPED"


def test_an_application_goes_through_its_states(serverless):
    id_ = application(serverless, autoStartConfiguration={"enabled": False})
    assert state(serverless, id_) == "CREATED"

    assert refused(start, serverless=serverless, id_=id_, script="s3://b/x.py") == (
        "ConflictException",
        f"Application {id_} is CREATED: it takes no job runs.",
    )
    serverless.start_application(applicationId=id_)
    assert state(serverless, id_) == "STARTED"
    assert refused(serverless.delete_application, applicationId=id_) == (
        "ValidationException",
        f"Application {id_} must be in one of the following statuses [CREATED, STOPPED]. "
        "Current status: STARTED",
    )
    serverless.stop_application(applicationId=id_)
    serverless.update_application(applicationId=id_, releaseLabel="emr-spark-8.0.0")
    label = serverless.get_application(applicationId=id_)["application"]["releaseLabel"]
    serverless.delete_application(applicationId=id_)

    assert (label, state(serverless, id_)) == ("emr-spark-8.0.0", "TERMINATED")
    listed = serverless.list_applications(states=["TERMINATED"])["applications"]
    assert id_ in [each["id"] for each in listed]


def test_tags_are_kept(serverless):
    arn = serverless.create_application(
        name="tags", releaseLabel="emr-7.13.0", type="SPARK", tags={"team": "a"}
    )["arn"]

    serverless.tag_resource(resourceArn=arn, tags={"stage": "dev", "cost": "1"})
    serverless.untag_resource(resourceArn=arn, tagKeys=["team", "cost"])

    assert serverless.list_tags_for_resource(resourceArn=arn)["tags"] == {"stage": "dev"}


def test_a_token_starts_one_run(serverless, bucket):
    id_ = application(serverless)
    script = f"s3://{bucket}/none.py"

    runs = {start(serverless, id_, script, clientToken="once") for _ in range(3)}

    assert len(runs) == 1


def test_what_the_plane_has_not_is_refused(serverless):
    id_ = application(serverless)
    hive = {"name": "x", "releaseLabel": "emr-7.13.0", "type": "HIVE"}
    plane = "NotSupportedByLocalPlane"

    assert refused(serverless.create_application, **hive) == (
        plane,
        "emr-serverless: an application of type 'HIVE' is not in the local plane\n  say type='SPARK'",
    )
    assert refused(
        start, serverless=serverless, id_=id_, script="s3://b/x.py", mode="STREAMING"
    ) == (plane, "emr-serverless: mode 'STREAMING' is not in the local plane\n  say mode='BATCH'")
    assert refused(serverless.get_application, applicationId="none") == (
        "ResourceNotFoundException",
        "Application none does not exist",
    )
    assert refused(
        start, serverless=serverless, id_=id_, script="s3://b/x.py", executionTimeoutMinutes=1
    ) == ("ValidationException", "RunTimeout must be at least 5 minutes.")
