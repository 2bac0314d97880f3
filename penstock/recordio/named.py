"""RecordIO bytes -> tensors by name, for records that are no row of one matrix.

Token lists (``source``, ``target``), predictions (``score``, ``predicted_label``), rows of
several lengths: every tensor of every record, all rows at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from penstock.errors import DataError
from penstock.recordio.blobs import Blobs
from penstock.recordio.framing import Frames, Parts
from penstock.recordio.message import TEXTS
from penstock.recordio.records import Buffer, whole_frames
from penstock.recordio.segments import Bytes, Indices, starts_of
from penstock.recordio.table import Block, Name, Table, interleaved, merged

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["NamedRecords", "Tensors", "decode_named", "named_frames"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Tensors:
    """The tensors that some records have under one name.

    Attributes:
        name: What they are called.
        values: (m,), the values of all records, one record after another; float32, float64 or
            int32, float64 when records differ.
        starts: int64 (records + 1,), where each record's values begin.
        keys: (m,), the column of each value when any record is sparse; else None.
        present: bool (records,), which records have the tensor.
        width: What the shapes of all records that have the tensor multiply to; without shapes,
            how many values each of them has; None when they differ.
    """

    name: str
    values: npt.NDArray[Any]
    starts: Indices
    keys: npt.NDArray[Any] | None
    present: npt.NDArray[np.bool_]
    width: int | None

    def __len__(self) -> int:
        return self.present.size

    def row(self, index: int) -> npt.NDArray[Any]:
        """Return the values of one record, a view."""
        return self.values[self.starts[index] : self.starts[index + 1]]

    def matrix(self) -> npt.NDArray[Any] | csr_array:
        """Return the tensors as (records, width): a view, or a CSR array when any is sparse.

        Raises:
            DataError: A record has none, or they differ in width.
        """
        if not self.present.all():
            row = int(self.present.argmin())
            raise DataError(
                f"{self.name!r}: record {row} has no such tensor, expected one in every record\n"
                "  take .values and .starts instead"
            )
        if self.width is None:
            counts = np.diff(self.starts)
            raise DataError(
                f"{self.name!r}: records have {counts.min()} to {counts.max()} values, expected "
                "one width\n  take .values and .starts instead"
            )
        if self.keys is None:
            return self.values.reshape(-1, self.width)
        from scipy.sparse import csr_array

        return csr_array((self.values, self.keys, self.starts), shape=(len(self), self.width))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class NamedRecords:
    """Some records.

    Attributes:
        rows: How many there are.
        features: By name, in the order in which the names first occur.
        labels: Likewise; the predictions of an algorithm are here, too.
        uids: UTF-8, empty where a record has none; None when none has one.
        metadata: Likewise, JSON by convention.
        configuration: Likewise.
    """

    rows: int
    features: dict[str, Tensors]
    labels: dict[str, Tensors]
    uids: Blobs | None
    metadata: Blobs | None
    configuration: Blobs | None

    def __len__(self) -> int:
        return self.rows


def decode_named(
    buffer: Buffer, *, source: str = "buffer", parts: Parts = "refuse"
) -> NamedRecords:
    """Return the records of a whole RecordIO stream, whatever their tensors are called.

    Args:
        buffer: Zero or more frames, contiguous.
        source: Where they came from, for errors.
        parts: What part flags mean; ``join`` as ml-io does, or ``dmlc``.

    Returns:
        Copies: they share no memory with ``buffer``.

    Raises:
        CorruptRecordError: The bytes are no RecordIO, or a payload is no Record.
        DataError: A tensor is not as its record says: keys and values differ in number, a key
            is past the shape, values do not fill it; or it holds bytes.
    """
    data, frames = whole_frames(buffer, source=source, parts=parts)
    return named_frames(data, frames, source=source)


def named_frames(data: Bytes, frames: Frames, *, source: str, first_row: int = 0) -> NamedRecords:
    """Return the records of some frames.

    Args:
        data: uint8 (bytes,), what the frames' ``starts`` count in.
        frames: Whole records.
        source: For errors.
        first_row: Number of the first record in that source, for errors.
    """
    table = Table(data, frames, source=source, first_row=first_row)
    found: dict[bool, dict[str, Tensors]] = {False: {}, True: {}}
    for name in table.names:
        text = name[1].decode(errors="replace")
        found[name[0]][text] = _tensors(table, name, text)
    texts = {name: table.texts(field) for field, name in TEXTS.items()}
    return NamedRecords(
        rows=table.rows,
        features=found[False],
        labels=found[True],
        uids=texts["uid"],
        metadata=texts["metadata"],
        configuration=texts["configuration"],
    )


def _tensors(table: Table, name: Name, text: str) -> Tensors:
    blocks = table.blocks(name)
    starts = starts_of(merged(table.rows, blocks, lambda block: block.counts))
    present = np.zeros(table.rows, np.bool_)
    for block in blocks:
        present[block.rows] = True
    keys = None
    if any(block.keys is not None for block in blocks):
        keys = interleaved([_keys(block) for block in blocks], blocks, starts)
        keys = keys.astype(np.int64)
    return Tensors(
        name=text,
        values=interleaved([block.values for block in blocks], blocks, starts),
        starts=starts,
        keys=keys,
        present=present,
        width=_width(blocks),
    )


def _keys(block: Block) -> npt.NDArray[Any]:
    """Return the keys of a block; of a dense one, the place of each value in its record."""
    if block.keys is not None:
        return block.keys
    ends = np.cumsum(block.counts)
    return np.arange(block.values.size) - np.repeat(ends - block.counts, block.counts)


def _width(blocks: list[Block]) -> int | None:
    widths: set[int | None] = set()
    for block in blocks:
        if block.width is not None or block.keys is not None:
            widths.add(block.width)
        else:
            widths.update(np.unique(block.counts).tolist())
    return widths.pop() if len(widths) == 1 else None
