"""InputFilter, JoinSource, OutputFilter: what is sent of a record, and what is kept of its answer."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Literal

from penstock.errors import DataError
from penstock.local.transform.jsonpath import JsonPath

__all__ = ["KINDS", "Kind", "Processing"]

Kind = Literal["csv", "lines", "document"]
"""Rows of cells; a JSON value a line; one JSON value."""

KINDS = ("text/csv", "application/json", "application/jsonlines")
OUTPUT, INPUT = "SageMakerOutput", "SageMakerInput"
SHOWN_CHARACTERS = 60


@dataclass(frozen=True, kw_only=True, slots=True)
class Processing:
    """How records are cut to size, before and after.

    Attributes:
        kind: What payloads are.
        before: What of a record is sent.
        after: What of an answer, joined or not, is kept.
        join: Whether the record stands before its answer.
    """

    kind: Kind
    before: JsonPath
    after: JsonPath
    join: bool

    @property
    def nothing(self) -> bool:
        """Whether all passes as it is."""
        return self.before.whole and self.after.whole and not self.join

    def sent(self, payload: bytes) -> bytes:
        """Return what is sent of a payload.

        Raises:
            DataError: The filter does not fit.
        """
        if self.before.whole:
            return payload
        if self.kind == "csv":
            return _written(_filtered(_rows(_lines(payload)), self.before))
        if self.kind == "document":
            return _json(self.before.found(_parsed(payload))).encode()
        return _joined(_json(self.before.found(each)) for each in _values(payload))

    def kept(self, payload: bytes, answer: bytes) -> bytes:
        """Return what is kept of an answer.

        Args:
            payload: What was read, before the filter.
            answer: What came back.

        Raises:
            DataError: There are not as many answers as records, or a filter does not fit.
        """
        if self.after.whole and not self.join:
            return answer
        if self.kind == "csv":
            return self._kept_csv(payload, answer)
        if self.kind == "document":
            found = _parsed(answer)
            found = _with_output(_parsed(payload), found) if self.join else found
            return _json(self.after.found(found)).encode()
        answers = _values(answer)
        if self.join:
            records = _values(payload)
            _check_counts(len(records), len(answers))
            answers = list(map(_with_output, records, answers))
        return _joined(_json(self.after.found(each)) for each in answers)

    def _kept_csv(self, payload: bytes, answer: bytes) -> bytes:
        answers = _lines(answer)
        if self.join:
            records = _lines(payload)
            _check_counts(len(records), len(answers))
            answers = list(map(",".join, zip(records, answers, strict=True)))
        if self.after.whole:
            return _joined(answers)
        return _written(_filtered(_rows(answers), self.after))


def _check_counts(records: int, answers: int) -> None:
    if records != answers:
        raise DataError(
            "Fail to join data: mismatched line count between the input and the output: "
            f"{records:,} and {answers:,}"
        )


def _text(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise DataError(
            f"byte {error.start:,} is {content[error.start]:#04x}, expected UTF-8"
        ) from None


def _lines(content: bytes) -> list[str]:
    text = _text(content).replace("\r\n", "\n").removesuffix("\n")
    return text.split("\n") if text else []


def _rows(lines: Sequence[str]) -> list[list[str]]:
    try:
        return list(csv.reader(lines, strict=True))
    except csv.Error as error:
        raise DataError(f"no CSV: {error}") from None


def _filtered(rows: list[list[str]], path: JsonPath) -> list[Any]:
    if not rows:
        return []
    widths = set(map(len, rows))
    if len(widths) > 1:
        raise DataError(f"rows have {min(widths)} to {max(widths)} cells, expected as many each")
    places = path.columns(widths.pop())
    if len(places) == 1:
        return [[cell] for cell in map(itemgetter(places[0]), rows)]
    if not places:
        raise DataError(f"JSONPath {path.text!r} leaves no cell of a row")
    pick: Callable[[list[str]], Any] = itemgetter(*places)
    return list(map(pick, rows))


def _written(rows: list[Any]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def _parsed(content: bytes | str) -> Any:
    text = content if isinstance(content, str) else _text(content)
    try:
        return json.loads(text)
    except ValueError as error:
        raise DataError(f"no JSON: {error}: {text[:SHOWN_CHARACTERS]!r}") from None


def _values(content: bytes) -> list[Any]:
    return [_parsed(line) for line in _lines(content)]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _joined(lines: Any) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def _with_output(record: Any, answer: Any) -> dict[str, Any]:
    if isinstance(record, dict):
        return {**record, OUTPUT: answer}
    return {INPUT: record, OUTPUT: answer}
