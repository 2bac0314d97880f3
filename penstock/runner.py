"""Run stages for a person: one session, a bar per stage, a closing table; for the CLI and for jobs/."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from rich.console import Console

from penstock import specfile, stages
from penstock.errors import INTERRUPTED_EXIT_CODE, GateError, PenstockError
from penstock.progress import Screen, closing_table, outputs_table
from penstock.spark import session, translated
from penstock.workspace import Workspace

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["job", "run_stages"]

# What Glue adds to the arguments of every job; a stage needs none of it.
GLUE_ADDS = (
    "--JOB_ID",
    "--JOB_NAME",
    "--JOB_RUN_ID",
    "--SECURITY_CONFIGURATION",
    "--TempDir",
    "--continuation-option",
    "--encryption-type",
    "--job-bookmark-from",
    "--job-bookmark-option",
    "--job-bookmark-to",
)


def run_stages(
    names: Sequence[str], *, spec: str, root: str, force: bool = False, onto: str | None = None
) -> None:
    """Run the stages in order and print how each ended. The session starts when one needs it.

    With ``onto``, the folder of an earlier fit, the fit adds to what that one learned.

    Raises:
        PenstockError: As the first failing stage says. After a failed gate the report still runs.
    """
    workspace = Workspace(root=root, file=specfile.load(spec), onto=onto)
    _interrupt_on(signal.SIGINT, signal.SIGTERM)
    screen = Screen(Console(stderr=True))
    outcomes: list[stages.Outcome] = []
    try:
        failed = _run(names, workspace, screen, outcomes, force=force)
    except KeyboardInterrupt:
        screen.console.print(
            _interrupted(names[len(outcomes)], workspace), highlight=False, soft_wrap=True
        )
        raise SystemExit(INTERRUPTED_EXIT_CODE) from None
    Console().print(closing_table(outcomes), "", outputs_table(outcomes))
    if failed is not None:
        raise failed


def _run(
    names: Sequence[str],
    workspace: Workspace,
    screen: Screen,
    outcomes: list[stages.Outcome],
    *,
    force: bool,
) -> GateError | None:
    """Run the stages, adding to ``outcomes``; return the gate that failed, if one did."""
    failed: GateError | None = None
    with ExitStack() as open_, translated():
        made: list[SparkSession] = []

        def start() -> SparkSession:
            if not made:
                made.append(open_.enter_context(session(f"{workspace.name}: {', '.join(names)}")))
                screen.watch(made[0])
            return made[0]

        context = stages.Context(workspace=workspace, session=start, say=screen.say)
        for name in names:
            try:
                with screen.stage(name):
                    outcome = stages.run(name, context, force=force)
            except GateError as error:
                failed = error
                outcome = stages.Outcome(record=workspace.done(name), skipped=False)
            outcomes.append(outcome)
            screen.console.print(_line(outcome), highlight=False, soft_wrap=True)
            for note in _notes(outcome.record.details):
                screen.console.print(note, markup=False, highlight=False, soft_wrap=True)
    return failed


def _notes(details: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a person should know of a stage: its warnings, and what it says of each model."""
    yield from (f"warning: {warning}" for warning in details.get("warnings", ()))
    for name, body in details.items():
        if isinstance(body, dict):
            yield from (f"{name}: {note}" for note in body.get("notes", ()))


def _interrupt_on(*signals: signal.Signals) -> None:
    """Let these unwind as KeyboardInterrupt, so that containers are ended and FIFOs removed.

    SIGTERM is what YARN and a shell's kill send. A shell starts background jobs with SIGINT ignored.
    """
    if threading.current_thread() is threading.main_thread():
        for number in signals:
            signal.signal(number, signal.default_int_handler)


def _line(outcome: stages.Outcome) -> str:
    record = outcome.record
    if outcome.skipped:
        return f"{record.stage:<9} skipped: inputs, spec and code are unchanged (--force runs it)"
    found = "".join(
        f", {model} {metric} {'undefined' if value is None else f'{value:.4f}'}"
        for model, (metric, value) in record.details.get("headline", {}).items()
    )
    return f"{record.stage:<9} ran in {record.seconds:,.1f} s, {record.rows:,} rows{found}"


def _interrupted(name: str, workspace: Workspace) -> str:
    return (
        f"interrupted in stage {name!r}: it has left no record, so nothing it began is taken for whole\n"
        f"  run again: penstock {name} {workspace.file.path} --root {workspace.root}"
    )


def job(stage: str, doc: str | None, argv: Sequence[str]) -> int:
    """Run one stage as a job of jobs/ does: plain flags, an exit code, errors on standard error."""
    parser = argparse.ArgumentParser(
        prog=f"{stage}.py", description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--spec", required=True, help="a pipeline.yaml: path or URI")
    parser.add_argument(
        "--root", default=".", help="folder or s3:// URI that holds raw/ (default: .)"
    )
    parser.add_argument("--force", action="store_true", help="run even when nothing has changed")
    if stage == "fit":
        parser.add_argument(
            "--onto", help="earlier fit that these rows add to: below the root, or a URI"
        )
    for name in GLUE_ADDS:
        parser.add_argument(name, dest="_", help=argparse.SUPPRESS)
    options = vars(parser.parse_args(argv))
    del options["_"]
    try:
        run_stages((stage,), **options)
    except PenstockError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    return 0
