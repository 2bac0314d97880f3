"""Custom classifiers of Glue: CSV and JSON are real, Grok and XML are refused.

moto has none, so they live here, by region, for the life of the plane.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from penstock.errors import InputError
from penstock.local.crawler.classify import CustomClassifier
from penstock.local.crawler.csvformat import CsvRules
from penstock.local.crawler.jsonformat import JsonPath
from penstock.local.crawlerspec import refused
from penstock.local.site import Handler
from penstock.local.wire import AwsError, Call

__all__ = ["Classifiers"]

MEMBERS = ("CsvClassifier", "JsonClassifier", "GrokClassifier", "XMLClassifier")
DATATYPES: Mapping[str, str] = {
    "BINARY": "binary",
    "BOOLEAN": "boolean",
    "DATE": "date",
    "DECIMAL": "decimal(38,18)",
    "DOUBLE": "double",
    "FLOAT": "float",
    "INT": "int",
    "LONG": "bigint",
    "SHORT": "smallint",
    "STRING": "string",
    "TIMESTAMP": "timestamp",
}


class Classifiers:
    """The record of all custom classifiers."""

    def __init__(self) -> None:
        """Make one without any."""
        self._lock = threading.Lock()
        self._made: dict[tuple[str, str], tuple[str, dict[str, Any]]] = {}

    def operations(self) -> Mapping[str, Handler]:
        """Return the operations that this one answers."""
        return {
            "CreateClassifier": self._create,
            "GetClassifier": self._get,
            "GetClassifiers": self._list,
            "UpdateClassifier": self._update,
            "DeleteClassifier": self._delete,
        }

    def named(self, names: Sequence[str], region: str) -> tuple[CustomClassifier, ...]:
        """Return the classifiers of a crawler, in its order.

        Raises:
            AwsError: There is none of a name.
        """
        with self._lock:
            found = [self._found(name, region) for name in names]
        return tuple(_rules(kind, given) for kind, given in found)

    def _found(self, name: str, region: str) -> tuple[str, dict[str, Any]]:
        if (region, name) not in self._made:
            raise AwsError("EntityNotFoundException", f"Classifier {name} not found.")
        return self._made[region, name]

    def _create(self, call: Call) -> Mapping[str, Any]:
        kind, given = _given(call)
        _rules(kind, given)
        now = time.time()
        with self._lock:
            if (call.region, given["Name"]) in self._made:
                raise AwsError(
                    "AlreadyExistsException", f"Classifier {given['Name']} already exists."
                )
            made = {**given, "CreationTime": now, "LastUpdated": now, "Version": 1}
            self._made[call.region, given["Name"]] = (kind, made)
        return {}

    def _update(self, call: Call) -> Mapping[str, Any]:
        kind, given = _given(call)
        with self._lock:
            had, old = self._found(given["Name"], call.region)
            if had != kind:
                message = f"Classifier {given['Name']} is a {had}, and cannot become a {kind}"
                raise AwsError("InvalidInputException", message)
            new = {**old, **given, "LastUpdated": time.time(), "Version": old["Version"] + 1}
            _rules(kind, new)
            self._made[call.region, given["Name"]] = (kind, new)
        return {}

    def _get(self, call: Call) -> Mapping[str, Any]:
        with self._lock:
            kind, found = self._found(call.body["Name"], call.region)
            return {"Classifier": {kind: dict(found)}}

    def _list(self, call: Call) -> Mapping[str, Any]:
        with self._lock:
            found = [
                {kind: dict(each)}
                for (region, _), (kind, each) in self._made.items()
                if region == call.region
            ]
        return {"Classifiers": found}

    def _delete(self, call: Call) -> Mapping[str, Any]:
        with self._lock:
            self._found(call.body["Name"], call.region)
            del self._made[call.region, call.body["Name"]]
        return {}


def _given(call: Call) -> tuple[str, dict[str, Any]]:
    named = {"XmlClassifier": "XMLClassifier"}
    given = {named.get(key, key): value for key, value in call.body.items()}
    kinds = [kind for kind in MEMBERS if given.get(kind)]
    if len(kinds) != 1:
        raise AwsError(
            "InvalidInputException", f"{call.operation} has {len(kinds)} classifiers, expected one"
        )
    if kinds[0] in ("GrokClassifier", "XMLClassifier"):
        raise refused(call.operation, f"a {kinds[0]}")
    return kinds[0], dict(given[kinds[0]])


def _rules(kind: str, given: Mapping[str, Any]) -> CustomClassifier:
    """Return a classifier as crawls use it.

    Raises:
        AwsError: It is invalid.
    """
    try:
        rules = JsonPath.parse(given["JsonPath"]) if kind == "JsonClassifier" else _csv(given)
    except InputError as error:
        raise AwsError("InvalidInputException", str(error)) from error
    return CustomClassifier(name=given["Name"], rules=rules)


def _csv(given: Mapping[str, Any]) -> CsvRules:
    names = tuple(given.get("Header") or ())
    types = (
        tuple(given.get("CustomDatatypes") or ()) if given.get("CustomDatatypeConfigured") else ()
    )
    unknown = [each for each in types if each.upper() not in DATATYPES]
    if unknown:
        raise InputError(
            f"CustomDatatypes has {unknown[0]!r}, expected one of {', '.join(DATATYPES)}"
        )
    if types and names and len(types) != len(names):
        raise InputError(f"CustomDatatypes has {len(types)} types, Header has {len(names)} names")
    delimiter, quote = given.get("Delimiter"), given.get("QuoteSymbol")
    if quote and delimiter == quote:
        raise InputError(f"Delimiter and QuoteSymbol are both {quote!r}, expected two characters")
    serde = given.get("Serde")
    by_quote = serde in (None, "None") and bool(quote)
    return CsvRules(
        delimiter=delimiter,
        quote=quote or '"',
        header=given.get("ContainsHeader") or "UNKNOWN",
        names=names,
        types=tuple(DATATYPES[each.upper()] for each in types),
        trim=not given.get("DisableValueTrimming", False),
        single_column=bool(given.get("AllowSingleColumn", False)),
        serde="open" if serde == "OpenCSVSerDe" or by_quote else "lazy",
        custom=True,
    )
