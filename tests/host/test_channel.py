from __future__ import annotations

import gzip
import struct
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from penstock import recordio
from penstock.errors import DataError, InputError
from penstock.host import Channel
from penstock.host.channel import Share


def channel(*uris: str | bytes, **more: Any) -> Channel:
    return Channel(name="train", uris=uris, **more)


def whole(given: Channel, number: int = 0) -> bytes:
    return b"".join(given.content(number))


@pytest.fixture
def stored(tmp_path: Path) -> Any:
    """Content -> path of a file with it."""

    def store(content: bytes) -> str:
        path = tmp_path / f"object-{len(list(tmp_path.iterdir()))}"
        path.write_bytes(content)
        return str(path)

    return store


def test_hosts_share_all_objects_of_every_epoch() -> None:
    for seed in (None, 3):
        given = channel(*map(str, range(11)), sharded=True, shuffle_seed=seed)
        for epoch in range(3):
            shares = [given.numbers(epoch, Share(host, 4)) for host in range(4)]
            assert sorted(each for share in shares for each in share) == list(range(11))
            assert sorted(map(len, shares)) == [2, 3, 3, 3]


def test_a_seed_orders_each_epoch_anew_and_always_alike() -> None:
    given = channel(*map(str, range(30)), shuffle_seed=3)

    orders = [tuple(given.numbers(epoch)) for epoch in range(6)]

    assert orders == [tuple(given.numbers(epoch)) for epoch in range(6)]
    assert len(set(orders)) == 6
    assert all(sorted(order) == list(range(30)) for order in orders)
    other = channel(*map(str, range(30)), shuffle_seed=4)
    assert tuple(other.numbers(0)) != orders[0]
    assert channel("a", "b", "c").numbers(5) == [0, 1, 2]


def test_what_belongs_together_stays_together() -> None:
    given = channel(*map(str, range(20)), shuffle_seed=0, together=4, sharded=True)

    numbers = [given.numbers(1, Share(host, 2)) for host in (0, 1)]

    groups = [each[start : start + 4] for each in numbers for start in range(0, len(each), 4)]
    assert all(group == list(range(group[0], group[0] + 4)) for group in groups)
    assert Counter(group[0] for group in groups) == Counter(range(0, 20, 4))


@pytest.mark.parametrize("size", [0, 1, 100_000, 3_000_000])
def test_gzip_of_any_number_of_members_is_inflated(stored: Any, size: int) -> None:
    content = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    packed = gzip.compress(content) + bytes(7) + gzip.compress(b"end") + bytes(3)

    assert whole(channel(stored(packed), compression="Gzip")) == content + b"end"


def test_a_gzip_that_is_none_or_cut_is_an_error(stored: Any) -> None:
    cut, none = stored(gzip.compress(b"content" * 100)[:-9]), stored(b"plain")

    with pytest.raises(DataError) as caught:
        whole(channel(cut, compression="Gzip"))
    assert str(caught.value) == (
        f"{cut!r}: the gzip ends early, it was cut\n  write the object again"
    )
    with pytest.raises(DataError) as caught:
        whole(channel(none, compression="Gzip"))
    assert str(caught.value) == (
        f"{none!r} is no gzip: Error -3 while decompressing data: incorrect header check\n"
        "  set the channel's CompressionType to None, or compress the object"
    )


@pytest.mark.parametrize("length", [0, 1, 4, 7])
def test_an_object_becomes_one_record(stored: Any, length: int) -> None:
    content = b"abcdefg"[:length]

    found = whole(channel(stored(content), record_wrapper="RecordIO"))

    assert found[:8] == struct.pack("<II", 0xCED7230A, length)
    assert found[8:] == content + bytes(-length % 4)


def test_a_wrapped_record_is_read_back(stored: Any) -> None:
    import numpy as np

    encoded = bytes(recordio.encode_dense(np.ones((1, 3), np.float32)))
    payload = encoded[8:]  # 8 bytes of frame, and no padding here

    found = whole(channel(stored(payload), record_wrapper="RecordIO"))

    assert recordio.decode(found).features.tolist() == [[1, 1, 1]]


def test_bytes_stand_for_themselves() -> None:
    given = channel(b"value", b"other", record_wrapper="None")

    assert [whole(given, number) for number in (0, 1)] == [b"value", b"other"]
    assert given.source(1) == "value 1 of the manifest"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            {"input_mode": "File", "compression": "Gzip"},
            "channel 'train': objects are inflated, wrapped or grouped only in Pipe mode, input_mode is "
            "'File'\n  leave these out, or use Pipe",
        ),
        ({"names": ("a", "b")}, "channel 'train' has 2 names for 1 objects"),
        ({"size_bytes": (1, 2)}, "channel 'train' has 2 sizes for 1 objects"),
        (
            {"uris": (b"x",), "input_mode": "File"},
            "channel 'train': bytes without a URI are for Pipe mode only",
        ),
    ],
)
def test_what_cannot_be_is_refused(more: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        Channel(**{"name": "train", "uris": ("a",), **more})

    assert str(caught.value) == message
