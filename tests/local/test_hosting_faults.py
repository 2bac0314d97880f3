"""Lives of endpoints, and what goes wrong in them, with a server that does as it is told."""

from __future__ import annotations

import contextlib
import threading
import time
from pathlib import Path

import pytest
from botocore.exceptions import ClientError  # type: ignore[import-untyped]
from local.hosting import ECHO, ROLE, Hosts, client, echo_plane, kill, processes, until

from penstock.local.hosting.client import Broken, TimedOut, Unreachable, ask, free_port

CUSTOM = "X-Amzn-SageMaker-Custom-Attributes"


@pytest.fixture(scope="module")
def plane(tmp_path_factory):
    with echo_plane(tmp_path_factory.mktemp("hosting") / "plane") as found:
        yield found


@pytest.fixture(scope="module")
def hosts(plane):
    found = Hosts(plane)
    yield found
    found.close()


def servers(hosts, name):
    """Processes of a model's container."""
    return [
        each for each in processes(f"NAME={name} ") if each in processes(str(hosts.plane.folder))
    ]


def test_an_endpoint_comes_up_answers_and_goes(hosts):
    hosts.echo("simple")

    hosts.create("simple", {"ModelName": "simple", "VariantName": "AllTraffic"})
    begun = hosts.status("simple")
    with pytest.raises(ClientError) as early:
        hosts.ask("simple", b"x")
    hosts.wait("simple")
    found = hosts.ask("simple", b"abc", "text/x", CustomAttributes="trace=1", Accept="a/b")
    told = hosts.ask("simple", b"headers", Accept="a/b")["Body"].decode()
    names = hosts.ask("simple", b"environment")["Body"].decode().splitlines()
    before = servers(hosts, "simple")
    hosts.sagemaker.delete_endpoint(EndpointName="simple")
    hosts.endpoints.remove("simple")
    hosts.wait("simple", "endpoint_deleted")

    assert begun == "Creating"
    assert early.value.response["Error"] == {
        "Code": "ValidationError",
        "Message": "Endpoint simple of account 123456789012 not found.\n  it is Creating",
    }
    assert found["Body"] == b"simple abc"
    assert (found["ContentType"], found["InvokedProductionVariant"]) == ("text/x", "AllTraffic")
    assert found["CustomAttributes"] == "trace=1 seen"
    assert {line.split("=")[0].lower() for line in told.splitlines()} == {
        "host", "accept-encoding", "content-length", "content-type", "accept",
    }  # fmt: skip
    assert f"AWS_ENDPOINT_URL={hosts.plane.endpoint}" in names
    assert not any(name.startswith("SAGEMAKER_BATCH") for name in names)
    assert len(before) == 1
    assert not servers(hosts, "simple")
    assert not list((hosts.plane.folder / "endpoints").glob("*-simple-*"))


def test_what_is_listed_is_true(hosts):
    hosts.echo("listed")
    hosts.serving("listed", {"ModelName": "listed", "InitialInstanceCount": 2})

    found = hosts.sagemaker.describe_endpoint(EndpointName="listed")
    summaries = hosts.sagemaker.list_endpoints(NameContains="listed", StatusEquals="InService")
    config = hosts.sagemaker.describe_endpoint_config(EndpointConfigName="listed")

    assert [each["EndpointName"] for each in summaries["Endpoints"]] == ["listed"]
    (variant,) = found["ProductionVariants"]
    assert variant["DeployedImages"][0]["SpecifiedImage"].endswith("/echo:1")
    assert {k: v for k, v in variant.items() if k != "DeployedImages"} == {
        "VariantName": "listed",
        "CurrentWeight": 1.0,
        "DesiredWeight": 1.0,
        "CurrentInstanceCount": 2,
        "DesiredInstanceCount": 2,
    }
    assert "FailureReason" not in found
    assert config["ProductionVariants"][0]["InstanceType"] == "ml.m5.large"
    with pytest.raises(ClientError) as caught:
        hosts.sagemaker.create_endpoint(EndpointName="listed", EndpointConfigName="listed")
    assert caught.value.response["Error"] == {
        "Code": "ValidationException",
        "Message": 'Cannot create already existing endpoint "arn:aws:sagemaker:us-east-1:123456789012:'
        'endpoint/listed".',
    }


