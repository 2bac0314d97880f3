"""Images and their labels as MXNet keeps them in RecordIO: bytes in, frames out, and back.

The payload of one frame, all integers unsigned, little-endian:

    offset  bytes  field
    0       4      flag    k, how many labels stand behind the header; 0: one, in the header
    4       4      label   float32; 0 when k > 0
    8       8      id      number of the image, the key of an .idx file
    16      8      id2     MXNet keeps it for users, its tools write 0
    24      4k     labels  float32
    24+4k   n      image   a JPEG, a PNG, ...; never looked into

SageMaker's image algorithms take it as ``application/x-recordio``: image classification with one
label or a vector of fixed length, object detection with a list per image whose length follows
from the number of objects.

dmlc's writer cuts a payload that holds the magic word at a multiple of four bytes, since its
chunked reader looks for that word to find a frame. Parts are never written here, so such a
payload is refused unless the caller knows that its reader goes from frame to frame.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from penstock.errors import CorruptRecordError, DataError, InputError
from penstock.recordio.blobs import Blobs
from penstock.recordio.checks import Floats
from penstock.recordio.framing import (
    HEADER_BYTES,
    MAGIC,
    MAX_PAYLOAD_BYTES,
    Frames,
    Parts,
)
from penstock.recordio.imageinput import (
    Ids,
    LabelLists,
    check_ids,
    image_pieces,
    label_counts,
    numbered,
    slices,
)
from penstock.recordio.records import Buffer, whole_frames
from penstock.recordio.segments import (
    Bytes,
    Indices,
    gather_segments,
    starts_of,
    windows,
)
from penstock.recordio.stream import Source, check_batches, frame_batches, source_name

__all__ = ["Images", "LabelLists", "decode_images", "encode_images", "index_lines", "read_images"]

_HEAD = np.dtype([("flag", "<u4"), ("label", "<f4"), ("id", "<u8"), ("id2", "<u8")])
_FRAME = np.dtype([("magic", "<u4"), ("length", "<u4"), *_HEAD.descr])
_LABEL_AT = 4
_FLOAT_BYTES = 4
_PADDING = np.array([b"", bytes(1), bytes(2), bytes(3)], object)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Images:
    """Some images.

    Attributes:
        ids: uint64 (n,).
        ids2: uint64 (n,), mostly zeros.
        labels: float32 (n,), or (n, k) when k of them stand behind each header, or lists when
            they were asked for.
        payloads: The images as they stand in the records.
        offsets: int64 (n,), where each frame begins in its stream, bytes.
    """

    ids: Ids
    ids2: Ids
    labels: Floats | LabelLists
    payloads: Blobs
    offsets: Indices

    def __len__(self) -> int:
        return self.ids.size


def encode_images(
    images: Sequence[bytes] | Blobs,
    labels: Floats | LabelLists,
    *,
    ids: Ids | None = None,
    ids2: Ids | None = None,
    first_id: int = 0,
    allow_nonfinite: bool = False,
    allow_magic: bool = False,
) -> memoryview:
    """Return one frame per image, as MXNet's tools write them.

    Args:
        images: n of them, at least one byte each.
        labels: float32 (n,), kept in the headers; (n, k) or lists, kept behind them.
        ids: uint64 (n,); without them they count from ``first_id``.
        ids2: uint64 (n,); zeros without them.
        first_id: The first image's id.
        allow_nonfinite: Write labels that are NaN or infinite instead of refusing them.
        allow_magic: Write payloads that a chunked reader may take for several frames.

    Returns:
        Read-only bytes. Copies the images once, at the speed of ``bytes.join``.

    Raises:
        InputError: Wrong type, shape or number of images, labels or ids.
        DataError: A label that is not finite, or a payload that holds the magic word at a
            multiple of four bytes; names the record.
    """
    pieces, sizes = image_pieces(images)
    rows = sizes.size
    counts, values = label_counts(labels, rows, finite=not allow_nonfinite)
    lengths = _HEAD.itemsize + _FLOAT_BYTES * counts + sizes
    _check_lengths(sizes, lengths)
    heads = np.zeros(rows, _FRAME)
    heads["magic"], heads["length"], heads["flag"] = MAGIC, lengths, counts
    heads["id"] = numbered(ids, first_id, rows)
    if ids2 is not None:
        heads["id2"] = check_ids(ids2, "ids2", rows)
    encoded: list[Any] = [b""] * (4 * rows)
    if counts.any():
        starts = starts_of(_FLOAT_BYTES * counts)
        encoded[1::4] = slices(values.view(np.uint8), starts[:-1], _FLOAT_BYTES * counts)
    else:
        heads["label"] = values
    encoded[0::4] = heads.view(f"V{_FRAME.itemsize}").tolist()
    encoded[2::4] = pieces
    encoded[3::4] = _PADDING[-lengths & 3].tolist()
    joined = b"".join(encoded)
    if not allow_magic:
        _refuse_magic(joined, lengths, heads["id"])
    return memoryview(joined)


def _check_lengths(sizes: Indices, lengths: Indices) -> None:
    """Refuse images of no bytes, and payloads that a frame cannot hold."""
    if (empty := np.flatnonzero(sizes < 1)).size:
        raise InputError(f"images: image {empty[0]} has no bytes, expected at least one")
    if (large := np.flatnonzero(lengths > MAX_PAYLOAD_BYTES)).size:
        row = int(large[0])
        problem = f"needs {lengths[row]:,} bytes with its labels"
        raise InputError(f"images: image {row} {problem}, a frame holds {MAX_PAYLOAD_BYTES:,}")


def _refuse_magic(encoded: bytes, lengths: Indices, ids: Ids) -> None:
    """Raise the error that a payload holds the magic word where a frame could begin."""
    hits = np.flatnonzero(np.frombuffer(encoded, "<u4") == MAGIC)
    if hits.size == lengths.size:
        return
    begins = starts_of(HEADER_BYTES + (lengths + 3 & -4))[:-1]
    at = int(np.setdiff1d(hits, begins >> 2, assume_unique=True)[0]) * 4
    row = int(np.searchsorted(begins, at, side="right")) - 1
    raise DataError(
        f"images: record {row} (id {ids[row]}) holds the magic word {MAGIC:#010x} "
        f"at byte {at - begins[row] - HEADER_BYTES} of its payload\n"
        "  dmlc's chunked reader may take it for the head of a frame: encode the image anew or "
        "leave it out,\n  or pass allow_magic=True if its reader goes from frame to frame"
    )


def decode_images(
    buffer: Buffer,
    *,
    source: str = "buffer",
    parts: Parts = "refuse",
    ragged: bool = False,
) -> Images:
    """Return the images of a whole RecordIO stream.

    Args:
        buffer: Zero or more frames, contiguous.
        source: Where they came from, for errors.
        parts: What part flags mean; ``dmlc`` for what MXNet wrote, ``join`` as ml-io does.
        ragged: Give the labels as lists; without it records with different numbers of labels
            are refused.

    Returns:
        The payloads refer to ``buffer``, nothing else does.

    Raises:
        CorruptRecordError: The bytes are no RecordIO, or a payload is no image record.
        DataError: The records differ in their number of labels.
    """
    data, frames = whole_frames(buffer, source=source, parts=parts)
    heads, counts = _heads(data, frames, source)
    if not ragged:
        _check_flags(heads["flag"], frames, source, 0, None)
    return _cut(data, frames, heads, counts, ragged=ragged)


def read_images(
    source: Source,
    batch_rows: int = 256,
    *,
    parts: Parts = "refuse",
    ragged: bool = False,
) -> Iterator[Images]:
    """Yield the images of a RecordIO stream in batches.

    The batches depend on the bytes alone, not on how a stream hands them out. Opens the source
    when the first batch is asked for, a FIFO by waiting for its writer, and closes what it
    opened. Memory: about three times the bytes of a batch.

    Args:
        source: Path, file:// or s3:// URI, FIFO, or an open binary stream, which is read from
            where it stands.
        batch_rows: Images of every batch but the last, which may have fewer. None, no batch.
        parts: What part flags mean; ``dmlc`` for what MXNet wrote, ``join`` as ml-io does.
        ragged: Give the labels as lists; without it records with different numbers of labels
            are refused.

    Yields:
        Images of their own: they share no memory with the next batch.

    Raises:
        InputError: ``batch_rows`` is not at least 1, or the stream would block.
        MissingFileError: Nothing stands at the path or URI.
        CorruptRecordError: The stream is no RecordIO, ends inside a frame, or a payload is no
            image record; gives the byte.
        DataError: The records differ in their number of labels.
    """
    check_batches(batch_rows, parts)
    return _read(source, batch_rows, parts, ragged=ragged)


def _read(source: Source, batch_rows: int, parts: Parts, *, ragged: bool) -> Iterator[Images]:
    name = source_name(source)
    flag: int | None = None
    row = 0
    for data, frames in frame_batches(source, batch_rows, parts=parts):
        heads, counts = _heads(data, frames, name)
        if not ragged:
            flag = _check_flags(heads["flag"], frames, name, row, flag)
        row += counts.size
        yield _own(_cut(data, frames, heads, counts, ragged=ragged))


def _own(images: Images) -> Images:
    """Return the images with a copy of the bytes that hold them."""
    payloads = images.payloads
    first = int(payloads.starts.min())
    last = int((payloads.starts + payloads.lengths).max())
    data = payloads.data[first:last].copy()
    return replace(images, payloads=replace(payloads, data=data, starts=payloads.starts - first))


def _heads(data: Bytes, frames: Frames, source: str) -> tuple[Any, Indices]:
    """Return the headers, and how many labels stand behind each, int64 (n,)."""
    lengths = frames.lengths
    if (short := np.flatnonzero(lengths < _HEAD.itemsize)).size:
        row = int(short[0])
        needs = f"an image record begins with {_HEAD.itemsize}"
        problem = f"the payload has {lengths[row]} bytes, {needs}"
        raise CorruptRecordError(source, int(frames.offsets[row]), problem)
    if not lengths.size:
        return np.empty(0, _HEAD), np.empty(0, np.int64)
    heads = windows(data, _HEAD.itemsize)[frames.starts].view(_HEAD)
    counts = heads["flag"].astype(np.int64)
    left = lengths - _HEAD.itemsize
    if (short := np.flatnonzero(_FLOAT_BYTES * counts > left)).size:
        row = int(short[0])
        problem = f"the flag says {_labels(counts[row])}; {left[row]} bytes are behind the header"
        raise CorruptRecordError(source, int(frames.offsets[row]), problem)
    return heads, counts


def _check_flags(
    flags: npt.NDArray[np.uint32],
    frames: Frames,
    source: str,
    first_row: int,
    before: int | None,
) -> int | None:
    """Return the flag that all records have.

    Args:
        flags: uint32 (n,).
        frames: Where the records are, for errors.
        source: For errors.
        first_row: Number of the first record in that source, for errors.
        before: The flag of the records before, if there are any.

    Raises:
        DataError: They differ.
    """
    if not flags.size:
        return before
    expected = int(flags[0]) if before is None else before
    if (other := np.flatnonzero(flags != expected)).size:
        row = int(other[0])
        raise DataError(
            f"{source}: record {first_row + row} (byte {frames.offsets[row]}) has "
            f"{_labels(flags[row])}, record 0 has {_labels(expected)}\n"
            "  pass ragged=True to get the labels as lists"
        )
    return expected


def _cut(data: Bytes, frames: Frames, heads: Any, counts: Indices, *, ragged: bool) -> Images:
    """Return the images of some frames, whose flags are alike unless ``ragged``."""
    sizes = _FLOAT_BYTES * counts
    at = frames.starts + np.where(counts > 0, _HEAD.itemsize, _LABEL_AT)
    values = gather_segments(data, at, np.maximum(sizes, _FLOAT_BYTES)).view("<f4")
    labels: Floats | LabelLists = values
    if ragged:
        labels = LabelLists(values=values, starts=starts_of(np.maximum(counts, 1)))
    elif counts.any():
        labels = values.reshape(counts.size, -1)
    starts = frames.starts + _HEAD.itemsize + sizes
    lengths = frames.lengths - _HEAD.itemsize - sizes
    return Images(
        ids=heads["id"].copy(),
        ids2=heads["id2"].copy(),
        labels=labels,
        payloads=Blobs(data=data, starts=starts, lengths=lengths),
        offsets=frames.offsets,
    )


def _labels(flag: int) -> str:
    """Return what a flag says."""
    if not flag:
        return "one label, in the header"
    return "a list of 1 label" if flag == 1 else f"a list of {flag} labels"


def index_lines(images: Images, *, first_byte: int = 0) -> bytes:
    """Return the lines of an .idx file, which MXNet needs to shuffle: id, tab, frame offset.

    Args:
        images: What was read, or decoded from what was just written.
        first_byte: Where their stream begins in the file, bytes.
    """
    offsets = images.offsets + first_byte
    return "".join(map("{}\t{}\n".format, images.ids.tolist(), offsets.tolist())).encode()
