import json
import math
from functools import reduce
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from penstock.errors import DataError
from penstock.metrics import BinaryState, MulticlassState, RegressionState, ScoreCounts, exact_sum

RNG = np.random.default_rng(20130101)
N = 5000
LABELS = (RNG.random(N) < 0.24).astype(np.float32)
SCORES = np.clip(RNG.normal(0.25 + 0.15 * LABELS, 0.15), 0.0, 1.0).astype(np.float32).astype(float)
CALLED = SCORES >= 0.5
TRUE_CLASS = RNG.integers(0, 4, N).astype(np.float32)
LOGITS = RNG.normal(size=(N, 4)) + 1.2 * np.eye(4)[TRUE_CLASS.astype(int)]
CLASS_SCORES = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)
VALUES = RNG.gamma(2.0, 900.0, N).astype(np.float32)
PREDICTED = VALUES + RNG.normal(30, 200, N)


def binary(scores, labels, **more):
    return BinaryState.of(
        np.asarray(scores), np.asarray(labels, dtype=np.float32), where="s", **more
    )


def in_parts(make, rows, order):
    """Cut rows 0..n at hypothesis's choice and merge the parts in its order."""
    cuts, places = order
    bounds = [0, *sorted(cut % (rows + 1) for cut in cuts), rows]
    parts = [make(slice(a, b)) for a, b in pairwise(bounds)]
    shuffled = sorted(parts, key=lambda part: places[parts.index(part) % len(places)])
    middle = len(shuffled) // 2  # a tree, not only a chain
    left = reduce(lambda a, b: a.merged(b), shuffled[:middle] or shuffled[:1])
    right = reduce(lambda a, b: b.merged(a), shuffled[middle:]) if shuffled[:middle] else None
    return left.merged(right) if right is not None else left


ORDERS = st.tuples(
    st.lists(st.integers(0, 10_000), max_size=6),
    st.lists(st.integers(0, 9), min_size=1, max_size=7),
)
PROBABILITIES = st.one_of(
    st.sampled_from([0.0, 0.25, 0.5, 1.0, 1e-9, 1 - 1e-7]), st.floats(0, 1, width=32)
)
ROWS = st.lists(st.tuples(PROBABILITIES, st.sampled_from([0.0, 1.0])), min_size=1, max_size=60)


@given(st.lists(st.floats(-1e300, 1e300), max_size=40), st.randoms())
def test_an_exact_sum_is_that_of_fractions_in_any_order(values, random):
    shuffled = list(values)
    random.shuffle(shuffled)
    half = len(shuffled) // 2

    total = exact_sum(np.array(shuffled[:half])) + exact_sum(np.array(shuffled[half:]))

    assert total == exact_sum(np.array(values))
    assert total / (1 << 1126) == math.fsum(values)


@given(ROWS, ORDERS, st.sampled_from([1, 3, 10, 10_000]))
def test_binary_states_are_the_same_whatever_the_partitioning(rows, order, limit):
    scores, labels = map(np.array, zip(*rows, strict=True))

    merged = in_parts(
        lambda part: binary(scores[part], labels[part], limit=limit), len(rows), order
    )

    assert merged == binary(scores, labels, limit=limit)
    assert merged.ranking.bucketed == (len(set(scores.astype(np.float32).tolist())) > limit)


@given(st.integers(1, 60), ORDERS, st.sampled_from([4, 40_000]))
def test_multiclass_states_are_the_same_whatever_the_partitioning(rows, order, limit):
    def make(part):
        return MulticlassState.of(
            CLASS_SCORES[:rows][part], TRUE_CLASS[:rows][part], where="s", limit=limit
        )

    assert in_parts(make, rows, order) == make(slice(None))


@given(
    st.lists(
        st.tuples(st.floats(-1e30, 1e30), st.floats(-(2.0**99), 2.0**99, width=32)), min_size=1
    ),
    ORDERS,
)
def test_regression_states_are_the_same_whatever_the_partitioning(rows, order):
    scores, labels = map(np.array, zip(*rows, strict=True))

    def make(part):
        return RegressionState.of(scores[part], labels[part], where="s", span=(-100.0, 100.0))

    assert in_parts(make, len(rows), order) == make(slice(None))


