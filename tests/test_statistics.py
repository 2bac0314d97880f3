"""Against numpy and pandas; and what merging promises."""

from __future__ import annotations

import datetime as dt
import decimal
import itertools
import json
import math
from collections import Counter

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import NAMES, NUMBERS

from penstock.cells import family, numbers, texts
from penstock.errors import InputError
from penstock.sketch import EXACT_VALUES, MAX_BINS, merge_sketches, sketch_of
from penstock.states import CategoryState, Kind, NumericState, Wanted
from penstock.statistics import Collector, Statistics, merge

CUTS = st.lists(st.integers(0, 40), max_size=4)


def collect(batches, *wanted, label=None, labels=None):
    collector = Collector(wanted, label=label)
    for at, batch in enumerate(batches):
        collector.add(batch, None if labels is None else labels[at])
    return collector.finish()


def number(array, **options):
    batch = pa.RecordBatch.from_pydict({"x": array})
    wanted = Wanted(name="x", type=str(array.type), kind="numeric")
    state = collect([batch], wanted, **options).columns["x"]
    assert isinstance(state, NumericState)
    return state


def category(array, cap=1000):
    batch = pa.RecordBatch.from_pydict({"x": array})
    wanted = Wanted(name="x", type=str(array.type), kind="categorical", cap=cap)
    state = collect([batch], wanted).columns["x"]
    assert isinstance(state, CategoryState)
    return state


def pieces(cells, cuts, kind):
    bounds = [0, *sorted(min(cut, len(cells)) for cut in cuts), len(cells)]
    return [
        pa.RecordBatch.from_pydict({"x": pa.array(cells[a:b], kind)})
        for a, b in itertools.pairwise(bounds)
    ]


@given(st.lists(NUMBERS, max_size=40), CUTS)
def test_numbers_are_those_of_numpy_however_the_rows_are_cut(cells, cuts):
    wanted = Wanted(name="x", type="double", kind="numeric")
    batches = pieces(cells, cuts, pa.float64())

    in_one = collect(batches, wanted).columns["x"]
    merged = merge([collect([batch], wanted) for batch in batches]).columns["x"]

    known = np.array([c for c in cells if c is not None and not math.isnan(c)])
    for state in (in_one, merged):
        assert isinstance(state, NumericState)
        assert (state.rows, state.nulls) == (len(cells), cells.count(None))
        assert state.nans == sum(c is not None and math.isnan(c) for c in cells)
        assert state.moments.count == len(known)
        assert state.distinct == len(np.unique(known))
        assert state.distinct_is_exact
        if len(known):
            assert (state.minimum, state.maximum) == (known.min(), known.max())
            assert state.moments.mean == pytest.approx(known.mean(), rel=1e-12, abs=1e-9)
            assert state.moments.variance == pytest.approx(known.var(), rel=1e-9, abs=1e-6)
            assert state.quantile(0.5) == np.median(known)
            assert state.quantile(0.1) == pytest.approx(np.quantile(known, 0.1), rel=1e-12)


@given(st.lists(NUMBERS, max_size=40), CUTS, st.randoms(use_true_random=False))
def test_exact_numbers_merge_to_the_same_bits_in_any_order(cells, cuts, random):
    wanted = Wanted(name="x", type="double", kind="numeric")
    parts = [collect([batch], wanted) for batch in pieces(cells, cuts, pa.float64())]
    shuffled = random.sample(parts, len(parts))

    assert plain(merge(shuffled)) == plain(merge(parts))


def plain(statistics):
    return json.loads(statistics.to_json())["columns"]


def test_quantiles_of_many_values_are_within_the_stated_bound():
    values = np.random.default_rng(1).lognormal(3, 4, 50_000) * np.where(
        np.arange(50_000) % 3, 1, -1
    )

    state = number(pa.array(values))

    assert (state.distinct_is_exact, state.sketch.relative_error) == (False, 2.0**-12)
    for share in (0.0, 0.001, 0.25, 0.5, 0.75, 0.999, 1.0):
        low, high = (
            np.quantile(values, share, method="lower"),
            np.quantile(values, share, method="higher"),
        )
        error = 2.0**-12 * max(abs(low), abs(high))
        assert low - error <= state.quantile(share) <= high + error
    assert state.moments.mean == pytest.approx(values.mean(), rel=1e-12)
    assert state.moments.variance == pytest.approx(values.var(), rel=1e-12)
    assert state.distinct == pytest.approx(50_000, rel=0.1)


