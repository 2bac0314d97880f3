"""``penstock recordio``: the verbs and their flags. What they do is in the modules beside this one."""

# ruff: noqa: FBT002  a flag of typer is an argument whose default is False

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from penstock.toolbox.tables import ReadOptions

__all__ = ["app"]

app = typer.Typer(
    help="Look into RecordIO files, check them, turn them into other formats and back.\n\n"
    "SOURCE is a file, a file:// or s3:// URI, a folder or prefix (all shards below it in name order), "
    "a dataset's .manifest (the shards it lists), a FIFO, or - for standard input. Memory is bounded by "
    "a few megabytes, whatever the size.\n\n"
    "Start with:  penstock recordio head FILE",
    epilog="Exit codes: 0 done, 1 diff: not the same, 2 flags or paths, 3 the data, 130 Ctrl-C.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

SourcePath = Annotated[
    str, typer.Argument(metavar="SOURCE", help="File, URI, folder, .manifest, FIFO, or -.")
]
Parts = Annotated[
    str,
    typer.Option(
        metavar="refuse|join|dmlc",
        help="Records cut into parts: refuse them, join them as ml-io does, or put the magic word "
        "back between them as dmlc and MXNet do.",
    ),
]
Kind = Annotated[
    str,
    typer.Option(
        metavar="auto|records|images", help="Record protobufs, MXNet image records, or find out."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
From = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="FORMAT",
        help="recordio, parquet, csv, libsvm or npz; by the suffix when not said.",
    ),
]
Label = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|NUMBER",
        help="The label's column in CSV and Parquet. When not said: the one named label, or the first "
        "of a CSV without a header.",
    ),
]
NoLabel = Annotated[bool, typer.Option("--no-label", help="There is none, or leave it out.")]
Nonfinite = Annotated[
    bool,
    typer.Option("--allow-nonfinite", help="Let NaN and infinity pass; empty CSV cells are NaN."),
]
IndexBase = Annotated[
    int, typer.Option(help="LibSVM: the number of the first column, 1 or 0.", metavar="1|0")
]
HeaderIn = Annotated[
    str,
    typer.Option(
        metavar="auto|yes|no",
        help="CSV in: whether line 1 has names; auto when a cell of it is no number.",
    ),
]
Width = Annotated[
    int | None,
    typer.Option(help="LibSVM: how many columns; without it the files are read twice."),
]
Columns = Annotated[
    str | None,
    typer.Option(metavar="LIST", help="Features to keep, by name or number: age,price or 0-9,12."),
]

Rows = Annotated[int, typer.Option("--rows", "-n", help="How many rows.")]
EachColumn = Annotated[
    bool, typer.Option("--columns", help="Least, mean and largest of every column, too.")
]
OptionalSource = Annotated[
    str | None,
    typer.Argument(metavar="SOURCE", help="File, URI, folder, .manifest, FIFO, or -."),
]
Reader = Annotated[
    str | None,
    typer.Option(
        "--for", metavar="PROFILE", help="Check what this reader accepts; see --profiles."
    ),
]
Task = Annotated[
    str | None,
    typer.Option(
        metavar="binary|multiclass|regression", help="Check that labels suit it; with --for."
    ),
]
Classes = Annotated[
    int | None, typer.Option(help="Labels are 0 to this less one; with --task multiclass.")
]
Profiles = Annotated[bool, typer.Option("--profiles", help="List the profiles and end.")]
Target = Annotated[
    str,
    typer.Argument(metavar="TARGET", help="File or URI to write, or - for standard output."),
]
To = Annotated[str | None, typer.Option("--to", metavar="FORMAT", help="As --from, for TARGET.")]
Layout = Annotated[
    str, typer.Option(metavar="keep|dense|sparse", help="What RecordIO and npz are to hold.")
]
Vector = Annotated[
    bool, typer.Option("--vector", help="Parquet: one column of lists, not one a feature.")
]
Header = Annotated[bool, typer.Option("--header", help="CSV out: a first line of names.")]
Force = Annotated[bool, typer.Option("--force", help="Replace TARGET if it is there.")]
First = Annotated[str, typer.Argument(metavar="A", help="A SOURCE of any format.")]
Second = Annotated[str, typer.Argument(metavar="B", help="Another one.")]
Tolerance = Annotated[float, typer.Option(help="Numbers that are no farther apart are equal.")]
Count = Annotated[bool, typer.Option("--count", help="Read on, and count the rows that differ.")]
Payloads = Annotated[
    bool,
    typer.Option("--bytes", help="Compare RecordIO payloads byte by byte: images, any names."),
]


