from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from makers import ORDERS, shop, shop_spec, spec_of
from sklearn.metrics import roc_auc_score
from strategies import batch, categorical, label_rule, numeric, spec, statistics, wanted

from penstock import fit, leaks, probes, runner, storage
from penstock.curated import Curated, CuratedFile
from penstock.errors import DataError
from penstock.merge import merge
from penstock.spec import SplitSpec
from penstock.states import Wanted

# ---- between sides

SCHEMA = "id bigint, who string, a double, b string, split string"


def table_spec(**split):
    merge_ = {"base": "s", "key": ["id"], "derive": {"id": "id % 1000"}}
    return spec(numeric("a"), categorical("b"), split=split, merge=merge_)


def sides(count=40):
    """Rows that share nothing: half of them train, a quarter on each other side."""
    names = ["train", "train", "validation", "test"]
    return [[i, f"c{i}", i + 0.5, "x", names[i % 4]] for i in range(count)]


def shared(spark, rows, **split):
    written = spark.createDataFrame([tuple(row) for row in rows], SCHEMA)
    found = leaks.between_sides(written, table_spec(**split))
    return {(each.check, each.columns): each for each in found}


def test_sides_that_share_nothing_are_no_leak_and_nulls_are_not_shared(spark):
    rows = sides()
    for row in rows[:8]:
        row[1] = None

    found = shared(spark, rows, watch=["who"])

    assert [(each.found, each.of, each.problem) for each in found.values()] == [(0, 20, None)] * 3
    assert list(found) == [("key", ("id",)), ("values", ("who",)), ("rows", ())]


def test_leaks_that_were_put_in_are_found_and_counted(spark):
    rows = sides()
    rows[2][0] = rows[3][0] = rows[0][0]  # a key on all sides: a row of validation and one of test
    rows[6][1] = rows[7][1] = "shared"  # validation and test alone: the row of test
    for row in (rows[4], rows[10], rows[11]):
        row[2:4] = [None, "twin"]  # equal in all features, one of them null

    found = shared(spark, rows, watch=["who"])

    assert {key: each.found for key, each in found.items()} == {
        ("key", ("id",)): 2, ("values", ("who",)): 1, ("rows", ()): 2,
    }  # fmt: skip
    assert [each.problem for each in found.values()] == [
        "leak: 1 value of id on more than one side: 2 of 20 rows of validation and test share theirs with "
        "an earlier side\n  keep them together: split.by: group, columns: [id]; or take it out of split.watch",
        "leak: 1 value of who on more than one side: 1 of 20 rows of validation and test share theirs with "
        "an earlier side\n  keep them together: split.by: group, columns: [who]; or take it out of split.watch",
        "leak: 2 of 20 rows of validation and test (10.00%) equal an earlier side's row in all features, "
        "split.max_shared_rows is 1.00%\n"
        "  remove the repeats in merge.where, or keep them together: split.by: group",
    ]  # fmt: skip
    assert found["rows", ()].body() == {
        "check": "rows", "columns": [], "measure": "shared_rows", "found": 2, "of": 20, "leak": True,
    }  # fmt: skip


def test_rows_that_differ_in_where_they_are_null_are_not_equal(spark):
    rows = sides(4)
    rows[0][2:4], rows[2][2:4], rows[3][2:4] = [None, "1"], [1.0, None], [None, None]

    found = shared(spark, rows, max_shared_rows=0)

    assert found["rows", ()].found == 0


def test_all_checks_are_one_spark_job_and_a_share_below_the_limit_is_no_leak(spark):
    rows = sides()
    rows[2][2:4] = rows[0][2:4]
    tracker = spark.sparkContext.statusTracker()
    spark.sparkContext.setJobGroup("count-leaks", "leaks")
    spark.conf.set("spark.sql.adaptive.enabled", "false")  # it would show each stage as a job

    found = shared(spark, rows, watch=["who"], max_shared_rows=0.05)

    spark.conf.set("spark.sql.adaptive.enabled", "true")
    jobs = len(tracker.getJobIdsForGroup("count-leaks"))
    spark.sparkContext.setLocalProperty("spark.jobGroup.id", None)
    assert jobs == 1
    assert (found["rows", ()].found, found["rows", ()].problem) == (1, None)


# ---- through the merge


def run(spark, root, **split):
    orders = [ORDERS[0], *[f"{i},2024-01-01,c{i % 5},{i}.5,true" for i in range(80)]]
    body = spec_of(shop_spec(split=split))
    return merge(
        spark,
        body,
        inputs={name: str(root / source.path) for name, source in body.sources.items()},
        quarantine_uri=str(root / "quarantine"),
        target=str(shop(root, orders=orders) / "curated"),
    )