def test_a_sketch_of_many_values_depends_on_the_union_only():
    values = np.random.default_rng(2).normal(size=20_000)
    cuts = ([3000], [100, 200, 19_000], [EXACT_VALUES, EXACT_VALUES + 1])

    found = []
    for cut in cuts:
        parts = [sketch_of(part) for part in np.split(values, cut)]
        found += [merge_sketches(parts), merge_sketches(parts[::-1])]
        found.append(merge_sketches([merge_sketches(parts[:1]), merge_sketches(parts[1:])]))

    whole = sketch_of(values)
    for sketch in found:
        assert sketch.shift == whole.shift == 0
        np.testing.assert_array_equal(sketch.keys, whole.keys)
        np.testing.assert_array_equal(sketch.counts, whole.counts)
        np.testing.assert_array_equal(sketch.hashes, whole.hashes)


def test_bins_join_when_there_are_too_many_and_the_bound_says_so():
    random = np.random.default_rng(3)
    values = random.uniform(1, 2, 300_000) * 2.0 ** random.integers(-60, 60, 300_000)

    whole = sketch_of(values)
    merged = merge_sketches([sketch_of(part) for part in np.array_split(values, 7)][::-1])

    assert len(whole.keys) <= MAX_BINS
    assert whole.shift == merged.shift == 2
    assert whole.relative_error == 2.0**-10
    np.testing.assert_array_equal(whole.counts, merged.counts)
    median = whole.quantile(0.5, low=values.min(), high=values.max())
    assert median == pytest.approx(np.median(values), rel=2.0**-9)


def test_two_values_have_the_mean_of_both_as_median_and_zeros_stay_zero():
    assert number(pa.array([1.0, 4.0])).quantile(0.5) == 2.5
    many = np.concatenate([np.zeros(9000), np.arange(1, 8001)])
    assert number(pa.array(many)).quantile(0.5) == 0.0


@pytest.mark.parametrize(
    ("array", "nulls", "mean"),
    [
        (pa.array([1, None, 3], pa.int32()), 1, 2.0),
        (pa.array([1, 2, 3], pa.uint8()), 0, 2.0),
        (pa.array([True, False, None, True]), 1, 2 / 3),
        (pa.array([decimal.Decimal("1.50"), decimal.Decimal("2.50")]), 0, 2.0),
        (pa.array([1.5, 2.5], pa.float32()), 0, 2.0),
        (pa.array([4, 4, 1]).dictionary_encode(), 0, 3.0),
    ],
    ids=["int", "uint", "bool", "decimal", "float", "dictionary"],
)
def test_every_type_of_number_counts(array, nulls, mean):
    state = number(array)

    assert (state.nulls, state.nans) == (nulls, 0)
    assert state.moments.mean == pytest.approx(mean)


def test_infinities_are_counted_and_left_out():
    state = number(pa.array([1.0, math.inf, 3.0, -math.inf, math.nan, None]))

    assert (state.infinities, state.nans, state.nulls, state.missing) == (2, 1, 1, 2)
    assert (state.minimum, state.maximum, state.moments.mean) == (1.0, 3.0, 2.0)


def test_huge_finite_numbers_are_not_taken_for_infinite():
    batch = pa.RecordBatch.from_pydict({"x": pa.array([1e308, 1.5e308, 1.7e308])})
    wanted = Wanted(name="x", type="double", kind="numeric")

    statistics = collect([batch, batch], wanted)

    state = Statistics.from_json(statistics.to_json()).columns["x"]
    assert isinstance(state, NumericState)
    assert (state.infinities, state.maximum, state.quantile(0.5)) == (0, 1.7e308, 1.5e308)
    assert not math.isfinite(state.moments.std)


