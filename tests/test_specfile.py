from __future__ import annotations

import pytest
import yaml
from makers import shop_spec, spec_of

from penstock import specfile
from penstock.errors import MissingFileError, SpecError

VALID = """\
name: shop
task: binary
label: {column: paid}
sources:
  orders: {path: raw/orders/, format: csv}
merge:
  base: orders
  key: [id]
features:
  - kind: numeric
    columns: [amount]
train:
  - algorithm: xgboost
    hyperparameters: {num_round: 3, objective: 'binary:logistic'}
"""


def problems(text: str) -> str:
    with pytest.raises(SpecError) as caught:
        specfile.parse(text, path="p.yaml")
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_a_valid_spec_has_its_defaults():
    spec = specfile.parse(VALID, path="p.yaml")

    assert (spec.split.train, spec.sources["orders"].max_malformed_share) == (0.8, 0.01)
    assert spec.train[0].label == "xgboost"


def test_an_unknown_key_offers_the_nearest_name_with_its_line():
    text = VALID.replace("    columns: [amount]", "    columns: [amount]\n    imput: mean")

    assert problems(text) == (
        "p.yaml: 1 problem\n  line 12, features[0].imput: unknown key; did you mean 'impute'?"
    )


def test_all_problems_are_told_at_once_in_line_order():
    text = (
        VALID.replace("task: binary", "task: binery")
        .replace("base: orders", "base: order")
        .replace("key: [id]", "keys: [id]")
        .replace("xgboost", "xgbost")
    )

    assert problems(text) == (
        "p.yaml: 4 problems\n"
        "  line 2, task: found 'binery', expected 'binary', 'multiclass' or 'regression'; did you mean 'binary'?\n"
        "  line 6, merge.key: missing, but needed\n"
        "  line 8, merge.keys: unknown key; did you mean 'key'?\n"
        "  line 13, train[0].algorithm: found 'xgbost', expected 'linear-learner' or 'xgboost'; "
        "did you mean 'xgboost'?"
    )


def test_meaning_is_checked_beside_unknown_keys():
    text = VALID.replace("base: orders", "base: order\n  wher: x > 1")

    assert problems(text) == (
        "p.yaml: 2 problems\n"
        "  line 7, merge.base: no source is called 'order'; did you mean 'orders'?\n"
        "  line 8, merge.wher: unknown key; did you mean 'where'?"
    )


@pytest.mark.parametrize(
    ("found", "put", "problem"),
    [
        ("[amount]", "[amount, amount]", "features[0].columns[1]: column 'amount' is in features[0] already; keep one"),
        ("[amount]", "[paid]", "features[0].columns[0]: column 'paid' is the label; a feature must not be what it predicts"),
        ("kind: numeric", "kind: numerical", "features[0]: found kind 'numerical', expected 'numeric', 'categorical', 'text', 'boolean', 'datetime', 'vector', 'interaction'"),
        ("kind: numeric\n", "columns_: 1\n", "features[0]: kind is missing; expected one of 'numeric', 'categorical', 'text', 'boolean', 'datetime', 'vector', 'interaction'"),
        ("'binary:logistic'}", "'binary:logistic'}\n    gates: {accurcy: '> 0.5'}", "train[0].gates.accurcy: a binary task has no metric 'accurcy'; did you mean 'accuracy'?"),
        ("'binary:logistic'}", "'binary:logistic'}\n    gates: {auc: 0.5}", "train[0].gates.auc: found 0.5; input should be a valid string"),
        ("num_round: 3", "num_round: three", "train[0].hyperparameters: 'num_round' is 'three', expected an integer of at least 1: most boosting rounds"),
        ("'binary:logistic'", "'reg:squarederror'", "train[0].hyperparameters.objective: 'reg:squarederror' does not fit task: binary, expected 'binary:'..."),
        ("key: [id]", "key: [id]\nsplit: {train: 0.5}", "split: train + validation + test is 0.7, expected 1"),
        ("[amount]", "[amount]\n    impute: constant", "features[0]: impute is constant, so fill_value is needed"),
        ("format: csv}", "format: cvs}", "sources.orders.format: found 'cvs', expected 'csv', 'json' or 'parquet'; did you mean 'csv'?"),
        ("column: paid}", "column: paid, classes: [a]}", "label.classes: found 1 classes, a binary task has 2"),
        ("  key: [id]", "  key: [id]\n  key: [id]", "merge.key: key is given twice; keep one"),
        ("'binary:logistic'}", "'binary:logistic'}\n  - {algorithm: xgboost, hyperparameters: {num_round: 3, objective: 'binary:logistic'}}", "train[1]: a model is called 'xgboost' already; give this one a name"),
    ],
)  # fmt: skip
def test_each_problem_is_worded_whole(found, put, problem):
    text = VALID.replace(found, put)

    told = problems(text)

    assert told.startswith("p.yaml: 1 problem\n  line ")
    assert told.split(", ", 1)[1] == problem


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "",
            "p.yaml: 1 problem\n  file: found no keys, expected a mapping such as 'name: flights'",
        ),
        (
            "a: [1",
            "p.yaml: 1 problem\n  line 1: not YAML: expected ',' or ']', but got '<stream end>'",
        ),
    ],
)
def test_what_is_no_mapping_is_refused(text, message):
    assert problems(text) == message


def test_on_is_a_key_and_not_the_boolean_of_yaml_1_1():
    body = yaml.safe_dump(shop_spec()).replace("'on'", "on")

    spec = specfile.parse(body, path="p.yaml")

    assert spec.merge.joins[0].key_pairs() == (("customer", "customer"),)


def test_a_missing_spec_says_what_to_name(tmp_path):
    with pytest.raises(MissingFileError) as caught:
        specfile.load(str(tmp_path / "no.yaml"))

    assert str(caught.value) == (
        f"spec: nothing found at '{tmp_path}/no.yaml'\n"
        "  name a pipeline.yaml, such as examples/flights/pipeline.yaml"
    )


def test_a_join_may_map_base_columns_to_the_sides():
    body = shop_spec()
    body["merge"]["joins"] = [{"source": "customers", "on": {"customer": "cust", "day": "d"}}]

    assert spec_of(body).merge.joins[0].key_pairs() == (("customer", "cust"), ("day", "d"))
