"""The numbers behind automatic features. All shares are of the rows of the train split."""

from __future__ import annotations

__all__ = [
    "CODE_DENSITY",
    "CODE_GAIN",
    "CODE_TIMES",
    "COPY_CORRELATION",
    "COUNTER_DENSITY",
    "FEW_MOST",
    "GAP",
    "HASH_BUCKETS",
    "IDENTIFIER_SHARE",
    "LEAST_ROWS",
    "MATERIAL_MISSING",
    "MOSTLY_MISSING",
    "NAMED_IDENTIFIER",
    "NAMED_IDENTIFIER_SHARE",
    "ONE_HOT_ALWAYS",
    "ONE_HOT_MOST",
    "ORDERED_BINS",
    "PROSE_WORDS",
    "ROWS_PER_VALUE",
    "SHAPED",
    "SKEW",
    "SURE_ROWS",
    "TAIL",
    "UNIQUE_SHARE",
    "YEAR_DAYS",
]

FEW_MOST = 4096
"""Values of a column up to which it may be encoded by the labels of each: target encoding."""
ONE_HOT_MOST = 128
"""Categories up to which each has an output of its own, if they have enough rows each."""
ONE_HOT_ALWAYS = 16
"""Categories up to which each has an output of its own, whatever rows they have."""
ROWS_PER_VALUE = 20
"""Rows that a category must have on average, to have an output of its own past ONE_HOT_ALWAYS."""
HASH_BUCKETS = 256
"""Outputs of a column of more names than can be told apart."""

LEAST_ROWS = 100
"""Rows below which no two cells being equal says little: only the name makes an identifier."""
IDENTIFIER_SHARE = 0.5
"""Texts are identifiers if more of them than this share are distinct, unless they are prose."""
UNIQUE_SHARE = 0.9
"""Whole numbers are a counter if this share is distinct, and they lie as close as COUNTER_DENSITY says."""
COUNTER_DENSITY = 0.3
"""Distinct values in the range from the least to the largest; of a counter, the train split's share."""
NAMED_IDENTIFIER = 1000
"""Values past which a column called ..._id or ..._key is an identifier."""
NAMED_IDENTIFIER_SHARE = 0.1
"""Or share of the cells that are distinct."""
SHAPED = 0.9
"""Share of texts that look like dates, numbers or hexadecimal codes, for the column to count as such."""
PROSE_WORDS = 4.0
"""Words that texts have on average, for the column to be free text."""

MATERIAL_MISSING = 0.01
"""Share of missing cells from which their absence gets an output of its own."""
MOSTLY_MISSING = 0.99
"""Share of missing cells from which the column is left out."""
GAP = 2.0
"""A number of nines means missing if it is so many ranges of the other values away from them."""

SURE_ROWS = 1000
"""Rows after which a column of 0 and 1 will hold nothing else."""
SKEW = 2.0
"""Skewness from which numbers, none of them negative, are put on a logarithmic scale if that halves it."""
TAIL = 10.0
"""Extremes so many times farther from the median than 98 % of the values range are clipped."""

CODE_DENSITY = 0.3
"""Whole numbers are codes only if they use this share of their range: 1 to 45, not 17 to 4,983."""
CODE_GAIN = 0.003
"""Codes explain so much more of the label's variance value by value than in order."""
CODE_TIMES = 1.5
"""And so many times as much."""
ORDERED_BINS = 32
"""Neighbours in order are put into so many bins, to see what their order explains."""

COPY_CORRELATION = 0.999999
"""Correlation from which one column of numbers is a copy of another, in other units."""
YEAR_DAYS = 300
"""Days that a column of times must span for the season to mean something."""
