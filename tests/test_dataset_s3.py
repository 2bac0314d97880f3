"""Datasets on S3: as on a local disk, and what only S3 has."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import xxhash
from shardmakers import COMMON, LARGE_ROWS, batches, commit, content, listed_bytes, run, write

from penstock import aws, dataset, recordio, storage
from penstock.errors import DataError, InputError


@pytest.fixture
def prefix(s3):
    return f"{s3}/datasets/flights/0123/train/"


def all_keys(bucket: str) -> list[str]:
    found = aws.call(bucket, "list_objects_v2", Bucket=bucket.removeprefix("s3://"))
    return [entry["Key"] for entry in found.get("Contents", ())]


def test_a_dataset_comes_back_as_it_was_committed(s3, prefix):
    made = commit(prefix, write(prefix))

    found = dataset.open_dataset(prefix)

    assert found == made
    assert found.uri == prefix
    assert found.shard_uris() == tuple(f"{prefix}part-0000{part}-0.rec" for part in range(3))
    dataset.verify(found)
    read = [records for uri in found.shard_uris() for records in recordio.read(uri)]
    given = [batch for part in range(3) for batch in batches(part)]
    assert np.array_equal(
        np.concatenate([each.features for each in read]), np.concatenate([f for f, _ in given])
    )
    assert np.array_equal(
        np.concatenate([each.labels for each in read]), np.concatenate([y for _, y in given])
    )


def test_the_objects_of_a_dataset_are_these_and_no_folder_is_among_them(s3, prefix):
    commit(prefix, write(prefix))

    assert all_keys(s3) == [
        "datasets/flights/0123/train.dataset.json",
        "datasets/flights/0123/train.manifest",
        *(f"datasets/flights/0123/train/part-0000{part}-0.rec" for part in range(3)),
    ]


def test_the_manifest_states_an_absolute_prefix(prefix):
    commit(prefix, write(prefix))

    entries = json.loads(storage.read_bytes(f"{prefix.rstrip('/')}.manifest"))

    assert entries == [{"prefix": prefix}, *(f"part-0000{part}-0.rec" for part in range(3))]


def test_the_bytes_are_those_of_a_local_disk(prefix, tmp_path):
    local = f"{tmp_path}/datasets/train/"

    there, here = commit(prefix, write(prefix)), commit(local, write(local))

    assert there.shards == here.shards
    assert listed_bytes(prefix) == listed_bytes(local)


def test_shards_of_several_parts_of_an_upload_are_whole(prefix):
    made = commit(prefix, write(prefix, rows=LARGE_ROWS))

    assert made.shards[0].size_bytes > 8 << 20
    dataset.verify(made)


def test_a_moved_dataset_is_refused(s3, prefix):
    commit(prefix, write(prefix))
    moved = f"{s3}/elsewhere/train"
    for end in (".manifest", ".dataset.json"):
        storage.write_bytes(moved + end, storage.read_bytes(prefix.rstrip("/") + end))

    with pytest.raises(InputError) as caught:
        dataset.open_dataset(moved)

    assert str(caught.value) == (
        f"{moved}.manifest states the prefix '{prefix}', expected '{moved}/'\n"
        "  a dataset on S3 cannot be moved: run convert for the new place"
    )


def test_no_manifest_is_no_dataset(prefix):
    write(prefix)

    with pytest.raises(InputError) as caught:
        dataset.open_dataset(prefix)

    assert str(caught.value) == (
        f"no manifest: {prefix.rstrip('/')}.manifest does not exist, and a prefix without a "
        "manifest is not a dataset\n  run: penstock convert SPEC"
    )


def test_verify_names_the_first_damaged_shard(prefix):
    made = commit(prefix, write(prefix))
    damaged = bytearray(storage.read_bytes(made.shard_uris()[1]))
    damaged[70] ^= 1
    storage.write_bytes(made.shard_uris()[1], bytes(damaged))
    storage.delete(made.shard_uris()[2])

    with pytest.raises(DataError) as caught:
        dataset.verify(made)

    found = xxhash.xxh3_128_hexdigest(bytes(damaged))
    assert str(caught.value) == (
        f"{made.shard_uris()[1]}: XXH128 is {found[:12]}..., "
        f"expected {made.shards[1].xxh128[:12]}...\n  run convert again, into a fresh prefix"
    )


def test_another_dataset_in_its_place_is_refused(s3, prefix):
    commit(prefix, write(prefix))
    before = content(s3)
    shards = write(prefix, attempt=5)

    with pytest.raises(InputError) as caught:
        commit(prefix, shards, plan_sha256="0ddba11" * 9)

    assert str(caught.value) == (
        f"{prefix.rstrip('/')}.manifest stands already and lists other content: 12 rows in "
        "3 shards of plan 5ca1ab1e5ca1, not 12 rows in 3 shards of plan 0ddba110ddba\n"
        "  a dataset is never changed: choose another prefix, or delete this manifest first"
    )
    assert {name: content(s3)[name] for name in before} == before


KILLED = """
import sys
sys.path.insert(0, "tests")
import shardmakers
from penstock import dataset, s3upload

