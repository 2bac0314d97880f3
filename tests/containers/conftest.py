"""Container programs, run in this process on a job's folder."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from containers.jobs import Rows, write_job

Train = Callable[[ModuleType, dict[str, str], dict[str, Rows]], tuple[int, Path]]


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Train]:
    """(program, hyperparameters, channels) -> (exit code, the job's folder)."""
    before = signal.getsignal(signal.SIGTERM)
    jobs = iter(range(100))

    def run(
        program: ModuleType, hyperparameters: dict[str, str], channels: dict[str, Rows]
    ) -> tuple[int, Path]:
        base = write_job(tmp_path / f"job-{next(jobs)}", hyperparameters, channels)
        monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(base))
        return program.main(["train"]), base

    yield run
    signal.signal(signal.SIGTERM, before)
