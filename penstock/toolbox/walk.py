"""All chunks of a source, input by input, with a bar; what head, stat and verify go through."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from penstock.errors import CorruptRecordError
from penstock.recordio.framing import Parts
from penstock.toolbox.chunks import PIECE_BYTES, Chunk, chunks
from penstock.toolbox.content import Kind, content_kind
from penstock.toolbox.progress import shown
from penstock.toolbox.sources import Input, Source, opened

__all__ = ["PARTS_REMEDY", "Step", "parts_refused", "steps"]

PARTS_REMEDY = "  say --parts join if ml-io wrote it, --parts dmlc if dmlc or MXNet did"


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One chunk of one input.

    Attributes:
        input: Where it is from.
        number: Of that input, from 0.
        chunk: Its records; None for an input without bytes.
        kind: What the records of this input are; None while it has none.
    """

    input: Input
    number: int
    chunk: Chunk | None
    kind: Kind | None


def steps(
    source: Source,
    *,
    parts: Parts,
    kind: Kind | None,
    what: str,
    piece_bytes: int = PIECE_BYTES,
) -> Iterator[Step]:
    """Yield every chunk of a source.

    Args:
        source: What to read.
        parts: What part flags mean.
        kind: What the records are; None to judge by the first one of each input.
        what: One word for the bar.
        piece_bytes: Bytes of a chunk.
    """
    with shown(what, source.size_bytes) as advance:
        for number, each in enumerate(source.inputs):
            found = kind
            any_chunk = False
            with opened(each, advance) as stream:
                for chunk in chunks(stream, parts=parts, piece_bytes=piece_bytes):
                    any_chunk = True
                    frames = chunk.records
                    if found is None and frames is not None and frames.starts.size:
                        found = content_kind(chunk.data, frames, source=each.name)
                    yield Step(input=each, number=number, chunk=chunk, kind=found)
            if not any_chunk:
                yield Step(input=each, number=number, chunk=None, kind=None)


def parts_refused(chunk: Chunk, name: str) -> CorruptRecordError:
    """Return the error that a record is cut into parts and nothing says how to join them."""
    row = int((chunk.raw.flags != 0).argmax())
    problem = (
        f"part flag is {chunk.raw.flags[row]}, expected 0: the record is cut into parts\n"
        f"{PARTS_REMEDY}"
    )
    return CorruptRecordError(name, int(chunk.raw.offsets[row]), problem)
