"""Whole pipelines over small lakes: skipping, and bad input that must end with words and nothing half-made."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from makers import CUSTOMERS, shop, shop_spec

from penstock import runner
from penstock.host import ALGORITHMS, algorithms
from penstock.plan import FeaturePlan

ROWS = 600


def lake(root, rows=ROWS, **changes):
    """Write a shop of ``rows`` orders whose label depends on amount and city."""
    lines = ["id,day,customer,amount,paid"]
    for i in range(rows):
        amount = "" if i % 19 == 0 else f"{(i * 37) % 101}.5"
        paid = "true" if ((i * 37) % 101 + (i % 7) * 6) > 60 else "false"
        lines.append(f"{i},2024-01-0{i % 9 + 1},c{i % 3 + 1},{amount},{paid}")
    return shop(root, **{"orders": lines, **changes})


def spec(root, **changes):
    body = shop_spec(
        train=[
            {
                "algorithm": "linear-learner",
                "hyperparameters": {
                    "predictor_type": "binary_classifier",
                    "epochs": 3,
                    "mini_batch_size": 50,
                },
            },
            {
                "algorithm": "xgboost",
                "hyperparameters": {"objective": "binary:logistic", "num_round": 5, "max_depth": 3},
            },
        ]
    )
    path = root / "pipeline.yaml"
    path.write_text(yaml.safe_dump(body | changes, sort_keys=False))
    return str(path)


def job(stage, root, path, *flags):
    return runner.job(stage, None, ["--spec", path, "--root", str(root), *flags])


def run_all(root, path, *, force=False):
    runner.run_stages(
        ("merge", "fit", "convert", "train", "evaluate", "report"),
        spec=path,
        root=str(root),
        force=force,
    )


def tree(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def finished(spark, tmp_path_factory):
    """A root where all stages have run once."""
    root = lake(tmp_path_factory.mktemp("done"))
    path = spec(root)
    run_all(root, path)
    return root, path


@pytest.mark.usefixtures("spark")
def test_a_whole_run_leaves_metrics_of_every_model(finished):
    root, _ = finished

    metrics = json.loads((root / "reports" / "shop" / "metrics.json").read_text())

    assert set(metrics["models"]) == {"linear-learner", "xgboost"}
    assert metrics["models"]["xgboost"]["test"]["auc"] > 0.8
    assert metrics["rows"]["base"] == ROWS
    assert sum(metrics["rows"][s] for s in ("train", "validation", "test")) == ROWS
    assert list(metrics["stages"]) == ["merge", "fit", "convert", "train", "evaluate"]
    assert "<title" in (root / "reports" / "shop" / "index.html").read_text()


def test_a_second_run_skips_every_stage_and_says_so(finished, capsys):
    root, path = finished

    run_all(root, path)

    told = capsys.readouterr().err
    assert told.count("skipped: inputs, spec and code are unchanged (--force runs it)") == 6


def test_a_changed_input_runs_what_depends_on_it(finished, tmp_path, capsys):
    _, _ = finished
    root = lake(tmp_path)
    path = spec(root)
    run_all(root, path)
    capsys.readouterr()
    body = yaml.safe_load(Path(path).read_text())
    body["train"][1]["hyperparameters"]["num_round"] = 6
    Path(path).write_text(yaml.safe_dump(body, sort_keys=False))

    run_all(root, path)

    lines = [line.split()[:2] for line in capsys.readouterr().err.splitlines()]
    assert [line for line in lines if line[1] in ("ran", "skipped:")] == [
        ["merge", "skipped:"], ["fit", "skipped:"], ["convert", "skipped:"],
        ["train", "ran"], ["evaluate", "ran"], ["report", "ran"],
    ]  # fmt: skip


def test_two_runs_from_scratch_give_the_same_bytes(finished, tmp_path):
    root, _ = finished
    other = lake(tmp_path / "elsewhere")

    run_all(other, spec(other))

    assert tree(root / "datasets") == tree(other / "datasets")
    assert len(tree(root / "datasets")) >= 9
    assert tree(root / "plans") == tree(other / "plans")


def test_force_makes_the_same_bytes_again(finished):
    root, path = finished
    before = tree(root / "datasets")

    assert job("convert", root, path, "--force") == 0

    assert tree(root / "datasets") == before


BAD = {
    "missing file": (
        lambda root: (root / "raw" / "customers" / "c.jsonl").unlink(),
        {},
        2,
        "error: source 'customers': nothing found at 'file://{root}/raw/customers/'\n"
        "  check sources.customers.path and the root; names that start with '_' or '.' do not count\n",
    ),
    "empty table": (
        lambda root: (root / "raw" / "orders" / "orders.csv").write_text(
            "id,day,customer,amount,paid\n"
        ),
        {},
        3,
        "error: table 'orders' has 0 rows, expected at least 1\n"
        "  the 1 files of sources.orders.path hold headers or blank lines only\n",
    ),
    "missing column": (
        lambda root: None,
        {"features": [{"kind": "numeric", "columns": ["amout"]}]},
        2,
        "error: table 'merge' lacks 1 column: 'amout'\n"
        "  it has: 'id', 'day', 'customer', 'amount', 'paid', 'customers__city', 'customers__zip'\n"
        "  did you mean 'amount' for 'amout'?\n",
    ),
    "a join that would multiply rows": (
        lambda root: shop_customers(root, [*CUSTOMERS, CUSTOMERS[0]]),
        {},
        3,
        "error: table 'customers' has 2 rows for key (customer='c1'), expected at most one (1 repeated key in all)\n"
        "  the join would multiply rows of 'orders': set latest_by on this join, join on more columns, "
        "or remove the repeats\n",
    ),
    "malformed rows": (
        lambda root: append(root / "raw" / "orders" / "orders.csv", ["x,y"] * 10),
        {},
        3,
        "error: source 'orders': 10 of 610 rows are malformed (1.639%), the limit is 1.000%\n"
        "  file://{root}/raw/orders/orders.csv line 602: 2 cells, expected 5\n"
        "  file://{root}/raw/orders/orders.csv line 603: 2 cells, expected 5\n"
        "  file://{root}/raw/orders/orders.csv line 604: 2 cells, expected 5\n"
        "  all of them, with file, line and reason: file://{root}/quarantine/shop/orders\n"
        "  mend the files, declare the type in sources.orders.columns, or raise sources.orders.max_malformed_share\n",
    ),
}


def shop_customers(root, rows):
    (root / "raw" / "customers" / "c.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in rows)
    )


def append(path, lines):
    with path.open("a") as stream:
        stream.write("".join(f"{line}\n" for line in lines))


@pytest.mark.parametrize("name", BAD)
@pytest.mark.usefixtures("spark")
def test_bad_input_ends_with_its_code_and_leaves_no_record(name, tmp_path, capsys):
    damage, changes, code, message = BAD[name]
    root = lake(tmp_path)
    path = spec(root, **changes)
    damage(root)

    ended = job("merge", root, path)

    assert (ended, capsys.readouterr().err) == (code, message.replace("{root}", str(root)))
    assert not (root / "runs").exists() or tree(root / "runs") == {}
    assert job("fit", root, path) == 2  # nothing half-made is taken for a merge


LATE = {
    "null labels": (
        lambda root: append(
            root / "raw" / "orders" / "orders.csv",
            [f"{i},2024-01-01,c1,1," for i in range(600, 680)],
        ),
        {},
        3,
        "label column 'paid': 65 of 551 rows of the train split are null, expected a label in each\n"
        "  add `where: paid IS NOT NULL` to merge, or derive it\n",
    ),
    "a category of 100,000 values": (
        lambda root: None,
        {
            "merge": {"base": "orders", "key": ["id"], "derive": {"code": "concat('v', id)"}},
            "sources": {"orders": {"path": "raw/orders/", "format": "csv"}},
            "features": [{"kind": "categorical", "columns": ["code"]}],
        },
        2,
        "features: width would be 79,993, dataset.max_width is 10,000\n"
        "  column 'code' alone makes 79,993 columns (one_hot of 79,993 values)\n"
        "  set min_frequency or max_categories on it, or encode: target, frequency, ordinal or hash; leave "
        "it out, or raise dataset.max_width\n",
    ),
    "a numeric feature that is text": (
        lambda root: None,
        {"features": [{"kind": "numeric", "columns": ["customers__city"]}]},
        2,
        "table 'curated', column 'customers__city': type is string, expected a number or boolean\n"
        "  list it under kind: categorical, or derive a number from it in merge.derive\n",
    ),
}


@pytest.mark.parametrize("name", LATE)
@pytest.mark.usefixtures("spark")
def test_what_fit_refuses_is_told_and_leaves_no_plan(name, tmp_path, capsys):
    damage, changes, code, message = LATE[name]
    rows = 100_000 if "100,000" in name else ROWS
    root = lake(tmp_path, rows=rows)
    path = spec(root, **changes)
    damage(root)
    assert job("merge", root, path) == 0
    capsys.readouterr()

    ended = job("fit", root, path)

    told = capsys.readouterr().err
    assert (ended, told) == (code, f"error: {message}")
    assert not (root / "plans").exists() or tree(root / "plans") == {}
    assert job("convert", root, path) == 2


@pytest.mark.usefixtures("spark")
def test_the_rows_of_a_new_day_add_to_an_earlier_fit(tmp_path, capsys):
    monday, tuesday = lake(tmp_path / "monday"), lake(tmp_path / "tuesday", rows=900)
    path = spec(monday)
    for root in (monday, tuesday):
        assert job("merge", root, path) == 0
    assert job("fit", monday, path) == 0
    (plan,) = (monday / "plans" / "shop").iterdir()
    capsys.readouterr()

    assert job("fit", tuesday, path, "--onto", str(plan)) == 0
    assert job("fit", monday, path, "--onto", "plans/none") == 2
    told = capsys.readouterr().err
    assert told.endswith(
        f"error: plan: nothing found at {(monday / 'plans' / 'none' / 'plan.json').as_uri()!r}\n"
        "  fit again: penstock fit SPEC\n"
    )

    (updated,) = (tuesday / "plans" / "shop").iterdir()
    rows = [FeaturePlan.load(str(each)).fitted_on["rows"] for each in (plan, updated)]
    assert rows[1] > rows[0] + 600
    assert job("fit", tuesday, path) == 0  # without --onto it is another fit, not a skipped one
    assert len(list((tuesday / "plans" / "shop").iterdir())) == 2


CRASH = """
import sys, os
base = os.environ["SAGEMAKER_BASE_DIR"]
with open(f"{base}/input/data/train_0", "rb") as pipe:
    pipe.read(10)
    open(f"{base}/output/failure", "w").write("AlgorithmError: the matrix is singular")
    sys.exit(1)
