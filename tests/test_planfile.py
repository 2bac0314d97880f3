"""A plan in a folder: what a person reads, and the long lists beside it."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from strategies import batch, categorical, numeric, plan, spec

from penstock.errors import InputError, MissingFileError
from penstock.plan import FeaturePlan

MANY = 5000


def rows():
    values = [f"v{n:05d}" for n in range(MANY)] * 2
    return batch(
        n=np.arange(len(values), dtype=np.float64),
        c=pa.array(values),
        d=pa.array(values),
        t=pa.array(values),
        id=pa.array(np.arange(len(values))),
    )


def made():
    of = spec(
        numeric("n"),
        categorical("c", encode="ordinal"),
        categorical("d", encode="target", folds=2),
        {"kind": "text", "columns": ["t"], "buckets": MANY},
    )
    return plan(rows(), of=of)


def test_long_vocabularies_lie_beside_a_short_plan_json_and_come_back(tmp_path):
    fitted = made()

    fitted.save(str(tmp_path))
    restored = FeaturePlan.load(str(tmp_path))

    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "plan-001-ordinal-categories.parquet",
        "plan-002-target-categories.parquet",
        "plan-002-target-fold_values-0.parquet",
        "plan-002-target-fold_values-1.parquet",
        "plan-002-target-values.parquet",
        "plan-003-documents.parquet",
        "plan.json",
    ]
    assert (tmp_path / "plan.json").stat().st_size < 5000
    body = json.loads((tmp_path / "plan.json").read_text())
    assert body["columns"][1]["ordinal"]["categories"] == {
        "parquet": "plan-001-ordinal-categories.parquet",
        "rows": MANY,
    }
    assert body["sha256"] == fitted.sha256 == restored.sha256
    assert restored == fitted
    assert restored.to_json() == fitted.to_json()
    same = restored.encode(rows(), training=True) != fitted.encode(rows(), training=True)
    assert same.sum() == 0


def test_a_short_plan_is_plan_json_alone(tmp_path):
    fitted = plan(batch(c=["a", "b"]), of=spec(categorical("c")))

    fitted.save(str(tmp_path))

    assert [path.name for path in tmp_path.iterdir()] == ["plan.json"]
    text = (tmp_path / "plan.json").read_text()
    assert text == fitted.to_json()
    assert FeaturePlan.from_json(text) == FeaturePlan.load(str(tmp_path)) == fitted


def test_plan_json_without_what_lies_beside_it_is_refused(tmp_path):
    made().save(str(tmp_path))
    text = (tmp_path / "plan.json").read_text()
    (tmp_path / "plan-002-target-values.parquet").unlink()

    with pytest.raises(InputError) as alone:
        FeaturePlan.from_json(text)
    with pytest.raises(MissingFileError) as missing:
        FeaturePlan.load(str(tmp_path))

    assert str(alone.value) == (
        "plan: a part of it lies in 'plan-001-ordinal-categories.parquet', expected all of it in one "
        "text\n"
        "  read it with FeaturePlan.load(folder)"
    )
    assert str(missing.value) == (
        f"plan: nothing found at '{tmp_path}/plan-002-target-values.parquet'\n"
        "  fit again: penstock fit SPEC"
    )


def test_the_hash_and_the_rows_cover_what_lies_beside(tmp_path):
    fitted = made()
    fitted.save(str(tmp_path))
    path = tmp_path / "plan-001-ordinal-categories.parquet"
    table = pq.read_table(path)
    pq.write_table(table.set_column(1, "c1", pa.array([3] * MANY)), path)

    with pytest.raises(InputError) as changed:
        FeaturePlan.load(str(tmp_path))
    pq.write_table(table.slice(1), path)
    with pytest.raises(InputError) as shorter:
        FeaturePlan.load(str(tmp_path))

    head, tail = str(changed.value).split("..., expected sha256 ")
    assert head.startswith("plan: content hashes to ")
    assert tail == (
        f"{fitted.sha256[:12]}...\n  it was changed after the fit; change pipeline.yaml and fit again"
    )
    assert str(shorter.value) == (
        "plan: 'plan-001-ordinal-categories.parquet' has 4,999 rows, expected 5,000\n"
        "  it belongs to another plan; copy the whole folder, or fit again"
    )


def test_outputs_are_looked_up_both_ways():
    fitted = plan(
        batch(n=[1.0, 2.0, None], c=["a", "b", None]), of=spec(numeric("n"), categorical("c"))
    )

    found = fitted.explain(3)

    assert fitted.positions("c") == range(2, 5)
    assert fitted.positions("n") == range(2)
    assert (found.index, found.name, found.column, found.kind) == (3, "c=a", "c", "categorical")
    assert (found.inputs, found.words) == (("c",), "1 where it is 'a', else 0")
    assert [fitted.source_of(at) for at in range(5)] == list(fitted.sources())
    with pytest.raises(InputError) as no_output:
        fitted.explain(5)
    with pytest.raises(InputError) as no_column:
        fitted.positions("d")
    assert str(no_output.value) == (
        "plan: it has no output 5, expected 0 to 4\n  look it up in names"
    )
    assert str(no_column.value) == (
        "plan: it has no column 'd', expected one of 'n', 'c'\n  name a column that it encodes"
    )
