"""Failing tasks, twins, killed workers, executors and drivers: the dataset is that of a quiet run.

Each fault is injected for real into a driver of its own process (``faults``). Bytes are compared, not
sizes; while a fault strikes, readers must find no dataset; and ``sweep`` must find no orphans, or
exactly those that there are.
"""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from faults import DEADLINE_S, POLL_S, Cluster, Driver, Fault, await_mark, command_of

from penstock import dataset
from penstock.errors import InputError

pytestmark = pytest.mark.spark

ROWS = 4 * 3000
# Eight shards of 1,500 rows, two of them in each task, or one of each partition.
OPTIONS = {
    "parquet": {"how": "parquet", "shard_bytes": 126_000},
    "frame": {"how": "frame"},
    "keyed": {"how": "frame", "shards": 8, "key": ["c0"]},
}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lake")
    random = np.random.default_rng(3)
    for number in range(4):
        rows = {f"c{j}": random.random(3000, np.float32) for j in range(10)}
        rows["y"] = random.integers(0, 2, 3000).astype(np.float32)
        pq.write_table(pa.table(rows), folder / f"{number}.parquet")
    return str(folder)


CONF = {"spark.sql.files.maxPartitionBytes": "100000", "spark.sql.files.openCostInBytes": "100000"}


@pytest.fixture(scope="module")
def local(tmp_path_factory) -> Iterator[Driver]:
    """Two task slots in one process; a task may fail three times."""
    log = tmp_path_factory.mktemp("local") / "log"
    with Driver("local[2,4]", log, **CONF) as driver:
        yield driver


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Iterator[Driver]:
    """Two executors in processes of their own, on what look like two hosts, and speculation."""
    folder = tmp_path_factory.mktemp("cluster")
    speculation = {
        "spark.speculation": "true",
        "spark.speculation.interval": "50ms",
        "spark.speculation.multiplier": "1.0",
        "spark.speculation.quantile": "0.5",
        "spark.speculation.minTaskRuntime": "1s",
        "spark.python.task.killTimeout": "60s",  # so that a late twin ends by itself
        "spark.executor.memory": "512m",
    }
    machines = Cluster(folder)
    try:
        with Driver(machines.master, folder / "log", **CONF, **speculation) as driver:
            yield driver
    finally:
        machines.stop()


@pytest.fixture(scope="module")
def quiet(local, source, tmp_path_factory):
    """The bytes of each part, by way of writing, without any fault."""
    found = {}
    for way, options in OPTIONS.items():
        target = tmp_path_factory.mktemp("quiet") / "train"
        local.call(source=source, target=str(target), **options)
        found[way] = parts(target)
    return found


@pytest.fixture
def target(tmp_path):
    (tmp_path / "marks").mkdir()
    return tmp_path / "datasets" / "train"


def fault_on(target, when, act, *, part=1, **more):
    marks = str(target.parent.parent / "marks")
    return Fault(when=when, act=act, part=part, marks=marks, target=str(target), **more)


def parts(target: Path) -> dict[int, bytes]:
    """Return the bytes of each listed shard; the dataset must be whole, and alone."""
    found = dataset.open_dataset(str(target))
    dataset.verify(found)
    assert found.rows == ROWS
    assert sorted(p.name for p in target.iterdir()) == sorted(s.name for s in found.shards)
    numbered = [int(shard.name.split("-")[1]) for shard in found.shards]
    assert len(set(numbered)) == len(numbered)
    return {n: (target / s.name).read_bytes() for n, s in zip(numbered, found.shards, strict=True)}


def no_manifest(target):
    return (
        f"no manifest: file://{target}.manifest does not exist, and a prefix without a manifest is "
        "not a dataset\n  run: penstock convert SPEC"
    )


def check_as_quiet(target, answer, way, quiet):
    """The fault struck, nobody saw half a dataset, and the whole one is that of a quiet run."""
    marks = target.parent.parent / "marks"
    assert answer.get("rows") == ROWS, answer
    assert not (marks / "timeout").exists()
    assert (marks / "struck").read_text() == no_manifest(target)
    assert parts(target) == quiet[way]
    assert dataset.sweep(str(target)) == ()


