"""EMR on the plane: clusters and steps through boto3, each step a real spark-submit."""

from __future__ import annotations

import gzip
import io
import itertools
import os
import time
import zipfile
from importlib.util import find_spec
from pathlib import Path

import boto3  # type: ignore[import-untyped]  # noqa: TID251  the tests are the plane's clients
import pytest
from botocore.exceptions import ClientError, WaiterError  # type: ignore[import-untyped]

from penstock.local import Plane
from penstock.local.emrcluster import Cluster
from penstock.local.site import Site

pytestmark = [
    pytest.mark.spark,
    pytest.mark.skipif(find_spec("sagemaker_pyspark") is None, reason="no jars that speak to S3"),
]

DEADLINE_S = 120
FAST = {"Delay": 1, "MaxAttempts": DEADLINE_S}
NUMBERS = itertools.count()

GREETS = """
import os, sys
from lib import greeting
from pyspark.sql import SparkSession
session = SparkSession.builder.getOrCreate()
print(greeting(), sys.argv[1:], open("words.txt").read(), open("box/inner.txt").read())
print(session.conf.get("spark.master"), session.conf.get("spark.mine"), session.conf.get("spark.base"))
print(os.environ["STAGE"], session.conf.get("spark.driver.memory"))
"""
FAILS = "raise ValueError('no such day: 2024-13-01')"
EXITS = "import sys; sys.exit('error: table is empty\\n  mend it')"
STAYS = """
import os, subprocess, sys, time
import boto3
child = subprocess.Popen(["sleep", "600"])
key, bucket = sys.argv[2], sys.argv[1]
boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=f"{os.getpid()} {os.getppid()} {child.pid}")
time.sleep(600)
"""


@pytest.fixture
def emr(plane):
    return boto3.client("emr")


@pytest.fixture
def bucket(plane):
    name = f"emr-{next(NUMBERS)}"
    boto3.client("s3").create_bucket(Bucket=name)
    return name


def put(bucket, key, content):
    body = content if isinstance(content, bytes) else content.encode()
    boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=body)
    return f"s3://{bucket}/{key}"


def packed(**files):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, text in files.items():
            archive.writestr(name.replace("_", "."), text)
    return made.getvalue()


def step(*arguments, name="step", action="CONTINUE"):
    jar = {"Jar": "command-runner.jar", "Args": ["spark-submit", *arguments]}
    return {"Name": name, "ActionOnFailure": action, "HadoopJarStep": jar}


def cluster(emr, steps=(), *, alive=True, **more):
    instances = {
        "MasterInstanceType": "m5.xlarge",
        "InstanceCount": 1,
        "KeepJobFlowAliveWhenNoSteps": alive,
    }
    body = {"Name": "test", "ReleaseLabel": "emr-7.13.0", "Applications": [{"Name": "Spark"}]}
    body |= {"JobFlowRole": "EMR_EC2_DefaultRole", "ServiceRole": "EMR_DefaultRole"}
    return emr.run_job_flow(**{**body, "Instances": instances, "Steps": list(steps), **more})[
        "JobFlowId"
    ]


def steps_of(emr, id_):
    """Return the steps in the order in which they were added."""
    return emr.list_steps(ClusterId=id_)["Steps"][::-1]


def wait_for(what, found):
    """Return what ``found`` gives once it gives something."""
    end = time.monotonic() + DEADLINE_S
    while not (result := found()):
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.1)
    return result


def states(emr, id_):
    return [each["Status"]["State"] for each in steps_of(emr, id_)]


def ended(emr, id_, *, within=("COMPLETED", "FAILED", "CANCELLED", "INTERRUPTED")):
    """Wait until all steps have ended, and return them."""
    wait_for("the steps' end", lambda: all(state in within for state in states(emr, id_)))
    return steps_of(emr, id_)


def terminated(emr, id_):
    """Wait until a cluster has ended, and return its status."""
    found = wait_for(
        "the cluster's end",
        lambda: (
            (status := emr.describe_cluster(ClusterId=id_)["Cluster"]["Status"])[
                "State"
            ].startswith("TERMINATED")
            and status
        ),
    )
    return found["State"], found["StateChangeReason"]


