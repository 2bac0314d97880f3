from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from penstock.errors import DataError, InputError, MissingFileError
from penstock.host import pack_model, unpack_model


def model_in(folder: Path) -> Path:
    (folder / "deep").mkdir(parents=True)
    (folder / "model.json").write_text("{}")
    (folder / "deep" / "weights").write_bytes(b"\0" * 1000)
    return folder


def test_a_model_comes_back_as_it_was(tmp_path: Path) -> None:
    size = pack_model(model_in(tmp_path / "model"), str(tmp_path / "out" / "model.tar.gz"))

    files = unpack_model(str(tmp_path / "out" / "model.tar.gz"), tmp_path / "back")

    assert size == (tmp_path / "out" / "model.tar.gz").stat().st_size
    assert files == (tmp_path / "back" / "deep" / "weights", tmp_path / "back" / "model.json")
    assert files[0].read_bytes() == b"\0" * 1000
    assert files[1].read_text() == "{}"


def test_equal_models_give_equal_bytes(tmp_path: Path) -> None:
    folders = [model_in(tmp_path / name) for name in ("one", "two")]
    os.utime(folders[1] / "model.json", (1, 1))
    (folders[1] / "model.json").chmod(0o600)

    for folder in folders:
        pack_model(folder, str(folder) + ".tar.gz")

    assert (tmp_path / "one.tar.gz").read_bytes() == (tmp_path / "two.tar.gz").read_bytes()


def test_an_empty_folder_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        pack_model(tmp_path, str(tmp_path / "model.tar.gz"))

    assert str(caught.value) == (
        f"{str(tmp_path)!r} has no file, expected a model\n  the program saved nothing"
    )


def archive_of(path: Path, member: tarfile.TarInfo, content: bytes = b"") -> str:
    member.size = len(content)
    with tarfile.open(path, "w:gz") as archive:
        archive.addfile(member, io.BytesIO(content))
    return str(path)


def link() -> tarfile.TarInfo:
    member = tarfile.TarInfo("link")
    member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
    return member


@pytest.mark.parametrize(
    ("member", "message"),
    [
        (tarfile.TarInfo("/abs"), "{uri!r} holds '/abs', expected paths below its root"),
        (tarfile.TarInfo("a/../../b"), "{uri!r} holds 'a/../../b', expected paths below its root"),
        (link(), "{uri!r} holds 'link', expected plain files and folders alone"),
    ],
    ids=["absolute", "parent", "link"],
)
def test_a_member_outside_the_folder_is_refused(
    tmp_path: Path, member: tarfile.TarInfo, message: str
) -> None:
    uri = archive_of(tmp_path / "bad.tar.gz", member)

    with pytest.raises(DataError) as caught:
        unpack_model(uri, tmp_path / "back")

    assert str(caught.value) == message.format(uri=uri)
    assert not (tmp_path / "back").exists()


def test_a_model_larger_than_allowed_is_refused(tmp_path: Path) -> None:
    uri = archive_of(tmp_path / "big.tar.gz", tarfile.TarInfo("big"), b"\0" * 2000)

    with pytest.raises(DataError) as caught:
        unpack_model(uri, tmp_path / "back", max_bytes=1999)

    assert str(caught.value) == (
        f"{uri!r} unpacks to more than 1999 bytes\n  is it a model? raise max_bytes if so"
    )
    assert not (tmp_path / "back").exists()


def test_a_cut_archive_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "noise").write_bytes(os.urandom(50_000))
    pack_model(folder, str(tmp_path / "model.tar.gz"))
    path = tmp_path / "cut.tar.gz"
    path.write_bytes((tmp_path / "model.tar.gz").read_bytes()[:20_000])

    with pytest.raises(DataError) as caught:
        unpack_model(str(path), tmp_path / "back")

    assert str(caught.value).startswith(f"{str(path)!r} is no whole gzipped tar: ")


def test_a_missing_archive_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError):
        unpack_model(str(tmp_path / "none.tar.gz"), tmp_path / "back")
