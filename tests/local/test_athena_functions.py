"""Athena's functions, each with a value that Athena gives."""

from __future__ import annotations

import pytest

from penstock.local.athena.engine import Engine, opened, wrapped
from penstock.local.athena.errors import QueryError
from penstock.local.athena.meter import Meter
from penstock.local.athena.query import Translator, parsed
from penstock.local.athena.textsql import athena_text

NULL = None
ROWS = "(VALUES (1, 'a', 1.5), (2, 'b', 2.5), (3, 'a', NULL)) AS t(n, s, x)"

# Expression, type as Athena's SQL has it, value as a result has it.
SCALARS = [
    # numbers
    ("7 / 2", "integer", "3"),
    ("-7 / 2", "integer", "-3"),
    ("7e0 / 2", "double", "3.5"),
    ("1e0 / 0e0", "double", "Infinity"),
    ("CAST(1.0 AS decimal(10,2)) / 3", None, "0.33"),
    ("7 % 3", "integer", "1"),
    ("-7 % 3", "integer", "-1"),
    ("abs(-3)", "integer", "3"),
    ("ceil(1.2e0)", "double", "2.0"),
    ("floor(-1.2e0)", "double", "-2.0"),
    ("round(2.5e0)", "double", "3.0"),
    ("round(-2.5e0)", "double", "-3.0"),
    ("round(2.345e0, 1)", "double", "2.3"),
    ("truncate(2.7e0)", "double", "2.0"),
    ("power(2, 10)", "double", "1024.0"),
    ("sqrt(16)", "double", "4.0"),
    ("mod(7, 3)", "integer", "1"),
    ("sign(-2)", None, "-1"),
    ("greatest(1, 3, 2)", "integer", "3"),
    ("greatest(1, NULL)", "integer", NULL),
    ("least(2, 1)", "integer", "1"),
    ("is_nan(nan())", "boolean", "true"),
    ("bitwise_and(12, 10)", "bigint", "8"),
    ("bitwise_xor(12, 10)", "bigint", "6"),
    ("ln(exp(1))", "double", "1.0"),
    ("log(2, 8)", "double", "3.0"),
    # casts and texts
    ("CAST(2.5e0 AS integer)", "integer", "3"),
    ("CAST('12' AS bigint)", "bigint", "12"),
    ("TRY_CAST('x' AS integer)", "integer", NULL),
    ("TRY_CAST('1.5' AS integer)", "integer", NULL),
    ("CAST('abcdef' AS varchar(3))", "varchar", "abc"),
    ("CAST(12345678.0e0 AS varchar)", "varchar", "1.2345678E7"),
    ("CAST(TIMESTAMP '2020-01-02 03:04:05' AS varchar)", "varchar", "2020-01-02 03:04:05.000"),
    ("CAST(true AS varchar)", "varchar", "true"),
    ("DECIMAL '1.50'", "decimal(3, 2)", "1.50"),
    ("TRY(1 / 0)", "integer", NULL),
    ("TRY(CAST('x' AS integer))", "integer", NULL),
    ("if(1 = 1, 'y', 'n')", "varchar", "y"),
    ("if(1 = 2, 'y')", "varchar", NULL),
    ("coalesce(NULL, 2)", "integer", "2"),
    ("nullif(1, 1)", "integer", NULL),
    # strings
    ("lower('ÀB')", "varchar", "àb"),
    ("length('é中')", "bigint", "2"),
    ("concat('a', 'b', 'c')", "varchar", "abc"),
    ("concat('a', NULL)", None, NULL),
    ("concat_ws('-', 'a', NULL, 'b')", "varchar", "a-b"),
    ("'a' || 'b'", "varchar", "ab"),
    ("substr('hello', 2, 3)", "varchar", "ell"),
    ("substr('hello', 0)", "varchar", ""),
    ("substr('hello', -3)", "varchar", "llo"),
    ("substring('hello' FROM 2 FOR 2)", "varchar", "el"),
    ("strpos('hello', 'l')", "bigint", "3"),
    ("position('l' IN 'hello')", "bigint", "3"),
    ("replace('aXbX', 'X', 'y')", "varchar", "ayby"),
    ("replace('aXb', 'X')", "varchar", "ab"),
    ("reverse('abc')", "varchar", "cba"),
    ("lpad('7', 3, '0')", "varchar", "007"),
    ("rpad('7', 3, 'x')", "varchar", "7xx"),
    ("trim('  a ')", "varchar", "a"),
    ("ltrim('  a')", "varchar", "a"),
    ("split('a,b,c', ',')", "array(varchar)", "[a, b, c]"),
    ("split_part('a,b', ',', 2)", "varchar", "b"),
    ("split_part('a,b', ',', 3)", "varchar", NULL),
    ("starts_with('abc', 'ab')", "boolean", "true"),
    ("chr(65)", "varchar", "A"),
    ("codepoint('A')", "integer", "65"),
    ("levenshtein_distance('kitten', 'sitting')", "bigint", "3"),
    ("translate('abc', 'ab', 'xy')", "varchar", "xyc"),
    ("to_hex(to_utf8('abc'))", "varchar", "616263"),
    ("to_hex(md5(to_utf8('a')))", "varchar", "0CC175B9C0F1B6A831C399E269772661"),
    ("to_base64(to_utf8('abc'))", "varchar", "YWJj"),
    ("from_utf8(from_base64('YWJj'))", "varchar", "abc"),
    ("to_utf8('ab')", "varbinary", "61 62"),
    ("'a_b' LIKE 'a!_b' ESCAPE '!'", "boolean", "true"),
    # regular expressions
    ("regexp_like('abc123', '\\d+')", "boolean", "true"),
    ("regexp_extract('a1b22', '\\d+')", "varchar", "1"),
    ("regexp_extract('abc', '\\d+')", "varchar", NULL),
    ("regexp_extract('a1', '([a-z])(\\d)', 2)", "varchar", "1"),
    ("regexp_extract_all('a1b22', '\\d+')", "array(varchar)", "[1, 22]"),
    ("regexp_replace('a1b2', '\\d')", "varchar", "ab"),
    ("regexp_replace('a1b2', '([a-z])(\\d)', '$2$1')", "varchar", "1a2b"),
    ("regexp_split('a1b2c', '\\d')", "array(varchar)", "[a, b, c]"),
    ("regexp_count('a1b22', '\\d')", "bigint", "3"),
    # URLs
    ("url_extract_host('https://u@h.org:80/p/q?a=1&b=2%203#f')", "varchar", "h.org"),
    ("url_extract_port('https://h.org:80/p')", "bigint", "80"),
    ("url_extract_protocol('https://h.org/p')", "varchar", "https"),
    ("url_extract_path('https://h.org/p/q?a=1')", "varchar", "/p/q"),
    ("url_extract_query('https://h.org/p?a=1&b=2')", "varchar", "a=1&b=2"),
    ("url_extract_fragment('https://h.org/p#f')", "varchar", "f"),
    ("url_extract_parameter('https://h.org/p?a=1&b=2%203', 'b')", "varchar", "2 3"),
    ("url_encode('a b/c')", "varchar", "a+b%2Fc"),
    ("url_decode('a+b%2Fc')", "varchar", "a b/c"),
    # JSON
    ("json_extract_scalar('{\"a\":{\"b\":[1,2]}}', '$.a.b[1]')", "varchar", "2"),
    ("json_extract_scalar('{\"a\":{\"b\":1}}', '$.a')", "varchar", NULL),
    ('json_extract_scalar(\'{"a b":"x"}\', \'$["a b"]\')', "varchar", "x"),
    ("json_extract_scalar('no json', '$.a')", "varchar", NULL),
    ("json_extract('{\"a\":[1,2]}', '$.a')", "json", "[1,2]"),
    ("json_array_length('[1,2,3]')", "bigint", "3"),
    ("json_format(json_parse('{\"a\":1}'))", "varchar", '{"a":1}'),
    ("CAST(json_parse('[1,2]') AS array(integer))", "array(integer)", "[1, 2]"),
    # dates
    ("date_trunc('month', DATE '2020-05-17')", "date", "2020-05-01"),
    (
        "date_trunc('hour', TIMESTAMP '2020-05-17 10:11:12')",
        "timestamp(3)",
        "2020-05-17 10:00:00.000",
    ),
    ("date_diff('day', DATE '2020-01-01', DATE '2020-03-01')", "bigint", "60"),
    (
        "date_diff('hour', TIMESTAMP '2020-01-01 10:59:00', TIMESTAMP '2020-01-01 11:01:00')",
        "bigint",
        "0",
    ),
    ("date_diff('month', DATE '2020-01-31', DATE '2020-02-28')", "bigint", "0"),
    ("date_add('month', 1, DATE '2020-01-31')", "date", "2020-02-29"),
    (
        "date_add('second', 90, TIMESTAMP '2020-01-01 00:00:00')",
        "timestamp(3)",
        "2020-01-01 00:01:30.000",
    ),
    ("DATE '2020-01-01' + INTERVAL '1' DAY", "date", "2020-01-02"),
    (
        "TIMESTAMP '2020-01-01 00:00:00' - INTERVAL '1' HOUR",
        "timestamp(3)",
        "2019-12-31 23:00:00.000",
    ),
    ("date_parse('2020-01-02 03:04', '%Y-%m-%d %H:%i')", "timestamp(3)", "2020-01-02 03:04:00.000"),
    ("date_parse('02/Jan/2020', '%d/%b/%Y')", "timestamp(3)", "2020-01-02 00:00:00.000"),
    (
        "date_format(TIMESTAMP '2020-01-02 03:04:05', '%Y%m%d %H:%i:%s')",
        "varchar",
        "20200102 03:04:05",
    ),
    (
        "format_datetime(TIMESTAMP '2020-01-02 03:04:05', 'yyyy-MM-dd''T''HH:mm:ss')",
        "varchar",
        "2020-01-02T03:04:05",
    ),
    (
        "parse_datetime('2020-01-02', 'yyyy-MM-dd')",
        "timestamp with time zone",
        "2020-01-02 00:00:00.000 UTC",
    ),
    (
        "from_iso8601_timestamp('2020-01-02T03:04:05Z')",
        "timestamp with time zone",
        "2020-01-02 03:04:05.000 UTC",
    ),
    (
        "from_iso8601_timestamp('2020-01-02T03:04:05+02:00')",
        "timestamp with time zone",
        "2020-01-02 01:04:05.000 UTC",
    ),
    ("from_iso8601_date('2020-01-02')", "date", "2020-01-02"),
    ("to_iso8601(TIMESTAMP '2020-01-02 03:04:05')", "varchar", "2020-01-02T03:04:05.000"),
    ("to_iso8601(DATE '2020-01-02')", "varchar", "2020-01-02"),
    ("from_unixtime(1577934245)", "timestamp with time zone", "2020-01-02 03:04:05.000 UTC"),
    ("to_unixtime(TIMESTAMP '2020-01-02 03:04:05')", "double", "1.577934245E9"),
    ("date('2020-01-02')", "date", "2020-01-02"),
    ("year(DATE '2020-05-17')", "bigint", "2020"),
    ("day_of_week(DATE '2020-01-05')", "bigint", "7"),
    ("week(DATE '2020-01-05')", "bigint", "1"),
    ("millisecond(TIMESTAMP '2020-01-01 00:00:05.123')", "bigint", "123"),
    ("extract(dow FROM DATE '2020-01-05')", "bigint", "7"),
    ("quarter(DATE '2020-05-17')", "bigint", "2"),
    ("last_day_of_month(DATE '2020-02-03')", "date", "2020-02-29"),
    (
        "TIMESTAMP '2020-01-01 00:00:00' AT TIME ZONE 'UTC'",
        "timestamp with time zone",
        "2020-01-01 00:00:00.000 UTC",
    ),
    # arrays and maps
    ("cardinality(ARRAY[1, 2, 3])", "bigint", "3"),
    ("cardinality(map(ARRAY['a'], ARRAY[1]))", "bigint", "1"),
    ("contains(ARRAY[1, 2], 2)", "boolean", "true"),
    ("element_at(ARRAY[1, 2], -1)", "integer", "2"),
    ("element_at(ARRAY[1, 2], 5)", "integer", NULL),
    ("element_at(map(ARRAY['a'], ARRAY[1]), 'b')", "integer", NULL),
    ("ARRAY[1, 2][1]", "integer", "1"),
    ("map(ARRAY['a'], ARRAY[1])['a']", "integer", "1"),
    ("array_join(ARRAY['a', NULL, 'b'], '-')", "varchar", "a-b"),
    ("array_join(ARRAY['a', NULL, 'b'], '-', '?')", "varchar", "a-?-b"),
    ("array_distinct(ARRAY[2, 1, 2])", "array(integer)", "[2, 1]"),
    ("array_sort(ARRAY[3, NULL, 1])", "array(integer)", "[1, 3, null]"),
    ("array_max(ARRAY[1, 3, 2])", "integer", "3"),
    ("array_max(ARRAY[1, NULL])", "integer", NULL),
    ("array_position(ARRAY[1, 2], 3)", None, "0"),
    ("array_remove(ARRAY[1, 2, 1], 1)", "array(integer)", "[2]"),
    ("array_union(ARRAY[1, 2], ARRAY[2, 3])", "array(integer)", "[1, 2, 3]"),
    ("array_intersect(ARRAY[1, 2], ARRAY[2, 3])", "array(integer)", "[2]"),
    ("array_except(ARRAY[1, 2], ARRAY[2])", "array(integer)", "[1]"),
    ("arrays_overlap(ARRAY[1, 2], ARRAY[2])", "boolean", "true"),
    ("slice(ARRAY[1, 2, 3, 4], 2, 2)", "array(integer)", "[2, 3]"),
    ("slice(ARRAY[1, 2, 3, 4], -2, 2)", "array(integer)", "[3, 4]"),
    ("sequence(1, 3)", None, "[1, 2, 3]"),
    ("sequence(3, 1)", None, "[3, 2, 1]"),
    (
        "sequence(DATE '2020-01-01', DATE '2020-01-03', INTERVAL '1' DAY)",
        "array(date)",
        "[2020-01-01, 2020-01-02, 2020-01-03]",
    ),
    ("repeat('a', 2)", "array(varchar)", "[a, a]"),
    ("flatten(ARRAY[ARRAY[1], ARRAY[2, 3]])", "array(integer)", "[1, 2, 3]"),
    ("transform(ARRAY[1, 2], x -> x * 2)", "array(integer)", "[2, 4]"),
    ("filter(ARRAY[1, 2, 3], x -> x > 1)", "array(integer)", "[2, 3]"),
    ("reduce(ARRAY[1, 2, 3], 0, (s, x) -> s + x, s -> s * 10)", "integer", "60"),
    ("any_match(ARRAY[1, 2], x -> x > 1)", "boolean", "true"),
    ("all_match(ARRAY[1, 2], x -> x > 1)", "boolean", "false"),
    ("none_match(ARRAY[1, 2], x -> x > 2)", "boolean", "true"),
    ("zip_with(ARRAY[1, 2], ARRAY[3, 4], (x, y) -> x + y)", "array(integer)", "[4, 6]"),
    ("map_keys(map(ARRAY['a', 'b'], ARRAY[1, 2]))", "array(varchar)", "[a, b]"),
    ("map_values(map(ARRAY['a', 'b'], ARRAY[1, 2]))", "array(integer)", "[1, 2]"),
    (
        "map_concat(map(ARRAY['a'], ARRAY[1]), map(ARRAY['a'], ARRAY[2]))",
        "map(varchar, integer)",
        "{a=2}",
    ),
    (
        "map_filter(map(ARRAY['a', 'b'], ARRAY[1, 2]), (k, v) -> v > 1)",
        "map(varchar, integer)",
        "{b=2}",
    ),
    (
        "transform_values(map(ARRAY['a'], ARRAY[1]), (k, v) -> v + 1)",
        "map(varchar, integer)",
        "{a=2}",
    ),
    ("split_to_map('a=1,b=2', ',', '=')", "map(varchar, varchar)", "{a=1, b=2}"),
    ("CAST(ROW(1, 'x') AS ROW(a integer, b varchar))", "row(a integer, b varchar)", "{a=1, b=x}"),
    ("CAST(ROW(1, 'x') AS ROW(a integer, b varchar)).b", "varchar", "x"),
    ("ROW(1, 2)", "row(field0 integer, field1 integer)", "{field0=1, field1=2}"),
    ("ARRAY[1.5e0, NULL]", "array(double)", "[1.5, null]"),
]

