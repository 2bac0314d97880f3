"""A channel: its objects, which of them a host reads in an epoch, and their bytes as the host sees them."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from penstock import storage
from penstock.errors import DataError, InputError, listed
from penstock.recordio.framing import MAGIC

__all__ = ["ALL", "CHUNK_BYTES", "RECORDIO", "Channel", "Share", "check_names"]

RECORDIO = "application/x-recordio-protobuf"

# Objects are read, and offered to a FIFO, in pieces of this size.
CHUNK_BYTES = 1 << 20

# One deflated byte gives at most 1,032: what is inflated at once stays below 68 MB.
DEFLATED_BYTES = 1 << 16

# The frame keeps 29 bits for the length.
MAX_WRAPPED_BYTES = (1 << 29) - 1


@dataclass(frozen=True, slots=True)
class Share:
    """Which host reads: number ``host`` of ``hosts``, from 0."""

    host: int = 0
    hosts: int = 1


ALL = Share()


@dataclass(frozen=True, kw_only=True, slots=True)
class Channel:
    """One input channel.

    Attributes:
        name: ``train``, ``validation``.
        uris: The objects, in order; what a manifest lists. Bytes stand for themselves.
        size_bytes: Length that each object must have; None trusts the objects.
        input_mode: How the container reads them. File copies them into the job's folder, FastFile
            links local ones and copies others.
        content_type: Told to the container; None leaves it out.
        names: Path of each object in the channel's folder; None takes the last part of its URI.
        sharded: Whether each host reads every n-th object, instead of all.
        compression: ``Gzip`` inflates each object before it enters a FIFO.
        record_wrapper: ``RecordIO`` makes each object one record of a FIFO. Such an object stands in
            memory as a whole.
        shuffle_seed: Shuffles the objects anew for every epoch; None keeps their order.
        together: So many neighbours of ``uris`` stay neighbours, whatever is shuffled or shared out.
    """

    name: str
    uris: tuple[str | bytes, ...]
    size_bytes: tuple[int, ...] | None = None
    input_mode: Literal["Pipe", "File", "FastFile"] = "Pipe"
    content_type: str | None = RECORDIO
    names: tuple[str, ...] | None = None
    sharded: bool = False
    compression: Literal["None", "Gzip"] = "None"
    record_wrapper: Literal["None", "RecordIO"] = "None"
    shuffle_seed: int | None = None
    together: int = 1

    def __post_init__(self) -> None:
        if not self.uris:
            raise InputError(f"channel {self.name!r} lists no object, expected at least one")
        if self.size_bytes is not None and len(self.size_bytes) != len(self.uris):
            raise InputError(
                f"channel {self.name!r} has {len(self.size_bytes)} sizes for {len(self.uris)} objects"
            )
        if self.names is not None and len(self.names) != len(self.uris):
            raise InputError(
                f"channel {self.name!r} has {len(self.names)} names for {len(self.uris)} objects"
            )
        plain = (self.compression, self.record_wrapper) == ("None", "None")
        if self.input_mode != "Pipe" and not (plain and self.together == 1):
            raise InputError(
                f"channel {self.name!r}: objects are inflated, wrapped or grouped only in Pipe mode, "
                f"input_mode is {self.input_mode!r}\n  leave these out, or use Pipe"
            )
        if self.input_mode != "Pipe" and any(isinstance(uri, bytes) for uri in self.uris):
            raise InputError(f"channel {self.name!r}: bytes without a URI are for Pipe mode only")

    def numbers(self, epoch: int, share: Share = ALL) -> list[int]:
        """Return the positions in ``uris`` that a host reads in an epoch, in order; may be none.

        >>> Channel(name="train", uris=("a", "b", "c"), sharded=True).numbers(0, Share(1, 2))
        [1]
        """
        groups = list(range(len(self.uris) // self.together))
        if self.shuffle_seed is not None:
            # All hosts shuffle alike, so that every object is read by one of them in each epoch.
            random.Random(f"{self.shuffle_seed}/{epoch}").shuffle(groups)  # noqa: S311  no secret
        if self.sharded:
            groups = groups[share.host :: share.hosts]
        return [group * self.together + each for group in groups for each in range(self.together)]

    def file_name(self, number: int) -> str:
        """Return the path of an object in the channel's folder."""
        if self.names is not None:
            return self.names[number]
        return PurePosixPath(str(self.uris[number])).name

    def source(self, number: int) -> str:
        """Return what messages call an object."""
        uri = self.uris[number]
        return uri if isinstance(uri, str) else f"value {number} of the manifest"

    def content(self, number: int) -> Generator[bytes]:
        """Yield an object's bytes as they enter a FIFO: checked, inflated, wrapped.

        Raises:
            MissingFileError: There is no such object.
            DataError: Its length is not that of ``size_bytes``, it is no gzip, or too long to wrap.
        """
        chunks: Iterable[bytes] = self.stored(number)
        if self.compression == "Gzip":
            chunks = _inflated(chunks, self.source(number))
        if self.record_wrapper == "RecordIO":
            chunks = _wrapped(chunks, self.source(number))
        yield from chunks

    def stored(self, number: int) -> Generator[bytes]:
        """Yield an object's bytes as they are stored.

        Raises:
            MissingFileError: There is no such object.
            DataError: Its length is not that of ``size_bytes``.
        """
        uri, count = self.uris[number], 0
        if isinstance(uri, bytes):
            yield uri
            return
        with storage.open_input(uri) as stream:
            while chunk := stream.read(CHUNK_BYTES):
                yield chunk
                count += len(chunk)
        if self.size_bytes is not None and count != self.size_bytes[number]:
            raise DataError(
                f"{uri!r} has {count} bytes, the dataset says {self.size_bytes[number]}\n"
                "  verify the dataset, then convert it again"
            )


def check_names(channels: Iterable[Channel], where: str) -> None:
    """Check that channels differ in name.

    Raises:
        InputError: Two do not.
    """
    names = [channel.name for channel in channels]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"{where}: channels given twice: {listed(repeated)}")


def _inflated(chunks: Iterable[bytes], source: str) -> Iterator[bytes]:
    """Yield the bytes of a gzip of any number of members."""
    inflater: zlib._Decompress | None = None
    for chunk in chunks:
        for start in range(0, len(chunk), DEFLATED_BYTES):
            rest = chunk[start : start + DEFLATED_BYTES]
            while rest:
                # Zeros may stand between members; tape drives left them.
                if inflater is None and not (rest := rest.lstrip(b"\0")):
                    break
                inflater = inflater or zlib.decompressobj(wbits=31)
                try:
                    yield inflater.decompress(rest)
                except zlib.error as error:
                    raise DataError(
                        f"{source!r} is no gzip: {error}\n"
                        "  set the channel's CompressionType to None, or compress the object"
                    ) from error
                rest = inflater.unused_data
                inflater = None if inflater.eof else inflater
    if inflater is not None:
        raise DataError(f"{source!r}: the gzip ends early, it was cut\n  write the object again")


def _wrapped(chunks: Iterable[bytes], source: str) -> Iterator[bytes]:
    """Yield one RecordIO record; it is never split, as readers differ in how they join the parts."""
    body = b"".join(chunks)
    if len(body) > MAX_WRAPPED_BYTES:
        raise DataError(
            f"{source!r} has {len(body)} bytes, a RecordIO record holds {MAX_WRAPPED_BYTES}\n"
            "  cut the object, or set RecordWrapperType to None"
        )
    yield struct.pack("<II", MAGIC, len(body))
    yield body
    yield bytes(-len(body) % 4)
