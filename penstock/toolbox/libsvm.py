"""LibSVM in and out: ``label key:value key:value ...``, a line for each row.

A block of lines is cut into tokens by what stands between them, all at once; Arrow turns the tokens
into numbers. Nothing loops over lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from penstock.errors import DataError, InputError
from penstock.recordio.segments import Bytes, Indices, starts_of
from penstock.toolbox.numbers import first_unreadable
from penstock.toolbox.progress import Advance
from penstock.toolbox.sources import Source, Stream, opened
from penstock.toolbox.tables import Batch, ReadOptions

__all__ = ["LibsvmWriter", "read_libsvm"]

BLOCK_BYTES = 2 << 20
_NEWLINE, _COLON, _HASH = (ord(char) for char in "\n:#")
_SPACES = np.zeros(256, np.bool_)
_SPACES[[ord(char) for char in " \t\r\n"]] = True
_COMMENT = re.compile(rb"#[^\n]*")


def read_libsvm(source: Source, options: ReadOptions, advance: Advance) -> Iterator[Batch]:
    """Yield the rows of LibSVM files as sparse batches.

    Their width is ``options.width``, or else one more than the largest key of all files: they are
    read twice then.

    Raises:
        DataError: A line cannot be read: names file, line and text.
        InputError: The source is a pipe and no width was said.
    """
    width = options.width
    if width is None:
        if source.size_bytes is None:
            raise InputError(
                f"{source.text}: the width is one more than the largest key, which a pipe shows at "
                "its end only\n  say it: --width N"
            )
        width = 1 + max(
            (
                int(rows.keys.max(initial=0))
                for each in source.inputs
                for rows in _blocks(each, options, lambda _: None)
            ),
            default=0,
        )
    for each in source.inputs:
        for rows in _blocks(each, options, advance):
            yield replace(rows.batch(width, each.name), guessed=options.width is None)


class _Rows:
    """Some rows: labels, keys, values, and where each row's begin."""

    def __init__(
        self, labels: Any | None, keys: Indices, values: Any, starts: Indices, lines: Indices
    ) -> None:
        self.labels, self.keys, self.values = labels, keys, values
        self.starts, self.lines = starts, lines

    def batch(self, width: int, file: str) -> Batch:
        """Return them as a matrix.

        Raises:
            DataError: A key is past the width, or comes twice in a line.
        """
        from scipy.sparse import csr_array

        if self.keys.size and int(self.keys.max()) >= width:
            at = int(np.flatnonzero(self.keys >= width)[0])
            line = self.lines[np.searchsorted(self.starts, at, side="right") - 1]
            raise DataError(
                f"{file}: line {line:,} has a key for column {self.keys[at]:,}, expected less than "
                f"the width, {width:,}"
            )
        shape = (self.starts.size - 1, width)
        matrix = csr_array((self.values, self.keys, self.starts), shape=shape)
        if not matrix.has_sorted_indices:
            matrix.sort_indices()
        same = matrix.indices[1:] == matrix.indices[:-1]
        rows = np.repeat(np.arange(shape[0]), np.diff(self.starts))
        same &= rows[1:] == rows[:-1]
        if same.any():
            at = int(np.flatnonzero(same)[0])
            raise DataError(
                f"{file}: line {self.lines[rows[at]]:,} has two values for column "
                f"{matrix.indices[at]:,}, expected one"
            )
        return Batch(features=matrix, labels=self.labels, names=None, file=file)


def _blocks(each: Any, options: ReadOptions, advance: Advance) -> Iterator[_Rows]:
    line = 1
    labelled: bool | None = None
    with opened(each, advance) as stream:
        for block in _whole_lines(stream):
            rows = _parsed(block, each.name, line, options, labelled=labelled)
            line += block.count(b"\n")
            if rows is not None:
                labelled = rows.labels is not None
                yield rows


def _whole_lines(stream: Stream) -> Iterator[bytes]:
    """Yield blocks of bytes that end with a line."""
    left: list[bytes] = []
    while more := stream.read(BLOCK_BYTES):
        head, newline, tail = more.rpartition(b"\n")
        if not newline:
            left.append(more)
            continue
        yield b"".join([*left, head, newline])
        left = [tail]
    if last := b"".join(left):
        yield last + b"\n"


