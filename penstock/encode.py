"""A cell -> float32 columns: scaled numbers, codes of names, labels.

Everything here works on whole Arrow arrays and says which row is wrong; ``penstock.plan`` puts the
columns of a table together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from penstock.cells import family, names_array, numbers, plain, present, texts
from penstock.errors import DataError, SchemaMismatchError
from penstock.sketch import Floats, Moments
from penstock.spec import Task

__all__ = [
    "LabelRule",
    "Scaling",
    "Where",
    "check_type",
    "lookup",
    "standard_scaling",
]

Float32s = npt.NDArray[np.float32]
Codes = npt.NDArray[np.int32]

EXPECTED = {
    "number": "a number",
    "boolean": "a boolean",
    "string": "a string",
    "date": "a date",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Where:
    """What errors call the rows at hand.

    Attributes:
        table: Name of the table.
        first_row: Number of the batch's first row in it.
    """

    table: str = "rows"
    first_row: int = 0

    def first(self, bad: npt.NDArray[np.bool_]) -> tuple[int, str]:
        """Return the first true index, and its row number as text."""
        at = int(np.argmax(bad))
        return at, f"{self.first_row + at:,}"


def check_type(where: Where, column: str, array: Any, fitted: str, *, numeric: bool) -> None:
    """Raise unless ``array`` can stand where a column of Arrow type ``fitted`` was fitted.

    Numbers may change width, precision or decimality, booleans may stand for numbers in numeric
    columns, and a column of nothing but nulls may have the null type. Text is never read as numbers.

    Raises:
        SchemaMismatchError: It cannot.
    """
    found, expected = family(str(array.type)), family(fitted)
    number_like = ("number", "boolean")
    alike = found == expected or (numeric and found in number_like and expected in number_like)
    if alike or found == "null":
        return
    raise SchemaMismatchError(
        where.table,
        column,
        str(array.type),
        f"{EXPECTED.get(expected, expected)} (fitted on {fitted})",
        "cast it before encoding, or fit again on rows like these",
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Scaling:
    """How a number becomes a float32: ``(x - mean) / scale``, or as it is.

    Attributes:
        rule: As the spec names it; x is the number, with ``log1p`` its log(1 + x).
        mean: Subtracted, in float64: the mean, the minimum (min_max) or the median (robust).
        scale: Divides, in float64: the population standard deviation, maximum less minimum, or third
            quartile less first; 1.0 for a constant column.
        note: What people should know of it.
    """

    rule: Literal["standard", "min_max", "robust", "log1p", "none"]
    mean: float = 0.0
    scale: float = 1.0
    note: str = ""

    def apply(self, values: Floats, where: Where, column: str) -> Float32s:
        """Return float32 (n,) of ``values`` (n,), which have no NaN.

        Raises:
            DataError: A value is infinite, or does not fit in float32.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            if self.rule != "none":
                values = (values - self.mean) / self.scale
            # Adding zero turns -0.0 into 0.0, so that dense and sparse agree to the bit.
            scaled = values.astype(np.float32) + np.float32(0.0)
        if not np.isfinite(scaled).all():
            at, row = where.first(~np.isfinite(scaled))
            found = f"{float(values[at])!r}{' when scaled' if self.rule != 'none' else ''}"
            raise DataError(
                f"table {where.table!r}, column {column!r}: row {row} is {found}, expected a finite "
                "number within the range of float32\n"
                "  mend it in merge.derive, or filter it in merge.where"
            )
        return np.asarray(scaled, np.float32)


def standard_scaling(moments: Moments, *, constant: float | None, column: str) -> Scaling:
    """Return the scaling to mean 0 and population standard deviation 1.

    Args:
        moments: Of the imputed train split.
        constant: The value of all its rows, if they are equal: it comes out as exactly 0.
        column: For the error.

    Raises:
        DataError: The values are so large that their deviation is infinite.
    """
    if not (math.isfinite(moments.mean) and math.isfinite(moments.std)):
        raise DataError(
            f"column {column!r}: the standard deviation is {moments.std!r}, expected a finite number\n"
            "  its values are too large to scale: derive a smaller measure of it, as a logarithm"
        )
    if constant is not None or moments.std == 0.0:
        note = "constant in the train split: scale is 1, not the standard deviation 0"
        mean = moments.mean if constant is None else constant
        return Scaling(rule="standard", mean=mean, note=note)
    return Scaling(
        rule="standard", mean=moments.mean, scale=moments.std, note="of the imputed train split"
    )