def test_a_merge_warns_of_a_customer_on_two_sides_or_refuses_it(spark, tmp_path):
    made = run(spark, tmp_path / "warned", watch=["customer"])

    late = made.record["splits"]["validation"] + made.record["splits"]["test"]
    problem = (
        f"leak: 5 values of customer on more than one side: {late} of {late} rows of validation and test "
        "share theirs with an earlier side\n  keep them together: split.by: group, columns: [customer]; "
        "or take it out of split.watch"
    )
    assert made.record["warnings"] == [problem]
    assert [each["leak"] for each in made.record["leaks"]] == [True, False]
    with pytest.raises(DataError) as caught:
        run(spark, tmp_path / "refused", watch=["customer"], on_leak="refuse")
    assert str(caught.value) == (
        f"{problem}\n  split.on_leak is refuse; warn lets the run go on and says so"
    )
    assert not storage.exists(str(tmp_path / "refused" / "curated" / "table.json"))


# ---- one feature and the label


def measured(rows, of):
    """Findings of a table as fit makes them, with one probe of all its rows."""
    rule = label_rule(rows, of)
    classes = None if rule.classes is None else len(rule.classes)
    probes = []
    if of.task != "regression":
        chosen = [each for each in wanted(rows, of) if each.name != "y"]
        codes = rule.values(rows.column("y"))[0]
        probes = [leaks.probe(rows, chosen, codes, classes)] * 2
    columns = [column for group in of.features for column in group.columns]
    found = leaks.single_features(statistics(rows, of=of), rule, columns, probes, of.split)
    return {each.columns[0]: each for each in found}


RANDOM = np.random.default_rng(3)
N = 2000
Y = RANDOM.integers(0, 2, N)
TABLE = batch(
    y=pa.array(Y),
    noise=RANDOM.normal(size=N),
    part=Y + RANDOM.normal(size=N),
    skewed=-np.exp(
        np.where(Y == 1, 9.0, 0.0) + RANDOM.normal(size=N)
    ),  # a tail that hides correlation
    known_late=pa.array([7.0 if y else None for y in Y]),
    word=pa.array(np.where(Y == 1, "paid", "open")),
    color=pa.array(RANDOM.choice(np.array(["r", "g", None]), N)),
    ident=pa.array([f"i{i}" for i in range(N)]),
)
GROUPS = (
    numeric("noise", "part", "skewed", "known_late"),
    categorical("word", "color", "ident"),
)


def test_a_feature_that_tells_the_label_alone_is_found_and_no_other():
    found = measured(TABLE, spec(*GROUPS))

    assert {name for name, each in found.items() if each.problem} == {
        "skewed", "known_late", "word",
    }  # fmt: skip
    assert found["part"].found == pytest.approx(
        roc_auc_score(Y, TABLE.column("part").to_numpy()), abs=1e-4
    )
    assert found["noise"].found < 0.55
    assert found["color"].found < 0.55
    assert found["ident"].found == 0.5  # a value of one row says nothing of another
    assert found["word"].problem == (
        "leak: feature 'word' alone ranks the labels with an AUC of 1.0000, split.max_single_feature_auc "
        "is 0.99\n  leave it out of features if it is known only once the label is; else raise the limit"
    )


def test_a_limit_of_one_finds_nothing_and_a_lower_one_more():
    assert not [e for e in measured(TABLE, spec(*GROUPS, split={"max_single_feature_auc": 1})).values() if e.problem]  # fmt: skip

    found = measured(TABLE, spec(*GROUPS, split={"max_single_feature_auc": 0.7}))

    assert found["part"].problem is not None


def test_few_rows_of_a_class_prove_nothing():
    rows = TABLE.slice(0, 15)  # 30 of two probes

    assert {each.problem for each in measured(rows, spec(*GROUPS)).values()} == {None}


