"""One aialgs.data.Record as bytes: any valid one is read, the canonical one is written.

Each line is a protobuf field: its tag byte, a length, then what is indented below it.

    0a  Record.features, a map entry
        0a  key     a name, mostly "values"
        12  value   a Value, one of:
            12  float32_tensor    1a  float64_tensor    3a  int32_tensor
                0a  values  packed: 4 or 8 bytes each, or varints
                12  keys    packed varints; a sparse row's column numbers
                1a  shape   packed varints
    12  Record.label, a map entry of the same form
    1a  Record.uid    22  Record.metadata    2a  Record.configuration    (text)

Canonical is what google.protobuf serialises: fields by number, shortest varints, nothing empty.
Here records are handled one at a time: the slow and general way, for examples and for the odd
record. The other modules do the many.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from penstock.errors import CorruptRecordError, DataError
from penstock.recordio.varint import decode_varints, varint

__all__ = [
    "FLOAT32",
    "FLOAT64",
    "INT32",
    "ITEM_BYTES",
    "NAME",
    "TEXTS",
    "Entry",
    "Piece",
    "Row",
    "Tensor",
    "parse",
    "pieces",
    "plain_row",
]

FLOAT32, FLOAT64, INT32 = 2, 3, 7
_BYTES = 9
ITEM_BYTES = {FLOAT32: 4, FLOAT64: 8}
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_ITEM_WIRES = {FLOAT32: _FIXED32, FLOAT64: _FIXED64, INT32: _VARINT}
NAME = b"values"
"""What features and labels are called, but for a few algorithms."""
TEXTS = {3: "uid", 4: "metadata", 5: "configuration"}
"""Text fields of a Record, by number."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tensor:
    """One tensor of a record.

    Attributes:
        kind: Its field in Value: FLOAT32, FLOAT64 or INT32.
        values: Packed values.
        keys: Packed varints; empty unless sparse.
        shape: Empty when the record does not give it.
    """

    kind: int
    values: bytes
    keys: bytes = b""
    shape: tuple[int, ...] = ()

    @property
    def sparse(self) -> bool:
        """Whether it lists its columns, or has none to list and only says how many there are."""
        return bool(self.keys) or (not self.values and bool(self.shape))


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One tensor under its name in ``features`` or, if it is a label, in ``label``."""

    label: bool
    name: bytes
    tensor: Tensor

    @property
    def inline(self) -> bool:
        """Whether the records like this one have as many bytes of values: so it is with labels."""
        return self.label and bool(self.tensor.values) and not self.tensor.keys


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """What a record says.

    Attributes:
        entries: Features, then labels, each in the order of the record; no name twice.
        texts: Field number and bytes of uid (3), metadata (4) and configuration (5), those it has.
    """

    entries: tuple[Entry, ...]
    texts: tuple[tuple[int, bytes], ...] = ()


def plain_row(features: Tensor, label: Tensor | None) -> Row:
    """Return the record that all algorithms but a few read: tensors by the name ``values``."""
    entries = [Entry(label=False, name=NAME, tensor=features)]
    if label is not None:
        entries.append(Entry(label=True, name=NAME, tensor=label))
    return Row(entries=tuple(entries))


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """Some bytes of a canonical record, and what they are.

    Attributes:
        what: ``blob``: values, keys or a text, of any length. ``blob_size``: its length, just
            before it. ``size``: the length of a message with blobs; ``end``, without bytes: where
            that message ends. ``inline``: values of a label. All else is ``fixed``.
        content: The bytes.
        entry: Number of the entry whose blob or inline values these are; -1 for a text.
        part: For a blob: ``values``, ``keys``, or the text's ``3``, ``4``, ``5``.
    """

    what: Literal["fixed", "size", "end", "blob_size", "blob", "inline"]
    content: bytes
    entry: int = -1
    part: str = ""


def pieces(row: Row) -> list[Piece]:
    """Return the canonical bytes of a record, in pieces.

    >>> row = plain_row(Tensor(kind=FLOAT32, values=bytes(4)), None)
    >>> b"".join(piece.content for piece in pieces(row)).hex()
    '0a120a0676616c756573120812060a0400000000'
    """
    found: list[Piece] = []
    for number, entry in enumerate(row.entries):
        found += _entry(number, entry)
    for field, text in row.texts:
        found += _fixed(bytes([field << 3 | _LENGTH])) + _blob(-1, str(field), text)
    return found


def _entry(number: int, entry: Entry) -> list[Piece]:
    body: list[Piece] = []
    tensor = entry.tensor
    if entry.inline:
        size = varint(len(tensor.values))
        body += _fixed(b"\x0a" + size)
        body.append(Piece(what="inline", content=tensor.values, entry=number))
    elif tensor.values:
        body += _fixed(b"\x0a") + _blob(number, "values", tensor.values)
    if tensor.keys:
        body += _fixed(b"\x12") + _blob(number, "keys", tensor.keys)
    if tensor.shape:
        shape = b"".join(map(varint, tensor.shape))
        body += _fixed(b"\x1a" + varint(len(shape)) + shape)
    value = _wrapped(bytes([tensor.kind << 3 | _LENGTH]), body)
    name = _fixed(b"\x0a" + varint(len(entry.name)) + entry.name)
    return _wrapped(b"\x12" if entry.label else b"\x0a", name + _wrapped(b"\x12", value))


def _fixed(content: bytes) -> list[Piece]:
    return [Piece(what="fixed", content=content)]


def _blob(entry: int, part: str, content: bytes) -> list[Piece]:
    size = Piece(what="blob_size", content=varint(len(content)))
    return [size, Piece(what="blob", content=content, entry=entry, part=part)]


def _wrapped(tag: bytes, body: list[Piece]) -> list[Piece]:
    size = varint(sum(len(piece.content) for piece in body))
    if not any(piece.what == "blob" for piece in body):
        return [*_fixed(tag + size), *body]
    end = Piece(what="end", content=b"")
    return [*_fixed(tag), Piece(what="size", content=size), *body, end]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Reader:
    """A payload and where it came from.

    Attributes:
        data: The payload.
        source: For errors.
        at: Where it begins in that source, bytes.
    """

    data: bytes
    source: str
    at: int

    def bad(self, at: int, problem: str) -> CorruptRecordError:
        return CorruptRecordError(self.source, self.at + at, f"payload is not a Record: {problem}")

    def refused(self, problem: str) -> DataError:
        return DataError(f"{self.source}: the record at byte {self.at} {problem}")

    def varint(self, at: int, stop: int) -> tuple[int, int]:
        """Return the number at ``at`` and where it ends."""
        value = 0
        for byte in range(10):
            if at + byte >= stop:
                break
            value |= (self.data[at + byte] & 0x7F) << 7 * byte
            if self.data[at + byte] < 0x80:
                return value & (1 << 64) - 1, at + byte + 1
        raise self.bad(at, "a varint has no end")

    def fields(self, at: int, stop: int) -> Iterator[tuple[int, int, int, int]]:
        """Yield number, wire type, begin and end of each field of a message."""
        while at < stop:
            tag, begin = self.varint(at, stop)
            number, wire = tag >> 3, tag & 7
            if not 0 < number < 1 << 29:
                raise self.bad(at, f"field number is {number}")
            if wire == _VARINT:
                end = self.varint(begin, stop)[1]
            elif wire == _LENGTH:
                size, begin = self.varint(begin, stop)
                end = begin + size
            elif wire in {_FIXED64, _FIXED32}:
                end = begin + (8 if wire == _FIXED64 else 4)
            else:
                raise self.bad(at, f"wire type of field {number} is {wire}")
            if end > stop:
                raise self.bad(at, f"field {number} ends {end - stop} bytes past its message")
            yield number, wire, begin, end
            at = end

    def varints(self, begin: int, end: int) -> list[int]:
        """Return packed numbers."""
        found = decode_varints(np.frombuffer(self.data, np.uint8)[begin:end])
        if found is None:
            raise self.bad(begin, "packed varints have no end")
        numbers: list[int] = found[0].tolist()
        return numbers


def parse(payload: bytes, *, source: str, at: int) -> Row:
    """Return what one payload says: any valid Record, in any field order, packed or not.

    Of a name or text that comes twice the last one counts; unknown fields are skipped.

    Args:
        payload: One frame's payload.
        source: For errors.
        at: Where the payload begins in that source, bytes.

    Raises:
        CorruptRecordError: It is not a Record; gives the byte where that shows.
        DataError: A feature or label is bytes instead of numbers.
    """
    reader = _Reader(data=payload, source=source, at=at)
    entries: dict[tuple[bool, bytes], Tensor] = {}
    texts: dict[int, bytes] = {}
    for number, wire, begin, end in reader.fields(0, len(payload)):
        if wire == _LENGTH and number in {1, 2}:
            name, tensor = _map_entry(reader, begin, end)
            entries[number == 2, name] = tensor
        elif wire == _LENGTH and number in TEXTS:
            texts[number] = payload[begin:end]
    found = [Entry(label=key[0], name=key[1], tensor=tensor) for key, tensor in entries.items()]
    return Row(
        entries=tuple(sorted(found, key=lambda entry: entry.label)),
        texts=tuple(sorted(texts.items())),
    )


def _map_entry(reader: _Reader, begin: int, end: int) -> tuple[bytes, Tensor]:
    name, value = b"", (begin, begin)
    for number, wire, first, last in reader.fields(begin, end):
        if number == 1 and wire == _LENGTH:
            name = reader.data[first:last]
        elif number == 2 and wire == _LENGTH:
            value = (first, last)
    tensor: tuple[int, int, int] | None = None
    for number, wire, first, last in reader.fields(*value):
        if number in {*_ITEM_WIRES, _BYTES} and wire == _LENGTH:
            tensor = number, first, last
    if tensor is None or tensor[0] == _BYTES:
        holds = "bytes" if tensor else "no tensor"
        raise reader.refused(f"has {holds} under {name.decode(errors='replace')!r}, not numbers")
    return name, _tensor(reader, *tensor)


def _tensor(reader: _Reader, kind: int, begin: int, end: int) -> Tensor:
    values, keys, shape = bytearray(), bytearray(), list[int]()
    item_wire = _ITEM_WIRES[kind]
    for number, wire, first, last in reader.fields(begin, end):
        if number == 1 and wire in {_LENGTH, item_wire}:
            if item_wire == _VARINT:
                reader.varints(first, last)
            elif (last - first) % ITEM_BYTES[kind]:
                size = f"{last - first} bytes of values, not a multiple of {ITEM_BYTES[kind]}"
                raise reader.bad(first, size)
            values += reader.data[first:last]
        elif number == 2 and wire in {_LENGTH, _VARINT}:
            reader.varints(first, last)
            keys += reader.data[first:last]
        elif number == 3 and wire in {_LENGTH, _VARINT}:
            shape += reader.varints(first, last)
    return Tensor(kind=kind, values=bytes(values), keys=bytes(keys), shape=tuple(shape))
