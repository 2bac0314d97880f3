"""base x sides -> rows: one row per key, split, and shuffled by hash, as Parquet.

    sources --read--> typed rows --check--> unique keys --left joins--> derive, where, drop
            --split--> side --hash of the key--> order --> curated/<pipeline>/<run>/split=.../part-*.parquet

The row count never changes but for ``where`` and the gap of a split by time: a side whose key repeats
is refused before the join, because a doubled customer is worse than a stopped job. ``penstock.split``
places the rows, a hash of the key orders them, so the same input gives the same files, whatever is
retried. What the sides share is looked for in what was written, before table.json makes it a table.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from penstock import joins, leaks, quarantine, sources, storage
from penstock.curated import SPLITS, Curated, CuratedFile
from penstock.errors import DataError, EmptyTableError, InputError
from penstock.spark import map_tasks, named, sql_expression
from penstock.spec import Spec
from penstock.split import SIDE, Placed, group_nulls, hash_column, placed

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

__all__ = ["Merged", "merge", "plan_merge"]

ORDER, SPLIT = "__order", SIDE
ORDER_SALT = "order"  # another salt than the split's: the order within a split is then free of it
FILES_PER_TASK = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class Merged:
    """What a merge wrote and counted.

    Attributes:
        curated: The table.
        record: Counts for the report: ``rows``, ``splits``, ``joins``, ``sources``, ``notes``, ``split``
            (what decided), ``leaks`` (what the sides share) and ``warnings``.
    """

    curated: Curated
    record: dict[str, Any]


def merge(
    session: SparkSession,
    spec: Spec,
    *,
    inputs: Mapping[str, str],
    quarantine_uri: str,
    target: str,
) -> Merged:
    """Join the sources onto the base and write the curated table.

    Runs, for each source, the jobs of :func:`penstock.sources.read` and one to count; one per join
    to check its key and two to count what meets; one to check the base's key; those of
    :func:`penstock.split.placed`; one to write, and two or three to read back what was written and to
    look for leaks. Nothing is collected but counts.

    Args:
        session: Spark.
        spec: The pipeline.
        inputs: URI of each source.
        quarantine_uri: Folder of the malformed rows, one folder per source below it.
        target: Folder of the curated table; what stands there is removed.

    Raises:
        InputError: A file or column is missing, types do not meet, an expression does not fit.
        DataError: A table is empty, a key repeats, too many rows are malformed, a row has no side, or a
            side knows of another and split.on_leak is refuse.
    """
    tables = _read(session, spec, inputs)
    try:
        counts = {}
        for name, table in tables.items():
            with named(session, f"check {name}"):
                where = storage.join(quarantine_uri, name)
                counts[name] = quarantine.check(table, spec.sources[name], where)
        base_rows = counts[spec.merge.base]["rows"]
        with named(session, "keys"):
            checked = [joins.checked(spec, tables, join) for join in spec.merge.joins]
            joins.base_key(spec, tables[spec.merge.base].rows)
        with named(session, "count what meets"):
            met = joins.meet(spec, tables, checked, base_rows=base_rows)
        rows = finish(spec, joined(spec, tables))
        sided = placed(rows, spec)
        with named(session, "join and write"):
            curated = _write(session, spec, sided, target, base_rows=base_rows)
        written = session.read.parquet(target)
        group_nulls(written, spec.split)
        with named(session, "leaks"):
            found = leaks.between_sides(written, spec)
        warnings = leaks.told(found, spec.split)
        curated.save()
    finally:
        for table in tables.values():
            table.release()
    kept, gap = sum(file.rows for file in curated.files), sided.record.get("gap_rows")
    rows_ = {"base": base_rows, "curated": kept, "filtered": base_rows - kept - (gap or 0)}
    record = {
        "rows": rows_ if gap is None else rows_ | {"gap": gap},
        "splits": {split: curated.rows(split) for split in SPLITS},
        "joins": met,
        "sources": [
            {"name": name, "files": table.files, "bytes": table.size_bytes, **counts[name]}
            for name, table in tables.items()
        ],
        "notes": [*(note for table in tables.values() for note in table.notes), *sided.notes],
        "split": dict(sided.record),
        "leaks": [finding.body() for finding in found],
        "warnings": warnings,
    }
    return Merged(curated=curated, record=record)


def _read(session: SparkSession, spec: Spec, inputs: Mapping[str, str]) -> dict[str, sources.Table]:
    tables = {}
    for name, uri in inputs.items():
        with named(session, f"read {name}"):
            tables[name] = sources.read(session, name, spec.sources[name], uri)
    return tables


def joined(spec: Spec, tables: Mapping[str, sources.Table]) -> DataFrame:
    """Return the base with every side left-joined onto it, in order. Lazy.

    The columns of a side come out as ``<source>__<column>``; its key columns are the base's.
    """
    from pyspark.sql import functions as F

    rows = tables[spec.merge.base].rows
    for join in spec.merge.joins:
        side = joins.latest(join, tables[join.source].rows)
        keys = join.key_pairs()
        names = [f"__key{i}" for i in range(len(keys))]
        theirs = {right for _, right in keys}
        taken = [c for c in join.columns or side.columns if c not in theirs]
        side = side.select(
            *[
                F.col(f"`{right}`").alias(name)
                for (_, right), name in zip(keys, names, strict=True)
            ],
            *[F.col(f"`{c}`").alias(f"{join.source}__{c}") for c in taken],
        )
        on = joins.equal([left for left, _ in keys], names)
        rows = rows.join(side, on, "left").drop(*names)
    return rows


def finish(spec: Spec, rows: DataFrame) -> DataFrame:
    """Return the rows derived, filtered and trimmed as the spec says. Lazy.

    Raises:
        InputError: An expression does not parse or does not fit, or a column's name is taken.
        MissingColumnsError: The label, a key, a feature or a dropped column is not there.
    """
    for name, text in spec.merge.derive.items():
        rows = rows.withColumn(name, sql_expression(rows, text, where=f"merge.derive.{name}"))
    if spec.merge.where is not None:
        rows = rows.filter(sql_expression(rows, spec.merge.where, where="merge.where"))
    features = [column for group in spec.features for column in group.columns]
    split = [*(spec.split.columns or ()), *spec.split.watch]
    split += [spec.split.column] if spec.split.column else []
    needed = [*spec.merge.key, *split, spec.label.column, *features]
    joins.have("merge", rows, [*needed, *spec.merge.drop])
    dropped = [column for column in needed if column in spec.merge.drop]
    if dropped:
        raise InputError(
            f"merge.drop names {dropped[0]!r}, which the key, the split, the label or a feature needs\n"
            "  take it out of merge.drop, or out of these"
        )
    rows = rows.drop(*spec.merge.drop)
    if clash := [name for name in (ORDER, SPLIT) if name in rows.columns]:
        raise InputError(
            f"merge: column {clash[0]!r} has a name that the curated table needs for itself\n"
            "  rename it: derive a column of another name and drop this one"
        )
    return rows


def plan_merge(
    session: SparkSession, spec: Spec, inputs: Mapping[str, str]
) -> tuple[dict[str, sources.Table], DataFrame]:
    """Return the sources as they would be read and the rows as they would be merged; writes nothing."""
    tables = _read(session, spec, inputs)
    for join in spec.merge.joins:
        joins.typed_alike(spec, tables, join)
    return tables, finish(spec, joined(spec, tables))


def _write(
    session: SparkSession, spec: Spec, sided: Placed, target: str, *, base_rows: int
) -> Curated:
    """Write the rows by split, in hash order, and read them back; without table.json as yet."""
    columns = [name for name in sided.rows.columns if name != SPLIT]
    key = list(spec.merge.key)
    rows = sided.rows.filter(f"{SPLIT} is not null")
    placed = rows.withColumn(ORDER, hash_column(key, salt=ORDER_SALT))
    files = max(1, -(-base_rows // spec.merge.rows_per_file))
    # Placed by the hash alone: the partition of a row depends on no other row and on no machine.
    placed = placed.repartition(files, ORDER).sortWithinPartitions(
        SPLIT, ORDER, *[f"`{name}`" for name in key]
    )
    storage.delete_prefix(target)
    placed.select(*[f"`{c}`" for c in columns], SPLIT).write.mode("overwrite").partitionBy(
        SPLIT
    ).parquet(target)
    curated = _read_back(session, target, columns, key)
    if not curated.files:
        raise EmptyTableError(
            "curated", f"merge.where keeps none of {base_rows:,} rows: {spec.merge.where!r}"
        )
    return curated


def _read_back(session: SparkSession, target: str, columns: list[str], key: list[str]) -> Curated:
    """Return the table that stands at ``target``, from its files' footers and a hash of its rows.

    Counted from what was written, not while writing: a retried task would be counted twice.
    """
    from pyspark.sql import functions as F

    uris = [f.uri for f in storage.glob_files(target) if f.uri.endswith(".parquet")]
    groups = [uris[i : i + FILES_PER_TASK] for i in range(0, len(uris), FILES_PER_TASK)]
    footers = [f for group in map_tasks(session, groups, _footers, what="footers") for f in group]
    files = sorted(
        (
            CuratedFile(
                path=_below(target, f["uri"]),
                split=_split_of(f["uri"]),
                rows=f["rows"],
                size_bytes=f["size_bytes"],
            )
            for f in footers
            if f["rows"]
        ),
        key=lambda file: (SPLITS.index(file.split), file.path),
    )
    if not files:
        return Curated(uri=target, files=(), key=tuple(key), columns=())
    written = session.read.parquet(target)
    hashed = written.select(F.xxhash64(*[f"`{c}`" for c in [*columns, SPLIT]]).alias("h"))
    sums = hashed.agg(F.count("h"), F.expr("bit_xor(h)"), F.sum(F.expr("h % 2147483647"))).first()
    if sums is None or sums[0] != sum(file.rows for file in files):
        raise DataError(
            f"curated table {target!r}: footers count {sum(f.rows for f in files)} rows, reading "
            f"gives {sums and sums[0]}\n  another job writes there at the same time; run one, again"
        )
    layout = [(file.split, file.rows) for file in files]
    types = tuple((c["name"], c["type"]) for c in footers[0]["columns"])
    content = json.dumps([list(sums), layout, types, key]).encode()
    return Curated(
        uri=target,
        files=tuple(files),
        key=tuple(key),
        columns=types,
        digest=hashlib.sha256(content).hexdigest(),
    )


def _below(target: str, uri: str) -> str:
    return uri.removeprefix(storage.normal(target).rstrip("/") + "/")


def _split_of(uri: str) -> str:
    return uri.rsplit("/", 2)[1].removeprefix(f"{SPLIT}=")


def _footers(uris: list[str], attempt: int) -> list[dict[str, Any]]:
    """Return rows, size and columns of Parquet files, from their footers."""
    import pyarrow.parquet as pq

    found = []
    for uri in uris:
        system, path = storage.filesystem(uri)
        with system.open_input_file(path) as stream:
            parquet = pq.ParquetFile(stream)
            found.append(
                {
                    "uri": uri,
                    "rows": parquet.metadata.num_rows,
                    "size_bytes": stream.size(),
                    "columns": [
                        {"name": f.name, "type": str(f.type)} for f in parquet.schema_arrow
                    ],
                }
            )
    return found
