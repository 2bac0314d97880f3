"""Glue job runs through boto3: the script really runs, with its arguments, files, logs and limits."""

from __future__ import annotations

import itertools
import time
from importlib.util import find_spec
from pathlib import Path

import boto3  # type: ignore[import-untyped]  # noqa: TID251  the tests are the plane's clients
import pytest
from botocore.exceptions import ClientError  # type: ignore[import-untyped]

from penstock.local import gluejobs
from penstock.local.site import Site
from penstock.local.wire import Call

DEADLINE_S = 120
NUMBERS = itertools.count()

SPARKS = """
import sys
from awsglue.context import GlueContext
from awsglue.job import Job
from awsglue.utils import getResolvedOptions
from lib import greeting
from pyspark.context import SparkContext
options = getResolvedOptions(sys.argv, ["JOB_NAME", "day", "TempDir"])
glue = GlueContext(SparkContext.getOrCreate())
job = Job(glue)
job.init(options["JOB_NAME"], options)
print(greeting(), options["JOB_NAME"], options["day"], options["TempDir"], glue.spark_session.conf.get("spark.mine"))
print(options["JOB_RUN_ID"], options["job_bookmark_option"])
job.commit()
try:
    glue.create_dynamic_frame
except NotImplementedError as error:
    print(error)
"""
ARGUMENTS = (
    "import lib, sys; print(lib.greeting(), sys.argv[1:]); sys.stderr.write('on the other stream')"
)
FAILS = "import sys; print('some output'); raise KeyError('amount')"
STAYS = """
import os, sys, time
import boto3
boto3.client("s3").put_object(Bucket=sys.argv[-1], Key="pid", Body=str(os.getpid()))
while True:
    print("still here")
    time.sleep(0.2)
"""


@pytest.fixture
def glue(plane):
    return boto3.client("glue")


@pytest.fixture(scope="module")
def bucket(plane):
    boto3.client("s3").create_bucket(Bucket="glue-jobs")
    return "glue-jobs"


def put(bucket, key, text):
    boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=text.encode())
    return f"s3://{bucket}/{key}"


def job(script, *, kind="pythonshell", **more):
    """Create a job and return its name."""
    name = f"job-{next(NUMBERS)}"
    command = {"Name": kind, "ScriptLocation": script, "PythonVersion": "3"}
    boto3.client("glue").create_job(Name=name, Role="role", Command=command, **more)
    return name


def start(name, **more):
    return boto3.client("glue").start_job_run(JobName=name, **more)["JobRunId"]


def wait_for(what, found):
    end = time.monotonic() + DEADLINE_S
    while not (result := found()):
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.1)
    return result


def ended(name, run):
    """Wait for a run's end and return it."""

    def over():
        found = boto3.client("glue").get_job_run(JobName=name, RunId=run)["JobRun"]
        return found if found["JobRunState"] not in gluejobs.ACTIVE else None

    return wait_for("the run's end", over)


def lines(kind, run):
    """Return the lines of a run's log."""
    events = boto3.client("logs").get_log_events(
        logGroupName=f"/aws-glue/jobs/{kind}", logStreamName=run, startFromHead=True
    )
    return [event["message"] for event in events["events"]]


def refused(call, **body):
    with pytest.raises(ClientError) as caught:
        call(**body)
    return caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]


@pytest.mark.spark
@pytest.mark.skipif(find_spec("sagemaker_pyspark") is None, reason="no jars that speak to S3")
def test_a_spark_script_gets_its_arguments_files_and_settings(bucket):
    library = put(bucket, "lib.py", "def greeting(): return 'grüezi'")
    defaults = {
        "--extra-py-files": library,
        "--conf": "spark.mine=1 --conf spark.executor.memory=80g",
        "--TempDir": "s3://glue-jobs/tmp/",
        "--enable-metrics": "true",
        "--enable-glue-datacatalog": "true",
        "--day": "monday",
    }
    name = job(put(bucket, "sparks.py", SPARKS), kind="glueetl", DefaultArguments=defaults)

    run = start(name, Arguments={"--day": "2024-01-01"})
    found = ended(name, run)

    assert (found["JobRunState"], found.get("ErrorMessage")) == ("SUCCEEDED", None)
    assert found["Arguments"] == defaults | {"--day": "2024-01-01"}
    assert found["StartedOn"] <= found["CompletedOn"]
    assert lines("output", run) == [
        f"grüezi {name} 2024-01-01 s3://glue-jobs/tmp/ 1",
        f"{run} job-bookmark-disable",
        "GlueContext.create_dynamic_frame is not in the local plane: DynamicFrames and the catalog's "
        "readers are Glue's own",
        "  use glueContext.spark_session and DataFrames, which run on both",
    ]
    notes = [line.split(" ", 2)[2] for line in lines("error", run)[:2]]
    assert notes == [
        "--enable-glue-datacatalog: Spark SQL has no tables here; read their paths",
        "--conf spark.executor.memory=80g is for a cluster: left out",
    ]


