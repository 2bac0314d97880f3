"""Results where Athena puts them: ``<id>.csv`` of a SELECT, ``<id>.txt`` of DDL, ``<id>-manifest.csv``.

A CSV is written as DuckDB makes it, line by line in SQL, and read back for GetQueryResults one page at
a time; a page's token is the byte at which the next one begins.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from penstock import storage
from penstock.local.athena.engine import Engine, Output, wrapped
from penstock.local.athena.textsql import athena_text, csv_line

__all__ = ["page", "write_csv", "write_manifest", "write_text"]

BLOCK_BYTES = 1 << 20
# A cell: in quotes with doubled ones inside, or nothing.
CELL = re.compile(rb'(?:"((?:[^"]|"")*)"|())([,\n])')


def write_csv(engine: Engine, sql: str, outputs: Sequence[Output], uri: str) -> int:
    """Run a SELECT and write its result; return the rows.

    Memory: a few batches, and 24 MiB of the upload.
    """
    line = csv_line([athena_text(each.value, each.type) for each in outputs])
    rows = 0
    with storage.open_output(uri) as out:
        out.write(_header([each.name for each in outputs]))
        for batch in engine.stream(wrapped(sql, list(outputs), f"{line} AS line")):
            rows += batch.num_rows
            for content in contents(batch.column(0)):
                out.write(content)
    write_metadata(uri, [each.type.info(each.name) for each in outputs])
    return rows


def contents(lines: pa.Array) -> Iterator[bytes]:
    """Yield the bytes of lines that end with a line end, as they lie in memory."""
    lines = lines.cast(pa.large_string())
    ends = memoryview(lines.buffers()[1]).cast("q")
    data = lines.buffers()[2]
    if data is not None and len(lines):
        first, last = ends[lines.offset], ends[lines.offset + len(lines)]
        yield bytes(memoryview(data)[first:last])


def _header(names: Sequence[str]) -> bytes:
    return (",".join('"' + name.replace('"', '""') + '"' for name in names) + "\n").encode()


def write_text(uri: str, lines: Sequence[str], columns: Sequence[dict[str, Any]]) -> None:
    """Write the result of DDL: lines, cells divided by tabs."""
    storage.write_bytes(uri, "".join(f"{line}\n" for line in lines).encode())
    write_metadata(uri, columns)


def write_metadata(uri: str, columns: Sequence[dict[str, Any]]) -> None:
    """Write what lies beside every result; Athena's own form of it is not documented."""
    storage.write_bytes(f"{uri}.metadata", json.dumps({"columns": list(columns)}).encode())


def write_manifest(uri: str, files: Sequence[str]) -> None:
    """Write the list of the files that a statement made."""
    storage.write_bytes(uri, "".join(f"{file}\n" for file in files).encode())


def page(uri: str, at: int, rows: int, width: int) -> tuple[list[dict[str, Any]], int | None]:
    """Return up to ``rows`` rows from byte ``at`` of a CSV, and where the next begin; None at the end.

    Raises:
        ServiceError: The result is no longer there.
    """
    system, path = storage.filesystem(uri)
    found: list[dict[str, Any]] = []
    with system.open_input_file(path) as stream:
        size = stream.size()
        stream.seek(at)
        rest = b""
        place = at
        while len(found) < rows and (block := stream.read(BLOCK_BYTES)):
            rest += block
            made, used = _rows(rest, width, rows - len(found))
            found += made
            rest, place = rest[used:], place + used
    return found, (place if place < size else None)


def _rows(content: bytes, width: int, most: int) -> tuple[list[dict[str, Any]], int]:
    """Return the whole rows at the head of some content, and how many bytes they take."""
    made: list[dict[str, Any]] = []
    used = at = 0
    cells: list[dict[str, str]] = []
    while len(made) < most and at < len(content):
        found = CELL.match(content, at)
        if found is None:
            break
        at = found.end()
        text = found[1]
        cells.append({} if text is None else {"VarCharValue": text.replace(b'""', b'"').decode()})
        if found[3] == b"\n" and len(cells) == width:
            made.append({"Data": cells})
            cells, used = [], at
    return made, used


def text_rows(uri: str, width: int) -> list[dict[str, Any]]:
    """Return the rows of a text result."""
    lines = storage.read_bytes(uri).decode().split("\n")[:-1]
    return [
        {"Data": [{"VarCharValue": cell} for cell in (line.split("\t") if width > 1 else [line])]}
        for line in lines
    ]
