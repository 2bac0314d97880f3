"""Faults, one at a time: the listed bytes are those of a quiet run, or there is no dataset."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from faultproxy import FOR_EVER, Rule
from shardmakers import LARGE_ROWS, batches, commit, content, listed_bytes, run, write

from penstock import dataset, storage
from penstock.errors import DataError, InputError, ServiceError
from penstock.manifest import Place, description_bytes, manifest_bytes


@pytest.fixture(params=["local", "s3"])
def prefix(request, tmp_path):
    base = tmp_path if request.param == "local" else request.getfixturevalue("s3")
    return storage.normal(f"{base}/datasets/flights/0123/train/")


@pytest.fixture
def quiet(tmp_path):
    """Return a dataset without faults, as the shards of a manifest and their bytes."""
    where = f"{tmp_path}/quiet/datasets/train/"
    return run(where).shards, listed_bytes(where)


def no_dataset(prefix: str) -> bool:
    with pytest.raises(InputError) as caught:
        dataset.open_dataset(prefix)
    return str(caught.value) == (
        f"no manifest: {prefix.rstrip('/')}.manifest does not exist, and a prefix without a "
        "manifest is not a dataset\n  run: penstock convert SPEC"
    )


def run_of(prefix: str) -> dict[str, bytes]:
    """Return all that stands in the folder of the run."""
    found: dict[str, bytes] = content(prefix.rstrip("/").rpartition("/")[0])
    return found


COMMITTER = """
import json, sys
sys.path.insert(0, "tests")
import shardmakers
from penstock import storage
from penstock.dataset import Shard
from penstock.errors import PenstockError

prefix, shards, plan = sys.argv[1], [Shard(**each) for each in json.loads(sys.argv[2])], sys.argv[3]
storage.exists(prefix)  # all that is imported late is there
print("ready", flush=True)
sys.stdin.readline()
try:
    print(shardmakers.commit(prefix, shards, plan_sha256=plan).plan_sha256)
except PenstockError as error:
    print(type(error).__name__, str(error).partition("\\n")[0])
"""


def race(prefix: str, entries: list[tuple[list[dataset.Shard], str]]) -> list[str]:
    """Commit in as many processes at once, and return what each said."""
    fields = dataset.Shard.__dataclass_fields__
    committers = [
        subprocess.Popen(
            [
                sys.executable,
                "-c",
                COMMITTER,
                prefix,
                json.dumps([{name: getattr(each, name) for name in fields} for each in shards]),
                plan,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for shards, plan in entries
    ]
    for each in committers:
        assert each.stdout
        assert each.stdout.readline() == "ready\n"
    for each in committers:
        assert each.stdin
        each.stdin.write("\n")
        each.stdin.flush()
    return [each.communicate(timeout=60)[0].strip() for each in committers]


def test_of_two_drivers_with_the_same_content_both_have_the_one_dataset(prefix):
    twins = [(write(prefix, attempt=attempt), "a" * 64) for attempt in (0, 5)]

    said = race(prefix, twins)

    assert said == ["a" * 64, "a" * 64]
    found = dataset.open_dataset(prefix)
    dataset.verify(found)
    assert sorted(content(prefix)) == [shard.name for shard in found.shards]


def test_of_two_drivers_with_other_content_one_wins_and_the_other_is_refused(prefix):
    shards = write(prefix)

    said = race(prefix, [(shards, "a" * 64), (shards, "b" * 64)])

    found = dataset.open_dataset(prefix)
    won, lost = sorted(said, key=lambda text: text.startswith("InputError"))
    assert won == found.plan_sha256
    place = prefix.rstrip("/")
    assert re.fullmatch(
        f"InputError {place}.dataset.json stands there without a manifest, for other shards: another "
        "run is at work here, or was killed"
        f"|InputError {place}.manifest stands already and lists other content: .*",
        lost,
    )
    dataset.verify(found)


def test_a_decision_without_a_manifest_is_waited_for_or_swept(prefix, quiet):
    shards = write(prefix)
    place = Place.of(prefix)
    other = commit(f"{prefix}../other/", write(f"{prefix}../other/"), plan_sha256="c" * 64)
    storage.write_bytes(place.description, description_bytes(other))

    with pytest.raises(InputError) as caught:
        commit(prefix, shards)

    assert str(caught.value) == (
        f"{place.description} stands there without a manifest, for other shards: another run is at "
        f"work here, or was killed\n  wait for it; if it was killed: penstock dataset sweep {prefix}"
    )
    assert no_dataset(prefix)
    assert dataset.sweep(prefix) == tuple(
        sorted([place.description, *(prefix + shard.name for shard in shards)])
    )
    assert (run(prefix).shards, listed_bytes(prefix)) == quiet


KILLED = """
import sys
sys.path.insert(0, "tests")
import shardmakers
from penstock import storage

