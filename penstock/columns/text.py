"""Free text: hashed n-grams, counted or weighted as TF-IDF; see ``penstock.tokens``.

idf of a bucket = ln((1 + texts) / (1 + texts with the bucket)) + 1        of the train split
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Literal, Self

import numpy as np

from penstock.cells import family, present
from penstock.columns.base import Block, ColumnKind, Slot, not_for
from penstock.encode import Where, check_type
from penstock.errors import PenstockError, SchemaMismatchError
from penstock.impute import Fill
from penstock.sketch import Floats
from penstock.spec import TextFeatures
from penstock.statistics import Statistics
from penstock.textstate import TextState
from penstock.tokens import Tokens
from penstock.wanted import Wanted

__all__ = ["KIND", "TextColumn"]


@dataclass(frozen=True, kw_only=True)
class TextColumn:
    """One source column of texts.

    Attributes:
        name: Column.
        type: Text of the Arrow type it was fitted on.
        fill: What is known of its missing cells; they are empty texts.
        tokens: How texts become counts in buckets.
        weight: What becomes of the counts.
        norm: ``l2``: rows are scaled to length 1.
        texts: Rows of the train split.
        documents: Of them, those with an n-gram of each bucket; none unless weight is tfidf.
    """

    name: str
    type: str
    fill: Fill
    tokens: Tokens
    weight: Literal["counts", "binary", "tfidf"]
    norm: Literal["l2", "none"]
    texts: int
    documents: tuple[int, ...]

    @property
    def kind(self) -> str:
        """As the spec names it."""
        return "text"

    @property
    def inputs(self) -> tuple[str, ...]:
        """Source columns that it reads."""
        return (self.name,)

    def names(self) -> tuple[str, ...]:
        """Return the names of its output columns, in order."""
        grams = tuple(f"{self.name}__ngram={bucket}" for bucket in range(self.tokens.buckets))
        return grams + ((f"{self.name}__missing",) if self.fill.indicator else ())

    def words(self, at: int) -> str:
        """Return in words what its output ``at`` holds."""
        if at == self.tokens.buckets:
            return "1 where it is missing, else 0"
        what = {"counts": "count", "binary": "1 if it has any", "tfidf": "TF-IDF"}[self.weight]
        return (
            f"{what} of its n-grams of {self.tokens.tokens} whose XXH64, modulo "
            f"{self.tokens.buckets:,}, is {at:,}"
        )

    @cached_property
    def idf(self) -> Floats | None:
        """Weight of each bucket, (buckets,); None unless weight is tfidf."""
        if self.weight != "tfidf":
            return None
        return np.log((1 + self.texts) / (1 + np.array(self.documents, np.float64))) + 1

    def slots(self, arrays: Sequence[Any], where: Where, first: int) -> list[Slot]:
        """Return its outputs for a batch.

        Raises:
            SchemaMismatchError: The type does not fit.
        """
        (array,) = arrays
        check_type(where, self.name, array, self.type, numeric=False)
        slots: list[Slot] = [Block(first=first, matrix=self._weighted(self.tokens.counts(array)))]
        if self.fill.indicator:
            missing = ~present(array)
            slots.append((first + self.tokens.buckets, missing.astype(np.float32)))
        return slots

    def _weighted(self, counts: Any) -> Any:
        """Return float32 CSR (n, buckets) of counts."""
        from scipy.sparse import csr_array

        values = counts.data.astype(np.float64)
        if self.weight == "binary":
            values = np.ones(len(values))
        if self.idf is not None:
            values = values * self.idf[counts.indices]
        if self.norm == "l2":
            rows = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
            squares = np.bincount(rows, weights=values**2, minlength=counts.shape[0])
            # A row of opposite signs may be all zeros.
            lengths = np.where(squares > 0, np.sqrt(squares), 1.0)
            values = values / lengths[rows]
        parts = (
            values.astype(np.float32),
            counts.indices.astype(np.int32),
            counts.indptr.astype(np.int32),
        )
        return csr_array(parts, shape=counts.shape)

    def entry(self) -> dict[str, Any]:
        """Return what plan.json says of it."""
        return {
            "type": self.type,
            "missing": asdict(self.fill),
            "hash": {"name": "xxh64", "seed": 0},
            "tokens": self.tokens.plain(),
            "weight": self.weight,
            "norm": self.norm,
            "texts": self.texts,
            "documents": list(self.documents),
        }

    @classmethod
    def from_entry(cls, entry: Mapping[str, Any]) -> Self:
        """Return the column that plan.json describes."""
        return cls(
            name=entry["name"],
            type=entry["type"],
            fill=Fill(**entry["missing"]),
            tokens=Tokens.of(entry["tokens"]),
            weight=entry["weight"],
            norm=entry["norm"],
            texts=entry["texts"],
            documents=tuple(entry["documents"]),
        )

    def filled(self, statistics: Statistics) -> Floats:
        """Return for each output the share of train rows in which it is not zero."""
        state = statistics.columns[self.name]
        if not isinstance(state, TextState):
            raise not_for(state, self.kind)
        indicator = [self.fill.missing_share] if self.fill.indicator else []
        return np.concatenate((state.documents / max(state.rows, 1), indicator))


def fit(name: str, rule: TextFeatures, statistics: Statistics) -> TextColumn:
    """Return the fitted column."""
    state = statistics.columns[name]
    if not isinstance(state, TextState):
        raise not_for(state, rule.kind)
    fill = Fill(
        rule="empty",
        value="",
        learned="a missing text is an empty one",
        missing_rows=state.missing,
        missing_share=state.missing / state.rows if state.rows else 0.0,
        indicator=rule.indicator and state.missing > 0,
    )
    return TextColumn(
        name=name,
        type=state.type,
        fill=fill,
        tokens=replace(state.tokens, signed=rule.signed),
        weight=rule.weight,
        norm=rule.norm,
        texts=state.rows,
        documents=tuple(state.documents.tolist()) if rule.weight == "tfidf" else (),
    )


def wanted(name: str, kind: str, rule: TextFeatures) -> list[Wanted]:
    """Return what to collect of a column."""
    tokens = Tokens(
        tokens=rule.tokens,
        ngrams=rule.ngrams,
        shortest_word=rule.shortest_word,
        lower_case=rule.lower_case,
        buckets=rule.buckets,
        signed=False,
    )
    return [Wanted(name=name, type=kind, kind="text", options=tokens)]


def problems(name: str, kind: str, _rule: TextFeatures) -> Iterator[PenstockError]:
    """Yield what is wrong with a column of this type before any row is read."""
    if family(kind) not in ("string", "null"):
        remedy = "list it under another kind, or derive a text from it in merge.derive"
        yield SchemaMismatchError("curated", name, kind, "a string", remedy)


def width(name: str, rule: TextFeatures, statistics: Statistics) -> int:
    """Return how many outputs a column will have."""
    return rule.buckets + int(rule.indicator and statistics.columns[name].missing > 0)


KIND = ColumnKind(
    name="text", column=TextColumn, wanted=wanted, problems=problems, width=width, fit=fit
)
