"""The Glue catalog as a query sees it: databases, tables, views and partitions."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from penstock.local.athena.errors import QueryError
from penstock.local.athena.types import ColumnType, parse_type
from penstock.local.site import Moto
from penstock.local.wire import AwsError

__all__ = ["Catalog", "Column", "Partition", "Table"]

NAME = "awsdatacatalog"
VIEW_HEAD, VIEW_TAIL = "/* Presto View: ", " */"
BATCH = 100  # partitions in one BatchCreatePartition


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """A column of a table, or a key of its partitions."""

    name: str
    type_text: str
    comment: str = ""

    @property
    def type(self) -> ColumnType:
        """Return its type, parsed.

        Raises:
            QueryError: The catalog's text is no type.
        """
        return parse_type(self.type_text)

    def glue(self) -> dict[str, str]:
        """Return it as the catalog's API has it."""
        comment = {"Comment": self.comment} if self.comment else {}
        return {"Name": self.name, "Type": self.type_text, **comment}


@dataclass(frozen=True, kw_only=True, slots=True)
class Partition:
    """A partition: values of the keys as text, and the folder of its files."""

    values: tuple[str, ...]
    location: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """A table or view.

    Attributes:
        database: Its database.
        name: Its name.
        columns: Of the files.
        keys: Of the partitions.
        location: Its folder.
        serde: Class that reads its files.
        options: Of that class, and of the table for its files.
        input_format: Class that splits its files.
        output_format: Class that writes them.
        parameters: Of the table.
        kind: ``EXTERNAL_TABLE``, ``VIRTUAL_VIEW``.
        raw: As the catalog's API has it.
    """

    database: str
    name: str
    columns: tuple[Column, ...]
    keys: tuple[Column, ...]
    location: str
    serde: str
    options: Mapping[str, str]
    input_format: str
    output_format: str
    parameters: Mapping[str, str]
    kind: str
    raw: Mapping[str, Any] = field(repr=False)

    @property
    def is_view(self) -> bool:
        """Whether it is a view."""
        return self.kind == "VIRTUAL_VIEW"

    def view_sql(self) -> str:
        """Return the query of a view.

        Raises:
            QueryError: The view was not made by Athena.
        """
        text = str(self.raw.get("ViewOriginalText", ""))
        try:
            coded = text.removeprefix(VIEW_HEAD).removesuffix(VIEW_TAIL)
            return str(json.loads(base64.b64decode(coded, validate=True))["originalSql"])
        except (binascii.Error, ValueError, KeyError, TypeError):
            raise QueryError(
                f"INVALID_VIEW: View '{NAME}.{self.database}.{self.name}' was not made by Athena"
            ) from None


