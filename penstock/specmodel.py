"""What the models of pipeline.yaml have in common."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

__all__ = ["Column", "Model", "Presence"]

Column = Annotated[str, StringConstraints(min_length=1)]


class Model(BaseModel):
    """Frozen, and strict about its keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)


class Presence(Model):
    """How many cells of a column may be missing."""

    max_missing_share: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="A column with a larger share of missing cells in the train split is in excess.",
    )
    on_excess: Literal["drop", "refuse"] = Field(
        default="refuse",
        description="Past max_missing_share: leave the column out of the plan, or fail the fit.",
    )

    @property
    def reads(self) -> tuple[str, ...]:
        """Columns that a feature of this rule reads besides its own."""
        return ()
