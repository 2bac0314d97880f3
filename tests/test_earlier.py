"""A fit of day one, updated with day two, is the fit of both: in any order, however the rows are cut."""

from __future__ import annotations

import itertools
import json
import math
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import categorical, numeric, spec, statistics

from penstock import fit
from penstock.curated import Curated, CuratedFile
from penstock.earlier import Earlier
from penstock.errors import InputError, MissingFileError
from penstock.planning import build_plan
from penstock.statistics import Statistics, merge

EVERYTHING = spec(
    numeric("x", impute="by_group", group_by="g", scale="standard", indicator=True),
    numeric("z", scale="robust", clip=[0.01, 0.99]),
    numeric("k", missing_values=[-1], scale="bins"),
    categorical("g", encode="one_hot"),
    categorical("c", encode="target"),
    {"kind": "text", "columns": ["words"], "buckets": 64},
    {"kind": "datetime", "columns": ["t"], "parts": ["hour", "elapsed_days"]},
    {"kind": "vector", "columns": ["v"]},
    select={"min_variance": 0, "drop_duplicates": True},
    dataset={"layout": "dense"},
)


def rows(count, seed):
    random = np.random.default_rng(seed)
    x, z = random.normal(size=(2, count)) ** 3
    begin = datetime(2024, 1, 1)
    names = np.array(["red", "green", "blue", "grün", None])
    return pa.table(
        {
            "id": [f"{seed}-{i}" for i in range(count)],
            "y": pa.array(np.arange(count) % 2, pa.int32()),
            "g": random.choice(list("abc"), count),
            "c": pa.array(random.choice(names, count)),
            "x": pa.array(np.where(random.random(count) < 0.2, np.nan, x), from_pandas=True),
            "z": pa.array(np.where(random.random(count) < 0.2, np.nan, z), from_pandas=True),
            "k": random.integers(-1, 30, count),
            "words": random.choice(["the cat", "a dog sat", "the dog", ""], count),
            "t": pa.array([begin + timedelta(hours=int(h)) for h in random.integers(0, 99, count)]),
            "v": pa.array(list(random.normal(size=(count, 2))), pa.list_(pa.float64())),
        }
    )


def lake(folder, digest, *tables):
    """A curated table whose train split has a file per table."""
    files = []
    for number, table in enumerate(tables):
        path = f"split=train/part-{number}.parquet"
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, folder / path, row_group_size=1000)
        size = (folder / path).stat().st_size
        files.append(CuratedFile(path=path, split="train", rows=table.num_rows, size_bytes=size))
    columns = tuple((field.name, str(field.type)) for field in tables[0].schema)
    return Curated(uri=str(folder), files=tuple(files), key=("id",), columns=columns, digest=digest)


