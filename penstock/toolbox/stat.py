"""What a source holds, in numbers, from one pass over it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from penstock.errors import InputError
from penstock.recordio.framing import HEADER_BYTES, Parts
from penstock.toolbox.chunks import Chunk
from penstock.toolbox.content import Content, Kind, embedded_magic, pictures
from penstock.toolbox.sources import Source
from penstock.toolbox.tally import Columns, Numbers, Span, TensorTally
from penstock.toolbox.walk import Step, steps

__all__ = ["Images", "PerFile", "Summary", "stat"]


@dataclass(kw_only=True, slots=True)
class PerFile:
    """One input in short."""

    name: str
    rows: int = 0
    frames: int = 0
    parts: int = 0
    size_bytes: int = 0
    labels: Numbers = field(default_factory=Numbers)

    def body(self) -> dict[str, Any]:
        """Return it for JSON."""
        labels = self.labels.body()
        return {
            "file": self.name,
            "rows": self.rows,
            "frames": self.frames,
            "part_frames": self.parts,
            "bytes": self.size_bytes,
            "label_min": labels["min"],
            "label_max": labels["max"],
        }


@dataclass(kw_only=True, slots=True)
class Images:
    """What is counted of image records."""

    rows: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    sizes: Span = field(default_factory=Span)
    label_counts: Span = field(default_factory=Span)

    def body(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "rows": self.rows,
            "kinds": dict(sorted(self.kinds.items())),
            "bytes": self.sizes.body(),
            "labels_per_image": self.label_counts.body(),
        }


@dataclass(kw_only=True, slots=True)
class Summary:
    """What a source holds.

    Attributes:
        text: The source.
        rows: Records; those cut into parts that may not be joined count too.
        frames: Frames; more than rows where records are cut into parts.
        flags: Frames by part flag.
        size_bytes: Of all frames.
        frame_bytes: Of each frame, header and padding included.
        magic_words: How many stand inside payloads at a multiple of four bytes.
        magic_frames: Frames that have one.
        unread: Records not looked into, as they are cut into parts.
        features: By name.
        labels: By name.
        texts: How many records have a uid, metadata, configuration.
        images: When they are image records.
        columns: When asked for.
        files: One by one.
        names: Of the columns, when a dataset.json gives them.
    """

    text: str
    rows: int = 0
    frames: int = 0
    flags: Counter[int] = field(default_factory=Counter)
    size_bytes: int = 0
    frame_bytes: Span = field(default_factory=Span)
    magic_words: int = 0
    magic_frames: int = 0
    unread: int = 0
    features: dict[str, TensorTally] = field(default_factory=dict)
    labels: dict[str, TensorTally] = field(default_factory=dict)
    texts: Counter[str] = field(default_factory=Counter)
    images: Images = field(default_factory=Images)
    columns: Columns | None = None
    files: list[PerFile] = field(default_factory=list)
    names: tuple[str, ...] | None = None

    def body(self) -> dict[str, Any]:
        """Return it as one JSON object."""
        body: dict[str, Any] = {
            "source": self.text,
            "rows": self.rows,
            "bytes": self.size_bytes,
            "frames": self.frames,
            "part_flags": {str(flag): many for flag, many in sorted(self.flags.items())},
            "frame_bytes": self.frame_bytes.body(),
            "embedded_magic_words": self.magic_words,
            "frames_with_magic_words": self.magic_frames,
            "rows_not_read": self.unread,
            "features": {name: tally.body() for name, tally in self.features.items()},
            "labels": {name: _label_body(tally) for name, tally in self.labels.items()},
            "texts": dict(self.texts),
            "files": [file.body() for file in self.files],
        }
        if self.images.rows:
            body["images"] = self.images.body()
        if self.columns is not None:
            names = self.names or ()
            lines = self.columns.lines()
            body["columns"] = [
                line | ({"name": names[line["column"]]} if line["column"] < len(names) else {})
                for line in lines
            ]
        return body


def _label_body(tally: TensorTally) -> dict[str, Any]:
    counts = tally.distinct
    listed = None if counts is None else {f"{value:g}": n for value, n in sorted(counts.items())}
    return {**tally.body(), "counts": listed}


def stat(source: Source, *, parts: Parts, kind: Kind | None, columns: bool = False) -> Summary:
    """Read a whole source and return what it holds. Memory: a few megabytes, and the columns asked for.

    Records that are cut into parts are counted; they are read only when ``parts`` says how to
    join them.

    Raises:
        CorruptRecordError: The bytes are no RecordIO, or a payload is no Record.
        DataError: A record's keys and values, or values and shape, do not fit.
        InputError: There are too many columns for ``columns``.
    """
    summary = Summary(text=source.text, names=source.names, columns=Columns() if columns else None)
    for step in steps(source, parts=parts, kind=kind, what="stat"):
        if step.number == len(summary.files):
            summary.files.append(PerFile(name=step.input.name))
        if step.chunk is None:
            continue
        _add_frames(summary, summary.files[-1], step.chunk)
        if step.chunk.records is not None and step.chunk.records.starts.size:
            _add_content(summary, summary.files[-1], step, step.chunk)
        if step.chunk.error is not None:
            raise step.chunk.error
    return summary


def _add_frames(summary: Summary, file: PerFile, chunk: Chunk) -> None:
    raw = chunk.raw
    sizes = HEADER_BYTES + (raw.lengths + 3 & -4)
    flags, many = np.unique(raw.flags, return_counts=True)
    summary.flags.update(dict(zip(flags.tolist(), many.tolist(), strict=True)))
    summary.frame_bytes.add(sizes)
    ends = int(((raw.flags == 0) | (raw.flags == 3)).sum())
    rows = ends if chunk.records is None else chunk.records.starts.size
    if chunk.records is None:
        summary.unread += rows
    size_bytes = int(sizes.sum())
    for each in (summary, file):
        each.frames += raw.starts.size
        each.size_bytes += size_bytes
        each.rows += rows
    file.parts += int((raw.flags != 0).sum())
    found = embedded_magic(chunk.data, raw)
    summary.magic_words += found.size
    summary.magic_frames += np.unique(found).size


def _add_content(summary: Summary, file: PerFile, step: Step, chunk: Chunk) -> None:
    if chunk.records is None:
        return
    if step.kind == "images":
        images = pictures(chunk.data, chunk.records, source=step.input.name)
        summary.images.rows += images.sizes.size
        kinds, many = np.unique(images.kinds, return_counts=True)
        summary.images.kinds.update(dict(zip(kinds.tolist(), many.tolist(), strict=True)))
        summary.images.sizes.add(images.sizes)
        summary.images.label_counts.add(images.label_counts)
        tally = summary.labels.setdefault("label", TensorTally())
        tally.add_labels(images.labels, images.label_counts)
        file.labels.add(images.labels)
        return
    found = Content(chunk.data, chunk.records, source=step.input.name, first_row=chunk.first_row)
    for cells in found.cells:
        tallies = summary.labels if cells.label else summary.features
        tallies.setdefault(cells.name, TensorTally()).add(cells)
        if cells.label and cells.name == "values":
            file.labels.add(cells.values)
        elif cells.name == "values" and summary.columns is not None:
            _add_columns(summary.columns, cells)
    for name, blobs in found.texts().items():
        summary.texts[name] += int((blobs.lengths > 0).sum())


def _add_columns(columns: Columns, cells: Any) -> None:
    if not columns.add(cells):
        raise InputError(
            f"--columns: the rows have {cells.width:,} columns, expected at most 1,048,576\n"
            "  leave --columns out"
        )
