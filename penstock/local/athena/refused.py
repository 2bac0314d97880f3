"""Functions that Athena has and the local plane refuses, with the reason where it is not plain."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["REFUSED"]

_PLAIN = """
at_timezone with_timezone timezone_hour timezone_minute current_timezone human_readable_seconds
parse_duration parse_presto_data_size checksum numeric_histogram qdigest_agg tdigest_agg approx_set
merge empty_approx_set approx_most_frequent map_union reduce_agg set_agg set_union skewness kurtosis
entropy regr_count regr_r2 regr_avgx regr_avgy regr_sxx regr_syy regr_sxy
array_sort_desc combinations ngrams shuffle trim_array zip multimap_from_entries map_zip_with
soundex normalize word_stem luhn_check split_to_multimap json_object json_array json_query json_value
json_exists json_size json_array_contains is_json_scalar to_base from_base width_bucket cosine_similarity
beta_cdf inverse_beta_cdf normal_cdf inverse_normal_cdf wilson_interval_lower wilson_interval_upper
t_pdf t_cdf bit_count bitwise_left_shift bitwise_right_shift bitwise_right_shift_arithmetic
crc32 xxhash64 murmur3 sha512 spooky_hash_v2_32 spooky_hash_v2_64 hmac_md5 hmac_sha1 hmac_sha256
hmac_sha512 to_base32 from_base32 to_base64url from_base64url to_big_endian_32 to_big_endian_64
from_big_endian_32 from_big_endian_64 to_ieee754_32 to_ieee754_64 from_ieee754_32 from_ieee754_64
from_iso8601_timestamp_nanos from_unixtime_nanos to_milliseconds to_geometry st_point st_distance
st_contains st_intersects st_geometryfromtext bing_tile bing_tile_at great_circle_distance
typeof format format_number version current_user listagg parse_data_size
"""
REFUSED: Mapping[str, str] = dict.fromkeys(_PLAIN.split(), "")
