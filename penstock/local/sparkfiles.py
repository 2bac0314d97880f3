"""Files of a job: fetched from S3 into its work folder, and laid out there as a cluster lays them out.

fetched/0/app.py  fetched/1/lib.zip     under the names that they have
cwd/              --files as they are, --archives unpacked: lookup.csv, environment/bin/python
"""

from __future__ import annotations

import posixpath
import shutil
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from penstock import storage
from penstock.errors import InputError

__all__ = ["Fetcher", "laid_out", "on_s3"]

S3_SCHEMES = ("s3://", "s3a://", "s3n://")


def on_s3(uri: str) -> str:
    """Return ``uri`` as s3:// when it is on S3, by whichever scheme; else nothing."""
    for scheme in S3_SCHEMES:
        if uri.startswith(scheme):
            return "s3://" + uri.removeprefix(scheme)
    return ""


class Fetcher:
    """Fetches objects into one folder."""

    def __init__(self, folder: Path) -> None:
        """Fetch into ``folder``, which is made."""
        self._folder, self._count = folder, 0

    def fetched(self, uri: str) -> str:
        """Return the path of an object's copy; what is not on S3 stays as it is.

        Raises:
            MissingFileError: There is no such object.
            ServiceError: It cannot be read.
        """
        source = on_s3(uri)
        if not source:
            return uri.removeprefix("file://")
        target = self._folder / str(self._count) / posixpath.basename(source)
        self._count += 1
        target.parent.mkdir(parents=True)
        with storage.open_input(source) as stream, target.open("wb") as file:
            shutil.copyfileobj(stream, file)
        return str(target)


def laid_out(
    files: Mapping[str, tuple[str, ...]], fetcher: Fetcher, folder: Path
) -> dict[str, tuple[str, ...]]:
    """Fetch the files of a submission, put those for the driver into ``folder``; return their paths.

    Raises:
        InputError: An archive is neither zip nor tar, or a name leads out of the folder.
        MissingFileError: There is no such object.
    """
    found = {}
    for setting, uris in files.items():
        paths = []
        for uri in uris:
            place, mark, alias = uri.partition("#")
            path = fetcher.fetched(place)
            paths.append(f"{path}{mark}{alias}")
            target = folder / _name(alias or posixpath.basename(path))
            if setting == "spark.files":
                shutil.copyfile(path, target)
            elif setting == "spark.archives":
                _unpack(Path(path), target, uri)
        found[setting] = tuple(paths)
    return found


def _name(text: str) -> str:
    if text in ("", ".", "..") or "/" in text:
        raise InputError(
            f"spark-submit: {text!r} is no name for a file\n  expected a name, no path"
        )
    return text


def _unpack(archive: Path, target: Path, uri: str) -> None:
    """Unpack as a cluster's nodes do; names that lead out of ``target`` are refused."""
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as packed:
                packed.extractall(target)  # noqa: S202  zipfile keeps names below the folder
            return
        with tarfile.open(archive) as tar:
            # Not "data": an environment's bin/python is a link to the system's.
            tar.extractall(target, filter="tar")
    except (OSError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise InputError(
            f"spark-submit: archive {uri!r} cannot be unpacked: {error}\n"
            "  expected .zip, .tar or .tar.gz"
        ) from error