def test_other_rows_give_another_state():
    assert binary([0.1, 0.2], [0, 1]) != binary([0.1, 0.2], [1, 0])


@pytest.mark.parametrize(
    "state",
    [
        binary(SCORES[:300], LABELS[:300]),
        binary(SCORES[:300], LABELS[:300], limit=10),
        MulticlassState.of(CLASS_SCORES[:50], TRUE_CLASS[:50], where="s"),
        RegressionState.of(PREDICTED[:50], VALUES[:50], where="s", span=(0.0, 9000.0)),
        RegressionState.of(PREDICTED[:50], VALUES[:50], where="s"),
    ],
    ids=["exact", "bucketed", "multiclass", "regression", "no-span"],
)
def test_json_gives_the_state_back(state):
    back = type(state).from_json(state.to_json())

    assert back == state
    assert back.merged(back) == state.merged(state)
    assert back.metrics() == state.metrics()


def test_json_holds_no_number_that_other_readers_would_round():
    numbers = []
    json.loads(binary(SCORES, LABELS).to_json(), parse_int=lambda text: numbers.append(int(text)))

    assert max(numbers) < 2**53


def test_binary_metrics_equal_scikit_learn():
    found = binary(SCORES, LABELS).metrics()

    called = CALLED.astype(int)
    expected = {
        "auc": reference.roc_auc_score(LABELS, SCORES),
        "average_precision": reference.average_precision_score(LABELS, SCORES),
        "log_loss": reference.log_loss(LABELS, SCORES),
        "brier": reference.brier_score_loss(LABELS, SCORES),
        "accuracy": reference.accuracy_score(LABELS, called),
        "precision": reference.precision_score(LABELS, called),
        "recall": reference.recall_score(LABELS, called),
        "sensitivity": reference.recall_score(LABELS, called),
        "specificity": reference.recall_score(LABELS, called, pos_label=0),
        "f1": reference.f1_score(LABELS, called),
        "balanced_accuracy": reference.balanced_accuracy_score(LABELS, called),
        "mcc": reference.matthews_corrcoef(LABELS, called),
        "base_rate": LABELS.mean(dtype=float),
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-9)
    assert found["confusion"] == reference.confusion_matrix(LABELS, called).tolist()
    assert found["notes"] == {}


@settings(max_examples=60)
@given(ROWS.filter(lambda rows: len({label for _, label in rows}) == 2))
def test_ranking_metrics_equal_scikit_learn_with_ties(rows):
    scores, labels = map(np.array, zip(*rows, strict=True))

    found = binary(scores, labels).metrics()

    rounded = scores.astype(np.float32)
    assert found["auc"] == pytest.approx(reference.roc_auc_score(labels, rounded), abs=1e-9)
    assert found["average_precision"] == pytest.approx(
        reference.average_precision_score(labels, rounded), abs=1e-9
    )


def test_the_best_thresholds_are_best_of_all_distinct_scores():
    found = binary(SCORES, LABELS).metrics()["best"]

    f1 = max(reference.f1_score(LABELS, t <= SCORES) for t in np.unique(SCORES)[::7])
    fpr, tpr, _ = reference.roc_curve(LABELS, SCORES)
    assert f1 <= found["f1"]["f1"] < f1 + 0.01
    assert found["youden"]["youden"] == pytest.approx((tpr - fpr).max(), abs=1e-12)
    assert found["f1"]["f1"] == pytest.approx(
        reference.f1_score(LABELS, found["f1"]["threshold"] <= SCORES), abs=1e-12
    )


def test_thinned_curves_keep_their_ends_and_area():
    found = binary(SCORES, LABELS).metrics()

    roc, pr = found["curves"]["roc"], found["curves"]["pr"]
    area = np.trapezoid(roc["tpr"], roc["fpr"])
    steps = np.dot(np.diff(pr["recall"], prepend=0), pr["precision"])
    assert len(roc["fpr"]) <= 400
    assert len(pr["recall"]) <= 400
    assert (roc["fpr"][0], roc["tpr"][0], roc["fpr"][-1], roc["tpr"][-1]) == (0, 0, 1, 1)
    assert pr["recall"][-1] == 1
    assert area == pytest.approx(found["auc"], abs=1e-3)
    assert steps == pytest.approx(found["average_precision"], abs=5e-3)