@pytest.mark.parametrize(
    "array", [pa.array([], pa.float64()), pa.nulls(3), pa.array([None], pa.int64())]
)
def test_a_column_without_values_has_no_mean_and_no_error(array):
    state = number(array)

    assert (state.rows, state.missing, state.moments.count) == (len(array), len(array), 0)
    assert math.isnan(state.minimum)


@given(st.lists(st.tuples(NAMES, st.sampled_from([0.0, 1.0, math.nan])), max_size=40), CUTS)
def test_categories_are_counted_exactly_however_the_rows_are_cut(rows, cuts):
    cells, labels = [name for name, _ in rows], np.array([label for _, label in rows])
    wanted = Wanted(name="x", type="string", kind="categorical")
    batches = pieces(cells, cuts, pa.string())
    cut_labels = np.split(labels, np.cumsum([b.num_rows for b in batches])[:-1])

    parts = [
        collect([b], wanted, label="y", labels=[y])
        for b, y in zip(batches, cut_labels, strict=True)
    ]
    states = [
        merge(parts),
        merge(parts[::-1]),
        collect(batches, wanted, label="y", labels=cut_labels),
    ]

    counts = Counter(cell for cell in cells if cell is not None)
    labelled = Counter(cell for cell, label in rows if not math.isnan(label))
    sums = Counter(cell for cell, label in rows if label == 1)
    for statistics in states:
        state = statistics.columns["x"]
        assert isinstance(state, CategoryState)
        names = state.values.to_pylist()
        assert names == sorted(counts, key=str.encode)
        assert state.counts.tolist() == [counts[name] for name in names]
        assert state.label_rows.tolist() == [labelled[name] for name in names]
        assert state.label_sums.tolist() == [sums[name] for name in names]
        assert (state.nulls, state.distinct, state.undercount) == (
            cells.count(None),
            len(counts),
            0,
        )


def test_past_its_cap_a_column_keeps_the_most_frequent_and_says_by_how_much_it_may_be_wrong():
    random = np.random.default_rng(4)
    rare = [f"id{i}" for i in random.integers(0, 30_000, 60_000)]
    cells = random.permutation(rare + ["common"] * 9000 + ["frequent"] * 4000)
    truth = pd.Series(cells).value_counts()
    wanted = Wanted(name="x", type="string", kind="categorical", cap=500)
    parts = [
        collect([pa.RecordBatch.from_pydict({"x": pa.array(part)})], wanted)
        for part in np.array_split(cells, 8)
    ]

    merged = merge(parts)
    state = merged.trimmed().columns["x"]

    assert isinstance(state, CategoryState)
    assert plain(merged.trimmed()) == plain(merge(parts[::-1]).trimmed())
    assert len(state.values) == 500
    counted = dict(zip(state.values.to_pylist(), state.counts.tolist(), strict=True))
    assert (counted["common"], counted["frequent"]) == (9000, 4000)
    assert 0 < state.undercount < 100
    assert all(c <= truth[name] <= c + state.undercount for name, c in counted.items())
    assert (state.rows, state.distinct_is_exact) == (73_000, False)
    assert state.distinct == pytest.approx(len(truth), rel=0.1)


@pytest.mark.parametrize(
    ("array", "values", "nulls", "nans"),
    [
        (pa.array([3, None, 3, 1], pa.int16()), ["1", "3"], 1, 0),
        (pa.array([3.0, math.nan, 3.5, -0.0, None]), ["0", "3", "3.5"], 1, 1),
        (pa.array([True, False, True]), ["false", "true"], 0, 0),
        (pa.array([decimal.Decimal("1.50"), decimal.Decimal("2.00")]), ["1.5", "2"], 0, 0),
        (pa.array(["b", "ä", "a", None]).dictionary_encode(), ["a", "b", "ä"], 1, 0),
        (pa.array(["b", ""], pa.large_string()), ["", "b"], 0, 0),
        (pa.array([dt.date(2013, 1, 2)]), ["2013-01-02"], 0, 0),
        (pa.nulls(2), [], 2, 0),
    ],
    ids=["int", "float", "bool", "decimal", "dictionary", "large", "date", "null"],
)
def test_every_type_of_name_has_one_text_per_value(array, values, nulls, nans):
    state = category(array)

    assert (state.values.to_pylist(), state.nulls, state.nans) == (values, nulls, nans)
    assert int(state.counts.sum()) == len(array) - nulls - nans


