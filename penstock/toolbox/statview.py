"""What ``stat`` found, on a terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from penstock.recordio.framing import MAGIC
from penstock.toolbox.head import format_number
from penstock.toolbox.screen import put
from penstock.toolbox.stat import Summary
from penstock.toolbox.tally import TensorTally

__all__ = ["print_summary"]

_MAX_FILES = 40
_MAX_LABELS = 12


def print_summary(summary: Summary, console: Console) -> None:
    """Print a summary: the whole, then labels, files and columns when there are several."""
    table = _plain(2, header=False)
    for name, value in _facts(summary):
        table.add_row(Text(name, style="bold"), Text(value))
    put(console, table)
    if len(summary.files) > 1:
        put(console, _files(summary))
    if summary.columns is not None:
        put(console, _columns(summary))


def _plain(columns: int, *, header: bool = True) -> Table:
    table = Table(box=None, pad_edge=False, show_header=header, header_style="bold")
    for _ in range(0 if header else columns):
        table.add_column()
    return table


def _facts(summary: Summary) -> list[tuple[str, str]]:
    sizes = summary.frame_bytes
    facts = [
        ("source", summary.text),
        ("rows", f"{summary.rows:,}" + _unread(summary)),
        ("bytes", f"{summary.size_bytes:,} in {_many(len(summary.files), 'file')}"),
        ("frames", _frames(summary)),
    ]
    if sizes.count:
        mean = sizes.total / sizes.count
        facts.append(("frame bytes", f"{sizes.least:,} to {sizes.most:,}, mean {mean:,.1f}"))
    facts.append(("magic words", _magic(summary)))
    if summary.images.rows:
        facts += _images(summary)
    for name, tally in summary.features.items():
        facts += _tensor("features" if name == "values" else f"features {name!r}", tally)
    for name, tally in summary.labels.items():
        facts += _labels("labels" if name in {"values", "label"} else f"labels {name!r}", tally)
    if not summary.labels and summary.features:
        facts.append(("labels", "none"))
    facts += [(name, f"in {_many(rows, 'row')}") for name, rows in summary.texts.items()]
    return facts


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun if count == 1 else noun + 's'}"


def _unread(summary: Summary) -> str:
    if not summary.unread:
        return ""
    return f"; {summary.unread:,} of them not read: cut into parts, see --parts"


def _frames(summary: Summary) -> str:
    whole, cut = summary.flags.get(0, 0), {f: n for f, n in summary.flags.items() if f}
    if not cut:
        return f"{summary.frames:,}, all whole"
    words = {1: "first", 2: "middle", 3: "last"}
    said = [f"{n:,} {words.get(flag, f'of flag {flag}')}" for flag, n in sorted(cut.items())]
    return f"{summary.frames:,}: {whole:,} whole, parts: {', '.join(said)}"


def _magic(summary: Summary) -> str:
    if not summary.magic_words:
        return "none inside payloads"
    return f"{summary.magic_words:,} times {MAGIC:#010x} inside {_many(summary.magic_frames, 'payload')}"


def _images(summary: Summary) -> list[tuple[str, str]]:
    images = summary.images
    kinds = ", ".join(f"{n:,} {kind}" for kind, n in sorted(images.kinds.items()))
    sizes = images.sizes
    mean = sizes.total / sizes.count
    counts = images.label_counts
    each = (
        f"{counts.least:,}"
        if counts.least == counts.most
        else f"{counts.least:,} to {counts.most:,}"
    )
    return [
        ("images", kinds),
        ("image bytes", f"{sizes.least:,} to {sizes.most:,}, mean {mean:,.1f}"),
        ("labels each", each),
    ]


def _tensor(what: str, tally: TensorTally) -> list[tuple[str, str]]:
    layouts = [f"{n:,} {w}" for n, w in ((tally.dense, "dense"), (tally.sparse, "sparse")) if n]
    dtypes = ", ".join(tally.dtypes) if len(tally.dtypes) == 1 else _counted(tally.dtypes)
    facts = [(what, f"{' and '.join(layouts)} of {dtypes}, {_width(tally)}")]
    share = tally.zero_share
    values = _range(tally) + ("" if share is None else f", {share:.2%} zero")
    facts.append(("  values", values))
    if tally.sparse:
        entries = tally.entries
        mean = entries.total / entries.count
        empty = f", {_many(tally.empty, 'row')} without any" if tally.empty else ""
        facts.append(
            ("  entries", f"{entries.least:,} to {entries.most:,} a row, mean {mean:,.1f}{empty}")
        )
    if tally.numbers.nan or tally.numbers.infinite:
        facts.append(
            ("  not finite", f"{tally.numbers.nan:,} NaN, {tally.numbers.infinite:,} infinite")
        )
    return facts


def _counted(counts: Any) -> str:
    return ", ".join(f"{n:,} {what}" for what, n in sorted(counts.items()))


def _width(tally: TensorTally) -> str:
    if not tally.widths:
        return "no given width"
    low, high = min(tally.widths), max(tally.widths)
    text = f"width {low:,}" if low == high else f"width {low:,} to {high:,}"
    return text + (f", {tally.shapeless:,} without a shape" if tally.shapeless else "")


def _range(tally: TensorTally) -> str:
    body = tally.numbers.body()
    if body["min"] is None:
        return "none" if not tally.numbers.count else "none finite"
    low, mean, high = (format_number(body[name]) for name in ("min", "mean", "max"))
    return f"{low} to {high}, mean {mean}"


def _labels(what: str, tally: TensorTally) -> list[tuple[str, str]]:
    dtypes = ", ".join(tally.dtypes)
    facts = [(what, f"{_many(tally.rows, 'row')} of {dtypes}, {_range(tally)}")]
    if tally.distinct is not None and 0 < len(tally.distinct) <= _MAX_LABELS:
        counts = ", ".join(f"{value:g}: {n:,}" for value, n in sorted(tally.distinct.items()))
        facts.append(("  counts", counts))
    if tally.numbers.nan or tally.numbers.infinite:
        facts.append(
            ("  not finite", f"{tally.numbers.nan:,} NaN, {tally.numbers.infinite:,} infinite")
        )
    return facts


def _files(summary: Summary) -> Table:
    table = _plain(0)
    table.add_column("\nfile", overflow="fold")
    for name in ("rows", "frames", "parts", "bytes", "labels"):
        table.add_column(f"\n{name}", justify="right", no_wrap=True)
    for file in summary.files[:_MAX_FILES]:
        labels = file.labels.body()
        span = "-"
        if labels["min"] is not None:
            span = f"{format_number(labels['min'])} to {format_number(labels['max'])}"
        numbers = (file.rows, file.frames, file.parts, file.size_bytes)
        table.add_row(
            Text(_short(file.name, summary.text)), *(f"{number:,}" for number in numbers), span
        )
    if (more := len(summary.files) - _MAX_FILES) > 0:
        table.add_row(f"and {more:,} more; --json lists all")
    return table


def _short(name: str, source: str) -> str:
    """Return what a file is called within its source."""
    folder = source.removesuffix(".manifest").rstrip("/") + "/"
    return name.removeprefix(folder)


def _columns(summary: Summary) -> Table:
    table = _plain(0)
    table.add_column("\ncolumn", justify="right", no_wrap=True)
    if summary.names:
        table.add_column("\nname", overflow="fold")
    for name in ("min", "mean", "max", "stored", "not finite"):
        table.add_column(f"\n{name}", justify="right", no_wrap=True)
    for line in summary.body()["columns"]:
        row = [str(line["column"])]
        if summary.names:
            row.append(line.get("name", ""))
        row += ["-" if line[k] is None else format_number(line[k]) for k in ("min", "mean", "max")]
        table.add_row(*map(Text, [*row, f"{line['stored']:,}", f"{line['not_finite']:,}"]))
    return table
