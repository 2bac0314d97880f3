"""Hashed n-grams and TF-IDF: against scikit-learn's; nulls; merging; golden buckets."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pyarrow as pa
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
from strategies import batch, plan, spec, statistics

from penstock.columns import KINDS
from penstock.errors import InputError, SchemaMismatchError, SpecError
from penstock.plan import FeaturePlan
from penstock.planning import build_plan
from penstock.specfile import parse
from penstock.statistics import Statistics, merge

WORDS = st.sampled_from(
    ["the", "Pipe", "lake", "a", "ä", "Éa", "x_1", "17", "漢字", "naïve", "turbine"]
)
GAPS = st.sampled_from([" ", "  ", ", ", "\n ", "--", ".", "! ", "\u00a0\u00a0", "\u2028 "])
TEXTS = st.one_of(
    st.none(),
    st.just(""),
    st.lists(st.tuples(GAPS, WORDS), max_size=8).map(lambda parts: "".join(map("".join, parts))),
    st.lists(st.tuples(WORDS, GAPS), max_size=8).map(lambda parts: "".join(map("".join, parts))),
)
CELLS = st.lists(TEXTS, min_size=2, max_size=12)
GRAMS = st.sampled_from([[1, 1], [1, 2], [2, 3], [3, 3]])


def table(cells):
    return batch(t=pa.array(cells, pa.string()), y=pa.array([0, 1] * len(cells))[: len(cells)])


def of(**options):
    return spec({"kind": "text", "columns": ["t"], **options})


def dense(matrix):
    return matrix if isinstance(matrix, np.ndarray) else matrix.toarray()


def counted(cells, buckets, options, *, signed=False):
    """Counts of scikit-learn's tokens and n-grams, in our buckets."""
    words = options.get("tokens", "words") == "words"
    vectorizer = CountVectorizer(
        analyzer="word" if words else "char",
        ngram_range=tuple(options.get("ngrams", [1, 1])),
        lowercase=options.get("lower_case", True),
        token_pattern=r"(?u)\b\w\w+\b",
    )
    analyse = vectorizer.build_analyzer()
    counts = np.zeros((len(cells), buckets))
    for row, text in enumerate(cells):
        for gram in analyse(text or ""):
            found = xxhash.xxh64_intdigest(gram.encode())
            counts[row, found % buckets] += -1 if signed and found >= 2**63 else 1
    return counts


@given(CELLS, GRAMS, st.sampled_from(["words", "characters"]), st.booleans(), st.booleans())
@settings(max_examples=40)
def test_counts_are_those_of_scikit_learns_tokens_in_buckets_of_their_hash(
    cells, ngrams, tokens, lower_case, signed
):
    options = {"ngrams": ngrams, "tokens": tokens, "lower_case": lower_case}
    rule = of(**options, signed=signed, weight="counts", norm="none", buckets=64)

    ours = dense(plan(table(cells), of=rule).encode(table(cells)))

    np.testing.assert_array_equal(ours, counted(cells, 64, options, signed=signed))


@given(CELLS, CELLS, st.sampled_from(["l2", "none"]))
@settings(max_examples=40)
def test_tfidf_is_that_of_scikit_learn(train, test, norm):
    fitted = plan(table(train), of=of(norm=norm, buckets=32, ngrams=[1, 2]))

    ours = dense(fitted.encode(table(test)))

    options = {"ngrams": [1, 2]}
    theirs = TfidfTransformer(norm=None if norm == "none" else norm).fit(
        counted(train, 32, options)
    )
    expected = theirs.transform(counted(test, 32, options)).toarray()
    np.testing.assert_allclose(ours, expected, rtol=1e-6, atol=1e-6)


@given(CELLS, CELLS, st.booleans(), st.sampled_from(["counts", "binary", "tfidf"]))
@settings(max_examples=40)
def test_dense_and_sparse_are_equal_to_the_bit_and_so_is_the_plan_read_back(
    train, test, empty, weight
):
    fitted = plan(table(train), of=of(weight=weight, buckets=16, indicator=True))
    rows = table([] if empty else test)

    one = dataclasses.replace(fitted, layout="dense").encode(rows)
    other = dataclasses.replace(fitted, layout="sparse").encode(rows)
    restored = FeaturePlan.from_json(fitted.to_json())

    assert one.shape == other.shape == (rows.num_rows, fitted.width)
    np.testing.assert_array_equal(one.view(np.uint32), other.toarray().view(np.uint32))
    assert (other.data != 0).all()
    assert other.has_sorted_indices
    assert (restored, restored.to_json()) == (fitted, fitted.to_json())


