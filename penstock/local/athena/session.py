"""What statements of DDL share: where they read their words, and the lines that they answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from penstock.local.athena.catalog import Catalog, Table
from penstock.local.athena.cursor import Cursor
from penstock.local.athena.errors import QueryError
from penstock.local.athena.types import ColumnType

__all__ = ["HIVE", "Listing", "Session"]

HIVE = "org.apache.hadoop.hive.ql.exec.DDLTask"


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """The result of DDL: lines whose cells are divided by tabs, and the names of the cells."""

    lines: Sequence[str] = ()
    names: Sequence[str] = ()

    def columns(self) -> list[dict[str, Any]]:
        """Return their ColumnInfo."""
        return [ColumnType(kind="string").info(name) | {"Type": "string"} for name in self.names]


@dataclass(kw_only=True, slots=True)
class Session:
    """The catalog, the database that is meant when none is named, and the words."""

    catalog: Catalog
    database: str
    cursor: Cursor = field(repr=False)

    def table(self) -> Table:
        """Take a table's name.

        Raises:
            QueryError: There is no such table.
        """
        schema, name = self.cursor.table(self.database)
        return self.known(schema, name)

    def known(self, schema: str, name: str) -> Table:
        """Return a table.

        Raises:
            QueryError: There is none.
        """
        found = self.catalog.table(schema, name)
        if found is None:
            raise QueryError(
                f"FAILED: SemanticException [Error 10001]: Table not found {schema}.{name}"
            )
        return found
