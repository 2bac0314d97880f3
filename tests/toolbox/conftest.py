"""Files and a command line for the tests of the toolbox."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from penstock import recordio
from penstock.errors import PenstockError
from penstock.toolbox.app import app


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers, the same in every run."""
    return np.random.default_rng(7)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, where the command runs, on a terminal of 80 columns."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


@pytest.fixture
def said(here: Path) -> Any:
    """Run one verb; give its exit code and what it printed, errors as ``main`` prints them."""

    def run(*arguments: object, text: bytes | None = None) -> tuple[int, str]:
        ended = CliRunner().invoke(app, [str(each) for each in arguments], input=text)
        if isinstance(ended.exception, PenstockError):
            return ended.exception.exit_code, f"{ended.stdout}error: {ended.exception}\n"
        if ended.exception is not None and not isinstance(ended.exception, SystemExit):
            raise ended.exception
        return ended.exit_code, ended.output

    return run


@pytest.fixture
def rows(here: Path) -> Any:
    """Write a RecordIO file of small numbers; give its path."""

    def write(name: str, features: Any, labels: Any = None) -> Path:
        path = here / name
        path.parent.mkdir(parents=True, exist_ok=True)
        numbers = None if labels is None else np.asarray(labels, np.float32)
        encode = recordio.encode_sparse if hasattr(features, "indptr") else recordio.encode_dense
        matrix = features if hasattr(features, "indptr") else np.asarray(features, np.float32)
        path.write_bytes(encode(matrix, numbers, allow_nonfinite=True))
        return path

    return write