# Expression over ROWS, type, value.
AGGREGATES = [
    ("count(*)", "bigint", "3"),
    ("count(DISTINCT s)", "bigint", "2"),
    ("count(x)", "bigint", "2"),
    ("count_if(n > 1)", "bigint", "2"),
    ("sum(n)", "bigint", "6"),
    ("sum(n) / 4", "bigint", "1"),
    ("sum(x)", None, "4.0"),
    ("avg(n)", "double", "2.0"),
    ("min(s)", "varchar", "a"),
    ("max_by(s, n)", "varchar", "a"),
    ("min_by(s, n)", "varchar", "a"),
    ("approx_distinct(s)", "bigint", "2"),
    ("approx_percentile(n, 0.5)", "integer", "2"),
    ("arbitrary(1)", "integer", "1"),
    ("bool_and(n > 0)", "boolean", "true"),
    ("array_agg(n ORDER BY n DESC)", "array(integer)", "[3, 2, 1]"),
    ("array_agg(n ORDER BY n) FILTER (WHERE n > 1)", "array(integer)", "[2, 3]"),
    ("array_agg(x ORDER BY n)", "array(decimal(2, 1))", "[1.5, 2.5, null]"),
    ("map_agg(s, n) FILTER (WHERE n < 3)", "map(varchar, integer)", "{a=1, b=2}"),
    ("histogram(s)", "map(varchar, bigint)", "{a=2, b=1}"),
    ("stddev(n)", "double", "1.0"),
    ("var_pop(n)", "double", "0.6666666666666666"),
    ("corr(n, n)", "double", "1.0"),
    ("geometric_mean(n)", "double", "1.8171205928321397"),
    ("date_trunc('month', max(DATE '2020-01-05'))", "date", "2020-01-01"),
    ("max(DATE '2020-01-05') + INTERVAL '1' DAY", "date", "2020-01-06"),
]

