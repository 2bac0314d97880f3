"""The peer: aialgs.data.Record as google.protobuf knows it, and frames written with struct."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

FIELD = descriptor_pb2.FieldDescriptorProto
PACKAGE = ".aialgs.data."


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(
        name="record.proto", package="aialgs.data", syntax="proto2"
    )
    tensors = {"Float32": FIELD.TYPE_FLOAT, "Float64": FIELD.TYPE_DOUBLE, "Int32": FIELD.TYPE_INT32}
    for name, kind in tensors.items():
        tensor = file.message_type.add(name=f"{name}Tensor")
        for number, (field, each) in enumerate(
            {"values": kind, "keys": FIELD.TYPE_UINT64, "shape": FIELD.TYPE_UINT64}.items(), 1
        ):
            made = tensor.field.add(
                name=field, number=number, type=each, label=FIELD.LABEL_REPEATED
            )
            made.options.packed = True
    blob = file.message_type.add(name="Bytes")
    blob.field.add(name="value", number=1, type=FIELD.TYPE_BYTES, label=FIELD.LABEL_REPEATED)
    value = file.message_type.add(name="Value")
    value.oneof_decl.add(name="value")
    for field, number, kind_name in (
        ("float32_tensor", 2, "Float32Tensor"),
        ("float64_tensor", 3, "Float64Tensor"),
        ("int32_tensor", 7, "Int32Tensor"),
        ("bytes", 9, "Bytes"),
    ):
        value.field.add(
            name=field,
            number=number,
            type=FIELD.TYPE_MESSAGE,
            type_name=PACKAGE + kind_name,
            label=FIELD.LABEL_OPTIONAL,
            oneof_index=0,
        )
    _add_record(file)
    return file


def _add_record(file: descriptor_pb2.FileDescriptorProto) -> None:
    record = file.message_type.add(name="Record")
    for field, number, entry in (("features", 1, "FeaturesEntry"), ("label", 2, "LabelEntry")):
        nested = record.nested_type.add(name=entry)
        nested.options.map_entry = True
        nested.field.add(name="key", number=1, type=FIELD.TYPE_STRING, label=FIELD.LABEL_OPTIONAL)
        nested.field.add(
            name="value",
            number=2,
            type=FIELD.TYPE_MESSAGE,
            type_name=f"{PACKAGE}Value",
            label=FIELD.LABEL_OPTIONAL,
        )
        record.field.add(
            name=field,
            number=number,
            type=FIELD.TYPE_MESSAGE,
            type_name=f"{PACKAGE}Record.{entry}",
            label=FIELD.LABEL_REPEATED,
        )
    for field, number in (("uid", 3), ("metadata", 4), ("configuration", 5)):
        record.field.add(
            name=field, number=number, type=FIELD.TYPE_STRING, label=FIELD.LABEL_OPTIONAL
        )


def _record_class() -> Any:
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(_file().SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("aialgs.data.Record"))


Record = _record_class()


def frame(payload: bytes, flag: int = 0) -> bytes:
    """Return one frame."""
    head = struct.pack("<II", 0xCED7230A, flag << 29 | len(payload))
    return head + payload + bytes(-len(payload) % 4)


def record(
    values: Any,
    label: Any = None,
    *,
    keys: Any = (),
    shape: Any = (),
    kind: str = "float32",
    label_kind: str = "float32",
) -> Any:
    """Return one Record message."""
    message = Record()
    tensor = getattr(message.features["values"], f"{kind}_tensor")
    tensor.SetInParent()
    tensor.values.extend(values)
    tensor.keys.extend(keys)
    tensor.shape.extend(shape)
    if label is not None:
        labels = [label] if np.ndim(label) == 0 else label
        getattr(message.label["values"], f"{label_kind}_tensor").values.extend(labels)
    return message


def framed(*messages: Any) -> bytes:
    """Return the messages as google.protobuf serialises them, one frame each."""
    return b"".join(frame(message.SerializeToString(deterministic=True)) for message in messages)


def dense_bytes(features: Any, labels: Any = None) -> bytes:
    """Return the rows of a matrix, written one by one."""
    each = [None] * len(features) if labels is None else labels.tolist()
    return framed(*(record(row, label) for row, label in zip(features.tolist(), each, strict=True)))


def sparse_bytes(matrix: Any, labels: Any = None) -> bytes:
    """Return the rows of a CSR matrix, written one by one; empty rows get one explicit zero."""
    messages = []
    for row in range(matrix.shape[0]):
        entries = slice(matrix.indptr[row], matrix.indptr[row + 1])
        values, keys = matrix.data[entries].tolist(), matrix.indices[entries].tolist()
        label = None if labels is None else float(labels[row])
        messages.append(record(values or [0.0], label, keys=keys or [0], shape=[matrix.shape[1]]))
    return framed(*messages)


FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)


@st.composite
def dense(draw: st.DrawFn) -> tuple[Any, Any]:
    """Draw float32 features (rows, columns) and float32 labels (rows,) or None."""
    shape = draw(st.tuples(st.integers(0, 6), st.integers(1, 40)))
    features = draw(hnp.arrays(np.float32, shape, elements=FLOATS))
    labels = draw(st.none() | hnp.arrays(np.float32, shape[:1], elements=FLOATS))
    return features, labels


@st.composite
def sparse(draw: st.DrawFn) -> tuple[Any, Any]:
    """Draw a float32 CSR matrix with ascending keys, and float32 labels or None."""
    from scipy.sparse import csr_array

    width = draw(st.sampled_from([1, 3, 127, 128, 129, 5_000, 16_385, 3_000_000, 2**29, 2**40]))
    keys = st.lists(st.integers(0, width - 1), max_size=40, unique=True).map(sorted)
    rows = draw(st.lists(keys, max_size=6))
    indptr = np.cumsum([0, *map(len, rows)])
    indices = np.array([key for row in rows for key in row], np.int64)
    data = draw(hnp.arrays(np.float32, indices.size, elements=FLOATS))
    labels = draw(st.none() | hnp.arrays(np.float32, len(rows), elements=FLOATS))
    return csr_array((data, indices, indptr), shape=(len(rows), width)), labels
