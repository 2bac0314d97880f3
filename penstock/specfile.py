"""pipeline.yaml -> Spec, with every problem at once, each with its line.

YAML is composed to nodes first, so that each value keeps its line and a repeated key is seen;
pydantic then checks the shape, and ``_meaning`` what no single field can know.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import yaml
from pydantic import ValidationError

from penstock import balance, split, storage
from penstock.containers.hyperparameters import HyperparametersError
from penstock.errors import MissingFileError, SpecError, listed, nearest
from penstock.evaluate import known_metrics
from penstock.host.algorithms import check_hyperparameters, hyperparameter_text
from penstock.spec import CategoricalFeatures, FeatureGroup, NumericFeatures, Spec, TextFeatures

__all__ = ["SpecFile", "load", "parse"]

# algorithm -> the hyperparameter that says what is learned, its default, and how it begins per task
TASK_HYPERPARAMETERS = {
    "linear-learner": (
        "predictor_type",
        "",
        {
            "binary": "binary_classifier",
            "multiclass": "multiclass_classifier",
            "regression": "regressor",
        },
    ),
    "xgboost": (
        "objective",
        "reg:squarederror",
        {"binary": "binary:", "multiclass": "multi:", "regression": "reg:"},
    ),
}

KINDS = tuple(
    get_args(model.model_fields["kind"].annotation)[0]
    for model in get_args(get_args(FeatureGroup)[0])
)

Location = tuple[str | int, ...]
Problem = tuple[int, str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class SpecFile:
    """A validated spec and the text it came from."""

    path: str
    text: str
    spec: Spec


class _Loader(yaml.SafeLoader):
    """SafeLoader with the booleans of YAML 1.2: ``on``, ``off``, ``yes`` and ``no`` are texts.

    In YAML 1.1 the key ``on`` of a join would be the boolean true. Dates stay texts as well.
    """


_Loader.yaml_implicit_resolvers = {
    first: [(tag, known) for tag, known in resolvers if not tag.endswith((":bool", ":timestamp"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)


def load(path: str) -> SpecFile:
    """Read and validate a pipeline.yaml at a path or URI.

    Raises:
        MissingFileError: Nothing stands there.
        SpecError: All that is wrong with it.
    """
    if not storage.exists(path):
        raise MissingFileError(
            "spec", path, "name a pipeline.yaml, such as examples/flights/pipeline.yaml"
        )
    text = storage.read_bytes(path).decode()
    return SpecFile(path=path, text=text, spec=parse(text, path=path))


def parse(text: str, *, path: str) -> Spec:
    """Validate the text of a pipeline.yaml; ``path`` is used in messages only.

    Raises:
        SpecError: All that is wrong with it.
    """
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise SpecError(path, ((line, "", f"not YAML: {error.problem}"),)) from None
    if not isinstance(node, yaml.MappingNode):
        raise SpecError(
            path, ((0, "", "found no keys, expected a mapping such as 'name: flights'"),)
        )
    lines: dict[Location, int] = {}
    repeats = list(_walk(node, (), lines))
    data = yaml.load(text, Loader=_Loader)  # noqa: S506  a SafeLoader
    problems = [(line, _dotted(where), "key is given twice; keep one") for where, line in repeats]
    spec, found = _shape(data, lines)
    problems += found
    if spec is not None:
        problems += [(_line(where, lines), _dotted(where), text) for where, text in _meaning(spec)]
    if problems or spec is None:
        raise SpecError(path, tuple(sorted(problems)))
    return spec


def _walk(
    node: yaml.Node, at: Location, lines: dict[Location, int]
) -> Iterator[tuple[Location, int]]:
    """Fill ``lines`` with the line of every value; yield the keys that repeat."""
    lines.setdefault(at, node.start_mark.line + 1)
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _walk(item, (*at, index), lines)
    elif isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            where = (*at, key.value)
            if key.value in seen:
                yield where, key.start_mark.line + 1
            seen.add(key.value)
            lines[where] = key.start_mark.line + 1
            yield from _walk(value, where, lines)


def _shape(data: Any, lines: dict[Location, int]) -> tuple[Spec | None, list[Problem]]:
    """Validate; unknown keys are taken out and the rest is validated again, to find all problems."""
    try:
        return Spec.model_validate(data), []
    except ValidationError as error:
        details = error.errors(include_url=False)
    problems: list[Problem] = []
    unknown: list[Location] = []
    for detail in details:
        where = _real(detail["loc"], data)
        if detail["type"] == "too_short" and detail["input"]:
            continue  # its items are wrong, which is told of each
        if detail["type"] == "extra_forbidden":
            unknown.append(where)
        problems.append((_line(where, lines), _dotted(where), _worded(detail, where)))
    if len(unknown) < len(problems):
        return None, problems
    for where in unknown:
        parent = data
        for part in where[:-1]:
            parent = parent[part]
        del parent[where[-1]]
    return Spec.model_validate(data), problems


def _real(loc: Sequence[str | int], data: Any) -> Location:
    """Drop from pydantic's location the tags of unions, which no one wrote into the file."""
    where: list[str | int] = []
    for index, part in enumerate(loc):
        last = index == len(loc) - 1
        if isinstance(data, dict) and (part in data or last):
            data = data.get(part)
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            data = data[part]
        else:
            continue
        where.append(part)
    return tuple(where)


