"""What people had before: google.protobuf and a Python loop over rows.

The loops do what the SageMaker SDK v2 did: one Record message that is cleared for each row,
``values.extend(row)``, ``SerializeToString``, and a frame made with struct. They are our own code.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

__all__ = [
    "dense_rows",
    "frame_loop",
    "pair_rows",
    "parse_loop",
    "sparse_loop",
    "sparse_rows",
]

_FIELD = descriptor_pb2.FieldDescriptorProto
_PACKAGE = ".aialgs.data."
_MAGIC = 0xCED7230A
_HEAD = struct.Struct("<II")


def _record_class() -> Any:
    """Return the message class of aialgs.data.Record, as far as float32 tensors need it."""
    file = descriptor_pb2.FileDescriptorProto(
        name="r.proto", package="aialgs.data", syntax="proto2"
    )
    tensor = file.message_type.add(name="Float32Tensor")
    kinds = (
        ("values", _FIELD.TYPE_FLOAT),
        ("keys", _FIELD.TYPE_UINT64),
        ("shape", _FIELD.TYPE_UINT64),
    )
    for field, (name, kind) in enumerate(kinds, 1):
        made = tensor.field.add(name=name, number=field, type=kind, label=_FIELD.LABEL_REPEATED)
        made.options.packed = True
    value = file.message_type.add(name="Value")
    _message(value, "float32_tensor", 2, "Float32Tensor")
    record = file.message_type.add(name="Record")
    for field, (name, entry) in enumerate(
        (("features", "FeaturesEntry"), ("label", "LabelEntry")), 1
    ):
        nested = record.nested_type.add(name=entry)
        nested.options.map_entry = True
        nested.field.add(name="key", number=1, type=_FIELD.TYPE_STRING, label=_FIELD.LABEL_OPTIONAL)
        _message(nested, "value", 2, "Value")
        _message(record, name, field, f"Record.{entry}", repeated=True)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("aialgs.data.Record"))


def _message(into: Any, name: str, field: int, kind: str, *, repeated: bool = False) -> None:
    label = _FIELD.LABEL_REPEATED if repeated else _FIELD.LABEL_OPTIONAL
    type_name = _PACKAGE + kind
    into.field.add(
        name=name, number=field, type=_FIELD.TYPE_MESSAGE, type_name=type_name, label=label
    )


_Record = _record_class()


def _write(stream: io.BytesIO, payload: bytes) -> None:
    stream.write(_HEAD.pack(_MAGIC, len(payload)))
    stream.write(payload)
    stream.write(bytes(-len(payload) % 4))


def dense_rows(rows: Iterable[Any], labels: Any) -> bytes:
    """Encode the rows of an array, or what iterates over rows, one by one."""
    stream, record = io.BytesIO(), _Record()
    for row, label in zip(rows, labels, strict=True):
        record.Clear()
        record.features["values"].float32_tensor.values.extend(row)
        record.label["values"].float32_tensor.values.extend([label])
        _write(stream, record.SerializeToString())
    return stream.getvalue()


def sparse_rows(matrix: Any, labels: Any) -> bytes:
    """Encode the rows of a CSR array one by one, each cut out as a matrix, as the SDK did."""
    stream, record = io.BytesIO(), _Record()
    for index in range(matrix.shape[0]):
        row = matrix[[index]]
        _sparse(record, row.data, row.indices, matrix.shape[1], labels[index])
        _write(stream, record.SerializeToString())
    return stream.getvalue()


def sparse_loop(matrix: Any, labels: Any) -> bytes:
    """Encode the rows of a CSR array one by one, each cut out of its three arrays."""
    bounds = matrix.indptr.tolist()
    slices = map(slice, bounds[:-1], bounds[1:])
    rows = ((matrix.data[entries], matrix.indices[entries]) for entries in slices)
    return pair_rows(rows, matrix.shape[1], labels)


def pair_rows(rows: Iterable[tuple[Any, Any]], width: int, labels: Any) -> bytes:
    """Encode pairs of values and keys one by one."""
    stream, record = io.BytesIO(), _Record()
    for (values, keys), label in zip(rows, labels, strict=True):
        _sparse(record, values, keys, width, label)
        _write(stream, record.SerializeToString())
    return stream.getvalue()


def _sparse(record: Any, values: Any, keys: Any, width: int, label: Any) -> None:
    record.Clear()
    tensor = record.features["values"].float32_tensor
    tensor.values.extend(values)
    tensor.keys.extend(keys)
    tensor.shape.extend([width])
    record.label["values"].float32_tensor.values.extend([label])


def parse_loop(content: bytes) -> list[Any]:
    """Read a stream into Record messages, as the SDK did: nothing becomes an array."""
    messages, at = [], 0
    while at < len(content):
        _, length = _HEAD.unpack_from(content, at)
        record = _Record()
        record.ParseFromString(content[at + 8 : at + 8 + length])
        messages.append(record)
        at += 8 + length + -length % 4
    return messages


def frame_loop(content: bytes, rows: int) -> tuple[Any, Any]:
    """Read a stream into arrays: features (rows, columns) or the parts of a CSR array; labels."""
    record, at = _Record(), 0
    labels = np.empty(rows, np.float32)
    features: list[Any] = []
    keys: list[Any] = []
    for row in range(rows):
        _, length = _HEAD.unpack_from(content, at)
        record.ParseFromString(content[at + 8 : at + 8 + length])
        tensor = record.features["values"].float32_tensor
        features.append(np.array(tensor.values, np.float32))
        if tensor.keys:
            keys.append(np.array(tensor.keys, np.int64))
        labels[row] = record.label["values"].float32_tensor.values[0]
        at += 8 + length + -length % 4
    if not keys:
        return np.stack(features), labels
    counts = np.cumsum([0, *map(len, features)])
    return (np.concatenate(features), np.concatenate(keys), counts), labels