def test_curves_over_thresholds_and_calibration_count_the_rows_that_they_name():
    found = binary(SCORES, LABELS).metrics()

    curve = found["curves"]["thresholds"]
    for i in (0, 60, 150, 199):
        called = curve["threshold"][i] <= SCORES
        assert curve["recall"][i] == pytest.approx(LABELS[called].sum() / LABELS.sum())
        assert curve["precision"][i] == pytest.approx(LABELS[called].mean(dtype=float))
    assert (curve["threshold"][-1] <= SCORES).sum() == 20
    bins = found["calibration"]
    assert sum(one["rows"] for one in bins) == N
    assert sum(one["rows"] * one["rate"] for one in bins) == pytest.approx(LABELS.sum())
    assert sum(one["rows"] * one["score"] for one in bins) == pytest.approx(SCORES.sum())
    assert [one["score"] for one in bins] == sorted(one["score"] for one in bins)
    assert sum(found["curves"]["scores"]["positives"]) == LABELS.sum()


def test_lift_takes_equal_scores_in_proportion():
    assert binary([0.5] * 10, [0] * 5 + [1] * 5).metrics()["lift_at_10pct"] == pytest.approx(1.0)
    assert binary([0.1] * 9 + [0.9], [0] * 9 + [1]).metrics()["lift_at_10pct"] == pytest.approx(
        10.0
    )


def test_past_the_limit_buckets_stay_within_the_stated_bound():
    exact, rough = binary(SCORES, LABELS), binary(SCORES, LABELS, limit=100)

    auc, bound = rough.ranking.auc()
    assert abs(auc - exact.ranking.auc()[0]) <= bound < 2e-3
    assert len(rough.ranking.scores) < len(exact.ranking.scores)
    assert rough.metrics()["confusion"] == exact.metrics()["confusion"]  # 1/2 is an edge
    assert rough.metrics()["log_loss"] == exact.metrics()["log_loss"]
    assert rough.metrics()["notes"] == {
        "scores": "more than 100 distinct scores: counted in buckets; "
        f"ties inside them move the AUC by at most {bound:.1e}"
    }


@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=300), st.sampled_from([6, 10]))
def test_buckets_keep_the_order_and_bracket_their_scores(scores, bits):
    given_scores = np.sort(np.array(scores))
    nobody = np.zeros(len(scores), dtype=bool)

    edges = np.concatenate(
        [
            ScoreCounts.of(given_scores[i : i + 1], nobody[:1], limit=0, bits=bits).scores
            for i in range(len(scores))
        ]
    )

    assert (np.diff(edges) >= 0).all()
    assert (edges <= given_scores).all()
    width = 2.0**-bits * np.minimum(given_scores, 1 - given_scores + 2.0**-24) * 2
    assert (given_scores - edges <= np.maximum(width, 2.0**-31)).all()
    assert ((edges >= 0.5) == (given_scores >= 0.5)).all()


def test_the_bound_is_reached_when_a_bucket_hides_the_order():
    near = np.array([0.3, np.nextafter(np.float32(0.3), np.float32(1))])

    exact, rough = (binary(near, [0, 1], limit=limit).ranking.auc() for limit in (2, 1))

    assert exact == (1.0, 0.0)
    assert rough == (0.5, 0.5)


def test_a_state_in_buckets_puts_the_other_into_buckets_too():
    few, many = (
        binary([0.7001], [1], limit=3),
        binary([0.3, 0.30001, 0.30002, 0.30003], [0, 0, 1, 1], limit=3),
    )
    assert (few.ranking.bucketed, many.ranking.bucketed) == (False, True)

    assert few.merged(many) == many.merged(few)
    assert few.merged(many).ranking.bucketed
    assert len(few.merged(many).ranking.scores) == 2