"""
HANG = """
import os, time
with open(os.environ["SAGEMAKER_BASE_DIR"] + "/input/data/train_0", "rb") as pipe:
    pipe.read(10)
    time.sleep(600)
"""


@pytest.mark.parametrize(
    ("program", "reason"),
    [(CRASH, "AlgorithmError: the matrix is singular"), (HANG, "the program hangs; it was killed")],
    ids=["crash", "hang"],
)
def test_a_container_that_fails_is_told_and_leaves_no_model(
    finished, tmp_path, capsys, monkeypatch, program, reason
):
    root, _ = finished
    script = tmp_path / "container.py"
    script.write_text(program)
    fake = replace(ALGORITHMS["linear-learner"], module="unused")
    monkeypatch.setattr(
        type(fake), "program", property(lambda self: (sys.executable, str(script))), raising=True
    )
    monkeypatch.setattr(algorithms, "ALGORITHMS", {**ALGORITHMS, "linear-learner": fake})
    path = spec(
        tmp_path,
        train=[{"algorithm": "linear-learner", "idle_timeout_s": 2, "hyperparameters": {"predictor_type": "binary_classifier"}}],
    )  # fmt: skip

    ended = job("train", root, path, "--force")

    told = capsys.readouterr().err
    assert ended == 4
    assert reason in told
    assert job("evaluate", root, path) == 2
    assert processes_of(script) == []


def processes_of(script):
    """Return the command lines of processes that run ``script``."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(script) in line:
            found.append(line)
    return found