def test_regression_goes_by_explained_variance():
    price = RANDOM.normal(size=N)
    rows = batch(
        y=price,
        twin=price * -3 + 1,
        half=price + RANDOM.normal(size=N),
        binned=pa.array([f"{p:.1f}" for p in price]),
        ident=pa.array([f"i{i}" for i in range(N)]),
        group=pa.array([f"g{i % 400}" for i in range(N)]),
    )

    found = measured(
        rows,
        spec(numeric("twin", "half"), categorical("binned", "ident", "group"), task="regression"),
    )

    assert found["twin"].problem == (
        "leak: feature 'twin' alone explains 100.00% of the label's variance, split.max_single_feature_r2 "
        "is 0.99\n  leave it out of features if it is known only once the label is; else raise the limit"
    )
    assert found["half"].found == pytest.approx(0.5, abs=0.05)
    assert found["binned"].found > 0.99
    assert found["group"].found < 0.1  # adjusted: 400 groups of five rows fit a fifth of any label
    assert "ident" not in found


def test_multiclass_takes_the_class_that_is_told_best():
    y = RANDOM.integers(0, 4, N)
    rows = batch(
        y=pa.array(y),
        two=np.where(y == 2, 5.0, 0.0) + RANDOM.normal(size=N) * 0.1,
        word=pa.array(np.where(y == 3, "three", "other")),
        color=pa.array(RANDOM.choice(np.array(["r", "g", "b"]), N)),
    )

    found = measured(rows, spec(numeric("two"), categorical("word", "color"), task="multiclass"))

    assert {name for name, each in found.items() if each.problem} == {"two", "word"}
    assert found["color"].found < 0.6


@given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=2, max_size=60))
def test_category_auc_scores_each_row_by_the_others_of_its_category(rows):
    codes = np.array([code for code, _ in rows])
    inside = np.array([member for _, member in rows])
    counts, sums = np.bincount(codes), np.bincount(codes, inside)

    found = leaks.category_auc(counts, sums)

    if inside.all() or not inside.any():
        assert found == 0.5
        return
    others = counts[codes] - 1
    scores = np.where(others > 0, (sums[codes] - inside) / np.maximum(others, 1), inside.mean())
    assert found == pytest.approx(roc_auc_score(inside, scores))


def test_probes_look_at_the_first_rows_alone_and_pass_over_other_kinds(monkeypatch):
    monkeypatch.setattr(probes, "PROBE_ROWS", 100)
    kinds = [
        Wanted(name="part", type="double", kind="numeric"),
        Wanted(name="ident", type="string", kind="other"),
    ]

    found = leaks.probe(TABLE, kinds, Y.astype(float), 2)

    assert list(found) == ["part"]
    assert found["part"][0, 0, 2:].sum() == 100


def lake(folder):
    files = []
    for split, rows in {"train": TABLE, "validation": TABLE.slice(0, 9), "test": TABLE.slice(9, 9)}.items():  # fmt: skip
        path = f"split={split}/part-0.parquet"
        (folder / path).parent.mkdir(parents=True)
        pq.write_table(pa.table(rows), folder / path)
        size = (folder / path).stat().st_size
        files.append(CuratedFile(path=path, split=split, rows=rows.num_rows, size_bytes=size))
    columns = tuple((field.name, str(field.type)) for field in TABLE.schema)
    return Curated(uri=str(folder), files=tuple(files), key=("ident",), columns=columns, digest="d")


def test_a_fit_finds_it_in_its_one_scan_and_refuses_it_if_asked(spark, tmp_path):
    curated = lake(tmp_path)
    of = spec(numeric("noise"), categorical("word", max_categories=5))
    tracker = spark.sparkContext.statusTracker()
    spark.sparkContext.setJobGroup("leaks-of-fit", "one fit")

    found = fit.fit(spark, curated, of)

    jobs = len(tracker.getJobIdsForGroup("leaks-of-fit"))
    spark.sparkContext.setLocalProperty("spark.jobGroup.id", None)
    assert jobs == 1
    problem = (
        "leak: feature 'word' alone ranks the labels with an AUC of 1.0000, split.max_single_feature_auc "
        "is 0.99\n  leave it out of features if it is known only once the label is; else raise the limit"
    )
    assert found.warnings == (problem,)
    assert [each.columns for each in found.leaks] == [("word",), ("noise",)]
    refusing = of.model_copy(update={"split": SplitSpec(on_leak="refuse")})
    with pytest.raises(DataError) as caught:
        fit.fit(spark, curated, refusing)
    assert str(caught.value) == (
        f"{problem}\n  split.on_leak is refuse; warn lets the run go on and says so"
    )


def test_a_run_tells_warnings_and_what_was_set_for_each_model():
    details = {"warnings": ["leak: x"], "rows": {"base": 1}, "xgboost": {"notes": ["y is set"]}}

    told = list(runner._notes(details))

    assert told == ["warning: leak: x", "xgboost: y is set"]