def test_scores_below_the_smallest_edge_share_a_bucket():
    assert binary([1e-12, 1e-20, 0.0], [0, 0, 1], limit=1).ranking.scores.tolist() == [0.0]


def test_buckets_are_at_most_2_to_the_16():
    every = np.concatenate([np.logspace(-14, 0, 400_000), 1 - np.logspace(-8, 0, 400_000)]).clip(
        0, 1
    )

    counts = ScoreCounts.of(every, np.zeros(len(every), dtype=bool))

    assert counts.bucketed
    assert 40_000 < len(counts.scores) <= 2**16


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_alone_gives_null_with_a_reason(label):
    found = binary([0.2, 0.7, 0.7], [label] * 3).metrics()

    assert found["auc"] is None
    assert found["notes"]["auc"] == f"undefined: all 3 rows are of class {label}"
    assert (found["average_precision"] is None) == (label == 0)
    json.dumps(found, allow_nan=False)


def test_one_row_is_enough():
    assert binary([0.75], [1]).metrics()["confusion"] == [[0, 0], [0, 1]]
    row = RegressionState.of(np.array([3.0]), np.array([5.0]), where="s").metrics(width=2)
    assert (row["mse"], row["mae"], row["r2"]) == (4.0, 2.0, None)
    assert row["notes"] == {
        "r2": "undefined: all 1 labels are equal",
        "adjusted_r2": "undefined: all 1 labels are equal",
    }
    json.dumps(row, allow_nan=False)


def test_multiclass_metrics_equal_scikit_learn():
    state = MulticlassState.of(CLASS_SCORES, TRUE_CLASS, where="s")
    found = state.metrics(("north", "east", "south", "west"))

    called = CLASS_SCORES.argmax(axis=1)
    rounded = CLASS_SCORES.astype(np.float32).astype(float)
    expected = {
        "accuracy": reference.accuracy_score(TRUE_CLASS, called),
        "balanced_accuracy": reference.balanced_accuracy_score(TRUE_CLASS, called),
        "log_loss": reference.log_loss(TRUE_CLASS, CLASS_SCORES),
        "auc": np.mean([reference.roc_auc_score(k == TRUE_CLASS, rounded[:, k]) for k in range(4)]),
    }
    for average in ("macro", "weighted"):
        for name in ("precision", "recall", "f1"):
            score = getattr(reference, f"{name}_score")
            expected[f"{average}_{name}"] = score(TRUE_CLASS, called, average=average)
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-9)
    assert found["confusion"] == reference.confusion_matrix(TRUE_CLASS, called).tolist()
    assert [one["class"] for one in found["per_class"]] == ["north", "east", "south", "west"]
    assert [one["f1"] for one in found["per_class"]] == pytest.approx(
        reference.f1_score(TRUE_CLASS, called, average=None)
    )


def test_a_class_without_rows_is_left_out_of_the_means():
    scores = np.array([[0.7, 0.2, 0.1], [0.2, 0.7, 0.1], [0.6, 0.3, 0.1]])
    found = MulticlassState.of(scores, np.array([0, 1, 1.0]), where="s").metrics()

    assert found["macro_recall"] == pytest.approx((1 + 0.5) / 2)
    assert found["per_class"][2]["auc"] is None
    assert found["auc"] == pytest.approx((1.0 + 1.0) / 2)
    assert found["notes"] == {
        "auc": "no rows, or all of them, in 1 of 3 classes: left out of the mean"
    }


def test_regression_metrics_equal_scikit_learn():
    found = RegressionState.of(PREDICTED, VALUES, where="s").metrics(width=12)

    r2 = reference.r2_score(VALUES, PREDICTED)
    expected = {
        "rmse": reference.root_mean_squared_error(VALUES, PREDICTED),
        "mse": reference.mean_squared_error(VALUES, PREDICTED),
        "mae": reference.mean_absolute_error(VALUES, PREDICTED),
        "r2": r2,
        "adjusted_r2": 1 - (1 - r2) * (N - 1) / (N - 12 - 1),
        "max_absolute_error": reference.max_error(VALUES, PREDICTED),
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-9)
    assert found["median_absolute_error"] == pytest.approx(
        reference.median_absolute_error(VALUES, PREDICTED), rel=0.01
    )


