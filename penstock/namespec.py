"""How pipeline.yaml says what becomes of names and of texts."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from penstock.specmodel import Column, Presence

__all__ = ["CategoricalFeatures", "TextFeatures"]

MOST_GRAMS = 16
VOCABULARIES = ("one_hot", "ordinal", "frequency", "target")
# field -> the encodings that look at it
ENCODE_OPTIONS = {
    "by": ("ordinal",),
    "buckets": ("hash",),
    "signed": ("hash",),
    "smooth": ("target",),
    "folds": ("target",),
    "fold_by": ("target",),
    "min_frequency": VOCABULARIES,
    "max_categories": VOCABULARIES,
    "rare": ("one_hot", "frequency"),
    "unknown": VOCABULARIES,
}
# encoding -> field -> what it may be
ENCODE_RULES = {
    "one_hot": {"unknown": ("rare", "zeros", "refuse")},
    "ordinal": {"unknown": ("rare", "own", "refuse")},
    "frequency": {"unknown": ("rare", "zeros", "refuse")},
    "target": {"unknown": ("rare", "own", "refuse")},
}


class CategoricalFeatures(Presence):
    """Texts, codes, booleans: any column whose values are names."""

    kind: Literal["categorical"]
    columns: tuple[Column, ...] = Field(min_length=1)
    impute: Literal["most_frequent", "constant", "carry_over", "refuse"] = "constant"
    fill_value: str = Field(
        default="(missing)",
        description="For impute: constant, and fallback: constant; a category of its own.",
    )
    carry_from: Column | None = Field(
        default=None,
        description="For impute: carry_over. Column whose name stands where this one is missing.",
    )
    fallback: Literal["most_frequent", "constant", "refuse"] = Field(
        default="constant",
        description="For impute: carry_over. What to do where both columns are missing.",
    )
    indicator: bool = Field(
        default=False,
        description="Add <column>__missing (0/1) where the train split has missing cells.",
    )
    missing_values: tuple[str | int | float | bool, ...] = Field(
        default=(), description="Values that mean: missing, as unknown or -999."
    )
    encode: Literal["one_hot", "ordinal", "frequency", "hash", "target"] = Field(
        default="one_hot",
        description=(
            "one_hot: a column of 0/1 for each category. ordinal: its number. frequency: its share of "
            "the train rows. hash: one of so many buckets. target: the mean label of its train rows, "
            "smoothed; each train row is encoded without the labels of its own fold."
        ),
    )
    by: Literal["frequency", "name"] = Field(
        default="frequency",
        description="For encode: ordinal. Number 0 is the most frequent category, or the first by name.",
    )
    buckets: int = Field(
        default=256, ge=1, description="For encode: hash. XXH64 of the value, modulo this."
    )
    signed: bool = Field(
        default=False,
        description="For encode: hash. -1 for half of the values, so that collisions cancel out.",
    )
    smooth: Literal["auto"] | float = Field(
        default="auto",
        description=(
            "For encode: target. How many rows of the overall mean are mixed into each category's; "
            "auto: by the variances within the category and overall."
        ),
    )
    folds: int = Field(
        default=5,
        ge=2,
        le=64,
        description="For encode: target. The train rows fall into so many folds, by a hash of the key.",
    )
    fold_by: tuple[Column, ...] | None = Field(
        default=None,
        description="For encode: target. Columns whose hash is the fold; unset: split.columns, or merge.key.",
    )
    min_frequency: int | float = Field(
        default=1,
        gt=0,
        description="Rarer categories are rare: a count of train rows (integer), or a share of them (below 1).",
    )
    max_categories: int | None = Field(
        default=None,
        ge=1,
        description="Keep this many, the most frequent; all others are rare. Unset: no cap.",
    )
    rare: Literal["group", "zeros"] = Field(
        default="group",
        description="group: all of them are one more category, (rare). zeros: none is set.",
    )
    unknown: Literal["rare", "zeros", "own", "refuse"] = Field(
        default="rare",
        description=(
            "A value never seen in the train split: as rare categories are, all zeros, something of its "
            "own (ordinal: -1, target: the overall mean), or an error."
        ),
    )

    @property
    def reads(self) -> tuple[str, ...]:
        """Columns that a feature of this rule reads besides its own."""
        carry = (self.carry_from,) if self.impute == "carry_over" and self.carry_from else ()
        return carry + ((self.fold_by or ()) if self.encode == "target" else ())

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """Yield the fields that do not go with ``encode``, each with what is wrong."""
        carried = self.impute == "carry_over"
        if carried != (self.carry_from is not None):
            what = "is needed with" if carried else "is given without"
            yield "carry_from", f"{what} impute: carry_over"
        if "fallback" in self.model_fields_set and not carried:
            yield "fallback", f"is given, but impute is {self.impute}; it goes with carry_over"
        for field, encodings in ENCODE_OPTIONS.items():
            if field in self.model_fields_set and self.encode not in encodings:
                yield (
                    field,
                    f"is given, but encode is {self.encode}; it goes with {', '.join(encodings)}",
                )
        for field, allowed in ENCODE_RULES.get(self.encode, {}).items():
            if (found := getattr(self, field)) not in allowed and field in self.model_fields_set:
                yield field, f"found {found!r}, expected {', '.join(allowed)} with {self.encode}"
        smooth = self.smooth
        if not isinstance(smooth, str) and not 0 <= smooth < math.inf:
            yield "smooth", f"found {smooth!r}, expected auto or a number from 0"


class TextFeatures(Presence):
    """Free text: hashed n-grams of its words or characters. A missing text is an empty one."""

    kind: Literal["text"]
    columns: tuple[Column, ...] = Field(min_length=1)
    indicator: bool = Field(
        default=False,
        description="Add <column>__missing (0/1) where the train split has missing cells.",
    )
    tokens: Literal["words", "characters"] = Field(
        default="words",
        description=(
            "words: runs of letters, digits and underscores. characters: all of them, spaces included; "
            "white space of two or more becomes one space."
        ),
    )
    ngrams: tuple[int, int] = Field(
        default=(1, 1),
        description="Shortest and longest n-gram, as [1, 2] for single words and pairs of neighbours.",
    )
    shortest_word: int = Field(
        default=2, ge=1, description="For tokens: words. Shorter words are left out."
    )
    lower_case: bool = True
    buckets: int = Field(
        default=1024,
        ge=1,
        le=2**24,
        description="Columns made of a text: the XXH64 of an n-gram, modulo this, says which.",
    )
    signed: bool = Field(
        default=False,
        description="Count -1 for half of the n-grams, so that collisions cancel out. Not with tfidf.",
    )
    weight: Literal["counts", "binary", "tfidf"] = Field(
        default="tfidf",
        description=(
            "counts: how often the text has an n-gram. binary: whether. tfidf: counts times the "
            "logarithm of how rare the bucket is among the texts of the train split."
        ),
    )
    norm: Literal["l2", "none"] = Field(
        default="l2", description="l2: scale each text's vector to length 1."
    )

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """Yield the fields that do not go together, each with what is wrong."""
        low, high = self.ngrams
        if not 1 <= low <= high <= MOST_GRAMS:
            yield (
                "ngrams",
                f"found {[low, high]}, expected 1 <= shortest <= longest <= {MOST_GRAMS}",
            )
        if self.signed and self.weight != "counts":
            yield "signed", f"is true, but weight is {self.weight}; it goes with counts"
        if "shortest_word" in self.model_fields_set and self.tokens != "words":
            yield "shortest_word", f"is given, but tokens is {self.tokens}; it goes with words"