def test_an_update_loses_no_request(hosts):
    hosts.echo("old")
    hosts.echo("new")
    hosts.serving("updated", {"ModelName": "old"})
    hosts.config("next", {"ModelName": "new"})
    answers, done = [], threading.Event()

    def keep_asking():
        while not done.is_set():
            answers.append(hosts.ask("updated", b"x")["Body"])

    asking = [threading.Thread(target=keep_asking) for _ in range(3)]
    for each in asking:
        each.start()
    hosts.sagemaker.update_endpoint(EndpointName="updated", EndpointConfigName="next")
    begun = hosts.status("updated")
    with pytest.raises(ClientError) as twice:
        hosts.sagemaker.update_endpoint(EndpointName="updated", EndpointConfigName="next")
    hosts.wait("updated")
    until(lambda: answers[-1] == b"new x", "no answer of the new variant")
    done.set()
    for each in asking:
        each.join()

    found = hosts.sagemaker.describe_endpoint(EndpointName="updated")
    assert begun == "Updating"
    assert set(answers) == {b"old x", b"new x"}
    assert (found["EndpointConfigName"], found["ProductionVariants"][0]["VariantName"]) == (
        "next",
        "new",
    )
    assert not servers(hosts, "old")
    assert twice.value.response["Error"] == {
        "Code": "ValidationException",
        "Message": 'Cannot update in-progress endpoint "arn:aws:sagemaker:us-east-1:123456789012:'
        'endpoint/updated".',
    }


def test_an_update_that_fails_leaves_the_old_variants(hosts):
    hosts.echo("good")
    hosts.echo("bad", MODE="exits")
    hosts.serving("kept", {"ModelName": "good"})
    hosts.config("worse", {"ModelName": "bad"})

    hosts.sagemaker.update_endpoint(EndpointName="kept", EndpointConfigName="worse")
    hosts.wait("kept")

    found = hosts.sagemaker.describe_endpoint(EndpointName="kept")
    assert hosts.ask("kept", b"x")["Body"] == b"good x"
    assert found["EndpointConfigName"] == "kept"
    assert found["FailureReason"].startswith(
        "The primary container for production variant bad did not pass the ping health check."
    )


def test_weights_change_without_new_servers(hosts):
    hosts.echo("left")
    hosts.echo("right")
    hosts.serving("weighed", {"ModelName": "left"}, {"ModelName": "right"})
    before = servers(hosts, "left") + servers(hosts, "right")
    wanted = [
        {"VariantName": "left", "DesiredWeight": 0},
        {"VariantName": "right", "DesiredWeight": 2.5, "DesiredInstanceCount": 3},
    ]

    hosts.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName="weighed", DesiredWeightsAndCapacities=wanted
    )
    hosts.wait("weighed")

    assert {hosts.ask("weighed", b"x")["InvokedProductionVariant"] for _ in range(20)} == {"right"}
    # Who is named gets the request whatever its weight.
    assert hosts.ask("weighed", b"x", TargetVariant="left")["Body"] == b"left x"
    assert servers(hosts, "left") + servers(hosts, "right") == before
    variants = hosts.sagemaker.describe_endpoint(EndpointName="weighed")["ProductionVariants"]
    assert [(each["CurrentWeight"], each["CurrentInstanceCount"]) for each in variants] == [
        (0.0, 1),
        (2.5, 3),
    ]
    with pytest.raises(ClientError) as caught:
        hosts.ask("weighed", b"x", TargetVariant="middle")
    assert caught.value.response["Error"]["Message"] == (
        "Variant middle of endpoint weighed not found, it has left, right."
    )


def test_an_update_keeps_what_it_is_asked_to_keep(hosts):
    hosts.echo("keeping")
    variants = [{"ModelName": "keeping", "VariantName": name} for name in ("a", "b")]
    hosts.serving("keeping", *variants)
    hosts.config("keeping-2", *({**each, "InitialVariantWeight": 7} for each in variants))
    hosts.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName="keeping",
        DesiredWeightsAndCapacities=[
            {"VariantName": "a", "DesiredWeight": 3, "DesiredInstanceCount": 4}
        ],
    )
    hosts.wait("keeping")

    hosts.sagemaker.update_endpoint(
        EndpointName="keeping",
        EndpointConfigName="keeping-2",
        RetainAllVariantProperties=True,
        ExcludeRetainedVariantProperties=[{"VariantPropertyType": "DesiredWeight"}],
    )
    hosts.wait("keeping")

    found = hosts.sagemaker.describe_endpoint(EndpointName="keeping")["ProductionVariants"]
    assert [(each["CurrentWeight"], each["CurrentInstanceCount"]) for each in found] == [
        (7.0, 4),
        (7.0, 1),
    ]


