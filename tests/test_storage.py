"""URIs and bytes on a local disk; what S3 needs is decided before any call."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from penstock import storage
from penstock.errors import InputError, MissingFileError, ServiceError


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("/lake/x", "file:///lake/x"),
        ("/lake/x/", "file:///lake/x/"),
        ("file:///lake/x", "file:///lake/x"),
        ("s3://lake/x", "s3://lake/x"),
        ("s3a://lake/x", "s3://lake/x"),
    ],
)
def test_uris_become_absolute(uri, expected):
    assert storage.normal(uri) == expected


def test_a_bare_path_counts_from_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    assert storage.normal("x/y") == f"file://{tmp_path}/x/y"
    assert storage.normal("x/") == f"file://{tmp_path}/x/"


def test_another_scheme_is_refused():
    with pytest.raises(InputError) as caught:
        storage.normal("hdfs://node/x")

    assert str(caught.value) == (
        "'hdfs://node/x': scheme is 'hdfs', expected a path, 'file://' or 's3://'\n"
        "  copy the data to one of these first"
    )


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (("a", "b"), "s3://lake/x/a/b"),
        (("./a",), "s3://lake/x/a"),
        (("/abs", "b"), "/abs/b"),
        (("s3://other/y", "b"), "s3://other/y/b"),
        ((), "s3://lake/x/"),
    ],
)
def test_parts_are_joined_with_single_slashes(parts, expected):
    assert storage.join("s3://lake/x/", *parts) == expected


def test_the_endpoint_of_s3_comes_from_the_environment(monkeypatch):
    pytest.importorskip("pyarrow.fs")
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_REGION", "eu-north-1")

    system, path = storage.filesystem("s3a://lake/x/y")

    assert (system.type_name, system.region, path) == ("s3", "eu-north-1", "lake/x/y")


def test_bytes_come_back_and_replace_what_was_there(tmp_path):
    uri = f"{tmp_path}/a/b.bin"

    storage.write_bytes(uri, b"one")
    storage.write_bytes(uri, b"two")

    assert storage.read_bytes(uri) == b"two"
    assert names(tmp_path / "a") == ["b.bin"]


def test_a_reader_sees_the_old_bytes_or_the_new(tmp_path):
    uri, sizes, stop = f"{tmp_path}/x", set(), threading.Event()
    storage.write_bytes(uri, bytes(100_000))

    def look():
        while not stop.is_set():
            sizes.add(len(storage.read_bytes(uri)))

    reader = threading.Thread(target=look)
    reader.start()
    for size in (200_000, 100_000) * 20:
        storage.write_bytes(uri, bytes(size))
    stop.set()
    reader.join(timeout=30)

    assert sizes
    assert sizes <= {100_000, 200_000}


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(MissingFileError) as caught:
        storage.read_bytes(f"{tmp_path}/none")

    assert str(caught.value) == (
        f"read: nothing found at '{tmp_path}/none'\n  check the path, or run the stage before"
    )


def test_a_stream_is_read_in_pieces_and_never_inflated(tmp_path):
    (tmp_path / "x.gz").write_bytes(b"\x1f\x8bplain")

    with storage.open_input(f"{tmp_path}/x.gz") as stream:
        found = [stream.read(3), stream.read(99), stream.read(99)]

    assert found == [b"\x1f\x8bp", b"lain", b""]


def test_output_appears_with_its_folders(tmp_path):
    with storage.open_output(f"{tmp_path}/a/b/c.gz") as stream:
        stream.write(b"12")
        stream.write(memoryview(b"34"))

    assert (tmp_path / "a/b/c.gz").read_bytes() == b"1234"


@pytest.mark.parametrize("before", [None, b"old"])
def test_an_output_whose_block_fails_leaves_what_was_there(tmp_path, before):
    if before:
        (tmp_path / "x").write_bytes(before)

    def write():
        with storage.open_output(f"{tmp_path}/x") as stream:
            stream.write(b"new")
            raise RuntimeError("the source is gone")

    with pytest.raises(RuntimeError, match=r"^the source is gone$"):
        write()

    assert names(tmp_path) == (["x"] if before else [])
    assert not before or (tmp_path / "x").read_bytes() == before


def test_an_output_appears_when_it_is_whole(tmp_path):
    (tmp_path / "x").write_bytes(b"old")
    (tmp_path / "link").symlink_to("x")

    with storage.open_output(f"{tmp_path}/link") as stream:
        stream.write(b"new")
        stream.flush()
        seen = storage.glob_files(str(tmp_path)), (tmp_path / "x").read_bytes()

    assert (tmp_path / "x").read_bytes() == b"new"
    assert (tmp_path / "link").is_symlink()
    assert seen[1] == b"old"
    assert [file.size_bytes for file in seen[0]] == [3, 3]


def test_an_output_to_a_fifo_is_written_through(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    found = []
    reader = threading.Thread(target=lambda: found.append((tmp_path / "pipe").read_bytes()))
    reader.start()

    with storage.open_output(f"{tmp_path}/pipe") as stream:
        stream.write(b"through")
    reader.join(timeout=30)

    assert found == [b"through"]
    assert (tmp_path / "pipe").is_fifo()


def test_a_new_output_does_not_replace(tmp_path):
    with storage.open_new(f"{tmp_path}/a/x") as stream:
        stream.write(b"first")

    with storage.open_new(f"{tmp_path}/a/x") as second:
        assert second is None

    assert (tmp_path / "a/x").read_bytes() == b"first"


def test_a_new_output_whose_block_fails_frees_the_name(tmp_path):
    def write():
        with storage.open_new(f"{tmp_path}/x") as stream:
            stream.write(b"1")
            raise RuntimeError("the source is gone")

    with pytest.raises(RuntimeError, match=r"^the source is gone$"):
        write()

    assert names(tmp_path) == []


@pytest.mark.parametrize("successor", [None, b"of another writer"])
def test_a_new_output_that_was_deleted_does_not_come_back(tmp_path, successor):
    def write():
        with storage.open_new(f"{tmp_path}/x") as stream:
            stream.write(b"1")
            storage.delete(f"{tmp_path}/x")
            if successor:
                (tmp_path / "x").write_bytes(successor)

    with pytest.raises(ServiceError) as caught:
        write()

    assert str(caught.value) == (
        f"'{tmp_path}/x': it was deleted while it was written\n"
        "  let one run at a time write there, then run it again"
    )
    assert names(tmp_path) == (["x"] if successor else [])
    assert not successor or (tmp_path / "x").read_bytes() == successor


def test_create_does_not_replace(tmp_path):
    uri = f"{tmp_path}/a/manifest"

    made = [storage.create(uri, content) for content in (b"first", b"second")]

    assert made == [True, False]
    assert storage.read_bytes(uri) == b"first"
    assert names(tmp_path / "a") == ["manifest"]


def test_of_many_creators_one_wins(tmp_path):
    uri, won = f"{tmp_path}/manifest", []
    start = threading.Barrier(8)

    def make(number):
        start.wait(timeout=30)
        if storage.create(uri, bytes([number]) * 50_000):
            won.append(number)

    makers = [threading.Thread(target=make, args=(number,)) for number in range(8)]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join(timeout=30)

    assert len(won) == 1
    assert storage.read_bytes(uri) == bytes(won) * 50_000


def test_a_listing_is_sorted_by_bytes_and_leaves_out_hidden_names(tmp_path):
    for name in ("b/2", "b/10", "B/1", "é", "z", "_SUCCESS", ".crc", "b/_temporary/0", "a/.x"):
        storage.write_bytes(f"{tmp_path}/{name}", name.encode())

    found = storage.glob_files(str(tmp_path))

    assert [file.uri.removeprefix(f"file://{tmp_path}/") for file in found] == [
        "B/1",
        "b/10",
        "b/2",
        "z",
        "é",
    ]
    assert [file.size_bytes for file in found] == [3, 4, 3, 1, 2]
    assert all(file.mtime_ns > 0 for file in found)


def test_a_listing_of_a_file_is_that_file_and_of_nothing_is_empty(tmp_path):
    storage.write_bytes(f"{tmp_path}/x", b"1")

    assert [file.uri for file in storage.glob_files(f"{tmp_path}/x")] == [f"file://{tmp_path}/x"]
    assert storage.glob_files(f"{tmp_path}/none") == []


def test_a_folder_below_a_hidden_one_is_listed_when_asked_for(tmp_path):
    storage.write_bytes(f"{tmp_path}/.lake/x", b"1")

    assert [file.size_bytes for file in storage.glob_files(f"{tmp_path}/.lake")] == [1]


def test_a_file_exists_and_a_folder_is_none(tmp_path):
    storage.write_bytes(f"{tmp_path}/a/x", b"1")

    found = [storage.exists(f"{tmp_path}/{name}") for name in ("a/x", "a", "b")]

    assert found == [True, False, False]


def test_deleting_twice_is_fine(tmp_path):
    storage.write_bytes(f"{tmp_path}/x", b"1")

    storage.delete(f"{tmp_path}/x")
    storage.delete(f"{tmp_path}/x")

    assert names(tmp_path) == []


def test_a_prefix_is_emptied_and_its_neighbours_stay(tmp_path):
    for name in ("a/x", "a/b/y", "ab/z"):
        storage.write_bytes(f"{tmp_path}/{name}", b"1")

    storage.delete_prefix(f"{tmp_path}/a/")
    storage.delete_prefix(f"{tmp_path}/none")

    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()] == [
        "ab/z"
    ]


@pytest.mark.parametrize("uri", ["/", "/home", "s3://lake", "s3://lake/"])
def test_a_root_is_never_deleted(uri):
    with pytest.raises(InputError) as caught:
        storage.delete_prefix(uri)

    assert str(caught.value) == (
        f"refusing to delete {uri!r}: it is a root, expected a folder below one"
    )


def test_paths_with_odd_names_work(tmp_path):
    uri = f"{tmp_path}/day=2024-01-01/a b%20ü#?.rec"

    storage.write_bytes(uri, b"1")

    assert storage.read_bytes(storage.glob_files(str(tmp_path))[0].uri) == b"1"
    assert Path(uri).read_bytes() == b"1"


def test_what_the_disk_refuses_is_told_with_what_to_check(tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(ServiceError) as caught:
        storage.write_bytes(str(tmp_path / "file" / "below.json"), b"x")

    assert caught.value.exit_code == 4
    assert str(caught.value) == (
        f"'{tmp_path}/file/below.json': [Errno 17] File exists: '{tmp_path}/file'\n"
        "  check the path, permissions and free space"
    )
