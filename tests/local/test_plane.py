"""The plane itself: how it starts and ends, what it refuses, what it keeps, what it leaves behind."""

from __future__ import annotations

import io
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
import urllib.error
import urllib.request
from pathlib import Path

import boto3  # type: ignore[import-untyped]  # noqa: TID251  the unmodified client
import pytest
from botocore.exceptions import ClientError  # type: ignore[import-untyped]

from penstock.errors import InputError, ServiceError
from penstock.local import Plane
from penstock.local.doc import markdown
from penstock.local.front import Front
from penstock.local.services import services
from penstock.local.site import Moto, Site
from penstock.local.wire import AwsError, Call

ROLE = "arn:aws:iam::123456789012:role/r"
IMAGE = "382416733822.dkr.ecr.us-east-1.amazonaws.com/linear-learner:1"


def gone(pid):
    """Whether a process has ended, a zombie included."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state == "Z"


def await_(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)


def test_clients_find_it_by_their_environment_and_nothing_listens_afterwards(monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "mine")
    with Plane() as made:
        with made.as_environment("eu-west-1"):
            client = boto3.client("s3")
            client.create_bucket(
                Bucket="lake", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
            )
            assert [each["Name"] for each in client.list_buckets()["Buckets"]] == ["lake"]
        assert os.environ["AWS_PROFILE"] == "mine"
        host, port = made.endpoint.removeprefix("http://").split(":")
        folder = made.folder

    assert host == "127.0.0.1"
    assert not folder.exists()
    with socket.socket() as probe:
        assert probe.connect_ex((host, int(port))) != 0


def test_a_plane_ends_with_the_process_that_started_it(tmp_path):
    program = """
    import sys, time
    from penstock.local import Plane
    plane = Plane(sys.argv[1]).start()
    print(plane._process.pid, flush=True)
    time.sleep(600)
    """
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), str(tmp_path)], stdout=subprocess.PIPE
    )
    assert parent.stdout is not None
    with parent.stdout:
        pid = int(parent.stdout.readline())
        assert not gone(pid)

        parent.send_signal(signal.SIGKILL)
        parent.wait()

        await_(lambda: gone(pid))


def test_a_port_that_is_taken_is_told_with_what_the_plane_printed(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        with pytest.raises(ServiceError) as caught:
            Plane(tmp_path, port=port).start()

    told = str(caught.value)
    assert told.startswith("local plane: it did not start within 30 s\n")
    assert f"Port {port} is in use" in told or "Address already in use" in told
    assert told.endswith(
        "\n  is the port free, and the extra installed: pip install 'penstock[local]'?"
    )


def test_to_keep_needs_a_folder():
    with pytest.raises(InputError) as caught:
        Plane(keep=True)

    assert str(caught.value) == (
        "local plane: keep needs a folder\n  say where: Plane('DIR', keep=True)"
    )


def test_what_is_kept_is_there_the_next_time(tmp_path):
    with Plane(tmp_path, keep=True) as made, made.as_environment():
        s3, glue = boto3.client("s3"), boto3.client("glue")
        s3.create_bucket(Bucket="lake")
        s3.create_bucket(Bucket="empty")
        s3.put_object(
            Bucket="lake", Key="a/ü b", Body=b"x" * 100, ContentType="text/x", Metadata={"q": "1"}
        )
        glue.create_database(DatabaseInput={"Name": "d", "Description": "words"})
        storage = {"Columns": [{"Name": "a", "Type": "int"}], "Location": "s3://lake/a"}
        glue.create_table(
            DatabaseName="d",
            TableInput={
                "Name": "t",
                "Parameters": {"classification": "csv"},
                "PartitionKeys": [{"Name": "m", "Type": "string"}],
                "StorageDescriptor": storage,
            },
        )
        for first in (0, 100):
            values = [{"Values": [str(n)]} for n in range(first, first + 100)]
            glue.batch_create_partition(DatabaseName="d", TableName="t", PartitionInputList=values)
        boto3.client("sagemaker").create_model(
            ModelName="m", ExecutionRoleArn=ROLE, PrimaryContainer={"Image": IMAGE}
        )

    for _ in range(2):  # kept is kept again
        with Plane(tmp_path, keep=True) as made, made.as_environment():
            s3, glue = boto3.client("s3"), boto3.client("glue")
            found = s3.get_object(Bucket="lake", Key="a/ü b")
            pages = glue.get_paginator("get_partitions").paginate(DatabaseName="d", TableName="t")
            table = glue.get_table(DatabaseName="d", Name="t")["Table"]
            model = boto3.client("sagemaker").describe_model(ModelName="m")

            assert (found["Body"].read(), found["ContentType"]) == (b"x" * 100, "text/x")
            assert found["Metadata"] == {"q": "1"}
            assert {each["Name"] for each in s3.list_buckets()["Buckets"]} == {"lake", "empty"}
            assert len([each for page in pages for each in page["Partitions"]]) == 200
            assert table["StorageDescriptor"]["Columns"] == storage["Columns"]
            assert table["Parameters"]["classification"] == "csv"
            assert model["PrimaryContainer"]["Image"] == IMAGE


@pytest.mark.usefixtures("plane")
def test_what_neither_it_nor_moto_does_is_refused_in_words():
    with pytest.raises(ClientError) as caught:
        boto3.client("glue").get_column_statistics_task_runs(DatabaseName="d", TableName="t")

    error = caught.value.response["Error"]
    assert error == {
        "Code": "NotSupportedByLocalPlane",
        "Message": "glue.GetColumnStatisticsTaskRuns is not in the local plane: it would need AWS itself\n"
        "  docs/local-plane.md lists what is real, what is recorded only and what is refused",
    }


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"X-Amz-Target": "AWSGlue.StartCrawler"}, b"{", 400),
        ({"X-Amz-Target": "AWSGlue.StartCrawler"}, b"[1]", 400),
        ({"X-Amz-Target": "AWSGlue"}, b"{}", 501),
        ({"X-Amz-Target": "AWSGlue.Nonsense"}, b"{}", 501),
    ],
)
def test_garbage_gets_an_answer(plane, headers, body, status):
    scope = "Credential=local/20260101/us-east-1/glue/aws4_request"
    request = urllib.request.Request(
        plane.endpoint,
        body,
        {"Authorization": f"AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=0", **headers},
    )

    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=30)

    with caught.value:
        assert caught.value.code == status
    boto3.client("s3").list_buckets()  # it still answers


def test_a_bug_of_ours_is_a_500_without_its_cause(capsys):
    class Broken:
        name = "glue"

        def operations(self):
            return {"StartCrawler": self.start}

        def start(self, call: Call):
            raise RuntimeError(f"secret of {call.operation}")

        def stop(self):
            """End nothing."""

    answers = []
    environ = {
        "REQUEST_METHOD": "POST",
        "HTTP_X_AMZ_TARGET": "AWSGlue.StartCrawler",
        "wsgi.input": io.BytesIO(b"{}"),
        "CONTENT_LENGTH": "2",
    }

    body = Front(None, [Broken()], set())(environ, lambda *given: answers.append(given))

    assert answers[0][0] == "500 Error"
    assert b"secret" not in b"".join(body)
    assert "secret of StartCrawler" in capsys.readouterr().err


def test_work_folders_are_named_never_paths(tmp_path):
    site = Site(tmp_path, "", Moto(None))

    for part in ("..", "a/b", "", "."):
        with pytest.raises(ValueError, match="is no name"):
            site.workdir("jobs", part)


@pytest.mark.usefixtures("plane")
def test_moto_is_asked_in_the_same_process_and_its_refusals_are_errors(plane):
    glue = boto3.client("glue")
    with pytest.raises(ClientError) as caught:
        glue.get_table(DatabaseName="nowhere", Name="t")
    assert caught.value.response["Error"]["Code"] == "EntityNotFoundException"
    assert issubclass(AwsError, Exception)


def test_the_page_of_operations_is_current():
    page = Path(__file__).parents[2] / "docs" / "local-plane.md"

    assert page.read_text() == markdown(services(Site(Path(), "", Moto(None)))), (
        "run: penstock local operations --markdown > docs/local-plane.md"
    )


def test_a_command_runs_with_a_plane_of_its_own_and_gives_its_exit_code(tmp_path):
    program = (
        "import boto3; boto3.client('s3').create_bucket(Bucket='lake'); print('made'); exit(7)"
    )
    command = [sys.executable, "-m", "penstock", "local", "run", "--folder", str(tmp_path), "--"]

    ended = subprocess.run(
        [*command, sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    missing = subprocess.run([*command, "nosuch"], capture_output=True, text=True, check=False)

    assert (ended.returncode, ended.stdout, ended.stderr) == (7, "made\n", "")
    assert missing.returncode == 2
    assert missing.stderr == (
        "error: local plane: 'nosuch' does not start: No such file or directory\n"
        "  put the command after --, as a shell would find it\n"
    )


def test_up_prints_what_a_shell_exports_and_ends_with_ctrl_c(tmp_path):
    command = [sys.executable, "-m", "penstock", "local", "up", "--folder", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(8)]

    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)

    assert lines[0].startswith("# local plane at http://127.0.0.1:")
    exported = dict(line.removeprefix("export ").strip().split("=", 1) for line in lines[1:])
    assert exported["AWS_ENDPOINT_URL"] == lines[0].split()[4].rstrip(";")
    assert (process.returncode, told) == (0, "stopping\n")
