"""What an estimator's Params say -> a Spec, as a pipeline.yaml would have given it.

Features come as Python data or as YAML text; both pass the same checks, and every problem is told at
once, with its line where there is one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from penstock import specfile
from penstock.errors import InputError, SpecError
from penstock.sparkml.words import reworded
from penstock.spec import Spec

__all__ = ["NO_KEY", "Asked", "spec_of"]

NO_KEY = "(keyCols)"
"""Stands for the key where the estimator has none."""

WHO = "FeaturePlanEstimator"
OWN_KEYS = ("features", "select")
PREDICTORS: Mapping[str, Mapping[str, str | int]] = {
    "binary": {"predictor_type": "binary_classifier"},
    "multiclass": {"predictor_type": "multiclass_classifier", "num_classes": 2},
    "regression": {"predictor_type": "regressor"},
}
"""What a spec needs besides: a model that suits its task. It is not trained."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """The Params of an estimator that make up a spec.

    Attributes:
        features: As ``features:`` of a pipeline.yaml: a list of mappings, or YAML text.
        select: As ``select:``.
        task: What is predicted.
        label: Column.
        classes: Of the label, or None.
        key: Columns that name a row; none is fine but for target encoding.
        layout: As ``dataset.layout``.
        max_width: As ``dataset.max_width``.
    """

    features: str | Sequence[Mapping[str, Any]]
    select: Mapping[str, Any]
    task: str
    label: str
    classes: Sequence[Any] | None
    key: Sequence[str]
    layout: str
    max_width: int


def spec_of(asked: Asked) -> Spec:
    """Return the spec.

    Raises:
        InputError: All that is wrong with it.
    """
    head, before = _head(asked)
    text = head + "\n" + yaml.safe_dump(_rest(asked), allow_unicode=True, sort_keys=False)
    try:
        spec = specfile.parse(text, path=WHO)
        if spec.features:
            return spec
        shown = ["features: found none, expected one at least"]
    except SpecError as error:
        last = head.count("\n") + 1 if isinstance(asked.features, str) else 0
        shown = [_shown(problem, before, last) for problem in error.problems]
    count = f"{len(shown)} {'problem' if len(shown) == 1 else 'problems'}"
    raise InputError("\n  ".join([f"{WHO}: {count}", *shown]))


def _head(asked: Asked) -> tuple[str, int]:
    """Return the YAML of the features, and how many lines of it the user has not written."""
    if isinstance(asked.features, str):
        before = 0 if _is_mapping(asked) else 1
        return "features:\n" * before + asked.features, before
    try:
        body = yaml.safe_dump({"features": _plain(asked.features)}, allow_unicode=True)
    except yaml.YAMLError as error:
        raise InputError(
            f"{WHO}.features: {error}\n"
            "  give texts, numbers, booleans, lists and mappings, as YAML has them"
        ) from None
    return body, 0


def _plain(value: Any) -> Any:
    """Return data with lists for tuples and dicts for other mappings, which YAML has no word for."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _is_mapping(asked: Asked) -> bool:
    """Return whether the text is a mapping with ``features:``, not the bare list.

    Raises:
        InputError: It is neither, or has other keys.
    """
    try:
        node = yaml.compose(str(asked.features), Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        # Told here: parsed with the rest, the text would be at fault in some line of the rest.
        line = f"line {error.problem_mark.line + 1}, " if error.problem_mark else ""
        raise InputError(f"{WHO}: 1 problem\n  {line}features: not YAML: {error.problem}") from None
    if isinstance(node, yaml.SequenceNode):
        return False
    if not isinstance(node, yaml.MappingNode):
        raise InputError(
            f"{WHO}.features: the text has no list, expected the features of a pipeline.yaml\n"
            "  begin it with '- kind: numeric', or with 'features:' and the list below"
        )
    names = [str(key.value) for key, _ in node.value]
    known = OWN_KEYS if not asked.select else OWN_KEYS[:1]
    if unknown := [name for name in names if name not in known]:
        why = "set it in one place" if unknown == ["select"] else "the rest is set as Params"
        raise InputError(
            f"{WHO}.features: the text has the keys {names!r}, expected {' and '.join(known)} alone\n"
            f"  take {', '.join(unknown)} out of it: {why}"
        )
    return True


def _rest(asked: Asked) -> dict[str, Any]:
    """Return all of a spec but the features; what a DataFrame has no use for, in its plainest form."""
    label: dict[str, Any] = {"column": asked.label}
    if asked.classes is not None:
        label["classes"] = list(asked.classes)
    select = {"select": _plain(asked.select)} if asked.select else {}
    return {
        "name": "frame",
        "task": asked.task,
        "label": label,
        "sources": {"frame": {"path": "frame", "format": "parquet"}},
        "merge": {"base": "frame", "key": list(asked.key) or [NO_KEY]},
        "dataset": {"layout": asked.layout, "max_width": asked.max_width},
        "train": [
            {
                "algorithm": "linear-learner",
                "hyperparameters": dict(PREDICTORS[asked.task]),
            }
        ],
        **select,
    }


def _shown(problem: tuple[int, str, str], before: int, last: int) -> str:
    """Return a problem with the user's own line: of ``before + 1`` to ``last`` of the text."""
    line, where, text = problem
    place = f"line {line - before}" if before < line <= last else ""
    return reworded(": ".join([", ".join(filter(None, [place, where])), text]))
