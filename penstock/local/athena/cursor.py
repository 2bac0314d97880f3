"""Words of a statement, taken one by one: for the statements that are Athena's own, and its DDL."""

from __future__ import annotations

from typing import Any, ClassVar

from sqlglot.dialects.hive import Hive
from sqlglot.dialects.trino import Trino
from sqlglot.errors import TokenError
from sqlglot.tokenizer_core import Token, TokenType

from penstock.local.athena.errors import QueryError
from penstock.local.athena.query import mismatched

__all__ = ["Cursor"]


class _Hive(Hive):
    """Hive's words; those that sqlglot keeps as one piece, like SHOW, are words too."""

    class Tokenizer(Hive.Tokenizer):
        """Knows no commands."""

        COMMANDS: ClassVar[set[TokenType]] = set()


class _Trino(Trino):
    """Trino's words, likewise."""

    class Tokenizer(Trino.Tokenizer):
        """Knows no commands."""

        COMMANDS: ClassVar[set[TokenType]] = set()


class Cursor:
    """Tokens of SQL and a place among them."""

    def __init__(self, sql: str, *, hive: bool) -> None:
        """Cut SQL into words; ``hive``: names in backticks, strings in either quotes.

        Raises:
            QueryError: A string or comment does not end.
        """
        self.sql, self.at = sql, 0
        try:
            tokens = (_Hive if hive else _Trino)().tokenize(sql)
        except TokenError as error:
            raise QueryError(f"SYNTAX_ERROR: {error}", kind=1006) from None
        while tokens and tokens[-1].token_type == TokenType.SEMICOLON:
            tokens.pop()
        self.tokens: list[Token] = [part for token in tokens for part in _words(token)]

    @property
    def ended(self) -> bool:
        """Whether no word is left."""
        return self.at >= len(self.tokens)

    def peek(self, ahead: int = 0) -> str:
        """Return a coming word in capitals; empty at the end, and for strings and quoted names."""
        if self.at + ahead >= len(self.tokens):
            return ""
        token = self.tokens[self.at + ahead]
        quoted = token.token_type in (TokenType.STRING, TokenType.IDENTIFIER)
        return "" if quoted else token.text.upper()

    def wrong(self, expected: str = "") -> QueryError:
        """Return the error about the word that comes."""
        hint = f" expecting {expected}" if expected else ""
        if self.ended:
            last = self.tokens[-1] if self.tokens else None
            line, column = (last.line, last.col + 1) if last else (1, 1)
            return QueryError(f"line {line}:{column}: mismatched input '<EOF>'{hint}", kind=1006)
        token = self.tokens[self.at]
        error = mismatched(token.line, max(1, token.col - len(token.text) + 1), token.text)
        return QueryError(error.message + hint, kind=1006)

    def take(self, *words: str) -> bool:
        """Take these words when all of them come; return whether they did."""
        if [self.peek(ahead) for ahead in range(len(words))] != list(words):
            return False
        self.at += len(words)
        return True

    def expect(self, *words: str) -> None:
        """Take these words.

        Raises:
            QueryError: Others come.
        """
        for word in words:
            if not self.take(word):
                raise self.wrong(f"'{word}'")

    def end(self) -> None:
        """Expect the end.

        Raises:
            QueryError: A word comes.
        """
        if not self.ended:
            raise self.wrong("<EOF>")

    def name(self) -> str:
        """Take a name, in lower case.

        Raises:
            QueryError: None comes.
        """
        if self.ended or self.tokens[self.at].token_type == TokenType.STRING:
            raise self.wrong("a name")
        text = self.tokens[self.at].text
        quoted = self.tokens[self.at].token_type == TokenType.IDENTIFIER
        if not quoted and not text.replace("_", "a").replace("$", "a").isalnum():
            raise self.wrong("a name")
        self.at += 1
        return text.lower()

    def table(self, database: str) -> tuple[str, str]:
        """Take ``table``, ``database.table`` or ``catalog.database.table``; return the last two."""
        names = [self.name()]
        while self.take("."):
            names.append(self.name())
        if len(names) == 3 and names[0] not in ("awsdatacatalog", "hive"):
            raise QueryError(f"CATALOG_NOT_FOUND: Catalog '{names[0]}' not found", kind=1006)
        if len(names) == 1 and not database:
            raise QueryError(
                "MISSING_SCHEMA_NAME: line 1:1: Schema must be specified when session schema is "
                "not set",
                kind=1006,
            )
        return (names[-2] if len(names) > 1 else database.lower()), names[-1]

    def string(self) -> str:
        """Take a string.

        Raises:
            QueryError: None comes.
        """
        if self.ended or self.tokens[self.at].token_type not in (
            TokenType.STRING,
            TokenType.IDENTIFIER,
        ):
            raise self.wrong("a string")
        self.at += 1
        return self.tokens[self.at - 1].text

    def value(self) -> Any:
        """Take a string, a number, a word like TRUE, or ``ARRAY['a', 'b']`` as a list."""
        if self.take("ARRAY"):
            self.expect("[")
            found: list[Any] = []
            while not self.take("]"):
                found.append(self.value())
                self.take(",")
            return found
        if self.ended:
            raise self.wrong("a value")
        self.at += 1
        return self.tokens[self.at - 1].text

    def properties(self) -> dict[str, Any]:
        """Take ``(a = 'x', b = ARRAY['y'])``; names in lower case when they are no strings.

        Raises:
            QueryError: It is not so.
        """
        made: dict[str, Any] = {}
        self.expect("(")
        while not self.take(")"):
            text = self.tokens[self.at].text if not self.ended else ""
            self.at += 1
            while self.take("."):
                text += "." + self.name()
            self.expect("=")
            made[text] = self.value()
            if not self.take(",") and self.peek() != ")":
                raise self.wrong("','")
        return made

    def skip_parens(self) -> tuple[int, int]:
        """Take what stands in parentheses; return the characters at which it begins and ends."""
        self.expect("(")
        first, deep = self.at, 1
        while deep:
            if self.ended:
                raise self.wrong("')'")
            deep += {"(": 1, ")": -1}.get(self.peek(), 0)
            self.at += 1
        return self.tokens[first - 1].end + 1, self.tokens[self.at - 1].start

    def rest(self) -> str:
        """Take the rest; the words before are spaces in it, so that places stay true."""
        if self.ended:
            raise self.wrong("a query")
        start, end = self.tokens[self.at].start, self.tokens[-1].end + 1
        self.at = len(self.tokens)
        return self.between(start, end)

    def between(self, start: int, end: int) -> str:
        """Return the SQL between two characters, with spaces before it."""
        head = "".join(each if each == "\n" else " " for each in self.sql[:start])
        return head + self.sql[start:end]


def _words(token: Token) -> list[Token]:
    """Return the words of a token: sqlglot makes one of ``PARTITIONED BY``."""
    words = token.text.split()
    if len(words) < 2 or token.token_type in (TokenType.STRING, TokenType.IDENTIFIER):
        return [token]
    made, start = [], token.start
    first = token.col - len(token.text)
    for word in words:
        at = start - token.start
        made.append(
            Token(
                TokenType.VAR,
                word,
                line=token.line,
                col=first + at + len(word),
                start=start,
                end=start + len(word) - 1,
            )
        )
        start += len(word) + 1
    return made
