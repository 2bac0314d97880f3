"""The columns of a plan, one module for each kind of feature.

A kind is registered here, once: what the scan collects for it, what is wrong with a column before
any row is read, how wide it will be, how it is fitted, and the class of the fitted column. All
else (fit, planning, plan.json, encoding, reports) works from this table.
"""

from __future__ import annotations

from collections.abc import Mapping

from penstock.columns import categorical, numeric, text
from penstock.columns.base import Block, ColumnKind, PlanColumn, Slot
from penstock.columns.categorical import CategoricalColumn
from penstock.columns.numeric import NumericColumn
from penstock.columns.text import TextColumn

__all__ = [
    "KINDS",
    "Block",
    "CategoricalColumn",
    "ColumnKind",
    "NumericColumn",
    "PlanColumn",
    "Slot",
    "TextColumn",
]

KINDS: Mapping[str, ColumnKind] = {
    kind.name: kind for kind in (numeric.KIND, categorical.KIND, text.KIND)
}
