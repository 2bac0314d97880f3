"""Texts -> hashed n-grams, in bulk: a CSR matrix of counts, rows by buckets.

    lower case     Unicode, character by character
    words          runs of letters, numbers (Unicode L and N) and underscores, of enough characters
    n of words     n neighbouring words, joined by one space
    characters     the text, in which two or more white space characters become one space
    bucket         XXH64(UTF-8 bytes of the n-gram, seed 0) modulo the number of buckets
    sign           -1 where the hash is 2^63 or more, if asked for

A missing text is an empty one: no n-grams.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from penstock.cells import names_array, texts
from penstock.sketch import Ints
from penstock.xxh64 import hash_slices, text_buffers

__all__ = ["SEED", "Tokens"]

SEED = 0
NOT_A_WORD = r"[^\pL\pN_]+"
WHITE = r"[\s\pZ\x0b\x1c-\x1f\x{85}]{2,}"  # \s is that of ASCII
SPACE = 32
# Bytes of a word: digits, letters, the underscore, and all of those of other alphabets' letters.
WORD_BYTES = np.array([chr(b).isalnum() or b == ord("_") or b > 0x7F for b in range(256)])

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, slots=True)
class Tokens:
    """How texts become n-grams, and n-grams buckets.

    Attributes:
        tokens: What the n-grams are made of.
        ngrams: Tokens of the shortest and the longest n-gram.
        shortest_word: Words with fewer characters are left out.
        lower_case: Whether upper and lower case are one.
        buckets: How many.
        signed: Whether half of the n-grams count -1.
    """

    tokens: Literal["words", "characters"]
    ngrams: tuple[int, int]
    shortest_word: int
    lower_case: bool
    buckets: int
    signed: bool

    def counts(self, array: Any) -> Any:
        """Return how often each text has n-grams of each bucket: int64 CSR (n, buckets).

        Args:
            array: Arrow array of texts (n,); other types are taken as ``texts`` takes them.
        """
        from scipy.sparse import csr_array

        whole = pc.coalesce(texts(array), names_array([""])[0])
        rows, hashes = self._grams(whole)
        order = np.argsort(rows, kind="stable")
        rows, hashes = rows[order], hashes[order]
        ends = np.searchsorted(rows, np.arange(len(whole) + 1)).astype(np.int64)
        ones = np.ones(len(hashes), np.int64)
        if self.signed:
            ones -= 2 * (hashes >> np.uint64(63)).astype(np.int64)
        buckets = (hashes % np.uint64(self.buckets)).astype(np.int32)
        matrix = csr_array((ones, buckets, ends), shape=(len(whole), self.buckets))
        matrix.sum_duplicates()
        return matrix

    def plain(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        return asdict(self) | {"ngrams": list(self.ngrams)}

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Tokens:
        """Return what ``plain`` took apart."""
        low, high = body["ngrams"]
        return cls(**dict(body) | {"ngrams": (low, high)})

    def _grams(self, array: Any) -> tuple[Ints, Any]:
        """Return the row and the hash of every n-gram."""
        if self.lower_case:
            array = pc.utf8_lower(array)
        if self.tokens == "words":
            data, starts, ends, rows = _words(array, self.shortest_word, apart=self.ngrams[1] > 1)
        else:
            data, starts, ends, rows = _characters(array)
        found: list[tuple[Ints, Any]] = []
        for size in range(self.ngrams[0], self.ngrams[1] + 1):
            first = np.arange(max(0, len(rows) - size + 1))
            first = first[rows[first] == rows[first + size - 1]]
            begin = starts[first]
            lengths = ends[first + size - 1] - begin
            found.append((rows[first], hash_slices(data, begin, lengths, seed=SEED)))
        return (
            np.concatenate([rows for rows, _ in found]),
            np.concatenate([hashes for _, hashes in found]),
        )


def _words(array: Any, shortest: int, *, apart: bool) -> tuple[Bytes, Ints, Ints, Ints]:
    """Return bytes that have the words in them; and start, end and row of each word.

    Args:
        array: Arrow large_string array without nulls.
        shortest: Characters of the shortest word to keep.
        apart: Whether the words of a text must stand one space apart.
    """
    # The letters of other alphabets need a regular expression; most texts do without.
    foreign = pc.match_substring_regex(array, pattern=r"[^\x00-\x7f]")
    if foreign.true_count:
        words = pc.replace_substring_regex(
            array.filter(foreign), pattern=NOT_A_WORD, replacement=" "
        )
        array = pc.replace_with_mask(array, foreign, words)
    data, offsets = _used(array)
    letters = WORD_BYTES[data]
    # Whether a text begins at a byte, or the last one ends there.
    edges = np.zeros(len(data) + 1, np.bool_)
    edges[offsets] = True
    before = np.concatenate(([False], letters[:-1]))[: len(letters)]
    after = np.concatenate((letters[1:], [False]))[: len(letters)]
    starts = np.flatnonzero(letters & (edges[:-1] | ~before))
    ends = np.flatnonzero(letters & (edges[1:] | ~after)) + 1
    characters = np.concatenate(([0], np.cumsum(_leads(data))))
    kept = characters[ends] - characters[starts] >= shortest
    starts, ends = starts[kept], ends[kept]
    rows = np.searchsorted(offsets, starts, side="right") - 1
    return (*_apart(data, starts, ends, edges), rows) if apart else (data, starts, ends, rows)


def _apart(
    data: Bytes, starts: Ints, ends: Ints, edges: npt.NDArray[np.bool_]
) -> tuple[Bytes, Ints, Ints]:
    """Return the words with one space behind each but a text's last; and their new places."""
    steps = np.zeros(len(data) + 2, np.int8)
    steps[starts] += 1
    steps[ends + ~edges[ends]] -= 1
    kept = np.cumsum(steps[: len(data)], dtype=np.int8).astype(np.bool_)
    places = np.concatenate(([0], np.cumsum(kept)))
    spaced = data.copy()
    spaced[ends[~edges[ends]]] = SPACE
    return spaced[kept], places[starts], places[ends - 1] + 1


def _characters(array: Any) -> tuple[Bytes, Ints, Ints, Ints]:
    """Return bytes; and start, end and row of each character in them."""
    array = pc.replace_substring_regex(array, pattern=WHITE, replacement=" ")
    data, offsets = _used(array)
    starts = np.flatnonzero(_leads(data))
    ends = np.append(starts[1:], len(data))[: len(starts)]
    return data, starts, ends, np.searchsorted(offsets, starts, side="right") - 1


def _used(array: Any) -> tuple[Bytes, Ints]:
    data, offsets = text_buffers(array)
    return data[offsets[0] : offsets[-1]], offsets - offsets[0]


def _leads(data: Bytes) -> npt.NDArray[np.bool_]:
    """Return where a character of UTF-8 begins."""
    return np.asarray((data & 0xC0) != 0x80, np.bool_)
