"""URIs and bytes on S3: whole or not at all, one winner, bounded retries, errors that say what to do."""

from __future__ import annotations

import copy
import io
import subprocess
import sys
import threading
import tracemalloc
from pathlib import Path

import pytest
from faultproxy import FOR_EVER, Rule

from penstock import aws, s3, s3upload, storage
from penstock.errors import MissingFileError, ServiceError

MIB = 1 << 20
object_of = s3.object_of  # the fixture takes the module's name


def keys(bucket: str) -> list[str]:
    """Return all keys of a bucket, hidden ones and folders too."""
    found = aws.call(bucket, "list_objects_v2", Bucket=bucket.removeprefix("s3://"))
    return [entry["Key"] for entry in found.get("Contents", ())]


def pattern(size: int) -> bytes:
    return bytes(range(251)) * (size // 251 + 1)


def caught(call, *arguments) -> ServiceError:
    with pytest.raises(ServiceError) as found:
        call(*arguments)
    return found.value


def test_bytes_come_back_and_replace_what_was_there(s3):
    storage.write_bytes(f"{s3}/a/b.bin", b"one")
    storage.write_bytes(f"{s3}/a/b.bin", b"two")

    assert storage.read_bytes(f"s3a{s3.removeprefix('s3')}/a/b.bin") == b"two"
    assert keys(s3) == ["a/b.bin"]


def test_create_does_not_replace(s3):
    made = [storage.create(f"{s3}/manifest", content) for content in (b"first", b"second")]

    assert made == [True, False]
    assert storage.read_bytes(f"{s3}/manifest") == b"first"


def test_of_many_creators_one_wins(s3):
    won = []
    start = threading.Barrier(8)

    def make(number):
        start.wait(timeout=30)
        if storage.create(f"{s3}/manifest", bytes([number]) * 50_000):
            won.append(number)

    makers = [threading.Thread(target=make, args=(number,)) for number in range(8)]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join(timeout=30)

    assert len(won) == 1
    assert storage.read_bytes(f"{s3}/manifest") == bytes(won) * 50_000


def test_a_creation_in_conflict_with_another_is_tried_again(s3, s3_faults):
    s3_faults.rules = [Rule(request="^PUT", status=409, code="ConditionalRequestConflict", first=2)]

    assert storage.create(f"{s3}/manifest", b"mine") is True
    assert len(s3_faults.log) == 3


def test_a_conflict_without_end_is_told(s3, s3_faults, monkeypatch):
    monkeypatch.setattr("penstock.s3.CONFLICT_PAUSE_S", 0)
    rule = Rule(request="^PUT", status=409, code="ConditionalRequestConflict", first=FOR_EVER)
    s3_faults.rules = [rule]

    error = caught(storage.create, f"{s3}/manifest", b"mine")

    assert (error.retryable, rule.seen) == (True, 8)
    assert str(error) == (
        f"'{s3}/manifest': PutObject was answered with 409 ConditionalRequestConflict: On purpose\n"
        "  run it again later"
    )


@pytest.mark.parametrize(("stood", "made"), [(None, True), (b"another's", False)])
def test_a_creation_whose_answer_was_lost_counts_as_ours_if_it_is(s3, s3_faults, stood, made):
    if stood:
        storage.write_bytes(f"{s3}/manifest", stood)
    s3_faults.rules = [Rule(request="^PUT", fault="lose")]

    assert storage.create(f"{s3}/manifest", b"mine") is made
    assert storage.read_bytes(f"{s3}/manifest") == (stood or b"mine")


def test_a_listing_is_sorted_paged_and_leaves_out_hidden_names(s3, monkeypatch):
    for name in ("b/2", "b/10", "B/1", "é", "z", "_SUCCESS", "b/_temporary/0", "a/.x", "a/"):
        storage.write_bytes(f"{s3}/x/{name}", name.encode())
    storage.write_bytes(f"{s3}/xy", b"a neighbour")
    monkeypatch.setattr("penstock.s3.PAGE_KEYS", 2)

    found = storage.glob_files(f"{s3}/x")

    assert [file.uri.removeprefix(f"{s3}/x/") for file in found] == ["B/1", "b/10", "b/2", "z", "é"]
    assert [file.size_bytes for file in found] == [3, 4, 3, 1, 2]
    assert all(file.mtime_ns > 1_600_000_000 * 10**9 for file in found)
    assert storage.glob_files(f"{s3}/x/") == found


def test_a_listing_of_an_object_is_that_object_and_of_nothing_is_empty(s3):
    storage.write_bytes(f"{s3}/x", b"12")
    storage.write_bytes(f"{s3}/x.y", b"1")

    assert [(file.uri, file.size_bytes) for file in storage.glob_files(f"{s3}/x")] == [
        (f"{s3}/x", 2)
    ]
    assert storage.glob_files(f"{s3}/none") == []


def test_an_object_exists_and_a_prefix_is_none(s3):
    storage.write_bytes(f"{s3}/a/x", b"1")

    assert [storage.exists(f"{s3}/{name}") for name in ("a/x", "a", "b")] == [True, False, False]


def test_deleting_twice_is_fine_and_leaves_no_folder(s3):
    storage.write_bytes(f"{s3}/a/x", b"1")

    storage.delete(f"{s3}/a/x")
    storage.delete(f"{s3}/a/x")

    assert keys(s3) == []


def test_a_prefix_is_emptied_page_by_page_and_its_neighbours_stay(s3, monkeypatch):
    for name in ("a/x", "a/b/y", "a/_hidden", "a/z", "ab/z"):
        storage.write_bytes(f"{s3}/{name}", b"1")
    unfinished(f"{s3}/a/big")
    monkeypatch.setattr("penstock.s3.PAGE_KEYS", 3)

    storage.delete_prefix(f"{s3}/a")
    storage.delete_prefix(f"{s3}/none")

    assert keys(s3) == ["ab/z"]
    assert storage.uploads(f"{s3}/a") == []


def unfinished(uri: str) -> None:
    """Leave an upload as a killed process does."""
    upload = s3upload.Upload(uri)
    upload.write(bytes(9 * MIB))
    for part in upload._parts:
        part.result(timeout=30)


@pytest.mark.parametrize("size", [0, 5, 8 * MIB - 1, 8 * MIB, 20 * MIB + 3])
def test_an_output_is_what_was_written_whatever_its_size(s3, size):
    content = pattern(size)[:size]

    with storage.open_output(f"{s3}/a/x.rec") as stream:
        for start in range(0, size, 3 * MIB):
            stream.write(memoryview(content)[start : start + 3 * MIB])

    assert storage.read_bytes(f"{s3}/a/x.rec") == content
    assert storage.uploads(s3) == []


def test_an_output_in_parts_is_one_upload(s3, s3_faults):
    with storage.open_output(f"{s3}/x") as stream:
        stream.write(bytes(20 * MIB))

    calls = sorted(line.partition(" ")[0] for line in s3_faults.log)
    assert calls == ["POST", "POST", "PUT", "PUT", "PUT"]


def test_an_output_takes_text_layers_too(s3):
    with storage.open_output(f"{s3}/x.csv") as stream, io.TextIOWrapper(stream, "utf-8") as text:
        text.write("größe\n")

    assert storage.read_bytes(f"{s3}/x.csv") == "größe\n".encode()


@pytest.mark.parametrize("opened", [storage.open_output, storage.open_new])
@pytest.mark.parametrize("size", [10, 20 * MIB])
def test_an_output_whose_block_fails_leaves_nothing(s3, opened, size):
    def write():
        with opened(f"{s3}/x") as stream:
            stream.write(bytes(size))
            raise RuntimeError("the source is gone")

    with pytest.raises(RuntimeError, match=r"^the source is gone$"):
        write()

    assert keys(s3) == []
    assert storage.uploads(s3) == []


def test_an_output_needs_little_memory(s3):
    piece = bytes(MIB)

    tracemalloc.start()
    with storage.open_output(f"{s3}/x") as stream:
        for _ in range(96):
            stream.write(piece)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert storage.glob_files(f"{s3}/x")[0].size_bytes == 96 * MIB
    assert peak < 40 * MIB


def test_a_new_output_does_not_replace(s3):
    with storage.open_new(f"{s3}/x") as stream:
        stream.write(b"first")

    with storage.open_new(f"{s3}/x") as second:
        assert second is None

    assert storage.read_bytes(f"{s3}/x") == b"first"


@pytest.mark.parametrize("size", [10, 20 * MIB])
@pytest.mark.parametrize("successor", [None, b"of another writer"])
def test_a_new_output_that_was_deleted_does_not_come_back(s3, size, successor):
    uri = f"{s3}/x"

    def write():
        with storage.open_new(uri) as stream:
            stream.write(bytes(size))
            storage.delete(uri)
            if successor:
                assert storage.create(uri, successor)

    error = caught(write)

    assert str(error) == (
        f"'{uri}': it was deleted while it was written\n"
        "  let one run at a time write there, then run it again"
    )
    assert keys(s3) == (["x"] if successor else [])
    assert storage.uploads(s3) == []
    assert not successor or storage.read_bytes(uri) == successor


@pytest.mark.parametrize(("size", "last"), [(10, "^PUT"), (20 * MIB, "^POST.*uploadId")])
def test_a_new_output_whose_last_answer_was_lost_is_there(s3, s3_faults, size, last):
    with storage.open_new(f"{s3}/x") as stream:
        s3_faults.rules = [Rule(request=last, fault="lose")]
        stream.write(pattern(size)[:size])

    assert s3_faults.rules[0].seen == 1
    assert storage.read_bytes(f"{s3}/x") == pattern(size)[:size]


def test_a_busy_or_broken_connection_changes_nothing(s3, s3_faults):
    content = pattern(20 * MIB)
    s3_faults.rules = [
        Rule(request="^POST.*uploads"),
        Rule(request="partNumber=1", fault="cut"),
        Rule(request="partNumber=2"),
        Rule(request="partNumber=3", fault="lose"),
        Rule(request="^GET", fault="tear", first=2),
        Rule(request=".", fault="wait", delay_s=0.05, first=FOR_EVER),
    ]

    with storage.open_output(f"{s3}/x") as stream:
        stream.write(content)

    assert storage.read_bytes(f"{s3}/x") == content
    assert [rule.seen for rule in s3_faults.rules[:5]] == [1, 1, 1, 1, 2]


def test_an_upload_that_is_always_cut_leaves_nothing_that_is_listed(s3, s3_faults):
    s3_faults.rules = [Rule(request="partNumber=2", fault="cut", first=FOR_EVER)]

    def write():
        with storage.open_output(f"{s3}/x") as stream:
            stream.write(bytes(20 * MIB))

    error = caught(write)

    assert error.retryable
    text, remedy = str(error).split("\n")
    assert text.startswith(f"'{s3}/x': no answer to upload_part: ")
    assert remedy == "  check the network and the endpoint, then run it again"
    assert keys(s3) == []
    assert storage.uploads(s3) == []


def test_a_download_that_always_breaks_is_told(s3, s3_faults):
    storage.write_bytes(f"{s3}/x", bytes(1000))
    s3_faults.rules = [
        Rule(request="^GET", fault="tear"),
        Rule(request="^GET", fault="tear", first=FOR_EVER),
    ]

    def read():
        with storage.open_input(f"{s3}/x") as stream:
            while stream.read1(100):
                s3_faults.rules[1].fault = "cut"

    error = caught(read)

    assert error.retryable
    assert str(error).startswith(f"'{s3}/x': no answer to get_object: ")


def test_an_object_that_is_replaced_while_it_is_read_is_no_mixture(s3, s3_faults):
    storage.write_bytes(f"{s3}/x", bytes(4 * MIB))
    s3_faults.rules = [Rule(request="^GET", fault="tear")]

    def read():
        with storage.open_input(f"{s3}/x") as stream:
            stream.read(10)
            storage.write_bytes(f"{s3}/x", bytes(4 * MIB - 1))
            stream.read()

    error = caught(read)

    assert str(error) == (
        f"'{s3}/x': it was replaced or deleted while it was read, at byte 2,097,152 of 4,194,304\n"
        "  let nothing write there, then run it again"
    )


def test_a_service_that_is_busy_for_ever_is_told_in_bounded_time(s3, s3_faults):
    s3_faults.rules = [Rule(request=".", first=FOR_EVER)]

    error = caught(storage.write_bytes, f"{s3}/x", b"1")

    assert (error.exit_code, error.retryable, len(s3_faults.log)) == (4, True, 2)
    assert str(error) == (
        f"'{s3}/x': PutObject was answered with 503 SlowDown, 2 times: On purpose\n"
        "  run it again later"
    )
    assert copy.copy(error).retryable  # as when it travels from a Spark task to the driver


def test_a_missing_object_is_named(s3):
    with pytest.raises(MissingFileError) as found:
        storage.read_bytes(f"{s3}/none")

    assert str(found.value) == (
        f"read: nothing found at '{s3}/none'\n  check the path, or run the stage before"
    )


def test_a_missing_bucket_is_named(s3):
    error = caught(storage.write_bytes, f"{s3}-none/x", b"1")

    assert not error.retryable
    assert str(error) == (
        f"'{s3}-none/x': PutObject was answered with 404 NoSuchBucket: The specified bucket does not "
        "exist\n  make the bucket, or correct the URI"
    )


def test_what_policies_forbid_is_told(s3, s3_faults):
    s3_faults.rules = [Rule(request="^HEAD", status=403)]

    error = caught(storage.exists, f"{s3}/x")

    assert not error.retryable
    assert str(error) == (
        f"'{s3}/x': HeadObject was answered with 403: Forbidden\n"
        "  check the credentials in the environment and the policies of bucket and key"
    )


def test_no_service_is_told(s3, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")

    error = caught(storage.exists, f"{s3}/x")

    assert error.retryable
    assert str(error) == (
        f"'{s3}/x': no answer to head_object: Could not connect to the endpoint URL: "
        f'"http://127.0.0.1:1/{s3.removeprefix("s3://")}/x"\n'
        "  check the network and the endpoint, then run it again"
    )


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("AWS_PROFILE", "nobody", "The config profile (nobody) could not be found"),
        ("AWS_ENDPOINT_URL", "127.0.0.1:9", "Invalid endpoint: 127.0.0.1:9"),
    ],
)
def test_settings_that_cannot_be_are_told(s3, monkeypatch, name, value, problem):
    monkeypatch.setenv(name, value)

    error = caught(storage.exists, f"{s3}/x")

    assert str(error) == (
        f"AWS s3 cannot be asked: {problem}\n"
        "  check the AWS settings and credentials in the environment"
    )


