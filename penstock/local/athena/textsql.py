"""SQL that reads lines of text as typed columns, and that writes values as Athena's text."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from penstock.local.athena.catalog import Column, Table
from penstock.local.athena.errors import unsupported
from penstock.local.athena.formats import Format
from penstock.local.athena.types import ColumnType, quoted

__all__ = ["athena_text", "csv_line", "json_line", "text_line", "view_sql"]

LINE = '"$line"'
DOCUMENT = '"$document"'  # what is made of a line once: its fields, or JSON


def literal(text: str) -> str:
    """Return a string literal of DuckDB."""
    return "'" + text.replace("'", "''") + "'"


def view_sql(table: Table, given: Format, files: str, *, path: bool) -> str:
    """Return the SELECT that gives a table's columns and keys out of its dataset.

    Args:
        table: The table.
        given: How its files are read.
        files: What the dataset is called.
        path: Whether ``"$path"`` is a column too.
    """
    keys = [quoted(key.name) for key in table.keys] + (['"$path"'] if path else [])
    if not given.is_text:
        return f"SELECT {', '.join([*(quoted(c.name) for c in table.columns), *keys])} FROM {files}"  # noqa: S608  SQL is what this makes
    read, once = READERS[given.kind]
    made = [
        f"{read(column, at, table, given)} AS {quoted(column.name)}"
        for at, column in enumerate(table.columns)
    ]
    inside = ", ".join([f"{once(given)} AS {DOCUMENT}", *keys])
    return f"SELECT {', '.join([*made, *keys])} FROM (SELECT {inside} FROM {files})"  # noqa: S608  SQL is what this makes


# ---------------------------------------------------------------- LazySimpleSerDe


def _split(given: Format) -> str:
    """Return SQL of the fields of a line."""
    mark = literal(given.delimiter)
    if not given.escape:
        return f"string_split({LINE}, {mark})"
    escape, sign = _pattern(given.escape), _pattern(given.delimiter)
    pattern = f"((?:[^{sign}{escape}]|{escape}.)*){sign}"
    return f"regexp_extract_all({LINE} || {mark}, {literal(pattern)}, 1)"


def _delimited(column: Column, at: int, table: Table, given: Format) -> str:
    del table
    field = f"{DOCUMENT}[{at + 1}]"
    if given.escape:
        field = f"regexp_replace({field}, {literal(_pattern(given.escape) + '(.)')}, '\\1', 'g')"
    return _lazy(f"nullif({field}, {literal(given.null)})", column.type, given, 0)


def _lazy(text: str, kind: ColumnType, given: Format, deep: int) -> str:
    """Return SQL of a value that LazySimpleSerDe writes; what cannot be parsed is null."""
    signs = (given.items, given.keys, "\x04", "\x05", "\x06", "\x07")
    if kind.kind == "array":
        inside = _lazy(f"nullif(e{deep}, {literal(given.null)})", kind.parts[0], given, deep + 1)
        split = (
            f"CASE WHEN {text} = '' THEN [] ELSE string_split({text}, {literal(signs[deep])}) END"
        )
        return f"list_transform({split}, lambda e{deep}: {inside})"
    if kind.kind == "map":
        mark = literal(signs[deep + 1])
        name = f"e{deep}"
        key = _lazy(f"split_part({name}, {mark}, 1)", kind.parts[0], given, deep + 2)
        rest = f"nullif(substr({name}, position({mark} IN {name}) + 1), {literal(given.null)})"
        value = _lazy(rest, kind.parts[1], given, deep + 2)
        split = (
            f"CASE WHEN {text} = '' THEN [] ELSE string_split({text}, {literal(signs[deep])}) END"
        )
        return (
            f"map_from_entries(list_transform({split}, lambda {name}: "
            f"struct_pack(k := {key}, v := {value})))"
        )
    if kind.kind == "struct":
        parts = [
            f"{quoted(name)} := "
            + _lazy(
                f"nullif(string_split({text}, {literal(signs[deep])})[{at + 1}], {literal(given.null)})",
                part,
                given,
                deep + 1,
            )
            for at, (name, part) in enumerate(zip(kind.names, kind.parts, strict=True))
        ]
        return f"CASE WHEN {text} IS NOT NULL THEN struct_pack({', '.join(parts)}) END"
    return _scalar(text, kind)


def _scalar(text: str, kind: ColumnType) -> str:
    """Return SQL of a text as a value; null when it is none."""
    if kind.kind in ("string", "varchar"):
        return f"left({text}, {kind.numbers[0]})" if kind.numbers else text
    if kind.kind == "char":
        return f"rtrim(left({text}, {kind.numbers[0]}))"
    if kind.kind == "binary":
        return f"from_base64({text})"
    if kind.kind in ("tinyint", "smallint", "int", "bigint"):
        return f"TRY_CAST(t_whole(trim({text})) AS {kind.duckdb()})"
    if kind.kind == "boolean":
        return f"CASE lower({text}) WHEN 'true' THEN true WHEN 'false' THEN false END"
    return f"TRY_CAST({text} AS {kind.duckdb()})"


# ---------------------------------------------------------------- OpenCSVSerde


def _split_quoted(given: Format) -> str:
    """Return SQL of the fields of a line, quotes and all."""
    sign, quote = _pattern(given.delimiter), _pattern(given.quote)
    escape = _pattern(given.escape) if given.escape else ""
    inside = f"[^{quote}{escape}]|{quote}{quote}" + (f"|{escape}." if escape else "")
    pattern = f"({quote}(?:{inside})*{quote}|[^{sign}]*){sign}"
    return f"regexp_extract_all({LINE} || {literal(given.delimiter)}, {literal(pattern)}, 1)"


def _quoted_csv(column: Column, at: int, table: Table, given: Format) -> str:
    del table
    raw = f"{DOCUMENT}[{at + 1}]"
    bare = f"substr({raw}, 2, length({raw}) - 2)"
    bare = f"replace({bare}, {literal(given.quote * 2)}, {literal(given.quote)})"
    if given.escape:
        bare = f"regexp_replace({bare}, {literal(_pattern(given.escape) + '(.)')}, '\\1', 'g')"
    text = f"CASE WHEN starts_with({raw}, {literal(given.quote)}) THEN {bare} ELSE {raw} END"
    return _checked(text, column, at)


def _checked(text: str, column: Column, at: int) -> str:
    """Return SQL of a text as a value; what is none is Athena's error."""
    kind = column.type
    if kind.parts:
        raise unsupported(f"type {kind.hive()} in a table of OpenCSVSerde: column {column.name}")
    if kind.kind in ("string", "varchar", "char"):
        return _scalar(text, kind)
    # This SerDe knows dates as days and timestamps as milliseconds since 1970.
    if kind.kind == "date":
        value = f"DATE '1970-01-01' + TRY_CAST({text} AS INTEGER)"
    elif kind.kind == "timestamp":
        value = f"make_timestamp(TRY_CAST({text} AS BIGINT) * 1000)"
    else:
        value = _scalar(text, kind)
    return _or_bad(value, text, kind, at)


