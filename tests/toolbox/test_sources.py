"""What a SOURCE argument stands for."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

from penstock import dataset
from penstock.errors import DataError, InputError, MissingFileError
from penstock.toolbox.sources import opened, resolve


def names(source):
    return [(each.name, each.size_bytes) for each in source.inputs]


def test_files_uris_and_folders(here):
    for name in ("t/b.rec", "t/a.rec", "t/deep/c.rec", "t/_SUCCESS", "t/a.idx", "t/x.json"):
        path = here / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"12345678"[: len(name) - 4])

    assert names(resolve("t/a.rec")) == [("t/a.rec", 3)]
    assert names(resolve(f"file://{here}/t/a.rec")) == [(f"file://{here}/t/a.rec", 3)]
    listed = [("t/a.rec", 3), ("t/b.rec", 3), ("t/deep/c.rec", 8)]
    assert names(resolve("t")) == names(resolve("t/")) == listed
    assert resolve("t").size_bytes == 14


def test_a_pipe_has_no_size(here):
    os.mkfifo("p")

    assert names(resolve("p")) == [("p", None)]
    assert names(resolve("-")) == [("stdin", None)]
    assert resolve("p").size_bytes is None


def test_a_manifest_stands_for_what_it_lists(here):
    for name in ("a.rec", "b.rec", "orphan.rec"):
        (here / "t").mkdir(exist_ok=True)
        (here / "t" / name).write_bytes(b"1234")
    (here / "t.manifest").write_text(json.dumps([{"prefix": "t/"}, "b.rec", "a.rec"]))

    assert names(resolve("t.manifest")) == [("t/b.rec", 4), ("t/a.rec", 4)]


def test_a_dataset_gives_its_names(here):
    batches = [(np.ones((3, 2), np.float32), np.zeros(3, np.float32))]
    shard = dataset.write_shard("data/train", 0, 0, batches)
    dataset.commit(
        "data/train", [shard], expected_rows=3, width=2, layout="dense", task="binary",
        classes=("no", "yes"), plan_sha256="0" * 64, names=("age", "price"),
    )  # fmt: skip

    for text in ("data/train.manifest", "data/train", "data/train/"):
        source = resolve(text)
        assert names(source) == [("data/train/part-00000-0.rec", shard.size_bytes)]
        assert source.names == ("age", "price")


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("nope", MissingFileError, "read: nothing found at 'nope'\n  check the path; '-' reads standard input"),
        ("empty", InputError, "'empty' is a folder without files, expected at least one shard"),
        ("only", InputError, "'only' has no shards, only 1 manifests or JSON files"),
        ("ftp://x/y", InputError, "'ftp://x/y': scheme is 'ftp', expected a path, 'file://' or 's3://'\n  copy the data to one of these first"),
        ("no.manifest", DataError, "no.manifest is no JSON: Expecting value: line 1 column 1 (char 0)"),
        ("odd.manifest", DataError, "odd.manifest is no ManifestFile, expected a list of {'prefix': ...} and names"),
        ("none.manifest", InputError, "'none.manifest' lists no files, expected at least one"),
    ],
)  # fmt: skip
def test_what_is_no_source(here, text, kind, message):
    (here / "empty").mkdir()
    (here / "only").mkdir()
    (here / "only" / "a.json").write_text("{}")
    (here / "no.manifest").write_text("?")
    (here / "odd.manifest").write_text('["a.rec"]')
    (here / "none.manifest").write_text('[{"prefix": "only/"}]')

    with pytest.raises(kind) as caught:
        resolve(text)

    assert str(caught.value) == message


def test_a_manifest_that_lists_a_missing_file(here):
    (here / "t").mkdir()
    (here / "t.manifest").write_text('[{"prefix": "t/"}, "a.rec"]')

    with pytest.raises(MissingFileError) as caught:
        resolve("t.manifest")

    assert str(caught.value) == (
        f"t.manifest lists: nothing found at 'file://{here}/t/a.rec'\n"
        "  the manifest and its files differ"
    )


def test_every_read_is_told(here):
    (here / "a.rec").write_bytes(bytes(5_000))
    told = []

    with opened(resolve("a.rec").inputs[0], told.append) as stream:
        assert len(stream.read(2_000)) == 2_000
        assert stream.readinto(memoryview(bytearray(10_000))) == 3_000

    assert told == [2_000, 3_000]
