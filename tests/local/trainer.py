"""A training container's program: the hyperparameter ``do`` says what it does.

It reads the contract as the documentation has it, with the standard library alone.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

BASE = Path(os.environ["SAGEMAKER_BASE_DIR"])
CONFIG, DATA, MODEL = BASE / "input" / "config", BASE / "input" / "data", BASE / "model"


def config(name: str) -> Any:
    return json.loads((CONFIG / f"{name}.json").read_text())


HYPERPARAMETERS = config("hyperparameters")
HOST = config("resourceconfig")["current_host"]


def fifo(channel: str, epoch: int) -> Path:
    path = DATA / f"{channel}_{epoch}"
    while not path.exists():
        time.sleep(0.005)
    return path


def read(channel: str, epoch: int, limit: int = -1) -> bytes:
    """Return an epoch, or its first bytes and then close early."""
    pieces: list[bytes] = []
    left = limit
    with fifo(channel, epoch).open("rb", buffering=0) as stream:
        while left and (piece := stream.read(1 << 16 if left < 0 else left)):
            pieces.append(piece)
            left -= len(piece) if left > 0 else 0
    return b"".join(pieces)


def report(**told: Any) -> None:
    (MODEL / f"{HOST}.json").write_text(json.dumps(told))


def contract() -> None:
    """Tell all that the platform gave."""
    files = {path.stem: json.loads(path.read_text()) for path in CONFIG.iterdir()}
    listed = {path.name: path.read_text() for path in DATA.glob("*-manifest")}
    (BASE / "output" / "data" / f"seen-{HOST}.txt").write_text("seen")
    print("loss=0.5\nloss=0.25\ntab\there", flush=True)
    print("trouble", file=sys.stderr)
    report(config=files, manifests=listed, environment=dict(os.environ), arguments=sys.argv[1:])


def epochs() -> None:
    """Read some epochs of every channel; the last but one is closed early when ``early`` says so."""
    seen: dict[str, list[str]] = {}
    for channel in sorted(config("inputdataconfig")):
        count = int(HYPERPARAMETERS.get("epochs", "2"))
        early = int(HYPERPARAMETERS.get("early", "-1"))
        read_all = [read(channel, n, early if n == count - 2 else -1) for n in range(count)]
        seen[channel] = [each.hex() if len(each) < 400 else _hash(each) for each in read_all]
    report(epochs=seen)


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def files() -> None:
    """Tell the files of every channel."""
    seen = {
        name: {
            path.relative_to(DATA / name).as_posix(): _hash(path.read_bytes())
            for path in (DATA / name).rglob("*")
            if path.is_file()
        }
        for name in config("inputdataconfig")
    }
    report(files=seen)


def wait() -> None:
    """Wait for SIGTERM, then save and end well."""

    def save(*_: object) -> None:
        report(saved=True)
        sys.exit(0)

    signal.signal(signal.SIGTERM, save)
    print("ready", flush=True)
    time.sleep(600)


def stubborn() -> None:
    """Save, and do not listen to SIGTERM; a child does not, either."""
    report(saved=True)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if os.fork() == 0:
        time.sleep(600)
    print("ready", flush=True)
    time.sleep(600)


def fail() -> None:
    """Fail with a reason."""
    if HYPERPARAMETERS.get("host", HOST) == HOST:
        (BASE / "output" / "failure").write_text(HYPERPARAMETERS["reason"])
        sys.exit(3)
    time.sleep(600)


def clash() -> None:
    """Write another file of the same name on each host."""
    (MODEL / "model").write_text(HOST)


def die() -> None:
    """Be killed in the middle of an epoch."""
    with fifo("train", 0).open("rb", buffering=0) as stream:
        stream.read(10)
        os.kill(os.getpid(), signal.SIGKILL)


def slowly() -> None:
    """Read the first bytes of an epoch, say so, wait for a word, and read on."""
    with fifo("train", 0).open("rb", buffering=0) as stream:
        stream.read(10)
        print("begun", flush=True)
        while not Path(HYPERPARAMETERS["go"]).exists():
            time.sleep(0.01)
        while stream.read(1 << 16):
            pass


def checkpoints() -> None:
    """Change the checkpoints that were there."""
    folder = Path(config("checkpointconfig")["LocalPath"])
    found = {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}
    (folder / "old").unlink(missing_ok=True)
    (folder / "step").write_text(str(int(found.get("step", "0")) + 1))
    (folder / "half.sagemaker-ignore").write_text("not this")
    (folder / "deep").mkdir()
    (folder / "deep" / "down").write_text("deep")
    while HYPERPARAMETERS.get("marked") and not (folder / "step.sagemaker-uploaded").exists():
        time.sleep(0.02)
    report(found=found)


if __name__ == "__main__":
    globals()[HYPERPARAMETERS["do"]]()
