"""RecordIO bytes -> a matrix and labels, all rows at once."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from penstock.errors import DataError, InputError, listed
from penstock.recordio.blobs import Blobs
from penstock.recordio.framing import (
    HEADER_BYTES,
    Frames,
    Parts,
    check_parts,
    find_frames,
    join_parts,
)
from penstock.recordio.message import NAME, TEXTS
from penstock.recordio.segments import Bytes, starts_of, stride_of
from penstock.recordio.table import Block, Table, interleaved, merged
from penstock.recordio.uniform import decode_uniform, frame_bytes

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["Buffer", "Records", "check_keep", "decode", "decode_frames", "whole_frames"]

Buffer = bytes | bytearray | memoryview | Bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Records:
    """Some rows.

    Attributes:
        features: (rows, columns): an array, or a CSR array when any row was sparse. float32,
            or what the records hold (float64, int32; float64 when they differ).
        labels: (rows,), or (rows, k) when each record has k of them; None without labels.
        uids: UTF-8, empty where a record has none; None when no row has one or none were kept.
        metadata: Likewise.
    """

    features: npt.NDArray[Any] | csr_array
    labels: npt.NDArray[Any] | None
    uids: Blobs | None = None
    metadata: Blobs | None = None

    def __len__(self) -> int:
        return int(self.features.shape[0])

    @property
    def width(self) -> int:
        """How many columns the features have."""
        return int(self.features.shape[1])

    @property
    def layout(self) -> Literal["dense", "sparse"]:
        """Whether ``features`` is an array or a CSR array."""
        return "dense" if isinstance(self.features, np.ndarray) else "sparse"


def decode(
    buffer: Buffer,
    *,
    source: str = "buffer",
    parts: Parts = "refuse",
    keep: Collection[str] = (),
    copy: bool = True,
) -> Records:
    """Return the rows of a whole RecordIO stream.

    Dense and sparse records may be mixed; the result is CSR then. Records that google.protobuf
    would write are read all at once, fastest those of one size; any other valid Record is read
    too, slowly.

    Args:
        buffer: Zero or more frames, contiguous.
        source: Where they came from, for errors.
        parts: What part flags mean; ``join`` as ml-io does, or ``dmlc``.
        keep: Texts to return as well: ``uid``, ``metadata``.
        copy: Whether the features must be a copy. If not, those of dense records of one size are
            a read-only view of ``buffer``, whose rows lie a frame apart, not always on multiples
            of four bytes: nothing is moved, and what computes with them takes longer.

    Returns:
        They share no memory with ``buffer`` when ``copy``. Of no bytes: 0 rows, 0 columns, no
        labels.

    Raises:
        CorruptRecordError: The bytes are no RecordIO, or a payload is no Record.
        DataError: The records are no rows of one matrix; ``decode_named`` reads them.
        InputError: ``keep`` names something else.
    """
    check_keep(keep)
    check_parts(parts)
    if (alike := decode_uniform(_bytes(buffer, source), copy=copy)) is not None:
        return Records(features=alike[0], labels=alike[1])
    data, frames = whole_frames(buffer, source=source, parts=parts)
    return decode_frames(data, frames, source=source, keep=keep)


def _bytes(buffer: Buffer, source: str) -> Bytes:
    view = buffer.data if isinstance(buffer, np.ndarray) else memoryview(buffer)
    if not view.c_contiguous:
        raise InputError(f"{source}: the buffer is not contiguous, expected one run of bytes")
    return np.frombuffer(view, np.uint8)


def check_keep(keep: Collection[str]) -> None:
    """Refuse what is not the name of a text that can be kept.

    Raises:
        InputError: It is not.
    """
    if isinstance(keep, str) or (others := sorted(set(keep) - {"uid", "metadata"})):
        found = repr(keep) if isinstance(keep, str) else listed(others)
        raise InputError(f"keep has {found}, expected a collection of 'uid', 'metadata'")


def whole_frames(buffer: Buffer, *, source: str, parts: Parts) -> tuple[Bytes, Frames]:
    """Return the bytes of a whole stream and its frames, each a whole record.

    Raises:
        CorruptRecordError: The bytes are no RecordIO.
        InputError: ``parts`` is unknown, or the buffer is not contiguous.
    """
    check_parts(parts)
    data = _bytes(buffer, source)
    frames = find_frames(data, source=source)
    if frames.error is not None:
        raise frames.error
    return join_parts(data, frames, source=source, parts=parts)


def decode_frames(
    data: Bytes, frames: Frames, *, source: str, first_row: int = 0, keep: Collection[str] = ()
) -> Records:
    """Return the rows of some frames.

    Args:
        data: uint8 (bytes,), what the frames' ``starts`` count in.
        frames: Whole records.
        source: For errors.
        first_row: Number of the first record in that source, for errors.
        keep: Texts to return as well.

    Raises:
        CorruptRecordError: A payload is no Record.
        DataError: The records are no rows of one matrix.
    """
    if not frames.starts.size:
        return Records(features=np.empty((0, 0), np.float32), labels=None)
    if (run := _run(data, frames)) is not None and (alike := decode_uniform(run)) is not None:
        return Records(features=alike[0], labels=alike[1])
    step = _block_rows(frames)
    if frames.starts.size > step and not keep:
        found = _in_blocks(data, frames, source=source, first_row=first_row, step=step)
        if found is not None:
            return found
    return _at_once(data, frames, source=source, first_row=first_row, keep=keep)


def _run(data: Bytes, frames: Frames) -> Bytes | None:
    """Return the bytes of frames of one size that follow one another; None if they do not."""
    begin = int(frames.starts[0]) - HEADER_BYTES
    stride = None if begin < 0 else frame_bytes(data, begin)
    if stride is None or stride_of(frames.starts) not in {0, stride}:
        return None
    return data[begin : begin + frames.starts.size * stride]


def _at_once(
    data: Bytes, frames: Frames, *, source: str, first_row: int, keep: Collection[str] = ()
) -> Records:
    table = Table(data, frames, source=source, first_row=first_row)
    _check_names(table)
    texts = {name: table.texts(field) for field, name in TEXTS.items() if name in keep}
    labels = _labels(table)
    return Records(
        features=_features(table),
        labels=labels,
        uids=texts.get("uid"),
        metadata=texts.get("metadata"),
    )


_BLOCK_BYTES = 1 << 22
"""Of records at a time: what is made of them on the way stays in the processor's cache."""
_FEW = 64


