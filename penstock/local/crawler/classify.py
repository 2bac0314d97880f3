"""The classifiers in Glue's order: custom ones as listed, then avro, orc, parquet, json, csv.

The first that recognises a file decides. XML, BSON, Ion and the log formats, which Glue has built in, are
not done: an XML, BSON or Ion file is refused, so that no table says of it what is not so. Any other file
is ``UNKNOWN``, as with Glue, and so is a corrupt one, with a note of what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from penstock.errors import DataError, NotEmulatedError
from penstock.local.crawler import avroformat, csvformat, footers, jsonformat
from penstock.local.crawler.csvformat import CsvRules
from penstock.local.crawler.found import Finding, Kind
from penstock.local.crawler.jsonformat import JsonPath
from penstock.local.crawler.samples import MIB, Ahead, Opener, Sample, take

__all__ = ["UNKNOWN", "CustomClassifier", "classify"]

UNKNOWN = "UNKNOWN"
BINARY: tuple[tuple[bytes, Callable[[Any, int], Finding | None]], ...] = (
    (avroformat.MAGIC, avroformat.classify),
    (footers.ORC_MAGIC, footers.classify_orc),
    (footers.PARQUET_MAGIC, footers.classify_parquet),
)
NOT_DONE: tuple[tuple[bytes, str], ...] = (
    (b"<?xml", "XML"),
    (b"\xe0\x01\x00\xea", "Ion"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class CustomClassifier:
    """One that a crawler names.

    Attributes:
        name: Of it.
        rules: Of CSV, or where the records of JSON are.
    """

    name: str
    rules: CsvRules | JsonPath


def classify(
    uri: str, size_bytes: int, opener: Opener, custom: Sequence[CustomClassifier] = ()
) -> Finding:
    """Return what a file is. Reads its footer, or its first MiB, decompressed; of JSON up to 10 MiB.

    Args:
        uri: Of the file.
        size_bytes: Its length.
        opener: Opens it.
        custom: Tried before the built-in ones.

    Raises:
        FileNotFoundError: It is gone.
        NotEmulatedError: Glue would know it, and the local plane does not.
    """
    try:
        found = _recognised(uri, size_bytes, opener, custom)
    except DataError as error:
        return Finding(kind=Kind(classification=UNKNOWN), columns=(), notes=(f"corrupt: {error}",))
    return found or Finding(kind=Kind(classification=UNKNOWN), columns=(), notes=("unknown",))


def _recognised(
    uri: str, size_bytes: int, opener: Opener, custom: Sequence[CustomClassifier]
) -> Finding | None:
    def sampled(limit_bytes: int) -> Sample:
        with opener(uri) as again:
            return take(again, size_bytes, limit_bytes)

    with opener(uri) as opened:
        stream = Ahead(opened, MIB, size_bytes)
        head = stream.head
        for magic, binary in BINARY:
            if head.startswith(magic) and (found := binary(stream, size_bytes)) is not None:
                return found
        sample = take(stream, size_bytes, MIB)
    _refuse_not_done(uri, sample.data)
    for each in custom:
        if isinstance(each.rules, CsvRules):
            found = csvformat.classify(sample, each.rules)
        else:
            found = jsonformat.classify(sample, each.rules, more=sampled)
        if found is not None:
            return found
    found = jsonformat.classify(sample, more=sampled) or csvformat.classify(sample)
    if found is None and (reason := csvformat.ragged(sample)):
        raise DataError(f"it looks like CSV, and is none: {reason}")
    return found


def _refuse_not_done(uri: str, data: bytes) -> None:
    start = data.removeprefix(b"\xef\xbb\xbf").lstrip()
    for magic, name in NOT_DONE:
        if start.startswith(magic):
            raise NotEmulatedError(
                "glue",
                "StartCrawler",
                f"{uri} is {name}, and there is no classifier of {name}\n"
                "  leave it out with a pattern in Exclusions of the crawler's target",
            )
