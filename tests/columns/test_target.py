"""Target encoding: against scikit-learn's rule with the same folds; leaks; merging; refusals."""

from __future__ import annotations

import dataclasses
import itertools
import json

import numpy as np
import pyarrow as pa
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import TargetEncoder
from strategies import batch, categorical, label_rule, plan, spec, statistics, wanted

from penstock.errors import DataError, InputError
from penstock.labelmoments import Folds
from penstock.plan import FeaturePlan
from penstock.planning import build_plan
from penstock.statistics import Collector, Statistics, merge

CELLS = st.lists(
    st.one_of(st.none(), st.sampled_from(["a", "b", "c", "", "ä"]), st.text(max_size=2)),
    min_size=8,
    max_size=40,
)
SMOOTH = st.one_of(st.just("auto"), st.sampled_from([0.0, 1.0, 7.5]))
LABELS = {
    "binary": lambda draw, rows: draw.integers(0, 2, rows),
    "multiclass": lambda draw, rows: draw.integers(0, 3, rows),
    "regression": lambda draw, rows: np.round(draw.normal(1e3, 5.0, rows), 2),
}


def table(cells, task="binary", seed=0):
    """Rows with a key; every class occurs."""
    labels = LABELS[task](np.random.default_rng(seed), len(cells))
    labels[:3] = [0, 1, 2 if task != "binary" else 1]
    ids = pa.array([f"k{row}" for row in range(len(cells))])
    return batch(c=pa.array(cells, pa.string()), id=ids, y=labels)


def folds_of(rows, count, salt="target"):
    texts = [f"{salt}\x1e{key}" for key in rows.column("id").to_pylist()]
    return np.array([xxhash.xxh64_intdigest(t.encode(), seed=42) % count for t in texts])


def target(*, task="binary", **options):
    return spec(categorical("c", encode="target", **options), task=task)


def names(rows):
    cells = ["(missing)" if c is None else c for c in rows.column("c").to_pylist()]
    return np.array(cells, object)[:, None]


def theirs(task, smooth, train, labels, test, classes):
    """scikit-learn's encodings, one column for each output."""
    encoder = TargetEncoder(
        target_type="continuous", smooth=smooth, categories=[sorted({*train[:, 0], *test[:, 0]})]
    )
    targets = [labels == k for k in range(classes)] if task == "multiclass" else [labels]
    return np.hstack([encoder.fit(train, np.float64(t)).transform(test) for t in targets])


@pytest.mark.parametrize("task", list(LABELS))
@given(cells=CELLS, smooth=SMOOTH, count=st.integers(2, 4), seed=st.integers(0, 99))
@settings(max_examples=20)
def test_every_fold_is_encoded_as_scikit_learn_encodes_it_from_the_others(
    task, cells, smooth, count, seed
):
    rows = table(cells, task, seed)
    fitted = plan(rows, of=target(task=task, smooth=smooth, folds=count))
    labels, folds = np.asarray(rows.column("y")).astype(float), folds_of(rows, count)
    known = names(rows)

    training = fitted.encode(rows, training=True)
    serving = fitted.encode(rows)

    width = 3 if task == "multiclass" else 1
    expected = np.empty((len(cells), width))
    for fold in range(count):
        out, others = folds == fold, folds != fold
        if others.any() and out.any():
            args = (known[others], labels[others], known[out], width)
            expected[out] = theirs(task, smooth, *args)
        elif out.any():
            expected[out] = 0.0
    np.testing.assert_allclose(dense(training), expected, rtol=1e-6, atol=1e-6)
    whole = theirs(task, smooth, known, labels, known, width)
    np.testing.assert_allclose(dense(serving), whole, rtol=1e-6, atol=1e-6)


def dense(matrix):
    return matrix if isinstance(matrix, np.ndarray) else matrix.toarray()


def test_random_labels_leave_no_trace_in_the_encoding_of_train_rows():
    draw = np.random.default_rng(3)
    count = 4000
    rows = batch(
        c=pa.array([f"v{n}" for n in draw.integers(0, 1000, count)]),
        id=pa.array(np.arange(count)),
        y=draw.integers(0, 2, count),
    )
    fitted = plan(rows, of=target())
    labels = np.asarray(rows.column("y"))

    out_of_fold = fitted.encode(rows, training=True)[:, 0]
    naive = fitted.encode(rows)[:, 0]

    assert abs(np.corrcoef(out_of_fold, labels)[0, 1]) < 0.05
    assert np.corrcoef(naive, labels)[0, 1] > 0.3


@given(cells=CELLS, cuts=st.lists(st.integers(0, 40), max_size=3), task=st.sampled_from([*LABELS]))
@settings(max_examples=30)
def test_parts_in_any_order_and_through_json_make_the_same_plan(cells, cuts, task):
    rows, of = table(cells, task), target(task=task)
    edges = sorted({0, len(cells), *(min(cut, len(cells)) for cut in cuts)})
    parts = [rows.slice(a, b - a) for a, b in itertools.pairwise(edges)]
    learned = [Statistics.from_json(statistics(part, of=of).to_json()) for part in parts]
    empty = statistics(rows.slice(0, 0), of=of)

    made = build_plan(merge([*reversed(learned), empty]).trimmed(), of, fitted_on={})
    whole = build_plan(statistics(rows, of=of), of, fitted_on={})

    if task == "regression":
        np.testing.assert_allclose(
            made.encode(rows, training=True), whole.encode(rows, training=True), rtol=1e-6
        )
    else:
        assert made.to_json() == whole.to_json()