class _Tokens:
    """What stands between the blanks and colons of some lines; all arrays are (n,).

    Attributes:
        data: uint8, the lines.
        begins, ends: Where each token begins and ends.
        line: Number of each token's line, from 0.
        is_key: Whether a colon follows it.
        is_value: Whether a colon stands before it.
        is_first: Whether it is the first of its line.
    """

    def __init__(self, block: bytes) -> None:
        self.data: Bytes = np.frombuffer(block, np.uint8)
        between = _SPACES[self.data] | (self.data == _COLON)
        inside = np.flatnonzero(~between)
        gaps = np.flatnonzero(np.diff(inside) > 1)
        some = inside.size > 0
        self.begins = inside[np.concatenate([[0], gaps + 1])] if some else inside
        self.ends = inside[np.concatenate([gaps, [inside.size - 1]])] + 1 if some else inside
        self.is_key = self.data[self.ends] == _COLON
        self.is_value = np.zeros(self.begins.size, np.bool_)
        later = self.begins > 0
        self.is_value[later] = self.data[self.begins[later] - 1] == _COLON
        self.line = np.searchsorted(np.flatnonzero(self.data == _NEWLINE), self.begins)
        self.is_first = np.ones(self.begins.size, np.bool_)
        self.is_first[1:] = self.line[1:] != self.line[:-1]
        self.colons = int((self.data == _COLON).sum())

    def text(self, at: int) -> str:
        """Return one token, and what a colon ties to it."""
        first = at - 1 if self.is_value[at] and at else at
        last = at + 1 if self.is_key[at] and at + 1 < self.begins.size else at
        content = self.data[self.begins[first] : self.ends[last]].tobytes()
        return content.decode(errors="replace")

    def strings(self, chosen: Any) -> Any:
        """Return some tokens as an Arrow array."""
        import pyarrow as pa

        begins, lengths = self.begins[chosen], (self.ends - self.begins)[chosen]
        starts = starts_of(lengths)
        take = np.arange(int(starts[-1])) + np.repeat(begins - starts[:-1], lengths)
        buffers = [None, pa.py_buffer(starts.astype(np.int32)), pa.py_buffer(self.data[take])]
        return pa.Array.from_buffers(pa.string(), begins.size, buffers)


def _parsed(
    block: bytes, file: str, first_line: int, options: ReadOptions, *, labelled: bool | None
) -> _Rows | None:
    """Return the rows of some lines; None when all are empty or comments."""
    import pyarrow as pa

    if _HASH in block:
        block = _COMMENT.sub(b"", block)
    tokens = _Tokens(block)
    if not tokens.begins.size:
        return None
    _check_order(tokens, file, first_line, labelled=labelled)
    is_label = ~tokens.is_key & ~tokens.is_value
    keys = _cast(tokens, tokens.is_key, pa.int64(), file, first_line, "a whole number")
    values = _cast(tokens, tokens.is_value, pa.float32(), file, first_line, "a number")
    labels = None
    if is_label.any():
        labels = _cast(tokens, is_label, pa.float32(), file, first_line, "a number")
    key_places = np.flatnonzero(tokens.is_key)
    low = options.index_base
    if keys.size and int(keys.min()) < low:
        at = int(np.flatnonzero(keys < low)[0])
        line = first_line + int(tokens.line[key_places[at]])
        also = "\n  if its keys count from 0, pass --index-base 0" if keys[at] == 0 else ""
        raise DataError(
            f"{file}: line {line:,}: {tokens.text(int(key_places[at]))!r} has the key {keys[at]}, "
            f"expected at least {low}{also}"
        )
    lines = tokens.line[tokens.is_first]
    starts = np.append(np.searchsorted(tokens.line[key_places], lines), keys.size)
    return _Rows(labels, keys - low, values, starts, lines + first_line)