def _block_rows(frames: Frames) -> int:
    return max(_FEW, _BLOCK_BYTES * frames.starts.size // max(int(frames.lengths.sum()), 1))


def _in_blocks(
    data: Bytes, frames: Frames, *, source: str, first_row: int, step: int
) -> Records | None:
    """Return many rows, decoded block by block; None if that is no use, they differ, or are refused."""

    def block(first: int, last: int) -> Records | None:
        try:
            return _at_once(
                data, frames.between(first, last), source=source, first_row=first_row + first
            )
        except DataError:
            return None  # decoded at once, the message has the right record to compare with

    rows = frames.starts.size
    form = block(0, _FEW)
    if form is None or form.layout == "dense":
        return None
    whole = _Sparse(form, frames)
    for first in range(0, rows, step):
        part = block(first, min(rows, first + step))
        if part is None or _form(part) != _form(form):
            return None
        whole.add(part)
    return whole.records()


class _Sparse:
    """A CSR array of many rows, filled block by block.

    Its long arrays are as large as they can at most be; what is not written to costs no memory.
    """

    def __init__(self, form: Records, frames: Frames) -> None:
        rows = frames.starts.size
        most = int(frames.lengths.sum()) // 2  # a value and its key have two bytes at least
        self._shape = (rows, form.width)
        large = max(most, form.width) > np.iinfo(np.int32).max
        self._values = np.empty(most, form.features.dtype)
        self._keys = np.empty(most, np.int64 if large else np.int32)
        self._indptr = np.zeros(rows + 1, self._keys.dtype)
        self._labels = _empty_labels(form, rows)
        self._at = self._row = 0

    def add(self, part: Records) -> None:
        """Append the rows of a block."""
        matrix: Any = part.features
        end, stop = self._at + matrix.indices.size, self._row + len(part)
        self._values[self._at : end], self._keys[self._at : end] = matrix.data, matrix.indices
        self._indptr[self._row + 1 : stop + 1] = matrix.indptr[1:] + self._keys.dtype.type(self._at)
        if self._labels is not None:
            self._labels[self._row : stop] = part.labels
        self._at, self._row = end, stop

    def records(self) -> Records:
        """Return all rows."""
        from scipy.sparse import csr_array

        parts = (self._values[: self._at], self._keys[: self._at], self._indptr)
        return Records(features=csr_array(parts, shape=self._shape), labels=self._labels)


def _empty_labels(form: Records, rows: int) -> npt.NDArray[Any] | None:
    if form.labels is None:
        return None
    return np.empty((rows, *form.labels.shape[1:]), form.labels.dtype)


def _form(records: Records) -> tuple[Any, ...]:
    """Return what must be alike in all blocks."""
    labels = records.labels
    labelled = None if labels is None else (labels.dtype, labels.shape[1:])
    return records.layout, records.width, records.features.dtype, labelled


def _check_names(table: Table) -> None:
    """Refuse records that are more, or less, than features and perhaps labels called ``values``."""
    first_label: bool | None = None
    for rows, tensors in table.tensors():
        row = int(rows[0])
        for what, label in (("features", False), ("labels", True)):
            names = [name for is_label, name in tensors if is_label == label]
            if others := [name.decode(errors="replace") for name in names if name != NAME]:
                found = listed(sorted(others))
                problem = f"has {what} by the name {found}, expected 'values'"
                raise table.refused(row, f"{problem}\n  decode_named and read_named read any name")
        if (False, NAME) not in tensors:
            raise table.refused(row, "has no features")
        labelled = (True, NAME) in tensors
        first_label = labelled if first_label is None else first_label
        if labelled != first_label:
            has = ("has a label", "has none") if labelled else ("has no label", "has one")
            raise table.refused(row, f"{has[0]}, record {table.number(0)} {has[1]}")


def _labels(table: Table) -> npt.NDArray[Any] | None:
    """Return the labels, (rows,) or (rows, k)."""
    blocks = table.blocks((True, NAME))
    if not blocks:
        return None
    for block in blocks:
        if block.keys is not None or not block.values.size:
            what = "a sparse label" if block.keys is not None else "a label without values"
            raise table.refused(int(block.rows[0]), f"has {what}, expected numbers")
    labels = _stacked(table, blocks, "labels")
    return labels[:, 0] if labels.shape[1] == 1 else labels


def _features(table: Table) -> Any:
    """Return the features of all rows."""
    blocks = table.blocks((False, NAME))
    if all(block.keys is None for block in blocks):
        for block in blocks:
            if not block.values.size:
                raise table.refused(int(block.rows[0]), "has features without values")
        return _stacked(table, blocks, "features")
    return _sparse(table, blocks)


def _check_widths(table: Table, block: Block, width: int, what: str = "features") -> None:
    if (wrong := np.flatnonzero(block.counts != width)).size:
        problem = f"has {block.counts[wrong[0]]} {what}, record {table.number(0)} has {width}"
        raise table.refused(int(block.rows[wrong[0]]), problem)


def _stacked(table: Table, blocks: list[Block], what: str) -> npt.NDArray[Any]:
    """Return dense blocks as one array, in the order of the rows."""
    width = int(blocks[0].counts[0])
    for block in blocks:
        _check_widths(table, block, width, what)
    if len(blocks) == 1:
        return blocks[0].values.reshape(-1, width)
    whole = np.empty((table.rows, width), np.result_type(*(block.values for block in blocks)))
    for block in blocks:
        whole[block.rows] = block.values.reshape(-1, width)
    return whole


def _sparse(table: Table, blocks: list[Block]) -> csr_array:
    """Return blocks, some of them sparse, as one CSR array in the order of the rows."""
    from scipy.sparse import csr_array

    widths = [_width(table, block) for block in blocks]
    for block, width in zip(blocks, widths, strict=True):
        if width != widths[0]:
            problem = f"has {width} features, record {table.number(0)} has {widths[0]}"
            raise table.refused(int(block.rows[0]), problem)
    indptr = starts_of(merged(table.rows, blocks, lambda block: block.counts))
    values = interleaved([block.values for block in blocks], blocks, indptr)
    keys = interleaved([_keys(block, widths[0]) for block in blocks], blocks, indptr)
    dtype = np.int64 if max(widths[0], int(indptr[-1])) > np.iinfo(np.int32).max else np.int32
    if keys.dtype.itemsize == np.dtype(dtype).itemsize:
        keys = keys.view(dtype)  # all are below the width
    parts = (values, keys.astype(dtype, copy=False), indptr.astype(dtype))
    return csr_array(parts, shape=(table.rows, widths[0]))


def _width(table: Table, block: Block) -> int:
    """Return how many columns a block has; a dense one must have as many values in each row."""
    if block.keys is None:
        width = int(block.counts[0])
        _check_widths(table, block, width)
        return width
    if block.width is None:
        raise table.refused(int(block.rows[0]), "is sparse and has no shape")
    return block.width


def _keys(block: Block, width: int) -> npt.NDArray[Any]:
    return np.tile(np.arange(width), block.rows.size) if block.keys is None else block.keys