def raised(words: str, kind: str) -> str:
    """Return SQL that fails with ``words``, itself SQL of a text, where a value of ``kind`` stands.

    A cast that cannot succeed, not error(): that one is volatile, and then nothing around it is
    computed only once.
    """
    return f"CAST(CAST(chr(30) || {words} || chr(30) AS INTEGER) AS {kind})"


def _or_bad(value: str, text: str, kind: ColumnType, at: int) -> str:
    words = (
        f"'HIVE_BAD_DATA: Error parsing field value ''' || ({text}) || ''' for field {at}: "
        f"For input string: \"' || ({text}) || '\"'"
    )
    if kind.kind in ("date", "timestamp"):  # to which no integer can be cast
        failing = f"CAST(chr(30) || {words} || chr(30) AS {kind.duckdb()})"
    else:
        failing = raised(words, kind.duckdb())
    return f"CASE WHEN ({text}) IS NOT NULL AND ({value}) IS NULL THEN {failing} ELSE {value} END"


def _pattern(sign: str) -> str:
    """Return a sign inside a regular expression, in brackets or out."""
    return "".join(each if each.isalnum() else f"\\x{{{ord(each):x}}}" for each in sign)


# ---------------------------------------------------------------- JSON


def _json(column: Column, at: int, table: Table, given: Format) -> str:
    del table
    name = dict(given.renamed).get(column.name, column.name)
    return _of_json(_field(DOCUMENT, name, given), column.type, given, 0, at)