class Catalog:
    """Glue's databases and tables of one region."""

    def __init__(self, moto: Moto, region: str) -> None:
        """Take moto, which keeps them."""
        self._moto, self._region = moto, region

    def _ask(self, operation: str, **body: Any) -> dict[str, Any]:
        return self._moto.ask("glue", operation, region=self._region, **body)

    def _found(self, operation: str, **body: Any) -> dict[str, Any] | None:
        try:
            return self._ask(operation, **body)
        except AwsError as error:
            if error.code == "EntityNotFoundException":
                return None
            raise QueryError(f"GENERIC_USER_ERROR: {error.message}") from error

    def databases(self) -> list[dict[str, Any]]:
        """Return all databases, as the API has them."""
        return sorted(self._ask("GetDatabases")["DatabaseList"], key=lambda each: each["Name"])

    def database(self, name: str) -> dict[str, Any] | None:
        """Return a database as the API has it; None when it is not there."""
        found = self._found("GetDatabase", Name=name.lower())
        return None if found is None else dict(found["Database"])

    def create_database(self, name: str, **more: Any) -> None:
        """Make a database."""
        self._ask("CreateDatabase", DatabaseInput={"Name": name.lower(), **more})

    def drop_database(self, name: str) -> None:
        """Drop a database with its tables; files stay."""
        self._ask("DeleteDatabase", Name=name.lower())

    def tables(self, database: str) -> list[Table]:
        """Return all tables and views of a database, by name."""
        found: list[dict[str, Any]] = []
        token: dict[str, str] = {}
        while True:
            page = self._ask("GetTables", DatabaseName=database.lower(), **token)
            found += page["TableList"]
            if not page.get("NextToken"):
                break
            token = {"NextToken": page["NextToken"]}
        return sorted((_table(each) for each in found), key=lambda each: each.name)

    def table(self, database: str, name: str) -> Table | None:
        """Return a table or view; None when it is not there."""
        found = self._found("GetTable", DatabaseName=database.lower(), Name=name.lower())
        return None if found is None else _table(found["Table"])

    def create_table(self, database: str, given: Mapping[str, Any]) -> None:
        """Make a table of a TableInput."""
        self._ask("CreateTable", DatabaseName=database.lower(), TableInput=dict(given))

    def update_table(self, database: str, given: Mapping[str, Any]) -> None:
        """Replace a table."""
        self._ask("UpdateTable", DatabaseName=database.lower(), TableInput=dict(given))

    def drop_table(self, database: str, name: str) -> None:
        """Drop a table or view; files stay."""
        self._ask("DeleteTable", DatabaseName=database.lower(), Name=name.lower())

    def partitions(self, table: Table) -> list[Partition]:
        """Return all partitions of a table, by values."""
        found: list[dict[str, Any]] = []
        token: dict[str, str] = {}
        while True:
            page = self._ask(
                "GetPartitions", DatabaseName=table.database, TableName=table.name, **token
            )
            found += page["Partitions"]
            if not page.get("NextToken"):
                break
            token = {"NextToken": page["NextToken"]}
        return sorted(
            (
                Partition(
                    values=tuple(each["Values"]),
                    location=each.get("StorageDescriptor", {}).get("Location") or table.location,
                )
                for each in found
            ),
            key=lambda each: each.values,
        )

    def add_partitions(self, table: Table, partitions: Sequence[Partition]) -> None:
        """Register partitions that are not there yet.

        Raises:
            QueryError: The catalog refused one; says which.
        """
        storage = dict(table.raw.get("StorageDescriptor", {}))
        inputs = [
            {
                "Values": list(each.values),
                "StorageDescriptor": {**storage, "Location": each.location},
            }
            for each in partitions
        ]
        for first in range(0, len(inputs), BATCH):
            answer = self._ask(
                "BatchCreatePartition",
                DatabaseName=table.database,
                TableName=table.name,
                PartitionInputList=inputs[first : first + BATCH],
            )
            for each in answer.get("Errors", []):
                detail = each.get("ErrorDetail", {})
                if detail.get("ErrorCode") != "AlreadyExistsException":
                    raise QueryError(f"HIVE_METASTORE_ERROR: {detail} {each}")

    def drop_partition(self, table: Table, values: Sequence[str]) -> None:
        """Drop a partition; files stay."""
        self._ask(
            "DeletePartition",
            DatabaseName=table.database,
            TableName=table.name,
            PartitionValues=list(values),
        )


def view_text(sql: str, database: str, columns: Sequence[tuple[str, str]]) -> str:
    """Return the ViewOriginalText of a view, as Athena keeps it: JSON in base64."""
    content = {
        "originalSql": sql,
        "catalog": NAME,
        "schema": database,
        "columns": [{"name": name, "type": kind} for name, kind in columns],
    }
    return VIEW_HEAD + base64.b64encode(json.dumps(content).encode()).decode() + VIEW_TAIL


def _table(raw: Mapping[str, Any]) -> Table:
    storage = raw.get("StorageDescriptor") or {}
    serde = storage.get("SerdeInfo") or {}
    parameters = {str(k): str(v) for k, v in (raw.get("Parameters") or {}).items()}
    options = {str(k): str(v) for k, v in (serde.get("Parameters") or {}).items()}
    return Table(
        database=raw["DatabaseName"],
        name=raw["Name"],
        columns=tuple(map(_column, storage.get("Columns") or [])),
        keys=tuple(map(_column, raw.get("PartitionKeys") or [])),
        location=storage.get("Location") or "",
        serde=serde.get("SerializationLibrary") or "",
        options=(storage.get("Parameters") or {}) | parameters | options,
        input_format=storage.get("InputFormat") or "",
        output_format=storage.get("OutputFormat") or "",
        parameters=parameters,
        kind=raw.get("TableType") or "EXTERNAL_TABLE",
        raw=raw,
    )


def _column(raw: Mapping[str, Any]) -> Column:
    return Column(
        name=raw["Name"].lower(),
        type_text=(raw.get("Type") or "string").lower(),
        comment=raw.get("Comment") or "",
    )
