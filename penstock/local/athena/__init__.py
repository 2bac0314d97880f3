"""Athena, whose queries run: DuckDB over the files of the Glue catalog, in Athena's SQL.

Real: SELECT, views, CREATE TABLE AS, INSERT INTO, UNLOAD, the DDL of databases, external tables and
partitions, SHOW and DESCRIBE, parameters, prepared statements, workgroups; results, manifests and
error texts as Athena writes them. Each query has a database of its own (1 GB of memory, then disk), a
thread, and an end: four run at once, others wait, and one that is stopped stops.

Files: Parquet and ORC; JSON, delimited text and CSV, plain, gzip, bzip2, zstd or lz4. Only partitions
that the conditions allow are listed, and DataScannedInBytes is what was read.

Differences that one can meet: regular expressions are RE2's (no look-around); an index beyond an array
is null, not an error; a string is compared with a number by a cast; decimals are divided over double,
good to 15 digits, and their average is a double; date minus date is days, a number. Refused by name:
time zones but UTC, Iceberg, buckets, partition projection, Avro, information_schema, EXPLAIN, managed
results, and functions that are not in ``functions``. Executions and prepared statements live as long as
the plane, also when its folder is kept.
"""

from __future__ import annotations

from penstock.local.athena.control import Athena
from penstock.local.site import Service, Site

__all__ = ["service"]


def service(site: Site) -> Service:
    """Return Athena for a site."""
    return Athena(site)
