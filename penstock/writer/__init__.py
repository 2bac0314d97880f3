"""Rows that need no plan -> a RecordIO dataset, on Spark, with no jar.

    write_parquet(session, source_uri, target_uri, label="y")     tasks read Parquet themselves
    write_dataframe(frame, target_uri, label="y")                 any DataFrame, over mapInArrow

Both hand Arrow batches to one function, which assembles the columns to a matrix (``assemble``),
encodes it (``recordio``) and writes a shard (``dataset``). Prefer ``write_parquet`` for rows that
stand in Parquet: they never pass through the JVM.
"""

from penstock.writer.frames import write_dataframe
from penstock.writer.parquet import write_parquet

__all__ = ["write_dataframe", "write_parquet"]
