"""Rows, shards and job folders for the tests of containers and of their host."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from penstock import recordio

Matrix = Any


@dataclass(frozen=True)
class Rows:
    """Features float32 (n, d), an array or CSR, and labels float32 (n,)."""

    features: Matrix
    labels: np.ndarray

    def __getitem__(self, part: slice) -> Rows:
        return Rows(self.features[part], self.labels[part])

    @property
    def dense(self) -> np.ndarray:
        if isinstance(self.features, np.ndarray):
            return self.features
        return np.asarray(self.features.toarray())

    def sparse(self) -> Rows:
        return Rows(sparse.csr_array(self.features), self.labels)

    def encoded(self) -> bytes:
        if isinstance(self.features, np.ndarray):
            return bytes(recordio.encode_dense(self.features, self.labels))
        return bytes(recordio.encode_sparse(self.features, self.labels))


def mixed_rows(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return features of 5 numbers and two one-hot columns (8 and 30 wide), and margins."""
    random = np.random.default_rng(seed)
    numbers = random.normal(size=(count, 5)) * [1, 1, 3, 0.2, 1] + [0, 0, 5, 0, 0]
    hot = [np.eye(width)[random.zipf(1.6, count) % width] for width in (8, 30)]
    features = np.concatenate([numbers, *hot], axis=1).astype(np.float32)
    weights = np.random.default_rng(99).normal(size=features.shape[1]) * 0.7
    return features, features @ weights - (features @ weights).mean()


def binary_rows(count: int, seed: int = 0) -> Rows:
    features, margins = mixed_rows(count, seed)
    chance = np.random.default_rng(seed + 1).random(count)
    return Rows(features, (chance < 1 / (1 + np.exp(-margins))).astype(np.float32))


def class_rows(count: int, classes: int = 3, seed: int = 0) -> Rows:
    features, _ = mixed_rows(count, seed)
    weights = np.random.default_rng(98).normal(size=(features.shape[1], classes)) * 0.7
    noise = np.random.default_rng(seed + 1).gumbel(size=(count, classes))
    return Rows(features, (features @ weights + noise).argmax(axis=1).astype(np.float32))


def number_rows(count: int, seed: int = 0) -> Rows:
    features, margins = mixed_rows(count, seed)
    noise = np.random.default_rng(seed + 1).normal(size=count)
    return Rows(features, (1000 + 50 * (margins + 0.3 * noise)).astype(np.float32))


def write_shards(folder: Path, rows: Rows, shards: int = 3) -> tuple[str, ...]:
    """Write shards of unequal size; return their paths in order."""
    folder.mkdir(parents=True, exist_ok=True)
    cuts = np.linspace(0, len(rows.labels), shards + 1).astype(int) + np.arange(shards + 1) % 2
    cuts[0], cuts[-1] = 0, len(rows.labels)
    paths = []
    for number, (start, stop) in enumerate(itertools.pairwise(cuts)):
        path = folder / f"part-{number:05d}-a0.rec"
        path.write_bytes(rows[start:stop].encoded())
        paths.append(str(path))
    return tuple(paths)


def write_job(base: Path, hyperparameters: dict[str, str], channels: dict[str, Rows]) -> Path:
    """Write a job's folder in File mode; return ``base``."""
    for name, rows in channels.items():
        write_shards(base / "input" / "data" / name, rows)
    config = {
        "hyperparameters": hyperparameters,
        "inputdataconfig": {
            name: {
                "TrainingInputMode": "File",
                "S3DistributionType": "FullyReplicated",
                "RecordWrapperType": "None",
            }
            for name in channels
        },
        "resourceconfig": {"current_host": "algo-1", "hosts": ["algo-1"]},
    }
    folder = base / "input" / "config"
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in config.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return base