def test_a_dictionary_with_repeats_nulls_and_unused_entries_counts_what_is_there():
    indices = pa.array([0, 1, 2, None, 3], pa.uint8())
    array = pa.DictionaryArray.from_arrays(indices, pa.array(["a", "a", None, "b", "unused"]))

    state = category(array)

    assert (state.values.to_pylist(), state.counts.tolist(), state.nulls) == (["a", "b"], [2, 1], 2)


def test_a_whole_number_has_one_text_in_every_type():
    arrays = [pa.array([7], pa.int8()), pa.array([7.0]), pa.array([decimal.Decimal("7.00")])]

    assert [texts(array).to_pylist() for array in arrays] == [["7"]] * 3


def test_numbers_of_a_null_column_are_all_missing():
    assert np.isnan(numbers(pa.nulls(2))).all()


@given(
    st.lists(st.tuples(NUMBERS, NUMBERS, st.sampled_from([0.0, 1.0])), min_size=2, max_size=40),
    CUTS,
)
@settings(deadline=None)
def test_correlations_are_those_of_pandas_on_complete_pairs(rows, cuts):
    frame = pd.DataFrame(rows, columns=["a", "b", "y"], dtype=float)
    bounds = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    wanted = [Wanted(name=name, type="double", kind="numeric") for name in "ab"]
    parts = []
    for low, high in itertools.pairwise(bounds):
        part = frame.iloc[low:high]
        batch = pa.RecordBatch.from_pydict({name: pa.array(part[name]) for name in "ab"})
        parts.append(collect([batch], *wanted, label="y", labels=[part["y"].to_numpy()]))

    comoments = merge(parts).comoments

    assert comoments.names == ("y", "a", "b")
    found = pd.DataFrame(comoments.correlation(), index=list("yab"), columns=list("yab"))
    expected = frame.corr()
    for one, other in (("a", "b"), ("a", "y"), ("b", "y")):
        pair = frame[[one, other]].dropna()
        # Where few rows are near each other and far from the others, few digits are left.
        if (pair.std() > 1e-3 * frame[[one, other]].abs().max()).all():
            assert found.loc[one, other] == pytest.approx(expected.loc[one, other], abs=1e-6)


def test_a_constant_column_has_no_correlation():
    batch = pa.RecordBatch.from_pydict({"a": pa.array([0.1] * 1000)})
    wanted = Wanted(name="a", type="double", kind="numeric")

    statistics = collect([batch] * 3, wanted, label="y", labels=[np.arange(1000.0) % 2] * 3)

    assert statistics.label_correlation("a") is None


def test_more_columns_than_the_matrix_holds_still_correlate_with_the_label():
    random = np.random.default_rng(5)
    label = random.integers(0, 2, 5000).astype(float)
    frame = pd.DataFrame({f"c{i}": label * i + random.normal(size=5000) for i in range(60)})
    frame = frame.mask(random.random(frame.shape) < np.arange(60) % 3 * 0.1)
    columns = {name: pa.array(frame[name]) for name in frame}
    wanted = [Wanted(name=name, type="double", kind="numeric") for name in columns]

    statistics = collect([pa.RecordBatch.from_pydict(columns)], *wanted, label="y", labels=[label])

    found = statistics.comoments.correlation()
    expected = frame.assign(y=label)[["y", *columns]].corr().to_numpy()
    assert found.shape == (61, 50)
    np.testing.assert_allclose(found, expected[:, :50], atol=1e-9)
    assert statistics.label_correlation("c59") == pytest.approx(expected[60, 0])


