"""The jobs as they ship: real spark-submit, on a sample partition of the flights example, and Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from penstock import java

STAGES = ("merge", "fit", "convert", "train", "evaluate", "report")
SUBMIT = str(Path(sys.executable).with_name("spark-submit"))
EXAMPLE = Path("examples/flights")


def environment():
    return {
        **os.environ,
        "JAVA_HOME": str(java.java_home()),
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PENSTOCK_SPARK_MASTER": "local[2]",
    }


def submit(stage, *flags):
    return subprocess.run(
        [SUBMIT, "--master", "local[2]", f"jobs/{stage}.py", *map(str, flags)],
        capture_output=True, text=True, env=environment(), timeout=300,
    )  # fmt: skip


@pytest.fixture(scope="module")
def january(tmp_path_factory):
    """A root with the flights of January, and the example's spec with fewer rounds."""
    root = tmp_path_factory.mktemp("flights")
    lake = [sys.executable, str(EXAMPLE / "make_lake.py"), "--root", str(root), "--months", "1"]
    subprocess.run(lake, check=True, capture_output=True)
    body = yaml.safe_load((EXAMPLE / "pipeline.yaml").read_text().replace(" on:", " 'on':"))
    body["train"][0]["hyperparameters"]["epochs"] = 4
    body["train"][1]["hyperparameters"] |= {"num_round": 30, "max_depth": 5}
    (root / "pipeline.yaml").write_text(yaml.safe_dump(body, sort_keys=False))
    return root


@pytest.mark.spark
@pytest.mark.parametrize("stage", STAGES)
def test_each_job_explains_itself(stage):
    shown = submit(stage, "--help")

    assert shown.returncode == 0
    assert shown.stdout.startswith(f"usage: {stage}.py [-h] --spec SPEC [--root ROOT] [--force]")


@pytest.mark.spark
def test_the_jobs_one_by_one_make_models_from_a_sample_partition(january):
    ended = {}
    for stage in STAGES:
        done = submit(stage, "--spec", january / "pipeline.yaml", "--root", january)
        ended[stage] = (done.returncode, done.stderr if done.returncode else "")

    assert ended == dict.fromkeys(STAGES, (0, ""))
    metrics = json.loads((january / "reports" / "flights" / "metrics.json").read_text())
    auc = {name: model["test"]["auc"] for name, model in metrics["models"].items()}
    assert metrics["rows"]["base"] == 27_004
    assert auc["linear-learner"] > 0.65
    assert auc["xgboost"] > 0.7
    assert (january / "reports" / "flights" / "index.html").stat().st_size > 50_000


@pytest.mark.spark
def test_a_failing_job_ends_with_its_code_and_no_traceback(tmp_path):
    (tmp_path / "pipeline.yaml").write_text((EXAMPLE / "pipeline.yaml").read_text())

    ended = submit("merge", "--spec", tmp_path / "pipeline.yaml", "--root", tmp_path)

    # spark-submit sends both streams of a Python driver to its own standard output.
    assert ended.returncode == 2
    assert ended.stdout == (
        f"error: source 'flights': nothing found at 'file://{tmp_path}/raw/flights/flights/'\n"
        "  check sources.flights.path and the root; names that start with '_' or '.' do not count\n"
    )


def wait_for(process, what, seconds=120):
    """Read the process's standard error until a line says ``what``."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        line = process.stderr.readline()
        if what in line or not line:
            return line
    raise AssertionError(f"no line with {what!r} in {seconds} s")


def living(folder):
    """Return the processes whose environment names ``folder``; a zombie's is empty."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/environ"):
        try:
            if str(folder).encode() in entry.read_bytes():
                found.append(entry.parent.name)
        except OSError:
            continue
    return found


@pytest.mark.spark
@pytest.mark.parametrize(("after", "stage"), [(None, "merge"), ("convert ", "train")])
def test_ctrl_c_ends_with_130_and_leaves_no_record_and_no_process(january, tmp_path, after, stage):
    body = yaml.safe_load((january / "pipeline.yaml").read_text())
    body["train"] = [
        {
            "algorithm": "xgboost",
            "hyperparameters": {"num_round": 100000, "objective": "binary:logistic"},
        }
    ]
    (tmp_path / "pipeline.yaml").write_text(yaml.safe_dump(body, sort_keys=False))
    (tmp_path / "raw").symlink_to(january / "raw")
    process = subprocess.Popen(
        [sys.executable, "-m", "penstock", "run", str(tmp_path / "pipeline.yaml"), "--root", str(tmp_path)],
        stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
        env=environment() | {"TMPDIR": str(tmp_path)}, start_new_session=True,
    )  # fmt: skip
    try:
        if after:
            assert after in wait_for(process, after)
            # Each pass over the data has a FIFO of its own; that of the next one waits.
            wait_until(
                lambda: list(tmp_path.glob("penstock-job-*/ml/input/data/train_[1-9]*")), 120
            )
        else:
            wait_until(lambda: children(process.pid), 60)

        os.killpg(process.pid, signal.SIGINT)

        told = process.communicate(timeout=60)[1]
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    assert process.returncode == 130, told
    assert f"interrupted in stage '{stage}'" in told
    assert not (tmp_path / "runs" / "flights" / f"{stage}.json").exists()
    wait_until(lambda: not living(tmp_path), 30)
    assert list(tmp_path.glob("penstock-job-*")) == []


def children(pid):
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True)
    return found.stdout.split()


def wait_until(condition, seconds):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not so after {seconds} s")
        time.sleep(0.1)
