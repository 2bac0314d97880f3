"""The ``penstock`` command. Every verb is a thin face of the package; heavy imports wait for a verb."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from penstock import __version__
from penstock.errors import PenstockError
from penstock.local.app import app as local_app
from penstock.local.catalogapp import app as catalog_app
from penstock.toolbox.app import app as recordio_app

__all__ = ["app", "main"]

EPILOG = """Exit codes: 0 done, 2 your spec, flags or paths, 3 the data, 4 a job, container or AWS,
5 not in the local plane, 6 a gate failed, 130 Ctrl-C."""

app = typer.Typer(
    name="penstock",
    help="From a data lake to a trained model: Spark, RecordIO-protobuf and SageMaker containers.\n\n"
    "One pipeline.yaml describes a pipeline; every stage is a function from tables to tables plus one "
    "small JSON file of what it learned, and training reads only bytes that a manifest lists.\n\n"
    "Start with:  penstock plan examples/flights/pipeline.yaml",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
dataset_app = typer.Typer(help="Look after RecordIO datasets: verify, sweep.", no_args_is_help=True)
app.add_typer(dataset_app, name="dataset")
app.add_typer(recordio_app, name="recordio")
app.add_typer(local_app, name="local")
app.add_typer(catalog_app, name="catalog")

SpecPath = Annotated[str, typer.Argument(metavar="SPEC", help="A pipeline.yaml: path or URI.")]
Root = Annotated[
    str, typer.Option(help="Folder or s3:// URI that holds raw/ and receives all the rest.")
]
Force = Annotated[bool, typer.Option("--force", help="Run even when nothing has changed.")]


def _verb(stage: str, summary: str) -> None:
    """Add the verb of one stage."""

    def verb(spec: SpecPath, root: Root = ".", force: Force = False) -> None:  # noqa: FBT002
        from penstock.runner import run_stages

        run_stages((stage,), spec=spec, root=root, force=force)

    verb.__doc__ = summary
    app.command(name=stage, help=summary)(verb)


@app.command()
def run(spec: SpecPath, root: Root = ".", force: Force = False) -> None:  # noqa: FBT002
    """Run all stages: merge, fit, convert, train, evaluate, report.

    A stage whose inputs, part of the spec and code have not changed is skipped, and says so. A model
    below its gate still gets its report; the exit code is then 6.
    """
    from penstock.runner import run_stages
    from penstock.workspace import STAGES

    run_stages(STAGES, spec=spec, root=root, force=force)


_verb(
    "merge",
    "raw -> curated: join the sources, one row per key, split and shuffled by hash.\n\n"
    "Malformed rows go to quarantine/ with file, line and reason. A key that repeats on the one-side of "
    "a join is an error. Writes curated/<pipeline>/<run>/.",
)


@app.command(
    help="curated -> plan.json: learn imputation and encoding from the train split, in one scan.\n\n"
    "Writes plans/<pipeline>/<run>/plan.json, to be read by a person, profile.json for the report and "
    "statistics.json. With --onto the rows of a new day add to the statistics of an earlier fit: the plan "
    "is that of all rows, and only the new ones are read."
)
def fit(
    spec: SpecPath,
    root: Root = ".",
    force: Force = False,  # noqa: FBT002
    onto: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER", help="Earlier fit to add to: plans/<pipeline>/<run>, or a URI."
        ),
    ] = None,
) -> None:
    """Run the fit stage."""
    from penstock.runner import run_stages

    run_stages(("fit",), spec=spec, root=root, force=force, onto=onto)


_verb(
    "convert",
    "curated x plan -> RecordIO-protobuf shards and manifests, written last.\n\n"
    "Writes datasets/<pipeline>/<run>/<split>/. The same input gives the same bytes.",
)
_verb(
    "train",
    "datasets -> models: run each algorithm's container program, fed through FIFOs (Pipe mode).\n\n"
    "Writes models/<pipeline>/<model>/<run>/model.tar.gz, training.json and log.txt.",
)
_verb(
    "evaluate",
    "models x test split -> metrics.json, and the gates of the spec.\n\n"
    "Ends with exit code 6 when a model is below a gate. Writes reports/<pipeline>/metrics.json.",
)
_verb(
    "report",
    "Everything so far -> one self-contained HTML page.\n\nWrites reports/<pipeline>/index.html.",
)


@app.command()
def plan(spec: SpecPath, root: Root = ".") -> None:
    """Show what would run: sources, columns with types, joins, predicted width and sizes.

    Reads the sources and runs a few small Spark jobs; writes nothing.
    """
    from penstock.preview import show_plan

    show_plan(spec=spec, root=root)


@app.command()
def features(spec: SpecPath, root: Root = ".") -> None:
    """Print the features section that a spec without one gets: YAML, with a reason for each column.

    Runs what plan runs and writes nothing. To change it: penstock features SPEC > features.yaml, edit,
    and put it into the spec.
    """
    from penstock.preview import features_section

    print(features_section(spec=spec, root=root), end="")


@app.command()
def serve(
    plan: Annotated[str, typer.Argument(metavar="PLAN_FOLDER", help="Folder with plan.json.")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8080,
) -> None:
    """Answer rows with their features over HTTP, as the serving container does, on this machine.

    Prints the URL and a request to try. Ends with Ctrl-C. Formats and settings: docs/serving.md.
    """
    from penstock.containers.features import serve_folder

    serve_folder(plan, port)


@app.command()
def schema(
    markdown: Annotated[  # noqa: FBT002  typer's way to declare a flag
        bool, typer.Option("--markdown", help="Print it as tables, to be read.")
    ] = False,
) -> None:
    """Print the JSON Schema of pipeline.yaml, for editors that complete and check.

    In VS Code: penstock schema > pipeline.schema.json, then put
    # yaml-language-server: $schema=pipeline.schema.json on the first line of the YAML.
    """
    from penstock import specdoc
    from penstock.spec import Spec

    made = Spec.model_json_schema()
    print(specdoc.markdown(made) if markdown else json.dumps(made, indent=2), end="")


Prefix = Annotated[
    str, typer.Argument(metavar="PREFIX", help="One split: datasets/<name>/<run>/train/.")
]


@dataset_app.command()
def verify(prefix: Prefix) -> None:
    """Read every shard and compare size and checksum (XXH128) with dataset.json; name the first bad one."""
    from penstock import dataset

    opened = dataset.open_dataset(prefix)
    dataset.verify(opened)
    print(f"{opened.uri}: {len(opened.shards)} shards, {opened.rows:,} rows, all as listed")


@dataset_app.command()
def sweep(prefix: Prefix) -> None:
    """Delete shards that the manifest does not list: leavings of failed or repeated tasks.

    On S3 unfinished uploads go too: nobody sees them, and they cost money.
    """
    from penstock import dataset

    swept = dataset.sweep(prefix)
    print("\n".join([*swept, f"{len(swept)} {'orphan' if len(swept) == 1 else 'orphans'} swept"]))


def _version(value: bool) -> None:  # noqa: FBT001  typer's callback
    if value:
        print(f"penstock {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[  # noqa: FBT002  typer's way to declare a flag
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print it and exit."),
    ] = False,
) -> None:
    """Options before any verb."""
    del version


def main() -> None:
    """Run the command and end the process with its exit code; a deliberate error is no traceback."""
    try:
        app()
    except PenstockError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
