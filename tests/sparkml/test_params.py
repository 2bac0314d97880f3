"""Params and the spec that they make; no JVM."""

from __future__ import annotations

import pytest

from penstock.errors import DataError, InputError
from penstock.sparkml import FeaturePlanEstimator, FeaturePlanModel
from penstock.sparkml.words import reworded

YAML = """\
- kind: numeric
  columns: [age]
- kind: categorical
  columns: [job]
  min_frequency: 0.01
"""
PYTHON = [
    {"kind": "numeric", "columns": ("age",)},
    {"kind": "categorical", "columns": ["job"], "min_frequency": 0.01},
]


def estimator(**params):
    return FeaturePlanEstimator(**{"task": "binary", "labelCol": "y", "features": PYTHON} | params)


def test_features_as_python_data_and_as_yaml_text_are_the_same():
    whole = "# ours\nfeatures:\n" + YAML

    specs = [estimator(features=text).spec() for text in (PYTHON, YAML, whole)]

    assert specs[0] == specs[1] == specs[2]
    assert [rule.columns for rule in specs[0].features] == [("age",), ("job",)]


def test_the_other_params_are_in_the_spec():
    spec = estimator(
        task="multiclass",
        labelClasses=["lo", "hi", "mid"],
        keyCols=("a", "b"),
        select={"min_variance": 0},
        layout="sparse",
        maxWidth=7,
    ).spec()

    assert (spec.task, spec.label.column, spec.label.classes) == (
        "multiclass",
        "y",
        ("lo", "hi", "mid"),
    )
    assert spec.merge.key == ("a", "b")
    assert spec.select.min_variance == 0
    assert (spec.dataset.layout, spec.dataset.max_width) == ("sparse", 7)


def test_select_may_stand_in_the_yaml_text():
    text = "select: {min_variance: 0.5}\nfeatures:\n" + YAML

    assert estimator(features=text).spec().select.min_variance == 0.5


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (
            {"features": [{"kind": "numeric", "colums": ["age"]}]},
            "FeaturePlanEstimator: 2 problems\n"
            "  features[0].columns: missing, but needed\n"
            "  features[0].colums: unknown key; did you mean 'columns'?",
        ),
        (
            {"features": "- kind: numeric\n  columns: [age]\n  scale: standart\n"},
            "FeaturePlanEstimator: 1 problem\n"
            "  line 3, features[0].scale: found 'standart', expected 'standard', 'min_max', 'robust', "
            "'log1p', 'bins' or 'none'; did you mean 'standard'?",
        ),
        (
            {"features": "features:\n- kind: numeric\n  columns: [age, y]\n"},
            "FeaturePlanEstimator: 1 problem\n"
            "  line 3, features[0].columns[1]: column 'y' is the label; a feature must not be what it "
            "predicts",
        ),
        (
            {"features": "- kind: [a\n  columns: b\n"},
            "FeaturePlanEstimator: 1 problem\n"
            "  line 2, features: not YAML: expected ',' or ']', but got ':'",
        ),
        (
            {"features": "name: p\nfeatures: []\n"},
            "FeaturePlanEstimator.features: the text has the keys ['name', 'features'], expected features "
            "and select alone\n"
            "  take name out of it: the rest is set as Params",
        ),
        (
            {"features": "select: {}\nfeatures: []\n", "select": {"min_variance": 0}},
            "FeaturePlanEstimator.features: the text has the keys ['select', 'features'], expected features "
            "alone\n"
            "  take select out of it: set it in one place",
        ),
        (
            {"features": "age"},
            "FeaturePlanEstimator.features: the text has no list, expected the features of a pipeline.yaml\n"
            "  begin it with '- kind: numeric', or with 'features:' and the list below",
        ),
        (
            {"features": []},
            "FeaturePlanEstimator: 1 problem\n  features: found none, expected one at least",
        ),
        (
            {"labelClasses": ["a", "b", "c"]},
            "FeaturePlanEstimator: 1 problem\n  labelClasses: found 3 classes, a binary task has 2",
        ),
    ],
)
def test_all_that_is_wrong_with_the_features_is_told(params, message):
    with pytest.raises(InputError) as caught:
        estimator(**params).spec()

    assert str(caught.value) == message