def test_missing_credentials_are_told(s3, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")

    error = caught(storage.write_bytes, f"{s3}/x", b"1")

    assert not error.retryable
    assert str(error) == (
        f"'{s3}/x': put_object was not sent: Unable to locate credentials\n"
        "  check the AWS settings and credentials in the environment"
    )


def test_a_kms_key_is_used_when_named(s3, monkeypatch):
    monkeypatch.setenv("PENSTOCK_S3_KMS_KEY_ID", "alias/lake")

    storage.create(f"{s3}/small", b"1")
    with storage.open_output(f"{s3}/large") as stream:
        stream.write(bytes(9 * MIB))

    for name in ("small", "large"):
        found = aws.call(s3, "head_object", **object_of(f"{s3}/{name}"))
        assert (found["ServerSideEncryption"], found["SSEKMSKeyId"]) == ("aws:kms", "alias/lake")


def test_pyarrow_and_boto3_go_to_the_same_place(s3, s3_endpoint, tmp_path, monkeypatch):
    config = tmp_path / "config"
    config.write_text(f"[profile lake]\nregion = eu-north-1\nendpoint_url = {s3_endpoint}\n")
    for name in ("AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_PROFILE", "lake")

    storage.write_bytes(f"{s3}/a/x", b"here")
    system, path = storage.filesystem(f"{s3}/a/x")

    assert aws.s3_settings() == aws.Settings(region="eu-north-1", endpoint=s3_endpoint)
    assert (system.region, path) == ("eu-north-1", f"{s3.removeprefix('s3://')}/a/x")
    with system.open_input_stream(path) as stream:
        assert stream.read() == b"here"


def test_the_endpoint_of_s3_goes_before_the_general_one(s3, s3_endpoint, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3_endpoint)
    monkeypatch.setenv("AWS_REGION", "eu-south-1")

    storage.write_bytes(f"{s3}/x", b"here")

    assert aws.s3_settings() == aws.Settings(region="eu-south-1", endpoint=s3_endpoint)
    system, path = storage.filesystem(f"{s3}/x")
    with system.open_input_stream(path) as stream:
        assert stream.read() == b"here"


@pytest.mark.parametrize(
    ("endpoint", "place"),
    [
        ("http://minio.lake:9000", "http://minio.lake:9000/lake/x?"),
        (None, "https://lake.s3.amazonaws.com/x?"),
    ],
)
def test_a_stand_in_for_s3_is_asked_by_path(s3, monkeypatch, endpoint, place):
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    if endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)

    url = aws.client("s3").generate_presigned_url("get_object", {"Bucket": "lake", "Key": "x"})

    assert url.startswith(place)