def _kind(kind: str) -> Any:
    from penstock.errors import InputError

    if kind not in {"auto", "records", "images"}:
        raise InputError(f"--kind is {kind!r}, expected 'auto', 'records' or 'images'")
    return None if kind == "auto" else kind


def _parts(parts: str) -> Any:
    from penstock.recordio.framing import check_parts

    check_parts(parts)
    return parts


def _print_json(body: Any) -> None:
    typer.echo(json.dumps(body, ensure_ascii=False))


HEAD_EXAMPLES = """\b
Examples:
  penstock recordio head train/part-00000-0.rec
  penstock recordio head s3://bucket/datasets/flights/train/ -n 20
  penstock recordio head images.rec                  ids, labels, size and kind of each image
  penstock recordio head x.rec --json | jq .labels   one object a line, with all values
"""
STAT_EXAMPLES = """\b
Examples:
  penstock recordio stat train/
  penstock recordio stat train.manifest --columns
  mkfifo p; penstock recordio stat p
"""
VERIFY_EXAMPLES = """\b
Examples:
  penstock recordio verify train/
  penstock recordio verify train/ --for xgboost --task binary
  penstock recordio verify images.rec --for image-classification
  penstock recordio verify --profiles
"""
CONVERT_EXAMPLES = """\b
Examples:
  penstock recordio convert rows.parquet rows.rec --label price
  penstock recordio convert train.manifest train.parquet        names from dataset.json
  penstock recordio convert train.csv train.rec                 no header: label first
  penstock recordio convert a1a.libsvm a1a.rec --width 123
  cat train.csv | penstock recordio convert - out.rec --from csv
"""
DIFF_EXAMPLES = """\b
Examples:
  penstock recordio diff old.rec new.rec
  penstock recordio diff train.manifest train.parquet --tolerance 1e-6
  penstock recordio diff a.rec b.rec --bytes
"""


@app.command(epilog=HEAD_EXAMPLES)
def head(
    source: SourcePath,
    rows: Rows = 5,
    parts: Parts = "refuse",
    kind: Kind = "auto",
    as_json: Json = False,
) -> None:
    """Show the first rows: number, byte offset, label, layout and values."""
    from rich.console import Console

    from penstock.toolbox.head import head as first_rows
    from penstock.toolbox.head import json_line, print_rows
    from penstock.toolbox.sources import resolve

    found = resolve(source)
    top = first_rows(found, rows, parts=_parts(parts), kind=_kind(kind))
    if as_json:
        for row in top:
            typer.echo(json_line(row))
    else:
        print_rows(list(top), found, Console(highlight=False))


@app.command(epilog=STAT_EXAMPLES)
def stat(
    source: SourcePath,
    columns: EachColumn = False,
    parts: Parts = "refuse",
    kind: Kind = "auto",
    as_json: Json = False,
) -> None:
    """Count what there is: rows, frames, layouts, types, widths, labels, zeros, NaN, sizes.

    Reads everything once. Several files get a line each.
    """
    from rich.console import Console

    from penstock.toolbox.sources import resolve
    from penstock.toolbox.stat import stat as summed
    from penstock.toolbox.statview import print_summary

    found = summed(resolve(source), parts=_parts(parts), kind=_kind(kind), columns=columns)
    if as_json:
        _print_json(found.body())
    else:
        print_summary(found, Console(highlight=False))


@app.command(epilog=VERIFY_EXAMPLES)
def verify(
    source: OptionalSource = None,
    reader: Reader = None,
    task: Task = None,
    classes: Classes = None,
    profiles: Profiles = False,
    parts: Parts = "refuse",
    kind: Kind = "auto",
    as_json: Json = False,
) -> None:
    """Read every frame and every payload; end with 3 and name the first bad byte when one is bad.

    With --for also what a given algorithm accepts. All kinds of problems are listed, each with its
    first place and how many records have it.
    """
    from penstock.errors import InputError
    from penstock.toolbox.findings import BadRecordsError
    from penstock.toolbox.profiles import profile
    from penstock.toolbox.sources import resolve
    from penstock.toolbox.verify import task_of
    from penstock.toolbox.verify import verify as checked

    if profiles:
        _list_profiles()
        return
    if source is None:
        raise InputError("verify needs a SOURCE, or --profiles")
    wanted = None if reader is None else profile(reader)
    try:
        good = checked(
            resolve(source),
            parts=_parts(parts),
            kind=_kind(kind),
            reader=wanted,
            task=task_of(task, classes, wanted),
            classes=classes,
        )
    except BadRecordsError as bad:
        if as_json:
            _print_json(bad.body())
            raise typer.Exit(bad.exit_code) from bad
        raise
    if as_json:
        _print_json(good.body())
    else:
        typer.echo(str(good))