def test_a_plain_python_script_gets_what_glue_adds_and_no_special_arguments(bucket):
    script = put(bucket, "arguments.py", ARGUMENTS)
    library = put(bucket, "plain/lib.py", "def greeting(): return 'moin'")
    zipped = put(bucket, "plain/x.zip", "")
    name = job(
        script,
        DefaultArguments={
            "--extra-py-files": f"{library},{zipped}",
            "--enable-job-insights": "true",
            "--root": "s3://lake",
        },
        NonOverridableArguments={"--fixed": "1"},
    )

    run = start(name, Arguments={"--fixed": "2"})

    assert ended(name, run)["JobRunState"] == "SUCCEEDED"
    given = ["--JOB_NAME", name, "--JOB_ID", f"j_{run[3:]}", "--JOB_RUN_ID", run]
    given += [
        "--job-bookmark-option",
        "job-bookmark-disable",
        "--root",
        "s3://lake",
        "--fixed",
        "1",
    ]
    assert lines("output", run) == [f"moin {given}"]
    assert lines("error", run)[-1] == "on the other stream"


def test_a_failed_run_says_why_and_is_tried_again_as_often_as_the_job_says(bucket, glue):
    name = job(put(bucket, "fails.py", FAILS), MaxRetries=1)

    run = start(name)
    first = ended(name, run)
    second = ended(name, f"{run}_attempt_1")

    assert (first["JobRunState"], first["ErrorMessage"]) == ("FAILED", "KeyError: 'amount'")
    assert (second["Attempt"], second["PreviousRunId"], second["JobRunState"]) == (1, run, "FAILED")
    runs = glue.get_job_runs(JobName=name)["JobRuns"]
    assert [each["Id"] for each in runs] == [second["Id"], run]
    pages = glue.get_paginator("get_job_runs").paginate(
        JobName=name, PaginationConfig={"PageSize": 1}
    )
    assert [len(page["JobRuns"]) for page in pages] == [1, 1]
    assert lines("output", run) == ["some output"]


def test_a_script_that_is_not_there_fails_the_run(bucket):
    name = job(f"s3://{bucket}/none.py")

    found = ended(name, start(name))

    assert (found["JobRunState"], found["ErrorMessage"]) == (
        "FAILED",
        f"read: nothing found at 's3://{bucket}/none.py'\n  check the path, or run the stage before",
    )


def test_runs_are_watched_counted_and_stopped(bucket, glue):
    name = job(put(bucket, "stays.py", STAYS), ExecutionProperty={"MaxConcurrentRuns": 1})
    run = start(name, Arguments={"--bucket": bucket})

    def pid():
        found = boto3.client("s3").list_objects_v2(Bucket=bucket, Prefix="pid").get("Contents")
        return found and boto3.client("s3").get_object(Bucket=bucket, Key="pid")["Body"].read()

    def said():
        try:
            return lines("output", run)
        except ClientError:  # there is no such log as yet
            return None

    running = int(wait_for("the program's start", pid))
    assert set(wait_for("its first words", said)) == {"still here"}
    assert glue.get_job_run(JobName=name, RunId=run)["JobRun"]["JobRunState"] == "RUNNING"
    assert refused(glue.start_job_run, JobName=name) == (
        "ConcurrentRunsExceededException",
        f"Concurrent runs exceeded for {name}",
    )
    answer = glue.batch_stop_job_run(JobName=name, JobRunIds=[run, "jr_none"])
    del answer["ResponseMetadata"]

    assert ended(name, run)["JobRunState"] == "STOPPED"
    assert not Path(f"/proc/{running}").exists()
    detail = {"ErrorCode": "EntityNotFoundException", "ErrorMessage": "Job run jr_none not found."}
    assert answer == {
        "SuccessfulSubmissions": [{"JobName": name, "JobRunId": run}],
        "Errors": [{"JobName": name, "JobRunId": "jr_none", "ErrorDetail": detail}],
    }
    again = glue.batch_stop_job_run(JobName=name, JobRunIds=[run])["Errors"][0]["ErrorDetail"]
    assert again["ErrorMessage"] == f"Job run {run} is STOPPED: only active runs can be stopped"


