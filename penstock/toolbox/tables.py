"""Batches of a float32 matrix and labels, whatever kind of file they come from or go to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np

from penstock.errors import DataError, InputError, nearest
from penstock.recordio.framing import Parts
from penstock.toolbox.sources import Source

__all__ = [
    "Batch",
    "Format",
    "Layout",
    "ReadOptions",
    "as_float32",
    "cell_name",
    "chosen_columns",
    "format_of",
    "laid_out",
    "prepared",
    "source_format",
]

Format = Literal["recordio", "parquet", "csv", "libsvm", "npz"]
Layout = Literal["keep", "dense", "sparse"]

_SUFFIXES: dict[str, Format] = {
    ".rec": "recordio",
    ".recordio": "recordio",
    ".rio": "recordio",
    ".pbr": "recordio",
    ".pb": "recordio",
    ".pr": "recordio",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".libsvm": "libsvm",
    ".svm": "libsvm",
    ".svmlight": "libsvm",
    ".npz": "npz",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Some rows.

    Attributes:
        features: float32 (rows, columns), an array or a CSR array.
        labels: float32 (rows,); None without labels.
        names: One per column; None where the source has none.
        file: Where they are from.
        selected: Whether the columns asked for were chosen while reading.
        guessed: Whether the width is only the largest column seen: the format does not give one.
    """

    features: Any
    labels: Any | None
    names: tuple[str, ...] | None
    file: str
    selected: bool = False
    guessed: bool = False

    def __len__(self) -> int:
        return int(self.features.shape[0])

    @property
    def dense(self) -> bool:
        """Whether ``features`` is an array."""
        return isinstance(self.features, np.ndarray)


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadOptions:
    """How a source is read.

    Attributes:
        label: Name or number of the label's column in CSV and Parquet; None to go by ``label``,
            or by the first column of a CSV file without a header.
        no_label: There is none, or it is to be left out.
        columns: Feature columns to keep, as ``chosen_columns`` reads them; None for all.
        layout: What the features are to be.
        parts: What part flags of RecordIO mean.
        header: Whether a CSV file has a line of names; None to judge by its cells.
        index_base: Which number the first column of a LibSVM file has, 0 or 1.
        width: Columns of a LibSVM file; None to look for the largest.
        allow_nonfinite: Let NaN and infinity pass; empty CSV cells are NaN then.
        batch_rows: Rows of a batch, about.
    """

    label: str | None = None
    no_label: bool = False
    columns: str | None = None
    layout: Layout = "keep"
    parts: Parts = "refuse"
    header: bool | None = None
    index_base: int = 1
    width: int | None = None
    allow_nonfinite: bool = False
    batch_rows: int = 4096

    def __post_init__(self) -> None:
        if self.label is not None and self.no_label:
            raise InputError("--label and --no-label exclude each other, expected one of them")
        if self.index_base not in {0, 1}:
            raise InputError(f"--index-base is {self.index_base!r}, expected 0 or 1")
        if self.batch_rows < 1:
            raise InputError(f"--batch-rows is {self.batch_rows!r}, expected at least 1")
        if self.width is not None and self.width < 1:
            raise InputError(f"--width is {self.width!r}, expected at least 1")


def format_of(name: str, given: str | None, flag: str) -> Format:
    """Return what kind of file one is, by what was said or by its suffix.

    Args:
        name: Path or URI.
        given: What the flag says, if anything.
        flag: Name of that flag, for errors.

    Raises:
        InputError: The suffix says nothing.
    """
    known = get_args(Format)
    if given is not None:
        if given not in known:
            raise InputError(f"{flag} is {given!r}, expected one of {', '.join(known)}")
        return given  # type: ignore[return-value]
    for suffix, found in _SUFFIXES.items():
        if name.lower().endswith(suffix):
            return found
    raise InputError(
        f"{name!r}: its name does not say what it is, expected one of {', '.join(_SUFFIXES)}\n"
        f"  say {flag} {'|'.join(known)}"
    )


def source_format(source: Source, given: str | None) -> Format:
    """Return what kind of files a source has: one kind for all of them.

    Raises:
        InputError: The suffixes say nothing, or differ.
    """
    kinds = {format_of(each.name, given, "--from"): each.name for each in source.inputs}
    if len(kinds) > 1:
        said = ", ".join(f"{name!r} ({kind})" for kind, name in kinds.items())
        raise InputError(f"{source.text!r} has files of several kinds: {said}, expected one kind")
    return next(iter(kinds))


