from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock.host import Channel
from penstock.host.pipe import Feeder

CONTENT = [os.urandom(300_000), b"", os.urandom(1_500_001)]
WHOLE = b"".join(CONTENT)
DEADLINE_S = 10.0


@pytest.fixture
def shards(tmp_path: Path) -> tuple[str, ...]:
    paths = []
    for number, content in enumerate(CONTENT):
        path = tmp_path / f"part-{number}"
        path.write_bytes(content)
        paths.append(str(path))
    return tuple(paths)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    path.mkdir()
    return path


@pytest.fixture
def feed(folder: Path) -> Iterator[Callable[..., Feeder]]:
    """Start feeders; afterwards nothing of them may remain."""
    started: list[Feeder] = []

    def start(uris: tuple[str, ...], **options: Any) -> Feeder:
        keywords = {name: options.pop(name) for name in ("on_failure", "share") if name in options}
        feeder = Feeder(Channel(name="train", uris=uris, **options), folder, **keywords)
        feeder.start()
        started.append(feeder)
        return feeder

    yield start
    assert all(feeder.stop() for feeder in started)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("feeder")]
    assert not list(folder.iterdir())


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.002)


def read(folder: Path, epoch: int) -> bytes:
    until((folder / f"train_{epoch}").exists)
    with (folder / f"train_{epoch}").open("rb", buffering=0) as stream:
        return b"".join(iter(lambda: stream.read(1 << 16), b""))


def read_exactly(descriptor: int, count: int) -> None:
    """Read ``count`` bytes, and no more: the next read would wait for bytes that never come."""
    while count:
        count -= len(os.read(descriptor, min(count, 1 << 16)))


def test_every_epoch_is_the_objects_back_to_back(
    feed: Callable[..., Feeder], folder: Path, shards: tuple[str, ...]
) -> None:
    feeder = feed(shards)

    found = [read(folder, epoch) for epoch in range(5)]

    assert found == [WHOLE] * 5
    assert feeder.flow.bytes == 5 * len(WHOLE)
    assert feeder.flow.epochs == 5


def test_the_next_fifo_stands_ready_while_one_is_read_and_a_read_one_is_gone(
    feed: Callable[..., Feeder], folder: Path, shards: tuple[str, ...]
) -> None:
    feed(shards)

    with (folder / "train_0").open("rb", buffering=0) as stream:
        until((folder / "train_1").exists)
        assert not (folder / "train_2").exists()
        assert (folder / "train_0").exists()
        while stream.read(1 << 16):
            pass

    until(lambda: not (folder / "train_0").exists())
    assert (folder / "train_1").is_fifo()


def test_a_reader_that_closes_early_gets_the_next_epoch_from_its_start(
    feed: Callable[..., Feeder], folder: Path, shards: tuple[str, ...]
) -> None:
    feeder = feed(shards)

    for epoch in range(3):
        until((folder / f"train_{epoch}").exists)
        with (folder / f"train_{epoch}").open("rb", buffering=0) as stream:
            assert stream.read(1000) == WHOLE[:1000]

    assert read(folder, 3) == WHOLE
    assert feeder.failure is None


def test_an_empty_object_gives_an_empty_epoch(
    feed: Callable[..., Feeder], folder: Path, shards: tuple[str, ...]
) -> None:
    feed((shards[1],))

    assert [read(folder, epoch) for epoch in range(2)] == [b"", b""]


def test_a_reader_that_does_not_block_sees_data_and_end_as_events(
    feed: Callable[..., Feeder], folder: Path, shards: tuple[str, ...]
) -> None:
    import select

    feed((shards[0],))
    descriptor = os.open(folder / "train_0", os.O_RDONLY | os.O_NONBLOCK)
    found = b""
    while True:
        assert select.select([descriptor], [], [], DEADLINE_S)[0]
        try:
            piece = os.read(descriptor, 1 << 16)
        except BlockingIOError:
            continue
        if not piece:
            break
        found += piece
    os.close(descriptor)

    assert found == CONTENT[0]


@pytest.mark.parametrize("moment", ["waiting", "reading"])
def test_stop_releases_a_feeder_wherever_it_waits(
    feed: Callable[..., Feeder], folder: Path, shards: tuple[str, ...], moment: str
) -> None:
    feeder = feed(shards)
    if moment == "reading":
        with (folder / "train_0").open("rb", buffering=0) as stream:
            stream.read(10)
            until(lambda: feeder.flow.waits_for == "pipe")
            assert feeder.stop()
    else:
        assert feeder.stop()


def test_a_failure_never_looks_like_an_end(
    feed: Callable[..., Feeder], folder: Path, shards: tuple[str, ...]
) -> None:
    failed = threading.Event()
    missing = str(folder.parent / "part-9")
    feeder = feed((shards[0], missing), on_failure=failed.set)

    descriptor = os.open(folder / "train_0", os.O_RDONLY)
    read_exactly(descriptor, len(CONTENT[0]))
    assert failed.wait(DEADLINE_S)
    os.set_blocking(descriptor, False)

    with pytest.raises(BlockingIOError):  # an end would give no bytes, and no error
        os.read(descriptor, 1)
    assert feeder.failure == (
        f"channel 'train', epoch 0: read: nothing found at {missing!r}\n"
        "  check the path, or run the stage before"
    )
    os.close(descriptor)


def test_an_object_that_is_shorter_than_the_dataset_says_is_a_failure(
    feed: Callable[..., Feeder], folder: Path, shards: tuple[str, ...]
) -> None:
    failed = threading.Event()
    feeder = feed(shards[:1], size_bytes=(300_004,), on_failure=failed.set)

    descriptor = os.open(folder / "train_0", os.O_RDONLY)
    read_exactly(descriptor, 300_000)

    assert failed.wait(DEADLINE_S)
    assert feeder.failure == (
        f"channel 'train', epoch 0: {shards[0]!r} has 300000 bytes, the dataset says 300004\n"
        "  verify the dataset, then convert it again"
    )
    os.close(descriptor)
