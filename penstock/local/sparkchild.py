"""The child that a job is: its command, its settings, its variables. Nothing of the user's is changed.

Settings, from weak to strong: ours, in the child's own spark-defaults.conf; the cluster's; the job's.
S3A comes from the jars of sagemaker-pyspark and finds the plane by its settings; s3:// is S3A, too, as
on EMR.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from penstock.errors import InputError
from penstock.host.process import TETHER, clean_environment
from penstock.java import java_home
from penstock.local.sparkargs import Submission
from penstock.local.sparkfiles import Fetcher, laid_out

__all__ = ["DRIVER_MEMORY", "Child", "prepared"]

DRIVER_MEMORY = "1g"
S3A = "org.apache.hadoop.fs.s3a.S3AFileSystem"
# One heap of 1 GiB on a few cores: other collectors start threads and take memory beside it. The second
# compiler costs more than it gives back: a merge of 600 rows took 37 s of processor time with it and 21 s
# without, one of 336,776 rows 88 s and 72 s. spark.driver.extraJavaOptions come later, and win.
JAVA_OPTIONS = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1"
INSTALL_JARS = "pip install --no-deps sagemaker-pyspark==1.4.5"
CLASS_PATH = "spark.driver.extraClassPath"
PYTHON = ("spark.pyspark.driver.python", "spark.pyspark.python")
PYTHON_VARIABLES = ("PYSPARK_DRIVER_PYTHON", "PYSPARK_PYTHON")


@dataclass(frozen=True, kw_only=True, slots=True)
class Child:
    """What to start.

    Attributes:
        argv: The command.
        cwd: Its folder.
        environment: All of its variables.
    """

    argv: tuple[str, ...]
    cwd: Path
    environment: Mapping[str, str]


def prepared(
    submission: Submission, *, folder: Path, stderr: Path, environment: Mapping[str, str]
) -> Child:
    """Fetch a submission's files and write its settings; return the child to start.

    Args:
        submission: What to run.
        folder: Work folder, which exists; ``cwd``, ``conf``, ``tmp`` and ``fetched`` are made in it.
        stderr: Where its standard error goes.
        environment: Variables that lead AWS clients to the plane.

    Raises:
        PenstockError: A file is missing or cannot be unpacked, or the machine has no Java or no jars.
    """
    cwd, conf, tmp = (folder / name for name in ("cwd", "conf", "tmp"))
    for path in (cwd, conf, tmp):
        path.mkdir(exist_ok=True)
    fetcher = Fetcher(folder / "fetched")
    script = fetcher.fetched(submission.script)
    files = laid_out(submission.files, fetcher, cwd)
    variables = {**environment, "TMPDIR": str(tmp), **submission.environment}
    roots = [variables.get("PYTHONPATH"), os.environ.get("PYTHONPATH")]
    if submission.engine == "python":
        command = [sys.executable, script]
        modules = files.get("spark.submit.pyFiles", ())
        roots += [str(Path(m).parent) if m.endswith(".py") else m for m in modules]
    else:
        _write_defaults(conf, tmp, submission, files, environment)
        command = [str(_spark_home() / "bin" / "spark-submit"), *_options(submission, conf), script]
        variables = _spark_variables(conf) | variables
    variables["PYTHONPATH"] = ":".join(root for root in roots if root)
    # The child's standard output alone goes through a pipe, as its end tells that the child has ended.
    redirected = ("/bin/sh", "-c", 'exec "$@" 2>"$0"', str(stderr), *command, *submission.arguments)
    return Child(argv=redirected, cwd=cwd, environment=clean_environment(variables))


def _options(submission: Submission, conf: Path) -> list[str]:
    given = {name: value for name, value in submission.conf.items() if name != CLASS_PATH}
    if sys.platform == "linux":
        given[PYTHON[0]] = str(_tether(conf / "driver-python", _driver_python(submission)))
    settings = [part for name, value in given.items() for part in ("--conf", f"{name}={value}")]
    return [*submission.options, *settings]


def _spark_variables(conf: Path) -> dict[str, str]:
    return {
        "JAVA_HOME": str(_java_home()),
        "SPARK_HOME": str(_spark_home()),
        "SPARK_CONF_DIR": str(conf),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_LAUNCHER_OPTS": JAVA_OPTIONS,
        **dict.fromkeys(PYTHON_VARIABLES, sys.executable),
    }


def _write_defaults(
    conf: Path,
    tmp: Path,
    submission: Submission,
    files: Mapping[str, tuple[str, ...]],
    environment: Mapping[str, str],
) -> None:
    classes = [*_jars(), *filter(None, [submission.conf.get(CLASS_PATH)])]
    settings = _defaults(tmp, environment) | {CLASS_PATH: ":".join(classes)}
    settings |= {name: ",".join(paths) for name, paths in files.items()}
    (conf / "spark-defaults.conf").write_text(_properties(settings), encoding="utf-8")


def _defaults(tmp: Path, environment: Mapping[str, str]) -> dict[str, str]:
    return {
        "spark.master": "local[*]",
        "spark.driver.memory": DRIVER_MEMORY,
        "spark.driver.defaultJavaOptions": f"{JAVA_OPTIONS} -Djava.io.tmpdir={tmp}",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.local.dir": str(tmp),
        "spark.hadoop.hadoop.tmp.dir": str(tmp),
        "spark.hadoop.fs.s3.impl": S3A,
        "spark.hadoop.fs.s3n.impl": S3A,
        "spark.hadoop.fs.s3a.endpoint": environment["AWS_ENDPOINT_URL"],
        "spark.hadoop.fs.s3a.endpoint.region": environment["AWS_REGION"],
        "spark.hadoop.fs.s3a.access.key": environment["AWS_ACCESS_KEY_ID"],
        "spark.hadoop.fs.s3a.secret.key": environment["AWS_SECRET_ACCESS_KEY"],
        "spark.hadoop.fs.s3a.aws.credentials.provider": (
            "org.apache.hadoop.fs.s3a.SimpleAWSCredentialsProvider"
        ),
        "spark.hadoop.fs.s3a.path.style.access": "true",
        "spark.hadoop.fs.s3a.connection.ssl.enabled": "false",
    }


def _properties(settings: Mapping[str, str]) -> str:
    """Return the settings as Spark reads them: a Java properties file."""
    return "".join(
        f"{name} {value}\n".replace("\\", "\\\\") for name, value in sorted(settings.items())
    )


def _driver_python(submission: Submission) -> str:
    """Return the Python that is asked for, by the order in which Spark looks for it."""
    asked = [submission.conf.get(name) for name in PYTHON]
    asked += [submission.environment.get(name) for name in PYTHON_VARIABLES]
    return next(filter(None, asked), sys.executable)


def _tether(path: Path, python: str) -> Path:
    """Write a program that is the driver's Python, and ends with the JVM that started it."""
    command = shlex.join([sys.executable, "-I", "-S", "-c", TETHER])
    path.write_text(f'#!/bin/sh\nexec {command} "$PPID" {shlex.quote(python)} "$@"\n')
    path.chmod(0o755)
    return path


@lru_cache(maxsize=1)
def _java_home() -> Path:
    return java_home()


def _spark_home() -> Path:
    return _installed("pyspark", "pip install pyspark")


@lru_cache(maxsize=1)
def _jars() -> tuple[str, ...]:
    """Return the jars of S3A and its AWS client."""
    folder = _installed("sagemaker_pyspark", f"for its jars: {INSTALL_JARS}") / "jars"
    found = [*folder.glob("hadoop-aws-*.jar"), *folder.glob("aws-java-sdk-bundle-*.jar")]
    if len(found) != 2:
        raise InputError(
            f"sagemaker-pyspark has no jars of hadoop-aws and the AWS client in {str(folder)!r}\n"
            f"  {INSTALL_JARS}"
        )
    return tuple(str(path) for path in found)


def _installed(package: str, remedy: str) -> Path:
    """Return the folder of a package, which is not imported."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise InputError(f"Spark jobs need the package {package!r}, which is missing\n  {remedy}")
    return Path(spec.submodule_search_locations[0])
