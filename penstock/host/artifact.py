"""model.tar.gz: packed so that equal models give equal bytes, unpacked without trust."""

from __future__ import annotations

import filecmp
import gzip
import shutil
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from penstock import storage
from penstock.errors import DataError, InputError

__all__ = ["gathered", "pack_files", "pack_model", "unpack_model"]

# Far above any model of ours; a gzip bomb ends here.
MAX_MODEL_BYTES = 4 * 2**30


def pack_model(model_dir: Path, target_uri: str) -> int:
    """Write ``model_dir`` as a gzipped tar; return its bytes.

    Members are sorted, and carry no time, owner or mode of this machine.

    Raises:
        InputError: The folder has no file.
    """
    files = gathered([model_dir])
    if not files:
        raise InputError(
            f"{str(model_dir)!r} has no file, expected a model\n  the program saved nothing"
        )
    return pack_files(files, target_uri)


def gathered(folders: Sequence[Path]) -> dict[str, Path]:
    """Return the files below some folders, by their path there, sorted.

    Raises:
        DataError: Two folders have different files of one path.
    """
    found: dict[str, Path] = {}
    for folder in folders:
        for path in sorted(path for path in Path(folder).rglob("*") if path.is_file()):
            name = path.relative_to(folder).as_posix()
            if name in found and not filecmp.cmp(found[name], path, shallow=False):
                raise DataError(
                    f"two hosts left different files {name!r}, one archive holds one\n"
                    "  put the host's name into the file's, or write it on one host only"
                )
            found.setdefault(name, path)
    return dict(sorted(found.items()))


def pack_files(files: Mapping[str, Path], target_uri: str) -> int:
    """Write files, by their path in it, as a gzipped tar; return its bytes. Memory: a few pieces."""
    with storage.open_output(target_uri) as output:
        counted = _Counted(output)
        with (
            gzip.GzipFile(filename="", mode="wb", fileobj=counted, mtime=0) as zipped,
            tarfile.open(fileobj=zipped, mode="w|", format=tarfile.PAX_FORMAT) as archive,
        ):
            for name, path in files.items():
                member = tarfile.TarInfo(name)
                member.size, member.mode = path.stat().st_size, 0o644
                with path.open("rb") as stream:
                    archive.addfile(member, stream)
    return counted.bytes


class _Counted:
    """A writable stream that counts.

    Attributes:
        bytes: Written so far.
    """

    def __init__(self, output: Any) -> None:
        self._output, self.bytes = output, 0

    def write(self, content: Any) -> int:
        self._output.write(content)
        self.bytes += len(content)
        return len(content)

    def flush(self) -> None:
        """Nothing is held back here."""


def unpack_model(
    tar_uri: str, target_dir: Path, *, max_bytes: int = MAX_MODEL_BYTES
) -> tuple[Path, ...]:
    """Unpack a model.tar.gz into ``target_dir``; return the files.

    Only plain files and folders below ``target_dir`` are written, whatever the archive says.

    Raises:
        MissingFileError: There is no archive.
        DataError: It is no gzipped tar, holds a path outside, a link or a device, or more than
            ``max_bytes`` bytes.
    """
    files: list[Path] = []
    left = max_bytes
    with storage.open_input(tar_uri) as stream:
        try:
            with tarfile.open(fileobj=stream, mode="r|gz") as archive:
                for member in archive:
                    path = _target(member, target_dir, tar_uri)
                    left -= member.size
                    if left < 0:
                        raise DataError(
                            f"{tar_uri!r} unpacks to more than {max_bytes} bytes\n"
                            "  is it a model? raise max_bytes if so"
                        )
                    source = archive.extractfile(member)
                    if source is None:  # a folder
                        continue
                    path.parent.mkdir(parents=True, exist_ok=True)
                    with source, path.open("wb") as copy:
                        shutil.copyfileobj(source, copy)
                    files.append(path)
        except (tarfile.TarError, EOFError, gzip.BadGzipFile) as error:
            raise DataError(
                f"{tar_uri!r} is no whole gzipped tar: {error}\n  train the model again"
            ) from error
    return tuple(files)


def _target(member: tarfile.TarInfo, target_dir: Path, tar_uri: str) -> Path:
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts:
        raise DataError(f"{tar_uri!r} holds {member.name!r}, expected paths below its root")
    if not (member.isfile() or member.isdir()):
        raise DataError(
            f"{tar_uri!r} holds {member.name!r}, expected plain files and folders alone"
        )
    return Path(target_dir) / name
