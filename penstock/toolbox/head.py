"""The first rows of a source, as a table that fits the terminal or as JSON Lines."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from penstock.errors import InputError
from penstock.recordio.framing import Parts
from penstock.toolbox.chunks import Chunk
from penstock.toolbox.content import Cells, Content, Kind, pictures
from penstock.toolbox.screen import put
from penstock.toolbox.sources import Source
from penstock.toolbox.walk import Step, parts_refused, steps

__all__ = ["Tensor", "TopRow", "head", "json_line", "print_rows"]

PIECE_BYTES = 1 << 16
"""A few rows need no more; a larger record makes the piece larger."""
_TABLE_VALUES = 400
"""Numbers of a row that are turned into text at most: more fit no terminal."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tensor:
    """One tensor of one row.

    Attributes:
        name: ``values``, mostly.
        dtype: float32, float64 or int32.
        values: (n,).
        keys: Column of each value; None when dense.
        width: Product of the shape, or the number of values of a dense one; None when not given.
    """

    name: str
    dtype: str
    values: Any
    keys: Any | None
    width: int | None


@dataclass(kw_only=True, slots=True)
class TopRow:
    """One row, as ``head`` shows it.

    Attributes:
        file: What its input is called.
        row: Its number in that input.
        byte: Where its frame begins there.
        features: Of a Record, in its order.
        labels: Of a Record, in its order.
        texts: uid, metadata, configuration, those it has.
        image: Of an image record: id, labels, bytes, kind.
    """

    file: str
    row: int
    byte: int
    features: list[Tensor] = field(default_factory=list)
    labels: list[Tensor] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    image: dict[str, Any] | None = None


def head(source: Source, rows: int, *, parts: Parts, kind: Kind | None) -> Iterator[TopRow]:
    """Yield the first rows of a source. Reads little more than they need.

    Raises:
        InputError: ``rows`` is not at least 1.
        CorruptRecordError: The bytes before the last of these rows are no RecordIO, or no Records.
    """
    if rows < 1:
        raise InputError(f"--rows is {rows!r}, expected at least 1")
    left = rows
    for step in steps(source, parts=parts, kind=kind, what="head", piece_bytes=PIECE_BYTES):
        if step.chunk is None:
            continue
        if step.chunk.records is None and step.chunk.error is None:
            raise parts_refused(step.chunk, step.input.name)
        found = _rows(step, step.chunk, left)
        yield from found
        left -= len(found)
        if not left:
            return
        if step.chunk.error is not None:
            raise step.chunk.error


def _rows(step: Step, chunk: Chunk, most: int) -> list[TopRow]:
    if chunk.records is None or not chunk.records.starts.size:
        return []
    frames = chunk.records.between(0, most)
    name = step.input.name
    found = [
        TopRow(file=name, row=chunk.first_row + row, byte=int(offset))
        for row, offset in enumerate(frames.offsets.tolist())
    ]
    if step.kind == "images":
        images = pictures(chunk.data, frames, source=name)
        for row, top in enumerate(found):
            labels = images.labels[images.label_starts[row] : images.label_starts[row + 1]]
            top.image = {
                "id": int(images.heads["id"][row]),
                "labels": labels,
                "bytes": int(images.sizes[row]),
                "kind": str(images.kinds[row]),
            }
        return found
    content = Content(chunk.data, frames, source=name, first_row=chunk.first_row)
    for cells in content.cells:
        for at, row in enumerate(cells.rows.tolist()):
            top = found[row]
            (top.labels if cells.label else top.features).append(_tensor(cells, at))
    for text, blobs in content.texts().items():
        for row, top in enumerate(found):
            if blobs[row]:
                top.texts[text] = blobs[row].decode(errors="replace")
    return found


def _tensor(cells: Cells, at: int) -> Tensor:
    span = slice(int(cells.starts[at]), int(cells.starts[at + 1]))
    values = cells.values[span]
    return Tensor(
        name=cells.name,
        dtype=str(values.dtype),
        values=values,
        keys=None if cells.keys is None else cells.keys[span],
        width=cells.width if cells.width is not None or cells.keys is not None else values.size,
    )


def json_line(top: TopRow) -> str:
    """Return a row as one JSON object; NaN and infinity become texts."""
    body: dict[str, Any] = {"file": top.file, "row": top.row, "byte": top.byte}
    if top.image is not None:
        return json.dumps({**body, **top.image, "labels": _plain(top.image["labels"])})
    for part, tensors in (("labels", top.labels), ("features", top.features)):
        body[part] = {tensor.name: _json_tensor(tensor) for tensor in tensors}
    return json.dumps({**body, **top.texts}, ensure_ascii=False)