WINDOWS = [
    ("row_number() OVER (ORDER BY n)", ["1", "2", "3"]),
    ("rank() OVER (ORDER BY s)", ["1", "3", "1"]),
    ("dense_rank() OVER (ORDER BY s)", ["1", "2", "1"]),
    ("lag(n) OVER (ORDER BY n)", [NULL, "1", "2"]),
    ("lead(n, 1, 0) OVER (ORDER BY n)", ["2", "3", "0"]),
    ("first_value(n) OVER (PARTITION BY s ORDER BY n)", ["1", "2", "1"]),
    ("sum(n) OVER (ORDER BY n ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)", ["1", "3", "5"]),
    (
        "last_value(x) IGNORE NULLS OVER (ORDER BY n ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)",
        ["1.5", "2.5", "2.5"],
    ),
    ("ntile(2) OVER (ORDER BY n)", ["1", "1", "2"]),
    ("count(*) FILTER (WHERE n > 1) OVER ()", ["2", "2", "2"]),
]


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    with opened(tmp_path_factory.mktemp("athena") / "duckdb", Meter()) as made:
        yield made


def answer(sql: str, engine: Engine) -> tuple[list[str], list[tuple[str | None, ...]]]:
    """Return types and rows of a SELECT without tables."""
    tree = parsed(sql)
    query = Translator(catalog=None, meter=engine.meter, database="d").query(tree)  # type: ignore[arg-type]  # no table is named
    with engine.failing(sql):
        outputs = engine.outputs(query.sql)
        texts = [f"{athena_text(each.value, each.type)} AS {each.value}" for each in outputs]
        batches = list(engine.stream(wrapped(query.sql, outputs, ", ".join(texts))))
    rows = [tuple(row.values()) for batch in batches for row in batch.to_pylist()]
    return [each.type.sql() for each in outputs], rows