def _worded(detail: Any, where: Location) -> str:
    kind, found = detail["type"], detail["input"]
    if kind == "missing":
        return "missing, but needed"
    if kind == "extra_forbidden":
        known = _known(detail["loc"])
        close = nearest(str(where[-1]), known)
        hint = f"did you mean {close!r}?" if close else f"expected one of {listed(known)}"
        return f"unknown key; {hint}"
    if kind == "literal_error":
        expected = detail["ctx"]["expected"]
        known = [part.strip(" '") for part in expected.replace(" or ", ", ").split(",")]
        close = nearest(str(found), known)
        hint = f"; did you mean {close!r}?" if close else ""
        return f"found {found!r}, expected {expected}{hint}"
    if kind == "union_tag_invalid":
        return f"found kind {detail['ctx']['tag']!r}, expected {detail['ctx']['expected_tags']}"
    if kind == "union_tag_not_found":
        return f"kind is missing; expected one of {listed(KINDS)}"
    message = detail["msg"][:1].lower() + detail["msg"][1:]
    shown = repr(found)
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    return f"found {shown}; {message}"


def _known(loc: Sequence[str | int]) -> list[str]:
    """Return the keys that the schema knows beside an unknown one."""
    schema = Spec.model_json_schema()
    definitions = schema["$defs"]
    at: Any = schema
    for part in loc[:-1]:
        options = at.get("oneOf") or at.get("anyOf")
        if options and isinstance(part, str):
            tag = at.get("discriminator", {}).get("mapping", {}).get(part)
            at = {"$ref": tag} if tag else next((o for o in options if "$ref" in o), {})
        elif part in at.get("properties", {}):
            at = at["properties"][part]
        elif isinstance(part, int):
            at = at.get("items", {})
        else:
            at = at.get("additionalProperties", {})
        while isinstance(at, dict) and "$ref" in at:
            at = definitions[at["$ref"].rsplit("/", 1)[-1]]
    optional = [part for part in at.get("anyOf", ()) if "$ref" in part]
    if optional:
        at = definitions[optional[0]["$ref"].rsplit("/", 1)[-1]]
    return list(at.get("properties", {}))


def _line(where: Location, lines: dict[Location, int]) -> int:
    """Return the line of a place, or of the nearest thing around it that the file has."""
    while where and where not in lines:
        where = where[:-1]
    return lines.get(where, 0) if where else 0


def _dotted(where: Location) -> str:
    """Return ``merge.joins[0].on`` for ``("merge", "joins", 0, "on")``."""
    text = ""
    for part in where:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _meaning(spec: Spec) -> Iterator[tuple[Location, str]]:
    """Yield what is wrong between fields that are each well-formed."""
    yield from _tables(spec)
    yield from split.problems(spec.split)
    yield from balance.problems(spec)
    yield from _features(spec)
    classes = spec.label.classes
    if classes is not None and spec.task == "binary" and len(classes) != 2:
        yield ("label", "classes"), f"found {len(classes)} classes, a binary task has 2"
    if classes is not None and spec.task == "regression":
        yield ("label", "classes"), "a regression has no classes; remove them or change the task"
    yield from _models(spec)


