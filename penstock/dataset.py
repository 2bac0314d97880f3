"""A dataset: one split as RecordIO shards, and the manifest whose creation makes it exist.

    datasets/<pipeline>/<run>/train/part-00000-0.rec    shards: part number, attempt number
                              train.dataset.json        what the shards hold, with checksums
                              train.manifest            SageMaker ManifestFile, created last

Exactly once. A task attempt writes files of its own and returns their entries; it never renames
or replaces. The driver keeps one attempt of each part, compares the row total with the source,
deletes what other attempts left, and only then creates the manifest, if there is none. So a
killed task, a speculative twin or a lost driver leaves either no dataset or the whole one, and
the listed bytes are those of a quiet run. One driver at a time may commit to a prefix.

The manifest is ``[{"prefix": ...}, "part-00000-0.rec", ...]``. SageMaker wants an absolute prefix
and gets it on S3. On a local disk nobody but Penstock reads it: there the prefix is relative to
the manifest's folder (``train/``), so that the same run in two folders writes the same bytes and
a folder may be moved. dataset.json holds no path, time or host for the same reason.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from penstock import recordio, storage
from penstock.errors import DataError, InputError, MissingFileError, listed

__all__ = [
    "Dataset",
    "Shard",
    "commit",
    "open_dataset",
    "shard_count",
    "sweep",
    "verify",
    "write_shard",
]

FORMAT = 1
HASH_CHUNK_BYTES = 1 << 20
_SHARD_NAME = re.compile(r"part-(\d{5,})-(\d+)\.rec")

Layout = Literal["dense", "sparse"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Shard:
    """One file of a dataset, as the task that wrote it saw it.

    Attributes:
        name: ``part-<part>-<attempt>.rec``, relative to the prefix.
        rows: How many records it has.
        size_bytes: How long it is.
        sha256: Of its bytes, hexadecimal.
        label_min: Smallest label; None without rows or labels.
        label_max: Largest label; None without rows or labels.
    """

    name: str
    rows: int
    size_bytes: int
    sha256: str
    label_min: float | None
    label_max: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Dataset:
    """A committed dataset.

    Attributes:
        uri: Prefix of the shards, absolute, ends with ``/``.
        manifest_uri: The manifest.
        shards: In the order of the manifest.
        rows: Of all shards.
        size_bytes: Of all shards.
        width: Columns of a row.
        layout: How rows are encoded.
        task: What the labels are for.
        classes: Class names in the order of their labels; None for regression.
        plan_sha256: Of the plan that made the features.
        names: One per column.
    """

    uri: str
    manifest_uri: str
    shards: tuple[Shard, ...]
    rows: int
    size_bytes: int
    width: int
    layout: Layout
    task: str
    classes: tuple[Any, ...] | None
    plan_sha256: str
    names: tuple[str, ...]

    def shard_uris(self) -> tuple[str, ...]:
        """Return the absolute URI of every shard, in the order of the manifest."""
        return tuple(self.uri + shard.name for shard in self.shards)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Place:
    """Where the files of a dataset stand; absolute URIs."""

    prefix: str
    manifest: str
    description: str

    @classmethod
    def of(cls, prefix_uri: str) -> _Place:
        prefix = storage.normal(prefix_uri).rstrip("/")
        if len([part for part in prefix.partition("://")[2].split("/") if part]) < 2:
            raise InputError(
                f"{prefix_uri!r} is no prefix of a dataset, expected a folder below another, "
                "like 's3://bucket/datasets/train/'"
            )
        return cls(
            prefix=prefix + "/",
            manifest=f"{prefix}.manifest",
            description=f"{prefix}.dataset.json",
        )

    def manifest_prefix(self) -> str:
        """Return the prefix that the manifest states; see the head of this module."""
        if self.prefix.startswith("file://"):
            return self.prefix.rstrip("/").rpartition("/")[2] + "/"
        return self.prefix


def write_shard(
    prefix_uri: str, part: int, attempt: int, batches: Iterable[tuple[Any, Any]]
) -> Shard:
    """Write one shard and return its entry. Memory: one batch and its encoded bytes.

    A file that an earlier attempt left is never touched: the next free attempt number is taken.
    When a batch fails, the file goes; when the process is killed, it stays for ``sweep``.

    Args:
        prefix_uri: Prefix of the dataset.
        part: Number of the shard, from 0.
        attempt: Number of the task attempt, from 0.
        batches: ``(features, labels)``: float32 array or CSR (rows, columns), all alike in width
            and kind; float32 (rows,) or None.

    Raises:
        InputError: Batches differ in width or kind, or cannot be encoded.
        DataError: A feature or label is NaN or infinite; names row and column of the batch.
    """
    place = _Place.of(prefix_uri)
    uri = _claimed(place, part, attempt)
    rows = size_bytes = 0
    digest = hashlib.sha256()
    span: tuple[float, float] | None = None
    form: tuple[bool, int, bool] | None = None
    with ExitStack() as undo:
        undo.callback(storage.delete, uri)
        with storage.open_output(uri) as stream:
            for features, labels in batches:
                form = _same_form(form, features, labels, f"{uri}: row {rows}")
                encoded = _encoded(features, labels)
                stream.write(encoded)
                digest.update(encoded)
                rows += features.shape[0]
                size_bytes += len(encoded)
                span = _span(span, labels)
        undo.pop_all()
    low, high = span or (None, None)
    return Shard(
        name=uri.removeprefix(place.prefix),
        rows=rows,
        size_bytes=size_bytes,
        sha256=digest.hexdigest(),
        label_min=low,
        label_max=high,
    )


def _claimed(place: _Place, part: int, attempt: int) -> str:
    """Create an empty file under the first free name; nobody else gets that name."""
    while not storage.create(uri := f"{place.prefix}part-{part:05d}-{attempt}.rec", b""):
        attempt += 1
    return uri


def _same_form(
    form: tuple[bool, int, bool] | None, features: Any, labels: Any, where: str
) -> tuple[bool, int, bool]:
    found = not isinstance(features, np.ndarray), int(features.shape[1]), labels is not None
    if form not in {None, found}:
        words = [_form_words(*each) for each in (found, form or found)]
        raise InputError(f"{where} on: the batch is {words[0]}, the batches before are {words[1]}")
    return found


def _form_words(sparse: bool, width: int, labelled: bool) -> str:  # noqa: FBT001
    layout = "sparse" if sparse else "dense"
    return f"{layout} of width {width} {'with' if labelled else 'without'} labels"


def _encoded(features: Any, labels: Any) -> memoryview:
    if isinstance(features, np.ndarray):
        return recordio.encode_dense(features, labels)
    return recordio.encode_sparse(features, labels)


def _span(span: tuple[float, float] | None, labels: Any) -> tuple[float, float] | None:
    if labels is None or not labels.size:
        return span
    low, high = float(labels.min()), float(labels.max())
    return (low, high) if span is None else (min(span[0], low), max(span[1], high))


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
) -> Dataset:
    """Make a dataset of shards: check, sweep, describe, and create the manifest.

    Of a part that several attempts wrote the lowest attempt is kept. If the dataset is there
    already with equal content, it stays as it is, and these shards are swept.

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

    Raises:
        DataError: A part is missing, the row total is not the expected one, or a shard is not
            there as it was written. No manifest is made.
        InputError: A dataset with other content stands there, or a file that is no shard.
    """
    place = _Place.of(prefix_uri)
    chosen = _one_per_part(place, shards)
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
    _sweep_all_but(place, {shard.name for shard in chosen})
    storage.write_bytes(place.description, _description(dataset))
    if not storage.create(place.manifest, _manifest(place, chosen)):
        return _existing(place, dataset)
    return dataset


def _one_per_part(place: _Place, shards: Sequence[Shard]) -> tuple[Shard, ...]:
    """Return the lowest attempt of each part, by part number."""
    attempts: dict[int, list[tuple[int, Shard]]] = defaultdict(list)
    for shard in shards:
        if (found := _SHARD_NAME.fullmatch(shard.name)) is None:
            expected = "expected 'part-<part>-<attempt>.rec'"
            raise InputError(f"{place.prefix}: the name of a shard is {shard.name!r}, {expected}")
        attempts[int(found[1])].append((int(found[2]), shard))
    if missing := sorted(set(range(max(attempts, default=-1) + 1)) - attempts.keys()):
        names = listed([f"part-{part:05d}" for part in missing])
        raise DataError(
            f"{place.prefix}: of {max(attempts) + 1} parts {len(missing)} "
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
    sizes = _sizes(dataset.uri)
    for shard in dataset.shards:
        if (found := sizes.get(shard.name)) != shard.size_bytes:
            has = "is gone" if found is None else f"has {found:,} bytes"
            raise DataError(
                f"{dataset.uri}{shard.name} {has}, its task wrote {shard.size_bytes:,} bytes\n"
                "  no manifest is made; run convert again"
            )


def _sizes(prefix: str) -> dict[str, int]:
    """Return name and size of all files below a prefix."""
    return {file.uri.removeprefix(prefix): file.size_bytes for file in storage.glob_files(prefix)}


def _existing(place: _Place, dataset: Dataset) -> Dataset:
    """Return the dataset that stands there, if it has the content of this one."""
    found = open_dataset(place.prefix)
    if _content(found) != _content(dataset):
        raise InputError(
            f"{place.manifest} stands already and lists other content: {found.rows:,} rows in "
            f"{len(found.shards)} shards of plan {found.plan_sha256[:12]}, not {dataset.rows:,} rows "
            f"in {len(dataset.shards)} shards of plan {dataset.plan_sha256[:12]}\n"
            "  a dataset is never changed: choose another prefix, or delete this manifest first"
        )
    _sweep_all_but(place, {shard.name for shard in found.shards})
    return found


def _content(dataset: Dataset) -> Dataset:
    """Return the dataset without the attempt numbers of its shards."""
    shards = tuple(replace(shard, name=shard.name.rpartition("-")[0]) for shard in dataset.shards)
    return replace(dataset, shards=shards)


def _description(dataset: Dataset) -> bytes:
    body = {"format": FORMAT, **asdict(dataset)}
    del body["uri"], body["manifest_uri"]
    return (json.dumps(body, indent=1, ensure_ascii=False) + "\n").encode()


def _manifest(place: _Place, shards: Sequence[Shard]) -> bytes:
    entries = [{"prefix": place.manifest_prefix()}, *(shard.name for shard in shards)]
    return (json.dumps(entries, indent=0, ensure_ascii=False) + "\n").encode()


def open_dataset(prefix_uri: str) -> Dataset:
    """Return the dataset at a prefix. Reads its two small files, not the shards.

    Raises:
        InputError: There is no manifest, or it states another prefix.
        DataError: dataset.json is missing, damaged, or lists other shards than the manifest.
    """
    place = _Place.of(prefix_uri)
    try:
        entries = json.loads(storage.read_bytes(place.manifest))
    except MissingFileError:
        raise InputError(
            f"no manifest: {place.manifest} does not exist, and a prefix without a manifest is "
            "not a dataset\n  run: penstock convert SPEC"
        ) from None
    except ValueError as problem:
        raise DataError(f"{place.manifest} is no JSON: {problem}") from problem
    names = _listed_names(place, entries)
    dataset = _described(place)
    if (described := tuple(shard.name for shard in dataset.shards)) != names:
        raise DataError(
            f"{place.description} lists {len(described)} shards ({listed(described, 3)}), the "
            f"manifest lists {len(names)} ({listed(names, 3)})\n"
            "  the two are not of one run: delete both, then run: penstock convert SPEC"
        )
    return dataset


def _listed_names(place: _Place, entries: Any) -> tuple[str, ...]:
    match entries:
        case [{"prefix": str(prefix)}, *names] if all(isinstance(name, str) for name in names):
            folder = place.manifest.rpartition("/")[0]
            if storage.join(folder, prefix) != place.prefix:
                raise InputError(
                    f"{place.manifest} states the prefix {prefix!r}, expected {place.prefix!r}\n"
                    "  a dataset on S3 cannot be moved: run convert for the new place"
                )
            return tuple(names)
    raise DataError(
        f"{place.manifest} is no ManifestFile, expected a list of {{'prefix': ...}} and names"
    )


def _described(place: _Place) -> Dataset:
    """Return what dataset.json says."""
    try:
        body: dict[str, Any] = json.loads(storage.read_bytes(place.description))
        if (found := body.pop("format")) != FORMAT:
            raise DataError(f"{place.description} has the format {found!r}, expected {FORMAT}")
        body["shards"] = tuple(Shard(**shard) for shard in body["shards"])
        body["names"] = tuple(body["names"])
        body["classes"] = None if body["classes"] is None else tuple(body["classes"])
        return Dataset(uri=place.prefix, manifest_uri=place.manifest, **body)
    except MissingFileError:
        raise DataError(
            f"{place.description} is missing, though there is a manifest\n"
            "  delete the manifest, then run: penstock convert SPEC"
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise DataError(f"{place.description} is damaged: {problem!r}") from problem


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
        if (sha256 := _sha256(uri)) != shard.sha256:
            raise DataError(
                f"{uri}: SHA-256 is {sha256[:12]}..., expected {shard.sha256[:12]}...\n{remedy}"
            )


def _sha256(uri: str) -> str:
    digest = hashlib.sha256()
    with storage.open_input(uri) as stream:
        while chunk := stream.read(HASH_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def sweep(prefix_uri: str) -> tuple[str, ...]:
    """Delete the shards that the manifest does not list; all of them when there is none.

    Only files named like a shard are touched.

    Returns:
        The URIs of what was deleted, sorted.

    Raises:
        DataError: The manifest, or its dataset.json, is damaged. Nothing is deleted.
    """
    place = _Place.of(prefix_uri)
    kept: set[str] = set()
    if storage.exists(place.manifest):
        kept = {shard.name for shard in open_dataset(place.prefix).shards}
    return tuple(_delete(place, _orphans(_sizes(place.prefix), kept)))


def _sweep_all_but(place: _Place, kept: set[str]) -> None:
    """Delete other shards below a prefix; refuse a prefix with files that are none.

    FastFile mode reads whatever stands below the prefix, so nothing else may.
    """
    sizes = _sizes(place.prefix)
    if foreign := [name for name in sizes if not _SHARD_NAME.fullmatch(name)]:
        raise InputError(
            f"{place.prefix} has files that are no shards: {listed(foreign)}\n"
            "  move them away: training in FastFile mode would read them"
        )
    _delete(place, _orphans(sizes, kept))


def _orphans(sizes: Mapping[str, int], kept: set[str]) -> Iterator[str]:
    return (name for name in sizes if _SHARD_NAME.fullmatch(name) and name not in kept)


def _delete(place: _Place, names: Iterable[str]) -> list[str]:
    uris = [place.prefix + name for name in names]
    for uri in uris:
        storage.delete(uri)
    return uris


def shard_count(rows: int, bytes_per_row: float, shard_bytes: int, hosts: int = 1) -> int:
    """Return into how many shards to cut a dataset: none larger than asked, as many for each host.

    Args:
        rows: Rows of the dataset.
        bytes_per_row: Estimate, frame included.
        shard_bytes: Size of a shard to stay below.
        hosts: Training instances that share the shards (ShardedByS3Key); the count is a multiple.

    Raises:
        InputError: There are fewer rows than hosts: one would wait for a shard forever.

    >>> shard_count(1_000_000, 1_000, 2**28), shard_count(1_000_000, 1_000, 2**28, hosts=3)
    (4, 6)
    """
    if rows < hosts:
        raise InputError(f"{rows} rows cannot feed {hosts} hosts, expected at least one for each")
    count = -(-rows * bytes_per_row // shard_bytes)
    rounds = max(1, -(-int(count) // hosts))
    return min(rounds, rows // hosts) * hosts
