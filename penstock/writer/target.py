"""What both writers share: from Arrow batches to a shard, and from shards to a dataset."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from penstock import dataset as datasets
from penstock.assemble import Assembler
from penstock.dataset import Dataset, Shard
from penstock.encode import Where
from penstock.errors import InputError

__all__ = ["Layout", "Target"]

Layout = Literal["dense", "sparse"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """A dataset to be written. Small: it travels with every task.

    Attributes:
        uri: Prefix of the shards.
        features: Columns, in the order of the matrix.
        label: Column, or None.
        layout: How rows are encoded.
        hosts: Training instances that share the shards.
        task: What the labels are for.
        classes: Class names in the order of their labels, if any.
        widths: Of the feature columns, as far as they are known.
        allow_nonfinite: Write NaN and infinity.
    """

    uri: str
    features: tuple[str, ...]
    label: str | None
    layout: Layout
    hosts: int
    task: str
    classes: tuple[Any, ...] | None
    widths: Mapping[str, int]
    allow_nonfinite: bool

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns to read: the features, then the label."""
        return self.features if self.label is None else (*self.features, self.label)

    def assembler(self) -> Assembler:
        """Return what makes matrices of the batches of a task."""
        return Assembler(
            self.features,
            self.label,
            layout=self.layout,
            widths=self.widths,
            allow_nonfinite=self.allow_nonfinite,
        )

    def write(
        self,
        part: int,
        attempt: int,
        batches: Iterable[tuple[Any, Where]],
        assembler: Assembler,
    ) -> Shard:
        """Write one shard of Arrow batches. Memory: a batch, its matrix and its encoded bytes.

        Raises:
            DataError: A row cannot be in a matrix; names row and column. The file is gone then.
        """
        encoded = (assembler.encode(batch, where=where) for batch, where in batches)
        return datasets.write_shard(
            self.uri, part, attempt, encoded, allow_nonfinite=self.allow_nonfinite
        )

    def with_widths(self, widths: Mapping[str, int]) -> Target:
        """Return the target with all widths known."""
        return replace(self, widths=dict(widths))

    def commit(self, shards: Sequence[Shard], *, rows: int, parts: Sequence[int]) -> Dataset:
        """Check, describe and list the shards: the one step that makes the dataset exist.

        Args:
            shards: One or more for each part.
            rows: Of the source.
            parts: Numbers that must be there.
        """
        assembler = self.assembler()
        return datasets.commit(
            self.uri,
            shards,
            expected_rows=rows,
            width=assembler.width,
            layout=self.layout,
            task=self.task,
            classes=self.classes,
            plan_sha256=self._sha256(),
            names=assembler.names,
            hosts=self.hosts,
            parts=parts,
        )

    def _sha256(self) -> str:
        """Return the hash of how rows become records, which takes the place of a plan's."""
        body = {
            "features": [[name, self.widths[name]] for name in self.features],
            "label": self.label,
            "layout": self.layout,
        }
        return hashlib.sha256(json.dumps(body, ensure_ascii=False).encode()).hexdigest()


def check_hosts(hosts: int) -> None:
    """Raise unless there is at least one host.

    Raises:
        InputError: There is none.
    """
    if hosts < 1:
        raise InputError(f"hosts is {hosts!r}, expected a whole number of at least 1")