def pids(bucket, key):
    """Return the process ids that STAYS wrote: of itself, its JVM and its child."""

    def found():
        try:
            return boto3.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read().split()
        except ClientError:
            return None

    return [int(pid) for pid in wait_for("the program's start", found)]


def gone(pid):
    """Return whether a process has ended; one that nobody has collected yet has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def log(bucket, id_, step_id, name):
    key = f"logs/{id_}/steps/{step_id}/{name}.gz"
    content = boto3.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    return gzip.decompress(content).decode()


@pytest.fixture(scope="module")
def ran(plane):
    """A cluster whose steps have ended in different ways; its bucket, id and steps."""
    emr, bucket = boto3.client("emr"), "emr-ways"
    boto3.client("s3").create_bucket(Bucket=bucket)
    greets = step(
        *("--deploy-mode", "cluster", "--master", "yarn", "--num-executors", "40"),
        *("--driver-memory", "64g", "--conf", "spark.mine=1", "--conf", "spark.base=2"),
        *("--conf", "spark.yarn.appMasterEnv.STAGE=dev"),
        *("--py-files", put(bucket, "lib.zip", packed(lib_py="def greeting(): return 'grüezi'"))),
        *("--files", put(bucket, "a/words.txt", "wörter")),
        *("--archives", put(bucket, "a/b.zip", packed(inner_txt="inside")) + "#box"),
        *(put(bucket, "jöbs/greets.py", GREETS), "--day", "2024-01-01 and more"),
        name="greets",
    )
    steps = [
        greets,
        step(put(bucket, "fails.py", FAILS), name="fails"),
        step(put(bucket, "exits.py", EXITS), name="exits"),
        step(f"s3://{bucket}/none.py", name="missing"),
        step("--frobnicate", "x", f"s3://{bucket}/fails.py", name="options"),
    ]
    defaults = {"Classification": "spark-defaults", "Properties": {"spark.base": "0"}}
    id_ = cluster(
        emr,
        steps,
        StepConcurrencyLevel=5,
        LogUri=f"s3n://{bucket}/logs/",
        Configurations=[defaults],
    )
    return bucket, id_, ended(emr, id_)


def test_a_step_gets_its_files_settings_and_arguments(ran):
    bucket, id_, steps = ran

    said = log(bucket, id_, steps[0]["Id"], "stdout")

    assert steps[0]["Status"]["State"] == "COMPLETED"
    assert said.splitlines() == [
        "grüezi ['--day', '2024-01-01 and more'] wörter inside",
        "local[*] 1 2",
        "dev 1g",
    ]


def test_what_only_a_cluster_can_use_is_noted_in_the_controllers_log(ran):
    bucket, id_, steps = ran

    lines = log(bucket, id_, steps[0]["Id"], "controller").splitlines()

    assert [line.split(" ", 2)[2] for line in lines[:4]] == [
        "--deploy-mode cluster is for a cluster: left out",
        "--num-executors 40 is for a cluster: left out",
        "--driver-memory 64g is for a cluster: left out",
        "--conf spark.master=yarn is for a cluster: left out",
    ]
    assert "succeeded with exit code 0 after" in lines[-1]
    assert "ShutdownHookManager" in log(bucket, id_, steps[0]["Id"], "stderr")


def test_a_failed_step_says_why_in_its_own_words(ran):
    bucket, id_, steps = ran

    details = [each["Status"].get("FailureDetails") for each in steps]

    def failure(number, message, name):
        where = f"s3://{bucket}/logs/{id_}/steps/{steps[number]['Id']}/{name}.gz"
        return {"Reason": "Unknown Error.", "Message": message, "LogFile": where}

    options = "--archives, --class, --conf"
    assert details[0] is None
    assert details[1] == failure(1, "ValueError: no such day: 2024-13-01", "stdout")
    assert details[2] == failure(2, "error: table is empty\n  mend it", "stdout")
    missing = (
        f"read: nothing found at 's3://{bucket}/none.py'\n  check the path, or run the stage before"
    )
    assert details[3] == failure(3, missing, "controller")
    assert details[4]["Message"].startswith(
        f"spark-submit: unknown option '--frobnicate'\n  expected one of {options}"
    )


def test_times_go_forward_and_steps_are_as_they_were_sent(ran):
    _, _, steps = ran

    for each in steps:
        times = each["Status"]["Timeline"]
        assert times["CreationDateTime"] <= times["StartDateTime"] <= times["EndDateTime"]
    assert steps[1]["Config"]["Jar"] == "command-runner.jar"
    assert steps[1]["Config"]["Args"][0] == "spark-submit"
    assert [each["Name"] for each in steps] == ["greets", "fails", "exits", "missing", "options"]


def test_waiters_end(ran, emr):
    _, id_, steps = ran

    emr.get_waiter("cluster_running").wait(ClusterId=id_, WaiterConfig=FAST)
    emr.get_waiter("step_complete").wait(ClusterId=id_, StepId=steps[0]["Id"], WaiterConfig=FAST)
    with pytest.raises(WaiterError) as caught:
        emr.get_waiter("step_complete").wait(ClusterId=id_, StepId=steps[1]["Id"])

    assert caught.value.last_response["Step"]["Status"]["State"] == "FAILED"


def test_lists_are_filtered_and_clusters_wait_when_idle(ran, emr):
    _, id_, steps = ran

    some = emr.list_steps(ClusterId=id_, StepStates=["COMPLETED"])["Steps"]
    one = emr.list_steps(ClusterId=id_, StepIds=[steps[3]["Id"]])["Steps"]
    waiting = emr.list_clusters(ClusterStates=["WAITING"])["Clusters"]

    assert [each["Id"] for each in some] == [steps[0]["Id"]]
    assert [each["Name"] for each in one] == ["missing"]
    assert [each["Status"]["State"] for each in waiting if each["Id"] == id_] == ["WAITING"]
    described = emr.describe_cluster(ClusterId=id_)["Cluster"]
    assert (described["StepConcurrencyLevel"], described["AutoTerminate"]) == (5, False)


@pytest.mark.parametrize(
    ("action", "state", "rest", "message"),
    [
        ("TERMINATE_CLUSTER", "TERMINATED_WITH_ERRORS", "CANCELLED", "Shut down as step failed"),
        ("CANCEL_AND_WAIT", "WAITING", "CANCELLED", None),
        ("CONTINUE", "WAITING", "FAILED", None),
    ],
)
def test_a_failure_does_to_the_cluster_what_its_step_says(
    emr, bucket, action, state, rest, message
):
    missing = f"s3://{bucket}/none.py"

    id_ = cluster(emr, [step(missing, action=action), step(missing, name="next")])
    steps = ended(emr, id_)

    found = wait_for("a settled cluster", lambda: emr.describe_cluster(ClusterId=id_)["Cluster"])
    wait_for(
        state, lambda: emr.describe_cluster(ClusterId=id_)["Cluster"]["Status"]["State"] == state
    )
    found = emr.describe_cluster(ClusterId=id_)["Cluster"]["Status"]
    assert [each["Status"]["State"] for each in steps] == ["FAILED", rest]
    assert found["StateChangeReason"].get("Message") == message


def test_a_cluster_that_need_not_stay_goes_when_its_steps_are_done(emr, bucket):
    empty = cluster(emr, alive=False)
    failed = cluster(emr, [step(f"s3://{bucket}/none.py")], alive=False)

    emr.get_waiter("cluster_terminated").wait(ClusterId=empty, WaiterConfig=FAST)

    done = {"Code": "ALL_STEPS_COMPLETED"}
    assert terminated(emr, empty) == ("TERMINATED", done | {"Message": "Steps completed"})
    assert terminated(emr, failed) == (
        "TERMINATED",
        done | {"Message": "Steps completed with errors"},
    )


def test_a_cluster_that_is_let_go_ends_its_step_and_all_its_processes(emr, bucket):
    script = put(bucket, "stays.py", STAYS)
    id_ = cluster(emr, [step(script, bucket, "pids"), step(script, bucket, "never")])
    running = pids(bucket, "pids")

    emr.terminate_job_flows(JobFlowIds=[id_])

    assert terminated(emr, id_) == (
        "TERMINATED",
        {"Code": "USER_REQUEST", "Message": "Terminated by user request"},
    )
    assert states(emr, id_) == ["INTERRUPTED", "CANCELLED"]
    wait_for("the processes' end", lambda: all(gone(pid) for pid in running))


def test_steps_are_cancelled_waiting_and_running_alike(emr, bucket):
    script = put(bucket, "stays.py", STAYS)
    id_ = cluster(emr, [step(script, bucket, "pids"), step(script, bucket, "never")])
    running = pids(bucket, "pids")
    ids = [each["Id"] for each in steps_of(emr, id_)]

    answers = emr.cancel_steps(ClusterId=id_, StepIds=ids)["CancelStepsInfoList"]

    assert answers == [{"StepId": each, "Status": "SUBMITTED"} for each in ids]
    steps = ended(emr, id_)
    assert [each["Status"]["State"] for each in steps] == ["CANCELLED", "CANCELLED"]
    wait_for("the processes' end", lambda: all(gone(pid) for pid in running))
    again = emr.cancel_steps(ClusterId=id_, StepIds=ids[:1])["CancelStepsInfoList"]
    assert again == [
        {
            "StepId": ids[0],
            "Status": "FAILED",
            "Reason": f"Step {ids[0]} is CANCELLED: only steps that have not ended can be cancelled.",
        }
    ]


def refused(call, **body):
    with pytest.raises(ClientError) as caught:
        call(**body)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def test_what_the_plane_has_not_is_refused_with_words(emr):
    script = {"Jar": "s3://us-east-1.elasticmapreduce/libs/script-runner/script-runner.jar"}
    bash = {"Jar": "command-runner.jar", "Args": ["bash", "-c", "ls"]}
    action = {"Name": "install", "ScriptBootstrapAction": {"Path": "s3://b/install.sh"}}

    wanted = "expected Jar 'command-runner.jar' with Args ['spark-submit', ...]"
    name = {"Name": "x"}
    assert refused(cluster, emr=emr, steps=[name | {"HadoopJarStep": script}]) == (
        "NotSupportedByLocalPlane",
        f"step 'x': {script['Jar']!r} is not in the local plane\n  {wanted}",
    )
    assert refused(cluster, emr=emr, steps=[name | {"HadoopJarStep": bash}]) == (
        "NotSupportedByLocalPlane",
        f"step 'x': command 'bash' of command-runner.jar is not in the local plane\n  {wanted}",
    )
    assert refused(cluster, emr=emr, BootstrapActions=[action]) == (
        "NotSupportedByLocalPlane",
        "emr.RunJobFlow: bootstrap actions are not in the local plane: they would change this machine\n"
        "  leave BootstrapActions out; steps run in the plane's own Python environment",
    )
    assert refused(emr.describe_job_flows) == (
        "NotSupportedByLocalPlane",
        "emr.DescribeJobFlows is not in the local plane: it would need AWS itself\n"
        "  docs/local-plane.md lists what is real, what is recorded only and what is refused",
    )


def test_wrong_requests_are_refused_as_emr_does(emr, bucket):
    id_ = cluster(emr)
    over = cluster(emr, alive=False)
    terminated(emr, over)
    one = step(f"s3://{bucket}/none.py", name="x", action="TERMINATE_CLUSTER")

    assert refused(emr.describe_cluster, ClusterId="j-NONE") == (
        "InvalidRequestException",
        "Cluster id 'j-NONE' is not valid.",
    )
    assert refused(emr.describe_step, ClusterId=id_, StepId="s-NONE") == (
        "InvalidRequestException",
        "Step id 's-NONE' is not valid.",
    )
    assert refused(emr.add_job_flow_steps, JobFlowId=over, Steps=[one]) == (
        "ValidationException",
        "A job flow that is shutting down, terminated, or finished may not be modified.",
    )
    assert refused(emr.add_job_flow_steps, JobFlowId=id_, Steps=[one] * 257) == (
        "ValidationException",
        "Maximum number of active steps(State = RUNNING, PENDING or CANCEL_PENDING) for cluster exceeded.",
    )
    assert refused(cluster, emr=emr, steps=[one], StepConcurrencyLevel=2) == (
        "ValidationException",
        "Step 'x': ActionOnFailure is TERMINATE_CLUSTER, but with a StepConcurrencyLevel above 1 "
        "it can only be CONTINUE.",
    )
    assert refused(emr.modify_cluster, ClusterId=id_, StepConcurrencyLevel=300) == (
        "ValidationException",
        "StepConcurrencyLevel must be between 1 and 256, got 300.",
    )
    assert refused(cluster, emr=emr, AutoTerminationPolicy={"IdleTimeout": 5}) == (
        "ValidationException",
        "IdleTimeout must be between 60 and 604800, got 5.",
    )


def test_protection_policies_and_concurrency_can_be_changed(emr):
    id_ = cluster(emr)
    emr.set_termination_protection(JobFlowIds=[id_], TerminationProtected=True)
    emr.put_auto_termination_policy(ClusterId=id_, AutoTerminationPolicy={"IdleTimeout": 90})
    emr.modify_cluster(ClusterId=id_, StepConcurrencyLevel=3)

    found = emr.describe_cluster(ClusterId=id_)["Cluster"]
    policy = emr.get_auto_termination_policy(ClusterId=id_)["AutoTerminationPolicy"]

    assert (found["TerminationProtected"], found["StepConcurrencyLevel"]) == (True, 3)
    assert policy == {"IdleTimeout": 90}
    assert refused(emr.terminate_job_flows, JobFlowIds=[id_]) == (
        "ValidationException",
        "Could not shut down one or more job flows since they are termination protected.",
    )
    emr.set_termination_protection(JobFlowIds=[id_], TerminationProtected=False)
    emr.remove_auto_termination_policy(ClusterId=id_)
    assert emr.get_auto_termination_policy(ClusterId=id_)["AutoTerminationPolicy"] == {}
    emr.set_keep_job_flow_alive_when_no_steps(JobFlowIds=[id_], KeepJobFlowAliveWhenNoSteps=False)
    assert terminated(emr, id_)[0] == "TERMINATED"


def test_an_idle_cluster_ends_by_its_policy(tmp_path):
    site = Site(tmp_path, "http://127.0.0.1:1", None)
    instances = {"KeepJobFlowAliveWhenNoSteps": True}
    body = {"Instances": instances, "AutoTerminationPolicy": {"IdleTimeout": 0.1}}
    made = Cluster(site, body, id_="j-1", arn="arn", region="r")

    made.start([])

    wait_for("the cluster's end", lambda: made.state == "TERMINATED")
    site.stop()
    assert made.status()["StateChangeReason"] == {
        "Code": "ALL_STEPS_COMPLETED",
        "Message": "Auto-terminated after 0.1 s idle",
    }


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_no_process_outlives_a_plane(tmp_path, how):
    with Plane(tmp_path) as own:
        with own.as_environment():
            boto3.client("s3").create_bucket(Bucket="own")
            script = put("own", "stays.py", STAYS)
            cluster(boto3.client("emr"), [step(script, "own", "pids")])
            running = pids("own", "pids")
        if how == "killed":
            os.kill(own._process.pid, 9)

    wait_for("the processes' end", lambda: all(gone(pid) for pid in running[:2]))
    assert how == "killed" or gone(running[2])
    if not gone(running[2]):
        os.kill(running[2], 9)  # a killed plane cannot reach the children of its programs
