"""Errors of the plan in the words of a DataFrame: its users have no pipeline.yaml to mend."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from penstock.errors import (
    DataError,
    EmptyTableError,
    InputError,
    MissingColumnsError,
    PenstockError,
    SchemaMismatchError,
)

__all__ = ["TABLE", "in_words_of_frames", "reworded"]

TABLE = "DataFrame"

WORDS = (
    (r"table 'curated(?:/split=train)?'", f"table {TABLE!r}"),
    (r"\bof the train split\b", f"of the {TABLE}"),
    (r"\bthe train split has\b", f"the {TABLE} has"),
    (r"add `where: (.+) IS NOT NULL` to merge, or derive it", r"filter it: \1 IS NOT NULL"),
    (r"check merge\.derive and merge\.where", f"check how the {TABLE} was made"),
    (r"\b(?:in|check) merge\.derive\b", "with withColumn"),
    (r"\bin merge\.where\b", "with filter"),
    (r"\bthe spec\b", "features"),
    (r"\blabel\.classes\b", "labelClasses"),
    (r"\bdataset\.max_width\b", "maxWidth"),
)


def reworded(text: str) -> str:
    """Return a message that speaks of a pipeline.yaml as one that speaks of a DataFrame.

    >>> reworded("mend it in merge.derive, or raise dataset.max_width")
    'mend it with withColumn, or raise maxWidth'
    """
    for found, words in WORDS:
        text = re.sub(found, words, text)
    return text


@contextmanager
def in_words_of_frames() -> Iterator[None]:
    """Raise the deliberate errors of the block as what they are, reworded."""
    try:
        yield
    except PenstockError as error:
        raise _translated(error) from None


def _translated(error: PenstockError) -> PenstockError:
    if isinstance(error, MissingColumnsError):
        return MissingColumnsError(TABLE, error.missing, error.available)
    if isinstance(error, SchemaMismatchError):
        expected, remedy = reworded(error.expected), reworded(error.remedy)
        return SchemaMismatchError(TABLE, error.column, error.found, expected, remedy)
    if isinstance(error, EmptyTableError):
        return EmptyTableError(TABLE, "check its filters and joins: a plan is learned from rows")
    if type(error) in (InputError, DataError):
        return type(error)(reworded(str(error)))
    return error