def test_s3_itself_has_no_endpoint_of_ours(monkeypatch, s3):
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")

    assert aws.s3_settings() == aws.Settings(region="eu-west-1", endpoint=None)


def test_clients_are_made_once_for_each_setting(s3, monkeypatch):
    first = aws.client("s3"), storage.filesystem(s3)[0]
    again = aws.client("s3"), storage.filesystem(s3)[0]
    monkeypatch.setenv("AWS_REGION", "eu-west-3")
    other = aws.client("s3"), storage.filesystem(s3)[0]

    assert first[0] is again[0]
    assert first[1] is again[1]
    assert other[0] is not first[0]
    assert other[1].region == "eu-west-3"


def test_boto3_is_not_imported_before_it_is_needed(tmp_path):
    code = (
        "import sys\n"
        "from penstock import aws, dataset, storage\n"
        f"storage.write_bytes({str(tmp_path / 'x')!r}, b'1')\n"
        "print([name for name in ('boto3', 'botocore', 'pyarrow') if name in sys.modules])\n"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert shown.stdout == "[]\n"


def files_of_penstock_with(*texts):
    return {
        str(path)
        for path in Path("penstock").rglob("*.py")
        if any(text in path.read_text() for text in texts)
    }


def test_only_aws_imports_boto3_and_only_the_local_plane_reads_botocore_s_models():
    aws = str(Path("penstock", "aws.py"))
    plane = {str(Path("penstock", "local", name)) for name in ("operations.py", "wire.py")}

    assert files_of_penstock_with("import boto3", "from botocore.config") == {aws}
    assert files_of_penstock_with("from botocore", "import botocore") == {aws, *plane}
