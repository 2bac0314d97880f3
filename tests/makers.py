"""Small lakes and specs that tests write for themselves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from penstock import specfile
from penstock.spec import Spec

ORDERS = [
    "id,day,customer,amount,paid",
    "1,2024-01-01,c1,10.5,true",
    "2,2024-01-01,c2,,false",
    "3,2024-01-02,c1,7,true",
    "4,2024-01-02,,8.25,false",
    "5,2024-01-03,c9,3,true",
    "6,2024-01-03,c2,12,false",
]
CUSTOMERS = [
    {"customer": "c1", "city": "Zürich", "zip": "08001"},
    {"customer": "c2", "city": "Bern", "zip": "03000"},
    {"customer": "c3", "city": "Genf"},
]


def write_lines(path: Path, lines: list[str], *, end: str = "\n") -> Path:
    """Write ``lines`` to ``path``, whose folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(line + end for line in lines).encode())
    return path


def write_json(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Write ``rows`` as JSON Lines."""
    return write_lines(path, [json.dumps(row, ensure_ascii=False) for row in rows])


def shop(root: Path, *, orders: list[str] | None = None, customers: Any = None) -> Path:
    """Write a lake of orders (CSV) and customers (JSON Lines) below ``root``/raw."""
    write_lines(root / "raw" / "orders" / "orders.csv", ORDERS if orders is None else orders)
    write_json(
        root / "raw" / "customers" / "c.jsonl", CUSTOMERS if customers is None else customers
    )
    return root


def shop_spec(**changes: Any) -> dict[str, Any]:
    """Return the plain data of a valid spec over :func:`shop`, with some top-level keys replaced."""
    body: dict[str, Any] = {
        "name": "shop",
        "task": "binary",
        "label": {"column": "paid"},
        "sources": {
            "orders": {"path": "raw/orders/", "format": "csv"},
            "customers": {"path": "raw/customers/", "format": "json"},
        },
        "merge": {
            "base": "orders",
            "key": ["id"],
            "joins": [{"source": "customers", "on": "customer"}],
        },
        "features": [
            {"kind": "numeric", "columns": ["amount"]},
            {"kind": "categorical", "columns": ["customers__city"]},
        ],
        "train": [
            {
                "algorithm": "linear-learner",
                "hyperparameters": {"predictor_type": "binary_classifier"},
            }
        ],
    }
    return body | changes


def spec_of(body: dict[str, Any]) -> Spec:
    """Validate plain data as a pipeline.yaml would be."""
    return specfile.parse(yaml.safe_dump(body, sort_keys=False, allow_unicode=True), path="p.yaml")
