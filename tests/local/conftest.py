"""The plane, for all tests of it."""

from __future__ import annotations

from importlib.util import find_spec

from penstock.local.fixtures import plane

__all__ = ["plane"]

# Programs that tests start as processes of their own.
collect_ignore = ["echoserver.py", "sagemaker_core_client.py", "sagemaker_spark.py", "trainer.py"]

if find_spec("awswrangler") is None:  # as in the environment of Spark 4.1
    collect_ignore.append("test_athena_awswrangler.py")