def _document(given: Format) -> str:
    """Return SQL of a line as JSON; of an empty one null."""
    words = f"'HIVE_CURSOR_ERROR: Row is not a valid JSON Object: ' || left({LINE}, 200)"
    bad = "NULL" if given.ignores_malformed else raised(words, "JSON")
    return (
        f"CASE WHEN json_valid({LINE}) THEN CAST({LINE} AS JSON) "
        f"WHEN trim({LINE}) = '' THEN NULL ELSE {bad} END"
    )


def _field(value: str, name: str, given: Format) -> str:
    """Return SQL of a member of a JSON object; letters of either case are the same."""
    path = literal('$."' + name.replace('"', '\\"') + '"')
    exact = f"json_extract({value}, {path})"
    if given.exact_case:
        return exact
    lowered = name.lower()
    slow = (
        f"json_extract({value}, '$.\"' || list_filter(json_keys({value}), "
        f"lambda k: lower(k) = {literal(lowered)})[1] || '\"')"
    )
    return f"coalesce({exact}, CASE WHEN json_type({value}) = 'OBJECT' THEN {slow} END)"


def _of_json(value: str, kind: ColumnType, given: Format, deep: int, at: int) -> str:
    name = f"j{deep}"
    present = f"({value}) IS NOT NULL AND json_type({value}) <> 'NULL'"
    if kind.kind == "array":
        inside = _of_json(name, kind.parts[0], given, deep + 1, at)
        items = f"CAST(json_extract({value}, '$[*]') AS JSON[])"
        return f"CASE WHEN {present} THEN list_transform({items}, lambda {name}: {inside}) END"
    if kind.kind == "map":
        member = f"json_extract({value}, '$.\"' || {name} || '\"')"
        inside = _of_json(member, kind.parts[1], given, deep + 1, at)
        key = _scalar(name, kind.parts[0])
        pairs = f"list_transform(json_keys({value}), lambda {name}: struct_pack(k := {key}, v := {inside}))"
        return f"CASE WHEN {present} THEN map_from_entries({pairs}) END"
    if kind.kind == "struct":
        parts = [
            f"{quoted(n)} := {_of_json(_field(value, n, given), part, given, deep + 1, at)}"
            for n, part in zip(kind.names, kind.parts, strict=True)
        ]
        return f"CASE WHEN {present} THEN struct_pack({', '.join(parts)}) END"
    text = f"json_extract_string({value}, '$')"
    if kind.kind in ("string", "varchar", "char", "binary"):
        return _scalar(text, kind)
    if kind.kind in ("tinyint", "smallint", "int", "bigint"):
        text_value = f"TRY_CAST(trunc(TRY_CAST({text} AS DECIMAL(38, 10))) AS {kind.duckdb()})"
        return _or_bad(text_value, text, kind, at)
    return _or_bad(_scalar(text, kind), text, kind, at)


Reader = Callable[[Column, int, Table, Format], str]
READERS: Mapping[str, tuple[Reader, Callable[[Format], str]]] = {
    "delimited": (_delimited, _split),
    "opencsv": (_quoted_csv, _split_quoted),
    "json": (_json, _document),
    "hivejson": (_json, _document),
}


# ---------------------------------------------------------------- writing


