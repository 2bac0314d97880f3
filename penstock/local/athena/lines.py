"""Lines of text objects as Arrow arrays, block by block; gzip, bzip2 and zstd by their names."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from penstock.local.athena.errors import QueryError
from penstock.local.athena.meter import Meter, streamed

__all__ = ["batches"]

BLOCK_BYTES = 4 << 20
LONGEST_LINE_BYTES = 128 << 20
CODECS = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd", ".lz4": "lz4"}


def batches(uri: str, meter: Meter, *, skip: int) -> Iterator[pa.StringArray]:
    """Yield the lines of a text object without their ends, about 4 MiB at a time.

    Args:
        uri: Of the object.
        meter: Counts what is read.
        skip: Lines at the head that are left out.

    Raises:
        QueryError: A line is longer than 128 MiB, or the object is not what its name says.
    """
    codec = next((name for end, name in CODECS.items() if uri.endswith(end)), None)
    rest = b""
    with _opened(uri, meter, codec) as stream:
        while True:
            try:
                block = stream.read(BLOCK_BYTES)
            except (OSError, pa.ArrowInvalid) as error:
                raise QueryError(
                    f"HIVE_CURSOR_ERROR: Failed to read file at {uri}: {error}"
                ) from error
            if not block:
                break
            cut = block.rfind(b"\n") + 1
            if not cut:
                rest += block
                if len(rest) > LONGEST_LINE_BYTES:
                    raise QueryError(
                        f"HIVE_CURSOR_ERROR: Line too long in text file: {uri}, "
                        f"more than {LONGEST_LINE_BYTES} bytes"
                    )
                continue
            lines, rest = _lines(rest + block[:cut]), block[cut:]
            dropped = min(skip, len(lines))
            skip -= dropped
            yield lines.slice(dropped)
    if rest:
        yield _lines(rest + b"\n").slice(min(skip, 1))


def _opened(uri: str, meter: Meter, codec: str | None) -> pa.NativeFile:
    stream = streamed(uri, meter)
    return stream if codec is None else pa.CompressedInputStream(stream, codec)


def _lines(content: bytes) -> pa.StringArray:
    """Return the lines of bytes that end with a line end."""
    try:
        content.decode()
    except UnicodeDecodeError:
        content = content.decode(errors="replace").encode()
    ends = np.flatnonzero(np.frombuffer(content, np.uint8) == ord("\n")) + 1
    offsets = np.concatenate([[0], ends]).astype(np.int32)
    lines = pa.StringArray.from_buffers(len(ends), pa.py_buffer(offsets), pa.py_buffer(content))
    return pc.utf8_rtrim(lines, characters="\r\n")
