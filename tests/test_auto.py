"""Features chosen from the statistics: each decision, and that the printed section makes the same plan."""

from __future__ import annotations

import dataclasses
import itertools
import json
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from makers import shop_spec
from rich.console import Console
from strategies import NAMES, NUMBERS, spec
from test_pipeline import job, lake
from test_pipeline import spec as spec_file

from penstock import auto, fit, specfile
from penstock.auto.candidates import LABELS
from penstock.autostate import FewState, FiguresState, LabelledState
from penstock.curated import SPLITS, Curated, CuratedFile
from penstock.earlier import Earlier
from penstock.errors import DataError, InputError
from penstock.plan import FeaturePlan
from penstock.preview import features_section, show_proposal
from penstock.statistics import Statistics, merge
from penstock.wanted import Wanted

ROWS = 4000


def curated(rows, key=("id",)):
    """What a table in memory looks like to the checks."""
    files = tuple(
        CuratedFile(path=side, split=side, rows=rows.num_rows, size_bytes=1) for side in SPLITS
    )
    columns = tuple((field.name, str(field.type)) for field in rows.schema)
    return Curated(uri="lake", files=files, key=key, columns=columns, digest="d")


def scanned(rows, of, *, parts=1):
    """The statistics and the probes of a table in memory, as so many tasks would find them."""
    table = curated(rows, of.merge.key)
    label = fit.check(table, of)
    wanted = fit.wanted_states(table, of, label)
    bounds = [rows.num_rows * part // parts for part in range(parts + 1)]
    found = [
        fit.collect_and_probe(
            rows.slice(start, end - start).combine_chunks().to_batches(), of, wanted, label
        )
        for start, end in itertools.pairwise(bounds)
    ]
    probes = [probe for _, each in found for probe in each]
    return merge([statistics for statistics, _ in found]).trimmed(), probes


def learned(rows, of, *, parts=1):
    statistics, probes = scanned(rows, of, parts=parts)
    return fit.learned(statistics, probes, curated(rows, of.merge.key), of)


def proposed(rows, of):
    proposal = learned(rows, of).proposal
    return {each.column: each for each in proposal.choices}


def table(count=ROWS, seed=1, /, **columns):
    """A table with a key and a label of 0 and 1, and other columns."""
    random = np.random.default_rng(seed)
    body = {
        "id": [f"r{i}" for i in range(count)],
        "y": pa.array(random.integers(0, 2, count), pa.int32()),
    }
    return pa.table(body | {name: make(random, count) for name, make in columns.items()})


def pasted(proposal, of):
    """The spec with the printed section, read back as a person's file would be."""
    body = shop_spec(label={"column": "y"})
    del body["features"]
    text = yaml.safe_dump(body, sort_keys=False) + "\n" + proposal.section()
    return of.model_copy(update={"features": specfile.parse(text, path="pasted.yaml").features})


# ---- one column


def words(random, count):
    pool = np.array([f"w{i}" for i in range(500)])
    return [" ".join(random.choice(pool, 9)) for _ in range(count)]


def with_holes(values, share, random):
    return pa.array(values, mask=random.random(len(values)) < share)


DECISIONS = [
    ("amount", lambda r, n: r.normal(size=n), "numeric", {"scale": "standard", "indicator": True}),
    ("wage", lambda r, n: np.exp(3 * r.normal(size=n)), "numeric", {"scale": "log1p", "clip": [0.0, 1.0]}),
    ("spiky", lambda r, n: np.where(np.arange(n) == 7, -1e6, r.normal(size=n)), "numeric", {"clip": [0.001, 0.999]}),
    ("some", lambda r, n: with_holes(r.normal(size=n), 0.3, r), "numeric", {"indicator": True}),
    ("few_gone", lambda r, n: with_holes(r.normal(size=n), 0.004, r), "numeric", {"indicator": False}),
    ("days", lambda r, n: np.where(r.random(n) < 0.5, 999, r.integers(0, 28, n)), "numeric", {"missing_values": [999.0]}),
    ("flag", lambda r, n: r.integers(0, 2, n), "boolean", {}),
    ("yes", lambda r, n: r.random(n) < 0.5, "boolean", {}),
    ("blood_type", lambda r, n: r.integers(0, 4, n), "categorical", {"encode": "one_hot", "min_frequency": 10}),
    ("zip_code", lambda r, n: r.integers(0, 500, n), "categorical", {"encode": "target"}),
    ("city", lambda r, n: r.choice(["a", "b", "c"], n), "categorical", {"encode": "one_hot", "min_frequency": 10}),
    ("street", lambda r, n: [f"s{i}" for i in r.integers(0, 400, n)], "categorical", {"encode": "target"}),
    ("present", lambda r, n: with_holes(["yes"] * n, 0.5, r), "categorical", {"encode": "one_hot", "min_frequency": 10}),
    ("note", words, "text", {"indicator": False}),
    ("day", lambda r, n: pa.array(r.integers(19000, 19900, n).astype("int32")).cast(pa.date32()), "datetime",
     {"parts": ["elapsed_days"], "cyclic": ["dayofyear", "weekday"]}),
    ("at", lambda r, n: pa.array(r.integers(0, 10**12, n), pa.timestamp("us", "UTC")), "datetime",
     {"parts": ["elapsed_days"], "cyclic": ["hour"]}),
    ("vector", lambda r, n: pa.array(r.normal(size=(n, 3)).tolist()), "vector", {"impute": "refuse"}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "make", "kind", "options"), DECISIONS)
def test_a_column_becomes_what_it_looks_like(name, make, kind, options):
    choice = proposed(table(**{name: make}), spec())[name]

    assert choice.kind == kind
    assert {key: choice.options.get(key) for key in options} == options


LEFT_OUT = [
    ("gone", lambda _, n: pa.nulls(n, pa.float64()), "all its cells are missing"),
    ("null", lambda _, n: pa.nulls(n), "all its cells are missing"),
    ("rare", lambda _, n: pa.array([1.5, 2.5] + [None] * (n - 2)), "1 of its cells are missing"),
    ("one", lambda _, n: np.ones(n), "one value"),
    ("word", lambda _, n: ["same"] * n, "one value"),
    ("number", lambda r, n: r.permutation(n), "an identifier: whole numbers that hardly repeat, 4,000 values from 0 to 3999"),
    ("user_id", lambda _, n: np.arange(n) * 7 % 2000, "an identifier by its name, with 2,000 values from 0 to 1999"),
    ("userId", lambda _, n: [f"u{i % 1500}" for i in range(n)], "an identifier by its name: 1,500 values in 4,000 cells"),
    ("phone", lambda _, n: [f"+41 {i}" for i in range(n)], "an identifier: 4,000 values in 4,000 cells"),
    ("digest", lambda r, n: [f"{i:032x}" for i in r.integers(0, 200, n)], "an identifier: long hexadecimal codes, 200 values"),
    ("when", lambda r, n: [f"{d:02d}/05/2010" for d in r.integers(1, 29, n)],
     "texts that look like dates: declare a date in its source, or derive one by to_date"),
    ("price", lambda r, n: [f"{x:.1f}" for x in r.integers(0, 900, n)],
     "texts that are numbers: declare a double in its source, or derive one"),
    ("far", lambda _, n: pa.array([float("inf")] + [1.5] * (n - 1)), "1 of its cells are infinite: mend them in merge.derive"),
    ("raw", lambda _, n: [b"x"] * n, "nothing is made of binary: derive a number or a name from it"),
    ("lists", lambda _, n: [[1.0] * (i % 3) for i in range(n)],
     "its vectors have different lengths: pad or cut them in merge.derive"),
    (" padded", lambda r, n: r.normal(size=n), "its name begins or ends with white space: rename it in merge.derive"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "make", "reason"), LEFT_OUT)
def test_a_column_is_left_out_with_its_reason(name, make, reason):
    columns = {"kept": lambda r, n: r.normal(size=n), name: make}

    choice = proposed(table(**columns), spec())[name]

    assert (choice.kind, choice.reason) == (None, reason)


def test_whole_numbers_that_the_label_follows_one_by_one_are_names_and_others_are_not():
    random = np.random.default_rng(3)
    store = random.integers(1, 46, 20_000)
    hour = random.integers(0, 24, 20_000)
    effect = np.random.default_rng(4).normal(size=46)[store]
    rows = pa.table({
        "id": np.arange(20_000), "store": store, "hour": hour,
        "y": effect + hour / 8 + random.normal(size=20_000),
    })  # fmt: skip

    found = proposed(rows, spec(task="regression"))

    assert (found["store"].kind, found["hour"].kind) == ("categorical", "numeric")
    assert found["store"].reason == (
        "whole numbers, 45 values; the label follows the values, not their order"
    )


# ---- a column among others


def test_copies_and_leaks_and_the_splits_columns_are_left_out_and_leaks_are_told():
    random = np.random.default_rng(5)
    metres, city = random.normal(size=ROWS) * 100, random.choice(["a", "b", "c"], ROWS)
    label = random.integers(0, 2, ROWS)
    rows = pa.table({
        "id": np.arange(ROWS), "y": label, "customer": random.integers(0, 50, ROWS),
        "metres": metres, "again": metres, "feet": metres * 3.28084 + 1,
        "city": city, "town": np.char.upper(city), "refund": label * 5.0 + random.random(ROWS),
    })  # fmt: skip

    made = learned(rows, spec(split={"by": "group", "columns": ["customer"]}))

    assert made.proposal.left_out == {
        "id": "the key: it names the row",
        "customer": "the split's group: no group of test is known",
        "again": "all its cells equal those of 'metres'",
        "feet": "'metres' in other units: their correlation is 1",
        "town": "'city' in other words: as many rows, with the same labels, of each value",
        "refund": "feature 'refund' alone ranks the labels with an AUC of 1.0000, "
        "split.max_single_feature_auc is 0.99: known only once the label is?",
    }
    assert made.warnings == (
        "features: 'refund' is left out: feature 'refund' alone ranks the labels with an AUC of 1.0000, "
        "split.max_single_feature_auc is 0.99\n"
        "  name it under features if it is known before the label is",
    )
    assert made.plan.input_columns == ("metres", "city")
    assert {c["name"]: c.get("left_out") for c in made.profile["columns"]}["town"].startswith(
        "'city'"
    )


def test_a_table_without_anything_to_learn_from_is_refused_with_all_reasons():
    with pytest.raises(DataError) as caught:
        learned(table(word=lambda _, n: ["same"] * n), spec())

    assert str(caught.value) == (
        "features: none of 2 columns is fit to be one by itself, expected one at least\n"
        "  id: the key: it names the row\n"
        "  word: one value\n"
        "  name columns under features in the spec, or derive some in merge.derive"
    )


def test_several_classes_have_hashes_where_two_have_mean_labels():
    rows = table(street=lambda r, n: [f"s{i}" for i in r.integers(0, 400, n)])

    found = proposed(rows, spec(task="multiclass"))["street"]

    assert (found.kind, found.options) == ("categorical", {"encode": "hash", "buckets": 256})


# ---- the section


def test_the_section_says_the_reason_of_each_column_and_nothing_can_break_its_lines():
    rows = table(**{
        "on": lambda r, n: r.normal(size=n),
        'a "b"\n# c: d\\': lambda r, n: r.integers(0, 5, n) / 2,
        "mög\x85lich": lambda r, n: r.choice(["x", "y"], n),
    })  # fmt: skip

    section = learned(rows, spec()).proposal.section()

    assert yaml.safe_load(section)["features"] == [
        {
            "kind": "numeric", "impute": "median", "indicator": True, "scale": "standard",
            "columns": ["on", 'a "b"\n# c: d\\'],
        },
        {"kind": "categorical", "encode": "one_hot", "min_frequency": 10, "columns": ["mög\x85lich"]},
    ]  # fmt: skip
    assert section.splitlines()[-2:] == ["# Left out:", "#   id: the key: it names the row"]


COLUMNS = st.one_of(
    st.tuples(st.just(pa.float64()), st.lists(NUMBERS, min_size=30, max_size=30)),
    st.tuples(st.just(pa.int64()), st.lists(st.none() | st.integers(-3, 12), min_size=30, max_size=30)),
    st.tuples(st.just(pa.string()), st.lists(NAMES, min_size=30, max_size=30)),
    st.tuples(st.just(pa.bool_()), st.lists(st.none() | st.booleans(), min_size=30, max_size=30)),
    st.tuples(st.just(pa.date32()), st.lists(st.none() | st.dates(), min_size=30, max_size=30)),
)  # fmt: skip


@settings(max_examples=40)
@given(
    columns=st.dictionaries(st.text(min_size=1, max_size=4), COLUMNS, min_size=1, max_size=5),
    task=st.sampled_from(["binary", "regression", "multiclass"]),
    parts=st.integers(1, 3),
)
def test_the_pasted_section_makes_the_same_plan(columns, task, parts):
    columns = {f"x{name}": body for name, body in columns.items()}
    of = spec(task=task)
    rows = pa.table(
        {"id": np.arange(600), "y": pa.array(np.arange(600) % 2, pa.int64())}
        | {name: pa.array(cells * 20, kind) for name, (kind, cells) in columns.items()}
        | {"kept": np.arange(600) % 7 / 2}
    )

    made = learned(rows, of, parts=parts)
    again = learned(rows, pasted(made.proposal, of), parts=parts)

    assert again.plan.sha256 == made.plan.sha256
    assert again.statistics.asked == made.statistics.asked
    assert list(again.statistics.columns) == list(made.statistics.columns)
    assert (made.plan.note, again.plan.note) == (
        "features chosen automatically; features.yaml says why",
        "",
    )


def test_statistics_of_proposed_rules_are_those_that_the_rules_collect():
    makers = {name: make for name, make, _, _ in DECISIONS if name != "days"}
    rows = table(**makers)

    made = learned(rows, spec(), parts=3)
    again = learned(rows, pasted(made.proposal, spec()), parts=3)

    ours, theirs = (json.loads(each.statistics.to_json()) for each in (made, again))
    comoments = [body.pop("comoments") for body in (ours, theirs)]
    assert ours == theirs
    assert comoments[0]["names"] == comoments[1]["names"]
    for part in ("count", "mean_i", "product"):
        np.testing.assert_allclose(comoments[0][part], comoments[1][part], rtol=1e-9, atol=1e-9)


# ---- states


def state(kind, values, **options):
    array = pa.array(values)
    asked = Wanted(name="x", type=str(array.type), kind=kind, inputs=("x",), **options)
    made = {"few": FewState, "figures": FiguresState}[kind]
    return made.of(asked, [array], np.ones(len(values)))


@pytest.mark.parametrize("cut", [0, 1, 3, 6])
def test_a_column_overflows_whatever_parts_it_came_in(cut):
    values = [1.0, 2.0, 1.0, None, 3.0, float("nan"), 2.0]

    for most in (2, 3):
        whole = state("few", values, options=most)
        parts = [state("few", part, options=most) for part in (values[:cut], values[cut:]) if part]
        assert FewState.merged(parts).plain() == FewState.merged([whole]).plain()
        assert (whole.seen is None) == (most == 2)
    assert state("few", [0.5, 1.0], options=9).seen is None


def test_what_texts_look_like_is_counted_in_any_parts():
    values = ["2024-05-01", "1.5e3", None, "0123456789abcdef", "vier Wörter und mehr", "1.5e3"]

    whole = state("figures", values)

    assert (whole.rows, whole.missing, whole.shapes) == (6, 1, (1, 2, 1))
    assert whole.words == 3 + 2 + 1 + 4 + 2
    assert whole.characters == sum(len(value) for value in values if value)
    assert (
        FiguresState.merged([state("figures", values[:3]), state("figures", values[3:])]) == whole
    )


def test_the_states_survive_json():
    rows = table(
        k=lambda r, n: r.integers(0, 9, n), s=lambda r, n: [f"{i}" for i in r.integers(0, 5000, n)]
    )

    statistics, _ = scanned(rows, spec(), parts=2)

    text = statistics.to_json()
    again = Statistics.from_json(text)
    assert again.to_json() == text
    labelled: Any = again.columns[LABELS]
    assert isinstance(labelled, LabelledState)
    assert {name: found is None for name, found in labelled.columns.items()} == {
        "id (labels)": False, "k (labels)": False, "s (labels)": False,
    }  # fmt: skip


def test_rules_that_were_not_proposed_are_refused():
    statistics, _ = scanned(table(x=lambda r, n: r.normal(size=n)), spec())
    asked = Wanted(name="x", type="double", kind="categorical")

    with pytest.raises(InputError) as caught:
        auto.settled(statistics, [asked], {})

    assert str(caught.value) == (
        "statistics: of column 'x' nothing was collected for kind 'categorical', expected a proposed rule\n"
        "  fit again with the spec as it is now"
    )


# ---- on Spark


def stored(rows, folder):
    """A curated table of one file."""
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(rows, folder / "train.parquet", row_group_size=1000)
    file = CuratedFile(path="train.parquet", split="train", rows=rows.num_rows, size_bytes=1)
    made = dataclasses.replace(curated(rows), uri=str(folder), files=(file,), digest=folder.name)
    made.save()
    return made


@pytest.fixture(scope="module")
def rows():
    return table(20_000, **{name: make for name, make, _, _ in DECISIONS})


def test_one_spark_job_learns_and_chooses_and_the_pasted_section_gives_the_same_plan(
    spark, rows, tmp_path
):
    lake_ = stored(rows, tmp_path / "lake")
    tracker = spark.sparkContext.statusTracker()
    spark.sparkContext.setJobGroup("auto", "one fit")

    made = fit.fit(spark, lake_, spec())

    assert len(tracker.getJobIdsForGroup("auto")) == 1
    spark.sparkContext.setLocalProperty("spark.jobGroup.id", None)
    again = fit.fit(spark, lake_, pasted(made.proposal, spec()))
    assert again.plan.sha256 == made.plan.sha256
    made.save(str(tmp_path / "plan"))
    assert (tmp_path / "plan" / "features.yaml").read_text() == made.proposal.section()
    loaded = FeaturePlan.load(str(tmp_path / "plan"))
    assert (loaded.sha256, loaded.note) == (made.plan.sha256, made.plan.note)


def test_a_new_day_takes_the_features_that_were_chosen_before(spark, rows, tmp_path):
    fit.fit(spark, stored(rows, tmp_path / "one"), spec()).save(str(tmp_path / "plan"))
    onto = Earlier.open(str(tmp_path / "plan"))

    made = fit.fit(spark, stored(rows, tmp_path / "two"), spec(), onto=onto)

    assert made.statistics.rows == 2 * rows.num_rows
    assert made.proposal is None
    assert set(made.plan.input_columns) == {name for name, _, _, _ in DECISIONS}


def test_an_earlier_fit_of_named_features_does_not_say_what_they_are(tmp_path):
    onto = Earlier(uri=str(tmp_path), statistics=Statistics(rows=0, columns={}, label=None, comoments=None), fitted_on={})  # type: ignore[arg-type]  # fmt: skip

    with pytest.raises(InputError) as caught:
        onto.features()

    assert str(caught.value) == (
        f"fit: the spec has no features, and {str(tmp_path)!r} has no features.yaml, expected those of the "
        "earlier rows\n  put its features section back into the spec"
    )


@pytest.mark.usefixtures("spark")
def test_the_section_that_is_printed_is_the_one_that_the_run_then_uses(tmp_path):
    root = lake(tmp_path)
    path = spec_file(root, features=[])

    section = features_section(spec=path, root=str(root))

    assert job("merge", root, path) == 0
    assert job("fit", root, path) == 0
    record = json.loads((root / "runs" / "shop" / "fit.json").read_text())
    assert (root / record["outputs"]["features"]).read_text() == section


def test_the_preview_lists_every_column_with_its_reason_and_the_section(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    rows = table(x=lambda r, n: r.normal(size=n), w=lambda _, n: ["[b]"] * n)
    proposal = learned(rows, spec()).proposal

    show_proposal(Console(), proposal)

    told = capsys.readouterr().out
    shown = [line.split() for line in told.splitlines()]
    assert ["id", "left", "out", "the", "key:", "it", "names", "the", "row"] in shown
    assert ["w", "left", "out", "one", "value"] in shown
    assert told.rstrip().endswith(proposal.section().rstrip())


def test_a_spec_with_features_has_none_to_be_chosen(tmp_path):
    path = spec_file(lake(tmp_path))

    with pytest.raises(InputError) as caught:
        features_section(spec=path, root=str(tmp_path))

    assert str(caught.value) == (
        f"spec {path!r}: it has a features section, expected none\n"
        "  take it out, and this prints the one that would be chosen"
    )


def test_a_spec_may_have_no_features_section():
    body = {key: value for key, value in shop_spec().items() if key != "features"}

    assert specfile.parse(yaml.safe_dump(body), path="p.yaml").features == ()