def athena_text(value: str, kind: ColumnType, deep: int = 0) -> str:
    """Return SQL of a value as Athena writes it into a result."""
    name = f"w{deep}"
    if kind.kind == "array":
        inside = athena_text(name, kind.parts[0], deep + 1)
        items = f"list_transform({value}, lambda {name}: coalesce({inside}, 'null'))"
        return f"'[' || array_to_string({items}, ', ') || ']'"
    if kind.kind == "map":
        key = athena_text(f"{name}.key", kind.parts[0], deep + 1)
        inside = athena_text(f"{name}.value", kind.parts[1], deep + 1)
        items = (
            f"list_transform(map_entries({value}), "
            f"lambda {name}: {key} || '=' || coalesce({inside}, 'null'))"
        )
        return f"'{{' || array_to_string({items}, ', ') || '}}'"
    if kind.kind == "struct":
        if kind.names == tuple(f"field{at}" for at in range(len(kind.names))):
            value = f"CAST({value} AS {kind.duckdb()})"  # a row without names has no members
        fields = [
            f"{literal(n + '=')} || coalesce({athena_text(_member(value, n), part, deep + 1)}, 'null')"
            for n, part in zip(kind.names, kind.parts, strict=True)
        ]
        inside = " || ', ' || ".join(fields)
        return f"CASE WHEN ({value}) IS NOT NULL THEN '{{' || {inside} || '}}' END"
    if kind.kind == "binary":
        return f"t_bytes({value})"
    if kind.kind == "interval":
        return f"t_interval({value})"
    if kind.kind == "unknown":
        return f"CAST({value} AS VARCHAR)"
    return value if kind.kind == "string" else f"t_text({value})"


def _member(value: str, name: str) -> str:
    """Return SQL of a field of a struct."""
    return f"struct_extract({value}, {literal(name)})"


def csv_line(values: list[str]) -> str:
    """Return SQL of a line of a result: every value in quotes, null as nothing."""
    cells = [f"coalesce('\"' || replace({value}, '\"', '\"\"') || '\"', '')" for value in values]
    return " || ',' || ".join(cells) + " || chr(10)"


def json_line(columns: list[tuple[str, str, ColumnType]]) -> str:
    """Return SQL of a line of a JSON file: names, values and types."""
    fields = [f"{quoted(name)} := {_plain(value, kind)}" for name, value, kind in columns]
    return f"CAST(to_json(struct_pack({', '.join(fields)})) AS VARCHAR) || chr(10)"


def _plain(value: str, kind: ColumnType) -> str:
    """Return SQL of a value whose JSON is as Athena writes it."""
    if kind.kind == "timestamp":
        return f"t_text({value})"
    return f"to_base64({value})" if kind.kind == "binary" else value


def text_line(columns: list[tuple[str, str, ColumnType]], delimiter: str) -> str:
    """Return SQL of a line of a delimited file, as LazySimpleSerDe writes it.

    Raises:
        QueryError: A column is an array, map or struct inside another.
    """
    cells = []
    for name, value, kind in columns:
        if any(part.parts for part in kind.parts):
            raise unsupported(f"type {kind.hive()} in a delimited file: column {name}")
        cells.append(f"coalesce({_lazy_text(value, kind)}, '\\N')")
    return f" || {literal(delimiter)} || ".join(cells) + " || chr(10)"


def _lazy_text(value: str, kind: ColumnType) -> str:
    item, pair = "chr(2)", "chr(3)"
    if kind.kind == "array":
        items = (
            f"list_transform({value}, lambda w: coalesce({_lazy_text('w', kind.parts[0])}, '\\N'))"
        )
        return f"array_to_string({items}, {item})"
    if kind.kind == "map":
        key, held = _lazy_text("w.key", kind.parts[0]), _lazy_text("w.value", kind.parts[1])
        items = f"list_transform(map_entries({value}), lambda w: {key} || {pair} || coalesce({held}, '\\N'))"
        return f"array_to_string({items}, {item})"
    if kind.kind == "struct":
        fields = [
            f"coalesce({_lazy_text(_member(value, n), part)}, '\\N')"
            for n, part in zip(kind.names, kind.parts, strict=True)
        ]
        return f"CASE WHEN ({value}) IS NOT NULL THEN {f' || {item} || '.join(fields)} END"
    return f"to_base64({value})" if kind.kind == "binary" else f"t_text({value})"