def test_a_run_past_its_timeout_is_ended(tmp_path, monkeypatch):
    script = tmp_path / "stays.py"
    script.write_text("import time; time.sleep(600)")
    command = {"Name": "pythonshell", "ScriptLocation": str(script)}

    class OneJob:
        """Stands for moto, which keeps jobs: a minute cannot be shortened through it."""

        def ask(self, *_, **__):
            return {"Job": {"Name": "long", "Command": command, "Timeout": 1}}

    monkeypatch.setattr(gluejobs, "MINUTE_S", 0.3)
    site = Site(tmp_path, "http://127.0.0.1:1", OneJob())
    site.log = lambda *_, **__: None
    handlers = gluejobs.service(site).operations()

    def call(operation, **body):
        made = Call(service="glue", operation=operation, body=body, region="r", environ={}, raw=b"")
        return handlers[operation](made)

    run = call("StartJobRun", JobName="long")["JobRunId"]

    def over():
        found = call("GetJobRun", JobName="long", RunId=run)["JobRun"]
        return found if "CompletedOn" in found else None

    found = wait_for("the timeout", over)
    site.stop()
    assert (found["JobRunState"], found["ErrorMessage"]) == (
        "TIMEOUT",
        "Job run exceeded its timeout of 1 minutes",
    )


PLANE = "NotSupportedByLocalPlane"


@pytest.mark.parametrize(
    ("kind", "arguments", "said"),
    [
        (
            "glueray",
            {},
            "Command.Name is 'glueray': not in the local plane\n"
            "  expected 'glueetl', 'gluestreaming' or 'pythonshell'",
        ),
        (
            "glueetl",
            {"--job-bookmark-option": "job-bookmark-enable"},
            "--job-bookmark-option is 'job-bookmark-enable': not in the local plane\n"
            "  the plane keeps no bookmarks; say 'job-bookmark-disable'",
        ),
        (
            "glueetl",
            {"--job-language": "scala"},
            "--job-language is 'scala': not in the local plane\n  write the job in Python",
        ),
        (
            "glueetl",
            {"--additional-python-modules": "polars"},
            "--additional-python-modules is 'polars': not in the local plane\n"
            "  install them where the plane runs: jobs share its environment",
        ),
    ],
)
def test_what_the_plane_has_not_is_refused(glue, bucket, kind, arguments, said):
    name = job(f"s3://{bucket}/x.py", kind=kind, DefaultArguments=arguments)

    assert refused(glue.start_job_run, JobName=name) == (PLANE, f"glue.StartJobRun: {said}")


def test_wrong_requests_are_refused_as_glue_does(glue, bucket):
    name = job(f"s3://{bucket}/x.py")

    assert refused(glue.start_job_run, JobName="none")[0] == "EntityNotFoundException"
    assert refused(glue.get_job_run, JobName=name, RunId="jr_x") == (
        "EntityNotFoundException",
        "Job run jr_x not found.",
    )
    assert refused(glue.start_job_run, JobName=name, Timeout=20_000) == (
        "InvalidInputException",
        "Timeout must be between 1 and 10080 minutes, got 20000",
    )
    assert refused(glue.start_job_run, JobName=name, AllocatedCapacity=2, MaxCapacity=2.0) == (
        "InvalidInputException",
        "Please set only Allocated Capacity or Max Capacity",
    )