@given(CELLS, CELLS)
@settings(max_examples=40)
def test_two_days_merged_in_either_order_make_one_plan(first, second):
    rule = of(buckets=16, indicator=True)
    days = [
        Statistics.from_json(statistics(table(cells), of=rule).to_json())
        for cells in (first, second)
    ]

    one = build_plan(merge(days).trimmed(), rule, fitted_on={})
    other = build_plan(merge(days[::-1]).trimmed(), rule, fitted_on={})
    whole = build_plan(statistics(table(first), table(second), of=rule), rule, fitted_on={})

    assert one.to_json() == other.to_json() == whole.to_json()


def test_ngrams_have_golden_buckets():
    rule = of(weight="counts", norm="none", ngrams=[2, 2], buckets=1000)
    fitted = plan(table(["a b"] * 4), of=rule)

    found = fitted.encode(table(["Naïve Café au LAIT"])).indices

    grams = ["naïve café", "café au", "au lait"]
    assert found.tolist() == sorted(xxhash.xxh64_intdigest(g.encode()) % 1000 for g in grams)
    assert found.tolist() == [262, 310, 485]


def test_a_missing_text_is_an_empty_one_and_the_indicator_says_so():
    fitted = plan(table(["lake", None, "", "pipe lake"]), of=of(buckets=4, indicator=True))

    found = dense(fitted.encode(table([None, "", "lake"])))

    assert found[:, :4].sum(axis=1).tolist() == [0, 0, 1]
    assert found[:, 4].tolist() == [1, 0, 0]
    assert fitted.names[-1] == "t__missing"
    body = json.loads(fitted.to_json())["columns"][0]
    assert (body["texts"], sum(body["documents"])) == (4, 3)
    assert fitted.explain(1).words == ("TF-IDF of its n-grams of words whose XXH64, modulo 4, is 1")


def test_a_slice_of_a_table_is_encoded_as_it_is_alone():
    cells = ["one two", None, "three", "four a five", ""]
    fitted = plan(table(cells), of=of(ngrams=[1, 2], buckets=64))

    part = fitted.encode(table(cells).slice(2, 2))

    np.testing.assert_array_equal(dense(part), dense(fitted.encode(table(cells)))[2:4])


def test_a_column_that_holds_no_texts_is_refused_before_and_after_the_fit():
    fitted = plan(table(["lake", "pipe"]), of=of(buckets=4))

    with pytest.raises(SchemaMismatchError) as caught:
        fitted.encode(batch(t=[1, 2]))

    assert str(caught.value) == (
        "table 'rows', column 't': type is int64, expected a string (fitted on string)\n"
        "  cast it before encoding, or fit again on rows like these"
    )


def test_a_column_of_another_type_is_refused_before_the_scan():
    (found,) = KINDS["text"].problems("t", "int64", of().features[0])

    assert str(found) == (
        "table 'curated', column 't': type is int64, expected a string\n"
        "  list it under another kind, or derive a text from it in merge.derive"
    )


def test_too_many_buckets_are_refused_by_their_name():
    with pytest.raises(InputError) as caught:
        plan(table(["lake", "pipe"]), of=of(buckets=20_000))

    assert str(caught.value) == (
        "features: width would be 20,000, dataset.max_width is 10,000\n"
        "  column 't' alone makes 20,000 columns (buckets: 20,000)\n"
        "  set fewer buckets on it, leave it out, or raise dataset.max_width"
    )


SPEC = """\
name: p
task: binary
label: {column: y}
sources: {s: {path: s, format: csv}}
merge: {base: s, key: [id]}
features:
  - kind: text
    columns: [t]
    %s
train: [{algorithm: xgboost, hyperparameters: {num_round: 3, objective: 'binary:logistic'}}]
"""


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("ngrams: [2, 1]", "ngrams: found [2, 1], expected 1 <= shortest <= longest <= 16"),
        ("signed: true", "signed: is true, but weight is tfidf; it goes with counts"),
        (
            "{tokens: characters, shortest_word: 3}",
            "shortest_word: is given, but tokens is characters; it goes with words",
        ),
    ],
)
def test_options_that_do_not_go_together_are_refused_with_their_line(line, problem):
    lines = line.strip("{}").replace(", s", "\n    s") if line.startswith("{") else line

    with pytest.raises(SpecError) as caught:
        parse(SPEC % lines, path="p.yaml")

    at = 9 + lines.count("\n")
    assert str(caught.value) == f"p.yaml: 1 problem\n  line {at}, features[0].{problem}"
