import numpy as np

from penstock.recordio.blobs import Blobs


def some():
    data = np.frombuffer(b"..abcdef", np.uint8)
    return Blobs(data=data, starts=np.array([2, 5, 5]), lengths=np.array([3, 0, 3]))


def test_items_are_bytes():
    assert some().tolist() == [b"abc", b"", b"def"]
    assert some()[-1] == b"def"
    assert len(some()) == 3


def test_a_slice_copies_nothing():
    blobs = some()
    assert blobs[1:].tolist() == [b"", b"def"]
    assert blobs[1:].data is blobs.data
