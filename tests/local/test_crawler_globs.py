"""Exclusion patterns: Java's globs, against a matcher that tries all ways."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from penstock.errors import InputError
from penstock.local.crawler.globs import excluder

CASES = [
    ("*.csv", "a.csv", True),
    ("*.csv", "x/a.csv", False),
    ("**.csv", "x/a.csv", True),
    ("**/a.csv", "a.csv", False),
    ("x/**", "x/y/z", True),
    ("x/*", "x/y/z", False),
    ("x", "x/y", False),
    ("*", ".hidden", True),
    ("?.csv", "a.csv", True),
    ("?", "/", False),
    ("*.{csv,gz}", "a.gz", True),
    ("{a,b*}/c", "bee/c", True),
    ("[a-c]1", "b1", True),
    ("[!a-c]1", "b1", False),
    ("[!a]", "/", False),
    ("[a-]", "-", True),
    ("[*?]", "*", True),
    ("[*?]", "x", False),
    ("\\*", "*", True),
    ("\\*", "x", False),
    ("a.b", "axb", False),
    ("month=0[12]/**", "month=02/flights.csv", True),
]


@pytest.mark.parametrize(("pattern", "path", "expected"), CASES)
def test_patterns(pattern: str, path: str, expected: bool) -> None:
    assert excluder([pattern])(path) is expected


def test_any_of_several_patterns_excludes() -> None:
    excluded = excluder(["*.tmp", "old/**"])

    assert [excluded(path) for path in ("a.tmp", "old/a", "a.csv")] == [True, True, False]


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("[abc", "it has a [ without its ], or nothing between them"),
        ("a[]", "it has a [ without its ], or nothing between them"),
        ("{a", "it has a { without its }"),
        ("{a{b}}", "it has braces inside braces, expected one level"),
        ("a\\", "it ends in a backslash, expected a character after it"),
        ("[z-a]", "its range z-a runs backwards"),
    ],
)
def test_what_is_no_pattern_is_refused(pattern: str, problem: str) -> None:
    with pytest.raises(InputError) as caught:
        excluder([pattern])

    assert str(caught.value) == f"exclusion {pattern!r}: {problem}\n  correct the pattern"


Token = tuple[str, str]
TOKENS = st.lists(
    st.one_of(
        st.tuples(st.just("text"), st.sampled_from(["a", "b", "/", ".", "="])),
        st.tuples(st.just("one"), st.just("")),
        st.tuples(st.just("some"), st.just("")),
        st.tuples(st.just("any"), st.just("")),
        st.tuples(st.just("set"), st.sampled_from(["ab", "a."])),
        st.tuples(st.just("not"), st.sampled_from(["ab", "a."])),
        st.tuples(st.just("either"), st.sampled_from(["a,b", "a/,bb"])),
    ),
    max_size=6,
)
PATHS = st.text(alphabet="ab/.=", max_size=7)


def written(tokens: list[Token]) -> str:
    forms = {"text": "{}", "one": "?", "some": "*", "any": "**", "set": "[{}]", "not": "[!{}]"}
    return "".join(
        "{" + given + "}" if kind == "either" else forms[kind].format(given)
        for kind, given in tokens
    )


def matches(tokens: list[Token], path: str) -> bool:
    """Try all ways in which the tokens may share the path out among themselves."""
    if not tokens:
        return not path
    (kind, given), rest = tokens[0], tokens[1:]
    if kind == "either":
        return any(path.startswith(e) and matches(rest, path[len(e) :]) for e in given.split(","))
    if kind in ("some", "any"):
        ends = [n for n in range(len(path) + 1) if kind == "any" or "/" not in path[:n]]
        return any(matches(rest, path[end:]) for end in ends)
    char = path[:1]
    fits = {
        "text": char == given,
        "one": char not in ("", "/"),
        "set": char != "" and char in given,
        "not": char not in ("", "/") and char not in given,
    }
    return fits[kind] and matches(rest, path[1:])


@given(TOKENS, PATHS)
def test_patterns_match_as_trying_all_ways_does(tokens: list[Token], path: str) -> None:
    stars = [kind in ("some", "any") for kind, _ in tokens]
    assume(not any(a and b for a, b in itertools.pairwise(stars)))  # * and * would read as **
    pattern = written(tokens)

    assert excluder([pattern])(path) == matches(tokens, path)
