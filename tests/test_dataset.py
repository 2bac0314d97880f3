"""Datasets exist wholly or not at all, whatever happens to the tasks that write them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xxhash
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from penstock import dataset, recordio, storage
from penstock.curated import Curated, CuratedFile, row_ranges
from penstock.dataset import Shard
from penstock.errors import DataError, InputError
from penstock.manifest import Place, manifest_bytes

COMMON: dict[str, Any] = {
    "width": 2,
    "layout": "dense",
    "task": "binary",
    "classes": ("no", "yes"),
    "plan_sha256": "5ca1ab1e" * 8,
    "names": ("age", "größe"),
}


def batch(rows, *, first=0):
    features = np.arange(2 * rows, dtype=np.float32).reshape(rows, 2) + first
    return features, np.arange(rows, dtype=np.float32) + first


def prefix_of(folder: Path) -> str:
    return f"{folder}/datasets/flights/0123456789ab/train/"


def write(prefix, parts=3, *, attempt=0, rows=4):
    return [
        dataset.write_shard(prefix, part, attempt, [batch(rows, first=part)])
        for part in range(parts)
    ]


def committed(folder: Path) -> dataset.Dataset:
    prefix = prefix_of(folder)
    return dataset.commit(prefix, write(prefix), expected_rows=12, **COMMON)


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def refused(folder: Path) -> str:
    """Return why there is no dataset."""
    with pytest.raises(InputError) as caught:
        dataset.open_dataset(prefix_of(folder))
    return str(caught.value)


def no_manifest(folder: Path) -> str:
    manifest = f"file://{prefix_of(folder).rstrip('/')}.manifest"
    return (
        f"no manifest: {manifest} does not exist, and a prefix without a manifest is not a "
        "dataset\n  run: penstock convert SPEC"
    )


def test_a_shard_is_the_bytes_of_its_batches(tmp_path):
    batches = [batch(3), batch(2, first=10)]

    shard = dataset.write_shard(prefix_of(tmp_path), 7, 2, iter(batches))

    content = (Path(prefix_of(tmp_path)) / shard.name).read_bytes()
    assert content == b"".join(recordio.encode_dense(*each) for each in batches)
    assert shard == Shard(
        name="part-00007-2.rec",
        rows=5,
        size_bytes=len(content),
        xxh128=xxhash.xxh3_128_hexdigest(content),
        label_min=0.0,
        label_max=11.0,
    )


def test_sparse_rows_without_labels_are_written_too(tmp_path):
    features = csr_array(np.eye(3, dtype=np.float32))

    shard = dataset.write_shard(prefix_of(tmp_path), 0, 0, [(features, None)])

    (records,) = recordio.read(prefix_of(tmp_path) + shard.name)
    assert (records.layout, records.labels) == ("sparse", None)
    assert (shard.rows, shard.label_min, shard.label_max) == (3, None, None)


def test_a_shard_may_have_no_rows(tmp_path):
    shard = dataset.write_shard(prefix_of(tmp_path), 0, 0, [])

    assert (shard.rows, shard.size_bytes, shard.label_min) == (0, 0, None)
    assert Path(prefix_of(tmp_path), shard.name).read_bytes() == b""


def test_a_taken_name_is_left_alone(tmp_path):
    first = dataset.write_shard(prefix_of(tmp_path), 0, 0, [batch(3)])

    again = dataset.write_shard(prefix_of(tmp_path), 0, 0, [batch(3)])

    assert (first.name, again.name) == ("part-00000-0.rec", "part-00000-1.rec")
    assert replace(again, name=first.name) == first


def test_a_batch_that_fails_takes_its_file_with_it(tmp_path):
    def batches():
        yield batch(3)
        raise RuntimeError("the source is gone")

    with pytest.raises(RuntimeError, match=r"^the source is gone$"):
        dataset.write_shard(prefix_of(tmp_path), 0, 0, batches())

    assert files(tmp_path) == {}


@pytest.mark.parametrize(
    ("second", "words"),
    [
        ((np.ones((1, 3), np.float32), np.ones(1, np.float32)), "dense of width 3 with labels"),
        ((np.ones((1, 2), np.float32), None), "dense of width 2 without labels"),
        (
            (csr_array(np.ones((1, 2), np.float32)), np.ones(1, np.float32)),
            "sparse of width 2 with labels",
        ),
    ],
)
def test_batches_that_differ_are_refused(tmp_path, second, words):
    with pytest.raises(InputError) as caught:
        dataset.write_shard(prefix_of(tmp_path), 0, 0, [batch(4), second])

    assert str(caught.value) == (
        f"file://{prefix_of(tmp_path)}part-00000-0.rec: row 4 on: the batch is {words}, "
        "the batches before are dense of width 2 with labels"
    )


def test_a_dataset_comes_back_as_it_was_committed(tmp_path):
    made = committed(tmp_path)

    found = dataset.open_dataset(prefix_of(tmp_path))

    assert found == made
    assert found.uri == f"file://{prefix_of(tmp_path)}"
    assert found.manifest_uri == f"file://{prefix_of(tmp_path).rstrip('/')}.manifest"
    assert (found.rows, found.size_bytes) == (12, sum(each.size_bytes for each in found.shards))
    assert found.shard_uris() == tuple(f"{found.uri}part-0000{part}-0.rec" for part in range(3))
    rows = [
        row for uri in found.shard_uris() for each in recordio.read(uri) for row in each.features
    ]
    assert np.array_equal(rows, np.concatenate([batch(4, first=part)[0] for part in range(3)]))
    dataset.verify(found)


def test_the_files_of_a_dataset_are_these(tmp_path):
    committed(tmp_path)

    found = files(tmp_path / "datasets/flights/0123456789ab")

    assert sorted(found) == [
        "train.dataset.json",
        "train.manifest",
        *(f"train/part-0000{part}-0.rec" for part in range(3)),
    ]
    assert json.loads(found["train.manifest"]) == [
        {"prefix": "train/"},
        *(f"part-0000{part}-0.rec" for part in range(3)),
    ]
    described = json.loads(found["train.dataset.json"])
    shards = described.pop("shards")
    assert described == {
        "format": 2,
        "rows": 12,
        "size_bytes": sum(len(found[f"train/{shard['name']}"]) for shard in shards),
        "width": 2,
        "layout": "dense",
        "task": "binary",
        "classes": ["no", "yes"],
        "plan_sha256": "5ca1ab1e" * 8,
        "names": ["age", "größe"],
    }
    assert [shard["label_max"] for shard in shards] == [3, 4, 5]


def test_two_folders_hold_the_same_bytes(tmp_path):
    committed(tmp_path / "one")
    committed(tmp_path / "two")

    assert files(tmp_path / "one") == files(tmp_path / "two")


def test_a_dataset_may_be_moved_on_a_local_disk(tmp_path):
    made = committed(tmp_path / "here")

    (tmp_path / "here").rename(tmp_path / "there")

    found = dataset.open_dataset(prefix_of(tmp_path / "there"))
    assert found.shards == made.shards
    dataset.verify(found)


def test_an_object_store_gets_an_absolute_prefix():
    place = Place.of("s3://lake/datasets/x/run/train")

    entries = json.loads(manifest_bytes(place, []))

    assert entries == [{"prefix": "s3://lake/datasets/x/run/train/"}]
    assert place.manifest == "s3://lake/datasets/x/run/train.manifest"


@pytest.mark.parametrize("uri", ["s3://lake", "s3://lake/", "/"])
def test_a_prefix_needs_a_folder_above(uri):
    with pytest.raises(InputError) as caught:
        dataset.open_dataset(uri)

    assert str(caught.value) == (
        f"{uri!r} is no prefix of a dataset, expected a folder below another, "
        "like 's3://bucket/datasets/train/'"
    )


def test_of_two_attempts_the_lower_is_kept_and_the_other_swept(tmp_path):
    prefix = prefix_of(tmp_path)
    late, early = write(prefix, attempt=10)[1], write(prefix, attempt=2)
    shards = [late, *early[::-1]]

    made = dataset.commit(prefix, shards, expected_rows=12, **COMMON)

    assert [shard.name for shard in made.shards] == [f"part-0000{part}-2.rec" for part in range(3)]
    assert sorted(path.name for path in Path(prefix).iterdir()) == [
        shard.name for shard in made.shards
    ]


def test_a_missing_part_leaves_no_dataset(tmp_path):
    prefix = prefix_of(tmp_path)
    shards = write(prefix, parts=4)

    with pytest.raises(DataError) as caught:
        dataset.commit(prefix, [shards[0], shards[3]], expected_rows=16, **COMMON)

    assert str(caught.value) == (
        f"file://{prefix}: of 4 parts 2 are missing: 'part-00001', 'part-00002'\n"
        "  no manifest is made; run convert again"
    )
    assert refused(tmp_path) == no_manifest(tmp_path)


@pytest.mark.parametrize("expected", [11, 13, 1_000_000])
def test_another_row_total_than_the_source_leaves_no_dataset(tmp_path, expected):
    prefix = prefix_of(tmp_path)
    shards = write(prefix)

    with pytest.raises(DataError) as caught:
        dataset.commit(prefix, shards, expected_rows=expected, **COMMON)

    assert str(caught.value) == (
        f"file://{prefix}: the shards have 12 rows, the source has {expected:,}\n"
        "  no manifest is made; run convert again"
    )
    assert refused(tmp_path) == no_manifest(tmp_path)


@pytest.mark.parametrize(
    ("damage", "has"),
    [(Path.unlink, "is gone"), (lambda path: os.truncate(path, 100), "has 100 bytes")],
)
def test_a_shard_that_is_not_as_written_leaves_no_dataset(tmp_path, damage, has):
    prefix = prefix_of(tmp_path)
    shards = write(prefix)
    damage(Path(prefix, shards[1].name))

    with pytest.raises(DataError) as caught:
        dataset.commit(prefix, shards, expected_rows=12, **COMMON)

    assert str(caught.value) == (
        f"file://{prefix}part-00001-0.rec {has}, its task wrote {shards[1].size_bytes} bytes\n"
        "  no manifest is made; run convert again"
    )
    assert refused(tmp_path) == no_manifest(tmp_path)


def test_names_must_be_as_many_as_columns(tmp_path):
    prefix = prefix_of(tmp_path)

    with pytest.raises(InputError) as caught:
        dataset.commit(prefix, write(prefix), expected_rows=12, **{**COMMON, "names": ("age",)})

    assert str(caught.value) == (f"file://{prefix}: 1 names for 2 columns, expected one for each")


def test_a_name_that_is_no_shard_is_refused(tmp_path):
    prefix = prefix_of(tmp_path)
    shards = [replace(write(prefix, parts=1)[0], name="part-0.rec")]

    with pytest.raises(InputError) as caught:
        dataset.commit(prefix, shards, expected_rows=4, **COMMON)

    assert str(caught.value) == (
        f"file://{prefix}: the name of a shard is 'part-0.rec', "
        "expected 'part-<part>-<attempt>.rec'"
    )


def test_a_file_that_is_no_shard_is_refused(tmp_path):
    prefix = prefix_of(tmp_path)
    shards = write(prefix)
    Path(prefix, "notes.txt").write_text("mine")

    with pytest.raises(InputError) as caught:
        dataset.commit(prefix, shards, expected_rows=12, **COMMON)

    assert str(caught.value) == (
        f"file://{prefix} has files that are no shards: 'notes.txt'\n"
        "  move them away: training in FastFile mode would read them"
    )
    assert refused(tmp_path) == no_manifest(tmp_path)


def test_the_same_dataset_again_changes_nothing(tmp_path):
    made, before = committed(tmp_path), files(tmp_path)

    again = committed(tmp_path)

    assert again == made
    assert files(tmp_path) == before


def test_another_dataset_in_its_place_is_refused(tmp_path):
    committed(tmp_path)
    before, prefix = files(tmp_path), prefix_of(tmp_path)
    shards = write(prefix, parts=2, attempt=5)

    with pytest.raises(InputError) as caught:
        dataset.commit(prefix, shards, expected_rows=8, **{**COMMON, "plan_sha256": "0ddba11" * 9})

    assert str(caught.value) == (
        f"file://{prefix.rstrip('/')}.manifest stands already and lists other content: 12 rows in "
        "3 shards of plan 5ca1ab1e5ca1, not 8 rows in 2 shards of plan 0ddba110ddba\n"
        "  a dataset is never changed: choose another prefix, or delete this manifest first"
    )
    assert {name: files(tmp_path)[name] for name in before} == before


KILLED = """
import sys, time
import numpy as np
from penstock import dataset