@pytest.mark.usefixtures("spark")
def test_a_model_below_its_gate_ends_with_6_and_still_gets_its_report(tmp_path, capsys):
    root = lake(tmp_path)
    path = spec(root, evaluate={"gates": {"auc": ">= 0.9999"}})

    with pytest.raises(runner.GateError) as caught:
        run_all(root, path)

    assert caught.value.exit_code == 6
    assert str(caught.value).startswith("gate failed: linear-learner has auc 0.")
    assert str(caught.value).endswith(
        f"\n  the model is kept but not approved; see file://{root}/reports/shop/metrics.json"
    )
    assert (root / "reports" / "shop" / "index.html").exists()
    assert job("evaluate", root, path) == 6  # skipped, and still below its gate


TASKS = {
    "multiclass": (
        "cast(case when amount > 66 then 2 when amount > 33 then 1 else 0 end as int)",
        {"predictor_type": "multiclass_classifier", "num_classes": 3},
        {"objective": "multi:softprob", "num_class": 3},
        ("accuracy", 0.9),
    ),
    "regression": (
        "amount * 2 + length(customers__city)",
        {"predictor_type": "regressor"},
        {"objective": "reg:squarederror"},
        ("r2", 0.9),
    ),
}


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.usefixtures("spark")
def test_other_tasks_run_to_their_metrics_and_report(task, tmp_path):
    label, linear, boosted, (metric, least) = TASKS[task]
    root = lake(tmp_path)
    body = shop_spec()
    body["merge"] |= {"derive": {"target": label}, "where": "amount is not null"}
    train = [
        {
            "algorithm": "linear-learner",
            "hyperparameters": {"epochs": 15, "mini_batch_size": 20, **linear},
        },
        {"algorithm": "xgboost", "hyperparameters": {"num_round": 30, "max_depth": 3, **boosted}},
    ]
    path = spec(root, task=task, label={"column": "target"}, merge=body["merge"], train=train)

    run_all(root, path)

    metrics = json.loads((root / "reports" / "shop" / "metrics.json").read_text())
    assert metrics["models"]["xgboost"]["test"][metric] > least
    page = (root / "reports" / "shop" / "index.html").read_text()
    assert f"{task} task" in page