def _list_profiles() -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from penstock.toolbox.profiles import PROFILES
    from penstock.toolbox.screen import put

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("profile", no_wrap=True)
    table.add_column("")
    for entry in PROFILES.values():
        table.add_row(Text(entry.name), Text(entry.reason))
    put(Console(highlight=False), table)


@app.command(epilog=CONVERT_EXAMPLES)
def convert(
    source: SourcePath,
    target: Target,
    given: From = None,
    to: To = None,
    label: Label = None,
    no_label: NoLabel = False,
    layout: Layout = "keep",
    columns: Columns = None,
    vector: Vector = False,
    header: Header = False,
    header_in: HeaderIn = "auto",
    index_base: IndexBase = 1,
    width: Width = None,
    parts: Parts = "refuse",
    allow_nonfinite: Nonfinite = False,
    force: Force = False,
) -> None:
    """Turn RecordIO, Parquet, CSV, LibSVM or npz into another of them.

    Streams: only npz is held in memory. Numbers become float32 and come back bit for bit. TARGET
    appears when it is whole; Ctrl-C or an error leaves nothing.
    """
    from penstock.toolbox.convert import WriteOptions
    from penstock.toolbox.convert import convert as converted
    from penstock.toolbox.sources import resolve

    reading = _reading(
        label=label,
        no_label=no_label,
        columns=columns,
        layout=layout,
        parts=parts,
        header_in=header_in,
        index_base=index_base,
        width=width,
        allow_nonfinite=allow_nonfinite,
    )
    writing = WriteOptions(
        format=to, force=force, vector=vector, header=header, index_base=index_base
    )
    done = converted(resolve(source), target, given=given, reading=reading, writing=writing)
    typer.echo(str(done), err=target == "-")


def _reading(*, layout: str, parts: str, header_in: str, **options: Any) -> ReadOptions:
    from penstock.errors import InputError
    from penstock.toolbox.tables import ReadOptions

    if layout not in {"keep", "dense", "sparse"}:
        raise InputError(f"--layout is {layout!r}, expected 'keep', 'dense' or 'sparse'")
    headers = {"auto": None, "yes": True, "no": False}
    if header_in not in headers:
        raise InputError(f"--header-in is {header_in!r}, expected 'auto', 'yes' or 'no'")
    options["header"] = headers[header_in]
    return ReadOptions(layout=layout, parts=_parts(parts), **options)  # type: ignore[arg-type]


@app.command(epilog=DIFF_EXAMPLES)
def diff(
    a: First,
    b: Second,
    tolerance: Tolerance = 0.0,
    count: Count = False,
    payloads: Payloads = False,
    given: From = None,
    label: Label = None,
    no_label: NoLabel = False,
    columns: Columns = None,
    header_in: HeaderIn = "auto",
    index_base: IndexBase = 1,
    width: Width = None,
    parts: Parts = "refuse",
) -> None:
    """Say whether two sources have the same rows in the same order, else where they first differ.

    Formats and layouts do not matter: a sparse row equals the dense one with the same numbers, and
    NaN equals NaN. Ends with 0 when they are the same, 1 when not, 2 or more when that cannot be told.
    """
    from penstock.toolbox.diff import diff as compared
    from penstock.toolbox.diff import diff_payloads
    from penstock.toolbox.sources import resolve

    left, right = resolve(a), resolve(b)
    if payloads:
        found = diff_payloads(left, right, parts=_parts(parts))
    else:
        options = _reading(
            label=label,
            no_label=no_label,
            columns=columns,
            layout="keep",
            parts=parts,
            header_in=header_in,
            index_base=index_base,
            width=width,
            allow_nonfinite=True,
        )
        found = compared(
            left, right, formats=(given, given), options=options, tolerance=tolerance, count=count
        )
    typer.echo(found.text)
    if not found.same:
        raise typer.Exit(1)