def batches():
    yield np.ones((1000, 2), np.float32), np.ones(1000, np.float32)
    yield np.ones((1000, 2), np.float32), np.ones(1000, np.float32)
    print("writing", flush=True)
    sys.stdin.read()

dataset.write_shard(sys.argv[1], 1, 0, batches())
"""


def test_a_killed_writer_leaves_a_prefix_that_is_no_dataset(tmp_path):
    prefix = prefix_of(tmp_path)
    dataset.write_shard(prefix, 0, 0, [batch(4)])
    task = subprocess.Popen(
        [sys.executable, "-c", KILLED, prefix], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert task.stdin is not None
    assert task.stdout is not None
    with task.stdin, task.stdout:
        assert task.stdout.readline() == b"writing\n"
        task.send_signal(signal.SIGKILL)
        task.wait(timeout=30)

    left = sorted(path.name for path in Path(prefix).iterdir())
    assert left == ["part-00000-0.rec", "part-00001-0.rec"]
    assert refused(tmp_path) == no_manifest(tmp_path)

    retried = write(prefix)
    made = dataset.commit(prefix, retried, expected_rows=12, **COMMON)

    assert [shard.name for shard in made.shards] == [
        "part-00000-1.rec",
        "part-00001-1.rec",
        "part-00002-0.rec",
    ]
    assert sorted(path.name for path in Path(prefix).iterdir()) == [
        shard.name for shard in made.shards
    ]


def test_sweep_deletes_exactly_the_orphans(tmp_path):
    committed(tmp_path)
    before, prefix = files(tmp_path), prefix_of(tmp_path)
    orphans = [dataset.write_shard(prefix, part, 3, [batch(2)]) for part in (0, 9)]
    Path(prefix, "notes.txt").write_text("mine")

    swept = dataset.sweep(prefix)

    assert swept == tuple(f"file://{prefix}{shard.name}" for shard in orphans)
    left = files(tmp_path)
    assert left.pop("datasets/flights/0123456789ab/train/notes.txt") == b"mine"
    assert left == before
    assert dataset.sweep(prefix) == ()


def test_sweep_deletes_all_shards_without_a_manifest(tmp_path):
    prefix = prefix_of(tmp_path)
    shards = write(prefix)

    swept = dataset.sweep(prefix)

    assert swept == tuple(f"file://{prefix}{shard.name}" for shard in shards)
    assert files(tmp_path) == {}


def test_sweep_of_nothing_is_fine(tmp_path):
    assert dataset.sweep(prefix_of(tmp_path)) == ()


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[70] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (Path.unlink, " is gone, though the manifest lists it"),
        (lambda path: os.truncate(path, 60), " has 60 bytes, expected {size}"),
        (flip, ": XXH128 is {found}..., expected {xxh128}..."),
    ],
)
def test_verify_names_the_first_damaged_shard(tmp_path, damage, problem):
    made = committed(tmp_path)
    for number in (2, 1):
        damage(Path(prefix_of(tmp_path), made.shards[number].name))

    with pytest.raises(DataError) as caught:
        dataset.verify(made)

    path, shard = Path(prefix_of(tmp_path), made.shards[1].name), made.shards[1]
    found = xxhash.xxh3_128_hexdigest(path.read_bytes())[:12] if path.exists() else ""
    text = problem.format(size=shard.size_bytes, xxh128=shard.xxh128[:12], found=found)
    assert str(caught.value) == f"file://{path}{text}\n  run convert again, into a fresh prefix"


def in_run(folder: Path, name: str) -> Path:
    return folder / "datasets/flights/0123456789ab" / name


def test_a_manifest_without_its_description_is_refused(tmp_path):
    committed(tmp_path)
    path = in_run(tmp_path, "train.dataset.json")
    path.unlink()

    with pytest.raises(DataError) as caught:
        dataset.open_dataset(prefix_of(tmp_path))

    assert str(caught.value) == (
        f"file://{path} is missing, though there is a manifest\n"
        "  delete the manifest, then run: penstock convert SPEC"
    )


def test_a_manifest_and_a_description_of_two_runs_are_refused(tmp_path):
    committed(tmp_path)
    path = in_run(tmp_path, "train.manifest")
    path.write_text(path.read_text().replace("part-00001-0", "part-00001-4"))

    with pytest.raises(DataError) as caught:
        dataset.open_dataset(prefix_of(tmp_path))

    assert str(caught.value) == (
        f"file://{in_run(tmp_path, 'train.dataset.json')} lists 3 shards ('part-00000-0.rec', "
        "'part-00001-0.rec', 'part-00002-0.rec'), the manifest lists 3 ('part-00000-0.rec', "
        "'part-00001-4.rec', 'part-00002-0.rec')\n"
        "  the two are not of one run: delete both, then run: penstock convert SPEC"
    )


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        (
            "train.manifest",
            "[",
            "is no JSON: Expecting value: line 1 column 2 (char 1)",
        ),
        (
            "train.manifest",
            '["part-00000-0.rec"]',
            "is no ManifestFile, expected a list of {'prefix': ...} and names",
        ),
        (
            "train.dataset.json",
            "[",
            "is damaged: JSONDecodeError('Expecting value: line 1 column 2 (char 1)')",
        ),
        ("train.dataset.json", "{}", "is damaged: KeyError('format')"),
        ("train.dataset.json", '{"format": 9}', "has the format 9, expected 2"),
    ],
)
def test_damaged_small_files_are_refused(tmp_path, name, content, problem):
    committed(tmp_path)
    path = in_run(tmp_path, name)
    path.write_text(content)

    with pytest.raises(DataError) as caught:
        dataset.open_dataset(prefix_of(tmp_path))

    assert str(caught.value) == f"file://{path} {problem}"


def test_a_manifest_of_another_place_is_refused(tmp_path):
    committed(tmp_path)
    path = in_run(tmp_path, "train.manifest")
    path.write_text(path.read_text().replace('"train/"', '"s3://lake/train/"'))

    with pytest.raises(InputError) as caught:
        dataset.open_dataset(prefix_of(tmp_path))

    assert str(caught.value) == (
        f"file://{path} states the prefix 's3://lake/train/', "
        f"expected 'file://{prefix_of(tmp_path)}'\n"
        "  a dataset on S3 cannot be moved: run convert for the new place"
    )


@pytest.mark.parametrize(
    ("rows", "bytes_per_row", "shard_bytes", "hosts", "count"),
    [
        (1_000, 100, 1_000_000, 1, 1),
        (1_000, 100, 100_000, 1, 1),
        (1_000, 100, 99_999, 1, 2),
        (1_000, 100.5, 10_000, 1, 11),
        (1_000, 100, 1_000_000, 4, 4),
        (1_000, 100, 20_000, 4, 8),
        (5, 100, 10, 1, 5),
        (5, 100, 10, 2, 4),
        (2, 100, 10, 2, 2),
    ],
)
def test_shards_are_as_many_as_size_and_hosts_ask(rows, bytes_per_row, shard_bytes, hosts, count):
    assert dataset.shard_count(rows, bytes_per_row, shard_bytes, hosts) == count


def test_fewer_rows_than_hosts_are_refused():
    with pytest.raises(InputError) as caught:
        dataset.shard_count(3, 100, 1_000, hosts=4)

    assert str(caught.value) == "3 rows cannot feed 4 hosts, expected at least one for each"


@given(
    rows=st.integers(1, 10**9),
    bytes_per_row=st.floats(1, 1e6),
    shard_bytes=st.integers(1, 2**30),
    hosts=st.integers(1, 50),
    at_least=st.integers(1, 64),
)
def test_every_host_gets_as_many_shards_and_none_is_empty_or_too_large(
    rows, bytes_per_row, shard_bytes, hosts, at_least
):
    assume(rows >= hosts)

    count = dataset.shard_count(rows, bytes_per_row, shard_bytes, hosts, at_least)

    assert count % hosts == 0
    assert hosts <= count <= rows
    most = rows // hosts * hosts  # more would leave a host without a row in some round
    assert count == most or count >= at_least
    assert count == most or rows / count * bytes_per_row <= shard_bytes * (1 + 1e-9)
    dataset.check_hosts("s3://lake/x/train/", count, hosts)


def shares_in_turn(keys, hosts):
    return [keys[host::hosts] for host in range(hosts)]


def shares_in_blocks(keys, hosts):
    each = len(keys) // hosts
    return [keys[host * each : (host + 1) * each] for host in range(hosts)]


@pytest.mark.parametrize("deal", [shares_in_turn, shares_in_blocks])
@settings(max_examples=15, deadline=None)  # a commit waits for the disk
@given(rows=st.integers(4, 300), hosts=st.integers(1, 4), shard_bytes=st.integers(1000, 8000))
def test_however_the_keys_of_the_manifest_are_dealt_the_hosts_get_equal_shares(
    deal, tmp_path_factory, rows, hosts, shard_bytes
):
    prefix = prefix_of(tmp_path_factory.mktemp("dealt"))
    count = dataset.shard_count(rows, 56, shard_bytes, hosts)
    file = CuratedFile(path="x", split="train", rows=rows, size_bytes=0)
    table = Curated(uri="s3://lake/x", files=(file,), key=(), columns=())
    shards = [
        dataset.write_shard(prefix, part, 0, [batch(each.stop - each.start)])
        for part, each in enumerate(row_ranges(table, "train", count))
    ]

    made = dataset.commit(prefix, shards, expected_rows=rows, hosts=hosts, **COMMON)

    _, *names = json.loads(storage.read_bytes(made.manifest_uri))
    rows_of = {shard.name: shard.rows for shard in made.shards}
    shares = [[rows_of[name] for name in share] for share in deal(names, hosts)]
    assert {len(share) for share in shares} == {count // hosts}
    assert max(rows_of.values()) - min(rows_of.values()) <= 1
    totals = [sum(share) for share in shares]
    assert max(totals) - min(totals) <= count // hosts
    assert sum(totals) == rows


@pytest.mark.parametrize(
    ("shards", "hosts", "remedy"), [(3, 2, 4), (5, 4, 4), (2, 4, 4), (7, 4, 8), (3, 0, 3)]
)
def test_shards_that_hosts_cannot_share_are_refused(tmp_path, shards, hosts, remedy):
    prefix = prefix_of(tmp_path)
    written = write(prefix, parts=shards)

    with pytest.raises(InputError) as caught:
        dataset.commit(prefix, written, expected_rows=4 * shards, hosts=hosts, **COMMON)

    assert str(caught.value) == (
        f"file://{prefix}: {shards} shards for {hosts} hosts, expected a multiple of the hosts\n"
        f"  convert with {remedy} shards, or train on another number of hosts"
    )
    assert refused(tmp_path) == no_manifest(tmp_path)


def test_values_that_are_not_finite_are_written_when_allowed(tmp_path):
    features = np.array([[1, np.nan], [np.inf, 2]], np.float32)
    labels = np.array([np.nan, 3], np.float32)
    prefix = prefix_of(tmp_path)

    with pytest.raises(DataError):
        dataset.write_shard(prefix, 0, 0, [(features, labels)])
    shard = dataset.write_shard(prefix, 0, 0, [(features, labels)], allow_nonfinite=True)
    made = dataset.commit(prefix, [shard], expected_rows=2, **COMMON)

    assert (shard.label_min, shard.label_max) == (3.0, 3.0)
    assert dataset.open_dataset(prefix) == made
    (records,) = recordio.read(prefix + shard.name)
    np.testing.assert_array_equal(records.features, features)


def test_memory_is_bounded_by_the_batch(tmp_path):
    import tracemalloc

    def batches():
        for _ in range(60):
            yield np.ones((1_000, 100), np.float32), np.ones(1_000, np.float32)

    tracemalloc.start()
    shard = dataset.write_shard(prefix_of(tmp_path), 0, 0, batches())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert shard.size_bytes == 60 * 1_000 * 448
    assert peak < 3_000_000


def test_storage_is_told_of_every_file(tmp_path):
    made = committed(tmp_path)

    assert [file.uri for file in storage.glob_files(made.uri)] == list(made.shard_uris())
