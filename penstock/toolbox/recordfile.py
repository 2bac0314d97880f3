"""RecordIO in and out, as matrices."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from penstock import recordio
from penstock.errors import CorruptRecordError, DataError
from penstock.toolbox.progress import Advance
from penstock.toolbox.sources import Source, Stream, opened
from penstock.toolbox.tables import Batch, ReadOptions, as_float32
from penstock.toolbox.walk import PARTS_REMEDY

__all__ = ["RecordWriter", "read_records"]


def read_records(source: Source, options: ReadOptions, advance: Advance) -> Iterator[Batch]:
    """Yield the rows of RecordIO files; float64 and int32 become float32.

    Raises:
        CorruptRecordError: The bytes are no RecordIO, or a payload is no Record.
        DataError: The records are no rows of one matrix, or have several labels.
    """
    for each in source.inputs:
        with opened(each, advance) as stream:
            for records in _records(stream, options):
                labels = records.labels
                if labels is not None and labels.ndim > 1:
                    raise DataError(
                        f"{each.name}: its records have {labels.shape[1]} labels each, expected one"
                    )
                yield Batch(
                    features=as_float32(records.features),
                    labels=None if labels is None else as_float32(labels),
                    names=source.names,
                    file=each.name,
                )


def _records(stream: Stream, options: ReadOptions) -> Iterator[recordio.Records]:
    """Read, with remedies that a caller of the command can follow."""
    try:
        yield from recordio.read(stream, options.batch_rows, parts=options.parts)
    except CorruptRecordError as error:
        problem, hint, _ = error.problem.partition("\n  pass parts=")
        if not hint:
            raise
        raise CorruptRecordError(
            error.source, error.offset_bytes, f"{problem}\n{PARTS_REMEDY}"
        ) from error
    except DataError as error:
        problem, hint, _ = str(error).partition("\n  decode_named and read_named")
        if not hint:
            raise
        raise DataError(
            f"{problem}\n  head, stat, verify and diff --bytes take any name"
        ) from error


class RecordWriter:
    """Writes rows as RecordIO-protobuf, dense or sparse as they come."""

    def __init__(self, sink: Any, *, allow_nonfinite: bool) -> None:
        """Write to a binary stream."""
        self._sink, self._allow = sink, allow_nonfinite

    def write(self, batch: Batch) -> None:
        """Write some rows."""
        encode = recordio.encode_dense if batch.dense else recordio.encode_sparse
        self._sink.write(encode(batch.features, batch.labels, allow_nonfinite=self._allow))

    def close(self) -> None:
        """Write what is left: nothing."""