def test_what_is_not_set_is_named():
    with pytest.raises(InputError) as caught:
        FeaturePlanEstimator(task="binary").spec()

    assert str(caught.value) == (
        "FeaturePlanEstimator: labelCol, features are not set\n  give them to the constructor"
    )


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "layout",
            "dens",
            "layout is 'dens', expected one of 'auto', 'dense', 'sparse'\n  did you mean 'dense'?",
        ),
        (
            "outputType",
            3,
            "outputType is 3, expected one of 'vector', 'array'\n  set outputType to one of them",
        ),
        (
            "task",
            ["binary"],
            "task is ['binary'], expected one of 'binary', 'multiclass', 'regression'\n"
            "  set task to one of them",
        ),
        ("labelCol", "", "labelCol is '', expected the name of a column\n  give a text"),
        ("keyCols", "id", "keyCols is 'id', expected names of columns\n  give a list of texts"),
        (
            "maxWidth",
            0,
            "maxWidth is 0, expected a whole number of at least 1\n  give such a one",
        ),
        (
            "select",
            [],
            "select is [], expected a mapping\n"
            "  write it as select of a pipeline.yaml: {'min_variance': 0}",
        ),
        (
            "labelClasses",
            "ab",
            "labelClasses is 'ab', expected the classes in the order of their numbers\n"
            "  give a list of texts, numbers or booleans",
        ),
        (
            "features",
            {"kind": "numeric"},
            "features is of type dict, expected a list of mappings, or YAML text\n"
            "  write them as the features of a pipeline.yaml: [{'kind': 'numeric', 'columns': ['age']}]",
        ),
        (
            "trainingRows",
            "yes",
            "trainingRows is 'yes', expected one of 'auto', 'always', 'never'\n"
            "  set trainingRows to one of them",
        ),
    ],
)
def test_a_value_that_a_param_does_not_take_is_refused_when_it_is_set(name, value, message):
    with pytest.raises(InputError) as by_constructor:
        estimator(**{name: value})
    with pytest.raises(InputError) as by_setter:
        getattr(estimator(), f"set{name[0].upper()}{name[1:]}")(value)

    assert str(by_constructor.value) == str(by_setter.value) == message


def test_params_are_explained_set_copied_and_forced_to_be_named():
    made = estimator().setOutputCol("f").setParams(layout="dense", maxWidth=9)
    copied = made.copy({made.maxWidth: 11})

    assert (made.getOutputCol(), copied.getOutputCol()) == ("f", "f")
    assert (made.getOrDefault("maxWidth"), copied.getOrDefault("maxWidth")) == (9, 11)
    assert (copied.uid, copied.spec().dataset.layout) == (made.uid, "dense")
    lines = made.explainParams().splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        "features",
        "keyCols",
        "labelClasses",
        "labelCol",
        "labelOutputCol",
        "layout",
        "maxWidth",
        "outputCol",
        "outputType",
        "select",
        "task",
        "trainingRows",
    ]
    with pytest.raises(TypeError, match="forces keyword arguments"):
        FeaturePlanEstimator("binary")  # type: ignore[misc]


def test_a_model_without_a_plan_says_how_to_get_one():
    with pytest.raises(InputError) as caught:
        _ = FeaturePlanModel().plan

    assert str(caught.value) == (
        "FeaturePlanModel: it has no plan, expected a fitted one\n"
        "  make it with FeaturePlanModel(plan=...), load_plan(uri) or FeaturePlanEstimator.fit"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("add `where: y IS NOT NULL` to merge, or derive it", "filter it: y IS NOT NULL"),
        ("3 of 9 rows of the train split are null", "3 of 9 rows of the DataFrame are null"),
        ("check merge.derive and merge.where", "check how the DataFrame was made"),
        (str(DataError("table 'curated', column 'a'")), "table 'DataFrame', column 'a'"),
    ],
)
def test_messages_speak_of_dataframes(text, expected):
    assert reworded(text) == expected
