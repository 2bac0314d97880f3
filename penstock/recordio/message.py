"""One aialgs.data.Record as bytes: any valid one is read, the canonical one is written.

Each line is a protobuf field: its tag byte, a length, then what is indented below it.

    0a  Record.features, a map entry
        0a  key     "values"
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
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from penstock.errors import CorruptRecordError, DataError, listed
from penstock.recordio.varint import decode_varints, varint

__all__ = ["FLOAT32", "FLOAT64", "INT32", "ITEM_BYTES", "Piece", "Row", "Tensor", "parse", "pieces"]

FLOAT32, FLOAT64, INT32 = 2, 3, 7
_BYTES = 9
ITEM_BYTES = {FLOAT32: 4, FLOAT64: 8}
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_ITEM_WIRES = {FLOAT32: _FIXED32, FLOAT64: _FIXED64, INT32: _VARINT}
NAME = b"values"


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
class Row:
    """What a record says: ``features["values"]`` and, if it has one, ``label["values"]``."""

    features: Tensor
    label: Tensor | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """Some bytes of a canonical record, and what they are.

    ``values`` and ``keys`` are those of the features, ``label`` the values of the label;
    ``size`` is the varint of a length that includes theirs, ``values_size`` and ``keys_size``
    are those of the piece behind them; all else is ``fixed``.
    """

    what: Literal["fixed", "size", "values_size", "keys_size", "values", "keys", "label"]
    content: bytes


def pieces(row: Row) -> list[Piece]:
    """Return the canonical bytes of a record, in pieces.

    >>> row = Row(features=Tensor(kind=FLOAT32, values=bytes(4)), label=None)
    >>> b"".join(piece.content for piece in pieces(row)).hex()
    '0a120a0676616c756573120812060a0400000000'
    """
    found = _entry(b"\x0a", row.features, label=False)
    if row.label is not None:
        label = _entry(b"\x12", row.label, label=True)
        found += [
            replace(piece, what="fixed") if piece.what == "size" else piece for piece in label
        ]
    return found


def _entry(tag: bytes, tensor: Tensor, *, label: bool) -> list[Piece]:
    body: list[Piece] = []
    if tensor.values:
        body += _fixed(b"\x0a") + _packed("label" if label else "values", tensor.values)
    if tensor.keys:
        body += _fixed(b"\x12") + _packed("fixed" if label else "keys", tensor.keys)
    if tensor.shape:
        shape = b"".join(map(varint, tensor.shape))
        body += _fixed(b"\x1a" + varint(len(shape)) + shape)
    value = _wrapped(bytes([tensor.kind << 3 | _LENGTH]), body)
    return _wrapped(tag, _fixed(b"\x0a" + varint(len(NAME)) + NAME) + _wrapped(b"\x12", value))


def _fixed(content: bytes) -> list[Piece]:
    return [Piece(what="fixed", content=content)]


def _packed(what: Literal["values", "keys", "label", "fixed"], content: bytes) -> list[Piece]:
    size: Literal["values_size", "keys_size", "size", "fixed"] = "fixed"
    if what == "values":
        size = "values_size"
    elif what == "keys":
        size = "keys_size"
    return [Piece(what=size, content=varint(len(content))), Piece(what=what, content=content)]


def _wrapped(tag: bytes, body: list[Piece]) -> list[Piece]:
    size = varint(sum(len(piece.content) for piece in body))
    return [*_fixed(tag), Piece(what="size", content=size), *body]


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

    Unknown fields, uid, metadata and configuration are skipped.

    Args:
        payload: One frame's payload.
        source: For errors.
        at: Where the payload begins in that source, bytes.

    Raises:
        CorruptRecordError: It is not a Record; gives the byte where that shows.
        DataError: It is one that cannot be a row of a matrix: no features, features or labels
            by other names than ``values``, bytes instead of numbers.
    """
    reader = _Reader(data=payload, source=source, at=at)
    entries: dict[int, dict[str, Tensor]] = {1: {}, 2: {}}
    for number, wire, begin, end in reader.fields(0, len(payload)):
        if number in entries and wire == _LENGTH:
            name, tensor = _map_entry(reader, begin, end)
            entries[number][name] = tensor
    for what, found in (("features", entries[1]), ("labels", entries[2])):
        if others := sorted(found.keys() - {NAME.decode()}):
            raise reader.refused(f"has {what} by the name {listed(others)}, expected 'values'")
    if not entries[1]:
        raise reader.refused("has no features")
    return Row(features=entries[1]["values"], label=entries[2].get("values"))


def _map_entry(reader: _Reader, begin: int, end: int) -> tuple[str, Tensor]:
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
    return name.decode(errors="replace"), _tensor(reader, *tensor)


def _tensor(reader: _Reader, kind: int, begin: int, end: int) -> Tensor:
    values, lists = bytearray(), {2: list[int](), 3: list[int]()}
    item_wire = _ITEM_WIRES[kind]
    for number, wire, first, last in reader.fields(begin, end):
        if number == 1 and wire in {_LENGTH, item_wire}:
            if item_wire == _VARINT:
                values += _int32s(reader.varints(first, last))
            elif (last - first) % ITEM_BYTES[kind]:
                size = f"{last - first} bytes of values, not a multiple of {ITEM_BYTES[kind]}"
                raise reader.bad(first, size)
            else:
                values += reader.data[first:last]
        elif number in lists and wire in {_LENGTH, _VARINT}:
            lists[number] += reader.varints(first, last)
    keys = b"".join(map(varint, lists[2]))
    return Tensor(kind=kind, values=bytes(values), keys=keys, shape=tuple(lists[3]))


def _int32s(values: list[int]) -> bytes:
    """Return int32 values as protobuf writes them: negative ones as 64 bits."""
    low = np.array(values, np.uint64).astype(np.uint32).view(np.int32)
    return b"".join(varint(value & (1 << 64) - 1) for value in low.tolist())
