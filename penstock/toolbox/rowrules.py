"""What a profile says of rows, checked on all records of a chunk at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from penstock.errors import listed
from penstock.recordio.segments import Indices
from penstock.toolbox.content import Cells, Content
from penstock.toolbox.findings import Findings
from penstock.toolbox.profiles import Profile

__all__ = ["RowRules", "Task"]

Task = Literal["binary", "multiclass", "regression"]


class RowRules:
    """The rules of one reader, and what was seen so far.

    Attributes:
        findings: Where problems go.
        reader: The profile; None checks nothing.
        task: What labels are for; None does not look at their values.
        classes: How many classes a multiclass task has, if known.
    """

    def __init__(
        self, findings: Findings, reader: Profile | None, *, task: Task | None, classes: int | None
    ) -> None:
        """Begin with no row seen."""
        self.findings, self.reader, self.task, self.classes = findings, reader, task, classes
        self._width: int | None = None
        self._width_at = ""
        self._seen: dict[str, None] = {}
        self._names: tuple[str, ...] = ()
        self._place: tuple[str, Indices, Indices] = ("", np.empty(0), np.empty(0))  # type: ignore[assignment]

    def words(self) -> list[str]:
        """Return what the rows are, if there were any."""
        width = [] if self._width is None or not self._seen else [f"width {self._width:,}"]
        return [*self._seen, *width]

    def bad(self, kind: str, rows: Any, text: Callable[[int], str] | str) -> None:
        """Count a problem of some records of the chunk.

        Args:
            kind: Of problem.
            rows: Positions in the chunk, ascending.
            text: What was found and expected, of the first of these rows.
        """
        if not rows.size:
            return
        file, offsets, numbers = self._place
        first = int(rows[0])
        self.findings.add(
            kind,
            file=file,
            byte=int(offsets[first]),
            row=int(numbers[first]),
            text=text if isinstance(text, str) else lambda: text(first),
            records=int(rows.size),
        )

    def at(self, file: str, offsets: Indices, numbers: Indices) -> None:
        """Say which records the next problems are of."""
        self._place = file, offsets, numbers

    def check(self, content: Content, file: str, offsets: Indices, numbers: Indices) -> None:
        """Check the records of one chunk.

        Args:
            content: What they hold.
            file: Where they are from.
            offsets: int64 (n,), where their frames begin.
            numbers: int64 (n,), their numbers in the file.
        """
        self.at(file, offsets, numbers)
        for cells in content.cells:
            if not cells.label:
                layout = "dense" if cells.keys is None else "sparse"
                self._seen[f"{layout} {cells.values.dtype}"] = None
        if self.reader is None:
            return
        names = [cells.name for cells in content.cells if not cells.label]
        self._names = tuple(dict.fromkeys(names))
        for name in self.reader.features:
            mine = [cells for cells in content.cells if not cells.label and cells.name == name]
            self._missing(name, mine, numbers.size)
            for cells in mine:
                self._features(self.reader, cells)
            if self.reader.one_width:
                self._widths(mine, numbers.size)
        labels = [cells for cells in content.cells if cells.label and cells.name == "values"]
        self._labels(self.reader, labels, numbers.size)

    def _missing(self, name: str, mine: list[Cells], rows: int) -> None:
        has = np.zeros(rows, np.bool_)
        for cells in mine:
            has[cells.rows] = True
        others = listed([other for other in self._names if other != name]) or "no features"
        text = f"no features by the name {name!r}, expected them; it, or one near it, has {others}"
        if not self._names:
            text = f"no features, expected some by the name {name!r}"
        self.bad(f"features-{name}", np.flatnonzero(~has), text)

    def _features(self, reader: Profile, cells: Cells) -> None:
        named = "features" if cells.name == "values" else f"features {cells.name!r}"
        dtype = str(cells.values.dtype)
        if dtype not in reader.dtypes:
            expected = " or ".join(reader.dtypes)
            self.bad("dtype", cells.rows, f"{named} are {dtype}, expected {expected}")
        if cells.keys is None:
            empty = cells.rows[cells.counts == 0]
            self.bad("no-values", empty, f"{named} have no values, expected at least one")
        else:
            if not reader.empty_rows:
                empty = cells.rows[cells.counts == 0]
                text = "a sparse row without keys, expected one explicit zero: keys [0], values [0]"
                self.bad("no-keys", empty, text)
            if cells.width is None:
                self.bad("shape", cells.rows, f"{named} are sparse without a shape, expected one")
        self._finite("finite", cells, named, nan=reader.nan)

    def _finite(self, kind: str, cells: Cells, named: str, *, nan: bool) -> None:
        values = cells.values
        if values.dtype.kind != "f":
            return
        wrong = np.isinf(values) if nan else ~np.isfinite(values)
        if not wrong.any():
            return
        at = np.flatnonzero(wrong)
        owners = np.searchsorted(cells.starts, at, side="right") - 1
        first = int(at[0])
        column = first - int(cells.starts[owners[0]]) if cells.keys is None else cells.keys[first]
        where = named if cells.label else f"{named}, column {column:,}"
        expected = "a finite number or NaN" if nan else "a finite number"
        self.bad(kind, cells.rows[np.unique(owners)],
                 f"{where}: {values[first]}, expected {expected}")  # fmt: skip

    def _widths(self, mine: list[Cells], rows: int) -> None:
        """Compare the width of every row with that of the first one of all."""
        widths = np.full(rows, -1, np.int64)
        for cells in mine:
            width = cells.counts if cells.keys is None else cells.width
            widths[cells.rows] = -1 if width is None else width
        known = widths >= 0
        if not known.any():
            return
        if self._width is None:
            first = int(known.argmax())
            self._width = int(widths[first])
            self._width_at = f"record {int(self._place[2][first]):,} of {self._place[0]}"
        wrong = np.flatnonzero(known & (widths != self._width))
        self.bad("width", wrong, lambda row: f"{widths[row]:,} features, expected {self._width:,} "
                 f"as {self._width_at} has")  # fmt: skip
        low, high = self.reader.widths if self.reader else (None, None)
        if low is not None and high is not None:
            wrong = np.flatnonzero(known & ((widths < low) | (widths > high)))
            self.bad("width-limit", wrong, lambda row: f"{widths[row]:,} features, expected {low:,} "
                     f"to {high:,}")  # fmt: skip

    def _labels(self, reader: Profile, labels: list[Cells], rows: int) -> None:
        counts = np.zeros(rows, np.int64)
        for cells in labels:
            counts[cells.rows] = np.maximum(cells.counts, 1)
        if reader.labels == "required" or self.task is not None:
            self.bad("label", np.flatnonzero(counts == 0), "no label, expected one number")
        for cells in labels:
            if reader.labels == "required" or self.task is not None:
                wrong = cells.counts != 1
                found = cells.counts
                self.bad("label-count", cells.rows[wrong], lambda row, cells=cells, found=found: (  # type: ignore[misc]
                    f"{found[np.searchsorted(cells.rows, row)]:,} labels, expected one"))  # fmt: skip
                dtype = str(cells.values.dtype)
                if dtype not in reader.label_dtypes:
                    expected = " or ".join(reader.label_dtypes)
                    self.bad(
                        "label-dtype", cells.rows, f"the label is {dtype}, expected {expected}"
                    )
                self._finite("label-finite", cells, "label", nan=False)
                self.check_classes(cells.values, np.repeat(cells.rows, cells.counts))

    def label_count(self, counts: Indices) -> None:
        """Check that all image records have as many labels as the first of all."""
        if self._width is None and counts.size:
            self._width = int(counts[0])
            self._width_at = f"record {int(self._place[2][0]):,} of {self._place[0]}"
        wrong = np.flatnonzero(counts != self._width)
        self.bad("label-count", wrong, lambda row: (
            f"{counts[row]:,} labels, expected {self._width:,} as {self._width_at} has"))  # fmt: skip

    def check_classes(self, values: Any, rows: Any, *, whole: bool = False) -> None:
        """Check labels against the task.

        Args:
            values: (m,), labels.
            rows: int64 (m,), position in the chunk of the record of each.
            whole: Whether they are classes when no task says anything.
        """
        with np.errstate(invalid="ignore"):
            integral = (values == np.floor(values)) & (values >= 0)
        if self.task == "binary":
            good, expected = integral & (values <= 1), "0 or 1 for a binary task"
        elif self.task == "multiclass" and self.classes is not None:
            good = integral & (values < self.classes)
            expected = f"a whole number from 0 to {self.classes - 1:,}"
        elif self.task == "multiclass" or (whole and self.task is None):
            good, expected = integral, "a class: a whole number, 0 or more"
        else:
            return
        finite = np.isfinite(values)
        wrong = np.flatnonzero(~good & finite)
        if wrong.size:
            text = f"the label is {values[wrong[0]]:g}, expected {expected}"
            self.bad("label-class", np.unique(rows[wrong]), text)
