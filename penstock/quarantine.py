"""Malformed rows, kept: quarantine/<pipeline>/<source>/ holds file, line, reason and the row itself.

Spark reads lines without their numbers. They are found afterwards, in the files that have malformed
rows and only there: one task per file counts line ends with numpy and looks the rows up by content.
"""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from penstock import storage
from penstock.errors import EmptyTableError, MalformedRowsError
from penstock.sources import CELLS, FILE, LINE, OBJECT, REASON, Table
from penstock.spec import Source

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["SCHEMA", "check"]

SCHEMA = "file string, line bigint, reason string, row string"
EXAMPLES, REASONS = 3, 10
CHUNK_BYTES = 1 << 24


def check(table: Table, source: Source, uri: str) -> dict[str, Any]:
    """Count a table's rows and put the malformed ones in quarantine at ``uri``.

    Runs one Spark job to count; with malformed rows two more, to number and write them, and to
    count their reasons.

    Returns:
        ``rows`` (well-formed), ``malformed_rows`` and ``reasons``: the first few, with their counts.

    Raises:
        EmptyTableError: There is no well-formed row.
        MalformedRowsError: Their share is past the source's limit. The quarantine is written first.
    """
    storage.delete_prefix(uri)
    good, bad = _counts(table)
    reasons: list[dict[str, Any]] = []
    if table.bad is not None and bad:
        numbered = _numbered(table.bad, source)
        numbered.write.mode("overwrite").json(uri)
        kept = numbered.sparkSession.read.schema(SCHEMA).json(uri)
        reasons = _reasons(kept)
        if bad > source.max_malformed_share * (good + bad):
            shown = kept.orderBy("file", "line").limit(EXAMPLES).collect()
            examples = tuple(f"{row['file']} line {row['line']}: {row['reason']}" for row in shown)
            raise MalformedRowsError(
                table.name, bad, good + bad, source.max_malformed_share, uri, examples
            )
    if not good:
        remedy = (
            f"the {table.files} files of sources.{table.name}.path hold headers or blank lines only"
        )
        raise EmptyTableError(table.name, remedy)
    return {"rows": good, "malformed_rows": bad, "reasons": reasons}


def _counts(table: Table) -> tuple[int, int]:
    """Return the well-formed and the malformed rows. One Spark job, which also fills the cache."""
    from pyspark.sql import functions as F

    if table.bad is None:
        return table.everything.count(), 0
    reasons = table.everything.agg(F.count(F.lit(1)), F.count(REASON)).first()
    return (0, 0) if reasons is None else (reasons[0] - reasons[1], reasons[1])


def _reasons(kept: DataFrame) -> list[dict[str, Any]]:
    """Return the most frequent reasons; the offending value is left out, so that they group."""
    from pyspark.sql import functions as F

    kind = F.regexp_replace("reason", "^(column '.*'): '.*' is not (\\w+)$", "$1: not $2")
    counts = kept.groupBy(kind.alias("reason")).count()
    most = counts.orderBy(F.desc("count"), "reason").limit(REASONS).collect()
    return [{"reason": row["reason"], "rows": row["count"]} for row in most]


def _numbered(bad: DataFrame, source: Source) -> DataFrame:
    """Return the malformed rows with their line numbers; one task per file with such rows. Lazy."""
    separator, is_csv = source.separator, source.format == "csv"

    def locate(frame: Any) -> Any:
        uri = _local(frame[FILE].iloc[0])
        texts = frame[[LINE, REASON]].drop_duplicates(LINE)
        # A text with bytes that are not UTF-8 is not found again: it is kept without its number.
        found = texts.merge(_positions(uri, texts[LINE].tolist()), on=LINE, how="left")
        found["row"] = found[LINE].str.rstrip("\r")
        broken = found[REASON].isin((CELLS, OBJECT))
        header = _first_line(uri) if is_csv and broken.any() else ""
        found.loc[broken, REASON] = [
            _broken(row, separator, header) if is_csv else "not a JSON object on one line"
            for row in found.loc[broken, "row"]
        ]
        found["file"] = uri
        found["reason"] = found[REASON]
        return found[["file", "line", "reason", "row"]]

    return bad.groupBy(FILE).applyInPandas(locate, SCHEMA)


def _local(uri: str) -> str:
    """Return Spark's spelling of a file's URI as ours: file:///x, %20 undone, s3a as s3."""
    if uri.startswith("file:"):
        return "file:///" + unquote(uri.removeprefix("file:").lstrip("/"))
    return storage.normal(uri)


def _first_line(uri: str) -> str:
    system, path = storage.filesystem(uri)
    with system.open_input_stream(path) as stream:
        head = bytes(stream.read(1 << 16)).split(b"\n", 1)[0]
    return head.decode("utf-8-sig", errors="replace")


def _broken(row: str, separator: str, header: str) -> str:
    if row.count('"') % 2:
        return "a quote is not closed on the line"
    cells = len(next(csv.reader([row], delimiter=separator)))
    expected = len(next(csv.reader([header], delimiter=separator)))
    return f"{cells} {'cell' if cells == 1 else 'cells'}, expected {expected}"


def _positions(uri: str, texts: list[str]) -> Any:
    """Return a frame of ``(text, line number)`` for every line of a file that is one of ``texts``.

    Lines are cut and compared as Arrow arrays over the file's own bytes, a chunk at a time.
    """
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc

    ends = [text.encode() + end for text in texts for end in (b"\n", b"")]
    wanted = pa.array(ends, pa.binary())
    found_texts: list[str] = []
    found_lines: list[int] = []
    system, path = storage.filesystem(uri)
    with system.open_input_stream(path) as stream:
        number, rest, last = 0, b"", False
        while not last:
            chunk = bytes(stream.read(CHUNK_BYTES))
            last = not chunk
            content = rest + chunk
            stops = np.flatnonzero(np.frombuffer(content, np.uint8) == ord("\n")) + 1
            if last and rest:
                stops = np.append(stops, len(content))
            rest = content[stops[-1] :] if len(stops) else content
            if not len(stops):
                continue
            offsets = np.concatenate([[0], stops]).astype(np.int32)
            buffers = [None, pa.py_buffer(offsets), pa.py_buffer(content)]
            lines = pa.Array.from_buffers(pa.binary(), len(stops), buffers)
            hits = np.flatnonzero(pc.is_in(lines, value_set=wanted).to_numpy(zero_copy_only=False))
            found_lines += (number + 1 + hits).tolist()
            found_texts += [t.decode().removesuffix("\n") for t in lines.take(hits).to_pylist()]
            number += len(stops)
    return pd.DataFrame({LINE: found_texts, "line": pd.array(found_lines, "Int64")})
