"""What a classifier says of one file."""

from __future__ import annotations

from dataclasses import dataclass

from penstock.local.crawler.hive import Column

__all__ = ["Finding", "Kind"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """What files must share to be one table, besides similar columns.

    Attributes:
        classification: ``csv``, ``json``, ``parquet``, ..., or ``UNKNOWN``.
        compression: As ``Sample`` has it.
        parameters: Of the table, as the format asks for them: delimiter, header lines.
        serde: Name in ``tables.SERDES``.
        serde_parameters: Of the SerDe, but for those that follow from the columns.
    """

    classification: str
    compression: str = "none"
    parameters: tuple[tuple[str, str], ...] = ()
    serde: str = ""
    serde_parameters: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """What one file is.

    Attributes:
        kind: Its format.
        columns: Its schema.
        records: In the part that was read.
        record_bytes: Decompressed length of those records; the file's own for formats with a footer.
        whole: Whether that is all of the file.
        expansion: Decompressed bytes per byte of the file.
        notes: What a person should know of it.
    """

    kind: Kind
    columns: tuple[Column, ...]
    records: int = 0
    record_bytes: int = 0
    whole: bool = True
    expansion: float = 1.0
    notes: tuple[str, ...] = ()

    def estimated_records(self, size_bytes: int) -> int:
        """Return how many records a file of this size has; exact when all of it was read."""
        if self.whole or not self.record_bytes:
            return self.records
        return round(size_bytes * self.expansion * self.records / self.record_bytes)
