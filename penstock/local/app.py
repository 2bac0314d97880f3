"""``penstock local``: the plane for a person, and for one command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer(
    help="AWS on this machine: S3, Glue, Athena, EMR and SageMaker on 127.0.0.1 that really do the work.",
    no_args_is_help=True,
)

Folder = Annotated[
    Path | None,
    typer.Option(help="Where its files go. Unset: a temporary folder, which goes with the plane."),
]
Port = Annotated[int, typer.Option(help="On 127.0.0.1; 0 takes a free one.")]
Keep = Annotated[
    bool,
    typer.Option("--keep", help="Keep buckets and catalog in the folder for the next time."),
]


@app.command()
def up(folder: Folder = None, port: Port = 0, keep: Keep = False) -> None:  # noqa: FBT002
    """Run the plane until Ctrl-C; print what a shell must export to use it."""
    from penstock.local.plane import Plane

    with Plane(folder, port=port, keep=keep) as plane:
        exports = [f"export {name}={value}" for name, value in plane.environment().items()]
        lines = [f"# local plane at {plane.endpoint}; Ctrl-C ends it", *exports]
        try:
            print("\n".join(lines), flush=True)
            plane.wait()
        except KeyboardInterrupt:
            print("stopping", file=sys.stderr)


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def run(
    command: Annotated[list[str], typer.Argument(metavar="-- COMMAND", help="What to run.")],
    folder: Folder = None,
    port: Port = 0,
    keep: Keep = False,  # noqa: FBT002
) -> None:
    """Run one command with a plane of its own; end with its exit code.

    penstock local run -- python my_job.py --bucket lake
    """
    from penstock.errors import InputError
    from penstock.local.plane import Plane

    with Plane(folder, port=port, keep=keep) as plane:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        try:
            ended = subprocess.run(command, env=kept | plane.environment(), check=False)
        except OSError as error:
            raise InputError(
                f"local plane: {command[0]!r} does not start: {error.strerror}\n"
                "  put the command after --, as a shell would find it"
            ) from error
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
    code = ended.returncode
    raise typer.Exit(128 - code if code < 0 else code)


@app.command()
def operations(
    markdown: Annotated[  # noqa: FBT002  typer's way to declare a flag
        bool, typer.Option("--markdown", help="Print docs/local-plane.md.")
    ] = False,
) -> None:
    """List what the plane does: real work, records only, refusals."""
    from rich.console import Console
    from rich.table import Table

    from penstock.local import doc
    from penstock.local.operations import table
    from penstock.local.services import services
    from penstock.local.site import Moto, Site

    made = services(Site(Path(), "", Moto(None)))
    if markdown:
        print(doc.markdown(made), end="")
        return
    shown = Table("service", "operation", "", title="the local plane")
    for each in table(made):
        if each.kind != "refused":
            shown.add_row(each.service, each.name, each.kind)
    Console().print(shown, "All other operations of these services are refused.")
