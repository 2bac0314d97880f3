"""One shard: written by one task attempt, under a name of its own. And how many shards there are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import xxhash

from penstock import recordio, storage
from penstock.errors import InputError, ServiceError
from penstock.manifest import Place, Shard

__all__ = ["check_hosts", "shard_count", "write_shard"]


def write_shard(
    prefix_uri: str,
    part: int,
    attempt: int,
    batches: Iterable[tuple[Any, Any]],
    *,
    allow_nonfinite: bool = False,
) -> Shard:
    """Write one shard and return its entry. Memory: one batch and its encoded bytes; on S3 24 MiB more.

    A file that an earlier attempt left is never touched: the next free attempt number is taken.
    When a batch fails, the file goes; when the process is killed, it stays for ``sweep``. On S3 five
    calls, or one for each 8 MiB and six.

    Args:
        prefix_uri: Prefix of the dataset.
        part: Number of the shard, from 0.
        attempt: Number of the task attempt, from 0.
        batches: ``(features, labels)``: float32 array or CSR (rows, columns), all alike in width
            and kind; float32 (rows,) or None.
        allow_nonfinite: Write NaN and infinity instead of refusing them.

    Raises:
        InputError: Batches differ in width or kind, or cannot be encoded.
        DataError: A feature or label is NaN or infinite; names row and column of the batch.
        ServiceError: The disk or S3 fails; the file was deleted while it was written; or the dataset
            was committed while it was written, and this file is withdrawn.
    """
    place = Place.of(prefix_uri)
    committed_before = storage.exists(place.manifest)
    with _claimed(place, part, attempt) as (uri, output):
        shard = _written(uri, output, batches, allow_nonfinite=allow_nonfinite)
    if not committed_before and storage.exists(place.manifest):
        output.abort()
        raise ServiceError(
            f"{uri}: the dataset was committed while it was written, so it is withdrawn\n"
            "  nothing is lost: the dataset has another attempt's rows of this part"
        )
    return shard


@contextmanager
def _claimed(place: Place, part: int, attempt: int) -> Iterator[tuple[str, Any]]:
    """Give the first free name, which nobody else gets, and a stream to it."""
    while True:
        uri = f"{place.prefix}part-{part:05d}-{attempt}.rec"
        with storage.open_new(uri) as output:
            if output is not None:
                yield uri, output
                return
        attempt += 1


def _written(
    uri: str, output: Any, batches: Iterable[tuple[Any, Any]], *, allow_nonfinite: bool
) -> Shard:
    rows = size_bytes = 0
    digest = xxhash.xxh3_128()
    span: tuple[float, float] | None = None
    form: tuple[bool, int, bool] | None = None
    encoder: recordio.DenseEncoder | None = None
    for features, labels in batches:
        form = _same_form(form, features, labels, f"{uri}: row {rows}")
        if not isinstance(features, np.ndarray):
            encoded = recordio.encode_sparse(features, labels, allow_nonfinite=allow_nonfinite)
        else:
            encoder = encoder or recordio.DenseEncoder(
                features.shape[1], labelled=labels is not None, allow_nonfinite=allow_nonfinite
            )
            encoded = encoder.encode(features, labels)
        output.write(encoded)
        digest.update(encoded)
        rows += features.shape[0]
        size_bytes += len(encoded)
        span = _span(span, labels)
    low, high = span or (None, None)
    return Shard(
        name=uri.rpartition("/")[2],
        rows=rows,
        size_bytes=size_bytes,
        xxh128=digest.hexdigest(),
        label_min=low,
        label_max=high,
    )


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


def _span(span: tuple[float, float] | None, labels: Any) -> tuple[float, float] | None:
    known = None if labels is None else labels[np.isfinite(labels)]
    if known is None or not known.size:
        return span
    low, high = float(known.min()), float(known.max())
    return (low, high) if span is None else (min(span[0], low), max(span[1], high))


def shard_count(
    rows: int, bytes_per_row: float, shard_bytes: int, hosts: int = 1, at_least: int = 1
) -> int:
    """Return into how many shards to cut a dataset: none larger than asked, as many for each host.

    Cut evenly (``curated.row_ranges``), the shards differ by one row at most, so that with
    ShardedByS3Key every host gets the same number of equal shards however SageMaker deals them.

    Args:
        rows: Rows of the dataset.
        bytes_per_row: Estimate, frame included.
        shard_bytes: Size of a shard to stay below, as far as there are rows to do so.
        hosts: Training instances that share the shards (ShardedByS3Key); the count is a multiple.
        at_least: Shards to make of a small dataset, too, so that all cores have work.

    Raises:
        InputError: There are fewer rows than hosts: one would wait for a shard forever.

    >>> shard_count(1_000_000, 1_000, 2**28), shard_count(1_000_000, 1_000, 2**28, hosts=3)
    (4, 6)
    """
    if rows < hosts:
        raise InputError(f"{rows} rows cannot feed {hosts} hosts, expected at least one for each")
    count = max(at_least, -int(-rows * bytes_per_row // shard_bytes))
    rounds = max(1, -(-count // hosts))
    return min(rounds, rows // hosts) * hosts


def check_hosts(prefix_uri: str, shards: int, hosts: int) -> None:
    """Refuse a number of shards that training instances cannot share equally.

    With ShardedByS3Key each instance gets whole shards. One with fewer rows than the others leaves
    them waiting at the end of every epoch; one without a shard waits forever.

    Raises:
        InputError: ``shards`` is no multiple of ``hosts``.
    """
    if hosts < 1 or shards % hosts:
        each = max(1, round(shards / max(1, hosts)))
        raise InputError(
            f"{prefix_uri}: {shards} shards for {hosts} hosts, expected a multiple of the hosts\n"
            f"  convert with {each * max(1, hosts)} shards, or train on another number of hosts"
        )