def lookup(array: Any, known: Any) -> Codes:
    """Return where each value stands in ``known``: int32 (n,).

    Args:
        array: Arrow array of names (n,).
        known: Arrow large_string array (k,), without repeats.

    Returns:
        0 to k-1 for a known value, k for an unknown one, -1 for a missing one.
    """
    if pa.types.is_null(array.type):
        return np.full(len(array), -1, np.int32)
    if family(str(array.type)) == "string" and not pa.types.is_dictionary(array.type):
        return _found(array, known)
    encoded = array if pa.types.is_dictionary(array.type) else array.dictionary_encode()
    table = np.append(_found(texts(encoded.dictionary), known), np.int32(-1))
    # The last entry of the table is what null becomes.
    at = np.where(present(encoded), plain(encoded.indices).astype(np.int64), -1)
    return np.asarray(table[at], np.int32)


def _found(values: Any, known: Any) -> Codes:
    found = pc.index_in(values, value_set=known.cast(values.type))
    codes = np.where(present(found), plain(found), np.int32(len(known)))
    if values.null_count:
        codes[~present(values)] = -1
    return codes


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelRule:
    """How the label column becomes float32 labels.

    Attributes:
        column: Its name.
        type: Text of the Arrow type it was fitted on.
        task: What is predicted.
        classes: Values in the order of their class numbers. None: any number (regression), or
            0..K-1 of a K that is not known yet (multiclass, before the fit).
    """

    column: str
    type: str
    task: Task
    classes: tuple[str | int | float | bool, ...] | None

    @property
    def numeric(self) -> bool:
        """Whether the labels are numbers, or booleans as numbers, that need no look-up."""
        return family(self.type) in ("number", "boolean") and (
            self.classes is None or tuple(self.classes) == tuple(range(len(self.classes)))
        )

    def names(self) -> Any:
        """Return the classes as an Arrow large_string array, as a look-up needs them."""
        known = [str(c).lower() if isinstance(c, bool) else c for c in self.classes or ()]
        words = [str(int(c)) if isinstance(c, float) and c.is_integer() else str(c) for c in known]
        return names_array(words)

    def values(self, array: Any) -> tuple[Floats, npt.NDArray[np.bool_]]:
        """Return labels float64 (n,), NaN where missing or wrong, and a mask of the wrong ones."""
        if not self.numeric:
            codes = lookup(array, self.names()).astype(np.float64)
            wrong = codes == len(self.classes or ())
            codes[wrong | (codes < 0)] = np.nan
            return codes, wrong
        found = numbers(array)
        with np.errstate(over="ignore"):
            wrong = np.isinf(found.astype(np.float32))
        if self.task != "regression":
            most = np.inf if self.classes is None else len(self.classes) - 1
            # A comparison with NaN is false, so that a missing label is not a wrong one.
            wrong |= (found < 0) | (found > most) | (found != np.floor(found)) & ~np.isnan(found)
        return np.where(wrong, np.nan, found), wrong

    def labels(self, array: Any, where: Where) -> Float32s:
        """Return labels float32 (n,): class numbers, or values.

        Raises:
            SchemaMismatchError: The type is another than the fitted one.
            DataError: A label is missing, or is no class.
        """
        check_type(where, self.column, array, self.type, numeric=self.numeric)
        found, wrong = self.values(array)
        head = f"table {where.table!r}, label column {self.column!r}"
        if wrong.any():
            at, row = where.first(wrong)
            raise DataError(
                f"{head}: {int(wrong.sum()):,} of {len(found):,} rows hold no valid label, the first "
                f"is row {row}: {array[at].as_py()!r}, expected {self.expected()}\n"
                "  mend it in merge.derive, or filter it in merge.where"
            )
        if (missing := np.isnan(found)).any():
            _, row = where.first(missing)
            raise DataError(
                f"{head}: {int(missing.sum()):,} of {len(found):,} rows are null, the first is row "
                f"{row}, expected a label in each\n  {self.null_remedy()}"
            )
        return found.astype(np.float32)

    def expected(self) -> str:
        """Return in words what a label may be."""
        if self.task == "regression":
            return "a finite number within the range of float32"
        if self.classes is None:
            return "a whole number from 0"
        return f"one of {', '.join(repr(c) for c in self.classes[:12])}" + (
            f" and {len(self.classes) - 12} more" if len(self.classes) > 12 else ""
        )

    def null_remedy(self) -> str:
        """Return what to do about missing labels."""
        return f"add `where: {self.column} IS NOT NULL` to merge, or derive it"
