"""The jars of the peer, sagemaker-pyspark's Spark writer, fetched once into bench/.jars/.

``python bench/jars.py`` fetches them and prints their paths.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import IO

__all__ = ["PeerMissing", "peer_jars"]

HERE = Path(__file__).parent
JARS = HERE / ".jars"
WRITER = "sagemaker-spark_2.12-spark_3.3.0-1.4.5.jar"
PROTOBUF = "protobuf.jar"

DEBIAN_PACKAGE = "libprotobuf-java"
# Spark 3.5 ships no protobuf-java, which the writer was compiled against; Debian's 3.21 serves.
DEBIAN_SHA256 = {
    "3.21.12-3+deb12u1": "7662f1f6b4b98c5bcc1a85b7fec0934753afb2f7feb7f6fdc95374168c68fd45",
}
BY_HAND = f"or put a protobuf-java 2.5.0 or 3.21 jar there yourself: {JARS / PROTOBUF}"


class PeerMissing(RuntimeError):
    """The peer cannot be fetched; says why, and what to do."""


def peer_jars() -> tuple[Path, Path]:
    """Return the writer's jar and protobuf-java's, after fetching what is missing.

    Raises:
        PeerMissing: The package index or apt does not give them.
    """
    JARS.mkdir(exist_ok=True)
    writer, protobuf = JARS / WRITER, JARS / PROTOBUF
    if not writer.exists():
        _fetch_writer(writer)
    if not protobuf.exists():
        _fetch_protobuf(protobuf)
    return writer, protobuf


def _fetch_writer(target: Path) -> None:
    with tempfile.TemporaryDirectory(dir=JARS) as folder:
        # The source distribution, as it is the only one; pip asks its setup.py for its name.
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--require-hashes", "--no-build-isolation", "--dest", folder]
        _run([*command, "-r", str(HERE / "requirements.lock")], "pip download")
        (archive,) = Path(folder).glob("*.tar.gz")
        with tarfile.open(archive) as files:
            (member,) = [each for each in files.getmembers() if each.name.endswith(f"/{WRITER}")]
            _keep(files.extractfile(member), target)


def _fetch_protobuf(target: Path) -> None:
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise PeerMissing(
                f"{tool} is not on this machine, protobuf-java comes with it; {BY_HAND}"
            )
    with tempfile.TemporaryDirectory(dir=JARS) as folder:
        _run(["apt-get", "download", "-qq", DEBIAN_PACKAGE], "apt-get download", folder)
        (package,) = Path(folder).glob("*.deb")
        version = _run(["dpkg-deb", "-f", str(package), "Version"], "dpkg-deb").strip()
        found = hashlib.sha256(package.read_bytes()).hexdigest()
        if DEBIAN_SHA256.get(version) != found:
            raise PeerMissing(
                f"{DEBIAN_PACKAGE} {version} has SHA-256 {found}, "
                f"expected one of {DEBIAN_SHA256}\n  add it to bench/jars.py once checked, {BY_HAND}"
            )
        _run(["dpkg-deb", "-x", str(package), folder], "dpkg-deb")
        jar = next(Path(folder).glob("usr/share/java/protobuf-3*.jar"))
        with jar.open("rb") as content:
            _keep(content, target)


def _keep(content: IO[bytes] | None, target: Path) -> None:
    """Write a file under another name first, so that half a jar is never taken for one."""
    if content is None:
        raise PeerMissing(f"{target.name} is no file in its archive")
    half = target.with_suffix(".half")
    with half.open("wb") as file:
        shutil.copyfileobj(content, file)
    half.rename(target)


def _run(command: list[str], what: str, folder: str | None = None) -> str:
    ended = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
    if ended.returncode:
        raise PeerMissing(f"{what} failed: {ended.stderr.strip()[-800:]}\n  {BY_HAND}")
    return ended.stdout


if __name__ == "__main__":
    try:
        for jar in peer_jars():
            print(jar)
    except PeerMissing as error:
        sys.exit(f"error: {error}")
