"""Where a pipeline keeps things below its root, and what its stages have done.

    raw/            quarantine/<p>/<source>/      curated/<p>/<run>/      plans/<p>/<run>/
    datasets/<p>/<run>/<split>/                   models/<p>/<model>/<run>/
    reports/<p>/    metrics.json, index.html      runs/<p>/<stage>.json   stage records

A stage record is written last, after all that the stage made; it is removed first when the stage runs
again. So what a record names is whole, and what no record names is not taken for anything.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from penstock import storage
from penstock.errors import InputError
from penstock.specfile import SpecFile

__all__ = ["STAGES", "Record", "Workspace", "code_version", "fingerprint"]

STAGES = ("merge", "fit", "convert", "train", "evaluate", "report")
RUN_DIGITS = 12


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """What one finished stage leaves behind: runs/<pipeline>/<stage>.json.

    Attributes:
        stage: Its name.
        fingerprint: Hash of its inputs, its part of the spec and the code; equal means: nothing to do.
        digest: Hash of what it made; the next stage's input.
        outputs: Name -> path below the root. All of them exist as long as the stage counts as done.
        rows: Rows it wrote or read, whichever says more of its work.
        size_bytes: Bytes likewise.
        seconds: How long it ran.
        details: What the report shows of it.
    """

    stage: str
    fingerprint: str
    digest: str
    outputs: dict[str, str]
    rows: int
    size_bytes: int
    seconds: float
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def run(self) -> str:
        """Short name of this run, in paths."""
        return self.fingerprint[:RUN_DIGITS]


@dataclass(frozen=True, kw_only=True, slots=True)
class Workspace:
    """A root and a spec. Makes URIs; reads and writes stage records.

    Attributes:
        root: Folder or URI that holds everything.
        file: The spec.
        onto: Folder of an earlier fit, below the root or a URI, to which the rows of this one add; see
            ``penstock.earlier``.
    """

    root: str
    file: SpecFile
    onto: str | None = None

    @property
    def name(self) -> str:
        """The pipeline's name."""
        return self.file.spec.name

    def uri(self, *parts: str) -> str:
        """Return the URI of a path below the root."""
        return storage.join(storage.normal(self.root), *parts)

    def below(self, uri: str) -> str:
        """Return ``uri`` relative to the root, for records and messages."""
        return uri.removeprefix(storage.normal(self.root).rstrip("/") + "/")

    def inputs(self) -> dict[str, str]:
        """Return the URI of each source."""
        return {name: self.uri(source.path) for name, source in self.file.spec.sources.items()}

    def find(self, stage: str) -> Record | None:
        """Return the record of a finished stage whose outputs are all there, or None."""
        where = self.uri("runs", self.name, f"{stage}.json")
        if not storage.exists(where):
            return None
        record = Record(**json.loads(storage.read_bytes(where)))
        there = all(storage.exists(self.uri(path)) for path in record.outputs.values())
        return record if there else None

    def done(self, stage: str) -> Record:
        """Return the record of a finished stage.

        Raises:
            InputError: It has not finished, or its output is gone.
        """
        record = self.find(stage)
        if record is None:
            raise InputError(
                f"stage {stage!r} of pipeline {self.name!r} has not finished below {self.root!r}\n"
                f"  run it first: penstock {stage} {self.file.path} --root {self.root}"
            )
        return record

    def forget(self, stage: str) -> None:
        """Remove a stage's record: from here on it has not finished."""
        storage.delete(self.uri("runs", self.name, f"{stage}.json"))

    def keep(self, record: Record) -> None:
        """Write a stage's record: from here on it has finished."""
        body = json.dumps(asdict(record), indent=1, ensure_ascii=False) + "\n"
        storage.write_bytes(self.uri("runs", self.name, f"{record.stage}.json"), body.encode())


@cache
def code_version() -> str:
    """Return a hash of the package's own source: an edited stage is a stage that has not run."""
    package = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*")):
        if path.suffix in {".py", ".j2", ".css"}:
            digest.update(path.relative_to(package).as_posix().encode() + b"\0")
            digest.update(path.read_bytes())
    return digest.hexdigest()


def fingerprint(stage: str, parts: Mapping[str, Any]) -> str:
    """Return the hash of a stage's inputs: ``parts``, which must be plain data, and the code."""
    body = {"stage": stage, "code": code_version(), **parts}
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
