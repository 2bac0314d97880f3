"""What stands in some records: tensors by name and kind, or images, all records at once.

The only module here that knows the codec's tables; the verbs see ``Cells`` and ``Pictures``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from penstock.errors import CorruptRecordError, DataError
from penstock.recordio.blobs import Blobs
from penstock.recordio.framing import HEADER_BYTES, MAGIC, Frames
from penstock.recordio.message import TEXTS, parse
from penstock.recordio.segments import Bytes, Indices, starts_of, windows
from penstock.recordio.table import Table

__all__ = ["Cells", "Content", "Pictures", "content_kind", "embedded_magic", "pictures"]

Kind = Literal["records", "images"]

_HEAD = np.dtype([("flag", "<u4"), ("label", "<f4"), ("id", "<u8"), ("id2", "<u8")])
_SIGNATURES = {
    "JPEG": b"\xff\xd8\xff",
    "PNG": b"\x89PNG\r\n\x1a\n",
    "GIF": b"GIF8",
    "BMP": b"BM",
    "WebP": b"RIFF",
}
"""How files of these kinds begin."""
_SIGNATURE_BYTES = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Cells:
    """One tensor of some records that are alike in name, kind and layout.

    Attributes:
        label: Whether it stands in ``label``, else in ``features``.
        name: Its name there, mostly ``values``.
        rows: int64 (n,), record numbers within the chunk, ascending.
        values: float32, float64 or int32, one record after another.
        starts: int64 (n + 1,), where each record's values begin.
        keys: Column of each value; None when dense.
        width: Product of the shape; None when the records give none.
    """

    label: bool
    name: str
    rows: Indices
    values: npt.NDArray[Any]
    starts: Indices
    keys: npt.NDArray[Any] | None
    width: int | None

    @property
    def counts(self) -> Indices:
        """Values per record, int64 (n,)."""
        return np.diff(self.starts)


class Content:
    """The tensors and texts of some records."""

    def __init__(self, data: Bytes, frames: Frames, *, source: str, first_row: int) -> None:
        """Read them.

        Args:
            data: uint8, what the frames' ``starts`` count in.
            frames: Whole records.
            source: For errors.
            first_row: Number of the first record in the source, for errors.

        Raises:
            CorruptRecordError: A payload is no Record; gives the byte.
            DataError: Keys and values differ in number, a key is past the shape, a dense tensor
                does not fill its shape, or there are bytes where numbers are expected.
        """
        self._table = Table(data, frames, source=source, first_row=first_row)
        self.cells: list[Cells] = []
        for label, name in self._table.names:
            for block in self._table.blocks((label, name)):
                self.cells.append(
                    Cells(
                        label=label,
                        name=name.decode(errors="replace"),
                        rows=block.rows,
                        values=block.values,
                        starts=starts_of(block.counts),
                        keys=block.keys,
                        width=block.width,
                    )
                )

    def texts(self) -> dict[str, Blobs]:
        """Return uid, metadata and configuration, those that any record has."""
        found = {name: self._table.texts(field) for field, name in TEXTS.items()}
        return {name: blobs for name, blobs in found.items() if blobs is not None}


@dataclass(frozen=True, kw_only=True, slots=True)
class Pictures:
    """Some image records: 24 bytes of header, labels if there are several, the image.

    Attributes:
        heads: flag, label, id, id2; (n,).
        label_counts: int64 (n,), labels of each record, at least 1.
        label_starts: int64 (n + 1,), where each record's labels begin in ``labels``.
        labels: float32, all of them.
        sizes: int64 (n,), bytes of each image.
        kinds: (n,) of ``JPEG``, ``PNG``, ... or ``other``, by how the image begins.
    """

    heads: npt.NDArray[Any]
    label_counts: Indices
    label_starts: Indices
    labels: npt.NDArray[np.float32]
    sizes: Indices
    kinds: npt.NDArray[np.str_]


def pictures(data: Bytes, frames: Frames, *, source: str) -> Pictures:
    """Return the headers, labels, sizes and kinds of some image records.

    Raises:
        CorruptRecordError: A payload is shorter than its header and labels.
    """
    from penstock.recordio.segments import gather_segments

    left = frames.lengths - _HEAD.itemsize
    if (short := np.flatnonzero(left < 0)).size:
        row = int(short[0])
        problem = f"the payload has {frames.lengths[row]} bytes, an image record has at least 24"
        raise CorruptRecordError(source, int(frames.offsets[row]), problem)
    heads = windows(data, _HEAD.itemsize)[frames.starts].view(_HEAD)
    counts = heads["flag"].astype(np.int64)
    if (short := np.flatnonzero(4 * counts > left)).size:
        row = int(short[0])
        behind = f"{left[row]} bytes are behind the header"
        problem = f"the flag says {counts[row]:,} labels behind the header; {behind}"
        raise CorruptRecordError(source, int(frames.offsets[row]), problem)
    at = frames.starts + np.where(counts > 0, _HEAD.itemsize, 4)
    each = np.maximum(counts, 1)
    image_at = frames.starts + _HEAD.itemsize + 4 * counts
    sizes = left - 4 * counts
    return Pictures(
        heads=heads,
        label_counts=each,
        label_starts=starts_of(each),
        labels=gather_segments(data, at, 4 * each).view("<f4"),
        sizes=sizes,
        kinds=_kinds(data, image_at, sizes),
    )


def _kinds(data: Bytes, at: Indices, sizes: Indices) -> npt.NDArray[np.str_]:
    padded = np.concatenate([data, np.zeros(_SIGNATURE_BYTES, np.uint8)])
    begins = windows(padded, _SIGNATURE_BYTES)[at].view(np.uint8).reshape(-1, _SIGNATURE_BYTES)
    kinds = np.full(at.size, "other", "U8")
    for kind, signature in _SIGNATURES.items():
        wanted = np.frombuffer(signature, np.uint8)
        same = (begins[:, : wanted.size] == wanted).all(axis=1) & (sizes >= wanted.size)
        kinds[same] = kind
    return kinds


def content_kind(data: Bytes, frames: Frames, *, source: str) -> Kind:
    """Return what the records are, judged by the first one.

    An image record is never a valid Record: its flag, label or id has a zero byte where a field's
    number would stand. What is neither is taken for a Record, so that the error says why it is none.
    """
    start, length = int(frames.starts[0]), int(frames.lengths[0])
    payload = data[start : start + length]
    if length < _HEAD.itemsize:
        return "records"
    try:
        parse(payload.tobytes(), source=source, at=int(frames.offsets[0]) + HEADER_BYTES)
    except CorruptRecordError:
        head = payload[: _HEAD.itemsize].view(_HEAD)[0]
        whole = 4 * int(head["flag"]) <= length - _HEAD.itemsize
        plain = int(head["id2"]) == 0 or _has_signature(payload, int(head["flag"]))
        return "images" if whole and plain else "records"
    except DataError:
        return "records"
    return "records"


def _has_signature(payload: Bytes, flag: int) -> bool:
    image = payload[_HEAD.itemsize + 4 * flag :][:_SIGNATURE_BYTES].tobytes()
    return any(image.startswith(signature) for signature in _SIGNATURES.values())


def embedded_magic(data: Bytes, frames: Frames) -> Indices:
    """Return for each magic word inside a payload, at a multiple of four bytes, the number of its frame.

    Args:
        data: uint8; the frames follow each other in it without gaps.
        frames: As they stand in the stream.
    """
    if not frames.starts.size:
        return np.empty(0, np.int64)
    first = int(frames.starts[0]) - HEADER_BYTES
    words = data[first : first + (frames.stop - first) // 4 * 4].view("<u4")
    hits = np.flatnonzero(words == MAGIC) * 4 + first
    if hits.size == frames.starts.size:
        return np.empty(0, np.int64)
    inside = np.setdiff1d(hits, frames.starts - HEADER_BYTES, assume_unique=True)
    return np.searchsorted(frames.starts, inside, side="right") - 1