create = storage.create

def stopping(uri, content):
    if uri.endswith(sys.argv[2]):
        print("here", flush=True)
        sys.stdin.read()
    return create(uri, content)

storage.create = stopping
shardmakers.run(sys.argv[1])
"""


@pytest.mark.parametrize("before", [".dataset.json", ".manifest"])
@pytest.mark.parametrize("swept", [True, False])
def test_a_driver_killed_before_the_manifest_leaves_no_dataset(prefix, quiet, before, swept):
    driver = subprocess.Popen(
        [sys.executable, "-c", KILLED, prefix, before],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with driver.stdin, driver.stdout:
        assert driver.stdout.readline() == b"here\n"
        driver.kill()
        driver.wait(timeout=30)
    decided = [] if before == ".dataset.json" else ["train.dataset.json"]
    left = [*decided, *(f"train/part-0000{part}-0.rec" for part in range(3))]
    assert sorted(run_of(prefix)) == left
    assert no_dataset(prefix)

    if swept:
        gone = dataset.sweep(prefix)
        folder = prefix.removesuffix("train/")
        assert gone == tuple(folder + name for name in left)
        assert run_of(prefix) == {}
    made = commit(prefix, write(prefix))

    assert listed_bytes(prefix) == quiet[1]
    assert [shard.xxh128 for shard in made.shards] == [shard.xxh128 for shard in quiet[0]]
    assert sorted(content(prefix)) == [shard.name for shard in made.shards]
    dataset.verify(made)


@pytest.mark.parametrize("rows", [4, LARGE_ROWS])
def test_a_writer_whose_file_was_swept_cannot_bring_it_back(prefix, rows):
    def swept():
        yield from batches(1, rows)
        dataset.sweep(prefix)
        yield from batches(1, rows)

    with pytest.raises(ServiceError) as caught:
        dataset.write_shard(prefix, 1, 0, swept())

    assert str(caught.value) == (
        f"'{prefix}part-00001-0.rec': it was deleted while it was written\n"
        "  let one run at a time write there, then run it again"
    )
    assert run_of(prefix) == {}
    assert storage.uploads(prefix) == []


def test_a_twin_that_is_late_leaves_nothing_under_the_dataset(prefix, quiet):
    def committed_meanwhile():
        yield from batches(1)
        run(prefix)

    with pytest.raises(ServiceError) as caught:
        dataset.write_shard(prefix, 1, 4, committed_meanwhile())

    assert str(caught.value).startswith(f"'{prefix}part-00001-4.rec': it was deleted while")
    assert listed_bytes(prefix) == quiet[1]
    assert sorted(content(prefix)) == [shard.name for shard in quiet[0]]


def test_a_twin_that_ends_after_the_manifest_withdraws_its_shard(prefix, quiet):
    made = run(prefix)
    place = Place.of(prefix)
    storage.delete(place.manifest)

    def committed_meanwhile():
        yield from batches(1)
        storage.create(place.manifest, manifest_bytes(place, made.shards))

    with pytest.raises(ServiceError) as caught:
        dataset.write_shard(prefix, 1, 4, committed_meanwhile())

    assert str(caught.value) == (
        f"{prefix}part-00001-4.rec: the dataset was committed while it was written, so it is "
        "withdrawn\n  nothing is lost: the dataset has another attempt's rows of this part"
    )
    assert sorted(content(prefix)) == [shard.name for shard in quiet[0]]


def test_a_twin_that_ends_just_before_the_manifest_is_swept_after_it(prefix, quiet, monkeypatch):
    shards = write(prefix)
    create = storage.create

    def twin_before(uri, body):
        if uri.endswith(".manifest"):
            dataset.write_shard(prefix, 1, 4, batches(1))
        return create(uri, body)

    monkeypatch.setattr(storage, "create", twin_before)
    made = commit(prefix, shards)

    assert made.shards == quiet[0]
    assert sorted(content(prefix)) == [shard.name for shard in quiet[0]]


def test_when_the_manifest_appears_the_orphans_are_gone(prefix, monkeypatch):
    shards = write(prefix)
    dataset.write_shard(prefix, 1, 4, batches(1))
    create, seen = storage.create, []

    def looking(uri, body):
        if uri.endswith(".manifest"):
            seen.extend(sorted(content(prefix)))
        return create(uri, body)

    monkeypatch.setattr(storage, "create", looking)
    commit(prefix, shards)

    assert seen == [shard.name for shard in shards]


def test_a_writer_whose_name_is_another_s_now_does_not_touch_it(prefix):
    taken = []

    def swept_and_taken():
        yield from batches(1)
        dataset.sweep(prefix)
        taken.append(dataset.write_shard(prefix, 1, 0, batches(2)))
        yield from batches(1)

    with pytest.raises(ServiceError):
        dataset.write_shard(prefix, 1, 0, swept_and_taken())

    (shard,) = taken
    assert shard.name == "part-00001-0.rec"
    assert list(content(prefix)) == [shard.name]
    assert commit(prefix, [write(prefix, parts=1)[0], shard]).shards[1] == shard
    dataset.verify(dataset.open_dataset(prefix))


def test_a_manifest_whose_shards_others_deleted_is_taken_back(prefix, monkeypatch):
    shards = write(prefix)
    create = storage.create

    def swept_before(uri, body):
        if uri.endswith(".manifest"):
            dataset.sweep(prefix)
        return create(uri, body)

    monkeypatch.setattr(storage, "create", swept_before)
    with pytest.raises(DataError) as caught:
        commit(prefix, shards)

    assert str(caught.value) == (
        f"{prefix}part-00000-0.rec is gone, its task wrote {shards[0].size_bytes} bytes: another run "
        "deleted it while the manifest was made, which is taken back\n"
        "  let one run at a time write there, then run convert again"
    )
    assert no_dataset(prefix)


def s3_prefix(s3: str) -> str:
    return f"{s3}/datasets/flights/0123/train/"


def test_a_busy_slow_and_broken_s3_changes_no_byte(s3, s3_faults, quiet, monkeypatch):
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "3")
    prefix = s3_prefix(s3)
    dataset.write_shard(prefix, 1, 9, batches(1))  # for the sweep
    faults = [
        Rule(request="^PUT .*part-00000", first=2),
        Rule(request="^PUT .*part-00001", fault="cut"),
        Rule(request="^PUT .*part-00002", fault="lose", first=2),
        Rule(request=r"^GET .*list-type"),
        Rule(request="^PUT .*dataset.json", fault="lose"),
        Rule(request="^PUT .*manifest", fault="lose"),
        Rule(request="^GET .*manifest", fault="tear"),
        Rule(request="^DELETE", first=1),
    ]
    s3_faults.rules = [*faults, Rule(request=".", fault="wait", delay_s=0.02, first=FOR_EVER)]

    made = run(prefix)

    assert [rule.seen for rule in faults] == [rule.first for rule in faults]
    assert listed_bytes(prefix) == quiet[1]
    assert [shard.xxh128 for shard in made.shards] == [shard.xxh128 for shard in quiet[0]]
    assert sorted(content(prefix)) == [shard.name for shard in made.shards]


@pytest.mark.parametrize("at", ["part-00001-0.rec", "train.dataset.json", "train.manifest"])
def test_an_s3_that_is_busy_for_ever_gives_an_error_in_bounded_time_and_no_dataset(
    s3, s3_faults, quiet, at
):
    prefix = s3_prefix(s3)
    s3_faults.rules = [Rule(request=f"^PUT .*{at}", first=FOR_EVER)]
    began = time.monotonic()

    with pytest.raises(ServiceError) as caught:
        run(prefix)

    assert time.monotonic() - began < 30
    where = prefix + at if at.startswith("part") else prefix.removesuffix("train/") + at
    assert caught.value.retryable
    assert str(caught.value) == (
        f"'{where}': PutObject was answered with 503 SlowDown, 2 times: On purpose\n"
        "  run it again later"
    )
    assert no_dataset(prefix)

    s3_faults.rules = []
    left = {f"{prefix.removesuffix('train/')}{name}" for name in run_of(prefix)}
    assert set(dataset.sweep(prefix)) == left
    assert run_of(prefix) == {}
    assert (run(prefix).shards, listed_bytes(prefix)) == quiet


def test_an_upload_that_is_always_cut_leaves_no_shard(s3, s3_faults):
    prefix = s3_prefix(s3)
    s3_faults.rules = [Rule(request="partNumber=2", fault="cut", first=FOR_EVER)]

    with pytest.raises(ServiceError) as caught:
        dataset.write_shard(prefix, 0, 0, batches(0, 2 * LARGE_ROWS))

    assert caught.value.retryable
    assert run_of(prefix) == {}
    assert storage.uploads(prefix) == []


def test_an_upload_that_cannot_be_aborted_is_swept(s3, s3_faults):
    prefix = s3_prefix(s3)
    s3_faults.rules = [
        Rule(request="partNumber=2", first=FOR_EVER),
        Rule(request="^DELETE", first=FOR_EVER),
    ]
    with pytest.raises(ServiceError):
        dataset.write_shard(prefix, 0, 0, batches(0, 2 * LARGE_ROWS))
    s3_faults.rules = []
    ((uri, upload_id),) = storage.uploads(prefix)

    swept = dataset.sweep(prefix)

    assert uri == f"{prefix}part-00000-0.rec"
    assert swept == (uri, f"{uri}?uploadId={upload_id}")
    assert run_of(prefix) == {}
    assert storage.uploads(prefix) == []


FULL = """
import resource, signal, sys
sys.path.insert(0, "tests")
import shardmakers
from penstock.errors import ServiceError