def by_expression(rows):
    return [pytest.param(*row, id=row[0]) for row in rows]


@pytest.mark.parametrize(("expression", "kind", "expected"), by_expression(SCALARS))
def test_scalar(expression, kind, expected, engine):
    kinds, rows = answer(f"SELECT {expression}", engine)

    assert rows == [(expected,)]
    assert kind is None or kinds == [kind]


@pytest.mark.parametrize(("expression", "kind", "expected"), by_expression(AGGREGATES))
def test_aggregate(expression, kind, expected, engine):
    kinds, rows = answer(f"SELECT {expression} FROM {ROWS}", engine)

    assert rows == [(expected,)]
    assert kind is None or kinds == [kind]


@pytest.mark.parametrize(("expression", "expected"), by_expression(WINDOWS))
def test_window(expression, expected, engine):
    _, rows = answer(f"SELECT {expression} FROM {ROWS} ORDER BY n", engine)

    assert [value for (value,) in rows] == expected


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        (
            "SELECT * FROM (VALUES 1, 2) AS t(x) CROSS JOIN UNNEST(ARRAY['a', 'b']) AS u(y)",
            [("1", "a"), ("1", "b"), ("2", "a"), ("2", "b")],
        ),
        (
            "SELECT y, n FROM (VALUES 1) AS t(x) CROSS JOIN UNNEST(ARRAY['a', 'b']) WITH ORDINALITY AS u(y, n)",
            [("a", "1"), ("b", "2")],
        ),
        (
            "SELECT k, v FROM UNNEST(map(ARRAY['a', 'b'], ARRAY[1, 2])) AS u(k, v)",
            [("a", "1"), ("b", "2")],
        ),
        ("SELECT a, b FROM UNNEST(ARRAY[1, 2], ARRAY['x']) AS u(a, b)", [("1", "x"), ("2", NULL)]),
        (
            "WITH t AS (SELECT 1 AS x UNION ALL SELECT 2) SELECT a.x, b.x FROM t a JOIN t b ON a.x < b.x",
            [("1", "2")],
        ),
        (
            "SELECT grouping(s), count(*) FROM " + ROWS + " GROUP BY ROLLUP(s)",
            [("0", "2"), ("0", "1"), ("1", "3")],
        ),
        ("SELECT n FROM " + ROWS + " OFFSET 1 LIMIT 1", [("2",)]),
        ("VALUES (1, 'a'), (2, 'b')", [("1", "a"), ("2", "b")]),
        ("SELECT x FROM (VALUES 2, 1, NULL) AS t(x) ORDER BY x", [("1",), ("2",), (NULL,)]),
        ("SELECT x FROM (VALUES 2, 1, NULL) AS t(x) ORDER BY x DESC", [("2",), ("1",), (NULL,)]),
        ("SELECT 1 WHERE 'a' IN ('a', 'b') AND 2 BETWEEN 1 AND 3 AND EXISTS (SELECT 1)", [("1",)]),
        ("SELECT CASE WHEN 1 = 2 THEN 'a' ELSE 'b' END", [("b",)]),
    ],
)
def test_query(sql, expected, engine):
    _, rows = answer(sql, engine)

    assert (
        sorted(rows, key=str) == sorted(expected, key=str)
        if "ORDER BY" not in sql
        else rows == expected
    )


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("nope(1)", "FUNCTION_NOT_FOUND: line 1:8: Function 'nope' not registered"),
        (
            "read_text('/etc/passwd')",
            "FUNCTION_NOT_FOUND: line 1:8: Function 'read_text' not registered",
        ),
        ("soundex('a')", "NOT_SUPPORTED: the local plane has no function soundex"),
        (
            "lower('a', 'b')",
            "FUNCTION_NOT_FOUND: line 1:8: Unexpected parameters for function lower: 2 given, expected 1 to 1",
        ),
        ("1 / 0", "DIVISION_BY_ZERO: Division by zero"),
        ("1.5 / 0", "DIVISION_BY_ZERO: Division by zero"),
        ("CAST('x' AS integer)", "INVALID_CAST_ARGUMENT: Cannot cast 'x' to INTEGER"),
        (
            "date_trunc('eon', now())",
            "INVALID_FUNCTION_ARGUMENT: line 1:8: 'eon' is not a valid TIMESTAMP field",
        ),
        (
            "now() AT TIME ZONE 'Europe/Paris'",
            "NOT_SUPPORTED: the local plane has no time zone but UTC: AT TIME ZONE 'Europe/Paris'",
        ),
        (
            "nocolumn",
            "COLUMN_NOT_FOUND: line 1:8: Column 'nocolumn' cannot be resolved or requester is not authorized to access requested resources",
        ),
        (
            "date_parse('1', '%Q')",
            "NOT_SUPPORTED: the local plane has no %Q in a pattern of date_parse",
        ),
    ],
)
def test_refused(expression, message, engine):
    with pytest.raises(QueryError) as caught:
        answer(f"SELECT {expression}", engine)

    assert caught.value.message == message
