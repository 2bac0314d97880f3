"""``penstock catalog``: the verbs of the Glue catalog and their flags."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer(
    help="What the Glue catalog would make of files.", no_args_is_help=True, rich_markup_mode=None
)


@app.callback()
def _verbs() -> None:
    """Keep ``preview`` a verb of its own, as the only one there is."""


@app.command()
def preview(
    path: Annotated[str, typer.Argument(metavar="PATH", help="Folder, file, or s3:// URI.")],
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            metavar="GLOB", help="Leave out paths below PATH, as Exclusions do; repeat it."
        ),
    ] = None,
    combine: Annotated[  # noqa: FBT002
        bool, typer.Option("--combine", help="As TableGroupingPolicy CombineCompatibleSchemas.")
    ] = False,
    level: Annotated[
        int | None, typer.Option(help="As TableLevelConfiguration: depth of tables, 1 the bucket.")
    ] = None,
) -> None:
    """Show the tables, columns and partitions that a Glue crawler would make of PATH; warn of surprises.

    Reads what a crawler reads: footers, or the first MiB of a file, of 100 files a folder at most.
    Writes nothing.
    """
    from rich.console import Console

    from penstock.local.crawler import preview as shown

    found = shown.preview(path, exclusions=exclude or (), combine=combine, level=level)
    shown.show(found, Console())
