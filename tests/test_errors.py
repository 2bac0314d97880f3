from __future__ import annotations

import pickle  # noqa: TID251  errors must survive what Spark does to them

import pytest

from penstock import errors

EXAMPLES = {
    "PenstockError": ("x",),
    "InputError": ("x",),
    "SpecError": ("p.yaml", ((3, "a.b", "wrong"),)),
    "MissingFileError": ("spec", "x", "do"),
    "MissingColumnsError": ("t", ("a",), ("b",)),
    "SchemaMismatchError": ("t", "c", "int", "string", "do"),
    "DataError": ("x",),
    "EmptyTableError": ("t", "do"),
    "DuplicateKeyError": ("t", "(a=1)", 2, 1, "do"),
    "MalformedRowsError": ("t", 1, 10, 0.01, "q/", ("f line 2: bad",)),
    "CorruptRecordError": ("s", 12, "short"),
    "ServiceError": ("x",),
    "TrainingFailedError": ("j", "Failed", "why", "log.txt"),
    "NotEmulatedError": ("glue", "X", "why"),
    "GateError": ((("m", "auc", 0.5, ">= 0.7"),), "r.json"),
}


def classes():
    found, rest = [], [errors.PenstockError]
    while rest:
        found.append(rest.pop())
        rest += [c for c in found[-1].__subclasses__() if c.__module__ == "penstock.errors"]
    return found


@pytest.mark.parametrize("cls", classes(), ids=lambda cls: cls.__name__)
def test_every_error_survives_pickling_with_its_words(cls):
    error = cls(*EXAMPLES[cls.__name__])

    again = pickle.loads(pickle.dumps(error))

    assert (type(again), str(again), again.args) == (cls, str(error), error.args)


def test_the_tree_at_the_top_names_every_class_and_its_exit_code():
    drawn = errors.__doc__

    assert [cls.__name__ for cls in classes() if cls.__name__ not in drawn] == []
    assert {cls.exit_code for cls in classes()} == {1, 2, 3, 4, 5, 6}


def test_a_failed_gate_says_what_was_found_and_expected():
    assert str(errors.GateError((("xgboost", "auc", 0.61, ">= 0.70"),), "r.json")) == (
        "gate failed: xgboost has auc 0.6100 on the test split, expected >= 0.70\n"
        "  the model is kept but not approved; see r.json"
    )
