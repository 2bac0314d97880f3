"""The flights example through AWS's own calls, on the local plane: crawl, SQL, three EMR steps, a training job.

    python examples/flights/on_plane.py --root .

No account, no Docker: the plane answers on 127.0.0.1 and really does the work. Nothing below knows that
it is local; with AWS's own endpoints, roles and buckets the same calls run there.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from penstock import aws
from penstock.local import Plane

HERE = Path(__file__).parent
JOBS = HERE.parents[1] / "jobs"
LAKE = "flights-lake"
ROLE = "arn:aws:iam::123456789012:role/penstock"
IMAGE = "382416733822.dkr.ecr.us-east-1.amazonaws.com/linear-learner:1"
STAGES = ("merge", "fit", "convert")
DEADLINE_S = 600
POLL_S = 0.5

QUERY = """
SELECT carrier, count(*) AS flights, round(avg(arr_delay), 1) AS mean_delay_min,
       round(100.0 * count_if(arr_delay > 15) / count(*), 1) AS late_pct
FROM flights
WHERE arr_delay IS NOT NULL AND month IN ('06', '07')
GROUP BY carrier
ORDER BY late_pct DESC
LIMIT 5
"""

console = Console(highlight=False)


def wait(what: str, found: Callable[[], Any]) -> Any:
    """Return what ``found`` gives once it gives something."""
    end = time.monotonic() + DEADLINE_S
    while not (result := found()):
        if time.monotonic() > end:
            raise SystemExit(f"error: waited {DEADLINE_S} s in vain for {what}")
        time.sleep(POLL_S)
    return result


def upload(root: Path) -> str:
    """Put the raw lake, the spec and the jobs where AWS finds them."""
    s3 = aws.client("s3")
    s3.create_bucket(Bucket=LAKE)
    files = [path for path in (root / "raw" / "flights").rglob("*.*") if path.is_file()]
    for path in files:
        s3.upload_file(str(path), LAKE, path.relative_to(root).as_posix())
    s3.upload_file(str(HERE / "pipeline.yaml"), LAKE, "code/pipeline.yaml")
    for stage in STAGES:
        s3.upload_file(str(JOBS / f"{stage}.py"), LAKE, f"code/{stage}.py")
    size_mb = sum(path.stat().st_size for path in files) / 1e6
    return f"{len(files)} files, {size_mb:.0f} MB, to s3://{LAKE}/raw/flights/"


def crawl() -> str:
    """Let a Glue crawler find the tables."""
    glue = aws.client("glue")
    glue.create_database(DatabaseInput={"Name": "flights"})
    glue.create_crawler(
        Name="flights",
        Role=ROLE,
        DatabaseName="flights",
        Targets={"S3Targets": [{"Path": f"s3://{LAKE}/raw/flights/"}]},
    )
    glue.start_crawler(Name="flights")

    def ready() -> Any:
        crawler = glue.get_crawler(Name="flights")["Crawler"]
        return crawler.get("LastCrawl") if crawler["State"] == "READY" else None

    last = wait("the crawler", ready)
    if last["Status"] != "SUCCEEDED":
        raise SystemExit(f"error: the crawl ended {last['Status']}: {last.get('ErrorMessage')}")
    tables = glue.get_tables(DatabaseName="flights")["TableList"]
    return "tables " + ", ".join(
        f"{table['Name']} ({len(table['StorageDescriptor']['Columns'])} columns)"
        for table in tables
    )


def query() -> str:
    """Ask Athena which carriers are late in summer."""
    athena = aws.client("athena")
    id_ = athena.start_query_execution(
        QueryString=QUERY,
        QueryExecutionContext={"Database": "flights"},
        ResultConfiguration={"OutputLocation": f"s3://{LAKE}/athena/"},
    )["QueryExecutionId"]

    def ended() -> Any:
        found = athena.get_query_execution(QueryExecutionId=id_)["QueryExecution"]
        return found if found["Status"]["State"] not in ("QUEUED", "RUNNING") else None

    status = wait("the query", ended)["Status"]
    if status["State"] != "SUCCEEDED":
        raise SystemExit(f"error: the query ended {status['State']}: {status['StateChangeReason']}")
    rows = athena.get_query_results(QueryExecutionId=id_)["ResultSet"]["Rows"]
    cells = [[cell.get("VarCharValue", "") for cell in row["Data"]] for row in rows]
    shown = Table(*cells[0], box=None, padding=(0, 2))
    for line in cells[1:]:
        shown.add_row(*line)
    console.print(shown)
    return f"{len(cells) - 1} rows in s3://{LAKE}/athena/{id_}.csv"


def _step(stage: str) -> dict[str, Any]:
    """Return a step that runs a job of jobs/."""
    submit = ["spark-submit", "--deploy-mode", "cluster", f"s3://{LAKE}/code/{stage}.py"]
    flags = ["--spec", f"s3://{LAKE}/code/pipeline.yaml", "--root", f"s3://{LAKE}"]
    return {
        "Name": stage,
        "ActionOnFailure": "TERMINATE_CLUSTER",
        "HadoopJarStep": {"Jar": "command-runner.jar", "Args": [*submit, *flags]},
    }


def steps() -> str:
    """Run merge, fit and convert as steps of an EMR cluster that goes when they are done."""
    emr = aws.client("emr")
    cluster = emr.run_job_flow(
        Name="flights",
        ReleaseLabel="emr-7.13.0",
        Applications=[{"Name": "Spark"}],
        LogUri=f"s3://{LAKE}/logs/",
        JobFlowRole="EMR_EC2_DefaultRole",
        ServiceRole="EMR_DefaultRole",
        Instances={"MasterInstanceType": "m5.xlarge", "InstanceCount": 1},
        Steps=[_step(stage) for stage in STAGES],
    )["JobFlowId"]
    said: set[str] = set()

    def ended() -> bool:
        for step in emr.list_steps(ClusterId=cluster)["Steps"][::-1]:
            times = step["Status"]["Timeline"]
            if "EndDateTime" in times and step["Id"] not in said:
                said.add(step["Id"])
                console.print(_told(step), soft_wrap=True)
        state = emr.describe_cluster(ClusterId=cluster)["Cluster"]["Status"]["State"]
        return str(state).startswith("TERMINATED")

    wait("the steps", ended)
    states = {step["Status"]["State"] for step in emr.list_steps(ClusterId=cluster)["Steps"]}
    if states != {"COMPLETED"}:
        raise SystemExit("error: a step failed")
    record = _record("convert")
    rows = {split: record["details"][split]["rows"] for split in record["outputs"]}
    return (
        f"cluster {cluster}: {sum(rows.values()):,} rows as RecordIO, {rows['train']:,} to train on"
    )


def _told(step: dict[str, Any]) -> str:
    """Return how a step ended, in a line."""
    status, times = step["Status"], step["Status"]["Timeline"]
    took = (times["EndDateTime"] - times.get("StartDateTime", times["EndDateTime"])).seconds
    why = status.get("FailureDetails", {}).get("Message", "")
    return f"  step {step['Name']:<8} {status['State'].lower()} in {took} s {why}".rstrip()


def _record(stage: str) -> Any:
    body = aws.client("s3").get_object(Bucket=LAKE, Key=f"runs/flights/{stage}.json")["Body"]
    return json.loads(body.read())


def _channel(name: str, manifest: str) -> dict[str, Any]:
    source = {
        "S3DataType": "ManifestFile",
        "S3Uri": f"s3://{LAKE}/{manifest}",
        "S3DataDistributionType": "FullyReplicated",
    }
    return {
        "ChannelName": name,
        "ContentType": "application/x-recordio-protobuf",
        "DataSource": {"S3DataSource": source},
    }


def train() -> str:
    """Train a linear learner on the shards, through pipes."""
    sagemaker = aws.client("sagemaker")
    outputs = _record("convert")["outputs"]
    channels = [_channel(name, outputs[name]) for name in ("train", "validation")]
    sagemaker.create_training_job(
        TrainingJobName="flights-late",
        AlgorithmSpecification={"TrainingImage": IMAGE, "TrainingInputMode": "Pipe"},
        RoleArn=ROLE,
        InputDataConfig=channels,
        OutputDataConfig={"S3OutputPath": f"s3://{LAKE}/models/"},
        ResourceConfig={"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 30},
        StoppingCondition={"MaxRuntimeInSeconds": DEADLINE_S},
        HyperParameters={
            "predictor_type": "binary_classifier",
            "epochs": "5",
            "mini_batch_size": "1000",
        },
    )

    def ended() -> Any:
        found = sagemaker.describe_training_job(TrainingJobName="flights-late")
        return found if found["TrainingJobStatus"] not in ("InProgress", "Stopping") else None

    job = wait("the training job", ended)
    if job["TrainingJobStatus"] != "Completed":
        raise SystemExit(f"error: the training job failed: {job.get('FailureReason')}")
    for metric in job.get("FinalMetricDataList", ()):
        if metric["MetricName"].startswith("validation:"):
            console.print(f"  {metric['MetricName']} {metric['Value']:.4f}")
    return str(job["ModelArtifacts"]["S3ModelArtifacts"])


@contextmanager
def timed(times: list[tuple[str, float]], name: str) -> Iterator[None]:
    """Show what runs, and keep how long it took."""
    started = time.monotonic()
    with console.status(f"{name} ..."):
        yield
    times.append((name, time.monotonic() - started))


def main(argv: list[str]) -> int:
    """Run it all on a plane of its own."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", type=Path, default=Path(), help="folder that holds raw/flights")
    parser.add_argument("--folder", type=Path, help="where the plane's files go; default: away")
    options = parser.parse_args(argv)
    if not (options.root / "raw" / "flights").is_dir():
        print(f"error: no raw/flights in {options.root}; run make_lake.py first", file=sys.stderr)
        return 2
    work: list[tuple[str, Callable[[], str]]] = [
        ("upload", lambda: upload(options.root)),
        ("crawl", crawl),
        ("query", query),
        ("steps", steps),
        ("train", train),
    ]
    times: list[tuple[str, float]] = []
    with Plane(options.folder) as plane, plane.as_environment():
        console.print(f"local plane at {plane.endpoint}")
        for name, run in work:
            with timed(times, name):
                said = run()
            console.print(f"{name:<7}{times[-1][1]:6.1f} s  {said}", soft_wrap=True)
    console.print(f"total  {sum(seconds for _, seconds in times):6.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
