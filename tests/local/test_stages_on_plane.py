"""Penstock's own jobs on the plane, as EMR steps and as a Glue job, on s3:// roots; and S3A beside pyarrow."""

from __future__ import annotations

import io
import json
import time
from importlib.util import find_spec
from pathlib import Path

import boto3  # type: ignore[import-untyped]  # noqa: TID251  the tests are the plane's clients
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_pipeline import lake, spec

from penstock import runner, storage
from penstock.curated import open_curated, row_ranges
from penstock.recordio import decode

pytestmark = [
    pytest.mark.spark,
    pytest.mark.skipif(find_spec("sagemaker_pyspark") is None, reason="no jars that speak to S3"),
]

JOBS = Path(__file__).parents[2] / "jobs"
STAGES = ("merge", "fit", "convert")
DEADLINE_S = 240


def wait_for(what, found):
    """Return what ``found`` gives once it gives something."""
    end = time.monotonic() + DEADLINE_S
    while not (result := found()):
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.2)
    return result


def upload(root, bucket):
    for path in root.rglob("*"):
        if path.is_file():
            boto3.client("s3").upload_file(str(path), bucket, str(path.relative_to(root)))


def submitted(*steps, name="test"):
    """Start a cluster that goes when its steps are done."""
    jars = [
        {
            "Name": name,
            "ActionOnFailure": "TERMINATE_CLUSTER",
            "HadoopJarStep": {"Jar": "command-runner.jar", "Args": ["spark-submit", *arguments]},
        }
        for arguments in steps
    ]
    return boto3.client("emr").run_job_flow(
        Name=name,
        ReleaseLabel="emr-7.13.0",
        Applications=[{"Name": "Spark"}],
        Instances={"MasterInstanceType": "m5.xlarge", "InstanceCount": 1},
        Steps=jars,
    )["JobFlowId"]


def finished(id_):
    """Wait for a cluster's end, and return the states and the reasons of its steps."""
    emr = boto3.client("emr")

    def over():
        status = emr.describe_cluster(ClusterId=id_)["Cluster"]["Status"]
        return status["State"].startswith("TERMINATED")

    wait_for("the cluster's end", over)
    steps = emr.list_steps(ClusterId=id_)["Steps"][::-1]
    return [(each["Status"]["State"], each["Status"].get("FailureDetails")) for each in steps]


@pytest.fixture(scope="module")
def both(plane, spark, tmp_path_factory):
    """A lake through merge, fit and convert: in a folder, and on S3 as steps; and merged as a Glue job."""
    root = lake(tmp_path_factory.mktemp("lake"))
    path = spec(root)
    s3, glue = boto3.client("s3"), boto3.client("glue")
    for bucket in ("stages-emr", "stages-glue", "stages-code"):
        s3.create_bucket(Bucket=bucket)
    upload(root, "stages-emr")
    upload(root, "stages-glue")
    for stage in STAGES:
        s3.upload_file(str(JOBS / f"{stage}.py"), "stages-code", f"{stage}.py")

    flags = ("--spec", "s3://stages-emr/pipeline.yaml", "--root", "s3://stages-emr")
    small = ("--conf", "spark.sql.shuffle.partitions=2")
    cluster = submitted(*((*small, f"s3://stages-code/{stage}.py", *flags) for stage in STAGES))
    glue.create_job(
        Name="merge",
        Role="role",
        Command={"Name": "glueetl", "ScriptLocation": "s3://stages-code/merge.py"},
        DefaultArguments={"--root": "s3://nowhere", "--conf": "spark.sql.shuffle.partitions=2"},
    )
    arguments = {"--spec": "s3://stages-glue/pipeline.yaml", "--root": "s3://stages-glue"}
    run = glue.start_job_run(JobName="merge", Arguments=arguments)["JobRunId"]
    for stage in STAGES:
        assert runner.job(stage, None, ["--spec", path, "--root", str(root)]) == 0
    return root, finished(cluster), run


def record(root, stage):
    return json.loads(storage.read_bytes(storage.join(str(root), f"runs/shop/{stage}.json")))


def test_the_steps_end_and_what_they_made_is_what_a_folder_has(both):
    root, states, _ = both

    digests = {stage: record("s3://stages-emr", stage)["digest"] for stage in STAGES}

    assert states == [("COMPLETED", None)] * 3
    assert digests == {stage: record(root, stage)["digest"] for stage in STAGES}


def test_the_shards_are_equal_to_the_byte(both):
    root, _, _ = both
    here = {
        path.relative_to(root / "datasets" / "shop").parts[1:]: path.read_bytes()
        for path in (root / "datasets").rglob("*.rec")
    }

    listed = boto3.client("s3").list_objects_v2(Bucket="stages-emr", Prefix="datasets/")["Contents"]
    there = {
        tuple(each["Key"].split("/")[3:]): storage.read_bytes(f"s3://stages-emr/{each['Key']}")
        for each in listed
        if each["Key"].endswith(".rec")
    }

    assert here == there
    assert sum(decode(content).features.shape[0] for content in there.values()) == 600


