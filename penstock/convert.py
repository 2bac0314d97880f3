"""The convert stage: plan x curated table -> one RecordIO dataset per split, in one Spark job."""

from __future__ import annotations

import math
import operator
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from penstock import balance, storage
from penstock import dataset as datasets
from penstock.columns import CategoricalColumn
from penstock.curated import SPLITS, Curated, RowRange, row_ranges
from penstock.dataset import Dataset, Shard
from penstock.encode import Where
from penstock.errors import DataError, EmptyTableError, MissingColumnsError
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

    Where the plan asks for oversampling, a job before it counts, from labels and keys alone, the rows
    that each shard of the train split must come to: a lost or doubled task shows as it does without.

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
        DataError: A row cannot be encoded; says which. Or a shard has other rows than were counted.
    """
    from penstock.spark import map_tasks

    _check(curated, plan)
    prefixes = {split: storage.join(target_uri, split) + "/" for split in SPLITS}
    for prefix in prefixes.values():
        datasets.sweep(prefix)
    parts = [
        part for split in SPLITS for part in _split_parts(curated, plan, spec, split, prefixes)
    ]
    text, batch_rows, key = plan.to_json(), _batch_rows(plan), curated.key
    expected = _expected(session, parts, plan, key)

    def run(part: Part, attempt: int) -> Shard:
        batches = _encoded(part, _plan(text), batch_rows, key)
        return datasets.write_shard(part.prefix_uri, part.number, attempt, batches)

    shards = map_tasks(session, parts, run, what="convert: shards")
    _check_counts(parts, shards, expected)
    return {
        split: datasets.commit(
            prefixes[split],
            [shard for part, shard in zip(parts, shards, strict=True) if part.split == split],
            expected_rows=sum(
                rows for part, rows in zip(parts, expected, strict=True) if part.split == split
            ),
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
    row_bytes = plan.row_bytes * (_mean_times(plan) if split == "train" else 1.0)
    count = planned_shards(rows, row_bytes, shard_bytes, hosts=hosts)
    for number, part in enumerate(row_ranges(curated, split, count)):
        yield Part(split=split, prefix_uri=prefixes[split], number=number, rows=part)


def _hosts(spec: Spec, split: str) -> int:
    """Return how many training instances share a split; the test split goes to none."""
    return 1 if split == "test" else spec.dataset.hosts


def _times(plan: FeaturePlan) -> tuple[float, ...]:
    """Return how often the train rows of each class are written; nothing when each is once."""
    return tuple(plan.fitted_on.get("class_times", ()))


def _mean_times(plan: FeaturePlan) -> float:
    """Return how often a train row is written, on average."""
    times, rows = _times(plan), plan.fitted_on.get("class_rows", ())
    return math.fsum(map(operator.mul, times, rows)) / sum(rows) if times else 1.0


def _expected(
    session: SparkSession, parts: Sequence[Part], plan: FeaturePlan, key: Sequence[str]
) -> list[int]:
    """Return the rows that each part must write. Runs one Spark job when train rows are repeated."""
    from penstock.spark import map_tasks

    times = _times(plan)
    rows = [part.rows.stop - part.rows.start for part in parts]
    if not times:
        return rows
    text = plan.to_json()
    columns = list(dict.fromkeys((plan.label.column, *key)))

    def count(part: Part, _attempt: int) -> int:
        total, first, fitted = 0, part.rows.start, _plan(text)
        for batch in part.rows.batches(columns, batch_rows=MAX_BATCH_ROWS):
            where = Where(table=f"curated/split={part.split}", first_row=first)
            total += int(
                balance.copies(_key(batch, key), fitted.labels(batch, where=where), times).sum()
            )
            first += batch.num_rows
        return total

    train = [index for index, part in enumerate(parts) if part.split == "train"]
    counted = map_tasks(session, [parts[i] for i in train], count, what="convert: copies")
    for index, total in zip(train, counted, strict=True):
        rows[index] = total
    return rows


def _check_counts(parts: Sequence[Part], shards: Sequence[Shard], expected: Sequence[int]) -> None:
    for part, shard, rows in zip(parts, shards, expected, strict=True):
        if shard.rows != rows:
            raise DataError(
                f"{part.prefix_uri}{shard.name} has {shard.rows:,} rows, its part of the source makes "
                f"{rows:,}\n  no manifest is made; run convert again"
            )


def _key(batch: Any, key: Sequence[str]) -> list[Any]:
    return [batch.column(name) for name in key]


def _batch_rows(plan: FeaturePlan) -> int:
    """Return how many rows to encode at a time, in bounded memory."""
    row_bytes = plan.width * 4 if plan.layout == "dense" else plan.row_bytes * 2
    return int(min(MAX_BATCH_ROWS, max(MIN_BATCH_ROWS, BATCH_BYTES // max(row_bytes, 1))))


@lru_cache(maxsize=1)
def _plan(text: str) -> FeaturePlan:
    """Return the plan; parsed once per worker process, not once per task."""
    return FeaturePlan.from_json(text)


def _coded(plan: FeaturePlan, keys: Sequence[str]) -> list[str]:
    """Return the columns of texts that are read as names, and as nothing else."""
    uses = Counter(name for column in plan.columns for name in column.inputs)
    uses.update((plan.label.column, *keys))
    return [
        column.name
        for column in plan.columns
        if isinstance(column, CategoricalColumn)
        and column.type in ("string", "large_string")
        and uses[column.name] == 1
    ]


def _encoded(
    part: Part, plan: FeaturePlan, batch_rows: int, key: Sequence[str]
) -> Iterator[tuple[Any, Any]]:
    train = part.split == "train"
    times = _times(plan) if train else ()
    keys = (*(plan.fold_columns if train else ()), *(key if times else ()))
    columns = list(dict.fromkeys((*plan.input_columns, plan.label.column, *keys)))
    row = part.rows.start
    for batch in part.rows.batches(columns, batch_rows=batch_rows, coded=_coded(plan, keys)):
        where = Where(table=f"curated/split={part.split}", first_row=row)
        features = plan.encode(batch, training=train, where=where)
        labels = plan.labels(batch, where=where)
        row += batch.num_rows
        if not times:
            yield features, labels
            continue
        cells = _key(batch, key)
        order = balance.repeated(cells, balance.copies(cells, labels, times))
        for start in range(0, len(order), batch_rows):
            taken = order[start : start + batch_rows]
            yield features[taken], labels[taken]