@pytest.mark.parametrize("way", ["parquet", "frame"])
@pytest.mark.parametrize("when", ["before", "during", "after"])
@pytest.mark.parametrize("act", ["fail", "kill_worker"])
def test_a_failing_task_or_a_killed_worker_changes_nothing(
    local, quiet, source, target, way, when, act
):
    fault = fault_on(target, when, act)

    answer = local.call(source=source, target=str(target), fault=fault, **OPTIONS[way])

    check_as_quiet(target, answer, way, quiet)
    shard = next(name for name in answer["shards"] if name.startswith("part-00001-"))
    assert shard != "part-00001-0.rec"


@pytest.mark.parametrize(
    ("way", "when"), [("parquet", "during"), ("parquet", "after"), ("keyed", "during")]
)
def test_a_killed_executor_changes_nothing(cluster, quiet, source, target, way, when):
    fault = fault_on(target, when, "kill_executor")

    answer = cluster.call(source=source, target=str(target), fault=fault, **OPTIONS[way])

    check_as_quiet(target, answer, way, quiet)


@pytest.mark.parametrize("way", ["parquet", "frame"])
def test_of_twins_that_both_finish_one_is_listed(cluster, quiet, source, target, way):
    fault = fault_on(target, "after", "wait_for_twin", twin_act="none")

    answer = cluster.call(source=source, target=str(target), fault=fault, **OPTIONS[way])

    assert (target.parent.parent / "marks" / "twin").exists()
    check_as_quiet(target, answer, way, quiet)


def test_a_twin_that_comes_after_the_manifest_leaves_nothing(cluster, quiet, source, target):
    fault = fault_on(target, "during", "straggle", twin_act="none")

    answer = cluster.call(source=source, target=str(target), fault=fault, **OPTIONS["parquet"])
    await_mark(fault.marks, "ended-0")

    assert Path(fault.marks, "ended-1").exists()
    check_as_quiet(target, answer, "parquet", quiet)


def test_a_killed_driver_leaves_no_dataset_and_the_next_run_makes_it(
    local, quiet, source, target, tmp_path
):
    marks = tmp_path / "marks"
    fault = fault_on(target, "after", "hang", part=7)
    with Driver("local[2,4]", tmp_path / "log", **CONF) as killed:
        killed.send(source=source, target=str(target), fault=fault, **OPTIONS["parquet"])
        await_mark(str(marks), "family")
        await_shards(target, 8)
        killed.kill()
    await_end(json.loads((marks / "family").read_text()))

    with pytest.raises(InputError) as caught:
        dataset.open_dataset(str(target))
    left = sorted(p.name for p in target.iterdir())
    answer = local.call(source=source, target=str(target), **OPTIONS["parquet"])

    assert str(caught.value) == no_manifest(target)
    assert left == [f"part-0000{part}-0.rec" for part in range(8)]
    check_as_quiet(target, answer, "parquet", quiet)


def test_sweep_removes_exactly_what_a_killed_driver_left(quiet, source, target, tmp_path, local):
    local.call(source=source, target=str(target), **OPTIONS["parquet"])
    fault = fault_on(target, "during", "hang", part=3)
    with Driver("local[2,4]", tmp_path / "log", **CONF) as killed:
        killed.send(source=source, target=str(target), fault=fault, **OPTIONS["parquet"])
        await_mark(fault.marks, "family")
        await_shards(target, 8 + 7)
        killed.kill()
    await_end(json.loads((tmp_path / "marks" / "family").read_text()))

    listed = {shard.name for shard in dataset.open_dataset(str(target)).shards}
    orphans = {p.name for p in target.iterdir()} - listed
    swept = dataset.sweep(str(target))

    assert len(orphans) == 7
    assert {uri.rpartition("/")[2] for uri in swept} == orphans
    assert parts(target) == quiet["parquet"]


def await_shards(target, count):
    give_up = time.monotonic() + DEADLINE_S
    while len(list(target.glob("part-*.rec"))) < count:
        assert time.monotonic() < give_up, sorted(p.name for p in target.iterdir())
        time.sleep(POLL_S)


def await_end(family: list[int]) -> None:
    """Wait until a killed driver's JVM and workers are gone; end those that do not go by themselves."""
    give_up = time.monotonic() + 10
    while alive := [pid for pid in family if re.search("pyspark|SparkSubmit", command_of(pid))]:
        if time.monotonic() > give_up:
            for pid in alive:
                os.kill(pid, signal.SIGKILL)
        time.sleep(POLL_S)