def test_a_glue_job_run_merges_to_the_same_table(both):
    root, _, run = both
    glue = boto3.client("glue")

    def over():
        found = glue.get_job_run(JobName="merge", RunId=run)["JobRun"]
        return found if found["JobRunState"] not in ("STARTING", "RUNNING") else None

    found = wait_for("the run's end", over)
    assert (found["JobRunState"], found.get("ErrorMessage")) == ("SUCCEEDED", None)
    made = record("s3://stages-glue", "merge")
    assert made["digest"] == record(root, "merge")["digest"]
    table = open_curated(
        storage.join("s3://stages-glue", made["outputs"]["table"]).rpartition("/")[0]
    )
    batches = list(row_ranges(table, "train", 1)[0].batches(["id", "paid"], batch_rows=1000))
    assert pa.Table.from_batches(batches).num_rows == table.rows("train") > 400


BOTH_WAYS = """
import sys
from pyspark.sql import SparkSession, functions as F
session = SparkSession.builder.getOrCreate()
for scheme in ("s3", "s3a"):
    lake = f"{scheme}://both-ways"
    rows = session.read.parquet(f"{lake}/von pyarrow/größe=1/ü+&.parquet")
    counted = rows.agg(F.count("id"), F.sum("id"), F.max(F.length("text"))).first()
    print(scheme, *counted, session.read.text(f"{lake}/leer/").count())
jvm, conf = session._jvm, session._jsc.hadoopConfiguration()
whole = jvm.org.apache.hadoop.fs.Path("s3://both-ways/von spark/in Teilen.bin")
stream = whole.getFileSystem(conf).create(whole)
stream.write(bytearray(range(256)) * (12 << 12))
stream.close()
random = session.range(500_000).select("id", F.sha2(F.col("id").cast("string"), 256).alias("text"))
random.coalesce(1).write.parquet("s3://both-ways/von spark/öl", compression="none")
session.range(0).write.parquet("s3a://both-ways/von spark/nichts")
"""


@pytest.fixture(scope="module")
def exchanged(plane):
    """What Spark printed of pyarrow's objects, after it wrote some of its own."""
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="both-ways")
    rows = pa.table({"id": range(400_000), "text": [f"{i:064d}" for i in range(400_000)]})
    system, path = storage.filesystem("s3://both-ways/von pyarrow/größe=1/ü+&.parquet")
    pq.write_table(rows, path, filesystem=system, compression="none", use_dictionary=False)
    s3.put_object(Bucket="both-ways", Key="leer/nichts.txt", Body=b"")
    s3.put_object(Bucket="both-ways", Key="both.py", Body=BOTH_WAYS.encode())
    boto3.client("glue").create_job(
        Name="both",
        Role="role",
        Command={"Name": "glueetl", "ScriptLocation": "s3://both-ways/both.py"},
        DefaultArguments={
            "--conf": "spark.hadoop.fs.s3a.multipart.size=5M --conf spark.sql.shuffle.partitions=2"
        },
    )
    run = boto3.client("glue").start_job_run(JobName="both")["JobRunId"]

    def over():
        found = boto3.client("glue").get_job_run(JobName="both", RunId=run)["JobRun"]
        return found if found["JobRunState"] not in ("STARTING", "RUNNING") else None

    found = wait_for("the run's end", over)
    assert (found["JobRunState"], found.get("ErrorMessage")) == ("SUCCEEDED", None)
    events = boto3.client("logs").get_log_events(
        logGroupName="/aws-glue/jobs/output", logStreamName=run, startFromHead=True
    )["events"]
    return [event["message"] for event in events]


def tag(key):
    return boto3.client("s3").head_object(Bucket="both-ways", Key=key)["ETag"]


def test_spark_reads_what_pyarrow_wrote(exchanged):
    rows = sum(range(400_000))

    assert tag("von pyarrow/größe=1/ü+&.parquet").endswith('-3"')  # in parts, too
    assert exchanged == [f"s3 400000 {rows} 64 0", f"s3a 400000 {rows} 64 0"]


def test_pyarrow_reads_what_spark_wrote(exchanged):
    system, path = storage.filesystem("s3://both-ways/von spark/öl/")

    table = pq.read_table(path, filesystem=system)

    assert table.num_rows == 500_000
    assert table["text"][7].as_py() == (
        "7902699be42c8a8e46fbbb4501726517e86b22c56a189f7625a6da49081b2451"
    )
    parts = storage.read_bytes("s3://both-ways/von spark/in Teilen.bin")
    assert parts == bytes(range(256)) * (12 << 12)
    assert tag("von spark/in Teilen.bin").endswith('-3"')
    nothing = storage.read_bytes(storage.glob_files("s3://both-ways/von spark/nichts/")[0].uri)
    assert pq.read_table(io.BytesIO(nothing)).num_rows == 0