def _json_tensor(tensor: Tensor) -> dict[str, Any]:
    body: dict[str, Any] = {
        "layout": "dense" if tensor.keys is None else "sparse",
        "dtype": tensor.dtype,
        "width": tensor.width,
    }
    if tensor.keys is not None:
        body["keys"] = tensor.keys.tolist()
    return {**body, "values": _plain(tensor.values)}


def _plain(values: Any) -> list[Any]:
    """Return numbers with their shortest digits; what JSON cannot say as text."""
    if values.dtype.kind != "f":
        numbers: list[Any] = values.tolist()
        return numbers
    shortest = [float(str(value)) for value in values]
    return [value if math.isfinite(value) else str(value) for value in shortest]


def print_rows(found: list[TopRow], source: Source, console: Console) -> None:
    """Print rows as a table as wide as the console; cells are cut where they do not fit."""
    if not found:
        console.print(f"{source.text}: no rows")
        return
    several = len(source.inputs) > 1
    images = any(top.image is not None for top in found)
    texts = list(dict.fromkeys(text for top in found for text in top.texts))
    columns = ["row", "byte", "id" if images else "label", "labels" if images else "layout"]
    if several:
        columns.insert(0, "file")
    last = ["image"] if images else ["values"]
    lines = [_cells(top, images=images, several=several) for top in found]
    room = console.width - 2 * len(columns)
    room -= sum(max(len(name), *(len(line[i]) for line in lines)) for i, name in enumerate(columns))
    each = 16
    room -= sum(2 + each for _ in texts)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        justify = "left" if name in {"file", "layout", "labels"} else "right"
        table.add_column(name, justify=justify, no_wrap=True, overflow="ellipsis")  # type: ignore[arg-type]
    for name in (*texts, *last):
        table.add_column(name, no_wrap=True, overflow="ellipsis", max_width=None)
    for top, line in zip(found, lines, strict=True):
        said = [_cut(_one_line(top.texts.get(text, "")), each) for text in texts]
        table.add_row(*map(Text, (*line, *said, _wide(top, max(room, 12)))))
    put(console, table)


def _one_line(text: str) -> str:
    return text.replace("\n", " ").replace("\t", " ")


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else text[: room - 1] + "…"


def _cells(top: TopRow, *, images: bool, several: bool) -> list[str]:
    """Return the narrow cells of a row."""
    cells = [str(top.row), f"{top.byte:,}"]
    if several:
        cells.insert(0, top.file.rpartition("/")[2])
    if images and top.image is not None:
        labels = top.image["labels"]
        return [*cells, str(top.image["id"]), _numbers(labels, 24)]
    label = " ".join(_labelled(tensor) for tensor in top.labels)
    layouts = dict.fromkeys("dense" if t.keys is None else "sparse" for t in top.features)
    return [*cells, label or "-", "+".join(layouts) or "-"]


def _labelled(tensor: Tensor) -> str:
    text = _numbers(tensor.values, 24)
    return text if tensor.name == "values" else f"{tensor.name}: {text}"


def _wide(top: TopRow, room: int) -> str:
    """Return the last cell of a row: an image, or as many numbers as there is room for."""
    if top.image is not None:
        return f"{top.image['kind']}, {top.image['bytes']:,} bytes"
    lines = []
    for tensor in top.features:
        name = "" if tensor.name == "values" else f"{tensor.name}: "
        lines.append(name + _numbers(tensor.values, room - len(name), tensor))
    return "\n".join(lines) or "no features"


def _numbers(values: Any, room: int, tensor: Tensor | None = None) -> str:
    """Return numbers, and keys when they have some, as far as they fit; then how many there are."""
    keys = None if tensor is None else tensor.keys
    shown = [format_number(value) for value in values[:_TABLE_VALUES]]
    if keys is not None:
        shown = [f"{key}:{value}" for key, value in zip(keys[: len(shown)], shown, strict=True)]
    count = len(values)
    end = ""
    if tensor is not None and keys is not None:
        end = f" of {tensor.width:,}" if tensor.width is not None else " of no given width"
    if not count:
        return "none" + end
    whole = " ".join(shown) + end
    if count == len(shown) and len(whole) <= room:
        return whole
    for some in range(len(shown) - 1, 0, -1):
        text = f"{' '.join(shown[:some])} … {count:,}{end or ' values'}"
        if len(text) <= room:
            return text
    return _cut(f"{shown[0]} … {count:,}{end or ' values'}", room)


def format_number(value: Any) -> str:
    """Return a number in at most six significant digits.

    >>> format_number(np.float32(0.1)), format_number(np.int32(7))
    ('0.1', '7')
    """
    return str(value) if isinstance(value, np.integer) else f"{float(value):.6g}"
