"""RecordIO-protobuf, the format of SageMaker's algorithms: matrices in, bytes out, and back.

    encode_dense(features, labels)      float32 array          -> bytes
    encode_sparse(features, labels)     float32 CSR            -> bytes
    DenseEncoder(width, ...)            likewise, batch after batch into one buffer
    decode(buffer)                      bytes                  -> Records
    read(source, batch_rows=...)        path, URI, FIFO, stream -> Records, batch by batch
    decode_named, read_named            likewise, tensors by any name -> NamedRecords

The frames are drawn in ``framing``, the records in ``message``. Nothing loops over rows.

>>> import numpy as np
>>> from penstock import recordio
>>> features = np.array([[1, 2], [3, 4]], np.float32)
>>> recordio.decode(recordio.encode_dense(features)).features.tolist()
[[1.0, 2.0], [3.0, 4.0]]
"""

from penstock.recordio.dense import DenseEncoder, encode_dense
from penstock.recordio.named import NamedRecords, Tensors, decode_named
from penstock.recordio.reader import read, read_named
from penstock.recordio.records import Records, decode
from penstock.recordio.sparse import encode_sparse

__all__ = [
    "DenseEncoder",
    "NamedRecords",
    "Records",
    "Tensors",
    "decode",
    "decode_named",
    "encode_dense",
    "encode_sparse",
    "read",
    "read_named",
]