def differing(one, other, where="plan"):
    """Yield the places where two JSON bodies are not the same, numbers to twelve digits."""
    if isinstance(one, dict) and isinstance(other, dict):
        if list(one) != list(other):
            yield where
        for name in one.keys() & other.keys():
            yield from differing(one[name], other[name], f"{where}.{name}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for at, pair in enumerate(zip(one, other, strict=True)):
            yield from differing(*pair, f"{where}[{at}]")
    elif isinstance(one, float) and isinstance(other, float | int):
        if not math.isclose(one, other, rel_tol=1e-12, abs_tol=1e-12):
            yield where
    elif one != other:
        yield where


def learned(plan):
    """All that a plan says but for where its rows were, and its hash."""
    body = json.loads(plan.to_json())
    return {name: body[name] for name in body if name not in ("sha256", "fitted_on")}


@given(
    cuts=st.lists(st.integers(0, 300), min_size=1, max_size=4),
    random=st.randoms(use_true_random=False),
)
def test_days_in_any_order_and_of_any_size_give_the_fit_of_all_rows(cuts, random):
    table = rows(300, 5).combine_chunks()
    whole = build_plan(statistics(*table.to_batches(), of=EVERYTHING), EVERYTHING, fitted_on={})
    ends = sorted({0, 300, *cuts})
    days = [
        statistics(*table.slice(a, b - a).combine_chunks().to_batches(), of=EVERYTHING)
        for a, b in itertools.pairwise(ends)
    ]
    random.shuffle(days)

    so_far = days[0]
    for day in days[1:]:  # each day's statistics wait for the next day in a file
        so_far = merge([Statistics.from_json(so_far.to_json()), day]).trimmed()

    updated = build_plan(so_far, EVERYTHING, fitted_on={})
    assert list(differing(learned(updated), learned(whole))) == []


def test_an_updated_fit_is_that_of_both_days(spark, tmp_path):
    one, two = rows(20_000, 1), rows(7000, 2)
    both = fit.fit(spark, lake(tmp_path / "both", "d12", one, two), EVERYTHING)
    fit.fit(spark, lake(tmp_path / "1", "d1", one), EVERYTHING).save(str(tmp_path / "fit"))

    updated = fit.fit(
        spark,
        lake(tmp_path / "2", "d2", two),
        EVERYTHING,
        onto=Earlier.open(str(tmp_path / "fit")),
    )

    assert list(differing(learned(updated.plan), learned(both.plan))) == []
    assert updated.plan.fitted_on == {
        "curated": "d2",
        "split": "train",
        "onto": [{"curated": "d1", "rows": 20_000}],
        "rows": 27_000,
    }
    batch = two.slice(0, 1000).combine_chunks().to_batches()[0]
    np.testing.assert_allclose(
        updated.plan.encode(batch), both.plan.encode(batch), rtol=1e-6, atol=1e-7
    )


def test_a_third_day_remembers_all_of_them_and_refuses_each_a_second_time(spark, tmp_path):
    days = [lake(tmp_path / str(day), f"d{day}", rows(500, day)) for day in (1, 2, 3)]
    onto = None
    for day in days:
        fit.fit(spark, day, EVERYTHING, onto=onto).save(str(tmp_path / "fit"))
        onto = Earlier.open(str(tmp_path / "fit"))

    assert onto.fitted_on["onto"] == [
        {"curated": "d1", "rows": 500},
        {"curated": "d2", "rows": 500},
    ]
    for day in days:
        with pytest.raises(InputError) as caught:
            fit.fit(spark, day, EVERYTHING, onto=onto)
        assert str(caught.value) == (
            f"fit: {str(tmp_path / 'fit')!r} counts the rows of table {day.digest} already, expected "
            "new rows\n  merge the new day's files alone, or fit all rows at once without --onto"
        )


def test_a_fit_that_collected_other_things_is_refused(spark, tmp_path):
    other = spec(numeric("k"), categorical("c"), dataset={"layout": "dense"})
    fit.fit(spark, lake(tmp_path / "1", "d1", rows(500, 1)), other).save(str(tmp_path / "fit"))
    onto = Earlier.open(str(tmp_path / "fit"))
    changed = spec(numeric("k", missing_values=[-1]), categorical("c"), dataset={"layout": "dense"})

    with pytest.raises(InputError) as caught:
        fit.fit(spark, lake(tmp_path / "2", "d2", rows(500, 2)), changed, onto=onto)

    assert str(caught.value) == (
        f"fit: these rows do not add to {str(tmp_path / 'fit')!r}\n"
        "  statistics: of 'k' other things were collected, expected the same of all rows\n"
        "  fit all of them with the same features, task and label; the earlier rows again, if the spec "
        "has changed"
    )


def test_what_needs_no_other_scan_may_change_between_the_days(spark, tmp_path):
    one = spec(categorical("c", min_frequency=1))
    fit.fit(spark, lake(tmp_path / "1", "d1", rows(500, 1)), one).save(str(tmp_path / "fit"))
    other = spec(categorical("c", min_frequency=200, rare="group"))

    updated = fit.fit(
        spark,
        lake(tmp_path / "2", "d2", rows(500, 2)),
        other,
        onto=Earlier.open(str(tmp_path / "fit")),
    )

    assert "c=(rare)" in updated.plan.names


def test_a_folder_without_statistics_is_no_fit_to_add_to(spark, tmp_path):
    fitted = fit.fit(spark, lake(tmp_path / "1", "d1", rows(500, 1)), EVERYTHING)
    fitted.plan.save(str(tmp_path / "fit"))

    with pytest.raises(MissingFileError) as caught:
        Earlier.open(str(tmp_path / "fit"))

    assert str(caught.value) == (
        f"statistics: nothing found at {str(tmp_path / 'fit' / 'statistics.json')!r}\n"
        "  fit again: penstock fit SPEC"
    )
