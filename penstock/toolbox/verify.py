"""Every frame and every payload of a source, and whether a given reader accepts them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Any, get_args

import numpy as np

from penstock.errors import CorruptRecordError, DataError, InputError
from penstock.recordio.framing import Frames, Parts
from penstock.toolbox.chunks import Chunk
from penstock.toolbox.content import Content, Kind, Pictures, embedded_magic, pictures
from penstock.toolbox.findings import BadRecordsError, Findings
from penstock.toolbox.imagerules import check_pictures
from penstock.toolbox.profiles import Profile
from penstock.toolbox.rowrules import RowRules, Task
from penstock.toolbox.sources import Source
from penstock.toolbox.walk import Step, parts_refused, steps

__all__ = ["Verified", "task_of", "verify"]

_MAX_SKIPPED = 8
"""Unreadable records of a chunk that are skipped one by one; after them the rest is left."""
_PLACE = re.compile(r"record (?:\d+ \(byte (\d+)\)|at byte (\d+)) (.*)", re.DOTALL)


@dataclass(kw_only=True, slots=True)
class Verified:
    """What was read, all of it good.

    Attributes:
        source: As the caller named it.
        reader: Name of the profile; None when none was asked for.
        files: How many inputs.
        records: Of all of them.
        size_bytes: Of all frames.
        words: What the records are, like ``dense float32, width 20``.
    """

    source: str
    reader: str | None
    files: int = 0
    records: int = 0
    size_bytes: int = 0
    words: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        files = f"{self.files:,} {'file' if self.files == 1 else 'files'}"
        records = f"{self.records:,} {'record' if self.records == 1 else 'records'}"
        found = f"OK: {self.source}: {files}, {records}, {self.size_bytes:,} bytes"
        what = f"; {', '.join(self.words)}" if self.words else ""
        return found + what + (f"; as {self.reader} reads them" if self.reader else "")

    def body(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "source": self.source,
            "ok": True,
            "for": self.reader,
            "files": self.files,
            "records": self.records,
            "bytes": self.size_bytes,
        }


def verify(
    source: Source,
    *,
    parts: Parts,
    kind: Kind | None,
    reader: Profile | None = None,
    task: Task | None = None,
    classes: int | None = None,
) -> Verified:
    """Read a whole source and return what it holds, if all of it is good. Memory: a few megabytes.

    Args:
        source: What to read.
        parts: What part flags mean; a profile accepts none, whatever is said here.
        kind: What the records are; None to go by the profile, or else by the first record.
        reader: Whose rules to check; None for those of the format alone.
        task: What the labels are for; checks that they are classes.
        classes: How many classes there are, for a multiclass task.

    Raises:
        BadRecordsError: Something is wrong; has all kinds of problems, with the first place of each.
    """
    findings = Findings()
    done = Verified(
        source=source.text, reader=None if reader is None else reader.name, files=len(source.inputs)
    )
    rules = RowRules(findings, reader, task=task, classes=classes)
    kind = kind or (reader.kind if reader else None)
    for step in steps(source, parts=parts, kind=kind, what="verify"):
        if step.chunk is None:
            continue
        _check_frames(findings, step, step.chunk, reader, refuse=parts == "refuse")
        done.size_bytes += int((8 + (step.chunk.raw.lengths + 3 & -4)).sum())
        if step.chunk.records is not None and step.chunk.records.starts.size:
            done.records += step.chunk.records.starts.size
            _check_content(findings, rules, step, step.chunk)
    return _concluded(done, findings, rules)


def _concluded(done: Verified, findings: Findings, rules: RowRules) -> Verified:
    """Raise what was found, or return what is good."""
    if rules.reader is not None and not done.records and not findings.problems:
        findings.add("empty", file=done.source, byte=0, row=None, text="no records, expected some")
    if findings.problems:
        raise BadRecordsError(done.source, done.reader, findings.problems)
    done.words = rules.words()
    return done


def task_of(task: str | None, classes: int | None, reader: Profile | None) -> Task | None:
    """Return the task that a flag names.

    Raises:
        InputError: It names none, comes without a profile, or classes come without multiclass.
    """
    if classes is not None and (task != "multiclass" or classes < 2):
        raise InputError(f"--classes is {classes!r}, expected 2 or more, with --task multiclass")
    if task is None:
        return None
    if task not in get_args(Task):
        raise InputError(f"--task is {task!r}, expected 'binary', 'multiclass' or 'regression'")
    if reader is None:
        raise InputError(f"--task is {task!r} without --for: say which reader the labels are for")
    return task  # type: ignore[return-value]


def _check_frames(
    findings: Findings, step: Step, chunk: Chunk, reader: Profile | None, *, refuse: bool
) -> None:
    name, raw = step.input.name, chunk.raw
    if raw.flags.any() and (refuse or reader is not None):
        first = int((raw.flags != 0).argmax())
        if reader is None:
            text = parts_refused(chunk, name).problem
        else:
            text = f"part flag is {raw.flags[first]}, expected 0: this reader joins no parts"
        findings.add("parts", file=name, byte=int(raw.offsets[first]), row=None, text=text,
                     records=int((raw.flags == 1).sum()) or 1)  # fmt: skip
    if reader is not None and not reader.magic:
        frames = np.unique(embedded_magic(chunk.data, raw))
        if frames.size:
            text = (
                "the payload holds the magic word 0xced7230a at a multiple of four bytes, expected "
                "none: a reader that looks for it may begin a frame there"
            )
            findings.add("magic", file=name, byte=int(raw.offsets[frames[0]]),
                         row=chunk.first_row + int(frames[0]), text=text, records=frames.size)  # fmt: skip
    if chunk.error is not None:
        findings.add("framing", file=name, byte=chunk.error.offset_bytes, row=None,
                     text=chunk.error.problem)  # fmt: skip


def _check_content(findings: Findings, rules: RowRules, step: Step, chunk: Chunk) -> None:
    """Read the records of a chunk, without those that cannot be read."""
    frames = chunk.records
    numbers = np.arange(0 if frames is None else frames.starts.size)
    kind = "payload"
    for _ in range(_MAX_SKIPPED):
        if frames is None or not frames.starts.size:
            return
        found = _read(step, chunk, frames)
        if isinstance(found, Content | Pictures):
            place = step.input.name, frames.offsets, numbers + chunk.first_row
            if isinstance(found, Content):
                rules.check(found, *place)
            elif rules.reader is not None:
                check_pictures(found, rules, *place)
            return
        byte, text, kind = found
        row = max(int(np.searchsorted(frames.offsets, byte, side="right")) - 1, 0)
        number = chunk.first_row + int(numbers[row])
        findings.add(kind, file=step.input.name, byte=byte, row=number, text=text)
        keep = np.arange(numbers.size) != row
        frames, numbers = _only(frames, keep), numbers[keep]
    if numbers.size:
        findings.more(kind)


def _only(frames: Frames, keep: Any) -> Frames:
    return replace(
        frames,
        starts=frames.starts[keep],
        lengths=frames.lengths[keep],
        flags=frames.flags[keep],
        offsets=frames.offsets[keep],
    )


def _read(step: Step, chunk: Chunk, frames: Frames) -> Content | Pictures | tuple[int, str, str]:
    """Return what the records hold, or byte, problem and its kind of the first that cannot be read."""
    name = step.input.name
    try:
        if step.kind == "images":
            return pictures(chunk.data, frames, source=name)
        return Content(chunk.data, frames, source=name, first_row=chunk.first_row)
    except CorruptRecordError as error:
        return error.offset_bytes, error.problem, "payload"
    except DataError as error:
        place = _PLACE.search(str(error))
        if place is None:
            return int(frames.offsets[0]), str(error), "tensor"
        return int(place[1] or place[2]), f"the record {place[3]}", "tensor"
