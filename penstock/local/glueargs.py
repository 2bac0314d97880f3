"""Arguments of a Glue job: which are Glue's, to be acted upon, and which are the script's.

{"--extra-py-files": "s3://b/lib.zip", "--root": "s3://lake"}
  '-- fetched, on the path              '-- the script's: --root s3://lake
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from penstock.errors import InputError
from penstock.local.sparkargs import Submission, settled, split_text

__all__ = ["checked", "submission"]

SHIM = Path(__file__).with_name("glueshim")
FILES: Mapping[str, str] = {
    "--extra-py-files": "spark.submit.pyFiles",
    "--extra-files": "spark.files",
    "--extra-jars": "spark.jars",
}
# They watch or tune a cluster; a job runs the same without.
WITHOUT_EFFECT = frozenset(
    {
        "--continuous-log-conversionPattern",
        "--continuous-log-logGroup",
        "--continuous-log-logStreamPrefix",
        "--enable-auto-scaling",
        "--enable-continuous-cloudwatch-log",
        "--enable-continuous-log-filter",
        "--enable-job-insights",
        "--enable-metrics",
        "--enable-observability-metrics",
        "--enable-rename-algorithm-v2",
        "--enable-s3-parquet-optimized-committer",
        "--enable-spark-ui",
        "--executor-cores",
        "--job-language",
        "--spark-event-logs-path",
        "--user-jars-first",
        "--write-shuffle-files-to-s3",
    }
)
# What is refused when it says so, and what to do instead.
REFUSED: Mapping[str, str] = {
    "--additional-python-modules": "install them where the plane runs: jobs share its environment",
    "--class": "write the job in Python",
    "--datalake-formats": "give the format's jars in --extra-jars",
    "--python-virtual-env": "install its packages where the plane runs: jobs share its environment",
}


def checked(command: Mapping[str, str], arguments: Mapping[str, str]) -> None:
    """Refuse what a job would need and the plane has not.

    Raises:
        InputError: Says what, and what to do.
    """
    name = command.get("Name", "")
    if name not in ("glueetl", "gluestreaming", "pythonshell"):
        raise InputError(
            f"Command.Name is {name!r}\n  expected 'glueetl', 'gluestreaming' or 'pythonshell'"
        )
    if arguments.get("--job-language", "python") != "python":
        raise InputError("--job-language is 'scala'\n  write the job in Python")
    if arguments.get("--job-bookmark-option", "job-bookmark-disable") != "job-bookmark-disable":
        raise InputError(
            f"--job-bookmark-option is {arguments['--job-bookmark-option']!r}\n"
            "  the plane keeps no bookmarks; say 'job-bookmark-disable'"
        )
    for argument, remedy in REFUSED.items():
        if arguments.get(argument):
            raise InputError(f"{argument} is {arguments[argument]!r}\n  {remedy}")


def submission(
    command: Mapping[str, str], arguments: Mapping[str, str], given: Mapping[str, str]
) -> Submission:
    """Return what a job run is to run.

    Args:
        command: The job's Command.
        arguments: Of the run, the job's own among them.
        given: Arguments that Glue gives every script.

    Raises:
        InputError: ``--conf`` is no list of settings.
    """
    conf = _conf(arguments.get("--conf", ""))
    conf |= {FILES[name]: value for name, value in arguments.items() if name in FILES and value}
    left_out = {*FILES, *WITHOUT_EFFECT, *REFUSED, "--conf", "--enable-glue-datacatalog"}
    own = {name: value for name, value in arguments.items() if name not in left_out}
    notes = []
    if arguments.get("--enable-glue-datacatalog", "false") != "false":
        notes.append("--enable-glue-datacatalog: Spark SQL has no tables here; read their paths")
    made = Submission(
        script=command["ScriptLocation"],
        arguments=tuple(part for pair in {**given, **own}.items() for part in pair),
        environment={"PYTHONPATH": str(SHIM)},
        notes=tuple(notes),
        engine="python" if command["Name"] == "pythonshell" else "spark",
    )
    return settled(made, conf)


def _conf(text: str) -> dict[str, str]:
    """Return the settings of ``a=1 --conf b=2``, which is how several go into one argument."""
    found = {}
    for part in split_text(text):
        name, equals, value = part.partition("=")
        if part != "--conf" and not equals:
            raise InputError(f"--conf is {text!r}\n  expected NAME=VALUE [--conf NAME=VALUE ...]")
        if equals:
            found[name] = value
    return found