def limited(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
limited(100_000)
try:
    shardmakers.run(sys.argv[1], rows=4_000)
except ServiceError as error:
    print(error, flush=True)
limited(resource.RLIM_INFINITY)
print(sorted(shardmakers.content(sys.argv[1])))
shardmakers.run(sys.argv[1], rows=4_000)
"""

FULL_MOUNT = """
import sys
from pathlib import Path
sys.path.insert(0, "tests")
import shardmakers
from penstock.errors import ServiceError

mount, prefix = Path(sys.argv[2]), sys.argv[1]
ballast = mount / "ballast"
ballast.write_bytes(bytes(700_000))
try:
    shardmakers.run(prefix, rows=4_000)
except ServiceError as error:
    print(error, flush=True)
print(sorted(shardmakers.content(prefix)))
ballast.unlink()
shardmakers.run(prefix, rows=4_000)
for name, content in shardmakers.content(str(mount)).items():
    target = Path(sys.argv[3], name)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
"""


def test_a_file_that_may_not_grow_gives_an_error_and_no_dataset(tmp_path):
    prefix, quiet = f"{tmp_path}/full/train/", f"{tmp_path}/quiet/train/"
    run(quiet, rows=4_000)

    shown = subprocess.run(
        [sys.executable, "-c", FULL, prefix], capture_output=True, text=True, timeout=60, check=True
    )

    assert shown.stdout == (
        f"'file://{prefix}part-00000-0.rec': [Errno 27] File too large\n"
        "  check the path, permissions and free space\n"
        "[]\n"
    )
    assert content(f"{tmp_path}/full") == content(f"{tmp_path}/quiet")


def test_a_full_disk_gives_an_error_and_no_dataset(tmp_path):
    mount = tmp_path / "disk"
    mount.mkdir()
    mounted = ["unshare", "--mount", "sh", "-c", f'mount -t tmpfs -o size=1m none {mount} && "$@"']
    if subprocess.run([*mounted, "sh", "true"], capture_output=True, check=False).returncode:
        pytest.skip("no file system may be mounted here")
    prefix, quiet, copy = f"{mount}/run/train/", f"{tmp_path}/quiet", tmp_path / "copy"
    run(f"{quiet}/run/train/", rows=4_000)

    shown = subprocess.run(
        [*mounted, "sh", sys.executable, "-c", FULL_MOUNT, prefix, str(mount), str(copy)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert re.fullmatch(
        f"'file://{prefix}part-0000[012]-0.rec': \\[Errno 28\\] No space left on device\n"
        "  check the path, permissions and free space\n"
        r"\['part-00000-0.rec'(, 'part-00001-0.rec')?\]" + "\n",
        shown.stdout,
    )
    assert content(str(copy)) == content(quiet)
    assert list(Path(mount).iterdir()) == []
