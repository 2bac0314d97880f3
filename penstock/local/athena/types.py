"""Types of columns: Hive's text in the catalog, DuckDB's, Arrow's, and the names in Athena's answers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from penstock.local.athena.errors import QueryError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["ColumnType", "from_duckdb", "parse_type"]

# Hive's name -> DuckDB's, Athena's in answers.
SIMPLE = {
    "boolean": ("BOOLEAN", "boolean"),
    "tinyint": ("TINYINT", "tinyint"),
    "smallint": ("SMALLINT", "smallint"),
    "int": ("INTEGER", "integer"),
    "bigint": ("BIGINT", "bigint"),
    "float": ("FLOAT", "float"),
    "double": ("DOUBLE", "double"),
    "string": ("VARCHAR", "varchar"),
    "binary": ("BLOB", "varbinary"),
    "date": ("DATE", "date"),
    "timestamp": ("TIMESTAMP", "timestamp"),
    "timestamp with time zone": ("TIMESTAMP WITH TIME ZONE", "timestamp with time zone"),
    "time": ("TIME", "time"),
    "interval": ("INTERVAL", "interval day to second"),
    "json": ("JSON", "json"),
    "unknown": ("VARCHAR", "unknown"),
}
# Other names of the same.
ALIASES = {"integer": "int", "real": "float", "varbinary": "binary", "long": "bigint"}
# Kinds that no Hive table can hold.
HOMELESS = {"timestamp with time zone", "time", "interval", "json", "unknown"}
# Precision of ColumnInfo.
PRECISIONS = {
    "tinyint": 3,
    "smallint": 5,
    "int": 10,
    "bigint": 19,
    "float": 17,
    "double": 17,
    "timestamp": 3,
    "timestamp with time zone": 3,
    "string": 2147483647,
    "binary": 1073741824,
}
# What DuckDB calls types that Athena has not -> the Hive type that holds their values.
WIDENED = {
    "hugeint": "bigint",
    "uhugeint": "bigint",
    "ubigint": "bigint",
    "uinteger": "bigint",
    "usmallint": "int",
    "utinyint": "smallint",
    "uuid": "string",
    "enum": "string",
    "bit": "string",
    "timestamp_s": "timestamp",
    "timestamp_ms": "timestamp",
    "timestamp_ns": "timestamp",
    "time with time zone": "time",
    '"null"': "unknown",
    "null": "unknown",
    "sqlnull": "unknown",
}
FROM_DUCKDB = {duck.lower(): hive for hive, (duck, _) in SIMPLE.items() if hive != "unknown"}
TOKEN = re.compile(r"\s*([A-Za-z_][\w ]*\w|\d+|\w|[<>(),:]|`[^`]*`)")


@dataclass(frozen=True, kw_only=True, slots=True)
class ColumnType:
    """One type.

    Attributes:
        kind: A name of Hive's without parameters: ``int``, ``decimal``, ``varchar``, ``array``,
            ``map``, ``struct``; or one that only Athena has, like ``json``.
        numbers: Length of varchar and char; precision and scale of decimal.
        names: Of the fields of a struct.
        parts: Types of the element, of key and value, or of the fields.
    """

    kind: str
    numbers: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    parts: tuple[ColumnType, ...] = ()

    def hive(self) -> str:
        """Return it as the catalog has it, ``array<struct<a:int>>``.

        Raises:
            QueryError: No Hive table can hold it.
        """
        inside = [part.hive() for part in self.parts]
        if self.kind in HOMELESS:
            name = {"timestamp with time zone": "timestamp(3) with time zone"}.get(self.kind)
            raise QueryError(f"NOT_SUPPORTED: Unsupported Hive type: {name or self.kind}")
        if self.kind == "struct":
            inside = [f"{name}:{part}" for name, part in zip(self.names, inside, strict=True)]
        if inside:
            return f"{self.kind}<{','.join(inside)}>"
        return self.kind + (f"({','.join(map(str, self.numbers))})" if self.numbers else "")

    def duckdb(self) -> str:
        """Return it as DuckDB has it, ``STRUCT("a" INTEGER)[]``."""
        inside = [part.duckdb() for part in self.parts]
        if self.kind == "array":
            return f"{inside[0]}[]"
        if self.kind == "map":
            return f"MAP({inside[0]}, {inside[1]})"
        if self.kind == "struct":
            fields = (f"{quoted(n)} {t}" for n, t in zip(self.names, inside, strict=True))
            return f"STRUCT({', '.join(fields)})"
        if self.kind == "decimal":
            return f"DECIMAL({self.numbers[0]}, {self.numbers[1]})"
        return "VARCHAR" if self.kind in ("varchar", "char") else SIMPLE[self.kind][0]

    def arrow(self) -> pa.DataType:
        """Return it as Arrow has it; timestamps in microseconds."""
        import pyarrow as pa

        inside = [part.arrow() for part in self.parts]
        if self.kind == "array":
            return pa.list_(pa.field("element", inside[0]))
        if self.kind == "map":
            return pa.map_(inside[0], inside[1])
        if self.kind == "struct":
            return pa.struct(list(zip(self.names, inside, strict=True)))
        if self.kind == "decimal":
            return pa.decimal128(*self.numbers)
        return _arrow_simple()[self.kind]

    def info(self, name: str, table: str = "") -> dict[str, Any]:
        """Return a ColumnInfo of GetQueryResults."""
        precision, scale = PRECISIONS.get(self.kind, 0), 0
        if self.kind == "decimal":
            precision, scale = self.numbers
        elif self.kind in ("varchar", "char"):
            precision = self.numbers[0]
        return {
            "CatalogName": "hive",
            "SchemaName": "",
            "TableName": table,
            "Name": name,
            "Label": name,
            "Type": self.athena(),
            "Precision": precision,
            "Scale": scale,
            "Nullable": "UNKNOWN",
            "CaseSensitive": self.kind in ("string", "varchar", "char"),
        }

    def athena(self) -> str:
        """Return its name in answers, without parameters: ``integer``, ``row``."""
        return {"struct": "row"}.get(self.kind) or SIMPLE.get(self.kind, ("", self.kind))[1]

    def sql(self) -> str:
        """Return it as Athena's SQL and its errors have it, ``array(row(a integer))``."""
        inside = [part.sql() for part in self.parts]
        if self.kind == "struct":
            inside = [f"{name} {part}" for name, part in zip(self.names, inside, strict=True)]
        name = {"float": "real"}.get(self.kind, self.athena())
        numbers = [str(number) for number in self.numbers]
        if self.kind == "timestamp":
            numbers = ["3"]
        return f"{name}({', '.join(inside or numbers)})" if inside or numbers else name


