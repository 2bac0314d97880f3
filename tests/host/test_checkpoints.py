from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from penstock import storage
from penstock.errors import ServiceError
from penstock.host.checkpoints import Checkpoints


def objects(prefix: str) -> list[str]:
    return [file.uri for file in storage.glob_files(prefix)]


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    path = tmp_path / "prefix"
    path.mkdir()
    return path


@pytest.fixture
def follow(tmp_path: Path, prefix: Path) -> Iterator[Callable[[], Checkpoints]]:
    made: list[Checkpoints] = []

    def start() -> Checkpoints:
        found = Checkpoints(tmp_path / "folder", prefix.as_uri(), objects, look_s=0.01)
        found.restore()
        found.start()
        made.append(found)
        return found

    yield start
    for each in made:
        each.abandon()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.005)


def below(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_what_was_there_is_restored_and_not_written_again(
    tmp_path: Path, prefix: Path, follow: Callable[[], Checkpoints]
) -> None:
    (prefix / "deep").mkdir()
    (prefix / "deep" / "a").write_text("1")
    before = (prefix / "deep" / "a").stat().st_mtime_ns

    follow().finish()

    assert below(tmp_path / "folder") == {"deep/a": "1"}
    assert (prefix / "deep" / "a").stat().st_mtime_ns == before


def test_new_changed_and_deleted_files_follow_while_the_program_runs(
    tmp_path: Path, prefix: Path, follow: Callable[[], Checkpoints]
) -> None:
    (prefix / "old").write_text("old")
    folder = tmp_path / "folder"
    follow()

    (folder / "new").write_text("1")
    (folder / "half.sagemaker-ignore").write_text("half")
    (folder / "old").unlink()
    until(lambda: below(prefix) == {"new": "1"})
    until((folder / "new.sagemaker-uploaded").exists)
    (folder / "new").write_text("22")
    until(lambda: below(prefix) == {"new": "22"})
    (prefix / "another's").write_text("stays")
    (folder / "new").unlink()

    until(lambda: below(prefix) == {"another's": "stays"})
    until(lambda: below(folder) == {"half.sagemaker-ignore": "half"})


def test_the_last_files_are_not_lost(
    tmp_path: Path, prefix: Path, follow: Callable[[], Checkpoints]
) -> None:
    following = follow()
    (tmp_path / "folder" / "last").write_text("last")

    following.finish()

    assert below(prefix) == {"last": "last"}
    assert (tmp_path / "folder" / "last.sagemaker-uploaded").exists()
    assert not (tmp_path / "folder" / "last.sagemaker-uploading").exists()


def test_a_prefix_that_cannot_be_written_is_said_at_the_end(
    tmp_path: Path, prefix: Path, follow: Callable[[], Checkpoints]
) -> None:
    following = follow()
    prefix.rmdir()
    prefix.write_text("a file")
    (tmp_path / "folder" / "x").write_text("x")

    with pytest.raises(ServiceError) as caught:
        following.finish()
    assert str(caught.value) == (
        f"'{prefix.as_uri()}/x': [Errno 17] File exists: '{prefix}'\n"
        "  check the path, permissions and free space"
    )
