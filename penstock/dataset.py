"""A dataset: one split as RecordIO shards, and the manifest whose creation makes it exist.

    datasets/<pipeline>/<run>/train/part-00000-0.rec    shards: part number, attempt number
                              train.dataset.json        what the shards hold, with checksums
                              train.manifest            SageMaker ManifestFile, created last

Exactly once, on a local disk and on S3, by three rules.

1. A task attempt writes a file of its own and returns its entry; nothing is renamed or replaced. Its
   name is claimed by creating it, and what it writes goes to this very file: once somebody has deleted
   the file, the attempt fails, and the name does not come back.
2. The driver keeps one attempt of each part, compares the row total with the source, and creates
   dataset.json if there is none: this decides what the dataset is. It deletes all other shards, creates
   the manifest if there is none, and deletes once more what has come meanwhile. Of several drivers
   one decides; another finds its own content decided, or is refused.
3. An attempt that finishes when there is a manifest that was not there when it began withdraws its file.

So a killed task, a speculative twin or a lost driver leaves either no dataset or the whole one, and the
listed bytes are those of a quiet run. What may stay, never listed and deleted by ``sweep``: what a killed
process had written (on S3 its claim and its unfinished upload, too), and the shard of an attempt that
only began when the manifest was there, as in a second run, but whose driver is gone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import xxhash

from penstock import storage
from penstock.errors import DataError, InputError, listed
from penstock.manifest import (
    SHARD_NAME,
    Dataset,
    Layout,
    Place,
    Shard,
    described,
    description_bytes,
    manifest_bytes,
    open_dataset,
)
from penstock.shards import check_hosts, shard_count, write_shard

__all__ = [
    "Dataset",
    "Shard",
    "check_hosts",
    "commit",
    "open_dataset",
    "shard_count",
    "sweep",
    "verify",
    "write_shard",
]

HASH_CHUNK_BYTES = 1 << 20


def commit(
    prefix_uri: str,
    shards: Sequence[Shard],
    *,
    expected_rows: int,
    width: int,
    layout: Layout,
    task: str,
    classes: Sequence[Any] | None,
    plan_sha256: str,
    names: Sequence[str],
    hosts: int = 1,
    parts: Collection[int] | None = None,
) -> Dataset:
    """Make a dataset of shards: check, decide, sweep, and create the manifest.

    Of a part that several attempts wrote the lowest attempt is kept. If a dataset of equal content is
    there already, or was decided by a driver that was killed then, it is that one, and these shards are
    swept. On S3 about ten calls, and one for each 1,000 shards and each swept one.

    Args:
        prefix_uri: Prefix of the dataset.
        shards: Entries that ``write_shard`` returned, in any order.
        expected_rows: Rows of the source.
        width: Columns of a row.
        layout: How rows are encoded.
        task: What the labels are for.
        classes: Class names in the order of their labels, if any.
        plan_sha256: Of the plan that made the features.
        names: One per column.
        hosts: Training instances that will share the shards, see ``check_hosts``.
        parts: Numbers that must be there; None: all from 0 to the largest.

    Raises:
        DataError: A part is missing, the row total is not the expected one, or a shard is not
            there as it was written. No manifest is made.
        InputError: A dataset with other content stands there or is being made, or a file that is no
            shard; or the hosts cannot share the shards equally.
        ServiceError: The disk or S3 fails. Run it again: there is no manifest, or the whole dataset.
    """
    place = Place.of(prefix_uri)
    chosen = _one_per_part(place, shards, parts)
    check_hosts(place.prefix, len(chosen), hosts)
    dataset = Dataset(
        uri=place.prefix,
        manifest_uri=place.manifest,
        shards=chosen,
        rows=sum(shard.rows for shard in chosen),
        size_bytes=sum(shard.size_bytes for shard in chosen),
        width=width,
        layout=layout,
        task=task,
        classes=None if classes is None else tuple(classes),
        plan_sha256=plan_sha256,
        names=tuple(names),
    )
    _check_content(dataset, expected_rows)
    if storage.exists(place.manifest):
        return _existing(place, dataset)
    sizes = _sizes(place.prefix)
    decided = _decided(place, dataset, sizes)
    _delete(place, _orphans(sizes, decided))
    if not storage.create(place.manifest, manifest_bytes(place, decided.shards)):
        return _existing(place, dataset)
    return _settled(place, decided)


def _decided(place: Place, dataset: Dataset, sizes: Mapping[str, int]) -> Dataset:
    """Create dataset.json, or return what the one that stands there says, if it is as good as this."""
    _check_foreign(place, sizes)
    gone = _problem(dataset, sizes)
    if not gone and storage.create(place.description, description_bytes(dataset)):
        return dataset
    if storage.exists(place.description):
        found = described(place)
        problem = _problem(found, _sizes(place.prefix))
        if not problem and _content(found) == _content(dataset):
            return found
        if not gone:
            raise InputError(
                f"{place.description} stands there without a manifest, for "
                f"{'missing' if problem else 'other'} shards: another run is at work here, or was "
                f"killed\n  wait for it; if it was killed: penstock dataset sweep {place.prefix}"
            )
    raise DataError(f"{gone}\n  no manifest is made; run convert again")


def _settled(place: Place, dataset: Dataset) -> Dataset:
    """Delete what came while the manifest was made; take it back if others deleted what it lists."""
    sizes = _sizes(place.prefix)
    problem = _problem(dataset, sizes)
    if not problem and not storage.exists(place.description):
        problem = f"{place.description} is gone"
    if problem:
        storage.delete(place.manifest)
        raise DataError(
            f"{problem}: another run deleted it while the manifest was made, which is taken back\n"
            "  let one run at a time write there, then run convert again"
        )
    _sweep(place, sizes, dataset)
    return dataset


def _one_per_part(
    place: Place, shards: Sequence[Shard], parts: Collection[int] | None
) -> tuple[Shard, ...]:
    """Return the lowest attempt of each part, by part number."""
    attempts: dict[int, list[tuple[int, Shard]]] = defaultdict(list)
    for shard in shards:
        if (found := SHARD_NAME.fullmatch(shard.name)) is None:
            expected = "expected 'part-<part>-<attempt>.rec'"
            raise InputError(f"{place.prefix}: the name of a shard is {shard.name!r}, {expected}")
        attempts[int(found[1])].append((int(found[2]), shard))
    wanted = set(range(max(attempts, default=-1) + 1) if parts is None else parts)
    if missing := sorted(wanted - attempts.keys()):
        names = listed([f"part-{part:05d}" for part in missing])
        raise DataError(
            f"{place.prefix}: of {len(wanted)} parts {len(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} missing: {names}\n"
            "  no manifest is made; run convert again"
        )
    return tuple(min(attempts[part], key=lambda entry: entry[0])[1] for part in sorted(attempts))


def _check_content(dataset: Dataset, expected_rows: int) -> None:
    if dataset.rows != expected_rows:
        raise DataError(
            f"{dataset.uri}: the shards have {dataset.rows:,} rows, the source has "
            f"{expected_rows:,}\n  no manifest is made; run convert again"
        )
    if dataset.width != len(dataset.names):
        raise InputError(
            f"{dataset.uri}: {len(dataset.names)} names for {dataset.width} columns, "
            "expected one for each"
        )


def _check_foreign(place: Place, sizes: Mapping[str, int]) -> None:
    """Refuse files that are no shards: FastFile mode reads whatever stands below the prefix."""
    if foreign := [name for name in sizes if not SHARD_NAME.fullmatch(name)]:
        raise InputError(
            f"{place.prefix} has files that are no shards: {listed(foreign)}\n"
            "  move them away: training in FastFile mode would read them"
        )


def _problem(dataset: Dataset, sizes: Mapping[str, int]) -> str | None:
    """Return what is wrong with the first shard that does not stand there as it was written."""
    for shard in dataset.shards:
        if (found := sizes.get(shard.name)) != shard.size_bytes:
            has = "is gone" if found is None else f"has {found:,} bytes"
            return f"{dataset.uri}{shard.name} {has}, its task wrote {shard.size_bytes:,} bytes"
    return None


def _sizes(prefix: str) -> dict[str, int]:
    """Return name and size of all files below a prefix."""
    return {file.uri.removeprefix(prefix): file.size_bytes for file in storage.glob_files(prefix)}


def _existing(place: Place, dataset: Dataset) -> Dataset:
    """Return the dataset that stands there, if it has the content of this one."""
    found = open_dataset(place.prefix)
    if _content(found) != _content(dataset):
        raise InputError(
            f"{place.manifest} stands already and lists other content: {found.rows:,} rows in "
            f"{len(found.shards)} shards of plan {found.plan_sha256[:12]}, not {dataset.rows:,} rows "
            f"in {len(dataset.shards)} shards of plan {dataset.plan_sha256[:12]}\n"
            "  a dataset is never changed: choose another prefix, or delete this manifest first"
        )
    _sweep(place, _sizes(place.prefix), found)
    return found


def _content(dataset: Dataset) -> bytes:
    """Return what describes the dataset, without the attempt numbers of its shards."""
    shards = tuple(replace(shard, name=shard.name.rpartition("-")[0]) for shard in dataset.shards)
    return description_bytes(replace(dataset, shards=shards))


def verify(dataset: Dataset) -> None:
    """Read every shard and compare it with its entry. Memory: one chunk.

    Raises:
        DataError: A shard is gone, has another size or other bytes; names the first such one.
    """
    remedy = "  run convert again, into a fresh prefix"
    sizes = _sizes(dataset.uri)
    for shard, uri in zip(dataset.shards, dataset.shard_uris(), strict=True):
        found = sizes.get(shard.name)
        if found is None:
            raise DataError(f"{uri} is gone, though the manifest lists it\n{remedy}")
        if found != shard.size_bytes:
            raise DataError(f"{uri} has {found:,} bytes, expected {shard.size_bytes:,}\n{remedy}")
        if (found_hash := _xxh128(uri)) != shard.xxh128:
            raise DataError(
                f"{uri}: XXH128 is {found_hash[:12]}..., expected {shard.xxh128[:12]}...\n{remedy}"
            )


def _xxh128(uri: str) -> str:
    digest = xxhash.xxh3_128()
    with storage.open_input(uri) as stream:
        while chunk := stream.read(HASH_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def sweep(prefix_uri: str) -> tuple[str, ...]:
    """Delete the shards that the manifest does not list; all of them, and dataset.json, without one.

    Only files named like a shard are touched below the prefix. On S3 the unfinished uploads of such
    names are aborted: they cost money, and no listing shows them. Whoever may not list them (permission
    s3:ListBucketMultipartUploads) finds none.

    Returns:
        The URIs of what was deleted, sorted; that of an upload ends with ``?uploadId=...``.

    Raises:
        DataError: The manifest, or its dataset.json, is damaged. Nothing is deleted.
    """
    place = Place.of(prefix_uri)
    kept: Dataset | None = None
    gone: list[str] = []
    if storage.exists(place.manifest):
        kept = open_dataset(place.prefix)
    elif storage.exists(place.description):
        storage.delete(place.description)
        gone = [place.description]
    return tuple(sorted([*gone, *_sweep(place, _sizes(place.prefix), kept)]))


def _sweep(place: Place, sizes: Mapping[str, int], kept: Dataset | None) -> list[str]:
    """Delete shards and abort uploads that are not of the dataset."""
    gone = _delete(place, _orphans(sizes, kept))
    for uri, upload_id in storage.uploads(place.prefix):
        if SHARD_NAME.fullmatch(uri.removeprefix(place.prefix)):
            storage.abort_upload(uri, upload_id)
            gone.append(f"{uri}?uploadId={upload_id}")
    return gone


def _orphans(sizes: Mapping[str, int], kept: Dataset | None) -> list[str]:
    names = {shard.name for shard in kept.shards} if kept else set()
    return [name for name in sizes if SHARD_NAME.fullmatch(name) and name not in names]


def _delete(place: Place, names: Iterable[str]) -> list[str]:
    uris = [place.prefix + name for name in names]
    for uri in uris:
        storage.delete(uri)
    return uris
