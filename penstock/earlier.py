"""An earlier fit's statistics, to which the rows of a new day are added without reading its rows again.

    fit(session, today, spec, onto=Earlier.open("plans/flights/1f0c3a9b2d44"))

The earlier rows count as they were: their split, and what the spec then called a label, stay.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from penstock import storage
from penstock.errors import InputError, MissingFileError
from penstock.statistics import Statistics, merge

__all__ = ["FILE", "Earlier"]

FILE = "statistics.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Earlier:
    """What an earlier fit left behind.

    Attributes:
        uri: Its folder.
        statistics: Of its rows.
        fitted_on: What its plan says of its origin.
    """

    uri: str
    statistics: Statistics
    fitted_on: Mapping[str, Any]

    @classmethod
    def open(cls, uri: str) -> Earlier:
        """Return what a fit wrote into the folder ``uri``. Reads two files, and no rows.

        Raises:
            MissingFileError: There is no fit, or one that kept no statistics.
            InputError: It is of another schema version.
        """
        from penstock.plan import FeaturePlan

        plan, where = FeaturePlan.load(uri), storage.join(uri, FILE)
        if not storage.exists(where):
            raise MissingFileError("statistics", where, "fit again: penstock fit SPEC")
        text = storage.read_bytes(where).decode()
        return cls(uri=uri, statistics=Statistics.from_json(text), fitted_on=plan.fitted_on)

    def features(self) -> tuple[Any, ...]:
        """Return the features that were chosen for the earlier rows, for a spec without any.

        Raises:
            InputError: None were: its spec named them.
        """
        from penstock import auto

        where = storage.join(self.uri, auto.FILE)
        if not storage.exists(where):
            raise InputError(
                f"fit: the spec has no features, and {self.uri!r} has no {auto.FILE}, expected those of the "
                "earlier rows\n  put its features section back into the spec"
            )
        return auto.chosen(storage.read_bytes(where).decode())

    def parts(self, digest: str) -> list[dict[str, Any]]:
        """Return which tables were counted, and how many rows of each, for the new plan.

        Args:
            digest: Of the table that is to be added.

        Raises:
            InputError: It was counted already.
        """
        counted = list(self.fitted_on.get("onto", ()))
        rows = self.fitted_on["rows"] - sum(part["rows"] for part in counted)
        parts = [*counted, {"curated": self.fitted_on["curated"], "rows": rows}]
        if any(part["curated"] == digest for part in parts):
            raise InputError(
                f"fit: {self.uri!r} counts the rows of table {digest[:12]} already, expected new rows\n"
                "  merge the new day's files alone, or fit all rows at once without --onto"
            )
        return parts

    def joined(self, statistics: Statistics) -> Statistics:
        """Return the statistics of the earlier rows and of these.

        Raises:
            InputError: Other columns, or other things of them, were collected.
        """
        try:
            return merge([self.statistics, statistics]).trimmed()
        except InputError as error:
            raise InputError(f"fit: these rows do not add to {self.uri!r}\n  {error}") from error