def _check_order(tokens: _Tokens, file: str, first_line: int, *, labelled: bool | None) -> None:
    """Refuse what is not: perhaps a label, then keys and values in turn.

    Raises:
        DataError: A token is out of place; names line and text.
    """
    plain = ~tokens.is_key & ~tokens.is_value
    has_label = bool(plain[0]) if labelled is None else labelled
    wrong = plain != (tokens.is_first & has_label)
    wrong |= tokens.is_key & tokens.is_value
    follows = np.zeros(tokens.begins.size, np.bool_)
    follows[1:] = tokens.is_key[:-1] & (tokens.begins[1:] == tokens.ends[:-1] + 1)
    wrong |= tokens.is_value & ~follows
    wrong[:-1] |= tokens.is_key[:-1] & ~(tokens.is_value & follows)[1:]
    wrong[-1] |= tokens.is_key[-1]
    if not wrong.any() and tokens.colons == int(tokens.is_key.sum()):
        return
    if not wrong.any():
        raise DataError(
            f"{file}: a colon stands alone near line {first_line:,}, expected key:value"
        )
    at = int(wrong.argmax())
    line = first_line + int(tokens.line[at])
    if tokens.is_first[at] and bool(plain[at]) != has_label:
        has, before = ("no label", "one") if has_label else ("a label", "none")
        problem = f"has {has}, the lines before have {before}"
        raise DataError(f"{file}: line {line:,} {problem}: {tokens.text(at)!r}")
    raise DataError(f"{file}: line {line:,}: {tokens.text(at)!r}, expected key:value")


def _cast(
    tokens: _Tokens, chosen: Any, kind: Any, file: str, first_line: int, expected: str
) -> Any:
    import pyarrow as pa

    texts = tokens.strings(chosen)
    try:
        return texts.cast(kind).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:
        bad = first_unreadable(texts, kind) or 0
    at = int(np.flatnonzero(chosen)[bad])
    found = tokens.text(at)
    also = ""
    if found.startswith("qid:"):
        also = "\n  a matrix has no place for query ids: take them out first"
    elif tokens.is_first[at] and not tokens.is_key[at] and "," in found:
        also = "\n  a row of several labels cannot be converted"
    line = first_line + int(tokens.line[at])
    own = texts[bad].as_py()
    raise DataError(f"{file}: line {line:,}: {own!r} in {found!r}, expected {expected}{also}")


class LibsvmWriter:
    """Writes rows as LibSVM; a row of zeros without a label gets one explicit zero."""

    def __init__(self, sink: Any, *, index_base: int) -> None:
        """Write to a binary stream; keys count from ``index_base``."""
        self._sink, self._base = sink, index_base

    def write(self, batch: Batch) -> None:
        """Write some rows; numbers have the fewest digits that give them back exactly."""
        import pyarrow as pa
        import pyarrow.compute as pc
        from scipy.sparse import csr_array

        matrix = csr_array(batch.features)
        matrix.sort_indices()
        keys, values, starts = matrix.indices, matrix.data, matrix.indptr
        if batch.labels is None and (np.diff(starts) == 0).any():
            keys, values, starts = _with_zeros(matrix)
        text = pa.string()
        pairs = pc.binary_join_element_wise(
            pa.array(keys.astype(np.int64) + self._base).cast(text),
            pa.array(values).cast(text),
            ":",
        )
        rows = pa.ListArray.from_arrays(pa.array(starts.astype(np.int32)), pairs)
        lines = pc.binary_join(rows, " ")
        if batch.labels is not None:
            lines = pc.binary_join_element_wise(pa.array(batch.labels).cast(text), lines, " ")
            lines = pc.utf8_rtrim(lines, " ")
        whole = pa.ListArray.from_arrays(pa.array([0, len(lines)], pa.int32()), lines)
        self._sink.write(pc.binary_join(whole, "\n")[0].as_py().encode() + b"\n")

    def close(self) -> None:
        """Write what is left: nothing."""


def _with_zeros(matrix: Any) -> tuple[Any, Any, Any]:
    """Return keys, values and starts of a CSR array in which no row is empty."""
    counts = np.diff(matrix.indptr)
    each = np.maximum(counts, 1)
    starts = starts_of(each.astype(np.int64))
    keys = np.zeros(int(starts[-1]), np.int64)
    values = np.zeros(int(starts[-1]), np.float32)
    place = np.arange(matrix.indices.size) + np.repeat(starts[:-1] - matrix.indptr[:-1], counts)
    keys[place], values[place] = matrix.indices, matrix.data
    return keys, values, starts
