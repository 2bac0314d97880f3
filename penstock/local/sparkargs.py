"""spark-submit's arguments as data: what a laptop takes over, and what only a cluster can use.

spark-submit --deploy-mode cluster --py-files s3://b/lib.zip s3://b/app.py --day 2024-01-01
             '------- dropped, noted      '-- fetched         '-- script   '-- its own arguments
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from penstock.errors import InputError

__all__ = ["Submission", "parse", "settled", "split_text"]

SWITCHES = frozenset({"--verbose", "-v"})
# How much of a cluster a job takes: here it has this machine, and a bounded heap.
CLUSTER_OPTIONS = frozenset(
    {
        "--deploy-mode",
        "--driver-memory",
        "--driver-cores",
        "--executor-memory",
        "--executor-cores",
        "--total-executor-cores",
        "--num-executors",
        "--queue",
        "--principal",
        "--keytab",
        "--proxy-user",
    }
)
CLUSTER_CONF = frozenset(
    {
        "spark.master",
        "spark.submit.deployMode",
        "spark.driver.memory",
        "spark.driver.cores",
        "spark.executor.memory",
        "spark.executor.cores",
        "spark.executor.instances",
        "spark.dynamicAllocation.enabled",
    }
)
REFUSED = frozenset(
    {"--kill", "--status", "--supervise", "--properties-file", "--help", "--version"}
)
# Options that name files -> the setting that says the same.
FILES: Mapping[str, str] = {
    "--py-files": "spark.submit.pyFiles",
    "--files": "spark.files",
    "--archives": "spark.archives",
    "--jars": "spark.jars",
}
# Options that say what a setting says.
SETTINGS: Mapping[str, str] = {
    **FILES,
    "--driver-class-path": "spark.driver.extraClassPath",
    "--driver-java-options": "spark.driver.extraJavaOptions",
    "--master": "spark.master",
}
KEPT = frozenset(
    {
        "--class",
        "--driver-library-path",
        "--exclude-packages",
        "--name",
        "--packages",
        "--repositories",
    }
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Submission:
    """What a spark-submit is to run.

    Attributes:
        script: Path or URI of the program: ``.py``, or a jar with ``--class`` in ``options``.
        arguments: The program's own.
        options: Options that are passed on, in pairs or alone, as given.
        conf: Settings, files apart.
        files: ``spark.files``, ``spark.archives``, ``spark.submit.pyFiles`` and ``spark.jars`` -> paths
            and URIs.
        environment: Variables for the driver.
        engine: ``spark``, or ``python`` for a program that needs no JVM.
        notes: What was left out, and why, for the log of the step.
    """

    script: str
    arguments: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    conf: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    engine: Literal["spark", "python"] = "spark"

    def under(self, defaults: Mapping[str, str]) -> Submission:
        """Return the submission with settings that hold where it says nothing itself."""
        below = settled(Submission(script=self.script), defaults)
        return replace(
            self,
            conf={**below.conf, **self.conf},
            files={**below.files, **self.files},
            environment={**below.environment, **self.environment},
            notes=(*below.notes, *self.notes),
        )


def parse(arguments: Sequence[str]) -> Submission:
    """Return what ``spark-submit ARGUMENTS`` is to run.

    Raises:
        InputError: An option is unknown or lacks its value, or there is no program.
    """
    left = list(arguments)
    options: list[str] = []
    conf: dict[str, str] = {}
    notes: list[str] = []
    while left and left[0].startswith("-"):
        option = left.pop(0)
        if option in SWITCHES:
            options.append(option)
            continue
        option, equals, value = option.partition("=")
        option = {"-c": "--conf"}.get(option, option)
        _check(option)
        if not equals:
            value = _value(option, left)
        if option == "--conf":
            name, equals, text = value.partition("=")
            if not equals:
                raise InputError(
                    f"spark-submit: --conf {value!r} has no '='\n  say --conf NAME=VALUE"
                )
            conf[name] = text
        elif option in SETTINGS:
            conf[SETTINGS[option]] = value
        elif option in CLUSTER_OPTIONS:
            notes.append(f"{option} {value} is for a cluster: left out")
        else:
            options += [option, value]
    if not left:
        raise InputError(
            "spark-submit: the arguments name no program\n"
            "  say spark-submit [OPTIONS] s3://BUCKET/app.py [ARGUMENTS]"
        )
    made = Submission(script=left[0], arguments=tuple(left[1:]), options=tuple(options))
    return settled(replace(made, notes=tuple(notes)), conf)


def split_text(text: str) -> list[str]:
    """Return the arguments of one line, as a shell reads them.

    Raises:
        InputError: A quote is not closed.
    """
    try:
        return shlex.split(text)
    except ValueError as error:
        raise InputError(
            f"spark-submit: {text!r} cannot be cut into arguments: {error}\n  close the quotes"
        ) from None


def _check(option: str) -> None:
    known = {"--conf", *SETTINGS, *CLUSTER_OPTIONS, *KEPT}
    if option in REFUSED:
        raise InputError(f"spark-submit: option {option} is not in the local plane\n  leave it out")
    if option not in known:
        raise InputError(
            f"spark-submit: unknown option {option!r}\n  expected one of {', '.join(sorted(known))}"
        )


def _value(option: str, left: list[str]) -> str:
    if not left:
        raise InputError(f"spark-submit: option {option} has no value\n  say {option} VALUE")
    return left.pop(0)


def settled(made: Submission, conf: Mapping[str, str]) -> Submission:
    """Return ``made`` with settings sorted into those kept, files, variables, and those left out."""
    kept: dict[str, str] = {}
    files: dict[str, tuple[str, ...]] = {}
    environment = dict(made.environment)
    notes = list(made.notes)
    for name, value in conf.items():
        variable = _variable(name)
        local = name == "spark.master" and value.startswith("local[")
        if name in CLUSTER_CONF and not local:
            notes.append(f"--conf {name}={value} is for a cluster: left out")
        elif name in FILES.values():
            files[name] = tuple(part.strip() for part in value.split(",") if part.strip())
        elif variable:
            environment[variable] = value
        else:
            kept[name] = value
    return replace(made, conf=kept, files=files, environment=environment, notes=tuple(notes))


def _variable(name: str) -> str:
    """Return the variable that a setting gives the driver of a cluster, or nothing."""
    for prefix in ("spark.yarn.appMasterEnv.", "spark.emr-serverless.driverEnv."):
        if name.startswith(prefix):
            return name.removeprefix(prefix)
    return ""
