"""Athena's functions in DuckDB's words: a table of what is right, and macros where the two differ.

A function that is not here is refused by name, so that none is run with another meaning.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["AGGREGATES", "MACROS", "SCALARS", "UNITS", "Aggregate", "Scalar"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Scalar:
    """A function of one row: how many arguments it takes, and a template of them.

    ``{0}`` is the first argument, ``{args}`` all, ``{rest}`` all but the first.
    """

    least: int
    most: int
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Aggregate:
    """A function of many rows: DuckDB's call, which takes DISTINCT, FILTER and OVER, and what is around it."""

    least: int
    most: int
    text: str
    around: str = "{}"


MANY = 200


def _scalars(table: str) -> dict[str, Scalar]:
    """Return the functions of lines like ``name 1-2 template``."""
    made = {}
    for line in table.strip().splitlines():
        names, counts, text = line.split(maxsplit=2)
        least, _, most = counts.partition("-")
        top = int(most or least) if most != "n" else MANY
        for name in names.split(","):
            made[name] = Scalar(least=int(least), most=top, text=text.replace("{name}", name))
    return made


# The same in both.
SCALARS: Mapping[str, Scalar] = _scalars("""
abs,sqrt,cbrt,exp,ln,log2,log10,sin,cos,tan,asin,acos,atan,sinh,cosh,tanh,degrees,radians 1 {name}({0})
ceil,ceiling,floor,sign 1 {name}({0})
atan2,power,pow,mod,log 2 {name}({args})
pi 0 pi()
e 0 exp(1e0)
infinity 0 CAST('Infinity' AS DOUBLE)
nan 0 CAST('NaN' AS DOUBLE)
is_nan 1 isnan({0})
is_finite 1 isfinite({0})
is_infinite 1 isinf({0})
round 1-2 round({args})
truncate 1 trunc({0})
rand,random 0 random()
uuid 0 CAST(uuid() AS VARCHAR)
bitwise_and 2 (CAST({0} AS BIGINT) & CAST({1} AS BIGINT))
bitwise_or 2 (CAST({0} AS BIGINT) | CAST({1} AS BIGINT))
bitwise_xor 2 xor(CAST({0} AS BIGINT), CAST({1} AS BIGINT))
bitwise_not 1 (~CAST({0} AS BIGINT))
lower,upper,length 1 {name}({0})
reverse 1 t_reverse({0})
ltrim,rtrim,trim 1 {name}({0}, ' ')
lpad,rpad 3 {name}({0}, CAST({1} AS INTEGER), {2})
replace 2 replace({0}, {1}, '')
replace 3 replace({args})
starts_with 2 starts_with({args})
chr 1 chr(CAST({0} AS INTEGER))
codepoint 1 ord({0})
strpos,position 2 strpos({args})
substr,substring 2 t_substr({args})
translate 3 translate({args})
levenshtein_distance 2 levenshtein({args})
hamming_distance 2 hamming({args})
split 2 string_split({args})
split_part 3 string_split({0}, {1})[{2}]
split_to_map 3 t_split_to_map({args})
concat_ws 2-n concat_ws({args})
to_utf8 1 encode({0})
from_utf8 1 decode({0})
to_hex 1 hex({0})
from_hex 1 unhex({0})
to_base64 1 to_base64({0})
from_base64 1 from_base64({0})
md5 1 unhex(md5({0}))
sha1 1 unhex(sha1({0}))
sha256 1 unhex(sha256({0}))
coalesce 1-n coalesce({args})
nullif 2 nullif({args})
if 2 CASE WHEN {0} THEN {1} END
try 1 TRY({0})
regexp_like 2 regexp_matches({args})
regexp_split 2 string_split_regex({args})
regexp_count 2 len(regexp_extract_all({args}))
url_encode 1 t_url_encode({0})
url_decode 1 t_url_decode({0})
url_extract_protocol 1 t_url({0}, 2)
url_extract_host 1 t_host(t_url({0}, 4))
url_extract_port 1 t_port(t_url({0}, 4))
url_extract_path 1 coalesce(t_url({0}, 5), CASE WHEN {0} IS NOT NULL THEN '' END)
url_extract_query 1 t_url({0}, 7)
url_extract_fragment 1 t_url({0}, 9)
url_extract_parameter 2 t_parameter(t_url({0}, 7), {1})
json_extract 2 t_json_extract({args})
json_extract_scalar 2 t_json_scalar({args})
json_parse 1 CAST({0} AS JSON)
json_format 1 CAST({0} AS VARCHAR)
json_array_length 1 json_array_length({0})
json_array_get 2 json_extract({0}, CAST({1} AS BIGINT))
now 0 now()
date 1 CAST({0} AS DATE)
year,quarter,month,week,hour,minute,second 1 date_part('{name}', {0})
week_of_year 1 date_part('week', {0})
day,day_of_month 1 date_part('day', {0})
millisecond 1 (date_part('millisecond', {0}) % 1000)
day_of_week,dow 1 date_part('isodow', {0})
day_of_year,doy 1 date_part('doy', {0})
year_of_week,yow 1 date_part('isoyear', {0})
last_day_of_month 1 last_day({0})
to_unixtime 1 CAST(epoch({0}) AS DOUBLE)
from_unixtime 1 to_timestamp({0})
from_iso8601_timestamp 1 t_from_iso({0})
from_iso8601_date 1 CAST({0} AS DATE)
to_iso8601 1 t_to_iso({0}, typeof({0}))
cardinality 1 cardinality({0})
element_at 2 {0}[{1}]
contains 2 list_contains({args})
array_join 2 array_to_string({args})
array_join 3 array_to_string(t_filled({0}, {2}), {1})
array_distinct 1 t_distinct({0})
array_sort 1 list_sort({0}, 'ASC', 'NULLS LAST')
array_max 1 t_extreme({0}, list_max({0}))
array_min 1 t_extreme({0}, list_min({0}))
array_position 2 coalesce(list_position({args}), 0)
array_remove 2 t_remove({args})
array_union 2 t_distinct(list_concat({args}))
array_intersect 2 t_distinct(t_common({args}))
array_except 2 t_distinct(t_except({args}))
arrays_overlap 2 list_has_any({args})
slice 3 t_slice({args})
sequence 2 t_sequence({args})
sequence 3 generate_series({args})
repeat 2 t_repeat({args})
flatten 1 flatten({0})
map 0 MAP {{}}
map 2 map({args})
map_keys,map_values,map_entries,map_from_entries 1 {name}({0})
map_concat 2-n map_concat({args})
row 1-n row({args})
""") | {
    "substr": Scalar(least=2, most=3, text="t_substr({args})"),
    "substring": Scalar(least=2, most=3, text="t_substr({args})"),
    "replace": Scalar(least=2, most=3, text="t_replace({args})"),
    "array_join": Scalar(least=2, most=3, text="t_join({args})"),
    "sequence": Scalar(least=2, most=3, text="t_sequence({args})"),
    "regexp_extract": Scalar(least=2, most=3, text="t_extract({args})"),
    "regexp_extract_all": Scalar(least=2, most=3, text="t_extract_all({args})"),
    "if": Scalar(least=2, most=3, text="t_if({args})"),
    "map": Scalar(least=0, most=2, text="t_map({args})"),
}