def batches():
    yield from shardmakers.batches(1, 2 * shardmakers.LARGE_ROWS)
    print("written", flush=True)
    sys.stdin.read()

dataset.write_shard(sys.argv[1], 1, 7, batches())
"""


def test_sweep_deletes_exactly_the_orphans_and_unfinished_uploads(s3, prefix):
    made = commit(prefix, write(prefix))
    before = content(s3)
    orphan = dataset.write_shard(prefix, 0, 3, batches(0))
    storage.write_bytes(f"{prefix}notes.txt", b"mine")
    foreign = aws.call(
        s3,
        "create_multipart_upload",
        Bucket=s3.removeprefix("s3://"),
        Key="elsewhere/part-00000-0.rec",
    )
    task = subprocess.Popen(
        [sys.executable, "-c", KILLED, prefix], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with task.stdin, task.stdout:
        assert task.stdout.readline() == b"written\n"
        task.kill()
        task.wait(timeout=30)
    ((upload, upload_id),) = storage.uploads(prefix)

    swept = dataset.sweep(prefix)

    claim = f"{prefix}part-00001-7.rec"
    assert upload == claim
    assert swept == (prefix + orphan.name, claim, f"{claim}?uploadId={upload_id}")
    assert storage.uploads(s3) == [(f"{s3}/elsewhere/part-00000-0.rec", foreign["UploadId"])]
    left = content(s3)
    assert left.pop("datasets/flights/0123/train/notes.txt") == b"mine"
    assert left == before
    assert dataset.sweep(prefix) == ()
    dataset.verify(made)


def test_whoever_may_not_list_uploads_sweeps_the_shards(prefix, s3_faults):
    from faultproxy import Rule

    shards = write(prefix)
    s3_faults.rules = [Rule(request=r"^GET .*\?uploads", status=403, code="AccessDenied")]

    swept = dataset.sweep(prefix)

    assert s3_faults.rules[0].seen == 1
    assert swept == tuple(prefix + shard.name for shard in shards)


def test_a_run_again_leaves_the_dataset_as_it_is(s3, prefix):
    made, before = run(prefix), content(s3)

    again = run(prefix)

    assert again == made
    assert content(s3) == before


def test_the_command_looks_after_a_dataset_on_s3(prefix):
    made = commit(prefix, write(prefix))
    orphan = dataset.write_shard(prefix, 0, 3, batches(0))
    shown = [
        subprocess.run(
            [sys.executable, "-m", "penstock", "dataset", verb, prefix],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
        for verb in ("sweep", "verify")
    ]

    assert shown[0].startswith(prefix + orphan.name)
    assert f"{made.rows} rows" in shown[1]


def test_shards_are_a_multiple_of_the_hosts(prefix):
    shards = write(prefix)

    with pytest.raises(InputError) as caught:
        commit(prefix, shards, hosts=2)

    assert str(caught.value) == (
        f"{prefix}: 3 shards for 2 hosts, expected a multiple of the hosts\n"
        "  convert with 4 shards, or train on another number of hosts"
    )
    assert not storage.exists(f"{prefix.rstrip('/')}.manifest")
    assert commit(prefix, shards, hosts=3).plan_sha256 == COMMON["plan_sha256"]