def quoted(name: str) -> str:
    """Return a name in double quotes."""
    return '"' + name.replace('"', '""') + '"'


@lru_cache(maxsize=1)
def _arrow_simple() -> dict[str, Any]:
    import pyarrow as pa

    return {
        "boolean": pa.bool_(),
        "tinyint": pa.int8(),
        "smallint": pa.int16(),
        "int": pa.int32(),
        "bigint": pa.int64(),
        "float": pa.float32(),
        "double": pa.float64(),
        "string": pa.string(),
        "varchar": pa.string(),
        "char": pa.string(),
        "unknown": pa.string(),
        "json": pa.string(),
        "binary": pa.binary(),
        "date": pa.date32(),
        "timestamp": pa.timestamp("us"),
        "timestamp with time zone": pa.timestamp("us", tz="UTC"),
        "time": pa.time64("us"),
    }


@lru_cache(maxsize=4096)
def parse_type(text: str) -> ColumnType:
    """Return the type that a text of the catalog says: ``map<string,decimal(10,2)>``.

    Raises:
        QueryError: The text is no type, or one that the local plane has not.
    """
    tokens = TOKEN.findall(text)
    if "".join(tokens).replace(" ", "") != re.sub(r"\s", "", text):
        raise _no_type(text)
    found, end = _parsed([token.strip() for token in tokens], 0, text)
    if end != len(tokens):
        raise _no_type(text)
    return found


def _no_type(text: str) -> QueryError:
    return QueryError(f"HIVE_INVALID_METADATA: the type {text!r} of a column is not known")


def _parsed(tokens: list[str], at: int, text: str) -> tuple[ColumnType, int]:
    try:
        name = tokens[at].lower()
        kind, at = ALIASES.get(name, name), at + 1
        if kind == "array":
            part, end = _parsed(tokens, at + 1, text)
            return ColumnType(kind=kind, parts=(part,)), _closed(tokens, end, ">", text)
        if kind == "map":
            key, end = _parsed(tokens, at + 1, text)
            value, end = _parsed(tokens, end + 1, text)
            return ColumnType(kind=kind, parts=(key, value)), _closed(tokens, end, ">", text)
        if kind == "struct":
            return _struct(tokens, at + 1, text)
        numbers: tuple[int, ...] = ()
        if tokens[at : at + 1] == ["("]:
            close = tokens.index(")", at)
            numbers = tuple(int(number) for number in tokens[at + 1 : close] if number != ",")
            at = close + 1
    except (IndexError, ValueError):
        raise _no_type(text) from None
    if kind == "decimal":
        numbers = (*numbers, *(10, 0)[len(numbers) :])
    if kind in ("varchar", "char"):
        numbers = numbers or (65535 if kind == "varchar" else 1,)
    elif kind not in SIMPLE and kind != "decimal":
        raise _no_type(text)
    return ColumnType(kind=kind, numbers=numbers), at


def _closed(tokens: list[str], at: int, sign: str, text: str) -> int:
    if tokens[at] != sign:
        raise _no_type(text)
    return at + 1


def _struct(tokens: list[str], at: int, text: str) -> tuple[ColumnType, int]:
    names: list[str] = []
    parts: list[ColumnType] = []
    while True:
        names.append(tokens[at].strip("`").lower())
        at = _closed(tokens, at + 1, ":", text)
        part, at = _parsed(tokens, at, text)
        parts.append(part)
        if tokens[at] == ">":
            return ColumnType(kind="struct", names=tuple(names), parts=tuple(parts)), at + 1
        at = _closed(tokens, at, ",", text)


def from_duckdb(found: Any) -> ColumnType:
    """Return the type of a DuckDBPyType.

    Raises:
        QueryError: Athena has nothing like it.
    """
    kind = found.id
    if kind == "decimal":
        numbers = dict(found.children)
        return ColumnType(kind="decimal", numbers=(numbers["precision"], numbers["scale"]))
    if kind in ("list", "array"):
        return ColumnType(kind="array", parts=(from_duckdb(found.children[0][1]),))
    if kind == "map":
        return ColumnType(
            kind="map", parts=tuple(from_duckdb(child) for _, child in found.children)
        )
    if kind in ("struct", "tuple"):
        bare = kind == "tuple"  # a row without names
        pairs = [each if isinstance(each, tuple) else ("", each) for each in found.children]
        return ColumnType(
            kind="struct",
            names=tuple(f"field{at}" if bare else str(name) for at, (name, _) in enumerate(pairs)),
            parts=tuple(from_duckdb(child) for _, child in pairs),
        )
    text = str(found).lower()
    hive = FROM_DUCKDB.get(text) or WIDENED.get(text) or WIDENED.get(kind)
    if hive is None:
        raise QueryError(f"NOT_SUPPORTED: Athena has no type like {found}")
    return ColumnType(kind=hive)