def test_r2_loses_no_digit_far_from_zero():
    labels = np.float32(16_000_000) + np.arange(8, dtype=np.float32)
    found = RegressionState.of(labels + 1.0, labels, where="s").metrics()

    assert found["r2"] == pytest.approx(1 - 8 / 42, abs=1e-12)
    assert found["label_std"] == pytest.approx(np.arange(8).std(), abs=1e-12)


def test_residual_shapes_follow_the_residuals():
    found = RegressionState.of(
        PREDICTED, VALUES, where="s", span=(0.0, float(VALUES.max()))
    ).metrics()

    quantiles = {
        q: float(np.quantile(VALUES - PREDICTED, float(q))) for q in ("0.05", "0.5", "0.95")
    }
    assert {q: found["residual_quantiles"][q] for q in quantiles} == pytest.approx(
        quantiles, rel=0.02, abs=3
    )
    assert sum(found["curves"]["residuals"]["counts"]) == pytest.approx(0.99 * N, rel=0.01)
    grid = np.array(found["curves"]["grid"]["counts"])
    assert grid.sum() == N
    assert np.trace(grid) > 0.3 * N


def test_adjusted_r2_needs_more_rows_than_features():
    found = RegressionState.of(PREDICTED[:5], VALUES[:5], where="s").metrics(width=4)

    assert found["adjusted_r2"] is None
    assert found["notes"] == {
        "adjusted_r2": "undefined: 5 rows for 4 features, expected more than 5"
    }


def test_states_of_different_spans_do_not_merge():
    one = RegressionState.of(PREDICTED[:5], VALUES[:5], where="s", span=(0.0, 1.0))
    other = RegressionState.of(PREDICTED[:5], VALUES[:5], where="s")

    with pytest.raises(ValueError, match=r"^spans differ: \(0\.0, 1\.0\) and None$"):
        one.merged(other)


LATER: dict[str, Any] = {"where": "lake/part-00003.rec", "first_row": 100}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: BinaryState.of(np.array([0.5, np.nan]), np.array([0, 1.0]), **LATER),
            "lake/part-00003.rec, row 101: score is nan, expected a probability from 0 to 1\n"
            "  the model is not one of a binary task, or its training diverged",
        ),
        (
            lambda: BinaryState.of(np.array([0.5, 0.5]), np.array([0, 2.0]), **LATER),
            "lake/part-00003.rec, row 101: label is 2.0, expected a class number from 0 to 1\n"
            "  convert the dataset again with the label's classes in the spec",
        ),
        (
            lambda: BinaryState.of(np.array([0.5, 0.5]), np.array([np.nan, 1.0]), **LATER),
            "lake/part-00003.rec, row 100: label is nan, expected a class number from 0 to 1\n"
            "  convert the dataset again with the label's classes in the spec",
        ),
        (
            lambda: BinaryState.of(np.array([0.5, 0.5]), np.array([1.0]), **LATER),
            "lake/part-00003.rec: 2 scores for 1 labels, expected one score a row\n"
            "  the dataset has unlabelled rows, or the model drops rows",
        ),
        (
            lambda: MulticlassState.of(np.array([[0.5, 0.1]]), np.array([1.0]), **LATER),
            "lake/part-00003.rec, row 100: the scores of 2 classes sum to 0.6, expected probabilities with sum 1\n"
            "  the model is not one of a multiclass task, or its training diverged",
        ),
        (
            lambda: RegressionState.of(np.array([1.0, np.inf]), np.array([1.0, 1.0]), **LATER),
            "lake/part-00003.rec, row 101: prediction is inf, expected a finite number\n"
            "  the training diverged, or the dataset was not written by convert",
        ),
    ],
    ids=["nan-score", "label", "nan-label", "lengths", "distribution", "infinite"],
)
def test_bad_scores_and_labels_say_where_and_what(make, message):
    with pytest.raises(DataError) as caught:
        make()

    assert str(caught.value) == message
