"""Fifty jobs at once, of three services: all end, and each as its script says."""

from __future__ import annotations

import time
from collections import Counter
from importlib.util import find_spec

import boto3  # type: ignore[import-untyped]  # noqa: TID251  the tests are the plane's clients
import pytest

pytestmark = [
    pytest.mark.spark,
    pytest.mark.skipif(find_spec("sagemaker_pyspark") is None, reason="no jars that speak to S3"),
]

DEADLINE_S = 240
SCRIPT = """
import sys
number = int(sys.argv[-1])
if number % 5 == 0:
    sys.exit(f"error: {number} will not do")
print("done", number)
"""


def wait_for(what, found):
    end = time.monotonic() + DEADLINE_S
    while not (result := found()):
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.2)
    return result


def test_fifty_jobs_at_once_end_as_their_scripts_say(plane):
    s3, glue, emr = (boto3.client(name) for name in ("s3", "glue", "emr"))
    serverless = boto3.client("emr-serverless")
    s3.create_bucket(Bucket="many")
    s3.put_object(Bucket="many", Key="job.py", Body=SCRIPT.encode())
    script = "s3://many/job.py"
    glue.create_job(
        Name="many",
        Role="role",
        Command={"Name": "pythonshell", "ScriptLocation": script},
        ExecutionProperty={"MaxConcurrentRuns": 44},
    )
    application = serverless.create_application(
        name="many", releaseLabel="emr-7.13.0", type="SPARK"
    )["applicationId"]

    runs = {
        number: glue.start_job_run(JobName="many", Arguments={"--number": str(number)})["JobRunId"]
        for number in range(44)
    }
    jobs = {
        number: serverless.start_job_run(
            applicationId=application,
            executionRoleArn="arn:aws:iam::123456789012:role/run",
            jobDriver={"sparkSubmit": {"entryPoint": script, "entryPointArguments": [str(number)]}},
        )["jobRunId"]
        for number in range(44, 47)
    }
    cluster = emr.run_job_flow(
        Name="many",
        ReleaseLabel="emr-7.13.0",
        StepConcurrencyLevel=3,
        Instances={"MasterInstanceType": "m5.xlarge", "InstanceCount": 1},
        Steps=[
            {
                "Name": str(number),
                "ActionOnFailure": "CONTINUE",
                "HadoopJarStep": {
                    "Jar": "command-runner.jar",
                    "Args": ["spark-submit", script, str(number)],
                },
            }
            for number in range(47, 50)
        ],
    )["JobFlowId"]

    def outcomes():
        found = {each["Id"]: each for each in glue.get_job_runs(JobName="many")["JobRuns"]}
        ended = {}
        for number, id_ in runs.items():
            each = found[id_]
            ended[number] = (each["JobRunState"], each.get("ErrorMessage", ""))
        for number, id_ in jobs.items():
            each = serverless.get_job_run(applicationId=application, jobRunId=id_)["jobRun"]
            ended[number] = (each["state"], each["stateDetails"].rpartition("exceptions: ")[2])
        for each in emr.list_steps(ClusterId=cluster)["Steps"]:
            status = each["Status"]
            said = status.get("FailureDetails", {}).get("Message", "")
            ended[int(each["Name"])] = (status["State"], said)
        over = {"SUCCEEDED", "SUCCESS", "COMPLETED", "FAILED"}
        return ended if all(state in over for state, _ in ended.values()) else None

    found = wait_for("fifty ends", outcomes)

    assert len(found) == 50
    for number, (state, said) in found.items():
        failed = number % 5 == 0
        assert (state == "FAILED", said) == (
            failed,
            f"error: {number} will not do" if failed else "",
        )
    assert Counter(state for state, _ in found.values()) == {
        "SUCCEEDED": 35,
        "SUCCESS": 2,
        "COMPLETED": 3,
        "FAILED": 10,
    }
