"""Found tables against the catalog: which calls make the one the other, by the crawler's policies.

    new table, new partition     created, whatever the policy
    changed table                UPDATE_IN_DATABASE: takes what was found; LOG: stays, and a line says so
      MergeNewColumns            keeps its columns and gets the new ones, with either policy
    changed partition            UPDATE_IN_DATABASE: takes what was found; LOG: stays
      InheritFromTable           has columns, SerDe and format of the table, with either policy
    gone table or partition      DEPRECATE_IN_DATABASE: gets DEPRECATED_BY_CRAWLER; DELETE_FROM_DATABASE:
                                 deleted; LOG: stays

A table is known again by its location. When another location has its name, it gets one with a hash. Only
tables that this crawler wrote, below one of its include paths, can be gone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from penstock.local.crawler.tables import Found, distinct_name

__all__ = ["Change", "Policy", "plan_changes"]

BY, RUN, DEPRECATED = "UPDATED_BY_CRAWLER", "CRAWL_RUN_ID", "DEPRECATED_BY_CRAWLER"
PARTITIONS_A_CALL = 100
TABLE_INPUT = (
    "Name",
    "Description",
    "Owner",
    "Retention",
    "StorageDescriptor",
    "PartitionKeys",
    "TableType",
    "Parameters",
)

Dict = dict[str, Any]
Partitions = Callable[[str], Sequence[Mapping[str, Any]]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """What a crawler may change.

    Attributes:
        crawler: Its name.
        run_id: Of the crawl.
        now_ms: Time of the crawl, milliseconds since 1970.
        roots: Its include paths.
        update: Of changed tables and partitions.
        delete: Of those that are gone.
        merge_new: MergeNewColumns.
        inherit: InheritFromTable.
        only_new: Nothing that is known was looked at, so nothing of it changes.
        exclusions: Of the crawler, as the table keeps them.
    """

    crawler: str
    run_id: str
    now_ms: int
    roots: tuple[str, ...]
    update: Literal["UPDATE_IN_DATABASE", "LOG"] = "UPDATE_IN_DATABASE"
    delete: Literal["DEPRECATE_IN_DATABASE", "DELETE_FROM_DATABASE", "LOG"] = (
        "DEPRECATE_IN_DATABASE"
    )
    merge_new: bool = False
    inherit: bool = False
    only_new: bool = False
    exclusions: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """One call of Glue, or only a line of the log.

    Attributes:
        operation: ``CreateTable``, ...; empty: nothing is called.
        body: Its parameters, without the database.
        line: What the log says.
        table: Name of the table.
        kind: What it does, for the crawl's summary.
    """

    operation: str = ""
    body: Mapping[str, Any]
    line: str
    table: str
    kind: Literal[
        "table added", "table updated", "table deleted", "partitions added", "partitions updated",
        "partitions deleted", "logged",
    ]  # fmt: skip


def plan_changes(
    found: Sequence[Found],
    tables: Sequence[Mapping[str, Any]],
    partitions: Partitions,
    policy: Policy,
) -> Iterator[Change]:
    """Yield the calls that bring the catalog up to what was found, in order.

    Args:
        found: Tables of the crawl.
        tables: Of the database, as GetTables has them.
        partitions: Returns those of a table, as GetPartitions has them.
        policy: What may change.
    """
    at = {_place(table): table for table in tables}
    taken = {table["Name"]: _place(table) for table in tables}
    for each in found:
        old = at.get(each.location.rstrip("/"))
        if old is not None:
            yield from _known(each, old, partitions(old["Name"]), policy)
            continue
        name = each.name
        if name in taken:
            name = distinct_name(name, each.location)
        taken[name] = each.location.rstrip("/")
        yield from _new(each, name, policy)
    if not policy.only_new:
        still = {each.location.rstrip("/") for each in found}
        yield from _gone(tables, still, policy)


def _new(found: Found, name: str, policy: Policy) -> Iterator[Change]:
    table = _stamped(found.table, policy) | {"Name": name}
    yield Change(
        operation="CreateTable",
        body={"TableInput": table},
        line=f"Created table {name}",
        table=name,
        kind="table added",
    )
    yield from _added(found.partitions, table, name, policy)


def _known(
    found: Found, old: Mapping[str, Any], parts: Sequence[Mapping[str, Any]], policy: Policy
) -> Iterator[Change]:
    name = old["Name"]
    kept = {key: old[key] for key in TABLE_INPUT if old.get(key) is not None}
    wanted = kept if policy.only_new else _updated(found, kept, policy)
    if _differ(wanted, kept):
        yield Change(
            operation="UpdateTable",
            body={"TableInput": wanted},
            line=f"Updated table {name}",
            table=name,
            kind="table updated",
        )
    if not policy.only_new and _columns(found.table) != _columns(wanted):
        line = f"The schema of table {name} has changed; its definition stays as the policy says"
        yield Change(body={}, line=line, table=name, kind="logged")
    if len(wanted.get("PartitionKeys", [])) != len(found.table["PartitionKeys"]):
        line = f"The partition keys of table {name} have changed; its partitions stay as they are"
        yield Change(body={}, line=line, table=name, kind="logged")
        return
    keys = len(found.table["PartitionKeys"])
    misfits = [part for part in parts if len(part["Values"]) != keys]
    yield from _dropped(misfits, name)  # a partition of other keys is none of this table
    fitting = [part for part in parts if len(part["Values"]) == keys]
    yield from _partitions(found, fitting, wanted, policy)


def _updated(found: Found, kept: Mapping[str, Any], policy: Policy) -> Dict:
    """Return the definition that a known table gets."""
    columns, new = _columns(kept), _columns(found.table)
    known = {column["Name"] for column in columns}
    merged = [*columns, *(column for column in new if column["Name"] not in known)]
    if policy.update == "LOG":
        if not policy.merge_new or merged == columns:
            return dict(kept)
        storage = {**kept["StorageDescriptor"], "Columns": merged}
        return {**kept, "StorageDescriptor": storage}
    stamped = _stamped(found.table, policy)
    storage = dict(stamped["StorageDescriptor"])
    storage["Columns"] = merged if policy.merge_new else new
    storage["Parameters"] = _over(
        kept["StorageDescriptor"].get("Parameters"), storage["Parameters"]
    )
    parameters = _over(kept.get("Parameters"), stamped["Parameters"])
    return {
        **kept,
        **stamped,
        "Name": kept["Name"],
        "StorageDescriptor": storage,
        "Parameters": parameters,
    }


def _partitions(
    found: Found, parts: Sequence[Mapping[str, Any]], table: Mapping[str, Any], policy: Policy
) -> Iterator[Change]:
    name = table["Name"]
    old = {tuple(part["Values"]): part for part in parts}
    new = {tuple(part["Values"]): part for part in found.partitions}
    yield from _added([part for key, part in new.items() if key not in old], table, name, policy)
    if policy.only_new:
        return
    changed = []
    for key in [key for key in new if key in old]:
        kept = {each: old[key][each] for each in ("Values", "StorageDescriptor", "Parameters")}
        wanted = _stamped(new[key], policy)
        if policy.update == "LOG":
            wanted = dict(kept)
        if policy.inherit:
            wanted = _inherited(wanted, table)
        if _differ(wanted, kept):
            changed.append({"PartitionValueList": list(key), "PartitionInput": wanted})
    for batch in _batches(changed):
        yield _batch("BatchUpdatePartition", {"Entries": batch}, name, "updated", len(batch))
    yield from _gone_partitions([part for key, part in old.items() if key not in new], name, policy)


def _added(
    parts: Sequence[Mapping[str, Any]], table: Mapping[str, Any], name: str, policy: Policy
) -> Iterator[Change]:
    stamped = [_stamped(part, policy) for part in parts]
    made = [_inherited(part, table) if policy.inherit else part for part in stamped]
    for batch in _batches(made):
        body = {"PartitionInputList": batch}
        yield _batch("BatchCreatePartition", body, name, "added", len(batch))


def _gone_partitions(
    parts: Sequence[Mapping[str, Any]], name: str, policy: Policy
) -> Iterator[Change]:
    if policy.delete == "DELETE_FROM_DATABASE":
        yield from _dropped(parts, name)
        return
    if policy.delete == "LOG":
        for part in parts:
            line = (
                f"Partition {list(part['Values'])} of table {name} is gone; it stays in the catalog"
            )
            yield Change(body={}, line=line, table=name, kind="logged")
        return
    marked = [
        {
            "PartitionValueList": list(part["Values"]),
            "PartitionInput": {
                "Values": list(part["Values"]),
                "StorageDescriptor": part["StorageDescriptor"],
                "Parameters": {**part.get("Parameters", {}), DEPRECATED: str(policy.now_ms)},
            },
        }
        for part in parts
        if DEPRECATED not in part.get("Parameters", {})
    ]
    for batch in _batches(marked):
        yield _batch("BatchUpdatePartition", {"Entries": batch}, name, "updated", len(batch))


def _dropped(parts: Sequence[Mapping[str, Any]], name: str) -> Iterator[Change]:
    for batch in _batches([{"Values": list(part["Values"])} for part in parts]):
        body = {"PartitionsToDelete": batch}
        yield _batch("BatchDeletePartition", body, name, "deleted", len(batch))


def _gone(tables: Sequence[Mapping[str, Any]], still: set[str], policy: Policy) -> Iterator[Change]:
    for table in tables:
        name, place, parameters = table["Name"], _place(table), table.get("Parameters", {})
        ours = parameters.get(BY) == policy.crawler and any(
            f"{place}/".startswith(root.rstrip("/") + "/") for root in policy.roots
        )
        if not ours or place in still:
            continue
        if policy.delete == "DELETE_FROM_DATABASE":
            yield Change(
                operation="DeleteTable",
                body={"Name": name},
                line=f"Deleted table {name}",
                table=name,
                kind="table deleted",
            )
        elif policy.delete == "LOG":
            line = f"Table {name} is gone from {place}; it stays in the catalog"
            yield Change(body={}, line=line, table=name, kind="logged")
        elif DEPRECATED not in parameters:
            kept = {key: table[key] for key in TABLE_INPUT if table.get(key) is not None}
            marked = {**parameters, DEPRECATED: str(policy.now_ms)}
            yield Change(
                operation="UpdateTable",
                body={"TableInput": {**kept, "Parameters": marked}},
                line=f"Deprecated table {name}",
                table=name,
                kind="table updated",
            )


def _stamped(item: Mapping[str, Any], policy: Policy) -> Dict:
    """Return a table or partition with the parameters that say which crawl wrote it."""
    mark = {BY: policy.crawler, RUN: policy.run_id}
    if policy.exclusions:
        mark["exclusions"] = policy.exclusions
    storage = item["StorageDescriptor"]
    return {
        **item,
        "StorageDescriptor": {**storage, "Parameters": {**storage["Parameters"], **mark}},
        "Parameters": {**item["Parameters"], **mark},
    }


def _inherited(part: Mapping[str, Any], table: Mapping[str, Any]) -> Dict:
    """Return a partition with columns, SerDe and formats of its table, and counts of its own."""
    own, storage = part["StorageDescriptor"], table["StorageDescriptor"]
    kept = {key: own[key] for key in ("Location", "Parameters")}
    return {**part, "StorageDescriptor": {**storage, **kept}}


def _over(old: Mapping[str, str] | None, new: Mapping[str, str]) -> dict[str, str]:
    """Return parameters with new ones over those that people or earlier crawls set."""
    gone = {DEPRECATED, "skip.header.line.count", "exclusions"} - new.keys()
    return {key: value for key, value in (old or {}).items() if key not in gone} | dict(new)


def _differ(wanted: Any, kept: Any) -> bool:
    """Return whether two definitions differ in more than the id of the crawl."""
    return bool(_bare(wanted) != _bare(kept))


def _bare(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _bare(item) for key, item in value.items() if key != RUN}
    return value


def _columns(table: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list(table.get("StorageDescriptor", {}).get("Columns", []))


def _place(table: Mapping[str, Any]) -> str:
    return str(table.get("StorageDescriptor", {}).get("Location", "")).rstrip("/")


def _batches(items: Sequence[Any]) -> Iterator[list[Any]]:
    for start in range(0, len(items), PARTITIONS_A_CALL):
        yield list(items[start : start + PARTITIONS_A_CALL])


def _batch(
    operation: str,
    body: Mapping[str, Any],
    name: str,
    done: Literal["added", "updated", "deleted"],
    count: int,
) -> Change:
    noun = "partition" if count == 1 else "partitions"
    kinds: Mapping[str, Any] = {
        "added": "partitions added",
        "updated": "partitions updated",
        "deleted": "partitions deleted",
    }
    return Change(
        operation=operation,
        body={"TableName": name, **body},
        line=f"{done.capitalize()} {count} {noun} of table {name}",
        table=name,
        kind=kinds[done],
    )