def test_the_plan_says_what_it_does_and_is_read_back():
    rows = table([None, "a", "b", "a", "b", "a", "c", "a"])
    fitted = plan(rows, of=target(min_frequency=2, indicator=True))

    restored = FeaturePlan.from_json(fitted.to_json())

    assert fitted.names == ("c__target", "c__missing")
    assert fitted.fold_columns == ("id",)
    assert restored == fitted
    np.testing.assert_array_equal(
        restored.encode(rows, training=True), fitted.encode(rows, training=True)
    )
    body = json.loads(fitted.to_json())["columns"][0]["target"]
    assert body["folds"] == {"columns": ["id"], "count": 5, "salt": "target"}
    assert body["categories"] == [["a", 4], ["b", 2]]
    assert body["rare"] == {"values": 2, "rows": 2, "group": True, "names": []}
    assert len(body["values"]) == 4
    assert [len(rows) for rows in body["fold_values"]] == [4] * 5
    assert fitted.explain(0).words == (
        "mean label of the train rows that have its value, drawn towards that of all"
    )


def test_rare_and_unknown_values_are_encoded_as_the_rules_say():
    rows = table(["a", "a", "a", "b", "b", "b", "r", "s", None])
    labels = np.asarray(rows.column("y"))
    new = batch(c=["new", "r", None, "s"])

    as_rare = plan(rows, of=target(min_frequency=2, smooth=0)).encode(new)[:, 0]
    own = plan(rows, of=target(min_frequency=2, smooth=0, unknown="own")).encode(new)[:, 0]

    rare = np.float32(labels[6:].mean())
    assert as_rare.tolist() == [rare] * 4
    assert own.tolist() == [np.float32(labels.mean()), rare, rare, rare]


def test_a_missing_cell_that_becomes_a_category_brings_its_labels():
    rows = batch(c=["a", "a", "a", "b", None, None], id=list("uvwxyz"), y=[0, 0, 1, 1, 1, 1])

    fitted = plan(rows, of=target(smooth=0, impute="most_frequent"))

    np.testing.assert_allclose(fitted.encode(batch(c=["a", "b", None]))[:, 0], [0.6, 1.0, 0.6])


def test_train_rows_without_their_key_are_refused():
    rows = table(list("abcabcab"))
    fitted = plan(rows, of=target())

    with pytest.raises(InputError) as caught:
        fitted.encode(rows.select(["c"]), training=True)

    assert str(caught.value) == (
        "table 'rows' lacks 'id', expected the key columns, which say the fold of a train row\n"
        "  add them, or leave training=True away for rows that the plan was not fitted on"
    )
    assert fitted.encode(rows.select(["c"])).shape == (8, 1)


def test_dense_and_sparse_are_equal_to_the_bit():
    rows = table([None, *"abacabad"], "multiclass")
    of = target(task="multiclass", indicator=True)
    fitted = plan(rows, of=of)

    one = dataclasses.replace(fitted, layout="dense").encode(rows, training=True)
    other = dataclasses.replace(fitted, layout="sparse").encode(rows, training=True)

    assert fitted.names == ("c__target=0", "c__target=1", "c__target=2", "c__missing")
    np.testing.assert_array_equal(one.view(np.uint32), other.toarray().view(np.uint32))


def test_values_past_the_cap_are_one_group_of_rare_ones():
    cells = [f"v{n:03d}" for n in range(50)] + ["often"] * 30
    rows = table(cells)
    of = target(min_frequency=10, smooth=0)
    rule = label_rule(rows, of)
    few = [dataclasses.replace(each, cap=20) for each in wanted(rows, of)]
    collector = Collector(few, label="y")
    values = rule.values(rows.column("y"))[0]
    collector.add(rows, values, target=values)

    fitted = build_plan(collector.finish(), of, fitted_on={})

    found = fitted.encode(batch(c=["often", "v003", "v049"]))[:, 0]
    labels = np.asarray(rows.column("y"))
    expected = [labels[50:].mean(), labels[:50].mean(), labels[:50].mean()]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_too_many_classes_are_refused():
    classes = 300
    rows = batch(c=["a", "b"] * 300, id=np.arange(600), y=np.arange(600) % classes)
    of = spec(categorical("c", encode="target"), task="multiclass")

    with pytest.raises(DataError) as caught:
        plan(rows, of=of)

    assert str(caught.value) == (
        "column 'c': encode is 'target', and the label has more than 256 classes, expected fewer: there "
        "is one output for each\n"
        "  choose another encode for it"
    )


def test_rows_without_labels_teach_nothing_and_are_refused():
    rows, of = table(list("abcabcab")), target()

    with pytest.raises(InputError) as caught:
        Collector(wanted(rows, of)).add(rows)

    assert str(caught.value) == (
        "statistics of column 'c (labels)': the rows come without labels, expected one each\n"
        "  give them to Collector.add as target"
    )


def test_folds_have_golden_numbers():
    keys = [pa.array(["a", None, "é"]), pa.array([1, 2, None])]

    found = Folds(columns=("k", "n"), count=1000).of(keys)

    texts = ["target\x1ea\x1f1", "target\x1e\x00\x1f2", "target\x1eé\x1f\x00"]
    assert found.tolist() == [xxhash.xxh64_intdigest(t.encode(), seed=42) % 1000 for t in texts]
    assert found.tolist() == [663, 464, 507]
