"""The plan as a program that serves: raw rows in, features out, first in an inference pipeline.

    python -m penstock.containers.features serve

The model folder, <base>/model, holds plan.json and what lies beside it. See docs/serving.md.

    PENSTOCK_SERVE_COLUMNS   names of a CSV's columns, comma-separated; usually the plan's, in order
    PENSTOCK_SERVE_HEADER    present | absent: whether a CSV has a header that names its columns
    PENSTOCK_SERVE_ABSENT    null | refused: what a key means that a JSON object does not have
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from penstock.containers import serving
from penstock.containers.featuretexts import GIVES, encoded
from penstock.containers.rows import RowReader, input_types
from penstock.containers.serving import Answer, MediaType
from penstock.encode import Where
from penstock.errors import InputError, listed
from penstock.plan import FeaturePlan

__all__ = ["FeaturePredictor", "load", "main", "serve_folder"]

SHOWN_COLUMNS = 40


class FeaturePredictor:
    """A plan that answers requests: rows of raw columns in, its features out."""

    def __init__(self, plan: FeaturePlan, reader: RowReader) -> None:
        """Take a plan, and a reader of the columns that it reads."""
        self._plan, self._reader = plan, reader

    @property
    def reads(self) -> Sequence[str]:
        """Media types of requests."""
        return self._reader.reads

    @property
    def gives(self) -> Sequence[str]:
        """Media types of answers."""
        return GIVES

    def about(self) -> Sequence[str]:
        """Return the lines that are logged when it is ready."""
        plan, order = self._plan, self._reader.order
        return (
            f"plan {plan.sha256[:12]}: {len(plan.input_columns):,} columns to {plan.width:,} "
            f"{plan.layout} features",
            f"columns of a CSV without header: {listed(order, SHOWN_COLUMNS)}",
        )

    def warm(self) -> None:
        """Answer a request of no rows in each format, so that the first client need not wait."""
        for content, body in (("text/csv", b""), ("application/json", b"[]")):
            header = {"header": "present"} if content == "text/csv" else {}
            names = ",".join(
                f'"{name.replace(chr(34), 2 * chr(34))}"' for name in self._reader.order
            )
            media = MediaType(name=content, parameters=header)
            for accept in GIVES:
                self.answer(body or names.encode() + b"\n", media, accept)

    def answer(self, body: bytes, content: MediaType, accept: str) -> Answer:
        """Return the features of a body's rows.

        Raises:
            InputError: A column is missing, or of another type.
            DataError: A row is wrong.
        """
        batch = self._reader.read(body, content.name, content.parameters)
        matrix = self._plan.encode(batch, where=Where(table="request"))
        return Answer(body=encoded(matrix, accept), rows=batch.num_rows)


def load(folder: Path, environment: Mapping[str, str] | None = None) -> FeaturePredictor:
    """Return the predictor of a plan's folder.

    Args:
        folder: Holds plan.json.
        environment: Variables; None: those of the process.

    Raises:
        InputError: There is no plan, it was changed, or a variable is wrong.
    """
    given = os.environ if environment is None else environment
    plan = FeaturePlan.load(str(folder))
    columns = given.get("PENSTOCK_SERVE_COLUMNS", "")
    order = [name.strip() for name in columns.split(",")] if columns.strip() else None
    reader = RowReader(
        input_types(plan),
        order=order,
        header=_flag(given, "PENSTOCK_SERVE_HEADER", ("present", "absent")),
        absent_is_null=_flag(given, "PENSTOCK_SERVE_ABSENT", ("null", "refused")),
    )
    predictor = FeaturePredictor(plan, reader)
    predictor.warm()
    return predictor


def _flag(environment: Mapping[str, str], name: str, values: tuple[str, str]) -> bool:
    given = environment.get(name) or values[1]
    if given not in values:
        raise InputError(f"environment variable {name}: found {given!r}, expected {listed(values)}")
    return given == values[0]


def serve_folder(folder: str, port: int) -> None:
    """Serve a plan's folder for a person: print the URL and a request to try. Blocks.

    Raises:
        InputError: There is no plan, it was changed, a variable is wrong, or the port is taken.
    """
    settings = replace(serving.Settings.of(os.environ), model_dir=Path(folder), port=port)

    def hint(url: str) -> None:
        print(
            f"\n{url}: Ctrl-C ends it. Try, with your cells:\n"
            f"  curl {url}/invocations -H 'Content-Type: text/csv; header=present' "
            "-H 'Accept: text/csv' --data-binary @rows.csv\n",
            flush=True,
        )

    try:
        serving.run(load, settings, ready=hint)
    except OSError as error:
        raise InputError(
            f"port {port}: {error.strerror}, expected a free one\n  say --port 0 to take any"
        ) from error


def main(argv: Sequence[str]) -> int:
    """Serve as the platform asks; return the exit code."""
    return serving.main(load, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
