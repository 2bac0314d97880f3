"""The Params of the estimator and the model, and what values they take."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from pyspark.ml.param import Param, Params
from pyspark.ml.param.shared import HasOutputCol

from penstock.errors import InputError, nearest

__all__ = ["FitParams", "TransformParams"]


class _Choice:
    """Takes one of a few words."""

    def __init__(self, name: str, *words: str) -> None:
        self.name, self.words = name, words

    def __call__(self, value: Any) -> str:
        if value in self.words:
            return str(value)
        close = nearest(value, self.words) if isinstance(value, str) else None
        raise InputError(
            f"{self.name} is {value!r}, expected one of {', '.join(map(repr, self.words))}\n"
            + (f"  did you mean {close!r}?" if close else f"  set {self.name} to one of them")
        )


def _text(name: str) -> Callable[[Any], str]:
    def convert(value: Any) -> str:
        if isinstance(value, str) and value:
            return value
        raise InputError(f"{name} is {value!r}, expected the name of a column\n  give a text")

    return convert


def _texts(name: str) -> Callable[[Any], list[str]]:
    def convert(value: Any) -> list[str]:
        if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
            return list(value)
        raise InputError(f"{name} is {value!r}, expected names of columns\n  give a list of texts")

    return convert


def _features(value: Any) -> str | list[Any]:
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple) and all(isinstance(item, Mapping) for item in value):
        return [dict(item) for item in value]
    raise InputError(
        f"features is of type {type(value).__name__}, expected a list of mappings, or YAML text\n"
        "  write them as the features of a pipeline.yaml: [{'kind': 'numeric', 'columns': ['age']}]"
    )


def _mapping(value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    raise InputError(
        f"select is {value!r}, expected a mapping\n"
        "  write it as select of a pipeline.yaml: {'min_variance': 0}"
    )


def _classes(value: Any) -> list[Any]:
    if isinstance(value, list | tuple) and all(isinstance(c, str | int | float) for c in value):
        return list(value)
    raise InputError(
        f"labelClasses is {value!r}, expected the classes in the order of their numbers\n"
        "  give a list of texts, numbers or booleans"
    )


def _count(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    raise InputError(
        f"maxWidth is {value!r}, expected a whole number of at least 1\n  give such a one"
    )


class TransformParams(HasOutputCol):
    """What the model makes; the estimator has these Params as well, and hands them on."""

    outputType: Param[str] = Param(
        Params._dummy(),
        "outputType",
        "vector: Spark ml Vectors, sparse or dense as the plan's layout. array: array<float>.",
        typeConverter=_Choice("outputType", "vector", "array"),
    )
    labelOutputCol: Param[str] = Param(
        Params._dummy(),
        "labelOutputCol",
        "Column of labels to add: class numbers, or values, as double. Unset: none. A DataFrame without "
        "the label column gets none.",
        typeConverter=_text("labelOutputCol"),
    )
    trainingRows: Param[str] = Param(
        Params._dummy(),
        "trainingRows",
        "Whether transform takes its rows for those that the plan was fitted on, and target encodings "
        "from the other folds' rows. auto: the very DataFrame that fit was given is taken so, any "
        "other is not. always, never: whatever it is.",
        typeConverter=_Choice("trainingRows", "auto", "always", "never"),
    )

    def __init__(self) -> None:
        super().__init__()
        self._setDefault(outputCol="features", outputType="vector", trainingRows="auto")

    def setOutputCol(self, value: str) -> Self:
        """Set the name of the column of features."""
        return self._set(outputCol=value)

    def setOutputType(self, value: str) -> Self:
        """Set what the features are: vector or array."""
        return self._set(outputType=value)

    def setLabelOutputCol(self, value: str) -> Self:
        """Set the name of the column of labels to add."""
        return self._set(labelOutputCol=value)

    def setTrainingRows(self, value: str) -> Self:
        """Set which rows are encoded as those that the plan was fitted on: auto, always or never."""
        return self._set(trainingRows=value)

    def getOutputType(self) -> str:
        """Return ``vector`` or ``array``."""
        return self.getOrDefault(self.outputType)

    def getLabelOutputCol(self) -> str | None:
        """Return the name of the column of labels, or None."""
        return self.getOrDefault(self.labelOutputCol) if self.isSet(self.labelOutputCol) else None

    def getTrainingRows(self) -> str:
        """Return ``auto``, ``always`` or ``never``."""
        return self.getOrDefault(self.trainingRows)


class FitParams(TransformParams):
    """What is learned, as a pipeline.yaml would say it."""

    features: Param[Any] = Param(
        Params._dummy(),
        "features",
        "The features, as in a pipeline.yaml: a list of mappings, or YAML text.",
        typeConverter=_features,
    )
    task: Param[str] = Param(
        Params._dummy(),
        "task",
        "What is predicted: binary, multiclass or regression.",
        typeConverter=_Choice("task", "binary", "multiclass", "regression"),
    )
    labelCol: Param[str] = Param(
        Params._dummy(), "labelCol", "Column of the labels.", typeConverter=_text("labelCol")
    )
    labelClasses: Param[list[Any]] = Param(
        Params._dummy(),
        "labelClasses",
        "Values of the label in the order of their class numbers. Unset: binary takes 0/1 or booleans, "
        "multiclass 0 to K-1.",
        typeConverter=_classes,
    )
    keyCols: Param[list[str]] = Param(
        Params._dummy(),
        "keyCols",
        "Columns that name a row; target encoding makes its folds of them.",
        typeConverter=_texts("keyCols"),
    )
    select: Param[dict[str, Any]] = Param(
        Params._dummy(),
        "select",
        "Which features to leave out, as select of a pipeline.yaml.",
        typeConverter=_mapping,
    )
    layout: Param[str] = Param(
        Params._dummy(),
        "layout",
        "dense, sparse, or auto: whichever makes fewer bytes.",
        typeConverter=_Choice("layout", "auto", "dense", "sparse"),
    )
    maxWidth: Param[int] = Param(
        Params._dummy(),
        "maxWidth",
        "Refuse a wider matrix, and say which column makes it wide.",
        typeConverter=_count,
    )

    def __init__(self) -> None:
        super().__init__()
        self._setDefault(keyCols=[], select={}, layout="auto", maxWidth=10_000)

    def needed(self, names: Sequence[str]) -> list[Any]:
        """Return the values of Params that have no default.

        Raises:
            InputError: Some are not set; names all of them.
        """
        if missing := [name for name in names if not self.isDefined(name)]:
            raise InputError(
                f"{type(self).__name__}: {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} "
                f"not set\n  give {'it' if len(missing) == 1 else 'them'} to the constructor"
            )
        return [self.getOrDefault(name) for name in names]