@pytest.mark.parametrize(
    ("array", "distinct"),
    [
        (pa.array([1, 1, None, 2], pa.timestamp("us", "UTC")), 2),
        (pa.array([1, 1, 2], pa.date32()), 2),
        (pa.array([b"a", b"a", None, b"", b"b"]), 3),
        (pa.array([[1], [1]]), 0),
    ],
    ids=["timestamp", "date", "binary", "list"],
)
def test_other_columns_have_nulls_and_distinct_values(array, distinct):
    wanted = Wanted(name="x", type=str(array.type), kind="other")
    batch = pa.RecordBatch.from_pydict({"x": array})

    state = collect([batch, batch], wanted).columns["x"]

    assert (state.rows, state.missing) == (2 * len(array), 2 * array.null_count)
    assert (state.distinct, state.distinct_is_exact) == (distinct, distinct > 0)


def full():
    random = np.random.default_rng(6)
    batch = pa.RecordBatch.from_pydict(
        {
            "few": pa.array(random.integers(0, 9, 6000)),
            "many": pa.array(random.normal(size=6000) * 1e-300),
            "name": pa.array([f"ä{i}" for i in random.integers(0, 3000, 6000)]),
            "empty": pa.nulls(6000),
            "at": pa.array(np.arange(6000), pa.timestamp("us")),
        }
    )
    kinds: dict[str, Kind] = {
        "few": "numeric",
        "many": "numeric",
        "name": "categorical",
        "empty": "numeric",
        "at": "other",
    }
    wanted = [
        Wanted(name=name, type=str(batch.schema.field(name).type), kind=kind, cap=50)
        for name, kind in kinds.items()
    ]
    labels = [random.integers(0, 2, 6000).astype(float)]
    return collect([batch], *wanted, label="y", labels=labels)


def test_json_restores_every_bit_and_merges_like_the_original():
    statistics = full()

    restored = Statistics.from_json(statistics.to_json())

    assert restored.to_json() == statistics.to_json()
    assert merge([restored, restored]).to_json() == merge([statistics, statistics]).to_json()


def test_the_same_rows_give_the_same_bytes():
    assert full().to_json() == full().to_json()


def test_another_schema_version_is_refused():
    text = full().to_json().replace('"schema_version":1', '"schema_version":2')

    with pytest.raises(InputError) as caught:
        Statistics.from_json(text)

    assert str(caught.value) == "statistics: schema_version is 2, expected 1\n  fit again"


def test_statistics_of_other_columns_do_not_merge():
    one = collect([], Wanted(name="a", type="double", kind="numeric"))
    other = collect([], Wanted(name="b", type="double", kind="numeric"))
    kind = collect([], Wanted(name="a", type="string", kind="categorical"))

    with pytest.raises(InputError) as columns:
        merge([one, other])
    with pytest.raises(InputError) as kinds:
        merge([one, kind])

    assert str(columns.value) == (
        "statistics: columns are ['b'], expected ['a']\n"
        "  fit all of them with the same columns and label"
    )
    assert str(kinds.value) == (
        "statistics of column 'a': states are CategoryState, NumericState, expected one kind\n"
        "  fit all of them with the same features"
    )


def test_memory_of_a_column_of_names_is_bounded_while_it_is_collected():
    wanted = Wanted(name="x", type="string", kind="categorical", cap=1000)
    collector = Collector([wanted])
    for start in range(0, 400_000, 50_000):
        ids = [f"{i:08d}" for i in range(start, start + 50_000)]
        collector.add(pa.RecordBatch.from_pydict({"x": pa.array(ids)}))
        assert sum(state.entries for state in collector._states["x"]) < 250_000

    state = collector.finish().columns["x"]

    assert state.entries == 1000
    assert state.distinct == pytest.approx(400_000, rel=0.1)


def test_families_are_what_reads_alike():
    assert family("timestamp[us, tz=UTC]") == family("list<item: int64>") == "other"
    assert (family("bool"), family("null"), family("halffloat")) == ("boolean", "null", "number")