def _aggregates(table: str) -> dict[str, Aggregate]:
    made = {}
    for line in table.strip().splitlines():
        left, _, around = line.partition(" => ")
        names, counts, text = left.split(maxsplit=2)
        least, _, most = counts.partition("-")
        for name in names.split(","):
            made[name] = Aggregate(
                least=int(least),
                most=int(most or least),
                text=text.replace("{name}", name),
                around=around or "{}",
            )
    return made


AGGREGATES: Mapping[str, Aggregate] = _aggregates("""
count 0-1 count({args})
sum,bool_and,bool_or,corr,covar_pop,covar_samp 1-2 {name}({args})
avg 1 avg({0})
stddev,stddev_pop,stddev_samp,variance,var_pop,var_samp 1 {name}({0})
regr_slope,regr_intercept 2 {name}({args})
min,max 1-2 {name}({args})
every 1 bool_and({0})
count_if 1 count_if({0})
array_agg 1 list({0})
arbitrary,any_value 1 any_value({0})
approx_distinct 1 approx_count_distinct({0})
approx_percentile 2 approx_quantile({args})
max_by 2 arg_max_null({args})
min_by 2 arg_min_null({args})
geometric_mean 1 geomean({0})
bitwise_and_agg 1 bit_and({0})
bitwise_or_agg 1 bit_or({0})
histogram 1 histogram({0})
map_agg 2 list(struct_pack(k := {0}, v := {1})) => t_map_agg({})
multimap_agg 2 list(struct_pack(k := {0}, v := {1})) => t_multimap_agg({})
row_number,rank,dense_rank,percent_rank,cume_dist 0 {name}()
ntile 1 ntile({0})
lag,lead 1-3 {name}({args})
first_value,last_value 1 {name}({0})
nth_value 2 nth_value({args})
grouping 1-20 grouping({args})
""")

