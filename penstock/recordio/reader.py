"""A stream of RecordIO -> batches of rows, in memory that a batch bounds."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

from penstock.errors import DataError
from penstock.recordio.framing import Parts
from penstock.recordio.named import NamedRecords, named_frames
from penstock.recordio.records import Records, check_keep, decode_frames
from penstock.recordio.stream import Source, check_batches, frame_batches, source_name

__all__ = ["read", "read_named"]


def read(
    source: Source,
    batch_rows: int = 4096,
    *,
    parts: Parts = "refuse",
    keep: Collection[str] = (),
) -> Iterator[Records]:
    """Yield the rows of a RecordIO stream in batches.

    The batches depend on the bytes alone, not on how a stream hands them out. Opens the source
    when the first batch is asked for, a FIFO by waiting for its writer, and closes what it
    opened. Memory: about twice the bytes of a batch, and its arrays.

    Args:
        source: Path, file:// or s3:// URI, FIFO, or an open binary stream, which is read from
            where it stands.
        batch_rows: Rows of every batch but the last, which may have fewer. No rows, no batch.
        parts: What part flags mean; ``join`` as ml-io does, or ``dmlc``.
        keep: Texts to return as well: ``uid``, ``metadata``.

    Yields:
        Records of one width, all with labels or all without. Once a batch is sparse all later
        ones are.

    Raises:
        InputError: ``batch_rows`` is not at least 1, or the stream would block.
        MissingFileError: Nothing stands at the path or URI.
        CorruptRecordError: The stream is no RecordIO or ends inside a frame; gives the byte.
        DataError: The records are no rows of one matrix; ``read_named`` reads them.
    """
    check_batches(batch_rows, parts)
    check_keep(keep)
    return _read(source, batch_rows, parts, keep)


def _read(
    source: Source, batch_rows: int, parts: Parts, keep: Collection[str]
) -> Iterator[Records]:
    name = source_name(source)
    seen: Records | None = None
    row = 0
    for data, frames in frame_batches(source, batch_rows, parts=parts):
        records = decode_frames(data, frames, source=name, first_row=row, keep=keep)
        seen = _alike(records, seen, name, row)
        row += len(records)
        yield seen


def read_named(
    source: Source, batch_rows: int = 4096, *, parts: Parts = "refuse"
) -> Iterator[NamedRecords]:
    """Yield the records of a RecordIO stream in batches, whatever their tensors are called.

    Otherwise like ``read``, but nothing has to agree between records or batches.

    Args:
        source: Path, file:// or s3:// URI, FIFO, or an open binary stream.
        batch_rows: Records of every batch but the last.
        parts: What part flags mean.

    Raises:
        InputError: ``batch_rows`` is not at least 1, or the stream would block.
        MissingFileError: Nothing stands at the path or URI.
        CorruptRecordError: The stream is no RecordIO or ends inside a frame; gives the byte.
        DataError: A tensor is not as its record says.
    """
    check_batches(batch_rows, parts)
    return _read_named(source, batch_rows, parts)


def _read_named(source: Source, batch_rows: int, parts: Parts) -> Iterator[NamedRecords]:
    name = source_name(source)
    row = 0
    for data, frames in frame_batches(source, batch_rows, parts=parts):
        records = named_frames(data, frames, source=name, first_row=row)
        row += len(records)
        yield records


def _alike(records: Records, before: Records | None, name: str, row: int) -> Records:
    """Return the batch in the form of the one before it."""
    if before is None:
        return records
    if records.width != before.width:
        raise DataError(
            f"{name}: record {row} has {records.width} features, the {row} before it have {before.width}"
        )
    shapes = [
        None if batch.labels is None else batch.labels.shape[1:] for batch in (records, before)
    ]
    if shapes[0] != shapes[1]:
        words = [_labelled(batch) for batch in (records, before)]
        raise DataError(f"{name}: record {row} has {words[0]}, the {row} before it have {words[1]}")
    if before.layout == "sparse" and records.layout == "dense":
        from scipy.sparse import csr_array

        return replace(records, features=csr_array(records.features))
    return records


def _labelled(batch: Records) -> str:
    if batch.labels is None:
        return "no label"
    return "a label" if batch.labels.ndim == 1 else f"{batch.labels.shape[1]} labels"