def test_an_isolated_model_knows_no_credentials(hosts):
    hosts.sagemaker.create_model(
        ModelName="isolated",
        ExecutionRoleArn=ROLE,
        PrimaryContainer={"Image": ECHO},
        EnableNetworkIsolation=True,
    )
    hosts.serving("isolated", {"ModelName": "isolated"})

    told = hosts.ask("isolated", b"environment")["Body"].decode().splitlines()

    assert [line for line in told if line.startswith("AWS_")] == ["AWS_REGION=us-east-1"]
    assert hosts.sagemaker.describe_model(ModelName="isolated")["EnableNetworkIsolation"]


def test_a_program_that_ends_at_once_fails_the_endpoint(hosts):
    hosts.echo("ending", MODE="exits")

    hosts.create("ending", {"ModelName": "ending", "VariantName": "v"})
    until(lambda: hosts.status("ending") == "Failed", "the endpoint does not fail")

    found = hosts.sagemaker.describe_endpoint(EndpointName="ending")
    assert found["FailureReason"] == (
        "The primary container for production variant v did not pass the ping health check. Please "
        "check CloudWatch logs for this endpoint.\nIt ended with exit code 3. Its last lines:\n"
        "starting ending \nno licence found"
    )
    assert not servers(hosts, "ending")


def test_a_server_that_is_never_healthy_fails_the_endpoint(hosts):
    hosts.echo("deaf", MODE="deaf")
    short = {"ContainerStartupHealthCheckTimeoutInSeconds": 1}

    hosts.create("deaf", {"ModelName": "deaf", **short})
    until(lambda: hosts.status("deaf") == "Failed", "the endpoint does not fail")

    reason = hosts.sagemaker.describe_endpoint(EndpointName="deaf")["FailureReason"]
    assert reason.startswith(
        "The primary container for production variant deaf did not pass the ping health check. Please "
        "check CloudWatch logs for this endpoint. Its last lines:\n"
    )
    assert not servers(hosts, "deaf")


def test_a_model_that_is_no_archive_fails_the_endpoint(hosts, plane):
    s3 = client(plane, "s3")
    s3.create_bucket(Bucket="broken-models")
    s3.put_object(Bucket="broken-models", Key="model.tar.gz", Body=b"no archive")
    uri = "s3://broken-models/model.tar.gz"
    image = "123456789012.dkr.ecr.us-east-1.amazonaws.com/echo:1"
    hosts.model("broken", {"Image": image, "ModelDataUrl": uri})

    hosts.create("broken", {"ModelName": "broken"})
    until(lambda: hosts.status("broken") == "Failed", "the endpoint does not fail")

    reason = hosts.sagemaker.describe_endpoint(EndpointName="broken")["FailureReason"]
    assert reason.splitlines()[0] == (
        f'Failed to extract model data archive for container "primary" from URL: "{uri}". Please ensure '
        "that the object located at the URL is a valid tar.gz archive."
    )


def test_a_killed_server_is_started_again(hosts):
    hosts.echo("mortal")
    hosts.serving("mortal", {"ModelName": "mortal"})
    (first,) = servers(hosts, "mortal")

    kill(first)
    until(lambda: servers(hosts, "mortal") != [first], "the server is not gone")

    until(lambda: _asked(hosts, "mortal", b"x") == b"mortal x", "the server does not come back")
    (second,) = servers(hosts, "mortal")
    assert second != first
    assert hosts.status("mortal") == "InService"


