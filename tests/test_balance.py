from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from makers import shop_spec, spec_of
from strategies import batch, categorical, numeric, plan, spec, statistics

from penstock import balance, convert, dataset, fit, recordio
from penstock import spark as penstock_spark
from penstock.curated import Curated, CuratedFile
from penstock.errors import DataError, SpecError
from penstock.spec import TrainSpec

# ---- what a spec may say


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"balance": {"class_weights": True, "oversample": {"to": 0.5}}}, "balance: class_weights and oversample do the same twice; keep one"),
        ({"balance": {"oversample": {}}}, "balance.oversample: expected either to, a share of the largest class, or times, by class"),
        ({"balance": {"oversample": {"to": 1, "times": {"1": 2}}}}, "balance.oversample: expected either to, a share of the largest class, or times, by class"),
        ({"balance": {"oversample": {"times": {"1": 0.5}}}}, "balance.oversample.times.1: found 0.5, expected a number from 1 to 10000"),
        ({"balance": {"oversample": {"times": {"yes": 2}}}}, "balance.oversample.times.yes: no class is called 'yes', expected '0' or '1'"),
        ({"balance": {"overample": {"to": 1}}}, "balance.overample: unknown key; did you mean 'oversample'?"),
        ({"balance": {"oversample": {"to": 1, "time": {}}}}, "balance.oversample.time: unknown key; did you mean 'times'?"),
        ({"task": "regression", "balance": {"class_weights": True}, "train": [{"algorithm": "linear-learner", "hyperparameters": {"predictor_type": "regressor"}}]}, "balance: a regression has no classes; remove it or change the task"),
    ],
)  # fmt: skip
def test_what_does_not_fit_together_is_told_whole(changes, problem):
    with pytest.raises(SpecError) as caught:
        spec_of(shop_spec(**changes))

    assert str(caught.value).split(", ", 1)[1] == problem
    assert str(caught.value).startswith("p.yaml: 1 problem\n  line ")


def test_classes_may_be_keys_as_yaml_reads_them():
    body = shop_spec(label={"column": "paid", "classes": [False, True]})

    found = spec_of(body | {"balance": {"oversample": {"times": {True: 3}}}})

    assert found.balance.oversample.times == {"true": 3.0}


# ---- counts and weights


@pytest.mark.parametrize(
    ("y", "classes", "task", "rows"),
    [
        (pa.array([0, 1, 0, 0]), None, "binary", (3, 1)),
        (pa.array([True, False, True]), None, "binary", (1, 2)),
        (pa.array(["b", "a", "b", "b"]), ["a", "b"], "binary", (1, 3)),
        (pa.array([2, 0, 1, 1, 2, 2]), None, "multiclass", (1, 2, 3)),
    ],
)
def test_classes_are_counted_by_number_and_weigh_the_same(y, classes, task, rows):
    of = spec(numeric("n"), task=task, label={"column": "y", "classes": classes})
    table = batch(n=np.arange(float(len(y))), y=y)
    label = plan(table, of=of).label

    found = balance.class_rows(statistics(table, of=of), label)

    assert found == rows
    weights = balance.class_weights(found)
    np.testing.assert_allclose(np.array(weights) * rows, len(y) / len(rows), rtol=1e-5)


def test_plan_says_what_was_asked_for_alone():
    table = batch(n=np.arange(10.0), y=pa.array([1, 0, 0, 0, 0, 0, 0, 0, 0, 1]))
    of = spec(numeric("n"))
    label, learned = plan(table, of=of).label, statistics(table, of=of)

    def noted(**asked):
        return balance.noted(learned, spec(numeric("n"), balance=asked), label)

    assert noted() == {}
    assert noted(class_weights=True) == {"class_rows": [8, 2], "class_weights": [0.625, 2.5]}
    assert noted(oversample={"to": 0.5}) == {"class_rows": [8, 2], "class_times": [1.0, 2.0]}
    assert noted(oversample={"to": 0.1}) == {"class_rows": [8, 2], "class_times": [1.0, 1.0]}
    assert noted(oversample={"times": {"1": 2.5}})["class_times"] == [1.0, 2.5]


@pytest.mark.parametrize(
    ("algorithm", "task", "own", "name", "value", "note"),
    [
        ("linear-learner", "binary", {}, "positive_example_weight_mult", 4.0, "balance.class_weights: positive_example_weight_mult is set to 4.0"),
        ("xgboost", "binary", {}, "scale_pos_weight", 4.0, "balance.class_weights: scale_pos_weight is set to 4.0"),
        ("xgboost", "binary", {"scale_pos_weight": 2}, "scale_pos_weight", 2, "balance.class_weights: scale_pos_weight stays 2, as hyperparameters say"),
        ("linear-learner", "multiclass", {}, "balance_multiclass_weights", True, "balance.class_weights: balance_multiclass_weights is set to True"),
        ("xgboost", "multiclass", {}, "scale_pos_weight", None, "balance.class_weights: xgboost has no hyperparameter for the weights of 2 classes, so its rows weigh the same; use balance.oversample"),
    ],
)  # fmt: skip
def test_weights_reach_the_trainer_unless_its_hyperparameters_say_otherwise(
    algorithm, task, own, name, value, note
):
    model = TrainSpec(algorithm=algorithm, hyperparameters=own)

    found, told = balance.weighted(
        model, task, {"class_rows": [8, 2], "class_weights": [0.625, 2.5]}
    )

    assert (found.hyperparameters.get(name), told) == (value, note)
    assert model.hyperparameters == own
    assert balance.weighted(model, task, {"rows": 10}) == (model, None)


# ---- copies


TIMES = st.floats(1, 6, allow_nan=False)


