"""docs/local-plane.md: which operations are real, recorded only, or refused; made from the services' code."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from itertools import groupby

from penstock.local.operations import Operation, table
from penstock.local.site import Service

__all__ = ["markdown"]

HEAD = """# The local plane

AWS APIs on 127.0.0.1 that really do the work, for clients that know nothing of it: boto3, awswrangler, the SageMaker SDKs,
sagemaker-pyspark's Java clients, Spark over s3a, the AWS CLI. No account, no Docker.

    penstock local up                        # runs until Ctrl-C; prints what a shell must export
    penstock local run -- python my_job.py   # a plane for one command

```python
from penstock.local import Plane

with Plane() as plane, plane.as_environment():
    boto3.client("s3").create_bucket(Bucket="lake")
```

In tests, put `from penstock.local.fixtures import plane` into a conftest.py. The plane is one process that listens on
127.0.0.1 only, on a free port unless one is asked for. Its files lie in one folder; with `--keep` buckets, the Glue catalog,
crawlers, jobs and SageMaker models are there again the next time. When it stops, or whoever started it dies, its child processes
end too.

moto keeps wire formats, names, validation and states. In front of it stand the operations below that are **real**. Those that moto
only **records** are remembered and have no effect. All others are **refused**, with an error that says so. Services that are not listed
(S3, IAM, STS, CloudWatch Logs, ...) are moto's; S3 besides has AWS's conditional writes.

*This page is made by `penstock local operations --markdown`.*"""


def markdown(services: Sequence[Service]) -> str:
    """Return the page: for each service its notes and a table of operations."""
    lines = [HEAD]
    for name, found in groupby(table(services), key=lambda each: each.service):
        lines += ["", f"## {name}", ""]
        for service in (each for each in services if each.name == name):
            lines += [*_notes(service), ""]
        lines += _rows(tuple(found))
    return "\n".join(lines) + "\n"


def _notes(service: Service) -> Iterator[str]:
    """Yield the docstring of the service's module, without its indentation."""
    module = inspect.getmodule(type(service))
    yield inspect.cleandoc((module.__doc__ if module else None) or "")


def _rows(operations: Sequence[Operation]) -> Iterator[str]:
    yield "| | operations |"
    yield "|---|---|"
    for kind in ("real", "recorded", "refused"):
        names = [each.name for each in operations if each.kind == kind]
        if kind == "refused" and names:
            yield f"| refused | {len(names)} others |"
        elif names:
            yield f"| {kind} | {', '.join(names)} |"