def test_a_server_that_cannot_come_back_fails_the_endpoint(hosts, tmp_path):
    licence = tmp_path / "licence"
    licence.touch()
    hosts.echo("expired", LICENCE=str(licence))
    hosts.serving("expired", {"ModelName": "expired"})

    licence.unlink()
    kill(*servers(hosts, "expired"))
    until(lambda: hosts.status("expired") == "Failed", "the endpoint does not fail")

    found = hosts.sagemaker.describe_endpoint(EndpointName="expired")
    assert found["FailureReason"].endswith(
        "It ended with exit code 3. Its last lines:\nstarting expired \nno licence found"
    )
    with pytest.raises(ClientError) as caught:
        hosts.ask("expired", b"x")
    assert caught.value.response["Error"] == {
        "Code": "ServiceUnavailable",
        "Message": "Variant expired of endpoint expired cannot be reached: the container is not running",
    }


def test_a_request_that_kills_its_server_is_an_error_of_the_model(hosts):
    hosts.echo("fragile")
    hosts.serving("fragile", {"ModelName": "fragile"})

    with pytest.raises(hosts.runtime.exceptions.ModelError) as caught:
        hosts.ask("fragile", b"die")
    until(lambda: _asked(hosts, "fragile", b"x"), "the server does not come back")
    with pytest.raises(hosts.runtime.exceptions.ModelError) as failed:
        hosts.ask("fragile", b"fail")

    assert caught.value.response["OriginalStatusCode"] == 0
    assert caught.value.response["OriginalMessage"].startswith(
        "The container ended, or broke the connection, while it was asked: "
    )
    assert failed.value.response["Error"]["Message"] == (
        'Received server error (500) from primary with message "broken inside". See log group '
        "/aws/sagemaker/Endpoints/fragile in account 123456789012 for more information."
    )


def _asked(hosts, name, body):
    """Ask; None while the server is away."""
    with contextlib.suppress(ClientError):
        return hosts.ask(name, body)["Body"]
    return None


def test_a_failed_endpoint_can_be_deleted_only(hosts):
    hosts.echo("lost", MODE="exits")
    hosts.create("lost", {"ModelName": "lost"})
    until(lambda: hosts.status("lost") == "Failed", "the endpoint does not fail")

    with pytest.raises(ClientError) as caught:
        hosts.sagemaker.update_endpoint(EndpointName="lost", EndpointConfigName="lost")
    hosts.sagemaker.delete_endpoint(EndpointName="lost")
    hosts.endpoints.remove("lost")
    hosts.wait("lost", "endpoint_deleted")

    assert caught.value.response["Error"]["Message"] == (
        'Cannot update failed endpoint "arn:aws:sagemaker:us-east-1:123456789012:endpoint/lost": delete '
        "it and create it again."
    )


@pytest.mark.parametrize("killed", [False, True])
def test_a_stopped_plane_leaves_no_server(tmp_path, killed):
    with echo_plane(tmp_path / "plane") as plane:
        hosts = Hosts(plane)
        hosts.echo("orphan")
        hosts.echo("unborn", MODE="deaf")
        hosts.serving("orphan", {"ModelName": "orphan"})
        hosts.create("unborn", {"ModelName": "unborn"})
        until(lambda: servers(hosts, "unborn"), "no server starts")
        before = servers(hosts, "orphan")
        if killed:
            kill(*(each for each in processes("") if _is_plane(each, plane.folder)))
        begun = time.monotonic()
    took = time.monotonic() - begun

    assert len(before) == 1
    until(lambda: not processes(str(plane.folder)), "a server is left")
    assert took < 10


def _is_plane(process, folder):
    """Whether a process is the plane of a folder: it has it as an argument."""
    try:
        arguments = Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return b"penstock.local.server" in arguments and str(folder).encode() in arguments


def test_a_server_is_given_its_time_and_no_more():
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(TimedOut) as late:
            ask(port, "GET", "/ping", timeout_s=0.05)
        connection, _ = listener.accept()
        connection.close()

        def cut():
            link, _ = listener.accept()
            link.recv(10)
            link.close()

        cutting = threading.Thread(target=cut)
        cutting.start()
        with pytest.raises(Broken):
            ask(port, "GET", "/ping", timeout_s=10)
        cutting.join()
    with pytest.raises(Unreachable):
        ask(free_port(), "GET", "/ping", timeout_s=1)

    assert str(late.value) == "no answer within 0.05 s"
