"""The convert stage: plan x curated table -> one RecordIO dataset per split, in one Spark job."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from penstock import dataset as datasets
from penstock import storage
from penstock.curated import SPLITS, Curated, RowRange, row_ranges
from penstock.dataset import Dataset, Shard
from penstock.encode import Where
from penstock.errors import EmptyTableError, MissingColumnsError
from penstock.plan import FeaturePlan
from penstock.spec import Spec
from penstock.writer.parquet import planned_shards

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["convert"]

BATCH_BYTES = 2**25
MAX_BATCH_ROWS = 32_768
MIN_BATCH_ROWS = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One shard to write."""

    split: str
    prefix_uri: str
    number: int
    rows: RowRange


def convert(
    session: SparkSession, curated: Curated, plan: FeaturePlan, spec: Spec, target_uri: str
) -> dict[str, Dataset]:
    """Write the datasets of all splits below ``target_uri``. Runs exactly one Spark job.

    Each task reads its rows with pyarrow, encodes them batch by batch and writes one shard; memory
    is a batch. Number and content of the shards depend on the rows, the plan, shard_bytes and
    hosts only.
    Shards of an earlier, unfinished run are swept first; each manifest is made last.

    Args:
        session: Where to run.
        curated: Finished table.
        plan: Fitted on its train split.
        spec: For the shard size.
        target_uri: Folder of the run; gets ``<split>/part-*.rec`` and the datasets' own files.

    Returns:
        The committed datasets, by split.

    Raises:
        EmptyTableError: A split has no rows; nothing is written then.
        InputError: A split has fewer rows than there are hosts to share it.
        MissingColumnsError: The table lacks a column of the plan.
        DataError: A row cannot be encoded; says which.
    """
    from penstock.spark import map_tasks

    _check(curated, plan)
    prefixes = {split: storage.join(target_uri, split) + "/" for split in SPLITS}
    for prefix in prefixes.values():
        datasets.sweep(prefix)
    parts = [
        part for split in SPLITS for part in _split_parts(curated, plan, spec, split, prefixes)
    ]
    text, batch_rows = plan.to_json(), _batch_rows(plan)

    def run(part: Part, attempt: int) -> Shard:
        batches = _encoded(part, _plan(text), batch_rows)
        return datasets.write_shard(part.prefix_uri, part.number, attempt, batches)

    shards = map_tasks(session, parts, run, what="convert: shards")
    return {
        split: datasets.commit(
            prefixes[split],
            [shard for part, shard in zip(parts, shards, strict=True) if part.split == split],
            expected_rows=curated.rows(split),
            width=plan.width,
            layout=plan.layout,
            task=plan.task,
            classes=plan.classes,
            plan_sha256=plan.sha256,
            names=plan.names,
            hosts=_hosts(spec, split),
        )
        for split in SPLITS
    }


def _check(curated: Curated, plan: FeaturePlan) -> None:
    needed = dict.fromkeys((*plan.input_columns, plan.label.column, *plan.fold_columns))
    names = curated.names()
    if missing := tuple(name for name in needed if name not in names):
        raise MissingColumnsError("curated", missing, names)
    for split in SPLITS:
        if not curated.rows(split):
            raise EmptyTableError(
                f"curated/split={split}",
                f"add rows to the sources, or raise split.{split} in the spec",
            )


def _split_parts(
    curated: Curated, plan: FeaturePlan, spec: Spec, split: str, prefixes: dict[str, str]
) -> Iterator[Part]:
    """Yield the shards of a split, which train and validation share among the training hosts."""
    rows = curated.rows(split)
    shard_bytes, hosts = spec.dataset.shard_bytes, _hosts(spec, split)
    count = planned_shards(rows, plan.row_bytes, shard_bytes, hosts=hosts)
    for number, part in enumerate(row_ranges(curated, split, count)):
        yield Part(split=split, prefix_uri=prefixes[split], number=number, rows=part)


def _hosts(spec: Spec, split: str) -> int:
    """Return how many training instances share a split; the test split goes to none."""
    return 1 if split == "test" else spec.dataset.hosts


def _batch_rows(plan: FeaturePlan) -> int:
    """Return how many rows to encode at a time, in bounded memory."""
    row_bytes = plan.width * 4 if plan.layout == "dense" else plan.row_bytes * 2
    return int(min(MAX_BATCH_ROWS, max(MIN_BATCH_ROWS, BATCH_BYTES // max(row_bytes, 1))))


@lru_cache(maxsize=1)
def _plan(text: str) -> FeaturePlan:
    """Return the plan; parsed once per worker process, not once per task."""
    return FeaturePlan.from_json(text)


def _encoded(part: Part, plan: FeaturePlan, batch_rows: int) -> Iterator[tuple[Any, Any]]:
    train = part.split == "train"
    keys = plan.fold_columns if train else ()
    columns = list(dict.fromkeys((*plan.input_columns, plan.label.column, *keys)))
    row = part.rows.start
    for batch in part.rows.batches(columns, batch_rows=batch_rows):
        where = Where(table=f"curated/split={part.split}", first_row=row)
        features = plan.encode(batch, training=train, where=where)
        yield features, plan.labels(batch, where=where)
        row += batch.num_rows
