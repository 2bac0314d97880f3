"""What Athena tells of databases and tables: Glue's catalog in Athena's answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from penstock.local.site import Site
from penstock.local.wire import AwsError, Call

__all__ = ["Metadata"]


class Metadata:
    """Answers about the catalog."""

    def __init__(self, site: Site) -> None:
        """Take the site, whose moto has the catalog."""
        self.site = site

    def _catalog(self, call: Call) -> Any:
        from penstock.local.athena.catalog import Catalog

        name = str(call.body.get("CatalogName", "awsdatacatalog"))
        if name.lower() != "awsdatacatalog":
            raise AwsError("MetadataException", f"the local plane has no catalog {name}")
        return Catalog(self.site.moto, call.region)

    def database(self, call: Call) -> dict[str, Any]:
        """Answer GetDatabase, from Glue."""
        name = call.body["DatabaseName"]
        found = self._catalog(call).database(name)
        if found is None:
            raise AwsError("MetadataException", f"Database {name} not found.")
        return {"Database": _database(found)}

    def databases(self, call: Call) -> dict[str, Any]:
        """Answer ListDatabases, from Glue."""
        return {"DatabaseList": [_database(each) for each in self._catalog(call).databases()]}

    def table(self, call: Call) -> dict[str, Any]:
        """Answer GetTableMetadata, from Glue."""
        schema, name = call.body["DatabaseName"], call.body["TableName"]
        found = self._catalog(call).table(schema, name)
        if found is None:
            raise AwsError("MetadataException", f"Table {name} not found.")
        return {"TableMetadata": _table(found)}

    def tables(self, call: Call) -> dict[str, Any]:
        """Answer ListTableMetadata, from Glue."""
        found = self._catalog(call).tables(call.body["DatabaseName"])
        return {"TableMetadataList": [_table(each) for each in found]}


def _database(found: Mapping[str, Any]) -> dict[str, Any]:
    names = ("Name", "Description", "Parameters")
    return {name: found[name] for name in names if found.get(name)}


def _table(found: Any) -> dict[str, Any]:
    return {
        "Name": found.name,
        "TableType": found.kind,
        "Columns": [each.glue() for each in found.columns],
        "PartitionKeys": [each.glue() for each in found.keys],
        "Parameters": {
            **found.parameters,
            "location": found.location,
            "inputformat": found.input_format,
            "outputformat": found.output_format,
            "serde.serialization.lib": found.serde,
        },
    }
