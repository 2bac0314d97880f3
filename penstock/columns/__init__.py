"""The columns of a plan, one module for each kind of feature.

A kind is registered here, once: what the scan collects for it, what is wrong with a column before
any row is read, how wide it will be, how it is fitted, and the class of the fitted column. All
else (fit, planning, plan.json, encoding, reports) works from this table.
"""

from __future__ import annotations

from collections.abc import Mapping

from penstock.columns import boolean, categorical, interaction, moments, numeric, text, vector
from penstock.columns.base import Block, ColumnKind, PlanColumn, Slot
from penstock.columns.boolean import BooleanColumn
from penstock.columns.categorical import CategoricalColumn
from penstock.columns.interaction import InteractionColumn
from penstock.columns.moments import DatetimeColumn
from penstock.columns.numeric import NumericColumn
from penstock.columns.text import TextColumn
from penstock.columns.vector import VectorColumn

__all__ = [
    "KINDS",
    "Block",
    "BooleanColumn",
    "CategoricalColumn",
    "ColumnKind",
    "DatetimeColumn",
    "InteractionColumn",
    "NumericColumn",
    "PlanColumn",
    "Slot",
    "TextColumn",
    "VectorColumn",
]

KINDS: Mapping[str, ColumnKind] = {
    kind.name: kind
    for kind in (
        numeric.KIND,
        categorical.KIND,
        text.KIND,
        boolean.KIND,
        moments.KIND,
        vector.KIND,
        interaction.KIND,
    )
}
