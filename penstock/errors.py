"""Every error this package raises on purpose.

PenstockError                         exit code 1
├── InputError(ValueError)                      2   the caller can fix it: spec, flags, paths, columns
│   ├── SpecError                                   every problem of a pipeline.yaml, with lines
│   ├── MissingFileError
│   ├── MissingColumnsError
│   ├── SchemaMismatchError
│   └── HyperparametersError                        in penstock.containers.hyperparameters
├── DataError                                   3   the data is wrong: fix the rows, then run again
│   ├── EmptyTableError
│   ├── DuplicateKeyError
│   ├── MalformedRowsError
│   └── CorruptRecordError
├── ServiceError                                4   a job, a container or AWS failed; .retryable says which
│   └── TrainingFailedError
├── NotEmulatedError                            5   the local plane does not implement this call
└── GateError                                   6   the model is below a gate of its spec

130 is what Ctrl-C ends with, as shells have it. Anything else is a bug of ours and stays a plain exception.

Two rules keep these safe to raise inside a Spark task. The constructor passes exactly its own
parameters to ``super().__init__``, so pickling to the driver loses nothing. ``__str__`` builds
the text, so a test can check the attributes and the words separately.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence

__all__ = [
    "CorruptRecordError",
    "DataError",
    "DuplicateKeyError",
    "EmptyTableError",
    "GateError",
    "InputError",
    "MalformedRowsError",
    "MissingColumnsError",
    "MissingFileError",
    "NotEmulatedError",
    "PenstockError",
    "SchemaMismatchError",
    "ServiceError",
    "SpecError",
    "TrainingFailedError",
    "listed",
    "nearest",
]

INTERRUPTED_EXIT_CODE = 130


class PenstockError(Exception):
    """Base of every deliberate error. ``except PenstockError`` never hides a bug of ours."""

    exit_code = 1


class InputError(PenstockError, ValueError):
    """The caller can fix it without touching data or AWS."""

    exit_code = 2


class SpecError(InputError):
    """A pipeline.yaml has problems; all of them, each with its line.

    Attributes:
        path: The file, as the caller named it.
        problems: ``(line, where, problem)`` in line order; line 0 when there is none.
    """

    def __init__(self, path: str, problems: tuple[tuple[int, str, str], ...]) -> None:
        self.path, self.problems = path, problems
        super().__init__(path, problems)

    def __str__(self) -> str:
        count = len(self.problems)
        lines = [f"{self.path}: {count} {'problem' if count == 1 else 'problems'}"]
        for line, where, problem in self.problems:
            at = f"line {line}" if line else "file"
            lines.append(f"  {at}, {where}: {problem}" if where else f"  {at}: {problem}")
        return "\n".join(lines)


class MissingFileError(InputError):
    """A path that a stage needs does not exist, or matches no file."""

    def __init__(self, what: str, uri: str, remedy: str) -> None:
        self.what, self.uri, self.remedy = what, uri, remedy
        super().__init__(what, uri, remedy)

    def __str__(self) -> str:
        return f"{self.what}: nothing found at {self.uri!r}\n  {self.remedy}"


class MissingColumnsError(InputError):
    """A table lacks columns that a stage needs."""

    def __init__(self, table: str, missing: tuple[str, ...], available: tuple[str, ...]) -> None:
        self.table, self.missing, self.available = table, missing, available
        super().__init__(table, missing, available)

    def __str__(self) -> str:
        noun = "column" if len(self.missing) == 1 else "columns"
        lines = [
            f"table {self.table!r} lacks {len(self.missing)} {noun}: {listed(self.missing)}",
            f"  it has: {listed(self.available)}",
        ]
        lines += [
            f"  did you mean {close!r} for {name!r}?"
            for name in self.missing
            if (close := nearest(name, self.available))
        ]
        return "\n".join(lines)


class SchemaMismatchError(InputError):
    """A column has another type than was declared, fitted, or needed."""

    def __init__(self, table: str, column: str, found: str, expected: str, remedy: str) -> None:
        self.table, self.column, self.found = table, column, found
        self.expected, self.remedy = expected, remedy
        super().__init__(table, column, found, expected, remedy)

    def __str__(self) -> str:
        where = f"table {self.table!r}, column {self.column!r}"
        return f"{where}: type is {self.found}, expected {self.expected}\n  {self.remedy}"


class DataError(PenstockError):
    """The data breaks a promise of the spec or of the plan."""

    exit_code = 3


class EmptyTableError(DataError):
    """A table that must have rows has none."""

    def __init__(self, table: str, remedy: str) -> None:
        self.table, self.remedy = table, remedy
        super().__init__(table, remedy)

    def __str__(self) -> str:
        return f"table {self.table!r} has 0 rows, expected at least 1\n  {self.remedy}"


class DuplicateKeyError(DataError):
    """A key repeats where the spec promises that it does not."""

    def __init__(self, table: str, key: str, copies: int, repeated_keys: int, remedy: str) -> None:
        self.table, self.key, self.copies = table, key, copies
        self.repeated_keys, self.remedy = repeated_keys, remedy
        super().__init__(table, key, copies, repeated_keys, remedy)

    def __str__(self) -> str:
        return (
            f"table {self.table!r} has {self.copies} rows for key {self.key}, expected at most one "
            f"({self.repeated_keys:,} repeated {'key' if self.repeated_keys == 1 else 'keys'} in all)\n"
            f"  {self.remedy}"
        )


class MalformedRowsError(DataError):
    """Too many rows of a source could not be read. They are in quarantine, none is lost."""

    def __init__(
        self,
        table: str,
        bad_rows: int,
        rows: int,
        max_share: float,
        quarantine: str,
        examples: tuple[str, ...],
    ) -> None:
        self.table, self.bad_rows, self.rows = table, bad_rows, rows
        self.max_share, self.quarantine, self.examples = max_share, quarantine, examples
        super().__init__(table, bad_rows, rows, max_share, quarantine, examples)

    def __str__(self) -> str:
        noun = "row is" if self.bad_rows == 1 else "rows are"
        share = self.bad_rows / self.rows
        lines = [
            f"source {self.table!r}: {self.bad_rows:,} of {self.rows:,} {noun} malformed "
            f"({share:.3%}), the limit is {self.max_share:.3%}",
            *(f"  {example}" for example in self.examples),
            f"  all of them, with file, line and reason: {self.quarantine}",
            f"  mend the files, declare the type in sources.{self.table}.columns, "
            f"or raise sources.{self.table}.max_malformed_share",
        ]
        return "\n".join(lines)


class CorruptRecordError(DataError):
    """A RecordIO stream cannot be cut into frames, or a payload is not a Record."""

    def __init__(self, source: str, offset_bytes: int, problem: str) -> None:
        self.source, self.offset_bytes, self.problem = source, offset_bytes, problem
        super().__init__(source, offset_bytes, problem)

    def __str__(self) -> str:
        return f"{self.source}: bad RecordIO at byte {self.offset_bytes}: {self.problem}"


class ServiceError(PenstockError):
    """A job, a container or AWS failed. The foreign error, when there is one, is ``__cause__``."""

    exit_code = 4
    retryable = False


class TrainingFailedError(ServiceError):
    """A training job ended Failed or Stopped."""

    def __init__(self, job: str, status: str, reason: str, log: str) -> None:
        self.job, self.status, self.reason, self.log = job, status, reason, log
        super().__init__(job, status, reason, log)

    def __str__(self) -> str:
        return f"training job {self.job!r} ended {self.status}: {self.reason}\n  log: {self.log}"


class NotEmulatedError(PenstockError, NotImplementedError):
    """The local plane lacks a call; real AWS may well have it."""

    exit_code = 5

    def __init__(self, service: str, operation: str, detail: str) -> None:
        self.service, self.operation, self.detail = service, operation, detail
        super().__init__(service, operation, detail)

    def __str__(self) -> str:
        return f"{self.service}.{self.operation} is not in the local plane: {self.detail}"


class GateError(PenstockError):
    """A trained model does not pass the gates of its spec.

    Attributes:
        failures: ``(model, metric, found, gate)``, e.g. ``("xgboost", "auc", 0.61, ">= 0.70")``.
    """

    exit_code = 6

    def __init__(self, failures: tuple[tuple[str, str, float, str], ...], report: str) -> None:
        self.failures, self.report = failures, report
        super().__init__(failures, report)

    def __str__(self) -> str:
        lines = [
            f"gate failed: {model} has {metric} {found:.4f} on the test split, expected {gate}"
            for model, metric, found, gate in self.failures
        ]
        lines.append(f"  the model is kept but not approved; see {self.report}")
        return "\n".join(lines)


def listed(names: Sequence[str], limit: int = 12) -> str:
    """Return the names quoted and comma-separated, capped at ``limit``.

    >>> listed(["a", "b", "c"], limit=2)
    "'a', 'b' and 1 more"
    """
    shown = ", ".join(repr(name) for name in names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"


def nearest(name: str, known: Sequence[str]) -> str | None:
    """Return the known name most like ``name``, or None when none is close.

    >>> nearest("distence", ["distance", "dest"])
    'distance'
    """
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return close[0] if close else None