def _tables(spec: Spec) -> Iterator[tuple[Location, str]]:
    known = tuple(spec.sources)

    def unknown(name: str) -> str:
        close = nearest(name, known)
        hint = f"did you mean {close!r}?" if close else f"expected one of {listed(known)}"
        return f"no source is called {name!r}; {hint}"

    if spec.merge.base not in known:
        yield ("merge", "base"), unknown(spec.merge.base)
    seen: set[str] = {spec.merge.base}
    for index, side in enumerate(spec.merge.joins):
        where = ("merge", "joins", index, "source")
        if side.source not in known:
            yield where, unknown(side.source)
        elif side.source in seen:
            yield (
                where,
                f"source {side.source!r} is in the merge already; name a second source with its path",
            )
        seen.add(side.source)


def _features(spec: Spec) -> Iterator[tuple[Location, str]]:
    owner: dict[str, int] = {}
    for index, group in enumerate(spec.features):
        for position, column in enumerate(group.columns):
            where: Location = ("features", index, "columns", position)
            if column == spec.label.column:
                yield (
                    where,
                    f"column {column!r} is the label; a feature must not be what it predicts",
                )
            if column in owner:
                yield where, f"column {column!r} is in features[{owner[column]}] already; keep one"
            owner.setdefault(column, index)
        if isinstance(group, NumericFeatures) and (group.impute == "constant") != (
            group.fill_value is not None
        ):
            what = (
                "impute is constant, so fill_value is needed"
                if group.fill_value is None
                else (
                    f"fill_value is given, but impute is {group.impute}; expected impute: constant"
                )
            )
            yield ("features", index), what
        if isinstance(group, CategoricalFeatures | TextFeatures):
            for name, problem in group.conflicts():
                yield ("features", index, name), problem
        if isinstance(group, CategoricalFeatures) and not (
            isinstance(group.min_frequency, int) or group.min_frequency < 1
        ):
            where = ("features", index, "min_frequency")
            yield where, f"found {group.min_frequency}, expected a whole count or a share below 1"


def _models(spec: Spec) -> Iterator[tuple[Location, str]]:
    names: dict[str, int] = {}
    for index, model in enumerate(spec.train):
        if model.label in names:
            yield (
                ("train", index),
                f"a model is called {model.label!r} already; give this one a name",
            )
        names.setdefault(model.label, index)
        texts = {name: hyperparameter_text(value) for name, value in model.hyperparameters.items()}
        try:
            check_hyperparameters(model.algorithm, texts)
        except HyperparametersError as error:
            yield from ((("train", index, "hyperparameters"), text) for text in error.problems)
        else:
            yield from _fits_task(spec.task, index, model.algorithm, texts)
        yield from _gates(spec, ("train", index, "gates"), model.gates)
    yield from _gates(spec, ("evaluate", "gates"), spec.evaluate.gates)


def _fits_task(
    task: str, index: int, algorithm: str, hyperparameters: dict[str, str]
) -> Iterator[tuple[Location, str]]:
    """Yield that a model learns something else than the task asks for."""
    name, default, fitting = TASK_HYPERPARAMETERS[algorithm]
    found = hyperparameters.get(name, default)
    if not found.startswith(fitting[task]):
        yield (
            ("train", index, "hyperparameters", name),
            f"{found!r} does not fit task: {task}, expected {fitting[task]!r}"
            + ("..." if fitting[task].endswith(":") else ""),
        )


def _gates(spec: Spec, where: Location, gates: dict[str, str]) -> Iterator[tuple[Location, str]]:
    known = known_metrics(spec.task)
    for metric in gates:
        if metric not in known:
            close = nearest(metric, known)
            hint = f"did you mean {close!r}?" if close else f"expected one of {listed(known)}"
            yield (*where, metric), f"a {spec.task} task has no metric {metric!r}; {hint}"