UNITS: Mapping[str, str] = {
    "millisecond": "to_milliseconds",
    "second": "to_seconds",
    "minute": "to_minutes",
    "hour": "to_hours",
    "day": "to_days",
    "week": "to_weeks",
    "month": "to_months",
    "quarter": "to_quarters",
    "year": "to_years",
}

_INTS = "('TINYINT', 'SMALLINT', 'INTEGER', 'BIGINT', 'HUGEINT')"
# Scheme, authority, path, query and fragment of a URI are groups 2, 4, 5, 7 and 9 (RFC 3986, B).
_URI = r"^(([^:/?#]+):)?(//([^/?#]*))?([^?#]*)(\?([^#]*))?(#(.*))?"

# Made in every query's own database. Types follow from the arguments (cast_to_type), since overloads
# of macros do not see the type of an aggregate.
MACROS: tuple[str, ...] = (
    # Texts as Athena writes values.
    "t_moment(s) AS CASE WHEN position('.' IN s) = 0 THEN s || '.000'"
    " ELSE rpad(s, CAST(position('.' IN s) + 3 AS INTEGER), '0') END",
    "t_mantissa(m, d, e) AS m || d[1] || '.' ||"
    " coalesce(nullif(rtrim(substr(d, 2), '0'), ''), '0') || 'E' || e",
    # A mantissa like 123.45 or 0.00012, and an exponent.
    """t_scientific(m, s, e) AS t_mantissa(m, ltrim(replace(s, '.', ''), '0'),
        e + CASE WHEN NOT starts_with(s, '0.') THEN length(split_part(s, '.', 1)) - 1
            ELSE -(length(split_part(s, '.', 2)) - length(ltrim(split_part(s, '.', 2), '0')) + 1) END)""",
    """t_java(s) AS CASE
        WHEN s = 'nan' THEN 'NaN' WHEN s = 'inf' THEN 'Infinity' WHEN s = '-inf' THEN '-Infinity'
        WHEN coalesce(abs(TRY_CAST(s AS DOUBLE)), 0) = 0
            OR (abs(TRY_CAST(s AS DOUBLE)) >= 1e-3 AND abs(TRY_CAST(s AS DOUBLE)) < 1e7) THEN s
        ELSE t_scientific(CASE WHEN s[1] = '-' THEN '-' ELSE '' END,
            split_part(ltrim(s, '-'), 'e', 1),
            coalesce(TRY_CAST(split_part(s, 'e', 2) AS INTEGER), 0)) END""",
    """t_text(x) AS CASE typeof(x) WHEN 'DOUBLE' THEN t_java(CAST(x AS VARCHAR))
        WHEN 'FLOAT' THEN t_java(CAST(x AS VARCHAR))
        WHEN 'TIMESTAMP' THEN t_moment(CAST(x AS VARCHAR))
        WHEN 'TIMESTAMP WITH TIME ZONE' THEN t_moment(replace(CAST(x AS VARCHAR), '+00', '')) || ' UTC'
        WHEN 'TIME' THEN t_moment(CAST(x AS VARCHAR))
        ELSE CAST(x AS VARCHAR) END""",
    f"""t_div(a, b) AS CASE WHEN typeof(a + b) IN {_INTS} THEN cast_to_type(a // b, a + b)
        WHEN starts_with(typeof(a + b), 'DECIMAL') AND CAST(b AS DOUBLE) = 0
            THEN cast_to_type(CAST(1 AS BIGINT) // CAST(b AS BIGINT), a + b)
        ELSE cast_to_type(a / b, a + b) END""",
    "t_substr(s, i) AS CASE WHEN i = 0 OR i < -length(s) THEN '' ELSE substr(s, i) END,"
    " (s, i, n) AS CASE WHEN i = 0 OR i < -length(s) OR n <= 0 THEN '' ELSE substr(s, i, n) END",
    "t_replace(s, a) AS replace(s, a, ''), (s, a, b) AS replace(s, a, b)",
    "t_if(c, a) AS CASE WHEN c THEN a END, (c, a, b) AS CASE WHEN c THEN a ELSE b END",
    "t_map() AS MAP {}, (k, v) AS map(k, v)",
    "t_reverse(s) AS CASE WHEN typeof(s) LIKE '%[]' THEN"
    " error('NOT_SUPPORTED: the local plane has reverse of strings only') ELSE reverse(s) END",
    "t_split_to_map(s, a, b) AS map_from_entries(list_transform(string_split(s, a),"
    " lambda x: struct_pack(k := split_part(x, b, 1), v := split_part(x, b, 2))))",
    "t_extract(s, p) AS CASE WHEN regexp_matches(s, p) THEN regexp_extract(s, p) END,"
    " (s, p, g) AS CASE WHEN regexp_matches(s, p) THEN regexp_extract(s, p, g) END",
    "t_extract_all(s, p) AS regexp_extract_all(s, p), (s, p, g) AS regexp_extract_all(s, p, g)",
    "t_url_encode(s) AS replace(replace(replace(url_encode(s), '%20', '+'), '%2A', '*'), '~', '%7E')",
    "t_url_decode(s) AS url_decode(replace(s, '+', ' '))",
    f"t_url(s, g) AS nullif(regexp_extract(s, '{_URI}', g), '')",
    "t_host(a) AS nullif(regexp_extract(a, '^([^@]*@)?([^:]*)', 2), '')",
    "t_port(a) AS TRY_CAST(regexp_extract(a, ':([0-9]+)$', 1) AS BIGINT)",
    "t_parameter(q, n) AS t_url_decode(list_transform(list_filter(string_split(q, '&'),"
    " lambda x: string_split(x, '=')[1] = n), lambda x: substr(x, length(n) + 2))[1])",
    "t_json_extract(j, p) AS CASE WHEN json_valid(CAST(j AS VARCHAR)) THEN"
    " json_extract(CAST(j AS JSON), p) END",
    "t_json_scalar(j, p) AS CASE WHEN json_valid(CAST(j AS VARCHAR))"
    " AND json_type(CAST(j AS JSON), p) NOT IN ('OBJECT', 'ARRAY', 'NULL')"
    " THEN json_extract_string(CAST(j AS JSON), p) END",
    "t_from_iso(s) AS CASE WHEN regexp_matches(s, '([Zz]|[+-][0-9]{2}:?[0-9]{2})$')"
    " THEN CAST(s AS TIMESTAMPTZ) ELSE CAST(CAST(s AS TIMESTAMP) AS TIMESTAMPTZ) END",
    "t_to_iso(x, k) AS CASE k WHEN 'DATE' THEN CAST(x AS VARCHAR)"
    " WHEN 'TIMESTAMP' THEN replace(t_moment(CAST(x AS VARCHAR)), ' ', 'T')"
    " ELSE replace(t_moment(replace(CAST(x AS VARCHAR), '+00', '')), ' ', 'T') || 'Z' END",
    "t_join(a, d) AS array_to_string(a, d), (a, d, n) AS array_to_string("
    "list_transform(a, lambda x: coalesce(CAST(x AS VARCHAR), n)), d)",
    "t_distinct(a) AS list_filter(a, lambda x, i: coalesce(list_position(a, x), i) = i)",
    "t_extreme(a, v) AS CASE WHEN len(list_filter(a, lambda x: x IS NULL)) = 0 THEN v END",
    "t_remove(a, e) AS list_filter(a, lambda x: x <> e OR x IS NULL)",
    "t_common(a, b) AS list_filter(a, lambda x: list_contains(b, x))",
    "t_except(a, b) AS list_filter(a, lambda x: NOT list_contains(b, x))",
    "t_slice(a, i, n) AS CASE WHEN i > 0 THEN a[i : i + n - 1]"
    " ELSE a[len(a) + i + 1 : len(a) + i + n] END",
    "t_sequence(a, b) AS list_transform(generate_series(a, b, CASE WHEN b < a THEN -1 ELSE 1 END),"
    " lambda x: cast_to_type(x, a)), (a, b, s) AS list_transform(generate_series(a, b, s),"
    " lambda x: cast_to_type(x, a))",
    "t_repeat(x, n) AS list_transform(range(CAST(n AS BIGINT)), lambda i: x)",
    "t_map_agg(l) AS map_from_entries(list_filter(l, lambda x, i: list_position("
    "list_transform(l, lambda y: y.k), x.k) = i))",
    "t_multimap_agg(l) AS map_from_entries(list_transform(list_distinct(list_transform(l,"
    " lambda x: x.k)), lambda k: struct_pack(k := k, v := list_transform(list_filter(l,"
    " lambda x: x.k = k), lambda x: x.v))))",
    "t_bytes(x) AS rtrim(regexp_replace(lower(hex(x)), '(..)', '\\1 ', 'g'))",
    "t_interval(x) AS CASE WHEN epoch(x) < 0 THEN '-' ELSE '' END"
    " || CAST(abs(epoch(x)) // 86400 AS BIGINT) || ' '"
    " || strftime(make_timestamp(CAST((abs(epoch(x)) % 86400) * 1000000 AS BIGINT)), '%H:%M:%S.%g')",
    # A sign that no number has makes the cast around fail; error() could not stand inside TRY.
    "t_whole(x) AS CASE WHEN x IS NULL OR regexp_full_match(x, '[+-]?[0-9]+') THEN x ELSE '!' || x END",
)
