"""model.tar.gz: packed so that equal models give equal bytes, unpacked without trust."""

from __future__ import annotations

import gzip
import io
import shutil
import tarfile
from pathlib import Path, PurePosixPath

from penstock import storage
from penstock.errors import DataError, InputError

__all__ = ["pack_model", "unpack_model"]

# Far above any model of ours; a gzip bomb ends here.
MAX_MODEL_BYTES = 4 * 2**30


def pack_model(model_dir: Path, target_uri: str) -> int:
    """Write ``model_dir`` as a gzipped tar; return its bytes. The archive is held in memory.

    Members are sorted, and carry no time, owner or mode of this machine.

    Raises:
        InputError: The folder has no file.
    """
    paths = sorted(path for path in Path(model_dir).rglob("*") if path.is_file())
    if not paths:
        raise InputError(
            f"{str(model_dir)!r} has no file, expected a model\n  the program saved nothing"
        )
    packed = io.BytesIO()
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=packed, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for path in paths:
            member = tarfile.TarInfo(path.relative_to(model_dir).as_posix())
            member.size, member.mode = path.stat().st_size, 0o644
            with path.open("rb") as stream:
                archive.addfile(member, stream)
    storage.write_bytes(target_uri, packed.getvalue())
    return len(packed.getvalue())


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