@given(st.integers(1, 300), TIMES, st.integers(1, 50))
def test_copies_depend_on_the_row_alone(rows, times, step):
    ids = pa.array(np.arange(rows))
    labels = (np.arange(rows) % 3 == 0).astype(np.float32)

    found = balance.copies([ids], labels, (1.0, times))

    parts = [
        balance.copies([ids.slice(at, step)], labels[at : at + step], (1.0, times))
        for at in range(0, rows, step)
    ]
    np.testing.assert_array_equal(np.concatenate(parts), found)
    assert (found[labels == 0] == 1).all()
    assert set(found[labels == 1]) <= {int(times), int(times) + 1}


def test_fractions_are_met_on_average():
    ids = pa.array(np.arange(20_000))

    found = balance.copies([ids], np.ones(20_000), (1.0, 2.3))

    assert found.mean() == pytest.approx(2.3, abs=0.02)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=60))
def test_every_row_comes_as_often_as_it_is_copied(counts):
    counts = np.array(counts)
    ids = pa.array([f"k{i}" for i in range(len(counts))])

    found = balance.repeated([ids], counts)

    np.testing.assert_array_equal(np.bincount(found, minlength=len(counts)), counts)
    if (counts == 1).all():
        np.testing.assert_array_equal(found, np.arange(len(counts)))


def test_copies_lie_apart():
    counts = np.where(np.arange(2000) % 10 == 0, 9, 1)

    found = balance.repeated([pa.array(np.arange(2000))], counts)

    assert np.mean(found[1:] == found[:-1]) < 0.01
    small = found % 10 == 0  # a class whose rows are spread evenly, whatever part one looks at
    shares = [part.mean() for part in np.array_split(small, 12)]
    assert max(shares) - min(shares) < 0.2


# ---- datasets

COLUMNS = (("id", "int64"), ("y", "int64"), ("n", "double"), ("c", "string"))
GROUPS = (numeric("n", scale="none"), categorical("c"))
ROWS = 6000
BALANCED = {"balance": {"oversample": {"times": {"1": 3.4}}}}


@pytest.fixture(scope="module")
def curated(tmp_path_factory):
    folder, files = tmp_path_factory.mktemp("lake"), []
    for split, rows in {"train": ROWS, "validation": 50, "test": 50}.items():
        table = pa.table(
            {
                "id": np.arange(rows),
                "y": (np.arange(rows) % 10 == 3).astype(np.int64),
                "n": np.arange(rows) + 0.0,
                "c": [f"c{i % 3}" for i in range(rows)],
            }
        )
        path = f"split={split}/part-0.parquet"
        (folder / path).parent.mkdir()
        pq.write_table(table, folder / path)
        size = (folder / path).stat().st_size
        files.append(CuratedFile(path=path, split=split, rows=rows, size_bytes=size))
    return Curated(uri=str(folder), files=tuple(files), key=("id",), columns=COLUMNS, digest="d")


@pytest.fixture(scope="module")
def fitted(spark, curated):
    return fit.fit(spark, curated, spec(*GROUPS, **BALANCED)).plan


def first_column(made):
    records = [r for uri in made.shard_uris() for r in recordio.read(uri, batch_rows=10_000)]
    dense = [r.features if isinstance(r.features, np.ndarray) else r.features.toarray() for r in records]  # fmt: skip
    return np.concatenate(dense)[:, 0].astype(int), np.concatenate([r.labels for r in records])


@pytest.mark.parametrize("layout", ["dense", "sparse"])
def test_train_rows_are_written_as_often_as_copied_and_others_once(
    spark, curated, fitted, layout, tmp_path
):
    asked = dataclasses.replace(fitted, layout=layout)
    small = spec(*GROUPS, **BALANCED, dataset={"shard_bytes": 60_000})

    made = convert.convert(spark, curated, asked, small, str(tmp_path))

    ids, labels = first_column(made["train"])
    expected = balance.copies(
        [pa.array(np.arange(ROWS))], (np.arange(ROWS) % 10 == 3).astype(float), (1.0, 3.4)
    )
    np.testing.assert_array_equal(np.bincount(ids, minlength=ROWS), expected)
    np.testing.assert_array_equal(labels, ids % 10 == 3)
    assert made["train"].rows == expected.sum() == pytest.approx(ROWS * 0.9 + ROWS * 0.34, rel=0.02)
    assert len(made["train"].shards) > 1
    assert [made[split].rows for split in ("validation", "test")] == [50, 50]
    dataset.verify(made["train"])


def test_plan_json_tells_what_is_written(fitted):
    assert fitted.fitted_on["class_rows"] == [5400, 600]
    assert fitted.fitted_on["class_times"] == [1.0, 3.4]


def test_a_shard_that_lacks_rows_makes_no_dataset(spark, curated, fitted, tmp_path, monkeypatch):
    ran = penstock_spark.map_tasks

    def losing(session, items, run, *, what):
        found = ran(session, items, run, what=what)
        if what == "convert: shards":
            found[0] = dataclasses.replace(found[0], rows=found[0].rows - 1)
        return found

    monkeypatch.setattr(penstock_spark, "map_tasks", losing)

    with pytest.raises(DataError) as caught:
        convert.convert(spark, curated, fitted, spec(*GROUPS, **BALANCED), str(tmp_path))

    labels = np.arange(ROWS) % 10 == 3
    rows = int(balance.copies([pa.array(np.arange(ROWS))], labels, (1.0, 3.4)).sum())
    assert str(caught.value) == (
        f"{tmp_path}/train/part-00000-0.rec has {rows - 1:,} rows, its part of the source makes {rows:,}\n"
        "  no manifest is made; run convert again"
    )
    assert not list(tmp_path.glob("*.manifest"))