def as_float32(values: Any) -> Any:
    """Return numbers as float32; what is too large becomes infinite, which a later check refuses."""
    with np.errstate(over="ignore", invalid="ignore"):
        return values.astype(np.float32, copy=False)


def chosen_columns(text: str, names: tuple[str, ...] | None, width: int) -> list[int]:
    """Return which columns ``--columns`` means.

    Args:
        text: Names, numbers from 0, and ranges like ``0-9``, separated by commas.
        names: Of all columns, if they have any.
        width: How many columns there are.

    Raises:
        InputError: A name or number is not there, or comes twice.
    """
    chosen: list[int] = []
    places = {name: place for place, name in enumerate(names or ())}
    for word in (part.strip() for part in text.split(",")):
        if word in places:
            chosen.append(places[word])
            continue
        first, dash, last = word.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            hint = nearest(word, tuple(places)) if places else None
            also = f"\n  did you mean {hint!r}?" if hint else ""
            raise InputError(f"--columns: there is no column {word!r}{also}")
        found = range(int(first), int(last if dash else first) + 1)
        if not found or found[-1] >= width:
            raise InputError(f"--columns: {word!r}, expected numbers from 0 to {width - 1:,}")
        chosen += found
    if len(set(chosen)) < len(chosen):
        raise InputError(f"--columns: {text!r} names a column twice, expected each once")
    return chosen


def laid_out(features: Any, layout: Layout) -> Any:
    """Return features as an array or as a CSR array without stored zeros."""
    if layout == "keep" or (layout == "dense") == isinstance(features, np.ndarray):
        return features
    if layout == "dense":
        return features.toarray()
    from scipy.sparse import csr_array

    return csr_array(features)


def prepared(batches: Iterable[Batch], source: Source, options: ReadOptions) -> Iterator[Batch]:
    """Yield batches of one width, with or without labels, of the columns and in the layout asked for.

    Args:
        batches: As a reader gives them.
        source: For errors.
        options: What was asked for.

    Raises:
        DataError: A batch has another width than those before, or labels where they have none, or
            a number that is not finite.
        InputError: A column that was asked for is not there.
    """
    row = 0
    form: tuple[int, bool] | None = None
    chosen: list[int] | None = None
    for each in batches:
        batch = replace(each, labels=None) if options.no_label else each
        found = int(batch.features.shape[1]), batch.labels is not None
        if form not in {None, found}:
            raise DataError(
                f"{batch.file}: row {row:,} of {source.text} has {_form_words(*found)}, the {row:,} "
                f"rows before have {_form_words(*(form or found))}"
            )
        form = found
        if options.columns is not None and not batch.selected:
            chosen = chosen or chosen_columns(options.columns, batch.names, found[0])
            names = tuple(batch.names[c] if batch.names else f"f{c}" for c in chosen)
            batch = replace(batch, features=batch.features[:, chosen], names=names)
        if not options.allow_nonfinite:
            check_finite(batch, row)
        row += len(batch)
        yield replace(batch, features=laid_out(batch.features, options.layout))


def _form_words(width: int, labelled: bool) -> str:  # noqa: FBT001
    return f"{width:,} features and {'a label' if labelled else 'no label'}"


def cell_name(batch: Batch, column: int) -> str:
    """Return how to call a column in a message."""
    named = batch.names is not None and column < len(batch.names)
    return f"column {column}" + (f" ({batch.names[column]!r})" if named and batch.names else "")


def check_finite(batch: Batch, first_row: int) -> None:
    """Refuse NaN and infinity.

    Raises:
        DataError: There is one; names file, row and column.
    """
    remedy = "  impute it, or pass --allow-nonfinite if the reader can take it"
    if batch.labels is not None and not np.isfinite(batch.labels).all():
        row = int(np.flatnonzero(~np.isfinite(batch.labels))[0])
        where = f"{batch.file}: row {first_row + row:,}, label"
        raise DataError(f"{where} is {batch.labels[row]}, expected a finite number\n{remedy}")
    values = batch.features if batch.dense else batch.features.data
    if np.isfinite(values).all():
        return
    if batch.dense:
        row, column = np.argwhere(~np.isfinite(values))[0].tolist()
        value = values[row, column]
    else:
        at = int(np.flatnonzero(~np.isfinite(values))[0])
        row = int(np.searchsorted(batch.features.indptr, at, side="right")) - 1
        column, value = int(batch.features.indices[at]), values[at]
    where = f"{batch.file}: row {first_row + row:,}, {cell_name(batch, column)}"
    raise DataError(f"{where} is {value}, expected a finite number\n{remedy}")
