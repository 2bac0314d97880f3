"""Checkpoints: a folder of the container and a prefix of S3 that follow each other.

    before the start     the prefix's objects are copied into the folder
    while it runs        files that are new or changed go to the prefix; deleted ones are deleted there
    after the end        once more, so that the last files are not lost

A file is copied when it was the same in two looks at it, or at the end. ``x.sagemaker-uploading`` and
then ``x.sagemaker-uploaded`` stand beside a file x that is copied; files that end in
``.sagemaker-ignore`` stay where they are. What others put below the prefix later is left alone.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from penstock import storage
from penstock.errors import PenstockError

__all__ = ["Checkpoints"]

UPLOADING, UPLOADED, IGNORED = ".sagemaker-uploading", ".sagemaker-uploaded", ".sagemaker-ignore"
LOOK_S = 1.0

Stamp = tuple[int, int]  # bytes, and nanoseconds of the last change


class Checkpoints:
    """One host's folder."""

    def __init__(
        self, folder: Path, prefix: str, objects: Callable[[str], list[str]], look_s: float = LOOK_S
    ) -> None:
        """Prepare; nothing is read or written yet.

        Args:
            folder: The container's folder.
            prefix: ``s3://bucket/prefix``.
            objects: Gives the URIs of all objects below a prefix that ends with a slash.
            look_s: How often the folder is looked at.
        """
        self._folder, self._prefix, self._objects = folder, prefix.rstrip("/") + "/", objects
        self._look_s, self._end = look_s, threading.Event()
        self._seen: dict[str, Stamp] = {}
        self._copied: dict[str, Stamp] = {}
        self._thread = threading.Thread(target=self._follow, name="checkpoints", daemon=True)

    def restore(self) -> None:
        """Copy what stands below the prefix into the folder.

        Raises:
            PenstockError: It cannot be read.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        for uri in self._objects(self._prefix):
            name = uri.removeprefix(self._prefix)
            path = self._folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with storage.open_input(uri) as stream, path.open("wb") as copy:
                shutil.copyfileobj(stream, copy, 1 << 20)
            self._copied[name] = _stamp(path)

    def start(self) -> None:
        """Begin to follow the folder."""
        self._thread.start()

    def finish(self) -> None:
        """Copy what is left, and end. The container must be dead.

        Raises:
            PenstockError: A file could not be copied.
        """
        self.abandon()
        self._look(last=True)

    def abandon(self) -> None:
        """End without another look."""
        self._end.set()
        if self._thread.is_alive():
            self._thread.join()

    def _follow(self) -> None:
        while not self._end.wait(self._look_s):
            # The next look tries again, and the last one says why it cannot.
            with suppress(PenstockError):
                self._look(last=False)

    def _look(self, *, last: bool) -> None:
        now = self._files()
        for name, stamp in now.items():
            settled = last or self._seen.get(name) == stamp
            if settled and self._copied.get(name) != stamp:
                self._copy(name)
                self._copied[name] = stamp
        for name in [name for name in self._copied if name not in now]:
            storage.delete(self._prefix + name)
            del self._copied[name]
            (self._folder / (name + UPLOADED)).unlink(missing_ok=True)
        self._seen = now

    def _files(self) -> dict[str, Stamp]:
        found = {}
        for path in self._folder.rglob("*"):
            if path.name.endswith((UPLOADING, UPLOADED, IGNORED)):
                continue
            with suppress(FileNotFoundError):  # gone since the folder was read
                if path.is_file():
                    found[path.relative_to(self._folder).as_posix()] = _stamp(path)
        return found

    def _copy(self, name: str) -> None:
        path = self._folder / name
        (self._folder / (name + UPLOADED)).unlink(missing_ok=True)
        mark = self._folder / (name + UPLOADING)
        mark.touch()
        try:
            with path.open("rb") as stream, storage.open_output(self._prefix + name) as target:
                shutil.copyfileobj(stream, target, 1 << 20)
        except FileNotFoundError:
            mark.unlink(missing_ok=True)
            return
        mark.rename(self._folder / (name + UPLOADED))


def _stamp(path: Path) -> Stamp:
    found = path.stat()
    return found.st_size, found.st_mtime_ns
