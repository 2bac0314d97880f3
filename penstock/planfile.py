"""plan.json and what lies beside it: long lists go to Parquet, so that a person can read the rest.

    "categories": {"parquet": "plan-003-one_hot-categories.parquet", "rows": 91204}

A list of more than 4,096 items becomes a file with a row for each, its columns ``c0``, ``c1``...
The hash in plan.json covers the plan as a whole, wherever its parts lie.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from penstock.errors import InputError

__all__ = ["FILE", "LONGEST", "joined", "taken_apart"]

FILE = "plan.json"
LONGEST = 4096
PLAIN = (str, int, float)


def taken_apart(columns: Sequence[Mapping[str, Any]]) -> tuple[list[Any], dict[str, bytes]]:
    """Return the columns of a plan's body without their long lists; and those as files, by name."""
    files: dict[str, bytes] = {}
    kept = [_apart(column, f"plan-{at:03d}", files) for at, column in enumerate(columns)]
    return kept, files


def _apart(value: Any, path: str, files: dict[str, bytes]) -> Any:
    if isinstance(value, Mapping):
        return {key: _apart(item, f"{path}-{key}", files) for key, item in value.items()}
    if not isinstance(value, list):
        return value
    if len(value) > LONGEST and (content := _parquet(value)) is not None:
        files[f"{path}.parquet"] = content
        return {"parquet": f"{path}.parquet", "rows": len(value)}
    if value and isinstance(value[0], list | dict):
        return [_apart(item, f"{path}-{at}", files) for at, item in enumerate(value)]
    return value


def _parquet(items: list[Any]) -> bytes | None:
    """Return a list of scalars, or of lists of equal lengths, as Parquet; None if it is neither."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = items if isinstance(items[0], list) else [[item] for item in items]
    widths = {len(row) if isinstance(row, list) else 0 for row in rows}
    if len(widths) > 1 or widths == {0}:
        return None
    columns = list(zip(*rows, strict=True))
    kinds = [{type(cell) for cell in column} for column in columns]
    if not all(len(found) == 1 and found <= set(PLAIN) for found in kinds):
        return None
    table = pa.table({f"c{at}": pa.array(column) for at, column in enumerate(columns)})
    scalar = not isinstance(items[0], list)
    target = io.BytesIO()
    pq.write_table(table.replace_schema_metadata({"scalar": str(scalar)}), target)
    return target.getvalue()


def joined(value: Any, read: Callable[[str], bytes]) -> Any:
    """Return a column of plan.json with its long lists, which ``read`` gives the bytes of, by name.

    Raises:
        InputError: A file has another number of rows than plan.json says.
    """
    if isinstance(value, list):
        return [joined(item, read) for item in value] if value and _nested(value[0]) else value
    if not isinstance(value, dict):
        return value
    if set(value) != {"parquet", "rows"}:
        return {key: joined(item, read) for key, item in value.items()}
    found = _list(read(value["parquet"]))
    if len(found) != value["rows"]:
        raise InputError(
            f"plan: {value['parquet']!r} has {len(found):,} rows, expected {value['rows']:,}\n"
            "  it belongs to another plan; copy the whole folder, or fit again"
        )
    return found


def _nested(item: Any) -> bool:
    return isinstance(item, dict | list)


def _list(content: bytes) -> list[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(pa.BufferReader(content))
    columns = [column.to_pylist() for column in table.columns]
    if (table.schema.metadata or {}).get(b"scalar") == b"True":
        return list(columns[0])
    return [list(row) for row in zip(*columns, strict=True)]
