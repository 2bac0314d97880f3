"""The two small files that describe a dataset: dataset.json, and the manifest that lists its shards.

The manifest is ``[{"prefix": ...}, "part-00000-0.rec", ...]``. SageMaker wants an absolute prefix
and gets it on S3. On a local disk nobody but Penstock reads it: there the prefix is relative to
the manifest's folder (``train/``), so that the same run in two folders writes the same bytes and
a folder may be moved. dataset.json holds no path, time or host for the same reason.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from penstock import storage
from penstock.errors import DataError, InputError, MissingFileError, listed

__all__ = [
    "SHARD_NAME",
    "Dataset",
    "Layout",
    "Place",
    "Shard",
    "described",
    "description_bytes",
    "manifest_bytes",
    "open_dataset",
]

FORMAT = 2
SHARD_NAME = re.compile(r"part-(\d{5,})-(\d+)\.rec")

Layout = Literal["dense", "sparse"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Shard:
    """One file of a dataset, as the task that wrote it saw it.

    Attributes:
        name: ``part-<part>-<attempt>.rec``, relative to the prefix.
        rows: How many records it has.
        size_bytes: How long it is.
        xxh128: XXH3-128 of its bytes, hexadecimal. It finds damage, it is no proof against forgery;
            SHA-256 took a quarter of a writer's time.
        label_min: Smallest finite label; None without rows or labels.
        label_max: Largest finite label; None without rows or labels.
    """

    name: str
    rows: int
    size_bytes: int
    xxh128: str
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
class Place:
    """Where the files of a dataset stand; absolute URIs."""

    prefix: str
    manifest: str
    description: str

    @classmethod
    def of(cls, prefix_uri: str) -> Place:
        """Return the place of a prefix.

        Raises:
            InputError: It is a root, or a folder of one: nothing could stand beside it.
        """
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


def description_bytes(dataset: Dataset) -> bytes:
    """Return the content of dataset.json."""
    body = {"format": FORMAT, **asdict(dataset)}
    del body["uri"], body["manifest_uri"]
    return (json.dumps(body, indent=1, ensure_ascii=False) + "\n").encode()


def manifest_bytes(place: Place, shards: Sequence[Shard]) -> bytes:
    """Return the content of the manifest."""
    entries = [{"prefix": place.manifest_prefix()}, *(shard.name for shard in shards)]
    return (json.dumps(entries, indent=0, ensure_ascii=False) + "\n").encode()


def open_dataset(prefix_uri: str) -> Dataset:
    """Return the dataset at a prefix. Reads its two small files, not the shards.

    Raises:
        InputError: There is no manifest, or it states another prefix.
        DataError: dataset.json is missing, damaged, or lists other shards than the manifest.
    """
    place = Place.of(prefix_uri)
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
    dataset = described(place)
    if (found := tuple(shard.name for shard in dataset.shards)) != names:
        raise DataError(
            f"{place.description} lists {len(found)} shards ({listed(found, 3)}), the "
            f"manifest lists {len(names)} ({listed(names, 3)})\n"
            "  the two are not of one run: delete both, then run: penstock convert SPEC"
        )
    return dataset


def _listed_names(place: Place, entries: Any) -> tuple[str, ...]:
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


def described(place: Place) -> Dataset:
    """Return what dataset.json says.

    Raises:
        DataError: It is missing or damaged.
    """
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
